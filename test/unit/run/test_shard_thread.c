#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/check.h"
#include "command/front.h"
#include "node/config.h"
#include "node/metrics.h"
#include "run/peers_fixture.h"
#include "run/shard_thread.h"

#define SHARDS     3
#define CLAIMS     4 /* of each shard at a time */
#define HOLDS      500
#define STOPS      200
#define WAIT_TURNS 30000 /* of a millisecond: longer has failed */

/* Memory-only shards on real threads. */
static struct shard_thread_shared shared;
static struct settings *settings;
static struct front_group *fronts;

static int setup(void **state)
{
    struct node_options options = {.shards = SHARDS, .partitions = 64, .hash_seed = 1};
    settings = settings_new();
    options.settings = settings;
    assert_int_equal(node_create(&options, &shared.node), 0);
    assert_int_equal(executor_create(1, 1, &shared.executor), 0);
    fronts = front_group_create(shared.node);
    shared.count = SHARDS;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard_thread *t;
        struct engine *engine;
        struct shard *shard;
        assert_int_equal(shard_thread_create(&shared, i, &t), 0);
        struct engine_options engine_options = {.work = &t->work_queue,
                                                .shard = (uint16_t)i,
                                                .shards = SHARDS,
                                                .partitions = 64,
                                                .table_bytes = 64 << 20,
                                                .cache_bytes = 1 << 20};
        assert_int_equal(engine_create(&engine_options, &engine), 0);
        assert_int_equal(shard_create(shared.node, &t->env, i, engine, &shard), 0);
        shard_thread_attach(t, shard, front_create(fronts, shard));
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        assert_int_equal(shard_thread_start(shared.threads[i]), 0);
        shard_thread_go_live(shared.threads[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < SHARDS; i++)
        shard_thread_stop(shared.threads[i]);
    executor_free(shared.executor);
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *shard = shared.threads[i]->shard;
        shard_thread_free(shared.threads[i]);
        engine_free(shard->engine);
        shard_free(shard);
    }
    front_group_free(fronts);
    node_free(shared.node);
    settings_unref(settings);
    return 0;
}

/* One claimant: acquires all shards, counts, releases, again from a later task. */
struct claimant {
    struct shard_hold hold;
    struct env_task again;
    unsigned done;
};

static struct claimant claimants[SHARDS][CLAIMS];
static unsigned holders;         /* who holds all shards now: never more than one */
static uint64_t unguarded_total; /* only holders touch it: a plain integer */
static atomic_uint finished;

static void claim(struct env_task *task, struct shard *on)
{
    struct claimant *c = container_of(task, struct claimant, again);
    shard_acquire(on, &c->hold, (1u << SHARDS) - 1);
}

static void on_ready(struct shard_hold *hold)
{
    struct claimant *c = container_of(hold, struct claimant, hold);
    struct shard *home = hold->home;
    CHECK(__atomic_add_fetch(&holders, 1, __ATOMIC_RELAXED) == 1);
    unguarded_total++;
    __atomic_sub_fetch(&holders, 1, __ATOMIC_RELAXED);
    shard_release(hold);
    if (++c->done < HOLDS)
        CHECK(home->env->ops->post(home->env, home->id, &c->again, true));
    else
        atomic_fetch_add(&finished, 1);
}

static void start_claims(struct shard_thread *t, void *ctx)
{
    for (unsigned i = 0; i < CLAIMS; i++) {
        struct claimant *c = &claimants[t->id][i];
        c->hold.ready = on_ready;
        c->again.run = claim;
        CHECK(t->env.ops->post(&t->env, t->id, &c->again, true));
    }
}

static void test_claims_on_all_shards_all_get_their_turn(void **state)
{
    for (unsigned i = 0; i < SHARDS; i++)
        shard_thread_call(shared.threads[i], start_claims, NULL);
    for (int i = 0; i < WAIT_TURNS && atomic_load(&finished) < SHARDS * CLAIMS; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&finished), SHARDS * CLAIMS);
    assert_int_equal(unguarded_total, SHARDS * CLAIMS * HOLDS);
}

static void nothing(struct shard_thread *t, void *ctx)
{
}

/* As at the server's end: nobody makes claims any more, and those under way still end. */
static void test_threads_stop_when_claims_are_over(void **state)
{
    for (unsigned round = 1; round <= STOPS; round++) {
        unsigned before = atomic_load(&finished);
        for (unsigned i = 0; i < SHARDS * CLAIMS; i++)
            claimants[i / CLAIMS][i % CLAIMS].done = HOLDS - 1;
        for (unsigned i = 0; i < SHARDS; i++)
            shard_thread_call(shared.threads[i], start_claims, NULL);
        for (unsigned i = 0; i < SHARDS; i++)
            shard_thread_call(shared.threads[i], nothing, NULL); /* behind the claims */
        for (unsigned i = 0; i < SHARDS; i++)
            shard_thread_settle(shared.threads[i]);
        for (unsigned i = 0; i < SHARDS; i++)
            shard_thread_stop(shared.threads[i]);
        assert_int_equal(atomic_load(&finished), before + SHARDS * CLAIMS);
        for (unsigned i = 0; i < SHARDS; i++) {
            atomic_store(&shared.threads[i]->stop, false);
            assert_int_equal(shard_thread_start(shared.threads[i]), 0);
        }
    }
}

/* Two claims from shard 1 queue for shard 0. The first one's hold begins and ends while shard 0's
 * thread is busy with something else; the second must get its turn all the same. */
static struct shard_hold first_hold, queued_holds[2];
static atomic_uint queued_ready;

static void keep(struct shard_hold *hold)
{
}

static void count_and_release(struct shard_hold *hold)
{
    atomic_fetch_add(&queued_ready, 1);
    shard_release(hold);
}

static void hold_own(struct shard_thread *t, void *ctx)
{
    first_hold.ready = keep;
    shard_acquire(t->shard, &first_hold, 1);
}

static void queue_claims(struct shard_thread *t, void *ctx)
{
    for (unsigned i = 0; i < 2; i++) {
        queued_holds[i].ready = count_and_release;
        shard_acquire(t->shard, &queued_holds[i], 1);
    }
}

static void release_and_dally(struct shard_thread *t, void *ctx)
{
    shard_release(&first_hold);
    for (int i = 0; i < WAIT_TURNS && atomic_load(&queued_ready) == 0; i++)
        usleep(1000);
    usleep(10000); /* until it is given back, too */
}

static void test_hold_that_ended_unseen(void **state)
{
    shard_thread_call(shared.threads[0], hold_own, NULL);
    shard_thread_call(shared.threads[1], queue_claims, NULL);
    shard_thread_call(shared.threads[0], nothing, NULL); /* behind the claims in the mailbox */
    shard_thread_call(shared.threads[0], release_and_dally, NULL);
    for (int i = 0; i < WAIT_TURNS / 10 && atomic_load(&queued_ready) < 2; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&queued_ready), 2);
}

/* A task for another shard runs on that one's thread. */
struct visit {
    struct env_task task;
    atomic_uint ran_on;
};

static void visit_run(struct env_task *task, struct shard *on)
{
    atomic_store(&container_of(task, struct visit, task)->ran_on, on->id + 1);
}

static void post_visit(struct shard_thread *t, void *ctx)
{
    CHECK(t->env.ops->post(&t->env, 2, &((struct visit *)ctx)->task, false));
}

static void test_post_runs_on_the_other_thread(void **state)
{
    struct visit visit = {.task.run = visit_run};
    shard_thread_call(shared.threads[0], post_visit, &visit);
    for (int i = 0; i < WAIT_TURNS && atomic_load(&visit.ran_on) == 0; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&visit.ran_on), 3);
}

/* --- frames between nodes: from a shard's env to the shards of another node --- */

static struct endpoint far;
static atomic_uint frames_seen;

static bool to_shard(void *ctx, unsigned shard, struct peers_frame *frame)
{
    return shard_thread_frame(shared.threads[shard], frame);
}

static void on_frame(struct shard_thread *t, struct slice bytes)
{
    struct frame f;
    struct raft_message m;
    CHECK(frame_parse(bytes, CLUSTER, 1, NULL, &f) == 0);
    for (; frame_next(&f, NULL, &m) == 0; atomic_fetch_add(&frames_seen, 1))
        CHECK(m.group % SHARDS == t->id && pthread_equal(pthread_self(), t->thread));
}

static void send_some(struct shard_thread *t, void *ctx)
{
    struct frame_writer w = {0};
    for (uint32_t i = 0; i < 10; i++)
        t->env.ops->send(&t->env, 2, make_frame(&w, 1, 2, &t->id, 1, i));
    frame_writer_free(&w);
}

static void test_frames_go_out_and_come_in(void **state)
{
    struct endpoint here;
    struct peers_options here_options = endpoint_options(&here, 1);
    struct peers_options far_options = endpoint_options(&far, 2);
    const uint32_t groups[] = {0, 1, 2, 3, 4, 5, 9};
    shard_thread_call(shared.threads[0], send_some, NULL); /* there are no peers: lost */
    assert_int_equal(metrics_read(&shared.threads[0]->metrics->frames_dropped), 10);
    here_options.shards = SHARDS;
    here_options.handlers.frame = to_shard;
    endpoint_start(&here, &here_options);
    endpoint_start(&far, &far_options);
    endpoint_knows(&here, 2, peers_port(far.peers));
    endpoint_knows(&far, 1, peers_port(here.peers));
    WAIT_UNTIL(endpoint_counters(&here).links_out == 1 && endpoint_counters(&far).links_out == 1);
    for (unsigned i = 0; i < SHARDS; i++)
        shard_thread_stop(shared.threads[i]);
    shared.peers = here.peers; /* as at a start, before the threads */
    shared.frame = on_frame;
    for (unsigned i = 0; i < SHARDS; i++) {
        atomic_store(&shared.threads[i]->stop, false);
        assert_int_equal(shard_thread_start(shared.threads[i]), 0);
        shard_thread_call(shared.threads[i], send_some, NULL);
    }
    WAIT_UNTIL(locked(&far, &far.frames) == 10 * SHARDS);
    struct frame_writer w = {0};
    for (unsigned i = 0; i < 100; i++)
        assert_true(
            peers_send(far.peers, 1, make_frame(&w, 2, 1, groups, ARRAY_SIZE(groups), 100)));
    peers_wake(far.peers);
    frame_writer_free(&w);
    WAIT_UNTIL(atomic_load(&frames_seen) == 100 * ARRAY_SIZE(groups));
    endpoint_stop(&far);
    peers_stop(here.peers);
    for (unsigned i = 0; i < SHARDS; i++)
        shard_thread_stop(shared.threads[i]);
    shared.peers = NULL;
    endpoint_stop(&here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold_that_ended_unseen),
        cmocka_unit_test(test_claims_on_all_shards_all_get_their_turn),
        cmocka_unit_test(test_threads_stop_when_claims_are_over),
        cmocka_unit_test(test_post_runs_on_the_other_thread),
        cmocka_unit_test(test_frames_go_out_and_come_in), /* the last: threads are stopped then */
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
