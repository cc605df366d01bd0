/* Bits in byte strings, numbered as Redis does: bit 0 is the highest bit of byte 0.
 *
 * Pure functions over bytes; ranges are inclusive bit positions within the bytes, checked by the
 * caller. Bitfield integers are big endian, of 1-64 bits signed or 1-63 bits unsigned; bits beyond
 * the end read as zero. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define BITS_NONE UINT64_MAX

bool bits_get(struct slice bytes, uint64_t bit);
void bits_set(uint8_t *bytes, uint64_t bit, bool value);

/* Ones in bits [first, last]. */
uint64_t bits_count(struct slice bytes, uint64_t first, uint64_t last);
/* The first bit equal to `value` in [first, last], or BITS_NONE. */
uint64_t bits_find(struct slice bytes, bool value, uint64_t first, uint64_t last);

enum bits_op { BITS_AND, BITS_OR, BITS_XOR, BITS_NOT };
/* *to (of length `len`) = to OP from; `from` counts as zero beyond its end. BITS_NOT ignores from.
 */
void bits_combine(uint8_t *to, size_t len, enum bits_op op, struct slice from);

enum bits_overflow { BITS_WRAP, BITS_SATURATE, BITS_FAIL };

struct bits_type {
    bool is_signed;
    unsigned bits;
};

int64_t bits_field_get(struct slice bytes, uint64_t offset, struct bits_type type);
/* The bytes must reach to the end of the field. */
void bits_field_put(uint8_t *bytes, uint64_t offset, struct bits_type type, int64_t value);
/* base + add in the type (SET is 0 + value). false: it overflowed and how says BITS_FAIL. */
bool bits_field_add(struct bits_type type, enum bits_overflow how, int64_t base, int64_t add,
                    int64_t *ret_value);
