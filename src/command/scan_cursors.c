#include "command/scan_cursors.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/status.h"

#define GENERATION_FIRST_BITS 32 /* of the random start; leaves 2^40 numbers */

struct stop {        /* one number and what it names */
    uint64_t cursor; /* 0: none */
    unsigned partition;
    bool has_key;
    struct buffer key;
};

struct place {
    struct stop latest, before;
    struct list_node link; /* in `places`, longest unused first */
};

struct scan_cursors {
    atomic_flag lock; /* held for a lookup and a copy of a key */
    uint64_t generation;
    struct list_head places;
    struct place place[SCAN_CURSORS_MAX];
};

struct scan_cursors *scan_cursors_create(uint64_t seed)
{
    struct scan_cursors *t = mem_zalloc(sizeof(*t));
    atomic_flag_clear(&t->lock);
    t->generation = 1 + (seed & ((UINT64_C(1) << GENERATION_FIRST_BITS) - 1));
    list_init(&t->places);
    for (unsigned i = 0; i < SCAN_CURSORS_MAX; i++)
        list_push_back(&t->places, &t->place[i].link);
    return t;
}

void scan_cursors_destroy(struct scan_cursors *t)
{
    if (t == NULL)
        return;
    for (unsigned i = 0; i < SCAN_CURSORS_MAX; i++) {
        buffer_free(&t->place[i].latest.key);
        buffer_free(&t->place[i].before.key);
    }
    free(t);
}

static void lock(struct scan_cursors *t)
{
    while (atomic_flag_test_and_set_explicit(&t->lock, memory_order_acquire))
        ;
}

static void unlock(struct scan_cursors *t)
{
    atomic_flag_clear_explicit(&t->lock, memory_order_release);
}

static struct place *place_of(struct scan_cursors *t, uint64_t cursor)
{
    struct place *place = &t->place[cursor % SCAN_CURSORS_MAX];
    bool known = cursor != 0 && (place->latest.cursor == cursor || place->before.cursor == cursor);
    return known ? place : NULL;
}

int scan_cursors_find(struct scan_cursors *t, uint64_t cursor, struct buffer *key,
                      struct scan_position *ret_position)
{
    int st = ST_NOTFOUND;
    lock(t);
    struct place *place = place_of(t, cursor);
    if (place != NULL) {
        struct stop *stop = place->latest.cursor == cursor ? &place->latest : &place->before;
        buffer_clear(key);
        buffer_append_slice(key, buffer_slice(&stop->key));
        *ret_position = (struct scan_position){
            .partition = stop->partition, .has_key = stop->has_key, .key = buffer_slice(key)};
        st = 0;
    }
    unlock(t);
    return st;
}

static void stop_set(struct stop *stop, uint64_t cursor, const struct scan_position *position)
{
    stop->cursor = cursor;
    stop->partition = position->partition;
    stop->has_key = position->has_key;
    buffer_clear(&stop->key);
    if (position->has_key)
        buffer_append_slice(&stop->key, position->key);
}

/* The one number that stays valid beside the new one is `from`. */
static void keep_before(struct place *place, uint64_t from)
{
    if (place->latest.cursor != from)
        return; /* asked again: `from` is the one before already */
    struct stop spare = place->before;
    place->before = place->latest;
    place->latest = spare;
}

uint64_t scan_cursors_advance(struct scan_cursors *t, uint64_t from,
                              const struct scan_position *position, bool *ret_evicted)
{
    lock(t);
    struct place *place = place_of(t, from);
    bool evicted = false;
    if (place != NULL) {
        keep_before(place, from);
    } else { /* a new scan, or one that was dropped while it ran */
        place = list_entry(list_first(&t->places), struct place, link);
        evicted = place->latest.cursor != 0;
        place->before.cursor = 0;
    }
    list_remove(&place->link);
    list_push_back(&t->places, &place->link);
    uint64_t cursor = t->generation++ * SCAN_CURSORS_MAX + (uint64_t)(place - t->place);
    stop_set(&place->latest, cursor, position);
    unlock(t);
    *ret_evicted = evicted;
    return cursor;
}

void scan_cursors_finish(struct scan_cursors *t, uint64_t from)
{
    lock(t);
    struct place *place = place_of(t, from);
    if (place != NULL) {
        list_remove(&place->link);
        list_push_front(&t->places, &place->link);
    }
    unlock(t);
}
