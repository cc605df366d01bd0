/* The engine: what one shard stores. Table, read cache and cold tier behind one interface, with two
 * faces: durable (over a tier) and memory only (tier == NULL).
 *
 * The engine is a core: one thread owns it, it has no clock, thread or socket; blocking work goes
 * to the work_queue it was given. The commit log is not in here: the shard appends to the log what
 * it puts here and tells the engine the log position at each turn's end, and the engine says up to
 * which position the log is no longer needed (engine_flushed_lsn).
 *
 * Invariants
 * - engine_get() never blocks and never returns a stale record: it is the newest put, or the tier's
 * row when no newer put exists, or ST_COLD when the tier must be asked first.
 * - What engine_get() returned stays valid until the next put to that key or the next
 * engine_turn(). Nothing is evicted between two engine_turn()s: keys made resident stay so for the
 * whole turn.
 * - A put to a key cancels the cache fill of every fetch of that key that was begun before it.
 * - A frozen generation leaves the table only after its bulk is visible in the tier.
 * - Records of an index <= engine_partition(p)->flushed_index are in the tier. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/work.h"
#include "store/key.h"
#include "store/record.h"
#include "store/tier.h"

struct engine;

struct engine_options {
    struct tier *tier; /* shared by all shards, outlives the engine; NULL: memory only */
    struct work_queue *work;
    uint16_t shard; /* owns partitions p with p % shards == shard */
    uint16_t shards;
    uint16_t partitions;
    uint64_t table_bytes; /* unflushed records: frozen at half of it, writers slowed towards all */
    uint64_t cache_bytes; /* clean records */
    uint64_t log_bytes;   /* freeze too when this much log was written since the last freeze */
    uint64_t ordered_idle_ms; /* an ordered index unused for so long is dropped */
    uint64_t hash_seed;
};

/* State of one partition, kept with the data and flushed with it. The shard advances index and
 * counter for each write it makes. */
struct engine_partition {
    uint64_t index; /* last position in the partition's history that was put */
    uint64_t actor; /* the dot's actor for the next write, and its last counter */
    uint64_t counter;
    uint64_t stamp; /* of a replicated partition: time of the last entry put; else 0 */
    uint64_t flushed_index;
    uint64_t last_write_turn; /* the shard's, for gating reads behind a sync; not stored */
    uint32_t generation;      /* of ownership: prefix of all its rows */
    /* Whether a row has expired is judged by this time, and not by the clock; 0: by the clock. Of
     * replicated partitions, where all replicas must come to the same. Not stored. */
    uint64_t judge_ms;
};

int engine_create(const struct engine_options *options, struct engine **ret_engine);
/* Drops everything in memory. No work may be under way: see engine_idle(). NULL is allowed. */
void engine_free(struct engine *e);

struct engine_partition *engine_partition(struct engine *e, uint16_t partition);

/* --- points --- */

/* Two rounds of prefetch for a batch of keys: first the index line, then the record's. */
void engine_prefetch(struct engine *e, uint64_t hash);
void engine_prefetch_record(struct engine *e, uint64_t hash);

/* ST_OK (also for tombstones and expired records: judge with record_live), ST_NOTFOUND (known to be
 * absent), ST_COLD (call engine_fetch and come again). Inline reads from the tier's cache happen
 * here. */
int engine_get(struct engine *e, const struct key *key, struct record *ret_record);

/* A waiter for keys to become resident. `done` runs on the owner's thread, never inside
 * engine_fetch; st is 0 or why the tier could not be read. Fetches of one key share one read. */
struct engine_wait {
    void (*done)(struct engine_wait *wait, int st);
    struct list_node link;
};
void engine_fetch(struct engine *e, const struct key *key, struct engine_wait *wait);
void engine_fetch_cancel(struct engine *e, struct engine_wait *wait);

/* The record under the key from now on; copied. Replay passes old operations too: those with an
 * index
 * <= flushed_index are skipped by the caller. */
void engine_put(struct engine *e, const struct key *key, const struct record *record);

/* All puts of the partition's history up to index were made: rows and index are flushed together.
 */
void engine_partition_moved(struct engine *e, uint16_t partition, uint64_t index, uint64_t stamp);

/* --- many --- */

struct engine_row {
    struct slice key;
    struct slice value;
    uint64_t expire_ms; /* 0: none */
};

/* A scan of live rows in order of key bytes: of one partition, or merged over all this shard's
 * partitions. It sees one point in time between engine_scan() and done: that of engine_scan(), or
 * of a later turn when an ordered index had to be built first. Asynchronous where the tier has
 * rows. */
struct engine_scan {
    /* set by the caller; slices are copied */
    uint32_t keyspace;
    int partition; /* or -1: all of the shard, merged by key */
    struct slice start, end;
    bool has_start, has_end, start_exclusive; /* [start, end); no bound where has_ is false */
    bool reverse, keys_only;
    uint64_t limit_rows;  /* > 0 */
    uint64_t limit_bytes; /* ST_LIMIT when the rows found need more; the first is always let in */
    uint64_t now_ms;
    void (*done)(struct engine_scan *scan, int st);
    /* results: valid until engine_scan_free */
    struct engine_row *rows;
    uint64_t row_count;
    bool more; /* stopped at limit_rows */
    void *impl;
};
void engine_scan(struct engine *e, struct engine_scan *scan); /* done may run before it returns */
void engine_scan_free(struct engine_scan *scan);              /* also cancels one under way */

/* Exact number of live keys. done may run before it returns; counting in the background where blind
 * writes over cold rows left the number unknown. */
struct engine_count {
    uint32_t keyspace;
    uint64_t now_ms;
    void (*done)(struct engine_count *count, int st);
    uint64_t keys, keys_expiring;
    void *impl;
};
void engine_count(struct engine *e, struct engine_count *count);
void engine_count_cancel(struct engine *e, struct engine_count *count); /* done will not run */
/* The same number when it is known without work, else ST_AGAIN. */
int engine_count_known(struct engine *e, uint32_t keyspace, uint64_t *ret_keys,
                       uint64_t *ret_expiring);
/* For INFO, where it is not known: an estimate, and a count in the background that mends it, unless
 * there was one lately. */
void engine_count_estimate(struct engine *e, uint32_t keyspace, uint64_t *ret_keys,
                           uint64_t *ret_expiring);
void engine_count_soon(struct engine *e, uint32_t keyspace);
void engine_counts_stop(struct engine *e); /* those under way end with ST_CLOSED */

/* A random live key's bytes (copied to *out). ST_NOTFOUND when there is none; ST_COLD: fetch
 * pending, use engine_scan from a random partition instead. */
int engine_random(struct engine *e, uint32_t keyspace, uint64_t random, uint64_t now_ms,
                  struct buffer *out);

/* The keyspace's incarnation is dropped: its records leave memory in steps and the tier in
 * background. */
void engine_drop_keyspace(struct engine *e, uint32_t keyspace);

/* --- time and flushing --- */

/* At each turn's end and at least every 100 ms: bounded steps of eviction, expiry, index building,
 * freezing. lsn: all puts so far are in the log below it. Returns true when it wants to be called
 * again soon. */
bool engine_turn(struct engine *e, uint64_t lsn, uint64_t now_ms);

/* Freezes what is unflushed now; done when it is in the tier. What failed for want of space is
 * tried again at once. */
void engine_flush(struct engine *e, uint64_t lsn);
bool engine_flushed(const struct engine *e); /* nothing unflushed */
bool engine_idle(const struct engine *e);    /* no background work under way */

uint64_t engine_flushed_lsn(
    const struct engine *e); /* the log below it is not needed by this shard */

/* How hard writers should be slowed: 0 not at all, 1..999 per mille of the way from the soft limit
 * to the hard one, 1000: no write may be executed now. */
unsigned engine_pressure(const struct engine *e);
int engine_flush_error(
    const struct engine *e); /* why the last flush failed (ST_NOSPACE ...), else 0 */
uint64_t engine_flush_failures(const struct engine *e); /* how many did */

struct engine_stats {
    uint64_t records, table_bytes, frozen_bytes, cache_bytes, index_bytes, ordered_bytes;
    uint64_t hits, misses, tier_reads_inline, tier_reads_background, evictions, fills_cancelled;
    uint64_t flushes, flushed_records, flushed_bytes, flush_us_total, expired;
};
void engine_stats(const struct engine *e, struct engine_stats *ret_stats);
