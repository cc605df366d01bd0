/* The flush core: carries one frozen generation of the table into the cold tier.
 *
 *   FROZEN ──> SORTED ──> BULK ──> VISIBLE ──> RELEASED
 *                ^          |
 *                └─ FAILED ─┘   (asked to try again)
 *
 * One bulk holds the generation's rows in row-key order and, in the same order, a watermark row for
 * each partition given: so the tier has either both or neither, and a replay of the log that skips
 * what the watermarks cover never misses and never doubles a write.
 *
 * Watermark row: key = row key of (partition, generation 0xffffffff, ROW_KEYSPACE_META, ""), the
 * last of the partition; value (little endian)
 *
 *   u8 format | u32 generation | u64 index | u64 actor | u64 counter | [u64 stamp if format 2]
 *
 * VISIBLE means the bulk is durable in the tier; only then may the table let go of the generation
 * (RELEASED), and only after that may the log be truncated below the generation's position. A
 * failed bulk left nothing; the same generation can be tried again any number of times, also when
 * the failure was reported after the bulk had become visible.
 *
 * Records expired at now_ms become tombstones; records of dropped keyspaces are left out. The core
 * knows neither table nor thread: flush_run() blocks and may run on any one thread while the source
 * stays as it is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/sm.h"
#include "store/key.h"
#include "store/record.h"
#include "store/tier.h"

/* The records of the generation: the newest of each key, sorted by (partition, keyspace, key) once
 * sort() has run. */
struct flush_source {
    void *ctx;
    void (*sort)(void *ctx);
    uint64_t (*count)(void *ctx);
    void (*row)(void *ctx, uint64_t i, struct key *ret_key, struct record *ret_record);
};

struct flush_watermark {
    uint16_t partition;
    uint32_t generation; /* of ownership: prefix of the partition's rows */
    uint64_t index;
    uint64_t actor;
    uint64_t counter;
    uint64_t stamp;    /* 0: none (format 1) */
    uint64_t judge_ms; /* of engine_partition; not stored */
    bool stale;        /* the partition was replaced since: neither it nor its rows are written */
};

struct flush_dropped { /* set of keyspace ids, ascending */
    uint32_t *ids;
    size_t count;
};

/* The soonest expiry among the rows written of a keyspace. */
struct flush_expiry {
    uint32_t keyspace;
    uint64_t expire_ms;
};

enum flush_state {
    FLUSH_FROZEN,
    FLUSH_SORTED,
    FLUSH_BULK,
    FLUSH_VISIBLE,
    FLUSH_RELEASED,
    FLUSH_FAILED,
};

struct flush {
    struct sm sm;
    struct tier *tier;
    struct flush_source source;
    struct flush_watermark *watermarks; /* owned; ascending partitions, every one with rows */
    size_t watermarks_count;
    struct flush_dropped dropped; /* ids are owned */
    uint64_t now_ms;

    int st; /* of the last run */
    uint64_t rows, bytes, tombstones;
    struct flush_expiry *expiries; /* owned */
    size_t expiries_count;
};

/* Takes over the array of watermarks (malloc'd or NULL). */
void flush_init(struct flush *f, struct tier *tier, const struct flush_source *source,
                struct flush_watermark *watermarks, size_t watermarks_count, uint64_t now_ms);
/* Before a run: the keyspaces to leave out. Takes over the ids (malloc'd or NULL). */
void flush_set_dropped(struct flush *f, struct flush_dropped dropped);
/* Sorts if need be, writes the bulk. 0: VISIBLE; else FAILED, and f->st says why. Blocks. */
int flush_run(struct flush *f);
void flush_retry(struct flush *f);    /* FAILED -> SORTED: flush_run() may be called again */
void flush_released(struct flush *f); /* VISIBLE -> RELEASED */
void flush_done(struct flush *f);     /* frees what it owns, in any state */

enum flush_state flush_state(const struct flush *f);

/* Not while a run is under way: what it holds of the partition is not written any more. */
void flush_forget_partition(struct flush *f, uint16_t partition);

void flush_watermark_row(struct buffer *out, uint16_t partition);
void flush_watermark_encode(struct buffer *out, const struct flush_watermark *w);
/* ST_CORRUPT, ST_VERSION. */
int flush_watermark_decode(struct slice value, uint16_t partition,
                           struct flush_watermark *ret_watermark);
/* The partition's watermark as the tier has it. ST_NOTFOUND: never flushed; ST_CORRUPT, ST_VERSION.
 */
int flush_watermark_read(struct tier *tier, uint16_t partition,
                         struct flush_watermark *ret_watermark);
