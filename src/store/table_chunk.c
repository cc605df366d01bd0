/* The table's memory: chunks, generations as lists of them, and rows in them. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/pages.h"
#include "store/table_private.h"

#define SPARE_PART        8 /* of all chunks, so many parts are kept free at most */
#define GARBAGE_NUM       2 /* a chunk with less than 2/3 of its room alive is compacted */
#define GARBAGE_DEN       3
#define ACTOR_MAP_SLOTS   (2 * ROW_ACTORS_MAX)
#define ACTORS_BYTES      (ROW_ACTORS_MAX * sizeof(uint64_t))
#define ACTOR_MAP_BYTES   (ACTOR_MAP_SLOTS * sizeof(uint32_t))
#define CHUNKS_PER_SLAB   (SLAB_BYTES / CHUNK_BYTES)
#define CHUNK_HEADS_BYTES (CHUNK_COLOURS * CHUNK_COLOUR_BYTES)

void chunks_init(struct table *t)
{
    list_init(&t->spare);
    list_init(&t->spare_cold);
    list_init(&t->garbage);
    list_init(&t->limbo);
    list_init(&t->dying);
    t->actors = pages_map(ACTORS_BYTES, 0);
    t->actor_map = pages_map(ACTOR_MAP_BYTES, 0);
}

void chunks_done(struct table *t)
{
    for (uint32_t i = 0; i < t->chunk_count; i++)
        if (t->chunks[i]->big)
            free(t->chunks[i]);
    for (struct list_node *node; (node = list_pop_front(&t->limbo)) != NULL;) {
        struct chunk *c = list_entry(node, struct chunk, link);
        if (c->big)
            free(c);
    }
    for (struct list_node *node; (node = list_pop_front(&t->dying)) != NULL;) {
        struct dying *d = list_entry(node, struct dying, link);
        pages_unmap(d->at, d->bytes);
        free(d);
    }
    for (uint32_t i = 0; i < t->slab_count; i++)
        pages_unmap(t->slabs[i], SLAB_BYTES);
    free(t->slabs);
    free(t->chunks);
    pages_unmap(t->actors, ACTORS_BYTES);
    pages_unmap(t->actor_map, ACTOR_MAP_BYTES);
}

/* --- chunks --- */

static uintptr_t chunk_base(const struct chunk *c)
{
    return (uintptr_t)c & ~(uintptr_t)(CHUNK_BYTES - 1);
}

static struct chunk *chunk_at(uintptr_t base)
{
    return (struct chunk *)(base + ((base / CHUNK_BYTES) % CHUNK_COLOURS) * CHUNK_COLOUR_BYTES);
}

static void slab_map(struct table *t)
{
    t->slabs = mem_realloc(t->slabs, (t->slab_count + 1) * sizeof(*t->slabs));
    t->slabs[t->slab_count++] = pages_map(SLAB_BYTES, SLAB_BYTES);
    t->slab_used = 0;
}

static struct chunk *chunk_take(struct table *t)
{
    struct list_node *node = list_pop_front(&t->spare);
    if (node != NULL) {
        t->spare_count--;
        return list_entry(node, struct chunk, link);
    }
    node = list_pop_front(&t->spare_cold);
    if (node != NULL)
        return list_entry(node, struct chunk, link);
    if (t->slab_count == 0 || t->slab_used == SLAB_BYTES)
        slab_map(t);
    uintptr_t base = (uintptr_t)t->slabs[t->slab_count - 1] + t->slab_used;
    t->slab_used += CHUNK_BYTES;
    return chunk_at(base);
}

static void generation_bytes(struct generation *g, int64_t bytes)
{
    g->bytes += (uint64_t)bytes;
    if (g->state == GENERATION_FROZEN || g->state == GENERATION_RELEASING)
        g->table->frozen_bytes += (uint64_t)bytes;
}

static uint64_t chunk_memory(const struct chunk *c)
{
    return c->big ? CHUNK_COLOUR_BYTES + (uint64_t)c->room : CHUNK_BYTES;
}

static struct chunk *chunk_new(struct table *t, struct generation *g, size_t big_bytes)
{
    struct chunk *c;
    if (big_bytes > 0) {
        c = mem_alloc(CHUNK_COLOUR_BYTES + big_bytes);
        t->big_bytes += CHUNK_COLOUR_BYTES + big_bytes;
    } else {
        c = chunk_take(t);
    }
    *c = (struct chunk){.generation = g, .expire_ms = EXPIRE_NEVER, .big = big_bytes > 0};
    c->first = (struct row *)((uint8_t *)c + CHUNK_COLOUR_BYTES);
    c->room = big_bytes > 0
                  ? (uint32_t)big_bytes
                  : (uint32_t)(chunk_base(c) + CHUNK_BYTES - (uintptr_t)c->first) & ~(ROW_UNIT - 1);
    list_node_init(&c->garbage);
    list_push_back(&g->chunks, &c->link);
    generation_bytes(g, (int64_t)chunk_memory(c));
    if (t->chunk_count == t->chunk_room) {
        t->chunk_room = t->chunk_room == 0 ? 64 : 2 * t->chunk_room;
        t->chunks = mem_realloc(t->chunks, t->chunk_room * sizeof(*t->chunks));
    }
    c->number = t->chunk_count;
    t->chunks[t->chunk_count++] = c;
    return c;
}

static void chunk_recycle(struct table *t, struct chunk *c)
{
    if (c->big) {
        t->big_bytes -= chunk_memory(c);
        free(c);
        return;
    }
    if (t->spare_count < SPARE_CHUNKS_MIN || t->spare_count < t->chunk_count / SPARE_PART) {
        list_push_front(&t->spare, &c->link);
        t->spare_count++;
        return;
    }
    /* All but the page of the header, which links it. */
    uintptr_t base = chunk_base(c);
    pages_forget((void *)(base + CHUNK_HEADS_BYTES), CHUNK_BYTES - CHUNK_HEADS_BYTES);
    list_push_back(&t->spare_cold, &c->link);
}

void chunk_free(struct table *t, struct chunk *c)
{
    struct generation *g = c->generation;
    if (g->open == c)
        g->open = NULL;
    if (t->compacting == c)
        t->compacting = NULL;
    if (t->evicting == c)
        t->evicting = NULL;
    if (t->expire_number == c->number)
        t->expire_offset = 0;
    g->dead -= g->state == GENERATION_ACTIVE ? c->used - c->live : 0;
    g->used -= c->used;
    generation_bytes(g, -(int64_t)chunk_memory(c));
    list_remove(&c->link);
    list_remove(&c->garbage);
    struct chunk *moved = t->chunks[--t->chunk_count];
    t->chunks[c->number] = moved;
    if (t->expire_number == moved->number)
        t->expire_offset = 0;
    moved->number = c->number;
    if (t->pins > 0)
        list_push_back(&t->limbo, &c->link);
    else
        chunk_recycle(t, c);
}

void chunks_unpin(struct table *t)
{
    for (struct list_node *node; (node = list_pop_front(&t->limbo)) != NULL;)
        chunk_recycle(t, list_entry(node, struct chunk, link));
}

void chunk_move(struct table *t, struct chunk *c, struct generation *to)
{
    struct generation *from = c->generation;
    generation_bytes(from, -(int64_t)chunk_memory(c));
    from->used -= c->used;
    list_remove(&c->link);
    list_push_back(&to->chunks, &c->link);
    c->generation = to;
    generation_bytes(to, (int64_t)chunk_memory(c));
    to->used += c->used;
    chunk_judge_garbage(t, c);
}

void chunk_judge_garbage(struct table *t, struct chunk *c)
{
    enum generation_state state = c->generation->state;
    if ((state != GENERATION_ACTIVE && state != GENERATION_CACHE) || c == c->generation->open ||
        list_linked(&c->garbage))
        return;
    uint64_t worth = c->big ? 0 : (uint64_t)c->room * GARBAGE_NUM / GARBAGE_DEN;
    if (c->live == 0 || c->live < worth)
        list_push_back(&t->garbage, &c->garbage);
}

void chunk_close(struct table *t, struct generation *g)
{
    struct chunk *c = g->open;
    g->open = NULL;
    if (c != NULL)
        chunk_judge_garbage(t, c);
}

void generation_init(struct table *t, struct generation *g, enum generation_state state)
{
    *g = (struct generation){.state = state, .table = t};
    list_init(&g->chunks);
    list_node_init(&g->link);
}

/* --- rows --- */

/* The actor's number, or ROW_ACTORS_MAX when there is none left. */
static uint32_t actor_number(struct table *t, uint64_t actor)
{
    if (t->actor_count > 0 && t->actors[t->actor_last] == actor)
        return t->actor_last;
    uint32_t slot = (uint32_t)((actor * 0x9e3779b97f4a7c15ull) >> 32) % ACTOR_MAP_SLOTS;
    while (t->actor_map[slot] != 0) {
        uint32_t number = t->actor_map[slot] - 1;
        if (t->actors[number] == actor)
            return t->actor_last = number;
        slot = (slot + 1) % ACTOR_MAP_SLOTS;
    }
    if (t->actor_count == ROW_ACTORS_MAX)
        return ROW_ACTORS_MAX;
    t->actors[t->actor_count] = actor;
    t->actor_map[slot] = ++t->actor_count;
    return t->actor_last = t->actor_count - 1;
}

/* Room is kept for a wide dot only when the counter needs it or the actors ran out. */
static bool record_wide(const struct table *t, const struct record *record)
{
    return record->counter >> ROW_COUNTER_BITS != 0 || t->actor_count == ROW_ACTORS_MAX;
}

size_t row_need(const struct table *t, const struct key *key, const struct record *record)
{
    size_t bytes = sizeof(struct row) + key->bytes.len;
    if (record != NULL) {
        bytes += record->value.len;
        bytes += record->flags & RECORD_EXPIRES ? ROW_EXPIRES_BYTES : 0;
        bytes += record->flags & RECORD_VERSIONED ? ROW_VERSIONS_BYTES + record->versions.len : 0;
        bytes += record_wide(t, record) ? ROW_WIDE_BYTES : 0;
    }
    return (bytes + ROW_UNIT - 1) & ~(size_t)(ROW_UNIT - 1);
}

struct row *row_append(struct table *t, struct generation *g, size_t bytes)
{
    bool big = bytes > ROW_SMALL_MAX;
    struct chunk *c = g->open;
    if (big) {
        c = chunk_new(t, g, bytes);
    } else if (c == NULL || c->room - c->used < bytes) {
        chunk_close(t, g);
        c = g->open = chunk_new(t, g, 0);
    }
    struct row *r = chunk_row(c, c->used);
    c->used += (uint32_t)bytes;
    c->live += (uint32_t)bytes;
    g->used += bytes;
    r->units = big ? 0 : (uint16_t)(bytes / ROW_UNIT);
    r->flags = 0;
    r->meta = 0;
    t->debt_rows++;
    return r;
}

void row_expires(struct table *t, struct row *r)
{
    struct chunk *c = chunk_of(r);
    uint64_t expire_ms = row_expire_ms(r);
    if (expire_ms < c->expire_ms)
        c->expire_ms = expire_ms;
}

void row_write(struct table *t, struct row *r, const struct key *key, const struct record *record)
{
    uint8_t *p = r->bytes;
    r->keyspace = key->keyspace;
    r->partition = key->partition;
    r->key_len = (uint16_t)key->bytes.len;
    r->flags = key->bytes.len == KEY_BYTES_MAX ? ROW_KEY_MAX : 0;
    if (key->bytes.len > 0)
        memmove(p, key->bytes.data, key->bytes.len); /* the key may be the row's own */
    p += key->bytes.len;
    if (record == NULL) {
        r->stamp = r->dot = r->value_len = 0;
        r->flags |= ROW_ABSENT;
        return;
    }
    r->flags |= record->flags & RECORD_FLAGS_KNOWN;
    r->stamp = record->stamp;
    r->value_len = (uint32_t)record->value.len;
    if (record->flags & RECORD_EXPIRES) {
        bytes_put_u64(p, record->expire_ms);
        p += ROW_EXPIRES_BYTES;
    }
    if (record_wide(t, record)) {
        r->flags |= ROW_WIDE;
        r->dot = 0;
        bytes_put_u64(p, record->actor);
        bytes_put_u64(p + 8, record->counter);
        p += ROW_WIDE_BYTES;
    } else {
        r->dot = (uint64_t)actor_number(t, record->actor) << ROW_COUNTER_BITS | record->counter;
    }
    if (record->flags & RECORD_VERSIONED) {
        bytes_put_u32(p, (uint32_t)record->versions.len);
        p += ROW_VERSIONS_BYTES;
        if (record->versions.len > 0)
            memcpy(p, record->versions.data, record->versions.len);
        p += record->versions.len;
    }
    if (record->value.len > 0)
        memcpy(p, record->value.data, record->value.len);
    if (record->flags & RECORD_EXPIRES)
        row_expires(t, r);
}

void row_view(const struct table *t, const struct row *r, struct record *ret_record)
{
    const uint8_t *p = r->bytes + row_key(r).len;
    struct record v = {
        .flags = r->flags & RECORD_FLAGS_KNOWN,
        .stamp = r->stamp,
        .actor = t->actors[r->dot >> ROW_COUNTER_BITS],
        .counter = r->dot & ((1ull << ROW_COUNTER_BITS) - 1),
    };
    if (unlikely(r->flags & (RECORD_EXPIRES | ROW_WIDE | RECORD_VERSIONED))) {
        if (r->flags & RECORD_EXPIRES) {
            v.expire_ms = bytes_get_u64(p);
            p += ROW_EXPIRES_BYTES;
        }
        if (r->flags & ROW_WIDE) {
            v.actor = bytes_get_u64(p);
            v.counter = bytes_get_u64(p + 8);
            p += ROW_WIDE_BYTES;
        }
        if (r->flags & RECORD_VERSIONED) {
            v.versions = slice_make(p + ROW_VERSIONS_BYTES, bytes_get_u32(p));
            p += ROW_VERSIONS_BYTES + v.versions.len;
        }
    }
    v.value = slice_make(p, r->value_len);
    *ret_record = v;
}

struct key row_key_view(const struct table *t, const struct row *r)
{
    struct slice bytes = row_key(r);
    return (struct key){
        .bytes = bytes,
        .hash = key_hash(t->index.hash_seed, r->keyspace, bytes),
        .keyspace = r->keyspace,
        .partition = r->partition,
    };
}

void row_retire(struct table *t, struct row *r)
{
    struct chunk *c = chunk_of(r);
    uint32_t bytes = row_bytes(r);
    c->live -= bytes;
    if (c->generation->state == GENERATION_FROZEN) {
        r->meta |= ROW_HIDDEN;
        return;
    }
    r->flags |= ROW_DEAD;
    if (c->generation->state == GENERATION_ACTIVE)
        c->generation->dead += bytes;
    chunk_judge_garbage(t, c);
}

struct row *row_move(struct table *t, struct row *r, struct generation *g)
{
    struct key key = row_key_view(t, r);
    struct place place = index_find_row(&t->index, key.hash, r);
    CHECK(place.row == r);
    struct row *to = row_append(t, g, row_bytes(r));
    uint16_t units = to->units;
    memcpy(to, r, row_bytes(r));
    to->units = units;
    if (r->flags & RECORD_EXPIRES)
        row_expires(t, to);
    index_replace(&place, to);
    if (g->ordered != NULL)
        generation_order_insert(g, to);
    row_retire(t, r);
    t->debt_rows--;
    t->counted.moved_rows++;
    return to;
}
