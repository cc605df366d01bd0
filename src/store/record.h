/* A record: what one key holds. In memory this is a decoded view, a plain value whose slices are
 * borrowed.
 *
 * Dot (actor, counter) names the write; counters are dense per actor and partition. The stamp is a
 * hybrid logical clock value (base/hlc.h); in `lww` keyspaces the higher stamp wins. A delete is a
 * record with RECORD_TOMBSTONE; an expired record counts as a tombstone until purged. `versions` is
 * empty in lww keyspaces; in siblings keyspaces it holds the encoded version vector and siblings,
 * opaque to the store.
 *
 * Encoded form, the same in the commit log and in the cold tier (little endian; varint = LEB128):
 *
 *   u8 flags | u64 actor | varint counter | u64 stamp | [u64 expire_ms if RECORD_EXPIRES]
 *   | [varint len, versions if RECORD_VERSIONED] | value to the end
 *
 * Row key in the cold tier (big endian, so that memcmp order = partition, generation, keyspace,
 * key):
 *
 *   u16 partition | u32 generation | u32 keyspace | key bytes
 *
 * keyspace 0xffffffff is reserved for a partition's own rows (watermarks).
 *
 * An operation is a record under its key as the commit log carries it:
 *
 *   u32 total bytes after this field | u16 partition | u32 keyspace | u64 index | varint key length
 *   | key bytes | encoded record
 *
 * A write's log record holds one or more operations; those of one log record are atomic. */
#pragma once

#include "base/buffer.h"
#include "base/slice.h"
#include "store/key.h"

enum record_flags {
    RECORD_TOMBSTONE = 1,
    RECORD_EXPIRES = 2,
    RECORD_VERSIONED = 4,
    RECORD_FLAGS_KNOWN = 7, /* any other bit from disk is ST_VERSION */
};

struct record {
    struct slice value;
    struct slice versions;
    uint64_t actor;
    uint64_t counter;
    uint64_t stamp;
    uint64_t expire_ms; /* unix time; meaningful with RECORD_EXPIRES */
    uint8_t flags;
};

static inline bool record_live(const struct record *r, uint64_t now_ms)
{
    return !(r->flags & RECORD_TOMBSTONE) &&
           (!(r->flags & RECORD_EXPIRES) || r->expire_ms > now_ms);
}

/* 0: never. */
static inline uint64_t record_expiry(const struct record *r)
{
    return r->flags & RECORD_EXPIRES ? r->expire_ms : 0;
}

void record_encode(struct buffer *out, const struct record *r);
int record_decode(struct slice bytes, struct record *ret_record); /* ST_CORRUPT, ST_VERSION */

/* One operation inside a log record's payload. key.hash is not set by decoding. */
struct record_op {
    struct key key;
    uint64_t index; /* position in the partition's history: dense, never reset */
    struct record record;
};

void record_op_encode(struct buffer *out, const struct record_op *op);
/* The same without the value's bytes, which the caller puts right after it. */
void record_op_encode_head(struct buffer *out, const struct record_op *op);
/* Takes the first operation off *payload. ST_NOTFOUND at the end, ST_CORRUPT, ST_VERSION. */
int record_op_decode(struct slice *payload, struct record_op *ret_op);

#define ROW_KEY_PREFIX_BYTES  10
#define ROW_KEYSPACE_META     0xffffffffu
#define ROW_KEYSPACE_SESSIONS 0xfffffffeu /* of client sessions of a replicated partition */
void row_key_encode(struct buffer *out, uint16_t partition, uint32_t generation, uint32_t keyspace,
                    struct slice key);
int row_key_decode(struct slice row, uint16_t *ret_partition, uint32_t *ret_generation,
                   uint32_t *ret_keyspace, struct slice *ret_key);
