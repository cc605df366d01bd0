/* The table: points and generations. Memory is table_chunk.c, upkeep table_cache.c. */
#include "store/table.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/table_private.h"

#define SLACK_PART   8 /* a value that grew gets room to grow by an eighth in place */
#define SHRINK_PART  4 /* one that leaves a quarter of its row unused moves out */
#define SHRINK_BYTES 64

static struct generation *generation_new(struct table *t, enum generation_state state)
{
    struct table_frozen *f = mem_alloc(sizeof(*f));
    generation_init(t, &f->generation, state);
    return &f->generation;
}

struct table *table_create(const struct table_options *options)
{
    struct table *t = mem_zalloc(sizeof(*t));
    list_init(&t->frozen);
    list_init(&t->releasing);
    chunks_init(t);
    index_init(&t->index, options->hash_seed);
    t->active = generation_new(t, GENERATION_ACTIVE);
    generation_init(t, &t->small, GENERATION_CACHE);
    generation_init(t, &t->main, GENERATION_CACHE);
    t->cache_bytes = options->cache_bytes;
    cache_init(t);
    return t;
}

static void generation_free(struct table *t, struct generation *g)
{
    generation_order_drop(t, g);
    free(container_of(g, struct table_frozen, generation));
}

static void generation_sorted_drop(struct table *t, struct generation *g)
{
    if (g->sorted == NULL)
        return;
    struct dying *d = mem_alloc(sizeof(*d));
    *d = (struct dying){.at = (uint8_t *)g->sorted, .bytes = g->sorted_bytes};
    list_push_back(&t->dying, &d->link);
    g->sorted = NULL;
}

void table_free(struct table *t)
{
    if (t == NULL)
        return;
    struct list_head *lists[] = {&t->frozen, &t->releasing};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        list_foreach_safe (node, spare, lists[i]) {
            struct generation *g = list_entry(node, struct generation, link);
            generation_sorted_drop(t, g);
            generation_free(t, g);
        }
    }
    generation_free(t, t->active);
    while (t->ordered_dying != NULL)
        ordered_reclaim(&t->ordered_dying, SIZE_MAX);
    chunks_done(t);
    index_done(&t->index);
    free(t->ghosts);
    free(t);
}

/* --- points --- */

void table_prefetch(const struct table *t, uint64_t hash)
{
    index_prefetch(&t->index, hash);
}

void table_prefetch_record(const struct table *t, uint64_t hash)
{
    index_prefetch_rows(&t->index, hash);
}

static void row_used(struct row *r)
{
    if ((r->meta & ROW_FREQUENCY) < ROW_FREQUENCY)
        r->meta++;
}

int table_find(struct table *t, const struct key *key, struct record *ret_record)
{
    struct row *r = index_find(&t->index, key).row;
    if (r == NULL) {
        t->counted.misses++;
        return ST_COLD;
    }
    t->counted.hits++;
    row_used(r);
    if (unlikely(r->flags & ROW_ABSENT))
        return ST_NOTFOUND;
    row_view(t, r, ret_record);
    return 0;
}

static struct table_before row_before(const struct row *r)
{
    if (r == NULL)
        return (struct table_before){.known = TABLE_UNKNOWN};
    if (r->flags & (ROW_ABSENT | RECORD_TOMBSTONE))
        return (struct table_before){.known = TABLE_DEAD};
    return (struct table_before){
        .known = TABLE_LIVE,
        .expiry_told = (r->meta & ROW_TOLD) != 0,
        .expire_ms = row_expire_ms(r),
    };
}

static bool slice_within(struct slice s, const struct row *r, size_t bytes)
{
    return s.len > 0 && (uintptr_t)s.data - (uintptr_t)r < bytes;
}

/* Whether the record can be written over the row: its memory is the active generation's, nobody
 * holds on to it, and it is neither too small nor much too big. */
static bool row_overwritable(const struct table *t, const struct row *r,
                             const struct record *record, size_t need)
{
    size_t bytes = row_bytes(r);
    return t->pins == 0 && chunk_of(r)->generation == t->active && need <= bytes &&
           bytes - need <= bytes / SHRINK_PART + SHRINK_BYTES &&
           !slice_within(record->value, r, bytes) && !slice_within(record->versions, r, bytes);
}

static size_t row_slack(size_t need)
{
    return (need / SLACK_PART + ROW_UNIT - 1) & ~(size_t)(ROW_UNIT - 1);
}

void table_put(struct table *t, const struct key *key, const struct record *record,
               struct table_before *ret_before)
{
    CHECK(key->bytes.len <= KEY_BYTES_MAX);
    CHECK(record->value.len <= VALUE_BYTES_MAX);
    size_t need = row_need(t, key, record);
    struct place place = index_find(&t->index, key);
    struct row *old = place.row;
    *ret_before = row_before(old);
    if (old == NULL) {
        struct row *r = row_append(t, t->active, need);
        row_write(t, r, key, record);
        index_insert(&t->index, key->hash, r);
        if (t->active->ordered != NULL)
            generation_order_insert(t->active, r);
        return;
    }
    uint8_t frequency = old->meta & ROW_FREQUENCY;
    if (row_overwritable(t, old, record, need)) {
        row_write(t, old, key, record);
        old->meta = frequency;
        row_used(old);
        return;
    }
    if (chunk_of(old)->generation == t->active && need > row_bytes(old))
        need += row_slack(need);
    struct row *r = row_append(t, t->active, need);
    row_write(t, r, key, record);
    r->meta = frequency;
    row_used(r);
    index_replace(&place, r);
    if (t->active->ordered != NULL)
        generation_order_insert(t->active, r);
    row_retire(t, old);
}

void table_fill(struct table *t, const struct key *key, const struct record *record)
{
    if (index_find(&t->index, key).row != NULL)
        return;
    struct generation *queue = cache_ghost_take(t, key->hash) ? &t->main : &t->small;
    struct row *r = row_append(t, queue, row_need(t, key, record));
    row_write(t, r, key, record);
    index_insert(&t->index, key->hash, r);
}

void table_forget(struct table *t, uint64_t hash, struct place *p)
{
    struct row *r = p->row;
    struct generation *g = chunk_of(r)->generation;
    if (g->state == GENERATION_ACTIVE && g->ordered != NULL)
        generation_order_remove(g, r);
    index_remove(&t->index, hash, p);
    row_retire(t, r);
}

void table_remove(struct table *t, const struct key *key, struct table_before *ret_before)
{
    struct place place = index_find(&t->index, key);
    *ret_before = row_before(place.row);
    if (place.row != NULL)
        table_forget(t, key->hash, &place);
}

/* --- generations --- */

struct table_frozen *table_freeze(struct table *t)
{
    struct generation *g = t->active;
    if (list_empty(&g->chunks))
        return NULL;
    chunk_close(t, g);
    /* Compacting is for the active and the cache: its chunks leave the list. */
    list_foreach_safe (node, spare, &t->garbage) {
        if (list_entry(node, struct chunk, garbage)->generation == g)
            list_remove(node);
    }
    if (t->compacting != NULL && t->compacting->generation == g)
        t->compacting = NULL;
    g->state = GENERATION_FROZEN;
    t->frozen_bytes += g->bytes;
    list_push_front(&t->frozen, &g->link);
    t->active = generation_new(t, GENERATION_ACTIVE);
    if (t->ordered_wanted)
        table_ordered_want(t);
    t->change++;
    return container_of(g, struct table_frozen, generation);
}

void table_frozen_release(struct table *t, struct table_frozen *f)
{
    struct generation *g = &f->generation;
    CHECK(g->state == GENERATION_FROZEN);
    CHECK(list_last(&t->frozen) == &g->link);
    list_remove(&g->link);
    list_push_back(&t->releasing, &g->link);
    g->state = GENERATION_RELEASING;
    generation_order_drop(t, g);
    generation_sorted_drop(t, g);
    t->change++;
}

void table_pin(struct table *t)
{
    t->pins++;
}

void table_unpin(struct table *t)
{
    CHECK(t->pins > 0);
    if (--t->pins == 0)
        chunks_unpin(t);
}

uint64_t table_active_bytes(const struct table *t)
{
    return t->active->bytes;
}

void table_stats(const struct table *t, struct table_stats *ret_stats)
{
    struct table_stats s = t->counted;
    s.records = t->index.records;
    s.active_bytes = t->active->bytes;
    s.active_dead_bytes = t->active->dead;
    s.frozen_bytes = t->frozen_bytes;
    s.clean_bytes = t->small.bytes + t->main.bytes;
    s.index_bytes = index_bytes(&t->index);
    s.ordered_bytes = t->active->ordered != NULL ? ordered_bytes(t->active->ordered) : 0;
    list_foreach (node, &t->frozen) {
        const struct generation *g = list_entry(node, struct generation, link);
        s.ordered_bytes += g->ordered != NULL ? ordered_bytes(g->ordered) : 0;
    }
    s.spare_bytes = (uint64_t)t->spare_count * CHUNK_BYTES;
    s.split_buckets_max = t->index.splits_max;
    *ret_stats = s;
}
