/* A binary min-heap of intrusive nodes, for timers: insert, update and remove in O(log n).
 *
 * Ties break by insertion: of equal keys the one inserted (or last updated) first comes out first,
 * so a run replays. The heap owns only its array of pointers; nodes belong to the caller and must
 * stay in place while they are in. A zeroed node is in no heap, a zeroed heap is empty. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    uint64_t sequence;
    size_t position; /* in heap.nodes, from 1; 0: in no heap */
};

struct heap {
    struct heap_node **nodes; /* nodes[0] is unused */
    size_t len, cap;
    uint64_t sequence_next;
};

void heap_insert(struct heap *h, struct heap_node *node, uint64_t key);
void heap_update(struct heap *h, struct heap_node *node, uint64_t key); /* inserts it if not in */
void heap_remove(struct heap *h, struct heap_node *node);               /* nothing if not in */
struct heap_node *heap_top(const struct heap *h);                       /* NULL when empty */
struct heap_node *heap_pop(struct heap *h);                             /* NULL when empty */
void heap_free(struct heap *h); /* forgets all nodes, which are then in no heap */

static inline bool heap_contains(const struct heap_node *node)
{
    return node->position != 0;
}
