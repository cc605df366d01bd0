/* The ordered index against a sorted array: random inserts, replacements and removals of keys with
 * long common parts; seeks and steps in both directions; the tree's own invariants throughout. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "store/ordered.h"

#define ROWS      6000
#define KEY_BYTES 40

static struct row *row_make(unsigned kind, uint64_t n)
{
    char text[KEY_BYTES];
    int len = 0;
    switch (kind) {
    case 0: /* a long common part */
        len = snprintf(text, sizeof(text), "user:profile:%010llu", (unsigned long long)n);
        break;
    case 1: /* of every length, zeros too: prefixes of one another */
        len = (int)(n % 14);
        memset(text, 0, sizeof(text));
        text[len > 0 ? len - 1 : 0] = (char)(n / 14 % 3);
        break;
    default:
        len = snprintf(text, sizeof(text), "%llx", (unsigned long long)(n * 0x9e3779b97f4a7c15ull));
    }
    struct row *r = mem_zalloc(sizeof(*r) + (size_t)len);
    r->partition = (uint16_t)(n % 3);
    r->keyspace = (uint32_t)(n / 3 % 2);
    r->key_len = (uint16_t)len;
    memcpy(r->bytes, text, (size_t)len);
    return r;
}

struct sorted {
    struct row *rows[ROWS];
    unsigned count;
};

/* The first row >= r. */
static unsigned sorted_find(const struct sorted *s, const struct row *r)
{
    unsigned from = 0, to = s->count;
    while (from < to) {
        unsigned i = (from + to) / 2;
        if (row_compare(s->rows[i], r) < 0)
            from = i + 1;
        else
            to = i;
    }
    return from;
}

static bool sorted_has(const struct sorted *s, unsigned at, const struct row *r)
{
    return at < s->count && row_compare(s->rows[at], r) == 0;
}

static void check_all(const struct ordered *o, const struct sorted *s)
{
    ordered_check(o);
    assert_int_equal(ordered_count(o), s->count);
    struct ordered_key first = {0}, end = {.partition = UINT16_MAX};
    struct ordered_at at = ordered_seek(o, &first);
    for (unsigned i = 0; i < s->count; i++, at = ordered_next(o, at))
        assert_ptr_equal(at.row, s->rows[i]);
    assert_null(at.row);
    at = ordered_last(o, &end);
    for (unsigned i = s->count; i-- > 0; at = ordered_prev(o, at))
        assert_ptr_equal(at.row, s->rows[i]);
    assert_null(at.row);
}

static void check_seek(const struct ordered *o, const struct sorted *s, const struct row *r)
{
    struct ordered_key key = {r->partition, r->keyspace, row_key(r)};
    unsigned i = sorted_find(s, r);
    assert_ptr_equal(ordered_seek(o, &key).row, i < s->count ? s->rows[i] : NULL);
    assert_ptr_equal(ordered_last(o, &key).row, i > 0 ? s->rows[i - 1] : NULL);
}

static void insert(struct ordered *o, struct sorted *s, struct row *r)
{
    unsigned at = sorted_find(s, r);
    ordered_insert(o, r);
    if (sorted_has(s, at, r)) {
        free(s->rows[at]);
        s->rows[at] = r;
        return;
    }
    memmove(&s->rows[at + 1], &s->rows[at], (s->count - at) * sizeof(r));
    s->rows[at] = r;
    s->count++;
}

static void take_out(struct ordered *o, struct sorted *s, unsigned at)
{
    struct row *r = s->rows[at];
    assert_true(ordered_remove(o, r));
    assert_false(ordered_remove(o, r));
    memmove(&s->rows[at], &s->rows[at + 1], (s->count - at - 1) * sizeof(r));
    s->count--;
    free(r);
}

static void run(unsigned kind, uint64_t seed, bool ascending)
{
    struct ordered *o = ordered_create(), *dying = NULL;
    struct sorted *s = mem_zalloc(sizeof(*s));
    struct prng p = prng_make(seed);
    uint64_t next = 0;
    /* Grow, shrink to nothing, grow again. */
    for (unsigned phase = 0; phase < 3; phase++) {
        for (unsigned n = 0; n < 3 * ROWS / 2; n++) {
            bool grow = prng_below(&p, 10) < (phase == 1 ? 2 : 8);
            struct row *r = row_make(kind, ascending ? next++ : prng_below(&p, ROWS));
            check_seek(o, s, r);
            if (grow && s->count < ROWS) {
                insert(o, s, r);
            } else {
                free(r);
                /* Oldest first, as queues do it: whole leaves become empty. */
                if (s->count > 0)
                    take_out(o, s, ascending ? 0 : (unsigned)prng_below(&p, s->count));
            }
            if (n % 500 == 0)
                check_all(o, s);
        }
        check_all(o, s);
        while (phase == 1 && s->count > 0)
            take_out(o, s, (unsigned)prng_below(&p, s->count));
        check_all(o, s);
    }
    for (unsigned i = 0; i < s->count; i++)
        free(s->rows[i]);
    free(s);
    ordered_dispose(o, &dying);
    while (dying != NULL)
        ordered_reclaim(&dying, 3);
}

static void test_random(void **state)
{
    for (unsigned kind = 0; kind < 3; kind++)
        run(kind, kind + 1, false);
}

static void test_ascending(void **state)
{
    run(0, 5, true);
    run(2, 6, true);
}

/* Memory follows what is in the tree: a queue of a hundred keys doesn't grow it. */
static void test_queue_memory(void **state)
{
    struct ordered *o = ordered_create(), *dying = NULL;
    struct row *rows[100] = {0};
    uint64_t most = 0;
    for (uint64_t n = 0; n < 50000; n++) {
        struct row **r = &rows[n % 100];
        if (*r != NULL)
            assert_true(ordered_remove(o, *r));
        free(*r);
        *r = row_make(0, n * 6);
        ordered_insert(o, *r);
        most = ordered_bytes(o) > most ? ordered_bytes(o) : most;
    }
    assert_true(most < 16384);
    for (unsigned i = 0; i < 100; i++)
        free(rows[i]);
    ordered_dispose(o, &dying);
    ordered_reclaim(&dying, SIZE_MAX);
    assert_null(dying);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_ascending),
        cmocka_unit_test(test_queue_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
