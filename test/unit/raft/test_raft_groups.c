/* Golden traces of what stands on elections and the log: reads and leases, changes of members,
 * transfers, snapshots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raft/cluster.h"

static struct cluster *leased_cluster(unsigned count)
{
    struct cluster *c = cluster_make();
    c->limits.leases = true;
    struct raft_config config = {0};
    for (uint64_t id = 1; id <= count; id++)
        raft_config_set(&config, id, id * 10, RAFT_VOTER);
    for (uint64_t id = 1; id <= count; id++)
        start(c, id, true, &config);
    return c;
}

/* --- reads --- */

/* One round for all that wait; who comes later shares the next. */
static void test_read_index(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    assert_int_equal(ask(c, 2, 1), ST_CLOSED);
    buffer_clear(&c->trace);
    ask(c, 1, 2);
    ask(c, 1, 3);
    ask(c, 1, 4);
    trace_is(c, "1>2 heartbeat 1 commit=1\n"
                "1>3 heartbeat 1 commit=1\n");
    deliver(c);
    trace_is(c, "2>1 heartbeat_result 1\n"
                "3>1 heartbeat_result 1\n"
                "1: read 2 at 1\n"
                "1>2 heartbeat 1 commit=1\n"
                "1>3 heartbeat 1 commit=1\n"
                "2>1 heartbeat_result 1\n"
                "3>1 heartbeat_result 1\n"
                "1: read 3 at 1\n"
                "1: read 4 at 1\n");
    for (uint64_t id = 10; id < 10 + c->limits.reads_max; id++)
        assert_int_equal(ask(c, 1, id), 0);
    assert_int_equal(ask(c, 1, 100), ST_LIMIT);
    cluster_free(c);
}

/* Before an entry of its own term is committed a leader does not know what is (6.4). */
static void test_read_waits_for_term(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    propose(c, 1, "a");
    deliver(c);
    run_ms(c, HEARTBEAT);
    stop(c, 1);
    lose_all(c);
    sleep_ms(c, 2 * ELECTION + 1);
    tick(c, 2);
    pass(c, 2, 3, false);
    pass(c, 3, 2, false);
    pass(c, 2, 3, false);
    pass(c, 3, 2, false);
    while (pass(c, 2, 1, true))
        ;
    buffer_clear(&c->trace);
    ask(c, 2, 1);
    trace_is(c, "");     /* the round that came with the no-op began before it */
    pass(c, 2, 3, true); /* the no-op is lost, the next round is confirmed */
    sleep_ms(c, HEARTBEAT);
    tick(c, 2);
    pass(c, 2, 3, false);
    pass(c, 3, 2, false);
    trace_is(c, "2>1 heartbeat 2 commit=0\n"
                "2>3 heartbeat 2 commit=0\n"
                "3>2 heartbeat_result 2\n"
                "3: follower of 2 in 2\n"
                "2>3 append 2 prev=2,1 commit=2 n=1\n");
    deliver(c);
    trace_is(c, "3>2 append_result 2 yes index=3\n"
                "2: commit 3\n"
                "2: read 1 at 3\n");
    cluster_free(c);
}

/* A leader that was stopped for a while does not answer from what it remembers. */
static void test_read_after_pause(void **state)
{
    for (unsigned leases = 0; leases < 2; leases++) {
        struct cluster *c = leases ? leased_cluster(3) : cluster_new(3);
        elect(c, 1);
        run_ms(c, 2 * HEARTBEAT);
        assert_int_equal(status(c, 1).leased, leases);
        sleep_ms(c, 2 * ELECTION + 1); /* 1 is stopped; the others go on */
        tick(c, 2);
        while (status(c, 2).role != RAFT_LEADER)
            assert_true(pass(c, 2, 3, false) || pass(c, 3, 2, false));
        propose(c, 2, "new");
        while (pass(c, 2, 3, false) || pass(c, 3, 2, false))
            ;
        assert_int_equal(status(c, 2).commit, 3);
        lose_all(c);
        buffer_clear(&c->trace);
        ask(c, 1, 1); /* the first thing that it sees */
        trace_is(c, "1>2 heartbeat 1 commit=1\n"
                    "1>3 heartbeat 1 commit=1\n");
        deliver(c);
        assert_int_equal(c->nodes[1].reads_ready, 0);
        assert_int_equal(c->nodes[1].reads_failed, 1);
        cluster_free(c);
    }
}

/* The lease runs from when the round was begun, and less the clocks' drift. */
static void test_lease(void **state)
{
    struct cluster *c = leased_cluster(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    sleep_ms(c, HEARTBEAT);
    tick(c, 1);
    uint64_t begun = c->now_us;
    sleep_ms(c, 5); /* the answers take a while */
    deliver(c);
    assert_true(status(c, 1).leased);
    buffer_clear(&c->trace);
    c->now_us = begun + 89000 - 1000;
    ask(c, 1, 1);
    trace_is(c, "1: read 1 at 1\n");
    c->now_us = begun + 89000;
    ask(c, 1, 2);
    trace_is(c, "1>2 heartbeat 1 commit=1\n"
                "1>3 heartbeat 1 commit=1\n");
    cluster_free(c);
}

/* A follower does not vote while a leader may count on it (6.4.1), but for a transfer. */
static void test_lease_is_kept(void **state)
{
    struct cluster *c = leased_cluster(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    struct raft_message m = {.code = MESSAGE_VOTE_REQUEST, .group = 1, .to = 2, .from = 3};
    m.term = 5;
    m.vote_request.last_index = 9;
    m.vote_request.last_term = 4;
    buffer_clear(&c->trace);
    c->now_us += raft_config(c->nodes[2].r)->count * 33 * 1000 - 1000; /* 98 ms */
    step(c, 2, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    trace_is(c, "");
    m.vote_request.flags = VOTE_TRANSFER;
    step(c, 2, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    trace_is(c, "2: follower of 0 in 5\n"
                "2>3 vote 5 yes\n");
    cluster_free(c);
}

/* --- transfer --- */

static void test_transfer(void **state)
{
    struct cluster *c = leased_cluster(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    propose(c, 1, "a");
    buffer_clear(&c->trace);
    assert_int_equal(transfer(c, 1, 1), ST_INVALID);
    assert_int_equal(transfer(c, 1, 9), ST_INVALID);
    assert_int_equal(transfer(c, 2, 1), ST_CLOSED);
    assert_int_equal(transfer(c, 1, 3), 0);
    assert_int_equal(transfer(c, 1, 2), ST_AGAIN);
    assert_int_equal(propose(c, 1, "b"), ST_AGAIN);
    assert_false(status(c, 1).leased);
    trace_is(c, ""); /* 3 has not all of the log yet */
    deliver(c);
    trace_is(c, "2>1 append_result 1 yes index=2\n"
                "3>1 append_result 1 yes index=2\n"
                "1: commit 2\n"
                "1>3 timeout_now 1\n"
                "3: candidate in 2\n"
                "3>1 vote_request 2 last=2,1 transfer\n"
                "3>2 vote_request 2 last=2,1 transfer\n"
                "1: follower of 0 in 2\n"
                "1>3 vote 2 yes\n"
                "2: follower of 0 in 2\n"
                "2>3 vote 2 yes\n"
                "3>1 append 2 prev=2,1 commit=1 n=1\n"
                "3>2 append 2 prev=2,1 commit=1 n=1\n"
                "3: leader in 2\n"
                "1: follower of 3 in 2\n"
                "1>3 append_result 2 yes index=3\n"
                "2: follower of 3 in 2\n"
                "2>3 append_result 2 yes index=3\n"
                "3: commit 3\n");
    cluster_free(c);
}

/* Given up after a while; the lease does not come back, as TIMEOUT_NOW may still arrive. */
static void test_transfer_given_up(void **state)
{
    struct cluster *c = leased_cluster(3);
    elect(c, 1);
    run_ms(c, 2 * HEARTBEAT);
    transfer(c, 1, 3);
    struct packet *asked = packet_take(c, 0);
    for (unsigned i = 0; i < 12; i++) { /* and whenever it is sent again it is lost */
        sleep_ms(c, HEARTBEAT);
        tick(c, 1);
        for (unsigned at = 0; at < c->packet_count;) {
            struct packet *p = c->packets;
            for (unsigned k = 0; k < at; k++)
                p = p->next;
            if (p->bytes.data[0] == MESSAGE_TIMEOUT_NOW)
                packet_free(packet_take(c, at));
            else
                at++;
        }
        deliver(c);
    }
    assert_false(status(c, 1).transferring);
    assert_int_equal(propose(c, 1, "b"), 0);
    deliver(c);
    run_ms(c, HEARTBEAT);
    assert_false(status(c, 1).leased);
    packet_deliver(c, asked); /* late: 3 stands, and wins within the others' timeout */
    packet_free(asked);
    deliver(c);
    assert_int_equal(status(c, 3).role, RAFT_LEADER);
    run_ms(c, 2 * HEARTBEAT);
    assert_true(status(c, 3).leased);
    cluster_free(c);
}

/* --- members --- */

static void test_change_one(void **state)
{
    struct cluster *c = cluster_new(3);
    struct raft_config none = {0}, to = voters(3, 1, 2, 3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    start(c, 4, true, &none);
    assert_int_equal(change(c, 2, &to), ST_CLOSED);
    assert_int_equal(change(c, 1, &to), ST_INVALID); /* as it is */
    assert_int_equal(change(c, 1, &none), ST_INVALID);
    raft_config_set(&to, 4, 40, RAFT_LEARNER); /* a learner first: no joint step */
    buffer_clear(&c->trace);
    assert_int_equal(change(c, 1, &to), 0);
    assert_int_equal(change(c, 1, &to), ST_INVALID);
    raft_config_set(&to, 4, 40, RAFT_VOTER);
    assert_int_equal(change(c, 1, &to), ST_AGAIN); /* one at a time */
    deliver(c);
    trace_is(c, "1>2 append 1 prev=1,1 commit=1 n=1\n"
                "1>3 append 1 prev=1,1 commit=1 n=1\n"
                "1>4 append 1 prev=2,1 commit=1 n=0\n"
                "1: config 1v 2v 3v 4l\n"
                "2: config 1v 2v 3v 4l\n"
                "2>1 append_result 1 yes index=2\n"
                "3: config 1v 2v 3v 4l\n"
                "3>1 append_result 1 yes index=2\n"
                "4: follower of 1 in 1\n"
                "4>1 append_result 1 no index=0,0 prev=2\n"
                "1: commit 2\n"
                "1>4 append 1 prev=0,0 commit=2 n=2\n"
                "4: commit 2\n"
                "4: config 1v 2v 3v 4l\n"
                "4>1 append_result 1 yes index=2\n");
    assert_int_equal(change(c, 1, &to), 0);
    deliver(c);
    trace_is(c, "1>2 append 1 prev=2,1 commit=2 n=1\n"
                "1>3 append 1 prev=2,1 commit=2 n=1\n"
                "1>4 append 1 prev=2,1 commit=2 n=1\n"
                "1: config 1vo 2vo 3vo 4v\n"
                "2: commit 2\n"
                "2: config 1vo 2vo 3vo 4v\n"
                "2>1 append_result 1 yes index=3\n"
                "3: commit 2\n"
                "3: config 1vo 2vo 3vo 4v\n"
                "3>1 append_result 1 yes index=3\n"
                "4: config 1vo 2vo 3vo 4v\n"
                "4>1 append_result 1 yes index=3\n"
                "1: commit 3\n" /* three of four, two of three */
                "1>2 append 1 prev=3,1 commit=3 n=1\n"
                "1>3 append 1 prev=3,1 commit=3 n=1\n"
                "1>4 append 1 prev=3,1 commit=3 n=1\n"
                "1: config 1v 2v 3v 4v\n"
                "2: commit 3\n"
                "2: config 1v 2v 3v 4v\n"
                "2>1 append_result 1 yes index=4\n"
                "3: commit 3\n"
                "3: config 1v 2v 3v 4v\n"
                "3>1 append_result 1 yes index=4\n"
                "4: commit 3\n"
                "4: config 1v 2v 3v 4v\n"
                "4>1 append_result 1 yes index=4\n"
                "1: commit 4\n");
    cluster_free(c);
}

/* Two of three are replaced at once: joint, both majorities count. */
static void test_change_two(void **state)
{
    struct cluster *c = cluster_new(3);
    struct raft_config none = {0}, to = voters(3, 1, 4, 5);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    start(c, 4, true, &none);
    start(c, 5, true, &none);
    c->nodes[2].cut = c->nodes[3].cut = true;
    assert_int_equal(change(c, 1, &to), 0);
    run_ms(c, 5 * HEARTBEAT);
    assert_int_equal(status(c, 4).last_index, 2); /* a majority of the new ones has it */
    assert_int_equal(status(c, 1).commit, 1);     /* none of the old ones */
    c->nodes[2].cut = false;
    run_ms(c, 10 * HEARTBEAT);
    assert_int_equal(status(c, 1).commit, 3);
    assert_int_equal(status(c, 4).commit, 3);
    assert_true(raft_config_equal(raft_config(c->nodes[1].r), &to));
    /* those who went do not disturb who stays, though one never heard of it */
    c->nodes[3].cut = false;
    uint64_t term = status(c, 1).term;
    run_ms(c, 10 * ELECTION);
    assert_int_equal(status(c, 1).role, RAFT_LEADER);
    assert_int_equal(status(c, 1).term, term);
    cluster_free(c);
}

/* A configuration that was cut off is not in force any more. */
static void test_change_rolled_back(void **state)
{
    struct cluster *c = cluster_new(3);
    struct raft_config to = voters(1, 1);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    c->nodes[1].cut = true;
    assert_int_equal(change(c, 1, &to), 0);
    assert_true(raft_config_joint(raft_config(c->nodes[1].r)));
    elect(c, 2);
    c->nodes[1].cut = false;
    lose_all(c);
    run_ms(c, 5 * HEARTBEAT);
    to = voters(3, 1, 2, 3);
    assert_true(raft_config_equal(raft_config(c->nodes[1].r), &to));
    assert_int_equal(status(c, 1).last_index, 2);
    cluster_free(c);
}

/* A leader of a new term waits until an entry of it is committed. */
static void test_change_waits_for_term(void **state)
{
    struct cluster *c = cluster_new(3);
    struct raft_config to = voters(2, 1, 2);
    sleep_ms(c, 2 * ELECTION + 1);
    tick(c, 1);
    while (status(c, 1).role != RAFT_LEADER)
        assert_true(pass(c, 1, 2, false) || pass(c, 2, 1, false));
    assert_int_equal(change(c, 1, &to), ST_AGAIN);
    deliver(c);
    assert_int_equal(change(c, 1, &to), 0);
    cluster_free(c);
}

/* The leader leaves: it commits that without its own vote, tells the others and steps down. */
static void test_removed_leader(void **state)
{
    struct cluster *c = leased_cluster(3);
    struct raft_config to = voters(2, 2, 3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    buffer_clear(&c->trace);
    change(c, 1, &to);
    deliver(c);
    trace_is(c, "1>2 append 1 prev=1,1 commit=1 n=1\n"
                "1>3 append 1 prev=1,1 commit=1 n=1\n"
                "1: config 1o 2vo 3vo\n"
                "2: config 1o 2vo 3vo\n"
                "2>1 append_result 1 yes index=2\n"
                "3: config 1o 2vo 3vo\n"
                "3>1 append_result 1 yes index=2\n"
                "1: commit 2\n" /* of the new ones both are needed */
                "1>2 append 1 prev=2,1 commit=2 n=1\n"
                "1>3 append 1 prev=2,1 commit=2 n=1\n"
                "1: config 2v 3v\n"
                "2: commit 2\n"
                "2: config 2v 3v\n"
                "2>1 append_result 1 yes index=3\n"
                "3: commit 2\n"
                "3: config 2v 3v\n"
                "3>1 append_result 1 yes index=3\n"
                "1: commit 3\n"
                "1>2 heartbeat 1 commit=3\n"
                "1>3 heartbeat 1 commit=3\n"
                "1: follower of 0 in 1\n"
                "2: commit 3\n"
                "2>1 heartbeat_result 1\n"
                "3: commit 3\n"
                "3>1 heartbeat_result 1\n");
    run_ms(c, 5 * ELECTION);
    assert_int_equal(status(c, 1).role, RAFT_FOLLOWER);
    assert_int_equal(raft_due_us(c->nodes[1].r), UINT64_MAX);
    assert_true(status(c, 2).role == RAFT_LEADER || status(c, 3).role == RAFT_LEADER);
    cluster_free(c);
}

/* --- snapshots --- */

static struct cluster *lagging_cluster(void)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    c->nodes[3].cut = true;
    for (unsigned i = 0; i < 5; i++)
        propose(c, 1, "a");
    deliver(c);
    lose_all(c);
    apply(c, 1);
    compact(c, 1);
    assert_int_equal(status(c, 1).first_index, 7);
    c->nodes[3].cut = false;
    buffer_clear(&c->trace);
    return c;
}

static void test_snapshot(void **state)
{
    struct cluster *c = lagging_cluster();
    propose(c, 1, "b"); /* under load: it comes after the snapshot */
    pass(c, 1, 2, false);
    pass(c, 2, 1, false);
    lose_all(c);
    buffer_clear(&c->trace);
    for (unsigned i = 0; i < 8 && status(c, 3).last_index != 7; i++) {
        sleep_ms(c, HEARTBEAT);
        tick(c, 1);
        while (pass(c, 1, 3, false) || pass(c, 3, 1, false) || stored_answer(c, 3))
            while (pass(c, 1, 2, true))
                ;
    }
    trace_is(c, "1>2 heartbeat 1 commit=7\n"
                "1>3 heartbeat 1 commit=1\n"
                "3>1 heartbeat_result 1\n" /* what was lost is compacted by now */
                "1>3 snapshot 1 index=6,1 offset=0 n=16\n"
                "3>1 snapshot_result 1 wanted index=6 offset=16\n"
                "1>3 snapshot 1 index=6,1 offset=16 n=16\n"
                "3>1 snapshot_result 1 wanted index=6 offset=32\n"
                "1>3 snapshot 1 index=6,1 offset=32 n=8 done\n"
                "3>1 snapshot_result 1 installed index=6 offset=0\n"
                "3: config 1v 2v 3v\n"
                "1>3 append 1 prev=6,1 commit=7 n=1\n"
                "3: commit 7\n"
                "3>1 append_result 1 yes index=7\n");
    assert_int_equal(status(c, 3).commit, 7);
    assert_int_equal(c->nodes[3].state.index, 6);
    cluster_free(c);
}

/* Lost chunks are sent again, and a stream goes on where it was, over a restart of its receiver's
 * connection but not of its leader. */
static void test_snapshot_resumed(void **state)
{
    struct cluster *c = lagging_cluster();
    run_ms(c, 3 * HEARTBEAT);
    lose_all(c);
    /* whatever arrived until now: half of all messages are lost from here on */
    struct prng p = prng_make(7);
    for (unsigned i = 0; i < 400 && status(c, 3).last_index < 6; i++) {
        sleep_ms(c, HEARTBEAT);
        tick(c, 1);
        for (unsigned k = 0; k < 20; k++) {
            pass(c, 1, 2, false);
            pass(c, 2, 1, false);
            pass(c, 1, 3, prng_below(&p, 2));
            pass(c, 3, 1, prng_below(&p, 2));
            stored_answer(c, 3);
        }
    }
    assert_int_equal(status(c, 3).last_index, 6);
    assert_int_equal(c->snapshots, 1);
    cluster_free(c);
}

/* Answers of earlier chunks come late: the stream goes on where it is. Only who wants all of it
 * begins anew. */
static void test_snapshot_late_answer(void **state)
{
    struct cluster *c = lagging_cluster();
    for (unsigned i = 0; i < 8 && c->nodes[3].install.len < 2 * CHUNK_BYTES; i++) {
        sleep_ms(c, HEARTBEAT);
        tick(c, 1);
        while (c->nodes[3].install.len < 2 * CHUNK_BYTES &&
               (pass(c, 1, 3, false) || pass(c, 3, 1, false) || stored_answer(c, 3)))
            ;
    }
    while (stored_answer(c, 3) || pass(c, 3, 1, false)) /* it wants the third chunk */
        ;
    buffer_clear(&c->trace);
    struct raft_message late = {
        .code = MESSAGE_SNAPSHOT_RESULT, .group = 1, .to = 1, .from = 3, .term = 1};
    late.snapshot_result.index = 6;
    late.snapshot_result.stream = c->nodes[3].install.stream;
    late.snapshot_result.state = SNAPSHOT_WANTED;
    late.snapshot_result.offset = CHUNK_BYTES;
    step(c, 1, (struct raft_event){.type = RAFT_MESSAGE, .message = &late});
    trace_is(c, "");
    late.snapshot_result.offset = 0;
    step(c, 1, (struct raft_event){.type = RAFT_MESSAGE, .message = &late});
    trace_is(c, "1>3 snapshot 1 index=6,1 offset=0 n=16\n");
    assert_int_equal(status(c, 1).dropped, 0);
    cluster_free(c);
}

/* A snapshot of what the log has already does not touch it: what is behind may be acknowledged. */
static void test_snapshot_not_needed(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    for (unsigned i = 0; i < 3; i++) {
        propose(c, 1, "a"); /* 2..4 */
        while (pass(c, 1, 2, false))
            ;
    }
    assert_int_equal(status(c, 2).last_index, 4);
    uint64_t before = status(c, 2).commit;
    assert_true(before < 3);
    BUFFER_AUTO struct buffer config = {0};
    raft_config_encode(&config, raft_config(c->nodes[1].r));
    struct raft_message m = {.code = MESSAGE_SNAPSHOT, .group = 1, .to = 2, .from = 1, .term = 1};
    m.snapshot.index = 3;
    m.snapshot.index_term = 1;
    m.snapshot.stream = 9;
    m.snapshot.config = buffer_slice(&config);
    m.snapshot.done = 1;
    buffer_clear(&c->trace);
    step(c, 2, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    trace_is(c, "2: commit 3\n"
                "2>1 append_result 1 yes index=4\n");
    assert_int_equal(status(c, 2).last_index, 4);
    cluster_free(c);
}

/* --- what cannot be --- */

/* Each configuration in the log is kept: a log full of them is not taken. */
static void test_many_configs(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    BUFFER_AUTO struct buffer bytes = {0};
    BUFFER_AUTO struct buffer a = {0}, b = {0};
    struct raft_config two = voters(2, 1, 2), three = voters(3, 1, 2, 3);
    raft_config_encode(&a, &two);
    raft_config_encode(&b, &three);
    struct raft_message m = {.code = MESSAGE_APPEND, .group = 1, .to = 2, .from = 1, .term = 1};
    m.append.prev_index = m.append.prev_term = 1;
    uint64_t before = raft_bytes(c->nodes[2].r);
    for (unsigned i = 0; i < 40000; i++) {
        struct raft_entry entry = {
            .index = 2 + i, .term = 1, .type = RAFT_CONFIG, .data = buffer_slice(i % 2 ? &b : &a)};
        message_entry_encode(&bytes, &entry);
    }
    m.append.entries.count = 40000;
    m.append.entries.bytes = buffer_slice(&bytes);
    step(c, 2, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    assert_int_equal(status(c, 2).last_index, 1);
    assert_true(raft_bytes(c->nodes[2].r) <= before);
    cluster_free(c);
}

static void test_dropped(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    buffer_clear(&c->trace);
    struct raft_message good = {
        .code = MESSAGE_HEARTBEAT, .group = 1, .to = 2, .from = 1, .term = 1};
    good.heartbeat.commit = 1;
    struct raft_message bad[9];
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        bad[i] = good;
    bad[0].group = 2;
    bad[1].to = 3;
    bad[2].from = 2;
    bad[3].from = 0;
    bad[4].term = 0;
    bad[5].term = RAFT_INDEX_MAX + 1;
    bad[6].code = 99;
    bad[7].from = 3;              /* another leader in the term */
    bad[8].heartbeat.commit = 99; /* beyond its log */
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        step(c, 2, (struct raft_event){.type = RAFT_MESSAGE, .message = &bad[i]});
        assert_int_equal(status(c, 2).dropped, i + 1);
    }
    trace_is(c, "");
    step(c, 2, (struct raft_event){.type = RAFT_MESSAGE, .message = &good});
    assert_int_equal(status(c, 2).dropped, ARRAY_SIZE(bad));
    trace_is(c, "2>1 heartbeat_result 1\n");
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_index),
        cmocka_unit_test(test_read_waits_for_term),
        cmocka_unit_test(test_read_after_pause),
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_lease_is_kept),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_transfer_given_up),
        cmocka_unit_test(test_change_one),
        cmocka_unit_test(test_change_two),
        cmocka_unit_test(test_change_rolled_back),
        cmocka_unit_test(test_change_waits_for_term),
        cmocka_unit_test(test_removed_leader),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_snapshot_resumed),
        cmocka_unit_test(test_snapshot_late_answer),
        cmocka_unit_test(test_snapshot_not_needed),
        cmocka_unit_test(test_many_configs),
        cmocka_unit_test(test_dropped),
    };
    plant();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
