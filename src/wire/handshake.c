/* A message, little endian:
 *
 *      0 u32 magic       "TORL"
 *      4 u16 version     of who sends it
 *      6 u8  type        1 hello, 2 answer, 3 proof, 4 refusal
 *      7 u8  reason      of a refusal, else 0
 *      8 u64 cluster     of who sends it, or 0
 *     16 u64 from        node
 *     24 u64 to          node; in a hello 0 when it is not known
 *     32 u64 boot        of who sends it
 *     40 u64 process
 *     48 32 bytes nonce  zero in a refusal
 *     80 16 bytes proof  zero in a hello and a refusal
 *
 * All versions keep the length and the first eight bytes: so each can tell a version that it does
 * not speak, and say so.
 *
 *     answer's proof  MAC("torc link answer", hello, answer's first 80 bytes)
 *     proof's proof   MAC("torc link proof ", hello, whole answer, proof's first 80 bytes)
 *     keys            MAC("torc link key NN", hello, answer); NN: the direction and the half
 *
 * with the cluster's secret as the key. The labels are of one length, and what follows them is too:
 * no input of one use can be that of another. A proof repeats the hello but for type and `to`. */
#include "wire/handshake.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/status.h"
#include "wire/frame.h"

#define MAGIC        0x4c524f54u /* "TORL" */
#define PROVED_BYTES 80
#define LABEL_BYTES  16

_Static_assert(PROVED_BYTES + DATAGRAM_MAC_BYTES == HANDSHAKE_BYTES, "the proof is the rest");
_Static_assert(HANDSHAKE_KEY_BYTES == 2 * DATAGRAM_MAC_BYTES, "a key is made of two tags");

enum type { HELLO = 1, ANSWER, PROOF, REFUSAL };

const char *handshake_refusal_name(enum handshake_refusal why)
{
    static const char *const names[] = {
#define X(NAME, name, text) name,
        HANDSHAKE_REFUSAL_TABLE(X)
#undef X
    };
    return (unsigned)why < HANDSHAKE_REFUSALS ? names[why] : "?";
}

const char *handshake_refusal_text(enum handshake_refusal why)
{
    static const char *const texts[] = {
#define X(NAME, name, text) text,
        HANDSHAKE_REFUSAL_TABLE(X)
#undef X
    };
    return (unsigned)why < HANDSHAKE_REFUSALS ? texts[why] : "?";
}

/* --- messages --- */

static void encode(uint8_t *to, enum type type, const struct handshake_id *self, uint64_t dest,
                   const uint8_t *nonce)
{
    memset(to, 0, HANDSHAKE_BYTES);
    bytes_put_u32(to, MAGIC);
    bytes_put_u16(to + 4, self->version);
    to[6] = (uint8_t)type;
    bytes_put_u64(to + 8, self->cluster);
    bytes_put_u64(to + 16, self->node);
    bytes_put_u64(to + 24, dest);
    bytes_put_u64(to + 32, self->boot);
    bytes_put_u64(to + 40, self->process);
    if (nonce != NULL)
        memcpy(to + 48, nonce, HANDSHAKE_NONCE_BYTES);
}

static struct handshake_id read_id(const uint8_t *from)
{
    return (struct handshake_id){
        .version = bytes_get_u16(from + 4),
        .cluster = bytes_get_u64(from + 8),
        .node = bytes_get_u64(from + 16),
        .boot = bytes_get_u64(from + 32),
        .process = bytes_get_u64(from + 40),
    };
}

int handshake_check(struct slice bytes)
{
    static const uint8_t magic[] = {'T', 'O', 'R', 'L'};
    size_t n = bytes.len < sizeof(magic) ? bytes.len : sizeof(magic);
    if (n > 0 && memcmp(bytes.data, magic, n) != 0)
        return ST_PROTOCOL;
    return bytes.len < HANDSHAKE_BYTES ? ST_AGAIN : 0;
}

/* --- proofs and keys --- */

static void tag_make(const struct datagram_mac *mac, const char *label, const struct handshake *h,
                     size_t answer_bytes, const uint8_t *proof, uint8_t *ret_tag)
{
    uint8_t bytes[LABEL_BYTES + HANDSHAKE_BYTES + HANDSHAKE_BYTES + PROVED_BYTES];
    size_t len = 0;
    memcpy(bytes, label, LABEL_BYTES);
    len += LABEL_BYTES;
    memcpy(bytes + len, h->hello, HANDSHAKE_BYTES);
    len += HANDSHAKE_BYTES;
    memcpy(bytes + len, h->answer, answer_bytes);
    len += answer_bytes;
    if (proof != NULL) {
        memcpy(bytes + len, proof, PROVED_BYTES);
        len += PROVED_BYTES;
    }
    mac->compute(mac, slice_make(bytes, len), ret_tag);
}

static void answer_tag(const struct handshake *h, const struct datagram_mac *mac, uint8_t *ret_tag)
{
    tag_make(mac, "torc link answer", h, PROVED_BYTES, NULL, ret_tag);
}

static void proof_tag(const struct handshake *h, const struct datagram_mac *mac,
                      const uint8_t *proof, uint8_t *ret_tag)
{
    tag_make(mac, "torc link proof ", h, HANDSHAKE_BYTES, proof, ret_tag);
}

static void finish(struct handshake *h, const struct datagram_mac *mac, bool dialer)
{
    uint8_t *from_dialer = dialer ? h->send_key : h->receive_key;
    uint8_t *from_acceptor = dialer ? h->receive_key : h->send_key;
    tag_make(mac, "torc link key d0", h, HANDSHAKE_BYTES, NULL, from_dialer);
    tag_make(mac, "torc link key d1", h, HANDSHAKE_BYTES, NULL, from_dialer + DATAGRAM_MAC_BYTES);
    tag_make(mac, "torc link key a0", h, HANDSHAKE_BYTES, NULL, from_acceptor);
    tag_make(mac, "torc link key a1", h, HANDSHAKE_BYTES, NULL, from_acceptor + DATAGRAM_MAC_BYTES);
    h->version = h->self.version < h->peer.version ? h->self.version : h->peer.version;
    h->state = HANDSHAKE_DONE;
}

/* --- steps --- */

void handshake_accept(struct handshake *h, const struct handshake_id *self, const uint8_t *nonce)
{
    *h = (struct handshake){.state = HANDSHAKE_HELLO, .self = *self};
    memcpy(h->nonce, nonce, sizeof(h->nonce));
}

void handshake_dial(struct handshake *h, const struct handshake_id *self, uint64_t to,
                    const uint8_t *nonce, uint8_t ret_hello[HANDSHAKE_BYTES])
{
    *h = (struct handshake){.state = HANDSHAKE_ANSWER, .self = *self, .to = to};
    memcpy(h->nonce, nonce, sizeof(h->nonce));
    encode(h->hello, HELLO, self, to, nonce);
    memcpy(ret_hello, h->hello, HANDSHAKE_BYTES);
}

void handshake_refuse(struct handshake *h, enum handshake_refusal why,
                      uint8_t ret_message[HANDSHAKE_BYTES])
{
    h->state = HANDSHAKE_REFUSED;
    h->refusal = why;
    encode(ret_message, REFUSAL, &h->self, h->peer.node, NULL);
    ret_message[7] = (uint8_t)why;
}

/* What a hello or an answer says can be wrong without any proof; the reasons that a person can do
 * something about come first. */
static enum handshake_refusal judge(const struct handshake *h, uint64_t to)
{
    const struct handshake_id *self = &h->self, *peer = &h->peer;
    if (peer->node == 0 || peer->boot == 0 || peer->process == 0)
        return HANDSHAKE_REFUSED_MALFORMED;
    if (peer->node == self->node)
        return peer->process == self->process ? HANDSHAKE_REFUSED_ITSELF : HANDSHAKE_REFUSED_CLONE;
    if (peer->cluster != self->cluster && peer->cluster != 0 && self->cluster != 0)
        return HANDSHAKE_REFUSED_CLUSTER;
    if (h->to != 0 && peer->node != h->to)
        return HANDSHAKE_REFUSED_DESTINATION;
    if (to != self->node && !(to == 0 && h->state == HANDSHAKE_HELLO))
        return HANDSHAKE_REFUSED_DESTINATION;
    return HANDSHAKE_REFUSED_NONE;
}

static enum handshake_refusal on_hello(struct handshake *h, const uint8_t *message,
                                       const struct datagram_mac *mac, uint8_t *reply)
{
    h->peer = read_id(message);
    enum handshake_refusal why = judge(h, bytes_get_u64(message + 24));
    if (why != HANDSHAKE_REFUSED_NONE)
        return why;
    memcpy(h->hello, message, HANDSHAKE_BYTES);
    encode(h->answer, ANSWER, &h->self, h->peer.node, h->nonce);
    answer_tag(h, mac, h->answer + PROVED_BYTES);
    memcpy(reply, h->answer, HANDSHAKE_BYTES);
    h->state = HANDSHAKE_PROOF;
    return HANDSHAKE_REFUSED_NONE;
}

static enum handshake_refusal on_answer(struct handshake *h, const uint8_t *message,
                                        const struct datagram_mac *mac, uint8_t *reply)
{
    uint8_t tag[DATAGRAM_MAC_BYTES];
    h->peer = read_id(message);
    enum handshake_refusal why = judge(h, bytes_get_u64(message + 24));
    if (why != HANDSHAKE_REFUSED_NONE)
        return why;
    memcpy(h->answer, message, HANDSHAKE_BYTES);
    answer_tag(h, mac, tag);
    if (!datagram_tag_equal(tag, message + PROVED_BYTES))
        return HANDSHAKE_REFUSED_SECRET;
    encode(reply, PROOF, &h->self, h->peer.node, h->nonce);
    proof_tag(h, mac, reply, reply + PROVED_BYTES);
    finish(h, mac, true);
    return HANDSHAKE_REFUSED_NONE;
}

static enum handshake_refusal on_proof(struct handshake *h, const uint8_t *message,
                                       const struct datagram_mac *mac)
{
    uint8_t expected[HANDSHAKE_BYTES];
    encode(expected, PROOF, &h->peer, h->self.node, h->hello + 48);
    if (memcmp(message, expected, PROVED_BYTES) != 0)
        return HANDSHAKE_REFUSED_MALFORMED;
    proof_tag(h, mac, expected, expected + PROVED_BYTES);
    if (!datagram_tag_equal(expected + PROVED_BYTES, message + PROVED_BYTES))
        return HANDSHAKE_REFUSED_SECRET;
    finish(h, mac, false);
    return HANDSHAKE_REFUSED_NONE;
}

static enum handshake_refusal step(struct handshake *h, const uint8_t *message,
                                   const struct datagram_mac *mac, uint8_t *reply)
{
    uint16_t version = bytes_get_u16(message + 4);
    /* the layout of all that follows is known only in these */
    if (version < WIRE_VERSION || version > WIRE_VERSION_NEXT)
        return HANDSHAKE_REFUSED_VERSION;
    if (message[7] != 0)
        return HANDSHAKE_REFUSED_MALFORMED;
    if (h->state == HANDSHAKE_HELLO && message[6] == HELLO)
        return on_hello(h, message, mac, reply);
    if (h->state == HANDSHAKE_ANSWER && message[6] == ANSWER)
        return on_answer(h, message, mac, reply);
    if (h->state == HANDSHAKE_PROOF && message[6] == PROOF)
        return on_proof(h, message, mac);
    return HANDSHAKE_REFUSED_MALFORMED;
}

int handshake_step(struct handshake *h, const uint8_t message[HANDSHAKE_BYTES],
                   const struct datagram_mac *mac, uint8_t ret_reply[HANDSHAKE_BYTES],
                   bool *ret_has_reply)
{
    CHECK(h->state != HANDSHAKE_REFUSED);
    bool dialer = h->state == HANDSHAKE_ANSWER;
    uint8_t reply[HANDSHAKE_BYTES];
    if (bytes_get_u32(message) == MAGIC && message[6] == REFUSAL) {
        h->state = HANDSHAKE_REFUSED;
        h->refused_by_peer = true;
        h->refusal = message[7] > 0 && message[7] < HANDSHAKE_REFUSALS
                         ? (enum handshake_refusal)message[7]
                         : HANDSHAKE_REFUSED_MALFORMED;
        *ret_has_reply = false;
        return ST_DENIED;
    }
    enum handshake_refusal why = HANDSHAKE_REFUSED_MALFORMED;
    if (bytes_get_u32(message) == MAGIC)
        why = step(h, message, mac, reply);
    if (why != HANDSHAKE_REFUSED_NONE)
        handshake_refuse(h, why, reply);
    *ret_has_reply = dialer || h->state != HANDSHAKE_DONE;
    if (*ret_has_reply)
        memcpy(ret_reply, reply, HANDSHAKE_BYTES);
    return why == HANDSHAKE_REFUSED_NONE ? 0 : ST_DENIED;
}
