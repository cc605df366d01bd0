/* A frame, little endian:
 *
 *      0 u32 magic       "TORC"
 *      4 u16 version     magic and version keep their place in all versions
 *      6 u16 flags       0. Bit 0 is kept for a keyed MAC behind the messages; refused for now
 *      8 u64 cluster
 *     16 u64 from        node
 *     24 u64 to          node
 *     32 u64 stamp       hybrid logical clock of the sender
 *     40 u64 epoch       of the sender's map
 *     48 u32 length      of the messages
 *     52 u32 count       of the messages
 *     56 u32 zero
 *     60 u32 checksum    CRC-32C of bytes 0 to 59 and the messages
 *     64 messages        (wire/message.h), behind one another
 *
 * What is checked first is what needs the least trust: magic, version, length, then the checksum;
 * only behind it do cluster and destination mean what they say. */
#include "wire/frame.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/status.h"

#define MAGIC         0x43524f54u /* "TORC" */
#define CHECKED_BYTES 60

/* --- writing --- */

void frame_append(struct frame_writer *w, const struct raft_message *m)
{
    CHECK(!frame_full(w));
    if (w->bytes.len == 0) {
        buffer_reserve(&w->bytes, FRAME_HEADER_BYTES);
        w->bytes.len = FRAME_HEADER_BYTES;
    }
    message_encode(&w->bytes, m);
    w->count++;
}

bool frame_empty(const struct frame_writer *w)
{
    return w->count == 0;
}

bool frame_full(const struct frame_writer *w)
{
    return w->bytes.len >= FRAME_HEADER_BYTES + FRAME_FILL_BYTES;
}

static uint32_t frame_crc(const uint8_t *frame, size_t messages_len)
{
    uint32_t crc = crc32c(0, frame, CHECKED_BYTES);
    return crc32c(crc, frame + FRAME_HEADER_BYTES, messages_len);
}

void frame_put_header(uint8_t *to, const struct frame_head *head, uint32_t count, size_t len)
{
    CHECK(len <= FRAME_BYTES_MAX);
    bytes_put_u32(to, MAGIC);
    bytes_put_u16(to + 4, head->version);
    bytes_put_u16(to + 6, head->flags);
    bytes_put_u64(to + 8, head->cluster);
    bytes_put_u64(to + 16, head->from);
    bytes_put_u64(to + 24, head->to);
    bytes_put_u64(to + 32, head->stamp);
    bytes_put_u64(to + 40, head->epoch);
    bytes_put_u32(to + 48, (uint32_t)len);
    bytes_put_u32(to + 52, count);
    bytes_put_u32(to + 56, 0);
    bytes_put_u32(to + 60, frame_crc(to, len));
}

struct slice frame_finish(struct frame_writer *w, const struct frame_head *head)
{
    if (w->bytes.len == 0) {
        buffer_reserve(&w->bytes, FRAME_HEADER_BYTES);
        w->bytes.len = FRAME_HEADER_BYTES;
    }
    frame_put_header(w->bytes.data, head, w->count, w->bytes.len - FRAME_HEADER_BYTES);
    return buffer_slice(&w->bytes);
}

void frame_reset(struct frame_writer *w)
{
    buffer_clear(&w->bytes);
    w->count = 0;
}

void frame_writer_free(struct frame_writer *w)
{
    buffer_free(&w->bytes);
    w->count = 0;
}

/* --- reading --- */

int frame_length(struct slice bytes, struct wire_refusals *refusals, size_t *ret_bytes)
{
    if (bytes.len < FRAME_HEADER_BYTES)
        return ST_AGAIN;
    uint16_t version = bytes_get_u16(bytes.data + 4);
    uint32_t len = bytes_get_u32(bytes.data + 48);
    if (bytes_get_u32(bytes.data) != MAGIC)
        return wire_refuse(refusals, WIRE_REFUSED_MAGIC, ST_PROTOCOL);
    if (version < WIRE_VERSION || version > WIRE_VERSION_NEXT)
        return wire_refuse(refusals, WIRE_REFUSED_VERSION, ST_VERSION);
    if (len > FRAME_BYTES_MAX)
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    *ret_bytes = FRAME_HEADER_BYTES + (size_t)len;
    return 0;
}

static struct frame_head read_head(const uint8_t *from)
{
    return (struct frame_head){
        .version = bytes_get_u16(from + 4),
        .flags = bytes_get_u16(from + 6),
        .cluster = bytes_get_u64(from + 8),
        .from = bytes_get_u64(from + 16),
        .to = bytes_get_u64(from + 24),
        .stamp = bytes_get_u64(from + 32),
        .epoch = bytes_get_u64(from + 40),
    };
}

int frame_parse(struct slice bytes, uint64_t cluster, uint64_t node, struct wire_refusals *refusals,
                struct frame *ret_frame)
{
    size_t len;
    int st = frame_length(bytes, refusals, &len);
    if (st < 0 && st != ST_AGAIN)
        return st;
    if (st == ST_AGAIN || len != bytes.len)
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    len -= FRAME_HEADER_BYTES;
    if (bytes_get_u32(bytes.data + 60) != frame_crc(bytes.data, len))
        return wire_refuse(refusals, WIRE_REFUSED_CHECKSUM, ST_PROTOCOL);
    struct frame f = {
        .head = read_head(bytes.data),
        .left = bytes_get_u32(bytes.data + 52),
        .messages = slice_make(bytes.data + FRAME_HEADER_BYTES, len),
    };
    if (f.head.flags != 0 || bytes_get_u32(bytes.data + 56) != 0)
        return wire_refuse(refusals, WIRE_REFUSED_FLAGS, ST_PROTOCOL);
    if (f.head.cluster != cluster)
        return wire_refuse(refusals, WIRE_REFUSED_CLUSTER, ST_DENIED);
    if (f.head.to != node)
        return wire_refuse(refusals, WIRE_REFUSED_DESTINATION, ST_DENIED);
    if (f.head.from == 0 || f.head.from == node)
        return wire_refuse(refusals, WIRE_REFUSED_SOURCE, ST_PROTOCOL);
    *ret_frame = f;
    return 0;
}

int frame_next(struct frame *f, struct wire_refusals *refusals, struct raft_message *ret_message)
{
    if ((f->left == 0) != (f->messages.len == 0))
        return wire_refuse(refusals, WIRE_REFUSED_COUNT, ST_PROTOCOL);
    int st = message_decode_counted(&f->messages, refusals, ret_message);
    if (st == 0 || st == ST_UNSUPPORTED)
        f->left--;
    return st;
}

int frame_skip(struct frame *f, struct wire_refusals *refusals, uint32_t *ret_group,
               struct slice *ret_message)
{
    if ((f->left == 0) != (f->messages.len == 0))
        return wire_refuse(refusals, WIRE_REFUSED_COUNT, ST_PROTOCOL);
    int st = message_skip(&f->messages, refusals, ret_group, ret_message);
    if (st == 0)
        f->left--;
    return st;
}
