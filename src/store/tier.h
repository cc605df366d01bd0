/* The cold tier: a sorted, durable map of rows that the table is flushed into. A vtable with two
 * implementations: RocksDB (tier_rocks.c) and a model in memory (tests and the simulator), which
 * can crash between any two steps.
 *
 * Contract
 * - All calls block and may be made from any thread, except that one bulk is used by one thread.
 * - A bulk becomes visible and durable at once, wholly or not at all, when bulk_finish() returns 0;
 *   after a crash before that none of it is there. Rows are added in strictly ascending row-key
 * order. Rows of a later bulk override those of an earlier one.
 * - A snapshot sees exactly the bulks finished before it was taken.
 * - Rows whose record is expired (before the purge time) or of a dropped keyspace may vanish by
 *   themselves: the tier asks tier_policy.
 * - Errors: ST_NOSPACE (may be retried later), ST_IO, ST_CORRUPT. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

struct tier;
struct tier_snapshot;
struct tier_bulk;
struct tier_iter;

/* What compaction may forget. Called from any thread, at any time. */
struct tier_policy {
    void *ctx;
    bool (*keyspace_dropped)(void *ctx, uint32_t keyspace);
    /* Rows that expired before this may go; 0: none. Minutes behind the clock: a count of keys is
     * of a moment some time ago and must not miss what was live then. */
    uint64_t (*purge_before_ms)(void *ctx);
    bool (*purge_tombstones)(void *ctx); /* tombstones at the bottom level may go */
    /* Asked before a bulk or a drop becomes durable, on its thread, and blocks: the log that it was
     * made from is synced first, or a power cut could keep a later write and lose an earlier one.
     * NULL: no log. */
    int (*sync_log)(void *ctx);
    /* Told, from any thread, of each ST_CORRUPT and ST_IO that a call ends with, in the words of
     * the tier: they name the file. May be NULL. */
    void (*failed)(void *ctx, int st, const char *why);
};

enum tier_iter_flags {
    TIER_ITER_REVERSE = 1,
    TIER_ITER_ONCE = 2, /* a long pass: don't push other rows out of the cache for it */
};

struct tier_range {
    struct slice start, end;
};

struct tier_stats {
    uint64_t disk_bytes, cache_bytes, rows_estimate;
    uint64_t compaction_pending_bytes, level0_files;
    uint64_t background_errors; /* of compactions and the like, since it was opened */
};

struct tier_ops {
    /* Appends the row's value to *out. ST_NOTFOUND; with cached_only ST_AGAIN when it would read
     * from disk. */
    int (*get)(struct tier *t, struct slice row, bool cached_only, struct buffer *out);
    struct tier_snapshot *(*snapshot)(struct tier *t);
    void (*snapshot_release)(struct tier *t, struct tier_snapshot *s);
    /* Iterates [start, end) of a snapshot (NULL: now). end.len == 0: to the last row. */
    int (*iter)(struct tier *t, struct tier_snapshot *s, struct slice start, struct slice end,
                unsigned flags, struct tier_iter **ret_iter);
    /* ST_NOTFOUND at the end; slices are valid until the next call. */
    int (*iter_next)(struct tier_iter *it, struct slice *ret_row, struct slice *ret_value);
    /* Moves to the first row >= row (reverse: the last row < row). */
    int (*iter_seek)(struct tier_iter *it, struct slice row);
    void (*iter_close)(struct tier_iter *it);
    int (*bulk)(struct tier *t, struct tier_bulk **ret_bulk);
    int (*bulk_add)(struct tier_bulk *b, struct slice row, struct slice value);
    int (*bulk_finish)(struct tier_bulk *b); /* consumes the bulk, also on failure */
    void (*bulk_abort)(struct tier_bulk *b);
    /* A small row outside the sorted bulks (keyspace map ...), durable on return. */
    int (*put_meta)(struct tier *t, struct slice name, struct slice value);
    int (*get_meta)(struct tier *t, struct slice name, struct buffer *out);
    /* Deletes the rows of all the ranges [start, end), ascending and disjoint, at once or not at
     * all. Their space comes back in the background. */
    int (*drop_ranges)(struct tier *t, const struct tier_range *ranges, size_t count);
    /* Writes a consistent copy into directory `path` (hard links where possible). */
    int (*checkpoint)(struct tier *t, const char *path);
    bool (*empty)(struct tier *t); /* no row was ever put: a get can be answered without asking */
    void (*stats)(struct tier *t, struct tier_stats *ret_stats);
    /* No iterator, snapshot or bulk may be left. */
    void (*close)(struct tier *t);
};

struct tier {
    const struct tier_ops *ops;
};

struct tier_rocks_options {
    const char *path;     /* created when missing and `create` is set; its parent must exist */
    uint64_t cache_bytes; /* block cache */
    int background_threads;
    bool create;
    uint64_t keep_free_bytes; /* a bulk that leaves less on the disk fails: ST_NOSPACE */
    struct tier_policy policy;
};

/* On failure `error` says why, for a person. ST_NOTFOUND: nothing there and `create` not set;
 * ST_LOCKED, ST_CORRUPT, ST_IO. */
int tier_rocks_open(const struct tier_rocks_options *options, char *error, size_t error_bytes,
                    struct tier **ret_tier);
