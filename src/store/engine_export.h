/* All rows of one partition as the tier has them at one moment, as a stream of bytes: what a
 * replica that is too far behind gets instead of log entries.
 *
 * The tier alone is enough: a partition's watermark row is in the same bulk as the rows it covers,
 * so any snapshot of the tier holds exactly the rows up to the watermark that it shows. What is
 * newer is in the log. No row in memory is pinned, however long the receiver takes.
 *
 * Stream (little endian), the same bytes for the same export:
 *
 *   u8 format 1 | u64 index | u64 actor | u64 counter | u64 stamp
 *   | rows, ascending by keyspace and key: u32 keyspace | u32 length | key | u32 length | record
 *   | u32 0xffffffff | u64 rows | u32 CRC-32C of all before it
 *
 * Tombstones are left out: below the receiver's rows is nothing that they would hide. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "store/engine.h"

struct engine_export;

#define EXPORT_FORMAT     1
#define EXPORT_HEAD_BYTES (1 + 4 * 8)
#define EXPORT_ROW_BYTES  (4 + 4 + 4) /* beside key and record */
#define EXPORT_TAIL_BYTES (4 + 8 + 4)
#define EXPORT_END        UINT32_MAX

struct engine_export_options {
    uint16_t partition;
    bool (*skip_keyspace)(uint32_t keyspace); /* NULL: none; any thread */
    bool lose_last;                           /* a flaw that tests plant */
    /* On the owner's thread, never from inside a call: what engine_export_read() asked for.
     * Borrowed until the next read. ST_NOTFOUND: the partition was never flushed. */
    void (*done)(struct engine_export *x, int st, struct slice data, bool last);
    void *ctx;
};

/* Takes the tier's snapshot now. Owned by the caller. */
struct engine_export *engine_export_create(struct engine *e,
                                           const struct engine_export_options *options);
/* The next `bytes` of the stream, fewer only at its end. One at a time. */
void engine_export_read(struct engine_export *x, uint32_t bytes);
bool engine_export_busy(const struct engine_export *x);
uint64_t engine_export_index(const struct engine_export *x);  /* after the first read */
uint64_t engine_export_offset(const struct engine_export *x); /* read so far */
void *engine_export_ctx(const struct engine_export *x);
void engine_export_free(struct engine_export *x); /* not while busy */

/* The stream of a partition without rows. */
void engine_export_empty(uint64_t index, struct buffer *out);
