#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/engine_private.h"

/* --- creation --- */

static int load_watermarks(struct engine *e)
{
    for (unsigned p = e->options.shard; p < e->options.partitions; p += e->options.shards) {
        struct flush_watermark w;
        int st = flush_watermark_read(e->tier, (uint16_t)p, &w);
        if (st == ST_NOTFOUND)
            continue;
        if (st != 0)
            return st;
        struct engine_part *part = engine_part(e, (uint16_t)p);
        part->pub.generation = w.generation;
        part->pub.index = w.index;
        part->pub.flushed_index = w.index;
        part->pub.actor = w.actor;
        part->pub.counter = w.counter;
        part->pub.stamp = w.stamp;
        part->frozen_index = w.index;
        part->tier_rows = true;
    }
    return 0;
}

/* The highest keyspace id of any row in the partition, -1 when there is none. */
static int highest_keyspace(struct engine *e, uint16_t partition, int64_t *ret_id)
{
    const struct tier_ops *ops = e->tier->ops;
    uint32_t generation = engine_part(e, partition)->pub.generation, keyspace;
    BUFFER_AUTO struct buffer start = {0}, end = {0};
    const struct slice none = slice_make(NULL, 0);
    struct tier_iter *it;
    struct slice row, value, key;
    row_key_encode(&start, partition, generation, 0, none);
    row_key_encode(&end, partition, generation, ROW_KEYSPACE_SESSIONS, none);
    int st =
        ops->iter(e->tier, NULL, buffer_slice(&start), buffer_slice(&end), TIER_ITER_REVERSE, &it);
    if (st != 0)
        return st;
    st = ops->iter_next(it, &row, &value);
    if (st == 0)
        st = row_key_decode(row, &partition, &generation, &keyspace, &key);
    if (st == 0)
        *ret_id = keyspace;
    else if (st == ST_NOTFOUND)
        st = 0, *ret_id = -1;
    ops->iter_close(it);
    return st;
}

/* Ids are given out in ascending order, so a keyspace above all that the tier has is a new one,
 * whose keys can be counted from the first on. */
static int load_keyspaces(struct engine *e)
{
    for (unsigned p = e->options.shard; p < e->options.partitions; p += e->options.shards) {
        int64_t id = -1;
        int st = engine_part(e, (uint16_t)p)->tier_rows ? highest_keyspace(e, (uint16_t)p, &id) : 0;
        if (st != 0)
            return st;
        if (id > e->keyspace_counted_after)
            e->keyspace_counted_after = id;
    }
    return 0;
}

int engine_create(const struct engine_options *options, struct engine **ret_engine)
{
    CHECK(options->shards > 0);
    CHECK(options->shard < options->shards);
    struct engine *e = mem_zalloc(sizeof(*e));
    e->options = *options;
    e->tier = options->tier;
    struct table_options table = {.cache_bytes = e->tier != NULL ? options->cache_bytes : 0,
                                  .hash_seed = options->hash_seed};
    e->table = table_create(&table);
    e->parts = mem_zalloc(options->partitions * sizeof(*e->parts));
    e->keyspace_counted_after = -1;
    e->count_step_rows = ENGINE_COUNT_STEP_ROWS;
    list_init(&e->frozen);
    list_init(&e->keyspaces);
    list_init(&e->drops);
    list_init(&e->scans_waiting);
    list_init(&e->installs);
    engine_fetches_init(e);
    if (e->tier != NULL && !e->tier->ops->empty(e->tier)) {
        int st = load_watermarks(e);
        if (st == 0)
            st = load_keyspaces(e);
        if (st != 0) {
            engine_free(e);
            return st;
        }
        struct tier_stats stats;
        e->tier->ops->stats(e->tier, &stats);
        e->tier_rows_estimate = stats.rows_estimate;
    }
    *ret_engine = e;
    return 0;
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    CHECK(e->works == 0);
    engine_scans_done(e);
    engine_fetches_done(e);
    engine_flushes_done(e);
    engine_drops_done(e);
    engine_counts_done(e);
    table_free(e->table);
    buffer_free(&e->scratch);
    buffer_free(&e->value);
    free(e->parts);
    free(e);
}

struct engine_partition *engine_partition(struct engine *e, uint16_t partition)
{
    CHECK(partition < e->options.partitions);
    return &engine_part(e, partition)->pub;
}

void engine_submit(struct engine *e, struct work *work)
{
    e->works++;
    e->options.work->submit(e->options.work, work);
}

bool engine_idle(const struct engine *e)
{
    return e->works == 0;
}

/* --- points --- */

void engine_prefetch(struct engine *e, uint64_t hash)
{
    table_prefetch(e->table, hash);
}

void engine_prefetch_record(struct engine *e, uint64_t hash)
{
    table_prefetch_record(e->table, hash);
}

/* The tier's answer as far as it needs no disk. Errors are left to the fetch, which can tell them.
 */
static int get_cold(struct engine *e, const struct key *key, struct record *ret_record)
{
    buffer_clear(&e->scratch);
    row_key_encode(&e->scratch, key->partition, engine_part(e, key->partition)->pub.generation,
                   key->keyspace, key->bytes);
    size_t row_len = e->scratch.len;
    struct buffer *value = &e->value;
    if (value->cap > ENGINE_SCRATCH_BYTES)
        buffer_free(value);
    buffer_clear(value);
    int st = e->tier->ops->get(e->tier, slice_make(e->scratch.data, row_len), true, value);
    if (st == ST_NOTFOUND) {
        e->counted.tier_reads_inline++;
        table_fill(e->table, key, NULL);
        return ST_NOTFOUND;
    }
    struct record record;
    if (st != 0 || record_decode(buffer_slice(value), &record) != 0)
        return ST_COLD;
    e->counted.tier_reads_inline++;
    table_fill(e->table, key, &record);
    st = table_find(e->table, key, ret_record);
    CHECK(st == 0);
    return 0;
}

int engine_get(struct engine *e, const struct key *key, struct record *ret_record)
{
    int st = table_find(e->table, key, ret_record);
    if (likely(st != ST_COLD)) {
        e->counted.hits++;
        return st;
    }
    if (!engine_part(e, key->partition)->tier_rows) {
        e->counted.hits++; /* nothing is missing from memory */
        return ST_NOTFOUND;
    }
    e->counted.misses++;
    return get_cold(e, key, ret_record);
}

void engine_put(struct engine *e, const struct key *key, const struct record *record)
{
    struct table_before before;
    if (unlikely(e->fetches_open > 0))
        engine_fetches_cancel(e, key);
    if (e->tier == NULL && (record->flags & RECORD_TOMBSTONE))
        table_remove(e->table, key, &before);
    else
        table_put(e->table, key, record, &before);
    struct engine_part *part = engine_part(e, key->partition);
    part->dirty = true;
    e->wrote = true;
    if (before.known == TABLE_UNKNOWN &&
        (!part->tier_rows || unlikely(e->flaws & ENGINE_FLAW_COUNT_BLIND)))
        before.known = TABLE_DEAD;
    struct engine_keyspace *k = e->keyspace_last;
    if (unlikely(k == NULL || k->id != key->keyspace))
        k = engine_keyspace(e, key->keyspace);
    engine_keyspace_change(k, &before, record);
}

void engine_partition_moved(struct engine *e, uint16_t partition, uint64_t index, uint64_t stamp)
{
    struct engine_partition *p = &engine_part(e, partition)->pub;
    p->index = index;
    p->stamp = stamp;
    e->wrote = true; /* rows or not: the watermark moves with the next flush */
}

/* --- random --- */

struct random_want {
    uint32_t keyspace;
    uint64_t now_ms;
};

static bool random_accept(void *ctx, const struct key *key, const struct record *record)
{
    const struct random_want *want = ctx;
    return key->keyspace == want->keyspace && record_live(record, want->now_ms);
}

int engine_random(struct engine *e, uint32_t keyspace, uint64_t random, uint64_t now_ms,
                  struct buffer *out)
{
    uint64_t keys, expiring;
    if (engine_count_known(e, keyspace, &keys, &expiring) == 0 && keys == 0)
        return ST_NOTFOUND;
    /* As likely from the tier as its rows are many: the caller then scans from a random place. */
    struct table_stats stats;
    table_stats(e->table, &stats);
    uint64_t all = stats.records + e->tier_rows_estimate;
    if (all > 0 && random % all >= stats.records)
        return ST_COLD;
    struct random_want want = {.keyspace = keyspace, .now_ms = now_ms};
    struct key key;
    if (table_random(e->table, random, random_accept, &want, &key) != 0)
        return ST_COLD; /* few live ones among many others */
    buffer_append_slice(out, key.bytes);
    return 0;
}

/* --- time --- */

/* A record has expired: its value is of no use any more. Over a tier it stays as the marker that
 * hides the row below and becomes a tombstone when flushed. */
static enum table_verdict expired(void *ctx, const struct key *key, const struct record *record,
                                  bool clean)
{
    struct engine *e = ctx;
    uint64_t judge_ms = engine_part(e, key->partition)->pub.judge_ms;
    if (judge_ms != 0 && record->expire_ms > judge_ms) { /* the clock is ahead of the log's time */
        engine_keyspace(e, key->keyspace)->tally.unknown = true;
        return TABLE_KEEP;
    }
    e->counted.expired++;
    if (!clean) /* what is in the tier expires unseen: see cold_expire_ms */
        engine_keyspace_expired(e, key->keyspace, record->expire_ms);
    return e->tier == NULL ? TABLE_FORGET : TABLE_STRIP;
}

static void expire_turn(struct engine *e)
{
    uint64_t passed_ms = e->now_ms - e->expire_ms;
    if (passed_ms == 0)
        return;
    if (passed_ms > ENGINE_EXPIRE_MS_MAX)
        passed_ms = ENGINE_EXPIRE_MS_MAX;
    e->expire_ms = e->now_ms;
    table_expire(e->table, e->now_ms, (unsigned)passed_ms * ENGINE_EXPIRE_ROWS_MS, expired, e);
}

bool engine_turn(struct engine *e, uint64_t lsn, uint64_t now_ms)
{
    CHECK(lsn >= e->lsn);
    e->lsn = lsn;
    if (now_ms > e->now_ms)
        e->now_ms = now_ms;
    bool more = table_step(e->table, ENGINE_STEP_ROWS);
    expire_turn(e);
    engine_drops_turn(e);
    engine_counts_turn(e);
    engine_scans_turn(e);
    engine_flushes_turn(e);
    more |= engine_installs_turn(e);
    return more || e->drop_walking || !list_empty(&e->scans_waiting);
}

/* --- pressure and statistics --- */

static unsigned per_mille(uint64_t bytes, uint64_t soft, uint64_t hard)
{
    if (bytes <= soft)
        return 0;
    if (bytes >= hard)
        return 1000;
    return 1 + (unsigned)((bytes - soft) * 998 / (hard - soft));
}

unsigned engine_pressure(const struct engine *e)
{
    uint64_t bytes = table_active_bytes(e->table) + e->frozen_bytes;
    if (e->tier == NULL) /* no way out of memory but deleting */
        return bytes >= e->options.table_bytes + e->options.cache_bytes ? 1000 : 0;
    uint64_t hard = e->options.table_bytes;
    return per_mille(bytes, hard / ENGINE_SOFT_DENOMINATOR * ENGINE_SOFT_NUMERATOR, hard);
}

void engine_stats(const struct engine *e, struct engine_stats *ret_stats)
{
    struct table_stats table;
    table_stats(e->table, &table);
    struct engine_stats stats = e->counted;
    stats.records = table.records;
    stats.table_bytes = table.active_bytes;
    stats.frozen_bytes = table.frozen_bytes;
    stats.cache_bytes = table.clean_bytes;
    stats.index_bytes = table.index_bytes;
    stats.ordered_bytes = table.ordered_bytes;
    stats.evictions = table.evictions;
    *ret_stats = stats;
}
