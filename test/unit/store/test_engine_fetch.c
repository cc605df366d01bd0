/* Fetches from the tier: shared, bounded, cancelled by writes. */
#include <stdio.h>

#include "store/engine_fixture.h"

static void cold_key(struct fixture *f, const char *name, const char *value)
{
    put(f, name, value);
    flush(f);
    restart(f);
    tier_model_cached(f->model, 0);
}

static void test_fetches_share_one_read(void **state)
{
    struct fixture f;
    struct record r;
    struct waiter w[3] = {0};
    struct engine_stats stats;
    start(&f, false);
    cold_key(&f, "a", "1");
    struct key key = key_in(SPACE, "a");
    assert_int_equal(get(&f, "a", &r), ST_COLD);
    for (int i = 0; i < 3; i++) {
        w[i].wait.done = woken;
        engine_fetch(f.e, &key, &w[i].wait);
    }
    assert_int_equal(work_later_pending(&f.later), 1);
    engine_fetch_cancel(f.e, &w[1].wait);
    work_later_all(&f.later);
    assert_int_equal(w[0].calls + w[2].calls, 2);
    assert_int_equal(w[1].calls, 0);
    assert_int_equal(get(&f, "a", &r), 0);
    assert_int_equal(get(&f, "e", &r), ST_COLD); /* another key of the same partition */
    engine_stats(f.e, &stats);
    assert_int_equal(stats.tier_reads_background, 1);
    finish(&f);
}

static void test_absent_is_remembered(void **state)
{
    struct fixture f;
    struct record r;
    struct waiter w = {.wait.done = woken};
    start(&f, false);
    cold_key(&f, "a", "1");
    struct key key = key_in(SPACE, "e");
    assert_int_equal(get(&f, "e", &r), ST_COLD);
    engine_fetch(f.e, &key, &w.wait);
    work_later_all(&f.later);
    assert_int_equal(w.st, 0);
    assert_int_equal(get(&f, "e", &r), ST_NOTFOUND);
    assert_int_equal(get(&f, "b", &r), ST_NOTFOUND); /* its partition was never flushed */
    finish(&f);
}

static void test_fetch_errors_are_told(void **state)
{
    struct fixture f;
    struct record r;
    struct waiter w = {.wait.done = woken};
    start(&f, false);
    cold_key(&f, "a", "1");
    struct key key = key_in(SPACE, "a");
    tier_model_fail(f.model, TIER_MODEL_GET, ST_IO, 1);
    engine_fetch(f.e, &key, &w.wait);
    work_later_all(&f.later);
    assert_int_equal(w.st, ST_IO);
    assert_int_equal(get(&f, "a", &r), ST_COLD);
    finish(&f);
}

static void test_put_overtakes_fetch(void **state)
{
    struct fixture f;
    struct record r;
    struct waiter w = {.wait.done = woken};
    start(&f, false);
    cold_key(&f, "a", "old");
    struct key key = key_in(SPACE, "a");
    engine_fetch(f.e, &key, &w.wait);
    work_later_run(&f.later, 0); /* has read the old one */
    put(&f, "a", "new");
    work_later_finish(&f.later, 0);
    assert_int_equal(w.calls, 1);
    assert_int_equal(get(&f, "a", &r), 0);
    assert_true(slice_equal(r.value, slice_str("new")));
    finish(&f);
}

static void test_many_fetches_wait(void **state)
{
    struct fixture f;
    static struct waiter w[ENGINE_FETCHES_MAX * 2];
    memset(w, 0, sizeof(w));
    start(&f, false);
    cold_key(&f, "a", "1");
    for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
        char name[16];
        snprintf(name, sizeof(name), "a%zu", i);
        struct key key = key_in(SPACE, name);
        w[i].wait.done = woken;
        engine_fetch(f.e, &key, &w[i].wait);
    }
    assert_int_equal(work_later_pending(&f.later), ENGINE_FETCHES_MAX);
    work_later_all(&f.later);
    for (size_t i = 0; i < ARRAY_SIZE(w); i++)
        assert_int_equal(w[i].calls, 1);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetches_share_one_read), cmocka_unit_test(test_absent_is_remembered),
        cmocka_unit_test(test_fetch_errors_are_told),  cmocka_unit_test(test_put_overtakes_fetch),
        cmocka_unit_test(test_many_fetches_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
