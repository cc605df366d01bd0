/* Where the replicas of partitions should be: a pure function that proposes. What holds is the
 * partition map (ring/map.h); this is never consulted to find an owner.
 *
 * On an empty map a partition gets the first N distinct members clockwise from its own token, as
 * far as that respects, in this order:
 * 1. distinct members;
 * 2. zones: no zone has more replicas of a partition than an even spread needs (members of one
 *    zone after the other are counted out until N are there), so that with N zones or more all
 *    are in distinct ones;
 * 3. the bound: nobody has more than ceil(1.05 x its weighted share) of the replicas (consistent
 *    hashing with bounded loads, arXiv 1608.01350). Where 1 or 2 make that impossible, the bound
 *    is 1.05 x the share nearest to the weights that they leave possible.
 * Whenever a placement exists that satisfies all three, one is found: what the walk can't place is
 * placed along shortest augmenting paths.
 *
 * With a current map replicas stay where they are, unless their member must not have them, or the
 * zones forbid it, or their member is above its bound, or another is below 0.95 of its share. What
 * a member gets is what it is nearest to on the ring. So a map that has seen many changes is as
 * balanced as a fresh one, but is not the same.
 *
 * The order of the members given does not matter, nor does anything but the arguments. What could
 * not be met is in the report. */
#pragma once

#include <stdint.h>

#include "ring/member.h"

#define PLACEMENT_ABOVE_PERCENT 105u
#define PLACEMENT_BELOW_PERCENT 95u

/* The members that have a partition, by id; the first is the nearest: its leader when nothing else
 * decides. */
struct placement_row {
    uint8_t count;
    uint64_t nodes[RING_REPLICAS_MAX];
};

struct placement_input {
    const struct ring_member *members; /* in any order; ids differ */
    unsigned member_count;
    unsigned partitions, replicas;
    const struct placement_row *current; /* as many as partitions; NULL: nothing is placed yet */
};

enum placement_why {
    PLACEMENT_FINE,
    PLACEMENT_MEMBERS, /* above the bound, as there are too few members, or the others too light */
    PLACEMENT_ZONES,   /* above the bound, as its zone is too light for what it must have */
};

struct placement_load {
    uint64_t id;
    uint32_t load, bound; /* replicas; bound: ceil(1.05 x weighted share), whether met or not */
    uint8_t why;          /* enum placement_why */
};

struct placement_report {
    unsigned members, zones;      /* eligible ones */
    unsigned short_partitions;    /* with fewer replicas than wanted, */
    unsigned short_replicas;      /* and how many they lack */
    unsigned unspread_partitions; /* with two replicas in one zone */
    unsigned over;                /* members above the bound */
    unsigned moved;               /* replicas that are on members they were not on before */
    struct placement_load *loads; /* of the eligible members, ascending by id */
};

/* ret_rows: as many as partitions. ST_INVALID: partitions no power of two in range, replicas not
 * 1 to RING_REPLICAS_MAX, too many members, two of one id, a weight out of range, a current row
 * that is too long. */
int placement_propose(const struct placement_input *input, struct placement_row *ret_rows,
                      struct placement_report *ret_report);
void placement_report_done(struct placement_report *report); /* frees what it holds */
