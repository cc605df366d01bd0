/* A deterministic generator of pseudo-random numbers: xoshiro256** (Blackman and Vigna), seeded
 * through splitmix64. A plain value: copying it copies the future, and the same seed gives the same
 * numbers everywhere, for ever (simulations and tests are replayed from their seeds). Not for
 * secrets. */
#pragma once

#include <stdint.h>

struct prng {
    uint64_t s[4];
};

struct prng prng_make(uint64_t seed); /* any seed, 0 too */
uint64_t prng_u64(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t bound); /* 0 to bound-1, unbiased; bound > 0 */
double prng_double(struct prng *p);                  /* 0 <= x < 1, 53 bits */
void prng_fill(struct prng *p, void *to, uint64_t bytes);
