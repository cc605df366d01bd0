/* Flushing, freezing, pressure: what the random world (test_engine_random.c) does not look at. */
#include <stdio.h>

#include "store/engine_fixture.h"

static void test_watermarks_and_lsn(void **state)
{
    struct fixture f;
    struct record r;
    start(&f, false);
    put(&f, "a", "1");
    put(&f, "b", "2");
    assert_false(engine_flushed(f.e));
    uint64_t before = engine_flushed_lsn(f.e);
    assert_true(before <= 4096);
    engine_flush(f.e, f.lsn);
    uint64_t position = f.lsn;
    put(&f, "a", "3");
    assert_int_equal(engine_flushed_lsn(f.e), before);
    work_later_run(&f.later, 0);
    assert_int_equal(engine_flushed_lsn(f.e), before);
    work_later_finish(&f.later, 0);
    assert_int_equal(engine_flushed_lsn(f.e), position);
    struct key a = key_in(SPACE, "a");
    assert_int_equal(engine_partition(f.e, a.partition)->flushed_index, 1);
    assert_int_equal(engine_partition(f.e, a.partition)->index, 2);
    restart(&f); /* without a log the later write is lost, and the watermark says so */
    assert_int_equal(engine_partition(f.e, a.partition)->index, 1);
    assert_int_equal(engine_partition(f.e, a.partition)->counter, 1);
    assert_int_equal(engine_partition(f.e, a.partition)->actor, 0);
    tier_model_cached(f.model, 100);
    assert_int_equal(get(&f, "a", &r), 0);
    assert_true(slice_equal(r.value, slice_str("1")));
    finish(&f);
}

static void test_idle_shard_frees_the_log(void **state)
{
    struct fixture f;
    start(&f, false);
    f.lsn += 10000;
    turn(&f);
    assert_int_equal(engine_flushed_lsn(f.e), f.lsn);
    /* positions move without a put when a replay skips a dropped keyspace: they must be kept too */
    engine_partition(f.e, 1)->index = 7;
    f.lsn += 10000;
    turn(&f);
    assert_int_not_equal(engine_flushed_lsn(f.e), f.lsn);
    flush(&f);
    restart(&f);
    assert_int_equal(engine_partition(f.e, 1)->index, 7);
    finish(&f);
}

static void idle_turns(struct fixture *f)
{
    for (int i = 0; i < 20; i++) {
        engine_turn(f->e, f->lsn, ++f->now_ms);
        work_later_all(&f->later);
    }
}

/* What the log holds is of dropped keyspaces only: it is not kept until somebody writes. */
static void test_dropped_records_free_the_log(void **state)
{
    struct fixture f;
    start(&f, false);
    engine_partition(f.e, 1)->index = 7; /* a replay passed over them */
    for (int i = 0; i < 5; i++)
        turns_and_work(&f); /* it goes on: no flush for each of its turns */
    assert_int_equal(tier_model_bulks(f.model), 0);
    assert_true(engine_flushed_lsn(f.e) < f.lsn);
    idle_turns(&f);
    assert_int_equal(engine_flushed_lsn(f.e), f.lsn);
    put(&f, "a", "1"); /* what is live stays in the log */
    f.lsn += 10000;
    idle_turns(&f);
    assert_true(engine_flushed_lsn(f.e) < f.lsn);
    finish(&f);
}

/* Others' writes fill the log that an idle shard's watermark pins. */
static void test_watermarks_are_flushed_by_log_bytes(void **state)
{
    struct fixture f;
    start(&f, false);
    engine_partition(f.e, 1)->index = 7;
    for (int i = 0; i < 10; i++) {
        f.lsn += 1 << 27;
        turn(&f);
        work_later_all(&f.later);
    }
    assert_true(engine_flushed_lsn(f.e) + (1 << 28) > f.lsn);
    finish(&f);
}

static void test_freeze_by_log_bytes(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    turn(&f);
    assert_int_equal(work_later_pending(&f.later), 0);
    f.lsn += 1 << 30;
    turn(&f);
    assert_int_equal(work_later_pending(&f.later), 1);
    finish(&f);
}

static void fill(struct fixture *f, uint64_t bytes)
{
    uint8_t value[4096] = {0};
    for (uint64_t i = 0; i < bytes / sizeof(value); i++) {
        char name[24];
        snprintf(name, sizeof(name), "%llu-%llu", (unsigned long long)i,
                 (unsigned long long)f->lsn);
        put_value(f, name, slice_make(value, sizeof(value)), 0);
    }
}

static void test_pressure(void **state)
{
    struct fixture f;
    unsigned last = 0, risen = 0;
    start(&f, false);
    assert_int_equal(engine_pressure(f.e), 0);
    fill(&f, 9 << 20);
    turn(&f); /* past the half: frozen, and the flush is under way */
    assert_int_equal(work_later_pending(&f.later), 1);
    while (last < 1000) {
        fill(&f, 64 << 10);
        turn(&f);
        unsigned pressure = engine_pressure(f.e);
        assert_true(pressure >= last);
        risen += pressure > last;
        last = pressure;
    }
    assert_true(risen >= 3); /* by steps, not at once */
    turns_and_work(&f);
    assert_int_equal(engine_pressure(f.e), 0);
    finish(&f);
}

static void test_two_generations_at_most(void **state)
{
    struct fixture f;
    struct record r;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'e'; name[0]++) {
        put(&f, name, "v");
        engine_flush(f.e, f.lsn);
    }
    assert_int_equal(f.e->frozen_count, ENGINE_FROZEN_MAX);
    turns_and_work(&f);
    assert_true(engine_flushed(f.e)); /* what had to wait was frozen later */
    assert_int_equal(get(&f, "e", &r), 0);
    finish(&f);
}

static void test_flush_asked_for_is_retried_at_once(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    tier_model_fail(f.model, TIER_MODEL_FINISH, ST_NOSPACE, 2);
    for (uint64_t failures = 1; failures <= 2; failures++) {
        engine_flush(f.e, f.lsn);
        assert_int_equal(work_later_pending(&f.later), 1);
        work_later_all(&f.later);
        assert_int_equal(engine_flush_failures(f.e), failures);
    }
    engine_flush(f.e, f.lsn);
    work_later_all(&f.later);
    assert_int_equal(engine_flush_error(f.e), 0);
    finish(&f);
}

static void test_no_space_is_retried(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    tier_model_fail(f.model, TIER_MODEL_FINISH, ST_NOSPACE, 3);
    engine_flush(f.e, f.lsn);
    work_later_all(&f.later);
    assert_int_equal(engine_flush_error(f.e), ST_NOSPACE);
    turn(&f);
    assert_int_equal(work_later_pending(&f.later), 0); /* not at once */
    unsigned tries = 0;
    for (uint64_t end_ms = f.now_ms + 5000; f.now_ms < end_ms && engine_flush_error(f.e) != 0;) {
        turn(&f);
        tries += work_later_pending(&f.later) > 0;
        work_later_all(&f.later);
    }
    assert_int_equal(tries, 3);
    assert_int_equal(engine_flush_error(f.e), 0);
    turn(&f);
    assert_true(engine_flushed(f.e));
    finish(&f);
}

static void test_other_errors_stick(void **state)
{
    struct fixture f;
    struct record r;
    start(&f, false);
    put(&f, "a", "1");
    uint64_t lsn = engine_flushed_lsn(f.e);
    tier_model_fail(f.model, TIER_MODEL_BULK, ST_CORRUPT, 1);
    engine_flush(f.e, f.lsn);
    work_later_all(&f.later);
    f.now_ms += 100000;
    turns_and_work(&f);
    assert_int_equal(engine_flush_error(f.e), ST_CORRUPT);
    assert_int_equal(engine_flushed_lsn(f.e), lsn);
    assert_int_equal(get(&f, "a", &r), 0);
    finish(&f);
}

static void test_memory_only_limit(void **state)
{
    struct fixture f;
    struct record r;
    start(&f, true);
    put(&f, "a", "1");
    assert_int_equal(engine_flush_error(f.e), 0);
    fill(&f, 33 << 20);
    turn(&f);
    assert_int_equal(engine_pressure(f.e), 1000);
    assert_int_equal(engine_flush_error(f.e), ST_NOMEM);
    assert_int_equal(engine_flushed_lsn(f.e), f.lsn);
    erase(&f, "a");
    assert_int_equal(get(&f, "a", &r), ST_NOTFOUND); /* no tombstone is kept */
    engine_drop_keyspace(f.e, SPACE);
    for (int i = 0; i < 2000 && !list_empty(&f.e->drops); i++)
        turn(&f);
    assert_int_equal(engine_pressure(f.e), 0);
    assert_true(list_empty(&f.e->drops));
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watermarks_and_lsn),
        cmocka_unit_test(test_idle_shard_frees_the_log),
        cmocka_unit_test(test_dropped_records_free_the_log),
        cmocka_unit_test(test_watermarks_are_flushed_by_log_bytes),
        cmocka_unit_test(test_freeze_by_log_bytes),
        cmocka_unit_test(test_pressure),
        cmocka_unit_test(test_two_generations_at_most),
        cmocka_unit_test(test_flush_asked_for_is_retried_at_once),
        cmocka_unit_test(test_no_space_is_retried),
        cmocka_unit_test(test_other_errors_stick),
        cmocka_unit_test(test_memory_only_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
