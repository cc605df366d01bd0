/* The state of the cluster log as bytes, little endian; and what has to hold of it.
 *
 *   u8 format 1 | u8 founded | and when it is, also
 *   u64 cluster | u64 last replica | u32 last keyspace | u64 features
 *   u64 voters' epoch | u8 n | n x (u64 replica | u64 node)
 *   u16 n | n x member     as many as the map has, in its order
 *             u64 heir | u64 features | u16 version min | u16 version max | text name
 *   u16 n | n x keyspace   ascending by id
 *             u32 id | u32 incarnation | u64 epoch | u64 ttl ms | u8 layer | text name
 *   u16 n | n x setting    ascending by name:  text name | text value
 *   map                    the rest: ring/map_code.h
 *   text: u16 length | bytes */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "node/cluster_private.h"
#include "node/cluster_reader.h"
#include "ring/map_code.h"

#define STATE_FORMAT 1

/* --- encoding --- */

static void put_text(struct buffer *out, const char *text)
{
    buffer_append_u16(out, (uint16_t)strlen(text));
    buffer_append_str(out, text);
}

static void put_keyspace(struct buffer *out, const struct cluster_keyspace *k)
{
    buffer_append_u32(out, k->id);
    buffer_append_u32(out, k->incarnation);
    buffer_append_u64(out, k->epoch);
    buffer_append_u64(out, k->ttl_ms);
    buffer_append_u8(out, k->layer);
    put_text(out, k->name);
}

static void put_member(struct buffer *out, const struct cluster_member *m)
{
    buffer_append_u64(out, m->heir);
    buffer_append_u64(out, m->features);
    buffer_append_u16(out, m->version_min);
    buffer_append_u16(out, m->version_max);
    put_text(out, m->name);
}

void cluster_state_encode(struct buffer *out, const struct cluster_state *s)
{
    buffer_append_u8(out, STATE_FORMAT);
    buffer_append_u8(out, s->map != NULL);
    if (s->map == NULL)
        return;
    buffer_append_u64(out, s->id);
    buffer_append_u64(out, s->replica_last);
    buffer_append_u32(out, s->keyspace_last);
    buffer_append_u64(out, s->features);
    buffer_append_u64(out, s->voters_epoch);
    buffer_append_u8(out, s->voters.count);
    for (unsigned i = 0; i < s->voters.count; i++) {
        buffer_append_u64(out, s->voters.list[i].id);
        buffer_append_u64(out, s->voters.list[i].node);
    }
    buffer_append_u16(out, (uint16_t)s->member_count);
    for (unsigned i = 0; i < s->member_count; i++)
        put_member(out, &s->members[i]);
    buffer_append_u16(out, (uint16_t)s->keyspace_count);
    for (unsigned i = 0; i < s->keyspace_count; i++)
        put_keyspace(out, &s->keyspaces[i]);
    buffer_append_u16(out, (uint16_t)s->setting_count);
    for (unsigned i = 0; i < s->setting_count; i++) {
        put_text(out, s->settings[i].name);
        put_text(out, s->settings[i].value);
    }
    ring_map_encode(out, s->map, 0);
}

/* --- decoding: the counts and texts; all else is looked at when all of it is there --- */

static void get_name(struct cluster_reader *r, char *to)
{
    struct slice name = cluster_get_text(r);
    if (cluster_name_ok(name))
        cluster_copy_text(to, name);
    else
        r->failed = true;
}

static unsigned get_count(struct cluster_reader *r, unsigned most)
{
    unsigned count = cluster_get_u16(r);
    if (count <= most)
        return count;
    r->failed = true;
    return 0;
}

static void get_head(struct cluster_reader *r, struct cluster_state *s)
{
    s->id = cluster_get_u64(r);
    s->replica_last = cluster_get_u64(r);
    s->keyspace_last = cluster_get_u32(r);
    s->features = cluster_get_u64(r);
    s->voters_epoch = cluster_get_u64(r);
    s->voters.count = cluster_get_u8(r);
    if (s->voters.count > CLUSTER_VOTERS_MAX) {
        r->failed = true;
        s->voters.count = 0;
    }
    for (unsigned i = 0; i < s->voters.count; i++) {
        s->voters.list[i].id = cluster_get_u64(r);
        s->voters.list[i].node = cluster_get_u64(r);
    }
}

static void get_lists(struct cluster_reader *r, struct cluster_state *s)
{
    s->member_count = get_count(r, RING_MEMBERS_MAX);
    for (unsigned i = 0; i < s->member_count && !r->failed; i++) {
        struct cluster_member *m = &s->members[i];
        m->heir = cluster_get_u64(r);
        m->features = cluster_get_u64(r);
        m->version_min = cluster_get_u16(r);
        m->version_max = cluster_get_u16(r);
        get_name(r, m->name);
    }
    s->keyspace_count = get_count(r, CLUSTER_KEYSPACES_MAX);
    for (unsigned i = 0; i < s->keyspace_count && !r->failed; i++) {
        struct cluster_keyspace *k = &s->keyspaces[i];
        k->id = cluster_get_u32(r);
        k->incarnation = cluster_get_u32(r);
        k->epoch = cluster_get_u64(r);
        k->ttl_ms = cluster_get_u64(r);
        k->layer = cluster_get_u8(r);
        get_name(r, k->name);
    }
    s->setting_count = get_count(r, CLUSTER_SETTINGS_MAX);
    for (unsigned i = 0; i < s->setting_count && !r->failed; i++) {
        get_name(r, s->settings[i].name);
        struct slice value = cluster_get_text(r);
        if (cluster_text_ok(value, CLUSTER_VALUE_BYTES_MAX))
            cluster_copy_text(s->settings[i].value, value);
        else
            r->failed = true;
    }
}

static int get_founded(struct cluster_reader *r, struct cluster_state *s)
{
    get_head(r, s);
    get_lists(r, s);
    if (r->failed)
        return ST_PROTOCOL;
    int st = ring_map_decode(r->left, &s->map);
    if (st != 0)
        return st;
    unsigned count;
    const struct ring_member *members = ring_map_members(s->map, &count);
    if (count != s->member_count)
        return ST_PROTOCOL;
    for (unsigned i = 0; i < count; i++)
        s->members[i].id = members[i].id;
    return cluster_state_broken(s) == NULL ? 0 : ST_PROTOCOL;
}

int cluster_state_decode(struct slice bytes, struct cluster_state **ret_state)
{
    struct cluster_reader r = {.left = bytes};
    uint8_t format = cluster_get_u8(&r), founded = cluster_get_u8(&r);
    if (r.failed)
        return ST_PROTOCOL;
    if (format != STATE_FORMAT)
        return ST_VERSION;
    struct cluster_state *s = cluster_state_create();
    int st;
    if (founded == 1)
        st = get_founded(&r, s);
    else
        st = founded == 0 && r.left.len == 0 ? 0 : ST_PROTOCOL;
    if (st != 0) {
        cluster_state_free(s);
        return st;
    }
    *ret_state = s;
    return 0;
}

/* --- what has to hold --- */

static int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static const char *members_broken(const struct cluster_state *s)
{
    struct cluster_result unused;
    unsigned count;
    const struct ring_member *members = ring_map_members(s->map, &count);
    if (count != s->member_count)
        return "members are not those of the map";
    for (unsigned i = 0; i < count; i++) {
        const struct cluster_member *m = &s->members[i];
        if (m->id != members[i].id)
            return "members are not those of the map";
        if (m->heir != 0 && (members[i].state != RING_REMOVING || m->heir == m->id ||
                             cluster_state_member(s, m->heir) == NULL))
            return "an heir that is no member, or of somebody who lives";
        if (i == 0 && cluster_check_version(s, m->id, m->version_min, m->version_max, m->features,
                                            &unused) != 0)
            return "versions of the protocol have nothing in common";
        if (m->version_min == 0 || m->version_min > m->version_max ||
            (s->features & ~m->features) != 0)
            return "a member does not know a feature that is on";
        for (unsigned j = 0; j < i; j++) {
            if (strcmp(m->name, s->members[j].name) == 0)
                return "two members of one name";
        }
    }
    return NULL;
}

static const char *voters_broken(const struct cluster_state *s)
{
    const struct ring_set *v = &s->voters;
    if (v->count == 0 || v->count > CLUSTER_VOTERS_MAX || s->voters_epoch == 0 ||
        s->voters_epoch > ring_map_epoch(s->map))
        return "no voters, or too many";
    for (unsigned i = 0; i < v->count; i++) {
        if (v->list[i].id == 0 || v->list[i].id > s->replica_last || v->list[i].node == 0 ||
            ring_map_removed(s->map, v->list[i].node))
            return "a voter of no id, or that was removed";
        for (unsigned j = 0; j < i; j++) {
            if (v->list[i].id == v->list[j].id || v->list[i].node == v->list[j].node)
                return "a voter twice";
        }
    }
    return cluster_set_lives(s, v, 0) ? NULL : "the voters have no majority";
}

/* Keyspaces are few enough for a sort, and too many for pairs. */
static const char *keyspaces_broken(const struct cluster_state *s)
{
    MEM_AUTO uint64_t *ids = mem_alloc(2 * CLUSTER_KEYSPACES_MAX * sizeof(*ids));
    unsigned count = 0;
    if (s->keyspace_count == 0 || s->keyspaces[0].id != CLUSTER_KEYSPACE_ZERO)
        return "there is no keyspace 0";
    for (unsigned i = 0; i < s->keyspace_count; i++) {
        const struct cluster_keyspace *k = &s->keyspaces[i];
        if ((i > 0 && k->id <= s->keyspaces[i - 1].id) || k->incarnation < k->id ||
            k->incarnation > s->keyspace_last || k->epoch == 0 ||
            k->epoch > ring_map_epoch(s->map) || k->layer >= ring_map_layers(s->map))
            return "a keyspace of a wrong id, epoch or layer";
        ids[count++] = k->id;
        if (k->incarnation != k->id)
            ids[count++] = k->incarnation;
        for (unsigned j = 0; j < i; j++) {
            if (strcmp(k->name, s->keyspaces[j].name) == 0)
                return "two keyspaces of one name";
        }
    }
    qsort(ids, count, sizeof(*ids), compare_u64);
    for (unsigned i = 1; i < count; i++) {
        if (ids[i] == ids[i - 1])
            return "an id of a keyspace twice";
    }
    for (unsigned i = 1; i < s->setting_count; i++) {
        if (strcmp(s->settings[i - 1].name, s->settings[i].name) >= 0)
            return "settings out of order";
    }
    return NULL;
}

static bool set_known(const struct cluster_state *s, const struct ring_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->list[i].id > s->replica_last)
            return false;
    }
    return true;
}

static const char *rows_broken(const struct cluster_state *s)
{
    for (unsigned layer = 0; layer < ring_map_layers(s->map); layer++) {
        for (unsigned i = 0; i < ring_map_partitions(s->map); i++) {
            const struct ring_row *row = ring_map_row(s->map, layer, i);
            if (!set_known(s, &row->owners) || !set_known(s, &row->other))
                return "a replica of an id that was never given";
            if (!cluster_row_lives(s, row, 0))
                return "a partition without a majority";
        }
    }
    return NULL;
}

const char *cluster_state_broken(const struct cluster_state *s)
{
    if (s->map == NULL)
        return NULL;
    if (s->id == 0 || ring_map_epoch(s->map) == 0)
        return "a cluster without an id or an epoch";
    const char *broken = members_broken(s);
    if (broken == NULL)
        broken = voters_broken(s);
    if (broken == NULL)
        broken = keyspaces_broken(s);
    if (broken == NULL)
        broken = rows_broken(s);
    return broken;
}
