/* A key with all that is derived from its bytes, computed once per command.
 *
 *   slot      = crc16(hash tag or key) & 16383, as Redis Cluster does it
 *   partition = slot * partitions / 16384
 *   hash      = XXH3(key, seed mixed from the keyspace): the table's hash, key_hash()
 *
 * `keyspace` is the id of a keyspace's incarnation: FLUSHDB takes a new id, ids are never reused.
 * A plain value; the bytes are borrowed. Filled by ring/slot.h's key_make(). */
#pragma once

#include "base/hash.h"
#include "base/slice.h"

#define KEY_BYTES_MAX   65536u
#define VALUE_BYTES_MAX (64u << 20)

struct key {
    struct slice bytes;
    uint64_t hash;
    uint32_t keyspace;
    uint16_t partition;
};

static inline uint64_t key_hash(uint64_t hash_seed, uint32_t keyspace, struct slice bytes)
{
    return hash_bytes(hash_seed + keyspace * 0x9e3779b97f4a7c15ull, bytes.data, bytes.len);
}
