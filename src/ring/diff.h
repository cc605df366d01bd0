/* From a map to a proposal (ring/placement.h): which partitions have to move, and in which order.
 *
 * The order: first what repairs, the partition with the fewest live replicas before the others;
 * then the rest. Within each of these a move is taken as soon as it brings all members it touches
 * nearer to the load they are to have, what spreads a partition over more zones before what only
 * balances; and only where no such move is left, one that leads through somebody who is where he
 * should be. So after each move no partition is less safe than before, and after the repairs, which
 * may fill somebody beyond his share for a while, the balance gets better as steadily as the
 * proposal allows: the list may be stopped anywhere, or planned anew. */
#pragma once

#include "ring/map.h"
#include "ring/placement.h"

enum ring_urgency { RING_REPAIR, RING_SPREAD, RING_BALANCE };

struct ring_move {
    uint16_t partition;
    uint8_t urgency; /* enum ring_urgency */
    uint8_t live;    /* owners that are not taken for dead, before it */
    uint8_t added_count, removed_count;
    uint64_t added[RING_REPLICAS_MAX], removed[RING_REPLICAS_MAX]; /* nodes */
};

/* Who has the layer's partitions when all moves under way are done: as placement wants it. rows: as
 * many as partitions. */
void ring_diff_current(const struct ring_map *map, unsigned layer, struct placement_row *rows);

/* Freed by the caller. Partitions that move already are left out, and those that nobody owns yet,
 * or nobody is to own. rows name members only. */
struct ring_move *ring_diff(const struct ring_map *map, unsigned layer,
                            const struct placement_row *rows, unsigned *ret_count);
