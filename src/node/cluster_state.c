#include "node/cluster_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "node/cluster_private.h"
#include "ring/slot.h"

struct cluster_state *cluster_state_create(void)
{
    return mem_zalloc(sizeof(struct cluster_state));
}

void cluster_state_free(struct cluster_state *s)
{
    if (s == NULL)
        return;
    ring_map_free(s->map);
    free(s);
}

/* --- looking --- */

uint64_t cluster_state_id(const struct cluster_state *s)
{
    return s->id;
}

uint64_t cluster_state_epoch(const struct cluster_state *s)
{
    return s->map == NULL ? 0 : ring_map_epoch(s->map);
}

const struct ring_map *cluster_state_map(const struct cluster_state *s)
{
    return s->map;
}

const struct cluster_member *cluster_state_members(const struct cluster_state *s,
                                                   unsigned *ret_count)
{
    *ret_count = s->member_count;
    return s->members;
}

unsigned cluster_member_place(const struct cluster_state *s, uint64_t id)
{
    unsigned low = 0, high = s->member_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (s->members[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct cluster_member *cluster_state_member(const struct cluster_state *s, uint64_t id)
{
    unsigned at = cluster_member_place(s, id);
    return at < s->member_count && s->members[at].id == id ? &s->members[at] : NULL;
}

struct cluster_member *cluster_find_member(struct cluster_state *s, uint64_t id)
{
    unsigned at = cluster_member_place(s, id);
    return at < s->member_count && s->members[at].id == id ? &s->members[at] : NULL;
}

const struct cluster_keyspace *cluster_state_keyspaces(const struct cluster_state *s,
                                                       unsigned *ret_count)
{
    *ret_count = s->keyspace_count;
    return s->keyspaces;
}

const struct cluster_keyspace *cluster_state_keyspace(const struct cluster_state *s,
                                                      struct slice name)
{
    for (unsigned i = 0; i < s->keyspace_count; i++) {
        if (slice_equal(slice_str(s->keyspaces[i].name), name))
            return &s->keyspaces[i];
    }
    return NULL;
}

const struct cluster_keyspace *cluster_keyspace_in(const struct cluster_state *s, uint32_t id)
{
    for (unsigned i = 0; i < s->keyspace_count; i++) {
        if (s->keyspaces[i].id == id)
            return &s->keyspaces[i];
    }
    return NULL;
}

bool cluster_state_dropped(const struct cluster_state *s, uint32_t incarnation)
{
    if (incarnation > s->keyspace_last)
        return false; /* perhaps of the future: this copy may be behind */
    for (unsigned i = 0; i < s->keyspace_count; i++) {
        if (s->keyspaces[i].incarnation == incarnation)
            return false;
    }
    return true;
}

const char *cluster_state_setting(const struct cluster_state *s, const char *name)
{
    for (unsigned i = 0; i < s->setting_count; i++) {
        if (strcmp(s->settings[i].name, name) == 0)
            return s->settings[i].value;
    }
    return NULL;
}

uint64_t cluster_state_features(const struct cluster_state *s)
{
    return s->features;
}

const struct ring_set *cluster_state_voters(const struct cluster_state *s, uint64_t *ret_epoch)
{
    *ret_epoch = s->voters_epoch;
    return &s->voters;
}

uint16_t cluster_state_version(const struct cluster_state *s)
{
    uint16_t version = s->member_count == 0 ? 0 : UINT16_MAX;
    for (unsigned i = 0; i < s->member_count; i++) {
        if (s->members[i].version_max < version)
            version = s->members[i].version_max;
    }
    return version;
}

/* --- applying --- */

int cluster_refuse(struct cluster_result *result, int st, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(result->why, sizeof(result->why), format, args);
    va_end(args);
    return st;
}

void cluster_begin(struct cluster_state *s)
{
    ring_map_begin(s->map);
}

bool cluster_text_ok(struct slice text, unsigned most)
{
    if (text.len > most)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    }
    return true;
}

bool cluster_name_ok(struct slice text)
{
    if (text.len == 0 || text.len > CLUSTER_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

void cluster_copy_text(char *to, struct slice text)
{
    if (text.len > 0)
        memcpy(to, text.data, text.len);
    to[text.len] = 0;
}

static int run(struct cluster_state *s, const struct cluster_command *c,
               struct cluster_result *result)
{
    if (s->map == NULL && c->code != CLUSTER_FOUND)
        return cluster_refuse(result, ST_CLOSED, "the cluster is not founded yet");
    if (s->map != NULL && ring_map_epoch(s->map) >= RING_EPOCH_MAX)
        return cluster_refuse(result, ST_LIMIT, "the cluster has used up its epochs");
    switch (c->code) {
#define X(number, NAME, name) \
    case number:              \
        return cluster_do_##name(s, &c->name, result);
        CLUSTER_COMMAND_TABLE(X)
#undef X
    default:
        CHECK(false); /* decoding knows no other */
    }
}

void cluster_state_apply(struct cluster_state *s, struct slice command,
                         struct cluster_result *ret_result)
{
    struct cluster_result result = {0};
    struct cluster_command c;
    int st = cluster_command_decode(command, &c);
    if (st == ST_UNSUPPORTED)
        cluster_refuse(&result, st, "this version does not know the command");
    else if (st != 0)
        cluster_refuse(&result, st, "the command is malformed");
    else
        st = run(s, &c, &result);
    result.st = st;
    result.epoch = cluster_state_epoch(s);
    *ret_result = result;
}

/* --- the cluster --- */

int cluster_do_found(struct cluster_state *s, const struct cluster_found *c,
                     struct cluster_result *result)
{
    if (s->map != NULL)
        return cluster_refuse(result, ST_EXISTS, "the cluster is founded already");
    bool ascending = true;
    for (unsigned i = 1; i < c->founders.count; i++)
        ascending = ascending && c->founders.list[i - 1] < c->founders.list[i];
    if (c->cluster == 0 || !slot_partitions_valid(c->partitions) || c->replicas == 0 ||
        c->replicas > RING_REPLICAS_MAX)
        return cluster_refuse(result, ST_INVALID,
                              "a cluster has an id, a power of two of partitions, and 1 to %u "
                              "replicas",
                              RING_REPLICAS_MAX);
    if (!cluster_nodes_differ(&c->founders) || !ascending || c->founders.count > CLUSTER_VOTERS_MAX)
        return cluster_refuse(result, ST_INVALID, "a cluster has 1 to %u founders, ascending by id",
                              CLUSTER_VOTERS_MAX);
    unsigned layer;
    s->map = ring_map_create(c->partitions);
    cluster_begin(s);
    s->id = c->cluster;
    s->voters = cluster_make_set(s, &c->founders, &s->voters, 0);
    s->voters_epoch = ring_map_epoch(s->map);
    CHECK(ring_map_add_layer(s->map, RING_STRONG, c->replicas, &layer) == 0);
    s->keyspace_last = CLUSTER_KEYSPACE_ZERO;
    s->keyspaces[s->keyspace_count++] = (struct cluster_keyspace){
        .id = CLUSTER_KEYSPACE_ZERO,
        .incarnation = CLUSTER_KEYSPACE_ZERO,
        .epoch = ring_map_epoch(s->map),
        .layer = (uint8_t)layer,
        .name = "0",
    };
    return 0;
}

int cluster_do_voters(struct cluster_state *s, const struct cluster_voters *c,
                      struct cluster_result *result)
{
    if (c->epoch != s->voters_epoch)
        return cluster_refuse(result, ST_AGAIN, "the voters have changed meanwhile");
    if (!cluster_nodes_differ(&c->voters) || c->voters.count > CLUSTER_VOTERS_MAX)
        return cluster_refuse(result, ST_INVALID, "the cluster log has 1 to %u different voters",
                              CLUSTER_VOTERS_MAX);
    struct ring_set wanted = {.count = c->voters.count};
    for (unsigned i = 0; i < c->voters.count; i++) {
        uint64_t id = c->voters.list[i];
        const struct ring_member *m = ring_map_member(s->map, id);
        bool has = ring_set_has_node(&s->voters, id);
        if (!has && (m == NULL || m->state > RING_ACTIVE))
            return cluster_refuse(result, m == NULL ? ST_NOTFOUND : ST_INVALID,
                                  "node %016llx is no member that stays", (unsigned long long)id);
        wanted.list[i].node = id;
    }
    if (!cluster_set_lives(s, &wanted, 0))
        return cluster_refuse(result, ST_DENIED,
                              "a majority of these voters of the cluster log is taken for dead");
    cluster_begin(s);
    s->voters = cluster_make_set(s, &c->voters, &s->voters, 0);
    s->voters_epoch = ring_map_epoch(s->map);
    return 0;
}

int cluster_do_set(struct cluster_state *s, const struct cluster_set *c,
                   struct cluster_result *result)
{
    if (!cluster_name_ok(c->name) || c->present > 1 ||
        !cluster_text_ok(c->value, CLUSTER_VALUE_BYTES_MAX))
        return cluster_refuse(result, ST_INVALID,
                              "a setting has a name of 1 to %u letters and digits, and a value of "
                              "up to %u bytes",
                              CLUSTER_NAME_BYTES_MAX, CLUSTER_VALUE_BYTES_MAX);
    unsigned at = 0;
    while (at < s->setting_count && slice_compare(slice_str(s->settings[at].name), c->name) < 0)
        at++;
    struct cluster_setting *place = &s->settings[at];
    bool known = at < s->setting_count && slice_equal(slice_str(place->name), c->name);
    if (!known && c->present == 1 && s->setting_count == CLUSTER_SETTINGS_MAX)
        return cluster_refuse(result, ST_LIMIT, "there are %u settings already",
                              CLUSTER_SETTINGS_MAX);
    cluster_begin(s);
    if (c->present == 0) {
        if (known)
            memmove(place, place + 1, (--s->setting_count - at) * sizeof(*place));
        return 0;
    }
    if (!known)
        memmove(place + 1, place, (s->setting_count++ - at) * sizeof(*place));
    cluster_copy_text(place->name, c->name);
    cluster_copy_text(place->value, c->value);
    return 0;
}

int cluster_do_feature(struct cluster_state *s, const struct cluster_feature *c,
                       struct cluster_result *result)
{
    if (c->feature >= CLUSTER_FEATURES_MAX)
        return cluster_refuse(result, ST_INVALID, "there is no feature %u", c->feature);
    uint64_t bit = UINT64_C(1) << c->feature;
    for (unsigned i = 0; i < s->member_count; i++) {
        if ((s->members[i].features & bit) == 0)
            return cluster_refuse(result, ST_VERSION,
                                  "node %s does not know feature %u: upgrade it first",
                                  s->members[i].name, c->feature);
    }
    if ((s->features & bit) != 0)
        return cluster_refuse(result, ST_EXISTS, "feature %u is on already", c->feature);
    cluster_begin(s);
    s->features |= bit;
    return 0;
}
