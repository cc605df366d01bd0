/* Commands of the cluster log about rows of the map: first owners, moves and their stages. */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/cluster_private.h"

/* In JOINT and READ_NEW nothing goes on without the other set; before that it can be given up, and
 * in CLEANUP it is the past. */
bool cluster_row_lives(const struct cluster_state *s, const struct ring_row *row, uint64_t without)
{
    bool both = row->stage == RING_JOINT || row->stage == RING_READ_NEW;
    return row->owners.count == 0 || (cluster_set_lives(s, &row->owners, without) &&
                                      (!both || cluster_set_lives(s, &row->other, without)));
}

struct ring_set cluster_make_set(struct cluster_state *s, const struct cluster_nodes *nodes,
                                 const struct ring_set *before, uint8_t anew)
{
    struct ring_set set = {.count = nodes->count};
    for (unsigned i = 0; i < nodes->count; i++) {
        struct ring_replica *replica = &set.list[i];
        replica->node = nodes->list[i];
        for (unsigned j = 0; j < before->count; j++) {
            if (before->list[j].node == replica->node && (anew & 1u << i) == 0)
                replica->id = before->list[j].id;
        }
        if (replica->id == 0)
            replica->id = ++s->replica_last;
    }
    return set;
}

/* The node may be given a replica. */
static int check_node(const struct cluster_state *s, uint64_t id, struct cluster_result *result)
{
    const struct ring_member *m = ring_map_member(s->map, id);
    if (m == NULL)
        return cluster_refuse(result, ST_NOTFOUND, "there is no member %016llx",
                              (unsigned long long)id);
    if (!ring_member_eligible(m))
        return cluster_refuse(result, ST_DENIED, "node %s takes no partitions",
                              cluster_state_member(s, id)->name);
    return 0;
}

static int check_place(const struct cluster_state *s, unsigned layer, unsigned partition,
                       const struct cluster_nodes *nodes, struct cluster_result *result)
{
    const struct ring_row *row = ring_map_row(s->map, layer, partition);
    if (row == NULL)
        return cluster_refuse(result, ST_NOTFOUND, "there is no partition %u of layer %u",
                              partition, layer);
    if (row->owners.count > 0)
        return cluster_refuse(result, ST_EXISTS, "partition %u of layer %u has owners already",
                              partition, layer);
    if (!cluster_nodes_differ(nodes))
        return cluster_refuse(result, ST_INVALID, "the owners of a partition are different nodes");
    for (unsigned i = 0; i < nodes->count; i++) {
        int st = check_node(s, nodes->list[i], result);
        if (st != 0)
            return st;
    }
    return 0;
}

int cluster_do_place(struct cluster_state *s, const struct cluster_place *c,
                     struct cluster_result *result)
{
    struct cluster_places places = c->places;
    struct cluster_nodes nodes;
    uint16_t partition;
    int last = -1;
    if (places.count == 0)
        return cluster_refuse(result, ST_INVALID, "no partition is named");
    while (cluster_places_next(&places, &partition, &nodes)) {
        int st = check_place(s, c->layer, partition, &nodes, result);
        if (st != 0)
            return st;
        if (partition <= last)
            return cluster_refuse(result, ST_INVALID, "partitions are to be in their order");
        last = partition;
    }
    cluster_begin(s);
    places = c->places;
    while (cluster_places_next(&places, &partition, &nodes)) {
        struct ring_set nobody = {0}, owners = cluster_make_set(s, &nodes, &nobody, 0);
        CHECK(ring_map_place(s->map, c->layer, partition, &owners) == 0);
    }
    return 0;
}

/* Both commands that change a row. */
static int look_row(const struct cluster_state *s, unsigned layer, unsigned partition,
                    uint64_t epoch, struct cluster_result *result, const struct ring_row **ret_row)
{
    const struct ring_row *row = ring_map_row(s->map, layer, partition);
    if (row == NULL || row->owners.count == 0)
        return cluster_refuse(result, ST_NOTFOUND, "partition %u of layer %u has no owners",
                              partition, layer);
    if (row->epoch != epoch && !PLANTED(cluster_row_unfenced))
        return cluster_refuse(result, ST_AGAIN,
                              "partition %u of layer %u has changed meanwhile, in epoch %llu",
                              partition, layer, (unsigned long long)row->epoch);
    *ret_row = row;
    return 0;
}

int cluster_do_move(struct cluster_state *s, const struct cluster_move *c,
                    struct cluster_result *result)
{
    const struct ring_row *row;
    int st = look_row(s, c->layer, c->partition, c->epoch, result, &row);
    if (st != 0)
        return st;
    if (row->stage != RING_SETTLED)
        return cluster_refuse(result, ST_EXISTS, "partition %u of layer %u moves already",
                              c->partition, c->layer);
    if (!cluster_nodes_differ(&c->to) || c->anew >> c->to.count != 0)
        return cluster_refuse(result, ST_INVALID, "the owners of a partition are different nodes");
    unsigned kept = 0;
    struct ring_set wanted = {.count = c->to.count};
    for (unsigned i = 0; i < c->to.count; i++) {
        bool keeps = ring_set_has_node(&row->owners, c->to.list[i]) && (c->anew & 1u << i) == 0;
        st = keeps ? 0 : check_node(s, c->to.list[i], result);
        if (st != 0)
            return st;
        kept += keeps;
        wanted.list[i].node = c->to.list[i];
    }
    if (kept == c->to.count && kept == row->owners.count)
        return cluster_refuse(result, ST_INVALID, "they own partition %u of layer %u already",
                              c->partition, c->layer);
    if (!cluster_set_lives(s, &wanted, 0))
        return cluster_refuse(result, ST_DENIED, "a majority of the new owners is taken for dead");
    cluster_begin(s);
    struct ring_set to = cluster_make_set(s, &c->to, &row->owners, c->anew);
    CHECK(ring_map_move(s->map, c->layer, c->partition, &to) == 0);
    result->value = ring_map_epoch(s->map);
    return 0;
}

int cluster_do_step(struct cluster_state *s, const struct cluster_step *c,
                    struct cluster_result *result)
{
    const struct ring_row *row;
    int st = look_row(s, c->layer, c->partition, c->epoch, result, &row);
    if (st != 0)
        return st;
    bool both = c->stage == RING_JOINT || c->stage == RING_READ_NEW;
    if (both && !cluster_set_lives(s, &row->other, 0))
        return cluster_refuse(result, ST_DENIED,
                              "a majority of the new owners of partition %u is taken for dead: "
                              "the move can only go back",
                              c->partition);
    if (!ring_map_may_step(s->map, c->layer, c->partition, c->stage))
        return cluster_refuse(result, ST_INVALID, "no step of the move of partition %u leads there",
                              c->partition);
    cluster_begin(s);
    CHECK(ring_map_step(s->map, c->layer, c->partition, c->stage) == 0);
    result->value = ring_map_epoch(s->map);
    return 0;
}
