/* Pages: aligned as asked, zeroed, forgotten and given back in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/pages.h"

#define PAGE 4096u

static void test_aligned_and_zeroed(void **state)
{
    for (size_t align = PAGE; align <= 8 * PAGES_HUGE_BYTES; align *= 4) {
        uint8_t *at = pages_map(3 * align, align);
        assert_int_equal((uintptr_t)at % align, 0);
        assert_int_equal(at[0], 0);
        at[0] = at[3 * align - 1] = 1;
        pages_unmap(at, 3 * align);
    }
}

static void test_forget_and_parts(void **state)
{
    uint8_t *at = pages_map(10 * PAGE + 5, 0);
    memset(at, 7, 10 * PAGE + 5);
    pages_forget(at + PAGE, 2 * PAGE);
    assert_int_equal(at[PAGE - 1], 7);
    assert_int_equal(at[PAGE], 0);
    assert_int_equal(at[3 * PAGE - 1], 0);
    assert_int_equal(at[3 * PAGE], 7);
    pages_unmap(at, 4 * PAGE);
    assert_int_equal(at[4 * PAGE], 7);
    pages_unmap(at + 4 * PAGE, 6 * PAGE + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned_and_zeroed),
        cmocka_unit_test(test_forget_and_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
