#include "node/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"

static void test_the_slowest_of_a_second(void **state)
{
    struct latency_series s = {0};
    latency_add(&s, 100, 5);
    latency_add(&s, 100, 9);
    latency_add(&s, 100, 7);
    latency_add(&s, 103, 1);
    assert_int_equal(s.count, 2);
    assert_int_equal(latency_at(&s, 0).at_s, 100);
    assert_int_equal(latency_at(&s, 0).took_ms, 9);
    assert_int_equal(latency_at(&s, 1).took_ms, 1);
    assert_int_equal(s.max_ms, 9);
    latency_add(&s, 104, UINT64_MAX);
    assert_true(s.max_ms == UINT32_MAX);
}

static void test_the_newest_are_kept(void **state)
{
    struct latency_series s = {0};
    latency_add(&s, 1, 1000);
    for (unsigned i = 0; i < 3 * LATENCY_SAMPLES_MAX; i++)
        latency_add(&s, 10 + i, i);
    assert_int_equal(s.count, LATENCY_SAMPLES_MAX);
    for (unsigned i = 0; i < LATENCY_SAMPLES_MAX; i++)
        assert_int_equal(latency_at(&s, i).took_ms, 2 * LATENCY_SAMPLES_MAX + i);
    assert_int_equal(s.max_ms, 1000);
}

/* What two shards saw, merged, is what one that saw all would have kept. */
static void test_merge_is_as_if_one_saw_all(void **state)
{
    struct prng prng = prng_make(4);
    for (int round = 0; round < 50; round++) {
        struct latency_series parts[2] = {0}, all = {0};
        uint64_t at_s = 1, events = prng_below(&prng, 3 * LATENCY_SAMPLES_MAX);
        for (uint64_t i = 0; i < events; i++) {
            uint64_t ms = prng_below(&prng, 1000);
            at_s += prng_below(&prng, 2);
            latency_add(&parts[prng_below(&prng, 2)], at_s, ms);
            latency_add(&all, at_s, ms);
        }
        latency_merge(&parts[0], &parts[1]);
        assert_int_equal(parts[0].count, all.count);
        assert_int_equal(parts[0].max_ms, all.max_ms);
        for (unsigned i = 0; i < all.count; i++) {
            assert_int_equal(latency_at(&parts[0], i).at_s, latency_at(&all, i).at_s);
            assert_int_equal(latency_at(&parts[0], i).took_ms, latency_at(&all, i).took_ms);
        }
    }
}

static void test_names(void **state)
{
    for (int i = 0; i < LATENCY_EVENT_COUNT; i++)
        assert_int_equal(latency_find(slice_str(latency_name(i))), i);
    assert_int_equal(latency_find(slice_str("COMMAND")), LATENCY_COMMAND);
    assert_int_equal(latency_find(slice_str("fork")), -1);
    assert_int_equal(latency_find(slice_str("")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_slowest_of_a_second),
        cmocka_unit_test(test_the_newest_are_kept),
        cmocka_unit_test(test_merge_is_as_if_one_saw_all),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
