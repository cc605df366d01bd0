/* A flusher thread sorts and reads frozen generations while the owner goes on using the table. What
 * it reads is what was frozen; the build with the thread sanitizer finds any shared byte. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/prng.h"
#include "base/status.h"
#include "store/table.h"

#define HASH_SEED 3
#define KEYS      4000
#define ROUNDS    12
#define KEY_TEXT  32

static struct key key_of(uint64_t i, char text[KEY_TEXT])
{
    int n = snprintf(text, KEY_TEXT, "key:%08llu", (unsigned long long)i);
    struct slice bytes = slice_make(text, (size_t)n);
    return (struct key){
        .bytes = bytes,
        .hash = key_hash(HASH_SEED, 0, bytes),
        .partition = (uint16_t)(i % 5),
    };
}

/* The value says its stamp over and over. */
static void put(struct table *t, struct prng *p, uint64_t stamp)
{
    char text[KEY_TEXT];
    uint64_t words[32];
    struct key key = key_of(prng_below(p, KEYS), text);
    for (unsigned i = 0; i < 32; i++)
        words[i] = stamp;
    struct record record = {
        .stamp = stamp,
        .actor = stamp % 1000,
        .counter = stamp,
        .flags = stamp % 4 == 0 ? RECORD_EXPIRES : 0,
        .expire_ms = stamp % 4 == 0 ? stamp : 0,
        .value = slice_make(words, 8 * (1 + prng_below(p, 32))),
    };
    struct table_before before;
    table_put(t, &key, &record, &before);
}

struct flush {
    struct table_frozen *frozen;
    uint64_t stamp_max, rows;
    bool done;
};

static void *flush_run(void *arg)
{
    struct flush *f = arg;
    table_frozen_sort(f->frozen);
    struct key last = {0};
    for (uint64_t i = 0; i < table_frozen_count(f->frozen); i++) {
        struct key key;
        struct record r;
        table_frozen_row(f->frozen, i, &key, &r);
        CHECK(i == 0 || last.partition < key.partition ||
              (last.partition == key.partition && slice_compare(last.bytes, key.bytes) < 0));
        CHECK(r.stamp <= f->stamp_max && r.counter == r.stamp && r.actor == r.stamp % 1000);
        CHECK(!(r.flags & RECORD_EXPIRES) || r.expire_ms == r.stamp);
        for (size_t k = 0; k < r.value.len; k += 8) {
            uint64_t word;
            memcpy(&word, r.value.data + k, 8);
            CHECK(word == r.stamp);
        }
        last = key;
        f->rows++;
    }
    __atomic_store_n(&f->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static enum table_verdict forget(void *ctx, const struct key *key, const struct record *record,
                                 bool clean)
{
    return record->stamp % 8 == 0 ? TABLE_FORGET : TABLE_STRIP;
}

static void go_on(struct table *t, struct prng *p, uint64_t stamp)
{
    char text[KEY_TEXT];
    struct key key = key_of(prng_below(p, KEYS), text);
    struct record record;
    struct table_before before;
    if (table_find(t, &key, &record) == ST_COLD)
        table_fill(t, &key, NULL);
    put(t, p, stamp);
    if (stamp % 16 == 0)
        table_remove(t, &key, &before);
    if (stamp % 64 == 0) {
        table_step(t, 64);
        table_expire(t, stamp / 2, 64, forget, NULL);
        if (table_ordered_step(t, 64) && stamp % 1024 == 0)
            table_ordered_drop(t);
        else if (stamp % 512 == 0)
            table_ordered_want(t);
    }
}

static void test_flusher(void **state)
{
    struct table_options options = {.cache_bytes = 4u << 20, .hash_seed = HASH_SEED};
    struct table *t = table_create(&options);
    struct prng p = prng_make(1);
    uint64_t stamp = 1, rows = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 2 * KEYS; i++)
            go_on(t, &p, stamp++);
        struct flush f = {.frozen = table_freeze(t), .stamp_max = stamp - 1};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, flush_run, &f), 0);
        do
            go_on(t, &p, stamp++);
        while (!__atomic_load_n(&f.done, __ATOMIC_ACQUIRE));
        pthread_join(thread, NULL);
        table_frozen_release(t, f.frozen);
        rows += f.rows;
    }
    assert_true(rows > ROUNDS * KEYS / 2);
    table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_flusher)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
