#include "command/figures.h"

#include <stdio.h>

#include "command/admin.h"
#include "command/session_private.h"

static void add_engine(struct engine_stats *sum, const struct engine_stats *s)
{
    sum->records += s->records;
    sum->table_bytes += s->table_bytes;
    sum->frozen_bytes += s->frozen_bytes;
    sum->cache_bytes += s->cache_bytes;
    sum->index_bytes += s->index_bytes;
    sum->ordered_bytes += s->ordered_bytes;
    sum->hits += s->hits;
    sum->misses += s->misses;
    sum->tier_reads_inline += s->tier_reads_inline;
    sum->tier_reads_background += s->tier_reads_background;
    sum->evictions += s->evictions;
    sum->fills_cancelled += s->fills_cancelled;
    sum->flushes += s->flushes;
    sum->flushed_records += s->flushed_records;
    sum->flushed_bytes += s->flushed_bytes;
    sum->flush_us_total += s->flush_us_total;
    sum->expired += s->expired;
}

static void add_keys(const struct node *node, struct engine *e, struct figures *f)
{
    for (unsigned db = 0; db < NODE_DBS; db++) {
        uint64_t keys, expiring;
        uint32_t id = node_keyspace(node, db);
        if (engine_count_known(e, id, &keys, &expiring) < 0) {
            f->db[db].exact = false;
            engine_count_estimate(e, id, &keys, &expiring);
            engine_count_soon(e, id);
        }
        f->db[db].keys += keys;
        f->db[db].expiring += expiring;
    }
}

void figures_gather(struct call *c, struct figures *ret_figures)
{
    struct figures *f = ret_figures;
    *f = (struct figures){.flushed_lsn = UINT64_MAX};
    node_metrics(c->node, &f->metrics);
    for (unsigned db = 0; db < NODE_DBS; db++)
        f->db[db].exact = true;
    for (unsigned i = 0; i < c->node->shards; i++) {
        if (call_front(c, i) == NULL)
            continue;
        struct engine *e = node_shard(c->node, i)->engine;
        struct engine_stats stats;
        engine_stats(e, &stats);
        add_engine(&f->engine, &stats);
        if (!node_loading(c->node)) /* another thread replays into it meanwhile */
            add_keys(c->node, e, f);
        if (engine_pressure(e) > f->pressure)
            f->pressure = engine_pressure(e);
        if (engine_flush_error(e) < 0)
            f->flush_error = engine_flush_error(e);
        if (engine_flushed_lsn(e) < f->flushed_lsn)
            f->flushed_lsn = engine_flushed_lsn(e);
    }
    if (c->node->hooks.process != NULL)
        c->node->hooks.process(c->node->hooks.ctx, &f->process);
    f->used_bytes = f->process.heap_bytes;
    if (f->used_bytes == 0)
        f->used_bytes = f->engine.table_bytes + f->engine.frozen_bytes + f->engine.cache_bytes +
                        f->engine.index_bytes + f->engine.ordered_bytes;
    uint64_t now_ms = front_wall_ms(c->front);
    if (now_ms > c->node->start_wall_ms)
        f->uptime_s = (now_ms - c->node->start_wall_ms) / 1000;
}

double figures_hit_rate(const struct figures *f)
{
    uint64_t reads = f->engine.hits + f->engine.misses;
    return reads == 0 ? 0.0 : (double)f->engine.hits / (double)reads;
}

const char *figures_size(uint64_t bytes, char to[FIGURES_SIZE_BYTES])
{
    static const char units[] = "KMGTP";
    if (bytes < 1024) {
        snprintf(to, FIGURES_SIZE_BYTES, "%lluB", (unsigned long long)bytes);
        return to;
    }
    double value = (double)bytes / 1024;
    unsigned unit = 0;
    for (; value >= 1024 && unit + 2 < sizeof(units); unit++)
        value /= 1024;
    snprintf(to, FIGURES_SIZE_BYTES, "%.2f%c", value, units[unit]);
    return to;
}
