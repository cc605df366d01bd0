/* A packet, little endian:
 *
 *      0 u32 magic       "TORM"
 *      4 u16 version
 *      6 u16 length      of the messages
 *      8 u64 cluster
 *     16 u64 from        node
 *     24 u64 to          node, or 0
 *     32 u64 boot        of the sender
 *     40 u64 to_boot     of the receiver, or 0
 *     48 u64 nonce
 *     56 u64 counter
 *     64 u64 stamp
 *     72 u64 epoch
 *     80 messages        (wire/member_message.h), behind one another
 *      + 16 bytes MAC    keyed, of all that stands before it
 *
 * The header and the MAC keep their places in all versions: so a node can tell one of a version it
 * does not speak, and that only. */
#include "wire/datagram.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/planted.h"
#include "base/status.h"
#include "wire/frame.h"

#define MAGIC 0x4d524f54u /* "TORM" */

/* --- writing --- */

size_t datagram_begin(struct buffer *out)
{
    size_t start = out->len;
    memset(buffer_reserve(out, DATAGRAM_HEADER_BYTES), 0, DATAGRAM_HEADER_BYTES);
    out->len += DATAGRAM_HEADER_BYTES;
    return start;
}

struct slice datagram_seal(struct buffer *out, size_t start, const struct datagram_head *head,
                           const struct datagram_mac *mac)
{
    CHECK(out->len >= start + DATAGRAM_HEADER_BYTES);
    size_t length = out->len - start - DATAGRAM_HEADER_BYTES;
    CHECK(length + DATAGRAM_OVERHEAD_BYTES <= DATAGRAM_STREAM_BYTES_MAX);
    uint8_t *tag = buffer_reserve(out, DATAGRAM_MAC_BYTES);
    uint8_t *to = out->data + start;
    bytes_put_u32(to, MAGIC);
    bytes_put_u16(to + 4, head->version);
    bytes_put_u16(to + 6, (uint16_t)length);
    bytes_put_u64(to + 8, head->cluster);
    bytes_put_u64(to + 16, head->from);
    bytes_put_u64(to + 24, head->to);
    bytes_put_u64(to + 32, head->boot);
    bytes_put_u64(to + 40, head->to_boot);
    bytes_put_u64(to + 48, head->nonce);
    bytes_put_u64(to + 56, head->counter);
    bytes_put_u64(to + 64, head->stamp);
    bytes_put_u64(to + 72, head->epoch);
    mac->compute(mac, slice_make(to, DATAGRAM_HEADER_BYTES + length), tag);
    out->len += DATAGRAM_MAC_BYTES;
    return slice_make(to, out->len - start);
}

/* --- reading --- */

int datagram_length(struct slice bytes, struct wire_refusals *refusals, size_t *ret_bytes)
{
    if (bytes.len < DATAGRAM_HEADER_BYTES)
        return ST_AGAIN;
    if (bytes_get_u32(bytes.data) != MAGIC)
        return wire_refuse(refusals, WIRE_REFUSED_MAGIC, ST_PROTOCOL);
    size_t length = (size_t)bytes_get_u16(bytes.data + 6) + DATAGRAM_OVERHEAD_BYTES;
    if (length > DATAGRAM_STREAM_BYTES_MAX)
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    *ret_bytes = length;
    return 0;
}

bool datagram_tag_equal(const uint8_t a[DATAGRAM_MAC_BYTES], const uint8_t b[DATAGRAM_MAC_BYTES])
{
    unsigned differ = 0;
    for (int i = 0; i < DATAGRAM_MAC_BYTES; i++)
        differ |= a[i] ^ b[i];
    return differ == 0;
}

static struct datagram_head read_head(const uint8_t *from)
{
    return (struct datagram_head){
        .version = bytes_get_u16(from + 4),
        .cluster = bytes_get_u64(from + 8),
        .from = bytes_get_u64(from + 16),
        .to = bytes_get_u64(from + 24),
        .boot = bytes_get_u64(from + 32),
        .to_boot = bytes_get_u64(from + 40),
        .nonce = bytes_get_u64(from + 48),
        .counter = bytes_get_u64(from + 56),
        .stamp = bytes_get_u64(from + 64),
        .epoch = bytes_get_u64(from + 72),
    };
}

int datagram_open(struct slice bytes, const struct datagram_mac *mac,
                  struct wire_refusals *refusals, struct datagram *ret_datagram)
{
    size_t length;
    int st = datagram_length(bytes, refusals, &length);
    if (st < 0 && st != ST_AGAIN)
        return st;
    if (st == ST_AGAIN || length != bytes.len)
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    uint8_t tag[DATAGRAM_MAC_BYTES];
    size_t sealed = length - DATAGRAM_MAC_BYTES;
    mac->compute(mac, slice_make(bytes.data, sealed), tag);
    if (!datagram_tag_equal(tag, bytes.data + sealed))
        return wire_refuse(refusals, WIRE_REFUSED_MAC, ST_DENIED);
    struct datagram d = {.head = read_head(bytes.data)};
    if (d.head.from == 0 || d.head.boot == 0 || d.head.counter == 0)
        return wire_refuse(refusals, WIRE_REFUSED_SOURCE, ST_PROTOCOL);
    d.spoken = d.head.version >= WIRE_VERSION && d.head.version <= WIRE_VERSION_NEXT;
    if (d.spoken)
        d.messages = slice_make(bytes.data + DATAGRAM_HEADER_BYTES, sealed - DATAGRAM_HEADER_BYTES);
    *ret_datagram = d;
    return 0;
}

/* --- replays --- */

/* As RFC 4303, 3.4.3, does it for IPsec. */
bool datagram_window_take(struct datagram_window *w, uint64_t counter)
{
    if (PLANTED(member_replay_accepted))
        return true;
    uint64_t bit = UINT64_C(1) << counter % 64;
    uint64_t *word = &w->seen[counter % DATAGRAM_WINDOW / 64];
    if (counter > w->newest) {
        uint64_t ahead = counter - w->newest;
        for (uint64_t i = 1; i <= ahead && i <= DATAGRAM_WINDOW; i++) {
            uint64_t at = (w->newest + i) % DATAGRAM_WINDOW;
            w->seen[at / 64] &= ~(UINT64_C(1) << at % 64);
        }
        w->newest = counter;
    } else if (w->newest - counter >= DATAGRAM_WINDOW || (*word & bit) != 0) {
        return false;
    }
    *word |= bit;
    return true;
}
