/* The commit log of a node: one ordered history of records, shared by all shards.
 *
 * Segments are files of one directory, preallocated and recycled. A position (LSN) counts bytes and
 * only grows; a record never straddles two segments. Byte layouts: store/log_format.h. How damage
 * is judged: store/log_recover.c.
 *
 * Guarantees: what log_synced_lsn() has passed survives a power cut, in order, and is replayed by
 * every later log_open() until truncated; nothing is ever replayed that was not appended at that
 * very position in that very life of the log. What was appended but not synced may be replayed (a
 * prefix of it), and is durable once it was. Not guaranteed: that a batch is replayed as a whole;
 * the record is the atom.
 *
 * No locks, threads or clock inside: the caller serialises all calls on a struct log. The blocking
 * parts (log_sync_run, the log_spare_ functions without a log) touch no struct log and are meant
 * for other threads. Failures of the disk stick: the log is then broken and refuses everything.
 *
 * Room is known ahead: log_append() never creates a file. Somebody keeps spares ready
 * (log_needs_spare, log_spare_create, log_spare_add); who finds log_room() too small refuses the
 * write before executing it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/disk.h"
#include "store/log_batch.h"

#define LOG_RECORD_BYTES_MAX      (320u << 20) /* header, payload and padding */
#define LOG_SEGMENT_BYTES_MIN     (64u << 10)
#define LOG_SEGMENT_BYTES_DEFAULT (64u << 20)
#define LOG_BATCH_OVERHEAD_BYTES                                    \
    40 /* what log_append adds to a batch in each segment it enters \
        */
#define LOG_SYNC_FILES_MAX 8
#define LOG_LSN_FIRST      4096 /* no record is below it, so 0 can mean none */

struct log;
struct log_spare; /* an open segment file that is not part of the log (yet, or any more) */

struct log_options {
    uint64_t log_id;        /* random, of this data directory; others' segments are refused */
    uint64_t segment_bytes; /* file size; 0: default */
    unsigned spares_ready;  /* log_needs_spare() until so many; 0: 2 */
    unsigned recycled_max;  /* dead segments kept as spares; beyond that removed; 0: 4 */
    uint64_t start_max;     /* the log must begin at or below this position; 0: anywhere */
    uint64_t synced_min;    /* known from elsewhere: it was durable up to here */
    bool create;            /* no segments at all: begin a new log. Else that is ST_CORRUPT */
    bool cut_corrupt;       /* accept the loss: keep what precedes the damage, set the rest aside */
};

struct log_callbacks {
    /* Each record in order; the payload is borrowed. Non-zero ends log_open() with it. */
    int (*replay)(void *ctx, const struct log_record *record);
    void (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes); /* may be NULL */
    void *ctx;
};

struct log_recovery {            /* filled as far as log_open() got, on failure too */
    uint64_t start_lsn, end_lsn; /* of what was replayed */
    uint64_t records, segments;
    uint64_t torn_bytes; /* at least so many unsynced bytes were cut off */
    bool clean;          /* ended by log_close_mark() */
    bool torn, loss;     /* a torn tail was cut; damage was cut as cut_corrupt allows */
    bool gap;            /* it begins above start_max, as cut_corrupt allows */
    char file[32];       /* where the end or the damage is */
    uint64_t file_offset;
    char message[512]; /* for a person: what is wrong and what can be done, or "" */
};

int log_open(struct disk *disk, const struct log_options *options,
             const struct log_callbacks *callbacks, struct log_recovery *report,
             struct log **ret_log);
void log_free(struct log *log); /* closes files, writes nothing; NULL is allowed */

/* Writes the batch, one pwritev per segment it enters (nearly always one). ST_NOSPACE: nothing was
 * written, try again when there are spares. Otherwise, on failure the log is broken. Afterwards
 * log_batch_lsn() tells where each record is; the caller clears the batch. */
int log_append(struct log *log, struct log_batch *batch, uint64_t *ret_end_lsn);

/* So many bytes (log_batch_bytes, any number of batches) of records that are none larger than
 * record_bytes_max surely fit. */
uint64_t log_room(const struct log *log, uint64_t record_bytes_max);

int log_status(const struct log *log); /* 0, or why it is broken */
uint64_t log_start_lsn(const struct log *log);
uint64_t log_end_lsn(const struct log *log);
uint64_t log_synced_lsn(const struct log *log);

/* One sync at a time: begin (false: nothing to do), run without any lock, end. */
struct log_sync {
    uint64_t target_lsn;
    unsigned count;
    struct disk_file *files[LOG_SYNC_FILES_MAX];
};
bool log_sync_begin(struct log *log, struct log_sync *ret_sync);
int log_sync_run(const struct log_sync *sync);
int log_sync_end(struct log *log, const struct log_sync *sync, int status);

/* When idle: writes down how far the log is synced, if the file does not say so yet and there is
 * room for it. */
int log_mark(struct log *log);
/* The clean end of a run; to be synced like any write. Nothing may be appended after it. There is
 * always room for it. */
int log_close_mark(struct log *log);

/* Segments wholly below lsn and safely succeeded die. Then, in order and one at a time, each is
 * taken and, elsewhere, recycled (and added) or removed; a failure in that must break the log. */
void log_truncate(struct log *log, uint64_t lsn);
struct log_spare *log_take_dead(struct log *log, bool *ret_recycle); /* NULL: none */
void log_break(struct log *log, int status);

/* Reads the record at lsn back into a buffer that *ret_record's payload points into. */
int log_read(struct log *log, uint64_t lsn, struct buffer *scratch, struct log_record *ret_record);

/* Spares. An oversize one, for a record of `record_bytes` on disk, has
 * log_spare_bytes_for(record_bytes). */
bool log_needs_spare(const struct log *log);
uint64_t log_segment_bytes(const struct log *log);
uint64_t log_spare_bytes_for(uint64_t record_bytes);
int log_spare_create(struct disk *disk, uint64_t bytes, struct log_spare **ret_spare);
int log_spare_recycle(struct log_spare *spare); /* on success it is a spare again */
int log_spare_remove(struct log_spare *spare);  /* frees the handle in any case */
void log_spare_close(struct log_spare *spare);  /* frees the handle, leaves the file */
void log_spare_add(struct log *log, struct log_spare *spare);
