#include "sim/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/status.h"

static const char good[] = "torc-history 1\n"
                           "1 2 0 17 write 5 -> ok\n"
                           "3 ? 1 17 cas 5 6 -> ?\n"
                           "3 9 2 17 cas nil 7 -> refused\n"
                           "4 8 3 17 read -> 6\n"
                           "10 12 0 17 delete -> 1\n"
                           "13 14 0 17 read -> nil\n"
                           "15 16 0 18446744073709551615 incr -2 -> -2\n"
                           "17 ? 4294967295 17 read -> ?\n";

static void test_there_and_back(void **state)
{
    struct history h = {.ops_max = 100};
    BUFFER_AUTO struct buffer out = {0};
    size_t line = 0;
    assert_int_equal(history_parse(&h, slice_str(good), &line), 0);
    assert_int_equal(h.count, 8);
    assert_int_equal(h.ops[1].ret, LINEAR_NEVER);
    assert_int_equal(h.ops[1].expected, 5);
    assert_int_equal(h.ops[2].expected, LINEAR_ABSENT);
    assert_int_equal(h.ops[2].result, 0);
    assert_int_equal(h.ops[5].result, LINEAR_ABSENT);
    assert_int_equal(h.ops[6].arg, -2);
    history_print(&h, &out);
    assert_true(slice_equal(buffer_slice(&out), slice_str(good)));

    static const struct linear_limits limits = LINEAR_LIMITS_DEFAULT;
    struct linear_result result;
    assert_int_equal(linear_check(h.ops, h.count, &limits, NULL, &result), 0);
    assert_int_equal(result.verdict, LINEAR_OK);
    history_free(&h);
    assert_int_equal(h.count, 0);
}

static void test_comments(void **state)
{
    struct history h = {.ops_max = 1};
    size_t line = 0;
    const char *text = "torc-history 1\r\n\n# a note\r\n 1  2 0 17  read -> nil \r\n\r\n";
    assert_int_equal(history_parse(&h, slice_str(text), &line), 0);
    assert_int_equal(h.count, 1);
    assert_int_equal(history_parse(&h, slice_str("torc-history 1"), &line), 0);
    assert_int_equal(h.count, 1);
    assert_int_equal(line, 0);
    history_free(&h);
}

static void expect(const char *text, int st, size_t line)
{
    struct history h = {.ops_max = 3};
    struct linear_op op = {.call = 1, .ret = 2, .kind = LINEAR_WRITE};
    size_t at = 0;
    assert_int_equal(history_append(&h, &op), 0);
    if (history_parse(&h, slice_str(text), &at) != st || at != line)
        fail_msg("\"%s\": line %zu, not status %d in line %zu", text, at, st, line);
    assert_int_equal(h.count, 1);
    history_free(&h);
}

static void test_errors(void **state)
{
    static const char *const lines[] = {
        "1",
        "1 2 3 4",
        "1 2 3 4 read",
        "1 2 3 4 read ->",
        "1 2 3 4 read -> x",
        "1 2 3 4 read -> ?",
        "1 2 3 4 read -> 5 6",
        "1 2 3 4 read nil",
        "1 ? 3 4 read -> nil",
        "? 2 3 4 read -> nil",
        "2 1 3 4 read -> nil",
        "-1 2 3 4 read -> nil",
        "1 2 4294967296 4 read -> nil",
        "1 18446744073709551615 3 4 read -> nil",
        "18446744073709551615 ? 3 4 read -> ?",
        "1 2 3 18446744073709551616 read -> nil",
        "1 2 3 4 read -> -9223372036854775808",
        "1 2 3 4 read -> 4611686018427387905",
        "1 2 3 4 write nil -> ok",
        "1 2 3 4 write 1 -> 1",
        "1 2 3 4 write 1",
        "1 2 3 4 write -> ok",
        "1 2 3 4 delete -> 2",
        "1 2 3 4 delete 1 -> 1",
        "1 2 3 4 cas 1 -> ok",
        "1 2 3 4 cas 1 nil -> ok",
        "1 2 3 4 cas 1 2 -> no",
        "1 2 3 4 incr nil -> 1",
        "1 2 3 4 incr 4294967296 -> 4294967296",
        "1 2 3 4 incr 1 -> nil",
        "1 2 3 4 append 1 -> 1",
        "1 2 3 4 cas 1 2 -> ok and more words",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        BUFFER_AUTO struct buffer text = {0};
        buffer_printf(&text, "torc-history 1\n1 2 3 4 read -> nil\n%s\n# more", lines[i]);
        buffer_append_u8(&text, 0);
        expect((char *)text.data, ST_INVALID, 3);
    }
    expect("", ST_VERSION, 1);
    expect("torc-history 2\n", ST_VERSION, 1);
    expect("1 2 3 4 read -> nil\n", ST_VERSION, 1);
    expect("torc-history 1\n1 2 3 4 read -> 1\n1 2 3 4 read -> 1\n1 2 3 4 read -> 1\n", ST_LIMIT,
           4);
    BUFFER_AUTO struct buffer text = {0};
    buffer_printf(&text, "torc-history 1\n1 2 3 4 %*s -> nil", HISTORY_LINE_BYTES_MAX, "read");
    buffer_append_u8(&text, 0);
    expect((char *)text.data, ST_INVALID, 2);
}

static void test_recording(void **state)
{
    struct history h = {.ops_max = 3};
    BUFFER_AUTO struct buffer out = {0};
    size_t a, b, c;
    struct linear_op op = {.key = 1, .client = 2, .kind = LINEAR_INCR, .arg = 3, .result = 99};
    assert_int_equal(history_call(&h, &op, 10, &a), 0);
    assert_int_equal(history_call(&h, &op, 11, &b), 0);
    assert_int_equal(history_call(&h, &op, 12, &c), 0);
    assert_int_equal(history_call(&h, &op, 13, &c), ST_LIMIT);
    history_return(&h, b, 20, 6);
    history_refused(&h, c);
    history_print(&h, &out);
    buffer_append_u8(&out, 0);
    assert_string_equal((char *)out.data, "torc-history 1\n"
                                          "10 ? 2 1 incr 3 -> ?\n"
                                          "11 20 2 1 incr 3 -> 6\n"
                                          "12 ? 2 1 read -> ?\n");
    history_free(&h);
    op.arg = LINEAR_DELTA_MAX + 1;
    assert_int_equal(history_call(&h, &op, 13, &c), ST_INVALID);
    history_free(&h);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_there_and_back),
    cmocka_unit_test(test_comments),
    cmocka_unit_test(test_errors),
    cmocka_unit_test(test_recording),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
