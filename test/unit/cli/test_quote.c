#include "cli/quote.h"

#include <stdarg.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/status.h"

/* The words of a line, joined by '|'. */
static void expect_words(const char *line, size_t len, const char *wanted, size_t wanted_len)
{
    struct quote_args args;
    assert_int_equal(quote_split(slice_make(line, len), &args), 0);
    BUFFER_AUTO struct buffer joined = {0};
    for (size_t i = 0; i < args.count; i++) {
        buffer_append_str(&joined, i ? "|" : "");
        buffer_append_slice(&joined, args.items[i]);
    }
    assert_int_equal(joined.len, wanted_len);
    if (wanted_len > 0)
        assert_memory_equal(joined.data, wanted, wanted_len);
    quote_args_free(&args);
}

#define WORDS(line, wanted) expect_words(line, sizeof(line) - 1, wanted, sizeof(wanted) - 1)

static void test_split(void **state)
{
    WORDS("", "");
    WORDS(" \t ", "");
    WORDS("set key value", "set|key|value");
    WORDS("  set\tkey   value\r\n", "set|key|value");
    WORDS("a \"b c\" 'd e'", "a|b c|d e");
    WORDS("\"\" ''", "|");
    WORDS("a\"b c\"", "ab c"); /* quotes may open inside a word */
    WORDS("\"\\n\\r\\t\\b\\a\\\\\\\"\\q\"", "\n\r\t\b\a\\\"q");
    WORDS("\"a\\x00b\\xfF\"", "a\0b\xff");
    WORDS("\"\\xg1\\x1\"", "xg1x1"); /* no two hex digits: just letters */
    WORDS("'it\\'s \\n'", "it's \\n");
    WORDS("ключ \"значение\"", "ключ|значение");
    WORDS("back\\slash", "back\\slash");
}

static void test_split_refuses(void **state)
{
    static const char *const lines[] = {"\"", "'", "a \"b", "\"a\"b", "'a'b", "\"a\\\"", "'a\\'"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct quote_args args;
        assert_int_equal(quote_split(slice_str(lines[i]), &args), ST_INVALID);
    }
}

static void test_append(void **state)
{
    BUFFER_AUTO struct buffer out = {0};
    quote_append(&out, slice_make("a\"\\\n\r\t\a\b\0\x7f\xc3\xa9", 12));
    buffer_append_u8(&out, 0);
    assert_string_equal((char *)out.data, "\"a\\\"\\\\\\n\\r\\t\\a\\b\\x00\\x7f\\xc3\\xa9\"");
}

/* What is written is read back, whatever the bytes. */
static void test_round_trip(void **state)
{
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    BUFFER_AUTO struct buffer line = {0};
    quote_append(&line, slice_make(bytes, sizeof(bytes)));
    struct quote_args args;
    assert_int_equal(quote_split(buffer_slice(&line), &args), 0);
    assert_int_equal(args.count, 1);
    assert_true(slice_equal(args.items[0], slice_make(bytes, sizeof(bytes))));
    quote_args_free(&args);
}

static void test_word_is(void **state)
{
    assert_true(quote_word_is(slice_str("GeT"), "get"));
    assert_false(quote_word_is(slice_str("gets"), "get"));
    assert_false(quote_word_is(slice_str("ge"), "get"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),   cmocka_unit_test(test_split_refuses),
        cmocka_unit_test(test_append),  cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_word_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
