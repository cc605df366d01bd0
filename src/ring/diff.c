#include "ring/diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

struct load {
    int32_t now, final;
};

struct diff {
    const struct ring_map *map;
    const struct ring_member *members;
    unsigned member_count;
    struct load *loads; /* per member */
};

void ring_diff_current(const struct ring_map *map, unsigned layer, struct placement_row *rows)
{
    for (unsigned i = 0; i < ring_map_partitions(map); i++) {
        const struct ring_row *row = ring_map_row(map, layer, i);
        bool moving = row->stage != RING_SETTLED && row->stage != RING_CLEANUP;
        const struct ring_set *set = moving ? &row->other : &row->owners;
        rows[i] = (struct placement_row){.count = set->count};
        for (unsigned j = 0; j < set->count; j++)
            rows[i].nodes[j] = set->list[j].node;
    }
}

static bool row_has(const struct placement_row *row, uint64_t node)
{
    for (unsigned i = 0; i < row->count; i++) {
        if (row->nodes[i] == node)
            return true;
    }
    return false;
}

static struct load *load_of(const struct diff *d, uint64_t node)
{
    const struct ring_member *m = ring_map_member(d->map, node);
    CHECK(m != NULL);
    return &d->loads[m - d->members];
}

static unsigned zones_of(const struct diff *d, const struct placement_row *row)
{
    unsigned zones = 0;
    for (unsigned i = 0; i < row->count; i++) {
        const char *zone = ring_map_member(d->map, row->nodes[i])->zone;
        bool seen = false;
        for (unsigned j = 0; j < i; j++)
            seen = seen || strcmp(ring_map_member(d->map, row->nodes[j])->zone, zone) == 0;
        zones += !seen;
    }
    return zones;
}

/* false: they are the same. */
static bool make_move(const struct diff *d, const struct placement_row *from,
                      const struct placement_row *to, struct ring_move *move)
{
    for (unsigned i = 0; i < from->count; i++) {
        move->live += ring_map_member(d->map, from->nodes[i])->state != RING_REMOVING;
        if (!row_has(to, from->nodes[i]))
            move->removed[move->removed_count++] = from->nodes[i];
    }
    for (unsigned i = 0; i < to->count; i++) {
        if (!row_has(from, to->nodes[i]))
            move->added[move->added_count++] = to->nodes[i];
    }
    if (move->live < to->count)
        move->urgency = RING_REPAIR;
    else
        move->urgency = zones_of(d, to) > zones_of(d, from) ? RING_SPREAD : RING_BALANCE;
    return move->added_count > 0 || move->removed_count > 0;
}

/* All moves, by partition; loads are filled in. */
static unsigned collect(struct diff *d, unsigned layer, const struct placement_row *rows,
                        struct ring_move *moves)
{
    unsigned partitions = ring_map_partitions(d->map), count = 0;
    MEM_AUTO struct placement_row *current = mem_alloc(partitions * sizeof(*current));
    ring_diff_current(d->map, layer, current);
    for (unsigned i = 0; i < partitions; i++) {
        bool settled = ring_map_row(d->map, layer, i)->stage == RING_SETTLED;
        bool may = settled && current[i].count > 0 && rows[i].count > 0;
        const struct placement_row *final = may ? &rows[i] : &current[i];
        for (unsigned j = 0; j < current[i].count; j++)
            load_of(d, current[i].nodes[j])->now++;
        for (unsigned j = 0; j < final->count; j++)
            load_of(d, final->nodes[j])->final++;
        moves[count] = (struct ring_move){.partition = (uint16_t)i};
        count += may && make_move(d, &current[i], final, &moves[count]);
    }
    return count;
}

/* How many of the members it touches it brings nearer to their final load, less those it does not.
 */
static int gain(const struct diff *d, const struct ring_move *move)
{
    int sum = 0;
    for (unsigned i = 0; i < move->removed_count; i++) {
        const struct load *load = load_of(d, move->removed[i]);
        sum += load->now > load->final ? 1 : -1;
    }
    for (unsigned i = 0; i < move->added_count; i++) {
        const struct load *load = load_of(d, move->added[i]);
        sum += load->now < load->final ? 1 : -1;
    }
    return sum;
}

static void apply(struct diff *d, const struct ring_move *move)
{
    for (unsigned i = 0; i < move->removed_count; i++)
        load_of(d, move->removed[i])->now--;
    for (unsigned i = 0; i < move->added_count; i++)
        load_of(d, move->added[i])->now++;
}

static bool perfect(const struct diff *d, const struct ring_move *move)
{
    return gain(d, move) == move->removed_count + move->added_count;
}

/* Moves of one class, which are sorted by urgency and partition, into their order. Whole passes, so
 * that the usual case, in which all are perfect, takes one. */
static void order_class(struct diff *d, struct ring_move *moves, unsigned count)
{
    MEM_AUTO struct ring_move *left = mem_dup(moves, count * sizeof(*left));
    unsigned done = 0, left_count = count;
    while (left_count > 0) {
        unsigned kept = 0;
        for (unsigned i = 0; i < left_count; i++) {
            if (perfect(d, &left[i])) {
                apply(d, &left[i]);
                moves[done++] = left[i];
            } else {
                left[kept++] = left[i];
            }
        }
        bool none = kept == left_count;
        left_count = kept;
        if (!none || left_count == 0)
            continue;
        unsigned best = 0;
        for (unsigned i = 1; i < left_count; i++) {
            if (gain(d, &left[i]) > gain(d, &left[best]))
                best = i;
        }
        apply(d, &left[best]);
        moves[done++] = left[best];
        left_count--;
        memmove(&left[best], &left[best + 1], (left_count - best) * sizeof(*left));
    }
    CHECK(done == count);
}

/* Repairs by what they have left, then all else. */
static int compare_classes(const struct ring_move *a, const struct ring_move *b)
{
    bool left = a->urgency == RING_REPAIR, right = b->urgency == RING_REPAIR;
    if (left != right)
        return left ? -1 : 1;
    if (left && a->live != b->live)
        return a->live < b->live ? -1 : 1;
    return 0;
}

static int compare_moves(const void *left, const void *right)
{
    const struct ring_move *a = left, *b = right;
    int order = compare_classes(a, b);
    if (order != 0)
        return order;
    if (a->urgency != b->urgency)
        return a->urgency < b->urgency ? -1 : 1;
    return a->partition < b->partition ? -1 : a->partition > b->partition;
}

struct ring_move *ring_diff(const struct ring_map *map, unsigned layer,
                            const struct placement_row *rows, unsigned *ret_count)
{
    CHECK(layer < ring_map_layers(map));
    struct diff d = {.map = map};
    d.members = ring_map_members(map, &d.member_count);
    d.loads = mem_zalloc(d.member_count * sizeof(*d.loads));
    struct ring_move *moves = mem_alloc(ring_map_partitions(map) * sizeof(*moves));
    unsigned count = collect(&d, layer, rows, moves), from = 0;
    qsort(moves, count, sizeof(*moves), compare_moves);
    for (unsigned i = 1; i <= count; i++) {
        if (i == count || compare_classes(&moves[from], &moves[i]) != 0) {
            order_class(&d, moves + from, i - from);
            from = i;
        }
    }
    free(d.loads);
    *ret_count = count;
    return moves;
}
