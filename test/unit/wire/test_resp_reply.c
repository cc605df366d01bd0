#include "wire/resp_reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/status.h"

/* A compact text of a reply: what the golden lines below are written in. */
static void describe(const struct resp_reply *r, struct buffer *out)
{
    static const char *const brackets[] = {[RESP_REPLY_ARRAY] = "[]",
                                           [RESP_REPLY_MAP] = "{}",
                                           [RESP_REPLY_SET] = "~~",
                                           [RESP_REPLY_PUSH] = "><"};
    switch (r->type) {
    case RESP_REPLY_NIL:
        buffer_append_str(out, "nil");
        return;
    case RESP_REPLY_INTEGER:
        buffer_printf(out, ":%lld", (long long)r->integer);
        return;
    case RESP_REPLY_BOOL:
        buffer_append_str(out, r->integer ? "true" : "false");
        return;
    case RESP_REPLY_STATUS:
        buffer_printf(out, "+%.*s", (int)r->len, r->data);
        return;
    case RESP_REPLY_ERROR:
        buffer_printf(out, "!%.*s", (int)r->len, r->data);
        return;
    case RESP_REPLY_STRING:
        buffer_printf(out, "'%.*s'", (int)r->len, r->data);
        return;
    case RESP_REPLY_DOUBLE:
        buffer_printf(out, ",%g", r->number);
        return;
    case RESP_REPLY_BIGNUM:
        buffer_printf(out, "(%.*s", (int)r->len, r->data);
        return;
    case RESP_REPLY_VERBATIM:
        buffer_printf(out, "=%s:%.*s", r->format, (int)r->len, r->data);
        return;
    default:
        break;
    }
    buffer_printf(out, "%c", brackets[r->type][0]);
    for (size_t i = 0; i < r->count; i++) {
        buffer_append_str(out, i ? " " : "");
        describe(&r->items[i], out);
    }
    buffer_printf(out, "%c", brackets[r->type][1]);
}

/* Feeds `wire` in portions of `step` bytes; appends each reply, or the failure, to `out`. */
static void run(const char *wire, size_t len, size_t step, const struct resp_reply_limits *limits,
                struct buffer *out)
{
    struct resp_reply_reader *r = resp_reply_reader_create(limits);
    int st = ST_AGAIN;
    for (size_t at = 0; at < len && st == ST_AGAIN; at += step) {
        resp_reply_reader_feed(r, slice_make(wire + at, len - at < step ? len - at : step));
        struct resp_reply reply;
        while ((st = resp_reply_reader_next(r, &reply)) == 0) {
            buffer_append_str(out, out->len ? " | " : "");
            describe(&reply, out);
            resp_reply_free(&reply);
        }
    }
    if (st != ST_AGAIN) {
        struct resp_reply reply;
        assert_int_equal(resp_reply_reader_next(r, &reply), st); /* stays failed */
        assert_true(resp_reply_reader_error(r)[0] != '\0');
        buffer_append_str(out, out->len ? " | " : "");
        buffer_append_str(out, st == ST_LIMIT ? "LIMIT" : "PROTOCOL");
    }
    resp_reply_reader_free(r);
}

static void expect_limits(const char *wire, size_t len, const struct resp_reply_limits *limits,
                          const char *wanted)
{
    for (size_t step = 1; step <= len; step++) {
        BUFFER_AUTO struct buffer out = {0};
        run(wire, len, step, limits, &out);
        buffer_append_u8(&out, 0);
        assert_string_equal((char *)out.data, wanted);
    }
}

#define EXPECT(wire, wanted) \
    expect_limits(wire, sizeof(wire) - 1, &resp_reply_default_limits, wanted)

static void test_resp2(void **state)
{
    EXPECT("+OK\r\n", "+OK");
    EXPECT("+\r\n", "+");
    EXPECT("-ERR no\r\n", "!ERR no");
    EXPECT(":0\r\n:-1\r\n:9223372036854775807\r\n:-9223372036854775808\r\n",
           ":0 | :-1 | :9223372036854775807 | :-9223372036854775808");
    EXPECT("$0\r\n\r\n$5\r\na\r\nbc\r\n$-1\r\n", "'' | 'a\r\nbc' | nil");
    EXPECT("*0\r\n*-1\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "[] | nil | ['a' [:1]]");
}

static void test_resp3(void **state)
{
    EXPECT("_\r\n#t\r\n#f\r\n", "nil | true | false");
    EXPECT(",1.5\r\n,-1e3\r\n,inf\r\n,-inf\r\n,nan\r\n", ",1.5 | ,-1000 | ,inf | ,-inf | ,nan");
    EXPECT("(123456789012345678901234567890\r\n(-5\r\n", "(123456789012345678901234567890 | (-5");
    EXPECT("!5\r\nERR a\r\n=7\r\ntxt:abc\r\n=4\r\ntxt:\r\n", "!ERR a | =txt:abc | =txt:");
    EXPECT("%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n", "{+a :1 +b []}");
    EXPECT("~2\r\n:1\r\n:2\r\n>2\r\n+message\r\n:1\r\n%0\r\n~0\r\n",
           "~:1 :2~ | >+message :1< | {} | ~~");
}

static void test_attributes_are_dropped(void **state)
{
    EXPECT("|1\r\n+ttl\r\n:3600\r\n$1\r\na\r\n", "'a'");
    EXPECT("*2\r\n:1\r\n|1\r\n+k\r\n*2\r\n:8\r\n:9\r\n:2\r\n+next\r\n", "[:1 :2] | +next");
    EXPECT("|0\r\n+a\r\n*1\r\n|0\r\n|1\r\n+x\r\n|0\r\n+y\r\n:7\r\n", "+a | [:7]");
}

static void test_malformed(void **state)
{
    static const char *const wires[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        "\n",
        "+OK\n",
        ":\r\n",
        ":-\r\n",
        ":1x\r\n",
        ":9223372036854775808\r\n",
        ":99999999999999999999\r\n",
        "$\r\n",
        "$-2\r\n",
        "$3\r\nabcd\r\n",
        "$3\r\nabc\rx",
        "!-1\r\n",
        "=-1\r\n",
        "=3\r\ntxt\r\n",
        "=4\r\ntxtx\r\n",
        "*-2\r\n",
        "*?\r\n",
        "$?\r\n",
        "%-1\r\n",
        "~-1\r\n",
        "_x\r\n",
        "#x\r\n",
        "#\r\n",
        ",\r\n",
        ",0x10\r\n",
        ",1.5x\r\n",
        "(\r\n",
        "(1.5\r\n",
        "*1\r\n*1\r\nx\r\n",
    };
    for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++)
        expect_limits(wires[i], strlen(wires[i]), &resp_reply_default_limits, "PROTOCOL");
    EXPECT("+fine\r\n?\r\n+never\r\n", "+fine | PROTOCOL");
}

static void test_limits(void **state)
{
    const struct resp_reply_limits small = {
        .depth_max = 2, .elements_max = 4, .bulk_bytes_max = 8, .reply_bytes_max = 600};
#define EXPECT_SMALL(wire, wanted) expect_limits(wire, sizeof(wire) - 1, &small, wanted)
    EXPECT_SMALL("*1\r\n*1\r\n:1\r\n", "[[:1]]");
    EXPECT_SMALL("*1\r\n*1\r\n*1\r\n:1\r\n", "LIMIT");
    EXPECT_SMALL("*1\r\n*1\r\n*0\r\n", "[[[]]]"); /* empty: nothing to nest */
    EXPECT_SMALL("*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n",
                 "[:1 :2 :3 :4] | [:1 :2 :3 :4]"); /* counted for each reply anew */
    EXPECT_SMALL("*5\r\n", "LIMIT");
    EXPECT_SMALL("%3\r\n", "LIMIT");
    EXPECT_SMALL("*2\r\n*2\r\n:1\r\n:2\r\n*2\r\n:3\r\n", "LIMIT");
    EXPECT_SMALL("$8\r\n12345678\r\n", "'12345678'");
    EXPECT_SMALL("$9\r\n", "LIMIT");
    EXPECT_SMALL("*1000000000\r\n", "LIMIT");
    EXPECT_SMALL("$9223372036854775807\r\n", "LIMIT");
    const struct resp_reply_limits bytes = {
        .depth_max = 2, .elements_max = 100, .bulk_bytes_max = 400, .reply_bytes_max = 300};
    char wire[512];
    int n = snprintf(wire, sizeof(wire), "$301\r\n%0301d\r\n", 1);
    expect_limits(wire, (size_t)n, &bytes, "LIMIT");
}

static void test_line_limit(void **state)
{
    size_t len = RESP_REPLY_LINE_BYTES_MAX + 100;
    char *wire = malloc(len);
    memset(wire, 'x', len);
    wire[0] = '+';
    BUFFER_AUTO struct buffer out = {0};
    run(wire, len, 1000, &resp_reply_default_limits, &out);
    assert_int_equal(out.len, strlen("LIMIT"));
    assert_memory_equal(out.data, "LIMIT", out.len);
    free(wire);
}

/* A header announces; only what arrives may cost memory. */
static void test_announced_is_not_allocated(void **state)
{
    struct resp_reply_reader *r = resp_reply_reader_create(&resp_reply_default_limits);
    struct resp_reply reply;
    resp_reply_reader_feed(r, slice_str("*16000000\r\n*16000000\r\n$500000000\r\nabc"));
    assert_int_equal(resp_reply_reader_next(r, &reply), ST_AGAIN);
    resp_reply_reader_free(r); /* and a half-read reply is given back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp2),
        cmocka_unit_test(test_resp3),
        cmocka_unit_test(test_attributes_are_dropped),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_announced_is_not_allocated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
