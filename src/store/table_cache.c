/* The table's upkeep: eviction from the cache, compaction, releasing of flushed generations.
 *
 * The cache is S3-FIFO (Yang et al., SOSP 2023) over chunks instead of single records. What is
 * filled or flushed enters `small`; the oldest chunk of `small`, when that holds more than a tenth
 * of the cache, is walked: records used more than once move to `main`, the others leave and are
 * remembered as ghosts. A record filled while it is a ghost goes straight to `main`, whose oldest
 * chunk keeps what was used since by moving it to the end, with one use less. Moving is copying to
 * the queue's open chunk, so that the walked chunk is free as a whole.
 *
 * All of it happens in table_step(), a number of records at a time that follows how many were
 * appended since: each append is paid for with DEBT_FACTOR rows of work. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/pages.h"
#include "store/table_private.h"

#define SMALL_PART          10 /* of the cache is for `small` */
#define PROMOTE_USES        2
#define DEBT_FACTOR         4
#define DEBT_ROWS_MAX       512 /* paid off in one step; the rest in the next ones */
#define CACHE_BYTES_MIN     (4u << 20)
#define GHOST_WAYS          4
#define GHOST_RECORD_BYTES  256 /* one ghost for so many bytes of cache */
#define GHOSTS_MIN          1024
#define RELEASE_CHUNKS      64 /* a step */
#define RECLAIM_BLOCKS      64
#define RECLAIM_BYTES       (4u << 20)
#define CHUNK_ROWS_ESTIMATE 16 /* finishing a chunk counts as so many rows */

/* --- ghosts: a set of hashes with the time of each, in buckets of 4, the oldest overwritten --- */

static void ghosts_resize(struct table *t)
{
    uint64_t count = GHOSTS_MIN;
    while (count < t->cache_bytes / GHOST_RECORD_BYTES)
        count *= 2;
    free(t->ghosts);
    t->ghosts = mem_zalloc(count * sizeof(*t->ghosts));
    t->ghost_mask = count / GHOST_WAYS - 1;
}

static uint32_t ghost_mark(uint64_t hash)
{
    uint32_t mark = (uint32_t)(hash >> 32);
    return mark != 0 ? mark : 1;
}

static void ghost_add(struct table *t, uint64_t hash)
{
    struct ghost *ways = &t->ghosts[(hash & t->ghost_mask) * GHOST_WAYS], *oldest = ways;
    t->ghost_time++;
    for (unsigned i = 0; i < GHOST_WAYS; i++)
        if (t->ghost_time - ways[i].time > t->ghost_time - oldest->time || ways[i].mark == 0)
            oldest = &ways[i];
    *oldest = (struct ghost){.mark = ghost_mark(hash), .time = t->ghost_time};
}

bool cache_ghost_take(struct table *t, uint64_t hash)
{
    struct ghost *ways = &t->ghosts[(hash & t->ghost_mask) * GHOST_WAYS];
    uint32_t mark = ghost_mark(hash);
    for (unsigned i = 0; i < GHOST_WAYS; i++) {
        if (ways[i].mark != mark || t->ghost_time - ways[i].time > (t->ghost_mask + 1) * GHOST_WAYS)
            continue;
        ways[i].mark = 0;
        t->counted.ghost_hits++;
        return true;
    }
    return false;
}

static uint64_t cache_limit(uint64_t cache_bytes)
{
    return cache_bytes == 0 || cache_bytes > CACHE_BYTES_MIN ? cache_bytes : CACHE_BYTES_MIN;
}

void cache_init(struct table *t)
{
    t->cache_bytes = cache_limit(t->cache_bytes);
    ghosts_resize(t);
}

void table_cache_resize(struct table *t, uint64_t cache_bytes)
{
    t->cache_bytes = cache_limit(cache_bytes);
    ghosts_resize(t);
}

/* --- eviction --- */

static bool cache_over(const struct table *t)
{
    return t->small.bytes + t->main.bytes > t->cache_bytes;
}

static void row_evict(struct table *t, struct row *r)
{
    struct key key = row_key_view(t, r);
    struct place place = index_find_row(&t->index, key.hash, r);
    CHECK(place.row == r);
    ghost_add(t, key.hash);
    table_forget(t, key.hash, &place);
    t->counted.evictions++;
}

/* Judges one row of the oldest chunk of a queue. */
static void evict_row(struct table *t, struct chunk *c, struct row *r)
{
    unsigned uses = r->meta & ROW_FREQUENCY;
    bool from_main = c->generation == &t->main;
    if (t->cache_bytes == 0 || (from_main ? uses == 0 : uses < PROMOTE_USES)) {
        row_evict(t, r);
        return;
    }
    r->meta = (uint8_t)((r->meta & ~ROW_FREQUENCY) | (from_main ? uses - 1 : 0));
    t->counted.promotions++;
    if (c->big)
        chunk_move(t, c, &t->main);
    else
        row_move(t, r, &t->main);
}

static struct chunk *evict_choose(struct table *t)
{
    struct generation *from = &t->main;
    if (list_empty(&t->main.chunks) ||
        (t->small.bytes > t->cache_bytes / SMALL_PART && !list_empty(&t->small.chunks)))
        from = &t->small;
    struct chunk *c = list_entry(list_first(&from->chunks), struct chunk, link);
    if (from->open == c)
        from->open = NULL;
    t->evict_offset = 0;
    return c;
}

static void cache_evict(struct table *t, unsigned *inout_rows)
{
    while (*inout_rows > 0 && (t->evicting != NULL || cache_over(t))) {
        if (t->evicting == NULL)
            t->evicting = evict_choose(t);
        struct chunk *c = t->evicting;
        struct generation *queue = c->generation;
        while (*inout_rows > 0 && t->evict_offset < c->used && c->generation == queue) {
            struct row *r = chunk_row(c, t->evict_offset);
            t->evict_offset += row_bytes(r);
            (*inout_rows)--;
            if (!row_dead(r))
                evict_row(t, c, r);
        }
        if (c->live == 0)
            chunk_free(t, c);
        else if (t->evict_offset >= c->used)
            t->evicting = NULL; /* a big one that moved to the end of main */
        *inout_rows -= *inout_rows < CHUNK_ROWS_ESTIMATE ? *inout_rows : CHUNK_ROWS_ESTIMATE;
    }
}

/* --- compaction --- */

static bool compact_waits(const struct table *t)
{
    return t->active->ordered != NULL && !t->active->ordered_built;
}

static void table_compact(struct table *t, unsigned *inout_rows)
{
    while (*inout_rows > 0 && !compact_waits(t)) {
        if (t->compacting == NULL) {
            struct list_node *node = list_first(&t->garbage);
            if (node == NULL)
                return;
            t->compacting = list_entry(node, struct chunk, garbage);
            t->compact_offset = 0;
        }
        struct chunk *c = t->compacting;
        if (c == t->evicting) { /* eviction is at it anyway */
            list_remove(&c->garbage);
            t->compacting = NULL;
            continue;
        }
        while (*inout_rows > 0 && c->live > 0 && t->compact_offset < c->used) {
            struct row *r = chunk_row(c, t->compact_offset);
            t->compact_offset += row_bytes(r);
            (*inout_rows)--;
            if (!row_dead(r))
                row_move(t, r, c->generation);
        }
        if (c->live == 0)
            chunk_free(t, c);
        *inout_rows -= *inout_rows < CHUNK_ROWS_ESTIMATE ? *inout_rows : CHUNK_ROWS_ESTIMATE;
    }
}

/* --- releases --- */

static void table_release(struct table *t)
{
    unsigned chunks = RELEASE_CHUNKS;
    struct list_node *first;
    while (chunks > 0 && (first = list_first(&t->releasing)) != NULL) {
        struct generation *g = list_entry(first, struct generation, link);
        struct list_node *node;
        while (chunks-- > 0 && (node = list_first(&g->chunks)) != NULL)
            chunk_move(t, list_entry(node, struct chunk, link), &t->small);
        if (list_empty(&g->chunks)) {
            list_remove(&g->link);
            free(container_of(g, struct table_frozen, generation));
        }
    }
}

static void table_reclaim(struct table *t)
{
    if (t->ordered_dying != NULL)
        ordered_reclaim(&t->ordered_dying, RECLAIM_BLOCKS);
    struct list_node *node = list_first(&t->dying);
    if (node == NULL)
        return;
    struct dying *d = list_entry(node, struct dying, link);
    size_t bytes = d->bytes < RECLAIM_BYTES ? d->bytes : RECLAIM_BYTES;
    pages_unmap(d->at, bytes);
    d->at += bytes;
    d->bytes -= bytes;
    if (d->bytes == 0) {
        list_remove(&d->link);
        free(d);
    }
}

bool table_step(struct table *t, unsigned rows)
{
    uint64_t debt = t->debt_rows < DEBT_ROWS_MAX ? t->debt_rows : DEBT_ROWS_MAX;
    t->debt_rows -= debt;
    unsigned evict = rows + DEBT_FACTOR * (unsigned)debt, compact = evict;
    table_release(t);
    cache_evict(t, &evict);
    table_compact(t, &compact);
    table_reclaim(t);
    if (!cache_over(t) && list_empty(&t->garbage))
        t->debt_rows = 0;
    return cache_over(t) || t->evicting != NULL || !list_empty(&t->releasing) ||
           (!list_empty(&t->garbage) && !compact_waits(t)) || !list_empty(&t->dying) ||
           t->ordered_dying != NULL;
}
