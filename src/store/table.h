/* The table: a shard's records in memory, unflushed ones and cached ones, found in one probe.
 *
 * Every record is in one of three kinds of memory, all of them arenas of chunks:
 *
 *   put ──> active ──table_freeze──> frozen ──table_frozen_release──> clean ──table_step──> gone
 *           (dirty)                 (being flushed)                  (cache, S3-FIFO) <──table_fill
 *
 * A put of a key that is frozen or clean appends to the active generation and hides the older one.
 * Tombstones are records. A clean "absent" marker says that the tier has no row for the key.
 *
 * Guarantees
 * - Operations on one key are O(1) without spikes: the index grows by two buckets an operation.
 * - Slices found stay valid until the next put, fill or remove of that key, or the next
 *   table_step(), table_expire() or table_walk(): only these move or free records of other keys.
 * - A frozen generation's records don't change: one other thread may sort and read them
 *   (table_frozen_sort, table_frozen_row) while the owner goes on.
 * Not guaranteed
 * - The cache may overshoot cache_bytes by what was filled and released since the last
 * table_step().
 *
 * One thread owns a table. It has no clock; memory-only stores never freeze and fill. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "store/key.h"
#include "store/record.h"

struct table;
struct table_frozen;

struct table_options {
    uint64_t cache_bytes; /* memory for clean records; 0 keeps none */
    uint64_t hash_seed;   /* that of key_hash() for the keys passed in */
};

struct table *table_create(const struct table_options *options);
void table_free(struct table *t); /* NULL is allowed */
void table_cache_resize(struct table *t, uint64_t cache_bytes);

/* --- points --- */

/* Two rounds over a batch of keys: first the index's lines, then the records'. */
void table_prefetch(const struct table *t, uint64_t hash);
void table_prefetch_record(const struct table *t, uint64_t hash);

/* ST_OK (tombstones and expired ones too), ST_NOTFOUND (known to be absent), ST_COLD (unknown: the
 * tier knows; in a memory-only store: absent). */
int table_find(struct table *t, const struct key *key, struct record *ret_record);

enum table_known {
    TABLE_UNKNOWN, /* the tier may hold it */
    TABLE_DEAD,    /* a tombstone, or known to be absent */
    TABLE_LIVE,    /* a value; it may be expired */
};

/* What the table held under a key before a change. */
struct table_before {
    enum table_known known;
    bool expiry_told;   /* table_expire() has reported this record already */
    uint64_t expire_ms; /* of a live one; 0: none */
};

/* Copies the record in; its slices may point at what table_find() returned. */
void table_put(struct table *t, const struct key *key, const struct record *record,
               struct table_before *ret_before);

/* Caches what the tier holds: a record, or NULL for nothing. Does nothing when the key is known. */
void table_fill(struct table *t, const struct key *key, const struct record *record);

/* Forgets the key whatever it is; a frozen record is still flushed. */
void table_remove(struct table *t, const struct key *key, struct table_before *ret_before);

/* --- generations --- */

/* The active generation becomes frozen, O(1). NULL when there is nothing in it. */
struct table_frozen *table_freeze(struct table *t);

/* On any one thread, while the owner goes on: sorts by (partition, keyspace, key). */
void table_frozen_sort(struct table_frozen *f);
uint64_t table_frozen_count(const struct table_frozen *f); /* after sorting */
void table_frozen_row(const struct table_frozen *f, uint64_t i, struct key *ret_key,
                      struct record *ret_record); /* key.hash is not set */

/* Its flush is visible in the tier: records still current become clean. The oldest first; `f` is
 * gone. The work is done in steps. */
void table_frozen_release(struct table *t, struct table_frozen *f);

/* --- upkeep --- */

/* Bounded work: eviction, compaction of garbage, releases. `rows`: how many records may be looked
 * at, more when the last calls made more work than that. True when there is more to do. */
bool table_step(struct table *t, unsigned rows);

/* While pinned, memory of records isn't reused or freed and nothing is overwritten in place: slices
 * found keep their bytes. Costs memory while it lasts. */
void table_pin(struct table *t);
void table_unpin(struct table *t);

enum table_verdict {
    TABLE_KEEP,
    TABLE_FORGET, /* as table_remove() */
    TABLE_STRIP,  /* keep it without its value (active and clean records; else as TABLE_KEEP) */
};
/* Must not call the table. */
typedef enum table_verdict table_judge(void *ctx, const struct key *key,
                                       const struct record *record, bool clean);

/* Reports records that expired, each once, some time after they did: the more are to come in the
 * same megabyte, the later. Looks at about `rows` records. */
void table_expire(struct table *t, uint64_t now_ms, unsigned rows, table_judge *judge, void *ctx);

/* Shows all records (no absent markers) a few at a time; *cursor starts at 0. What is there from
 * begin to end is shown at least once. False at the end. */
bool table_walk(struct table *t, uint64_t *cursor, unsigned rows, table_judge *judge, void *ctx);

/* Forgets all of a partition, absent markers too, a few at a time as table_walk() does. */
bool table_forget_partition(struct table *t, uint64_t *cursor, unsigned rows, uint16_t partition);

/* A random record, no tombstone, that accept() takes. ST_AGAIN when a bounded search found none. */
typedef bool table_accept(void *ctx, const struct key *key, const struct record *record);
int table_random(struct table *t, uint64_t random, table_accept *accept, void *ctx,
                 struct key *ret_key);

/* --- in order --- */

/* Asks for an ordered index over active and frozen records; table_ordered_step() builds it until it
 * returns true, then it is kept up. Dropped with table_ordered_drop(). */
void table_ordered_want(struct table *t);
bool table_ordered_step(struct table *t, unsigned rows);
bool table_ordered_ready(const struct table *t);
void table_ordered_drop(struct table *t);

/* Unflushed records (tombstones too, the newest of each key) of one partition and keyspace in order
 * of key bytes. The table may change between two calls: the scan goes on behind the last key. Needs
 * table_ordered_ready() at each call. */
struct table_scan {
    struct table *table;
    uint16_t partition;
    uint32_t keyspace;
    bool reverse;
    bool behind;   /* `at` is the last key returned, not where to start */
    bool from_end; /* reverse, and nothing was returned yet */
    struct buffer at;
    void *cursors; /* positions, while nothing changed */
};
/* Forward: from the first key >= start (NULL: the first). Reverse: from the last key < start (NULL:
 * the last). */
void table_scan_init(struct table_scan *s, struct table *t, uint16_t partition, uint32_t keyspace,
                     const struct slice *start, bool reverse);
int table_scan_next(struct table_scan *s, struct key *ret_key, struct record *ret_record);
void table_scan_done(struct table_scan *s);

struct table_stats {
    uint64_t records;                                 /* in the index, absent markers too */
    uint64_t active_bytes, frozen_bytes, clean_bytes; /* memory of their chunks */
    uint64_t active_dead_bytes;                       /* garbage among the active */
    uint64_t index_bytes, ordered_bytes, spare_bytes; /* spare: chunks kept for reuse */
    uint64_t hits, misses, evictions, promotions, ghost_hits;
    uint64_t moved_rows;        /* by compaction and promotion */
    uint64_t split_buckets_max; /* most buckets split in one operation */
};
void table_stats(const struct table *t, struct table_stats *ret_stats);
uint64_t table_active_bytes(const struct table *t); /* what the next freeze would flush */
