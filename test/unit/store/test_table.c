/* The table against a plain model: random puts, fills, freezes, flushes, releases, evictions,
 * walks and scans; what is found is always the newest record, and what is not found is in the
 * tier. */
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

#define KEYS       3000
#define KEY_TEXT   24
#define HASH_SEED  77
#define PARTITIONS 4
#define KEYSPACES  2
#define VALUE_MAX  700
#define VALUE_BIG  70000
#define FROZEN_MAX 3
#define EXPIRE_AT  1000
#define ACTORS     7
#define WIDE_SHIFT 20 /* counters above 48 bits for one record in so many */
#define ROUNDS     300000

/* What a record in the model is made of; the bytes follow from `seed`. */
struct mark {
    uint64_t seed; /* 0: none */
    uint32_t len;
    uint8_t flags;
};

struct model {
    struct table *table;
    struct prng prng;
    struct mark newest[KEYS];                /* put and not released, else none */
    struct mark tier[KEYS];                  /* what the tier holds */
    struct mark frozen[FROZEN_MAX][KEYS];    /* oldest first */
    struct table_frozen *handle[FROZEN_MAX]; /* sorted or not */
    bool changed[KEYS];                      /* put since the last freeze */
    unsigned frozen_count;
    uint64_t seed;
    uint64_t now_ms;
    uint8_t told[KEYS]; /* times the newest record was reported as expired */
    uint8_t bytes[2 * VALUE_BIG];
};

static struct key key_of(unsigned i, char text[KEY_TEXT])
{
    /* Long common parts, short keys, and one prefix of another. */
    int n = i % 3 == 0 ? snprintf(text, KEY_TEXT, "k%u", i)
                       : snprintf(text, KEY_TEXT, "user:profile:%08u", i);
    struct slice bytes = slice_make(text, (size_t)n);
    uint32_t keyspace = i % KEYSPACES;
    return (struct key){
        .bytes = bytes,
        .hash = key_hash(HASH_SEED, keyspace, bytes),
        .keyspace = keyspace,
        .partition = (uint16_t)(i / 7 % PARTITIONS),
    };
}

static struct record record_of(const struct mark *mark, uint8_t *bytes)
{
    struct prng p = prng_make(mark->seed);
    struct record r = {
        .flags = mark->flags,
        .actor = prng_below(&p, ACTORS) * 0x0123456789abcdefull,
        .counter = prng_u64(&p) >> (prng_below(&p, WIDE_SHIFT) == 0 ? 0 : WIDE_SHIFT),
        .stamp = prng_u64(&p),
    };
    uint64_t expire_ms = EXPIRE_AT + prng_below(&p, EXPIRE_AT);
    r.expire_ms = mark->flags & RECORD_EXPIRES ? expire_ms : 0;
    prng_fill(&p, bytes, mark->len + 40);
    r.value = slice_make(bytes, mark->len);
    if (mark->flags & RECORD_VERSIONED)
        r.versions = slice_make(bytes + mark->len, mark->seed % 40);
    return r;
}

static void assert_record(const struct record *r, const struct mark *mark, uint8_t *bytes)
{
    struct record want = record_of(mark, bytes);
    assert_int_equal(r->flags, want.flags);
    assert_int_equal(r->actor, want.actor);
    assert_int_equal(r->counter, want.counter);
    assert_int_equal(r->stamp, want.stamp);
    assert_int_equal(r->expire_ms, want.expire_ms);
    assert_true(slice_equal(r->value, want.value));
    assert_true(slice_equal(r->versions, want.versions));
}

/* The mark of what is under the key now. */
static const struct mark *model_now(const struct model *m, unsigned i)
{
    return m->newest[i].seed != 0 ? &m->newest[i] : &m->tier[i];
}

static void do_put(struct model *m)
{
    char text[KEY_TEXT];
    unsigned i = (unsigned)prng_below(&m->prng, KEYS);
    struct key key = key_of(i, text);
    struct mark mark = {.seed = ++m->seed, .len = (uint32_t)prng_below(&m->prng, VALUE_MAX)};
    uint64_t kind = prng_below(&m->prng, 1000);
    if (kind < 200) {
        mark = (struct mark){.seed = m->seed, .flags = RECORD_TOMBSTONE};
    } else {
        mark.flags |= kind < 400 ? RECORD_EXPIRES : 0;
        mark.flags |= kind > 300 && kind < 450 ? RECORD_VERSIONED : 0;
        mark.len = kind == 999 ? VALUE_BIG + mark.len : mark.len;
    }
    struct record record = record_of(&mark, m->bytes);
    struct record found;
    struct table_before before;
    int st = table_find(m->table, &key, &found);
    const struct mark *old = model_now(m, i);
    table_put(m->table, &key, &record, &before);
    if (st == ST_COLD) {
        assert_int_equal(before.known, TABLE_UNKNOWN);
        assert_int_equal(m->newest[i].seed, 0);
    } else {
        bool live = old->seed != 0 && !(old->flags & RECORD_TOMBSTONE);
        assert_int_equal(before.known, live ? TABLE_LIVE : TABLE_DEAD);
        if (live)
            assert_int_equal(before.expire_ms, found.expire_ms);
    }
    m->newest[i] = mark;
    m->changed[i] = true;
    m->told[i] = 0;
}

static void check_key(struct model *m, unsigned i)
{
    char text[KEY_TEXT];
    struct key key = key_of(i, text);
    struct record record;
    const struct mark *now = model_now(m, i);
    int st = table_find(m->table, &key, &record);
    if (st == ST_OK) {
        assert_int_not_equal(now->seed, 0);
        assert_record(&record, now, m->bytes);
    } else if (st == ST_NOTFOUND) {
        assert_int_equal(now->seed, 0);
    } else {
        assert_int_equal(st, ST_COLD);
        assert_int_equal(m->newest[i].seed, 0);
        if (prng_below(&m->prng, 2) == 0)
            return;
        struct record row = record_of(now, m->bytes);
        table_fill(m->table, &key, now->seed == 0 ? NULL : &row);
    }
}

/* Overwrites a key with slices of its own record, as commands do that change a part of it: its
 * bytes move when the record gets an expiry or loses it. */
static void do_rewrite(struct model *m)
{
    char text[KEY_TEXT];
    unsigned i = (unsigned)prng_below(&m->prng, KEYS);
    struct key key = key_of(i, text);
    struct record record;
    struct table_before before;
    if (table_find(m->table, &key, &record) != ST_OK)
        return;
    m->newest[i] = *model_now(m, i);
    if (!(record.flags & RECORD_TOMBSTONE)) {
        m->newest[i].flags ^= RECORD_EXPIRES;
        record.flags ^= RECORD_EXPIRES;
        record.expire_ms = record_of(&m->newest[i], m->bytes).expire_ms;
    }
    m->changed[i] = true;
    m->told[i] = 0;
    table_put(m->table, &key, &record, &before);
}

static void do_freeze(struct model *m)
{
    if (m->frozen_count == FROZEN_MAX)
        return;
    struct table_frozen *f = table_freeze(m->table);
    if (f == NULL)
        return;
    for (unsigned i = 0; i < KEYS; i++) {
        m->frozen[m->frozen_count][i] = m->changed[i] ? m->newest[i] : (struct mark){0};
        m->changed[i] = false;
    }
    m->handle[m->frozen_count++] = f;
}

static int key_order(const struct key *a, const struct key *b)
{
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    if (a->keyspace != b->keyspace)
        return a->keyspace < b->keyspace ? -1 : 1;
    return slice_compare(a->bytes, b->bytes);
}

/* The number in the key's text. */
static unsigned key_index(const struct key *key)
{
    char text[KEY_TEXT] = {0};
    memcpy(text, key->bytes.data, key->bytes.len);
    return (unsigned)strtoul(text[0] == 'k' ? text + 1 : text + strlen("user:profile:"), NULL, 10);
}

/* The oldest frozen generation goes to the tier: sorted, complete, each key once. */
static void do_flush(struct model *m)
{
    if (m->frozen_count == 0)
        return;
    struct table_frozen *f = m->handle[0];
    struct mark *rows = m->frozen[0];
    struct key key, last;
    struct record record;
    table_frozen_sort(f);
    uint64_t count = 0;
    for (unsigned i = 0; i < KEYS; i++)
        count += rows[i].seed != 0;
    assert_int_equal(table_frozen_count(f), count);
    for (uint64_t k = 0; k < count; k++, last = key) {
        table_frozen_row(f, k, &key, &record);
        assert_true(k == 0 || key_order(&last, &key) < 0);
        unsigned i = key_index(&key);
        assert_record(&record, &rows[i], m->bytes);
        m->tier[i] = rows[i];
        bool newer = m->changed[i];
        for (unsigned g = 1; g < m->frozen_count; g++)
            newer = newer || m->frozen[g][i].seed != 0;
        if (!newer)
            m->newest[i] = (struct mark){0};
    }
    table_frozen_release(m->table, f);
    m->frozen_count--;
    memmove(m->handle, m->handle + 1, m->frozen_count * sizeof(m->handle[0]));
    memmove(m->frozen, m->frozen + 1, m->frozen_count * sizeof(m->frozen[0]));
}

/* Unflushed rows of one partition and keyspace come in order, all of them, while more are put. */
static void do_scan(struct model *m)
{
    table_ordered_want(m->table);
    while (!table_ordered_step(m->table, 100))
        continue;
    unsigned at = (unsigned)prng_below(&m->prng, KEYS);
    bool reverse = prng_below(&m->prng, 2) == 0, bounded = prng_below(&m->prng, 2) == 0;
    char text[KEY_TEXT], other[KEY_TEXT];
    struct key from = key_of(at, text), key, last = {0};
    struct record record;
    struct table_scan scan;
    struct buffer held = {0};
    bool seen[KEYS] = {0};
    table_scan_init(&scan, m->table, from.partition, from.keyspace, bounded ? &from.bytes : NULL,
                    reverse);
    bool disturb = prng_below(&m->prng, 2) == 0;
    bool put[KEYS] = {0};
    for (bool first = true; table_scan_next(&scan, &key, &record) == ST_OK; first = false) {
        assert_true(key.partition == from.partition && key.keyspace == from.keyspace);
        if (!first)
            assert_true(reverse ? slice_compare(last.bytes, key.bytes) > 0
                                : slice_compare(last.bytes, key.bytes) < 0);
        unsigned i = key_index(&key);
        seen[i] = true;
        assert_record(&record, &m->newest[i], m->bytes);
        buffer_clear(&held);
        buffer_append_slice(&held, key.bytes);
        last = key;
        last.bytes = buffer_slice(&held);
        if (disturb && prng_below(&m->prng, 8) == 0) {
            uint64_t before = m->seed;
            do_put(m);
            for (unsigned k = 0; k < KEYS; k++)
                put[k] = put[k] || m->newest[k].seed > before;
        }
    }
    for (unsigned i = 0; i < KEYS; i++) {
        struct key k = key_of(i, other);
        bool inside = k.partition == from.partition && k.keyspace == from.keyspace;
        if (inside && bounded)
            inside = (slice_compare(k.bytes, from.bytes) < 0) == reverse;
        if (!put[i])
            assert_int_equal(seen[i], inside && m->newest[i].seed != 0);
    }
    table_scan_done(&scan);
    buffer_free(&held);
    if (prng_below(&m->prng, 3) == 0)
        table_ordered_drop(m->table);
}

static enum table_verdict judge_seen(void *ctx, const struct key *key, const struct record *record,
                                     bool clean)
{
    struct model *m = ctx;
    unsigned i = key_index(key);
    assert_record(record, model_now(m, i), m->bytes);
    if (!clean)
        assert_int_not_equal(m->newest[i].seed, 0);
    m->told[i] |= 0x80;
    return TABLE_KEEP;
}

/* A walk shows every key that must be there at least once, though the table changes. */
static void do_walk(struct model *m)
{
    uint64_t cursor = 0;
    bool must[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        must[i] = m->newest[i].seed != 0;
        m->told[i] &= 0x7f;
    }
    while (table_walk(m->table, &cursor, 64, judge_seen, m))
        if (prng_below(&m->prng, 4) == 0)
            table_step(m->table, 10);
    for (unsigned i = 0; i < KEYS; i++)
        assert_true(!must[i] || (m->told[i] & 0x80));
}

static void model_run(uint64_t seed, uint64_t cache_bytes, unsigned rounds)
{
    struct model *m = mem_zalloc(sizeof(*m));
    m->prng = prng_make(seed);
    struct table_options options = {.cache_bytes = cache_bytes, .hash_seed = HASH_SEED};
    m->table = table_create(&options);
    unsigned pins = 0;
    for (unsigned n = 0; n < rounds; n++) {
        uint64_t what = prng_below(&m->prng, 10000);
        if (what < 4500)
            do_put(m);
        else if (what < 5000)
            do_rewrite(m);
        else if (what < 9500)
            check_key(m, (unsigned)prng_below(&m->prng, KEYS));
        else if (what < 9900)
            table_step(m->table, (unsigned)prng_below(&m->prng, 300));
        else if (what < 9930)
            do_freeze(m);
        else if (what < 9960)
            do_flush(m);
        else if (what < 9970)
            do_scan(m);
        else if (what < 9975)
            do_walk(m);
        else if (what < 9985 && pins < 3)
            pins++, table_pin(m->table);
        else if (pins > 0)
            pins--, table_unpin(m->table);
    }
    for (unsigned i = 0; i < KEYS; i++)
        check_key(m, i);
    while (pins-- > 0)
        table_unpin(m->table);
    while (m->frozen_count > 0)
        do_flush(m);
    while (table_step(m->table, 1000))
        continue;
    struct table_stats stats;
    table_stats(m->table, &stats);
    assert_int_equal(stats.frozen_bytes, 0);
    assert_true(stats.split_buckets_max <= 2);
    table_free(m->table);
    free(m);
}

static void test_model(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        model_run(seed, 64u << 20, ROUNDS / 3);
}

static void test_model_no_cache(void **state)
{
    model_run(11, 0, ROUNDS / 3);
}

/* A frozen record that is removed is not found or scanned any more, but still flushed. */
static void test_remove_frozen(void **state)
{
    struct table_options options = {.cache_bytes = 0, .hash_seed = HASH_SEED};
    struct table *t = table_create(&options);
    char text[KEY_TEXT];
    struct key key = key_of(1, text), found;
    struct record record = {.value = slice_str("value")}, view;
    struct table_before before;
    struct table_scan scan;
    table_put(t, &key, &record, &before);
    table_ordered_want(t);
    assert_true(table_ordered_step(t, 10));
    struct table_frozen *f = table_freeze(t);
    for (int removed = 0; removed < 2; removed++) {
        table_scan_init(&scan, t, key.partition, key.keyspace, NULL, false);
        assert_int_equal(table_scan_next(&scan, &found, &view), removed ? ST_NOTFOUND : ST_OK);
        table_scan_done(&scan);
        assert_int_equal(table_find(t, &key, &view), removed ? ST_COLD : ST_OK);
        table_remove(t, &key, &before);
        assert_int_equal(before.known, removed ? TABLE_UNKNOWN : TABLE_LIVE);
    }
    table_frozen_sort(f);
    assert_int_equal(table_frozen_count(f), 1);
    table_frozen_row(f, 0, &found, &view);
    assert_true(slice_equal(view.value, record.value));
    table_frozen_release(t, f);
    while (table_step(t, 10))
        continue;
    assert_int_equal(table_find(t, &key, &view), ST_COLD);
    table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_model_no_cache),
        cmocka_unit_test(test_remove_frozen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
