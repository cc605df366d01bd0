/* Sorting a frozen generation, on another thread than the table's owner.
 *
 * Rows are dealt out by partition while the memory is read in order; a first pass finds how many
 * there are and how many bytes all keys of a partition have in common. The 8 bytes behind those
 * are a row's head, by which each partition is sorted; only ties look at the keys again. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/pages.h"
#include "store/table_private.h"

#define PARTITION_NUMBERS 65536u
#define INSERTION_MAX     16
#define PREFETCH_BYTES    512

struct group { /* the rows of one partition */
    uint64_t count, start;
    const struct row *first;
    size_t common; /* bytes all rows share, of partition, keyspace and key as one string */
};

static size_t rows_common(const struct row *a, const struct row *b, size_t at_most)
{
    uint64_t different = row_head(a->partition, a->keyspace, row_key(a), 0) ^
                         row_head(b->partition, b->keyspace, row_key(b), 0);
    if (different != 0 || at_most <= 8) {
        size_t same = different != 0 ? (size_t)__builtin_clzll(different) / 8 : 8;
        return same < at_most ? same : at_most;
    }
    struct slice x = row_key(a), y = row_key(b);
    size_t max = at_most - ROW_ORDER_PREFIX, n = 8 - ROW_ORDER_PREFIX;
    max = x.len < max ? x.len : max;
    max = y.len < max ? y.len : max;
    for (; n + 8 <= max; n += 8) {
        uint64_t differ = bytes_get_u64(x.data + n) ^ bytes_get_u64(y.data + n);
        if (differ != 0)
            return ROW_ORDER_PREFIX + n + (size_t)__builtin_ctzll(differ) / 8;
    }
    while (n < max && x.data[n] == y.data[n])
        n++;
    return ROW_ORDER_PREFIX + (n < max ? n : max);
}

static bool ref_before(const struct row_ref *a, const struct row_ref *b)
{
    if (likely(a->head != b->head))
        return a->head < b->head;
    return row_compare(a->row, b->row) < 0;
}

static void refs_swap(struct row_ref *a, struct row_ref *b)
{
    struct row_ref c = *a;
    *a = *b;
    *b = c;
}

static void refs_insertion(struct row_ref *r, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct row_ref moved = r[i];
        size_t j = i;
        for (; j > 0 && ref_before(&moved, &r[j - 1]); j--)
            r[j] = r[j - 1];
        r[j] = moved;
    }
}

static void refs_sift(struct row_ref *r, size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && ref_before(&r[child], &r[child + 1]))
            child++;
        if (!ref_before(&r[i], &r[child]))
            return;
        refs_swap(&r[i], &r[child]);
    }
}

static void refs_heapsort(struct row_ref *r, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        refs_sift(r, n, i);
    for (size_t end = n; end-- > 1;) {
        refs_swap(&r[0], &r[end]);
        refs_sift(r, end, 0);
    }
}

/* Quicksort with the median of three; heapsort when it goes too deep. */
static void refs_sort(struct row_ref *r, size_t n, unsigned depth)
{
    while (n > INSERTION_MAX) {
        if (depth-- == 0) {
            refs_heapsort(r, n);
            return;
        }
        struct row_ref *middle = &r[n / 2], *last = &r[n - 1];
        if (ref_before(middle, r))
            refs_swap(middle, r);
        if (ref_before(last, middle)) {
            refs_swap(last, middle);
            if (ref_before(middle, r))
                refs_swap(middle, r);
        }
        struct row_ref pivot = *middle;
        size_t i = 0, j = n - 1;
        for (;;) {
            while (ref_before(&r[i], &pivot))
                i++;
            while (ref_before(&pivot, &r[j]))
                j--;
            if (i >= j)
                break;
            refs_swap(&r[i++], &r[j--]);
        }
        size_t left = j + 1;
        if (left < n - left) {
            refs_sort(r, left, depth);
            r += left;
            n -= left;
        } else {
            refs_sort(r + left, n - left, depth);
            n = left;
        }
    }
    refs_insertion(r, n);
}

static void group_count(struct group *group, const struct row *r)
{
    if (group->count++ == 0) {
        group->first = r;
        group->common = ROW_ORDER_PREFIX + row_key(r).len;
    } else if (group->common > 0) {
        group->common = rows_common(group->first, r, group->common);
    }
}

typedef void row_visit(struct generation *g, struct group *groups, struct row *r);

static void visit_count(struct generation *g, struct group *groups, struct row *r)
{
    group_count(&groups[r->partition], r);
    g->sorted_count++;
}

static void visit_deal(struct generation *g, struct group *groups, struct row *r)
{
    struct group *group = &groups[r->partition];
    g->sorted[group->start + group->count++] = (struct row_ref){
        .head = row_head(r->partition, r->keyspace, row_key(r), group->common),
        .row = r,
    };
}

/* Reads nothing that the owner may write: neither meta nor what a chunk's header counts. */
static inline void generation_visit(struct generation *g, struct group *groups, row_visit *visit)
{
    for (struct list_node *node = g->chunks.root.next; node != &g->chunks.root; node = node->next) {
        const struct chunk *c = list_entry(node, struct chunk, link);
        for (uint32_t offset = 0; offset < c->used;) {
            struct row *r = chunk_row(c, offset);
            __builtin_prefetch((uint8_t *)r + PREFETCH_BYTES);
            offset += r->units != 0 ? r->units * ROW_UNIT : c->used;
            if (!(r->flags & ROW_DEAD))
                visit(g, groups, r);
        }
    }
}

void table_frozen_sort(struct table_frozen *f)
{
    struct generation *g = &f->generation;
    CHECK(g->sorted == NULL);
    MEM_AUTO struct group *groups = mem_zalloc(PARTITION_NUMBERS * sizeof(*groups));
    generation_visit(g, groups, visit_count);
    if (g->sorted_count == 0)
        return;
    g->sorted_bytes = g->sorted_count * sizeof(*g->sorted);
    g->sorted = pages_map(g->sorted_bytes, 0);
    uint64_t start = 0;
    for (uint32_t p = 0; p < PARTITION_NUMBERS; p++) {
        groups[p].start = start;
        start += groups[p].count;
        groups[p].count = 0;
    }
    generation_visit(g, groups, visit_deal);
    for (uint32_t p = 0; p < PARTITION_NUMBERS; p++)
        if (groups[p].count > 1)
            refs_sort(g->sorted + groups[p].start, groups[p].count,
                      2 * (64 - (unsigned)__builtin_clzll(groups[p].count)));
}

uint64_t table_frozen_count(const struct table_frozen *f)
{
    return f->generation.sorted_count;
}

void table_frozen_row(const struct table_frozen *f, uint64_t i, struct key *ret_key,
                      struct record *ret_record)
{
    const struct generation *g = &f->generation;
    CHECK(i < g->sorted_count);
    const struct row *r = g->sorted[i].row;
    if (i + 8 < g->sorted_count)
        __builtin_prefetch(g->sorted[i + 8].row);
    *ret_key = (struct key){
        .bytes = row_key(r),
        .keyspace = r->keyspace,
        .partition = r->partition,
    };
    row_view(g->table, r, ret_record);
}
