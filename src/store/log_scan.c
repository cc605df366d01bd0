/* Reading segment files forward: a bounded window for recovery, and the search for marks. */
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
