/* The frame by itself: a journal that answers what it has synced, on one process, with a client
 * that writes numbers to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/process.h"

#define NUMBERS_MAX 4096

struct journal { /* of one life */
    struct log_batch batch;
    uint64_t waiting[NUMBERS_MAX], waiting_lsn[NUMBERS_MAX];
    size_t waiting_count, written; /* the first ones have their position */
};

struct rig {
    struct world *world;
    struct net *net;
    struct process *p;
    bool has[NUMBERS_MAX]; /* in the journal of this life */
    bool answered[NUMBERS_MAX];
    uint64_t next, replayed, deaths;
};

static int journal_start(struct process *p)
{
    struct rig *rig = process_ctx(p);
    memset(rig->has, 0, sizeof(rig->has));
    rig->replayed = 0;
    process_set_user(p, mem_zalloc(sizeof(struct journal)));
    return 0;
}

static int journal_replay(struct process *p, const struct log_record *record)
{
    struct rig *rig = process_ctx(p);
    rig->has[record->index] = true;
    rig->replayed++;
    return 0;
}

static int journal_recovered(struct process *p, const struct log_recovery *report)
{
    struct rig *rig = process_ctx(p);
    for (uint64_t i = 0; i < NUMBERS_MAX; i++)
        if (rig->answered[i] && !rig->has[i])
            fail_msg("seed %" PRIu64 ": %" PRIu64 " was answered and is gone in life %u",
                     world_seed(rig->world), i, process_life(p));
    return 0;
}

static void journal_turn_begin(struct process *p)
{
}

static void journal_message(struct process *p, unsigned from, struct slice bytes)
{
    struct rig *rig = process_ctx(p);
    struct journal *j = process_user(p);
    uint64_t number = bytes_get_u64(bytes.data);
    log_batch_begin(&j->batch, LOG_WRITE, 0, number, 0);
    assert_int_equal(log_batch_end(&j->batch), 0);
    rig->has[number] = true;
    j->waiting[j->waiting_count++] = number;
}

static void journal_answer(struct process *p, uint64_t lsn)
{
    struct rig *rig = process_ctx(p);
    struct journal *j = process_user(p);
    size_t answered = 0; /* in the order they were written; what came in this turn is not yet */
    while (answered < j->written && j->waiting_lsn[answered] <= lsn)
        rig->answered[j->waiting[answered++]] = true;
    j->waiting_count -= answered;
    j->written -= answered;
    memmove(j->waiting, j->waiting + answered, j->waiting_count * sizeof(j->waiting[0]));
    memmove(j->waiting_lsn, j->waiting_lsn + answered, j->written * sizeof(j->waiting_lsn[0]));
}

static bool journal_turn_end(struct process *p)
{
    struct journal *j = process_user(p);
    struct env *env = process_env(p);
    uint64_t lsn;
    if (log_batch_bytes(&j->batch) == 0)
        return false;
    if (env->ops->persist(env, &j->batch, &lsn) < 0)
        return false;
    log_batch_clear(&j->batch);
    for (; j->written < j->waiting_count; j->written++)
        j->waiting_lsn[j->written] = lsn;
    return false;
}

static void journal_stop(struct process *p)
{
    struct journal *j = process_user(p);
    log_batch_clear(&j->batch);
    log_batch_free(&j->batch);
    free(j);
}

static const struct process_app journal = {
    .start = journal_start,
    .replay = journal_replay,
    .recovered = journal_recovered,
    .turn_begin = journal_turn_begin,
    .message = journal_message,
    .synced = journal_answer,
    .turn_end = journal_turn_end,
    .stop = journal_stop,
};

static void rig_died(void *ctx, int st)
{
    ((struct rig *)ctx)->deaths++;
}

static void rig_init_with(struct rig *rig, uint64_t seed, uint64_t segment_bytes)
{
    *rig = (struct rig){.world = world_new(seed)};
    struct net_rates rates = {.delay_min_us = 100, .delay_mean_us = 100};
    rig->net = net_new(rig->world, 2, &rates);
    struct process_options options = {
        .id = 1,
        .world = rig->world,
        .net = rig->net,
        .app = &journal,
        .ctx = rig,
        .sync_always = true,
        .segment_bytes = segment_bytes,
    };
    rig->p = process_new(&options);
    process_on_death(rig->p, rig_died, rig);
}

static void rig_init(struct rig *rig, uint64_t seed)
{
    rig_init_with(rig, seed, LOG_SEGMENT_BYTES_MIN);
}

static uint64_t rig_done(struct rig *rig)
{
    uint64_t hash = world_hash(rig->world);
    process_free(rig->p);
    net_free(rig->net);
    world_free(rig->world);
    return hash;
}

static void rig_write(struct rig *rig, unsigned count)
{
    for (unsigned i = 0; i < count && rig->next < NUMBERS_MAX; i++) {
        uint8_t bytes[8];
        bytes_put_u64(bytes, rig->next++);
        net_send(rig->net, 2, 1, slice_make(bytes, sizeof(bytes)));
        world_run_until(rig->world, world_now_us(rig->world) + 200);
    }
}

static uint64_t count(const bool *flags)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < NUMBERS_MAX; i++)
        n += flags[i];
    return n;
}

/* Crashes of all kinds; what was answered is there again (journal_recovered). */
static uint64_t crashes(uint64_t seed)
{
    struct rig rig;
    rig_init(&rig, seed);
    struct prng random = prng_make(seed);
    for (int life = 0; life < 12; life++) {
        assert_int_equal(process_start(rig.p), 0);
        rig_write(&rig, (unsigned)prng_below(&random, 200));
        if (prng_below(&random, 3) == 0) {
            process_die_at_op(rig.p, prng_below(&random, 10), 5000);
            rig_write(&rig, 100);
            assert_int_equal(process_state(rig.p), PROCESS_DOWN);
        }
        process_die(rig.p, (enum process_death)prng_below(&random, 3));
    }
    assert_int_equal(process_start(rig.p), 0);
    rig_write(&rig, 10);
    world_run_until(rig.world, world_now_us(rig.world) + 1000000);
    assert_true(count(rig.answered) > 100);
    return rig_done(&rig);
}

static void test_what_was_answered_survives(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        crashes(seed);
}

static void test_same_seed_same_hash(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t hash = crashes(seed);
        assert_int_equal(hash, crashes(seed));
        assert_int_not_equal(hash, crashes(seed + 1));
    }
}

/* Nothing happens to a paused process; then everything does. */
static void test_pause(void **state)
{
    struct rig rig;
    rig_init(&rig, 1);
    assert_int_equal(process_start(rig.p), 0);
    rig_write(&rig, 1);
    uint64_t mono_us = process_mono_us(rig.p);
    process_pause(rig.p, 3000000);
    uint64_t turns = process_stats(rig.p)->turns;
    rig_write(&rig, 50);
    world_run_until(rig.world, world_now_us(rig.world) + 2000000);
    assert_int_equal(process_stats(rig.p)->turns, turns);
    assert_int_equal(count(rig.answered), 0);
    world_run_until(rig.world, world_now_us(rig.world) + 1500000);
    assert_int_equal(count(rig.answered), 51);
    assert_true(process_mono_us(rig.p) > mono_us + 3000000);
    rig_done(&rig);
}

static void test_broken_log_ends_it(void **state)
{
    struct rig rig;
    rig_init(&rig, 1);
    assert_int_equal(process_start(rig.p), 0);
    rig_write(&rig, 10);
    world_run_until(rig.world, world_now_us(rig.world) + 100000);
    uint64_t answered = count(rig.answered);
    assert_int_equal(answered, 10);
    process_fail_sync(rig.p, true);
    rig_write(&rig, 10);
    world_run_until(rig.world, world_now_us(rig.world) + 100000);
    assert_int_equal(rig.deaths, 1);
    assert_int_equal(process_state(rig.p), PROCESS_DOWN);
    assert_int_equal(count(rig.answered), answered);
    process_fail_sync(rig.p, false);
    assert_int_equal(process_start(rig.p), 0);
    rig_done(&rig);
}

static void test_wiped_and_restored(void **state)
{
    struct rig rig;
    rig_init(&rig, 1);
    assert_int_equal(process_start(rig.p), 0);
    rig_write(&rig, 10);
    world_run_until(rig.world, world_now_us(rig.world) + 100000);
    uint64_t birth = process_birth(rig.p), log_id = process_identity(rig.p)->log_id;
    struct process_copy *copy = process_copy_take(rig.p);
    rig_write(&rig, 10);
    process_die(rig.p, PROCESS_POWERCUT);
    process_wipe(rig.p);
    memset(rig.answered, 0, sizeof(rig.answered));
    assert_int_equal(process_start(rig.p), 0);
    assert_int_equal(rig.replayed, 0);
    assert_int_not_equal(process_birth(rig.p), birth);
    assert_int_not_equal(process_identity(rig.p)->log_id, log_id);
    for (int i = 0; i < 2; i++) {
        process_die(rig.p, PROCESS_KILL);
        process_restore(rig.p, copy);
        assert_int_equal(process_start(rig.p), 0);
        assert_int_equal(rig.replayed, 10);
        assert_int_not_equal(process_birth(rig.p), birth);
        assert_int_equal(process_identity(rig.p)->log_id, log_id);
    }
    process_copy_free(copy);
    rig_done(&rig);
}

/* Rot below what is known synced is no torn tail: the start is refused, and says why. */
static void test_rot_is_refused(void **state)
{
    unsigned refused = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rig rig;
        rig_init(&rig, seed);
        assert_int_equal(process_start(rig.p), 0);
        rig_write(&rig, 300);
        world_run_until(rig.world, world_now_us(rig.world) + 100000);
        process_die(rig.p, PROCESS_STOP);
        assert_true(process_rot(rig.p, seed, false));
        int st = process_start(rig.p); /* or the rot hit a spare: then nothing is missing */
        if (st != 0) {
            refused++;
            assert_int_equal(st, ST_CORRUPT);
            assert_true(strlen(process_refusal(rig.p)) > 0);
            assert_int_equal(process_state(rig.p), PROCESS_DOWN);
        }
        rig_done(&rig);
    }
    assert_true(refused > 10);
}

struct probe {
    struct work work;
    struct env_timer timer;
    unsigned ran, done, fired;
};

static void probe_run(struct work *work)
{
    container_of(work, struct probe, work)->ran++;
}

static void probe_done(struct work *work)
{
    struct probe *probe = container_of(work, struct probe, work);
    assert_int_equal(probe->ran, 1);
    probe->done++;
}

static void probe_fire(struct env_timer *timer)
{
    container_of(timer, struct probe, timer)->fired++;
}

/* Work is run before it is done, both before a dead process is gone; timers go with it. */
static void test_work_and_timers(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        struct probe one = {.work = {.run = probe_run, .done = probe_done}, .timer = {probe_fire}};
        struct probe two = one;
        rig_init(&rig, seed);
        assert_int_equal(process_start(rig.p), 0);
        struct env *env = process_env(rig.p);
        uint64_t now_us = env->ops->now_mono_us(env);
        env->ops->work(env, &one.work);
        env->ops->timer(env, &one.timer, now_us + 5000);
        assert_int_equal(one.ran, 0);
        world_run_until(rig.world, 4000);
        assert_int_equal(one.fired, 0);
        world_run_until(rig.world, 200000);
        assert_int_equal(one.done, 1);
        assert_int_equal(one.fired, 1);
        env->ops->work(env, &two.work);
        env->ops->timer(env, &two.timer, now_us + 300000);
        process_die(rig.p, PROCESS_POWERCUT);
        assert_int_equal(two.done, 1);
        world_run_until(rig.world, 1000000);
        assert_int_equal(two.fired, 0);
        rig_done(&rig);
    }
}

static void test_room_for_a_shard(void **state)
{
    for (uint64_t bytes = LOG_SEGMENT_BYTES_MIN; bytes <= 8u << 20; bytes *= 2) {
        struct rig rig;
        rig_init_with(&rig, 1, bytes);
        assert_int_equal(process_start(rig.p), 0);
        struct env *env = process_env(rig.p);
        for (int i = 0; i < 20; i++) {
            assert_true(env->ops->log_room(env, (1u << 20) + 1000));
            rig_write(&rig, 100);
        }
        process_disk_full(rig.p, true);
        assert_false(env->ops->log_room(env, 100u << 20));
        rig_done(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_answered_survives),
        cmocka_unit_test(test_same_seed_same_hash),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_broken_log_ends_it),
        cmocka_unit_test(test_wiped_and_restored),
        cmocka_unit_test(test_rot_is_refused),
        cmocka_unit_test(test_work_and_timers),
        cmocka_unit_test(test_room_for_a_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
