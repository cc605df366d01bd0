/* Keyspaces on their way out: their ids never come back, so nobody reads them any more; this is
 * about the space.
 *
 * The table is walked once from begin to end in steps. Records frozen meanwhile are left out of
 * flushes as long as the drop is listed: until every generation that may hold one is in the tier.
 * The tier drops the ranges once no flush runs that began before the drop; were a crash to come
 * first, compaction would do it (tier_policy). The tier hears of a drop only after the turn it was
 * made in: then the log has it, and is synced before anything in the tier says so. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/engine_private.h"

struct drop_job {
    struct work work;
    struct engine *engine;
    struct buffer bytes; /* start and end of each range, each of ROW_KEY_PREFIX_BYTES */
    struct tier_range *ranges;
    size_t count;
};

static struct engine_drop *drop_of(struct list_node *node)
{
    return list_entry(node, struct engine_drop, link);
}

bool engine_drops_has(const struct engine *e, uint32_t keyspace)
{
    list_foreach (node, &e->drops) {
        if (drop_of(node)->keyspace == keyspace)
            return true;
    }
    return false;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct flush_dropped engine_drops_set(const struct engine *e)
{
    struct flush_dropped set = {0};
    list_foreach (node, &e->drops)
        set.count += drop_of(node)->logged;
    if (set.count == 0)
        return set;
    set.ids = mem_alloc(set.count * sizeof(*set.ids));
    size_t i = 0;
    list_foreach (node, &e->drops)
        if (drop_of(node)->logged)
            set.ids[i++] = drop_of(node)->keyspace;
    qsort(set.ids, set.count, sizeof(*set.ids), compare_ids);
    return set;
}

void engine_drop_keyspace(struct engine *e, uint32_t keyspace)
{
    CHECK(keyspace != ROW_KEYSPACE_META);
    if (engine_drops_has(e, keyspace))
        return;
    struct engine_drop *d = mem_zalloc(sizeof(*d));
    d->keyspace = keyspace;
    d->tier_done = e->tier == NULL;
    list_push_back(&e->drops, &d->link);
    engine_fetches_cancel_keyspace(e, keyspace);
    engine_keyspace_drop(e, keyspace);
}

/* --- the table's part --- */

static enum table_verdict walk_judge(void *ctx, const struct key *key, const struct record *record,
                                     bool clean)
{
    return engine_drops_has(ctx, key->keyspace) ? TABLE_FORGET : TABLE_KEEP;
}

static void walk_begin(struct engine *e)
{
    list_foreach (node, &e->drops) {
        struct engine_drop *d = drop_of(node);
        if (d->walked)
            continue;
        d->walking = true;
        e->drop_walking = true;
        e->drop_cursor = 0;
    }
}

static void walk_step(struct engine *e)
{
    if (table_walk(e->table, &e->drop_cursor, ENGINE_WALK_ROWS, walk_judge, e))
        return;
    e->drop_walking = false;
    list_foreach (node, &e->drops) {
        struct engine_drop *d = drop_of(node);
        if (!d->walking)
            continue;
        d->walking = false;
        d->walked = true;
        d->sequence = e->sequence;
    }
}

/* --- the tier's part --- */

static void drop_run(struct work *work)
{
    struct drop_job *job = container_of(work, struct drop_job, work);
    struct tier *tier = job->engine->tier;
    /* A failure leaves rows that nobody reads, for compaction to find. */
    tier->ops->drop_ranges(tier, job->ranges, job->count);
}

static void drop_finished(struct work *work)
{
    struct drop_job *job = container_of(work, struct drop_job, work);
    struct engine *e = job->engine;
    e->works--;
    list_foreach (node, &e->drops) {
        struct engine_drop *d = drop_of(node);
        d->tier_done |= d->tier_busy;
        d->tier_busy = false;
    }
    buffer_free(&job->bytes);
    free(job->ranges);
    free(job);
}

/* The ranges of the keyspaces `ids` in each partition that has rows, in row-key order. */
static void job_fill(struct drop_job *job, const uint32_t *ids, size_t ids_count)
{
    struct engine *e = job->engine;
    const struct slice none = slice_make(NULL, 0);
    for (unsigned p = e->options.shard; p < e->options.partitions; p += e->options.shards) {
        const struct engine_part *part = engine_part(e, (uint16_t)p);
        for (size_t i = 0; part->tier_rows && i < ids_count; i++) {
            row_key_encode(&job->bytes, (uint16_t)p, part->pub.generation, ids[i], none);
            row_key_encode(&job->bytes, (uint16_t)p, part->pub.generation, ids[i] + 1, none);
            job->count++;
        }
    }
    job->ranges = mem_alloc(job->count * sizeof(*job->ranges));
    for (size_t i = 0; i < job->count; i++) {
        const uint8_t *at = job->bytes.data + i * 2 * ROW_KEY_PREFIX_BYTES;
        job->ranges[i].start = slice_make(at, ROW_KEY_PREFIX_BYTES);
        job->ranges[i].end = slice_make(at + ROW_KEY_PREFIX_BYTES, ROW_KEY_PREFIX_BYTES);
    }
}

void engine_drops_start(struct engine *e)
{
    struct flush_dropped set = engine_drops_set(e);
    size_t count = 0;
    bool busy = false;
    list_foreach (node, &e->drops)
        busy |= drop_of(node)->tier_busy;
    for (size_t i = 0; !busy && i < set.count; i++)
        list_foreach (node, &e->drops) {
            struct engine_drop *d = drop_of(node);
            if (d->keyspace != set.ids[i] || d->tier_done)
                continue;
            d->tier_busy = true;
            set.ids[count++] = d->keyspace;
        }
    if (count > 0) {
        struct drop_job *job = mem_zalloc(sizeof(*job));
        job->engine = e;
        job->work = (struct work){.run = drop_run, .done = drop_finished, .klass = WORK_FLUSH};
        job_fill(job, set.ids, count);
        engine_submit(e, &job->work);
    }
    free(set.ids);
}

void engine_drops_turn(struct engine *e)
{
    if (list_empty(&e->drops))
        return;
    list_foreach (node, &e->drops)
        drop_of(node)->logged = true;
    if (!e->drop_walking)
        walk_begin(e);
    if (e->drop_walking)
        walk_step(e);
    struct list_node *first = list_first(&e->frozen);
    if (first == NULL || !list_entry(first, struct engine_generation, link)->running)
        engine_drops_start(e);
    list_foreach_safe (node, spare, &e->drops) {
        struct engine_drop *d = drop_of(node);
        if (!d->walked || !d->tier_done)
            continue;
        if (e->tier != NULL && e->flushed_sequence < d->sequence)
            continue;
        list_remove(&d->link);
        free(d);
    }
}

void engine_drops_done(struct engine *e)
{
    for (struct list_node *node; (node = list_pop_front(&e->drops)) != NULL;)
        free(drop_of(node));
}
