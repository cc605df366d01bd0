#include "command/bits.h"

#include "base/bytes.h"
#include "base/check.h"

bool bits_get(struct slice bytes, uint64_t bit)
{
    uint64_t at = bit >> 3;
    return at < bytes.len && (bytes.data[at] >> (7 - (bit & 7)) & 1);
}

void bits_set(uint8_t *bytes, uint64_t bit, bool value)
{
    uint8_t mask = (uint8_t)(1u << (7 - (bit & 7)));
    if (value)
        bytes[bit >> 3] |= mask;
    else
        bytes[bit >> 3] &= (uint8_t)~mask;
}

/* The byte with only the bits from..to (0 is the highest) kept. */
static uint8_t byte_between(uint8_t byte, unsigned from, unsigned to)
{
    return (uint8_t)(byte & (0xffu >> from) & (0xffu << (7 - to)));
}

static uint64_t count_bytes(const uint8_t *data, size_t len)
{
    uint64_t count = 0;
    size_t i = 0;
    for (; i + 8 <= len; i += 8)
        count += (uint64_t)__builtin_popcountll(bytes_get_u64(data + i));
    for (; i < len; i++)
        count += (uint64_t)__builtin_popcount(data[i]);
    return count;
}

uint64_t bits_count(struct slice bytes, uint64_t first, uint64_t last)
{
    CHECK(first <= last);
    CHECK(last >> 3 < bytes.len);
    size_t a = first >> 3, b = last >> 3;
    if (a == b)
        return (uint64_t)__builtin_popcount(byte_between(bytes.data[a], first & 7, last & 7));
    return (uint64_t)__builtin_popcount(byte_between(bytes.data[a], first & 7, 7)) +
           count_bytes(bytes.data + a + 1, b - a - 1) +
           (uint64_t)__builtin_popcount(byte_between(bytes.data[b], 0, last & 7));
}

uint64_t bits_find(struct slice bytes, bool value, uint64_t first, uint64_t last)
{
    CHECK(first <= last);
    CHECK(last >> 3 < bytes.len);
    uint8_t dull = value ? 0x00 : 0xff; /* a byte without what is sought */
    for (uint64_t bit = first; bit <= last;) {
        if ((bit & 7) == 0) {
            size_t at = bit >> 3, end = last >> 3;
            while (at < end && bytes.data[at] == dull)
                at++;
            bit = (uint64_t)at << 3;
        }
        if (bits_get(bytes, bit) == value)
            return bit;
        bit++;
    }
    return BITS_NONE;
}

void bits_combine(uint8_t *to, size_t len, enum bits_op op, struct slice from)
{
    size_t shared = from.len < len ? from.len : len;
    switch (op) {
    case BITS_AND:
        for (size_t i = 0; i < shared; i++)
            to[i] &= from.data[i];
        memset(to + shared, 0, len - shared);
        break;
    case BITS_OR:
        for (size_t i = 0; i < shared; i++)
            to[i] |= from.data[i];
        break;
    case BITS_XOR:
        for (size_t i = 0; i < shared; i++)
            to[i] ^= from.data[i];
        break;
    case BITS_NOT:
        for (size_t i = 0; i < len; i++)
            to[i] = (uint8_t)~to[i];
        break;
    }
}

int64_t bits_field_get(struct slice bytes, uint64_t offset, struct bits_type type)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < type.bits; i++)
        value = value << 1 | bits_get(bytes, offset + i);
    if (type.is_signed && type.bits < 64 && value >> (type.bits - 1))
        value |= UINT64_MAX << type.bits;
    return (int64_t)value;
}

void bits_field_put(uint8_t *bytes, uint64_t offset, struct bits_type type, int64_t value)
{
    for (unsigned i = 0; i < type.bits; i++)
        bits_set(bytes, offset + i, (uint64_t)value >> (type.bits - 1 - i) & 1);
}

bool bits_field_add(struct bits_type type, enum bits_overflow how, int64_t base, int64_t add,
                    int64_t *ret_value)
{
    __int128 min = type.is_signed ? -((__int128)1 << (type.bits - 1)) : 0;
    __int128 max = ((__int128)1 << (type.is_signed ? type.bits - 1 : type.bits)) - 1;
    /* What is added is signed either way. */
    __int128 sum = (type.is_signed ? (__int128)base : (__int128)(uint64_t)base) + add;
    if (sum >= min && sum <= max) {
        *ret_value = (int64_t)sum;
        return true;
    }
    if (how == BITS_FAIL)
        return false;
    if (how == BITS_SATURATE) {
        *ret_value = (int64_t)(sum > max ? max : min);
        return true;
    }
    uint64_t wrapped = (uint64_t)sum;
    if (type.bits < 64) {
        wrapped &= (UINT64_C(1) << type.bits) - 1;
        if (type.is_signed && wrapped >> (type.bits - 1))
            wrapped |= UINT64_MAX << type.bits;
    }
    *ret_value = (int64_t)wrapped;
    return true;
}
