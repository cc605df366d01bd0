#include "store/log.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/log_private.h"

void log_free(struct log *log)
{
    if (log == NULL)
        return;
    for (size_t i = 0; i < log->segments_count; i++)
        log->disk->ops->close(log->segments[i].file);
    for (size_t i = 0; i < log->spares_count; i++)
        log_spare_close(log->spares[i]);
    for (size_t i = 0; i < log->dead_count; i++)
        log_spare_close(log->dead[i]);
    free(log->segments);
    free(log->dead);
    free(log->iov);
    free(log->page);
    free(log);
}

int log_status(const struct log *log)
{
    return log->status;
}

uint64_t log_start_lsn(const struct log *log)
{
    return log->segments[0].base;
}

uint64_t log_end_lsn(const struct log *log)
{
    return log_current(log)->end;
}

uint64_t log_synced_lsn(const struct log *log)
{
    return log->synced;
}

void log_break(struct log *log, int status)
{
    CHECK(status != 0);
    if (log->status == 0)
        log->status = status;
}

struct log_segment *log_segment_push(struct log *log)
{
    if (log->segments_count == log->segments_cap) {
        log->segments_cap = log->segments_cap == 0 ? 16 : log->segments_cap * 2;
        log->segments = mem_realloc(log->segments, log->segments_cap * sizeof(struct log_segment));
    }
    struct log_segment *s = &log->segments[log->segments_count++];
    *s = (struct log_segment){0};
    return s;
}

void log_segment_header(const struct log *log, const struct log_segment *s, uint64_t synced,
                        uint8_t *page)
{
    memset(page, 0, LOG_HEADER_BYTES);
    log_header_put(page, &(struct log_header){
                             .version = LOG_VERSION,
                             .state = LOG_SEGMENT_LIVE,
                             .epoch = s->epoch,
                             .log_id = log->options.log_id,
                             .seq = s->seq,
                             .base = s->base,
                             .prev_end = s->prev_end,
                             .synced = synced,
                         });
}

/* Bytes for records in what is left of the current segment, their mark and the place that is kept
 * for a closing mark taken off. */
static uint64_t log_remainder(const struct log *log)
{
    const struct log_segment *s = log_current(log);
    uint64_t left = s->file_bytes - log_segment_offset(s, s->end);
    return left < LOG_MARKS_KEPT_BYTES ? 0 : left - LOG_MARKS_KEPT_BYTES;
}

static uint64_t log_spare_room(const struct log_spare *spare)
{
    return log_capacity(spare->bytes) - LOG_MARKS_KEPT_BYTES;
}

/* The first spare not in `used` that takes a record of so many bytes, or LOG_SPARES_MAX. */
static size_t log_spare_find(const struct log *log, uint64_t used, uint64_t record_bytes)
{
    for (size_t i = 0; i < log->spares_count; i++) {
        if (!(used >> i & 1) && log_spare_room(log->spares[i]) >= record_bytes)
            return i;
    }
    return LOG_SPARES_MAX;
}

/* Does what log_append() will do, on paper. */
static bool log_fits(const struct log *log, const struct log_batch *batch)
{
    uint64_t room = log_remainder(log);
    if (likely(batch->total_bytes <= room))
        return true;
    uint64_t used = 0;
    for (size_t i = 0; i < batch->entries_count; i++) {
        uint64_t bytes = batch->entries[i].bytes;
        if (bytes > room) {
            size_t spare = log_spare_find(log, used, bytes);
            if (spare == LOG_SPARES_MAX)
                return false;
            used |= (uint64_t)1 << spare;
            room = log_spare_room(log->spares[spare]);
        }
        room -= bytes;
    }
    return true;
}

uint64_t log_room(const struct log *log, uint64_t record_bytes_max)
{
    if (log->status != 0)
        return 0;
    /* Every segment but the last one used may be left with almost one record's room unused. */
    uint64_t waste = log_align(record_bytes_max) + LOG_MARK_BYTES;
    uint64_t room = 0, last = 0;
    for (size_t i = 0; i <= log->spares_count; i++) {
        uint64_t each = i == 0 ? log_remainder(log) : log_spare_room(log->spares[i - 1]);
        if (i > 0 && each < log_align(record_bytes_max))
            continue; /* passed over by some records */
        room += last > waste ? last - waste : 0;
        last = each;
    }
    return room + last;
}

/* Makes the spare the current segment. Its header is written with its first records. */
static void log_roll(struct log *log, size_t spare_index)
{
    struct log_spare *spare = log->spares[spare_index];
    memmove(&log->spares[spare_index], &log->spares[spare_index + 1],
            (log->spares_count - spare_index - 1) * sizeof(log->spares[0]));
    log->spares_count--;
    uint64_t end = log_end_lsn(log), seq = log_current(log)->seq + 1;
    struct log_segment *s = log_segment_push(log);
    s->file = spare->file;
    memcpy(s->name, spare->name, sizeof(s->name));
    s->seq = seq;
    s->base = s->prev_end = s->end = end;
    s->file_bytes = spare->bytes;
    s->epoch = log->epoch;
    free(spare);
}

static void log_iov_add(struct log *log, size_t *count, const void *data, size_t len)
{
    if (len == 0)
        return;
    if (*count == log->iov_cap) {
        log->iov_cap = log->iov_cap == 0 ? 16 : log->iov_cap * 2;
        log->iov = mem_realloc(log->iov, log->iov_cap * sizeof(*log->iov));
    }
    log->iov[(*count)++] = (struct iovec){.iov_base = (void *)data, .iov_len = len};
}

/* Writes a mark and, after it, `bytes` bytes of records that are in log->iov from [2] on. */
static int log_write(struct log *log, size_t iov_count, uint8_t mark_type, uint64_t bytes)
{
    struct log_segment *s = log_current(log);
    uint8_t mark[LOG_MARK_BYTES];
    log_mark_put(mark, log->epoch_key,
                 &(struct log_mark){.type = mark_type,
                                    .epoch = log->epoch,
                                    .lsn = s->end,
                                    .synced = log->synced,
                                    .bytes = bytes});
    log->iov[1] = (struct iovec){.iov_base = mark, .iov_len = sizeof(mark)};
    struct iovec *iov = log->iov + 1;
    uint64_t offset = log_segment_offset(s, s->end);
    iov_count--;
    if (!s->header_written) {
        log_segment_header(log, s, log->synced, log->page);
        log->iov[0] = (struct iovec){.iov_base = log->page, .iov_len = LOG_HEADER_BYTES};
        iov--;
        iov_count++;
        offset -= LOG_HEADER_BYTES;
    }
    CHECK(log_segment_offset(s, s->end) + sizeof(mark) + bytes <= s->file_bytes);
    int st = log->disk->ops->pwritev(s->file, iov, (int)iov_count, offset);
    if (st != 0) {
        log_break(log, st == ST_NOSPACE ? ST_IO : st); /* reserved space failed: not retried */
        return log->status;
    }
    s->header_written = true;
    s->end += sizeof(mark) + bytes;
    log->claimed = log->synced;
    return 0;
}

/* Writes as many of the entries from *at on as fit the current segment. */
static int log_append_piece(struct log *log, struct log_batch *batch, size_t *at, size_t *piece)
{
    uint64_t room = log_remainder(log), bytes = 0;
    uint64_t lsn = log_end_lsn(log) + LOG_MARK_BYTES;
    size_t first = *at, last = first;
    for (; last < batch->entries_count && bytes + batch->entries[last].bytes <= room; last++) {
        struct log_batch_entry *e = &batch->entries[last];
        uint8_t *header = batch->bytes.data + e->offset;
        e->lsn = lsn + bytes;
        bytes_put_u32(header, bytes_get_u32(header) ^ log_seed(log->epoch_key, e->lsn));
        bytes += e->bytes;
    }
    if (last == first) {
        size_t spare = log_spare_find(log, 0, batch->entries[first].bytes);
        CHECK(spare != LOG_SPARES_MAX); /* log_fits() said so */
        log_roll(log, spare);
        return 0;
    }
    size_t from = batch->entries[first].offset, count = 0;
    size_t to = last == batch->entries_count ? batch->bytes.len : batch->entries[last].offset;
    log_iov_add(log, &count, log->page, 1); /* two places that log_write() fills */
    log_iov_add(log, &count, log->page, 1);
    for (; *piece < batch->pieces_count && batch->pieces[*piece].at <= to; (*piece)++) {
        const struct log_batch_piece *p = &batch->pieces[*piece];
        log_iov_add(log, &count, batch->bytes.data + from, p->at - from);
        log_iov_add(log, &count, p->data.data, p->data.len);
        from = p->at;
    }
    log_iov_add(log, &count, batch->bytes.data + from, to - from);
    *at = last;
    return log_write(log, count, LOG_SYNCED, bytes);
}

int log_append(struct log *log, struct log_batch *batch, uint64_t *ret_end_lsn)
{
    CHECK(!batch->open);
    CHECK(!batch->appended);
    CHECK(!log->closed);
    if (log->status != 0)
        return log->status;
    if (!log_fits(log, batch))
        return ST_NOSPACE;
    size_t at = 0, piece = 0;
    while (at < batch->entries_count) {
        int st = log_append_piece(log, batch, &at, &piece);
        if (st != 0)
            return st;
        log->data_end = log_end_lsn(log);
    }
    batch->appended = true;
    *ret_end_lsn = log_end_lsn(log);
    return 0;
}

static int log_append_mark(struct log *log, uint8_t type)
{
    size_t count = 0;
    log_iov_add(log, &count, log->page, 1);
    log_iov_add(log, &count, log->page, 1);
    return log_write(log, count, type, 0);
}

int log_mark(struct log *log)
{
    if (log->status != 0)
        return log->status;
    const struct log_segment *s = log_current(log);
    if (log->claimed >= log->data_end || log->synced <= log->claimed || log->closed)
        return 0;
    if (s->file_bytes - log_segment_offset(s, s->end) < LOG_MARKS_KEPT_BYTES)
        return 0; /* the next segment's header will tell */
    return log_append_mark(log, LOG_SYNCED);
}

int log_close_mark(struct log *log)
{
    CHECK(!log->closed);
    if (log->status != 0)
        return log->status;
    int st = log_append_mark(log, LOG_CLOSE);
    log->closed = st == 0;
    return st;
}

bool log_sync_begin(struct log *log, struct log_sync *ret_sync)
{
    CHECK(!log->sync_active);
    if (log->status != 0)
        return false;
    *ret_sync = (struct log_sync){0};
    for (size_t i = 0; i < log->segments_count && ret_sync->count < LOG_SYNC_FILES_MAX; i++) {
        const struct log_segment *s = &log->segments[i];
        if (!s->header_written || (s->end <= log->synced && s->header_synced))
            continue;
        ret_sync->files[ret_sync->count++] = s->file;
        ret_sync->target_lsn = s->end;
    }
    log->sync_active = ret_sync->count > 0;
    return log->sync_active;
}

int log_sync_run(const struct log_sync *sync)
{
    for (unsigned i = 0; i < sync->count; i++) {
        int st = sync->files[i]->disk->ops->sync(sync->files[i]);
        if (st != 0)
            return st;
    }
    return 0;
}

int log_sync_end(struct log *log, const struct log_sync *sync, int status)
{
    CHECK(log->sync_active);
    log->sync_active = false;
    if (status != 0) {
        log_break(log, status);
        return log->status;
    }
    CHECK(sync->target_lsn >= log->synced);
    CHECK(sync->target_lsn <= log_end_lsn(log));
    for (size_t i = 0; i < log->segments_count; i++) {
        struct log_segment *s = &log->segments[i];
        for (unsigned k = 0; k < sync->count; k++)
            s->header_synced |= sync->files[k] == s->file;
    }
    if (log->status == 0)
        log->synced = sync->target_lsn;
    return log->status;
}

void log_truncate(struct log *log, uint64_t lsn)
{
    size_t dead = 0;
    /* The successor's header must be durable, else the log could lose its last live segment. */
    while (dead + 1 < log->segments_count && log->segments[dead + 1].prev_end <= lsn &&
           log->segments[dead + 1].prev_end <= log->synced &&
           log->segments[dead + 1].header_synced) {
        const struct log_segment *s = &log->segments[dead++];
        if (log->dead_count == log->dead_cap) {
            log->dead_cap = log->dead_cap == 0 ? 16 : log->dead_cap * 2;
            log->dead = mem_realloc(log->dead, log->dead_cap * sizeof(*log->dead));
        }
        log->dead[log->dead_count++] = log_spare_make(log->disk, s->file, s->name, s->file_bytes);
    }
    log->segments_count -= dead;
    memmove(log->segments, log->segments + dead, log->segments_count * sizeof(*log->segments));
}

struct log_spare *log_take_dead(struct log *log, bool *ret_recycle)
{
    if (log->dead_count == 0 || log->status != 0)
        return NULL;
    struct log_spare *spare = log->dead[0];
    memmove(log->dead, log->dead + 1, --log->dead_count * sizeof(*log->dead));
    *ret_recycle =
        spare->bytes == log->options.segment_bytes && log->spares_count < log->options.recycled_max;
    return spare;
}

bool log_needs_spare(const struct log *log)
{
    unsigned ready = 0;
    for (size_t i = 0; i < log->spares_count; i++)
        ready += log->spares[i]->bytes == log->options.segment_bytes;
    return ready < log->options.spares_ready && log->spares_count < LOG_SPARES_MAX;
}

uint64_t log_segment_bytes(const struct log *log)
{
    return log->options.segment_bytes;
}

void log_spare_add(struct log *log, struct log_spare *spare)
{
    CHECK(log->spares_count < LOG_SPARES_MAX);
    CHECK(log_capacity(spare->bytes) > LOG_MARKS_KEPT_BYTES);
    log->spares[log->spares_count++] = spare;
}

static const struct log_segment *log_segment_of(const struct log *log, uint64_t lsn)
{
    size_t low = 0, high = log->segments_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->segments[middle].base <= lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && lsn < log->segments[low - 1].end ? &log->segments[low - 1] : NULL;
}

int log_read(struct log *log, uint64_t lsn, struct buffer *scratch, struct log_record *ret_record)
{
    const struct log_segment *s = log_segment_of(log, lsn);
    if (s == NULL || lsn % 8 != 0 || s->end - lsn < LOG_RECORD_HEADER_BYTES)
        return ST_RANGE;
    buffer_clear(scratch);
    uint64_t offset = log_segment_offset(s, lsn);
    size_t len = LOG_RECORD_HEADER_BYTES, done;
    uint8_t *data = buffer_reserve(scratch, len);
    int st = log->disk->ops->pread(s->file, data, len, offset, &done);
    if (st != 0)
        return st;
    uint64_t bytes = log_record_bytes(data);
    if (done < len || bytes > s->end - lsn || bytes > LOG_RECORD_BYTES_MAX)
        return ST_CORRUPT;
    data = buffer_reserve(scratch, bytes);
    st = log->disk->ops->pread(s->file, data, bytes, offset, &done);
    if (st != 0)
        return st;
    if (done < bytes || !log_record_valid(data, log_epoch_key(log->options.log_id, s->epoch), lsn))
        return ST_CORRUPT;
    scratch->len = bytes;
    *ret_record = log_record_view(data, lsn);
    return 0;
}
