/* Placement: what every proposal satisfies, over random clusters and their histories; what is
 * refused; what can't be met; how much moves. RING_HISTORIES=n in the environment tries more. */
#include "placement_check.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "ring/tokens.h"

#define HISTORIES 100

static void test_histories(void **state)
{
    const char *more = getenv("RING_HISTORIES");
    uint64_t histories = more != NULL ? strtoull(more, NULL, 10) : HISTORIES;
    for (uint64_t seed = 1; seed <= histories; seed++) {
        const char *wrong = check_history(seed, 6);
        if (wrong != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
    }
}

/* `members` of equal weight in `zones`, ids 1, 2, ... */
static void cluster_even(struct cluster *c, unsigned members, unsigned zones, unsigned partitions,
                         unsigned replicas)
{
    memset(c, 0, sizeof(*c));
    c->member_count = members;
    c->partitions = partitions;
    c->replicas = replicas;
    for (unsigned m = 0; m < members; m++)
        c->members[m] = make_member(m + 1, m % zones, RING_WEIGHT_ONE);
    c->rows = mem_zalloc(partitions * sizeof(*c->rows));
}

static void step(struct cluster *c)
{
    struct prng prng = prng_make(1);
    const char *wrong = cluster_step(c, &prng);
    if (wrong != NULL)
        fail_msg("%u members: %s", c->member_count, wrong);
}

/* The same forever: other versions and other machines must propose the same. */
static void test_golden(void **state)
{
    struct cluster c;
    cluster_even(&c, 10, 3, 256, 3);
    step(&c);
    uint8_t bytes[8];
    uint32_t crc = 0;
    for (unsigned p = 0; p < c.partitions; p++) {
        for (unsigned i = 0; i < c.rows[p].count; i++) {
            bytes_put_u64(bytes, c.rows[p].nodes[i]);
            crc = crc32c(crc, bytes, sizeof(bytes));
        }
    }
    assert_int_equal(crc, 0x1d813c2a);
    cluster_done(&c);
}

/* With one zone and bounds that don't bind, the walk alone decides. */
static void test_first_distinct_clockwise(void **state)
{
    struct cluster c;
    cluster_even(&c, 5, 5, 1, 3);
    step(&c);
    uint64_t token = token_of_partition(0), last = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t nearest = UINT64_MAX, who = 0;
        for (uint64_t id = 1; id <= 5; id++) {
            for (uint32_t t = 0; t < TOKENS_PER_WEIGHT; t++) {
                uint64_t distance = token_of_member(id, t) - token;
                bool placed = false;
                for (unsigned j = 0; j < i; j++)
                    placed = placed || c.rows[0].nodes[j] == id;
                if (!placed && distance < nearest) {
                    nearest = distance;
                    who = id;
                }
            }
        }
        assert_true(c.rows[0].nodes[i] == who);
        assert_true(nearest >= last);
        last = nearest;
    }
    cluster_done(&c);
}

static void test_what_cannot_be_met_is_told(void **state)
{
    struct cluster c;
    cluster_even(&c, 2, 1, 64, 3); /* too few members */
    step(&c);
    assert_int_equal(c.report.short_partitions, 64);
    assert_int_equal(c.report.short_replicas, 64);
    assert_int_equal(c.report.unspread_partitions, 64);
    assert_int_equal(c.report.over, 0);
    cluster_done(&c);

    cluster_even(&c, 4, 3, 64, 3); /* two members of zone 0 share what the others have each */
    step(&c);
    assert_int_equal(c.report.short_partitions, 0);
    assert_int_equal(c.report.unspread_partitions, 0);
    assert_int_equal(c.report.over, 2);
    assert_int_equal(c.report.loads[0].why, PLACEMENT_FINE);
    assert_int_equal(c.report.loads[1].why, PLACEMENT_ZONES);
    assert_int_equal(c.report.loads[1].load, 64);
    assert_int_equal(c.report.loads[2].why, PLACEMENT_ZONES);
    assert_true(c.report.loads[0].load >= 30 && c.report.loads[0].load <= 34);
    cluster_done(&c);

    cluster_even(&c, 3, 1, 64, 3); /* everybody must have everything */
    c.members[1].weight = 10;
    step(&c);
    assert_int_equal(c.report.over, 1);
    assert_int_equal(c.report.loads[1].why, PLACEMENT_MEMBERS);
    cluster_done(&c);

    cluster_even(&c, 3, 1, 64, 3);
    for (unsigned m = 0; m < 3; m++)
        c.members[m].state = m == 0 ? RING_LEAVING : RING_REMOVING;
    step(&c);
    assert_int_equal(c.report.members, 0);
    assert_int_equal(c.report.short_replicas, 3 * 64);
    assert_int_equal(c.rows[5].count, 0);
    cluster_done(&c);
}

static void test_refusals(void **state)
{
    struct ring_member members[2] = {make_member(1, 0, 100), make_member(2, 0, 100)};
    struct placement_row rows[4], current[4] = {0};
    struct placement_report report = {.over = 77};
    const struct placement_input good = {
        .members = members, .member_count = 2, .partitions = 4, .replicas = 1, .current = current};
    struct placement_input bad = good;
    bad.partitions = 3;
    assert_int_equal(placement_propose(&bad, rows, &report), ST_INVALID);
    bad = good;
    bad.replicas = 0;
    assert_int_equal(placement_propose(&bad, rows, &report), ST_INVALID);
    bad.replicas = RING_REPLICAS_MAX + 1;
    assert_int_equal(placement_propose(&bad, rows, &report), ST_INVALID);
    bad = good;
    bad.member_count = RING_MEMBERS_MAX + 1;
    assert_int_equal(placement_propose(&bad, rows, &report), ST_INVALID);
    members[1].id = 1;
    assert_int_equal(placement_propose(&good, rows, &report), ST_INVALID);
    members[1].id = 2;
    members[1].weight = RING_WEIGHT_MAX + 1;
    assert_int_equal(placement_propose(&good, rows, &report), ST_INVALID);
    members[1].weight = 100;
    memset(members[1].zone, 'z', sizeof(members[1].zone));
    assert_int_equal(placement_propose(&good, rows, &report), ST_INVALID);
    members[1].zone[1] = 0;
    current[3].count = RING_REPLICAS_MAX + 1;
    assert_int_equal(placement_propose(&good, rows, &report), ST_INVALID);
    assert_int_equal(report.over, 77);
    current[3].count = 0;
    assert_int_equal(placement_propose(&good, rows, &report), 0);
    placement_report_done(&report);
}

/* One of n+1 joins a cluster of n: ideally it gets its share, 1/(n+1) of all replicas, and nothing
 * else moves. One leaves: ideally its replicas move, and nothing else. With three zones or one. */
static void test_what_moves(void **state)
{
    for (unsigned n = 4; n <= 100; n = n * 3 / 2) {
        for (unsigned zones = 1; zones <= 3; zones += 2) {
            struct cluster c;
            cluster_even(&c, n, zones, 1024, 3);
            step(&c);
            c.members[c.member_count++] = make_member(1000, n % zones, RING_WEIGHT_ONE);
            step(&c);
            unsigned ideal = 3 * 1024 / (n + 1);
            unsigned most = zones == 1 ? 110 : 135; /* one zone of three has become larger */
            assert_true(c.report.moved <= ideal * most / 100 + 2);
            assert_true(zones > 1 || c.report.moved >= ideal * 90 / 100);
            unsigned had = 0;
            for (unsigned i = 0; i < c.report.members; i++)
                had += c.report.loads[i].id == 2 ? c.report.loads[i].load : 0;
            c.members[1].state = RING_LEAVING;
            step(&c);
            assert_true(c.report.moved >= had);
            assert_true(c.report.moved <= had * 115 / 100 + 2);
            cluster_done(&c);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_first_distinct_clockwise),
        cmocka_unit_test(test_what_cannot_be_met_is_told),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_what_moves),
        cmocka_unit_test(test_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
