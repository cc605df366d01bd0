/* STATUS: how the node is, for a person. */
#include "command/admin.h"
#include "command/figures.h"
#include "command/handlers.h"
#include "command/session_private.h"

typedef unsigned long long ull;

static void append_uptime(struct buffer *out, uint64_t s)
{
    if (s >= 86400)
        buffer_printf(out, "%llu d ", (ull)(s / 86400));
    if (s >= 3600)
        buffer_printf(out, "%llu h ", (ull)(s / 3600 % 24));
    if (s >= 60)
        buffer_printf(out, "%llu min ", (ull)(s / 60 % 60));
    buffer_printf(out, "%llu s", (ull)(s % 60));
}

static const char *durability(struct call *c)
{
    if (!c->node->durable)
        return "in memory only: nothing is kept over a restart";
    switch (call_settings(c)->fsync) {
    case FSYNC_ALWAYS:
        return "on disk before each reply (fsync always)";
    case FSYNC_EVERYSEC:
        return "in the log before each reply, on disk each second (fsync everysec)";
    default:
        return "in the log before each reply, on disk when the system likes (fsync never)";
    }
}

static void append_keys(struct buffer *out, const struct figures *f)
{
    bool any = false;
    for (unsigned db = 0; db < NODE_DBS; db++) {
        if (f->db[db].keys == 0 && f->db[db].exact)
            continue;
        buffer_printf(out, "%s%s%llu in database %u", any ? ", " : "",
                      f->db[db].exact ? "" : "about ", (ull)f->db[db].keys, db);
        if (f->db[db].expiring > 0)
            buffer_printf(out, " (%llu expire)", (ull)f->db[db].expiring);
        any = true;
    }
    buffer_append_str(out, any ? "\n" : "none\n");
}

static void append_health(struct call *c, struct buffer *out, const struct figures *f)
{
    bool loading = node_loading(c->node);
    if (loading)
        buffer_printf(out, "loading: %llu records replayed so far",
                      (ull)__atomic_load_n(&c->node->replayed, __ATOMIC_RELAXED));
    else if (f->flush_error < 0)
        buffer_printf(out, "flushing fails: %s", status_text(f->flush_error));
    else if (f->pressure > 0)
        buffer_printf(out, "well; writers are slowed while tables are flushed (%u of 1000)",
                      f->pressure);
    else
        buffer_append_str(out, "well");
    buffer_append_str(out, "\n");
}

void cmd_status(struct call *c)
{
    if (c->argc > 1) {
        reply_arity_error(c);
        return;
    }
    struct figures f;
    char a[FIGURES_SIZE_BYTES], b[FIGURES_SIZE_BYTES], d[FIGURES_SIZE_BYTES];
    struct buffer *out = call_scratch(c);
    figures_gather(c, &f);
    buffer_printf(out, "Torc " TORC_VERSION ", node %s, up ", c->node->id);
    append_uptime(out, f.uptime_s);
    buffer_append_str(out, "\n\nhealth      ");
    append_health(c, out, &f);
    buffer_append_str(out, "keys        ");
    if (node_loading(c->node))
        buffer_append_str(out, "not known yet\n");
    else
        append_keys(out, &f);
    buffer_printf(out, "clients     %llu connected, %llu waiting, %llu refused\n",
                  (ull)f.metrics.connected_clients, (ull)f.metrics.blocked_clients,
                  (ull)f.metrics.connections_rejected);
    buffer_printf(out, "commands    %llu, %llu of them with errors\n",
                  (ull)f.metrics.commands_processed, (ull)f.metrics.error_replies);
    buffer_printf(out, "writes      %s\n", durability(c));
    buffer_printf(out, "table       %s unflushed, %s being flushed, %s of cache\n",
                  figures_size(f.engine.table_bytes, a), figures_size(f.engine.frozen_bytes, b),
                  figures_size(f.engine.cache_bytes, d));
    buffer_printf(out, "reads       %.1f %% from memory, %llu from disk\n",
                  100 * figures_hit_rate(&f), (ull)f.engine.tier_reads_background);
    buffer_printf(out, "flushes     %llu, %s in all\n", (ull)f.engine.flushes,
                  figures_size(f.engine.flushed_bytes, a));
    if (f.process.rss_bytes > 0)
        buffer_printf(out, "memory      %s of %s\n", figures_size(f.process.rss_bytes, a),
                      figures_size(f.process.memory_bytes, b));
    buffer_printf(out, "shards      %u, %u partitions\n", c->node->shards, c->node->partitions);
    reply_verbatim(c, buffer_slice(out));
}
