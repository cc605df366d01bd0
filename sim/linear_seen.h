/* A set of byte strings with two hard limits: the configurations a search has been in. The strings
 * themselves are kept, not only their hashes, so "seen" is never a guess. */
#pragma once

#include <stddef.h>

#include "base/slice.h"

struct linear_seen;

struct linear_seen *linear_seen_create(size_t entries_max, size_t bytes_max);
void linear_seen_free(struct linear_seen *seen); /* NULL is fine */
/* 0 when it is new, ST_EXISTS when it was there, ST_LIMIT when there is no room for a new one. */
int linear_seen_add(struct linear_seen *seen, struct slice bytes);
void linear_seen_clear(struct linear_seen *seen); /* gives its memory back */
size_t linear_seen_count(const struct linear_seen *seen);
