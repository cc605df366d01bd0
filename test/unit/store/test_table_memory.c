/* What the table promises about memory, work and time: bounded garbage, a bounded cache that keeps
 * what is used, growth in small steps, expiry without reads, random picks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "store/table.h"

#define HASH_SEED 5
#define KEY_TEXT  32
#define MIB       (1u << 20)

static uint8_t value_bytes[1 << 17];

static struct key key_of(uint64_t i, char text[KEY_TEXT])
{
    int n = snprintf(text, KEY_TEXT, "key:%012llu", (unsigned long long)i);
    struct slice bytes = slice_make(text, (size_t)n);
    return (struct key){.bytes = bytes, .hash = key_hash(HASH_SEED, 0, bytes)};
}

static struct table *make(uint64_t cache_bytes)
{
    struct table_options options = {.cache_bytes = cache_bytes, .hash_seed = HASH_SEED};
    return table_create(&options);
}

static void put(struct table *t, uint64_t i, size_t len, uint64_t expire_ms)
{
    char text[KEY_TEXT];
    struct key key = key_of(i, text);
    struct record record = {
        .value = slice_make(value_bytes, len),
        .expire_ms = expire_ms,
        .flags = expire_ms != 0 ? RECORD_EXPIRES : 0,
    };
    struct table_before before;
    table_put(t, &key, &record, &before);
}

static int get(struct table *t, uint64_t i)
{
    char text[KEY_TEXT];
    struct key key = key_of(i, text);
    struct record record;
    return table_find(t, &key, &record);
}

static void fill(struct table *t, uint64_t i, size_t len)
{
    char text[KEY_TEXT];
    struct key key = key_of(i, text);
    struct record record = {.value = slice_make(value_bytes, len)};
    table_fill(t, &key, &record);
}

static struct table_stats stats_of(const struct table *t)
{
    struct table_stats s;
    table_stats(t, &s);
    return s;
}

static void settle(struct table *t)
{
    while (table_step(t, 1000))
        continue;
}

/* Values that shrink and grow for long need no more than 3/2 of what is alive (a third of each
 * chunk may be garbage), some open chunks and those that wait for the next step. */
static void test_overwriting_is_bounded(void **state)
{
    enum { KEYS = 20000, PUTS = 1000000, VALUE_MAX = 1000, ROW_OVERHEAD = 16 + 32 + 8 };
    struct table *t = make(0);
    struct prng p = prng_make(1);
    uint64_t most = 0, alive = 0;
    MEM_AUTO uint32_t *lens = mem_zalloc(KEYS * sizeof(*lens));
    for (uint64_t n = 0; n < PUTS; n++) {
        uint64_t i = prng_below(&p, KEYS);
        uint32_t len = 1 + (uint32_t)prng_below(&p, VALUE_MAX);
        alive += len + (lens[i] == 0 ? ROW_OVERHEAD : 0);
        alive -= lens[i];
        lens[i] = len;
        put(t, i, len, 0);
        if (n % 64 == 0)
            table_step(t, 64);
        if (n > PUTS / 10) {
            uint64_t bytes = stats_of(t).active_bytes * 100 / alive;
            most = bytes > most ? bytes : most;
        }
    }
    settle(t);
    /* A row may keep a quarter of itself unused, and an eighth when it grew. */
    assert_in_range(most, 100, 200);
    assert_in_range(stats_of(t).active_bytes * 100 / alive, 100, 175);
    for (uint64_t i = 0; i < KEYS; i++)
        assert_int_equal(get(t, i), lens[i] != 0 ? ST_OK : ST_COLD);
    table_free(t);
}

/* What is removed gives its memory back, big values at the next step. */
static void test_removing_frees(void **state)
{
    enum { KEYS = 50000, BIG = 50 };
    struct table *t = make(0);
    for (uint64_t i = 0; i < KEYS; i++)
        put(t, i, i < BIG ? sizeof(value_bytes) : 100, 0);
    assert_true(stats_of(t).active_bytes > 12 * MIB);
    for (uint64_t i = 0; i < KEYS; i++) {
        char text[KEY_TEXT];
        struct key key = key_of(i, text);
        struct table_before before;
        table_remove(t, &key, &before);
        assert_int_equal(before.known, TABLE_LIVE);
        table_remove(t, &key, &before);
        assert_int_equal(before.known, TABLE_UNKNOWN);
    }
    settle(t);
    assert_true(stats_of(t).active_bytes <= MIB);
    assert_int_equal(stats_of(t).records, 0);
    table_free(t);
}

static void test_growth_in_small_steps(void **state)
{
    enum { KEYS = 400000 };
    struct table *t = make(0);
    for (uint64_t i = 0; i < KEYS; i++)
        put(t, i, 0, 0);
    struct table_stats s = stats_of(t);
    assert_int_equal(s.records, KEYS);
    assert_in_range(s.split_buckets_max, 1, 2);
    assert_in_range(s.index_bytes / KEYS, 12, 18);
    for (uint64_t i = 0; i < KEYS; i++)
        assert_int_equal(get(t, i), ST_OK);
    assert_int_equal(get(t, KEYS), ST_COLD);
    table_free(t);
}

/* Ten times more keys than fit, of which a few are read all the time: those stay, memory is
 * bounded, and a step never looks at much more than it was told to. */
static void test_cache_keeps_what_is_used(void **state)
{
    enum { CACHE = 8 * MIB, HOT = 5000, COLD = 400000, VALUE = 200 };
    struct table *t = make(CACHE);
    struct prng p = prng_make(2);
    uint64_t hot_hits = 0, hot_reads = 0;
    for (uint64_t n = 0; n < COLD; n++) {
        uint64_t hot = prng_below(&p, HOT), cold = HOT + n;
        if (get(t, cold) == ST_COLD)
            fill(t, cold, VALUE);
        int st = get(t, hot);
        if (n > COLD / 2) {
            hot_reads++;
            hot_hits += st == ST_OK;
        }
        if (st == ST_COLD)
            fill(t, hot, VALUE);
        if (n % 32 == 0)
            table_step(t, 64);
        assert_true(stats_of(t).clean_bytes <= CACHE + 3 * MIB);
    }
    assert_true(hot_hits * 100 > hot_reads * 97);
    struct table_stats s = stats_of(t);
    assert_true(s.evictions > COLD / 2);
    assert_true(s.ghost_hits > 0);
    assert_true(s.promotions > 0);
    table_cache_resize(t, 0);
    settle(t);
    assert_int_equal(stats_of(t).clean_bytes, 0);
    assert_int_equal(stats_of(t).records, 0);
    table_free(t);
}

/* While pinned, found bytes stay as they are whatever happens. */
static void test_pin_keeps_bytes(void **state)
{
    struct table *t = make(4 * MIB);
    char text[KEY_TEXT];
    struct key key = key_of(1, text);
    struct record first = {.value = slice_str("the first value")}, found, other;
    struct table_before before;
    table_put(t, &key, &first, &before);
    table_pin(t);
    assert_int_equal(table_find(t, &key, &found), ST_OK);
    struct record second = {.value = slice_str("another  value.")};
    table_put(t, &key, &second, &before);
    for (uint64_t i = 2; i < 30000; i++)
        put(t, i % 100 + 2, 1000 + i % 7 * 100, 0);
    settle(t);
    assert_true(slice_equal(found.value, first.value));
    assert_int_equal(table_find(t, &key, &other), ST_OK);
    assert_true(slice_equal(other.value, second.value));
    uint64_t pinned = stats_of(t).spare_bytes;
    table_unpin(t);
    assert_true(stats_of(t).spare_bytes > pinned);
    table_put(t, &key, &first, &before);
    assert_int_equal(table_find(t, &key, &other), ST_OK);
    assert_true(slice_equal(other.value, first.value));
    table_free(t);
}

struct expired {
    uint64_t now_ms, count;
    enum table_verdict verdict;
};

static enum table_verdict on_expired(void *ctx, const struct key *key, const struct record *record,
                                     bool clean)
{
    struct expired *e = ctx;
    assert_true(record->expire_ms <= e->now_ms);
    assert_false(clean);
    e->count++;
    return e->verdict;
}

/* Each is told once, none early, none more than an eighth of the mean time to live late, and
 * forgotten ones free their memory. */
static void run_expiry(enum table_verdict verdict)
{
    enum { KEYS = 30000, LIFE_MS = 10000, TICK_MS = 10, LATE_MS = 1500 };
    struct table *t = make(0);
    struct expired e = {.verdict = verdict};
    for (uint64_t i = 0; i < KEYS; i++)
        put(t, i, 300, i % 3 == 0 ? 0 : 1 + i % LIFE_MS);
    uint64_t due = 0;
    for (; e.now_ms < LIFE_MS + LATE_MS; e.now_ms += TICK_MS) {
        table_expire(t, e.now_ms, 2000, on_expired, &e);
        table_step(t, 100);
        due = 0;
        for (uint64_t i = 0; i < KEYS && e.now_ms % 1000 == 0; i++)
            due += i % 3 != 0 && 1 + i % LIFE_MS + LATE_MS <= e.now_ms;
        assert_true(e.count >= due);
    }
    settle(t);
    assert_int_equal(e.count, KEYS - KEYS / 3);
    struct table_stats s = stats_of(t);
    assert_int_equal(s.records, verdict == TABLE_FORGET ? KEYS / 3 : KEYS);
    if (verdict != TABLE_KEEP)
        assert_true(s.active_bytes <= 6 * MIB + MIB / 2 * (verdict == TABLE_STRIP ? 4 : 0));
    for (uint64_t i = 0; i < KEYS; i++)
        assert_int_equal(get(t, i), i % 3 != 0 && verdict == TABLE_FORGET ? ST_COLD : ST_OK);
    /* An extended life is told anew. */
    e.count = 0;
    put(t, 1, 300, e.now_ms + 50);
    table_expire(t, e.now_ms, 1000, on_expired, &e);
    assert_int_equal(e.count, 0);
    e.now_ms += 50;
    for (int i = 0; i < 100; i++)
        table_expire(t, e.now_ms, 1000, on_expired, &e);
    assert_int_equal(e.count, 1);
    table_free(t);
}

static void test_expiry_forgets(void **state)
{
    run_expiry(TABLE_FORGET);
}

static void test_expiry_strips(void **state)
{
    run_expiry(TABLE_STRIP);
}

static void test_expiry_keeps(void **state)
{
    run_expiry(TABLE_KEEP);
}

static bool take_any(void *ctx, const struct key *key, const struct record *record)
{
    return true;
}

static bool take_keyspace(void *ctx, const struct key *key, const struct record *record)
{
    return key->keyspace == *(uint32_t *)ctx;
}

static void test_random(void **state)
{
    enum { KEYS = 100, PICKS = 100000 };
    struct table *t = make(0);
    struct prng p = prng_make(9);
    struct key key;
    unsigned picked[KEYS] = {0};
    assert_int_equal(table_random(t, 1, take_any, NULL, &key), ST_AGAIN);
    for (uint64_t i = 0; i < KEYS; i++)
        put(t, i, 10, 0);
    for (unsigned n = 0; n < PICKS; n++) {
        assert_int_equal(table_random(t, prng_u64(&p), take_any, NULL, &key), 0);
        picked[strtoul((const char *)key.bytes.data + strlen("key:"), NULL, 10)]++;
    }
    for (unsigned i = 0; i < KEYS; i++)
        assert_in_range(picked[i], PICKS / KEYS / 2, PICKS / KEYS * 2);
    uint32_t other = 3;
    assert_int_equal(table_random(t, 1, take_keyspace, &other, &key), ST_AGAIN);
    table_free(t);
}

/* A long life of generations of few records each: their chunks don't pile up. */
static void test_small_generations(void **state)
{
    struct table *t = make(64 * MIB);
    for (uint64_t n = 0; n < 500; n++) {
        for (uint64_t i = 0; i < 10; i++)
            put(t, n * 10 + i, 100, 0);
        struct table_frozen *f = table_freeze(t);
        table_frozen_sort(f);
        assert_int_equal(table_frozen_count(f), 10);
        table_frozen_release(t, f);
        settle(t);
    }
    assert_true(stats_of(t).clean_bytes <= 3 * MIB);
    for (uint64_t i = 0; i < 5000; i++)
        assert_int_equal(get(t, i), ST_OK);
    assert_null(table_freeze(t));
    table_free(t);
}

/* More actors than the table has numbers for: dots come back exactly all the same. */
static void test_many_actors(void **state)
{
    enum { KEYS = 66000 };
    struct table *t = make(0);
    char text[KEY_TEXT];
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < KEYS; i++) {
            struct key key = key_of(i, text);
            struct record record = {.actor = UINT64_MAX / (i + 1) - (uint64_t)round, .counter = i};
            struct table_before before;
            table_put(t, &key, &record, &before);
        }
        for (uint64_t i = 0; i < KEYS; i++) {
            struct key key = key_of(i, text);
            struct record record;
            assert_int_equal(table_find(t, &key, &record), ST_OK);
            assert_int_equal(record.actor, UINT64_MAX / (i + 1) - (uint64_t)round);
            assert_int_equal(record.counter, i);
        }
    }
    table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overwriting_is_bounded),
        cmocka_unit_test(test_removing_frees),
        cmocka_unit_test(test_growth_in_small_steps),
        cmocka_unit_test(test_cache_keeps_what_is_used),
        cmocka_unit_test(test_pin_keeps_bytes),
        cmocka_unit_test(test_expiry_forgets),
        cmocka_unit_test(test_expiry_strips),
        cmocka_unit_test(test_expiry_keeps),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_small_generations),
        cmocka_unit_test(test_many_actors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
