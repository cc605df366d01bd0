#include "base/hash.h"

#include <murmurhash.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

#include "base/bytes.h"
#include "base/check.h"

#define CRC16_POLYNOMIAL  0x1021     /* most significant bit first */
#define CRC32C_POLYNOMIAL 0x82f63b78 /* least significant bit first */

/* Slicing by eight: table[k][b] is the effect of byte b followed by k zero bytes, so eight bytes
 * are eight independent look-ups. Filled once, before main. */
static uint16_t crc16_table[8][256];
static uint32_t crc32c_table[8][256];

__attribute__((constructor)) static void hash_fill_tables(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint16_t c16 = (uint16_t)(b << 8);
        uint32_t c32 = b;
        for (int bit = 0; bit < 8; bit++) {
            c16 = (uint16_t)(c16 << 1 ^ (c16 & 0x8000 ? CRC16_POLYNOMIAL : 0));
            c32 = c32 >> 1 ^ (c32 & 1 ? CRC32C_POLYNOMIAL : 0);
        }
        crc16_table[0][b] = c16;
        crc32c_table[0][b] = c32;
    }
    for (unsigned b = 0; b < 256; b++) {
        for (int k = 1; k < 8; k++) {
            uint16_t c16 = crc16_table[k - 1][b];
            uint32_t c32 = crc32c_table[k - 1][b];
            crc16_table[k][b] = (uint16_t)(c16 << 8 ^ crc16_table[0][c16 >> 8]);
            crc32c_table[k][b] = c32 >> 8 ^ crc32c_table[0][c32 & 0xff];
        }
    }
}

uint64_t hash_bytes(uint64_t seed, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

uint64_t hash_murmur3(uint32_t seed, const void *data, size_t len)
{
    CHECK(len <= UINT32_MAX);
    uint64_t out[2];
    lmmh_x64_128(data, (unsigned)len, seed, out);
    return out[0];
}

uint16_t crc16(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint16_t crc = 0;
    for (; len >= 8; p += 8, len -= 8) {
        crc = crc16_table[7][p[0] ^ crc >> 8] ^ crc16_table[6][p[1] ^ (crc & 0xff)] ^
              crc16_table[5][p[2]] ^ crc16_table[4][p[3]] ^ crc16_table[3][p[4]] ^
              crc16_table[2][p[5]] ^ crc16_table[1][p[6]] ^ crc16_table[0][p[7]];
    }
    for (; len > 0; p++, len--)
        crc = (uint16_t)(crc << 8 ^ crc16_table[0][crc >> 8 ^ *p]);
    return crc;
}

uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = ~seed;
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t low = bytes_get_u32(p) ^ crc;
        crc = crc32c_table[7][low & 0xff] ^ crc32c_table[6][low >> 8 & 0xff] ^
              crc32c_table[5][low >> 16 & 0xff] ^ crc32c_table[4][low >> 24] ^
              crc32c_table[3][p[4]] ^ crc32c_table[2][p[5]] ^ crc32c_table[1][p[6]] ^
              crc32c_table[0][p[7]];
    }
    for (; len > 0; p++, len--)
        crc = crc >> 8 ^ crc32c_table[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#ifdef __SSE4_2__
uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t crc = ~seed;
    for (; len >= 8; p += 8, len -= 8)
        crc = _mm_crc32_u64(crc, bytes_get_u64(p));
    if (len >= 4) {
        crc = _mm_crc32_u32((uint32_t)crc, bytes_get_u32(p));
        p += 4;
        len -= 4;
    }
    for (; len > 0; p++, len--)
        crc = _mm_crc32_u8((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}
#else
uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
    return crc32c_portable(seed, data, len);
}
#endif
