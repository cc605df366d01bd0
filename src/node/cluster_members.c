/* Commands of the cluster log about members.
 *
 * The life of a member:  ADD -> joining -> active -> leaving -> FORGET
 *                                   \__________\_________\-> removing -> FORGET
 * and back to active from leaving and removing, as long as it is not forgotten. */
#include "base/check.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/cluster_private.h"

/* [from] & 1 << to */
static const uint8_t MOVES[] = {
    [RING_JOINING] = 1 << RING_ACTIVE | 1 << RING_LEAVING | 1 << RING_REMOVING,
    [RING_ACTIVE] = 1 << RING_LEAVING | 1 << RING_REMOVING,
    [RING_LEAVING] = 1 << RING_ACTIVE | 1 << RING_REMOVING,
    [RING_REMOVING] = 1 << RING_ACTIVE,
};

static const char *state_name(unsigned state)
{
    static const char *const names[] = {"unknown", "joining", "active", "leaving",
                                        "taken for dead"};
    return names[state];
}

static const char *name_of(const struct cluster_state *s, uint64_t id)
{
    const struct cluster_member *m = cluster_state_member(s, id);
    return m == NULL ? "?" : m->name;
}

/* --- looking --- */

int cluster_look_member(const struct cluster_state *s, uint64_t id, uint64_t epoch,
                        struct cluster_result *result, struct ring_member *ret_member)
{
    const struct ring_member *m = ring_map_member(s->map, id);
    if (m == NULL)
        return cluster_refuse(result, ST_NOTFOUND, "there is no member %016llx",
                              (unsigned long long)id);
    if (epoch != 0 && epoch != m->epoch)
        return cluster_refuse(result, ST_AGAIN, "node %s has changed meanwhile", name_of(s, id));
    *ret_member = *m;
    return 0;
}

void cluster_put_member(struct cluster_state *s, const struct ring_member *member)
{
    CHECK(ring_map_put_member(s->map, member) == 0);
}

unsigned cluster_eligible(const struct cluster_state *s, uint64_t without)
{
    unsigned count, eligible = 0;
    const struct ring_member *members = ring_map_members(s->map, &count);
    for (unsigned i = 0; i < count; i++)
        eligible += members[i].id != without && ring_member_eligible(&members[i]);
    return eligible;
}

bool cluster_set_lives(const struct cluster_state *s, const struct ring_set *set, uint64_t without)
{
    unsigned live = 0;
    for (unsigned i = 0; i < set->count; i++) {
        const struct ring_member *m = ring_map_member(s->map, set->list[i].node);
        live += set->list[i].node != without && (m == NULL || m->state != RING_REMOVING);
    }
    return 2 * live > set->count;
}

bool cluster_nodes_differ(const struct cluster_nodes *nodes)
{
    for (unsigned i = 0; i < nodes->count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (nodes->list[i] == nodes->list[j])
                return false;
        }
        if (nodes->list[i] == 0)
            return false;
    }
    return nodes->count > 0;
}

int cluster_check_fewer(const struct cluster_state *s, uint64_t without,
                        struct cluster_result *result)
{
    if (!ring_member_eligible(ring_map_member(s->map, without)))
        return 0;
    unsigned left = cluster_eligible(s, without);
    if (left == 0)
        return cluster_refuse(result, ST_DENIED, "no member would be left to hold the data");
    for (unsigned i = 0; i < s->keyspace_count; i++) {
        const struct cluster_keyspace *k = &s->keyspaces[i];
        unsigned replicas = ring_map_layer(s->map, k->layer)->replicas;
        if (k->id != CLUSTER_KEYSPACE_ZERO && replicas > left)
            return cluster_refuse(result, ST_DENIED,
                                  "keyspace %s has %u replicas, and %u members would be left for "
                                  "them: alter it first",
                                  k->name, replicas, left);
    }
    return 0;
}

int cluster_check_version(const struct cluster_state *s, uint64_t id, uint16_t version_min,
                          uint16_t version_max, uint64_t features, struct cluster_result *result)
{
    if (version_min == 0 || version_min > version_max)
        return cluster_refuse(result, ST_INVALID, "versions %u to %u of the protocol are none",
                              version_min, version_max);
    if ((s->features & ~features) != 0)
        return cluster_refuse(result, ST_VERSION,
                              "the cluster uses features that this version does not know (%llx)",
                              (unsigned long long)(s->features & ~features));
    for (unsigned i = 0; i < s->member_count; i++) {
        const struct cluster_member *m = &s->members[i];
        if (m->id == id)
            continue;
        version_min = m->version_min > version_min ? m->version_min : version_min;
        version_max = m->version_max < version_max ? m->version_max : version_max;
        if (version_min > version_max)
            return cluster_refuse(result, ST_VERSION,
                                  "no version of the protocol is spoken by all members; node %s "
                                  "speaks %u to %u",
                                  m->name, m->version_min, m->version_max);
    }
    return 0;
}

/* --- those who come, and what they say of themselves --- */

static bool facts_ok(struct slice host, struct slice zone)
{
    return host.len > 0 && cluster_text_ok(host, RING_HOST_BYTES_MAX) &&
           cluster_text_ok(zone, RING_ZONE_BYTES_MAX);
}

static int check_new(const struct cluster_state *s, const struct cluster_add *c,
                     struct cluster_result *result)
{
    if (c->node == 0 || !cluster_name_ok(c->name) || !facts_ok(c->host, c->zone))
        return cluster_refuse(result, ST_INVALID, "a member has an id, a name and an address");
    if (c->weight > RING_WEIGHT_MAX)
        return cluster_refuse(result, ST_RANGE, "a weight is 0 to %u hundredths", RING_WEIGHT_MAX);
    if (ring_map_removed(s->map, c->node))
        return cluster_refuse(result, ST_DENIED,
                              "node %016llx was removed from this cluster and can't come back "
                              "under its id: empty its data directory",
                              (unsigned long long)c->node);
    if (cluster_state_member(s, c->node) != NULL)
        return cluster_refuse(result, ST_EXISTS, "node %s is a member already",
                              name_of(s, c->node));
    for (unsigned i = 0; i < s->member_count; i++) {
        if (slice_equal(slice_str(s->members[i].name), c->name))
            return cluster_refuse(result, ST_EXISTS, "another member is called %s already",
                                  s->members[i].name);
    }
    if (s->member_count == RING_MEMBERS_MAX)
        return cluster_refuse(result, ST_LIMIT, "the cluster has %u members already",
                              RING_MEMBERS_MAX);
    return cluster_check_version(s, c->node, c->version_min, c->version_max, c->features, result);
}

int cluster_do_add(struct cluster_state *s, const struct cluster_add *c,
                   struct cluster_result *result)
{
    int st = check_new(s, c, result);
    if (st != 0)
        return st;
    cluster_begin(s);
    struct ring_member m = {
        .id = c->node,
        .weight = c->weight,
        .client_port = c->client_port,
        .peer_port = c->peer_port,
        .state = RING_JOINING,
    };
    cluster_copy_text(m.host, c->host);
    cluster_copy_text(m.zone, c->zone);
    cluster_put_member(s, &m);
    unsigned at = cluster_member_place(s, c->node);
    struct cluster_member *place = &s->members[at];
    memmove(place + 1, place, (s->member_count++ - at) * sizeof(*place));
    *place = (struct cluster_member){
        .id = c->node,
        .features = c->features,
        .version_min = c->version_min,
        .version_max = c->version_max,
    };
    cluster_copy_text(place->name, c->name);
    return 0;
}

int cluster_do_update(struct cluster_state *s, const struct cluster_update *c,
                      struct cluster_result *result)
{
    struct ring_member m = {0};
    int st = cluster_look_member(s, c->node, 0, result, &m);
    if (st == ST_NOTFOUND && ring_map_removed(s->map, c->node))
        return cluster_refuse(result, ST_DENIED, "node %016llx was removed from this cluster",
                              (unsigned long long)c->node);
    if (st != 0)
        return st;
    if (!facts_ok(c->host, slice_str("")))
        return cluster_refuse(result, ST_INVALID, "a member has an address");
    st = cluster_check_version(s, c->node, c->version_min, c->version_max, c->features, result);
    if (st != 0)
        return st;
    struct cluster_member *known = cluster_find_member(s, c->node);
    if (slice_equal(slice_str(m.host), c->host) && m.client_port == c->client_port &&
        m.peer_port == c->peer_port && known->version_min == c->version_min &&
        known->version_max == c->version_max && known->features == c->features)
        return 0; /* most starts: no news, no epoch */
    cluster_begin(s);
    m.client_port = c->client_port;
    m.peer_port = c->peer_port;
    cluster_copy_text(m.host, c->host);
    cluster_put_member(s, &m);
    known->version_min = c->version_min;
    known->version_max = c->version_max;
    known->features = c->features;
    return 0;
}

/* --- what is decided about them --- */

/* Nothing may lose its majority by a member that is taken for dead. */
static int check_death(const struct cluster_state *s, uint64_t id, struct cluster_result *result)
{
    if (PLANTED(cluster_removal_unchecked))
        return 0;
    if (!cluster_set_lives(s, &s->voters, id))
        return cluster_refuse(result, ST_DENIED, "without node %s the cluster log has no majority",
                              name_of(s, id));
    for (unsigned layer = 0; layer < ring_map_layers(s->map); layer++) {
        for (unsigned i = 0; i < ring_map_partitions(s->map); i++) {
            if (!cluster_row_lives(s, ring_map_row(s->map, layer, i), id))
                return cluster_refuse(result, ST_DENIED,
                                      "without node %s partition %u of layer %u has no majority",
                                      name_of(s, id), i, layer);
        }
    }
    return 0;
}

int cluster_do_mark(struct cluster_state *s, const struct cluster_mark *c,
                    struct cluster_result *result)
{
    struct ring_member m = {0};
    int st = cluster_look_member(s, c->node, c->epoch, result, &m);
    if (st != 0)
        return st;
    if (c->state < RING_JOINING || c->state > RING_REMOVING)
        return cluster_refuse(result, ST_INVALID, "there is no such state of a member");
    if ((MOVES[m.state] & 1 << c->state) == 0)
        return cluster_refuse(result, m.state == c->state ? ST_EXISTS : ST_INVALID,
                              "node %s is %s: it can't become %s", name_of(s, c->node),
                              state_name(m.state), state_name(c->state));
    if (c->state == RING_LEAVING)
        st = cluster_check_fewer(s, c->node, result);
    else if (c->state == RING_REMOVING)
        st = check_death(s, c->node, result);
    if (st != 0)
        return st;
    cluster_begin(s);
    m.state = c->state;
    cluster_put_member(s, &m);
    cluster_find_member(s, c->node)->heir = 0;
    return 0;
}

int cluster_do_weight(struct cluster_state *s, const struct cluster_weight *c,
                      struct cluster_result *result)
{
    struct ring_member m = {0};
    int st = cluster_look_member(s, c->node, c->epoch, result, &m);
    if (st != 0)
        return st;
    if (c->weight > RING_WEIGHT_MAX)
        return cluster_refuse(result, ST_RANGE, "a weight is 0 to %u hundredths", RING_WEIGHT_MAX);
    if (c->weight == 0) {
        st = cluster_check_fewer(s, c->node, result);
        if (st != 0)
            return st;
    }
    cluster_begin(s);
    m.weight = c->weight;
    cluster_put_member(s, &m);
    return 0;
}

int cluster_do_zone(struct cluster_state *s, const struct cluster_zone *c,
                    struct cluster_result *result)
{
    struct ring_member m = {0};
    int st = cluster_look_member(s, c->node, c->epoch, result, &m);
    if (st != 0)
        return st;
    if (!cluster_text_ok(c->zone, RING_ZONE_BYTES_MAX))
        return cluster_refuse(result, ST_INVALID, "the name of a zone has up to %u bytes",
                              RING_ZONE_BYTES_MAX);
    cluster_begin(s);
    cluster_copy_text(m.zone, c->zone);
    cluster_put_member(s, &m);
    return 0;
}

int cluster_do_replace(struct cluster_state *s, const struct cluster_replace *c,
                       struct cluster_result *result)
{
    struct ring_member dead = {0}, heir = {0};
    int st = cluster_look_member(s, c->node, c->epoch, result, &dead);
    if (st == 0)
        st = cluster_look_member(s, c->heir, 0, result, &heir);
    if (st != 0)
        return st;
    if (c->node == c->heir || !ring_member_eligible(&heir))
        return cluster_refuse(result, ST_INVALID, "node %s can't take the partitions of node %s",
                              name_of(s, c->heir), name_of(s, c->node));
    if (dead.state != RING_REMOVING) {
        st = check_death(s, c->node, result);
        if (st != 0)
            return st;
    }
    cluster_begin(s);
    dead.state = RING_REMOVING;
    cluster_put_member(s, &dead);
    cluster_find_member(s, c->node)->heir = c->heir;
    return 0;
}

int cluster_do_forget(struct cluster_state *s, const struct cluster_forget *c,
                      struct cluster_result *result)
{
    struct ring_member m = {0};
    int st = cluster_look_member(s, c->node, 0, result, &m);
    if (st != 0)
        return st;
    if (m.state != RING_LEAVING && m.state != RING_REMOVING)
        return cluster_refuse(result, ST_DENIED, "node %s is %s", name_of(s, c->node),
                              state_name(m.state));
    if (ring_set_has_node(&s->voters, c->node))
        return cluster_refuse(result, ST_AGAIN, "node %s votes in the cluster log yet",
                              name_of(s, c->node));
    for (unsigned layer = 0; layer < ring_map_layers(s->map); layer++) {
        for (unsigned i = 0; i < ring_map_partitions(s->map); i++) {
            const struct ring_row *row = ring_map_row(s->map, layer, i);
            if (ring_set_has_node(&row->owners, c->node) || ring_set_has_node(&row->other, c->node))
                return cluster_refuse(result, ST_AGAIN, "node %s has partition %u of layer %u yet",
                                      name_of(s, c->node), i, layer);
        }
    }
    cluster_begin(s);
    CHECK(ring_map_remove_member(s->map, c->node) == 0);
    unsigned at = cluster_member_place(s, c->node);
    struct cluster_member *place = &s->members[at];
    memmove(place, place + 1, (--s->member_count - at) * sizeof(*place));
    for (unsigned i = 0; i < s->member_count; i++) {
        if (s->members[i].heir == c->node)
            s->members[i].heir = 0;
    }
    return 0;
}
