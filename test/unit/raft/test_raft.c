/* Golden traces of elections, the log, and a restart: what three replicas say to one another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "raft/cluster.h"

/* One voter asks nobody and does not wait; its entries are committed when they are durable. */
static void test_alone(void **state)
{
    struct cluster *c = cluster_new(1);
    c->hold_writes = true;
    tick(c, 1);
    trace_is(c, "1: candidate in 1\n");
    persist(c, 1);
    trace_is(c, "1: leader in 1\n"
                "1: commit 1\n");
    assert_int_equal(propose(c, 1, "a"), 0);
    assert_int_equal(propose(c, 1, "b"), 0);
    trace_is(c, "");
    persist_one(c, 1);
    trace_is(c, "1: commit 2\n");
    persist_one(c, 1);
    trace_is(c, "1: commit 3\n");
    /* again, after a restart */
    stop(c, 1);
    restart(c, 1);
    tick(c, 1);
    persist(c, 1);
    trace_is(c, "1: candidate in 2\n"
                "1: leader in 2\n"
                "1: commit 4\n");
    cluster_free(c);
}

static void test_election(void **state)
{
    struct cluster *c = cluster_new(3);
    tick(c, 1);
    trace_is(c, ""); /* not yet */
    sleep_ms(c, 2 * ELECTION + 1);
    tick(c, 1);
    deliver(c);
    trace_is(c, "1>2 vote_request 1 last=0,0 pre\n"
                "1>3 vote_request 1 last=0,0 pre\n"
                "1: precandidate in 0\n"
                "2>1 vote 1 yes pre\n"
                "3>1 vote 1 yes pre\n"
                "1: candidate in 1\n"
                "1>2 vote_request 1 last=0,0\n"
                "1>3 vote_request 1 last=0,0\n"
                "2: follower of 0 in 1\n"
                "2>1 vote 1 yes\n"
                "3: follower of 0 in 1\n"
                "3>1 vote 1 yes\n"
                "1>2 append 1 prev=0,0 commit=0 n=1\n"
                "1>3 append 1 prev=0,0 commit=0 n=1\n"
                "1: leader in 1\n"
                "2: follower of 1 in 1\n"
                "2>1 append_result 1 yes index=1\n"
                "3: follower of 1 in 1\n"
                "3>1 append_result 1 yes index=1\n"
                "1: commit 1\n");
    sleep_ms(c, HEARTBEAT);
    tick(c, 1);
    deliver(c);
    trace_is(c, "1>2 heartbeat 1 commit=1\n"
                "1>3 heartbeat 1 commit=1\n"
                "2: commit 1\n"
                "2>1 heartbeat_result 1\n"
                "3: commit 1\n"
                "3>1 heartbeat_result 1\n");
    cluster_free(c);
}

/* Requests and votes leave when they are durable; the own vote counts then. */
static void test_votes_are_durable(void **state)
{
    struct cluster *c = cluster_new(3);
    c->hold_writes = true;
    sleep_ms(c, 2 * ELECTION + 1);
    tick(c, 1);
    deliver(c);
    buffer_clear(&c->trace);
    deliver(c);
    trace_is(c, "");
    persist(c, 1);
    trace_is(c, "1>2 vote_request 1 last=0,0\n"
                "1>3 vote_request 1 last=0,0\n");
    deliver(c);
    trace_is(c, "2: follower of 0 in 1\n"
                "3: follower of 0 in 1\n");
    persist(c, 2);
    trace_is(c, "2>1 vote 1 yes\n");
    deliver(c);
    trace_is(c, "1>2 append 1 prev=0,0 commit=0 n=1\n"
                "1>3 append 1 prev=0,0 commit=0 n=1\n"
                "1: leader in 1\n"
                "2: follower of 1 in 1\n"
                "3: follower of 1 in 1\n");
    persist(c, 3); /* its vote, to nobody's use, and the entry */
    trace_is(c, "3>1 vote 1 yes\n"
                "3>1 append_result 1 yes index=1\n");
    deliver(c);
    trace_is(c, ""); /* one of three: the leader does not count itself yet */
    persist(c, 1);
    trace_is(c, "1: commit 1\n");
    cluster_free(c);
}

static void test_split_vote(void **state)
{
    struct cluster *c = cluster_new(4);
    sleep_ms(c, 2 * ELECTION + 1);
    tick(c, 1);
    tick(c, 4);
    while (pass(c, 1, 2, false) || pass(c, 1, 3, false) || pass(c, 2, 1, false) ||
           pass(c, 3, 1, false))
        if (status(c, 1).role == RAFT_CANDIDATE)
            break;
    while (status(c, 4).role != RAFT_CANDIDATE && (pass(c, 4, 2, false) || pass(c, 4, 3, false) ||
                                                   pass(c, 2, 4, false) || pass(c, 3, 4, false)))
        ;
    assert_int_equal(status(c, 1).role, RAFT_CANDIDATE);
    assert_int_equal(status(c, 4).role, RAFT_CANDIDATE);
    buffer_clear(&c->trace);
    /* each has a vote besides its own: two of four */
    pass(c, 1, 2, false);
    pass(c, 4, 3, false);
    deliver(c);
    trace_is(c, "2: follower of 0 in 1\n"
                "2>1 vote 1 yes\n"
                "3: follower of 0 in 1\n"
                "3>4 vote 1 yes\n"
                "4>1 vote 1 no pre\n"
                "1>4 vote 1 no pre\n"
                "3>1 vote 1 no\n"
                "4>1 vote 1 no\n"
                "1>4 vote 1 no\n"
                "2>4 vote 1 no\n");
    assert_int_equal(status(c, 1).role, RAFT_CANDIDATE);
    assert_int_equal(status(c, 4).role, RAFT_CANDIDATE);
    /* who is the first to try again wins, a term later */
    elect(c, 4);
    assert_int_equal(status(c, 4).term, 2);
    cluster_free(c);
}

/* A replica that was cut off asks in vain, and neither its term nor anybody's rises (9.6). */
static void test_prevote_stale(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    c->nodes[3].cut = true;
    propose(c, 1, "a");
    run_ms(c, 10 * ELECTION);
    assert_int_equal(status(c, 3).term, 1);
    assert_int_equal(status(c, 3).role, RAFT_PRECANDIDATE);
    c->nodes[3].cut = false;
    lose_all(c);
    for (unsigned i = 0; i < 30; i++) { /* 1 and 2 are in touch, 3 hears nothing */
        sleep_ms(c, HEARTBEAT);
        tick(c, 1);
        pass(c, 1, 2, false);
        pass(c, 1, 3, true);
        pass(c, 2, 1, false);
    }
    buffer_clear(&c->trace);
    tick(c, 3);
    deliver(c);
    trace_is(c, "3>1 vote_request 2 last=1,1 pre\n"
                "3>2 vote_request 2 last=1,1 pre\n"
                "3: precandidate in 1\n");
    assert_int_equal(status(c, 1).role, RAFT_LEADER);
    /* and without a leader to protect, its log is too old */
    stop(c, 1);
    sleep_ms(c, 2 * ELECTION);
    tick(c, 3);
    deliver(c);
    trace_is(c, "3>1 vote_request 2 last=1,1 pre\n"
                "3>2 vote_request 2 last=1,1 pre\n"
                "3: precandidate in 1\n"
                "2>3 vote 1 no pre\n");
    cluster_free(c);
}

/* A leader without a majority steps down (6.2). */
static void test_check_quorum(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    c->nodes[1].cut = true;
    run_ms(c, ELECTION - 2 * HEARTBEAT);
    assert_int_equal(status(c, 1).role, RAFT_LEADER);
    run_ms(c, 4 * HEARTBEAT);
    assert_int_equal(status(c, 1).role != RAFT_LEADER, true);
    assert_int_equal(propose(c, 1, "a"), ST_CLOSED);
    cluster_free(c);
}

/* Appends ahead of their answers, out of order, twice, lost. */
static void test_pipeline(void **state)
{
    struct cluster *c = cluster_new(3);
    c->nodes[3].cut = true;
    elect(c, 1);
    buffer_clear(&c->trace);
    propose(c, 1, "a");
    propose(c, 1, "b");
    pass(c, 1, 3, true);
    pass(c, 1, 3, true);
    pass(c, 1, 2, true); /* a is lost, b arrives */
    deliver(c);
    trace_is(c, "1>2 append 1 prev=1,1 commit=1 n=1\n"
                "1>2 append 1 prev=2,1 commit=1 n=1\n"
                "2>1 append_result 1 no index=1,1 prev=2\n"
                "1>2 append 1 prev=1,1 commit=1 n=2\n"
                "2: commit 1\n"
                "2>1 append_result 1 yes index=3\n"
                "1: commit 3\n");
    /* four are under way and no more */
    for (unsigned i = 0; i < 6; i++)
        propose(c, 1, "c");
    assert_int_equal(c->packet_count, 4);
    buffer_clear(&c->trace);
    struct packet *last = packet_take(c, 3);
    packet_deliver(c, last); /* before those ahead of it: refused */
    packet_free(last);
    deliver(c);
    assert_int_equal(status(c, 1).commit, 9);
    assert_int_equal(status(c, 2).last_index, 9);
    cluster_free(c);
}

/* The last append is lost, and nothing comes after it: a heartbeat's answer shows it. */
static void test_lost_last(void **state)
{
    struct cluster *c = cluster_new(3);
    c->nodes[3].cut = true;
    elect(c, 1);
    propose(c, 1, "a");
    lose_all(c);
    run_ms(c, 4 * HEARTBEAT);
    assert_int_equal(status(c, 1).commit, 2);
    cluster_free(c);
}

/* What a deposed leader left is replaced, whole terms at a step (3.5). */
static void test_conflict(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    c->nodes[1].cut = true;
    for (unsigned i = 0; i < 5; i++)
        propose(c, 1, "lost"); /* 2..6 in term 1 */
    lose_all(c);
    elect(c, 2);
    for (unsigned i = 0; i < 3; i++)
        propose(c, 2, "kept");
    deliver(c);
    assert_int_equal(status(c, 2).commit, status(c, 2).last_index);
    c->nodes[1].cut = false;
    lose_all(c);
    uint64_t term = status(c, 2).term;
    assert_int_equal(status(c, 1).last_index, 6);
    run_ms(c, 3 * HEARTBEAT);
    assert_int_equal(status(c, 1).last_index, status(c, 2).last_index);
    assert_int_equal(status(c, 1).last_term, term);
    assert_int_equal(status(c, 1).commit, status(c, 2).commit);
    cluster_free(c);
}

/* Figure 3.7: an entry of an old term that stands on a majority is not committed by that. */
static void test_figure_8(void **state)
{
    struct cluster *c = cluster_new(5);
    elect(c, 1); /* (a) S1 leads, and puts an entry on S2 only */
    run_ms(c, HEARTBEAT);
    propose(c, 1, "two");
    pass(c, 1, 2, false);
    lose_all(c);
    stop(c, 1);
    assert_int_equal(status(c, 2).last_index, 2);

    c->nodes[2].cut = true; /* (b) S5 leads with the others, and its entries go nowhere */
    sleep_ms(c, 2 * ELECTION + 1);
    tick(c, 5);
    while (status(c, 5).role != RAFT_LEADER)
        CHECK(pass(c, 5, 3, false) || pass(c, 5, 4, false) || pass(c, 3, 5, false) ||
              pass(c, 4, 5, false));
    lose_all(c);
    propose(c, 5, "three");
    lose_all(c);
    stop(c, 5);

    c->nodes[2].cut = false; /* (c) S1 leads again, and brings the entry to S3: a majority */
    restart(c, 1);
    for (unsigned i = 0; i < 100 && status(c, 1).role != RAFT_LEADER; i++) {
        if (pass(c, 1, 2, false) || pass(c, 1, 3, false) || pass(c, 1, 4, false) ||
            pass(c, 2, 1, false) || pass(c, 3, 1, false) || pass(c, 4, 1, false))
            continue;
        sleep_ms(c, 3 * ELECTION); /* the first time it only learns the term */
        tick(c, 1);
    }
    assert_int_equal(status(c, 1).role, RAFT_LEADER);
    uint64_t noop = status(c, 1).last_index;
    assert_int_equal(noop, 3);
    /* Only the old entry reaches S3: the answer is what the leader counts by. */
    struct raft_message m = {.code = MESSAGE_APPEND_RESULT, .group = 1, .to = 1, .from = 3};
    m.term = status(c, 1).term;
    m.append_result.accepted = 1;
    m.append_result.index = 2;
    lose_all(c);
    buffer_clear(&c->trace);
    step(c, 1, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    m.from = 2;
    step(c, 1, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    uint64_t match, heard_us;
    assert_int_equal(raft_progress(c->nodes[1].r, 3, &match, &heard_us), 0);
    assert_int_equal(match, 2);
    assert_true(status(c, 1).commit < 2);
    /* (e) with an entry of the own term on a majority all of it is */
    m.append_result.index = 3;
    step(c, 1, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    m.from = 3;
    step(c, 1, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    assert_int_equal(status(c, 1).commit, 3);
    cluster_free(c);
}

/* A follower is told of a commit index beyond what it was sent. */
static void test_commit_capped(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    c->nodes[1].cut = true;
    for (unsigned i = 0; i < 3; i++)
        propose(c, 1, "old"); /* 2..4 on 1 alone */
    lose_all(c);
    elect(c, 2);
    for (unsigned i = 0; i < 3; i++)
        propose(c, 2, "new");
    deliver(c);
    c->nodes[1].cut = false;
    uint64_t term = status(c, 2).term;
    /* an append that ends at 1, with all of 2's log committed */
    struct raft_message m = {.code = MESSAGE_APPEND, .group = 1, .to = 1, .from = 2, .term = term};
    m.append.prev_index = 1;
    m.append.prev_term = 1;
    m.append.commit = status(c, 2).commit;
    step(c, 1, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    assert_int_equal(status(c, 1).commit, 1);
    cluster_free(c);
}

/* Nor does it answer for what it was not sent: its own entries behind may differ. */
static void test_answer_capped(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    run_ms(c, HEARTBEAT);
    for (unsigned i = 0; i < 3; i++)
        propose(c, 1, "old"); /* 2..4 */
    deliver(c);
    struct raft_message m = {.code = MESSAGE_APPEND, .group = 1, .to = 2, .from = 3, .term = 2};
    m.append.prev_index = 1;
    m.append.prev_term = 1;
    buffer_clear(&c->trace);
    step(c, 2, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    trace_is(c, "2: follower of 3 in 2\n"
                "2>3 append_result 2 yes index=1\n");
    cluster_free(c);
}

/* One vote a term, whoever asks and why. */
static void test_one_vote(void **state)
{
    struct cluster *c = cluster_new(3);
    struct raft_message m = {.code = MESSAGE_VOTE_REQUEST, .group = 1, .to = 1, .term = 5};
    for (unsigned i = 0; i < 3; i++) {
        m.from = i == 1 ? 3 : 2;
        m.vote_request.flags = i == 1 ? VOTE_TRANSFER : 0;
        step(c, 1, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    }
    trace_is(c, "1: follower of 0 in 5\n"
                "1>2 vote 5 yes\n"
                "1>3 vote 5 no\n"
                "1>2 vote 5 yes\n");
    cluster_free(c);
}

/* Who has less than the voter does not get its vote (3.6.1): by the last term, then by length. */
static void test_short_log(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    propose(c, 1, "a");
    deliver(c); /* 2 has 2,1 */
    sleep_ms(c, 2 * ELECTION);
    struct raft_message m = {.code = MESSAGE_VOTE_REQUEST, .group = 1, .to = 2, .from = 3};
    buffer_clear(&c->trace);
    for (m.term = 5; m.term < 8; m.term++) {
        m.vote_request.last_index = m.term == 5 ? 1 : m.term == 6 ? 2 : 1;
        m.vote_request.last_term = m.term == 7 ? 2 : 1;
        step(c, 2, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    }
    trace_is(c, "2: follower of 0 in 5\n"
                "2>3 vote 5 no\n"
                "2: follower of 0 in 6\n"
                "2>3 vote 6 yes\n"
                "2: follower of 0 in 7\n"
                "2>3 vote 7 yes\n");
    cluster_free(c);
}

/* After a restart: the log, the vote and the term are what was durable, and nobody votes for one
 * election timeout. */
static void test_restart(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    propose(c, 1, "a");
    deliver(c);
    run_ms(c, HEARTBEAT);
    for (uint64_t id = 1; id <= 3; id++)
        apply(c, id);
    compact(c, 2);
    propose(c, 1, "b");
    deliver(c);
    for (uint64_t id = 1; id <= 3; id++)
        stop(c, id);
    lose_all(c);
    for (uint64_t id = 1; id <= 3; id++)
        restart(c, id);
    assert_int_equal(status(c, 2).term, 1);
    assert_int_equal(status(c, 2).vote, 1);
    assert_int_equal(status(c, 2).last_index, 3);
    assert_int_equal(status(c, 2).first_index, 3);
    assert_int_equal(status(c, 2).commit, 2);
    buffer_clear(&c->trace);

    struct raft_message m = {.code = MESSAGE_VOTE_REQUEST, .group = 1, .to = 3, .from = 2};
    m.term = 7;
    m.vote_request.last_index = 9;
    m.vote_request.last_term = 2;
    sleep_ms(c, ELECTION - 1);
    step(c, 3, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
    trace_is(c, "");
    assert_int_equal(status(c, 3).term, 1);
    lose_all(c);
    elect(c, 3);
    run_ms(c, 2 * HEARTBEAT);
    assert_int_equal(status(c, 1).commit, 4);
    assert_int_equal(status(c, 2).commit, 4);
    cluster_free(c);
}

/* A slow follower is served from the log behind the tail, which has to be loaded first. */
static void test_reader(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    c->nodes[3].cut = true;
    char text[100];
    memset(text, 'x', sizeof(text));
    text[99] = 0;
    for (unsigned i = 0; i < 50; i++) {
        propose(c, 1, text);
        deliver(c);
        apply(c, 1);
    }
    struct raft_entry entry;
    assert_int_equal(raft_entry(c->nodes[1].r, 10, &entry), ST_NOTFOUND);
    c->nodes[1].load_later = true;
    c->nodes[3].cut = false;
    for (unsigned i = 0; i < 200 && status(c, 3).last_index < 51; i++) {
        run_ms(c, HEARTBEAT);
        c->nodes[1].loaded = true;
        step(c, 1, (struct raft_event){.type = RAFT_LOADED});
    }
    assert_int_equal(status(c, 3).last_index, 51);
    cluster_free(c);
}

static void test_limits(void **state)
{
    struct cluster *c = cluster_new(3);
    assert_int_equal(propose(c, 1, "a"), ST_CLOSED);
    elect(c, 1);
    c->nodes[2].cut = c->nodes[3].cut = true;
    unsigned taken = 0;
    while (taken < 1000 && propose(c, 1, "abcdefghij") == 0)
        taken++;
    assert_in_range(taken, 100, 200);
    assert_int_equal(propose(c, 1, "abcdefghij"), ST_LIMIT);
    assert_int_equal(propose(c, 1, "a"), ST_LIMIT);
    c->nodes[2].cut = false;
    lose_all(c);
    run_ms(c, 5 * HEARTBEAT);
    assert_int_equal(propose(c, 1, "a"), 0);
    /* behind one that is not committed yet, however large */
    c->nodes[2].cut = true;
    char large[20000];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_int_equal(propose(c, 1, large), 0);
    assert_int_equal(propose(c, 1, "a"), ST_LIMIT);
    cluster_free(c);
}

/* Idle groups are many: less than a KiB each. */
static void test_memory(void **state)
{
    struct cluster *c = cluster_new(3);
    elect(c, 1);
    for (unsigned i = 0; i < 100; i++) {
        propose(c, 1, "0123456789");
        deliver(c);
    }
    assert_true(raft_bytes(c->nodes[1].r) > 1024);
    run_ms(c, 5 * ELECTION);
    for (uint64_t id = 1; id <= 3; id++)
        apply(c, id);
    run_ms(c, 5 * ELECTION);
    for (uint64_t id = 1; id <= 3; id++) {
        print_message("idle replica %d: %d bytes\n", (int)id, (int)raft_bytes(c->nodes[id].r));
        assert_in_range(raft_bytes(c->nodes[id].r), 1, 1023);
    }
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_election),
        cmocka_unit_test(test_votes_are_durable),
        cmocka_unit_test(test_split_vote),
        cmocka_unit_test(test_prevote_stale),
        cmocka_unit_test(test_check_quorum),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_lost_last),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_figure_8),
        cmocka_unit_test(test_commit_capped),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_answer_capped),
        cmocka_unit_test(test_one_vote),
        cmocka_unit_test(test_short_log),
    };
    plant();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
