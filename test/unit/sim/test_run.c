/* The frame as a whole, with the toy on it: it passes, the same seed is the same run, its planted
 * bugs are found and shrunk, and a child that crashes or hangs is a failure of its seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/planted.h"
#include "sim/run.h"
#include "sim/shrink.h"
#include "sim/toy.h"
#include "sim/workers.h"

static struct run_result run_toy(uint64_t seed)
{
    struct run_options o = {.workload = &workload_toy, .seed = seed};
    struct run_result r;
    run_seed(&o, &r);
    return r;
}

static void test_toy_passes(void **state)
{
    uint64_t fired[FAULT_KINDS] = {0};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run_result r = run_toy(seed);
        if (r.failed)
            fail_msg("seed %d: %s: %s", (int)seed, r.checker, r.message);
        assert_true(r.planned >= FAULTS_MIN);
        assert_true(r.counts.operations > 500);
        for (int i = 0; i < FAULT_KINDS; i++) {
            assert_true(r.faults.fired[i] == 0 || r.kinds >> i & 1);
            fired[i] += r.faults.fired[i];
        }
    }
    for (int i = 0; i < FAULT_KINDS; i++) {
        bool damage = i == FAULT_rot || i == FAULT_wipe || i == FAULT_restore_copy;
        assert_true(damage ? fired[i] == 0 : fired[i] > 0);
    }
}

static void test_same_seed_same_run(void **state)
{
    for (uint64_t seed = 100; seed < 104; seed++) {
        struct run_result a = run_toy(seed), b = run_toy(seed), other = run_toy(seed + 1);
        assert_int_equal(a.hash, b.hash);
        assert_int_equal(a.events, b.events);
        assert_int_not_equal(a.hash, other.hash);
    }
}

static unsigned seeds_until_found(int bug, const char *checker)
{
    unsigned seeds = 0;
    planted_bug = bug;
    for (uint64_t seed = 1; seed <= 100 && seeds == 0; seed++) {
        struct run_result r = run_toy(seed);
        if (!r.failed)
            continue;
        assert_string_equal(r.checker, checker);
        seeds = (unsigned)seed;
    }
    planted_bug = PLANTED_none;
    return seeds;
}

static void test_planted_bugs_are_found(void **state)
{
    assert_int_not_equal(seeds_until_found(PLANTED_toy_unsynced, "linear"), 0);
    assert_int_not_equal(seeds_until_found(PLANTED_toy_early_read, "linear"), 0);
    assert_int_not_equal(seeds_until_found(PLANTED_toy_no_retry, "liveness"), 0);
}

static void test_canary_always_fails(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct run_options o = {.workload = &workload_canary, .seed = seed};
        struct run_result r;
        run_seed(&o, &r);
        assert_true(r.failed);
        assert_string_equal(r.checker, "linear");
    }
}

/* --- children --- */

static struct run_result run_in_child(const struct workload *workload, uint64_t seed, bool twice,
                                      unsigned limit_s)
{
    struct workers *ws = workers_new(workload, 2, limit_s);
    struct work_order order = {.seed = seed, .twice = twice};
    struct run_result r;
    workers_give(ws, &order);
    workers_take(ws, &r);
    assert_int_equal(workers_idle(ws), 2);
    workers_free(ws);
    return r;
}

static void *create_crash(struct world *w, struct net **ret_net, struct process ***ret_processes,
                          unsigned *ret_count)
{
    CHECK(world_seed(w) != 13);
    while (world_seed(w) == 14)
        usleep(10000);
    return workload_toy.create(w, ret_net, ret_processes, ret_count);
}

/* Unlike itself: what it does depends on how often it was asked. */
static void *create_fickle(struct world *w, struct net **ret_net, struct process ***ret_processes,
                           unsigned *ret_count)
{
    static unsigned count;
    world_trace(w, 0, "asked", {"times", ++count});
    return workload_toy.create(w, ret_net, ret_processes, ret_count);
}

static void test_children(void **state)
{
    struct workload crashing = workload_toy, fickle = workload_toy;
    crashing.create = create_crash;
    fickle.create = create_fickle;
    struct run_result r = run_in_child(&crashing, 12, true, 100);
    assert_false(r.failed);
    assert_int_equal(r.hash, run_toy(12).hash);
    r = run_in_child(&crashing, 13, false, 100);
    assert_true(r.failed);
    assert_string_equal(r.checker, "crash");
    assert_non_null(strstr(r.message, "world_seed(w) != 13"));
    r = run_in_child(&crashing, 14, false, 1);
    assert_true(r.failed);
    assert_string_equal(r.checker, "hang");
    r = run_in_child(&fickle, 12, true, 100);
    assert_true(r.failed);
    assert_string_equal(r.checker, "determinism");
}

/* A bug that one kind of fault shows is shrunk to few of that kind. */
static void test_shrink(void **state)
{
    planted_bug = PLANTED_toy_unsynced;
    struct run_result r = {0};
    for (uint64_t seed = 1; !r.failed; seed++)
        r = run_toy(seed);
    struct workers *ws = workers_new(&workload_toy, 1, 60);
    struct shrunk shrunk;
    shrink(ws, &r, 100, &shrunk);
    assert_true(shrunk.count < 10);
    assert_true(shrunk.count >= 1);
    assert_true(shrunk.runs <= 101);
    struct run_options o = {.workload = &workload_toy, .seed = r.seed, .chosen = shrunk.chosen};
    struct run_result again;
    run_seed(&o, &again);
    assert_true(again.failed);
    assert_string_equal(again.checker, r.checker);
    assert_int_equal(again.hash, shrunk.result.hash);
    workers_free(ws);
    planted_bug = PLANTED_none;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_toy_passes),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_planted_bugs_are_found),
        cmocka_unit_test(test_canary_always_fails),
        cmocka_unit_test(test_children),
        cmocka_unit_test(test_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
