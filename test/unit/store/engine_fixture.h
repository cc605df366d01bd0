/* An engine over a model of the tier, one shard of PARTITIONS partitions, with background work that
 * runs when the test says so. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/status.h"
#include "sim/tier.h"
#include "store/engine_private.h"
#include "support/work_later.h"

#define PARTITIONS 4
#define SPACE      3
#define HASH_SEED  5

struct fixture {
    struct tier_model *model;
    struct work_later later;
    struct engine *e;
    uint64_t lsn, now_ms;
};

static inline struct engine_options options_for(struct fixture *f, struct tier *tier)
{
    return (struct engine_options){
        .tier = tier,
        .work = &f->later.queue,
        .shards = 1,
        .partitions = PARTITIONS,
        .table_bytes = 16 << 20,
        .cache_bytes = 16 << 20,
        .log_bytes = 1 << 30,
        .ordered_idle_ms = 1000,
        .hash_seed = HASH_SEED,
    };
}

static inline void start(struct fixture *f, bool memory_only)
{
    *f = (struct fixture){.lsn = 4096, .now_ms = 1000};
    work_later_init(&f->later);
    if (!memory_only)
        f->model = tier_model_create(NULL);
    struct engine_options o = options_for(f, memory_only ? NULL : tier_model_tier(f->model));
    assert_int_equal(engine_create(&o, &f->e), 0);
    engine_turn(f->e, f->lsn, f->now_ms);
}

static inline void finish(struct fixture *f)
{
    work_later_all(&f->later);
    assert_true(engine_idle(f->e));
    engine_free(f->e);
    tier_model_free(f->model);
    work_later_done(&f->later);
}

static inline void restart(struct fixture *f)
{
    work_later_all(&f->later);
    engine_free(f->e);
    struct engine_options o = options_for(f, tier_model_tier(f->model));
    assert_int_equal(engine_create(&o, &f->e), 0);
    engine_turn(f->e, f->lsn, f->now_ms);
}

static inline void turn(struct fixture *f)
{
    engine_turn(f->e, ++f->lsn, ++f->now_ms);
}

static inline void turns_and_work(struct fixture *f)
{
    for (int i = 0; i < 20; i++) {
        turn(f);
        work_later_all(&f->later);
    }
}

static inline struct key key_in(uint32_t space, const char *name)
{
    struct slice bytes = slice_str(name);
    return (struct key){.bytes = bytes,
                        .keyspace = space,
                        .partition = (uint16_t)((unsigned char)name[0] % PARTITIONS),
                        .hash = key_hash(HASH_SEED, space, bytes)};
}

static inline void put_value(struct fixture *f, const char *name, struct slice value,
                             uint64_t expire_ms)
{
    struct key key = key_in(SPACE, name);
    struct engine_partition *p = engine_partition(f->e, key.partition);
    struct record r = {.value = value,
                       .actor = 1,
                       .counter = ++p->counter,
                       .expire_ms = expire_ms,
                       .flags = expire_ms != 0 ? RECORD_EXPIRES : 0};
    p->index++;
    engine_put(f->e, &key, &r);
    f->lsn += 50;
}

static inline void put(struct fixture *f, const char *name, const char *value)
{
    put_value(f, name, slice_str(value), 0);
}

static inline void erase(struct fixture *f, const char *name)
{
    struct key key = key_in(SPACE, name);
    struct record r = {.flags = RECORD_TOMBSTONE};
    engine_partition(f->e, key.partition)->index++;
    engine_put(f->e, &key, &r);
}

static inline void flush(struct fixture *f)
{
    engine_flush(f->e, f->lsn);
    work_later_all(&f->later);
    turn(f);
    assert_true(engine_flushed(f->e));
}

static inline int get(struct fixture *f, const char *name, struct record *ret_record)
{
    struct key key = key_in(SPACE, name);
    return engine_get(f->e, &key, ret_record);
}

/* Waits for a fetch. */
struct waiter {
    struct engine_wait wait;
    int st;
    unsigned calls;
};

static inline void woken(struct engine_wait *wait, int st)
{
    struct waiter *w = container_of(wait, struct waiter, wait);
    w->st = st;
    w->calls++;
}
