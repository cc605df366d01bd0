/* INFO: Redis 7.0's sections, with the fields that its tools, exporters and libraries read, and a
 * section of Torc's own. What Torc has no equivalent of is shown as a Redis at rest shows it. */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "command/admin.h"
#include "command/figures.h"
#include "command/handlers.h"
#include "command/session_private.h"

#define RATE_WINDOW_US 200000 /* rates are not measured over less */

/* X(name, in the default set, in "all"); "everything" has them all. */
#define SECTIONS(X)              \
    X(server, true, true)        \
    X(clients, true, true)       \
    X(memory, true, true)        \
    X(persistence, true, true)   \
    X(stats, true, true)         \
    X(replication, true, true)   \
    X(cpu, true, true)           \
    X(modules, true, false)      \
    X(commandstats, false, true) \
    X(errorstats, true, true)    \
    X(latencystats, false, true) \
    X(cluster, true, true)       \
    X(keyspace, true, true)      \
    X(torc, true, true)

typedef unsigned long long ull;

static void line(struct buffer *out, const char *name, uint64_t value)
{
    buffer_printf(out, "%s:%llu\r\n", name, (ull)value);
}

static void line_text(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "%s:%s\r\n", name, value);
}

/* name and name_human */
static void line_size(struct buffer *out, const char *name, uint64_t bytes)
{
    char human[FIGURES_SIZE_BYTES];
    line(out, name, bytes);
    buffer_printf(out, "%s_human:%s\r\n", name, figures_size(bytes, human));
}

/* Names that stand for 0, separated by spaces. */
static void lines_zero(struct buffer *out, const char *names)
{
    while (*names != '\0') {
        size_t len = strcspn(names, " ");
        buffer_append(out, names, len);
        buffer_append_str(out, ":0\r\n");
        names += len + (names[len] == ' ');
    }
}

static void info_server(struct call *c, struct buffer *out, const struct figures *f)
{
    const struct settings *s = call_settings(c);
    line_text(out, "redis_version", COMMAND_REDIS_VERSION);
    line_text(out, "torc_version", TORC_VERSION);
    lines_zero(out, "redis_git_sha1 redis_git_dirty redis_build_id");
    line_text(out, "redis_mode", "standalone");
    line_text(out, "os", f->process.os);
    line(out, "arch_bits", 8 * sizeof(void *));
    line_text(out, "monotonic_clock", "POSIX clock_gettime");
    line_text(out, "multiplexing_api", "epoll");
    line_text(out, "gcc_version", __VERSION__);
    line(out, "process_id", f->process.pid);
    line_text(out, "run_id", c->node->run_id);
    line(out, "tcp_port", f->process.tcp_port != 0 ? f->process.tcp_port : (uint64_t)s->port);
    line(out, "server_time_usec", front_wall_ms(c->front) * 1000);
    line(out, "uptime_in_seconds", f->uptime_s);
    line(out, "uptime_in_days", f->uptime_s / 86400);
    buffer_append_str(out, "hz:10\r\nconfigured_hz:10\r\n");
    line(out, "lru_clock", front_wall_ms(c->front) / 1000 & 0xffffff);
    line_text(out, "executable", f->process.executable);
    line_text(out, "config_file", s->file == NULL ? "" : s->file);
    lines_zero(out, "io_threads_active");
}

static void info_clients(struct call *c, struct buffer *out, const struct figures *f)
{
    line(out, "connected_clients", f->metrics.connected_clients);
    lines_zero(out, "cluster_connections");
    line(out, "maxclients", (uint64_t)call_settings(c)->max_clients);
    lines_zero(out, "client_recent_max_input_buffer client_recent_max_output_buffer");
    line(out, "blocked_clients", f->metrics.blocked_clients);
    lines_zero(out, "tracking_clients clients_in_timeout_table");
}

static void info_memory(struct call *c, struct buffer *out, const struct figures *f)
{
    uint64_t used = f->used_bytes, rss = f->process.rss_bytes;
    uint64_t records = f->engine.table_bytes + f->engine.frozen_bytes + f->engine.cache_bytes;
    uint64_t overhead = f->engine.index_bytes + f->engine.ordered_bytes;
    line_size(out, "used_memory", used);
    line_size(out, "used_memory_rss", rss);
    line_size(out, "used_memory_peak",
              f->process.rss_bytes_max > used ? f->process.rss_bytes_max : used);
    line(out, "used_memory_overhead", overhead);
    lines_zero(out, "used_memory_startup");
    line(out, "used_memory_dataset", records);
    buffer_printf(out, "used_memory_dataset_perc:%.2f%%\r\n",
                  used == 0 ? 0.0 : 100.0 * (double)records / (double)used);
    line(out, "allocator_allocated", used);
    line(out, "allocator_active", rss);
    line(out, "allocator_resident", rss);
    line_size(out, "total_system_memory", f->process.memory_bytes);
    buffer_append_str(out, "used_memory_lua:0\r\nused_memory_lua_human:0B\r\n"
                           "used_memory_scripts:0\r\nused_memory_scripts_human:0B\r\n"
                           "maxmemory:0\r\nmaxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\n");
    buffer_printf(out, "mem_fragmentation_ratio:%.2f\r\n",
                  used == 0 ? 0.0 : (double)rss / (double)used);
    line(out, "mem_fragmentation_bytes", rss > used ? rss - used : 0);
    lines_zero(out, "mem_not_counted_for_evict mem_replication_backlog mem_clients_slaves "
                    "mem_clients_normal mem_aof_buffer");
    line_text(out, "mem_allocator", "libc");
    lines_zero(out, "active_defrag_running lazyfree_pending_objects lazyfreed_objects");
}

static void info_persistence(struct call *c, struct buffer *out, const struct figures *f)
{
    const struct front_saves *saves = &c->front->group->saves;
    uint64_t started_ms = __atomic_load_n(&saves->started_ms, __ATOMIC_RELAXED);
    bool good = __atomic_load_n(&saves->last_status, __ATOMIC_RELAXED) == 0;
    line(out, "loading", node_loading(c->node));
    lines_zero(out, "async_loading current_cow_peak current_cow_size current_cow_size_age "
                    "current_save_keys_processed current_save_keys_total "
                    "rdb_changes_since_last_save");
    line(out, "rdb_bgsave_in_progress", started_ms != 0);
    line(out, "rdb_last_save_time",
         __atomic_load_n(&c->node->last_save_ms, __ATOMIC_RELAXED) / 1000);
    line_text(out, "rdb_last_bgsave_status", good ? "ok" : "err");
    buffer_printf(out, "rdb_last_bgsave_time_sec:%lld\r\n",
                  saves->done == 0 ? -1LL : (long long)(saves->took_ms / 1000));
    buffer_printf(out, "rdb_current_bgsave_time_sec:%lld\r\n",
                  started_ms == 0 ? -1LL
                                  : (long long)((front_wall_ms(c->front) - started_ms) / 1000));
    line(out, "rdb_saves", __atomic_load_n(&saves->done, __ATOMIC_RELAXED));
    lines_zero(out, "rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded");
    line(out, "aof_enabled", c->node->durable);
    lines_zero(out, "aof_rewrite_in_progress aof_rewrite_scheduled");
    buffer_append_str(out, "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n"
                           "aof_last_bgrewrite_status:ok\r\n");
    line_text(out, "aof_last_write_status", f->flush_error == ST_NOSPACE ? "err" : "ok");
    lines_zero(out, "aof_last_cow_size module_fork_in_progress module_fork_last_cow_size");
}

/* Events a second since the window's begin, which moves when it is long enough. */
static void rates_update(struct call *c, const struct figures *f, struct front_rates *r)
{
    uint64_t now_us = front_now_us(c->front);
    uint64_t us = now_us - r->at_us;
    if (us < RATE_WINDOW_US)
        return;
    if (r->at_us == 0 || f->metrics.commands_processed < r->commands) {
        us = 1000000 * (f->uptime_s + 1); /* the first time, or after RESETSTAT: since the start */
        r->commands = r->input_bytes = r->output_bytes = 0;
    }
    double per_us = 1e6 / (double)us;
    r->commands_per_s = (uint64_t)((double)(f->metrics.commands_processed - r->commands) * per_us);
    r->input_per_s = (uint64_t)((double)(f->metrics.net_input_bytes - r->input_bytes) * per_us);
    r->output_per_s = (uint64_t)((double)(f->metrics.net_output_bytes - r->output_bytes) * per_us);
    r->commands = f->metrics.commands_processed;
    r->input_bytes = f->metrics.net_input_bytes;
    r->output_bytes = f->metrics.net_output_bytes;
    r->at_us = now_us;
}

static void info_stats(struct call *c, struct buffer *out, const struct figures *f)
{
    struct front_rates *rates = &c->front->group->rates;
    if (!node_loading(c->node))
        rates_update(c, f, rates);
    line(out, "total_connections_received", f->metrics.connections_received);
    line(out, "total_commands_processed", f->metrics.commands_processed);
    line(out, "instantaneous_ops_per_sec", rates->commands_per_s);
    line(out, "total_net_input_bytes", f->metrics.net_input_bytes);
    line(out, "total_net_output_bytes", f->metrics.net_output_bytes);
    lines_zero(out, "total_net_repl_input_bytes total_net_repl_output_bytes");
    buffer_printf(out, "instantaneous_input_kbps:%.2f\r\n", (double)rates->input_per_s / 1024);
    buffer_printf(out, "instantaneous_output_kbps:%.2f\r\n", (double)rates->output_per_s / 1024);
    line(out, "rejected_connections", f->metrics.connections_rejected);
    lines_zero(out, "sync_full sync_partial_ok sync_partial_err");
    line(out, "expired_keys", f->engine.expired);
    buffer_append_str(out, "expired_stale_perc:0.00\r\n");
    lines_zero(out, "expired_time_cap_reached_count expire_cycle_cpu_milliseconds evicted_keys "
                    "evicted_clients total_eviction_exceeded_time current_eviction_exceeded_time");
    line(out, "keyspace_hits", f->metrics.keyspace_hits);
    line(out, "keyspace_misses", f->metrics.keyspace_misses);
    lines_zero(out, "pubsub_channels pubsub_patterns pubsubshard_channels latest_fork_usec "
                    "total_forks migrate_cached_sockets slave_expires_tracked_keys "
                    "active_defrag_hits active_defrag_misses active_defrag_key_hits "
                    "active_defrag_key_misses tracking_total_keys tracking_total_items "
                    "tracking_total_prefixes unexpected_error_replies");
    line(out, "total_error_replies", f->metrics.error_replies);
    lines_zero(out, "dump_payload_sanitizations total_reads_processed total_writes_processed "
                    "io_threaded_reads_processed io_threaded_writes_processed");
}

static void info_replication(struct call *c, struct buffer *out, const struct figures *f)
{
    line_text(out, "role", "master");
    lines_zero(out, "connected_slaves");
    line_text(out, "master_failover_state", "no-failover");
    line_text(out, "master_replid", c->node->run_id);
    line_text(out, "master_replid2", "0000000000000000000000000000000000000000");
    lines_zero(out, "master_repl_offset");
    buffer_append_str(out, "second_repl_offset:-1\r\n");
    lines_zero(out, "repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset "
                    "repl_backlog_histlen");
}

static void info_cpu(struct call *c, struct buffer *out, const struct figures *f)
{
    buffer_printf(out, "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\n",
                  (double)f->process.cpu_system_us / 1e6, (double)f->process.cpu_user_us / 1e6);
    buffer_append_str(out, "used_cpu_sys_children:0.000000\r\n"
                           "used_cpu_user_children:0.000000\r\n");
}

static void info_modules(struct call *c, struct buffer *out, const struct figures *f)
{
}

static void info_commandstats(struct call *c, struct buffer *out, const struct figures *f)
{
    for (unsigned id = 0; id < command_table_len; id++) {
        struct command_stats sum = {0};
        for (unsigned i = 0; i < c->node->shards; i++) {
            if (call_front(c, i) == NULL)
                continue;
            const struct command_stats *s = &call_front(c, i)->stats[id];
            sum.calls += s->calls;
            sum.took_ns += s->took_ns;
            sum.rejected += s->rejected;
            sum.failed += s->failed;
        }
        if (sum.calls == 0 && sum.rejected == 0)
            continue;
        buffer_printf(out,
                      "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
                      "failed_calls=%llu\r\n",
                      command_table[id].name, (ull)sum.calls, (ull)sum.took_ns / 1000,
                      sum.calls == 0 ? 0.0 : (double)sum.took_ns / 1000 / (double)sum.calls,
                      (ull)sum.rejected, (ull)sum.failed);
    }
}

/* Errors are counted, not told apart. */
static void info_errorstats(struct call *c, struct buffer *out, const struct figures *f)
{
    if (f->metrics.error_replies > 0)
        buffer_printf(out, "errorstat_ERR:count=%llu\r\n", (ull)f->metrics.error_replies);
}

/* Redis' latency-tracking, with its default percentiles. */
static void info_latencystats(struct call *c, struct buffer *out, const struct figures *f)
{
    struct histogram *sum = mem_alloc(sizeof(*sum));
    for (unsigned id = 0; id < command_table_len; id++) {
        if (!timing_spread(c, id, sum))
            continue;
        buffer_printf(out, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n",
                      command_table[id].name, (double)histogram_percentile(sum, 50) / 1000,
                      (double)histogram_percentile(sum, 99) / 1000,
                      (double)histogram_percentile(sum, 99.9) / 1000);
    }
    free(sum);
}

static void info_cluster(struct call *c, struct buffer *out, const struct figures *f)
{
    lines_zero(out, "cluster_enabled");
}

static void info_keyspace(struct call *c, struct buffer *out, const struct figures *f)
{
    for (unsigned db = 0; db < NODE_DBS; db++) {
        if (f->db[db].keys == 0 && f->db[db].exact)
            continue;
        buffer_printf(out, "db%u:keys=%llu,expires=%llu,avg_ttl=0%s\r\n", db, (ull)f->db[db].keys,
                      (ull)f->db[db].expiring, f->db[db].exact ? "" : ",exact=no");
    }
}

static void info_torc(struct call *c, struct buffer *out, const struct figures *f)
{
    static const char *const policies[] = {
        [FSYNC_ALWAYS] = "always", [FSYNC_EVERYSEC] = "everysec", [FSYNC_NEVER] = "never"};
    line_text(out, "node_id", c->node->id);
    line(out, "shards", c->node->shards);
    line(out, "partitions", c->node->partitions);
    line_text(out, "fsync", c->node->durable ? policies[call_settings(c)->fsync] : "none");
    line(out, "replayed_records", __atomic_load_n(&c->node->replayed, __ATOMIC_RELAXED));
    line(out, "records", f->engine.records);
    line(out, "table_bytes", f->engine.table_bytes);
    line(out, "frozen_bytes", f->engine.frozen_bytes);
    line(out, "cache_bytes", f->engine.cache_bytes);
    line(out, "index_bytes", f->engine.index_bytes);
    line(out, "ordered_bytes", f->engine.ordered_bytes);
    line(out, "cache_hits", f->engine.hits);
    line(out, "cache_misses", f->engine.misses);
    buffer_printf(out, "cache_hit_rate:%.4f\r\n", figures_hit_rate(f));
    line(out, "cache_evictions", f->engine.evictions);
    line(out, "cache_fills_cancelled", f->engine.fills_cancelled);
    line(out, "tier_reads_inline", f->engine.tier_reads_inline);
    line(out, "tier_reads_background", f->engine.tier_reads_background);
    line(out, "flushes", f->engine.flushes);
    line(out, "flushed_records", f->engine.flushed_records);
    line(out, "flushed_bytes", f->engine.flushed_bytes);
    buffer_printf(out, "flush_seconds:%.3f\r\n", (double)f->engine.flush_us_total / 1e6);
    line_text(out, "flush_status", f->flush_error == 0 ? "ok" : status_text(f->flush_error));
    line(out, "write_pressure_per_mille", f->pressure);
    if (c->node->durable) {
        line(out, "log_start_lsn", f->process.log_start_lsn);
        line(out, "log_flushed_lsn", f->flushed_lsn);
        line(out, "log_synced_lsn", f->process.log_synced_lsn);
        line(out, "log_end_lsn", c->shard->env->ops->log_end_lsn(c->shard->env));
    }
#define X(name, text) line(out, #name, f->metrics.name);
    METRICS_TABLE(X)
#undef X
}

/* --- the command --- */

enum section {
#define X(name, by_default, in_all) SECTION_##name,
    SECTIONS(X)
#undef X
        SECTION_COUNT
};

static const struct {
    const char *name, *title;
    bool by_default, in_all;
    void (*write)(struct call *c, struct buffer *out, const struct figures *f);
} sections[SECTION_COUNT] = {
#define X(name, by_default, in_all) {#name, #name, by_default, in_all, info_##name},
    SECTIONS(X)
#undef X
};

static uint32_t choose(struct call *c, int arg)
{
    bool by_default = call_arg_is(c, arg, "default"), all = call_arg_is(c, arg, "all");
    bool everything = call_arg_is(c, arg, "everything");
    uint32_t chosen = 0;
    for (unsigned i = 0; i < SECTION_COUNT; i++)
        if (everything || (by_default && sections[i].by_default) || (all && sections[i].in_all) ||
            call_arg_is(c, arg, sections[i].name))
            chosen |= 1u << i;
    return chosen;
}

static void append_title(struct buffer *out, const char *name)
{
    if (out->len > 0)
        buffer_append_str(out, "\r\n");
    if (strcmp(name, "cpu") == 0)
        buffer_append_str(out, "# CPU\r\n");
    else
        buffer_printf(out, "# %c%s\r\n", name[0] - 0x20, name + 1);
}

void cmd_info(struct call *c)
{
    uint32_t chosen = 0;
    for (int i = 1; i < c->argc; i++)
        chosen |= choose(c, i);
    for (unsigned i = 0; c->argc == 1 && i < SECTION_COUNT; i++)
        chosen |= sections[i].by_default ? 1u << i : 0;
    struct figures f;
    figures_gather(c, &f);
    struct buffer *out = call_scratch(c);
    for (unsigned i = 0; i < SECTION_COUNT; i++) {
        if (!(chosen & 1u << i))
            continue;
        append_title(out, sections[i].name);
        sections[i].write(c, out, &f);
    }
    reply_verbatim(c, buffer_slice(out));
}
