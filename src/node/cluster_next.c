#include "node/cluster_next.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "node/cluster_private.h"
#include "ring/diff.h"
#include "ring/placement.h"

/* --- moves back --- */

static bool doomed(const struct cluster_state *s, const struct ring_row *row)
{
    if (row->stage != RING_LEARN && row->stage != RING_WRITE_BOTH)
        return false;
    for (unsigned i = 0; i < row->other.count; i++) {
        uint64_t node = row->other.list[i].node;
        if (!ring_set_has_node(&row->owners, node) &&
            !ring_member_eligible(ring_map_member(s->map, node)))
            return true;
    }
    return !cluster_set_lives(s, &row->other, 0);
}

static bool next_back(const struct cluster_state *s, struct cluster_command *c)
{
    for (unsigned layer = 0; layer < ring_map_layers(s->map); layer++) {
        for (unsigned i = 0; i < ring_map_partitions(s->map); i++) {
            const struct ring_row *row = ring_map_row(s->map, layer, i);
            if (!doomed(s, row))
                continue;
            c->code = CLUSTER_STEP;
            c->step = (struct cluster_step){.layer = (uint8_t)layer,
                                            .partition = (uint16_t)i,
                                            .epoch = row->epoch,
                                            .stage = RING_SETTLED};
            return true;
        }
    }
    return false;
}

/* --- voters --- */

static unsigned voters_in_zone(const struct cluster_state *s, const struct cluster_nodes *voters,
                               const char *zone)
{
    unsigned in = 0;
    for (unsigned i = 0; i < voters->count; i++) {
        const struct ring_member *m = ring_map_member(s->map, voters->list[i]);
        in += m != NULL && strcmp(m->zone, zone) == 0;
    }
    return in;
}

static bool votes(const struct cluster_nodes *voters, uint64_t node)
{
    for (unsigned i = 0; i < voters->count; i++) {
        if (voters->list[i] == node)
            return true;
    }
    return false;
}

static bool add_voter(const struct cluster_state *s, struct cluster_nodes *voters)
{
    unsigned count, fewest = 0;
    const struct ring_member *members = ring_map_members(s->map, &count), *best = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (members[i].state != RING_ACTIVE || votes(voters, members[i].id))
            continue;
        unsigned in = voters_in_zone(s, voters, members[i].zone);
        if (best == NULL || in < fewest) {
            best = &members[i];
            fewest = in;
        }
    }
    if (best == NULL)
        return false;
    voters->list[voters->count++] = best->id;
    return true;
}

/* Who stays keeps his vote, even one too many where that makes their number even: a change of
 * voters is worth more than that. Founders not yet added are still to come. */
static bool next_voters(const struct cluster_state *s, struct cluster_command *c)
{
    struct cluster_nodes voters = {0};
    for (unsigned i = 0; i < s->voters.count; i++) {
        const struct ring_member *m = ring_map_member(s->map, s->voters.list[i].node);
        if (m == NULL || m->state <= RING_ACTIVE)
            voters.list[voters.count++] = s->voters.list[i].node;
    }
    bool gone = voters.count < s->voters.count, more = false;
    while (voters.count < CLUSTER_VOTERS_MAX && add_voter(s, &voters))
        more = true;
    /* Four survive no more failures than three. */
    if (more && voters.count == 4)
        voters.count = 3;
    if ((!gone && voters.count == s->voters.count) || voters.count == 0)
        return false;
    c->code = CLUSTER_VOTERS;
    c->voters = (struct cluster_voters){.epoch = s->voters_epoch, .voters = voters};
    return true;
}

/* --- members --- */

static bool has_rows(const struct cluster_state *s, uint64_t node)
{
    for (unsigned layer = 0; layer < ring_map_layers(s->map); layer++) {
        for (unsigned i = 0; i < ring_map_partitions(s->map); i++) {
            const struct ring_row *row = ring_map_row(s->map, layer, i);
            if (ring_set_has_node(&row->owners, node) || ring_set_has_node(&row->other, node))
                return true;
        }
    }
    return false;
}

static bool next_forget(const struct cluster_state *s, struct cluster_command *c)
{
    unsigned count;
    const struct ring_member *members = ring_map_members(s->map, &count);
    for (unsigned i = 0; i < count; i++) {
        if (members[i].state < RING_LEAVING || ring_set_has_node(&s->voters, members[i].id) ||
            has_rows(s, members[i].id))
            continue;
        c->code = CLUSTER_FORGET;
        c->forget.node = members[i].id;
        return true;
    }
    return false;
}

static unsigned member_index(const struct cluster_state *s, uint64_t node)
{
    unsigned at = cluster_member_place(s, node);
    CHECK(at < s->member_count && s->members[at].id == node);
    return at;
}

/* --- moves --- */

struct next {
    const struct cluster_state *s;
    const struct cluster_limits *limits;
    unsigned *busy; /* per member: moves that it gives or takes in */
    bool *waits;    /* per member: a move is to bring it something, or does */
    unsigned under_way;
    struct placement_row *rows; /* of the layer being looked at */
    bool found;                 /* a move, which is: */
    unsigned layer;
    struct ring_move move;
    struct placement_row to;
};

static void count_set(struct next *n, const struct ring_set *set, const struct ring_set *less)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (!ring_set_has_node(less, set->list[i].node))
            n->busy[member_index(n->s, set->list[i].node)]++;
    }
}

static void count_busy(struct next *n)
{
    const struct ring_map *map = n->s->map;
    for (unsigned layer = 0; layer < ring_map_layers(map); layer++) {
        for (unsigned i = 0; i < ring_map_partitions(map); i++) {
            const struct ring_row *row = ring_map_row(map, layer, i);
            if (row->stage == RING_SETTLED)
                continue;
            n->under_way++;
            count_set(n, &row->owners, &row->other);
            count_set(n, &row->other, &row->owners);
            for (unsigned j = 0; j < row->other.count; j++)
                n->waits[member_index(n->s, row->other.list[j].node)] = true;
        }
    }
}

/* Where an heir stands in for the dead, placement is told that he has everything already. */
static void put_heirs(const struct cluster_state *s, struct placement_row *row)
{
    for (unsigned i = 0; i < row->count; i++) {
        const struct cluster_member *m = cluster_state_member(s, row->nodes[i]);
        if (m->heir == 0 || !ring_member_eligible(ring_map_member(s->map, m->heir)))
            continue;
        bool has = false;
        for (unsigned j = 0; j < row->count; j++)
            has = has || row->nodes[j] == m->heir;
        if (!has)
            row->nodes[i] = m->heir;
    }
}

/* false: nobody may be given anything. */
static bool propose(struct next *n, unsigned layer)
{
    const struct ring_map *map = n->s->map;
    unsigned partitions = ring_map_partitions(map);
    MEM_AUTO struct placement_row *current = mem_alloc(partitions * sizeof(*current));
    if (cluster_eligible(n->s, 0) == 0)
        return false;
    ring_diff_current(map, layer, current);
    for (unsigned i = 0; i < partitions; i++)
        put_heirs(n->s, &current[i]);
    struct placement_input input = {.partitions = partitions,
                                    .replicas = ring_map_layer(map, layer)->replicas,
                                    .current = current};
    struct placement_report report;
    input.members = ring_map_members(map, &input.member_count);
    CHECK(placement_propose(&input, n->rows, &report) == 0);
    placement_report_done(&report);
    return true;
}

/* A founder is still to be added: first owners wait for him, so that nothing need move then. */
static bool founding(const struct cluster_state *s)
{
    for (unsigned i = 0; i < s->voters.count; i++) {
        if (cluster_state_member(s, s->voters.list[i].node) == NULL)
            return true;
    }
    return false;
}

static bool next_place(struct next *n, unsigned layer, struct cluster_command *c,
                       struct buffer *bytes)
{
    struct cluster_places places = {0};
    for (unsigned i = 0; i < ring_map_partitions(n->s->map); i++) {
        struct cluster_nodes nodes = {.count = n->rows[i].count};
        if (ring_map_row(n->s->map, layer, i)->owners.count > 0 || nodes.count == 0 ||
            places.count == CLUSTER_PLACES_MAX)
            continue;
        memcpy(nodes.list, n->rows[i].nodes, sizeof(nodes.list));
        cluster_places_add(bytes, &places, (uint16_t)i, &nodes);
    }
    if (places.count == 0)
        return false;
    c->code = CLUSTER_PLACE;
    c->place = (struct cluster_place){.layer = (uint8_t)layer, .places = places};
    return true;
}

static bool admissible(const struct next *n, const struct ring_move *move)
{
    unsigned most = n->limits->moves_per_node;
    if (n->under_way >= n->limits->moves)
        return false;
    for (unsigned i = 0; i < move->added_count; i++) {
        if (n->busy[member_index(n->s, move->added[i])] >= most)
            return false;
    }
    for (unsigned i = 0; i < move->removed_count; i++) {
        if (n->busy[member_index(n->s, move->removed[i])] >= most)
            return false;
    }
    return true;
}

/* The layer's first admissible move, unless a layer before it has one that is as urgent. */
static void find_move(struct next *n, unsigned layer)
{
    unsigned count;
    MEM_AUTO struct ring_move *moves = ring_diff(n->s->map, layer, n->rows, &count);
    bool looking = true;
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < moves[i].added_count; j++)
            n->waits[member_index(n->s, moves[i].added[j])] = true;
        if (!looking || !admissible(n, &moves[i]))
            continue;
        looking = false;
        if (n->found && (n->move.urgency == RING_REPAIR || moves[i].urgency != RING_REPAIR))
            continue;
        n->found = true;
        n->layer = layer;
        n->move = moves[i];
        n->to = n->rows[moves[i].partition];
    }
}

static bool next_active(const struct next *n, struct cluster_command *c)
{
    unsigned count;
    const struct ring_member *members = ring_map_members(n->s->map, &count);
    for (unsigned i = 0; i < count; i++) {
        if (members[i].state != RING_JOINING || n->waits[i])
            continue;
        c->code = CLUSTER_MARK;
        c->mark = (struct cluster_mark){
            .node = members[i].id, .epoch = members[i].epoch, .state = RING_ACTIVE};
        return true;
    }
    return false;
}

static bool next_move(const struct next *n, struct cluster_command *c)
{
    if (!n->found)
        return false;
    c->code = CLUSTER_MOVE;
    c->move = (struct cluster_move){
        .layer = (uint8_t)n->layer,
        .partition = n->move.partition,
        .epoch = ring_map_row(n->s->map, n->layer, n->move.partition)->epoch,
        .to = {.count = n->to.count},
    };
    memcpy(c->move.to.list, n->to.nodes, sizeof(c->move.to.list));
    return true;
}

static bool next_of_layers(struct next *n, struct cluster_command *c, struct buffer *places)
{
    count_busy(n);
    for (unsigned layer = 0; layer < ring_map_layers(n->s->map); layer++) {
        if (!propose(n, layer) || founding(n->s))
            return false;
        if (next_place(n, layer, c, places))
            return true;
        find_move(n, layer);
    }
    return next_active(n, c) || next_move(n, c);
}

bool cluster_next_move(const struct cluster_state *s, const struct cluster_limits *limits,
                       struct buffer *ret_command)
{
    struct cluster_command c = {0};
    BUFFER_AUTO struct buffer places = {0};
    if (s->map == NULL)
        return false;
    bool found = next_back(s, &c) || next_voters(s, &c) || next_forget(s, &c);
    if (!found) {
        struct next n = {.s = s, .limits = limits};
        n.busy = mem_zalloc(s->member_count * sizeof(*n.busy));
        n.waits = mem_zalloc(s->member_count * sizeof(*n.waits));
        n.rows = mem_alloc(ring_map_partitions(s->map) * sizeof(*n.rows));
        found = next_of_layers(&n, &c, &places);
        free(n.busy);
        free(n.waits);
        free(n.rows);
    }
    if (found)
        cluster_command_encode(ret_command, &c);
    return found;
}
