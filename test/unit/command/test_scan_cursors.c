#include "command/scan_cursors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

static struct scan_position at(unsigned partition, const char *key)
{
    struct scan_position p = {.partition = partition, .has_key = key != NULL};
    if (key != NULL)
        p.key = slice_str(key);
    return p;
}

static uint64_t advance(struct scan_cursors *t, uint64_t from, unsigned partition, const char *key)
{
    struct scan_position p = at(partition, key);
    bool evicted;
    return scan_cursors_advance(t, from, &p, &evicted);
}

static void expect(struct scan_cursors *t, uint64_t cursor, unsigned partition, const char *key)
{
    BUFFER_AUTO struct buffer bytes = {0};
    struct scan_position found;
    assert_int_equal(scan_cursors_find(t, cursor, &bytes, &found), 0);
    assert_int_equal(found.partition, partition);
    assert_int_equal(found.has_key, key != NULL);
    if (key != NULL)
        assert_true(slice_equal(found.key, slice_str(key)));
}

static void expect_unknown(struct scan_cursors *t, uint64_t cursor)
{
    BUFFER_AUTO struct buffer bytes = {0};
    struct scan_position found;
    assert_int_equal(scan_cursors_find(t, cursor, &bytes, &found), ST_NOTFOUND);
}

static void test_chain(void **state)
{
    struct scan_cursors *t = scan_cursors_create(7);
    uint64_t a = advance(t, 0, 3, "k");
    assert_true(a != 0);
    expect(t, a, 3, "k");
    uint64_t b = advance(t, a, 9, NULL);
    expect(t, b, 9, NULL);
    expect(t, a, 3, "k"); /* the answer may have been lost */
    uint64_t again = advance(t, a, 9, "m");
    assert_true(again != b);
    expect(t, again, 9, "m");
    expect(t, a, 3, "k");
    expect_unknown(t, b);
    uint64_t c = advance(t, again, 10, "z");
    expect(t, c, 10, "z");
    expect(t, again, 9, "m");
    expect_unknown(t, a);
    expect_unknown(t, 0);
    expect_unknown(t, c + SCAN_CURSORS_MAX);
    scan_cursors_destroy(t);
}

static void test_eviction(void **state)
{
    struct scan_cursors *t = scan_cursors_create(0);
    uint64_t first = advance(t, 0, 1, "first"), second = advance(t, 0, 1, "second");
    for (unsigned i = 2; i < SCAN_CURSORS_MAX; i++)
        advance(t, 0, i, NULL);
    expect(t, first, 1, "first");
    uint64_t moved = advance(t, first, 2, "moved"); /* now the second is the oldest */
    struct scan_position p = at(5, NULL);
    bool evicted = false;
    scan_cursors_advance(t, 0, &p, &evicted);
    assert_true(evicted);
    expect_unknown(t, second);
    expect(t, moved, 2, "moved");
    scan_cursors_destroy(t);
}

static void test_finished_goes_first(void **state)
{
    struct scan_cursors *t = scan_cursors_create(0);
    uint64_t oldest = advance(t, 0, 1, "oldest");
    uint64_t finished = advance(t, 0, 1, "finished");
    for (unsigned i = 2; i < SCAN_CURSORS_MAX; i++)
        advance(t, 0, i, NULL);
    scan_cursors_finish(t, finished);
    expect(t, finished, 1, "finished"); /* its last answer may have been lost too */
    advance(t, 0, 7, NULL);
    expect_unknown(t, finished);
    expect(t, oldest, 1, "oldest");
    scan_cursors_destroy(t);
}

/* A scan whose place was taken while it ran goes on under a new one. */
static void test_dropped_while_running(void **state)
{
    struct scan_cursors *t = scan_cursors_create(0);
    uint64_t dropped = advance(t, 0, 1, "x");
    for (unsigned i = 0; i < SCAN_CURSORS_MAX; i++)
        advance(t, 0, i, NULL);
    expect_unknown(t, dropped);
    expect(t, advance(t, dropped, 4, "y"), 4, "y");
    expect_unknown(t, dropped);
    scan_cursors_destroy(t);
}

static void test_numbers(void **state)
{
    struct scan_cursors *t = scan_cursors_create(UINT64_MAX);
    for (unsigned i = 0; i < 3 * SCAN_CURSORS_MAX; i++) {
        uint64_t cursor = advance(t, 0, 0, NULL);
        assert_true(cursor > 0);
        assert_true(cursor < UINT64_C(1) << 53);
    }
    scan_cursors_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_finished_goes_first),
        cmocka_unit_test(test_dropped_while_running),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
