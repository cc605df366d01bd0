/* Golden traces of the protocol, and each way to be refused. */
#include <stdlib.h>

#include "member/rig.h"

static struct rig rig;

static void test_probe(void **state)
{
    rig_begin(&rig, 2);
    rig_run(&rig, 1000);
    rig_expect(&rig, "11102 2->1 ping\n"
                     "11102 1->2 ack\n"
                     "11702 1->2 ping\n"
                     "11702 2->1 ack\n");
    rig_end(&rig);
}

static void test_indirect_probe(void **state)
{
    rig_begin(&rig, 3);
    rig.cut[1][2] = true;
    rig_run(&rig, 1300);
    rig_expect(&rig, "11102 2->3 ping\n"
                     "11102 3->2 ack\n"
                     "11690 3->2 ping\n"
                     "11690 2->3 ack\n"
                     "11702 1->2 ping\n"
                     "12102 2->1 ping\n"
                     "12102 1->2 ack\n"
                     "12202 1->3 ping_req\n"
                     "12202 3->2 ping\n"
                     "12202 2->3 ack\n"
                     "12202 3->1 ack\n");
    rig_end(&rig);
}

static void test_suspicion_refuted(void **state)
{
    rig_begin(&rig, 3);
    rig.deaf[3] = true;
    rig_run(&rig, 1150);
    rig.deaf[3] = false;
    rig_run(&rig, 500);
    rig_expect(&rig, "11102 2->3 ping\n"
                     "11602 2->1 ping_req\n"
                     "11602 1->3 ping\n"
                     "11690 3->2 ping\n"
                     "11702 1->2 ping\n"
                     "11702 2->1 ack\n"
                     "12002 1->2 nack\n"
                     "12102 2: 3 suspect\n"
                     "12102 2->1 ping suspect(3)\n"
                     "12102 1->2 ack\n"
                     "12102 1: 3 suspect\n"
                     "12190 3->1 ping_req\n"
                     "12190 1->2 ping suspect(3)\n"
                     "12190 2->1 ack suspect(3)\n"
                     "12190 1->3 ack suspect(3)\n"
                     "12190 1->3 suspect(3)\n"
                     "12302 1->2 suspect(3)\n"
                     "12302 2->3 suspect(3)\n"
                     "12302 2->1 suspect(3)\n"
                     "12302 1->3 suspect(3)\n"
                     "12390 3->1 alive(3/2)\n"
                     "12390 1: 3 alive\n"
                     "12390 3->2 alive(3/2)\n"
                     "12390 2: 3 alive\n"
                     "12590 1->3 alive(3/2)\n"
                     "12590 3->1 alive(3/2)\n"
                     "12590 3->2 alive(3/2)\n"
                     "12590 2->1 alive(3/2)\n"
                     "12590 2->3 alive(3/2)\n"
                     "12590 1->2 alive(3/2)\n");
    rig.quiet = true;
    for (int i = 0; i < 60; i++) { /* no old suspicion ends in death */
        rig_run(&rig, 1000);
        assert_int_equal(rig_state(&rig, 1, 3), MEMBER_ALIVE);
        assert_int_equal(rig_state(&rig, 2, 3), MEMBER_ALIVE);
    }
    assert_int_equal(rig_status(&rig, 3).incarnation, 2);
    assert_int_equal(rig_status(&rig, 3).refutations, 1);
    rig_end(&rig);
}

static void test_dead(void **state)
{
    rig_begin(&rig, 3);
    rig_down(&rig, 3);
    rig_run(&rig, 6000);
    rig_expect(&rig, "11102 2->3 ping\n"
                     "11602 2->1 ping_req\n"
                     "11602 1->3 ping\n"
                     "11702 1->2 ping\n"
                     "11702 2->1 ack\n"
                     "12002 1->2 nack\n"
                     "12102 2: 3 suspect\n"
                     "12102 2->1 ping suspect(3)\n"
                     "12102 1->2 ack\n"
                     "12102 1: 3 suspect\n"
                     "12302 1->2 suspect(3)\n"
                     "12302 2->3 suspect(3)\n"
                     "12302 2->1 suspect(3)\n"
                     "12302 1->3 suspect(3)\n"
                     "12502 1->3 suspect(3)\n"
                     "12502 1->2 suspect(3)\n"
                     "12502 2->1 suspect(3)\n"
                     "12702 1->3 suspect(3) ping\n"
                     "13102 2->1 ping\n"
                     "13102 1->2 ack\n"
                     "13202 1->2 ping_req\n"
                     "13202 2->3 suspect(3) ping\n"
                     "13602 2->1 nack\n"
                     "13702 1->2 ping\n"
                     "13702 2->1 ack\n"
                     "14102 2->3 suspect(3) ping\n"
                     "14602 2->1 ping_req\n"
                     "14602 1->3 suspect(3) ping\n"
                     "14702 1->3 suspect(3) ping\n"
                     "15002 1->2 nack\n"
                     "15102 2->3 suspect(3) ping\n"
                     "15202 1->2 ping_req\n"
                     "15202 2->3 suspect(3) ping\n"
                     "15602 2->1 ping_req\n"
                     "15602 1->3 suspect(3) ping\n"
                     "15602 2->1 nack\n"
                     "15702 1->2 ping\n"
                     "15702 2->1 ack\n"
                     "16002 1->2 nack\n"
                     "16102 1: 3 dead\n"
                     "16102 2: 3 dead\n"
                     "16102 2->1 ping dead(3)\n"
                     "16102 1->2 ack dead(3)\n"
                     "16302 1->3 dead(3)\n"
                     "16302 1->2 dead(3)\n"
                     "16302 2->1 dead(3)\n"
                     "16302 2->3 dead(3)\n"
                     "16502 1->2 dead(3)\n"
                     "16502 2->1 dead(3)\n"
                     "16613 1=>2 alive(1) sync\n"
                     "16613 2=>1 alive(2) sync\n"
                     "16613 1=>3 alive(1) sync\n"
                     "16702 1->2 ping\n"
                     "16702 2->1 ack\n");
    rig_end(&rig);
}

static void test_rejoin_elsewhere(void **state)
{
    rig_begin(&rig, 3);
    rig_down(&rig, 3);
    strcpy(rig.addresses[3], "10.9.9.9:7401");
    rig_up(&rig, 3);
    assert_int_equal(rig_join(&rig, 3, rig.addresses[1]), 0);
    rig_run(&rig, 1000);
    rig_expect(&rig, "11000 3=>0 alive(3) sync\n"
                     "11000 1: 3 alive\n"
                     "11000 1=>3 alive(1) sync alive(2) alive(3) sync\n"
                     "11000 3: 1 alive\n"
                     "11000 3: 2 alive\n"
                     "11000 3=>1 alive(3) sync alive(1) alive(2)\n"
                     "11102 2->3 ping\n"
                     "11200 1->3 alive(3)\n"
                     "11200 3->1 alive(2) alive(1)\n"
                     "11200 3->2 alive(3) alive(2) alive(1)\n"
                     "11200 2: 3 alive\n"
                     "11200 1->2 alive(3)\n"
                     "11400 1->3 alive(3)\n"
                     "11400 3->2 alive(3) alive(2) alive(1)\n"
                     "11400 2->3 alive(3)\n"
                     "11400 2->1 alive(3)\n"
                     "11400 3->1 alive(2) alive(1)\n"
                     "11400 1->2 alive(3)\n"
                     "11600 2->1 alive(3)\n"
                     "11600 2->3 alive(3)\n"
                     "11602 2->1 ping_req\n"
                     "11602 1->3 ping\n"
                     "11602 3->1 ack\n"
                     "11602 1->2 ack\n"
                     "11690 3->1 ping\n"
                     "11690 1->3 ack\n"
                     "11702 1->2 ping\n"
                     "11702 2->1 ack\n");
    rig_end(&rig);
}

static void test_leave(void **state)
{
    rig_begin(&rig, 3);
    rig_step(&rig, 3, (struct member_event){.type = MEMBER_LEAVE});
    rig_run(&rig, 1000);
    rig_expect(&rig, "11102 2->3 ping\n"
                     "11102 3->2 ack dead(3)\n"
                     "11102 2: 3 left\n"
                     "11200 3->1 dead(3)\n"
                     "11200 1: 3 left\n"
                     "11200 3->2 dead(3)\n"
                     "11302 2->1 dead(3)\n"
                     "11400 1->2 dead(3)\n"
                     "11400 3->1 dead(3)\n"
                     "11502 2->1 dead(3)\n"
                     "11600 1->2 dead(3)\n"
                     "11702 2->1 dead(3)\n"
                     "11702 1->2 ping dead(3)\n"
                     "11702 2->1 ack dead(3)\n"
                     "11800 1->2 dead(3)\n");
    assert_int_equal(rig.left_count, 1);
    assert_int_equal(member_due_us(rig.cores[3]), UINT64_MAX);
    rig_end(&rig);
}

/* Both halves of a partition hold the other for dead, for longer than they gossip to the dead. */
static void test_partition_heals(void **state)
{
    rig_begin(&rig, 2);
    rig.quiet = true;
    rig.deaf[2] = true;
    rig_run(&rig, 200000);
    assert_int_equal(rig_state(&rig, 1, 2), MEMBER_DEAD);
    assert_int_equal(rig_state(&rig, 2, 1), MEMBER_DEAD);
    rig.deaf[2] = false;
    rig_run(&rig, 45000);
    assert_int_equal(rig_state(&rig, 1, 2), MEMBER_ALIVE);
    assert_int_equal(rig_state(&rig, 2, 1), MEMBER_ALIVE);
    rig_end(&rig);
}

static void test_set(void **state)
{
    rig_begin(&rig, 3);
    struct member_event set = {.type = MEMBER_SET, .set.meta = slice_str("load=9")};
    rig_step(&rig, 2, set);
    rig_run(&rig, 1000);
    struct member m;
    assert_int_equal(member_find(rig.cores[3], 2, &m), 0);
    assert_true(slice_equal(m.meta, slice_str("load=9")));
    assert_true(slice_equal(m.zone, slice_str("z")));
    assert_int_equal(m.incarnation, 2);
    static const uint8_t zeros[MEMBER_META_BYTES_MAX + 1];
    set.set.meta = slice_make(zeros, sizeof(zeros));
    assert_int_equal(rig_step_st(&rig, 2, set), ST_INVALID);
    rig_end(&rig);
}

/* --- full syncs --- */

/* Somebody, node 2, tells node 1 of `count` members in one packet a hundred. */
static void tell_of(unsigned count)
{
    for (unsigned done = 0; done < count;) {
        BUFFER_AUTO struct buffer out = {0};
        struct datagram_head head = {.version = WIRE_VERSION,
                                     .cluster = RIG_CLUSTER,
                                     .from = 2,
                                     .boot = 1,
                                     .nonce = 201,
                                     .counter = done + 1};
        struct member_message row = {.code = MEMBER_MESSAGE_ALIVE};
        size_t start = datagram_begin(&out);
        row.alive = (struct member_message_alive){
            2, 1, 201, 1, 1, 2, slice_str("10.0.0.2:7401"), slice_str(""), slice_str("")};
        member_message_encode(&out, &row);
        for (unsigned i = 0; i < 100; i++, done++) {
            row.alive.node = 1000 + done;
            row.alive.meta = slice_str("sixteen bytes...");
            member_message_encode(&out, &row);
        }
        struct slice packet = datagram_seal(&out, start, &head, &rig.mac.mac);
        rig_step(&rig, 1,
                 (struct member_event){.type = MEMBER_STREAM,
                                       .packet = {slice_str("10.0.0.2:1"), 9, packet}});
    }
}

/* Many members take several packets, each complete in itself; then both know the same. */
static void test_sync_of_many(void **state)
{
    enum { MANY = 1000 };
    rig_begin(&rig, 1);
    rig.quiet = true;
    tell_of(MANY);
    assert_int_equal(rig_status(&rig, 1).members, MANY + 2);
    uint64_t before = rig_status(&rig, 1).stream_bytes;
    rig_up(&rig, 3);
    assert_int_equal(rig_join(&rig, 3, rig.addresses[1]), 0);
    assert_int_equal(rig_status(&rig, 3).members, MANY + 3);
    assert_int_equal(rig_status(&rig, 1).members, MANY + 3);
    uint64_t told = rig_status(&rig, 1).stream_bytes - before;
    assert_true(told > 2 * DATAGRAM_STREAM_BYTES_MAX);
    before += told;
    assert_int_equal(rig_join(&rig, 3, rig.addresses[1]), 0); /* the digests are equal now */
    assert_true(rig_status(&rig, 1).stream_bytes - before < 300);
    rig_end(&rig);
}

/* --- refusals --- */

static void expect_refused(unsigned node, enum member_refusal reason, bool self)
{
    assert_int_equal(rig.refused[node], reason);
    assert_int_equal(rig.refused_self[node], self);
    rig.refused[node] = 0;
}

static void test_own_address(void **state)
{
    rig_begin(&rig, 1);
    assert_int_equal(rig_join(&rig, 1, rig.addresses[1]), ST_INVALID);
    expect_refused(1, MEMBER_REFUSED_SELF, true);
    /* the same, behind another name: 10.0.0.2 is node 1, too */
    rig.now_us += 60000000;
    char own[24];
    strcpy(own, rig.addresses[1]);
    strcpy(rig.addresses[1], rig.addresses[2]);
    assert_int_equal(rig_join(&rig, 1, rig.addresses[2]), 0);
    strcpy(rig.addresses[1], own);
    expect_refused(1, MEMBER_REFUSED_SELF, true);
    assert_int_equal(rig_step_st(&rig, 1, (struct member_event){.type = MEMBER_JOIN}), ST_INVALID);
    rig_end(&rig);
}

static void test_other_cluster(void **state)
{
    rig_begin(&rig, 2);
    struct member_start start = rig_start(&rig, 3);
    start.cluster = 0xc2;
    assert_int_equal(member_create(&start, &rig.cores[3]), 0);
    assert_int_equal(rig_join(&rig, 3, rig.addresses[1]), 0);
    expect_refused(1, MEMBER_REFUSED_CLUSTER, false);
    expect_refused(3, MEMBER_REFUSED_CLUSTER, true);
    struct member m;
    assert_int_equal(member_find(rig.cores[1], 3, &m), ST_NOTFOUND);
    assert_int_equal(member_find(rig.cores[3], 1, &m), ST_NOTFOUND);
    rig_end(&rig);
}

static void test_takes_the_cluster(void **state)
{
    rig_begin(&rig, 2);
    struct member_start start = rig_start(&rig, 3);
    start.cluster = 0;
    assert_int_equal(member_create(&start, &rig.cores[3]), 0);
    assert_int_equal(rig_join(&rig, 3, rig.addresses[1]), 0);
    assert_int_equal(rig_status(&rig, 3).cluster, RIG_CLUSTER);
    struct member_event born = {.type = MEMBER_CLUSTER, .cluster = 0xc2};
    assert_int_equal(rig_step_st(&rig, 3, born), ST_EXISTS);
    rig_end(&rig);
}

/* A copy of node 2's data directory, its clock reservation with it, is started elsewhere. */
static void test_clone_of_one_boot(void **state)
{
    rig_begin(&rig, 2);
    struct member_start start = rig_start(&rig, 2);
    start.boot--;
    start.address = slice_str(rig.addresses[3]);
    assert_int_equal(member_create(&start, &rig.cores[3]), 0);
    assert_int_equal(rig_join(&rig, 3, rig.addresses[1]), 0);
    expect_refused(1, MEMBER_REFUSED_DUPLICATE, false);
    expect_refused(3, MEMBER_REFUSED_DUPLICATE, true);
    assert_int_equal(rig_state(&rig, 1, 2), MEMBER_ALIVE);
    rig_end(&rig);
}

/* The same, started later: it looks like a restart until the former one is heard of again. */
static void test_clone_of_later_boot(void **state)
{
    rig_begin(&rig, 2);
    struct member_start start = rig_start(&rig, 2);
    start.address = slice_str(rig.addresses[3]);
    assert_int_equal(member_create(&start, &rig.cores[3]), 0);
    assert_int_equal(rig_join(&rig, 3, rig.addresses[1]), 0);
    assert_int_equal(rig.refused_count, 0);
    rig_run(&rig, 8000);
    assert_int_equal(rig.refused[1], MEMBER_REFUSED_DUPLICATE);
    expect_refused(2, MEMBER_REFUSED_DUPLICATE, true);
    expect_refused(3, MEMBER_REFUSED_DUPLICATE, true);
    rig_end(&rig);
}

static void test_restart_is_no_clone(void **state)
{
    rig_begin(&rig, 3);
    for (int i = 0; i < 20; i++) {
        rig_down(&rig, 2);
        rig_run(&rig, 300);
        rig_up(&rig, 2);
        assert_int_equal(rig_join(&rig, 2, rig.addresses[1]), 0);
        rig_run(&rig, 700);
    }
    rig_run(&rig, 5000);
    assert_int_equal(rig_state(&rig, 1, 2), MEMBER_ALIVE);
    assert_int_equal(rig_state(&rig, 3, 2), MEMBER_ALIVE);
    assert_int_equal(rig.refused_count, 0);
    rig_end(&rig);
}

static void test_version(void **state)
{
    rig_begin(&rig, 2);
    BUFFER_AUTO struct buffer out = {0};
    struct datagram_head head = {.version = WIRE_VERSION_NEXT + 1,
                                 .cluster = RIG_CLUSTER,
                                 .from = 9,
                                 .to = 1,
                                 .boot = 1,
                                 .to_boot = 1,
                                 .nonce = 5,
                                 .counter = 1};
    size_t start = datagram_begin(&out);
    struct slice packet = datagram_seal(&out, start, &head, &rig.mac.mac);
    struct member_event event = {.type = MEMBER_DATAGRAM,
                                 .packet = {slice_str("10.0.0.9:7401"), 0, packet}};
    rig_step(&rig, 1, event);
    expect_refused(1, MEMBER_REFUSED_VERSION, false);
    rig_expect(&rig, "11000 1->9 alive(1) refuse\n");
    rig_step(&rig, 1, event); /* said once is enough */
    rig_expect(&rig, "");
    rig_end(&rig);
}

static void test_removed(void **state)
{
    rig_begin(&rig, 3);
    rig.removed = 3;
    rig_step(&rig, 1, (struct member_event){.type = MEMBER_FORGET, .node = 3});
    rig_step(&rig, 2, (struct member_event){.type = MEMBER_FORGET, .node = 3});
    rig_run(&rig, 5000);
    struct member m;
    assert_int_equal(member_find(rig.cores[1], 3, &m), ST_NOTFOUND);
    expect_refused(1, MEMBER_REFUSED_REMOVED, false);
    expect_refused(3, MEMBER_REFUSED_REMOVED, true);
    struct member_event self = {.type = MEMBER_FORGET, .node = 1};
    assert_int_equal(rig_step_st(&rig, 1, self), ST_INVALID);
    rig_end(&rig);
}

static void test_full(void **state)
{
    rig_begin(&rig, 0);
    struct member_start start = rig_start(&rig, 1);
    start.limits.members_max = 2;
    assert_int_equal(member_create(&start, &rig.cores[1]), 0);
    rig_up(&rig, 2);
    rig_up(&rig, 3);
    assert_int_equal(rig_join(&rig, 2, rig.addresses[1]), 0);
    assert_int_equal(rig.refused_count, 0);
    assert_int_equal(rig_join(&rig, 3, rig.addresses[1]), 0);
    expect_refused(1, MEMBER_REFUSED_FULL, false);
    expect_refused(3, MEMBER_REFUSED_FULL, true);
    rig_end(&rig);
}

/* --- forgery --- */

static uint64_t refusals(unsigned node, enum wire_refusal why)
{
    return rig_status(&rig, node).refusals.counts[why];
}

/* Gives what was recorded to its receiver, from an address of the recorder's. */
static void replay(unsigned to, const struct buffer *recorded)
{
    rig_step(&rig, to,
             (struct member_event){.type = MEMBER_DATAGRAM,
                                   .packet = {slice_str("6.6.6.6:6"), 0, buffer_slice(recorded)}});
}

static struct buffer record(void)
{
    struct buffer recorded = {0};
    buffer_append_slice(&recorded, buffer_slice(&rig.last));
    return recorded;
}

static void test_replay(void **state)
{
    rig_begin(&rig, 2);
    rig.cut[2][1] = true;
    rig_run(&rig, 110);
    BUFFER_AUTO struct buffer ping = record();
    assert_int_equal(rig.last_to, 1);
    rig_expect(&rig, "11102 2->1 ping\n");
    replay(1, &ping); /* it was lost the first time: this is no replay */
    rig_expect(&rig, "11110 1->2 ack\n");
    assert_int_equal(refusals(1, WIRE_REFUSED_REPLAY), 0);
    replay(1, &ping);
    rig_expect(&rig, "");
    assert_int_equal(refusals(1, WIRE_REFUSED_REPLAY), 1);
    rig_end(&rig);
}

static void test_replay_over_a_restart(void **state)
{
    rig_begin(&rig, 2);
    rig_run(&rig, 110);
    unsigned to = rig.last_to;
    BUFFER_AUTO struct buffer ack = record();
    replay(to, &ack);
    assert_int_equal(refusals(to, WIRE_REFUSED_REPLAY), 1);
    rig_down(&rig, to);
    rig_up(&rig, to);
    rig.quiet = true;
    replay(to, &ack); /* an ack: nothing is answered */
    assert_int_equal(refusals(to, WIRE_REFUSED_BOOT), 1);
    struct member m;
    assert_int_equal(member_find(rig.cores[to], 3 - to, &m), ST_NOTFOUND);
    rig_end(&rig);
}

static void test_without_the_secret(void **state)
{
    rig_begin(&rig, 2);
    rig_up(&rig, 3);
    struct test_mac right = rig.mac;
    for (unsigned i = 1; i <= 2; i++) {
        BUFFER_AUTO struct buffer junk = {0};
        size_t start = datagram_begin(&junk);
        struct datagram_head head = {
            .version = 1, .cluster = RIG_CLUSTER, .from = 3, .to = i, .boot = 1, .counter = 1};
        struct test_mac wrong = test_mac(8);
        struct slice packet = datagram_seal(&junk, start, &head, &wrong.mac);
        rig_step(&rig, i,
                 (struct member_event){.type = MEMBER_DATAGRAM,
                                       .packet = {slice_str("6.6.6.6:6"), 0, packet}});
        assert_int_equal(refusals(i, WIRE_REFUSED_MAC), 1);
    }
    rig.mac = right;
    rig_expect(&rig, "");
    assert_int_equal(rig.refused_count, 0);
    rig_end(&rig);
}

/* --- clocks --- */

static void test_clock(void **state)
{
    rig_begin(&rig, 3);
    rig.quiet = true;
    rig.wall_ahead_ms[3] = 450;
    rig_run(&rig, 10000);
    for (unsigned i = 1; i <= 3; i++)
        assert_true(member_clock_ok(rig.cores[i]));
    rig.wall_ahead_ms[3] = -600;
    rig_run(&rig, 10000);
    assert_false(member_clock_ok(rig.cores[3]));
    assert_true(member_clock_ok(rig.cores[1]));
    assert_true(member_clock_ok(rig.cores[2]));
    assert_int_equal(member_clock_ahead_ms(rig.cores[3]), 600);
    assert_int_equal(rig.clock_count, 1);
    rig.wall_ahead_ms[3] = 0;
    rig_run(&rig, 10000);
    assert_true(member_clock_ok(rig.cores[3]));
    assert_int_equal(rig.clock_count, 2);
    rig_end(&rig);
}

static void test_two_clocks_have_no_majority(void **state)
{
    rig_begin(&rig, 2);
    rig.quiet = true;
    rig.wall_ahead_ms[2] = 5000;
    rig_run(&rig, 10000);
    assert_true(member_clock_ok(rig.cores[1]));
    assert_true(member_clock_ok(rig.cores[2]));
    rig_end(&rig);
}

static void test_create_refuses(void **state)
{
    memset(&rig, 0, sizeof(rig));
    strcpy(rig.addresses[1], "a:1");
    struct member_core *core = NULL;
    struct member_start good = rig_start(&rig, 1), bad;
#define BAD(assignment)                                           \
    do {                                                          \
        bad = good;                                               \
        bad.assignment;                                           \
        assert_int_equal(member_create(&bad, &core), ST_INVALID); \
    } while (0)
    BAD(node = 0);
    BAD(boot = 0);
    BAD(nonce = 0);
    BAD(address.len = 0);
    BAD(limits.probe_timeout_ms = 1000);
    BAD(limits.suspicion_mult = 99);
    BAD(limits.members_max = 0);
#undef BAD
    assert_null(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_indirect_probe),
        cmocka_unit_test(test_suspicion_refuted),
        cmocka_unit_test(test_dead),
        cmocka_unit_test(test_rejoin_elsewhere),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_partition_heals),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_sync_of_many),
        cmocka_unit_test(test_own_address),
        cmocka_unit_test(test_other_cluster),
        cmocka_unit_test(test_takes_the_cluster),
        cmocka_unit_test(test_clone_of_one_boot),
        cmocka_unit_test(test_clone_of_later_boot),
        cmocka_unit_test(test_restart_is_no_clone),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_replay_over_a_restart),
        cmocka_unit_test(test_without_the_secret),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_two_clocks_have_no_majority),
        cmocka_unit_test(test_create_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
