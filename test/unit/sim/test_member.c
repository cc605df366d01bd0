/* Random histories of members. Each must end with everybody knowing everybody, and nothing be held
 * on the way that never was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/member_world.h"

#define SEEDS 60

static void print_line(void *ctx, const char *text)
{
    puts(text);
}

static uint64_t run(uint64_t seed, unsigned nodes)
{
    struct world *w = world_new(seed);
    if (getenv("MEMBER_TRACE") != NULL)
        world_set_sink(w, print_line, NULL);
    member_chaos(w, nodes);
    if (world_failed(w) != NULL)
        fail_msg("seed %d: %s: %s", (int)seed, world_failed(w), world_failure(w));
    uint64_t hash = world_hash(w);
    world_free(w);
    return hash;
}

static void test_random_histories(void **state)
{
    const char *first = getenv("MEMBER_SEED"), *count = getenv("MEMBER_SEEDS");
    uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;
    uint64_t seeds = count != NULL ? strtoull(count, NULL, 10) : SEEDS;
    for (uint64_t i = 0; i < seeds; i++)
        run(seed + i, 3 + (unsigned)((seed + i) % 6));
}

static void test_same_seed_same_history(void **state)
{
    assert_int_equal(run(5, 5), run(5, 5));
    assert_int_not_equal(run(5, 5), run(6, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_same_seed_same_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
