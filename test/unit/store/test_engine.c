/* The engine case by case: what the random world (test_engine_random.c) does not look at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "sim/tier.h"
#include "store/engine_private.h"
#include "support/temp_dir.h"
#include "support/tier_kill.h"
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

static struct engine_options options_for(struct fixture *f, struct tier *tier)
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

static void start(struct fixture *f, bool memory_only)
{
    *f = (struct fixture){.lsn = 4096, .now_ms = 1000};
    work_later_init(&f->later);
    if (!memory_only)
        f->model = tier_model_create(NULL);
    struct engine_options o = options_for(f, memory_only ? NULL : tier_model_tier(f->model));
    assert_int_equal(engine_create(&o, &f->e), 0);
    engine_turn(f->e, f->lsn, f->now_ms);
}

static void finish(struct fixture *f)
{
    work_later_all(&f->later);
    assert_true(engine_idle(f->e));
    engine_free(f->e);
    tier_model_free(f->model);
    work_later_done(&f->later);
}

static void restart(struct fixture *f)
{
    work_later_all(&f->later);
    engine_free(f->e);
    struct engine_options o = options_for(f, tier_model_tier(f->model));
    assert_int_equal(engine_create(&o, &f->e), 0);
    engine_turn(f->e, f->lsn, f->now_ms);
}

static void turn(struct fixture *f)
{
    engine_turn(f->e, ++f->lsn, ++f->now_ms);
}

static void turns_and_work(struct fixture *f)
{
    for (int i = 0; i < 20; i++) {
        turn(f);
        work_later_all(&f->later);
    }
}

static struct key key_in(uint32_t space, const char *name)
{
    struct slice bytes = slice_str(name);
    return (struct key){.bytes = bytes,
                        .keyspace = space,
                        .partition = (uint16_t)((unsigned char)name[0] % PARTITIONS),
                        .hash = key_hash(HASH_SEED, space, bytes)};
}

static void put_value(struct fixture *f, const char *name, struct slice value, uint64_t expire_ms)
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

static void put(struct fixture *f, const char *name, const char *value)
{
    put_value(f, name, slice_str(value), 0);
}

static void erase(struct fixture *f, const char *name)
{
    struct key key = key_in(SPACE, name);
    struct record r = {.flags = RECORD_TOMBSTONE};
    engine_partition(f->e, key.partition)->index++;
    engine_put(f->e, &key, &r);
}

static void flush(struct fixture *f)
{
    engine_flush(f->e, f->lsn);
    work_later_all(&f->later);
    turn(f);
    assert_true(engine_flushed(f->e));
}

static int get(struct fixture *f, const char *name, struct record *ret_record)
{
    struct key key = key_in(SPACE, name);
    return engine_get(f->e, &key, ret_record);
}

/* --- flushing, freezing, pressure --- */

static void test_watermarks_and_lsn(void **state)
{
    struct fixture f;
    struct record r;
    start(&f, false);
    put(&f, "a", "1");
    put(&f, "b", "2");
    assert_false(engine_flushed(f.e));
    uint64_t before = engine_flushed_lsn(f.e);
    assert_true(before <= 4096);
    engine_flush(f.e, f.lsn);
    uint64_t position = f.lsn;
    put(&f, "a", "3");
    assert_int_equal(engine_flushed_lsn(f.e), before);
    work_later_run(&f.later, 0);
    assert_int_equal(engine_flushed_lsn(f.e), before);
    work_later_finish(&f.later, 0);
    assert_int_equal(engine_flushed_lsn(f.e), position);
    struct key a = key_in(SPACE, "a");
    assert_int_equal(engine_partition(f.e, a.partition)->flushed_index, 1);
    assert_int_equal(engine_partition(f.e, a.partition)->index, 2);
    restart(&f); /* without a log the later write is lost, and the watermark says so */
    assert_int_equal(engine_partition(f.e, a.partition)->index, 1);
    assert_int_equal(engine_partition(f.e, a.partition)->counter, 1);
    assert_int_equal(engine_partition(f.e, a.partition)->actor, 0);
    tier_model_cached(f.model, 100);
    assert_int_equal(get(&f, "a", &r), 0);
    assert_true(slice_equal(r.value, slice_str("1")));
    finish(&f);
}

static void test_idle_shard_frees_the_log(void **state)
{
    struct fixture f;
    start(&f, false);
    f.lsn += 10000;
    turn(&f);
    assert_int_equal(engine_flushed_lsn(f.e), f.lsn);
    /* positions move without a put when a replay skips a dropped keyspace: they must be kept too */
    engine_partition(f.e, 1)->index = 7;
    f.lsn += 10000;
    turn(&f);
    assert_int_not_equal(engine_flushed_lsn(f.e), f.lsn);
    flush(&f);
    restart(&f);
    assert_int_equal(engine_partition(f.e, 1)->index, 7);
    finish(&f);
}

static void test_freeze_by_log_bytes(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    turn(&f);
    assert_int_equal(work_later_pending(&f.later), 0);
    f.lsn += 1 << 30;
    turn(&f);
    assert_int_equal(work_later_pending(&f.later), 1);
    finish(&f);
}

static void fill(struct fixture *f, uint64_t bytes)
{
    uint8_t value[4096] = {0};
    for (uint64_t i = 0; i < bytes / sizeof(value); i++) {
        char name[24];
        snprintf(name, sizeof(name), "%llu-%llu", (unsigned long long)i,
                 (unsigned long long)f->lsn);
        put_value(f, name, slice_make(value, sizeof(value)), 0);
    }
}

static void test_pressure(void **state)
{
    struct fixture f;
    unsigned last = 0, risen = 0;
    start(&f, false);
    assert_int_equal(engine_pressure(f.e), 0);
    fill(&f, 9 << 20);
    turn(&f); /* past the half: frozen, and the flush is under way */
    assert_int_equal(work_later_pending(&f.later), 1);
    while (last < 1000) {
        fill(&f, 64 << 10);
        turn(&f);
        unsigned pressure = engine_pressure(f.e);
        assert_true(pressure >= last);
        risen += pressure > last;
        last = pressure;
    }
    assert_true(risen >= 3); /* by steps, not at once */
    turns_and_work(&f);
    assert_int_equal(engine_pressure(f.e), 0);
    finish(&f);
}

static void test_two_generations_at_most(void **state)
{
    struct fixture f;
    struct record r;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'e'; name[0]++) {
        put(&f, name, "v");
        engine_flush(f.e, f.lsn);
    }
    assert_int_equal(f.e->frozen_count, ENGINE_FROZEN_MAX);
    turns_and_work(&f);
    assert_true(engine_flushed(f.e)); /* what had to wait was frozen later */
    assert_int_equal(get(&f, "e", &r), 0);
    finish(&f);
}

static void test_no_space_is_retried(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    tier_model_fail(f.model, TIER_MODEL_FINISH, ST_NOSPACE, 3);
    engine_flush(f.e, f.lsn);
    work_later_all(&f.later);
    assert_int_equal(engine_flush_error(f.e), ST_NOSPACE);
    turn(&f);
    assert_int_equal(work_later_pending(&f.later), 0); /* not at once */
    unsigned tries = 0;
    for (uint64_t end_ms = f.now_ms + 5000; f.now_ms < end_ms && engine_flush_error(f.e) != 0;) {
        turn(&f);
        tries += work_later_pending(&f.later) > 0;
        work_later_all(&f.later);
    }
    assert_int_equal(tries, 3);
    assert_int_equal(engine_flush_error(f.e), 0);
    turn(&f);
    assert_true(engine_flushed(f.e));
    finish(&f);
}

static void test_other_errors_stick(void **state)
{
    struct fixture f;
    struct record r;
    start(&f, false);
    put(&f, "a", "1");
    uint64_t lsn = engine_flushed_lsn(f.e);
    tier_model_fail(f.model, TIER_MODEL_BULK, ST_CORRUPT, 1);
    engine_flush(f.e, f.lsn);
    work_later_all(&f.later);
    f.now_ms += 100000;
    turns_and_work(&f);
    assert_int_equal(engine_flush_error(f.e), ST_CORRUPT);
    assert_int_equal(engine_flushed_lsn(f.e), lsn);
    assert_int_equal(get(&f, "a", &r), 0);
    finish(&f);
}

static void test_memory_only_limit(void **state)
{
    struct fixture f;
    struct record r;
    start(&f, true);
    put(&f, "a", "1");
    assert_int_equal(engine_flush_error(f.e), 0);
    fill(&f, 33 << 20);
    turn(&f);
    assert_int_equal(engine_pressure(f.e), 1000);
    assert_int_equal(engine_flush_error(f.e), ST_NOMEM);
    assert_int_equal(engine_flushed_lsn(f.e), f.lsn);
    erase(&f, "a");
    assert_int_equal(get(&f, "a", &r), ST_NOTFOUND); /* no tombstone is kept */
    engine_drop_keyspace(f.e, SPACE);
    for (int i = 0; i < 2000 && !list_empty(&f.e->drops); i++)
        turn(&f);
    assert_int_equal(engine_pressure(f.e), 0);
    assert_true(list_empty(&f.e->drops));
    finish(&f);
}

/* --- fetches --- */

struct waiter {
    struct engine_wait wait;
    int st;
    unsigned calls;
};

static void woken(struct engine_wait *wait, int st)
{
    struct waiter *w = container_of(wait, struct waiter, wait);
    w->st = st;
    w->calls++;
}

static void cold_key(struct fixture *f, const char *name, const char *value)
{
    put(f, name, value);
    flush(f);
    restart(f);
    tier_model_cached(f->model, 0);
}

static void test_fetches_share_one_read(void **state)
{
    struct fixture f;
    struct record r;
    struct waiter w[3] = {0};
    struct engine_stats stats;
    start(&f, false);
    cold_key(&f, "a", "1");
    struct key key = key_in(SPACE, "a");
    assert_int_equal(get(&f, "a", &r), ST_COLD);
    for (int i = 0; i < 3; i++) {
        w[i].wait.done = woken;
        engine_fetch(f.e, &key, &w[i].wait);
    }
    assert_int_equal(work_later_pending(&f.later), 1);
    engine_fetch_cancel(f.e, &w[1].wait);
    work_later_all(&f.later);
    assert_int_equal(w[0].calls + w[2].calls, 2);
    assert_int_equal(w[1].calls, 0);
    assert_int_equal(get(&f, "a", &r), 0);
    assert_int_equal(get(&f, "e", &r), ST_COLD); /* another key of the same partition */
    engine_stats(f.e, &stats);
    assert_int_equal(stats.tier_reads_background, 1);
    finish(&f);
}

static void test_absent_is_remembered(void **state)
{
    struct fixture f;
    struct record r;
    struct waiter w = {.wait.done = woken};
    start(&f, false);
    cold_key(&f, "a", "1");
    struct key key = key_in(SPACE, "e");
    assert_int_equal(get(&f, "e", &r), ST_COLD);
    engine_fetch(f.e, &key, &w.wait);
    work_later_all(&f.later);
    assert_int_equal(w.st, 0);
    assert_int_equal(get(&f, "e", &r), ST_NOTFOUND);
    assert_int_equal(get(&f, "b", &r), ST_NOTFOUND); /* its partition was never flushed */
    finish(&f);
}

static void test_fetch_errors_are_told(void **state)
{
    struct fixture f;
    struct record r;
    struct waiter w = {.wait.done = woken};
    start(&f, false);
    cold_key(&f, "a", "1");
    struct key key = key_in(SPACE, "a");
    tier_model_fail(f.model, TIER_MODEL_GET, ST_IO, 1);
    engine_fetch(f.e, &key, &w.wait);
    work_later_all(&f.later);
    assert_int_equal(w.st, ST_IO);
    assert_int_equal(get(&f, "a", &r), ST_COLD);
    finish(&f);
}

static void test_put_overtakes_fetch(void **state)
{
    struct fixture f;
    struct record r;
    struct waiter w = {.wait.done = woken};
    start(&f, false);
    cold_key(&f, "a", "old");
    struct key key = key_in(SPACE, "a");
    engine_fetch(f.e, &key, &w.wait);
    work_later_run(&f.later, 0); /* has read the old one */
    put(&f, "a", "new");
    work_later_finish(&f.later, 0);
    assert_int_equal(w.calls, 1);
    assert_int_equal(get(&f, "a", &r), 0);
    assert_true(slice_equal(r.value, slice_str("new")));
    finish(&f);
}

static void test_many_fetches_wait(void **state)
{
    struct fixture f;
    static struct waiter w[ENGINE_FETCHES_MAX * 2];
    memset(w, 0, sizeof(w));
    start(&f, false);
    cold_key(&f, "a", "1");
    for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
        char name[16];
        snprintf(name, sizeof(name), "a%zu", i);
        struct key key = key_in(SPACE, name);
        w[i].wait.done = woken;
        engine_fetch(f.e, &key, &w[i].wait);
    }
    assert_int_equal(work_later_pending(&f.later), ENGINE_FETCHES_MAX);
    work_later_all(&f.later);
    for (size_t i = 0; i < ARRAY_SIZE(w); i++)
        assert_int_equal(w[i].calls, 1);
    finish(&f);
}

/* --- scans --- */

struct scanner {
    struct engine_scan scan;
    int st;
    unsigned calls;
};

static void scanned(struct engine_scan *scan, int st)
{
    struct scanner *s = container_of(scan, struct scanner, scan);
    s->st = st;
    s->calls++;
}

static struct scanner scanner_of(struct fixture *f)
{
    struct scanner s = {0};
    s.scan = (struct engine_scan){.keyspace = SPACE,
                                  .partition = -1,
                                  .limit_rows = 100,
                                  .limit_bytes = 1 << 20,
                                  .now_ms = f->now_ms,
                                  .done = scanned};
    return s;
}

/* The keys found, one letter each. */
static const char *letters(const struct scanner *s)
{
    static char text[64];
    for (uint64_t i = 0; i < s->scan.row_count; i++)
        text[i] = (char)s->scan.rows[i].key.data[0];
    text[s->scan.row_count] = 0;
    return text;
}

static void test_scan_hot_over_cold(void **state)
{
    struct fixture f;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "cold");
    flush(&f);
    put(&f, "c", "hot");
    put(&f, "i", "hot");
    erase(&f, "d");
    put_value(&f, "e", slice_str("gone"), f.now_ms);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct scanner s = scanner_of(&f);
        s.scan.reverse = reverse;
        s.scan.has_start = s.scan.has_end = true;
        s.scan.start = slice_str("b");
        s.scan.end = slice_str("i");
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.calls, 1);
        assert_int_equal(s.st, 0);
        assert_string_equal(letters(&s), reverse ? "hgfcb" : "bcfgh");
        const struct engine_row *c = &s.scan.rows[reverse ? 3 : 1];
        assert_true(slice_equal(c->value, slice_str("hot")));
        assert_false(s.scan.more);
        engine_scan_free(&s.scan);
    }
    finish(&f);
}

static void test_scan_cold_without_limit(void **state)
{
    struct fixture f;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "cold");
    flush(&f);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct scanner s = scanner_of(&f);
        s.scan.limit_rows = UINT64_MAX;
        s.scan.reverse = reverse;
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.st, 0);
        assert_string_equal(letters(&s), reverse ? "hgfedcba" : "abcdefgh");
        assert_false(s.scan.more);
        engine_scan_free(&s.scan);
    }
    finish(&f);
}

static void test_scan_limits(void **state)
{
    struct fixture f;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "value");
    for (int cold = 0; cold < 2; cold++) {
        struct scanner s = scanner_of(&f);
        s.scan.limit_rows = 8;
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.scan.row_count, 8);
        assert_false(s.scan.more);
        engine_scan_free(&s.scan);
        s = scanner_of(&f);
        s.scan.limit_rows = 3;
        s.scan.keys_only = true;
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_string_equal(letters(&s), "abc");
        assert_int_equal(s.scan.rows[0].value.len, 0);
        assert_true(s.scan.more);
        engine_scan_free(&s.scan);
        s = scanner_of(&f);
        s.scan.limit_bytes = 100;
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.st, ST_LIMIT);
        engine_scan_free(&s.scan);
        s = scanner_of(&f);
        s.scan.limit_bytes = 1;
        s.scan.limit_rows = 1; /* a row may be larger than any limit of many */
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.st, 0);
        assert_string_equal(letters(&s), "a");
        assert_true(s.scan.more);
        engine_scan_free(&s.scan);
        flush(&f);
    }
    finish(&f);
}

static void test_scan_cancel(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    flush(&f);
    for (int ran = 0; ran < 2; ran++) {
        struct scanner s = scanner_of(&f);
        engine_scan(f.e, &s.scan);
        assert_int_equal(work_later_pending(&f.later), 1);
        if (ran)
            work_later_run(&f.later, 0);
        engine_scan_free(&s.scan);
        work_later_all(&f.later);
        assert_int_equal(s.calls, 0);
        assert_int_equal(tier_model_open(f.model), 0);
    }
    put(&f, "b", "1");
    struct scanner s = scanner_of(&f); /* waits for the index */
    f.e->ordered_wanted = false;
    table_ordered_drop(f.e->table);
    engine_scan(f.e, &s.scan);
    engine_scan_free(&s.scan);
    turns_and_work(&f);
    assert_int_equal(s.calls, 0);
    finish(&f);
}

static void test_ordered_index_is_dropped(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    struct scanner s = scanner_of(&f);
    engine_scan(f.e, &s.scan);
    turns_and_work(&f);
    assert_int_equal(s.calls, 1);
    engine_scan_free(&s.scan);
    assert_true(table_ordered_ready(f.e->table));
    f.now_ms += 2000;
    turn(&f);
    assert_false(table_ordered_ready(f.e->table));
    finish(&f);
}

/* --- counts and drops --- */

struct counter {
    struct engine_count count;
    int st;
    unsigned calls;
};

static void counted(struct engine_count *count, int st)
{
    struct counter *c = container_of(count, struct counter, count);
    c->st = st;
    c->calls++;
}

static struct counter count(struct fixture *f)
{
    struct counter c = {.count = {.keyspace = SPACE, .now_ms = f->now_ms, .done = counted}};
    engine_count(f->e, &c.count);
    if (c.calls == 0)
        turns_and_work(f);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.st, 0);
    return c;
}

static void test_count_stays_known(void **state)
{
    struct fixture f;
    uint64_t keys, expiring;
    start(&f, false);
    put(&f, "a", "1");
    put_value(&f, "b", slice_str("1"), f.now_ms + 50000);
    put(&f, "c", "1");
    erase(&f, "c");
    erase(&f, "x");
    flush(&f);
    put(&f, "a", "2"); /* still in memory: its former state is known */
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), 0);
    assert_int_equal(keys, 2);
    assert_int_equal(expiring, 1);
    f.now_ms += 60000; /* b is in the tier too, from where it may vanish unseen */
    turn(&f);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    assert_int_equal(count(&f).count.keys, 1);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), 0);
    assert_int_equal(expiring, 0);
    finish(&f);
}

static void test_count_after_restart(void **state)
{
    struct fixture f;
    uint64_t keys, expiring;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "1");
    flush(&f);
    restart(&f);
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    assert_int_equal(engine_count_known(f.e, SPACE + 1, &keys, &expiring), 0); /* a new one */
    assert_int_equal(keys, 0);
    put(&f, "a", "2");
    put(&f, "i", "2");
    assert_int_equal(count(&f).count.keys, 9);
    put(&f, "b", "3"); /* blind: was it there? */
    assert_int_equal(engine_count_known(f.e, SPACE, &keys, &expiring), ST_AGAIN);
    assert_int_equal(count(&f).count.keys, 9);
    finish(&f);
}

static void test_count_failure_is_told(void **state)
{
    struct fixture f;
    struct counter c = {.count = {.keyspace = SPACE, .done = counted}};
    start(&f, false);
    put(&f, "a", "1");
    flush(&f);
    restart(&f);
    put(&f, "b", "1");
    tier_model_fail(f.model, TIER_MODEL_FINISH, ST_NOSPACE, 1);
    engine_count(f.e, &c.count);
    turn(&f);
    work_later_all(&f.later);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.st, ST_NOSPACE);
    f.now_ms += 1000;
    assert_int_equal(count(&f).count.keys, 2);
    finish(&f);
}

static void test_drop_frees_both(void **state)
{
    struct fixture f;
    struct engine_stats stats;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "1");
    flush(&f);
    assert_int_equal(tier_model_rows(f.model), 8 + PARTITIONS);
    put(&f, "i", "1");
    engine_drop_keyspace(f.e, SPACE);
    turns_and_work(&f);
    assert_int_equal(tier_model_rows(f.model), PARTITIONS); /* the watermarks */
    engine_stats(f.e, &stats);
    assert_int_equal(stats.records, 0);
    flush(&f);
    turns_and_work(&f);
    assert_int_equal(tier_model_rows(f.model), PARTITIONS);
    assert_true(list_empty(&f.e->drops));
    finish(&f);
}

static void test_drop_during_flush(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    engine_flush(f.e, f.lsn); /* begun: does not know of the drop */
    engine_drop_keyspace(f.e, SPACE);
    turn(&f);
    assert_int_equal(work_later_pending(&f.later), 1); /* the drop's own work waits for it */
    turns_and_work(&f);
    assert_int_equal(tier_model_rows(f.model), 1);
    assert_true(list_empty(&f.e->drops));
    finish(&f);
}

/* --- expiry --- */

static void test_expired_values_leave_memory(void **state)
{
    struct fixture f;
    uint8_t value[4096] = {0};
    struct engine_stats before, after;
    start(&f, true);
    for (int i = 0; i < 4000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        put_value(&f, name, slice_make(value, sizeof(value)), f.now_ms + 100);
    }
    engine_stats(f.e, &before);
    f.now_ms += 200;
    for (int i = 0; i < 400; i++) {
        f.now_ms += 100;
        turn(&f);
    }
    engine_stats(f.e, &after);
    assert_int_equal(after.expired, 4000);
    assert_int_equal(after.records, 0);
    assert_true(after.table_bytes < before.table_bytes / 4);
    finish(&f);
}

/* --- killed over RocksDB --- */

#define KILL_KEYS      40
#define KILL_ROUNDS    6
#define KILL_PER_FLUSH 60

struct progress { /* shared with the child: its "log" */
    uint64_t writes, flushed_lsn;
};

static struct tier *open_rocks(const char *dir)
{
    struct tier *tier;
    char path[96], error[256] = "";
    snprintf(path, sizeof(path), "%s/cold", dir);
    struct tier_rocks_options options = {
        .path = path, .cache_bytes = 1 << 20, .background_threads = 1, .create = true};
    if (tier_rocks_open(&options, error, sizeof(error), &tier) != 0)
        fail_msg("%s", error);
    return tier;
}

/* Write number n puts (or deletes) one key; its index follows from the number too. */
static void kill_write(struct fixture *f, uint64_t n, const uint64_t *index)
{
    struct prng p = prng_make(n);
    unsigned k = (unsigned)prng_below(&p, KILL_KEYS);
    char name[16], value[32];
    snprintf(name, sizeof(name), "%c%u", 'a' + k % PARTITIONS, k);
    snprintf(value, sizeof(value), "%llu", (unsigned long long)n);
    struct key key = key_in(SPACE, name);
    struct engine_partition *part = engine_partition(f->e, key.partition);
    if (index[n] <= part->index)
        return; /* flushed before the crash */
    part->index = index[n];
    struct record r = {.value = slice_str(value), .flags = n % 5 == 0 ? RECORD_TOMBSTONE : 0};
    if (n % 5 == 0)
        r.value.len = 0;
    engine_put(f->e, &key, &r);
}

static void kill_indexes(uint64_t *index, uint64_t count)
{
    uint64_t next[PARTITIONS] = {0};
    for (uint64_t n = 0; n < count; n++) {
        struct prng p = prng_make(n);
        unsigned k = (unsigned)prng_below(&p, KILL_KEYS);
        index[n] = ++next[(unsigned)('a' + k % PARTITIONS) % PARTITIONS];
    }
}

static void open_over(struct fixture *f, struct tier *tier)
{
    work_later_init(&f->later);
    struct engine_options o = options_for(f, tier);
    assert_int_equal(engine_create(&o, &f->e), 0);
    engine_turn(f->e, 0, 1000);
}

static void kill_child(const char *dir, uint64_t step, struct progress *progress,
                       const uint64_t *index)
{
    struct fixture f = {0};
    struct tier_kill kill;
    open_over(&f, tier_kill_wrap(&kill, open_rocks(dir), step));
    for (int round = 0; round < KILL_ROUNDS; round++) {
        for (int i = 0; i < KILL_PER_FLUSH; i++)
            kill_write(&f, progress->writes++, index);
        engine_flush(f.e, progress->writes);
        work_later_all(&f.later);
        progress->flushed_lsn = engine_flushed_lsn(f.e);
    }
    _exit(0);
}

static void kill_check(const char *dir, const struct progress *progress, const uint64_t *index)
{
    struct fixture f = {0};
    struct tier *tier = open_rocks(dir);
    open_over(&f, tier);
    for (uint64_t n = progress->flushed_lsn; n < progress->writes; n++)
        kill_write(&f, n, index);
    for (unsigned k = 0; k < KILL_KEYS; k++) {
        char name[16], value[32] = "";
        bool dead = true;
        for (uint64_t n = 0; n < progress->writes; n++) {
            struct prng p = prng_make(n);
            if (prng_below(&p, KILL_KEYS) != k)
                continue;
            dead = n % 5 == 0;
            snprintf(value, sizeof(value), "%llu", (unsigned long long)n);
        }
        snprintf(name, sizeof(name), "%c%u", 'a' + k % PARTITIONS, k);
        struct key key = key_in(SPACE, name);
        struct waiter w = {.wait.done = woken};
        struct record r = {0};
        int st = engine_get(f.e, &key, &r);
        if (st == ST_COLD) {
            engine_fetch(f.e, &key, &w.wait);
            work_later_all(&f.later);
            st = engine_get(f.e, &key, &r);
        }
        assert_int_equal(st == 0 && record_live(&r, 1000), !dead);
        if (!dead)
            assert_true(slice_equal(r.value, slice_str(value)));
    }
    work_later_all(&f.later);
    engine_free(f.e);
    work_later_done(&f.later);
    tier->ops->close(tier);
}

static void test_killed_over_rocks(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* RocksDB's threads can't be started in a child of a process that has some already */
#endif
    static uint64_t index[KILL_ROUNDS * KILL_PER_FLUSH];
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    kill_indexes(index, ARRAY_SIZE(index));
    unsigned kills = 0;
    for (uint64_t step = 1;; step += 5) {
        char dir[64];
        int status;
        temp_dir_make(dir);
        *progress = (struct progress){0};
        pid_t pid = fork();
        if (pid == 0)
            kill_child(dir, step, progress, index);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        kill_check(dir, progress, index);
        temp_dir_remove(dir);
        if (WEXITSTATUS(status) == 0)
            break;
        assert_int_equal(WEXITSTATUS(status), TIER_KILL_EXIT);
        kills++;
    }
    assert_true(kills > 20);
    munmap(progress, sizeof(*progress));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watermarks_and_lsn),
        cmocka_unit_test(test_idle_shard_frees_the_log),
        cmocka_unit_test(test_freeze_by_log_bytes),
        cmocka_unit_test(test_pressure),
        cmocka_unit_test(test_two_generations_at_most),
        cmocka_unit_test(test_no_space_is_retried),
        cmocka_unit_test(test_other_errors_stick),
        cmocka_unit_test(test_memory_only_limit),
        cmocka_unit_test(test_fetches_share_one_read),
        cmocka_unit_test(test_absent_is_remembered),
        cmocka_unit_test(test_fetch_errors_are_told),
        cmocka_unit_test(test_put_overtakes_fetch),
        cmocka_unit_test(test_many_fetches_wait),
        cmocka_unit_test(test_scan_hot_over_cold),
        cmocka_unit_test(test_scan_cold_without_limit),
        cmocka_unit_test(test_scan_limits),
        cmocka_unit_test(test_scan_cancel),
        cmocka_unit_test(test_ordered_index_is_dropped),
        cmocka_unit_test(test_count_stays_known),
        cmocka_unit_test(test_count_after_restart),
        cmocka_unit_test(test_count_failure_is_told),
        cmocka_unit_test(test_drop_frees_both),
        cmocka_unit_test(test_drop_during_flush),
        cmocka_unit_test(test_expired_values_leave_memory),
        cmocka_unit_test(test_killed_over_rocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
