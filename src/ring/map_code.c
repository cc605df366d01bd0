/* The map's codec: see map_code.h. Bytes are applied to a copy of the map, or to an empty one when
 * they are of a whole one; the copy takes the place of the map when all of it has been checked. */
#include "ring/map_code.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "ring/map_private.h"
#include "ring/slot.h"

#define MAP_FORMAT 1

/* --- encoding --- */

static void put_text(struct buffer *out, const char *text)
{
    size_t length = strlen(text);
    buffer_append_u8(out, (uint8_t)length);
    buffer_append(out, text, length);
}

static void put_member(struct buffer *out, const struct ring_member *m)
{
    buffer_append_u64(out, m->id);
    buffer_append_u64(out, m->epoch);
    buffer_append_u16(out, m->weight);
    buffer_append_u16(out, m->client_port);
    buffer_append_u16(out, m->peer_port);
    buffer_append_u8(out, m->state);
    put_text(out, m->zone);
    put_text(out, m->host);
}

static void put_set(struct buffer *out, const struct ring_set *set)
{
    buffer_append_u8(out, set->count);
    for (unsigned i = 0; i < set->count; i++) {
        buffer_append_u64(out, set->list[i].id);
        buffer_append_u64(out, set->list[i].node);
    }
}

static void put_members(struct buffer *out, const struct ring_map *map, uint64_t since)
{
    size_t head = out->len;
    unsigned count = 0;
    buffer_append_u16(out, 0);
    for (unsigned i = 0; i < map->member_count; i++) {
        if (map->members[i].epoch > since) {
            put_member(out, &map->members[i]);
            count++;
        }
    }
    bytes_put_u16(out->data + head, (uint16_t)count);

    unsigned from = 0;
    while (from < map->removed_count && map->removed[from].epoch <= since)
        from++;
    buffer_append_u16(out, (uint16_t)(map->removed_count - from));
    for (unsigned i = from; i < map->removed_count; i++) {
        buffer_append_u64(out, map->removed[i].id);
        buffer_append_u64(out, map->removed[i].epoch);
    }
}

static void put_rows(struct buffer *out, const struct ring_map *map, uint64_t since)
{
    size_t head = out->len;
    uint32_t count = 0;
    buffer_append_u32(out, 0);
    for (unsigned layer = 0; layer < map->layer_count; layer++) {
        for (unsigned i = 0; i < map->partitions; i++) {
            const struct ring_row *row = &map->rows[layer][i];
            if (row->epoch <= since)
                continue;
            buffer_append_u8(out, (uint8_t)layer);
            buffer_append_u16(out, (uint16_t)i);
            buffer_append_u64(out, row->epoch);
            buffer_append_u8(out, row->stage);
            put_set(out, &row->owners);
            put_set(out, &row->other);
            count++;
        }
    }
    bytes_put_u32(out->data + head, count);
}

void ring_map_encode(struct buffer *out, const struct ring_map *map, uint64_t since)
{
    if (since < map->forgotten)
        since = 0;
    buffer_append_u8(out, MAP_FORMAT);
    buffer_append_u8(out, 0);
    buffer_append_u16(out, (uint16_t)map->partitions);
    buffer_append_u64(out, since);
    buffer_append_u64(out, map->epoch);
    buffer_append_u64(out, map->forgotten);
    put_members(out, map, since);
    buffer_append_u8(out, (uint8_t)map->layer_count);
    for (unsigned i = 0; i < map->layer_count; i++) {
        buffer_append_u64(out, map->layers[i].epoch);
        buffer_append_u8(out, map->layers[i].mode);
        buffer_append_u8(out, map->layers[i].replicas);
    }
    put_rows(out, map, since);
}

/* --- decoding --- */

/* Reads on and on; beyond the end it gives zeros and remembers. */
struct reader {
    struct slice left;
    bool failed;
};

static const uint8_t *take(struct reader *r, size_t bytes)
{
    static const uint8_t zeros[256];
    CHECK(bytes <= sizeof(zeros));
    if (r->left.len < bytes) {
        r->failed = true;
        r->left.len = 0;
        return zeros;
    }
    const uint8_t *taken = r->left.data;
    r->left = slice_make(taken + bytes, r->left.len - bytes);
    return taken;
}

static uint8_t get_u8(struct reader *r)
{
    return *take(r, 1);
}

static uint16_t get_u16(struct reader *r)
{
    return bytes_get_u16(take(r, 2));
}

static uint32_t get_u32(struct reader *r)
{
    return bytes_get_u32(take(r, 4));
}

static uint64_t get_u64(struct reader *r)
{
    return bytes_get_u64(take(r, 8));
}

/* to is zeroed and has room for most + 1. A zero in the text would make two encodings of it. */
static void get_text(struct reader *r, char *to, unsigned most)
{
    unsigned length = get_u8(r);
    const uint8_t *text = take(r, length);
    if (length > most || memchr(text, 0, length) != NULL)
        r->failed = true;
    else
        memcpy(to, text, length);
}

static void get_set(struct reader *r, struct ring_set *set)
{
    unsigned count = get_u8(r);
    if (count > RING_REPLICAS_MAX) {
        r->failed = true;
        return;
    }
    set->count = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        set->list[i].id = get_u64(r);
        set->list[i].node = get_u64(r);
    }
}

struct head {
    unsigned partitions;
    uint64_t since, epoch, forgotten;
};

static int get_head(struct reader *r, struct head *ret_head)
{
    uint8_t format = get_u8(r), zero = get_u8(r);
    if (r->failed)
        return ST_PROTOCOL;
    if (format != MAP_FORMAT)
        return ST_VERSION;
    struct head h = {.partitions = get_u16(r)};
    h.since = get_u64(r);
    h.epoch = get_u64(r);
    h.forgotten = get_u64(r);
    if (r->failed || zero != 0 || !slot_partitions_valid(h.partitions) ||
        h.epoch > RING_EPOCH_MAX || h.since > h.epoch || h.forgotten > h.epoch ||
        (h.since > 0 && h.since < h.forgotten))
        return ST_PROTOCOL;
    *ret_head = h;
    return 0;
}

static bool fresh(const struct head *h, uint64_t epoch)
{
    return epoch > h->since && epoch <= h->epoch;
}

/* Into `list`, which has room for all members and is zeroed; count above that: refused. */
static bool get_members(const struct head *h, struct reader *r, struct ring_member *list,
                        unsigned *ret_count)
{
    unsigned count = get_u16(r);
    uint64_t last = 0;
    if (count > RING_MEMBERS_MAX)
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct ring_member *m = &list[i];
        m->id = get_u64(r);
        m->epoch = get_u64(r);
        m->weight = get_u16(r);
        m->client_port = get_u16(r);
        m->peer_port = get_u16(r);
        m->state = get_u8(r);
        get_text(r, m->zone, RING_ZONE_BYTES_MAX);
        get_text(r, m->host, RING_HOST_BYTES_MAX);
        if (r->failed || m->id <= last || !ring_member_valid(m) || !fresh(h, m->epoch))
            return false;
        last = m->id;
    }
    *ret_count = count;
    return true;
}

/* News may begin before the map's epoch: then some of them are known. */
static bool apply_removed(struct ring_map *map, const struct head *h, struct reader *r)
{
    unsigned count = get_u16(r);
    uint64_t last = h->forgotten;
    if (count > RING_REMOVED_MAX)
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct ring_removed removed = {.id = get_u64(r)};
        removed.epoch = get_u64(r);
        if (r->failed || removed.id == 0 || removed.epoch < last || !fresh(h, removed.epoch))
            return false;
        last = removed.epoch;
        if (ring_map_removed(map, removed.id)) {
            if (h->since == 0)
                return false; /* twice */
            continue;
        }
        ring_map_delete_member(map, removed.id);
        ring_map_remember_removed(map, removed);
    }
    return true;
}

static bool apply_members(struct ring_map *map, const struct head *h, struct reader *r)
{
    MEM_AUTO struct ring_member *list = mem_zalloc(RING_MEMBERS_MAX * sizeof(*list));
    unsigned count;
    /* Those removed stand behind those put, and make room for them. */
    if (!get_members(h, r, list, &count) || !apply_removed(map, h, r))
        return false;
    for (unsigned i = 0; i < count; i++) {
        const struct ring_member *known = ring_map_member(map, list[i].id);
        if (ring_map_removed(map, list[i].id) || (known != NULL && known->epoch > list[i].epoch) ||
            (known == NULL && map->member_count == RING_MEMBERS_MAX))
            return false;
        ring_map_insert_member(map, &list[i]);
    }
    return true;
}

static bool apply_layers(struct ring_map *map, const struct head *h, struct reader *r)
{
    unsigned count = get_u8(r);
    if (count > RING_LAYERS_MAX || count < map->layer_count)
        return false;
    for (unsigned i = 0; i < count; i++) {
        struct ring_layer layer = {.epoch = get_u64(r)};
        layer.mode = get_u8(r);
        layer.replicas = get_u8(r);
        if (r->failed || !ring_layer_valid(layer.mode, layer.replicas) || layer.epoch > h->epoch)
            return false;
        if (i == map->layer_count) {
            if (!fresh(h, layer.epoch))
                return false;
            ring_map_make_layer(map, layer);
            continue;
        }
        const struct ring_layer *known = &map->layers[i];
        if (layer.mode != known->mode || layer.epoch < known->epoch ||
            (layer.epoch == known->epoch && layer.replicas != known->replicas))
            return false;
        map->layers[i] = layer;
    }
    return true;
}

static bool apply_rows(struct ring_map *map, const struct head *h, struct reader *r)
{
    uint32_t count = get_u32(r);
    uint64_t next = 0; /* the first place that may come */
    for (uint32_t i = 0; i < count; i++) {
        unsigned layer = get_u8(r), partition = get_u16(r);
        struct ring_row row = {.epoch = get_u64(r)};
        row.stage = get_u8(r);
        get_set(r, &row.owners);
        get_set(r, &row.other);
        uint64_t place = (uint64_t)layer * PARTITIONS_MAX + partition;
        if (r->failed || layer >= map->layer_count || partition >= map->partitions ||
            place < next || !fresh(h, row.epoch) || row.epoch < map->rows[layer][partition].epoch)
            return false;
        map->rows[layer][partition] = row;
        next = place + 1;
    }
    return true;
}

/* Not only what came: a member may have been removed that a row names. */
static bool rows_valid(const struct ring_map *map)
{
    for (unsigned layer = 0; layer < map->layer_count; layer++) {
        for (unsigned i = 0; i < map->partitions; i++) {
            const struct ring_row *row = &map->rows[layer][i];
            if (row->epoch > 0 && !ring_row_valid(map, map->layers[layer].mode, row))
                return false;
        }
    }
    return true;
}

/* The rest of the bytes onto `base`, which is taken, and returned or freed. */
static int apply_rest(struct ring_map *base, const struct head *h, struct reader *r,
                      struct ring_map **ret_map)
{
    base->epoch = h->epoch;
    if (h->since == 0)
        base->forgotten = h->forgotten;
    if (!apply_members(base, h, r) || !apply_layers(base, h, r) || !apply_rows(base, h, r) ||
        r->failed || r->left.len > 0 || base->forgotten != h->forgotten || !rows_valid(base)) {
        ring_map_free(base);
        return ST_PROTOCOL;
    }
    *ret_map = base;
    return 0;
}

int ring_map_decode(struct slice bytes, struct ring_map **ret_map)
{
    struct reader r = {.left = bytes};
    struct head h;
    int st = get_head(&r, &h);
    if (st != 0)
        return st;
    if (h.since != 0)
        return ST_PROTOCOL;
    return apply_rest(ring_map_create(h.partitions), &h, &r, ret_map);
}

int ring_map_apply(struct ring_map **map, struct slice bytes)
{
    struct reader r = {.left = bytes};
    struct head h;
    int st = get_head(&r, &h);
    if (st != 0)
        return st;
    if (h.partitions != (*map)->partitions)
        return ST_PROTOCOL;
    if (h.epoch <= (*map)->epoch)
        return 0;
    if (h.since > (*map)->epoch)
        return ST_AGAIN;
    struct ring_map *base = h.since == 0 ? ring_map_create(h.partitions) : ring_map_copy(*map);
    st = apply_rest(base, &h, &r, &base);
    if (st != 0)
        return st;
    ring_map_free(*map);
    *map = base;
    return 0;
}
