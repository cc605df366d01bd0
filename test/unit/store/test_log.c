/* The commit log without crashes: bytes, rolling, room, sync, truncation, reading back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "support/log_run.h"

#define HEADER_BYTES 4096

static void open_new(struct log_run *run)
{
    int st;
    log_run_init(run, 1, false);
    assert_null(log_run_open(run, &st));
    assert_int_equal(st, 0);
}

static void reopen(struct log_run *run)
{
    int st;
    log_run_close(run);
    sim_disk_kill(run->sim);
    const char *wrong = log_run_open(run, &st);
    if (wrong != NULL)
        fail_msg("%s", wrong);
    if (st != 0)
        fail_msg("%s", run->report.message);
}

/* Computed by an independent program from the layouts in log_format.h. */
static const uint8_t golden_header[] = {
    0x54, 0x4f, 0x52, 0x43, 0x73, 0x65, 0x67, 0x0a, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0xd4, 0x59, 0x80, 0x82};
static const uint8_t golden_mark[] = {0xaa, 0x1a, 0x1d, 0x3f, 0x08, 0x00, 0x00, 0x00, 0x01, 0x00,
                                      0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00,
                                      0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00,
                                      0x00, 0x00, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
static const uint8_t golden_record[] = {
    0xca, 0xf4, 0xe1, 0x79, 0x0a, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00,
    0x4d, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x74, 0x6f, 0x72, 0x63, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

static void test_golden_bytes(void **state)
{
    struct log_run run;
    open_new(&run);
    struct buffer *b = log_batch_begin(&run.batch, LOG_WRITE, 9, 77, 5);
    buffer_append_str(b, "hello torc");
    assert_int_equal(log_batch_end(&run.batch), 0);
    uint64_t end, len;
    assert_int_equal(log_append(run.log, &run.batch, &end), 0);
    assert_int_equal(end, LOG_LSN_FIRST + sizeof(golden_mark) + sizeof(golden_record));
    assert_int_equal(log_batch_lsn(&run.batch, 0), LOG_LSN_FIRST + sizeof(golden_mark));
    uint8_t *bytes = sim_disk_bytes(run.sim, "0000000000000001.seg", &len);
    assert_int_equal(len, LOG_RUN_SEGMENT_BYTES);
    assert_memory_equal(bytes, golden_header, sizeof(golden_header));
    assert_memory_equal(bytes + HEADER_BYTES, golden_mark, sizeof(golden_mark));
    assert_memory_equal(bytes + HEADER_BYTES + sizeof(golden_mark), golden_record,
                        sizeof(golden_record));
    free(bytes);
    log_run_done(&run);
}

/* A value by reference gives the same bytes as one that was copied. */
static void test_references_equal_copies(void **state)
{
    for (size_t tail = 0; tail < 9; tail++) {
        struct log_run copied, referred;
        open_new(&copied);
        open_new(&referred);
        uint64_t end;
        for (int i = 0; i < 3; i++) {
            struct buffer *b = log_batch_begin(&copied.batch, LOG_META, 0, 1, 0);
            buffer_append_str(b, "head");
            buffer_append_str(b, "the value, large");
            buffer_append(b, "12345678", tail);
            assert_int_equal(log_batch_end(&copied.batch), 0);
            b = log_batch_begin(&referred.batch, LOG_META, 0, 1, 0);
            buffer_append_str(b, "head");
            log_batch_ref(&referred.batch, slice_str("the value,"));
            log_batch_ref(&referred.batch, slice_str(" large"));
            buffer_append(b, "12345678", tail);
            assert_int_equal(log_batch_end(&referred.batch), 0);
        }
        assert_int_equal(log_batch_bytes(&copied.batch), log_batch_bytes(&referred.batch));
        assert_int_equal(log_append(copied.log, &copied.batch, &end), 0);
        assert_int_equal(log_append(referred.log, &referred.batch, &end), 0);
        uint64_t len;
        uint8_t *x = sim_disk_bytes(copied.sim, "0000000000000001.seg", &len);
        uint8_t *y = sim_disk_bytes(referred.sim, "0000000000000001.seg", &len);
        assert_memory_equal(x, y, len);
        free(x);
        free(y);
        log_run_done(&copied);
        log_run_done(&referred);
    }
}

static void test_cancel_and_limit(void **state)
{
    struct log_batch batch = {0};
    uint8_t *large = mem_zalloc(64 << 20);
    log_batch_begin(&batch, LOG_WRITE, 0, 1, 0);
    for (int i = 0; i < 6; i++)
        log_batch_ref(&batch, slice_make(large, 64 << 20));
    assert_int_equal(log_batch_end(&batch), ST_LIMIT);
    assert_int_equal(log_batch_bytes(&batch), 0);
    buffer_append_str(log_batch_begin(&batch, LOG_WRITE, 0, 2, 0), "x");
    log_batch_cancel(&batch);
    assert_int_equal(log_batch_bytes(&batch), 0);
    log_batch_begin(&batch, LOG_WRITE, 0, 3, 0);
    assert_int_equal(log_batch_end(&batch), 0);
    assert_int_equal(log_batch_bytes(&batch), 32 + LOG_BATCH_OVERHEAD_BYTES);
    log_batch_free(&batch);
    free(large);
}

static void test_empty_batch_writes_nothing(void **state)
{
    struct log_run run;
    open_new(&run);
    uint64_t end, ops = sim_disk_ops(run.sim);
    assert_int_equal(log_append(run.log, &run.batch, &end), 0);
    assert_int_equal(end, LOG_LSN_FIRST);
    assert_int_equal(sim_disk_ops(run.sim), ops);
    log_run_done(&run);
}

static void test_reopen_many_times(void **state)
{
    struct log_run run;
    open_new(&run);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(log_run_turns(&run, 6), 0);
        run.synced = run.count;
        reopen(&run);
        assert_false(run.report.torn);
        assert_false(run.report.clean);
    }
    log_run_done(&run);
}

/* Restarts cost no disk space beyond what was written. */
static void test_restarts_do_not_grow_the_log(void **state)
{
    struct log_run run;
    open_new(&run);
    uint64_t used = 0;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(log_run_append_one(&run, 100), 0);
        reopen(&run);
        if (i == 0)
            used = sim_disk_used(run.sim);
    }
    for (int i = 0; i < 50; i++)
        reopen(&run);
    assert_true(sim_disk_used(run.sim) <= used + 50 * (HEADER_BYTES + 200));
    log_run_done(&run);
}

static void test_clean_end(void **state)
{
    struct log_run run;
    open_new(&run);
    assert_int_equal(log_run_append(&run, 3), 0);
    assert_int_equal(log_close_mark(run.log), 0);
    assert_int_equal(log_run_sync(&run), 0);
    reopen(&run);
    assert_true(run.report.clean);
    assert_int_equal(run.report.records, 3);
    assert_int_equal(log_run_append(&run, 1), 0);
    reopen(&run);
    assert_false(run.report.clean);
    log_run_done(&run);
}

/* log_room() keeps its word: as long as it has room for a batch, the batch is taken. */
static void test_room_is_a_promise(void **state)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct log_run run;
        open_new(&run);
        struct prng random = prng_make(seed);
        assert_int_equal(log_run_spares(&run), 0);
        uint32_t largest = 100 + (uint32_t)prng_below(&random, 30000);
        uint64_t room = log_room(run.log, largest + 40), used = 0, appended = 0, end;
        assert_true(room > 0 && room <= 3 * LOG_RUN_SEGMENT_BYTES);
        for (;;) {
            uint64_t n = 1 + prng_below(&random, 8);
            for (uint64_t i = 0; i < n; i++) {
                struct buffer *b = log_batch_begin(&run.batch, LOG_WRITE, 0, 1, 0);
                size_t len = prng_below(&random, largest + 1);
                memset(buffer_reserve(b, len), 1, len);
                b->len += len;
                assert_int_equal(log_batch_end(&run.batch), 0);
            }
            used += log_batch_bytes(&run.batch);
            if (used > room)
                break;
            if (log_append(run.log, &run.batch, &end) != 0)
                fail_msg("seed %d: room %d, refused at %d", (int)seed, (int)room, (int)used);
            appended++;
            log_batch_clear(&run.batch);
        }
        assert_true(appended > 0 || room < 200000);
        log_run_done(&run);
    }
}

/* However full it is, it can be ended in order. */
static void test_full_log_ends_cleanly(void **state)
{
    for (uint32_t len = 12; len < 200; len += 8) {
        struct log_run run;
        open_new(&run);
        while (log_run_append_one(&run, len) == 0)
            ;
        assert_int_equal(log_run_sync(&run), 0);
        assert_int_equal(log_mark(run.log), 0);
        assert_int_equal(log_close_mark(run.log), 0);
        assert_int_equal(log_run_sync(&run), 0);
        reopen(&run);
        assert_true(run.report.clean);
        log_run_done(&run);
    }
}

static void test_no_room_changes_nothing(void **state)
{
    struct log_run run;
    open_new(&run);
    int st = 0;
    while (st == 0)
        st = log_run_append_one(&run, 5000);
    assert_int_equal(st, ST_NOSPACE);
    assert_int_equal(log_status(run.log), 0);
    uint64_t count = run.count, ops = sim_disk_ops(run.sim), end = log_end_lsn(run.log);
    assert_int_equal(log_run_append_one(&run, 5000), ST_NOSPACE);
    assert_int_equal(sim_disk_ops(run.sim), ops);
    assert_int_equal(log_end_lsn(run.log), end);
    assert_int_equal(run.count, count);
    assert_int_equal(log_run_append_one(&run, 100), 0); /* a small one still fits */
    while (log_run_append_one(&run, 12) == 0)
        count++;
    assert_int_equal(log_room(run.log, 0), 0);
    assert_int_equal(log_run_sync(&run), 0);
    end = log_end_lsn(run.log);
    assert_int_equal(log_mark(run.log), 0); /* left out: the place is kept for the clean end */
    assert_int_equal(log_end_lsn(run.log), end);
    assert_int_equal(log_run_spares(&run), 0);
    assert_int_equal(log_run_append_one(&run, 5000), 0);
    run.synced = run.count;
    reopen(&run);
    log_run_done(&run);
}

/* A record larger than a segment has a segment of its own, which is not recycled. */
static void test_oversize_record(void **state)
{
    struct log_run run;
    open_new(&run);
    uint32_t len = 3 * LOG_RUN_SEGMENT_BYTES + 17;
    assert_int_equal(log_run_spares(&run), 0);
    assert_int_equal(log_run_append_one(&run, 50), 0);
    assert_int_equal(log_run_append_one(&run, len), ST_NOSPACE);
    struct log_spare *spare;
    assert_int_equal(
        log_spare_create(sim_disk_disk(run.sim), log_spare_bytes_for(len + 32), &spare), 0);
    log_spare_add(run.log, spare);
    assert_true(log_room(run.log, len + 32) >= len + 32);
    assert_int_equal(log_run_append_one(&run, len), 0);
    assert_int_equal(log_run_append_one(&run, 60), 0);
    assert_int_equal(log_run_sync(&run), 0);
    reopen(&run);
    assert_int_equal(run.count, 3);
    log_truncate(run.log, log_end_lsn(run.log));
    /* The first is of the usual size, the second was made for the large record. */
    bool recycle;
    struct log_spare *dead = log_take_dead(run.log, &recycle);
    assert_true(recycle);
    assert_int_equal(log_spare_recycle(dead), 0);
    log_spare_add(run.log, dead);
    dead = log_take_dead(run.log, &recycle);
    assert_non_null(dead);
    assert_false(recycle);
    assert_int_equal(log_spare_remove(dead), 0);
    assert_null(log_take_dead(run.log, &recycle));
    log_run_done(&run);
}

/* A segment dies only when its successor is durable: else a crash could leave no live one. */
static void test_truncate_waits_for_the_successor(void **state)
{
    struct log_run run;
    open_new(&run);
    bool recycle;
    assert_int_equal(log_run_spares(&run), 0);
    while (log_room(run.log, 6000) > 2 * (LOG_RUN_SEGMENT_BYTES - HEADER_BYTES - 40))
        assert_int_equal(log_run_append_one(&run, 5000), 0);
    assert_int_equal(log_run_sync(&run), 0);
    assert_int_equal(log_run_append_one(&run, 30000), 0); /* rolled, not synced */
    log_truncate(run.log, log_end_lsn(run.log));
    assert_null(log_take_dead(run.log, &recycle));
    assert_int_equal(log_start_lsn(run.log), LOG_LSN_FIRST);
    assert_int_equal(log_run_sync(&run), 0);
    log_truncate(run.log, log_start_lsn(run.log) + 1); /* not wholly below */
    assert_null(log_take_dead(run.log, &recycle));
    log_truncate(run.log, log_end_lsn(run.log));
    struct log_spare *dead = log_take_dead(run.log, &recycle);
    assert_non_null(dead);
    assert_true(recycle);
    assert_true(log_start_lsn(run.log) > LOG_LSN_FIRST);
    assert_int_equal(log_spare_recycle(dead), 0);
    log_spare_add(run.log, dead);
    assert_null(log_take_dead(run.log, &recycle)); /* the current one never dies */
    run.truncated = run.count - 1;
    reopen(&run);
    log_run_done(&run);
}

static void test_sync_covers_every_segment(void **state)
{
    struct log_run run;
    open_new(&run);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(log_run_spares(&run), 0);
        assert_int_equal(log_run_append_one(&run, 20000), 0);
    }
    struct log_sync sync;
    assert_true(log_sync_begin(run.log, &sync));
    assert_int_equal(sync.count, LOG_SYNC_FILES_MAX);
    assert_true(sync.target_lsn < log_end_lsn(run.log));
    assert_int_equal(log_run_append_one(&run, 10), 0); /* meanwhile */
    assert_int_equal(log_sync_end(run.log, &sync, log_sync_run(&sync)), 0);
    assert_int_equal(log_synced_lsn(run.log), sync.target_lsn);
    assert_int_equal(log_run_sync(&run), 0);
    assert_false(log_sync_begin(run.log, &sync));
    log_run_close(&run);
    sim_disk_crash(run.sim, 3);
    int st;
    assert_null(log_run_open(&run, &st));
    assert_int_equal(run.count, 61);
    log_run_done(&run);
}

static void test_mark_when_idle(void **state)
{
    struct log_run run;
    open_new(&run);
    uint64_t end = log_end_lsn(run.log);
    assert_int_equal(log_mark(run.log), 0);
    assert_int_equal(log_end_lsn(run.log), end); /* nothing to tell */
    assert_int_equal(log_run_append(&run, 1), 0);
    assert_int_equal(log_run_sync(&run), 0);
    end = log_end_lsn(run.log);
    assert_int_equal(log_mark(run.log), 0);
    assert_int_equal(log_end_lsn(run.log), end + LOG_BATCH_OVERHEAD_BYTES);
    assert_int_equal(log_run_sync(&run), 0);
    assert_int_equal(log_mark(run.log), 0);
    assert_int_equal(log_end_lsn(run.log), end + LOG_BATCH_OVERHEAD_BYTES); /* told already */
    log_run_done(&run);
}

static void test_failed_sync_breaks_the_log(void **state)
{
    struct log_run run;
    open_new(&run);
    assert_int_equal(log_run_append(&run, 1), 0);
    sim_disk_fail_sync(run.sim, true);
    assert_int_equal(log_run_sync(&run), ST_IO);
    sim_disk_fail_sync(run.sim, false);
    assert_int_equal(log_run_sync(&run), ST_IO); /* a second sync would lie */
    assert_int_equal(log_run_append(&run, 1), ST_IO);
    assert_int_equal(log_status(run.log), ST_IO);
    assert_int_equal(log_room(run.log, 0), 0);
    assert_int_equal(log_synced_lsn(run.log), LOG_LSN_FIRST);
    log_run_done(&run);
}

static void test_failed_write_breaks_the_log(void **state)
{
    struct log_run run;
    open_new(&run);
    sim_disk_fail_write(run.sim, true);
    assert_int_equal(log_run_append(&run, 1), ST_IO);
    sim_disk_fail_write(run.sim, false);
    assert_int_equal(log_run_append(&run, 1), ST_IO);
    log_run_done(&run);
}

/* A process ended by a failed sync finds its records in the page cache at the next start, on pages
 * that the kernel takes for clean. What was replayed is durable all the same. */
static void test_replayed_after_failed_sync_is_durable(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct log_run run;
        open_new(&run);
        assert_int_equal(log_run_append(&run, 20), 0);
        assert_int_equal(log_run_sync(&run), 0);
        assert_int_equal(log_run_append(&run, 20), 0);
        uint64_t count = run.count;
        sim_disk_fail_sync(run.sim, true);
        assert_int_equal(log_run_sync(&run), ST_IO);
        sim_disk_fail_sync(run.sim, false);
        log_run_close(&run);
        sim_disk_kill(run.sim);
        int st;
        assert_null(log_run_open(&run, &st));
        assert_int_equal(run.count, count);
        log_run_close(&run);
        sim_disk_crash(run.sim, seed);
        assert_null(log_run_open(&run, &st));
        assert_int_equal(st, 0);
        assert_int_equal(run.count, count);
        log_run_done(&run);
    }
}

static void test_full_disk(void **state)
{
    struct log_run run;
    open_new(&run);
    sim_disk_capacity(run.sim, 2 * LOG_RUN_SEGMENT_BYTES + 1000);
    assert_int_equal(log_run_spares(&run), ST_NOSPACE);
    int st = 0;
    while (st == 0)
        st = log_run_append(&run, 2);
    assert_int_equal(st, ST_NOSPACE);
    assert_int_equal(log_status(run.log), 0);
    assert_int_equal(log_run_sync(&run), 0);
    /* It can be opened while almost full, too, and goes on when there is room. */
    sim_disk_capacity(run.sim, sim_disk_used(run.sim) + 2 * HEADER_BYTES);
    reopen(&run);
    assert_int_equal(log_run_spares(&run), ST_NOSPACE);
    sim_disk_capacity(run.sim, 0);
    assert_int_equal(log_run_turns(&run, 20), 0);
    run.synced = run.count;
    reopen(&run);
    log_run_done(&run);
}

static void test_read_back(void **state)
{
    struct log_run run;
    open_new(&run);
    assert_int_equal(log_run_turns(&run, 10), 0);
    run.synced = run.count;
    reopen(&run); /* so that there are segments of two epochs */
    assert_int_equal(log_run_turns(&run, 10), 0);
    BUFFER_AUTO struct buffer scratch = {0};
    struct log_record record;
    unsigned found = 0;
    for (uint64_t i = run.truncated; i < run.count; i++) {
        uint64_t lsn = run.records[i].lsn;
        assert_int_equal(log_read(run.log, lsn, &scratch, &record), 0);
        assert_int_equal(record.index, i);
        assert_int_equal(record.payload.len, run.records[i].len);
        assert_int_equal(log_read(run.log, lsn + 8, &scratch, &record), ST_CORRUPT);
        assert_int_equal(log_read(run.log, lsn + 1, &scratch, &record), ST_RANGE);
        found++;
    }
    assert_true(found > 10);
    assert_int_equal(log_read(run.log, log_end_lsn(run.log), &scratch, &record), ST_RANGE);
    assert_int_equal(log_read(run.log, 0, &scratch, &record), ST_RANGE);
    log_run_done(&run);
}

struct progress {
    uint64_t calls, last;
};

static int replay_nothing(void *ctx, const struct log_record *record)
{
    return record->index == 2 ? ST_VERSION : 0;
}

static void progress_seen(void *ctx, uint64_t done, uint64_t total)
{
    struct progress *p = ctx;
    assert_true(done >= p->last && done <= total);
    p->last = done;
    p->calls++;
}

static void test_progress_and_replay_failure(void **state)
{
    struct log_run run;
    open_new(&run);
    for (int i = 0; i < 5; i++)
        assert_int_equal(log_run_append_one(&run, 100), 0);
    log_run_close(&run);
    struct progress p = {0};
    struct log_callbacks callbacks = {
        .replay = replay_nothing, .progress = progress_seen, .ctx = &p};
    struct log_options options = {.log_id = LOG_RUN_ID, .segment_bytes = LOG_RUN_SEGMENT_BYTES};
    struct log_recovery report;
    struct log *log = NULL;
    assert_int_equal(log_open(sim_disk_disk(run.sim), &options, &callbacks, &report, &log),
                     ST_VERSION);
    assert_null(log);
    assert_true(p.calls > 0);
    log_run_done(&run);
}

static void test_bad_options(void **state)
{
    struct sim_disk *sim = sim_disk_new();
    struct log_callbacks callbacks = {.replay = replay_nothing};
    struct log_recovery report;
    struct log *log;
    struct log_options options = {.segment_bytes = 1000, .create = true};
    assert_int_equal(log_open(sim_disk_disk(sim), &options, &callbacks, &report, &log), ST_INVALID);
    options.segment_bytes = LOG_SEGMENT_BYTES_MIN + 1;
    assert_int_equal(log_open(sim_disk_disk(sim), &options, &callbacks, &report, &log), ST_INVALID);
    sim_disk_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_bytes),
        cmocka_unit_test(test_references_equal_copies),
        cmocka_unit_test(test_cancel_and_limit),
        cmocka_unit_test(test_empty_batch_writes_nothing),
        cmocka_unit_test(test_reopen_many_times),
        cmocka_unit_test(test_restarts_do_not_grow_the_log),
        cmocka_unit_test(test_clean_end),
        cmocka_unit_test(test_room_is_a_promise),
        cmocka_unit_test(test_full_log_ends_cleanly),
        cmocka_unit_test(test_no_room_changes_nothing),
        cmocka_unit_test(test_oversize_record),
        cmocka_unit_test(test_truncate_waits_for_the_successor),
        cmocka_unit_test(test_sync_covers_every_segment),
        cmocka_unit_test(test_mark_when_idle),
        cmocka_unit_test(test_failed_sync_breaks_the_log),
        cmocka_unit_test(test_failed_write_breaks_the_log),
        cmocka_unit_test(test_replayed_after_failed_sync_is_durable),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_progress_and_replay_failure),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
