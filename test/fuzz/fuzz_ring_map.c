/* Hostile maps: nothing is read beyond the bytes; what is accepted satisfies the map's invariants
 * and is the one encoding of what it says. The same bytes as news for a map that has something in
 * it: they are refused and leave it as it was, or it is at their epoch. */
#include <stdlib.h>

#include "base/check.h"
#include "base/status.h"
#include "ring/map.h"
#include "ring/map_code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_set(const struct ring_map *map, const struct ring_set *set)
{
    CHECK(set->count <= RING_REPLICAS_MAX);
    for (unsigned i = 0; i < set->count; i++) {
        CHECK(set->list[i].id != 0);
        CHECK(ring_map_member(map, set->list[i].node) != NULL);
        for (unsigned j = 0; j < i; j++)
            CHECK(set->list[i].id != set->list[j].id && set->list[i].node != set->list[j].node);
    }
}

static void check_map(const struct ring_map *map)
{
    unsigned count;
    const struct ring_member *members = ring_map_members(map, &count);
    for (unsigned i = 0; i < count; i++) {
        CHECK(members[i].id > (i == 0 ? 0 : members[i - 1].id));
        CHECK(members[i].epoch > 0 && members[i].epoch <= ring_map_epoch(map));
        CHECK(!ring_map_removed(map, members[i].id));
    }
    for (unsigned layer = 0; layer < ring_map_layers(map); layer++) {
        for (unsigned i = 0; i < ring_map_partitions(map); i++) {
            const struct ring_row *row = ring_map_row(map, layer, i);
            CHECK(row->epoch <= ring_map_epoch(map));
            CHECK((row->epoch == 0) == (row->owners.count == 0));
            CHECK((row->stage == RING_SETTLED) == (row->other.count == 0));
            check_set(map, &row->owners);
            check_set(map, &row->other);
        }
    }
}

static struct ring_map *make_map(void)
{
    struct ring_map *map = ring_map_create(4);
    unsigned layer;
    ring_map_begin(map);
    for (uint64_t id = 1; id <= 3; id++) {
        struct ring_member m = {.id = id, .weight = 100, .state = RING_ACTIVE, .zone = "z"};
        CHECK(ring_map_put_member(map, &m) == 0);
    }
    CHECK(ring_map_add_layer(map, RING_STRONG, 2, &layer) == 0);
    struct ring_set owners = {.count = 2, .list = {{10, 1}, {20, 2}}};
    CHECK(ring_map_place(map, layer, 0, &owners) == 0);
    ring_map_begin(map);
    return map;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BUFFER_AUTO struct buffer again = {0};
    struct ring_map *map;
    if (ring_map_decode(slice_make(data, size), &map) == 0) {
        check_map(map);
        ring_map_encode(&again, map, 0);
        CHECK(slice_equal(buffer_slice(&again), slice_make(data, size)));
        ring_map_free(map);
    }
    map = make_map();
    uint64_t before = ring_map_epoch(map);
    int st = ring_map_apply(&map, slice_make(data, size));
    CHECK(st == 0 || st == ST_PROTOCOL || st == ST_VERSION || st == ST_AGAIN);
    CHECK(st == 0 || ring_map_epoch(map) == before);
    CHECK(ring_map_epoch(map) >= before);
    check_map(map);
    ring_map_free(map);
    return 0;
}
