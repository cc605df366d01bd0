/* Reading segment files forward: a bounded window for recovery, the search for marks, and what must
 * be written anew. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/log_private.h"

#define LOG_READ_BYTES (1u << 20)

void log_reader_open(struct log_reader *r, struct disk_file *file, uint64_t file_bytes)
{
    r->file = file;
    r->file_bytes = file_bytes;
    r->offset = 0;
    r->len = 0;
}

void log_reader_free(struct log_reader *r)
{
    free(r->data);
    *r = (struct log_reader){0};
}

int log_reader_get(struct log_reader *r, uint64_t offset, uint64_t len, const uint8_t **ret_data)
{
    if (offset > r->file_bytes || len > r->file_bytes - offset)
        return ST_NOTFOUND;
    if (offset < r->offset || offset + len > r->offset + r->len) {
        size_t want = len > LOG_READ_BYTES ? len : LOG_READ_BYTES;
        if (want > r->file_bytes - offset)
            want = r->file_bytes - offset;
        if (want > r->cap) {
            free(r->data);
            r->data = mem_alloc(want);
            r->cap = want;
        }
        r->len = 0;
        size_t done;
        int st = r->file->disk->ops->pread(r->file, r->data, want, offset, &done);
        if (st != 0)
            return st;
        r->offset = offset;
        r->len = done;
        if (done < len)
            return ST_NOTFOUND; /* the file got shorter */
    }
    *ret_data = r->data + (offset - r->offset);
    return 0;
}

int log_scan_marks(struct log_reader *r, uint64_t offset, uint64_t log_id,
                   void (*found)(void *ctx, uint64_t offset, const struct log_mark *mark),
                   void *ctx)
{
    const uint64_t step = LOG_READ_BYTES / 2;
    while (offset < r->file_bytes && r->file_bytes - offset >= LOG_MARK_BYTES) {
        /* Windows overlap by a mark, so that none is missed between them. */
        uint64_t len = r->file_bytes - offset;
        if (len > step + LOG_MARK_BYTES)
            len = step + LOG_MARK_BYTES;
        const uint8_t *data;
        int st = log_reader_get(r, offset, len, &data);
        if (st != 0)
            return st;
        for (uint64_t i = 0; i + LOG_MARK_BYTES <= len; i += 8) {
            struct log_mark mark;
            if (log_mark_get(data + i, log_id, &mark))
                found(ctx, offset + i, &mark);
        }
        if (len < step + LOG_MARK_BYTES)
            return 0;
        offset += step;
    }
    return 0;
}

/* Where the records end, by a look that replays nothing. */
static int file_extent(struct log_reader *r, const struct log_header *header, uint64_t log_id,
                       uint64_t *synced, uint64_t *ret_end)
{
    uint64_t key = log_epoch_key(log_id, header->epoch), offset = LOG_HEADER_BYTES;
    const uint8_t *data;
    struct log_mark mark;
    int st;
    while ((st = log_reader_get(r, offset, LOG_RECORD_HEADER_BYTES, &data)) == 0) {
        uint64_t lsn = header->base + offset - LOG_HEADER_BYTES, bytes = log_record_bytes(data);
        if (data[8] == 0 || bytes > LOG_RECORD_BYTES_MAX)
            break;
        st = log_reader_get(r, offset, bytes, &data);
        if (st != 0 || !log_record_valid(data, key, lsn))
            break;
        if (log_mark_get(data, log_id, &mark) && mark.synced > *synced)
            *synced = mark.synced;
        offset += bytes;
    }
    if (st != 0 && st != ST_NOTFOUND)
        return st;
    *ret_end = offset;
    return 0;
}

static int file_rewrite(struct log_reader *r, uint64_t at, uint64_t end)
{
    int st = 0;
    while (at < end && st == 0) {
        const uint8_t *data;
        uint64_t len = end - at < LOG_READ_BYTES ? end - at : LOG_READ_BYTES;
        st = log_reader_get(r, at, len, &data);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
        if (st == 0)
            st = r->file->disk->ops->pwritev(r->file, &iov, 1, at);
        at += len;
    }
    return st;
}

/* A sync alone does not do: when a process ended because its fdatasync failed, the records are in
 * the page cache only, on pages that the kernel takes for clean (Rebello et al., "Can Applications
 * Recover from fsync Failures?", 2020). So what is not known to be synced is written over itself
 * first. */
int log_file_harden(struct log_reader *r, const struct log_header *header, uint64_t log_id,
                    uint64_t *synced)
{
    if (header->base + log_capacity(r->file_bytes) > *synced) {
        uint64_t end;
        int st = file_extent(r, header, log_id, synced, &end);
        uint64_t from = *synced > header->base ? LOG_HEADER_BYTES + *synced - header->base : 0;
        if (st == 0)
            st = file_rewrite(r, from, end);
        if (st != 0)
            return st;
    }
    return r->file->disk->ops->sync(r->file);
}
