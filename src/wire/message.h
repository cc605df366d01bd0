/* What peers say to one another: plain structs, made from one table (messages.def), with an encoder
 * and a decoder that trusts nothing.
 *
 *   u16 code | u16 zero | u32 length of the rest | rest
 *
 * of which a Raft message is  u32 group | u64 to | u64 from | u64 term | fields.
 *
 * `to` and `from` are ids of replicas, not of nodes: a node that lost its disk comes back as
 * another replica, and what is meant for its former self is not for it. Decoded slices point into
 * the bytes given. Decoding checks lengths, counts, flags, and that term and index can be (no term
 * of 0, no index beyond INDEX_MAX, entries' terms ascending and not above the message's, checksums
 * of snapshot data); whether they fit the receiver's state is the core's to judge. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "wire/messages.def"
#include "wire/refusal.h"

#define RAFT_INDEX_MAX       (UINT64_C(1) << 62) /* terms too */
#define RAFT_ENTRY_BYTES_MAX (80u << 20)         /* data of one entry */
/* One message, head included: the longest entry alone, or as many shorter ones. */
#define MESSAGE_BYTES_MAX        (RAFT_ENTRY_BYTES_MAX + (1u << 20))
#define MESSAGE_CONFIG_BYTES_MAX 4096 /* of the configuration in a snapshot */

enum message_code {
#define X(code, NAME, name) MESSAGE_##NAME = code,
    MESSAGE_TABLE(X)
#undef X
};

enum vote_flags {
    VOTE_PRE = 1,      /* asks whether it would be granted; no term is taken */
    VOTE_TRANSFER = 2, /* the leader itself asked for this election */
};

enum snapshot_state {
    SNAPSHOT_WANTED = 0,    /* send what begins at offset */
    SNAPSHOT_INSTALLED = 1, /* all is there, durable and in force */
    SNAPSHOT_REFUSED = 2,   /* begin again with a newer one */
};

enum raft_entry_type {
    RAFT_NOOP = 0, /* a leader's first (6.4) */
    RAFT_COMMAND = 1,
    RAFT_CONFIG = 2, /* data: raft/config.h */
    RAFT_ENTRY_TYPES,
};

struct raft_entry {
    uint64_t index, term;
    uint8_t type;
    struct slice data; /* borrowed */
};

/* Entries as they stand in a message: encoded, checked when decoded, walked by
 * message_entries_next(). Their indexes follow one another. */
struct message_entries {
    uint32_t count;
    struct slice bytes;
};

typedef uint8_t message_u8;
typedef uint16_t message_u16;
typedef uint32_t message_u32;
typedef uint64_t message_u64;
typedef struct slice message_bytes;
typedef struct message_entries message_entries;

#define F(type, field) message_##type field;
#define X(code, NAME, name)      \
    struct message_##name {      \
        MESSAGE_FIELDS_##NAME(F) \
    };
MESSAGE_TABLE(X)
#undef X
#undef F

struct raft_message {
    uint16_t code; /* enum message_code: which of the union */
    uint32_t group;
    uint64_t to, from;
    uint64_t term; /* of a pre-vote: the term it would be */
    union {
#define X(code, NAME, name) struct message_##name name;
        MESSAGE_TABLE(X)
#undef X
    };
};

const char *message_name(uint16_t code); /* "append"; NULL when there is none */

/* The message must fit MESSAGE_BYTES_MAX; nothing else about it is looked at. */
void message_encode(struct buffer *out, const struct raft_message *m);
/* Takes the first message off *bytes. ST_NOTFOUND at the end; ST_PROTOCOL: what follows in *bytes
 * is not to be trusted either; ST_UNSUPPORTED: a code that this version does not know, *bytes is
 * past it. The counted form also counts why it refused. */
int message_decode(struct slice *bytes, struct raft_message *ret_message);
int message_decode_counted(struct slice *bytes, struct wire_refusals *refusals,
                           struct raft_message *ret_message);

/* Takes the first message off *bytes as it stands: *ret_message is all of it, and only its group
 * was looked at. A code that is not known is no matter here. ST_NOTFOUND, ST_PROTOCOL. */
int message_skip(struct slice *bytes, struct wire_refusals *refusals, uint32_t *ret_group,
                 struct slice *ret_message);

/* Appends an entry to what will be entries->bytes. */
void message_entry_encode(struct buffer *out, const struct raft_entry *entry);
/* The first entry, whose index is `index`, off *entries. ST_NOTFOUND at the end. ST_PROTOCOL: never
 * for what message_decode() has checked. */
int message_entries_next(struct message_entries *entries, uint64_t index,
                         struct raft_entry *ret_entry);
