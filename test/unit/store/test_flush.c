/* The flush core over the model of the tier: dies before every step, fails at every step; what the
 * tier has afterwards is the state before or the state after, data and watermarks together. Then
 * the same kill points in a child process over RocksDB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/status.h"
#include "sim/tier.h"
#include "store/flush.h"
#include "support/temp_dir.h"
#include "support/tier_kill.h"

#define NOW_MS  1000
#define DROPPED 9

struct row { /* sorted by (partition, keyspace, key) */
    uint16_t partition;
    uint32_t keyspace;
    const char *key, *value; /* value NULL: a tombstone */
    uint64_t expire_ms;
};

static const struct row FIRST[] = {
    {2, 1, "a", "1", 0},    {2, 1, "b", "1", 0}, {2, 2, "a", "other", 0},
    {4, 1, "c", "1", 2000}, {4, 1, "d", "1", 0},
};
static const struct row SECOND[] = {
    {2, 1, "a", "2", 0},    {2, 1, "b", NULL, 0},   {3, 1, "e", "2", 0},
    {4, 1, "c", "2", 1000}, {4, 1, "f", "2", 1001}, {4, DROPPED, "x", "ghost", 0},
};
/* What must be there after FIRST, and after both: "partition/keyspace/key=value ...". */
#define AFTER_FIRST "2/1/a=1 2/1/b=1 2/2/a=other 4/1/c=1@2000 4/1/d=1 w2:10 w4:10 w5:10 "
#define AFTER_SECOND                                                                      \
    "2/1/a=2 2/1/b=dead 2/2/a=other 3/1/e=2 4/1/c=dead 4/1/d=1 4/1/f=2@1001 w2:20 w3:20 " \
    "w4:20 w5:10 "

struct rows {
    const struct row *rows;
    size_t count;
    unsigned sorts;
};

static void rows_sort(void *ctx)
{
    ((struct rows *)ctx)->sorts++;
}

static uint64_t rows_count(void *ctx)
{
    return ((struct rows *)ctx)->count;
}

static void rows_row(void *ctx, uint64_t i, struct key *ret_key, struct record *ret_record)
{
    const struct row *row = &((struct rows *)ctx)->rows[i];
    *ret_key = (struct key){
        .bytes = slice_str(row->key), .keyspace = row->keyspace, .partition = row->partition};
    *ret_record = (struct record){
        .value = row->value != NULL ? slice_str(row->value) : slice_make(NULL, 0),
        .actor = 5,
        .counter = i + 1,
        .stamp = 7,
        .expire_ms = row->expire_ms,
        .flags = (uint8_t)((row->value == NULL ? RECORD_TOMBSTONE : 0) |
                           (row->expire_ms != 0 ? RECORD_EXPIRES : 0)),
    };
}

static void begin(struct flush *f, struct tier *tier, struct rows *rows, bool second)
{
    static const uint16_t FIRST_PARTITIONS[] = {2, 4, 5}, SECOND_PARTITIONS[] = {2, 3, 4};
    struct flush_watermark *w = mem_zalloc(3 * sizeof(*w));
    for (int i = 0; i < 3; i++)
        w[i] = (struct flush_watermark){.partition =
                                            second ? SECOND_PARTITIONS[i] : FIRST_PARTITIONS[i],
                                        .generation = 6,
                                        .index = second ? 20 : 10,
                                        .actor = 5,
                                        .counter = second ? 200 : 100};
    *rows = (struct rows){.rows = second ? SECOND : FIRST,
                          .count = second ? ARRAY_SIZE(SECOND) : ARRAY_SIZE(FIRST)};
    const struct flush_source source = {
        .ctx = rows, .sort = rows_sort, .count = rows_count, .row = rows_row};
    flush_init(f, tier, &source, w, 3, NOW_MS);
    uint32_t *ids = mem_alloc(2 * sizeof(*ids));
    ids[0] = 8;
    ids[1] = DROPPED;
    flush_set_dropped(f, (struct flush_dropped){.ids = ids, .count = 2});
}

static int flush_one(struct tier *tier, bool second)
{
    struct flush f;
    struct rows rows;
    begin(&f, tier, &rows, second);
    int st = flush_run(&f);
    flush_done(&f);
    return st;
}

/* All rows and watermarks as text. */
static void describe(struct tier *tier, struct buffer *out)
{
    struct tier_iter *it;
    struct slice row, value, key;
    const struct slice none = slice_make(NULL, 0);
    buffer_clear(out);
    assert_int_equal(tier->ops->iter(tier, NULL, none, none, 0, &it), 0);
    while (tier->ops->iter_next(it, &row, &value) == 0) {
        uint16_t partition;
        uint32_t generation, keyspace;
        struct record r;
        assert_int_equal(row_key_decode(row, &partition, &generation, &keyspace, &key), 0);
        if (keyspace == ROW_KEYSPACE_META)
            continue;
        assert_int_equal(generation, 6);
        assert_int_equal(record_decode(value, &r), 0);
        assert_int_equal(r.actor, 5);
        buffer_printf(out, "%u/%u/%.*s=%.*s", partition, keyspace, (int)key.len, key.data,
                      (int)r.value.len, (const char *)r.value.data);
        if (r.flags & RECORD_TOMBSTONE)
            buffer_append_str(out, "dead");
        if (r.flags & RECORD_EXPIRES)
            buffer_printf(out, "@%llu", (unsigned long long)r.expire_ms);
        buffer_append_str(out, " ");
    }
    tier->ops->iter_close(it);
    for (uint16_t p = 0; p < 8; p++) {
        struct flush_watermark w;
        int st = flush_watermark_read(tier, p, &w);
        if (st == ST_NOTFOUND)
            continue;
        assert_int_equal(st, 0);
        assert_int_equal(w.counter, w.index * 10);
        assert_int_equal(w.generation, 6);
        buffer_printf(out, "w%u:%llu ", p, (unsigned long long)w.index);
    }
    buffer_append_u8(out, 0);
}

static const char *state_of(struct tier *tier, struct buffer *out)
{
    describe(tier, out);
    return (const char *)out->data;
}

static void test_two_generations(void **state)
{
    struct tier_model *m = tier_model_create(NULL);
    struct tier *tier = tier_model_tier(m);
    BUFFER_AUTO struct buffer out = {0};
    assert_int_equal(flush_one(tier, false), 0);
    assert_string_equal(state_of(tier, &out), AFTER_FIRST);
    struct flush f;
    struct rows rows;
    begin(&f, tier, &rows, true);
    assert_int_equal(flush_run(&f), 0);
    assert_string_equal(state_of(tier, &out), AFTER_SECOND);
    assert_int_equal(flush_state(&f), FLUSH_VISIBLE);
    assert_int_equal(f.rows, 5 + 3);
    assert_int_equal(f.tombstones, 2);
    assert_int_equal(f.expiries_count, 1);
    assert_int_equal(f.expiries[0].keyspace, 1);
    assert_int_equal(f.expiries[0].expire_ms, 1001);
    flush_released(&f);
    flush_done(&f);
    tier_model_free(m);
}

static void test_crash_at_every_step(void **state)
{
    BUFFER_AUTO struct buffer out = {0};
    unsigned before = 0, after = 0;
    for (uint64_t step = 1;; step++) {
        struct tier_model *m = tier_model_create(NULL);
        struct tier *tier = tier_model_tier(m);
        assert_int_equal(flush_one(tier, false), 0);
        tier_model_crash_at(m, step);
        int st = flush_one(tier, true);
        bool crashed = tier_model_crashed(m);
        tier_model_restart(m);
        bool applied = strcmp(state_of(tier, &out), AFTER_SECOND) == 0;
        if (!applied)
            assert_string_equal((const char *)out.data, AFTER_FIRST);
        before += !applied;
        after += applied;
        assert_int_equal(st, crashed ? ST_IO : 0);
        /* the log is replayed and flushed anew */
        assert_int_equal(flush_one(tier, true), 0);
        assert_string_equal(state_of(tier, &out), AFTER_SECOND);
        tier_model_free(m);
        if (!crashed)
            break;
    }
    assert_int_equal(before, 1 + 8 + 1); /* bulk, rows and watermarks, finish */
    assert_int_equal(after, 1 + 1);      /* after it became visible; no crash at all */
}

static void test_failure_and_retry(void **state)
{
    static const enum tier_model_op OPS[] = {TIER_MODEL_BULK, TIER_MODEL_FINISH};
    BUFFER_AUTO struct buffer out = {0};
    for (size_t i = 0; i < ARRAY_SIZE(OPS); i++) {
        struct tier_model *m = tier_model_create(NULL);
        struct tier *tier = tier_model_tier(m);
        struct flush f;
        struct rows rows;
        assert_int_equal(flush_one(tier, false), 0);
        begin(&f, tier, &rows, true);
        for (int times = 0; times < 3; times++) {
            tier_model_fail(m, OPS[i], ST_NOSPACE, 1);
            assert_int_equal(flush_run(&f), ST_NOSPACE);
            assert_int_equal(flush_state(&f), FLUSH_FAILED);
            assert_int_equal(tier_model_open(m), 0);
            assert_string_equal(state_of(tier, &out), AFTER_FIRST);
            flush_retry(&f);
        }
        assert_int_equal(flush_run(&f), 0);
        assert_int_equal(rows.sorts, 1);
        assert_int_equal(f.rows, 8);
        assert_int_equal(f.expiries_count, 1);
        assert_string_equal(state_of(tier, &out), AFTER_SECOND);
        flush_done(&f);
        tier_model_free(m);
    }
}

/* A release before the rows are visible is the mistake that loses data: the states forbid it. */
static void test_no_release_before_visible(void **state)
{
    struct tier_model *m = tier_model_create(NULL);
    struct flush f;
    struct rows rows;
    begin(&f, tier_model_tier(m), &rows, false);
    assert_false(sm_may_move(&f.sm, FLUSH_RELEASED));
    tier_model_fail(m, TIER_MODEL_FINISH, ST_IO, 1);
    assert_int_equal(flush_run(&f), ST_IO);
    assert_false(sm_may_move(&f.sm, FLUSH_RELEASED));
    assert_false(sm_may_move(&f.sm, FLUSH_VISIBLE));
    flush_done(&f);
    tier_model_free(m);
}

static void test_bad_watermarks(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int st;
    } CASES[] = {
        {"", 0, ST_CORRUPT}, {"\1", 1, ST_CORRUPT}, {"\2", 1, ST_CORRUPT}, {"\3", 1, ST_VERSION}};
    for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
        struct tier_model *m = tier_model_create(NULL);
        struct tier *tier = tier_model_tier(m);
        struct tier_bulk *bulk;
        struct flush_watermark w;
        BUFFER_AUTO struct buffer row = {0};
        row_key_encode(&row, 1, UINT32_MAX, ROW_KEYSPACE_META, slice_make(NULL, 0));
        assert_int_equal(tier->ops->bulk(tier, &bulk), 0);
        assert_int_equal(
            tier->ops->bulk_add(bulk, buffer_slice(&row), slice_make(CASES[i].bytes, CASES[i].len)),
            0);
        assert_int_equal(tier->ops->bulk_finish(bulk), 0);
        assert_int_equal(flush_watermark_read(tier, 1, &w), CASES[i].st);
        tier_model_free(m);
    }
}

/* --- RocksDB --- */

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

/* The child: flushes the first generation, then the second until it is killed. */
static void child(const char *dir, uint64_t step)
{
    struct tier_kill kill;
    struct tier *tier = open_rocks(dir);
    if (flush_one(tier, false) != 0)
        _exit(1);
    tier_kill_wrap(&kill, tier, step);
    _exit(flush_one(&kill.base, true) == 0 ? 0 : 1);
}

static void test_kill_at_every_step_rocks(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* RocksDB's threads can't be started in a child of a process that has some already */
#endif
    BUFFER_AUTO struct buffer out = {0};
    unsigned before = 0, after = 0;
    for (uint64_t step = 1;; step++) {
        char dir[64];
        int status;
        temp_dir_make(dir);
        pid_t pid = fork();
        if (pid == 0)
            child(dir, step);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        bool killed = WEXITSTATUS(status) == TIER_KILL_EXIT;
        assert_true(killed || WEXITSTATUS(status) == 0);
        struct tier *tier = open_rocks(dir);
        bool applied = strcmp(state_of(tier, &out), AFTER_SECOND) == 0;
        if (!applied)
            assert_string_equal((const char *)out.data, AFTER_FIRST);
        before += !applied;
        after += applied;
        assert_int_equal(flush_one(tier, true), 0);
        assert_string_equal(state_of(tier, &out), AFTER_SECOND);
        tier->ops->close(tier);
        temp_dir_remove(dir);
        if (!killed)
            break;
    }
    assert_int_equal(before, 10);
    assert_int_equal(after, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_generations),   cmocka_unit_test(test_crash_at_every_step),
        cmocka_unit_test(test_failure_and_retry), cmocka_unit_test(test_no_release_before_visible),
        cmocka_unit_test(test_bad_watermarks),    cmocka_unit_test(test_kill_at_every_step_rocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
