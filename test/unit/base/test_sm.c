#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/sm.h"
#include "death.h"

enum { FOLLOWER, CANDIDATE, LEADER, STOPPED };

static const struct sm_state ROLE[] = {
    [FOLLOWER] = {"follower", SM_TO(CANDIDATE) | SM_TO(STOPPED)},
    [CANDIDATE] = {"candidate", SM_TO(FOLLOWER) | SM_TO(LEADER) | SM_TO(CANDIDATE)},
    [LEADER] = {"leader", SM_TO(FOLLOWER)},
    [STOPPED] = {"stopped", 0},
};

static void move_to(void *to)
{
    struct sm sm = sm_make("role", ROLE, ARRAY_SIZE(ROLE), FOLLOWER);
    sm_move(&sm, *(unsigned *)to);
}

static void test_allowed_moves(void **state)
{
    struct sm sm = sm_make("role", ROLE, ARRAY_SIZE(ROLE), FOLLOWER);
    assert_string_equal(sm_state_name(&sm), "follower");
    sm_move(&sm, CANDIDATE);
    sm_move(&sm, CANDIDATE);
    sm_move(&sm, LEADER);
    assert_int_equal(sm_state(&sm), LEADER);
    assert_false(sm_may_move(&sm, CANDIDATE));
    sm_move(&sm, FOLLOWER);
    sm_move(&sm, STOPPED);
    for (unsigned to = 0; to < 70; to++)
        assert_false(sm_may_move(&sm, to));
}

static void test_other_moves_abort(void **state)
{
    for (unsigned to = 0; to < 70; to++) {
        bool allowed = to == CANDIDATE || to == STOPPED;
        assert_int_equal(death_aborts(move_to, &to), !allowed);
    }
}

static void make_with_foreign_target(void *unused)
{
    static const struct sm_state broken[] = {{"only", SM_TO(1)}};
    sm_make("broken", broken, ARRAY_SIZE(broken), 0);
}

static void test_table_is_checked(void **state)
{
    assert_true(death_aborts(make_with_foreign_target, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed_moves),
        cmocka_unit_test(test_other_moves_abort),
        cmocka_unit_test(test_table_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
