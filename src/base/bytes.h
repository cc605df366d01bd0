/* Little endian integers in byte buffers, at any alignment: how every number on disk and on the
 * wire is stored. (Keys that must sort as bytes use big endian: bytes_put_be64 and kin.) */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_ACCESS(name, type, encode, decode)              \
    static inline void bytes_put_##name(void *to, type value) \
    {                                                         \
        value = encode(value);                                \
        memcpy(to, &value, sizeof(value));                    \
    }                                                         \
    static inline type bytes_get_##name(const void *from)     \
    {                                                         \
        type value;                                           \
        memcpy(&value, from, sizeof(value));                  \
        return decode(value);                                 \
    }

BYTES_ACCESS(u16, uint16_t, htole16, le16toh)
BYTES_ACCESS(u32, uint32_t, htole32, le32toh)
BYTES_ACCESS(u64, uint64_t, htole64, le64toh)
BYTES_ACCESS(be16, uint16_t, htobe16, be16toh)
BYTES_ACCESS(be32, uint32_t, htobe32, be32toh)
BYTES_ACCESS(be64, uint64_t, htobe64, be64toh)
#undef BYTES_ACCESS
