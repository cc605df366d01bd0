/* The property test of the cluster log is able to fail: here it is built with its planted bugs, and
 * the same histories must find each of them, and nothing without one. The sources are part of this
 * program, so the library's are not linked. */
#ifndef TORC_PLANTED
#define TORC_PLANTED
#endif

#include "cluster_check.h"

#include "base/planted.h"
#include "node/cluster_keyspaces.c"
#include "node/cluster_members.c"
#include "node/cluster_rows.c"

#define SEEDS    12
#define COMMANDS 400

static unsigned found(int bug)
{
    planted_bug = bug;
    unsigned count = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        count += check_history(seed, COMMANDS, NULL) != NULL;
    planted_bug = PLANTED_none;
    return count;
}

static void test_planted_bugs_are_found(void **state)
{
    unsigned none = found(PLANTED_none), unfenced = found(PLANTED_cluster_row_unfenced),
             removal = found(PLANTED_cluster_removal_unchecked),
             reused = found(PLANTED_cluster_keyspace_id_reused);
    printf("of %u: %u %u %u\n", SEEDS, unfenced, removal, reused);
    assert_int_equal(none, 0);
    assert_true(unfenced >= SEEDS / 2);
    assert_true(removal >= SEEDS / 4);
    assert_true(reused >= SEEDS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planted_bugs_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
