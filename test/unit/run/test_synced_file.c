#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "run/synced_file.h"
#include "sim/disk.h"

#define LOG_ID 7

static uint64_t position(struct sim_disk *sim, uint64_t log_id)
{
    struct synced_file *f = synced_file_open(sim_disk_disk(sim), log_id);
    uint64_t lsn = synced_file_position(f);
    synced_file_close(f);
    return lsn;
}

static void write_once(struct sim_disk *sim, uint64_t lsn)
{
    struct synced_file *f = synced_file_open(sim_disk_disk(sim), LOG_ID);
    assert_non_null(f);
    synced_file_write(f, lsn);
    synced_file_close(f);
}

static void test_says_what_was_written_last(void **state)
{
    struct sim_disk *sim = sim_disk_new();
    assert_int_equal(position(sim, LOG_ID), 0);
    for (uint64_t lsn = 4096; lsn < 5000; lsn += 200) {
        write_once(sim, lsn);
        assert_int_equal(position(sim, LOG_ID), lsn);
    }
    assert_int_equal(position(sim, LOG_ID + 1), 0); /* of another log */
    sim_disk_free(sim);
}

static void test_no_damage_is_believed(void **state)
{
    struct sim_disk *sim = sim_disk_new();
    write_once(sim, 123456);
    for (uint64_t offset = 0; offset < 32; offset++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            sim_disk_flip(sim, SYNCED_FILE, offset, bit);
            assert_int_equal(position(sim, LOG_ID), 0);
            sim_disk_flip(sim, SYNCED_FILE, offset, bit);
        }
    }
    assert_int_equal(position(sim, LOG_ID), 123456);
    sim_disk_free(sim);
}

static void test_power_cuts(void **state)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_disk *sim = sim_disk_new();
        write_once(sim, 1000);
        write_once(sim, 2000);
        sim_disk_crash(sim, seed);
        uint64_t lsn = position(sim, LOG_ID);
        assert_true(lsn == 0 || lsn == 1000 || lsn == 2000);
        sim_disk_free(sim);
    }
}

static void test_no_file_is_no_failure(void **state)
{
    struct sim_disk *sim = sim_disk_new();
    sim_disk_fail_write(sim, true);
    write_once(sim, 1000);
    assert_int_equal(position(sim, LOG_ID), 0);
    synced_file_write(NULL, 1);
    assert_int_equal(synced_file_position(NULL), 0);
    synced_file_close(NULL);
    sim_disk_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_what_was_written_last),
        cmocka_unit_test(test_no_damage_is_believed),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_no_file_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
