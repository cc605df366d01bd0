#include "base/map.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

#define MAP_FIRST_SLOTS 16
#define MAP_ENTRIES_MAX (UINT32_C(1) << 31)

/* Both maps are one table: a struct map64 keeps its number in `number`, a struct map the hash of
 * its key there and the key in `bytes`.
 *
 * slots:    [ 0 | 3 | 0 | 1 | 2 | 0 ... ]    position + 1 in entries, 0 free; linear probing
 * entries:  [ e0 | e1 | (removed) | ... ]    by insertion; value NULL: removed
 *
 * Removing shifts the slots behind it back (no tombstones among slots) and leaves a hole among the
 * entries; holes go when a put needs room, so a removal never moves what an iteration stands on. */
struct map_entry {
    uint64_t number;
    uint8_t *bytes; /* owned; NULL in a map64 */
    size_t len;
    void *value;
};

struct map_table {
    uint64_t seed;
    uint32_t *slots;
    size_t slots_mask;
    struct map_entry *entries;
    size_t entries_len, entries_cap; /* holes included */
    size_t count;
};

struct map {
    struct map_table table;
};

struct map64 {
    struct map_table table;
};

static void map_table_init(struct map_table *t, uint64_t seed)
{
    *t = (struct map_table){.seed = seed, .slots_mask = MAP_FIRST_SLOTS - 1};
    t->slots = mem_zalloc(MAP_FIRST_SLOTS * sizeof(*t->slots));
    t->entries_cap = MAP_FIRST_SLOTS / 2;
    t->entries = mem_alloc(t->entries_cap * sizeof(*t->entries));
}

static void map_table_done(struct map_table *t)
{
    for (size_t i = 0; i < t->entries_len; i++)
        free(t->entries[i].bytes);
    free(t->entries);
    free(t->slots);
}

static size_t map_home(const struct map_table *t, uint64_t number)
{
    return hash_bytes(t->seed, &number, sizeof(number)) & t->slots_mask;
}

static bool map_same(const struct map_entry *e, uint64_t number, struct slice key)
{
    return e->number == number && slice_equal(slice_make(e->bytes, e->len), key);
}

/* The slot of the key, or the free slot where it would go. */
static size_t map_find(const struct map_table *t, uint64_t number, struct slice key)
{
    size_t slot = map_home(t, number);
    while (t->slots[slot] != 0 && !map_same(&t->entries[t->slots[slot] - 1], number, key))
        slot = (slot + 1) & t->slots_mask;
    return slot;
}

static void *map_table_get(const struct map_table *t, uint64_t number, struct slice key)
{
    uint32_t position = t->slots[map_find(t, number, key)];
    return position == 0 ? NULL : t->entries[position - 1].value;
}

/* Squeezes the holes out of the entries, grows when more than half would be full, and rebuilds the
 * slots. */
static void map_table_rebuild(struct map_table *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->entries_len; i++)
        if (t->entries[i].value != NULL)
            t->entries[kept++] = t->entries[i];
    CHECK(kept == t->count);
    t->entries_len = kept;
    if (kept * 2 > t->entries_cap) {
        t->entries_cap *= 2;
        CHECK(t->entries_cap <= MAP_ENTRIES_MAX);
        t->entries = mem_realloc(t->entries, t->entries_cap * sizeof(*t->entries));
        t->slots_mask = t->entries_cap * 2 - 1;
        free(t->slots);
        t->slots = mem_zalloc((t->slots_mask + 1) * sizeof(*t->slots));
    } else {
        memset(t->slots, 0, (t->slots_mask + 1) * sizeof(*t->slots));
    }
    for (size_t i = 0; i < kept; i++) {
        size_t slot = map_home(t, t->entries[i].number);
        while (t->slots[slot] != 0)
            slot = (slot + 1) & t->slots_mask;
        t->slots[slot] = (uint32_t)i + 1;
    }
}

static void *map_table_put(struct map_table *t, uint64_t number, struct slice key, void *value)
{
    CHECK(value != NULL);
    size_t slot = map_find(t, number, key);
    if (t->slots[slot] != 0) {
        struct map_entry *e = &t->entries[t->slots[slot] - 1];
        void *old = e->value;
        e->value = value;
        return old;
    }
    if (t->entries_len == t->entries_cap) {
        map_table_rebuild(t);
        slot = map_find(t, number, key);
    }
    t->entries[t->entries_len] = (struct map_entry){
        .number = number,
        .bytes = key.data == NULL ? NULL : mem_dup(key.data, key.len),
        .len = key.len,
        .value = value,
    };
    t->slots[slot] = (uint32_t)++t->entries_len;
    t->count++;
    return NULL;
}

/* Frees a slot of a linear probe sequence: what stands behind it and may not be found any more
 * moves into the gap (Knuth 6.4, algorithm R). */
static void map_free_slot(struct map_table *t, size_t gap)
{
    size_t slot = gap;
    for (;;) {
        slot = (slot + 1) & t->slots_mask;
        if (t->slots[slot] == 0)
            break;
        size_t home = map_home(t, t->entries[t->slots[slot] - 1].number);
        if (((slot - home) & t->slots_mask) < ((slot - gap) & t->slots_mask))
            continue;
        t->slots[gap] = t->slots[slot];
        gap = slot;
    }
    t->slots[gap] = 0;
}

static void *map_table_remove(struct map_table *t, uint64_t number, struct slice key)
{
    size_t slot = map_find(t, number, key);
    if (t->slots[slot] == 0)
        return NULL;
    struct map_entry *e = &t->entries[t->slots[slot] - 1];
    void *old = e->value;
    map_free_slot(t, slot);
    free(e->bytes);
    *e = (struct map_entry){0};
    t->count--;
    return old;
}

static const struct map_entry *map_table_next(const struct map_table *t, size_t *at)
{
    while (*at < t->entries_len) {
        const struct map_entry *e = &t->entries[(*at)++];
        if (e->value != NULL)
            return e;
    }
    return NULL;
}

struct map *map_create(uint64_t seed)
{
    struct map *m = mem_alloc(sizeof(*m));
    map_table_init(&m->table, seed);
    return m;
}

void map_free(struct map *m)
{
    if (m == NULL)
        return;
    map_table_done(&m->table);
    free(m);
}

size_t map_count(const struct map *m)
{
    return m->table.count;
}

static uint64_t map_hash(const struct map *m, struct slice *key)
{
    if (key->data == NULL)
        key->data = (const uint8_t *)""; /* the empty key is a key too */
    return hash_bytes(m->table.seed, key->data, key->len);
}

void *map_get(const struct map *m, struct slice key)
{
    return map_table_get(&m->table, map_hash(m, &key), key);
}

void *map_put(struct map *m, struct slice key, void *value)
{
    return map_table_put(&m->table, map_hash(m, &key), key, value);
}

void *map_remove(struct map *m, struct slice key)
{
    return map_table_remove(&m->table, map_hash(m, &key), key);
}

bool map_next(const struct map *m, size_t *at, struct slice *ret_key, void **ret_value)
{
    const struct map_entry *e = map_table_next(&m->table, at);
    if (e == NULL)
        return false;
    *ret_key = slice_make(e->bytes, e->len);
    *ret_value = e->value;
    return true;
}

struct map64 *map64_create(uint64_t seed)
{
    struct map64 *m = mem_alloc(sizeof(*m));
    map_table_init(&m->table, seed);
    return m;
}

void map64_free(struct map64 *m)
{
    if (m == NULL)
        return;
    map_table_done(&m->table);
    free(m);
}

size_t map64_count(const struct map64 *m)
{
    return m->table.count;
}

void *map64_get(const struct map64 *m, uint64_t key)
{
    return map_table_get(&m->table, key, (struct slice){0});
}

void *map64_put(struct map64 *m, uint64_t key, void *value)
{
    return map_table_put(&m->table, key, (struct slice){0}, value);
}

void *map64_remove(struct map64 *m, uint64_t key)
{
    return map_table_remove(&m->table, key, (struct slice){0});
}

bool map64_next(const struct map64 *m, size_t *at, uint64_t *ret_key, void **ret_value)
{
    const struct map_entry *e = map_table_next(&m->table, at);
    if (e == NULL)
        return false;
    *ret_key = e->number;
    *ret_value = e->value;
    return true;
}
