#include "support/log_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"

#define UNIFORM_LEN 1000
#define HEAD_LEN    12 /* index and life */

static uint8_t filler(uint64_t index, uint32_t life, uint32_t at)
{
    return (uint8_t)(index * 131 + life * 17 + at * 7 + (at >> 8));
}

void log_run_init(struct log_run *run, uint64_t seed, bool uniform)
{
    *run = (struct log_run){.uniform = uniform};
    run->sim = sim_disk_new();
    run->random = prng_make(seed);
}

void log_run_done(struct log_run *run)
{
    log_run_close(run);
    log_batch_free(&run->batch);
    sim_disk_free(run->sim);
    free(run->records);
    *run = (struct log_run){0};
}

void log_run_close(struct log_run *run)
{
    log_free(run->log);
    run->log = NULL;
}

static int log_run_wrong(struct log_run *run, const char *what, uint64_t index)
{
    snprintf(run->wrong, sizeof(run->wrong), "%s (index %llu, life %u)", what,
             (unsigned long long)index, run->life);
    return ST_INVALID;
}

static int log_run_replay(void *ctx, const struct log_record *record)
{
    struct log_run *run = ctx;
    const uint8_t *p = record->payload.data;
    if (record->type != LOG_WRITE || record->payload.len < HEAD_LEN)
        return log_run_wrong(run, "not a record of ours", record->index);
    uint64_t index = bytes_get_u64(p);
    uint32_t life = bytes_get_u32(p + 8);
    if (index != record->index || record->group != life % 7 || record->term != index / 10)
        return log_run_wrong(run, "header and payload differ", index);
    if (run->replayed == UINT64_MAX) {
        if (index > run->truncated)
            return log_run_wrong(run, "the beginning is missing", index);
        run->replayed = index;
    }
    if (index != run->replayed)
        return log_run_wrong(run, "out of order", index);
    if (index >= run->count)
        return log_run_wrong(run, "never written", index);
    const struct log_run_record *r = &run->records[index];
    if (r->life != life || r->len != record->payload.len)
        return log_run_wrong(run, "stale: of another life or length", index);
    for (uint32_t i = HEAD_LEN; i < r->len; i++) {
        if (p[i] != filler(index, life, i))
            return log_run_wrong(run, "payload differs", index);
    }
    if (r->lsn != 0 && r->lsn != record->lsn)
        return log_run_wrong(run, "at another position", index);
    run->records[index].lsn = record->lsn;
    run->replayed++;
    return 0;
}

const char *log_run_open(struct log_run *run, int *ret_st)
{
    struct log_options options = {.log_id = LOG_RUN_ID,
                                  .segment_bytes = LOG_RUN_SEGMENT_BYTES,
                                  .spares_ready = 2,
                                  .recycled_max = 3,
                                  .create = !run->created,
                                  .synced_min = run->synced_min,
                                  .cut_corrupt = run->cut_corrupt};
    struct log_callbacks callbacks = {.replay = log_run_replay, .ctx = run};
    run->replayed = UINT64_MAX;
    run->wrong[0] = 0;
    int st = log_open(sim_disk_disk(run->sim), &options, &callbacks, &run->report, &run->log);
    *ret_st = st;
    if (run->wrong[0] != 0)
        return run->wrong;
    if (st != 0)
        return NULL;
    run->created = true;
    if (run->replayed == UINT64_MAX)
        run->replayed = 0;
    if (run->replayed < run->synced && !run->cut_corrupt) {
        log_run_wrong(run, "synced, and lost", run->replayed);
        return run->wrong;
    }
    run->count = run->synced = run->replayed;
    run->life++;
    return NULL;
}

/* Puts one record into the batch and the model. */
static void log_run_put(struct log_run *run, uint32_t len)
{
    uint64_t index = run->count;
    if (run->count == run->cap) {
        run->cap = run->cap == 0 ? 256 : run->cap * 2;
        run->records = mem_realloc(run->records, run->cap * sizeof(*run->records));
    }
    if (len < HEAD_LEN)
        len = HEAD_LEN;
    run->records[run->count++] = (struct log_run_record){.life = run->life, .len = len};
    struct buffer *b = log_batch_begin(&run->batch, LOG_WRITE, run->life % 7, index, index / 10);
    buffer_append_u64(b, index);
    buffer_append_u32(b, run->life);
    for (uint32_t i = HEAD_LEN; i < len; i++)
        buffer_append_u8(b, filler(index, run->life, i));
    CHECK(log_batch_end(&run->batch) == 0);
}

static int log_run_write(struct log_run *run, uint64_t first)
{
    uint64_t end;
    int st = log_append(run->log, &run->batch, &end);
    for (uint64_t i = first; i < run->count && st == 0; i++)
        run->records[i].lsn = log_batch_lsn(&run->batch, i - first);
    if (st == ST_NOSPACE)
        run->count = first; /* promised: nothing was written */
    log_batch_clear(&run->batch);
    return st;
}

int log_run_append(struct log_run *run, unsigned records)
{
    uint64_t first = run->count;
    for (unsigned i = 0; i < records; i++) {
        uint64_t kind = prng_below(&run->random, 20);
        uint32_t len = kind == 0 ? 20000 : kind < 6 ? 4000 : 300;
        log_run_put(run, run->uniform ? UNIFORM_LEN : (uint32_t)prng_below(&run->random, len));
    }
    return log_run_write(run, first);
}

int log_run_append_one(struct log_run *run, uint32_t payload_len)
{
    log_run_put(run, payload_len);
    return log_run_write(run, run->count - 1);
}

int log_run_sync(struct log_run *run)
{
    struct log_sync sync;
    while (log_sync_begin(run->log, &sync)) {
        int st = log_sync_end(run->log, &sync, log_sync_run(&sync));
        if (st != 0)
            return st;
    }
    if (log_status(run->log) != 0)
        return log_status(run->log);
    CHECK(log_synced_lsn(run->log) == log_end_lsn(run->log));
    run->synced = run->count;
    return 0;
}

int log_run_spares(struct log_run *run)
{
    while (log_needs_spare(run->log)) {
        struct log_spare *spare;
        int st = log_spare_create(sim_disk_disk(run->sim), log_segment_bytes(run->log), &spare);
        if (st != 0)
            return st;
        log_spare_add(run->log, spare);
    }
    return 0;
}

int log_run_truncate(struct log_run *run)
{
    if (run->synced <= run->truncated)
        return 0;
    uint64_t keep = run->truncated + prng_below(&run->random, run->synced - run->truncated);
    log_truncate(run->log, run->records[keep].lsn);
    run->truncated = keep;
    struct log_spare *dead;
    bool recycle;
    while ((dead = log_take_dead(run->log, &recycle)) != NULL) {
        int st = recycle ? log_spare_recycle(dead) : log_spare_remove(dead);
        if (st != 0) {
            if (recycle)
                log_spare_close(dead);
            log_break(run->log, st);
            return st;
        }
        if (recycle)
            log_spare_add(run->log, dead);
    }
    return 0;
}

int log_run_turns(struct log_run *run, unsigned turns)
{
    int st = 0;
    for (unsigned i = 0; i < turns && st == 0; i++) {
        st = log_run_spares(run);
        if (st == 0)
            st = log_run_append(run, run->uniform ? 1 : 1 + prng_below(&run->random, 5));
        if (st == 0 && prng_below(&run->random, 3) == 0)
            st = log_run_sync(run);
        if (st == 0 && prng_below(&run->random, 6) == 0)
            st = log_mark(run->log);
        if (st == 0 && prng_below(&run->random, 5) == 0)
            st = log_run_truncate(run);
    }
    return st;
}
