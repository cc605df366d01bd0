/* Commands of the cluster log about keyspaces. Keyspaces of one mode and one number of replicas
 * share a layer of the map, and with it their partitions' groups. */
#include "base/check.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/cluster_private.h"

static unsigned users_of(const struct cluster_state *s, unsigned layer)
{
    unsigned users = 0;
    for (unsigned i = 0; i < s->keyspace_count; i++)
        users += s->keyspaces[i].layer == layer;
    return users;
}

/* ids: so many are needed. */
static int check_ids(const struct cluster_state *s, unsigned ids, struct cluster_result *result)
{
    if (CLUSTER_KEYSPACE_ID_MAX - s->keyspace_last < ids)
        return cluster_refuse(result, ST_LIMIT, "the ids of keyspaces are used up");
    return 0;
}

static int check_replicas(const struct cluster_state *s, uint32_t id, unsigned replicas,
                          struct cluster_result *result)
{
    unsigned members = cluster_eligible(s, 0);
    if (replicas < 1 || replicas > RING_REPLICAS_MAX)
        return cluster_refuse(result, ST_RANGE, "replicas are 1 to %u", RING_REPLICAS_MAX);
    /* Keyspace 0 has as many as there are members until there are enough. */
    if (replicas > members && id != CLUSTER_KEYSPACE_ZERO)
        return cluster_refuse(result, ST_DENIED, "%u replicas are more than the %u members",
                              replicas, members);
    return 0;
}

/* A layer like that; else one that nobody uses any more; else none: returns how many there are. */
static unsigned find_layer(const struct cluster_state *s, uint8_t mode, unsigned replicas)
{
    unsigned layers = ring_map_layers(s->map), unused = layers;
    for (unsigned i = 0; i < layers; i++) {
        const struct ring_layer *layer = ring_map_layer(s->map, i);
        if (layer->mode == mode && layer->replicas == replicas)
            return i;
        if (layer->mode == mode && unused == layers && users_of(s, i) == 0)
            unused = i;
    }
    return unused;
}

int cluster_do_keyspace_create(struct cluster_state *s, const struct cluster_keyspace_create *c,
                               struct cluster_result *result)
{
    if (!cluster_name_ok(c->name))
        return cluster_refuse(result, ST_INVALID,
                              "the name of a keyspace has 1 to %u letters, digits, . _ and -",
                              CLUSTER_NAME_BYTES_MAX);
    if (c->mode != RING_STRONG && c->mode != RING_QUORUM)
        return cluster_refuse(result, ST_INVALID, "a keyspace is strong or quorum");
    if (cluster_state_keyspace(s, c->name) != NULL)
        return cluster_refuse(result, ST_EXISTS, "there is such a keyspace already");
    if (s->keyspace_count == CLUSTER_KEYSPACES_MAX)
        return cluster_refuse(result, ST_LIMIT, "there are %u keyspaces already",
                              CLUSTER_KEYSPACES_MAX);
    int st = check_replicas(s, 0, c->replicas, result);
    if (st == 0)
        st = check_ids(s, 1, result);
    if (st != 0)
        return st;
    unsigned layer = find_layer(s, c->mode, c->replicas);
    if (layer == RING_LAYERS_MAX)
        return cluster_refuse(result, ST_LIMIT,
                              "there are %u combinations of mode and replicas already",
                              RING_LAYERS_MAX);
    cluster_begin(s);
    if (layer == ring_map_layers(s->map))
        CHECK(ring_map_add_layer(s->map, c->mode, c->replicas, &layer) == 0);
    else if (ring_map_layer(s->map, layer)->replicas != c->replicas)
        CHECK(ring_map_set_replicas(s->map, layer, c->replicas) == 0);
    struct cluster_keyspace *k = &s->keyspaces[s->keyspace_count++];
    *k = (struct cluster_keyspace){
        .id = ++s->keyspace_last,
        .epoch = ring_map_epoch(s->map),
        .ttl_ms = c->ttl_ms,
        .layer = (uint8_t)layer,
    };
    k->incarnation = k->id;
    cluster_copy_text(k->name, c->name);
    result->value = k->id;
    return 0;
}

/* The keyspace at the epoch the proposer knew. */
static int look_keyspace(struct cluster_state *s, uint32_t id, uint64_t epoch,
                         struct cluster_result *result, struct cluster_keyspace **ret_keyspace)
{
    const struct cluster_keyspace *k = cluster_keyspace_in(s, id);
    if (k == NULL)
        return cluster_refuse(result, ST_NOTFOUND, "there is no keyspace of id %u", id);
    if (epoch != 0 && epoch != k->epoch)
        return cluster_refuse(result, ST_AGAIN, "keyspace %s has changed meanwhile", k->name);
    *ret_keyspace = &s->keyspaces[k - s->keyspaces];
    return 0;
}

int cluster_do_keyspace_alter(struct cluster_state *s, const struct cluster_keyspace_alter *c,
                              struct cluster_result *result)
{
    struct cluster_keyspace *k;
    int st = look_keyspace(s, c->keyspace, c->epoch, result, &k);
    if (st != 0)
        return st;
    bool changes = c->replicas != 0 && c->replicas != ring_map_layer(s->map, k->layer)->replicas;
    unsigned users = users_of(s, k->layer);
    if (changes && users > 1 && c->together != 1)
        return cluster_refuse(result, ST_DENIED,
                              "keyspace %s shares its replicas with %u more: they change together "
                              "or not at all",
                              k->name, users - 1);
    for (unsigned i = 0; changes && i < s->keyspace_count; i++) {
        if (s->keyspaces[i].layer != k->layer)
            continue;
        st = check_replicas(s, s->keyspaces[i].id, c->replicas, result);
        if (st != 0)
            return st;
    }
    cluster_begin(s);
    if (changes)
        CHECK(ring_map_set_replicas(s->map, k->layer, c->replicas) == 0);
    k->ttl_ms = c->ttl_ms;
    k->epoch = ring_map_epoch(s->map);
    return 0;
}

int cluster_do_keyspace_drop(struct cluster_state *s, const struct cluster_keyspace_drop *c,
                             struct cluster_result *result)
{
    struct cluster_keyspace *k;
    int st = look_keyspace(s, c->keyspace, c->epoch, result, &k);
    if (st != 0)
        return st;
    if (k->id == CLUSTER_KEYSPACE_ZERO)
        return cluster_refuse(result, ST_DENIED, "keyspace 0 is always there: flush it instead");
    cluster_begin(s);
    if (PLANTED(cluster_keyspace_id_reused) && k->incarnation == s->keyspace_last)
        s->keyspace_last--;
    size_t behind = (size_t)(&s->keyspaces[--s->keyspace_count] - k);
    memmove(k, k + 1, behind * sizeof(*k));
    return 0;
}

int cluster_do_keyspace_flush(struct cluster_state *s, const struct cluster_keyspace_flush *c,
                              struct cluster_result *result)
{
    struct cluster_keyspace *k = s->keyspaces;
    unsigned count = s->keyspace_count;
    int st = 0;
    if (c->keyspace != 0) {
        st = look_keyspace(s, c->keyspace, c->epoch, result, &k);
        count = 1;
    } else if (c->epoch != 0 && c->epoch != ring_map_epoch(s->map)) {
        st = cluster_refuse(result, ST_AGAIN, "the cluster has changed meanwhile");
    }
    if (st == 0)
        st = check_ids(s, count, result);
    if (st != 0)
        return st;
    cluster_begin(s);
    for (unsigned i = 0; i < count; i++) {
        k[i].incarnation = ++s->keyspace_last;
        k[i].epoch = ring_map_epoch(s->map);
    }
    result->value = k->incarnation;
    return 0;
}
