/* The property tests are able to fail: here placement is built with its planted bugs, and the same
 * histories must find each of them, and nothing without one. The sources are part of this program,
 * so the library's are not linked. */
#ifndef TORC_PLANTED
#define TORC_PLANTED
#endif

#include "placement_check.h"

#include "base/planted.h"
#include "ring/placement.c"
#include "ring/placement_path.c"
#include "ring/placement_share.c"

#define SEEDS 20

static int found(int bug)
{
    planted_bug = bug;
    int count = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        count += check_history(seed, 3) != NULL;
    planted_bug = PLANTED_none;
    return count;
}

static void test_planted_bugs_are_found(void **state)
{
    assert_int_equal(found(PLANTED_none), 0);
    assert_true(found(PLANTED_ring_zone_ignored) >= SEEDS / 4);
    assert_true(found(PLANTED_ring_bound_ignored) >= SEEDS / 2);
    assert_true(found(PLANTED_ring_order_dependent) >= SEEDS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planted_bugs_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
