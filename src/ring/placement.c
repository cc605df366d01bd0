/* The steps of a proposal:
 *
 *   take      what the current map has on members that may have it
 *   trim      what the zones or the number of replicas forbid; from the fullest
 *   fill      what lacks, walking clockwise; what the walk can't place, by place_supply()
 *   raise     members below their low get what they are nearest to, from the fullest
 *   shed      members above their high give what they are farthest from
 *
 * Within a step partitions go by number and members by id; members of equal merit go by id. */
#include "ring/placement.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "ring/placement_private.h"
#include "ring/slot.h"

/* --- rows --- */

bool place_has(const struct place_row *row, unsigned member)
{
    for (unsigned i = 0; i < row->count; i++) {
        if (row->members[i] == member)
            return true;
    }
    return false;
}

unsigned place_in_zone(const struct place *p, const struct place_row *row, unsigned zone)
{
    unsigned count = 0;
    for (unsigned i = 0; i < row->count; i++)
        count += p->members[row->members[i]].zone == zone;
    return count;
}

/* How many replicas zones still must get. */
static unsigned zones_lack(const struct place *p, const struct place_row *row)
{
    unsigned covered = 0;
    for (unsigned i = 0; i < row->count; i++) {
        unsigned zone = p->members[row->members[i]].zone, before = 0;
        for (unsigned j = 0; j < i; j++)
            before += p->members[row->members[j]].zone == zone;
        covered += before < p->zones[zone].low;
    }
    return p->zones_low - covered;
}

bool place_may_add(const struct place *p, const struct place_row *row, unsigned member)
{
    if (row->count >= p->replicas || place_has(row, member))
        return false;
    if (PLANTED(ring_zone_ignored))
        return true;
    const struct place_zone *zone = &p->zones[p->members[member].zone];
    unsigned in_zone = place_in_zone(p, row, p->members[member].zone);
    if (in_zone < zone->low)
        return true;
    return in_zone < zone->high && zones_lack(p, row) < p->replicas - row->count;
}

bool place_may_swap(const struct place *p, const struct place_row *row, unsigned out, unsigned in)
{
    if (place_has(row, in))
        return false;
    unsigned from = p->members[out].zone, to = p->members[in].zone;
    if (from == to || PLANTED(ring_zone_ignored))
        return true;
    return place_in_zone(p, row, from) > p->zones[from].low &&
           place_in_zone(p, row, to) < p->zones[to].high;
}

void place_add(struct place *p, struct place_row *row, unsigned member)
{
    CHECK(row->count < RING_REPLICAS_MAX);
    row->members[row->count++] = (uint16_t)member;
    p->members[member].load++;
}

void place_swap(struct place *p, struct place_row *row, unsigned out, unsigned in)
{
    for (unsigned i = 0; i < row->count; i++) {
        if (row->members[i] == out) {
            row->members[i] = (uint16_t)in;
            p->members[out].load--;
            p->members[in].load++;
            return;
        }
    }
    CHECK(!"the row has the member");
}

static int64_t surplus(const struct place_member *m)
{
    return (int64_t)m->load * (int64_t)SHARE_ONE - (int64_t)m->share;
}

static uint64_t distance(const struct place *p, unsigned partition, unsigned member)
{
    return tokens_distance(p->ring, member, p->tokens[partition]);
}

/* --- take and trim --- */

static unsigned find_member(const struct place *p, uint64_t id)
{
    unsigned low = 0, high = p->member_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (p->members[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->member_count && p->members[low].id == id ? low : PLACEMENT_NOBODY;
}

static void take(struct place *p, const struct placement_row *current)
{
    for (unsigned i = 0; i < p->partitions; i++) {
        for (unsigned j = 0; j < current[i].count; j++) {
            unsigned m = find_member(p, current[i].nodes[j]);
            if (m != PLACEMENT_NOBODY && !place_has(&p->rows[i], m))
                place_add(p, &p->rows[i], m);
        }
    }
}

static bool zone_overfull(const struct place *p, const struct place_row *row)
{
    for (unsigned i = 0; i < row->count; i++) {
        unsigned zone = p->members[row->members[i]].zone;
        if (place_in_zone(p, row, zone) > p->zones[zone].high)
            return true;
    }
    return false;
}

static void trim_row(struct place *p, unsigned partition)
{
    struct place_row *row = &p->rows[partition];
    for (;;) {
        bool overfull = zone_overfull(p, row);
        if (!overfull && row->count + zones_lack(p, row) <= p->replicas)
            return;
        unsigned out = RING_REPLICAS_MAX;
        for (unsigned i = 0; i < row->count; i++) {
            const struct place_member *m = &p->members[row->members[i]];
            const struct place_zone *zone = &p->zones[m->zone];
            if (place_in_zone(p, row, m->zone) <= (overfull ? zone->high : zone->low))
                continue;
            if (out == RING_REPLICAS_MAX || surplus(m) > surplus(&p->members[row->members[out]]))
                out = i;
        }
        CHECK(out < row->count); /* zones' lows together are no more than the replicas */
        p->members[row->members[out]].load--;
        memmove(&row->members[out], &row->members[out + 1],
                (row->count - out - 1u) * sizeof(row->members[0]));
        row->count--;
    }
}

/* --- fill --- */

enum limit { LIMIT_SHARE, LIMIT_HIGH, LIMIT_NONE };

static bool below(const struct place_member *m, enum limit limit)
{
    if (limit == LIMIT_NONE)
        return true;
    /* A bound may lie below the share that the zones leave. */
    return m->load < m->high && (limit == LIMIT_HIGH || surplus(m) < 0);
}

static void walk(struct place *p, unsigned partition, enum limit limit)
{
    struct place_row *row = &p->rows[partition];
    uint32_t count = tokens_count(p->ring), from = tokens_from(p->ring, p->tokens[partition]);
    for (uint32_t i = 0; i < count && row->count < p->replicas; i++) {
        unsigned m = tokens_member(p->ring, from + i);
        if (below(&p->members[m], limit) && place_may_add(p, row, m))
            place_add(p, row, m);
    }
}

/* Where something is placed already, what is added goes first to those below their share: else
 * those who reach their bound now would have others pull from them at once. */
static void fill(struct place *p, unsigned partition)
{
    if (PLANTED(ring_bound_ignored)) {
        walk(p, partition, LIMIT_NONE);
        return;
    }
    if (p->sticky)
        walk(p, partition, LIMIT_SHARE);
    walk(p, partition, LIMIT_HIGH);
    while (p->rows[partition].count < p->replicas && place_supply(p, partition))
        ;
    walk(p, partition, LIMIT_NONE); /* nothing is left to do where high is high enough */
}

/* --- raise and shed --- */

struct near {
    uint64_t distance;
    uint32_t partition;
};

static int compare_near(const void *left, const void *right)
{
    const struct near *a = left, *b = right;
    if (a->distance != b->distance)
        return a->distance < b->distance ? -1 : 1;
    return a->partition < b->partition ? -1 : a->partition > b->partition;
}

/* The partitions that the member has, or those it has not, nearest first. Freed by the caller. */
static struct near *nearest(const struct place *p, unsigned member, bool has, unsigned *ret_count)
{
    struct near *list = mem_alloc(p->partitions * sizeof(*list));
    unsigned count = 0;
    for (unsigned i = 0; i < p->partitions; i++) {
        if (place_has(&p->rows[i], member) == has)
            list[count++] = (struct near){distance(p, i, member), i};
    }
    qsort(list, count, sizeof(*list), compare_near);
    *ret_count = count;
    return list;
}

static void raise_member(struct place *p, unsigned member)
{
    struct place_member *m = &p->members[member];
    if (m->load >= m->low)
        return;
    unsigned count;
    MEM_AUTO struct near *list = nearest(p, member, false, &count);
    for (unsigned i = 0; i < count && m->load < m->low; i++) {
        struct place_row *row = &p->rows[list[i].partition];
        unsigned out = PLACEMENT_NOBODY;
        for (unsigned j = 0; j < row->count; j++) {
            unsigned other = row->members[j];
            if (surplus(&p->members[other]) <= 0 || !place_may_swap(p, row, other, member))
                continue;
            if (out == PLACEMENT_NOBODY || surplus(&p->members[other]) > surplus(&p->members[out]))
                out = other;
        }
        if (out != PLACEMENT_NOBODY)
            place_swap(p, row, out, member);
    }
    while (m->load < m->low && place_raise(p, member))
        ;
}

/* The next clockwise who is below his share. */
static unsigned find_taker(const struct place *p, unsigned partition, unsigned member)
{
    uint32_t count = tokens_count(p->ring), from = tokens_from(p->ring, p->tokens[partition]);
    for (uint32_t i = 0; i < count; i++) {
        unsigned m = tokens_member(p->ring, from + i);
        if (below(&p->members[m], LIMIT_SHARE) && place_may_swap(p, &p->rows[partition], member, m))
            return m;
    }
    return PLACEMENT_NOBODY;
}

static void shed_member(struct place *p, unsigned member)
{
    struct place_member *m = &p->members[member];
    if (m->load <= m->high)
        return;
    unsigned count;
    MEM_AUTO struct near *list = nearest(p, member, true, &count);
    for (unsigned i = count; i-- > 0 && m->load > m->high;) {
        unsigned in = find_taker(p, list[i].partition, member);
        if (in != PLACEMENT_NOBODY)
            place_swap(p, &p->rows[list[i].partition], member, in);
    }
    while (m->load > m->high && place_shed(p, member))
        ;
}

static void balance(struct place *p, const uint16_t *order)
{
    if (PLANTED(ring_bound_ignored))
        return;
    for (unsigned i = 0; i < p->member_count; i++)
        raise_member(p, order[i]);
    for (unsigned i = 0; i < p->member_count; i++)
        shed_member(p, order[i]);
}

/* --- from the input, to the output --- */

static int compare_members(const void *left, const void *right)
{
    const struct ring_member *a = *(const struct ring_member *const *)left;
    const struct ring_member *b = *(const struct ring_member *const *)right;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int compare_zones(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int check_input(const struct placement_input *in)
{
    if (!slot_partitions_valid(in->partitions) || in->replicas == 0 ||
        in->replicas > RING_REPLICAS_MAX || in->member_count > RING_MEMBERS_MAX)
        return ST_INVALID;
    for (unsigned m = 0; m < in->member_count; m++) {
        if (in->members[m].weight > RING_WEIGHT_MAX ||
            memchr(in->members[m].zone, 0, sizeof(in->members[m].zone)) == NULL)
            return ST_INVALID;
    }
    for (unsigned i = 0; in->current != NULL && i < in->partitions; i++) {
        if (in->current[i].count > RING_REPLICAS_MAX)
            return ST_INVALID;
    }
    return 0;
}

/* Numbers the zones and lists their members. */
static void make_zones(struct place *p, const struct ring_member *const *members)
{
    MEM_AUTO const char **names = mem_alloc(p->member_count * sizeof(*names));
    for (unsigned m = 0; m < p->member_count; m++)
        names[m] = members[m]->zone;
    qsort(names, p->member_count, sizeof(*names), compare_zones);
    p->zones = mem_zalloc(p->member_count * sizeof(*p->zones));
    p->zone_lists = mem_alloc(p->member_count * sizeof(*p->zone_lists));
    unsigned used = 0;
    for (unsigned i = 0; i < p->member_count; i++) {
        if (i > 0 && strcmp(names[i - 1], names[i]) == 0)
            continue;
        struct place_zone *zone = &p->zones[p->zone_count];
        zone->list = p->zone_lists + used;
        for (unsigned m = 0; m < p->member_count; m++) {
            if (strcmp(members[m]->zone, names[i]) == 0) {
                p->members[m].zone = (uint16_t)p->zone_count;
                zone->list[zone->members++] = (uint16_t)m;
            }
        }
        used += zone->members;
        p->zone_count++;
    }
}

static void make_ring(struct place *p)
{
    MEM_AUTO uint64_t *ids = mem_alloc(p->member_count * sizeof(*ids));
    MEM_AUTO uint16_t *weights = mem_alloc(p->member_count * sizeof(*weights));
    for (unsigned m = 0; m < p->member_count; m++) {
        ids[m] = p->members[m].id;
        weights[m] = p->members[m].weight;
    }
    p->ring = tokens_create(ids, weights, p->member_count);
    p->tokens = mem_alloc(p->partitions * sizeof(*p->tokens));
    for (unsigned i = 0; i < p->partitions; i++)
        p->tokens[i] = token_of_partition(i);
}

/* members: the eligible ones, ascending by id. */
static void place_init(struct place *p, const struct placement_input *in,
                       const struct ring_member *const *members, unsigned count)
{
    *p = (struct place){.partitions = in->partitions,
                        .replicas = in->replicas < count ? in->replicas : count,
                        .member_count = count,
                        .sticky = in->current != NULL};
    p->members = mem_zalloc(count * sizeof(*p->members));
    for (unsigned m = 0; m < count; m++) {
        p->members[m].id = members[m]->id;
        p->members[m].weight = members[m]->weight;
    }
    p->rows = mem_zalloc(p->partitions * sizeof(*p->rows));
    make_zones(p, members);
    place_zone_limits(p);
    place_shares(p);
    make_ring(p);
}

static void place_done(struct place *p)
{
    tokens_free(p->ring);
    free(p->tokens);
    free(p->rows);
    free(p->zones);
    free(p->zone_lists);
    free(p->members);
}

static void write_row(const struct place *p, unsigned partition, struct placement_row *to)
{
    struct near order[RING_REPLICAS_MAX];
    const struct place_row *row = &p->rows[partition];
    for (unsigned i = 0; i < row->count; i++)
        order[i] = (struct near){distance(p, partition, row->members[i]), row->members[i]};
    qsort(order, row->count, sizeof(order[0]), compare_near);
    *to = (struct placement_row){.count = row->count};
    for (unsigned i = 0; i < row->count; i++)
        to->nodes[i] = p->members[order[i].partition].id;
}

static bool row_has_node(const struct placement_row *row, uint64_t id)
{
    for (unsigned i = 0; i < row->count; i++) {
        if (row->nodes[i] == id)
            return true;
    }
    return false;
}

static void make_report(const struct place *p, const struct placement_input *in,
                        const struct placement_row *rows, struct placement_report *r)
{
    *r = (struct placement_report){.members = p->member_count, .zones = p->zone_count};
    r->loads = mem_zalloc(p->member_count * sizeof(*r->loads));
    for (unsigned m = 0; m < p->member_count; m++) {
        const struct place_member *member = &p->members[m];
        bool over = member->load > member->bound;
        enum placement_why why = p->feasible_unzoned ? PLACEMENT_ZONES : PLACEMENT_MEMBERS;
        r->loads[m] = (struct placement_load){.id = member->id,
                                              .load = member->load,
                                              .bound = member->bound,
                                              .why = over ? why : PLACEMENT_FINE};
        r->over += over;
    }
    for (unsigned i = 0; i < p->partitions; i++) {
        const struct place_row *row = &p->rows[i];
        r->short_partitions += row->count < in->replicas;
        r->short_replicas += in->replicas - row->count;
        bool shared = false;
        for (unsigned j = 0; j < row->count; j++) {
            shared = shared || place_in_zone(p, row, p->members[row->members[j]].zone) > 1;
            if (in->current != NULL)
                r->moved += !row_has_node(&in->current[i], rows[i].nodes[j]);
        }
        r->unspread_partitions += shared;
    }
}

/* Which members may have partitions, ascending by id; whether no id is there twice, among all. */
static unsigned find_eligible(const struct placement_input *in, const struct ring_member **list,
                              bool *ret_distinct)
{
    for (unsigned m = 0; m < in->member_count; m++)
        list[m] = &in->members[m];
    qsort(list, in->member_count, sizeof(*list), compare_members);
    *ret_distinct = true;
    for (unsigned m = 1; m < in->member_count; m++) {
        if (list[m - 1]->id == list[m]->id)
            *ret_distinct = false;
    }
    unsigned count = 0;
    for (unsigned m = 0; m < in->member_count; m++) {
        if (ring_member_eligible(list[m]))
            list[count++] = list[m];
    }
    return count;
}

/* In which order members raise and shed: by id. */
static void make_order(const struct placement_input *in, const struct place *p, uint16_t *order)
{
    unsigned count = 0;
    for (unsigned m = 0; m < p->member_count; m++)
        order[m] = (uint16_t)m;
    for (unsigned m = 0; PLANTED(ring_order_dependent) && m < in->member_count; m++) {
        unsigned found = find_member(p, in->members[m].id);
        if (found != PLACEMENT_NOBODY)
            order[count++] = (uint16_t)found;
    }
}

int placement_propose(const struct placement_input *in, struct placement_row *ret_rows,
                      struct placement_report *ret_report)
{
    int st = check_input(in);
    if (st != 0)
        return st;
    MEM_AUTO const struct ring_member **members =
        mem_alloc((in->member_count + 1u) * sizeof(*members));
    bool distinct;
    unsigned count = find_eligible(in, members, &distinct);
    if (!distinct)
        return ST_INVALID;

    struct place p;
    place_init(&p, in, members, count);
    MEM_AUTO uint16_t *order = mem_alloc((count + 1u) * sizeof(*order));
    make_order(in, &p, order);
    if (in->current != NULL) {
        take(&p, in->current);
        for (unsigned i = 0; i < p.partitions && !PLANTED(ring_zone_ignored); i++)
            trim_row(&p, i);
    }
    for (unsigned i = 0; i < p.partitions; i++)
        fill(&p, i);
    balance(&p, order);
    for (unsigned i = 0; i < p.partitions; i++)
        write_row(&p, i, &ret_rows[i]);
    make_report(&p, in, ret_rows, ret_report);
    place_done(&p);
    return 0;
}

void placement_report_done(struct placement_report *report)
{
    free(report->loads);
    *report = (struct placement_report){0};
}
