/* Golden tests of the request parser: each input is parsed whole and cut at every byte, and must
 * give the same commands and the same error, which is the one Redis 7.0 gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "wire/resp.h"

static const struct resp_limits LIMITS = {.bulk_bytes = 512u << 20, .query_bytes = 1u << 30};

/* What came out, as text: "<arg><arg>;" a command, "!error" at the end. */
static void drain(struct resp *r, struct buffer *out)
{
    struct resp_command command;
    enum resp_result result;
    while ((result = resp_next(r, &command)) == RESP_COMMAND) {
        const struct slice *args = resp_args(r, &command);
        for (unsigned i = 0; i < command.argc; i++) {
            buffer_append_u8(out, '<');
            buffer_append_slice(out, args[i]);
            buffer_append_u8(out, '>');
        }
        buffer_append_u8(out, ';');
    }
    if (result == RESP_ERROR)
        buffer_printf(out, "!%s", resp_error(r));
    else
        resp_release(r);
}

static bool failed(const struct buffer *out)
{
    return memchr(out->data, '!', out->len) != NULL;
}

static void feed(struct resp *r, struct slice bytes, struct buffer *out)
{
    while (bytes.len > 0) {
        uint8_t *to;
        size_t room;
        resp_space(r, &to, &room);
        size_t take = room < bytes.len ? room : bytes.len;
        memcpy(to, bytes.data, take);
        resp_filled(r, take);
        bytes = slice_make(bytes.data + take, bytes.len - take);
        drain(r, out);
        if (out->len > 0 && failed(out))
            return;
    }
}

static void expect_with(const struct resp_limits *limits, struct slice input, const char *wanted)
{
    for (size_t cut = 0; cut <= input.len; cut++) {
        struct resp r;
        BUFFER_AUTO struct buffer out = {0};
        resp_init(&r, limits);
        feed(&r, slice_make(input.data, cut), &out);
        if (out.len == 0 || !failed(&out))
            feed(&r, slice_make(input.data + cut, input.len - cut), &out);
        if (!slice_equal(buffer_slice(&out), slice_str(wanted)))
            print_error("cut at %zu: wanted %s\ngot %.*s\n", cut, wanted, (int)out.len,
                        (const char *)out.data);
        assert_true(slice_equal(buffer_slice(&out), slice_str(wanted)));
        resp_free(&r);
    }
    struct resp r; /* one byte at a time */
    BUFFER_AUTO struct buffer out = {0};
    resp_init(&r, limits);
    for (size_t i = 0; i < input.len && (out.len == 0 || !failed(&out)); i++)
        feed(&r, slice_make(input.data + i, 1), &out);
    assert_true(slice_equal(buffer_slice(&out), slice_str(wanted)));
    resp_free(&r);
}

static void expect(const char *input, const char *wanted)
{
    expect_with(&LIMITS, slice_str(input), wanted);
}

static void test_multibulk(void **state)
{
    expect("*1\r\n$4\r\nPING\r\n", "<PING>;");
    expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", "<SET><k><>;");
    expect("*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n*1\r\n$4\r\nPING\r\n", "<GET><a\r\nb>;<PING>;");
    expect("*0\r\n*-1\r\n*-5\r\n*1\r\n$1\r\nx\r\n", ";;;<x>;");
    expect("*2\r\n$1\r\na\r\n$1\r\nb", "");
    /* As with Redis, what stands where a line end has to be is not looked at. */
    expect("*1xx$4\r\nPING\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*1\r\n$1\r\naXY*1\r\n$1\r\nb\r\n", "<a>;<b>;");
}

static void test_multibulk_errors(void **state)
{
    expect("*x\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("* 1\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*1000000000\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*12345678901234567890\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*1\r\n+PING\r\n", "!ERR Protocol error: expected '$', got '+'");
    expect("*1\r\n\r\n", "!ERR Protocol error: expected '$', got '\r'");
    expect("*1\r\n$-1\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$-2\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$x\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$99999999999999999999\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$536870913\r\n", "!ERR Protocol error: invalid bulk length");
    expect("PING\r\n*1\r\n$4\r\nPING\r\n*q\r\nPING\r\n",
           "<PING>;<PING>;!ERR Protocol error: invalid multibulk length");
}

static void test_inline(void **state)
{
    expect("PING\r\n", "<PING>;");
    expect("PING\n", "<PING>;");
    expect("\r\n\n  \r\nPING\r\n", ";;;<PING>;");
    expect("  set  a\t b  \r\n", "<set><a><b>;");
    expect("set a \"b c\" 'd e' \"\\x41\\n\\\"q\\\\\" 'it\\'s' \"\"\r\n",
           "<set><a><b c><d e><A\n\"q\\><it's><>;");
    expect("set k v*1\r\n", "<set><k><v*1>;");
}

static void test_inline_errors(void **state)
{
    expect("set a \"b\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("set a 'b\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("set a \"b\"c\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("set a 'b'c\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("set a \"b\\\"\r\n", "!ERR Protocol error: unbalanced quotes in request");
}

/* 64 KiB and no end of the line. */
static void expect_endless(const char *start, const char *wanted)
{
    struct resp r;
    BUFFER_AUTO struct buffer out = {0};
    BUFFER_AUTO struct buffer input = {0};
    resp_init(&r, &LIMITS);
    buffer_append_str(&input, start);
    while (input.len <= RESP_INLINE_BYTES_MAX)
        buffer_append_u8(&input, '1');
    feed(&r, slice_make(input.data, RESP_INLINE_BYTES_MAX), &out);
    assert_int_equal(out.len, 0);
    feed(&r, slice_str("1111111111111111"), &out);
    assert_true(slice_equal(buffer_slice(&out), slice_str(wanted)));
    resp_free(&r);
}

static void test_endless_lines(void **state)
{
    expect_endless("", "!ERR Protocol error: too big inline request");
    expect_endless("*", "!ERR Protocol error: too big mbulk count string");
    expect_endless("*1\r\n$", "!ERR Protocol error: too big bulk count string");
}

static void test_unauthenticated(void **state)
{
    struct resp_limits limits = LIMITS;
    limits.unauthenticated = true;
    expect_with(&limits, slice_str("*10\r\n$1\r\na\r\n"), "");
    expect_with(&limits, slice_str("*11\r\n"),
                "!ERR Protocol error: unauthenticated multibulk length");
    expect_with(&limits, slice_str("*1\r\n$16384\r\n"), "");
    expect_with(&limits, slice_str("*1\r\n$16385\r\n"),
                "!ERR Protocol error: unauthenticated bulk length");
}

static void append_big(struct buffer *out, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        buffer_append_u8(out, (uint8_t)('a' + (i * 31 + i / 251 + seed) % 26));
}

/* Big arguments of every kind of place, read in pieces of many sizes, come out as they were. */
static void test_big_arguments(void **state)
{
    static const size_t lens[] = {RESP_BIG_BYTES - 1, RESP_BIG_BYTES, RESP_BIG_BYTES + 1, 200000};
    static const size_t pieces[] = {1, 7, 4096, 16384, 65536, 1 << 20};
    BUFFER_AUTO struct buffer input = {0};
    BUFFER_AUTO struct buffer wanted = {0};
    for (size_t i = 0; i < 4; i++) {
        buffer_printf(&input, "PING\r\n*4\r\n$4\r\nMSET\r\n$1\r\na\r\n$%zu\r\n", lens[i]);
        append_big(&input, lens[i], 0);
        buffer_printf(&input, "\r\n$%zu\r\n", lens[3 - i]);
        append_big(&input, lens[3 - i], 5);
        buffer_append_str(&input, "\r\n");
        buffer_append_str(&wanted, "<PING>;<MSET><a><");
        append_big(&wanted, lens[i], 0);
        buffer_append_str(&wanted, "><");
        append_big(&wanted, lens[3 - i], 5);
        buffer_append_str(&wanted, ">;");
    }
    for (size_t p = 0; p < 6; p++) {
        struct resp r;
        BUFFER_AUTO struct buffer out = {0};
        resp_init(&r, &LIMITS);
        for (size_t at = 0; at < input.len; at += pieces[p]) {
            size_t left = input.len - at;
            feed(&r, slice_make(input.data + at, left < pieces[p] ? left : pieces[p]), &out);
        }
        assert_true(slice_equal(buffer_slice(&out), buffer_slice(&wanted)));
        assert_true(resp_idle(&r));
        resp_free(&r);
    }
}

/* A big argument is read into the block it stays in. */
static void test_big_argument_is_not_copied(void **state)
{
    struct resp r;
    resp_init(&r, &LIMITS);
    BUFFER_AUTO struct buffer out = {0};
    feed(&r, slice_str("*2\r\n$4\r\nECHO\r\n$100000\r\nabc"), &out);
    uint8_t *to;
    size_t room;
    resp_space(&r, &to, &room);
    assert_int_equal(room, 100002 - 3);
    uint8_t *start = to - 3;
    memset(to, 'x', room);
    resp_filled(&r, room);
    struct resp_command command;
    assert_int_equal(resp_next(&r, &command), RESP_COMMAND);
    assert_ptr_equal(resp_args(&r, &command)[1].data, start);
    resp_free(&r);
}

static void test_request_limit(void **state)
{
    struct resp_limits limits = {.bulk_bytes = 1 << 20, .query_bytes = 1 << 20};
    struct resp r;
    BUFFER_AUTO struct buffer out = {0};
    BUFFER_AUTO struct buffer value = {0};
    resp_init(&r, &limits);
    append_big(&value, 600000, 0);
    feed(&r, slice_str("*3\r\n$4\r\nMGET\r\n$600000\r\n"), &out);
    feed(&r, buffer_slice(&value), &out);
    feed(&r, slice_str("\r\n$600000\r\n"), &out);
    assert_true(slice_equal(
        buffer_slice(&out),
        slice_str("!ERR Protocol error: the request is larger than query-buffer-bytes")));
    resp_free(&r);
}

static void test_trim(void **state)
{
    struct resp r;
    BUFFER_AUTO struct buffer out = {0};
    resp_init(&r, &LIMITS);
    feed(&r, slice_str("PING\r\n"), &out);
    assert_true(resp_memory(&r) > 0);
    resp_trim(&r);
    assert_int_equal(resp_memory(&r), 0);
    feed(&r, slice_str("PING\r\nPI"), &out);
    resp_trim(&r); /* not in the middle */
    feed(&r, slice_str("NG\r\n"), &out);
    assert_true(slice_equal(buffer_slice(&out), slice_str("<PING>;<PING>;<PING>;")));
    resp_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multibulk),     cmocka_unit_test(test_multibulk_errors),
        cmocka_unit_test(test_inline),        cmocka_unit_test(test_inline_errors),
        cmocka_unit_test(test_endless_lines), cmocka_unit_test(test_unauthenticated),
        cmocka_unit_test(test_big_arguments), cmocka_unit_test(test_big_argument_is_not_copied),
        cmocka_unit_test(test_request_limit), cmocka_unit_test(test_trim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
