#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/prng.h"
#include "ring/tokens.h"

/* From an implementation of MurmurHash3 that shares nothing with ours. A change of these moves
 * everybody's data. */
static void test_golden(void **state)
{
    const struct {
        uint64_t id;
        uint32_t i;
        uint64_t token;
    } members[] = {
        {1, 0, 0xb6b39d872ae80d26},
        {1, 1, 0x9b4e96bf46b554b5},
        {1, 149, 0x8f1b6bdcf03268ca},
        {2, 0, 0xe9f11ecd89607676},
        {0xfedcba9876543210, 7, 0x0e129aefa5bc96c9},
        {UINT64_MAX, UINT32_MAX, 0x47bee0f631f10306},
    };
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        assert_true(token_of_member(members[i].id, members[i].i) == members[i].token);
    assert_true(token_of_partition(0) == 0x7d480f9fa80ec469);
    assert_true(token_of_partition(1) == 0xbf9c4275a7c601bc);
    assert_true(token_of_partition(255) == 0xc30c000af97f6000);
    assert_true(token_of_partition(16383) == 0x9e65fd20cb15529c);
}

static void test_counts(void **state)
{
    assert_int_equal(token_count(0), 0);
    assert_int_equal(token_count(1), 1);
    assert_int_equal(token_count(2), 3);
    assert_int_equal(token_count(100), 150);
    assert_int_equal(token_count(250), 375);
}

/* Against a search over all tokens. */
static void test_ring_is_walked_clockwise(void **state)
{
    const uint64_t ids[] = {3, 9, 1000, UINT64_MAX};
    const uint16_t weights[] = {100, 50, 0, 2};
    struct tokens *ring = tokens_create(ids, weights, 4);
    assert_int_equal(tokens_count(ring), 150 + 75 + 3);
    struct prng prng = prng_make(1);
    for (int round = 0; round < 1000; round++) {
        uint64_t at = round == 0 ? 0 : round == 1 ? UINT64_MAX : prng_u64(&prng), best = UINT64_MAX;
        if (round > 900)
            at = token_of_member(3, (uint32_t)round - 900);
        unsigned who = 0;
        for (unsigned m = 0; m < 4; m++) {
            uint64_t own = UINT64_MAX;
            for (uint32_t i = 0; i < token_count(weights[m]); i++) {
                uint64_t d = token_of_member(ids[m], i) - at;
                own = d < own ? d : own;
            }
            if (weights[m] > 0)
                assert_true(tokens_distance(ring, m, at) == own);
            if (own < best) {
                best = own;
                who = m;
            }
        }
        uint32_t from = tokens_from(ring, at);
        assert_int_equal(tokens_member(ring, from), who);
        unsigned seen[4] = {0}; /* once around: each member as often as it has tokens */
        for (uint32_t i = 0; i < tokens_count(ring); i++)
            seen[tokens_member(ring, from + i)]++;
        assert_int_equal(seen[0], 150);
        assert_int_equal(seen[2], 0);
        assert_int_equal(seen[3], 3);
    }
    tokens_free(ring);
}

static void test_nobody(void **state)
{
    struct tokens *ring = tokens_create(NULL, NULL, 0);
    assert_int_equal(tokens_count(ring), 0);
    assert_int_equal(tokens_from(ring, 7), 0);
    tokens_free(ring);
    tokens_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_ring_is_walked_clockwise),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
