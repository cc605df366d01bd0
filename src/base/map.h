/* Hash maps for cold paths: struct map from byte strings, struct map64 from numbers, both to a
 * pointer that the map never looks at or frees.
 *
 * Iteration is by insertion, whatever the seed, so a run replays; putting a key that is there keeps
 * its place. Entries stand in one dense array, an open-addressed index of 32-bit positions finds
 * them. Up to 2^31 entries. Not for the data path. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct map;
struct map64;

struct map *map_create(uint64_t seed); /* seed: of the hash; random where keys come from outside */
void map_free(struct map *m);          /* NULL is fine; values are the caller's */
size_t map_count(const struct map *m);
void *map_get(const struct map *m, struct slice key); /* NULL when absent */
/* Copies the key; returns the value it replaced, NULL when there was none. value is not NULL. */
void *map_put(struct map *m, struct slice key, void *value);
void *map_remove(struct map *m, struct slice key); /* returns the value, NULL when absent */
/* `size_t at = 0; while (map_next(m, &at, &key, &value))` visits all entries. The one just visited
 * may be removed; nothing may be put meanwhile. */
bool map_next(const struct map *m, size_t *at, struct slice *ret_key, void **ret_value);

struct map64 *map64_create(uint64_t seed);
void map64_free(struct map64 *m);
size_t map64_count(const struct map64 *m);
void *map64_get(const struct map64 *m, uint64_t key);
void *map64_put(struct map64 *m, uint64_t key, void *value);
void *map64_remove(struct map64 *m, uint64_t key);
bool map64_next(const struct map64 *m, size_t *at, uint64_t *ret_key, void **ret_value);
