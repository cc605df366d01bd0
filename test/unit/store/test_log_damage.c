/* The commit log and rot: which damage is a torn tail and which is corruption, and what is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "support/log_run.h"

/* Clones the disk and the model, so that each damage starts from the same log. */
static void branch(struct log_run *to, const struct log_run *from)
{
    *to = *from;
    to->sim = sim_disk_clone(from->sim);
    to->records = mem_dup(from->records, from->cap * sizeof(*from->records));
    to->batch = (struct log_batch){0};
    to->log = NULL;
}

/* Three segments; records below index *ret_synced are known synced, more follow. */
static void small_log(struct log_run *run, bool all_synced)
{
    int st;
    log_run_init(run, 5, false);
    assert_null(log_run_open(run, &st));
    assert_int_equal(st, 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(log_run_spares(run), 0);
        assert_int_equal(log_run_append_one(run, i % 2 == 0 ? 25000 : 21), 0);
    }
    assert_int_equal(log_run_sync(run), 0);
    if (all_synced) {
        assert_int_equal(log_mark(run->log), 0);
        assert_int_equal(log_run_sync(run), 0);
    } else {
        for (int i = 0; i < 4; i++)
            assert_int_equal(log_run_append_one(run, 70), 0);
    }
    log_run_close(run);
    sim_disk_kill(run->sim);
}

/* Flips a bit and opens. The judgement must be right for the place, whatever it is. */
static void flip_and_judge(const struct log_run *from, const char *name, uint64_t base,
                           uint64_t offset, unsigned bit, unsigned *counts)
{
    struct log_run run;
    int st;
    branch(&run, from);
    uint64_t synced = run.synced, lsn = base + offset - 4096;
    sim_disk_flip(run.sim, name, offset, bit);
    const char *wrong = log_run_open(&run, &st);
    if (wrong != NULL && (st == 0 || offset < 64))
        fail_msg("%s offset %d: %s", name, (int)offset, wrong);
    if (offset < 64) {
        assert_int_equal(st, ST_CORRUPT);
        assert_string_equal(run.report.file, name);
        assert_int_equal(run.report.file_offset, 0);
        counts[0]++;
    } else if (offset < 4096) {
        assert_int_equal(st, 0);
        assert_int_equal(run.count, from->count);
    } else if (st == ST_CORRUPT) {
        assert_true(lsn < from->records[synced - 1].lsn + 32 + from->records[synced - 1].len);
        assert_string_equal(run.report.file, name);
        assert_true(run.report.file_offset <= offset);
        assert_non_null(strstr(run.report.message, name));
        counts[1]++;
    } else {
        assert_int_equal(st, 0);
        assert_true(run.count >= synced); /* log_run_open() checks that too */
        counts[run.count < from->count ? 2 : 3]++;
    }
    log_run_done(&run);
}

static void test_every_byte(void **state)
{
    struct log_run run;
    for (int all_synced = 0; all_synced < 2; all_synced++) {
        small_log(&run, all_synced);
        unsigned counts[4] = {0};
        const char *names[] = {"0000000000000001.seg", "0000000000000002.seg"};
        uint64_t bases[2] = {LOG_LSN_FIRST, run.records[4].lsn - LOG_BATCH_OVERHEAD_BYTES};
        uint64_t ends[2] = {bases[1], run.records[run.count - 1].lsn + 200};
        for (int s = 0; s < 2; s++) {
            for (uint64_t at = 0; at < 4096 + ends[s] - bases[s]; at++) {
                bool dense = at < 70 || (at > 4090 && at < 4300);
                bool near_a_record = false;
                for (uint64_t i = 0; i < run.count; i++) {
                    uint64_t lsn = bases[s] + at - 4096;
                    near_a_record |= lsn + 41 > run.records[i].lsn && lsn < run.records[i].lsn + 80;
                }
                if (dense || near_a_record || at % 397 == 0)
                    flip_and_judge(&run, names[s], bases[s], at, at % 8, counts);
            }
        }
        assert_int_equal(counts[0], 2 * 64);
        assert_true(counts[1] > 500);
        assert_true(all_synced ? counts[2] == 0 : counts[2] > 300);
        log_run_done(&run);
    }
}

/* Every byte of a record counts: below the synced position only padding can change unnoticed. */
static void test_no_flip_below_synced_goes_unnoticed(void **state)
{
    struct log_run run;
    small_log(&run, true);
    uint64_t lsn = run.records[1].lsn, first = 4096 + lsn - LOG_LSN_FIRST;
    unsigned unnoticed = 0;
    for (uint64_t at = first - LOG_BATCH_OVERHEAD_BYTES; at < first + 56; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct log_run one;
            int st;
            branch(&one, &run);
            sim_disk_flip(one.sim, "0000000000000001.seg", at, bit);
            log_run_open(&one, &st);
            if (st == 0) {
                unnoticed++;
                assert_true(at >= first + 32 + 21); /* 3 bytes of padding */
            } else {
                assert_int_equal(st, ST_CORRUPT);
            }
            log_run_done(&one);
        }
    }
    assert_int_equal(unnoticed, 3 * 8);
    log_run_done(&run);
}

static void test_missing_segment(void **state)
{
    struct log_run run;
    int st;
    log_run_init(&run, 5, false);
    assert_null(log_run_open(&run, &st));
    for (int i = 0; i < 12; i++) {
        assert_int_equal(log_run_spares(&run), 0);
        assert_int_equal(log_run_append_one(&run, 25000), 0);
        assert_int_equal(log_run_sync(&run), 0);
    }
    log_run_close(&run);
    sim_disk_kill(run.sim);
    struct disk *disk = sim_disk_disk(run.sim);
    assert_int_equal(disk->ops->unlink(disk, "0000000000000003.seg"), 0);
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, ST_CORRUPT);
    assert_non_null(strstr(run.report.message, "is missing"));
    assert_non_null(strstr(run.report.message, "0000000000000002.seg"));
    log_run_done(&run);
}

/* The end is gone with all that tells of it; only the caller knows better. */
static void test_missing_end(void **state)
{
    struct log_run run, twin;
    int st;
    small_log(&run, true);
    uint64_t end = run.records[5].lsn + 56;
    run.synced = 0; /* not the model's to complain about */
    struct disk *disk = sim_disk_disk(run.sim);
    assert_int_equal(disk->ops->unlink(disk, "0000000000000002.seg"), 0);
    branch(&twin, &run);
    assert_null(log_run_open(&twin, &st));
    assert_int_equal(st, 0);
    assert_true(log_end_lsn(twin.log) < end);
    log_run_done(&twin);
    run.synced_min = end;
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, ST_CORRUPT);
    assert_string_equal(run.report.file, "0000000000000001.seg");
    run.cut_corrupt = true;
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, 0);
    assert_true(run.report.loss);
    assert_true(log_end_lsn(run.log) >= end);
    run.cut_corrupt = false;
    log_run_close(&run);
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, 0); /* the loss is accepted once and for all */
    log_run_done(&run);
}

static void test_all_segments_missing(void **state)
{
    struct log_run run;
    int st;
    small_log(&run, true);
    struct sim_disk *wiped = sim_disk_new();
    struct sim_disk *full = run.sim;
    run.sim = wiped;
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, ST_CORRUPT);
    sim_disk_free(full);
    log_run_done(&run);
}

static void test_foreign_and_newer(void **state)
{
    struct log_run run;
    int st;
    small_log(&run, true);
    struct log_options options = {.log_id = 42, .segment_bytes = LOG_RUN_SEGMENT_BYTES};
    struct log_callbacks callbacks = {0};
    struct log *log;
    struct log_recovery report;
    assert_int_equal(log_open(sim_disk_disk(run.sim), &options, &callbacks, &report, &log),
                     ST_INVALID);
    assert_non_null(strstr(report.message, "another data directory"));

    struct disk *disk = sim_disk_disk(run.sim);
    struct disk_file *file;
    /* As a future program would write it: version 2, checksum in its place. */
    static const uint8_t newer[64] = {0x54, 0x4f, 0x52, 0x43, 0x73,
                                      0x65, 0x67, 0x0a, 0x02, [60] = 0x00};
    uint8_t header[64];
    memcpy(header, newer, sizeof(header));
    uint32_t crc = crc32c(0, header, 60);
    bytes_put_u32(header + 60, crc);
    assert_int_equal(disk->ops->open(disk, "0000000000000002.seg", DISK_WRITE, &file), 0);
    struct iovec iov = {.iov_base = header, .iov_len = sizeof(header)};
    assert_int_equal(disk->ops->pwritev(file, &iov, 1, 0), 0);
    disk->ops->close(file);
    run.cut_corrupt = true; /* nothing to accept here */
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, ST_VERSION);
    assert_non_null(strstr(run.report.message, "newer"));
    log_run_done(&run);
}

static void count_damaged(void *ctx, const char *name)
{
    *(unsigned *)ctx += strstr(name, ".damaged") != NULL;
}

static unsigned damaged_files(struct log_run *run)
{
    unsigned count = 0;
    struct disk *disk = sim_disk_disk(run->sim);
    disk->ops->list(disk, count_damaged, &count);
    return count;
}

/* The loss is accepted: the prefix stays, the rest is set aside, and the log goes on above every
 * position that was ever used. */
static void test_accept_the_loss(void **state)
{
    struct log_run run;
    int st;
    small_log(&run, true);
    uint64_t end = run.records[5].lsn + 100;
    sim_disk_flip(run.sim, "0000000000000001.seg", 4096 + run.records[2].lsn - LOG_LSN_FIRST + 500,
                  3);
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, ST_CORRUPT);
    assert_int_equal(damaged_files(&run), 0); /* a refusal changes nothing */
    run.cut_corrupt = true;
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, 0);
    assert_true(run.report.loss);
    assert_int_equal(run.count, 2);
    assert_int_equal(damaged_files(&run), 2);
    assert_true(log_end_lsn(run.log) >= end);
    run.cut_corrupt = false;
    for (int life = 0; life < 4; life++) {
        assert_int_equal(log_run_turns(&run, 10), 0);
        run.synced = run.count;
        log_run_close(&run);
        sim_disk_kill(run.sim);
        assert_null(log_run_open(&run, &st));
        assert_int_equal(st, 0);
    }
    assert_int_equal(damaged_files(&run), 2);
    log_run_done(&run);
}

static void test_accept_a_lost_header(void **state)
{
    for (int which = 1; which <= 2; which++) {
        struct log_run run;
        int st;
        small_log(&run, true);
        sim_disk_flip(run.sim, which == 1 ? "0000000000000001.seg" : "0000000000000002.seg", 33, 0);
        assert_null(log_run_open(&run, &st));
        assert_int_equal(st, ST_CORRUPT);
        if (which == 2) { /* when the first is lost, what is replayed begins too late */
            run.cut_corrupt = true;
            assert_null(log_run_open(&run, &st));
            assert_int_equal(st, 0);
            assert_int_equal(run.count, 4);
            assert_true(run.report.loss);
            run.cut_corrupt = false;
            assert_int_equal(log_run_turns(&run, 10), 0);
            run.synced = run.count;
            log_run_close(&run);
            sim_disk_kill(run.sim);
            assert_null(log_run_open(&run, &st));
            assert_int_equal(st, 0);
        }
        log_run_done(&run);
    }
}

static void put_file(struct sim_disk *sim, const char *name, uint64_t bytes)
{
    struct disk *disk = sim_disk_disk(sim);
    struct disk_file *file;
    assert_int_equal(disk->ops->open(disk, name, DISK_WRITE | DISK_CREATE, &file), 0);
    assert_int_equal(disk->ops->truncate(file, bytes), 0);
    disk->ops->close(file);
}

/* What an unfinished creation leaves is removed; other files are left alone. */
static void test_unfinished_files(void **state)
{
    struct log_run run;
    int st;
    uint64_t len;
    small_log(&run, true);
    put_file(run.sim, "0000000000000010.seg", 0);
    put_file(run.sim, "0000000000000011.seg", 100);
    put_file(run.sim, "0000000000000012.seg", LOG_RUN_SEGMENT_BYTES);
    put_file(run.sim, "notes.txt", 10);
    put_file(run.sim, "0000000000000013.damaged", 10);
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, 0);
    assert_null(sim_disk_bytes(run.sim, "0000000000000010.seg", &len));
    assert_null(sim_disk_bytes(run.sim, "0000000000000011.seg", &len));
    assert_null(sim_disk_bytes(run.sim, "0000000000000012.seg", &len));
    MEM_AUTO uint8_t *notes = sim_disk_bytes(run.sim, "notes.txt", &len);
    MEM_AUTO uint8_t *damaged = sim_disk_bytes(run.sim, "0000000000000013.damaged", &len);
    assert_non_null(notes);
    assert_non_null(damaged);
    log_run_done(&run);
}

/* The header page of the last segment reads as zeros (a lost write): not taken for a new spare. */
static void test_blanked_header_is_noticed(void **state)
{
    struct log_run run;
    int st;
    small_log(&run, true);
    struct disk *disk = sim_disk_disk(run.sim);
    struct disk_file *file;
    static uint8_t zeros[4096];
    struct iovec iov = {.iov_base = zeros, .iov_len = sizeof(zeros)};
    assert_int_equal(disk->ops->open(disk, "0000000000000002.seg", DISK_WRITE, &file), 0);
    assert_int_equal(disk->ops->pwritev(file, &iov, 1, 0), 0);
    disk->ops->close(file);
    assert_null(log_run_open(&run, &st));
    assert_int_equal(st, ST_CORRUPT);
    log_run_done(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_no_flip_below_synced_goes_unnoticed),
        cmocka_unit_test(test_missing_segment),
        cmocka_unit_test(test_missing_end),
        cmocka_unit_test(test_all_segments_missing),
        cmocka_unit_test(test_foreign_and_newer),
        cmocka_unit_test(test_accept_the_loss),
        cmocka_unit_test(test_accept_a_lost_header),
        cmocka_unit_test(test_unfinished_files),
        cmocka_unit_test(test_blanked_header_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
