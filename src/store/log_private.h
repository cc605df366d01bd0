/* The inside of struct log, for src/store/log*.c only.
 *
 * Invariants: segments are ordered, each begins where the one before ends (or jumps ahead after an
 * accepted loss), and the last one takes the appends; there is always one. synced <= end. Segment
 * files in `segments` are open; a dead one waits in `dead`, oldest first, until taken. */
#pragma once

#include "store/log.h"
#include "store/log_format.h"

#define LOG_SPARES_MAX 64

struct log_segment {
    struct disk_file *file;
    char name[LOG_NAME_BYTES];
    uint64_t seq, base, prev_end;
    uint64_t end;        /* position after its last record */
    uint64_t file_bytes; /* no record goes beyond */
    uint32_t epoch;
    bool header_written; /* else it goes out with the first records */
    bool header_synced;
};

struct log_spare {
    struct disk *disk;
    struct disk_file *file;
    char name[LOG_NAME_BYTES];
    uint64_t bytes;
};

struct log {
    struct disk *disk;
    struct log_options options;
    struct log_segment *segments;
    size_t segments_count, segments_cap;
    struct log_spare *spares[LOG_SPARES_MAX];
    size_t spares_count;
    struct log_spare **dead;
    size_t dead_count, dead_cap;
    uint64_t synced;
    uint64_t claimed;  /* highest synced position that a mark or header in the file tells of */
    uint64_t data_end; /* position after the last record that is not a mark */
    uint64_t epoch_key;
    uint32_t epoch;
    int status;
    bool closed, sync_active;
    struct iovec *iov;
    size_t iov_cap;
    uint8_t *page; /* LOG_HEADER_BYTES, for a header being written */
};

static inline uint64_t log_capacity(uint64_t file_bytes)
{
    return file_bytes < LOG_HEADER_BYTES ? 0 : file_bytes - LOG_HEADER_BYTES;
}

static inline uint64_t log_segment_offset(const struct log_segment *s, uint64_t lsn)
{
    return LOG_HEADER_BYTES + lsn - s->base;
}

static inline struct log_segment *log_current(const struct log *log)
{
    return &log->segments[log->segments_count - 1];
}

struct log_segment *log_segment_push(struct log *log);
void log_segment_header(const struct log *log, const struct log_segment *s, uint64_t synced,
                        uint8_t *page);
bool log_name_parse(const char *name, uint64_t *ret_id); /* `<16 hex digits>.` and anything */
struct log_spare *log_spare_make(struct disk *disk, struct disk_file *file, const char *name,
                                 uint64_t bytes); /* takes the file */

/* Streams a file forward through one buffer. */
struct log_reader {
    struct disk_file *file;
    uint64_t file_bytes;
    uint64_t offset; /* of data[0] */
    uint8_t *data;
    size_t len, cap;
};

void log_reader_open(struct log_reader *r, struct disk_file *file, uint64_t file_bytes);
/* `len` bytes at `offset`, valid until the next call. ST_NOTFOUND: the file ends before. */
int log_reader_get(struct log_reader *r, uint64_t offset, uint64_t len, const uint8_t **ret_data);
void log_reader_free(struct log_reader *r);

/* Looks for marks at every multiple of 8 from `offset` on. */
int log_scan_marks(struct log_reader *r, uint64_t offset, uint64_t log_id,
                   void (*found)(void *ctx, uint64_t offset, const struct log_mark *mark),
                   void *ctx);

/* Makes the records of a live segment's file durable, whatever the page cache thinks of them.
 * *synced: how far the log is known synced, by its header at least; raised by the marks in it. */
int log_file_harden(struct log_reader *r, const struct log_header *header, uint64_t log_id,
                    uint64_t *synced);
