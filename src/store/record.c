/* Records, operations and row keys as bytes. Decoders trust nothing: every length is checked
 * against what is left. */
#include "store/record.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/status.h"

#define VARINT_BYTES_MAX 10

static size_t varint_put(uint8_t *to, uint64_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        to[n++] = (uint8_t)(value | 0x80);
    to[n++] = (uint8_t)value;
    return n;
}

/* Takes a varint off *in; false when it is cut off, too long or not the shortest form. */
static bool varint_take(struct slice *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned n = 0; n < VARINT_BYTES_MAX && n < in->len; n++) {
        uint8_t byte = in->data[n];
        if (n == VARINT_BYTES_MAX - 1 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << (7 * n);
        if (byte & 0x80)
            continue;
        if (byte == 0 && n > 0)
            return false;
        *in = slice_make(in->data + n + 1, in->len - n - 1);
        *ret_value = value;
        return true;
    }
    return false;
}

static bool bytes_take(struct slice *in, uint64_t len, struct slice *ret_bytes)
{
    if (len > in->len)
        return false;
    *ret_bytes = slice_make(in->data, len);
    *in = slice_make(in->data + len, in->len - len);
    return true;
}

#define HEAD_BYTES_MAX (1 + 8 + VARINT_BYTES_MAX + 8 + 8 + VARINT_BYTES_MAX)

/* All of an encoded record before the versions' bytes. */
static size_t head_put(uint8_t *to, const struct record *r)
{
    uint8_t *p = to;
    *p++ = r->flags;
    bytes_put_u64(p, r->actor);
    p += 8;
    p += varint_put(p, r->counter);
    bytes_put_u64(p, r->stamp);
    p += 8;
    if (r->flags & RECORD_EXPIRES) {
        bytes_put_u64(p, r->expire_ms);
        p += 8;
    }
    if (r->flags & RECORD_VERSIONED)
        p += varint_put(p, r->versions.len);
    return (size_t)(p - to);
}

static void encode_before_value(struct buffer *out, const struct record *r)
{
    CHECK((r->flags & ~RECORD_FLAGS_KNOWN) == 0);
    out->len += head_put(buffer_reserve(out, HEAD_BYTES_MAX), r);
    if (r->flags & RECORD_VERSIONED)
        buffer_append_slice(out, r->versions);
}

void record_encode(struct buffer *out, const struct record *r)
{
    encode_before_value(out, r);
    buffer_append_slice(out, r->value);
}

int record_decode(struct slice in, struct record *ret_record)
{
    struct record r = {0};
    struct slice fixed;
    if (in.len == 0)
        return ST_CORRUPT;
    r.flags = in.data[0];
    if (r.flags & ~RECORD_FLAGS_KNOWN)
        return ST_VERSION;
    if (!bytes_take(&in, 9, &fixed))
        return ST_CORRUPT;
    r.actor = bytes_get_u64(fixed.data + 1);
    if (!varint_take(&in, &r.counter) || !bytes_take(&in, 8, &fixed))
        return ST_CORRUPT;
    r.stamp = bytes_get_u64(fixed.data);
    if (r.flags & RECORD_EXPIRES) {
        if (!bytes_take(&in, 8, &fixed))
            return ST_CORRUPT;
        r.expire_ms = bytes_get_u64(fixed.data);
    }
    if (r.flags & RECORD_VERSIONED) {
        uint64_t len;
        if (!varint_take(&in, &len) || !bytes_take(&in, len, &r.versions))
            return ST_CORRUPT;
    }
    r.value = in;
    *ret_record = r;
    return 0;
}

/* --- operations --- */

#define OP_FIXED_BYTES (4 + 2 + 4 + 8)

void record_op_encode_head(struct buffer *out, const struct record_op *op)
{
    size_t start = out->len;
    uint8_t *p = buffer_reserve(out, OP_FIXED_BYTES + VARINT_BYTES_MAX);
    bytes_put_u16(p + 4, op->key.partition);
    bytes_put_u32(p + 6, op->key.keyspace);
    bytes_put_u64(p + 10, op->index);
    out->len += OP_FIXED_BYTES + varint_put(p + OP_FIXED_BYTES, op->key.bytes.len);
    buffer_append_slice(out, op->key.bytes);
    encode_before_value(out, &op->record);
    uint64_t bytes = out->len - start - 4 + op->record.value.len;
    CHECK(bytes <= UINT32_MAX);
    bytes_put_u32(out->data + start, (uint32_t)bytes);
}

void record_op_encode(struct buffer *out, const struct record_op *op)
{
    record_op_encode_head(out, op);
    buffer_append_slice(out, op->record.value);
}

int record_op_decode(struct slice *payload, struct record_op *ret_op)
{
    struct slice in = *payload, body, fixed;
    uint64_t key_len;
    if (in.len == 0)
        return ST_NOTFOUND;
    if (!bytes_take(&in, 4, &fixed))
        return ST_CORRUPT;
    if (!bytes_take(&in, bytes_get_u32(fixed.data), &body))
        return ST_CORRUPT;
    struct record_op op = {0};
    if (!bytes_take(&body, OP_FIXED_BYTES - 4, &fixed))
        return ST_CORRUPT;
    op.key.partition = bytes_get_u16(fixed.data);
    op.key.keyspace = bytes_get_u32(fixed.data + 2);
    op.index = bytes_get_u64(fixed.data + 6);
    if (!varint_take(&body, &key_len) || key_len > KEY_BYTES_MAX ||
        !bytes_take(&body, key_len, &op.key.bytes))
        return ST_CORRUPT;
    int st = record_decode(body, &op.record);
    if (st != 0)
        return st;
    *ret_op = op;
    *payload = in;
    return 0;
}

/* --- row keys --- */

void row_key_encode(struct buffer *out, uint16_t partition, uint32_t generation, uint32_t keyspace,
                    struct slice key)
{
    uint8_t *p = buffer_reserve(out, ROW_KEY_PREFIX_BYTES);
    bytes_put_be16(p, partition);
    bytes_put_be32(p + 2, generation);
    bytes_put_be32(p + 6, keyspace);
    out->len += ROW_KEY_PREFIX_BYTES;
    buffer_append_slice(out, key);
}

int row_key_decode(struct slice row, uint16_t *ret_partition, uint32_t *ret_generation,
                   uint32_t *ret_keyspace, struct slice *ret_key)
{
    if (row.len < ROW_KEY_PREFIX_BYTES)
        return ST_CORRUPT;
    *ret_partition = bytes_get_be16(row.data);
    *ret_generation = bytes_get_be32(row.data + 2);
    *ret_keyspace = bytes_get_be32(row.data + 6);
    *ret_key = slice_make(row.data + ROW_KEY_PREFIX_BYTES, row.len - ROW_KEY_PREFIX_BYTES);
    return 0;
}
