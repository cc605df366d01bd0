/* What the parts of placement share: placement.c (the steps), placement_share.c (who should have
 * how much), placement_path.c (augmenting paths). Members are numbered ascending by id, zones in
 * the order of their names. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ring/placement.h"
#include "ring/tokens.h"

#define PLACEMENT_NOBODY UINT16_MAX
#define SHARE_ONE        65536u /* shares are in parts of a replica */

struct place_member {
    uint64_t id;
    uint16_t weight, zone;
    uint32_t load;
    uint32_t low, high; /* what the steps aim at */
    uint32_t bound;     /* ceil(1.05 x weighted share) */
    uint64_t share;     /* attainable, in 1/65536 of a replica */
};

struct place_zone {
    unsigned members;
    unsigned low, high; /* replicas of one partition */
    uint16_t *list;     /* its members, ascending */
};

struct place_row {
    uint8_t count;
    uint16_t members[RING_REPLICAS_MAX];
};

struct place {
    unsigned partitions, replicas; /* replicas: as many as there can be, at most the wanted ones */
    unsigned member_count, zone_count;
    unsigned zones_low; /* of all zones together */
    struct place_member *members;
    struct place_zone *zones;
    struct place_row *rows;
    uint64_t *tokens;     /* of the partitions */
    uint16_t *zone_lists; /* what zones[].list point into */
    struct tokens *ring;
    bool sticky;   /* there is a current map */
    bool feasible; /* the bounds can be met together with the zones */
    bool feasible_unzoned;
};

/* --- placement_share.c: fills in low, high, bound, share --- */

void place_zone_limits(struct place *p);
void place_shares(struct place *p);

/* --- placement.c --- */

bool place_has(const struct place_row *row, unsigned member);
unsigned place_in_zone(const struct place *p, const struct place_row *row, unsigned zone);
bool place_may_add(const struct place *p, const struct place_row *row, unsigned member);
bool place_may_swap(const struct place *p, const struct place_row *row, unsigned out, unsigned in);
void place_add(struct place *p, struct place_row *row, unsigned member);
void place_swap(struct place *p, struct place_row *row, unsigned out, unsigned in);

/* --- placement_path.c: each moves one replica along a shortest chain, false when there is none */

bool place_supply(struct place *p, unsigned partition); /* one more replica */
bool place_shed(struct place *p, unsigned member);      /* one replica less */
bool place_raise(struct place *p, unsigned member);     /* one replica more */
