/* A record, little endian:
 *
 *      0 u32 length      of the payload
 *      4 u8  kind
 *      5 3 zero bytes
 *      8 u64 counter     of the records of this direction, from 1
 *     16 payload
 *      + 16 bytes MAC    of all that stands before it */
#include "wire/sealed.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/status.h"

void sealed_close(struct sealed *s, uint8_t *record, enum sealed_kind kind, size_t payload_len)
{
    CHECK(payload_len <= SEALED_PAYLOAD_MAX);
    bytes_put_u32(record, (uint32_t)payload_len);
    bytes_put_u32(record + 4, kind);
    bytes_put_u64(record + SEALED_COUNTER_AT, ++s->counter);
    size_t len = SEALED_HEADER_BYTES + payload_len;
    s->mac->compute(s->mac, slice_make(record, len), record + len);
}

int sealed_length(struct slice bytes, struct wire_refusals *refusals, size_t *ret_bytes)
{
    if (bytes.len < SEALED_HEADER_BYTES)
        return ST_AGAIN;
    uint32_t len = bytes_get_u32(bytes.data);
    if (len > SEALED_PAYLOAD_MAX)
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    *ret_bytes = SEALED_OVERHEAD_BYTES + (size_t)len;
    return 0;
}

int sealed_open(struct sealed *s, struct slice record, struct wire_refusals *refusals,
                uint8_t *ret_kind, struct slice *ret_payload)
{
    size_t len;
    int st = sealed_length(record, refusals, &len);
    if (st < 0 && st != ST_AGAIN)
        return st;
    if (st == ST_AGAIN || len != record.len)
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    uint8_t tag[DATAGRAM_MAC_BYTES];
    len -= DATAGRAM_MAC_BYTES;
    s->mac->compute(s->mac, slice_make(record.data, len), tag);
    if (!datagram_tag_equal(tag, record.data + len))
        return wire_refuse(refusals, WIRE_REFUSED_MAC, ST_DENIED);
    if (bytes_get_u64(record.data + SEALED_COUNTER_AT) != s->counter + 1)
        return wire_refuse(refusals, WIRE_REFUSED_REPLAY, ST_DENIED);
    if (record.data[5] != 0 || record.data[6] != 0 || record.data[7] != 0)
        return wire_refuse(refusals, WIRE_REFUSED_FLAGS, ST_PROTOCOL);
    s->counter++;
    *ret_kind = record.data[4];
    *ret_payload = slice_make(record.data + SEALED_HEADER_BYTES, len - SEALED_HEADER_BYTES);
    return 0;
}
