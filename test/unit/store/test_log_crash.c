/* The commit log under power cuts at every step: what was synced is there, in order, nothing stale
 * is ever replayed, and no crash looks like corruption. Then the recovery itself is cut at each of
 * its steps, and the log is written on and cut again, so that leftovers of one life meet the next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/status.h"
#include "support/log_run.h"

/* Opens, with a crash at each step of it in turn, until it gets through. */
static const char *open_through_crashes(struct log_run *run, uint64_t seed)
{
    for (uint64_t step = 0;; step++) {
        int st;
        sim_disk_stop_at_op(run->sim, step);
        const char *wrong = log_run_open(run, &st);
        if (wrong != NULL)
            return wrong;
        if (st == 0) {
            bool stopped = sim_disk_stopped(run->sim);
            if (!stopped)
                break;
            log_run_close(run);
        } else if (!sim_disk_stopped(run->sim)) {
            return run->report.message;
        }
        sim_disk_crash(run->sim, seed * 1000 + step);
    }
    sim_disk_kill(run->sim); /* ends the stop; handles die */
    log_run_close(run);
    int st;
    const char *wrong = log_run_open(run, &st);
    return wrong != NULL ? wrong : st != 0 ? run->report.message : NULL;
}

/* One history: write, cut at step `step`, recover through crashes, write, cut at the end, recover.
 * *ret_through: the step lies beyond the end of the first part. */
static const char *one_history(uint64_t seed, bool uniform, uint64_t step, bool *ret_through)
{
    struct log_run run;
    static char wrong_copy[300];
    log_run_init(&run, seed, uniform);
    int st;
    const char *wrong = log_run_open(&run, &st);
    if (wrong == NULL && st == 0) {
        sim_disk_stop_at_op(run.sim, step);
        st = log_run_turns(&run, uniform ? 150 : 60);
        *ret_through = !sim_disk_stopped(run.sim);
        if (*ret_through && st != 0)
            wrong = "the turns failed by themselves";
        log_run_close(&run);
        if (seed % 2 == 0)
            sim_disk_kill(run.sim); /* what the next open finds is only in the page cache */
        else
            sim_disk_crash(run.sim, seed ^ step);
    }
    for (int life = 0; life < 2 && wrong == NULL; life++) {
        wrong = open_through_crashes(&run, seed + step + (uint64_t)life);
        if (wrong != NULL)
            break;
        if (log_run_turns(&run, 25) != 0)
            wrong = "turns after the recovery failed";
        log_run_close(&run);
        sim_disk_crash(run.sim, seed + step * 3 + (uint64_t)life);
    }
    if (wrong == NULL) {
        wrong = log_run_open(&run, &st);
        if (wrong == NULL && st != 0)
            wrong = run.report.message;
    }
    if (wrong != NULL) {
        snprintf(wrong_copy, sizeof(wrong_copy), "%.250s", wrong);
        wrong = wrong_copy;
    }
    log_run_done(&run);
    return wrong;
}

static void crash_everywhere(uint64_t seed, bool uniform)
{
    bool through = false;
    uint64_t step = 0;
    for (; !through; step++) {
        const char *wrong = one_history(seed, uniform, step, &through);
        if (wrong != NULL)
            fail_msg("seed %llu step %llu: %s", (unsigned long long)seed, (unsigned long long)step,
                     wrong);
    }
    assert_true(step > 50); /* the history is not trivial */
}

static void test_crash_at_every_step(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        crash_everywhere(seed, false);
}

static void test_crash_at_every_step_with_leftovers_that_line_up(void **state)
{
    for (uint64_t seed = 101; seed <= 104; seed++)
        crash_everywhere(seed, true);
}

/* A segment whose beginning was lost, but not what followed, is begun again: at the same positions,
 * with records of the same size. */
static void test_leftovers_at_the_same_positions(void **state)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct log_run run;
        log_run_init(&run, seed, true);
        for (unsigned life = 0; life < 6; life++) {
            int st;
            const char *wrong = log_run_open(&run, &st);
            if (wrong != NULL)
                fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
            assert_int_equal(st, 0);
            for (unsigned i = 0; i < (life % 2 == 0 ? 5 : 1); i++)
                assert_int_equal(log_run_append(&run, 1), 0);
            log_run_close(&run);
            sim_disk_crash(run.sim, seed * 7 + life);
        }
        log_run_done(&run);
    }
}

/* What was replayed is durable, though it had only been in the page cache before. */
static void test_what_was_replayed_stays(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct log_run run;
        int st;
        log_run_init(&run, seed, false);
        assert_null(log_run_open(&run, &st));
        assert_int_equal(log_run_turns(&run, 5), 0);
        assert_int_equal(log_run_append(&run, 3), 0);
        run.synced = run.count;
        log_run_close(&run);
        sim_disk_kill(run.sim);
        assert_null(log_run_open(&run, &st));
        assert_int_equal(st, 0);
        log_run_close(&run);
        sim_disk_crash(run.sim, seed);
        const char *wrong = log_run_open(&run, &st);
        if (wrong != NULL)
            fail_msg("%s", wrong);
        assert_int_equal(st, 0);
        log_run_done(&run);
    }
}

/* kill -9 loses nothing that was appended, synced or not. */
static void test_kill_loses_nothing(void **state)
{
    struct log_run run;
    log_run_init(&run, 7, false);
    for (int life = 0; life < 30; life++) {
        int st;
        assert_null(log_run_open(&run, &st));
        assert_int_equal(st, 0);
        assert_int_equal(log_run_turns(&run, 20), 0);
        run.synced = run.count; /* all of it is expected back */
        log_run_close(&run);
        sim_disk_kill(run.sim);
    }
    log_run_done(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_at_every_step),
        cmocka_unit_test(test_crash_at_every_step_with_leftovers_that_line_up),
        cmocka_unit_test(test_leftovers_at_the_same_positions),
        cmocka_unit_test(test_what_was_replayed_stays),
        cmocka_unit_test(test_kill_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
