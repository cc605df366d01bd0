/* A row: one record in the table's memory, behind a header of 32 bytes.
 *
 *   u64 stamp | u64 dot (actor's number 16 bits, counter 48 bits) | u32 keyspace | u32 value length
 *   | u16 partition | u16 key length | u16 units | u8 flags | u8 meta
 *   | key | [u64 expire_ms] | [u64 actor, u64 counter if ROW_WIDE] | [u32 length, versions] | value
 *
 * A row takes `units` times 8 bytes, possibly more than it needs; units is 0 for one that has a
 * chunk of its own. Actors are numbered per table; one that finds no number, or a counter of more
 * than 48 bits, is written out (ROW_WIDE).
 *
 * Once a row is frozen, all of it is constant but `meta`, which only the table's owner reads and
 * writes: so another thread may read the rest. */
#pragma once

#include "base/bytes.h"
#include "store/key.h"
#include "store/record.h"

enum row_flags { /* the record's own flags come first */
                 ROW_WIDE = 8,
                 ROW_ABSENT = 16,  /* no record: the tier has none either */
                 ROW_KEY_MAX = 32, /* the key has KEY_BYTES_MAX bytes, which key_len can't say */
                 ROW_DEAD =
                     64, /* replaced or removed before it was frozen, or after it was flushed */
};

enum row_meta {
    ROW_FREQUENCY = 3, /* uses, for the cache */
    ROW_HIDDEN = 4,    /* replaced or removed while frozen */
    ROW_TOLD = 8,      /* reported as expired */
};

struct row {
    uint64_t stamp;
    uint64_t dot;
    uint32_t keyspace;
    uint32_t value_len;
    uint16_t partition;
    uint16_t key_len;
    uint16_t units;
    uint8_t flags;
    uint8_t meta;
    uint8_t bytes[];
};

#define ROW_UNIT           8u
#define ROW_COUNTER_BITS   48
#define ROW_ACTORS_MAX     65536u
#define ROW_EXPIRES_BYTES  8u
#define ROW_WIDE_BYTES     16u
#define ROW_VERSIONS_BYTES 4u

static inline struct slice row_key(const struct row *r)
{
    return slice_make(r->bytes, r->flags & ROW_KEY_MAX ? KEY_BYTES_MAX : r->key_len);
}

static inline bool row_dead(const struct row *r)
{
    return (r->flags & ROW_DEAD) || (r->meta & ROW_HIDDEN);
}

static inline bool row_is(const struct row *r, const struct key *key)
{
    struct slice mine = row_key(r);
    return r->keyspace == key->keyspace && slice_equal(mine, key->bytes);
}

static inline uint64_t row_expire_ms(const struct row *r)
{
    return r->flags & RECORD_EXPIRES ? bytes_get_u64(r->bytes + row_key(r).len) : 0;
}

/* The order of rows everywhere: partition, keyspace, key bytes. */
static inline int row_compare(const struct row *a, const struct row *b)
{
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    if (a->keyspace != b->keyspace)
        return a->keyspace < b->keyspace ? -1 : 1;
    return slice_compare(row_key(a), row_key(b));
}

/* The 6 bytes of partition and keyspace (big endian) and the key, taken as one string: the 8 bytes
 * from `skip` on as a number, zeros behind the end. Ordered as the rows are, up to ties. */
#define ROW_ORDER_PREFIX 6u
static inline uint64_t row_head(uint16_t partition, uint32_t keyspace, struct slice key,
                                size_t skip)
{
    uint8_t head[ROW_ORDER_PREFIX + 8] = {0};
    if (skip < ROW_ORDER_PREFIX) {
        bytes_put_be16(head, partition);
        bytes_put_be32(head + 2, keyspace);
        if (key.len > 0)
            memcpy(head + ROW_ORDER_PREFIX, key.data, key.len < 8 ? key.len : 8);
        return bytes_get_be64(head + skip);
    }
    size_t from = skip - ROW_ORDER_PREFIX;
    if (from + 8 <= key.len)
        return bytes_get_be64(key.data + from);
    if (from < key.len)
        memcpy(head, key.data + from, key.len - from);
    return bytes_get_be64(head);
}
