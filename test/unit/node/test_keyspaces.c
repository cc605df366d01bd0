/* A node of one shard over a simulated disk and the model of the cold tier, through power cuts: a
 * FLUSHDB that was not synced comes back done or undone, never in part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "node/config.h"
#include "node/node.h"
#include "sim/disk.h"
#include "sim/tier.h"
#include "support/work_later.h"

#define KEYS          24
#define PARTITIONS    16
#define HASH_SEED     5
#define SEGMENT_BYTES (256u << 10)
#define STEPS         40
#define META_NAME     "keyspaces"
#ifdef TORC_SANITIZED
#define CUTS 60 /* each takes thirty times as long */
#else
#define CUTS 300
#endif

/* What survives: disk and tier. What a process has: the rest. */
struct world {
    struct sim_disk *disk;
    struct tier_model *tier;
    struct prng prng;
    struct env env;
    struct log *log;
    struct node *node;
    struct shard *shard;
    struct engine *engine;
    struct work_later later;
    uint64_t wall_ms;
    bool (*dropped)(const struct node *node, uint32_t keyspace); /* what the tier asks */
    uint64_t dies_lsn; /* the process dies soon after it has replayed this record; 0: it does not */
};

static struct world *of_env(struct env *env)
{
    return container_of(env, struct world, env);
}

static uint64_t world_mono_us(struct env *env)
{
    return of_env(env)->wall_ms * 1000;
}

static uint64_t world_wall_ms(struct env *env)
{
    return of_env(env)->wall_ms;
}

static uint64_t world_random(struct env *env)
{
    return prng_u64(&of_env(env)->prng);
}

static void world_spares(struct world *w)
{
    while (log_needs_spare(w->log)) {
        struct log_spare *spare;
        assert_int_equal(log_spare_create(sim_disk_disk(w->disk), SEGMENT_BYTES, &spare), 0);
        log_spare_add(w->log, spare);
    }
}

static int world_persist(struct env *env, struct log_batch *batch, uint64_t *ret_lsn)
{
    world_spares(of_env(env));
    return log_append(of_env(env)->log, batch, ret_lsn);
}

static uint64_t world_synced_lsn(struct env *env)
{
    return log_synced_lsn(of_env(env)->log);
}

static uint64_t world_end_lsn(struct env *env)
{
    return log_end_lsn(of_env(env)->log);
}

static bool world_log_room(struct env *env, uint64_t bytes)
{
    return true;
}

static const struct env_ops world_env_ops = {
    .now_mono_us = world_mono_us,
    .now_wall_ms = world_wall_ms,
    .random = world_random,
    .persist = world_persist,
    .synced_lsn = world_synced_lsn,
    .log_end_lsn = world_end_lsn,
    .log_room = world_log_room,
};

static int world_sync(void *ctx)
{
    struct world *w = ctx;
    struct log_sync sync;
    if (w->log == NULL || !log_sync_begin(w->log, &sync))
        return 0;
    return log_sync_end(w->log, &sync, log_sync_run(&sync));
}

static bool world_dropped(void *ctx, uint32_t keyspace)
{
    struct world *w = ctx;
    return w->node != NULL && w->dropped(w->node, keyspace);
}

/* A step of the work under way. */
static void background(struct world *w)
{
    struct work_later *later = &w->later;
    if (later->submitted_count > 0 && prng_below(&w->prng, 3) > 0)
        work_later_run(later, prng_below(&w->prng, later->submitted_count));
    else if (later->ran_count > 0)
        work_later_finish(later, prng_below(&w->prng, later->ran_count));
}

static int world_replay(void *ctx, const struct log_record *record)
{
    struct world *w = ctx;
    int st = node_replay(w->node, record->lsn, record);
    if (st < 0 || w->dies_lsn == 0 || record->lsn < w->dies_lsn)
        return st;
    for (uint64_t n = prng_below(&w->prng, 6); n > 0; n--) {
        engine_turn(w->engine, record->lsn, w->wall_ms);
        background(w);
    }
    return ST_UNSUPPORTED;
}

static void world_start(struct world *w, bool create)
{
    const struct node_options node = {
        .settings = settings_new(),
        .shards = 1,
        .partitions = PARTITIONS,
        .durable = true,
        .actor = 7,
        .hash_seed = HASH_SEED,
        .now_ms = w->wall_ms,
    };
    const struct tier_policy policy = {
        .ctx = w, .keyspace_dropped = world_dropped, .sync_log = world_sync};
    const struct log_options log = {.log_id = 9, .segment_bytes = SEGMENT_BYTES, .create = create};
    const struct log_callbacks callbacks = {.replay = world_replay, .ctx = w};
    struct log_recovery report;
    tier_model_policy(w->tier, &policy);
    work_later_init(&w->later);
    w->env.ops = &world_env_ops;
    assert_int_equal(node_create(&node, &w->node), 0);
    const struct engine_options engine = {
        .tier = tier_model_tier(w->tier),
        .work = &w->later.queue,
        .shards = 1,
        .partitions = PARTITIONS,
        .table_bytes = 8 << 20,
        .cache_bytes = 1 << 20,
        .log_bytes = 1 << 20,
        .ordered_idle_ms = 1000,
        .hash_seed = HASH_SEED,
    };
    assert_int_equal(engine_create(&engine, &w->engine), 0);
    assert_int_equal(shard_create(w->node, &w->env, 0, w->engine, &w->shard), 0);
    BUFFER_AUTO struct buffer map = {0};
    struct tier *tier = tier_model_tier(w->tier);
    if (tier->ops->get_meta(tier, slice_str(META_NAME), &map) == 0)
        assert_int_equal(node_load_meta(w->node, buffer_slice(&map)), 0);
    int st = log_open(sim_disk_disk(w->disk), &log, &callbacks, &report, &w->log);
    if (w->dies_lsn > 0 && st == ST_UNSUPPORTED)
        return;
    assert_int_equal(st, 0);
    node_recovered(w->node);
}

/* The process dies wherever it is. */
static void world_stop(struct world *w)
{
    tier_model_crash(w->tier);
    work_later_all(&w->later);
    work_later_done(&w->later);
    engine_free(w->engine);
    shard_free(w->shard);
    settings_unref(w->node->settings);
    node_free(w->node);
    w->node = NULL;
    log_free(w->log);
    w->log = NULL;
    tier_model_restart(w->tier);
}

static void turn(struct world *w)
{
    w->wall_ms += 10;
    shard_turn_end(w->shard);
    shard_turn_begin(w->shard);
}

static void flush(struct world *w)
{
    turn(w);
    engine_flush(w->engine, w->shard->lsn);
}

static struct key key_of(const struct world *w, unsigned k)
{
    static char text[16];
    snprintf(text, sizeof(text), "key%u", k);
    return node_key(w->node, 0, slice_str(text));
}

static bool is_live(struct world *w, unsigned k)
{
    struct key key = key_of(w, k);
    struct record record;
    int st = shard_read(w->shard, &key, &record);
    BUFFER_AUTO struct buffer row = {0}, value = {0};
    if (st == ST_COLD) { /* as the tier has it */
        struct tier *tier = tier_model_tier(w->tier);
        row_key_encode(&row, key.partition, engine_partition(w->engine, key.partition)->generation,
                       key.keyspace, key.bytes);
        st = tier->ops->get(tier, buffer_slice(&row), false, &value);
    }
    assert_true(st == 0 || st == ST_NOTFOUND);
    return st == 0;
}

static unsigned count_live(struct world *w)
{
    unsigned live = 0;
    for (unsigned k = 0; k < KEYS; k++)
        live += is_live(w, k);
    return live;
}

static void put_all(struct world *w)
{
    for (unsigned k = 0; k < KEYS; k++) {
        struct key key = key_of(w, k);
        shard_put(w->shard, &key, slice_str("value"), 0);
        if (prng_below(&w->prng, 4) == 0)
            turn(w);
        if (prng_below(&w->prng, 8) == 0)
            flush(w);
    }
    turn(w);
}

/* Something that goes on in the background, in any order that is possible. */
static void step(struct world *w)
{
    switch (prng_below(&w->prng, 6)) {
    case 0:
        turn(w);
        break;
    case 1:
        flush(w);
        break;
    case 2:
        tier_model_compact(w->tier);
        break;
    default:
        background(w);
    }
}

/* Keys that are durable, a FLUSHDB that is not synced, what goes on behind it, and the power goes.
 * Returns how often only a part was there. */
static unsigned cut_often(bool (*dropped)(const struct node *, uint32_t), unsigned *ret_undone)
{
    struct world w = {.prng = prng_make(11), .wall_ms = 1700000000000, .dropped = dropped};
    unsigned parts = 0, undone = 0;
    w.disk = sim_disk_new();
    w.tier = tier_model_create(NULL);
    for (unsigned i = 0; i < CUTS; i++) {
        world_start(&w, i == 0);
        shard_turn_begin(w.shard);
        put_all(&w);
        for (uint64_t k = prng_below(&w.prng, STEPS); k > 0; k--)
            step(&w);
        turn(&w);
        assert_int_equal(world_sync(&w), 0);
        assert_int_equal(count_live(&w), KEYS);
        uint64_t flushdb_lsn = log_end_lsn(w.log);
        node_flush_db(w.node, w.shard, 0);
        bool killed = prng_below(&w.prng, 3) == 0; /* and the power goes while it starts again */
        if (killed)
            turn(&w);
        for (uint64_t k = prng_below(&w.prng, STEPS); k > 0 && !killed; k--)
            step(&w);
        world_stop(&w);
        if (killed) {
            sim_disk_kill(w.disk);
            w.dies_lsn = flushdb_lsn;
            world_start(&w, false);
            w.dies_lsn = 0;
            world_stop(&w);
        }
        sim_disk_crash(w.disk, prng_u64(&w.prng));
        world_start(&w, false);
        shard_turn_begin(w.shard);
        unsigned live = count_live(&w);
        parts += live != 0 && live != KEYS;
        undone += live == KEYS;
        shard_turn_end(w.shard);
        world_stop(&w);
    }
    tier_model_free(w.tier);
    sim_disk_free(w.disk);
    *ret_undone = undone;
    return parts;
}

static void test_a_flushdb_is_there_or_not(void **state)
{
    unsigned undone;
    assert_int_equal(cut_often(node_keyspace_gone, &undone), 0);
    assert_in_range(undone, CUTS / 20, CUTS - CUTS / 20);
}

/* The test notices a tier that asks for the map of the moment. */
static void test_a_hasty_tier_is_noticed(void **state)
{
    unsigned undone;
    assert_true(cut_often(node_keyspace_dropped, &undone) > 0);
}

/* What is dropped for good is known in the end, however often the map changes. */
static void test_drops_become_known(void **state)
{
    struct world w = {
        .prng = prng_make(3), .wall_ms = 1700000000000, .dropped = node_keyspace_gone};
    w.disk = sim_disk_new();
    w.tier = tier_model_create(NULL);
    world_start(&w, true);
    shard_turn_begin(w.shard);
    for (unsigned i = 0; i < 50; i++) {
        uint32_t id = node_keyspace(w.node, 0);
        node_flush_db(w.node, w.shard, 0);
        turn(&w);
        assert_true(node_keyspace_dropped(w.node, id));
        assert_false(node_keyspace_gone(w.node, id));
        node_swap_db(w.node, w.shard, 1, 2);
        turn(&w);
        assert_int_equal(world_sync(&w), 0);
        turn(&w);
        assert_true(node_keyspace_gone(w.node, id));
        assert_false(node_keyspace_gone(w.node, node_keyspace(w.node, 0)));
        turn(&w);
        assert_int_equal(world_sync(&w), 0);
        turn(&w);
    }
    shard_turn_end(w.shard);
    world_stop(&w);
    tier_model_free(w.tier);
    sim_disk_free(w.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flushdb_is_there_or_not),
        cmocka_unit_test(test_a_hasty_tier_is_noticed),
        cmocka_unit_test(test_drops_become_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
