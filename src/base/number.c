#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/check.h"
#include "base/status.h"

#define FLOAT_DECIMALS 17

int number_parse_u64(struct slice text, uint64_t *ret_value)
{
    if (text.len == 0)
        return ST_INVALID;
    if (text.data[0] == '0' && text.len > 1)
        return ST_INVALID;
    uint64_t value = 0;
    bool overflow = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9)
            return ST_INVALID;
        overflow |= __builtin_mul_overflow(value, 10, &value);
        overflow |= __builtin_add_overflow(value, digit, &value);
    }
    if (overflow)
        return ST_RANGE;
    *ret_value = value;
    return ST_OK;
}

int number_parse_i64(struct slice text, int64_t *ret_value)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t magnitude;
    int st =
        number_parse_u64(negative ? slice_make(text.data + 1, text.len - 1) : text, &magnitude);
    if (st < 0)
        return st;
    if (negative && magnitude == 0)
        return ST_INVALID;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return ST_RANGE;
    *ret_value = (int64_t)(negative ? -magnitude : magnitude);
    return ST_OK;
}

size_t number_format_u64(char to[NUMBER_TEXT_MAX], uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[NUMBER_TEXT_MAX];
    size_t at = sizeof(digits);
    for (; value >= 100; value /= 100) {
        at -= 2;
        memcpy(digits + at, pairs + value % 100 * 2, 2);
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    memcpy(to, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

size_t number_format_i64(char to[NUMBER_TEXT_MAX], int64_t value)
{
    if (value >= 0)
        return number_format_u64(to, (uint64_t)value);
    to[0] = '-';
    char digits[NUMBER_TEXT_MAX];
    size_t len = number_format_u64(digits, -(uint64_t)value);
    memcpy(to + 1, digits, len);
    return len + 1;
}

int number_parse_float(struct slice text, long double *ret_value)
{
    char copy[NUMBER_FLOAT_TEXT_MAX];
    if (text.len == 0 || text.len >= sizeof(copy))
        return ST_INVALID;
    if (isspace(text.data[0]))
        return ST_INVALID;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    char *end;
    errno = 0;
    long double value = strtold(copy, &end);
    if ((size_t)(end - copy) != text.len || isnan(value))
        return ST_INVALID;
    if (errno == ERANGE && (isinf(value) || fpclassify(value) == FP_ZERO))
        return ST_RANGE;
    *ret_value = value;
    return ST_OK;
}

size_t number_format_float(char to[NUMBER_FLOAT_TEXT_MAX], long double value)
{
    CHECK(!isnan(value));
    if (isinf(value)) {
        memcpy(to, value > 0 ? "inf" : "-inf", 4);
        return value > 0 ? 3 : 4;
    }
    int printed = snprintf(to, NUMBER_FLOAT_TEXT_MAX, "%.*Lf", FLOAT_DECIMALS, value);
    CHECK(printed > 0 && printed < NUMBER_FLOAT_TEXT_MAX);
    size_t len = (size_t)printed;
    while (to[len - 1] == '0')
        len--;
    if (to[len - 1] == '.')
        len--;
    if (len == 2 && to[0] == '-' && to[1] == '0') {
        to[0] = '0';
        len = 1;
    }
    return len;
}

struct number_unit {
    const char *name;
    uint64_t factor;
};

/* Digits (leading zeros are fine in a settings file) and one of `units`; none when `bare` is not 0.
 */
static int number_parse_unit(struct slice text, const struct number_unit *units, size_t units_len,
                             uint64_t bare, uint64_t *ret_value)
{
    uint64_t value = 0, factor = bare;
    bool overflow = false;
    size_t digits = 0;
    for (; digits < text.len && isdigit(text.data[digits]); digits++) {
        overflow |= __builtin_mul_overflow(value, 10, &value);
        overflow |= __builtin_add_overflow(value, text.data[digits] - '0', &value);
    }
    if (digits == 0)
        return ST_INVALID;
    struct slice unit = slice_make(text.data + digits, text.len - digits);
    if (unit.len > 0) {
        factor = 0;
        for (size_t i = 0; i < units_len; i++)
            if (unit.len == strlen(units[i].name) &&
                strncasecmp((const char *)unit.data, units[i].name, unit.len) == 0)
                factor = units[i].factor;
    }
    if (factor == 0 && (unit.len > 0 || overflow || value != 0))
        return ST_INVALID;
    if (overflow || __builtin_mul_overflow(value, factor, &value))
        return ST_RANGE;
    *ret_value = value;
    return ST_OK;
}

int number_parse_bytes(struct slice text, uint64_t *ret_bytes)
{
    static const struct number_unit units[] = {
        {"b", 1},        {"k", 1000},       {"kb", 1 << 10}, {"m", 1000000},
        {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30},
    };
    return number_parse_unit(text, units, ARRAY_SIZE(units), 1, ret_bytes);
}

int number_parse_duration(struct slice text, uint64_t unit_ms, uint64_t *ret_ms)
{
    static const struct number_unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    return number_parse_unit(text, units, ARRAY_SIZE(units), unit_ms, ret_ms);
}
