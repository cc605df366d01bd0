/* Open addressing with linear probing, at most half full; strings lie behind one another in one
 * buffer, each after its length. A slot is 0 (free) or 1 + the string's offset, with 32 bits of its
 * hash beside it so that most probes touch no string. Nothing is ever removed but all. */
#include "sim/linear_seen.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define SLOTS_FIRST 256

struct slot {
    uint64_t place; /* 1 + offset into bytes; 0: free */
    uint32_t tag;
};

struct linear_seen {
    struct slot *slots; /* NULL while empty */
    size_t slot_count, count;
    size_t entries_max, bytes_max;
    struct buffer bytes;
};

struct linear_seen *linear_seen_create(size_t entries_max, size_t bytes_max)
{
    struct linear_seen *seen = mem_zalloc(sizeof(*seen));
    seen->entries_max = entries_max;
    seen->bytes_max = bytes_max;
    return seen;
}

void linear_seen_free(struct linear_seen *seen)
{
    if (seen == NULL)
        return;
    linear_seen_clear(seen);
    free(seen);
}

void linear_seen_clear(struct linear_seen *seen)
{
    free(seen->slots);
    buffer_free(&seen->bytes);
    seen->slots = NULL;
    seen->slot_count = seen->count = 0;
}

size_t linear_seen_count(const struct linear_seen *seen)
{
    return seen->count;
}

static struct slice slot_bytes(const struct linear_seen *seen, const struct slot *slot)
{
    const uint8_t *at = seen->bytes.data + slot->place - 1;
    return slice_make(at + 4, bytes_get_u32(at));
}

/* The slot that holds these bytes, or the free one where they belong. */
static struct slot *find(const struct linear_seen *seen, struct slice bytes, uint64_t hash)
{
    size_t mask = seen->slot_count - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        struct slot *slot = &seen->slots[at];
        if (slot->place == 0)
            return slot;
        if (slot->tag == hash >> 32 && slice_equal(slot_bytes(seen, slot), bytes))
            return slot;
    }
}

static void grow(struct linear_seen *seen)
{
    struct slot *old = seen->slots;
    size_t old_count = seen->slot_count;
    seen->slot_count = old_count == 0 ? SLOTS_FIRST : 2 * old_count;
    seen->slots = mem_zalloc(seen->slot_count * sizeof(*seen->slots));
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].place == 0)
            continue;
        struct slice bytes = slot_bytes(seen, &old[i]);
        *find(seen, bytes, hash_bytes(0, bytes.data, bytes.len)) = old[i];
    }
    free(old);
}

int linear_seen_add(struct linear_seen *seen, struct slice bytes)
{
    if (2 * (seen->count + 1) > seen->slot_count)
        grow(seen);
    uint64_t hash = hash_bytes(0, bytes.data, bytes.len);
    struct slot *slot = find(seen, bytes, hash);
    if (slot->place != 0)
        return ST_EXISTS;
    if (seen->count >= seen->entries_max || bytes.len + 4 > seen->bytes_max - seen->bytes.len)
        return ST_LIMIT;
    slot->place = 1 + seen->bytes.len;
    slot->tag = (uint32_t)(hash >> 32);
    CHECK(bytes.len <= UINT32_MAX);
    buffer_append_u32(&seen->bytes, (uint32_t)bytes.len);
    buffer_append_slice(&seen->bytes, bytes);
    seen->count++;
    return 0;
}
