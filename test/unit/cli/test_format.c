#include "cli/format.h"

#include <stdarg.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/status.h"

/* Replies are written here as the server sends them. The texts for terminals are what redis-cli
 * 7.0 shows. */
static void expect(const char *wire, size_t len, enum format_mode mode, const char *wanted)
{
    struct resp_reply_reader *reader = resp_reply_reader_create(&resp_reply_default_limits);
    struct resp_reply reply;
    resp_reply_reader_feed(reader, slice_make(wire, len));
    assert_int_equal(resp_reply_reader_next(reader, &reply), 0);
    BUFFER_AUTO struct buffer out = {0};
    if (mode == FORMAT_TTY)
        format_tty(&reply, &out);
    else if (mode == FORMAT_RAW)
        format_raw(&reply, true, &out);
    else
        format_json(&reply, &out);
    buffer_append_u8(&out, 0);
    assert_string_equal((char *)out.data, wanted);
    resp_reply_free(&reply);
    resp_reply_reader_free(reader);
}

#define TTY(wire, wanted)  expect(wire, sizeof(wire) - 1, FORMAT_TTY, wanted "\n")
#define RAW(wire, wanted)  expect(wire, sizeof(wire) - 1, FORMAT_RAW, wanted "\n")
#define JSON(wire, wanted) expect(wire, sizeof(wire) - 1, FORMAT_JSON, wanted "\n")

static void test_tty(void **state)
{
    TTY("+OK\r\n", "OK");
    TTY("-ERR no\r\n", "(error) ERR no");
    TTY(":-7\r\n", "(integer) -7");
    TTY("$3\r\na\"b\r\n", "\"a\\\"b\"");
    TTY("$-1\r\n", "(nil)");
    TTY("_\r\n", "(nil)");
    TTY(",1.50\r\n", "(double) 1.50");
    TTY("#t\r\n", "(true)");
    TTY("(123\r\n", "123");
    TTY("=7\r\ntxt:a\nb\r\n", "a\nb");
    TTY("*0\r\n", "(empty array)");
    TTY("%0\r\n", "(empty hash)");
    TTY("~0\r\n", "(empty set)");
    TTY(">0\r\n", "(empty push)");
    TTY("*2\r\n$1\r\na\r\n$-1\r\n", "1) \"a\"\n2) (nil)");
    TTY("*2\r\n*2\r\n:1\r\n*1\r\n:2\r\n:3\r\n", "1) 1) (integer) 1\n   2) 1) (integer) 2\n"
                                                "2) (integer) 3");
    TTY("*10\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n*2\r\n:1\r\n:2\r\n",
        " 1) (integer) 0\n 2) (integer) 0\n 3) (integer) 0\n 4) (integer) 0\n 5) (integer) 0\n"
        " 6) (integer) 0\n 7) (integer) 0\n 8) (integer) 0\n 9) (integer) 0\n"
        "10) 1) (integer) 1\n    2) (integer) 2");
    TTY("~1\r\n:1\r\n", "1~ (integer) 1");
    TTY("%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n", "1# a => (integer) 1\n2# b => 1) (integer) 2");
    TTY("%1\r\n+b\r\n*2\r\n:2\r\n:3\r\n", "1# b => \n   1) (integer) 2\n   2) (integer) 3");
    TTY("%1\r\n+a\r\n*0\r\n", "1# a => (empty array)");
}

static void test_raw(void **state)
{
    RAW("+OK\r\n", "OK");
    RAW("$4\r\na\"\nb\r\n", "a\"\nb");
    RAW("$-1\r\n", "");
    RAW(":5\r\n", "5");
    RAW("#f\r\n", "(false)");
    RAW("*3\r\n$1\r\na\r\n$-1\r\n*2\r\n:1\r\n:2\r\n", "a\n\n1\n2");
    RAW("%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n", "a 1\nb 2");
    RAW("*0\r\n", "");
}

static void test_json(void **state)
{
    JSON("+OK\r\n", "\"OK\"");
    JSON("-ERR no\r\n", "{\"error\":\"ERR no\"}");
    JSON("$-1\r\n", "null");
    JSON(":5\r\n", "5");
    JSON("#f\r\n", "false");
    JSON(",0.1\r\n", "0.1");
    JSON(",-1e300\r\n", "-1e+300");
    JSON(",inf\r\n", "\"inf\"");
    JSON("(123456789012345678901\r\n", "\"123456789012345678901\"");
    JSON("$7\r\na\"\\\n\x01\xc3\xa9\r\n", "\"a\\\"\\\\\\n\\u0001\xc3\xa9\"");
    JSON("$2\r\n\xff\x00\r\n", "{\"base64\":\"/wA=\"}");
    JSON("*2\r\n:1\r\n~1\r\n:2\r\n", "[1,[2]]");
    JSON("%2\r\n+a\r\n:1\r\n:2\r\n*0\r\n", "{\"a\":1,\"2\":[]}");
    JSON("%1\r\n$1\r\n\xff\r\n:1\r\n", "{\"{\\\"base64\\\":\\\"/w==\\\"}\":1}");
}

static void test_no_newline(void **state)
{
    struct resp_reply reply = {.type = RESP_REPLY_STRING, .data = (uint8_t *)"ab", .len = 2};
    BUFFER_AUTO struct buffer out = {0};
    format_raw(&reply, false, &out);
    assert_int_equal(out.len, 2);
}

static void test_pages(void **state)
{
    struct slice info[] = {slice_str("INFO")}, list[] = {slice_str("client"), slice_str("LIST")};
    struct slice other[] = {slice_str("client"), slice_str("getname")};
    assert_true(format_is_page(1, info));
    assert_true(format_is_page(2, list));
    assert_false(format_is_page(2, other));
    assert_false(format_is_page(1, list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tty),   cmocka_unit_test(test_raw),
        cmocka_unit_test(test_json),  cmocka_unit_test(test_no_newline),
        cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
