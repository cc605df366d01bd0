/* The cluster log under proposers who race: node/cluster_check.h. CLUSTER_HISTORIES=500 runs more
 * than the usual 24. */
#include "cluster_check.h"

#define COMMANDS 400

static void test_histories(void **state)
{
    const char *wanted = getenv("CLUSTER_HISTORIES");
    unsigned histories = wanted == NULL ? 24 : (unsigned)strtoul(wanted, NULL, 10);
    struct onlooker sum = {0};
    for (uint64_t seed = 1; seed <= histories; seed++) {
        const char *broken = check_history(seed, COMMANDS, &sum);
        if (broken != NULL)
            fail_msg("seed %u: %s", (unsigned)seed, broken);
    }
    printf("%u commands obeyed, %u moves begun, %u came too late\n", sum.obeyed, sum.moved,
           sum.raced);
    /* Else nothing was tested. */
    assert_true(sum.obeyed > histories * COMMANDS / 8);
    assert_true(sum.moved > histories * 8);
    assert_true(sum.raced > histories * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
