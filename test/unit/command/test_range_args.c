#include "command/range_args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

#define ARGS_MAX 12

/* Words separated by spaces. */
static int split(const char *line, struct slice argv[ARGS_MAX])
{
    int argc = 0;
    while (*line != '\0') {
        size_t len = strcspn(line, " ");
        argv[argc++] = slice_make(line, len);
        line += len + (line[len] == ' ');
    }
    return argc;
}

static int range(const char *line, struct range_args *r)
{
    struct slice argv[ARGS_MAX];
    int argc = split(line, argv);
    return range_parse(argv, argc, r);
}

static void test_ends(void **state)
{
    struct range_args r;
    assert_int_equal(range("RANGE a c", &r), 0);
    assert_true(r.has_start);
    assert_true(r.has_end);
    assert_true(slice_equal(r.start, slice_str("a")));
    assert_true(slice_equal(r.end, slice_str("c")));
    assert_false(r.start_exclusive);
    assert_false(r.reverse);
    assert_true(r.limit_rows == UINT64_MAX);
    assert_false(range_is_empty(&r));

    assert_int_equal(range("RANGE - +", &r), 0);
    assert_false(r.has_start);
    assert_false(r.has_end);
    assert_false(range_is_empty(&r));
    assert_int_equal(range("RANGE - c", &r), 0);
    assert_false(r.has_start);
    assert_true(r.has_end);
}

static void test_empty(void **state)
{
    static const char *const lines[] = {"RANGE c a", "RANGE a a", "RANGE + c",
                                        "RANGE a -", "RANGE + +", "RANGE a c LIMIT 0"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct range_args r;
        assert_int_equal(range(lines[i], &r), 0);
        assert_true(range_is_empty(&r));
    }
}

static void test_options(void **state)
{
    struct range_args r;
    assert_int_equal(range("RANGE a b reverse LIMIT 7 KeysOnly", &r), 0);
    assert_true(r.reverse);
    assert_true(r.keys_only);
    assert_int_equal(r.limit_rows, 7);
    assert_int_equal(range("RANGE a b LIMIT", &r), ST_INVALID);
    assert_int_equal(range("RANGE a b NONSENSE", &r), ST_INVALID);
    assert_int_equal(range("RANGE a b LIMIT x", &r), ST_RANGE);
    assert_int_equal(range("RANGE a b LIMIT -1", &r), ST_RANGE);
}

static int prefix(const char *line, struct buffer *scratch, struct range_args *r)
{
    struct slice argv[ARGS_MAX];
    int argc = split(line, argv);
    return prefix_parse(argv, argc, scratch, r);
}

static void test_prefix(void **state)
{
    BUFFER_AUTO struct buffer scratch = {0};
    struct range_args r;
    assert_int_equal(prefix("PREFIX ab", &scratch, &r), 0);
    assert_true(slice_equal(r.start, slice_str("ab")));
    assert_true(r.has_end);
    assert_true(slice_equal(r.end, slice_str("ac")));

    assert_int_equal(prefix("PREFIX a\xff\xff", &scratch, &r), 0);
    assert_true(slice_equal(r.end, slice_str("b")));
    assert_int_equal(prefix("PREFIX \xff\xff", &scratch, &r), 0);
    assert_false(r.has_end);
    assert_false(range_is_empty(&r));

    struct slice all[2] = {slice_str("PREFIX"), slice_make(NULL, 0)};
    assert_int_equal(prefix_parse(all, 2, &scratch, &r), 0);
    assert_false(r.has_end);
    assert_false(range_is_empty(&r));
}

static void test_prefix_after(void **state)
{
    BUFFER_AUTO struct buffer scratch = {0};
    struct range_args r;
    assert_int_equal(prefix("PREFIX ab AFTER abc LIMIT 2 KEYSONLY", &scratch, &r), 0);
    assert_true(slice_equal(r.start, slice_str("abc")));
    assert_true(r.start_exclusive);
    assert_true(r.keys_only);
    assert_int_equal(r.limit_rows, 2);

    assert_int_equal(prefix("PREFIX ab AFTER aa", &scratch, &r), 0); /* before: no matter */
    assert_true(slice_equal(r.start, slice_str("ab")));
    assert_false(r.start_exclusive);
    assert_int_equal(prefix("PREFIX ab AFTER zz", &scratch, &r), 0); /* behind: nothing left */
    assert_true(range_is_empty(&r));
    assert_int_equal(prefix("PREFIX ab AFTER", &scratch, &r), ST_INVALID);
    assert_int_equal(prefix("PREFIX ab REVERSE", &scratch, &r), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),         cmocka_unit_test(test_empty),
        cmocka_unit_test(test_options),      cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_prefix_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
