/* A batch of log records in the making: what a shard fills during a turn and log_append() writes.
 *
 * Payloads are encoded in place; large values go by reference, and their owner keeps them until
 * the append has returned. Checksums are complete but for the position, which log_append() mixes
 * in. A zeroed struct is an empty batch. Plain fields so that it can be embedded; only the
 * functions touch them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

#define LOG_RECORD_HEADER_BYTES 32
#define LOG_REF_BYTES_MIN       (64u << 10) /* from here on a reference is cheaper than a copy */

enum log_record_type {
    LOG_SYNCED = 1,    /* batch header, the log's own: how far the log is known durable */
    LOG_CLOSE = 2,     /* clean end of a run, the log's own */
    LOG_WRITE = 3,     /* operations (store/record.h) */
    LOG_META = 4,      /* state of the node, opaque */
    LOG_ENTRY = 5,     /* Raft: an entry of a group */
    LOG_HARDSTATE = 6, /* Raft: term and vote of a group */
};

struct log_record { /* a decoded view; the payload is borrowed */
    uint64_t lsn;
    uint64_t index, term;
    uint32_t group;
    uint8_t type, flags;
    struct slice payload;
};

struct log_batch_entry {
    size_t offset;  /* of the record's header in `bytes` */
    uint64_t bytes; /* on disk, padding included */
    uint64_t lsn;   /* set by log_append */
};

struct log_batch_piece {
    size_t at; /* goes between bytes[at - 1] and bytes[at] */
    struct slice data;
};

struct log_batch {
    struct buffer bytes;
    struct log_batch_entry *entries;
    struct log_batch_piece *pieces;
    size_t entries_count, entries_cap;
    size_t pieces_count, pieces_cap;
    size_t open_pieces; /* pieces_count when the open record began */
    uint64_t total_bytes;
    bool open, appended;
};

/* Begins a record; its payload is then appended to the returned buffer (nothing else may be done
 * with it) or by reference, until log_batch_end(). */
struct buffer *log_batch_begin(struct log_batch *batch, uint8_t type, uint32_t group,
                               uint64_t index, uint64_t term);
void log_batch_ref(struct log_batch *batch, struct slice data);
/* ST_LIMIT: larger than LOG_RECORD_BYTES_MAX; the record is dropped, the batch is as before it. */
int log_batch_end(struct log_batch *batch);
void log_batch_cancel(struct log_batch *batch); /* drops the open record */

/* What an append of it takes from log_room(); 0 for an empty batch. */
uint64_t log_batch_bytes(const struct log_batch *batch);
uint64_t log_batch_lsn(const struct log_batch *batch, size_t n); /* after log_append */
/* What the header of record n says, without its payload; lsn 0 before log_append. */
struct log_record log_batch_record(const struct log_batch *batch, size_t n);
size_t log_batch_count(const struct log_batch *batch);
void log_batch_clear(struct log_batch *batch); /* keeps the memory */
void log_batch_free(struct log_batch *batch);
