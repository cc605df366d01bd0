#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/planted.h"

static void test_every_row_is_found_by_name(void **state)
{
    for (int bug = 0; bug < PLANTED_COUNT; bug++) {
        assert_int_equal(planted_find(planted_name(bug)), bug);
        assert_true(strlen(planted_sentence(bug)) > 0);
    }
    assert_int_equal(planted_find("no such bug"), -1);
    assert_null(planted_name(PLANTED_COUNT));
    assert_null(planted_name(-1));
}

static void test_only_one_is_on(void **state)
{
    assert_false(PLANTED_TOY(toy_unsynced));
    planted_bug = PLANTED_toy_unsynced;
    assert_true(PLANTED_TOY(toy_unsynced));
    assert_false(PLANTED_TOY(toy_early_read));
#ifdef TORC_PLANTED
    assert_true(PLANTED(toy_unsynced));
#else
    assert_false(PLANTED(toy_unsynced));
#endif
    assert_true(planted_built(PLANTED_toy_unsynced));
    planted_bug = PLANTED_none;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_found_by_name),
        cmocka_unit_test(test_only_one_is_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
