/* The contract of tier.h, kept by both tiers: the model and RocksDB. Random bulks, gets, scans,
 * snapshots and dropped ranges against a plain array; what only one of them has follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "sim/tier.h"
#include "store/record.h"
#include "store/tier.h"
#include "support/temp_dir.h"

#define KEYS 64

struct fixture {
    bool rocks;
    char dir[64];
    struct tier_model *model;
    struct tier *tier;
    struct tier_policy policy;
};

static void open_tier(struct fixture *f)
{
    if (!f->rocks) {
        f->tier = tier_model_tier(f->model);
        return;
    }
    char path[96], error[256] = "";
    snprintf(path, sizeof(path), "%s/cold", f->dir);
    struct tier_rocks_options options = {.path = path,
                                         .cache_bytes = 1 << 20,
                                         .background_threads = 1,
                                         .create = true,
                                         .policy = f->policy};
    int st = tier_rocks_open(&options, error, sizeof(error), &f->tier);
    if (st != 0)
        fail_msg("%s: %s", status_name(st), error);
}

static void start(struct fixture *f, bool rocks)
{
    f->rocks = rocks;
    if (rocks)
        temp_dir_make(f->dir);
    else
        f->model = tier_model_create(&f->policy);
    open_tier(f);
}

static void reopen(struct fixture *f)
{
    f->tier->ops->close(f->tier);
    if (!f->rocks)
        tier_model_restart(f->model);
    open_tier(f);
}

static void finish(struct fixture *f)
{
    f->tier->ops->close(f->tier);
    tier_model_free(f->model);
    if (f->rocks)
        temp_dir_remove(f->dir);
}

/* What should be there: version of each key's row, 0: none. */
struct expected {
    uint64_t value[KEYS];
};

static struct slice key_row(struct buffer *out, unsigned key)
{
    char name[16];
    snprintf(name, sizeof(name), "key%03u", key);
    buffer_clear(out);
    row_key_encode(out, (uint16_t)(key / 16), 0, 1, slice_str(name));
    return buffer_slice(out);
}

static void random_bulk(struct fixture *f, struct prng *p, struct expected *e, uint64_t version)
{
    struct tier_bulk *bulk;
    struct buffer row = {0};
    struct expected after = *e;
    assert_int_equal(f->tier->ops->bulk(f->tier, &bulk), 0);
    for (unsigned key = 0; key < KEYS; key++)
        if (prng_below(p, 3) == 0) {
            after.value[key] = version;
            assert_int_equal(f->tier->ops->bulk_add(bulk, key_row(&row, key),
                                                    slice_make(&version, sizeof(version))),
                             0);
        }
    if (prng_below(p, 8) == 0) {
        f->tier->ops->bulk_abort(bulk);
    } else {
        assert_int_equal(f->tier->ops->bulk_finish(bulk), 0);
        *e = after;
    }
    buffer_free(&row);
}

static void check_get(struct fixture *f, const struct expected *e, unsigned key, bool cached_only)
{
    struct buffer row = {0}, out = {0};
    buffer_append_str(&out, "x");
    int st = f->tier->ops->get(f->tier, key_row(&row, key), cached_only, &out);
    if (!(cached_only && st == ST_AGAIN)) {
        assert_int_equal(st, e->value[key] != 0 ? 0 : ST_NOTFOUND);
        assert_int_equal(out.len, e->value[key] != 0 ? 9 : 1);
        assert_memory_equal(out.data + 1, &e->value[key], out.len - 1);
    }
    buffer_free(&row);
    buffer_free(&out);
}

/* The keys in [from, to) in the iterator's order, from `seek` on if that is >= 0. */
static void check_scan(struct fixture *f, struct prng *p, struct tier_snapshot *s,
                       const struct expected *e)
{
    unsigned from = (unsigned)prng_below(p, KEYS), to = (unsigned)prng_below(p, KEYS + 1);
    bool reverse = prng_below(p, 2), seek = prng_below(p, 2);
    unsigned target = (unsigned)prng_below(p, KEYS);
    struct buffer a = {0}, b = {0}, c = {0};
    struct slice end = to == KEYS ? slice_make(NULL, 0) : key_row(&b, to);
    struct tier_iter *it;
    unsigned flags = (reverse ? TIER_ITER_REVERSE : 0) | (prng_below(p, 2) ? TIER_ITER_ONCE : 0);
    if (from > to)
        from = to;
    assert_int_equal(f->tier->ops->iter(f->tier, s, key_row(&a, from == KEYS ? KEYS - 1 : from),
                                        end, flags, &it),
                     0);
    if (from == KEYS)
        from = KEYS - 1;
    int at = reverse ? (int)to - 1 : (int)from;
    if (seek) {
        assert_int_equal(f->tier->ops->iter_seek(it, key_row(&c, target)), 0);
        if (reverse)
            at = (int)target - 1 < at ? (int)target - 1 : at;
        else
            at = (int)target > at ? (int)target : at;
    }
    for (; reverse ? at >= (int)from : at < (int)to; at += reverse ? -1 : 1) {
        struct slice row, value;
        if (e->value[at] == 0)
            continue;
        assert_int_equal(f->tier->ops->iter_next(it, &row, &value), 0);
        assert_true(slice_equal(row, key_row(&c, (unsigned)at)));
        assert_true(slice_equal(value, slice_make(&e->value[at], 8)));
    }
    struct slice row, value;
    assert_int_equal(f->tier->ops->iter_next(it, &row, &value), ST_NOTFOUND);
    f->tier->ops->iter_close(it);
    buffer_free(&a);
    buffer_free(&b);
    buffer_free(&c);
}

static void drop_random(struct fixture *f, struct prng *p, struct expected *e)
{
    struct buffer b[4] = {0};
    unsigned at[4];
    for (int i = 0; i < 4; i++)
        at[i] = (i > 0 ? at[i - 1] + 1 : 0) + (unsigned)prng_below(p, 12);
    for (int i = 0; i < 4; i++)
        key_row(&b[i], at[i]);
    struct tier_range ranges[2] = {{buffer_slice(&b[0]), buffer_slice(&b[1])},
                                   {buffer_slice(&b[2]), buffer_slice(&b[3])}};
    assert_int_equal(f->tier->ops->drop_ranges(f->tier, ranges, 2), 0);
    for (unsigned key = 0; key < KEYS; key++)
        if ((key >= at[0] && key < at[1]) || (key >= at[2] && key < at[3]))
            e->value[key] = 0;
    for (int i = 0; i < 4; i++)
        buffer_free(&b[i]);
}

static void check_meta(struct fixture *f, struct prng *p, uint64_t *meta)
{
    struct buffer out = {0};
    if (prng_below(p, 4) == 0) {
        *meta = prng_u64(p);
        assert_int_equal(f->tier->ops->put_meta(f->tier, slice_str("m"), slice_make(meta, 8)), 0);
    }
    assert_int_equal(f->tier->ops->get_meta(f->tier, slice_str("n"), &out), ST_NOTFOUND);
    int st = f->tier->ops->get_meta(f->tier, slice_str("m"), &out);
    assert_int_equal(st, *meta == 0 ? ST_NOTFOUND : 0);
    if (st == 0)
        assert_memory_equal(out.data, meta, 8);
    buffer_free(&out);
}

static void contract(bool rocks, uint64_t seed, int rounds)
{
    struct fixture f = {0};
    struct prng p = prng_make(seed);
    struct expected e = {0}, then = {0};
    uint64_t meta = 0;
    start(&f, rocks);
    assert_true(f.tier->ops->empty(f.tier));
    struct tier_snapshot *s = f.tier->ops->snapshot(f.tier);
    for (int i = 1; i <= rounds; i++) {
        random_bulk(&f, &p, &e, (uint64_t)i);
        if (prng_below(&p, 6) == 0)
            drop_random(&f, &p, &e);
        for (unsigned key = 0; key < KEYS; key++)
            check_get(&f, &e, key, prng_below(&p, 2));
        check_scan(&f, &p, NULL, &e);
        check_scan(&f, &p, s, &then);
        check_meta(&f, &p, &meta);
        if (prng_below(&p, 8) != 0)
            continue;
        f.tier->ops->snapshot_release(f.tier, s);
        if (prng_below(&p, 2))
            reopen(&f);
        s = f.tier->ops->snapshot(f.tier);
        then = e;
    }
    assert_false(f.tier->ops->empty(f.tier));
    f.tier->ops->snapshot_release(f.tier, s);
    finish(&f);
}

static void test_contract_model(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        contract(false, seed, 40);
}

static void test_contract_rocks(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        contract(true, seed, 40);
}

/* --- RocksDB alone --- */

#define DROPPED_KEYSPACE 2
#define PURGE_BEFORE_MS  1000

static bool dropped(void *ctx, uint32_t keyspace)
{
    return keyspace == DROPPED_KEYSPACE;
}

static uint64_t purge_before(void *ctx)
{
    return PURGE_BEFORE_MS;
}

static bool purge_tombstones(void *ctx)
{
    return *(bool *)ctx;
}

static const struct {
    const char *name;
    uint32_t keyspace;
    struct record record;
    bool stays_with_tombstones, stays_without;
} POLICY_ROWS[] = {
    {"a-plain", 1, {.flags = 0}, true, true},
    {"b-expired", 1, {.flags = RECORD_EXPIRES, .expire_ms = 999}, false, false},
    {"c-expiring", 1, {.flags = RECORD_EXPIRES, .expire_ms = 1000}, true, true},
    {"d-tombstone", 1, {.flags = RECORD_TOMBSTONE}, true, false},
    {"a-dropped", DROPPED_KEYSPACE, {.flags = 0}, false, false},
    {"watermark", ROW_KEYSPACE_META, {.flags = RECORD_TOMBSTONE}, true, true},
};

static int policy_row_get(struct fixture *f, size_t i, struct buffer *out)
{
    struct buffer row = {0};
    row_key_encode(&row, 3, 0, POLICY_ROWS[i].keyspace, slice_str(POLICY_ROWS[i].name));
    buffer_clear(out);
    int st = f->tier->ops->get(f->tier, buffer_slice(&row), false, out);
    buffer_free(&row);
    return st;
}

static void put_policy_rows(struct fixture *f)
{
    struct tier_bulk *bulk;
    assert_int_equal(f->tier->ops->bulk(f->tier, &bulk), 0);
    for (size_t i = 0; i < ARRAY_SIZE(POLICY_ROWS); i++) {
        struct buffer row = {0}, value = {0};
        row_key_encode(&row, 3, 0, POLICY_ROWS[i].keyspace, slice_str(POLICY_ROWS[i].name));
        record_encode(&value, &POLICY_ROWS[i].record);
        assert_int_equal(f->tier->ops->bulk_add(bulk, buffer_slice(&row), buffer_slice(&value)), 0);
        buffer_free(&row);
        buffer_free(&value);
    }
    assert_int_equal(f->tier->ops->bulk_finish(bulk), 0);
}

/* The first bulk goes to the bottom level, eight more over it to level 0, which makes RocksDB
 * compact them all by itself; waits until the rows that may go are gone. */
static void policy_case(bool tombstones_go)
{
    struct fixture f = {.policy = {.ctx = &tombstones_go,
                                   .keyspace_dropped = dropped,
                                   .purge_before_ms = purge_before,
                                   .purge_tombstones = purge_tombstones}};
    struct buffer out = {0};
    start(&f, true);
    for (int i = 0; i < 9; i++)
        put_policy_rows(&f);
    size_t gone = 1; /* b-expired goes in either case */
    for (int i = 0; i < 500 && policy_row_get(&f, gone, &out) != ST_NOTFOUND; i++)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(POLICY_ROWS); i++) {
        bool stays =
            tombstones_go ? POLICY_ROWS[i].stays_without : POLICY_ROWS[i].stays_with_tombstones;
        assert_int_equal(policy_row_get(&f, i, &out), stays ? 0 : ST_NOTFOUND);
    }
    buffer_free(&out);
    finish(&f);
}

static void test_rocks_policy(void **state)
{
    policy_case(false);
    policy_case(true);
}

static void test_rocks_open_errors(void **state)
{
    struct fixture f = {0};
    char path[96], error[256] = "";
    start(&f, true);
    snprintf(path, sizeof(path), "%s/cold", f.dir);
    struct tier_rocks_options options = {.path = path, .create = true};
    struct tier *tier = NULL;
    assert_int_equal(tier_rocks_open(&options, error, sizeof(error), &tier), ST_LOCKED);
    assert_true(error[0] != 0);
    assert_null(tier);
    snprintf(path, sizeof(path), "%s/other", f.dir);
    options.create = false;
    assert_int_equal(tier_rocks_open(&options, error, sizeof(error), &tier), ST_NOTFOUND);
    finish(&f);
}

static void test_rocks_bulk_debris(void **state)
{
    struct fixture f = {0};
    char path[96];
    start(&f, true);
    snprintf(path, sizeof(path), "%s/cold/bulk/77.sst", f.dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("debris", file);
    fclose(file);
    reopen(&f);
    assert_int_not_equal(access(path, F_OK), 0);
    finish(&f);
}

static void test_rocks_corruption(void **state)
{
    struct fixture f = {0};
    struct prng p = prng_make(4);
    struct expected e = {0};
    char command[256], path[80];
    struct buffer row = {0}, out = {0};
    start(&f, true);
    random_bulk(&f, &p, &e, 1);
    f.tier->ops->close(f.tier);
    snprintf(command, sizeof(command),
             "for f in %s/cold/*.sst; do printf 'XXXXXXXX' |"
             " dd of=$f bs=1 seek=40 conv=notrunc status=none; done",
             f.dir);
    assert_int_equal(system(command), 0);
    /* Either opening or reading must say so: never a wrong value. */
    char error[256];
    snprintf(path, sizeof(path), "%s/cold", f.dir);
    struct tier_rocks_options options = {.path = path};
    int st = tier_rocks_open(&options, error, sizeof(error), &f.tier);
    if (st == 0) {
        for (unsigned key = 0; key < KEYS && st != ST_CORRUPT; key++)
            st = f.tier->ops->get(f.tier, key_row(&row, key), false, &out);
        f.tier->ops->close(f.tier);
    }
    assert_int_equal(st, ST_CORRUPT);
    temp_dir_remove(f.dir);
    buffer_free(&row);
    buffer_free(&out);
}

static void test_rocks_checkpoint(void **state)
{
    struct fixture f = {0};
    struct prng p = prng_make(5);
    struct expected e = {0}, later = {0};
    char path[96];
    start(&f, true);
    random_bulk(&f, &p, &e, 1);
    assert_int_equal(f.tier->ops->put_meta(f.tier, slice_str("m"), slice_str("v")), 0);
    snprintf(path, sizeof(path), "%s/copy", f.dir);
    assert_int_equal(f.tier->ops->checkpoint(f.tier, path), 0);
    later = e;
    random_bulk(&f, &p, &later, 2);
    f.tier->ops->close(f.tier);
    char error[256];
    struct tier_rocks_options options = {.path = path};
    assert_int_equal(tier_rocks_open(&options, error, sizeof(error), &f.tier), 0);
    check_scan(&f, &p, NULL, &e);
    for (unsigned key = 0; key < KEYS; key++)
        check_get(&f, &e, key, false);
    struct buffer out = {0};
    assert_int_equal(f.tier->ops->get_meta(f.tier, slice_str("m"), &out), 0);
    buffer_free(&out);
    finish(&f);
}

/* --- the model alone --- */

static void test_model_crash_and_fail(void **state)
{
    struct tier_model *m = tier_model_create(NULL);
    struct tier *t = tier_model_tier(m);
    for (uint64_t step = 1; step <= 4; step++) { /* bulk, add, finish, made visible */
        struct tier_bulk *bulk = NULL;
        uint64_t before = tier_model_rows(m);
        tier_model_crash_at(m, step);
        int st = t->ops->bulk(t, &bulk);
        uint64_t row = step;
        if (st == 0)
            st = t->ops->bulk_add(bulk, slice_make(&row, sizeof(row)), slice_str("v"));
        if (st != 0 && bulk != NULL)
            t->ops->bulk_abort(bulk);
        if (st == 0)
            st = t->ops->bulk_finish(bulk);
        assert_int_equal(st, ST_IO);
        assert_true(tier_model_crashed(m));
        assert_int_equal(tier_model_rows(m) - before, step == 4);
        assert_int_equal(t->ops->bulk(t, &bulk), ST_IO);
        tier_model_restart(m);
    }
    tier_model_fail(m, TIER_MODEL_GET, ST_CORRUPT, 2);
    struct buffer out = {0};
    assert_int_equal(t->ops->get(t, slice_str("none"), false, &out), ST_CORRUPT);
    assert_int_equal(t->ops->get(t, slice_str("none"), false, &out), ST_CORRUPT);
    assert_int_equal(t->ops->get(t, slice_str("none"), false, &out), ST_NOTFOUND);
    tier_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract_model),    cmocka_unit_test(test_contract_rocks),
        cmocka_unit_test(test_rocks_policy),      cmocka_unit_test(test_rocks_open_errors),
        cmocka_unit_test(test_rocks_bulk_debris), cmocka_unit_test(test_rocks_corruption),
        cmocka_unit_test(test_rocks_checkpoint),  cmocka_unit_test(test_model_crash_and_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
