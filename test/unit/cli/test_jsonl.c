#include "cli/jsonl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "cli/json_text.h"

#define SLICE(literal) slice_make(literal, sizeof(literal) - 1)

static const struct entry_fields usual = {0};

static void expect(const char *line, const struct entry_fields *fields, struct slice key,
                   struct slice value, int64_t ttl_ms)
{
    struct entry entry = {0};
    struct failure failure = {0};
    assert_int_equal(jsonl_parse(slice_str(line), fields, &entry, &failure), 0);
    assert_true(slice_equal(buffer_slice(&entry.key), key));
    assert_true(slice_equal(buffer_slice(&entry.value), value));
    assert_int_equal(entry.ttl_ms, ttl_ms);
    entry_free(&entry);
}

static void refuse(const char *line, const struct entry_fields *fields, const char *reason)
{
    struct entry entry = {0};
    struct failure failure = {0};
    assert_int_equal(jsonl_parse(slice_str(line), fields, &entry, &failure), ST_INVALID);
    assert_non_null(strstr(failure.text, reason));
    entry_free(&entry);
}

static void test_parse(void **state)
{
    expect("{\"key\":\"a\",\"value\":\"b\"}\r\n", &usual, SLICE("a"), SLICE("b"), ENTRY_FOREVER);
    expect("{\"ttl_ms\":5,\"value\":\"\",\"key\":\"\"}", &usual, SLICE(""), SLICE(""), 5);
    expect("{\"key\":\"a\\u0000\\n\",\"value\":\"\\ud83d\\ude00\"}", &usual, SLICE("a\0\n"),
           SLICE("\xf0\x9f\x98\x80"), 0);
    expect("{\"key_b64\":\"/w==\",\"value_b64\":\"AAE=\"}", &usual, SLICE("\xff"), SLICE("\0\1"),
           0);
    expect("{\"key\":7,\"value\":1.5}", &usual, SLICE("7"), SLICE("1.5"), 0);
    expect("{\"key\":\"a\",\"value\":{\"b\": [1, true]}}", &usual, SLICE("a"),
           SLICE("{\"b\":[1,true]}"), 0);
    expect("{\"key\":\"a\",\"value\":false,\"ttl_ms\":null}", &usual, SLICE("a"), SLICE("false"),
           0);
}

/* What is not text is stored as it is written, whatever a number of C could hold. */
static void test_numbers(void **state)
{
    const struct entry_fields whole = {.key = "Package"};
    const char *line = "{\"Package\":\"p2\",\"id\":18446744073709551615}";
    expect(line, &whole, SLICE("p2"), slice_str(line), 0);
    expect("{\"key\":\"r\",\"value\":1.50}", &usual, SLICE("r"), SLICE("1.50"), 0);
    expect("{\"value\" : 18446744073709551616 , \"key\" : 123456789012345678901234567890 }", &usual,
           SLICE("123456789012345678901234567890"), SLICE("18446744073709551616"), 0);
    expect("{\"key\":-0,\"value\":[ 1e2, {\"a \\\" b\": \"}\"} ] ,\"ttl_ms\":7}", &usual,
           SLICE("-0"), SLICE("[1e2,{\"a \\\" b\":\"}\"}]"), 7);
    expect("{\"key\":\"a\",\"v\\u0061lue\":2.0}", &usual, SLICE("a"), SLICE("2.0"), 0);
    refuse("{\"key\":1e3,\"value\":\"\"}", &usual, "neither a text nor a whole number");
    refuse("{\"key\":\"a\",\"value\":\"\",\"ttl_ms\":5.0}", &usual, "ttl_ms");
    refuse("{\"key\":\"a\",\"value\":\"\",\"ttl_ms\":18446744073709551615}", &usual, "ttl_ms");
}

static void test_fields(void **state)
{
    const struct entry_fields whole = {.key = "id"}, one = {.key = "id", .value = "name"};
    const char *line = " {\"id\": 5,  \"name\": \"x\", \"ttl_ms\": 9}\n";
    expect(line, &whole, SLICE("5"), SLICE("{\"id\": 5,  \"name\": \"x\", \"ttl_ms\": 9}"), 0);
    expect(line, &one, SLICE("5"), SLICE("x"), 9);
    refuse("{\"key\":\"a\"}", &whole, "no field \"id\"");
    refuse("{\"id\":\"a\"}", &one, "no field \"name\"");
    refuse("{\"id\":\"a\",\"value_b64\":\"AAE=\"}", &one, "no field \"name\"");
}

static void test_refuses(void **state)
{
    refuse("", &usual, "not JSON");
    refuse("{\"key\":", &usual, "not JSON");
    refuse("{} {}", &usual, "not JSON");
    refuse("{\"key\":\"\xff\",\"value\":\"\"}", &usual, "not JSON");
    refuse("[1]", &usual, "not a JSON object");
    refuse("{\"value\":\"b\"}", &usual, "no field \"key\"");
    refuse("{\"key\":\"a\"}", &usual, "no field \"value\"");
    refuse("{\"key\":\"a\",\"value\":null}", &usual, "is null");
    refuse("{\"key\":1.5,\"value\":\"\"}", &usual, "neither a text nor a whole number");
    refuse("{\"key\":\"a\",\"value_b64\":\"A\"}", &usual, "not base64");
    refuse("{\"key_b64\":1,\"value\":\"\"}", &usual, "not base64");
    refuse("{\"key\":\"a\",\"value\":\"\",\"ttl_ms\":0}", &usual, "ttl_ms");
    refuse("{\"key\":\"a\",\"value\":\"\",\"ttl_ms\":\"5\"}", &usual, "ttl_ms");
}

/* Every byte, and every pair of hostile ones, comes back as it went. */
static void test_round_trip(void **state)
{
    for (int i = 0; i < 256 * 4; i++) {
        uint8_t bytes[] = {(uint8_t)i, "\\\"\xc3\n"[i >> 8], (uint8_t)(i * 31)};
        struct slice key = slice_make(bytes, 2), value = slice_make(bytes, 3);
        BUFFER_AUTO struct buffer line = {0};
        jsonl_append(&line, key, value, i);
        assert_int_equal(line.data[line.len - 1], '\n');
        assert_null(memchr(line.data, '\n', line.len - 1));
        struct entry entry = {0};
        struct failure failure;
        assert_int_equal(jsonl_parse(buffer_slice(&line), &usual, &entry, &failure), 0);
        assert_true(slice_equal(buffer_slice(&entry.key), key));
        assert_true(slice_equal(buffer_slice(&entry.value), value));
        assert_int_equal(entry.ttl_ms, i);
        entry_free(&entry);
    }
}

static void test_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x82",
                                      "a\xff"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(json_text_is_utf8(slice_str(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(json_text_is_utf8(slice_str(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_fields),     cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
