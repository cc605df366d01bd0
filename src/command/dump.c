#include "command/dump.h"

#include "base/bytes.h"
#include "base/number.h"
#include "base/status.h"

#define RDB_TYPE_STRING  0
#define RDB_VERSION      10 /* what Redis 7.0 writes */
#define RDB_VERSION_MAX  12 /* strings are the same up to there */
#define FOOTER_BYTES     10
#define INTEGER_TEXT_MAX 11 /* longer texts are never stored as integers */

#define LEN_14BIT        0x40
#define LEN_32BIT        0x80
#define LEN_64BIT        0x81
#define ENC_INT8         0xc0
#define ENC_INT16        0xc1
#define ENC_INT32        0xc2
#define ENC_LZF          0xc3
#define LZF_RATIO_MAX    88 /* three bytes copy at most 264 */

/* CRC-64/Jones, reflected, initial value 0, eight bytes at a time: bit by bit, the longest value
 * would hold its shard up for two seconds. crc_table[k][b]: byte b followed by k zero bytes. */
static uint64_t crc_table[8][256];

/* Before main(): it never changes afterwards. */
__attribute__((constructor)) static void crc_table_build(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint64_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0x95ac9329ac4bc9b5) : 0);
        crc_table[0][b] = crc;
    }
    for (unsigned k = 1; k < 8; k++)
        for (unsigned b = 0; b < 256; b++)
            crc_table[k][b] = crc_table[k - 1][b] >> 8 ^ crc_table[0][crc_table[k - 1][b] & 0xff];
}

static uint64_t crc64_jones(struct slice bytes)
{
    uint64_t crc = 0;
    const uint8_t *at = bytes.data, *end = bytes.data + bytes.len;
    for (; end - at >= 8; at += 8) {
        uint64_t word = crc ^ bytes_get_u64(at);
        crc = 0;
        for (unsigned k = 0; k < 8; k++)
            crc ^= crc_table[7 - k][word >> 8 * k & 0xff];
    }
    for (; at < end; at++)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *at) & 0xff];
    return crc;
}

static bool encode_integer(struct buffer *out, struct slice value)
{
    int64_t number;
    if (value.len > INTEGER_TEXT_MAX || number_parse_i64(value, &number) < 0)
        return false;
    if (number >= INT8_MIN && number <= INT8_MAX) {
        buffer_append_u8(out, ENC_INT8);
        buffer_append_u8(out, (uint8_t)number);
    } else if (number >= INT16_MIN && number <= INT16_MAX) {
        buffer_append_u8(out, ENC_INT16);
        buffer_append_u16(out, (uint16_t)number);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
        buffer_append_u8(out, ENC_INT32);
        buffer_append_u32(out, (uint32_t)number);
    } else {
        return false;
    }
    return true;
}

static void encode_length(struct buffer *out, uint64_t len)
{
    if (len < 64) {
        buffer_append_u8(out, (uint8_t)len);
    } else if (len < 16384) {
        buffer_append_u8(out, (uint8_t)(LEN_14BIT | len >> 8));
        buffer_append_u8(out, (uint8_t)len);
    } else {
        uint8_t wide[5] = {LEN_32BIT};
        bytes_put_be32(wide + 1, (uint32_t)len);
        buffer_append(out, wide, sizeof(wide));
    }
}

void dump_seal(struct buffer *out, size_t start)
{
    buffer_append_u16(out, RDB_VERSION);
    buffer_append_u64(out, crc64_jones(slice_make(out->data + start, out->len - start)));
}

void dump_encode(struct buffer *out, struct slice value)
{
    size_t start = out->len;
    buffer_append_u8(out, RDB_TYPE_STRING);
    if (!encode_integer(out, value)) {
        encode_length(out, value.len);
        buffer_append_slice(out, value);
    }
    dump_seal(out, start);
}

/* Takes n bytes off the front. */
static int take(struct slice *bytes, size_t n, const uint8_t **ret_data)
{
    if (bytes->len < n)
        return ST_CORRUPT;
    *ret_data = bytes->data;
    bytes->data += n;
    bytes->len -= n;
    return 0;
}

/* A plain length, or one of the ENC_ values as *ret_encoding (0: it is a length). */
static int take_length(struct slice *bytes, uint64_t *ret_len, uint8_t *ret_encoding)
{
    const uint8_t *at;
    if (take(bytes, 1, &at) < 0)
        return ST_CORRUPT;
    uint8_t first = *at;
    *ret_encoding = 0;
    if (first >= ENC_INT8) {
        *ret_encoding = first;
        return first <= ENC_LZF ? 0 : ST_CORRUPT;
    }
    if (first < LEN_14BIT) {
        *ret_len = first;
        return 0;
    }
    size_t more = first < LEN_32BIT ? 1 : first == LEN_32BIT ? 4 : first == LEN_64BIT ? 8 : 0;
    if (more == 0 || take(bytes, more, &at) < 0)
        return ST_CORRUPT;
    *ret_len = more == 1   ? (uint64_t)(first & 0x3f) << 8 | *at
               : more == 4 ? bytes_get_be32(at)
                           : bytes_get_be64(at);
    return 0;
}

/* LZF (Marc Lehmann): 000LLLLL copies L+1 literals; LLLooooo oooooooo copies L+2 bytes (L = 7: one
 * more length byte) from o+1 back. Writes exactly len bytes or fails. */
static int lzf_expand(struct slice packed, uint8_t *to, size_t len)
{
    const uint8_t *in = packed.data, *end = packed.data + packed.len;
    size_t at = 0;
    while (in < end) {
        size_t control = *in++;
        if (control < 32) {
            size_t literals = control + 1;
            if (literals > len - at || literals > (size_t)(end - in))
                return ST_CORRUPT;
            memcpy(to + at, in, literals);
            in += literals;
            at += literals;
            continue;
        }
        size_t count = control >> 5;
        if (count == 7) {
            if (in == end)
                return ST_CORRUPT;
            count += *in++;
        }
        count += 2;
        if (in == end)
            return ST_CORRUPT;
        size_t back = (control & 0x1f) << 8 | *in++;
        if (back + 1 > at || count > len - at)
            return ST_CORRUPT;
        for (size_t i = 0; i < count; i++, at++)
            to[at] = to[at - back - 1];
    }
    return at == len ? 0 : ST_CORRUPT;
}

static int decode_lzf(struct slice *body, size_t max_bytes, struct buffer *out)
{
    uint64_t packed_len, len;
    uint8_t encoding;
    if (take_length(body, &packed_len, &encoding) < 0 || encoding != 0)
        return ST_CORRUPT;
    if (take_length(body, &len, &encoding) < 0 || encoding != 0)
        return ST_CORRUPT;
    if (len > max_bytes)
        return ST_LIMIT;
    const uint8_t *packed;
    if (packed_len > body->len || take(body, packed_len, &packed) < 0)
        return ST_CORRUPT;
    if (len / LZF_RATIO_MAX > packed_len)
        return ST_CORRUPT; /* before a few bytes make us reserve a lot */
    int st = lzf_expand(slice_make(packed, packed_len), buffer_reserve(out, len), len);
    if (st == 0)
        out->len += len;
    return st;
}

static int decode_integer(struct slice *body, uint8_t encoding, struct buffer *out)
{
    size_t bytes = encoding == ENC_INT8 ? 1 : encoding == ENC_INT16 ? 2 : 4;
    const uint8_t *at;
    if (take(body, bytes, &at) < 0)
        return ST_CORRUPT;
    int64_t number = encoding == ENC_INT8    ? (int8_t)*at
                     : encoding == ENC_INT16 ? (int16_t)bytes_get_u16(at)
                                             : (int32_t)bytes_get_u32(at);
    char text[NUMBER_TEXT_MAX];
    buffer_append(out, text, number_format_i64(text, number));
    return 0;
}

static int decode_string(struct slice *body, size_t max_bytes, struct buffer *out)
{
    uint64_t len = 0;
    uint8_t encoding;
    int st = take_length(body, &len, &encoding);
    if (st < 0)
        return st;
    if (encoding == ENC_LZF)
        return decode_lzf(body, max_bytes, out);
    if (encoding != 0)
        return decode_integer(body, encoding, out);
    const uint8_t *at;
    if (len > body->len || take(body, len, &at) < 0)
        return ST_CORRUPT;
    if (len > max_bytes)
        return ST_LIMIT;
    buffer_append(out, at, len);
    return 0;
}

uint64_t dump_value_bytes_max(struct slice payload)
{
    if (payload.len < FOOTER_BYTES + 1)
        return 0;
    struct slice body = slice_make(payload.data + 1, payload.len - FOOTER_BYTES - 1);
    uint64_t packed_len, len = 0;
    uint8_t encoding;
    if (take_length(&body, &len, &encoding) < 0)
        return 0;
    if (encoding == 0)
        return len;
    if (encoding != ENC_LZF)
        return NUMBER_TEXT_MAX;
    if (take_length(&body, &packed_len, &encoding) < 0 || encoding != 0 ||
        take_length(&body, &len, &encoding) < 0 || encoding != 0)
        return 0;
    return len;
}

int dump_decode(struct slice payload, size_t max_bytes, struct buffer *out)
{
    if (payload.len < FOOTER_BYTES)
        return ST_PROTOCOL;
    const uint8_t *footer = payload.data + payload.len - FOOTER_BYTES;
    if (bytes_get_u16(footer) > RDB_VERSION_MAX)
        return ST_PROTOCOL;
    if (bytes_get_u64(footer + 2) != crc64_jones(slice_make(payload.data, payload.len - 8)))
        return ST_PROTOCOL;
    struct slice body = slice_make(payload.data, payload.len - FOOTER_BYTES);
    const uint8_t *type;
    if (take(&body, 1, &type) < 0)
        return ST_CORRUPT;
    if (*type != RDB_TYPE_STRING)
        return ST_UNSUPPORTED;
    size_t start = out->len;
    int st = decode_string(&body, max_bytes, out);
    if (st == 0 && body.len > 0)
        st = ST_CORRUPT;
    if (st < 0)
        out->len = start;
    return st;
}
