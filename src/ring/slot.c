#include "ring/slot.h"

#include "base/hash.h"

/* The part of the key that decides the slot. */
static struct slice hash_tag(struct slice key)
{
    const uint8_t *open = memchr(key.data, '{', key.len);
    if (open == NULL)
        return key;
    const uint8_t *tag = open + 1;
    const uint8_t *close = memchr(tag, '}', (size_t)(key.data + key.len - tag));
    if (close == NULL || close == tag)
        return key;
    return slice_make(tag, (size_t)(close - tag));
}

uint16_t slot_of(struct slice key)
{
    struct slice tag = key.len == 0 ? key : hash_tag(key);
    return crc16_slot(tag.data, tag.len);
}

bool slot_partitions_valid(unsigned partitions)
{
    return partitions > 0 && partitions <= PARTITIONS_MAX && (partitions & (partitions - 1)) == 0;
}

struct key key_make(struct slice bytes, uint32_t keyspace, unsigned partitions, uint64_t hash_seed)
{
    return (struct key){
        .bytes = bytes,
        .hash = key_hash(hash_seed, keyspace, bytes),
        .keyspace = keyspace,
        .partition = slot_partition(slot_of(bytes), partitions),
    };
}
