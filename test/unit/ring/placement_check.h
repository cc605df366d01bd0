/* What every proposal must satisfy, said independently of how it is made: NULL, or what is wrong.
 * And clusters to try it on. Shared by the property tests and the one that shows, with planted
 * bugs, that they can fail. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "ring/placement.h"

struct cluster {
    struct ring_member members[128];
    unsigned member_count, partitions, replicas;
    struct placement_row *rows; /* the last proposal, all of it in force */
    struct placement_report report;
    bool placed;
};

static inline struct ring_member make_member(uint64_t id, unsigned zone, unsigned weight)
{
    struct ring_member m = {.id = id, .state = RING_ACTIVE, .weight = (uint16_t)weight};
    snprintf(m.zone, sizeof(m.zone), "zone-%u", zone);
    return m;
}

/* 3-100 members with random ids, 1-10 zones or each its own, weights equal or from 0.1 to 4. */
static inline void cluster_random(struct cluster *c, struct prng *prng)
{
    memset(c, 0, sizeof(*c));
    c->member_count = 3 + (unsigned)prng_below(prng, prng_below(prng, 2) ? 98 : 10);
    c->partitions = 64u << prng_below(prng, 5);
    c->replicas = 1 + (unsigned)prng_below(prng, 5);
    unsigned zones = prng_below(prng, 3) ? 1 + (unsigned)prng_below(prng, 10) : c->member_count;
    bool equal = prng_below(prng, 2), round_robin = prng_below(prng, 2);
    for (unsigned m = 0; m < c->member_count; m++) {
        unsigned zone = round_robin ? m % zones : (unsigned)prng_below(prng, zones);
        unsigned weight = equal ? 100 : 10 + (unsigned)prng_below(prng, 391);
        c->members[m] = make_member(prng_u64(prng) | 1, zone, weight);
    }
    c->rows = mem_zalloc(c->partitions * sizeof(*c->rows));
}

static inline void cluster_done(struct cluster *c)
{
    free(c->rows);
    placement_report_done(&c->report);
}

static inline const struct ring_member *cluster_member(const struct cluster *c, uint64_t id)
{
    for (unsigned m = 0; m < c->member_count; m++) {
        if (c->members[m].id == id && ring_member_eligible(&c->members[m]))
            return &c->members[m];
    }
    return NULL;
}

static inline unsigned eligible_in_zone(const struct cluster *c, const char *zone)
{
    unsigned count = 0;
    for (unsigned m = 0; m < c->member_count; m++) {
        count += ring_member_eligible(&c->members[m]) &&
                 (zone == NULL || strcmp(c->members[m].zone, zone) == 0);
    }
    return count;
}

/* A row with its members looked up. */
struct owners {
    unsigned count;
    const struct ring_member *list[RING_REPLICAS_MAX]; /* NULL: may not have it */
};

static inline struct owners find_owners(const struct cluster *c, const struct placement_row *row)
{
    struct owners owners = {.count = row->count};
    for (unsigned i = 0; i < row->count; i++)
        owners.list[i] = cluster_member(c, row->nodes[i]);
    return owners;
}

static inline unsigned owners_in_zone(const struct owners *owners, const char *zone)
{
    unsigned count = 0;
    for (unsigned i = 0; i < owners->count; i++)
        count += strcmp(owners->list[i]->zone, zone) == 0;
    return count;
}

/* As many as can be, distinct, and no zone could be relieved by one that has two less. */
static inline const char *check_row(const struct cluster *c, const struct placement_row *row)
{
    unsigned eligible = eligible_in_zone(c, NULL);
    struct owners owners = find_owners(c, row);
    if (row->count != (c->replicas < eligible ? c->replicas : eligible))
        return "replicas are missing";
    for (unsigned i = 0; i < row->count; i++) {
        if (owners.list[i] == NULL)
            return "on a member that may not have it";
        for (unsigned j = 0; j < i; j++) {
            if (row->nodes[i] == row->nodes[j])
                return "twice on one member";
        }
    }
    for (unsigned i = 0; i < row->count; i++) {
        unsigned most = owners_in_zone(&owners, owners.list[i]->zone);
        for (unsigned m = 0; most > 1 && m < c->member_count; m++) {
            const char *zone = c->members[m].zone;
            unsigned has = owners_in_zone(&owners, zone);
            if (has + 2 <= most && has < eligible_in_zone(c, zone))
                return "zones are not spread";
        }
    }
    return NULL;
}

static inline uint64_t bound_of(const struct cluster *c, const struct ring_member *m)
{
    uint64_t weights = 0, eligible = eligible_in_zone(c, NULL);
    uint64_t replicas = c->replicas < eligible ? c->replicas : eligible;
    for (unsigned i = 0; i < c->member_count; i++)
        weights += ring_member_eligible(&c->members[i]) ? c->members[i].weight : 0;
    uint64_t share = c->partitions * replicas * m->weight * 105;
    return (share + weights * 100 - 1) / (weights * 100);
}

/* Whether the bounds can't be met, for a reason that anybody can see: all the room that zones and
 * distinctness leave is too little. */
static inline bool bounds_impossible(const struct cluster *c)
{
    uint64_t eligible = eligible_in_zone(c, NULL), room = 0;
    uint64_t replicas = c->replicas < eligible ? c->replicas : eligible;
    for (unsigned m = 0; m < c->member_count; m++) {
        const char *zone = c->members[m].zone;
        bool first = ring_member_eligible(&c->members[m]);
        for (unsigned i = 0; i < m; i++)
            first = first && !(ring_member_eligible(&c->members[i]) &&
                               strcmp(c->members[i].zone, zone) == 0);
        if (!first)
            continue;
        /* Least and most of a partition in this zone, counting rounds over all zones. */
        unsigned least = 0, most = 0, in_zone = eligible_in_zone(c, zone);
        uint64_t left = replicas, zone_room = 0;
        for (unsigned round = 1; left > 0; round++) {
            unsigned open = 0;
            for (unsigned i = 0; i < c->member_count; i++) {
                bool counts = ring_member_eligible(&c->members[i]) &&
                              eligible_in_zone(c, c->members[i].zone) >= round;
                for (unsigned j = 0; j < i; j++)
                    counts = counts && !(ring_member_eligible(&c->members[j]) &&
                                         strcmp(c->members[i].zone, c->members[j].zone) == 0);
                open += counts;
            }
            if (in_zone >= round) {
                most = round;
                least = open <= left ? round : least;
            }
            left -= open <= left ? open : left;
        }
        for (unsigned i = 0; i < c->member_count; i++) {
            if (!ring_member_eligible(&c->members[i]) || strcmp(c->members[i].zone, zone) != 0)
                continue;
            uint64_t bound = bound_of(c, &c->members[i]);
            zone_room += bound < c->partitions ? bound : c->partitions;
        }
        if (zone_room < (uint64_t)c->partitions * least)
            return true;
        room +=
            zone_room < (uint64_t)c->partitions * most ? zone_room : (uint64_t)c->partitions * most;
    }
    return room < c->partitions * replicas;
}

static inline const char *check_loads(const struct cluster *c)
{
    const struct placement_report *r = &c->report;
    unsigned over = 0, zoned = 0;
    if (r->members != eligible_in_zone(c, NULL))
        return "the report is of other members";
    for (unsigned i = 0; i < r->members; i++) {
        const struct ring_member *m = cluster_member(c, r->loads[i].id);
        unsigned load = 0;
        for (unsigned p = 0; p < c->partitions; p++) {
            for (unsigned j = 0; j < c->rows[p].count; j++)
                load += c->rows[p].nodes[j] == r->loads[i].id;
        }
        if (m == NULL || load != r->loads[i].load || bound_of(c, m) != r->loads[i].bound)
            return "the report tells a wrong load or bound";
        if ((load > r->loads[i].bound) != (r->loads[i].why != PLACEMENT_FINE))
            return "the report hides or invents who is above the bound";
        over += load > r->loads[i].bound;
        zoned += r->loads[i].why == PLACEMENT_ZONES;
    }
    if (over != r->over || (zoned > 0 && zoned != over))
        return "the report counts wrong";
    if (over > 0 && !bounds_impossible(c))
        return "above the bound without need";
    return NULL;
}

static inline const char *check_report(const struct cluster *c)
{
    unsigned short_partitions = 0, short_replicas = 0, unspread = 0;
    for (unsigned p = 0; p < c->partitions; p++) {
        const struct placement_row *row = &c->rows[p];
        struct owners owners = find_owners(c, row);
        bool shared = false;
        for (unsigned i = 0; i < row->count; i++)
            shared = shared || owners_in_zone(&owners, owners.list[i]->zone) > 1;
        unspread += shared;
        short_partitions += row->count < c->replicas;
        short_replicas += c->replicas - row->count;
    }
    bool same = unspread == c->report.unspread_partitions &&
                short_partitions == c->report.short_partitions &&
                short_replicas == c->report.short_replicas;
    return same ? NULL : "the report tells wrong what could not be met";
}

static inline int cluster_propose(const struct cluster *c, struct placement_row *ret_rows,
                                  struct placement_report *ret_report)
{
    struct placement_input input = {.members = c->members,
                                    .member_count = c->member_count,
                                    .partitions = c->partitions,
                                    .replicas = c->replicas,
                                    .current = c->placed ? c->rows : NULL};
    return placement_propose(&input, ret_rows, ret_report);
}

/* The members in another order give the same rows; asked again, nothing moves. */
static inline const char *check_same(const struct cluster *c, const struct placement_row *rows,
                                     bool shuffle, struct prng *prng)
{
    struct cluster other = *c;
    for (unsigned m = other.member_count; shuffle && m > 1; m--) {
        unsigned with = (unsigned)prng_below(prng, m);
        struct ring_member swapped = other.members[m - 1];
        other.members[m - 1] = other.members[with];
        other.members[with] = swapped;
    }
    struct placement_report report;
    MEM_AUTO struct placement_row *again = mem_zalloc(c->partitions * sizeof(*again));
    if (cluster_propose(&other, again, &report) != 0)
        return "refused";
    placement_report_done(&report);
    return memcmp(again, rows, c->partitions * sizeof(*again)) == 0 ? NULL : "another proposal";
}

/* Proposes, checks everything, and puts the proposal in force. */
static inline const char *cluster_step(struct cluster *c, struct prng *prng)
{
    struct placement_row *rows = mem_zalloc(c->partitions * sizeof(*rows));
    struct placement_report report;
    if (cluster_propose(c, rows, &report) != 0)
        return free(rows), "refused";
    const char *wrong = check_same(c, rows, true, prng) ? "the order of members matters" : NULL;
    cluster_done(c);
    c->rows = rows;
    c->report = report;
    c->placed = true;
    for (unsigned p = 0; p < c->partitions && wrong == NULL; p++)
        wrong = check_row(c, &rows[p]);
    if (wrong == NULL)
        wrong = check_loads(c);
    if (wrong == NULL)
        wrong = check_report(c);
    if (wrong == NULL && check_same(c, rows, false, prng) != NULL)
        wrong = "asked again, it moves something";
    return wrong;
}

/* Somebody joins, leaves, dies, changes weight, zone; or the number of replicas changes. */
static inline void cluster_change(struct cluster *c, struct prng *prng)
{
    struct ring_member *m = &c->members[prng_below(prng, c->member_count)];
    switch (prng_below(prng, 7)) {
    case 0:
    case 1:
        if (c->member_count < 110) {
            m = &c->members[c->member_count++];
            *m = make_member(prng_u64(prng) | 1, (unsigned)prng_below(prng, 5),
                             50 + (unsigned)prng_below(prng, 100));
            m->state = RING_JOINING;
        }
        break;
    case 2:
        m->state = RING_LEAVING;
        break;
    case 3:
        m->state = RING_REMOVING;
        break;
    case 4:
        m->weight = (uint16_t)prng_below(prng, 400);
        break;
    case 5:
        snprintf(m->zone, sizeof(m->zone), "zone-%u", (unsigned)prng_below(prng, 5));
        break;
    case 6:
        c->replicas = 1 + (unsigned)prng_below(prng, 5);
        break;
    }
}

/* One history of a cluster, from its birth over `changes`. */
static inline const char *check_history(uint64_t seed, unsigned changes)
{
    struct prng prng = prng_make(seed);
    struct cluster c;
    cluster_random(&c, &prng);
    const char *wrong = cluster_step(&c, &prng);
    for (unsigned i = 0; i < changes && wrong == NULL; i++) {
        cluster_change(&c, &prng);
        wrong = cluster_step(&c, &prng);
    }
    cluster_done(&c);
    return wrong;
}
