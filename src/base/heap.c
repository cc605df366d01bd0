#include "base/heap.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

#define HEAP_FIRST_NODES 16

static bool heap_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

static void heap_place(struct heap *h, struct heap_node *node, size_t position)
{
    h->nodes[position] = node;
    node->position = position;
}

static void heap_sift_up(struct heap *h, struct heap_node *node, size_t position)
{
    for (; position > 1 && heap_before(node, h->nodes[position / 2]); position /= 2)
        heap_place(h, h->nodes[position / 2], position);
    heap_place(h, node, position);
}

static void heap_sift_down(struct heap *h, struct heap_node *node, size_t position)
{
    for (;;) {
        size_t child = position * 2;
        if (child > h->len)
            break;
        if (child < h->len && heap_before(h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!heap_before(h->nodes[child], node))
            break;
        heap_place(h, h->nodes[child], position);
        position = child;
    }
    heap_place(h, node, position);
}

/* Puts `node`, whose key may be anything, where it belongs, starting from `position`. */
static void heap_settle(struct heap *h, struct heap_node *node, size_t position)
{
    if (position > 1 && heap_before(node, h->nodes[position / 2]))
        heap_sift_up(h, node, position);
    else
        heap_sift_down(h, node, position);
}

void heap_insert(struct heap *h, struct heap_node *node, uint64_t key)
{
    CHECK(node->position == 0);
    if (h->len + 1 >= h->cap) {
        h->cap = h->cap ? h->cap * 2 : HEAP_FIRST_NODES;
        h->nodes = mem_realloc(h->nodes, h->cap * sizeof(*h->nodes));
        h->nodes[0] = NULL;
    }
    node->key = key;
    node->sequence = h->sequence_next++;
    heap_sift_up(h, node, ++h->len);
}

void heap_update(struct heap *h, struct heap_node *node, uint64_t key)
{
    if (node->position == 0) {
        heap_insert(h, node, key);
        return;
    }
    CHECK(node->position <= h->len && h->nodes[node->position] == node);
    node->key = key;
    node->sequence = h->sequence_next++;
    heap_settle(h, node, node->position);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    size_t position = node->position;
    if (position == 0)
        return;
    CHECK(position <= h->len && h->nodes[position] == node);
    struct heap_node *last = h->nodes[h->len--];
    node->position = 0;
    if (last != node)
        heap_settle(h, last, position);
}

struct heap_node *heap_top(const struct heap *h)
{
    return h->len > 0 ? h->nodes[1] : NULL;
}

struct heap_node *heap_pop(struct heap *h)
{
    struct heap_node *top = heap_top(h);
    if (top != NULL)
        heap_remove(h, top);
    return top;
}

void heap_free(struct heap *h)
{
    for (size_t i = 1; i <= h->len; i++)
        h->nodes[i]->position = 0;
    free(h->nodes);
    *h = (struct heap){0};
}
