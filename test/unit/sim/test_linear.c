/* The checker against histories whose answer is known, against random histories of a register that
 * is right, and against a checker too simple to be wrong. */
#include "sim/linear.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "sim/linear_search.h"
#include "sim/linear_seen.h"

static const struct linear_limits limits = LINEAR_LIMITS_DEFAULT;

static enum linear_verdict judge(const struct linear_op *ops, size_t count)
{
    struct linear_result result;
    assert_int_equal(linear_check(ops, count, &limits, NULL, &result), 0);
    return result.verdict;
}

/* --- histories known --- */

#define NIL                                LINEAR_ABSENT
#define NEVER                              LINEAR_NEVER
#define READ(call, ret, value)             OP(LINEAR_READ, call, ret, 0, 0, value)
#define WRITE(call, ret, value)            OP(LINEAR_WRITE, call, ret, value, 0, 0)
#define DELETE(call, ret, hit)             OP(LINEAR_DELETE, call, ret, 0, 0, hit)
#define CAS(call, ret, expect, value, hit) OP(LINEAR_CAS, call, ret, value, expect, hit)
#define INCR(call, ret, delta, value)      OP(LINEAR_INCR, call, ret, delta, 0, value)
#define OP(k, c, r, a, e, res)                                                 \
    {                                                                          \
        .call = c, .ret = r, .kind = k, .arg = a, .expected = e, .result = res \
    }

struct known {
    const char *what;
    enum linear_verdict verdict;
    struct linear_op ops[10]; /* to the first with call 0 */
};

#define GOOD LINEAR_OK
#define BAD  LINEAR_VIOLATION

static const struct known known[] = {
    {"nothing", GOOD, {{0}}},
    {"absent at first", GOOD, {READ(1, 2, NIL)}},
    {"a value from nowhere", BAD, {READ(1, 2, 7)}},
    {"a value never written, among others", BAD, {WRITE(1, 2, 1), READ(3, 4, 2)}},
    {"reads its write", GOOD, {WRITE(1, 2, 1), READ(3, 4, 1)}},
    {"stale read", BAD, {WRITE(1, 2, 1), WRITE(3, 4, 2), READ(5, 6, 1)}},
    {"stale read of nothing", BAD, {WRITE(1, 2, 1), READ(3, 4, NIL)}},
    {"concurrent read sees old or new", GOOD, {WRITE(1, 9, 1), READ(2, 3, NIL), READ(4, 5, 1)}},
    {"reads go back", BAD, {WRITE(1, 9, 1), READ(2, 3, 1), READ(4, 5, NIL)}},
    {"reads go back, two writes",
     BAD,
     {WRITE(1, 2, 1), WRITE(3, 20, 2), READ(4, 5, 2), READ(6, 7, 1)}},
    {"seen before its call", BAD, {READ(1, 2, 1), WRITE(3, 4, 1)}},
    {"equal moments are concurrent", GOOD, {READ(1, 3, 1), WRITE(3, 4, 1)}},
    {"two concurrent writes, either order", GOOD, {WRITE(1, 5, 1), WRITE(1, 5, 2), READ(6, 7, 1)}},
    {"two readers, two orders",
     BAD,
     {WRITE(1, 20, 1), WRITE(1, 20, 2), READ(2, 3, 1), READ(4, 5, 2), READ(6, 7, 1)}},
    {"concurrent readers disagree",
     BAD,
     {WRITE(1, 2, 1), WRITE(1, 2, 2), READ(3, 9, 1), READ(3, 9, 2)}},
    {"deleted stays deleted", BAD, {WRITE(1, 2, 1), DELETE(3, 4, 1), READ(5, 6, 1)}},
    {"delete found nothing", BAD, {WRITE(1, 2, 1), DELETE(3, 4, 0)}},
    {"deleted twice", BAD, {WRITE(1, 2, 1), DELETE(3, 9, 1), DELETE(3, 9, 1)}},
    {"deleted, then again in vain", GOOD, {WRITE(1, 2, 1), DELETE(3, 9, 0), DELETE(3, 9, 1)}},
    {"cas", GOOD, {WRITE(1, 2, 1), CAS(3, 4, 1, 2, 1), CAS(5, 6, 1, 3, 0), READ(7, 8, 2)}},
    {"cas done twice", BAD, {WRITE(1, 2, 1), CAS(3, 9, 1, 2, 1), CAS(3, 9, 1, 3, 1)}},
    {"cas refused for no reason", BAD, {WRITE(1, 2, 1), CAS(3, 4, 1, 2, 0)}},
    {"created twice", BAD, {CAS(1, 5, NIL, 1, 1), CAS(1, 5, NIL, 2, 1)}},
    {"created once", GOOD, {CAS(1, 5, NIL, 1, 0), CAS(1, 5, NIL, 2, 1), READ(6, 7, 2)}},
    {"lost update", BAD, {INCR(1, 9, 1, 1), INCR(1, 9, 1, 1)}},
    {"increments", GOOD, {INCR(1, 9, 1, 2), INCR(1, 9, 1, 1), READ(10, 11, 2)}},
    {"increment applied twice", BAD, {INCR(1, 2, 1, 1), READ(3, 4, 2)}},
    {"increment of a deleted one", GOOD, {INCR(1, 2, 5, 5), DELETE(3, 4, 1), INCR(5, 6, 5, 5)}},
    {"unknown write seen later", GOOD, {WRITE(1, NEVER, 1), READ(3, 4, NIL), READ(5, 6, 1)}},
    {"unknown write never seen", GOOD, {WRITE(1, NEVER, 1), READ(3, 4, NIL), READ(5, 6, NIL)}},
    {"unknown write seen before its call", BAD, {READ(1, 2, 1), WRITE(3, NEVER, 1)}},
    {"unknown write undone",
     BAD,
     {WRITE(1, 2, 1), WRITE(3, NEVER, 2), READ(4, 5, 2), READ(6, 7, 1)}},
    {"unknown write happens once",
     BAD,
     {WRITE(1, NEVER, 1), READ(2, 3, 1), WRITE(4, 5, 2), READ(6, 7, 1)}},
    {"unknown write between two reads",
     GOOD,
     {WRITE(1, NEVER, 1), WRITE(4, 5, 2), READ(6, 7, 2), READ(8, 9, 1)}},
    {"unknown increment happens once", GOOD, {INCR(1, NEVER, 1, 0), INCR(2, 3, 1, 2)}},
    {"unknown increment happens twice", BAD, {INCR(1, NEVER, 1, 0), INCR(2, 3, 1, 3)}},
    {"unknown increment, then a write",
     GOOD,
     {INCR(1, NEVER, 1, 0), WRITE(2, 3, 7), READ(4, 5, 8)}},
    {"unknown read", GOOD, {READ(1, NEVER, 7), WRITE(2, 3, 1)}},
    {"unknown write explains a refused cas",
     GOOD,
     {WRITE(1, 2, 1), WRITE(3, NEVER, 2), CAS(4, 5, 1, 3, 0)}},
    {"and is used up by it", BAD, {WRITE(1, NEVER, 2), DELETE(2, 3, 1), DELETE(4, 5, 1)}},
    {"two unknown writes nobody read, two deletes",
     GOOD,
     {WRITE(1, NEVER, 2), WRITE(1, NEVER, 3), DELETE(2, 3, 1), DELETE(4, 5, 1)}},
    {"unknown cas in a chain",
     GOOD,
     {WRITE(1, 2, 1), CAS(3, NEVER, 1, 2, 0), CAS(3, NEVER, 2, 3, 0), READ(4, 5, 3)}},
    {"unknown cas chain broken",
     BAD,
     {WRITE(1, 2, 1), CAS(3, NEVER, 1, 2, 0), CAS(3, NEVER, 4, 3, 0), READ(4, 5, 3)}},
    {"unknown delete", GOOD, {WRITE(1, 2, 1), DELETE(3, NEVER, 0), READ(4, 5, 1), READ(6, 7, NIL)}},
    {"unknown delete undone",
     BAD,
     {WRITE(1, 2, 1), DELETE(3, NEVER, 0), READ(4, 5, NIL), READ(6, 7, 1)}},
};

static void test_known(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        size_t count = 0;
        while (count < ARRAY_SIZE(known[i].ops) && known[i].ops[count].call != 0)
            count++;
        if (judge(known[i].ops, count) != known[i].verdict)
            fail_msg("%s: expected %d", known[i].what, known[i].verdict);
    }
}

static void test_keys_are_apart(void **state)
{
    struct linear_op ops[] = {WRITE(1, 2, 1), READ(3, 4, NIL)};
    assert_int_equal(judge(ops, 2), LINEAR_VIOLATION);
    ops[1].key = 9;
    assert_int_equal(judge(ops, 2), LINEAR_OK);
}

static void test_refuses_nonsense(void **state)
{
    static const struct linear_op bad[] = {
        READ(2, 1, 1),
        READ(NEVER, NEVER, 1),
        READ(1, 2, LINEAR_VALUE_MAX + 1),
        WRITE(1, 2, NIL),
        WRITE(1, NEVER, -LINEAR_VALUE_MAX - 1),
        DELETE(1, 2, 2),
        CAS(1, 2, 1, 2, -1),
        CAS(1, 2, 1, NIL, 1),
        INCR(1, 2, LINEAR_DELTA_MAX + 1, 1),
        INCR(1, 2, 1, NIL),
        OP(LINEAR_KINDS, 1, 2, 0, 0, 0),
    };
    struct linear_result result = {.keys = 77};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(linear_check(&bad[i], 1, &limits, NULL, &result), ST_INVALID);
    assert_int_equal(result.keys, 77);
}

/* --- a register that is right --- */

struct shape {
    size_t count;
    unsigned clients, keys, values; /* values: 0 for one of its own per write */
    unsigned unknown_per_mille, kinds;
    unsigned deltas;
};

#define ALL_KINDS ((1u << LINEAR_KINDS) - 1)
#define NO_INCR   (ALL_KINDS & ~(1u << LINEAR_INCR))

struct event {
    uint64_t at;
    size_t op;
};

static int compare_events(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->op < y->op ? -1 : 1;
}

static uint8_t pick_kind(struct prng *prng, unsigned kinds)
{
    uint8_t kind;
    do
        kind = (uint8_t)prng_below(prng, LINEAR_KINDS);
    while (!(kinds & 1u << kind));
    return kind;
}

/* Clients call one after another; every operation happens at a random moment between its call and
 * its return, an unknown one later than its call or never. Numbers of values are drawn from what a
 * client could have seen, so that cas often fits. */
static void generate(struct prng *prng, const struct shape *shape, struct linear_op *ops)
{
    uint64_t *free_at = mem_zalloc(shape->clients * sizeof(*free_at));
    struct event *events = mem_zalloc(shape->count * sizeof(*events));
    for (size_t i = 0; i < shape->count; i++) {
        uint32_t client = (uint32_t)(i % shape->clients);
        struct linear_op *op = &ops[i];
        *op = (struct linear_op){.key = prng_below(prng, shape->keys),
                                 .client = client,
                                 .kind = pick_kind(prng, shape->kinds)};
        op->call = free_at[client] + 1 + prng_below(prng, 20);
        op->ret = op->call + 1 + prng_below(prng, prng_below(prng, 10) == 0 ? 200 : 30);
        uint64_t span = op->ret - op->call + 1;
        free_at[client] = op->ret;
        if (prng_below(prng, 1000) < shape->unknown_per_mille) {
            op->ret = NEVER;
            span = prng_below(prng, 2) ? 1000 : 30;
        }
        events[i] = (struct event){.at = op->call + prng_below(prng, span), .op = i};
        if (op->ret == NEVER && prng_below(prng, 3) == 0)
            events[i].at = NEVER;
    }
    qsort(events, shape->count, sizeof(*events), compare_events);
    int64_t *states = mem_alloc(shape->keys * sizeof(*states));
    for (size_t i = 0; i < shape->keys; i++)
        states[i] = NIL;
    for (size_t i = 0; i < shape->count; i++) {
        struct linear_op *op = &ops[events[i].op];
        int64_t *value = &states[op->key];
        op->arg =
            shape->values ? (int64_t)prng_below(prng, shape->values) : 1000 + (int64_t)events[i].op;
        op->expected =
            prng_below(prng, 3) ? *value
            : prng_below(prng, 4)
                ? (shape->values ? (int64_t)prng_below(prng, shape->values) : op->arg - 20)
                : NIL;
        if (op->kind == LINEAR_INCR)
            op->arg = 1 + (int64_t)prng_below(prng, shape->deltas);
        if (op->kind == LINEAR_READ)
            op->result = *value;
        else if (op->kind == LINEAR_DELETE)
            op->result = *value != NIL;
        else if (op->kind == LINEAR_CAS)
            op->result = *value == op->expected;
        else if (op->kind == LINEAR_INCR)
            op->result = (*value == NIL ? 0 : *value) + op->arg;
        if (events[i].at != NEVER)
            *value = linear_effect(op, *value);
    }
    free(states);
    free(events);
    free(free_at);
}

/* Changes one thing, so that the history may be wrong now. */
static void mutate(struct prng *prng, struct linear_op *ops, size_t count)
{
    struct linear_op *op = &ops[prng_below(prng, count)];
    const struct linear_op *other = &ops[prng_below(prng, count)];
    switch (prng_below(prng, 4)) {
    case 0:
        if (op->kind == LINEAR_DELETE || op->kind == LINEAR_CAS)
            op->result = !op->result;
        else if (other->kind == LINEAR_WRITE || op->result == NIL)
            op->result = other->arg;
        else
            op->result--;
        break;
    case 1:
        op->ret = op->ret == NEVER ? NEVER : op->call + (op->ret - op->call) / 4;
        break;
    case 2:
        op->ret = op->ret == NEVER ? NEVER : op->ret + 40;
        op->call += op->ret == NEVER ? 0 : 40;
        break;
    default:
        op->call += op->ret == NEVER ? 50 : 0;
        break;
    }
}

/* --- a checker too simple to be wrong --- */

static bool brute_force(const struct linear_op *ops, size_t count, unsigned done, int64_t state)
{
    bool complete = true;
    for (size_t i = 0; i < count; i++)
        complete &= (done >> i & 1) || ops[i].ret == NEVER;
    if (complete)
        return true;
    for (size_t i = 0; i < count; i++) {
        bool next = !(done >> i & 1);
        for (size_t j = 0; j < count && next; j++)
            next = (done >> j & 1) || ops[j].ret >= ops[i].call;
        if (!next || (ops[i].ret != NEVER && !linear_legal(&ops[i], state)))
            continue;
        if (brute_force(ops, count, done | 1u << i, linear_effect(&ops[i], state)))
            return true;
    }
    return false;
}

static void compare_with_brute_force(const struct shape *shape, uint64_t seed, unsigned rounds,
                                     unsigned *good, unsigned *bad)
{
    struct prng prng = prng_make(seed);
    struct linear_op ops[16];
    CHECK(shape->count <= ARRAY_SIZE(ops) && shape->keys == 1);
    for (unsigned round = 0; round < rounds; round++) {
        generate(&prng, shape, ops);
        assert_int_equal(judge(ops, shape->count), LINEAR_OK);
        for (uint64_t left = prng_below(&prng, 8); left > 0; left--)
            mutate(&prng, ops, shape->count);
        bool expected = brute_force(ops, shape->count, 0, NIL);
        *(expected ? good : bad) += 1;
        if (judge(ops, shape->count) != (expected ? LINEAR_OK : LINEAR_VIOLATION))
            fail_msg("seed %lu round %u: brute force says %d", (unsigned long)seed, round,
                     expected);
    }
}

static void test_agrees_with_brute_force(void **state)
{
    static const struct shape shapes[] = {
        {.count = 6, .clients = 3, .values = 0, .unknown_per_mille = 200, .kinds = NO_INCR},
        {.count = 7, .clients = 3, .values = 2, .unknown_per_mille = 300, .kinds = NO_INCR},
        {.count = 7, .clients = 4, .values = 3, .unknown_per_mille = 500, .kinds = NO_INCR},
        {.count = 7,
         .clients = 4,
         .values = 3,
         .unknown_per_mille = 500,
         .kinds = ALL_KINDS,
         .deltas = 3},
        {.count = 7,
         .clients = 3,
         .values = 4,
         .unknown_per_mille = 300,
         .kinds = ALL_KINDS,
         .deltas = 2},
        {.count = 7,
         .clients = 4,
         .unknown_per_mille = 500,
         .kinds = 1u << LINEAR_INCR | 1u << LINEAR_READ,
         .deltas = 2},
        {.count = 7,
         .clients = 4,
         .unknown_per_mille = 500,
         .kinds = 1u << LINEAR_WRITE | 1u << LINEAR_DELETE},
        {.count = 8, .clients = 7, .values = 3, .unknown_per_mille = 100, .kinds = NO_INCR},
        {.count = 8, .clients = 7, .values = 0, .unknown_per_mille = 400, .kinds = NO_INCR},
    };
    unsigned good = 0, bad = 0;
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        struct shape shape = shapes[i];
        shape.keys = 1;
        compare_with_brute_force(&shape, 1 + i, 3000, &good, &bad);
    }
    assert_true(good > 5000);
    assert_true(bad > 5000);
}

/* --- size and time --- */

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void check_big(const char *what, const struct shape *shape, uint64_t seed)
{
    struct prng prng = prng_make(seed);
    struct linear_op *ops = mem_alloc(shape->count * sizeof(*ops));
    struct linear_result result;
    generate(&prng, shape, ops);
    double start = seconds_now();
    assert_int_equal(linear_check(ops, shape->count, &limits, NULL, &result), 0);
    print_message("%s: %zu operations, %zu keys, %lu steps, %.3f s\n", what, shape->count,
                  result.keys, (unsigned long)result.steps, seconds_now() - start);
    assert_int_equal(result.verdict, LINEAR_OK);
    assert_true(result.steps < 5000000);

    /* A read of a value that was overwritten long ago, in the middle. */
    size_t at = shape->count / 2, old = shape->count / 4;
    while (ops[at].ret == NEVER || ops[at].kind != LINEAR_READ)
        at++;
    while (ops[old].key != ops[at].key || ops[old].ret == NEVER || ops[old].kind == LINEAR_READ)
        old++;
    assert_true(old < at);
    ops[at].result = ops[old].kind == LINEAR_INCR ? ops[old].result : ops[old].arg;
    start = seconds_now();
    assert_int_equal(linear_check(ops, shape->count, &limits, NULL, &result), 0);
    print_message("%s, one stale read: verdict %d, %lu steps, %.3f s\n", what, result.verdict,
                  (unsigned long)result.steps, seconds_now() - start);
    assert_int_equal(result.verdict, LINEAR_VIOLATION);
    assert_true(result.steps < 5000000);
    free(ops);
}

static void test_big(void **state)
{
    struct shape shape = {
        .count = 20000, .clients = 20, .keys = 100, .kinds = NO_INCR, .unknown_per_mille = 20};
    check_big("as simulated", &shape, 1);
    shape.unknown_per_mille = 0;
    check_big("nothing unknown", &shape, 2);
    shape.keys = 50;
    shape.unknown_per_mille = 600;
    check_big("most unknown", &shape, 3);
    shape.keys = 1;
    shape.unknown_per_mille = 30;
    check_big("one key", &shape, 4);
    shape.unknown_per_mille = 500;
    shape.count = 2000;
    check_big("one key, half unknown", &shape, 4);
    shape.count = 20000;
    shape.kinds = 1u << LINEAR_INCR | 1u << LINEAR_READ;
    shape.deltas = 1;
    shape.keys = 50;
    shape.unknown_per_mille = 500;
    check_big("increments", &shape, 5);
    shape.kinds = 1u << LINEAR_WRITE | 1u << LINEAR_READ;
    shape.unknown_per_mille = 100;
    check_big("writes and reads", &shape, 6);
}

/* --- limits --- */

/* Hard on purpose: values that come again and again, all operations of a key concurrent, and a read
 * at the end that can't be. */
static void make_hard(struct linear_op *ops, size_t count)
{
    struct prng prng = prng_make(1);
    for (size_t i = 0; i < count; i++)
        ops[i] = (struct linear_op){.key = 3,
                                    .client = (uint32_t)i,
                                    .call = 1 + i,
                                    .ret = 1000,
                                    .kind = LINEAR_INCR,
                                    .arg = 1 + (int64_t)prng_below(&prng, 1000),
                                    .result = (int64_t)(100000 + i)};
    for (size_t i = 0; i + 1 < count; i++)
        ops[i].ret = NEVER;
    ops[count - 1].arg = -3;
}

static void test_limits(void **state)
{
    struct linear_op ops[200];
    struct linear_result result;
    make_hard(ops, 200);
    struct linear_limits few_steps = {
        .cache_entries_max = 1000, .cache_bytes_max = 1 << 20, .steps_max = 100000};
    BUFFER_AUTO struct buffer report = {0};
    assert_int_equal(linear_check(ops, 200, &few_steps, &report, &result), 0);
    assert_int_equal(result.verdict, LINEAR_UNKNOWN);
    assert_int_equal(result.key, 3);
    assert_int_equal(result.keys_unknown, 1);
    assert_true(result.steps <= 2 * few_steps.steps_max);
    assert_int_equal(report.len, 0);

    /* A limit never turns a violation of another key into a pass, nor into an unknown. */
    struct linear_op two[202];
    memcpy(two, ops, sizeof(ops));
    two[200] = (struct linear_op){.key = 9, .call = 1, .ret = 2, .kind = LINEAR_READ, .result = 5};
    assert_int_equal(linear_check(two, 201, &few_steps, NULL, &result), 0);
    assert_int_equal(result.verdict, LINEAR_VIOLATION);
    assert_int_equal(result.key, 9);
}

static void test_cache_limits(void **state)
{
    struct shape shape = {.count = 2000, .clients = 10, .keys = 1, .kinds = NO_INCR, .values = 5};
    struct linear_op *ops = mem_alloc(shape.count * sizeof(*ops));
    struct prng prng = prng_make(1);
    generate(&prng, &shape, ops);
    struct linear_result result;
    struct linear_limits small = limits;
    assert_int_equal(linear_check(ops, shape.count, &small, NULL, &result), 0);
    assert_int_equal(result.verdict, LINEAR_OK);
    small.cache_entries_max = 500;
    assert_int_equal(linear_check(ops, shape.count, &small, NULL, &result), 0);
    assert_int_equal(result.verdict, LINEAR_UNKNOWN);
    small = limits;
    small.cache_bytes_max = 5000;
    assert_int_equal(linear_check(ops, shape.count, &small, NULL, &result), 0);
    assert_int_equal(result.verdict, LINEAR_UNKNOWN);
    free(ops);
}

static void test_seen(void **state)
{
    struct linear_seen *seen = linear_seen_create(1000, 9000);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 700; i++) {
            assert_int_equal(linear_seen_add(seen, slice_make(&i, 8)), 0);
            assert_int_equal(linear_seen_add(seen, slice_make(&i, 8)), ST_EXISTS);
        }
        assert_int_equal(linear_seen_count(seen), 700);
        uint64_t big[100] = {0};
        assert_int_equal(linear_seen_add(seen, slice_make(big, sizeof(big))), ST_LIMIT);
        for (uint8_t i = 0; i < 100; i++)
            assert_int_equal(linear_seen_add(seen, slice_make(&i, 1)), i < 100 ? 0 : ST_LIMIT);
        linear_seen_clear(seen);
        assert_int_equal(linear_seen_count(seen), 0);
    }
    linear_seen_free(seen);
    seen = linear_seen_create(2, 9000);
    assert_int_equal(linear_seen_add(seen, slice_str("a")), 0);
    assert_int_equal(linear_seen_add(seen, slice_str("b")), 0);
    assert_int_equal(linear_seen_add(seen, slice_str("c")), ST_LIMIT);
    assert_int_equal(linear_seen_add(seen, slice_str("a")), ST_EXISTS);
    linear_seen_free(seen);
}

/* --- what is said --- */

static void test_report(void **state)
{
    struct linear_op ops[] = {
        WRITE(1, 2, 1),       READ(9, 10, 2),  WRITE(3, 4, 2),   CAS(11, 13, 2, 5, 1),
        CAS(12, 14, 2, 6, 1), READ(20, 21, 1), WRITE(30, 31, 7),
    };
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
        ops[i].key = 42;
    ops[4].client = 3;
    BUFFER_AUTO struct buffer report = {0};
    struct linear_result result;
    assert_int_equal(linear_check(ops, ARRAY_SIZE(ops), &limits, &report, &result), 0);
    assert_int_equal(result.verdict, LINEAR_VIOLATION);
    buffer_append_u8(&report, 0);
    assert_string_equal(
        (char *)report.data,
        "key 42 is not linearizable\n"
        "shortest failing prefix: to the return at 14, 5 operations of 7, 5 returned:\n"
        "  #1     client 0     call 1            return 2            write 1 -> ok\n"
        "  #2     client 0     call 3            return 4            write 2 -> ok\n"
        "  #3     client 0     call 9            return 10           read -> 2\n"
        "  #4     client 0     call 11           return 13           cas 2 5 -> ok\n"
        "  #5     client 3     call 12           return 14           cas 2 6 -> ok    <- "
        "impossible\n"
        "longest linearization found, 4 operations:\n"
        "  #1     client 0     call 1            return 2            write 1 -> ok    state 1\n"
        "  #2     client 0     call 3            return 4            write 2 -> ok    state 2\n"
        "  #3     client 0     call 9            return 10           read -> 2    state 2\n"
        "  #4     client 0     call 11           return 13           cas 2 5 -> ok    state 5\n"
        "which leaves:\n"
        "  #5     client 3     call 12           return 14           cas 2 6 -> ok\n");
}

/* The history as it was known at a moment. */
static size_t prefix(const struct linear_op *ops, size_t count, uint64_t until,
                     struct linear_op *to)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].call > until)
            continue;
        to[n] = ops[i];
        if (to[n].ret > until)
            to[n].ret = NEVER;
        n++;
    }
    return n;
}

static uint64_t reported_moment(const struct linear_op *ops, size_t count)
{
    BUFFER_AUTO struct buffer report = {0};
    struct linear_result result;
    assert_int_equal(linear_check(ops, count, &limits, &report, &result), 0);
    assert_int_equal(result.verdict, LINEAR_VIOLATION);
    buffer_append_u8(&report, 0);
    const char *at = strstr((char *)report.data, "to the return at ");
    assert_non_null(at);
    return strtoull(at + strlen("to the return at "), NULL, 10);
}

static int compare_calls(const void *a, const void *b)
{
    const struct linear_op *x = a, *y = b;
    return x->call < y->call ? -1 : x->call > y->call;
}

/* What was reached is a linearization of what it holds: legal, in an order that could be. */
static void check_best(const struct linear_op *ops, size_t count, uint64_t until)
{
    struct linear_search *s = linear_search_create(&limits);
    const struct linear_op *list[64];
    const uint32_t *path;
    for (size_t i = 0; i < count; i++)
        list[i] = &ops[i];
    assert_int_equal(linear_search_run(s, list, count, until), LINEAR_VIOLATION);
    size_t len = linear_search_best(s, &path);
    int64_t value = NIL;
    uint64_t placed = 0;
    for (size_t i = 0; i < len; i++) {
        const struct linear_op *op = &ops[path[i]];
        assert_false(placed >> path[i] & 1);
        assert_true(op->ret > until || linear_legal(op, value));
        for (size_t j = 0; j < count; j++)
            assert_true((placed >> j & 1) || ops[j].ret > until || ops[j].ret >= op->call);
        value = linear_effect(op, value);
        placed |= (uint64_t)1 << path[i];
    }
    linear_search_free(s);
}

static void test_report_is_true(void **state)
{
    struct shape shape = {
        .count = 40, .clients = 5, .keys = 1, .kinds = NO_INCR, .unknown_per_mille = 100};
    struct prng prng = prng_make(7);
    struct linear_op ops[64], part[64];
    unsigned bad = 0;
    for (unsigned round = 0; round < 2000; round++) {
        shape.values = round % 2 ? 4 : 0;
        generate(&prng, &shape, ops);
        for (int i = 0; i < 3; i++)
            mutate(&prng, ops, shape.count);
        if (judge(ops, shape.count) == LINEAR_OK)
            continue;
        qsort(ops, shape.count, sizeof(*ops), compare_calls);
        uint64_t until = reported_moment(ops, shape.count);
        assert_int_equal(judge(part, prefix(ops, shape.count, until, part)), LINEAR_VIOLATION);
        assert_int_equal(judge(part, prefix(ops, shape.count, until - 1, part)), LINEAR_OK);
        check_best(ops, shape.count, until);
        bad++;
    }
    assert_true(bad > 500);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_known),
    cmocka_unit_test(test_keys_are_apart),
    cmocka_unit_test(test_refuses_nonsense),
    cmocka_unit_test(test_agrees_with_brute_force),
    cmocka_unit_test(test_big),
    cmocka_unit_test(test_limits),
    cmocka_unit_test(test_cache_limits),
    cmocka_unit_test(test_seen),
    cmocka_unit_test(test_report),
    cmocka_unit_test(test_report_is_true),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
