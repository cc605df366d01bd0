/* An ordered index over rows of one generation: a B+tree by (partition, keyspace, key bytes).
 *
 * It holds pointers to rows, it does not own them; a row that moves is inserted again, which
 * replaces the pointer. Keys are equal at most once.
 *
 * Keys are compared 8 bytes at a time, from behind what all keys that can be in a node have in
 * common (prefix truncation: Bayer and Unterauer, 1977; heads: Lomet, 2001), so that a search
 * touches a row only on a tie. Inner nodes own shortened separators and never look at rows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/row.h"

struct ordered;

/* A place in the order; need not be that of a row. */
struct ordered_key {
    uint16_t partition;
    uint32_t keyspace;
    struct slice key;
};

/* A position on a row; invalid after any change of the tree. row is NULL beyond either end. */
struct ordered_at {
    struct row *row;
    void *leaf;
    unsigned slot;
};

struct ordered *ordered_create(void);
void ordered_insert(struct ordered *o, struct row *row);       /* replaces one of the same key */
bool ordered_remove(struct ordered *o, const struct row *row); /* false: another row, or none */

struct ordered_at ordered_seek(const struct ordered *o, const struct ordered_key *to); /* >= to */
struct ordered_at ordered_last(const struct ordered *o, const struct ordered_key *to); /* < to */
struct ordered_at ordered_next(const struct ordered *o, struct ordered_at at);
struct ordered_at ordered_prev(const struct ordered *o, struct ordered_at at);

uint64_t ordered_count(const struct ordered *o);
uint64_t ordered_bytes(const struct ordered *o);
uint64_t ordered_changes(const struct ordered *o); /* grows with each change of positions */

/* Freeing a big tree takes long: it is put on a list, and reclaimed some nodes a call until the
 * list is NULL. */
void ordered_dispose(struct ordered *o, struct ordered **inout_list);
void ordered_reclaim(struct ordered **inout_list, size_t nodes);

/* Checks the whole structure; for tests. */
void ordered_check(const struct ordered *o);
