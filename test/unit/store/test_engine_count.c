/* Counts of keys, dropped keyspaces, expiry. */
#include <stdio.h>

#include "store/engine_fixture.h"

struct counter {
    struct engine_count count;
    int st;
    unsigned calls;
};

static void counted(struct engine_count *count, int st)
{
    struct counter *c = container_of(count, struct counter, count);
    c->st = st;
    c->calls++;
}

static struct counter count(struct fixture *f)
{
    struct counter c = {.count = {.keyspace = SPACE, .now_ms = f->now_ms, .done = counted}};
    engine_count(f->e, &c.count);
    if (c.calls == 0)
        turns_and_work(f);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.st, 0);
    return c;
}

static void test_count_stays_known(void **state)
{
    struct fixture f;
    uint64_t keys, expiring;
    start(&f, false);
    put(&f, "a", "1");
    put_value(&f, "b", slice_str("1"), f.now_ms + 50000);
    put(&f, "c", "1");
    erase(&f, "c");
    erase(&f, "x");
    flush(&f);
    put(&f, "a", "2"); /* still in memory: its former state is known */
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), 0);
    assert_int_equal(keys, 2);
    assert_int_equal(expiring, 1);
    f.now_ms += 60000; /* b is in the tier too, from where it may vanish unseen */
    turn(&f);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    assert_int_equal(count(&f).count.keys, 1);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), 0);
    assert_int_equal(expiring, 0);
    finish(&f);
}

static void test_count_after_restart(void **state)
{
    struct fixture f;
    uint64_t keys, expiring;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "1");
    flush(&f);
    restart(&f);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    assert_int_equal(engine_count_known(f.e, SPACE + 1, &keys, &expiring), 0); /* a new one */
    assert_int_equal(keys, 0);
    put(&f, "a", "2");
    put(&f, "i", "2");
    assert_int_equal(count(&f).count.keys, 9);
    put(&f, "b", "3"); /* blind: was it there? */
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    assert_int_equal(count(&f).count.keys, 9);
    finish(&f);
}

static void expect_known(struct fixture *f, uint64_t want)
{
    uint64_t keys, expiring;
    assert_int_equal(engine_count_known(f->e, SPACE, &keys, &expiring), 0);
    assert_int_equal(keys, want);
}

static void test_count_soon(void **state)
{
    struct fixture f;
    uint64_t keys, expiring;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "1");
    flush(&f);
    restart(&f);
    f.e->count_step_rows = 1;
    engine_count_soon(f.e, SPACE);
    put(&f, "i", "1"); /* before the freeze */
    turn(&f);
    for (int steps = 0; steps < PARTITIONS; steps++) { /* the flush is one work too */
        assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
        assert_int_equal(work_later_pending(&f.later), 1);
        work_later_run(&f.later, 0);
        work_later_finish(&f.later, 0);
    }
    put(&f, "j", "1"); /* while it is counted: nothing is known to be in the tier */
    engine_count_estimate(f.e, SPACE, &keys, &expiring);
    assert_int_equal(keys, 2);
    turns_and_work(&f);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    engine_count_estimate(f.e, SPACE, &keys, &expiring);
    assert_int_equal(keys, 10);
    engine_count_soon(f.e, SPACE); /* not yet again */
    turns_and_work(&f);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    f.now_ms += ENGINE_COUNT_PAUSE_MS_MIN;
    turn(&f);
    engine_count_soon(f.e, SPACE);
    turns_and_work(&f);
    expect_known(&f, 10);
    finish(&f);
}

static void test_count_stops(void **state)
{
    struct fixture f;
    uint64_t keys, expiring;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "1");
    flush(&f);
    restart(&f);
    engine_count_soon(f.e, SPACE);
    turn(&f);
    assert_false(engine_idle(f.e));
    engine_counts_stop(f.e);
    work_later_all(&f.later);
    assert_true(engine_idle(f.e));
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    finish(&f);
}

static void test_count_failure_is_told(void **state)
{
    struct fixture f;
    struct counter c = {.count = {.keyspace = SPACE, .done = counted}};
    start(&f, false);
    put(&f, "a", "1");
    flush(&f);
    restart(&f);
    put(&f, "b", "1");
    tier_model_fail(f.model, TIER_MODEL_FINISH, ST_NOSPACE, 1);
    engine_count(f.e, &c.count);
    turn(&f);
    work_later_all(&f.later);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.st, ST_NOSPACE);
    f.now_ms += 1000;
    assert_int_equal(count(&f).count.keys, 2);
    finish(&f);
}

/* A flush that failed for good is never tried again: counts that need it, or one behind it, end. */
static void test_counts_end_when_flushes_failed_for_good(void **state)
{
    struct fixture f;
    struct counter early = {.count = {.keyspace = SPACE, .done = counted}};
    struct counter late = early;
    uint64_t keys, expiring;
    start(&f, false);
    put(&f, "a", "1");
    flush(&f);
    restart(&f);
    put(&f, "b", "1");
    engine_flush(f.e, f.lsn);
    put(&f, "c", "1");
    tier_model_fail(f.model, TIER_MODEL_FINISH, ST_IO, 1);
    engine_count(f.e, &early.count); /* freezes a generation behind the one that is flushed */
    turn(&f);
    assert_int_equal(f.e->frozen_count, 2);
    work_later_all(&f.later);
    assert_int_equal(early.calls, 1);
    assert_int_equal(early.st, ST_IO);
    engine_count(f.e, &late.count);
    turn(&f);
    assert_int_equal(late.calls, 1);
    assert_int_equal(late.st, ST_IO);
    f.now_ms += ENGINE_COUNT_PAUSE_MS_MIN;
    engine_count_soon(f.e, SPACE);
    turns_and_work(&f);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    finish(&f);
}

static void test_drop_frees_both(void **state)
{
    struct fixture f;
    struct engine_stats stats;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "1");
    flush(&f);
    assert_int_equal(tier_model_rows(f.model), 8 + PARTITIONS);
    put(&f, "i", "1");
    engine_drop_keyspace(f.e, SPACE);
    turns_and_work(&f);
    assert_int_equal(tier_model_rows(f.model), PARTITIONS); /* the watermarks */
    engine_stats(f.e, &stats);
    assert_int_equal(stats.records, 0);
    flush(&f);
    turns_and_work(&f);
    assert_int_equal(tier_model_rows(f.model), PARTITIONS);
    assert_true(list_empty(&f.e->drops));
    finish(&f);
}

static void test_drop_during_flush(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    engine_flush(f.e, f.lsn); /* begun: does not know of the drop */
    engine_drop_keyspace(f.e, SPACE);
    turn(&f);
    assert_int_equal(work_later_pending(&f.later), 1); /* the drop's own work waits for it */
    turns_and_work(&f);
    assert_int_equal(tier_model_rows(f.model), 1);
    assert_true(list_empty(&f.e->drops));
    finish(&f);
}

/* --- expiry --- */

static void test_expired_values_leave_memory(void **state)
{
    struct fixture f;
    uint8_t value[4096] = {0};
    struct engine_stats before, after;
    start(&f, true);
    for (int i = 0; i < 4000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        put_value(&f, name, slice_make(value, sizeof(value)), f.now_ms + 100);
    }
    engine_stats(f.e, &before);
    f.now_ms += 200;
    for (int i = 0; i < 400; i++) {
        f.now_ms += 100;
        turn(&f);
    }
    engine_stats(f.e, &after);
    assert_int_equal(after.expired, 4000);
    assert_int_equal(after.records, 0);
    assert_true(after.table_bytes < before.table_bytes / 4);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_stays_known),
        cmocka_unit_test(test_count_after_restart),
        cmocka_unit_test(test_count_soon),
        cmocka_unit_test(test_count_stops),
        cmocka_unit_test(test_count_failure_is_told),
        cmocka_unit_test(test_counts_end_when_flushes_failed_for_good),
        cmocka_unit_test(test_drop_frees_both),
        cmocka_unit_test(test_drop_during_flush),
        cmocka_unit_test(test_expired_values_leave_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
