/* Encoders and decoders of messages.def, and what makes a message one that a peer could have sent.
 *
 * Decoding is in three steps: the head says how long the message is; the fields are read by
 * functions made from the table, which never read beyond it; then the values are checked together.
 * The checks know only what holds for every correct sender, whatever the state of the receiver:
 * - a log holds no entry of a term above its replica's, so no term in a message is above the
 *   message's own;
 * - term 0 and index 0 are the empty log, and go together;
 * - a candidate's term is above all terms of its log (3.4: it has just increased it). */
#include "wire/message.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/status.h"

#define HEAD_BYTES 8 /* code, zero, length: not counted in the length */

const char *message_name(uint16_t code)
{
    switch (code) {
#define X(number, NAME, name) \
    case number:              \
        return #name;
        MESSAGE_TABLE(X)
#undef X
    default:
        return NULL;
    }
}

/* --- encoding --- */

#define put_u8  buffer_append_u8
#define put_u16 buffer_append_u16
#define put_u32 buffer_append_u32
#define put_u64 buffer_append_u64

static void put_bytes(struct buffer *out, struct slice bytes)
{
    CHECK(bytes.len <= MESSAGE_BYTES_MAX);
    buffer_append_u32(out, (uint32_t)bytes.len);
    buffer_append_slice(out, bytes);
}

static void put_entries(struct buffer *out, struct message_entries entries)
{
    buffer_append_u32(out, entries.count);
    put_bytes(out, entries.bytes);
}

#define F(type, field) put_##type(out, m->field);
#define X(code, NAME, name)                                                       \
    static void encode_##name(struct buffer *out, const struct message_##name *m) \
    {                                                                             \
        (void)m;                                                                  \
        MESSAGE_FIELDS_##NAME(F)                                                  \
    }
MESSAGE_TABLE(X)
#undef X
#undef F

void message_encode(struct buffer *out, const struct raft_message *m)
{
    size_t start = out->len;
    CHECK(message_name(m->code) != NULL);
    put_u16(out, m->code);
    put_u16(out, 0);
    put_u32(out, 0); /* the length, below */
    put_u32(out, m->group);
    put_u64(out, m->to);
    put_u64(out, m->from);
    put_u64(out, m->term);
    switch (m->code) {
#define X(number, NAME, name)         \
    case number:                      \
        encode_##name(out, &m->name); \
        break;
        MESSAGE_TABLE(X)
#undef X
    }
    size_t length = out->len - start;
    CHECK(length <= MESSAGE_BYTES_MAX);
    bytes_put_u32(out->data + start + 4, (uint32_t)(length - HEAD_BYTES));
}

void message_entry_encode(struct buffer *out, const struct raft_entry *entry)
{
    CHECK(entry->data.len <= RAFT_ENTRY_BYTES_MAX);
    put_u64(out, entry->term);
    put_u8(out, entry->type);
    put_bytes(out, entry->data);
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

#define GET(name, decode)                                 \
    static message_##name get_##name(struct reader *r)    \
    {                                                     \
        struct slice s = take(r, sizeof(message_##name)); \
        return s.len == 0 ? 0 : decode(s.data);           \
    }
#define GET_BYTE(from) (*(from))
GET(u8, GET_BYTE)
GET(u16, bytes_get_u16)
GET(u32, bytes_get_u32)
GET(u64, bytes_get_u64)
#undef GET_BYTE
#undef GET

static struct slice get_bytes(struct reader *r)
{
    return take(r, get_u32(r));
}

static struct message_entries get_entries(struct reader *r)
{
    uint32_t count = get_u32(r);
    return (struct message_entries){.count = count, .bytes = get_bytes(r)};
}

#define F(type, field) m->field = get_##type(r);
#define X(code, NAME, name)                                               \
    static void decode_##name(struct reader *r, struct message_##name *m) \
    {                                                                     \
        (void)m;                                                          \
        MESSAGE_FIELDS_##NAME(F)                                          \
    }
MESSAGE_TABLE(X)
#undef X
#undef F

int message_entries_next(struct message_entries *entries, uint64_t index,
                         struct raft_entry *ret_entry)
{
    if (entries->count == 0)
        return entries->bytes.len == 0 ? ST_NOTFOUND : ST_PROTOCOL;
    struct reader r = {.left = entries->bytes};
    struct raft_entry entry = {.index = index, .term = get_u64(&r), .type = get_u8(&r)};
    entry.data = get_bytes(&r);
    if (r.failed || entry.data.len > RAFT_ENTRY_BYTES_MAX || entry.type >= RAFT_ENTRY_TYPES)
        return ST_PROTOCOL;
    entries->bytes = r.left;
    entries->count--;
    *ret_entry = entry;
    return 0;
}

/* --- what can be --- */

#define FINE WIRE_REFUSALS /* no refusal */

/* The last entry of a log that a replica in `term` may have: index and term are 0 together. */
static enum wire_refusal check_position(uint64_t index, uint64_t term, uint64_t term_max)
{
    if (index > RAFT_INDEX_MAX)
        return WIRE_REFUSED_INDEX;
    if (term > term_max || (index == 0) != (term == 0))
        return WIRE_REFUSED_TERM;
    return FINE;
}

static enum wire_refusal check_vote_request(const struct raft_message *m)
{
    if (m->vote_request.flags > (VOTE_PRE | VOTE_TRANSFER))
        return WIRE_REFUSED_VALUE;
    return check_position(m->vote_request.last_index, m->vote_request.last_term, m->term - 1);
}

static enum wire_refusal check_vote(const struct raft_message *m)
{
    bool sane = m->vote.flags <= (VOTE_PRE | VOTE_TRANSFER) && m->vote.granted <= 1;
    return sane ? FINE : WIRE_REFUSED_VALUE;
}

/* The terms of a log never fall (5.3 of the paper), and none is above the leader's own. */
static enum wire_refusal check_entries(struct message_entries entries, uint64_t index,
                                       uint64_t term, uint64_t term_max)
{
    struct raft_entry entry;
    int st;
    while ((st = message_entries_next(&entries, ++index, &entry)) == 0) {
        if (index > RAFT_INDEX_MAX)
            return WIRE_REFUSED_INDEX;
        if (entry.term == 0 || entry.term < term || entry.term > term_max)
            return WIRE_REFUSED_TERM;
        term = entry.term;
    }
    return st == ST_NOTFOUND ? FINE : WIRE_REFUSED_ENTRY;
}

static enum wire_refusal check_append(const struct raft_message *m)
{
    const struct message_append *a = &m->append;
    enum wire_refusal why = check_position(a->prev_index, a->prev_term, m->term);
    if (why != FINE)
        return why;
    if (a->commit > RAFT_INDEX_MAX)
        return WIRE_REFUSED_INDEX;
    return check_entries(a->entries, a->prev_index, a->prev_term, m->term);
}

static enum wire_refusal check_append_result(const struct raft_message *m)
{
    const struct message_append_result *a = &m->append_result;
    if (a->accepted > 1)
        return WIRE_REFUSED_VALUE;
    if (a->index > RAFT_INDEX_MAX || a->prev_index > RAFT_INDEX_MAX)
        return WIRE_REFUSED_INDEX;
    return a->hint_term > m->term ? WIRE_REFUSED_TERM : FINE;
}

static enum wire_refusal check_heartbeat(const struct raft_message *m)
{
    return m->heartbeat.commit > RAFT_INDEX_MAX ? WIRE_REFUSED_INDEX : FINE;
}

static enum wire_refusal check_heartbeat_result(const struct raft_message *m)
{
    return FINE; /* any round: the leader knows which it began */
}

static enum wire_refusal check_snapshot(const struct raft_message *m)
{
    const struct message_snapshot *s = &m->snapshot;
    enum wire_refusal why = check_position(s->index, s->index_term, m->term);
    if (why != FINE)
        return why;
    if (s->index == 0 || s->offset > RAFT_INDEX_MAX)
        return WIRE_REFUSED_INDEX;
    if (s->done > 1 || s->stream == 0)
        return WIRE_REFUSED_VALUE;
    if (s->config.len > MESSAGE_CONFIG_BYTES_MAX)
        return WIRE_REFUSED_LENGTH;
    return crc32c(0, s->data.data, s->data.len) == s->crc ? FINE : WIRE_REFUSED_DATA;
}

static enum wire_refusal check_snapshot_result(const struct raft_message *m)
{
    const struct message_snapshot_result *s = &m->snapshot_result;
    if (s->state > SNAPSHOT_REFUSED)
        return WIRE_REFUSED_VALUE;
    bool sane = s->index <= RAFT_INDEX_MAX && s->offset <= RAFT_INDEX_MAX;
    return sane ? FINE : WIRE_REFUSED_INDEX;
}

static enum wire_refusal check_timeout_now(const struct raft_message *m)
{
    return FINE;
}

/* Of a known code, all bytes of it in `rest`. */
static enum wire_refusal decode_rest(struct slice rest, struct raft_message *m)
{
    enum wire_refusal (*check)(const struct raft_message *m) = NULL;
    struct reader r = {.left = rest};
    m->group = get_u32(&r);
    m->to = get_u64(&r);
    m->from = get_u64(&r);
    m->term = get_u64(&r);
    switch (m->code) {
#define X(number, NAME, name)        \
    case number:                     \
        decode_##name(&r, &m->name); \
        check = check_##name;        \
        break;
        MESSAGE_TABLE(X)
#undef X
    }
    if (r.failed || r.left.len > 0)
        return WIRE_REFUSED_LENGTH;
    if (m->to == 0 || m->from == 0 || m->to == m->from)
        return WIRE_REFUSED_REPLICA;
    if (m->term == 0 || m->term > RAFT_INDEX_MAX)
        return WIRE_REFUSED_TERM;
    return check(m);
}

/* Takes the first message's head off *left, and its rest. */
static int take_message(struct slice *left, struct wire_refusals *refusals, uint16_t *ret_code,
                        struct slice *ret_rest)
{
    if (left->len == 0)
        return ST_NOTFOUND;
    struct reader r = {.left = *left};
    uint16_t code = get_u16(&r);
    uint16_t zero = get_u16(&r);
    uint32_t length = get_u32(&r);
    if (r.failed || length > MESSAGE_BYTES_MAX - HEAD_BYTES || length > r.left.len)
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    if (zero != 0)
        return wire_refuse(refusals, WIRE_REFUSED_VALUE, ST_PROTOCOL);
    *ret_code = code;
    *ret_rest = take(&r, length);
    *left = r.left;
    return 0;
}

int message_decode_counted(struct slice *bytes, struct wire_refusals *refusals,
                           struct raft_message *ret_message)
{
    struct raft_message m = {0};
    struct slice left = *bytes, rest;
    int st = take_message(&left, refusals, &m.code, &rest);
    if (st < 0)
        return st;
    if (message_name(m.code) == NULL) {
        *bytes = left;
        return wire_refuse(refusals, WIRE_REFUSED_CODE, ST_UNSUPPORTED);
    }
    enum wire_refusal why = decode_rest(rest, &m);
    if (why != FINE)
        return wire_refuse(refusals, why, ST_PROTOCOL);
    *bytes = left;
    *ret_message = m;
    return 0;
}

int message_skip(struct slice *bytes, struct wire_refusals *refusals, uint32_t *ret_group,
                 struct slice *ret_message)
{
    struct slice left = *bytes, rest;
    uint16_t code;
    int st = take_message(&left, refusals, &code, &rest);
    if (st < 0)
        return st;
    if (rest.len < sizeof(uint32_t))
        return wire_refuse(refusals, WIRE_REFUSED_LENGTH, ST_PROTOCOL);
    *ret_group = bytes_get_u32(rest.data);
    *ret_message = slice_make(bytes->data, bytes->len - left.len);
    *bytes = left;
    return 0;
}

int message_decode(struct slice *bytes, struct raft_message *ret_message)
{
    return message_decode_counted(bytes, NULL, ret_message);
}
