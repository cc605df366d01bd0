/* Histories of the cluster log for its property tests: proposers who race, each with a copy of the
 * state that may be old, and an onlooker who knows what must hold without asking the code. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/status.h"
#include "node/cluster_next.h"
#include "node/cluster_state.h"

#define CHECK_PARTITIONS 8
#define CHECK_NODES      12 /* that may become members, ids from 1 */
#define CHECK_PROPOSERS  3
#define CHECK_IDS        4096 /* of keyspaces, in one history */

struct onlooker {
    struct cluster_state *state;
    struct cluster_state *copies[CHECK_PROPOSERS];
    struct prng random;
    struct ring_row before[RING_LAYERS_MAX][CHECK_PARTITIONS];
    unsigned layers_before;
    uint64_t replica_before; /* the greatest id of a replica seen */
    bool ids[CHECK_IDS];     /* of keyspaces and incarnations seen */
    uint32_t current[CHECK_IDS];
    unsigned current_count;
    bool removed[CHECK_NODES + 1];
    unsigned obeyed, moved, raced; /* so that a history that does nothing shows */
};

static inline struct cluster_result apply(struct cluster_state *s, const struct cluster_command *c)
{
    BUFFER_AUTO struct buffer bytes = {0};
    struct cluster_result result;
    cluster_command_encode(&bytes, c);
    cluster_state_apply(s, buffer_slice(&bytes), &result);
    return result;
}

static inline struct cluster_command make_found(unsigned partitions, unsigned replicas,
                                                unsigned founders)
{
    struct cluster_command c = {.code = CLUSTER_FOUND,
                                .found = {.cluster = 77,
                                          .partitions = (uint16_t)partitions,
                                          .replicas = (uint8_t)replicas,
                                          .founders = {.count = (uint8_t)founders}}};
    for (unsigned i = 0; i < founders; i++)
        c.found.founders.list[i] = i + 1;
    return c;
}

/* Slices point to static texts. */
static inline struct cluster_command make_add(uint64_t node)
{
    static char names[CHECK_NODES + 1][8];
    static const char *const zones[] = {"a", "b", "c"};
    char *name = names[node % (CHECK_NODES + 1)];
    snprintf(name, sizeof(names[0]), "n%u", (unsigned)(node % 100));
    return (struct cluster_command){.code = CLUSTER_ADD,
                                    .add = {.node = node,
                                            .name = slice_str(name),
                                            .host = slice_str("10.0.0.1"),
                                            .zone = slice_str(zones[node % 3]),
                                            .client_port = 7400,
                                            .peer_port = 7401,
                                            .weight = 100,
                                            .version_min = 1,
                                            .version_max = 2,
                                            .features = 3}};
}

/* --- what must hold --- */

static inline bool lives(const struct ring_map *map, const struct ring_set *set)
{
    unsigned dead = 0;
    for (unsigned i = 0; i < set->count; i++)
        dead += ring_map_member(map, set->list[i].node)->state == RING_REMOVING;
    return 2 * dead < set->count;
}

static inline bool sets_equal(const struct ring_set *a, const struct ring_set *b)
{
    for (unsigned i = 0; i < a->count && i < b->count; i++) {
        if (a->list[i].id != b->list[i].id || a->list[i].node != b->list[i].node)
            return false;
    }
    return a->count == b->count;
}

static inline const char *look_at_row(struct onlooker *o, const struct ring_row *was,
                                      const struct ring_row *is)
{
    const struct ring_map *map = cluster_state_map(o->state);
    if (was->owners.count > 0 && is->owners.count == 0)
        return "a partition lost its owners";
    if (is->owners.count > 0 && !lives(map, &is->owners))
        return "the owners have no majority";
    if (is->stage == RING_JOINT && !lives(map, &is->other))
        return "a joint configuration has no majority";
    if (was->stage != RING_SETTLED && is->stage != RING_SETTLED && is->stage != RING_CLEANUP &&
        !sets_equal(&was->other, &is->other))
        return "a partition in two moves";
    if (was->owners.count > 0 && !sets_equal(&was->owners, &is->owners) &&
        !(is->stage == RING_CLEANUP && sets_equal(&is->owners, &was->other) &&
          (was->stage == RING_JOINT || was->stage == RING_READ_NEW)))
        return "owners changed without a move";
    const struct ring_set *sets[] = {&is->owners, &is->other};
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < sets[k]->count; i++) {
            uint64_t id = sets[k]->list[i].id, old = 0;
            for (unsigned j = 0; j < was->owners.count; j++)
                old += was->owners.list[j].id == id;
            for (unsigned j = 0; j < was->other.count; j++)
                old += was->other.list[j].id == id;
            if (old == 0 && id <= o->replica_before)
                return "the id of a replica was given again";
        }
    }
    return NULL;
}

static inline const char *look_at_rows(struct onlooker *o)
{
    const struct ring_map *map = cluster_state_map(o->state);
    uint64_t greatest = o->replica_before;
    for (unsigned layer = 0; layer < ring_map_layers(map); layer++) {
        for (unsigned i = 0; i < CHECK_PARTITIONS; i++) {
            const struct ring_row *is = ring_map_row(map, layer, i);
            const char *broken = look_at_row(o, &o->before[layer][i], is);
            if (broken != NULL)
                return broken;
            for (unsigned j = 0; j < is->owners.count; j++)
                greatest = is->owners.list[j].id > greatest ? is->owners.list[j].id : greatest;
            for (unsigned j = 0; j < is->other.count; j++)
                greatest = is->other.list[j].id > greatest ? is->other.list[j].id : greatest;
            o->before[layer][i] = *is;
        }
    }
    o->replica_before = greatest;
    return NULL;
}

static inline const char *look_at_keyspaces(struct onlooker *o)
{
    unsigned count;
    const struct cluster_keyspace *list = cluster_state_keyspaces(o->state, &count);
    uint32_t now[CHECK_IDS];
    for (unsigned i = 0; i < count; i++) {
        bool had = false;
        for (unsigned j = 0; j < o->current_count; j++)
            had = had || o->current[j] == list[i].incarnation;
        if (list[i].incarnation >= CHECK_IDS)
            return "ids grow too fast";
        if (!had && o->ids[list[i].incarnation])
            return "the id of a keyspace was given again";
        o->ids[list[i].incarnation] = true;
        now[i] = list[i].incarnation;
    }
    memcpy(o->current, now, count * sizeof(now[0]));
    o->current_count = count;
    return NULL;
}

static inline const char *look_at_members(struct onlooker *o)
{
    const struct ring_map *map = cluster_state_map(o->state);
    for (uint64_t id = 1; id <= CHECK_NODES; id++) {
        if (o->removed[id] && ring_map_member(map, id) != NULL)
            return "a removed member came back";
        o->removed[id] = o->removed[id] || ring_map_removed(map, id);
    }
    return NULL;
}

/* The command was obeyed: was it planned on the row as it was? */
static inline const char *look_at_fence(struct onlooker *o, const struct cluster_command *c)
{
    if (c->code == CLUSTER_MOVE) {
        o->moved++;
        if (o->before[c->move.layer][c->move.partition].epoch != c->move.epoch)
            return "a move planned on another epoch was begun";
    }
    if (c->code == CLUSTER_STEP &&
        o->before[c->step.layer][c->step.partition].epoch != c->step.epoch)
        return "a step planned on another epoch was taken";
    return NULL;
}

static inline const char *look(struct onlooker *o, const struct cluster_command *c)
{
    const char *broken = look_at_fence(o, c);
    if (broken == NULL)
        broken = look_at_rows(o);
    if (broken == NULL)
        broken = look_at_keyspaces(o);
    if (broken == NULL)
        broken = look_at_members(o);
    return broken;
}

/* --- what proposers say --- */

static inline unsigned draw(struct onlooker *o, unsigned bound)
{
    return (unsigned)prng_below(&o->random, bound);
}

/* Mostly the epoch as the copy has it, sometimes none. */
static inline uint64_t epoch_of_member(struct onlooker *o, const struct cluster_state *copy,
                                       uint64_t id)
{
    const struct ring_member *m = ring_map_member(cluster_state_map(copy), id);
    return m == NULL || draw(o, 4) == 0 ? 0 : m->epoch;
}

static inline struct cluster_nodes draw_nodes(struct onlooker *o, unsigned most)
{
    struct cluster_nodes nodes = {.count = (uint8_t)(1 + draw(o, most))};
    for (unsigned i = 0; i < nodes.count; i++)
        nodes.list[i] = 1 + draw(o, CHECK_NODES);
    return nodes;
}

static inline struct cluster_command draw_row(struct onlooker *o, const struct cluster_state *copy)
{
    const struct ring_map *map = cluster_state_map(copy);
    unsigned layer = draw(o, ring_map_layers(map)), partition = draw(o, CHECK_PARTITIONS);
    const struct ring_row *row = ring_map_row(map, layer, partition);
    struct cluster_command c = {0};
    if (row->stage == RING_SETTLED) {
        c.code = CLUSTER_MOVE;
        c.move = (struct cluster_move){.layer = (uint8_t)layer,
                                       .partition = (uint16_t)partition,
                                       .epoch = row->epoch,
                                       .to = draw_nodes(o, 4),
                                       .anew = (uint8_t)(draw(o, 6) == 0)};
        return c;
    }
    static const uint8_t on[] = {[RING_LEARN] = RING_JOINT,
                                 [RING_JOINT] = RING_CLEANUP,
                                 [RING_WRITE_BOTH] = RING_READ_NEW,
                                 [RING_READ_NEW] = RING_CLEANUP,
                                 [RING_CLEANUP] = RING_SETTLED};
    c.code = CLUSTER_STEP;
    c.step = (struct cluster_step){.layer = (uint8_t)layer,
                                   .partition = (uint16_t)partition,
                                   .epoch = row->epoch,
                                   .stage = draw(o, 5) == 0 ? (uint8_t)draw(o, 6) : on[row->stage]};
    return c;
}

static inline struct cluster_command draw_member(struct onlooker *o,
                                                 const struct cluster_state *copy)
{
    uint64_t id = 1 + draw(o, CHECK_NODES), epoch = epoch_of_member(o, copy, id);
    struct cluster_command c = {0};
    switch (draw(o, 7)) {
    case 0:
        return make_add(id);
    case 1:
        c.code = CLUSTER_UPDATE;
        c.update = (struct cluster_update){.node = id,
                                           .host = slice_str("10.0.0.2"),
                                           .client_port = 7400,
                                           .peer_port = (uint16_t)(7400 + draw(o, 3)),
                                           .version_min = (uint16_t)(1 + draw(o, 3)),
                                           .version_max = 3,
                                           .features = 1 + draw(o, 3)};
        return c;
    case 2:
        c.code = CLUSTER_WEIGHT;
        c.weight = (struct cluster_weight){id, epoch, (uint16_t)(draw(o, 3) * 100)};
        return c;
    case 3:
        c.code = CLUSTER_REPLACE;
        c.replace = (struct cluster_replace){id, epoch, 1 + draw(o, CHECK_NODES)};
        return c;
    case 4:
        c.code = CLUSTER_FORGET;
        c.forget.node = id;
        return c;
    default:
        c.code = CLUSTER_MARK;
        c.mark = (struct cluster_mark){id, epoch, (uint8_t)(1 + draw(o, 4))};
        return c;
    }
}

static inline struct cluster_command draw_rest(struct onlooker *o, const struct cluster_state *copy)
{
    static const char *const names[] = {"x", "y", "z"};
    unsigned count;
    const struct cluster_keyspace *list = cluster_state_keyspaces(copy, &count);
    const struct cluster_keyspace *k = &list[draw(o, count)];
    uint64_t epoch = draw(o, 4) == 0 ? 0 : k->epoch;
    struct cluster_command c = {0};
    switch (draw(o, 8)) {
    case 0:
    case 1:
        c.code = CLUSTER_KEYSPACE_CREATE;
        c.keyspace_create = (struct cluster_keyspace_create){
            slice_str(names[draw(o, 3)]), (uint8_t)(1 + draw(o, 2)), (uint8_t)(1 + draw(o, 4)), 0};
        return c;
    case 2:
        c.code = CLUSTER_KEYSPACE_ALTER;
        c.keyspace_alter = (struct cluster_keyspace_alter){k->id, epoch, (uint8_t)draw(o, 5),
                                                           (uint8_t)draw(o, 2), draw(o, 3)};
        return c;
    case 3:
    case 4:
        c.code = CLUSTER_KEYSPACE_DROP;
        c.keyspace_drop = (struct cluster_keyspace_drop){k->id, epoch};
        return c;
    case 5:
        c.code = CLUSTER_KEYSPACE_FLUSH;
        c.keyspace_flush = (struct cluster_keyspace_flush){draw(o, 4) == 0 ? 0 : k->id, epoch};
        return c;
    case 6:
        c.code = CLUSTER_SET;
        c.set = (struct cluster_set){slice_str(names[draw(o, 3)]), (uint8_t)draw(o, 2),
                                     slice_str(names[draw(o, 3)])};
        return c;
    default:
        if (draw(o, 2) == 0) {
            c.code = CLUSTER_FEATURE;
            c.feature.feature = (uint8_t)draw(o, 3);
            return c;
        }
        c.code = CLUSTER_VOTERS;
        cluster_state_voters(copy, &c.voters.epoch);
        c.voters.voters = draw_nodes(o, 5);
        return c;
    }
}

/* Into `out`: from a copy that may be old. */
static inline void draw_command(struct onlooker *o, struct buffer *out)
{
    static const struct cluster_limits limits = {.moves_per_node = 2, .moves = 4};
    const struct cluster_state *copy = o->copies[draw(o, CHECK_PROPOSERS)];
    struct cluster_command c;
    switch (draw(o, 6)) {
    case 0:
        c = draw_member(o, copy);
        break;
    case 1:
        c = draw_rest(o, copy);
        break;
    case 2:
        if (cluster_next_move(copy, &limits, out))
            return;
        /* fall through */
    default:
        c = draw_row(o, copy);
    }
    cluster_command_encode(out, &c);
}

/* --- histories --- */

static inline struct cluster_state *copy_of(const struct cluster_state *s)
{
    BUFFER_AUTO struct buffer bytes = {0};
    struct cluster_state *copy = NULL;
    cluster_state_encode(&bytes, s);
    return cluster_state_decode(buffer_slice(&bytes), &copy) == 0 ? copy : NULL;
}

/* One command, to the state and to `shadow`, which began as a snapshot of it. */
static inline const char *step(struct onlooker *o, struct cluster_state *shadow)
{
    BUFFER_AUTO struct buffer bytes = {0}, was = {0}, is = {0}, other = {0};
    struct cluster_command c;
    struct cluster_result result, again;
    uint64_t epoch = cluster_state_epoch(o->state);
    draw_command(o, &bytes);
    if (cluster_command_decode(buffer_slice(&bytes), &c) != 0)
        return "a command can't be decoded";
    cluster_state_encode(&was, o->state);
    cluster_state_apply(o->state, buffer_slice(&bytes), &result);
    cluster_state_apply(shadow, buffer_slice(&bytes), &again);
    cluster_state_encode(&is, o->state);
    cluster_state_encode(&other, shadow);
    if (!slice_equal(buffer_slice(&is), buffer_slice(&other)) || result.st != again.st ||
        strcmp(result.why, again.why) != 0)
        return "a snapshot and the rest are not the whole";
    if (result.epoch != cluster_state_epoch(o->state))
        return "a result of another epoch";
    o->raced += result.st == ST_AGAIN;
    if (result.st != 0) {
        if (result.why[0] == 0)
            return "refused without a reason";
        return slice_equal(buffer_slice(&was), buffer_slice(&is))
                   ? NULL
                   : "refused, and changed something";
    }
    o->obeyed++;
    if (result.epoch != epoch + 1 && !(c.code == CLUSTER_UPDATE && result.epoch == epoch))
        return "a change without its epoch";
    return look(o, &c);
}

static inline void begin(struct onlooker *o, uint64_t seed)
{
    *o = (struct onlooker){.state = cluster_state_create(), .random = prng_make(seed)};
    struct cluster_command c = make_found(CHECK_PARTITIONS, 3, 3);
    assert_int_equal(apply(o->state, &c).st, 0);
    for (uint64_t id = 1; id <= 5; id++) {
        c = make_add(id);
        assert_int_equal(apply(o->state, &c).st, 0);
    }
    for (unsigned i = 0; i < CHECK_PROPOSERS; i++)
        o->copies[i] = copy_of(o->state);
    assert_null(look(o, &c));
}

/* NULL, or what went wrong. The onlooker's counts are added to *sum, unless it is NULL. */
static inline const char *check_history(uint64_t seed, unsigned commands, struct onlooker *sum)
{
    struct onlooker *o = malloc(sizeof(*o));
    begin(o, seed);
    struct cluster_state *shadow = copy_of(o->state);
    const char *broken = NULL;
    for (unsigned i = 0; i < commands && broken == NULL; i++) {
        broken = step(o, shadow);
        if (broken == NULL)
            broken = cluster_state_broken(o->state);
        struct cluster_state **copy = draw(o, 3) == 0 ? &o->copies[draw(o, CHECK_PROPOSERS)] : NULL;
        if (i % 64 == 63)
            copy = &shadow;
        if (copy == NULL || broken != NULL)
            continue;
        cluster_state_free(*copy);
        *copy = copy_of(o->state);
        if (*copy == NULL)
            broken = "a snapshot can't be decoded";
    }
    if (sum != NULL) {
        sum->obeyed += o->obeyed;
        sum->moved += o->moved;
        sum->raced += o->raced;
    }
    for (unsigned i = 0; i < CHECK_PROPOSERS; i++)
        cluster_state_free(o->copies[i]);
    cluster_state_free(shadow);
    cluster_state_free(o->state);
    free(o);
    return broken;
}
