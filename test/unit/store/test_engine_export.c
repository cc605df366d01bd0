/* A partition sent from one engine to another: whatever both do meanwhile, the receiver then has
 * exactly the rows that the sender had at the index that the stream names, or its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "sim/tier.h"
#include "store/engine.h"
#include "store/engine_export.h"
#include "store/engine_install.h"
#include "support/work_later.h"

#define PARTITIONS  4
#define MOVED       1 /* the partition that is sent */
#define SPACES      3
#define KEYS        40
#define INDEXES_MAX 2000

static const uint32_t spaces[SPACES] = {0, 7, ROW_KEYSPACE_SESSIONS};

struct rows {
    uint32_t value[PARTITIONS][SPACES][KEYS]; /* 0: none */
};

struct side {
    struct tier_model *model;
    struct work_later later;
    struct engine *e;
    uint64_t lsn, now_ms;
    struct rows rows;
    struct rows *at; /* by index of MOVED */
};

static void side_engine(struct side *s)
{
    struct engine_options o = {
        .tier = tier_model_tier(s->model),
        .work = &s->later.queue,
        .shards = 1,
        .partitions = PARTITIONS,
        .table_bytes = 16 << 20,
        .cache_bytes = 16 << 20,
        .log_bytes = 1 << 30,
        .ordered_idle_ms = 1000,
        .hash_seed = 5,
    };
    assert_int_equal(engine_create(&o, &s->e), 0);
    engine_turn(s->e, s->lsn, s->now_ms);
}

static void side_start(struct side *s)
{
    *s = (struct side){.lsn = 4096, .now_ms = 1000};
    work_later_init(&s->later);
    s->model = tier_model_create(NULL);
    s->at = mem_zalloc(INDEXES_MAX * sizeof(*s->at));
    side_engine(s);
}

static void side_end(struct side *s)
{
    work_later_all(&s->later);
    engine_free(s->e);
    tier_model_free(s->model);
    work_later_done(&s->later);
    free(s->at);
}

static struct key key_of(unsigned partition, unsigned space, unsigned k, char name[16])
{
    snprintf(name, 16, "%u-%02u", partition % 10, k % 100); /* a key is in one partition only */
    struct slice bytes = slice_str(name);
    return (struct key){.bytes = bytes,
                        .hash = key_hash(5, spaces[space], bytes),
                        .keyspace = spaces[space],
                        .partition = (uint16_t)partition};
}

static void side_put(struct side *s, struct prng *p)
{
    unsigned partition = prng_below(p, 2) ? MOVED : (unsigned)prng_below(p, PARTITIONS);
    unsigned space = (unsigned)prng_below(p, SPACES), k = (unsigned)prng_below(p, KEYS);
    uint32_t value = prng_below(p, 5) == 0 ? 0 : (uint32_t)prng_below(p, 1000000) + 1;
    char name[16], text[16];
    struct key key = key_of(partition, space, k, name);
    struct engine_partition *part = engine_partition(s->e, (uint16_t)partition);
    struct record record = {.actor = 1, .counter = ++part->counter, .stamp = part->index + 1};
    if (part->index + 1 >= INDEXES_MAX)
        return;
    if (value == 0) {
        record.flags = RECORD_TOMBSTONE;
    } else {
        snprintf(text, sizeof(text), "%u", value);
        record.value = slice_str(text);
    }
    engine_put(s->e, &key, &record);
    engine_partition_moved(s->e, (uint16_t)partition, part->index + 1, 77 + part->index);
    s->rows.value[partition][space][k] = value;
    if (partition == MOVED)
        s->at[part->index] = s->rows;
}

struct fetched {
    struct engine_wait wait;
    bool done;
};

static void on_fetched(struct engine_wait *wait, int st)
{
    assert_int_equal(st, 0);
    container_of(wait, struct fetched, wait)->done = true;
}

static uint32_t side_get(struct side *s, unsigned partition, unsigned space, unsigned k)
{
    char name[16], text[16] = "";
    struct key key = key_of(partition, space, k, name);
    struct record record;
    int st;
    while ((st = engine_get(s->e, &key, &record)) == ST_COLD) {
        struct fetched f = {.wait.done = on_fetched};
        list_node_init(&f.wait.link);
        engine_fetch(s->e, &key, &f.wait);
        while (!f.done)
            work_later_all(&s->later);
    }
    if (st == ST_NOTFOUND || !record_live(&record, 0))
        return 0;
    memcpy(text, record.value.data, record.value.len);
    return (uint32_t)strtoul(text, NULL, 10);
}

/* The first difference, or NULL. */
static const char *side_differs(struct side *s, unsigned partition, const struct rows *want)
{
    static char why[100];
    for (unsigned space = 0; space < SPACES; space++)
        for (unsigned k = 0; k < KEYS; k++) {
            uint32_t got = side_get(s, partition, space, k);
            if (got == want->value[partition][space][k])
                continue;
            snprintf(why, sizeof(why), "partition %u space %u key %u: %u, not %u", partition, space,
                     k, got, want->value[partition][space][k]);
            return why;
        }
    return NULL;
}

/* Something happens on one side. */
static void side_step(struct side *s, struct prng *p, bool puts)
{
    switch (prng_below(p, 10)) {
    case 0:
        engine_flush(s->e, ++s->lsn);
        break;
    case 1:
    case 2:
        if (s->later.submitted_count > 0)
            work_later_run(&s->later, prng_below(p, s->later.submitted_count));
        break;
    case 3:
    case 4:
        if (s->later.ran_count > 0)
            work_later_finish(&s->later, prng_below(p, s->later.ran_count));
        break;
    case 5:
        engine_turn(s->e, ++s->lsn, ++s->now_ms);
        break;
    case 6: /* fills the cache, absent markers too */
        if (work_later_pending(&s->later) == 0)
            side_get(s, MOVED, (unsigned)prng_below(p, SPACES), (unsigned)prng_below(p, KEYS));
        break;
    default:
        if (puts)
            side_put(s, p);
    }
}

/* --- one transfer --- */

struct transfer {
    struct side from, to;
    struct prng prng;
    struct engine_export *x;
    struct engine_install *i;
    struct buffer stream;
    bool read, fed, last;
    int read_st, fed_st;
    const char *why;
};

static void on_read(struct engine_export *x, int st, struct slice data, bool last)
{
    struct transfer *t = engine_export_ctx(x);
    t->read = true;
    t->read_st = st;
    t->last = last;
    buffer_append_slice(&t->stream, data);
}

static void on_fed(struct engine_install *i, int st)
{
    struct transfer *t = engine_install_ctx(i);
    t->fed = true;
    t->fed_st = st;
}

static void export_all(struct transfer *t, bool lose_last)
{
    const struct engine_export_options options = {
        .partition = MOVED, .lose_last = lose_last, .done = on_read, .ctx = t};
    t->x = engine_export_create(t->from.e, &options);
    t->last = false;
    while (!t->last && t->read_st == 0) {
        t->read = false;
        engine_export_read(t->x, 1 + (uint32_t)prng_below(&t->prng, 300));
        for (unsigned i = 0; !t->read; i++)
            side_step(&t->from, &t->prng, i < 20);
    }
}

/* Feeds the stream; the receiver puts nothing into the partition meanwhile. */
static int install_all(struct transfer *t, struct slice stream, uint64_t index, bool keep_rows)
{
    const struct engine_install_options options = {
        .partition = MOVED, .keep_rows = keep_rows, .done = on_fed, .ctx = t};
    t->i = engine_install_create(t->to.e, &options);
    t->fed_st = 0;
    for (size_t at = 0; at < stream.len && t->fed_st == 0;) {
        size_t len = 1 + prng_below(&t->prng, 300);
        len = len > stream.len - at ? stream.len - at : len;
        t->fed = false;
        engine_install_feed(t->i, slice_make(stream.data + at, len));
        while (!t->fed)
            side_step(&t->to, &t->prng, false);
        at += len;
    }
    if (t->fed_st == 0) {
        t->fed = false;
        engine_install_finish(t->i, index, slice_str("meta"));
        while (!t->fed && !tier_model_crashed(t->to.model))
            side_step(&t->to, &t->prng, false);
    }
    return t->fed_st;
}

static void transfer_start(struct transfer *t, uint64_t seed)
{
    *t = (struct transfer){.prng = prng_make(seed)};
    side_start(&t->from);
    side_start(&t->to);
    unsigned steps = 100 + (unsigned)prng_below(&t->prng, 1000);
    for (unsigned i = 0; i < steps; i++) {
        side_step(&t->from, &t->prng, true);
        side_step(&t->to, &t->prng, true);
    }
    engine_flush(t->from.e, ++t->from.lsn);
    work_later_all(&t->from.later);
    engine_turn(t->from.e, ++t->from.lsn, ++t->from.now_ms);
    work_later_all(&t->from.later);
}

static void transfer_end(struct transfer *t)
{
    if (t->x != NULL)
        engine_export_free(t->x);
    if (t->i != NULL)
        engine_install_free(t->i);
    buffer_free(&t->stream);
    side_end(&t->from);
    side_end(&t->to);
}

static const char *check_installed(struct transfer *t, uint64_t index)
{
    struct rows want = t->to.rows;
    memcpy(want.value[MOVED], t->from.at[index].value[MOVED], sizeof(want.value[MOVED]));
    const struct engine_partition *part = engine_partition(t->to.e, MOVED);
    if (part->index != index || part->flushed_index != index || part->stamp != 76 + index)
        return "another index";
    for (unsigned p = 0; p < PARTITIONS; p++)
        if (side_differs(&t->to, p, &want) != NULL)
            return side_differs(&t->to, p, &want);
    memcpy(t->to.rows.value, want.value, sizeof(want.value));
    t->to.at[index] = want;
    return NULL;
}

/* NULL, or what is wrong. */
static const char *transfer(uint64_t seed, bool keep_rows, bool lose_last)
{
    struct transfer t;
    transfer_start(&t, seed);
    export_all(&t, lose_last);
    const char *why = NULL;
    uint64_t index = engine_export_index(t.x);
    if (t.read_st != 0 || install_all(&t, buffer_slice(&t.stream), index, keep_rows) != 0)
        why = "failed";
    if (why == NULL)
        why = check_installed(&t, index);
    for (unsigned i = 0; why == NULL && i < 300; i++) /* it goes on, restarts, and is the same */
        side_step(&t.to, &t.prng, true);
    if (why == NULL) {
        engine_flush(t.to.e, ++t.to.lsn);
        work_later_all(&t.to.later);
        engine_turn(t.to.e, ++t.to.lsn, ++t.to.now_ms);
        work_later_all(&t.to.later);
        assert_true(engine_flushed(t.to.e));
        engine_install_free(t.i);
        t.i = NULL;
        engine_free(t.to.e);
        side_engine(&t.to);
        for (unsigned p = 0; p < PARTITIONS && why == NULL; p++)
            why = side_differs(&t.to, p, &t.to.rows);
        BUFFER_AUTO struct buffer meta = {0};
        if (engine_install_meta(t.to.e, MOVED, &meta) != 0 ||
            !slice_equal(buffer_slice(&meta), slice_str("meta")))
            why = "no meta";
    }
    transfer_end(&t);
    return why;
}

static void test_transfers(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        const char *why = transfer(seed, false, false);
        if (why != NULL)
            fail_msg("seed %" PRIu64 ": %s", seed, why);
    }
}

static void test_planted(void **state)
{
    unsigned kept = 0, lost = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        kept += transfer(seed, true, false) != NULL;
        lost += transfer(seed, false, true) != NULL;
    }
    assert_true(kept > 0);
    assert_true(lost > 0);
}

static void test_a_crash_leaves_old_or_new(void **state)
{
    unsigned olds = 0, news = 0;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        struct transfer t;
        transfer_start(&t, seed);
        export_all(&t, false);
        uint64_t index = engine_export_index(t.x);
        engine_flush(t.to.e, ++t.to.lsn); /* all old rows are in the tier */
        for (unsigned i = 0; i < 3; i++) {
            work_later_all(&t.to.later);
            engine_turn(t.to.e, ++t.to.lsn, ++t.to.now_ms);
        }
        uint32_t old = engine_partition(t.to.e, MOVED)->generation;
        tier_model_crash_at(t.to.model, 1 + seed * 7 % 140);
        install_all(&t, buffer_slice(&t.stream), index, false);
        if (!tier_model_crashed(t.to.model))
            tier_model_crash(t.to.model);
        work_later_all(&t.to.later);
        for (unsigned i = 0; i < 50; i++)
            engine_turn(t.to.e, ++t.to.lsn, ++t.to.now_ms);
        work_later_all(&t.to.later);
        engine_install_free(t.i);
        t.i = NULL;
        engine_free(t.to.e);
        tier_model_restart(t.to.model);
        side_engine(&t.to);
        const char *why = NULL;
        if (engine_partition(t.to.e, MOVED)->generation != old) {
            news++;
            why = check_installed(&t, index);
        } else {
            olds++;
            for (unsigned p = 0; p < PARTITIONS && why == NULL; p++)
                why = side_differs(&t.to, p, &t.to.rows);
        }
        if (why != NULL)
            fail_msg("seed %" PRIu64 ": %s", seed, why);
        transfer_end(&t);
    }
    assert_true(olds > 10);
    assert_true(news > 10);
}

static void test_damaged_streams_are_refused(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct transfer t;
        transfer_start(&t, seed);
        export_all(&t, false);
        struct slice stream = buffer_slice(&t.stream);
        switch (seed % 4) {
        case 0: /* its end is missing */
            stream.len -= 1 + prng_below(&t.prng, stream.len - 1);
            break;
        case 1: /* rot */
            t.stream.data[prng_below(&t.prng, stream.len)] ^=
                (uint8_t)(1 << prng_below(&t.prng, 8));
            break;
        case 2: /* more than there should be */
            buffer_append_u64(&t.stream, 0);
            stream = buffer_slice(&t.stream);
            break;
        default: /* noise */
            prng_fill(&t.prng, t.stream.data + 1, t.stream.len - 1);
        }
        assert_int_not_equal(install_all(&t, stream, engine_export_index(t.x), false), 0);
        for (unsigned p = 0; p < PARTITIONS; p++)
            if (side_differs(&t.to, p, &t.to.rows) != NULL)
                fail_msg("seed %" PRIu64 ": %s", seed, side_differs(&t.to, p, &t.to.rows));
        transfer_end(&t);
    }
}

static void test_empty(void **state)
{
    struct transfer t;
    transfer_start(&t, 1);
    engine_export_empty(0, &t.stream);
    assert_int_equal(install_all(&t, buffer_slice(&t.stream), 0, false), 0);
    struct rows want = t.to.rows;
    memset(want.value[MOVED], 0, sizeof(want.value[MOVED]));
    for (unsigned p = 0; p < PARTITIONS; p++)
        assert_null(side_differs(&t.to, p, &want));
    assert_int_equal(engine_partition(t.to.e, MOVED)->index, 0);
    transfer_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfers),
        cmocka_unit_test(test_planted),
        cmocka_unit_test(test_a_crash_leaves_old_or_new),
        cmocka_unit_test(test_damaged_streams_are_refused),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
