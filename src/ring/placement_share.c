/* Who should have how much.
 *
 * A member's weighted share is P x N x its weight / all weights. It can't have more than one
 * replica of a partition, and zones must have what spreading asks for: so the attainable share is
 * the one of the form min(P, level x weight), with one level for all zones but those which that
 * would take beyond their limits; each of those has the level that keeps it at its limit. Levels
 * are found by bisection on integers: the same everywhere.
 *
 * Bounds can be met together with the zones exactly if each zone's members can hold what the zone
 * must have, and all zones together all replicas: rows of nearly equal length can always be filled
 * from columns of at most P (Gale, Ryser), within a zone as well as over the zones. */
#include "base/check.h"
#include "ring/placement_private.h"

#define LEVEL_ONE_BITS 16

/* Counts N out over the zones, one to each zone that has a member left, round by round: all of a
 * zone's full rounds are its low; the round that does not reach all makes its high. */
void place_zone_limits(struct place *p)
{
    unsigned left = p->replicas;
    for (unsigned z = 0; z < p->zone_count; z++)
        p->zones[z].low = p->zones[z].high = 0;
    for (unsigned round = 1; left > 0; round++) {
        unsigned open = 0;
        for (unsigned z = 0; z < p->zone_count; z++)
            open += p->zones[z].members >= round;
        CHECK(open > 0); /* replicas are at most as many as members */
        for (unsigned z = 0; z < p->zone_count; z++) {
            if (p->zones[z].members < round)
                continue;
            p->zones[z].high = round;
            if (open <= left)
                p->zones[z].low = round;
        }
        left -= open <= left ? open : left;
    }
    p->zones_low = 0;
    for (unsigned z = 0; z < p->zone_count; z++)
        p->zones_low += p->zones[z].low;
}

static uint64_t share_at(const struct place *p, const struct place_member *m, uint64_t level)
{
    uint64_t most = (uint64_t)p->partitions * SHARE_ONE;
    uint64_t share = level * m->weight >> LEVEL_ONE_BITS;
    return share < most ? share : most;
}

static uint64_t zone_share_at(const struct place *p, const struct place_zone *zone, uint64_t level)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < zone->members; i++)
        sum += share_at(p, &p->members[zone->list[i]], level);
    return sum;
}

static uint64_t zone_clamp(const struct place *p, const struct place_zone *zone, uint64_t share)
{
    uint64_t low = (uint64_t)p->partitions * zone->low * SHARE_ONE;
    uint64_t high = (uint64_t)p->partitions * zone->high * SHARE_ONE;
    return share < low ? low : share > high ? high : share;
}

/* The smallest level at which the zone, or with NULL all of them within their limits, has `want`:
 * at the highest one every member has all partitions. */
static uint64_t find_level(const struct place *p, const struct place_zone *zone, uint64_t want)
{
    uint64_t low = 0, high = (uint64_t)p->partitions * SHARE_ONE << LEVEL_ONE_BITS;
    while (low < high) {
        uint64_t level = low + (high - low) / 2, sum = 0;
        for (unsigned z = 0; zone == NULL && z < p->zone_count; z++)
            sum += zone_clamp(p, &p->zones[z], zone_share_at(p, &p->zones[z], level));
        if (zone != NULL)
            sum = zone_share_at(p, zone, level);
        if (sum < want)
            low = level + 1;
        else
            high = level;
    }
    return low;
}

static void find_shares(struct place *p)
{
    uint64_t all = find_level(p, NULL, (uint64_t)p->partitions * p->replicas * SHARE_ONE);
    for (unsigned z = 0; z < p->zone_count; z++) {
        const struct place_zone *zone = &p->zones[z];
        uint64_t share = zone_share_at(p, zone, all);
        uint64_t limited = zone_clamp(p, zone, share);
        uint64_t level = limited == share ? all : find_level(p, zone, limited);
        for (unsigned i = 0; i < zone->members; i++) {
            struct place_member *m = &p->members[zone->list[i]];
            m->share = share_at(p, m, level);
        }
    }
}

static uint64_t capacity(const struct place *p, const struct place_zone *zone)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < zone->members; i++) {
        uint32_t bound = p->members[zone->list[i]].bound;
        sum += bound < p->partitions ? bound : p->partitions;
    }
    return sum;
}

static void find_feasible(struct place *p)
{
    uint64_t want = (uint64_t)p->partitions * p->replicas, zoned = 0, unzoned = 0;
    p->feasible = true;
    for (unsigned z = 0; z < p->zone_count; z++) {
        const struct place_zone *zone = &p->zones[z];
        uint64_t room = capacity(p, zone), most = (uint64_t)p->partitions * zone->high;
        if (room < (uint64_t)p->partitions * zone->low)
            p->feasible = false;
        unzoned += room;
        zoned += room < most ? room : most;
    }
    if (zoned < want)
        p->feasible = false;
    p->feasible_unzoned = unzoned >= want;
}

void place_shares(struct place *p)
{
    uint64_t weights = 0;
    for (unsigned m = 0; m < p->member_count; m++)
        weights += p->members[m].weight;
    for (unsigned m = 0; m < p->member_count; m++) {
        uint64_t share =
            (uint64_t)p->partitions * p->replicas * p->members[m].weight; /* x weights */
        p->members[m].bound =
            (uint32_t)((share * PLACEMENT_ABOVE_PERCENT + 100 * weights - 1) / (100 * weights));
    }
    find_shares(p);
    find_feasible(p);
    for (unsigned m = 0; m < p->member_count; m++) {
        struct place_member *member = &p->members[m];
        uint64_t whole = 100u * (uint64_t)SHARE_ONE;
        uint32_t high = (uint32_t)((member->share * PLACEMENT_ABOVE_PERCENT + whole - 1) / whole);
        member->high = p->feasible ? member->bound : high;
        member->low = (uint32_t)(member->share * PLACEMENT_BELOW_PERCENT / whole);
        if (member->low > member->high)
            member->low = member->high;
    }
}
