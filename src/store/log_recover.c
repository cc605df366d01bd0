/* Opening a commit log: what is replayed, and how damage is judged.
 *
 * The segments that say they are live are ordered by their sequence and read as one chain, from the
 * oldest: each ends where the next one says the previous ended, the last at its first invalid
 * record. The chain ends at position X. Then everything that could hold a later part of the log
 * is searched for the highest position S that any header or mark claims to be synced, or the
 * caller knows to be (synced_min).
 *
 *   S <= X  A torn tail at most: what follows X was never known durable, so nobody was promised
 *           it. It is cut.
 *   S >  X  Corruption: something durable is unreadable. ST_CORRUPT, and nothing is changed,
 *           unless cut_corrupt accepts the loss; then what follows X is set aside as *.damaged.
 *
 * A log whose oldest segment begins above start_max lacks what stood before it: corruption too, and
 * with cut_corrupt what is left is replayed all the same.
 *
 * A header page that is neither valid nor blank can't come from a crash (headers are rewritten
 * within one sector), so it is corruption too.
 *
 * What is there is made durable before it is replayed. The order of the steps that change files
 * makes a crash in between harmless: (1) segments after the cut stop being live, (2) the cut
 * segment is truncated to X, (3) it is synced, (4) a new segment begins at X with the next epoch,
 * and is synced before anything is appended. Until (4) is durable, opening again judges the same: X
 * and S are the same. From (4) on, the cut is part of the chain. Since each open begins a new
 * epoch, leftovers beyond X never parse. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "store/log_private.h"

#define LOG_SPARES_READY_DEFAULT 2
#define LOG_RECYCLED_MAX_DEFAULT 4
#define LOG_FIRST_BYTES_MIN      (2 * LOG_HEADER_BYTES) /* of a new segment on a nearly full disk */
#define LOG_COPY_BYTES           (1u << 20)

enum file_kind {
    FILE_LIVE,
    FILE_SPARE,
    FILE_BLANK, /* its creation did not finish */
    FILE_BAD,   /* header damaged */
};

struct found_file {
    struct disk_file *file; /* NULL once given away */
    char name[LOG_NAME_BYTES];
    uint64_t bytes;
    enum file_kind kind;
    struct log_header header; /* FILE_LIVE */
};

struct recovery {
    struct disk *disk;
    const struct log_options *options;
    const struct log_callbacks *callbacks;
    struct log_recovery *report;
    struct log *log;          /* being built; its segments are the chain */
    struct found_file *files; /* live ones first, by sequence */
    size_t files_count, files_cap, live_count;
    size_t chain_count; /* of the live files, those in the chain */
    struct log_reader reader;
    uint64_t synced;    /* S */
    uint64_t batch_end; /* the last mark says its batch ends here */
    uint64_t seen_end;  /* no mark that was found anywhere tells of records beyond this */
    uint32_t seen_epoch;
    uint64_t next_base; /* where and in which epoch the log goes on */
    uint32_t next_epoch;
    uint64_t done_bytes, total_bytes;
};

__attribute__((format(printf, 3, 4))) static int recovery_fail(struct recovery *r, int st,
                                                               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->report->message, sizeof(r->report->message), format, args);
    va_end(args);
    return st;
}

static void recovery_place(struct recovery *r, const char *name, uint64_t offset)
{
    snprintf(r->report->file, sizeof(r->report->file), "%s", name);
    r->report->file_offset = offset;
}

#define LOG_WHAT_CAN_BE_DONE                                                                     \
    "Restore the data directory from a snapshot, or start once with accept-corrupt-log to keep " \
    "only what precedes the damage"

/* ---- which files there are ---- */

static void recovery_listed(void *ctx, const char *name)
{
    struct recovery *r = ctx;
    uint64_t id;
    if (!log_name_parse(name, &id) || strcmp(name + 16, ".seg") != 0)
        return;
    if (r->files_count == r->files_cap) {
        r->files_cap = r->files_cap == 0 ? 16 : r->files_cap * 2;
        r->files = mem_realloc(r->files, r->files_cap * sizeof(*r->files));
    }
    struct found_file *f = &r->files[r->files_count++];
    *f = (struct found_file){0};
    snprintf(f->name, sizeof(f->name), "%s", name);
}

static bool recovery_page_blank(const uint8_t *page, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (page[i] != 0)
            return false;
    }
    return true;
}

/* Opens one file and finds out what it is. */
static int recovery_classify(struct recovery *r, struct found_file *f)
{
    uint8_t page[LOG_HEADER_BYTES];
    size_t done = 0;
    int st = r->disk->ops->open(r->disk, f->name, DISK_WRITE, &f->file);
    if (st == 0)
        st = r->disk->ops->size(f->file, &f->bytes);
    if (st == 0)
        st = r->disk->ops->pread(f->file, page, sizeof(page), 0, &done);
    if (st != 0)
        return recovery_fail(r, st, "log file %s can't be read: %s", f->name, status_text(st));
    f->kind = FILE_BAD;
    if (recovery_page_blank(page, done)) {
        f->kind = FILE_BLANK;
        return 0;
    }
    if (done < sizeof(page) || !log_header_get(page, &f->header))
        return 0;
    if (f->header.version != LOG_VERSION)
        return recovery_fail(r, ST_VERSION,
                             "log file %s has format version %u, this program knows %u: it was "
                             "written by a newer one",
                             f->name, f->header.version, LOG_VERSION);
    if (f->header.state == LOG_SEGMENT_SPARE) {
        f->kind = FILE_SPARE;
        return 0;
    }
    if (f->header.state != LOG_SEGMENT_LIVE)
        return 0;
    if (f->header.log_id != r->options->log_id)
        return recovery_fail(r, ST_INVALID,
                             "log file %s belongs to another data directory (log %016llx, here "
                             "%016llx)",
                             f->name, (unsigned long long)f->header.log_id,
                             (unsigned long long)r->options->log_id);
    if (!log_header_sane(&f->header))
        return 0;
    f->kind = FILE_LIVE;
    return 0;
}

static int recovery_order(const void *a, const void *b)
{
    const struct found_file *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->kind == FILE_LIVE && x->header.seq != y->header.seq)
        return x->header.seq < y->header.seq ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int recovery_find_files(struct recovery *r)
{
    int st = r->disk->ops->list(r->disk, recovery_listed, r);
    if (st != 0)
        return recovery_fail(r, st, "the log directory can't be listed: %s", status_text(st));
    for (size_t i = 0; i < r->files_count; i++) {
        st = recovery_classify(r, &r->files[i]);
        if (st != 0)
            return st;
    }
    if (r->files_count > 0)
        qsort(r->files, r->files_count, sizeof(*r->files), recovery_order);
    for (size_t i = 0; i < r->files_count; i++) {
        const struct found_file *f = &r->files[i];
        if (f->kind == FILE_BAD && !r->options->cut_corrupt) {
            recovery_place(r, f->name, 0);
            return recovery_fail(r, ST_CORRUPT,
                                 "log file %s is damaged at offset 0 (its header). %s", f->name,
                                 LOG_WHAT_CAN_BE_DONE);
        }
        if (f->kind != FILE_LIVE)
            continue;
        r->live_count++;
        r->total_bytes += f->bytes;
        if (f->header.synced > r->synced)
            r->synced = f->header.synced;
    }
    return 0;
}

/* ---- replay ---- */

static int recovery_record(struct recovery *r, const struct log_record *record, const uint8_t *data)
{
    if (bytes_get_u16(data + 10) != 0)
        return recovery_fail(r, ST_VERSION,
                             "the log record at position %llu was written by a newer program",
                             (unsigned long long)record->lsn);
    struct log_mark mark;
    r->report->clean = false;
    if (record->type == LOG_SYNCED || record->type == LOG_CLOSE) {
        if (!log_mark_get(data, r->options->log_id, &mark))
            return 0;
        if (mark.synced > r->synced)
            r->synced = mark.synced;
        r->batch_end = mark.lsn + LOG_MARK_BYTES + mark.bytes;
        r->report->clean = mark.type == LOG_CLOSE;
        return 0;
    }
    r->report->records++;
    return r->callbacks->replay(r->callbacks->ctx, record);
}

/* Reads a segment's records up to `stop` or the first invalid one; s->end tells where. */
static int recovery_segment(struct recovery *r, struct log_segment *s, uint64_t stop)
{
    uint64_t key = log_epoch_key(r->options->log_id, s->epoch), told = 0;
    r->batch_end = s->base;
    r->report->clean = false;
    log_reader_open(&r->reader, s->file, s->file_bytes);
    while (s->end < stop) {
        const uint8_t *data;
        uint64_t offset = log_segment_offset(s, s->end);
        if (r->callbacks->progress != NULL && (told == 0 || offset - told >= LOG_COPY_BYTES)) {
            told = offset;
            r->callbacks->progress(r->callbacks->ctx, r->done_bytes + offset, r->total_bytes);
        }
        int st = log_reader_get(&r->reader, offset, LOG_RECORD_HEADER_BYTES, &data);
        uint64_t bytes = st == 0 ? log_record_bytes(data) : 0;
        if (st == 0 && (data[8] == 0 || bytes > LOG_RECORD_BYTES_MAX || bytes > stop - s->end))
            return 0;
        if (st == 0)
            st = log_reader_get(&r->reader, offset, bytes, &data);
        if (st == ST_NOTFOUND)
            return 0;
        if (st != 0)
            return recovery_fail(r, st, "log file %s can't be read at offset %llu: %s", s->name,
                                 (unsigned long long)offset, status_text(st));
        if (!log_record_valid(data, key, s->end))
            return 0;
        struct log_record record = log_record_view(data, s->end);
        st = recovery_record(r, &record, data);
        if (st != 0)
            return st;
        s->end += bytes;
    }
    return 0;
}

/* Whether live file n continues the chain that ends in s. */
static bool recovery_continues(const struct log_segment *s, const struct found_file *f)
{
    return f->header.seq == s->seq + 1 && f->header.prev_end >= s->base &&
           f->header.base >= f->header.prev_end && f->header.epoch >= s->epoch;
}

/* What is about to be replayed may be flushed into the cold tier at once: it must not be lost after
 * that. */
static int recovery_harden(struct recovery *r)
{
    for (size_t i = r->live_count; i-- > 0;) { /* the last ones know most about what is synced */
        const struct found_file *f = &r->files[i];
        log_reader_open(&r->reader, f->file, f->bytes);
        int st = log_file_harden(&r->reader, &f->header, r->options->log_id, &r->synced);
        if (st != 0)
            return recovery_fail(r, st, "log file %s can't be synced: %s", f->name,
                                 status_text(st));
    }
    return 0;
}

/* Below start_max nothing is needed any more, from there on everything is. */
static int recovery_check_start(struct recovery *r)
{
    uint64_t need = r->options->start_max;
    if (need == 0 || r->live_count == 0 || r->files[0].header.base <= need)
        return 0;
    const struct found_file *f = &r->files[0];
    r->report->gap = true;
    recovery_place(r, f->name, 0);
    recovery_fail(r, ST_CORRUPT,
                  "the log is incomplete: its first segment, %s, begins at position %llu, but what "
                  "precedes it, from position %llu on, is not in the cold tier. %s",
                  f->name, (unsigned long long)f->header.base, (unsigned long long)need,
                  "Restore the data directory from a snapshot, or start once with "
                  "accept-corrupt-log to go on without it");
    return r->options->cut_corrupt ? 0 : ST_CORRUPT;
}

static int recovery_replay(struct recovery *r)
{
    struct log *log = r->log;
    int hard = recovery_harden(r);
    if (hard != 0)
        return hard;
    for (size_t i = 0; i < r->live_count; i++) {
        struct found_file *f = &r->files[i];
        const struct log_segment *before = i == 0 ? NULL : log_current(log);
        if (before != NULL && (!recovery_continues(before, f) || before->end != f->header.prev_end))
            return 0; /* the chain ends early: judged by recovery_judge() */
        struct log_segment *s = log_segment_push(log);
        s->file = f->file;
        memcpy(s->name, f->name, sizeof(s->name));
        s->seq = f->header.seq;
        s->base = s->end = f->header.base;
        s->prev_end = f->header.prev_end;
        s->epoch = f->header.epoch;
        s->file_bytes = f->bytes;
        s->header_written = s->header_synced = true;
        f->file = NULL;
        r->chain_count++;
        bool more = i + 1 < r->live_count && recovery_continues(s, &r->files[i + 1]);
        int st = recovery_segment(r, s, more ? r->files[i + 1].header.prev_end : UINT64_MAX);
        if (st != 0)
            return st;
        r->done_bytes += f->bytes;
    }
    return 0;
}

/* ---- judgement ---- */

static void recovery_mark_found(void *ctx, uint64_t offset, const struct log_mark *mark)
{
    struct recovery *r = ctx;
    uint64_t end = mark->lsn + LOG_MARK_BYTES + mark->bytes;
    if (mark->synced > r->synced)
        r->synced = mark->synced;
    if (end > r->seen_end)
        r->seen_end = end;
    if (mark->epoch > r->seen_epoch)
        r->seen_epoch = mark->epoch;
    if (r->log->segments_count > 0 && mark->epoch >= log_current(r->log)->epoch &&
        end > r->batch_end)
        r->batch_end = end; /* it was written after what the chain holds */
}

/* Searches for claims in all that may hold a part of the log after the end of the chain. */
static int recovery_scan(struct recovery *r)
{
    int st = 0;
    if (r->chain_count > 0 && !(r->report->clean && r->chain_count == r->live_count)) {
        const struct log_segment *s = log_current(r->log);
        log_reader_open(&r->reader, s->file, s->file_bytes);
        st = log_scan_marks(&r->reader, log_segment_offset(s, s->end), r->options->log_id,
                            recovery_mark_found, r);
    }
    for (size_t i = r->chain_count; i < r->files_count && st == 0; i++) {
        const struct found_file *f = &r->files[i];
        if (f->kind == FILE_SPARE)
            continue;
        log_reader_open(&r->reader, f->file, f->bytes);
        st = log_scan_marks(&r->reader, LOG_HEADER_BYTES, r->options->log_id, recovery_mark_found,
                            r);
    }
    return st == 0 ? 0 : recovery_fail(r, st, "the log can't be read: %s", status_text(st));
}

/* 0: cut at the end of the chain. ST_CORRUPT: something durable is beyond it. */
static int recovery_judge(struct recovery *r)
{
    int st = recovery_scan(r);
    if (st != 0)
        return st;
    struct log_recovery *report = r->report;
    if (r->chain_count == 0) {
        if (r->options->create && r->synced == 0)
            return 0;
        return recovery_fail(r, ST_CORRUPT, "the log directory holds no segment of the log. %s",
                             LOG_WHAT_CAN_BE_DONE);
    }
    const struct log_segment *s = log_current(r->log);
    report->start_lsn = r->log->segments[0].base;
    report->end_lsn = s->end;
    report->segments = r->chain_count;
    recovery_place(r, s->name, log_segment_offset(s, s->end));
    if (r->batch_end > s->end)
        report->torn_bytes = r->batch_end - s->end;
    report->torn = report->torn_bytes > 0 || r->chain_count < r->live_count;
    if (r->synced <= s->end || PLANTED(torn_tail_below_synced))
        return 0;
    report->torn = false;
    if (r->chain_count < r->live_count && r->files[r->chain_count].header.seq != s->seq + 1)
        return recovery_fail(
            r, ST_CORRUPT,
            "the log is incomplete: after %s (segment %llu, ends at position %llu) comes %s "
            "(segment %llu), what lies between is missing, and the log was synced up to position "
            "%llu. %s",
            s->name, (unsigned long long)s->seq, (unsigned long long)s->end,
            r->files[r->chain_count].name, (unsigned long long)r->files[r->chain_count].header.seq,
            (unsigned long long)r->synced, LOG_WHAT_CAN_BE_DONE);
    return recovery_fail(
        r, ST_CORRUPT,
        "log file %s is damaged at offset %llu: position %llu is unreadable, but the log was "
        "synced up to position %llu. %s",
        s->name, (unsigned long long)report->file_offset, (unsigned long long)s->end,
        (unsigned long long)r->synced, LOG_WHAT_CAN_BE_DONE);
}

/* ---- the cut ---- */

static uint64_t recovery_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Where the log goes on: at the end of the chain, in an epoch above all; after a loss above every
 * position that was ever used, too. */
static int recovery_plan(struct recovery *r)
{
    const struct log *log = r->log;
    uint64_t base = r->chain_count == 0 ? LOG_LSN_FIRST : log_end_lsn(log);
    uint64_t epoch = r->chain_count == 0 ? 0 : log_current(log)->epoch;
    epoch = recovery_max(epoch, r->seen_epoch);
    if (r->report->loss)
        base = recovery_max(recovery_max(base, r->batch_end), recovery_max(r->seen_end, r->synced));
    for (size_t i = r->chain_count; i < r->live_count; i++) {
        const struct found_file *f = &r->files[i];
        epoch = recovery_max(epoch, f->header.epoch);
        if (r->report->loss)
            base = recovery_max(base, f->header.base + f->bytes);
    }
    if (base >= LOG_LSN_LIMIT / 2 ||
        (r->chain_count > 0 && log_current(log)->seq + 1 >= LOG_LSN_LIMIT) ||
        epoch + 1 >= LOG_EPOCH_LIMIT)
        return recovery_fail(r, ST_LIMIT, "the log has used up its positions");
    r->next_base = log_align(base);
    r->next_epoch = (uint32_t)epoch + 1;
    return 0;
}

/* (1) of a torn tail: segments after the cut hold nothing that counts. */
static int recovery_drop_orphans(struct recovery *r)
{
    for (size_t i = r->chain_count; i < r->live_count; i++) {
        struct found_file *f = &r->files[i];
        struct log_spare *spare = log_spare_make(r->disk, f->file, f->name, f->bytes);
        int st = log_spare_recycle(spare);
        free(spare); /* the file stays with f, now a spare like others */
        if (st != 0)
            return st;
        f->kind = FILE_SPARE;
    }
    return 0;
}

static int recovery_copy(struct recovery *r, struct disk_file *from, uint64_t bytes,
                         const char *name)
{
    struct disk_file *to;
    int st = r->disk->ops->open(r->disk, name, DISK_WRITE | DISK_CREATE, &to);
    if (st != 0)
        return st;
    log_reader_open(&r->reader, from, bytes);
    for (uint64_t at = 0; at < bytes && st == 0;) {
        const uint8_t *data;
        uint64_t len = bytes - at < LOG_COPY_BYTES ? bytes - at : LOG_COPY_BYTES;
        st = log_reader_get(&r->reader, at, len, &data);
        struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
        if (st == 0)
            st = r->disk->ops->pwritev(to, &iov, 1, at);
        at += len;
    }
    if (st == 0)
        st = r->disk->ops->sync(to);
    r->disk->ops->close(to);
    return st;
}

static void recovery_damaged_name(char *to, size_t size, const char *name)
{
    snprintf(to, size, "%.16s.damaged", name);
}

/* (1) of an accepted loss: the damaged file is copied aside, those after it are renamed. */
static int recovery_set_aside(struct recovery *r)
{
    char name[LOG_NAME_BYTES];
    int st = 0;
    if (r->chain_count > 0) {
        const struct log_segment *s = log_current(r->log);
        recovery_damaged_name(name, sizeof(name), s->name);
        st = recovery_copy(r, s->file, s->file_bytes, name);
    }
    for (size_t i = r->chain_count; i < r->files_count && st == 0; i++) {
        struct found_file *f = &r->files[i];
        if (f->kind == FILE_SPARE || f->bytes == 0)
            continue;
        recovery_damaged_name(name, sizeof(name), f->name);
        st = r->disk->ops->rename(r->disk, f->name, name);
        r->disk->ops->close(f->file);
        f->file = NULL;
    }
    return st != 0 ? st : r->disk->ops->sync_dir(r->disk);
}

/* (2) and (3) */
static int recovery_truncate_and_sync(struct recovery *r)
{
    struct log *log = r->log;
    int st = 0;
    if (log->segments_count == 0)
        return 0;
    struct log_segment *s = log_current(log);
    uint64_t used = log_segment_offset(s, s->end);
    bool reused = s->end == s->base && !r->report->loss;
    if (used < s->file_bytes && !reused) {
        st = r->disk->ops->truncate(s->file, used);
        s->file_bytes = used;
    }
    for (size_t i = 0; i < log->segments_count && st == 0; i++)
        st = r->disk->ops->sync(log->segments[i].file);
    return st != 0 ? st : r->disk->ops->sync_dir(r->disk);
}

/* The ready spares among the files; the rest of them is deleted. When the log begins anew so do all
 * files: which epochs old ones have seen is not known. */
static int recovery_keep_spares(struct recovery *r)
{
    for (size_t i = r->chain_count; i < r->files_count; i++) {
        struct found_file *f = &r->files[i];
        if (f->file == NULL)
            continue;
        bool keep = r->chain_count > 0 && f->kind == FILE_SPARE &&
                    f->bytes == r->options->segment_bytes &&
                    r->log->spares_count < r->options->recycled_max;
        struct log_spare *spare = log_spare_make(r->disk, f->file, f->name, f->bytes);
        f->file = NULL;
        if (keep) {
            log_spare_add(r->log, spare);
            continue;
        }
        int st = log_spare_remove(spare);
        if (st != 0)
            return st;
    }
    return 0;
}

/* A spare for the new segment; a smaller one when the disk is nearly full. */
static int recovery_take_spare(struct recovery *r, struct log_spare **ret_spare)
{
    if (r->log->spares_count > 0) {
        *ret_spare = r->log->spares[--r->log->spares_count];
        return 0;
    }
    int st = ST_NOSPACE;
    uint64_t bytes = r->options->segment_bytes;
    for (; st == ST_NOSPACE && bytes >= LOG_FIRST_BYTES_MIN; bytes /= 2)
        st = log_spare_create(r->disk, bytes & ~(uint64_t)(LOG_HEADER_BYTES - 1), ret_spare);
    return st;
}

/* (4) */
static int recovery_begin_segment(struct recovery *r)
{
    struct log *log = r->log;
    bool first = log->segments_count == 0;
    uint64_t base = r->next_base, end = first ? base : log_end_lsn(log);
    uint64_t seq = first ? 1 : log_current(log)->seq + 1;
    log->epoch = r->next_epoch;
    if (first || r->report->loss || log_end_lsn(log) != log_current(log)->base) {
        struct log_spare *spare;
        int st = recovery_take_spare(r, &spare);
        if (st != 0)
            return st;
        struct log_segment *s = log_segment_push(log);
        s->file = spare->file;
        memcpy(s->name, spare->name, sizeof(s->name));
        s->seq = seq;
        s->base = s->end = base;
        s->prev_end = end;
        s->file_bytes = spare->bytes;
        free(spare);
    } /* else the last segment is empty: it gets the new epoch */
    struct log_segment *s = log_current(log);
    s->epoch = log->epoch;
    log_segment_header(log, s, base, log->page);
    struct iovec iov = {.iov_base = log->page, .iov_len = LOG_HEADER_BYTES};
    int st = r->disk->ops->pwritev(s->file, &iov, 1, 0);
    if (st == 0)
        st = r->disk->ops->sync(s->file);
    if (st == 0)
        st = r->disk->ops->sync_dir(r->disk);
    s->header_written = s->header_synced = true;
    log->synced = log->claimed = log->data_end = base;
    log->epoch_key = log_epoch_key(log->options.log_id, log->epoch);
    return st;
}

static int recovery_cut(struct recovery *r)
{
    int st = r->report->loss ? recovery_set_aside(r) : recovery_drop_orphans(r);
    if (st == 0)
        st = recovery_truncate_and_sync(r);
    if (st == 0)
        st = recovery_keep_spares(r);
    if (st == 0)
        st = recovery_begin_segment(r);
    if (st != 0)
        return recovery_fail(r, st, "the log can't be continued: %s", status_text(st));
    return 0;
}

static int recovery_run(struct recovery *r)
{
    int st = recovery_find_files(r);
    if (st != 0)
        return st;
    st = recovery_check_start(r);
    if (st == 0)
        st = recovery_replay(r);
    if (st != 0)
        return st;
    bool headers_bad = r->files_count > r->live_count &&
                       r->files[r->files_count - 1].kind == FILE_BAD; /* only with cut_corrupt */
    st = recovery_judge(r);
    if (st == ST_CORRUPT && r->options->cut_corrupt)
        r->report->loss = true;
    else if (st != 0)
        return st;
    if (headers_bad)
        r->report->loss = true;
    if (r->report->loss)
        r->report->clean = false;
    st = recovery_plan(r);
    return st != 0 ? st : recovery_cut(r);
}

static struct log *recovery_log(struct disk *disk, const struct log_options *options)
{
    struct log *log = mem_zalloc(sizeof(*log));
    log->disk = disk;
    log->options = *options;
    log->page = mem_zalloc(LOG_HEADER_BYTES);
    return log;
}

int log_open(struct disk *disk, const struct log_options *options,
             const struct log_callbacks *callbacks, struct log_recovery *report,
             struct log **ret_log)
{
    struct log_options o = *options;
    if (o.segment_bytes == 0)
        o.segment_bytes = LOG_SEGMENT_BYTES_DEFAULT;
    if (o.spares_ready == 0)
        o.spares_ready = LOG_SPARES_READY_DEFAULT;
    if (o.recycled_max == 0)
        o.recycled_max = LOG_RECYCLED_MAX_DEFAULT;
    *report = (struct log_recovery){0};
    if (o.segment_bytes < LOG_SEGMENT_BYTES_MIN || o.segment_bytes % LOG_HEADER_BYTES != 0 ||
        o.spares_ready > LOG_SPARES_MAX / 2 || o.recycled_max > LOG_SPARES_MAX / 2)
        return ST_INVALID;
    struct recovery r = {.disk = disk,
                         .options = &o,
                         .callbacks = callbacks,
                         .report = report,
                         .synced = o.synced_min};
    r.log = recovery_log(disk, &o);
    int st = recovery_run(&r);
    for (size_t i = 0; i < r.files_count; i++)
        disk->ops->close(r.files[i].file);
    free(r.files);
    log_reader_free(&r.reader);
    if (st != 0) {
        log_free(r.log);
        return st;
    }
    *ret_log = r.log;
    return 0;
}
