/* Augmenting paths: one replica placed, shed or raised by a chain of swaps, the shortest there is.
 *
 * The placement is a flow: from each partition to zones, between their low and high, from the zone
 * of a partition to the zone's members, at most one each, and out of each member at most its high.
 * A chain  a -> b -> c  means: b takes a's place in some partition, c takes b's in some other. In
 * the residual network a member leads to the (partition, zone) pairs it is in; a pair leads to the
 * zone's members that lack the partition, and, where the zone has more than its low, to the other
 * pairs of that partition that have less than their high. Breadth first, each node once: what is
 * found is simple, so all swaps of a chain are valid together, in whatever order they are made. */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "ring/placement_private.h"

struct step {
    uint32_t partition; /* where it takes the place */
    uint16_t from;      /* of this one; PLACEMENT_NOBODY: of nobody */
    bool reached;
};

enum goal { GOAL_BELOW_HIGH, GOAL_MEMBER };

struct search {
    struct place *p;
    struct step *steps; /* per member */
    uint16_t *queue;
    unsigned head, tail;
    uint64_t *pairs_seen, *rows_seen; /* bits */
    enum goal goal;
    unsigned goal_member, found;
};

static bool mark(uint64_t *bits, uint64_t at)
{
    uint64_t bit = UINT64_C(1) << (at & 63);
    bool new = (bits[at >> 6] & bit) == 0;
    bits[at >> 6] |= bit;
    return new;
}

static void search_begin(struct search *s, struct place *p, enum goal goal, unsigned goal_member)
{
    uint64_t pairs = (uint64_t)p->partitions * p->zone_count;
    *s = (struct search){
        .p = p,
        .steps = mem_zalloc(p->member_count * sizeof(*s->steps)),
        .queue = mem_alloc(p->member_count * sizeof(*s->queue)),
        .pairs_seen = mem_zalloc((pairs / 64 + 1) * sizeof(uint64_t)),
        .rows_seen = mem_zalloc((p->partitions / 64 + 1) * sizeof(uint64_t)),
        .goal = goal,
        .goal_member = goal_member,
        .found = PLACEMENT_NOBODY,
    };
}

static void search_end(struct search *s)
{
    free(s->steps);
    free(s->queue);
    free(s->pairs_seen);
    free(s->rows_seen);
}

static void reach(struct search *s, unsigned member, unsigned partition, unsigned from)
{
    struct step *step = &s->steps[member];
    if (step->reached)
        return;
    *step = (struct step){.partition = partition, .from = (uint16_t)from, .reached = true};
    s->queue[s->tail++] = (uint16_t)member;
    const struct place_member *m = &s->p->members[member];
    bool goal = s->goal == GOAL_MEMBER ? member == s->goal_member : m->load < m->high;
    if (goal && s->found == PLACEMENT_NOBODY)
        s->found = member;
}

/* A source: it gives a replica away without getting another. */
static void begin_at(struct search *s, unsigned member)
{
    s->steps[member] = (struct step){.from = PLACEMENT_NOBODY, .reached = true};
    s->queue[s->tail++] = (uint16_t)member;
}

/* To the members of the zone that lack the partition. */
static void reach_pair(struct search *s, unsigned partition, unsigned zone, unsigned from)
{
    const struct place *p = s->p;
    if (!mark(s->pairs_seen, (uint64_t)partition * p->zone_count + zone))
        return;
    for (unsigned i = 0; i < p->zones[zone].members; i++) {
        unsigned m = p->zones[zone].list[i];
        if (!place_has(&p->rows[partition], m))
            reach(s, m, partition, from);
    }
}

static void expand(struct search *s, unsigned member)
{
    const struct place *p = s->p;
    unsigned own = p->members[member].zone;
    for (unsigned i = 0; i < p->partitions && s->found == PLACEMENT_NOBODY; i++) {
        const struct place_row *row = &p->rows[i];
        if (!place_has(row, member))
            continue;
        reach_pair(s, i, own, member);
        if (place_in_zone(p, row, own) <= p->zones[own].low || !mark(s->rows_seen, i))
            continue;
        for (unsigned zone = 0; zone < p->zone_count; zone++) {
            if (zone != own && place_in_zone(p, row, zone) < p->zones[zone].high)
                reach_pair(s, i, zone, member);
        }
    }
}

static bool search_run(struct search *s)
{
    while (s->found == PLACEMENT_NOBODY && s->head < s->tail)
        expand(s, s->queue[s->head++]);
    return s->found != PLACEMENT_NOBODY;
}

/* From the end of the chain to its begin. With `supply` the first took nobody's place. */
static void apply(struct search *s, bool supply)
{
    struct place *p = s->p;
    unsigned member = s->found;
    while (s->steps[member].from != PLACEMENT_NOBODY) {
        const struct step *step = &s->steps[member];
        place_swap(p, &p->rows[step->partition], step->from, member);
        member = step->from;
    }
    if (supply)
        place_add(p, &p->rows[s->steps[member].partition], member);
}

bool place_supply(struct place *p, unsigned partition)
{
    struct search s;
    search_begin(&s, p, GOAL_BELOW_HIGH, 0);
    mark(s.rows_seen, partition); /* what it may lead to is reached here */
    for (unsigned m = 0; m < p->member_count; m++) {
        if (place_may_add(p, &p->rows[partition], m))
            reach_pair(&s, partition, p->members[m].zone, PLACEMENT_NOBODY);
    }
    bool found = search_run(&s);
    if (found)
        apply(&s, true);
    search_end(&s);
    return found;
}

bool place_shed(struct place *p, unsigned member)
{
    struct search s;
    search_begin(&s, p, GOAL_BELOW_HIGH, 0);
    begin_at(&s, member);
    bool found = search_run(&s);
    if (found)
        apply(&s, false);
    search_end(&s);
    return found;
}

bool place_raise(struct place *p, unsigned member)
{
    struct search s;
    search_begin(&s, p, GOAL_MEMBER, member);
    for (unsigned m = 0; m < p->member_count; m++) {
        if (m != member && p->members[m].load > p->members[m].low)
            begin_at(&s, m);
    }
    bool found = search_run(&s);
    if (found)
        apply(&s, false);
    search_end(&s);
    return found;
}
