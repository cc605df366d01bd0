/* Hashes and checksums, each for one purpose.
 *
 * hash_bytes    XXH3, 64 bit, seeded: tables in memory. Never stored.
 * hash_murmur3  MurmurHash3 x64, first 64 of its 128 bits: tokens on the ring. Stored and compared
 *               between nodes, so it must never change.
 * crc16         CRC-16/XMODEM, as Redis Cluster uses it: slots. Never changes.
 * crc32c        CRC-32C (Castagnoli): what is on disk and on the wire between peers.
 *
 * None of them withstands an adversary; hash_bytes with a random seed makes collisions hard to
 * prepare, and that is all. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_SLOTS 16384

uint64_t hash_bytes(uint64_t seed, const void *data, size_t len);
uint64_t hash_murmur3(uint32_t seed, const void *data, size_t len); /* len fits 32 bits */

uint16_t crc16(const void *data, size_t len);

/* The slot of these bytes, 0 to HASH_SLOTS-1. Cutting out a {hash tag} is the caller's. */
static inline uint16_t crc16_slot(const void *data, size_t len)
{
    return crc16(data, len) & (HASH_SLOTS - 1);
}

/* Continues from `seed`: crc32c(crc32c(s, a), b) is crc32c(s, ab). Start at 0 for the usual value,
 * elsewhere to bind a checksum to its place. Uses the processor's instruction where the build
 * targets one, else crc32c_portable, which gives the same values everywhere. */
uint32_t crc32c(uint32_t seed, const void *data, size_t len);
uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len);
