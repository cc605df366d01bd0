/* A k-way merge: sources with a current key each, the first of them in order on top of a heap.
 * Included by engine_scan.c and engine_cold.c. Keys are distinct between sources. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/slice.h"

struct merge_source {
    struct slice key; /* the current one */
};

struct merge {
    struct merge_source **heap;
    size_t count, cap;
    bool reverse;
};

static inline bool merge_before(const struct merge *m, size_t a, size_t b)
{
    int order = slice_compare(m->heap[a]->key, m->heap[b]->key);
    return m->reverse ? order > 0 : order < 0;
}

static inline void merge_swap(struct merge *m, size_t a, size_t b)
{
    struct merge_source *source = m->heap[a];
    m->heap[a] = m->heap[b];
    m->heap[b] = source;
}

static inline void merge_push(struct merge *m, struct merge_source *source)
{
    if (m->count == m->cap) {
        m->cap = m->cap > 0 ? m->cap * 2 : 16;
        m->heap = mem_realloc(m->heap, m->cap * sizeof(struct merge_source *));
    }
    size_t at = m->count++;
    m->heap[at] = source;
    for (; at > 0 && merge_before(m, at, (at - 1) / 2); at = (at - 1) / 2)
        merge_swap(m, at, (at - 1) / 2);
}

/* The top's key has moved on: puts it where it belongs now. */
static inline void merge_sift(struct merge *m)
{
    for (size_t at = 0;;) {
        size_t first = at, left = 2 * at + 1;
        if (left < m->count && merge_before(m, left, first))
            first = left;
        if (left + 1 < m->count && merge_before(m, left + 1, first))
            first = left + 1;
        if (first == at)
            return;
        merge_swap(m, at, first);
        at = first;
    }
}

static inline struct merge_source *merge_top(const struct merge *m)
{
    return m->count > 0 ? m->heap[0] : NULL;
}

static inline void merge_drop_top(struct merge *m)
{
    m->heap[0] = m->heap[--m->count];
    merge_sift(m);
}

static inline void merge_done(struct merge *m)
{
    free(m->heap);
}
