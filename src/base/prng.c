#include "base/prng.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

struct prng prng_make(uint64_t seed)
{
    struct prng p;
    for (int i = 0; i < 4; i++)
        p.s[i] = splitmix64(&seed);
    return p;
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

uint64_t prng_u64(struct prng *p)
{
    uint64_t result = rotate_left(p->s[1] * 5, 7) * 9;
    uint64_t t = p->s[1] << 17;
    p->s[2] ^= p->s[0];
    p->s[3] ^= p->s[1];
    p->s[1] ^= p->s[2];
    p->s[0] ^= p->s[3];
    p->s[2] ^= t;
    p->s[3] = rotate_left(p->s[3], 45);
    return result;
}

/* Lemire, "Fast Random Integer Generation in an Interval" (2019), algorithm 5. */
uint64_t prng_below(struct prng *p, uint64_t bound)
{
    CHECK(bound > 0);
    unsigned __int128 m = (unsigned __int128)prng_u64(p) * bound;
    if (unlikely((uint64_t)m < bound)) {
        uint64_t threshold = -bound % bound;
        while ((uint64_t)m < threshold)
            m = (unsigned __int128)prng_u64(p) * bound;
    }
    return (uint64_t)(m >> 64);
}

double prng_double(struct prng *p)
{
    return (double)(prng_u64(p) >> 11) * 0x1p-53;
}

void prng_fill(struct prng *p, void *to, uint64_t bytes)
{
    uint8_t *at = to;
    while (bytes > 0) {
        uint8_t word[8];
        bytes_put_u64(word, prng_u64(p));
        uint64_t n = bytes < sizeof(word) ? bytes : sizeof(word);
        memcpy(at, word, n);
        at += n;
        bytes -= n;
    }
}
