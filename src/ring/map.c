#include "ring/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "ring/map_private.h"
#include "ring/slot.h"

struct ring_map *ring_map_create(unsigned partitions)
{
    CHECK(slot_partitions_valid(partitions));
    struct ring_map *map = mem_zalloc(sizeof(*map));
    map->partitions = partitions;
    return map;
}

struct ring_map *ring_map_copy(const struct ring_map *map)
{
    struct ring_map *copy = mem_dup(map, sizeof(*map));
    for (unsigned i = 0; i < map->layer_count; i++)
        copy->rows[i] = mem_dup(map->rows[i], map->partitions * sizeof(*map->rows[i]));
    return copy;
}

void ring_map_free(struct ring_map *map)
{
    if (map == NULL)
        return;
    for (unsigned i = 0; i < map->layer_count; i++)
        free(map->rows[i]);
    free(map);
}

/* --- looking --- */

uint64_t ring_map_epoch(const struct ring_map *map)
{
    return map->epoch;
}

unsigned ring_map_partitions(const struct ring_map *map)
{
    return map->partitions;
}

const struct ring_member *ring_map_members(const struct ring_map *map, unsigned *ret_count)
{
    *ret_count = map->member_count;
    return map->members;
}

/* Where the member is, or would be. */
static unsigned member_place(const struct ring_map *map, uint64_t id)
{
    unsigned low = 0, high = map->member_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (map->members[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct ring_member *ring_map_member(const struct ring_map *map, uint64_t id)
{
    unsigned at = member_place(map, id);
    return at < map->member_count && map->members[at].id == id ? &map->members[at] : NULL;
}

bool ring_map_removed(const struct ring_map *map, uint64_t id)
{
    for (unsigned i = 0; i < map->removed_count; i++) {
        if (map->removed[i].id == id)
            return true;
    }
    return false;
}

unsigned ring_map_layers(const struct ring_map *map)
{
    return map->layer_count;
}

const struct ring_layer *ring_map_layer(const struct ring_map *map, unsigned layer)
{
    return layer < map->layer_count ? &map->layers[layer] : NULL;
}

static struct ring_row *find_row(const struct ring_map *map, unsigned layer, unsigned partition)
{
    if (layer >= map->layer_count || partition >= map->partitions)
        return NULL;
    return &map->rows[layer][partition];
}

const struct ring_row *ring_map_row(const struct ring_map *map, unsigned layer, unsigned partition)
{
    return find_row(map, layer, partition);
}

bool ring_set_has_node(const struct ring_set *set, uint64_t node)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->list[i].node == node)
            return true;
    }
    return false;
}

/* --- what makes sense --- */

bool ring_member_valid(const struct ring_member *m)
{
    return m->id != 0 && m->weight <= RING_WEIGHT_MAX && m->state >= RING_JOINING &&
           m->state <= RING_REMOVING && memchr(m->zone, 0, sizeof(m->zone)) != NULL &&
           memchr(m->host, 0, sizeof(m->host)) != NULL;
}

bool ring_layer_valid(uint8_t mode, unsigned replicas)
{
    return (mode == RING_STRONG || mode == RING_QUORUM) && replicas >= 1 &&
           replicas <= RING_REPLICAS_MAX;
}

bool ring_set_valid(const struct ring_map *map, const struct ring_set *set)
{
    if (set->count == 0 || set->count > RING_REPLICAS_MAX)
        return false;
    for (unsigned i = 0; i < set->count; i++) {
        if (set->list[i].id == 0 || ring_map_member(map, set->list[i].node) == NULL)
            return false;
        for (unsigned j = 0; j < i; j++) {
            if (set->list[i].id == set->list[j].id || set->list[i].node == set->list[j].node)
                return false;
        }
    }
    return true;
}

bool ring_sets_agree(const struct ring_set *a, const struct ring_set *b)
{
    for (unsigned i = 0; i < a->count; i++) {
        for (unsigned j = 0; j < b->count; j++) {
            if (a->list[i].id == b->list[j].id && a->list[i].node != b->list[j].node)
                return false;
        }
    }
    return true;
}

static bool sets_same(const struct ring_set *a, const struct ring_set *b)
{
    unsigned same = 0;
    for (unsigned i = 0; i < a->count; i++) {
        for (unsigned j = 0; j < b->count; j++)
            same += a->list[i].id == b->list[j].id;
    }
    return same == a->count && same == b->count;
}

bool ring_row_valid(const struct ring_map *map, uint8_t mode, const struct ring_row *row)
{
    if (!ring_stage_valid(mode, row->stage) || !ring_set_valid(map, &row->owners))
        return false;
    if (row->stage == RING_SETTLED)
        return row->other.count == 0;
    return ring_set_valid(map, &row->other) && ring_sets_agree(&row->owners, &row->other) &&
           !sets_same(&row->owners, &row->other);
}

/* The stages of a move, in their order, from SETTLED to SETTLED. */
#define STAGES 5
static const uint8_t paths[2][STAGES] = {
    {RING_SETTLED, RING_LEARN, RING_JOINT, RING_CLEANUP, RING_SETTLED},
    {RING_SETTLED, RING_WRITE_BOTH, RING_READ_NEW, RING_CLEANUP, RING_SETTLED},
};

static const uint8_t *path_of(uint8_t mode)
{
    return paths[mode == RING_QUORUM];
}

bool ring_stage_valid(uint8_t mode, uint8_t stage)
{
    return memchr(path_of(mode), stage, STAGES) != NULL;
}

/* --- changing --- */

void ring_map_begin(struct ring_map *map)
{
    CHECK(map->epoch < RING_EPOCH_MAX);
    map->epoch++;
}

void ring_map_insert_member(struct ring_map *map, const struct ring_member *m)
{
    unsigned at = member_place(map, m->id);
    struct ring_member *place = &map->members[at];
    if (at == map->member_count || place->id != m->id) {
        CHECK(map->member_count < RING_MEMBERS_MAX);
        memmove(place + 1, place, (map->member_count++ - at) * sizeof(*place));
    }
    *place = *m;
}

bool ring_map_delete_member(struct ring_map *map, uint64_t id)
{
    unsigned at = member_place(map, id);
    struct ring_member *place = &map->members[at];
    if (at == map->member_count || place->id != id)
        return false;
    memmove(place, place + 1, (--map->member_count - at) * sizeof(*place));
    return true;
}

void ring_map_remember_removed(struct ring_map *map, struct ring_removed removed)
{
    if (map->removed_count == RING_REMOVED_MAX) {
        map->forgotten = map->removed[0].epoch;
        memmove(map->removed, map->removed + 1, --map->removed_count * sizeof(map->removed[0]));
    }
    map->removed[map->removed_count++] = removed;
}

void ring_map_make_layer(struct ring_map *map, struct ring_layer layer)
{
    CHECK(map->layer_count < RING_LAYERS_MAX);
    map->rows[map->layer_count] = mem_zalloc(map->partitions * sizeof(struct ring_row));
    map->layers[map->layer_count++] = layer;
}

int ring_map_put_member(struct ring_map *map, const struct ring_member *member)
{
    if (!ring_member_valid(member))
        return ST_INVALID;
    if (ring_map_removed(map, member->id))
        return ST_DENIED;
    if (ring_map_member(map, member->id) == NULL && map->member_count == RING_MEMBERS_MAX)
        return ST_LIMIT;
    struct ring_member stamped = *member;
    stamped.epoch = map->epoch;
    ring_map_insert_member(map, &stamped);
    return 0;
}

int ring_map_remove_member(struct ring_map *map, uint64_t id)
{
    if (ring_map_member(map, id) == NULL)
        return ST_NOTFOUND;
    for (unsigned layer = 0; layer < map->layer_count; layer++) {
        for (unsigned i = 0; i < map->partitions; i++) {
            const struct ring_row *row = &map->rows[layer][i];
            if (ring_set_has_node(&row->owners, id) || ring_set_has_node(&row->other, id))
                return ST_AGAIN;
        }
    }
    ring_map_delete_member(map, id);
    ring_map_remember_removed(map, (struct ring_removed){.id = id, .epoch = map->epoch});
    return 0;
}

int ring_map_add_layer(struct ring_map *map, uint8_t mode, unsigned replicas, unsigned *ret_layer)
{
    if (!ring_layer_valid(mode, replicas))
        return ST_INVALID;
    if (map->layer_count == RING_LAYERS_MAX)
        return ST_LIMIT;
    *ret_layer = map->layer_count;
    ring_map_make_layer(
        map, (struct ring_layer){.epoch = map->epoch, .mode = mode, .replicas = (uint8_t)replicas});
    return 0;
}

int ring_map_set_replicas(struct ring_map *map, unsigned layer, unsigned replicas)
{
    if (layer >= map->layer_count)
        return ST_NOTFOUND;
    if (!ring_layer_valid(map->layers[layer].mode, replicas))
        return ST_INVALID;
    map->layers[layer].replicas = (uint8_t)replicas;
    map->layers[layer].epoch = map->epoch;
    return 0;
}

int ring_map_place(struct ring_map *map, unsigned layer, unsigned partition,
                   const struct ring_set *owners)
{
    struct ring_row *row = find_row(map, layer, partition);
    if (row == NULL)
        return ST_NOTFOUND;
    if (row->owners.count > 0)
        return ST_EXISTS;
    if (!ring_set_valid(map, owners))
        return ST_INVALID;
    *row = (struct ring_row){.epoch = map->epoch, .owners = *owners};
    return 0;
}

int ring_map_move(struct ring_map *map, unsigned layer, unsigned partition,
                  const struct ring_set *to)
{
    struct ring_row *row = find_row(map, layer, partition);
    if (row == NULL || row->owners.count == 0)
        return ST_NOTFOUND;
    if (row->stage != RING_SETTLED)
        return ST_EXISTS;
    struct ring_row moving = {.epoch = map->epoch,
                              .stage = path_of(map->layers[layer].mode)[1],
                              .owners = row->owners,
                              .other = *to};
    if (!ring_row_valid(map, map->layers[layer].mode, &moving))
        return ST_INVALID;
    *row = moving;
    return 0;
}

bool ring_map_may_step(const struct ring_map *map, unsigned layer, unsigned partition,
                       enum ring_stage stage)
{
    const struct ring_row *row = find_row(map, layer, partition);
    if (row == NULL)
        return false;
    const uint8_t *path = path_of(map->layers[layer].mode);
    unsigned at = 1;
    while (at < STAGES - 1 && path[at] != row->stage)
        at++;
    if (at == STAGES - 1) /* SETTLED: no step leads out of it, ring_map_move() does */
        return false;
    return path[at + 1] == stage || (path[at - 1] == stage && row->stage != RING_CLEANUP);
}

int ring_map_step(struct ring_map *map, unsigned layer, unsigned partition, enum ring_stage stage)
{
    struct ring_row *row = find_row(map, layer, partition);
    if (row == NULL)
        return ST_NOTFOUND;
    if (!ring_map_may_step(map, layer, partition, stage))
        return ST_INVALID;
    row->stage = (uint8_t)stage;
    row->epoch = map->epoch;
    if (stage == RING_CLEANUP) {
        struct ring_set old = row->owners;
        row->owners = row->other;
        row->other = old;
    }
    if (stage == RING_SETTLED)
        row->other = (struct ring_set){0};
    return 0;
}
