/* Generations of the table on their way into the tier: frozen, flushed one after the other,
 * released.
 *
 * At most ENGINE_FROZEN_MAX wait; then the active one grows and engine_pressure() slows writers. A
 * flush that found no space is tried again, later and later; any other failure sticks, because it
 * is not known what it would do to try again. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/engine_private.h"

static void source_sort(void *ctx)
{
    if (ctx != NULL)
        table_frozen_sort(ctx);
}

static uint64_t source_count(void *ctx)
{
    return ctx != NULL ? table_frozen_count(ctx) : 0;
}

static void source_row(void *ctx, uint64_t i, struct key *ret_key, struct record *ret_record)
{
    table_frozen_row(ctx, i, ret_key, ret_record);
}

struct engine_generation *engine_newest(struct engine *e)
{
    struct list_node *node = list_last(&e->frozen);
    return node != NULL ? list_entry(node, struct engine_generation, link) : NULL;
}

static struct engine_generation *oldest(struct engine *e)
{
    struct list_node *node = list_first(&e->frozen);
    return node != NULL ? list_entry(node, struct engine_generation, link) : NULL;
}

/* --- freezing --- */

static bool part_moved(const struct engine_part *part)
{
    return part->dirty || part->forgetting || part->pub.index > part->frozen_index;
}

static bool anything_moved(const struct engine *e)
{
    if (e->wrote)
        return true;
    for (unsigned p = e->options.shard; p < e->options.partitions; p += e->options.shards)
        if (part_moved(&e->parts[p]))
            return true;
    return false;
}

/* The watermarks of all partitions that moved since the last freeze, which they are marked as. */
static struct flush_watermark *take_watermarks(struct engine *e, size_t *ret_count)
{
    struct flush_watermark *w = mem_alloc(e->options.partitions * sizeof(*w));
    size_t count = 0;
    for (unsigned p = e->options.shard; p < e->options.partitions; p += e->options.shards) {
        struct engine_part *part = engine_part(e, (uint16_t)p);
        if (!part_moved(part))
            continue;
        part->dirty = false;
        part->frozen_index = part->pub.index;
        part->tier_rows = true; /* soon; until then the table has the rows */
        w[count++] = (struct flush_watermark){
            .partition = (uint16_t)p,
            .generation = part->pub.generation,
            .index = part->pub.index,
            .actor = part->pub.actor,
            .counter = part->pub.counter,
            .stamp = part->pub.stamp,
            .judge_ms = part->pub.judge_ms,
            .stale = part->forgetting,
        };
    }
    *ret_count = count;
    return w;
}

static void flush_work(struct work *work);
static void flush_finished(struct work *work);

bool engine_freeze(struct engine *e)
{
    if (e->frozen_count == ENGINE_FROZEN_MAX || !anything_moved(e))
        return false;
    struct engine_generation *g = mem_zalloc(sizeof(*g));
    g->e = e;
    g->bytes = table_active_bytes(e->table);
    g->table = table_freeze(e->table);
    g->sequence = ++e->sequence;
    g->lsn = e->lsn;
    g->work = (struct work){.run = flush_work, .done = flush_finished, .klass = WORK_FLUSH};
    size_t count;
    struct flush_watermark *watermarks = take_watermarks(e, &count);
    const struct flush_source source = {
        .ctx = g->table, .sort = source_sort, .count = source_count, .row = source_row};
    flush_init(&g->flush, e->tier, &source, watermarks, count, e->now_ms);
    list_push_back(&e->frozen, &g->link);
    e->frozen_count++;
    e->frozen_bytes += g->bytes;
    e->freeze_lsn = e->lsn;
    e->wrote = false;
    return true;
}

/* --- flushing --- */

static void flush_work(struct work *work)
{
    flush_run(&container_of(work, struct engine_generation, work)->flush);
}

static void plant_flaws(struct engine *e, struct engine_generation *g)
{
    if (e->flaws & ENGINE_FLAW_EARLY_LSN)
        e->flushed_lsn = g->lsn;
    for (size_t i = 0; e->flaws & ENGINE_FLAW_LATE_WATERMARK && i < g->flush.watermarks_count;
         i++) {
        struct flush_watermark *w = &g->flush.watermarks[i];
        w->index = engine_part(e, w->partition)->pub.index;
    }
}

void engine_flushes_start(struct engine *e)
{
    struct engine_generation *g = oldest(e);
    if (g == NULL || g->running || e->installing)
        return;
    if (flush_state(&g->flush) == FLUSH_FAILED) {
        if (g->flush.st != ST_NOSPACE || e->now_ms < g->retry_at_ms)
            return;
        flush_retry(&g->flush);
    }
    flush_set_dropped(&g->flush, engine_drops_set(e));
    g->running = true;
    g->begin_ms = e->now_ms;
    plant_flaws(e, g);
    engine_submit(e, &g->work);
}

static void flush_failed(struct engine *e, struct engine_generation *g)
{
    e->flush_error = g->flush.st;
    e->flush_failures++;
    g->retry_ms = g->retry_ms == 0 ? ENGINE_RETRY_MS_MIN : g->retry_ms * 2;
    if (g->retry_ms > ENGINE_RETRY_MS_MAX)
        g->retry_ms = ENGINE_RETRY_MS_MAX;
    g->retry_at_ms = e->now_ms + g->retry_ms;
    engine_counts_failed(e, g->flush.st);
}

static void note_rows(struct engine *e, const struct engine_generation *g)
{
    e->counted.flushes++;
    e->counted.flushed_records += g->flush.rows;
    e->counted.flushed_bytes += g->flush.bytes;
    e->counted.flush_us_total += (e->now_ms - g->begin_ms) * 1000;
    struct tier_stats stats;
    e->tier->ops->stats(e->tier, &stats);
    e->tier_rows_estimate = stats.rows_estimate;
}

static void flush_visible(struct engine *e, struct engine_generation *g)
{
    for (size_t i = 0; i < g->flush.watermarks_count; i++) {
        const struct flush_watermark *w = &g->flush.watermarks[i];
        if (w->stale)
            continue;
        engine_part(e, w->partition)->pub.flushed_index = w->index;
    }
    engine_counts_visible(e, g);
    if (g->table != NULL)
        table_frozen_release(e->table, g->table);
    flush_released(&g->flush);
    note_rows(e, g);
    e->flush_error = 0;
    e->flushed_lsn = g->lsn;
    e->flushed_sequence = g->sequence;
    e->frozen_count--;
    e->frozen_bytes -= g->bytes;
    list_remove(&g->link);
    flush_done(&g->flush);
    free(g);
}

static void flush_finished(struct work *work)
{
    struct engine_generation *g = container_of(work, struct engine_generation, work);
    struct engine *e = g->e;
    e->works--;
    g->running = false;
    if (g->flush.st != 0) {
        flush_failed(e, g);
        return;
    }
    flush_visible(e, g);
    engine_drops_start(e);
    engine_flushes_start(e);
}

/* --- the outside --- */

/* idle: the log has not moved since the last turn. */
static bool freeze_due(const struct engine *e, bool idle)
{
    if (e->flush_wanted)
        return true;
    if (!anything_moved(e))
        return false;
    /* Nothing but watermarks, of writes to keyspaces that are dropped: cheap, and the log is free.
     * Not while a replay passes many of those. */
    if (idle && table_active_bytes(e->table) == 0)
        return true;
    return table_active_bytes(e->table) >= e->options.table_bytes / 2 ||
           e->lsn - e->freeze_lsn >= e->options.log_bytes;
}

void engine_flushes_turn(struct engine *e)
{
    if (e->tier == NULL) {
        e->flushed_lsn = e->lsn;
        return;
    }
    if (e->freeze_lsn == 0)
        e->freeze_lsn = e->lsn;
    bool idle = e->lsn == e->turn_lsn;
    e->turn_lsn = e->lsn;
    if (freeze_due(e, idle) && (engine_freeze(e) || e->frozen_count < ENGINE_FROZEN_MAX))
        e->flush_wanted = false;
    engine_flushes_start(e);
    if (e->frozen_count == 0 && e->flushed_lsn < e->lsn && !anything_moved(e)) {
        e->flushed_lsn = e->lsn; /* the log below holds nothing of this shard */
        e->freeze_lsn = e->lsn;
    }
}

void engine_flush(struct engine *e, uint64_t lsn)
{
    CHECK(lsn >= e->lsn);
    e->lsn = lsn;
    if (e->tier == NULL)
        return;
    e->flush_wanted = !engine_freeze(e) && e->frozen_count == ENGINE_FROZEN_MAX;
    if (e->frozen_count > 0)
        oldest(e)->retry_at_ms = 0;
    engine_flushes_start(e);
}

bool engine_flushed(const struct engine *e)
{
    return e->tier == NULL || (e->frozen_count == 0 && !anything_moved(e));
}

uint64_t engine_flushed_lsn(const struct engine *e)
{
    return e->flushed_lsn;
}

int engine_flush_error(const struct engine *e)
{
    if (e->tier == NULL && engine_pressure(e) == 1000)
        return ST_NOMEM;
    return e->flush_error;
}

uint64_t engine_flush_failures(const struct engine *e)
{
    return e->flush_failures;
}

void engine_flushes_done(struct engine *e)
{
    for (struct list_node *node; (node = list_pop_front(&e->frozen)) != NULL;) {
        struct engine_generation *g = list_entry(node, struct engine_generation, link);
        flush_done(&g->flush);
        free(g);
    }
}
