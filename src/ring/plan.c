#include "ring/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

struct planner {
    const struct ring_plan_input *in;
    struct ring_plan *plan;
    const struct ring_member *members;
};

static unsigned place_of(const struct planner *p, uint64_t node)
{
    const struct ring_member *m = ring_map_member(p->in->map, node);
    CHECK(m != NULL);
    return (unsigned)(m - p->members);
}

static bool lives(const struct planner *p, uint64_t node)
{
    return p->members[place_of(p, node)].state != RING_REMOVING;
}

/* --- what flows --- */

/* Whom the i-th of those added copies from: the one whose place it takes, else any that lives. */
static uint64_t source_of(const struct planner *p, const struct ring_move *move, unsigned i)
{
    if (i < move->removed_count && lives(p, move->removed[i]))
        return move->removed[i];
    const struct ring_row *row = ring_map_row(p->in->map, p->in->layer, move->partition);
    for (unsigned j = 0; j < row->owners.count; j++) {
        if (lives(p, row->owners.list[j].node))
            return row->owners.list[j].node;
    }
    return 0;
}

static int compare_flows(const void *left, const void *right)
{
    const struct ring_flow *a = left, *b = right;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a->to < b->to ? -1 : a->to > b->to;
}

static void find_flows(struct planner *p)
{
    struct ring_plan *plan = p->plan;
    for (unsigned i = 0; i < plan->move_count; i++)
        plan->replicas += plan->moves[i].added_count;
    plan->flows = mem_alloc(plan->replicas * sizeof(*plan->flows));
    unsigned count = 0;
    for (unsigned i = 0; i < plan->move_count; i++) {
        const struct ring_move *move = &plan->moves[i];
        const uint64_t *all = p->in->partition_bytes;
        uint64_t bytes = all == NULL ? 0 : all[move->partition];
        for (unsigned j = 0; j < move->added_count; j++) {
            uint64_t from = source_of(p, move, j);
            plan->flows[count++] = (struct ring_flow){from, move->added[j], 1, bytes};
            plan->bytes += bytes;
            plan->fates[place_of(p, move->added[j])].bytes_in += bytes;
            if (from != 0)
                plan->fates[place_of(p, from)].bytes_out += bytes;
        }
    }
    qsort(plan->flows, count, sizeof(*plan->flows), compare_flows);
    for (unsigned i = 0; i < count; i++) { /* those between the same two become one */
        struct ring_flow *last = plan->flow_count == 0 ? NULL : &plan->flows[plan->flow_count - 1];
        if (last == NULL || compare_flows(last, &plan->flows[i]) != 0) {
            plan->flows[plan->flow_count++] = plan->flows[i];
            continue;
        }
        last->partitions++;
        last->bytes += plan->flows[i].bytes;
    }
}

static void find_seconds(struct planner *p)
{
    uint64_t most = 0, rate = p->in->node_bytes_per_s;
    for (unsigned m = 0; m < p->plan->fate_count; m++) {
        const struct ring_fate *fate = &p->plan->fates[m];
        most = fate->bytes_in > most ? fate->bytes_in : most;
        most = fate->bytes_out > most ? fate->bytes_out : most;
    }
    if (rate > 0)
        p->plan->seconds = most / rate + (most % rate > 0);
}

/* --- what survives --- */

enum when { BEFORE, AFTER };

static void mark(const struct planner *p, uint64_t node, bool zone, enum when when)
{
    struct ring_fate *fate = &p->plan->fates[place_of(p, node)];
    if (zone)
        *(when == BEFORE ? &fate->zone_fatal_before : &fate->zone_fatal_after) = true;
    else
        *(when == BEFORE ? &fate->fatal_before : &fate->fatal_after) = true;
}

/* How many of its owners may fail; -1: it has no majority. Marks whose failure is fatal. */
static int judge_row(const struct planner *p, const struct placement_row *row, enum when when)
{
    int live = 0, spare;
    for (unsigned i = 0; i < row->count; i++)
        live += lives(p, row->nodes[i]);
    spare = live - (row->count / 2 + 1);
    if (spare < 0)
        return -1;
    for (unsigned i = 0; i < row->count; i++) {
        if (!lives(p, row->nodes[i]))
            continue;
        const char *zone = p->members[place_of(p, row->nodes[i])].zone;
        int in_zone = 0;
        for (unsigned j = 0; j < row->count; j++) {
            const struct ring_member *m = &p->members[place_of(p, row->nodes[j])];
            in_zone += m->state != RING_REMOVING && strcmp(m->zone, zone) == 0;
        }
        if (spare == 0)
            mark(p, row->nodes[i], false, when);
        if (in_zone > spare)
            mark(p, row->nodes[i], true, when);
    }
    return spare;
}

static void judge(const struct planner *p, const struct placement_row *rows, enum when when,
                  unsigned *ret_survives, unsigned *ret_lost)
{
    int survives = -1;
    unsigned lost = 0;
    for (unsigned i = 0; i < ring_map_partitions(p->in->map); i++) {
        if (rows[i].count == 0)
            continue; /* not placed */
        for (unsigned j = 0; j < rows[i].count; j++) {
            struct ring_fate *fate = &p->plan->fates[place_of(p, rows[i].nodes[j])];
            *(when == BEFORE ? &fate->replicas_before : &fate->replicas_after) += 1;
        }
        int spare = judge_row(p, &rows[i], when);
        lost += spare < 0;
        if (spare >= 0 && (survives < 0 || spare < survives))
            survives = spare;
    }
    *ret_survives = survives < 0 ? 0 : (unsigned)survives;
    *ret_lost = lost;
}

/* A zone is fatal for all who are in it, whether they have that partition or not. */
static void spread_zones(const struct planner *p)
{
    struct ring_fate *fates = p->plan->fates;
    for (unsigned m = 0; m < p->plan->fate_count; m++) {
        for (unsigned o = 0; o < p->plan->fate_count; o++) {
            if (strcmp(p->members[m].zone, p->members[o].zone) != 0)
                continue;
            fates[m].zone_fatal_before |= fates[o].zone_fatal_before;
            fates[m].zone_fatal_after |= fates[o].zone_fatal_after;
        }
    }
}

/* What the layer's rows are when the moves are done; those that move already arrive first. */
static void make_after(const struct planner *p, struct placement_row *rows)
{
    ring_diff_current(p->in->map, p->in->layer, rows);
    for (unsigned i = 0; i < p->plan->move_count; i++) {
        unsigned partition = p->plan->moves[i].partition;
        rows[partition] = p->in->rows[partition];
    }
}

void ring_plan(const struct ring_plan_input *input, struct ring_plan *ret_plan)
{
    struct ring_plan plan = {0};
    struct planner p = {.in = input, .plan = &plan};
    p.members = ring_map_members(input->map, &plan.fate_count);
    plan.fates = mem_zalloc(plan.fate_count * sizeof(*plan.fates));
    for (unsigned m = 0; m < plan.fate_count; m++)
        plan.fates[m].id = p.members[m].id;
    plan.moves = ring_diff(input->map, input->layer, input->rows, &plan.move_count);
    find_flows(&p);
    find_seconds(&p);

    unsigned partitions = ring_map_partitions(input->map);
    MEM_AUTO struct placement_row *rows = mem_alloc(partitions * sizeof(*rows));
    for (unsigned i = 0; i < partitions; i++) {
        const struct ring_set *owners = &ring_map_row(input->map, input->layer, i)->owners;
        rows[i] = (struct placement_row){.count = owners->count};
        for (unsigned j = 0; j < owners->count; j++)
            rows[i].nodes[j] = owners->list[j].node;
    }
    judge(&p, rows, BEFORE, &plan.survives_before, &plan.lost_before);
    make_after(&p, rows);
    judge(&p, rows, AFTER, &plan.survives_after, &plan.lost_after);
    plan.survives_meanwhile =
        plan.survives_before < plan.survives_after ? plan.survives_before : plan.survives_after;
    spread_zones(&p);
    *ret_plan = plan;
}

void ring_plan_done(struct ring_plan *plan)
{
    free(plan->moves);
    free(plan->flows);
    free(plan->fates);
    *plan = (struct ring_plan){0};
}
