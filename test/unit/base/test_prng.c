#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/prng.h"

/* Outputs of the authors' reference code: splitmix64 from 0, and xoshiro256** from 1, 2, 3, 4. */
static void test_known_answers(void **state)
{
    struct prng seeded = prng_make(0);
    assert_true(seeded.s[0] == 0xe220a8397b1dcdaf);
    assert_true(seeded.s[1] == 0x6e789e6aa1b965f4);
    assert_true(seeded.s[2] == 0x06c45d188009454f);
    struct prng p = {.s = {1, 2, 3, 4}};
    static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240};
    for (int i = 0; i < 4; i++)
        assert_true(prng_u64(&p) == want[i]);
}

static void test_a_copy_replays(void **state)
{
    struct prng a = prng_make(42), b = a;
    for (int i = 0; i < 1000; i++)
        assert_true(prng_u64(&a) == prng_u64(&b));
    struct prng c = prng_make(43);
    assert_true(prng_u64(&a) != prng_u64(&c));
}

static void test_below_is_even(void **state)
{
    struct prng p = prng_make(3);
    int counts[6] = {0};
    for (int i = 0; i < 60000; i++)
        counts[prng_below(&p, 6)]++;
    for (int i = 0; i < 6; i++) /* five standard deviations are 456 */
        assert_in_range(counts[i], 10000 - 460, 10000 + 460);
    for (int i = 0; i < 100; i++)
        assert_true(prng_below(&p, 1) == 0);
    /* A bound of 3 * 2^62 shows modulo bias at once: the lower third would come twice as often. */
    int low = 0;
    for (int i = 0; i < 30000; i++)
        low += prng_below(&p, 3ull << 62) < 1ull << 62;
    assert_in_range(low, 10000 - 410, 10000 + 410);
}

static void test_double(void **state)
{
    struct prng p = prng_make(5);
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        double x = prng_double(&p);
        assert_true(x >= 0 && x < 1);
        sum += x;
    }
    assert_true(sum > 4850 && sum < 5150);
}

static void test_fill_writes_exactly(void **state)
{
    struct prng p = prng_make(6);
    for (size_t n = 0; n < 40; n++) {
        uint8_t bytes[48];
        memset(bytes, 0xee, sizeof(bytes));
        prng_fill(&p, bytes, n);
        for (size_t i = n; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0xee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),       cmocka_unit_test(test_a_copy_replays),
        cmocka_unit_test(test_below_is_even),       cmocka_unit_test(test_double),
        cmocka_unit_test(test_fill_writes_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
