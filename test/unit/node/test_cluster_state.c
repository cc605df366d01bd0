/* The cluster log: what its commands do and refuse, that commands, results and snapshots keep what
 * they say, and what next is proposed from birth to shrinking. */
#include "cluster_check.h"

static struct cluster_state *make_state(unsigned replicas, unsigned members)
{
    struct cluster_state *s = cluster_state_create();
    struct cluster_command c = make_found(CHECK_PARTITIONS, replicas, members < 5 ? members : 5);
    assert_int_equal(apply(s, &c).st, 0);
    for (uint64_t id = 1; id <= members; id++) {
        c = make_add(id);
        assert_int_equal(apply(s, &c).st, 0);
    }
    return s;
}

/* Does what the driver would, every stage of every move reached at once, until there is nothing
 * left. Returns how many commands that took. */
static unsigned settle(struct cluster_state *s)
{
    static const struct cluster_limits limits = {.moves_per_node = 2, .moves = 8};
    static const uint8_t on[] = {[RING_LEARN] = RING_JOINT,
                                 [RING_JOINT] = RING_CLEANUP,
                                 [RING_WRITE_BOTH] = RING_READ_NEW,
                                 [RING_READ_NEW] = RING_CLEANUP,
                                 [RING_CLEANUP] = RING_SETTLED};
    for (unsigned commands = 0; commands < 5000; commands++) {
        BUFFER_AUTO struct buffer bytes = {0};
        const struct ring_map *map = cluster_state_map(s);
        struct cluster_result result;
        assert_null(cluster_state_broken(s));
        if (cluster_next_move(s, &limits, &bytes)) {
            cluster_state_apply(s, buffer_slice(&bytes), &result);
            assert_string_equal(result.why, "");
            assert_int_equal(result.st, 0);
            continue;
        }
        struct cluster_command c = {0};
        for (unsigned layer = 0; layer < ring_map_layers(map); layer++) {
            for (unsigned i = 0; i < ring_map_partitions(map); i++) {
                const struct ring_row *row = ring_map_row(map, layer, i);
                if (row->stage == RING_SETTLED)
                    continue;
                c.code = CLUSTER_STEP;
                c.step =
                    (struct cluster_step){(uint8_t)layer, (uint16_t)i, row->epoch, on[row->stage]};
            }
        }
        if (c.code == 0)
            return commands;
        assert_int_equal(apply(s, &c).st, 0);
    }
    fail_msg("it does not come to rest");
    return 0;
}

static struct cluster_result mark(struct cluster_state *s, uint64_t node, uint8_t state)
{
    struct cluster_command c = {.code = CLUSTER_MARK, .mark = {.node = node, .state = state}};
    return apply(s, &c);
}

static struct cluster_result create(struct cluster_state *s, const char *name, uint8_t mode,
                                    uint8_t replicas)
{
    struct cluster_command c = {
        .code = CLUSTER_KEYSPACE_CREATE,
        .keyspace_create = {.name = slice_str(name), .mode = mode, .replicas = replicas}};
    return apply(s, &c);
}

static uint8_t state_of(const struct cluster_state *s, uint64_t node)
{
    const struct ring_member *m = ring_map_member(cluster_state_map(s), node);
    return m == NULL ? 0 : m->state;
}

/* --- bytes --- */

static void test_commands_are_what_they_were(void **state)
{
    struct cluster_command add = make_add(7), got;
    BUFFER_AUTO struct buffer bytes = {0}, again = {0};
    cluster_command_encode(&bytes, &add);
    static const uint8_t golden[] = {1,   16,  7,   0,   0,   0,   0,   0,   0,   0,   2,   0,
                                     'n', '7', 8,   0,   '1', '0', '.', '0', '.', '0', '.', '1',
                                     1,   0,   'b', 232, 28,  233, 28,  100, 0,   1,   0,   2,
                                     0,   3,   0,   0,   0,   0,   0,   0,   0};
    assert_int_equal(bytes.len, sizeof(golden));
    assert_memory_equal(bytes.data, golden, sizeof(golden));
    assert_int_equal(cluster_command_decode(buffer_slice(&bytes), &got), 0);
    cluster_command_encode(&again, &got);
    assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
    for (size_t cut = 0; cut < bytes.len; cut++)
        assert_int_equal(cluster_command_decode(slice_make(bytes.data, cut), &got), ST_PROTOCOL);
    buffer_append_u8(&bytes, 0);
    assert_int_equal(cluster_command_decode(buffer_slice(&bytes), &got), ST_PROTOCOL);
    assert_int_equal(cluster_command_decode(slice_make("\1\377", 2), &got), ST_UNSUPPORTED);
    assert_int_equal(cluster_command_decode(slice_make("\2\20", 2), &got), ST_VERSION);
    assert_string_equal(cluster_command_name(CLUSTER_KEYSPACE_FLUSH), "keyspace_flush");
    assert_null(cluster_command_name(0));
}

static void test_results_are_what_they_were(void **state)
{
    struct cluster_result was = {.st = ST_AGAIN, .epoch = 5, .value = 6, .why = "because"}, is;
    BUFFER_AUTO struct buffer bytes = {0};
    cluster_result_encode(&bytes, &was);
    assert_int_equal(cluster_result_decode(buffer_slice(&bytes), &is), 0);
    assert_int_equal(is.st, ST_AGAIN);
    assert_int_equal(is.epoch, 5);
    assert_int_equal(is.value, 6);
    assert_string_equal(is.why, "because");
    bytes.len--;
    assert_int_equal(cluster_result_decode(buffer_slice(&bytes), &is), ST_PROTOCOL);
}

static void test_snapshots_that_are_none(void **state)
{
    struct cluster_state *s = make_state(2, 3), *got = NULL;
    BUFFER_AUTO struct buffer bytes = {0}, again = {0};
    assert_int_equal(create(s, "x", RING_QUORUM, 2).st, 0);
    settle(s);
    cluster_state_encode(&bytes, s);
    for (size_t cut = 0; cut < bytes.len; cut++)
        assert_int_not_equal(cluster_state_decode(slice_make(bytes.data, cut), &got), 0);
    /* Each byte changed: refused, or a sound state that says just that. */
    unsigned refused = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 0x41;
        int st = cluster_state_decode(buffer_slice(&bytes), &got);
        refused += st != 0;
        if (st == 0) {
            assert_null(cluster_state_broken(got));
            buffer_clear(&again);
            cluster_state_encode(&again, got);
            assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
            cluster_state_free(got);
        }
        bytes.data[i] ^= 0x41;
    }
    assert_true(refused > bytes.len / 4);
    cluster_state_free(s);
}

/* --- what is refused --- */

static void test_founding(void **state)
{
    struct cluster_state *s = cluster_state_create(), *copy;
    struct cluster_command c = make_add(1);
    assert_int_equal(apply(s, &c).st, ST_CLOSED);
    copy = copy_of(s);
    assert_non_null(copy);
    assert_int_equal(cluster_state_id(copy), 0);
    cluster_state_free(copy);
    c = make_found(3, 3, 1);
    assert_int_equal(apply(s, &c).st, ST_INVALID);
    c = make_found(8, 8, 1);
    assert_int_equal(apply(s, &c).st, ST_INVALID);
    c = make_found(8, 3, 6);
    assert_int_equal(apply(s, &c).st, ST_INVALID);
    c = make_found(8, 3, 3);
    struct cluster_result result = apply(s, &c);
    assert_int_equal(result.st, 0);
    assert_int_equal(result.epoch, 1);
    assert_int_equal(apply(s, &c).st, ST_EXISTS);
    assert_int_equal(cluster_state_id(s), 77);
    assert_int_equal(cluster_state_keyspace(s, slice_str("0"))->id, CLUSTER_KEYSPACE_ZERO);
    cluster_state_free(s);
}

static void test_who_may_come(void **state)
{
    struct cluster_state *s = make_state(3, 3);
    struct cluster_command c = make_add(3);
    assert_int_equal(apply(s, &c).st, ST_EXISTS);
    c = make_add(4);
    c.add.name = slice_str("n3");
    assert_int_equal(apply(s, &c).st, ST_EXISTS);
    c = make_add(4);
    c.add.weight = RING_WEIGHT_MAX + 1;
    assert_int_equal(apply(s, &c).st, ST_RANGE);
    c = make_add(4);
    c.add.version_min = c.add.version_max = 3; /* the others speak 1 and 2 */
    assert_int_equal(apply(s, &c).st, ST_VERSION);
    c.add.version_min = 2;
    assert_int_equal(apply(s, &c).st, 0);
    assert_int_equal(cluster_state_version(s), 2);
    c = make_add(0);
    assert_int_equal(apply(s, &c).st, ST_INVALID);

    /* Gone is gone. */
    settle(s);
    assert_int_equal(mark(s, 4, RING_LEAVING).st, 0);
    settle(s);
    assert_int_equal(state_of(s, 4), 0);
    c = make_add(4);
    struct cluster_result result = apply(s, &c);
    assert_int_equal(result.st, ST_DENIED);
    assert_non_null(strstr(result.why, "empty its data directory"));
    c = (struct cluster_command){.code = CLUSTER_UPDATE,
                                 .update = {.node = 4, .host = slice_str("h")}};
    assert_int_equal(apply(s, &c).st, ST_DENIED);
    cluster_state_free(s);
}

static void test_features(void **state)
{
    struct cluster_state *s = make_state(3, 2);
    struct cluster_command c = {.code = CLUSTER_FEATURE, .feature = {2}};
    assert_int_equal(apply(s, &c).st, ST_VERSION); /* they know 0 and 1 */
    c.feature.feature = 1;
    assert_int_equal(apply(s, &c).st, 0);
    assert_int_equal(cluster_state_features(s), 2);
    c = make_add(3);
    c.add.features = 1;
    assert_int_equal(apply(s, &c).st, ST_VERSION);
    c = (struct cluster_command){
        .code = CLUSTER_UPDATE,
        .update = {
            .node = 1, .host = slice_str("h"), .version_min = 1, .version_max = 2, .features = 1}};
    assert_int_equal(apply(s, &c).st, ST_VERSION); /* an older version of the program came up */
    c.update.features = 7;
    uint64_t epoch = cluster_state_epoch(s);
    assert_int_equal(apply(s, &c).st, 0);
    assert_int_equal(apply(s, &c).st, 0); /* no news */
    assert_int_equal(cluster_state_epoch(s), epoch + 1);
    cluster_state_free(s);
}

static void test_races_and_moves(void **state)
{
    struct cluster_state *s = make_state(3, 5);
    settle(s);
    const struct ring_row *row = ring_map_row(cluster_state_map(s), 0, 0);
    struct ring_row was = *row;
    struct cluster_command c = {.code = CLUSTER_MOVE, .move = {.epoch = row->epoch}};
    for (uint64_t id = 1; id <= 5; id++) {
        if (id != was.owners.list[0].node && c.move.to.count < 3)
            c.move.to.list[c.move.to.count++] = id;
    }
    struct cluster_command other = c;
    struct cluster_result first = apply(s, &c);
    assert_int_equal(first.st, 0);
    assert_int_equal(first.value, row->epoch);
    assert_int_equal(apply(s, &other).st, ST_AGAIN); /* planned on the same row, too late */
    other.move.epoch = row->epoch;
    assert_int_equal(apply(s, &other).st, ST_EXISTS); /* moves already */

    c = (struct cluster_command){.code = CLUSTER_STEP,
                                 .step = {.epoch = row->epoch, .stage = RING_CLEANUP}};
    assert_int_equal(apply(s, &c).st, ST_INVALID); /* not yet */
    c.step.stage = RING_JOINT;
    assert_int_equal(apply(s, &c).st, 0);
    assert_int_equal(apply(s, &c).st, ST_AGAIN);
    c.step.epoch = row->epoch;
    c.step.stage = RING_LEARN; /* and back */
    assert_int_equal(apply(s, &c).st, 0);
    c.step.epoch = row->epoch;
    c.step.stage = RING_SETTLED;
    assert_int_equal(apply(s, &c).st, 0);
    assert_true(sets_equal(&row->owners, &was.owners));
    assert_true(row->epoch > was.epoch);

    /* The same nodes, one with a new disk: another replica. */
    c = (struct cluster_command){.code = CLUSTER_MOVE,
                                 .move = {.epoch = row->epoch, .to = {.count = 3}, .anew = 2}};
    for (unsigned i = 0; i < 3; i++)
        c.move.to.list[i] = was.owners.list[i].node;
    assert_int_equal(apply(s, &c).st, 0);
    assert_int_equal(row->other.list[0].id, was.owners.list[0].id);
    assert_true(row->other.list[1].id > was.owners.list[1].id);
    c.move.anew = 0;
    c.move.partition = 1;
    c.move.epoch = ring_map_row(cluster_state_map(s), 0, 1)->epoch;
    c.move.to.list[1] = c.move.to.list[0];
    assert_int_equal(apply(s, &c).st, ST_INVALID);
    c.move.to.list[1] = 99;
    assert_int_equal(apply(s, &c).st, ST_NOTFOUND);
    cluster_state_free(s);
}

static void test_removals(void **state)
{
    struct cluster_state *s = make_state(3, 3);
    settle(s);
    assert_int_equal(mark(s, 3, RING_REMOVING).st, 0);
    struct cluster_result result = mark(s, 2, RING_REMOVING);
    assert_int_equal(result.st, ST_DENIED);
    assert_string_equal(result.why, "without node n2 the cluster log has no majority");
    assert_int_equal(mark(s, 3, RING_REMOVING).st, ST_EXISTS);
    assert_int_equal(mark(s, 9, RING_REMOVING).st, ST_NOTFOUND);
    struct cluster_command c = {.code = CLUSTER_FORGET, .forget = {3}};
    assert_int_equal(apply(s, &c).st, ST_AGAIN);
    c.forget.node = 1;
    assert_int_equal(apply(s, &c).st, ST_DENIED);
    settle(s); /* two replicas are left of each partition, and the dead one is forgotten */
    assert_int_equal(state_of(s, 3), 0);
    result = mark(s, 2, RING_REMOVING); /* one of two is no majority */
    assert_int_equal(result.st, ST_DENIED);
    assert_int_equal(mark(s, 2, RING_LEAVING).st, 0);
    settle(s);
    assert_int_equal(mark(s, 1, RING_LEAVING).st, ST_DENIED);
    c = (struct cluster_command){.code = CLUSTER_WEIGHT, .weight = {.node = 1, .weight = 0}};
    assert_int_equal(apply(s, &c).st, ST_DENIED);
    cluster_state_free(s);
}

/* A partition's majority, where the log itself has one. */
static void test_removal_of_a_partition(void **state)
{
    struct cluster_state *s = make_state(2, 5);
    settle(s);
    uint64_t owner = ring_map_row(cluster_state_map(s), 0, 5)->owners.list[0].node;
    struct cluster_result result = mark(s, owner, RING_REMOVING);
    assert_int_equal(result.st, ST_DENIED);
    assert_non_null(strstr(result.why, "of layer 0 has no majority"));
    cluster_state_free(s);
}

static void test_replace(void **state)
{
    struct cluster_state *s = make_state(3, 4);
    settle(s);
    struct ring_row was[CHECK_PARTITIONS];
    for (unsigned i = 0; i < CHECK_PARTITIONS; i++)
        was[i] = *ring_map_row(cluster_state_map(s), 0, i);
    struct cluster_command c = make_add(5);
    c.add.zone = slice_str("c"); /* that of node 2 */
    assert_int_equal(apply(s, &c).st, 0);
    c = (struct cluster_command){.code = CLUSTER_REPLACE, .replace = {.node = 2, .heir = 2}};
    assert_int_equal(apply(s, &c).st, ST_INVALID);
    c.replace.heir = 9;
    assert_int_equal(apply(s, &c).st, ST_NOTFOUND);
    c.replace.heir = 5;
    assert_int_equal(apply(s, &c).st, 0);
    assert_int_equal(state_of(s, 2), RING_REMOVING);
    settle(s);
    assert_int_equal(state_of(s, 2), 0);
    assert_int_equal(state_of(s, 5), RING_ACTIVE);
    for (unsigned i = 0; i < CHECK_PARTITIONS; i++) { /* the heir has it, and nothing else moved */
        const struct ring_row *is = ring_map_row(cluster_state_map(s), 0, i);
        for (unsigned j = 0; j < was[i].owners.count; j++) {
            uint64_t node = was[i].owners.list[j].node;
            assert_true(ring_set_has_node(&is->owners, node == 2 ? 5 : node));
        }
    }
    cluster_state_free(s);
}

static void test_keyspaces(void **state)
{
    struct cluster_state *s = make_state(3, 3);
    assert_int_equal(create(s, "x", RING_STRONG, 4).st, ST_DENIED); /* above the members */
    assert_int_equal(create(s, "x", RING_STRONG, 0).st, ST_RANGE);
    assert_int_equal(create(s, "x y", RING_STRONG, 1).st, ST_INVALID);
    assert_int_equal(create(s, "x", 3, 1).st, ST_INVALID);
    struct cluster_result made = create(s, "x", RING_STRONG, 3);
    assert_int_equal(made.st, 0);
    assert_int_equal(create(s, "x", RING_STRONG, 3).st, ST_EXISTS);
    const struct cluster_keyspace *x = cluster_state_keyspace(s, slice_str("x"));
    assert_int_equal(x->layer, 0); /* that of keyspace 0 */

    struct cluster_command c = {.code = CLUSTER_KEYSPACE_FLUSH,
                                .keyspace_flush = {x->id, x->epoch}};
    struct cluster_result flushed = apply(s, &c);
    assert_int_equal(flushed.st, 0);
    assert_int_equal(flushed.value, made.value + 1);
    assert_int_equal(apply(s, &c).st, ST_AGAIN); /* the same FLUSHDB once more */
    assert_true(cluster_state_dropped(s, (uint32_t)made.value));
    assert_false(cluster_state_dropped(s, (uint32_t)flushed.value));
    assert_false(cluster_state_dropped(s, (uint32_t)flushed.value + 1)); /* to come */

    c = (struct cluster_command){.code = CLUSTER_KEYSPACE_ALTER,
                                 .keyspace_alter = {.keyspace = x->id, .replicas = 2, .ttl_ms = 9}};
    assert_int_equal(apply(s, &c).st, ST_DENIED); /* shared */
    c.keyspace_alter.together = 1;
    assert_int_equal(apply(s, &c).st, 0);
    assert_int_equal(ring_map_layer(cluster_state_map(s), 0)->replicas, 2);
    assert_int_equal(x->ttl_ms, 9);
    c.keyspace_alter.keyspace = 99;
    assert_int_equal(apply(s, &c).st, ST_NOTFOUND);

    c = (struct cluster_command){.code = CLUSTER_KEYSPACE_DROP, .keyspace_drop = {x->id, 0}};
    assert_int_equal(apply(s, &c).st, 0);
    assert_int_equal(apply(s, &c).st, ST_NOTFOUND);
    c.keyspace_drop.keyspace = CLUSTER_KEYSPACE_ZERO;
    assert_int_equal(apply(s, &c).st, ST_DENIED);
    assert_true(create(s, "x", RING_QUORUM, 3).value > flushed.value);
    settle(s);
    assert_int_equal(mark(s, 3, RING_LEAVING).st, ST_DENIED); /* x would have too few */
    cluster_state_free(s);
}

static void test_settings(void **state)
{
    struct cluster_state *s = make_state(3, 1);
    struct cluster_command c = {.code = CLUSTER_SET, .set = {slice_str("b"), 1, slice_str("1 2")}};
    assert_int_equal(apply(s, &c).st, 0);
    c.set.name = slice_str("a");
    assert_int_equal(apply(s, &c).st, 0);
    assert_string_equal(cluster_state_setting(s, "b"), "1 2");
    c.set.present = 0;
    assert_int_equal(apply(s, &c).st, 0);
    assert_null(cluster_state_setting(s, "a"));
    assert_string_equal(cluster_state_setting(s, "b"), "1 2");
    c.set.name = slice_str("");
    assert_int_equal(apply(s, &c).st, ST_INVALID);
    char name[8];
    for (unsigned i = 1; i < CLUSTER_SETTINGS_MAX; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        c.set = (struct cluster_set){slice_str(name), 1, slice_str("")};
        assert_int_equal(apply(s, &c).st, 0);
    }
    c.set.name = slice_str("one-more");
    assert_int_equal(apply(s, &c).st, ST_LIMIT);
    cluster_state_free(s);
}

/* --- what is to be done next --- */

/* One node, then three, five, and three again: the replicas follow. */
static void test_growing_and_shrinking(void **state)
{
    struct cluster_state *s = make_state(3, 1);
    uint64_t epoch;
    settle(s);
    const struct ring_map *map = cluster_state_map(s);
    assert_int_equal(ring_map_row(map, 0, 3)->owners.count, 1);
    for (uint64_t id = 2; id <= 5; id++) {
        struct cluster_command c = make_add(id);
        assert_int_equal(apply(s, &c).st, 0);
        settle(s);
        unsigned replicas = id < 3 ? 2 : 3;
        for (unsigned i = 0; i < CHECK_PARTITIONS; i++)
            assert_int_equal(ring_map_row(map, 0, i)->owners.count, replicas);
        assert_int_equal(state_of(s, id), RING_ACTIVE);
        assert_int_equal(cluster_state_voters(s, &epoch)->count, id == 4 ? 3 : id);
    }
    assert_int_equal(settle(s), 0);
    assert_int_equal(mark(s, 1, RING_LEAVING).st, 0);
    assert_int_equal(mark(s, 5, RING_REMOVING).st, 0);
    settle(s);
    assert_int_equal(state_of(s, 1), 0);
    assert_int_equal(state_of(s, 5), 0);
    assert_int_equal(cluster_state_voters(s, &epoch)->count, 3);
    for (unsigned i = 0; i < CHECK_PARTITIONS; i++)
        assert_int_equal(ring_map_row(map, 0, i)->owners.count, 3);
    cluster_state_free(s);
}

/* Who is to get something dies on the way: back, and elsewhere. */
static void test_a_target_dies(void **state)
{
    struct cluster_state *s = make_state(3, 3);
    static const struct cluster_limits limits = {.moves_per_node = 1, .moves = 8};
    settle(s);
    for (uint64_t id = 4; id <= 5; id++) {
        struct cluster_command c = make_add(id);
        assert_int_equal(apply(s, &c).st, 0);
    }
    unsigned moving = 0;
    for (;;) {
        BUFFER_AUTO struct buffer bytes = {0};
        struct cluster_result result;
        if (!cluster_next_move(s, &limits, &bytes))
            break;
        assert_int_equal(bytes.data[1], CLUSTER_MOVE);
        cluster_state_apply(s, buffer_slice(&bytes), &result);
        assert_int_equal(result.st, 0);
        moving++;
    }
    assert_true(moving >= 1 && moving <= 2); /* none of the two is in more than one */
    assert_int_equal(mark(s, 4, RING_REMOVING).st, 0);
    BUFFER_AUTO struct buffer bytes = {0};
    struct cluster_command c;
    assert_true(cluster_next_move(s, &limits, &bytes));
    assert_int_equal(cluster_command_decode(buffer_slice(&bytes), &c), 0);
    assert_int_equal(c.code, CLUSTER_STEP);
    assert_int_equal(c.step.stage, RING_SETTLED);
    settle(s);
    assert_int_equal(state_of(s, 4), 0);
    assert_int_equal(state_of(s, 5), RING_ACTIVE);
    cluster_state_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_are_what_they_were),
        cmocka_unit_test(test_results_are_what_they_were),
        cmocka_unit_test(test_snapshots_that_are_none),
        cmocka_unit_test(test_founding),
        cmocka_unit_test(test_who_may_come),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_races_and_moves),
        cmocka_unit_test(test_removals),
        cmocka_unit_test(test_removal_of_a_partition),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_keyspaces),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_growing_and_shrinking),
        cmocka_unit_test(test_a_target_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
