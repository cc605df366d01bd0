#include "ring/tokens.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "ring/member.h"

#define SEED_MEMBER    1
#define SEED_PARTITION 2

struct token {
    uint64_t at;
    uint32_t member; /* places are ascending by id, so this breaks ties by id */
};

struct tokens {
    uint32_t count;
    struct token *ring; /* ascending */
    uint64_t *own;      /* each member's tokens, ascending, one member after the other */
    uint32_t *own_from; /* where a member's begin; one more than there are members */
};

unsigned token_count(unsigned weight)
{
    if (weight == 0)
        return 0;
    unsigned count = TOKENS_PER_WEIGHT * weight / RING_WEIGHT_ONE;
    return count == 0 ? 1 : count;
}

uint64_t token_of_member(uint64_t id, uint32_t i)
{
    uint8_t bytes[12];
    bytes_put_u64(bytes, id);
    bytes_put_u32(bytes + 8, i);
    return hash_murmur3(SEED_MEMBER, bytes, sizeof(bytes));
}

uint64_t token_of_partition(uint32_t partition)
{
    uint8_t bytes[4];
    bytes_put_u32(bytes, partition);
    return hash_murmur3(SEED_PARTITION, bytes, sizeof(bytes));
}

static int compare_tokens(const void *left, const void *right)
{
    const struct token *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->member < b->member ? -1 : a->member > b->member;
}

struct tokens *tokens_create(const uint64_t *ids, const uint16_t *weights, unsigned members)
{
    CHECK(members <= RING_MEMBERS_MAX);
    struct tokens *ring = mem_zalloc(sizeof(*ring));
    ring->own_from = mem_alloc((members + 1) * sizeof(*ring->own_from));
    ring->own_from[0] = 0;
    for (unsigned m = 0; m < members; m++) {
        CHECK(m == 0 || ids[m - 1] < ids[m]);
        CHECK(weights[m] <= RING_WEIGHT_MAX);
        ring->own_from[m + 1] = ring->own_from[m] + token_count(weights[m]);
    }
    ring->count = ring->own_from[members];
    ring->ring = mem_alloc(ring->count * sizeof(*ring->ring));
    for (unsigned m = 0; m < members; m++) {
        for (uint32_t i = ring->own_from[m]; i < ring->own_from[m + 1]; i++)
            ring->ring[i] = (struct token){token_of_member(ids[m], i - ring->own_from[m]), m};
    }
    qsort(ring->ring, ring->count, sizeof(*ring->ring), compare_tokens);

    /* Taken from the sorted ring, each member's own are sorted too. */
    ring->own = mem_alloc(ring->count * sizeof(*ring->own));
    MEM_AUTO uint32_t *next = mem_dup(ring->own_from, (members + 1) * sizeof(*next));
    for (uint32_t i = 0; i < ring->count; i++)
        ring->own[next[ring->ring[i].member]++] = ring->ring[i].at;
    return ring;
}

void tokens_free(struct tokens *ring)
{
    if (ring == NULL)
        return;
    free(ring->ring);
    free(ring->own);
    free(ring->own_from);
    free(ring);
}

uint32_t tokens_count(const struct tokens *ring)
{
    return ring->count;
}

uint32_t tokens_from(const struct tokens *ring, uint64_t token)
{
    uint32_t low = 0, high = ring->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ring->ring[middle].at < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low == ring->count ? 0 : low;
}

unsigned tokens_member(const struct tokens *ring, uint32_t at)
{
    return ring->ring[at % ring->count].member;
}

uint64_t tokens_distance(const struct tokens *ring, unsigned member, uint64_t token)
{
    uint32_t begin = ring->own_from[member], end = ring->own_from[member + 1];
    CHECK(begin < end);
    uint32_t low = begin, high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ring->own[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return ring->own[low == end ? begin : low] - token; /* modulo 2^64: around the ring */
}
