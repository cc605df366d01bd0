/* Numbers to text and back, as Redis 7.0 does it where clients can see the difference.
 *
 * Parsers take all bytes of the slice or fail: ST_INVALID when it is no such number, ST_RANGE when
 * it does not fit. They need no terminator. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define NUMBER_TEXT_MAX       21   /* bytes of any 64-bit integer, no terminator */
#define NUMBER_FLOAT_TEXT_MAX 5120 /* of any long double in plain notation, as Redis bounds it */

/* Decimal, no spaces, no plus, no leading zeros, no -0. */
int number_parse_i64(struct slice text, int64_t *ret_value);
int number_parse_u64(struct slice text, uint64_t *ret_value);

/* Write the digits, no terminator; return how many bytes. */
size_t number_format_i64(char to[NUMBER_TEXT_MAX], int64_t value);
size_t number_format_u64(char to[NUMBER_TEXT_MAX], uint64_t value);

/* What strtold(3) reads, "inf" and hexadecimal too, except leading space, NaN and what over- or
 * underflows. */
int number_parse_float(struct slice text, long double *ret_value);
/* 17 decimals without trailing zeros, never an exponent: INCRBYFLOAT's. No terminator. */
size_t number_format_float(char to[NUMBER_FLOAT_TEXT_MAX], long double value);

/* "64mb": digits and b, k, kb, m, mb, g, gb in any case; k is 1000 and kb is 1024, as in
 * redis.conf.
 */
int number_parse_bytes(struct slice text, uint64_t *ret_bytes);
/* "500ms", "10s", "5m", "1h", "2d"; a number without a unit counts unit_ms each, and is refused
 * when that is 0 (0 itself needs no unit). */
int number_parse_duration(struct slice text, uint64_t unit_ms, uint64_t *ret_ms);
