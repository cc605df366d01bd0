/* The order of moves, and the dry run of them, over the histories of random clusters and in cases
 * that can be counted by hand. */
#include "placement_check.h"

#include "ring/diff.h"
#include "ring/map.h"
#include "ring/plan.h"

/* The cluster's members, and its rows on layer 0 as far as they are placed. */
static struct ring_map *make_map(const struct cluster *c)
{
    struct ring_map *map = ring_map_create(c->partitions);
    unsigned layer;
    ring_map_begin(map);
    for (unsigned m = 0; m < c->member_count; m++)
        assert_int_equal(ring_map_put_member(map, &c->members[m]), 0);
    assert_int_equal(ring_map_add_layer(map, RING_STRONG, c->replicas, &layer), 0);
    for (unsigned p = 0; p < c->partitions; p++) {
        struct ring_set set = {.count = c->rows[p].count};
        for (unsigned i = 0; i < set.count; i++)
            set.list[i] = (struct ring_replica){1 + i, c->rows[p].nodes[i]};
        if (set.count > 0)
            assert_int_equal(ring_map_place(map, 0, p, &set), 0);
    }
    return map;
}

/* --- the order --- */

struct tally {
    uint64_t id;
    int start, now, final;
};

static struct tally *tally_of(struct tally *list, const struct cluster *c, uint64_t id)
{
    for (unsigned m = 0; m < c->member_count; m++) {
        if (list[m].id == id)
            return &list[m];
    }
    fail();
    return NULL;
}

static bool row_has(const struct placement_row *row, uint64_t node)
{
    for (unsigned i = 0; i < row->count; i++) {
        if (row->nodes[i] == node)
            return true;
    }
    return false;
}

/* The move makes the row what is proposed for it: nothing else is said of it. */
static void check_move(const struct placement_row *from, const struct placement_row *to,
                       const struct ring_move *move)
{
    assert_int_equal(from->count + move->added_count - move->removed_count, to->count);
    assert_true(move->added_count + move->removed_count > 0);
    for (unsigned i = 0; i < move->added_count; i++)
        assert_true(row_has(to, move->added[i]) && !row_has(from, move->added[i]));
    for (unsigned i = 0; i < move->removed_count; i++)
        assert_true(!row_has(to, move->removed[i]) && row_has(from, move->removed[i]));
}

static bool same_nodes(const struct placement_row *a, const struct placement_row *b)
{
    for (unsigned i = 0; i < a->count; i++) {
        if (!row_has(b, a->nodes[i]))
            return false;
    }
    return a->count == b->count;
}

/* What is left when a step's moves are walked in their order. */
struct walked {
    int above;      /* the most that somebody was above both his first and his last load */
    unsigned worse; /* moves that brought more members away from their last load than near it */
    unsigned moves, repairs;
};

static struct walked walk(const struct cluster *c, const struct placement_row *from,
                          const struct placement_row *to, const struct ring_move *moves,
                          unsigned count)
{
    struct walked w = {.moves = count};
    struct tally *list = mem_zalloc(c->member_count * sizeof(*list));
    for (unsigned m = 0; m < c->member_count; m++) {
        list[m].id = c->members[m].id;
        for (unsigned p = 0; p < c->partitions; p++) {
            list[m].start += row_has(&from[p], list[m].id);
            list[m].final += row_has(to[p].count > 0 ? &to[p] : &from[p], list[m].id);
        }
        list[m].now = list[m].start;
    }
    for (unsigned i = 0; i < count; i++) {
        int gain = 0;
        w.repairs += moves[i].urgency == RING_REPAIR;
        for (unsigned j = 0; j < moves[i].removed_count; j++) {
            struct tally *t = tally_of(list, c, moves[i].removed[j]);
            gain += t->now-- > t->final ? 1 : -1;
        }
        for (unsigned j = 0; j < moves[i].added_count; j++) {
            struct tally *t = tally_of(list, c, moves[i].added[j]);
            gain += t->now++ < t->final ? 1 : -1;
            int above = t->now - (t->start > t->final ? t->start : t->final);
            w.above = above > w.above ? above : w.above;
        }
        w.worse += gain < 0;
    }
    for (unsigned m = 0; m < c->member_count; m++)
        assert_int_equal(list[m].now, list[m].final);
    free(list);
    return w;
}

static struct walked check_order(const struct cluster *c, const struct ring_map *map,
                                 const struct placement_row *rows)
{
    unsigned count, live = 0, moved = 0;
    struct ring_move *moves = ring_diff(map, 0, rows, &count);
    bool *seen = mem_zalloc(c->partitions * sizeof(*seen));
    for (unsigned i = 0; i < count; i++) {
        unsigned p = moves[i].partition;
        assert_false(seen[p]);
        seen[p] = true;
        check_move(&c->rows[p], &rows[p], &moves[i]);
        assert_true(i == 0 || moves[i].urgency != RING_REPAIR ||
                    moves[i - 1].urgency == RING_REPAIR);
        unsigned lives = 0;
        for (unsigned j = 0; j < c->rows[p].count; j++) {
            for (unsigned m = 0; m < c->member_count; m++)
                lives +=
                    c->members[m].id == c->rows[p].nodes[j] && c->members[m].state != RING_REMOVING;
        }
        assert_int_equal(moves[i].live, lives);
        assert_true((lives < rows[p].count) == (moves[i].urgency == RING_REPAIR));
        assert_true(moves[i].urgency != RING_REPAIR || lives >= live);
        live = lives;
    }
    for (unsigned p = 0; p < c->partitions; p++)
        moved += rows[p].count > 0 && !same_nodes(&c->rows[p], &rows[p]);
    assert_int_equal(moved, count);
    struct walked w = walk(c, c->rows, rows, moves, count);
    free(moves);
    free(seen);
    return w;
}

static void test_order_over_histories(void **state)
{
    unsigned worse = 0, moves = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng prng = prng_make(seed);
        struct cluster c;
        cluster_random(&c, &prng);
        assert_null(cluster_step(&c, &prng));
        for (int i = 0; i < 5; i++) {
            cluster_change(&c, &prng);
            struct placement_row *rows = mem_zalloc(c.partitions * sizeof(*rows));
            struct placement_report report;
            assert_int_equal(cluster_propose(&c, rows, &report), 0);
            placement_report_done(&report);
            struct ring_map *map = make_map(&c);
            struct walked w = check_order(&c, map, rows);
            worse += w.worse;
            moves += w.moves;
            assert_true(w.repairs > 0 || w.above <= 3);
            ring_map_free(map);
            free(c.rows);
            c.rows = rows;
            for (unsigned p = 0; p < c.partitions; p++) {
                if (rows[p].count == 0)
                    i = 5; /* nobody is left who could own anything */
            }
        }
        cluster_done(&c);
    }
    assert_true(worse * 100 <= moves);
}

/* `members` in as many zones, ids 1, 2, ..., placed. */
static void cluster_even(struct cluster *c, unsigned members, unsigned zones, unsigned replicas)
{
    struct prng prng = prng_make(1);
    memset(c, 0, sizeof(*c));
    c->member_count = members;
    c->partitions = 256;
    c->replicas = replicas;
    for (unsigned m = 0; m < members; m++)
        c->members[m] = make_member(m + 1, m % zones, RING_WEIGHT_ONE);
    c->rows = mem_zalloc(c->partitions * sizeof(*c->rows));
    assert_null(cluster_step(c, &prng));
}

static struct placement_row *propose(const struct cluster *c)
{
    struct placement_row *rows = mem_zalloc(c->partitions * sizeof(*rows));
    struct placement_report report;
    assert_int_equal(cluster_propose(c, rows, &report), 0);
    placement_report_done(&report);
    return rows;
}

/* When one joins or leaves, each single move makes the balance better. */
static void test_join_and_leave_only_get_better(void **state)
{
    for (unsigned n = 4; n <= 40; n += 6) {
        struct cluster c;
        cluster_even(&c, n, n, 3);
        for (int leave = 0; leave < 2; leave++) {
            if (leave)
                c.members[0].state = RING_LEAVING;
            else
                c.members[c.member_count++] = make_member(100, n, RING_WEIGHT_ONE);
            struct placement_row *rows = propose(&c);
            struct ring_map *map = make_map(&c);
            struct walked w = check_order(&c, map, rows);
            assert_true(w.moves > 0);
            assert_int_equal(w.worse, 0);
            assert_int_equal(w.above, 0);
            ring_map_free(map);
            free(c.rows);
            c.rows = rows;
        }
        cluster_done(&c);
    }
}

static void test_what_moves_already_is_left_alone(void **state)
{
    struct cluster c;
    cluster_even(&c, 4, 4, 3);
    c.members[c.member_count++] = make_member(100, 4, RING_WEIGHT_ONE);
    struct placement_row *rows = propose(&c), *current = mem_zalloc(256 * sizeof(*current));
    struct ring_map *map = make_map(&c);
    unsigned before, after;
    struct ring_move *moves = ring_diff(map, 0, rows, &before);
    unsigned p = moves[0].partition;
    free(moves);
    struct ring_set to = {.count = 1, .list = {{7, 100}}};
    ring_map_begin(map);
    assert_int_equal(ring_map_move(map, 0, p, &to), 0);
    moves = ring_diff(map, 0, rows, &after);
    assert_int_equal(after, before - 1);
    for (unsigned i = 0; i < after; i++)
        assert_int_not_equal(moves[i].partition, p);
    ring_diff_current(map, 0, current);
    assert_int_equal(current[p].count, 1);
    assert_int_equal(current[p].nodes[0], 100);
    assert_int_equal(ring_map_step(map, 0, p, RING_JOINT), 0);
    assert_int_equal(ring_map_step(map, 0, p, RING_CLEANUP), 0);
    ring_diff_current(map, 0, current);
    assert_int_equal(current[p].count, 1);
    free(moves);
    free(rows);
    free(current);
    ring_map_free(map);
    cluster_done(&c);
}

/* --- the dry run --- */

/* Three hold everything, a fourth joins: it gets from each of them, a quarter of all in the end. */
static void test_plan_of_a_join(void **state)
{
    struct cluster c;
    cluster_even(&c, 3, 3, 3);
    c.members[c.member_count++] = make_member(100, 3, RING_WEIGHT_ONE);
    struct placement_row *rows = propose(&c);
    struct ring_map *map = make_map(&c);
    uint64_t bytes[256];
    for (unsigned p = 0; p < 256; p++)
        bytes[p] = 1000 + p;
    struct ring_plan plan;
    struct ring_plan_input input = {
        .map = map, .rows = rows, .partition_bytes = bytes, .node_bytes_per_s = 1000};
    ring_plan(&input, &plan);
    assert_int_equal(plan.move_count, plan.replicas);
    assert_true(plan.replicas >= 182 && plan.replicas <= 202); /* 192, less five of a hundred */
    assert_int_equal(plan.flow_count, 3);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(plan.flows[i].from, i + 1);
        assert_int_equal(plan.flows[i].to, 100);
        assert_int_equal(plan.flows[i].bytes, plan.fates[i].bytes_out);
        assert_int_equal(plan.fates[i].replicas_before, 256);
        assert_int_equal(plan.fates[i].replicas_after, 256 - plan.flows[i].partitions);
        sum += plan.flows[i].bytes;
    }
    assert_int_equal(plan.bytes, sum);
    assert_int_equal(plan.fates[3].bytes_in, sum);
    assert_int_equal(plan.seconds, (sum + 999) / 1000);
    assert_int_equal(plan.survives_before, 1);
    assert_int_equal(plan.survives_meanwhile, 1);
    assert_int_equal(plan.survives_after, 1);
    for (unsigned i = 0; i < 4; i++)
        assert_false(plan.fates[i].fatal_before || plan.fates[i].zone_fatal_after);
    ring_plan_done(&plan);
    free(rows);
    ring_map_free(map);
    cluster_done(&c);
}

/* One of three is dead and replaced: until then each of the others is fatal, and then nobody. */
static void test_plan_of_a_repair(void **state)
{
    struct cluster c;
    cluster_even(&c, 3, 3, 3);
    c.members[0].state = RING_REMOVING;
    c.members[c.member_count++] = make_member(100, 1, RING_WEIGHT_ONE);
    struct placement_row *rows = propose(&c);
    struct ring_map *map = make_map(&c);
    struct ring_plan plan;
    struct ring_plan_input input = {.map = map, .rows = rows};
    ring_plan(&input, &plan);
    assert_int_equal(plan.move_count, 256);
    assert_int_equal(plan.replicas, 256);
    assert_int_equal(plan.moves[0].urgency, RING_REPAIR);
    assert_int_equal(plan.seconds, 0);
    for (unsigned i = 0; i < plan.flow_count; i++)
        assert_int_not_equal(plan.flows[i].from, 1); /* the dead copies nothing */
    assert_int_equal(plan.survives_before, 0);
    assert_int_equal(plan.survives_meanwhile, 0);
    assert_int_equal(plan.survives_after, 1);
    assert_false(plan.fates[0].fatal_before); /* can't fail again */
    assert_true(plan.fates[1].fatal_before);
    assert_true(plan.fates[2].fatal_before);
    assert_false(plan.fates[1].fatal_after);
    /* Member 2 and the new one are of the same zone. */
    assert_true(plan.fates[1].zone_fatal_after);
    assert_true(plan.fates[3].zone_fatal_after);
    assert_true(plan.fates[3].zone_fatal_before);
    assert_false(plan.fates[2].zone_fatal_after);
    assert_int_equal(plan.lost_before, 0);
    ring_plan_done(&plan);
    free(rows);
    ring_map_free(map);
    cluster_done(&c);
}

/* The only one is dead: the plan says what is lost, and that there is nobody to copy from. */
static void test_plan_of_what_is_lost(void **state)
{
    struct cluster c;
    cluster_even(&c, 1, 1, 1);
    c.members[0].state = RING_REMOVING;
    c.members[c.member_count++] = make_member(100, 1, RING_WEIGHT_ONE);
    struct placement_row *rows = propose(&c);
    struct ring_map *map = make_map(&c);
    struct ring_plan plan;
    struct ring_plan_input input = {.map = map, .rows = rows};
    ring_plan(&input, &plan);
    assert_int_equal(plan.lost_before, 256);
    assert_int_equal(plan.lost_after, 0);
    assert_int_equal(plan.flow_count, 1);
    assert_int_equal(plan.flows[0].from, 0);
    assert_int_equal(plan.flows[0].partitions, 256);
    ring_plan_done(&plan);
    free(rows);
    ring_map_free(map);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_over_histories),
        cmocka_unit_test(test_join_and_leave_only_get_better),
        cmocka_unit_test(test_what_moves_already_is_left_alone),
        cmocka_unit_test(test_plan_of_a_join),
        cmocka_unit_test(test_plan_of_a_repair),
        cmocka_unit_test(test_plan_of_what_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
