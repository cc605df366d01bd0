#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/number.h"
#include "base/prng.h"
#include "base/status.h"

static void test_i64(void **state)
{
    static const struct {
        const char *text;
        int st;
        int64_t value;
    } cases[] = {
        {"0", ST_OK, 0},
        {"7", ST_OK, 7},
        {"-1", ST_OK, -1},
        {"9223372036854775807", ST_OK, INT64_MAX},
        {"-9223372036854775808", ST_OK, INT64_MIN},
        {"9223372036854775808", ST_RANGE, 0},
        {"-9223372036854775809", ST_RANGE, 0},
        {"18446744073709551616", ST_RANGE, 0},
        {"99999999999999999999999999", ST_RANGE, 0},
        {"", ST_INVALID, 0},
        {"-", ST_INVALID, 0},
        {"-0", ST_INVALID, 0},
        {"00", ST_INVALID, 0},
        {"01", ST_INVALID, 0},
        {"-01", ST_INVALID, 0},
        {"+1", ST_INVALID, 0},
        {" 1", ST_INVALID, 0},
        {"1 ", ST_INVALID, 0},
        {"1a", ST_INVALID, 0},
        {"--1", ST_INVALID, 0},
        {"1.0", ST_INVALID, 0},
        {"0x10", ST_INVALID, 0},
        {"99999999999999999999999999x", ST_INVALID, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t value = 42;
        assert_int_equal(number_parse_i64(slice_str(cases[i].text), &value), cases[i].st);
        assert_true(value == (cases[i].st == ST_OK ? cases[i].value : 42));
    }
    int64_t value;
    assert_int_equal(number_parse_i64(slice_make("12\0", 3), &value), ST_INVALID);
    assert_int_equal(number_parse_i64(slice_make("123", 2), &value), ST_OK);
    assert_true(value == 12);
}

static void test_u64(void **state)
{
    uint64_t value = 42;
    assert_int_equal(number_parse_u64(slice_str("18446744073709551615"), &value), ST_OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(number_parse_u64(slice_str("18446744073709551616"), &value), ST_RANGE);
    assert_int_equal(number_parse_u64(slice_str("-1"), &value), ST_INVALID);
    assert_true(value == UINT64_MAX);
}

static void expect_round_trip(int64_t value)
{
    char got[NUMBER_TEXT_MAX], want[32];
    size_t len = number_format_i64(got, value);
    int want_len = snprintf(want, sizeof(want), "%" PRId64, value);
    assert_int_equal(len, want_len);
    assert_memory_equal(got, want, len);
    int64_t back;
    assert_int_equal(number_parse_i64(slice_make(got, len), &back), ST_OK);
    assert_true(back == value);
    len = number_format_u64(got, (uint64_t)value);
    want_len = snprintf(want, sizeof(want), "%" PRIu64, (uint64_t)value);
    assert_int_equal(len, want_len);
    assert_memory_equal(got, want, len);
}

static void test_format_integers(void **state)
{
    struct prng prng = prng_make(15);
    expect_round_trip(0);
    expect_round_trip(INT64_MIN);
    expect_round_trip(INT64_MAX);
    for (int64_t power = 1; power <= INT64_MAX / 10; power *= 10) {
        expect_round_trip(power);
        expect_round_trip(power - 1);
        expect_round_trip(-power);
    }
    for (int i = 0; i < 10000; i++)
        expect_round_trip((int64_t)(prng_u64(&prng) >> prng_below(&prng, 64)));
}

/* As INCRBYFLOAT of redis-server 7.0.15 takes and answers them. */
static void test_floats(void **state)
{
    static const struct {
        const char *text, *formatted; /* NULL: not a number */
    } cases[] = {
        {"3.0e3", "3000"},   {"10.50", "10.5"}, {"0.1", "0.1"},
        {"5.0e-3", "0.005"}, {"-0.0", "0"},     {"-0", "0"},
        {"+1.5", "1.5"},     {"0x10", "16"},    {".5", "0.5"},
        {"inf", "inf"},      {"-inf", "-inf"},  {"3.14159265358979323846", "3.14159265358979324"},
        {"1e-18", "0"},      {"100", "100"},    {"nan", NULL},
        {"", NULL},          {" 1", NULL},      {"1 ", NULL},
        {"\t1", NULL},       {"1,5", NULL},     {"abc", NULL},
        {"1e5000", NULL},    {"1e-5000", NULL}, {"-1e5000", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        long double value = 42;
        int st = number_parse_float(slice_str(cases[i].text), &value);
        assert_int_equal(st == ST_OK, cases[i].formatted != NULL);
        if (cases[i].formatted == NULL) {
            assert_true(value == 42);
            continue;
        }
        char text[NUMBER_FLOAT_TEXT_MAX];
        size_t len = number_format_float(text, value);
        assert_int_equal(len, strlen(cases[i].formatted));
        assert_memory_equal(text, cases[i].formatted, len);
    }
}

static void test_float_limits(void **state)
{
    char text[NUMBER_FLOAT_TEXT_MAX + 1];
    long double value;
    assert_int_equal(number_parse_float(slice_str("1e4932"), &value), ST_OK);
    assert_int_equal(number_format_float(text, -value), 1 + 4933);
    memset(text, '1', sizeof(text));
    assert_int_equal(number_parse_float(slice_make(text, NUMBER_FLOAT_TEXT_MAX), &value),
                     ST_INVALID);
    memset(text, '0', sizeof(text));
    assert_int_equal(number_parse_float(slice_make(text, NUMBER_FLOAT_TEXT_MAX - 1), &value),
                     ST_OK);
    assert_int_equal(number_parse_float(slice_make("1\0", 2), &value), ST_INVALID);
    assert_int_equal(number_parse_float(slice_make("12", 1), &value), ST_OK);
    assert_true(value == 1);
}

static void test_bytes(void **state)
{
    uint64_t value = 42;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"100", 100},
        {"1b", 1},
        {"1k", 1000},
        {"1kb", 1024},
        {"64mb", 64 << 20},
        {"1M", 1000000},
        {"2GB", 2ull << 30},
        {"1g", 1000000000},
        {"007", 7},
        {"16777215gb", 16777215ull << 30},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(number_parse_bytes(slice_str(cases[i].text), &value), ST_OK);
        assert_true(value == cases[i].bytes);
    }
    static const char *const invalid[] = {"", "mb", "-1", "1x", "1 mb", "1mbs", "1.5gb", "1tb"};
    for (size_t i = 0; i < ARRAY_SIZE(invalid); i++)
        assert_int_equal(number_parse_bytes(slice_str(invalid[i]), &value), ST_INVALID);
    assert_int_equal(number_parse_bytes(slice_str("17179869184gb"), &value), ST_RANGE);
    assert_int_equal(number_parse_bytes(slice_str("18446744073709551616"), &value), ST_RANGE);
}

static void test_durations(void **state)
{
    uint64_t ms = 42;
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {{"500ms", 500},  {"10s", 10000},    {"5m", 300000},
                 {"1h", 3600000}, {"2D", 172800000}, {"0", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(number_parse_duration(slice_str(cases[i].text), 0, &ms), ST_OK);
        assert_true(ms == cases[i].ms);
    }
    assert_int_equal(number_parse_duration(slice_str("5"), 0, &ms), ST_INVALID);
    assert_int_equal(number_parse_duration(slice_str("5"), 1000, &ms), ST_OK);
    assert_true(ms == 5000);
    assert_int_equal(number_parse_duration(slice_str("5us"), 1000, &ms), ST_INVALID);
    assert_int_equal(number_parse_duration(slice_str("s"), 1000, &ms), ST_INVALID);
    assert_int_equal(number_parse_duration(slice_str("-5s"), 1000, &ms), ST_INVALID);
    assert_int_equal(number_parse_duration(slice_str("99999999999999999d"), 1, &ms), ST_RANGE);
    assert_int_equal(number_parse_duration(slice_str("99999999999999999999"), 0, &ms), ST_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_i64),
        cmocka_unit_test(test_u64),
        cmocka_unit_test(test_format_integers),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_float_limits),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
