#include "wire/member_message.h"

#include <stdbool.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/status.h"

#define HEAD_BYTES 4

const char *member_message_name(uint8_t code)
{
    switch (code) {
#define X(number, NAME, name) \
    case number:              \
        return #name;
        MEMBER_TABLE(X)
#undef X
    default:
        return NULL;
    }
}

const char *member_refusal_name(unsigned reason)
{
    switch (reason) {
#define X(number, NAME, name, sentence) \
    case number:                        \
        return name;
        MEMBER_REFUSAL_TABLE(X)
#undef X
    default:
        return NULL;
    }
}

const char *member_refusal_text(unsigned reason)
{
    switch (reason) {
#define X(number, NAME, name, sentence) \
    case number:                        \
        return sentence;
        MEMBER_REFUSAL_TABLE(X)
#undef X
    default:
        return "unknown reason";
    }
}

/* --- encoding --- */

#define put_u8  buffer_append_u8
#define put_u16 buffer_append_u16
#define put_u64 buffer_append_u64

static void put_bytes(struct buffer *out, struct slice bytes)
{
    CHECK(bytes.len <= UINT8_MAX);
    buffer_append_u8(out, (uint8_t)bytes.len);
    buffer_append_slice(out, bytes);
}

#define F(type, field) put_##type(out, m->field);
#define X(code, NAME, name)                                                              \
    static void encode_##name(struct buffer *out, const struct member_message_##name *m) \
    {                                                                                    \
        MEMBER_FIELDS_##NAME(F)                                                          \
    }
MEMBER_TABLE(X)
#undef X
#undef F

void member_message_encode(struct buffer *out, const struct member_message *m)
{
    size_t start = out->len;
    CHECK(member_message_name(m->code) != NULL);
    put_u8(out, m->code);
    put_u8(out, 0);
    put_u16(out, 0); /* the length, below */
    switch (m->code) {
#define X(number, NAME, name)         \
    case number:                      \
        encode_##name(out, &m->name); \
        break;
        MEMBER_TABLE(X)
#undef X
    }
    CHECK(out->len - start <= MEMBER_MESSAGE_BYTES_MAX);
    bytes_put_u16(out->data + start + 2, (uint16_t)(out->len - start - HEAD_BYTES));
}

/* --- decoding --- */

/* Reads on and on; beyond the end it gives zeros and remembers. */
struct reader {
    struct slice left;
    bool failed;
};

static struct slice take(struct reader *r, size_t bytes)
{
    if (r->left.len < bytes) {
        r->failed = true;
        r->left.len = 0;
        return slice_make(NULL, 0);
    }
    struct slice taken = slice_make(r->left.data, bytes);
    r->left = slice_make(r->left.data + bytes, r->left.len - bytes);
    return taken;
}

static uint8_t get_u8(struct reader *r)
{
    struct slice s = take(r, 1);
    return s.len == 0 ? 0 : s.data[0];
}

static uint16_t get_u16(struct reader *r)
{
    struct slice s = take(r, 2);
    return s.len == 0 ? 0 : bytes_get_u16(s.data);
}

static uint64_t get_u64(struct reader *r)
{
    struct slice s = take(r, 8);
    return s.len == 0 ? 0 : bytes_get_u64(s.data);
}

static struct slice get_bytes(struct reader *r)
{
    return take(r, get_u8(r));
}

#define F(type, field) m->field = get_##type(r);
#define X(code, NAME, name)                                                      \
    static void decode_##name(struct reader *r, struct member_message_##name *m) \
    {                                                                            \
        MEMBER_FIELDS_##NAME(F)                                                  \
    }
MEMBER_TABLE(X)
#undef X
#undef F

/* --- what can be --- */

#define FINE WIRE_REFUSALS /* no refusal */

static enum wire_refusal check_life(uint64_t node, uint64_t boot, uint64_t incarnation)
{
    if (node == 0 || boot == 0)
        return WIRE_REFUSED_SOURCE;
    return incarnation > MEMBER_INCARNATION_MAX ? WIRE_REFUSED_VALUE : FINE;
}

static enum wire_refusal check_alive(const struct member_message_alive *a)
{
    if (a->address.len == 0 || a->address.len > MEMBER_ADDRESS_BYTES_MAX ||
        a->zone.len > MEMBER_ZONE_BYTES_MAX || a->meta.len > MEMBER_META_BYTES_MAX)
        return WIRE_REFUSED_LENGTH;
    if (a->version_min == 0 || a->version_min > a->version_max)
        return WIRE_REFUSED_VALUE;
    return check_life(a->node, a->boot, a->incarnation);
}

static enum wire_refusal check_fields(const struct member_message *m)
{
    switch (m->code) {
    case MEMBER_MESSAGE_ALIVE:
        return check_alive(&m->alive);
    case MEMBER_MESSAGE_SUSPECT:
        if (m->suspect.by == 0)
            return WIRE_REFUSED_SOURCE;
        return check_life(m->suspect.node, m->suspect.boot, m->suspect.incarnation);
    case MEMBER_MESSAGE_DEAD:
        if (m->dead.by == 0)
            return WIRE_REFUSED_SOURCE;
        return check_life(m->dead.node, m->dead.boot, m->dead.incarnation);
    case MEMBER_MESSAGE_PING_REQ:
        return m->ping_req.target == 0 ? WIRE_REFUSED_SOURCE : FINE;
    case MEMBER_MESSAGE_SYNC:
        return m->sync.flags > (MEMBER_SYNC_COMPARE | MEMBER_SYNC_WANTED) ? WIRE_REFUSED_VALUE
                                                                          : FINE;
    case MEMBER_MESSAGE_REFUSE: /* a reason that the next version adds is told as unknown */
        return m->refuse.reason == 0 ? WIRE_REFUSED_VALUE : FINE;
    default: /* ping, ack, nack: any sequence */
        return FINE;
    }
}

static enum wire_refusal decode_fields(struct slice fields, struct member_message *m)
{
    struct reader r = {.left = fields};
    switch (m->code) {
#define X(number, NAME, name)        \
    case number:                     \
        decode_##name(&r, &m->name); \
        break;
        MEMBER_TABLE(X)
#undef X
    }
    if (r.failed || r.left.len > 0)
        return WIRE_REFUSED_LENGTH;
    return check_fields(m);
}

int member_message_decode(struct slice *bytes, struct wire_refusals *refusals,
                          struct member_message *ret_message)
{
    if (bytes->len == 0)
        return ST_NOTFOUND;
    struct reader r = {.left = *bytes};
    struct member_message m = {.code = get_u8(&r)};
    uint8_t zero = get_u8(&r);
    struct slice fields = take(&r, get_u16(&r));
    if (r.failed)
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    if (zero != 0)
        return wire_refuse(refusals, WIRE_REFUSED_VALUE, ST_PROTOCOL);
    if (member_message_name(m.code) == NULL) {
        *bytes = r.left;
        return wire_refuse(refusals, WIRE_REFUSED_CODE, ST_UNSUPPORTED);
    }
    enum wire_refusal why = decode_fields(fields, &m);
    if (why != FINE)
        return wire_refuse(refusals, why, ST_PROTOCOL);
    *bytes = r.left;
    *ret_message = m;
    return 0;
}
