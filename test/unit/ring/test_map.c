/* The partition map: what changes do and refuse; that its bytes say all of it; that news bring an
 * older copy to the same map; that damaged bytes are refused or are a sound map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/status.h"
#include "ring/map.h"
#include "ring/map_code.h"

#define PARTITIONS 16

static struct ring_member make_member(uint64_t id)
{
    struct ring_member m = {
        .id = id, .weight = 100, .state = RING_ACTIVE, .client_port = 7400, .peer_port = 7401};
    snprintf(m.zone, sizeof(m.zone), "zone-%u", (unsigned)(id % 3));
    snprintf(m.host, sizeof(m.host), "10.0.0.%u", (unsigned)(id % 250));
    return m;
}

static void put_member(struct ring_map *map, uint64_t id)
{
    struct ring_member m = make_member(id);
    assert_int_equal(ring_map_put_member(map, &m), 0);
}

/* Replica ids are node ids times ten. */
static struct ring_set make_set(unsigned count, uint64_t a, uint64_t b, uint64_t c)
{
    return (struct ring_set){.count = (uint8_t)count,
                             .list = {{a * 10, a}, {b * 10, b}, {c * 10, c}}};
}

/* Members 1 to 5, a layer of each mode, partition 0 of both on 1, 2, 3. */
static struct ring_map *make_map(void)
{
    struct ring_map *map = ring_map_create(PARTITIONS);
    unsigned layer;
    ring_map_begin(map);
    for (uint64_t id = 5; id >= 1; id--)
        put_member(map, id);
    assert_int_equal(ring_map_add_layer(map, RING_STRONG, 3, &layer), 0);
    assert_int_equal(layer, 0);
    assert_int_equal(ring_map_add_layer(map, RING_QUORUM, 3, &layer), 0);
    assert_int_equal(layer, 1);
    struct ring_set owners = make_set(3, 1, 2, 3);
    for (layer = 0; layer < 2; layer++)
        assert_int_equal(ring_map_place(map, layer, 0, &owners), 0);
    return map;
}

static void test_members(void **state)
{
    struct ring_map *map = make_map();
    unsigned count;
    const struct ring_member *members = ring_map_members(map, &count);
    assert_int_equal(count, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(members[i].id, i + 1);
    assert_int_equal(members[0].epoch, 1);
    assert_null(ring_map_member(map, 6));

    ring_map_begin(map);
    struct ring_member m = make_member(4);
    m.state = RING_LEAVING;
    assert_int_equal(ring_map_put_member(map, &m), 0);
    assert_int_equal(ring_map_member(map, 4)->state, RING_LEAVING);
    assert_int_equal(ring_map_member(map, 4)->epoch, 2);
    assert_int_equal(ring_map_member(map, 3)->epoch, 1);
    assert_int_equal(ring_map_remove_member(map, 3), ST_AGAIN); /* owns partitions */
    assert_int_equal(ring_map_remove_member(map, 4), 0);
    assert_int_equal(ring_map_remove_member(map, 4), ST_NOTFOUND);
    assert_true(ring_map_removed(map, 4));
    assert_false(ring_map_removed(map, 5));
    assert_int_equal(ring_map_put_member(map, &m), ST_DENIED);

    struct ring_member bad = make_member(0);
    assert_int_equal(ring_map_put_member(map, &bad), ST_INVALID);
    bad = make_member(9);
    bad.weight = RING_WEIGHT_MAX + 1;
    assert_int_equal(ring_map_put_member(map, &bad), ST_INVALID);
    bad = make_member(9);
    bad.state = 0;
    assert_int_equal(ring_map_put_member(map, &bad), ST_INVALID);
    bad = make_member(9);
    memset(bad.host, 'x', sizeof(bad.host));
    assert_int_equal(ring_map_put_member(map, &bad), ST_INVALID);
    ring_map_free(map);
}

static void test_limits(void **state)
{
    struct ring_map *map = ring_map_create(1);
    unsigned layer;
    ring_map_begin(map);
    for (uint64_t id = 1; id <= RING_MEMBERS_MAX; id++)
        put_member(map, id);
    struct ring_member m = make_member(RING_MEMBERS_MAX + 1);
    assert_int_equal(ring_map_put_member(map, &m), ST_LIMIT);
    put_member(map, 7);
    for (unsigned i = 0; i < RING_LAYERS_MAX; i++)
        assert_int_equal(ring_map_add_layer(map, RING_STRONG, 1, &layer), 0);
    assert_int_equal(ring_map_add_layer(map, RING_STRONG, 1, &layer), ST_LIMIT);
    assert_int_equal(ring_map_add_layer(map, 3, 1, &layer), ST_INVALID);
    assert_int_equal(ring_map_set_replicas(map, 0, RING_REPLICAS_MAX), 0);
    assert_int_equal(ring_map_set_replicas(map, 0, RING_REPLICAS_MAX + 1), ST_INVALID);
    assert_int_equal(ring_map_set_replicas(map, 0, 0), ST_INVALID);
    assert_int_equal(ring_map_set_replicas(map, RING_LAYERS_MAX, 1), ST_NOTFOUND);

    /* Of the removed, the oldest is forgotten; who asks for what changed before gets all. */
    for (uint64_t id = 1; id <= RING_REMOVED_MAX + 1; id++) {
        ring_map_begin(map);
        assert_int_equal(ring_map_remove_member(map, id), 0);
        put_member(map, RING_MEMBERS_MAX + id);
    }
    assert_false(ring_map_removed(map, 1));
    assert_true(ring_map_removed(map, 2));
    BUFFER_AUTO struct buffer all = {0};
    BUFFER_AUTO struct buffer news = {0};
    ring_map_encode(&all, map, 0);
    ring_map_encode(&news, map, 1);
    assert_true(slice_equal(buffer_slice(&all), buffer_slice(&news)));
    ring_map_free(map);
}

static void test_sets_are_checked(void **state)
{
    struct ring_map *map = make_map();
    struct ring_set bad[] = {make_set(0, 0, 0, 0), make_set(2, 1, 1, 0), make_set(2, 1, 6, 0),
                             make_set(2, 1, 2, 0), make_set(2, 1, 2, 0)};
    bad[3].list[1].id = 10; /* one replica twice */
    bad[4].list[1].id = 0;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(ring_map_place(map, 0, 1, &bad[i]), ST_INVALID);
    struct ring_set good = make_set(3, 1, 2, 3);
    assert_int_equal(ring_map_place(map, 0, 0, &good), ST_EXISTS);
    assert_int_equal(ring_map_place(map, 2, 0, &good), ST_NOTFOUND);
    assert_int_equal(ring_map_place(map, 0, PARTITIONS, &good), ST_NOTFOUND);
    assert_int_equal(ring_map_move(map, 0, 1, &good), ST_NOTFOUND); /* not placed */
    assert_int_equal(ring_map_move(map, 0, 0, &good), ST_INVALID);  /* there already */
    struct ring_set elsewhere = make_set(3, 1, 2, 4);
    elsewhere.list[2].id = 30; /* a replica that would be on two nodes */
    assert_int_equal(ring_map_move(map, 0, 0, &elsewhere), ST_INVALID);
    elsewhere.list[2] = (struct ring_replica){31, 3}; /* another replica on the same node */
    assert_int_equal(ring_map_move(map, 0, 0, &elsewhere), 0);
    ring_map_free(map);
}

/* All steps from all stages, for both modes: only those of the header are taken. */
static void test_steps(void **state)
{
    static const uint8_t paths[2][4] = {
        {RING_SETTLED, RING_LEARN, RING_JOINT, RING_CLEANUP},
        {RING_SETTLED, RING_WRITE_BOTH, RING_READ_NEW, RING_CLEANUP},
    };
    struct ring_set from = make_set(3, 1, 2, 3), to = make_set(3, 1, 2, 4);
    for (unsigned layer = 0; layer < 2; layer++) {
        for (unsigned at = 0; at < 4; at++) {
            for (int stage = -1; stage <= 7; stage++) {
                struct ring_map *map = make_map();
                if (at > 0)
                    assert_int_equal(ring_map_move(map, layer, 0, &to), 0);
                for (unsigned i = 2; i <= at; i++)
                    assert_int_equal(ring_map_step(map, layer, 0, paths[layer][i]), 0);
                ring_map_begin(map);
                const struct ring_row *row = ring_map_row(map, layer, 0);
                bool on = at > 0 && stage == paths[layer][(at + 1) % 4];
                bool back = at > 0 && at < 3 && stage == paths[layer][at - 1];
                int st = ring_map_step(map, layer, 0, (enum ring_stage)stage);
                assert_int_equal(st, on || back ? 0 : ST_INVALID);
                assert_int_equal(row->epoch, st == 0 ? 2 : 1);
                assert_int_equal(row->stage, st == 0 ? stage : paths[layer][at]);
                bool new = row->stage == RING_CLEANUP || (at == 3 && st == 0);
                assert_memory_equal(&row->owners, new ? &to : &from, sizeof(to));
                assert_int_equal(row->other.count, row->stage == RING_SETTLED ? 0 : 3);
                if (row->stage == RING_CLEANUP)
                    assert_memory_equal(&row->other, &from, sizeof(to));
                if (row->stage != RING_SETTLED)
                    assert_int_equal(ring_map_move(map, layer, 0, &from), ST_EXISTS);
                ring_map_free(map);
            }
        }
    }
}

static void test_moving_members_stay(void **state)
{
    struct ring_map *map = make_map();
    struct ring_set to = make_set(3, 1, 2, 4);
    assert_int_equal(ring_map_move(map, 0, 0, &to), 0);
    assert_int_equal(ring_map_remove_member(map, 4), ST_AGAIN);
    assert_int_equal(ring_map_step(map, 0, 0, RING_SETTLED), 0);
    assert_int_equal(ring_map_remove_member(map, 4), 0);
    ring_map_free(map);
}

/* --- bytes --- */

static struct ring_set random_set(const struct ring_map *map, struct prng *prng)
{
    unsigned count;
    const struct ring_member *members = ring_map_members(map, &count);
    struct ring_set set = {0};
    unsigned want = 1 + (unsigned)prng_below(prng, 3);
    for (unsigned i = 0; i < 3 * want && set.count < want && count > 0; i++) {
        uint64_t node = members[prng_below(prng, count)].id;
        if (!ring_set_has_node(&set, node))
            set.list[set.count++] = (struct ring_replica){prng_u64(prng) | 1, node};
    }
    return set;
}

/* One command, which may be refused. */
static void random_change(struct ring_map *map, struct prng *prng)
{
    unsigned layer = (unsigned)prng_below(prng, 3),
             partition = (unsigned)prng_below(prng, PARTITIONS);
    struct ring_set set = random_set(map, prng);
    struct ring_member m = make_member(1 + prng_below(prng, 40));
    ring_map_begin(map);
    switch (prng_below(prng, 8)) {
    case 0:
        m.weight = (uint16_t)prng_below(prng, 200);
        ring_map_put_member(map, &m);
        break;
    case 1:
        ring_map_remove_member(map, m.id);
        break;
    case 2:
        ring_map_add_layer(map, prng_below(prng, 2) ? RING_STRONG : RING_QUORUM, 3, &layer);
        break;
    case 3:
        ring_map_set_replicas(map, layer, 1 + (unsigned)prng_below(prng, 7));
        break;
    case 4:
        ring_map_place(map, layer, partition, &set);
        break;
    case 5:
        ring_map_move(map, layer, partition, &set);
        break;
    default:
        for (int stage = 0; stage <= RING_CLEANUP; stage++) {
            if (ring_map_step(map, layer, partition, (enum ring_stage)stage) == 0)
                break;
        }
    }
}

static void assert_same(const struct ring_map *a, const struct ring_map *b)
{
    BUFFER_AUTO struct buffer left = {0};
    BUFFER_AUTO struct buffer right = {0};
    ring_map_encode(&left, a, 0);
    ring_map_encode(&right, b, 0);
    assert_true(slice_equal(buffer_slice(&left), buffer_slice(&right)));
}

static void test_news_bring_any_copy_up_to_date(void **state)
{
    struct prng prng = prng_make(11);
    for (int round = 0; round < 10; round++) {
        struct ring_map *map = ring_map_create(PARTITIONS), *old[3];
        for (int i = 0; i < 3; i++)
            old[i] = ring_map_copy(map);
        for (int change = 0; change < 200; change++) {
            random_change(map, &prng);
            int which = (int)prng_below(&prng, 12);
            if (which >= 3)
                continue;
            BUFFER_AUTO struct buffer news = {0};
            uint64_t epoch = ring_map_epoch(old[which]);
            ring_map_encode(&news, map,
                            prng_below(&prng, 4) ? epoch : prng_below(&prng, epoch + 1));
            assert_int_equal(ring_map_apply(&old[which], buffer_slice(&news)), 0);
            assert_same(old[which], map);
            struct ring_map *whole;
            buffer_clear(&news);
            ring_map_encode(&news, map, 0);
            assert_int_equal(ring_map_decode(buffer_slice(&news), &whole), 0);
            assert_same(whole, map);
            ring_map_free(whole);
        }
        for (int i = 0; i < 3; i++)
            ring_map_free(old[i]);
        ring_map_free(map);
    }
}

static void test_news_that_do_not_fit(void **state)
{
    struct ring_map *map = make_map(), *old = ring_map_copy(map), *other = ring_map_create(8);
    ring_map_begin(map);
    put_member(map, 6);
    BUFFER_AUTO struct buffer news = {0};
    BUFFER_AUTO struct buffer later = {0};
    ring_map_encode(&news, map, 1);
    ring_map_begin(map);
    put_member(map, 7);
    ring_map_encode(&later, map, 2);
    assert_int_equal(ring_map_apply(&old, buffer_slice(&later)), ST_AGAIN);
    assert_int_equal(ring_map_apply(&other, buffer_slice(&later)), ST_PROTOCOL);
    assert_int_equal(ring_map_apply(&old, buffer_slice(&news)), 0);
    assert_int_equal(ring_map_apply(&old, buffer_slice(&later)), 0);
    assert_same(old, map);
    assert_int_equal(ring_map_apply(&old, buffer_slice(&news)), 0); /* no news */
    assert_same(old, map);
    struct ring_map *whole;
    assert_int_equal(ring_map_decode(buffer_slice(&later), &whole), ST_PROTOCOL);
    later.data[0] = 2;
    assert_int_equal(ring_map_apply(&old, buffer_slice(&later)), ST_VERSION);
    ring_map_free(map);
    ring_map_free(old);
    ring_map_free(other);
}

/* Each byte changed, each length: refused, or another map with one encoding. */
static void test_damage(void **state)
{
    struct prng prng = prng_make(5);
    struct ring_map *map = make_map(), *damaged;
    struct ring_set to = make_set(2, 4, 5, 0);
    ring_map_begin(map);
    assert_int_equal(ring_map_move(map, 1, 0, &to), 0);
    put_member(map, 30);
    assert_int_equal(ring_map_remove_member(map, 30), 0);
    BUFFER_AUTO struct buffer bytes = {0};
    ring_map_encode(&bytes, map, 0);
    unsigned refused = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        assert_int_not_equal(ring_map_decode(slice_make(bytes.data, i), &damaged), 0);
        for (int round = 0; round < 8; round++) {
            uint8_t was = bytes.data[i];
            bytes.data[i] ^= (uint8_t)(1 + prng_below(&prng, 255));
            if (ring_map_decode(buffer_slice(&bytes), &damaged) == 0) {
                BUFFER_AUTO struct buffer again = {0};
                ring_map_encode(&again, damaged, 0);
                assert_true(slice_equal(buffer_slice(&again), buffer_slice(&bytes)));
                ring_map_free(damaged);
            } else {
                refused++;
            }
            bytes.data[i] = was;
        }
    }
    assert_true(refused > bytes.len);
    buffer_append_u8(&bytes, 0);
    assert_int_equal(ring_map_decode(buffer_slice(&bytes), &damaged), ST_PROTOCOL);
    ring_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sets_are_checked),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_moving_members_stay),
        cmocka_unit_test(test_news_bring_any_copy_up_to_date),
        cmocka_unit_test(test_news_that_do_not_fit),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
