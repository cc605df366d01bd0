/* A dry run of the moves to a proposal: what would go from where to where, how long that takes, and
 * which failures stay survivable meanwhile. For a change that is only thought of (somebody joins,
 * leaves), the caller makes it on a copy of the map, and plans on that.
 *
 * A partition survives as long as a majority of its owners lives; while it moves, a majority of
 * the old set and one of the new (joint consensus; quorums hold in both). So what is fatal
 * before or after is fatal meanwhile, and nothing else is. Members that are taken for dead
 * (RING_REMOVING) count as failed already. */
#pragma once

#include "ring/diff.h"

struct ring_plan_input {
    const struct ring_map *map;
    unsigned layer;
    const struct placement_row *rows;
    const uint64_t *partition_bytes; /* as many as partitions; NULL: not known, taken for 0 */
    uint64_t node_bytes_per_s;       /* the limit in and out of one node; 0: none */
};

struct ring_flow {
    uint64_t from, to; /* from 0: no live replica is left to copy from */
    unsigned partitions;
    uint64_t bytes;
};

struct ring_fate {
    uint64_t id;
    /* Its failure alone takes some partition its majority; the failure of its whole zone does. */
    bool fatal_before, fatal_after, zone_fatal_before, zone_fatal_after;
    unsigned replicas_before, replicas_after;
    uint64_t bytes_in, bytes_out;
};

struct ring_plan {
    struct ring_move *moves; /* in their order */
    struct ring_flow *flows; /* ascending by from and to */
    struct ring_fate *fates; /* of all members, ascending by id */
    unsigned move_count, flow_count, fate_count;
    unsigned replicas; /* to be copied */
    uint64_t bytes, seconds;
    /* So many nodes, whichever, may fail at once before, meanwhile and after; of the partitions
     * that have a majority now. */
    unsigned survives_before, survives_meanwhile, survives_after;
    unsigned lost_before, lost_after; /* partitions without a majority */
};

void ring_plan(const struct ring_plan_input *input, struct ring_plan *ret_plan);
void ring_plan_done(struct ring_plan *plan); /* frees what it holds */
