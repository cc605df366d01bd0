/* The messages in datagrams between members: plain structs made from one table (members.def), with
 * an encoder and a decoder that trusts nothing.
 *
 *   u8 code | u8 zero | u16 length of the fields | fields
 *
 * Decoded slices point into the bytes given. Decoding checks lengths, ranges, and that ids and
 * boots are not 0; whether a message fits what the receiver knows is the core's to judge. */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "wire/members.def"
#include "wire/refusal.h"

#define MEMBER_INCARNATION_MAX   (UINT64_C(1) << 62)
#define MEMBER_ADDRESS_BYTES_MAX 64 /* as the caller encodes it; compared as bytes */
#define MEMBER_ZONE_BYTES_MAX    64
#define MEMBER_META_BYTES_MAX    128

/* An alive message, all fields at their longest. */
#define MEMBER_MESSAGE_BYTES_MAX                                                \
    (4 + 4 * 8 + 2 * 2 + 3 + MEMBER_ADDRESS_BYTES_MAX + MEMBER_ZONE_BYTES_MAX + \
     MEMBER_META_BYTES_MAX)

enum member_message_code {
#define X(code, NAME, name) MEMBER_MESSAGE_##NAME = code,
    MEMBER_TABLE(X)
#undef X
};

enum member_sync_flags {
    MEMBER_SYNC_COMPARE = 1, /* if your digest is another one, tell me all that you know */
    MEMBER_SYNC_WANTED = 2,  /* that was all: now you */
};

/* Names are on the wire as their numbers and never change. */
#define MEMBER_REFUSAL_TABLE(X)                                                               \
    X(1, CLUSTER, "other_cluster", "it belongs to another cluster")                           \
    X(2, DUPLICATE, "duplicate_id", "two running nodes have the same node id")                \
    X(3, VERSION, "version", "its protocol is newer than the next version of ours, or older") \
    X(4, FULL, "full", "the cluster has as many members as its limit allows")                 \
    X(5, REMOVED, "removed", "this node was removed from the cluster")                        \
    X(6, SELF, "own_address", "the address to join is this node's own")

enum member_refusal {
#define X(number, NAME, name, sentence) MEMBER_REFUSED_##NAME = number,
    MEMBER_REFUSAL_TABLE(X)
#undef X
        MEMBER_REFUSALS_END,
};

const char *member_refusal_name(unsigned reason); /* NULL when there is none */
const char *member_refusal_text(unsigned reason);

typedef uint8_t member_u8;
typedef uint16_t member_u16;
typedef uint64_t member_u64;
typedef struct slice member_bytes;

#define F(type, field) member_##type field;
#define X(code, NAME, name)        \
    struct member_message_##name { \
        MEMBER_FIELDS_##NAME(F)    \
    };
MEMBER_TABLE(X)
#undef X
#undef F

struct member_message {
    uint8_t code; /* enum member_message_code: which of the union */
    union {
#define X(code, NAME, name) struct member_message_##name name;
        MEMBER_TABLE(X)
#undef X
    };
};

const char *member_message_name(uint8_t code); /* "ping"; NULL when there is none */

/* Its slices must be within their limits. */
void member_message_encode(struct buffer *out, const struct member_message *m);
/* Takes the first message off *bytes. ST_NOTFOUND at the end; ST_PROTOCOL: what follows in *bytes
 * is not to be trusted either; ST_UNSUPPORTED: a code that this version does not know, *bytes is
 * past it. refusals may be NULL. */
int member_message_decode(struct slice *bytes, struct wire_refusals *refusals,
                          struct member_message *ret_message);
