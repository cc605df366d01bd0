/* The crash tests are able to fail: here the log is built with its checksums not bound to position
 * and life (LOG_PLANTED_BUG_UNSEEDED), and the same driver must catch it replaying stale records.
 * The log's sources are part of this program, so the library's are not linked. */
#define LOG_PLANTED_BUG_UNSEEDED 1

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/log.c"
#include "store/log_batch.c"
#include "store/log_recover.c"
#include "store/log_scan.c"
#include "store/log_spare.c"
#include "support/log_run.h"

/* A recycled segment is begun with records as long as those it held before: whatever follows the
 * last new record is, to the byte, where an old one begins. */
static void test_unseeded_checksums_are_caught(void **state)
{
    int caught = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct log_run run;
        log_run_init(&run, seed, true);
        const char *wrong = NULL;
        for (int life = 0; life < 4 && wrong == NULL; life++) {
            int st;
            wrong = log_run_open(&run, &st);
            if (wrong != NULL || st != 0)
                break;
            assert_int_equal(log_run_turns(&run, 300), 0);
            log_run_close(&run);
            sim_disk_crash(run.sim, seed);
        }
        caught += wrong != NULL;
        log_run_done(&run);
    }
    assert_true(caught >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unseeded_checksums_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
