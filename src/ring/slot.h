/* Slots and partitions: from a key's bytes to where it lives (DESIGN 2).
 *
 * slot = crc16(hash tag or key) & 16383, exactly as Redis Cluster does it, so that clients can
 * route by themselves. The hash tag is what stands between the first '{' and the first '}' after
 * it, unless that is empty. partition = slot * partitions / 16384, partitions being a power of two
 * up to 16384. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/key.h"

#define SLOT_COUNT     16384u
#define PARTITIONS_MAX 16384u

uint16_t slot_of(struct slice key);
bool slot_partitions_valid(unsigned partitions);

static inline uint16_t slot_partition(uint16_t slot, unsigned partitions)
{
    return (uint16_t)((uint32_t)slot * partitions / SLOT_COUNT);
}

/* Derives all of a struct key from the key's bytes (borrowed). hash_seed: the node's, random at
 * each start, so that nobody can prepare keys that collide. */
struct key key_make(struct slice bytes, uint32_t keyspace, unsigned partitions, uint64_t hash_seed);
