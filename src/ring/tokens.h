/* The ring of tokens: 64 bits around, each member at many places, so that its neighbours are many
 * and its share is near its weight.
 *
 *   token of member m, i-th   murmur3(seed 1, u64 id | u32 i), i < 150 x weight (at least one)
 *   token of partition p      murmur3(seed 2, u32 p)
 *
 * (MurmurHash3 x64_128, first half, numbers little endian.) These are compared between nodes and
 * versions: they never change. A member whose weight grows keeps the tokens it has. Where tokens
 * are equal, the smaller id comes first. */
#pragma once

#include <stdint.h>

#define TOKENS_PER_WEIGHT 150u /* virtual nodes of a member of weight RING_WEIGHT_ONE */

unsigned token_count(unsigned weight); /* in hundredths; 0: none */
uint64_t token_of_member(uint64_t id, uint32_t i);
uint64_t token_of_partition(uint32_t partition);

struct tokens; /* the tokens of some members, in ring order */

/* ids ascending; copied. Members are known by their place in that array from here on. */
struct tokens *tokens_create(const uint64_t *ids, const uint16_t *weights, unsigned members);
void tokens_free(struct tokens *ring);

uint32_t tokens_count(const struct tokens *ring);
/* The first place at or clockwise from `token`; 0 when there are no tokens. */
uint32_t tokens_from(const struct tokens *ring, uint64_t token);
/* Whose token stands at place `at`, counted on around the ring. */
unsigned tokens_member(const struct tokens *ring, uint32_t at);
/* How far clockwise from `token` the member's next one is. It has one. */
uint64_t tokens_distance(const struct tokens *ring, unsigned member, uint64_t token);
