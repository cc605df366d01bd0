#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/histogram.h"
#include "base/prng.h"

static struct histogram h, other;

static void test_empty_and_single(void **state)
{
    histogram_reset(&h);
    assert_true(histogram_percentile(&h, 50) == 0);
    histogram_add(&h, 1234567);
    for (int percent = 0; percent <= 100; percent += 10)
        assert_true(histogram_percentile(&h, percent) == 1234567);
    assert_true(h.min == 1234567 && h.max == 1234567 && h.sum == 1234567 && h.count == 1);
}

static void test_small_values_are_exact(void **state)
{
    histogram_reset(&h);
    for (uint64_t i = 1; i <= 100; i++)
        histogram_add(&h, i);
    for (uint64_t i = 1; i <= 100; i++)
        assert_true(histogram_percentile(&h, (double)i) == i);
    assert_true(histogram_percentile(&h, 0) == 1);
}

/* Around each power of two and in between, the answer is at least the value and at most 1/64 off.
 */
static void test_error_is_bounded_over_the_whole_range(void **state)
{
    struct prng prng = prng_make(12);
    for (int bits = 0; bits < 64; bits++) {
        for (int i = 0; i < 20; i++) {
            uint64_t base = UINT64_C(1) << bits;
            uint64_t value = i == 0 ? base : i == 1 ? base - 1 : base + prng_below(&prng, base);
            histogram_reset(&h);
            histogram_add(&h, value);
            histogram_add(&h, UINT64_MAX); /* so that max does not round for us */
            uint64_t answer = histogram_percentile(&h, 50);
            assert_true(answer >= value);
            assert_true(answer - value <= value / 64);
        }
    }
    assert_true(histogram_percentile(&h, 100) == UINT64_MAX);
}

static void test_many_at_once_and_counting(void **state)
{
    struct prng prng = prng_make(3);
    static struct histogram one_by_one;
    histogram_reset(&h);
    histogram_reset(&one_by_one);
    uint64_t below[41] = {0};
    for (int i = 0; i < 1000; i++) {
        uint64_t value = prng_below(&prng, UINT64_C(1) << prng_below(&prng, 41));
        uint64_t times = prng_below(&prng, 5);
        histogram_add_many(&h, value, times);
        for (uint64_t n = 0; n < times; n++)
            histogram_add(&one_by_one, value);
        for (unsigned bits = 0; bits <= 40; bits++)
            below[bits] += value < UINT64_C(1) << bits ? times : 0;
    }
    assert_memory_equal(&h, &one_by_one, sizeof(h));
    for (unsigned bits = 0; bits <= 40; bits++)
        assert_true(histogram_count_to(&h, (UINT64_C(1) << bits) - 1) == below[bits]);
    assert_true(histogram_count_to(&h, UINT64_MAX) == h.count);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_percentiles_against_a_sorted_array(void **state)
{
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    struct prng prng = prng_make(13);
    histogram_reset(&h);
    histogram_reset(&other);
    for (int i = 0; i < COUNT; i++) {
        values[i] = prng_u64(&prng) >> prng_below(&prng, 60);
        histogram_add(i % 3 ? &h : &other, values[i]);
    }
    histogram_merge(&h, &other);
    assert_true(h.count == COUNT);
    qsort(values, COUNT, sizeof(values[0]), compare_u64);
    assert_true(h.min == values[0] && h.max == values[COUNT - 1]);
    static const double percents[] = {0.01, 1, 25, 50, 90, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        uint64_t exact = values[(size_t)(percents[i] / 100 * COUNT + 0.5) - 1];
        uint64_t answer = histogram_percentile(&h, percents[i]);
        assert_true(answer >= exact);
        assert_true(answer - exact <= exact / 64);
    }
}

static void test_merge_with_empty(void **state)
{
    histogram_reset(&h);
    histogram_reset(&other);
    histogram_add(&other, 7);
    histogram_merge(&h, &other);
    assert_true(h.min == 7 && h.max == 7 && h.count == 1);
    histogram_reset(&other);
    histogram_merge(&h, &other);
    assert_true(h.min == 7 && h.max == 7 && h.count == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_and_single),
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_error_is_bounded_over_the_whole_range),
        cmocka_unit_test(test_many_at_once_and_counting),
        cmocka_unit_test(test_percentiles_against_a_sorted_array),
        cmocka_unit_test(test_merge_with_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
