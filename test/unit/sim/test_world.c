#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "sim/clock.h"
#include "sim/net.h"
#include "sim/world.h"

struct ticker {
    struct world_event event;
    struct world *world;
    unsigned id;
    char *out;
};

static void tick(struct world_event *event)
{
    struct ticker *t = container_of(event, struct ticker, event);
    t->out[strlen(t->out)] = (char)('a' + t->id);
}

static void test_events_in_order(void **state)
{
    char out[16] = "";
    struct world *w = world_new(1);
    struct ticker t[5];
    const uint64_t at_us[] = {30, 10, 20, 10, 20};
    for (unsigned i = 0; i < 5; i++) {
        t[i] = (struct ticker){.event = {.fire = tick}, .world = w, .id = i, .out = out};
        world_at(w, &t[i].event, at_us[i]);
    }
    world_cancel(w, &t[4].event);
    assert_true(world_run_until(w, 20));
    assert_string_equal(out, "bdc");
    assert_int_equal(world_now_us(w), 20);
    world_at(w, &t[1].event, 5); /* the past is now */
    world_run_until(w, 100);
    assert_string_equal(out, "bdcba");
    world_free(w);
}

static void test_failure_stops_it(void **state)
{
    char out[16] = "";
    struct world *w = world_new(1);
    struct ticker t = {.event = {.fire = tick}, .world = w, .out = out};
    world_at(w, &t.event, 10);
    world_fail(w, "first", "%d", 7);
    world_fail(w, "second", "%d", 8);
    assert_false(world_run_until(w, 100));
    assert_string_equal(out, "");
    assert_string_equal(world_failed(w), "first");
    assert_string_equal(world_failure(w), "7");
    world_free(w);
}

static void take_line(void *ctx, const char *text)
{
    strncat(ctx, text, 200);
}

static void test_trace(void **state)
{
    char text[256] = "";
    struct world *w = world_new(1), *same = world_new(1);
    world_set_sink(w, take_line, text);
    world_run_until(w, 12345678);
    world_run_until(same, 12345678);
    world_trace(w, 2, "deliver", {"from", 1}, {"bytes", 64});
    assert_string_equal(text, "t=12.345678 node=2 deliver from=1 bytes=64");
    world_trace(same, 2, "deliver", {"from", 1}, {"bytes", 64});
    assert_int_equal(world_hash(w), world_hash(same));
    assert_int_equal(world_hash(w),
                     UINT64_C(0x50f3547e4c123351)); /* on every machine, in every build */
    world_note(w, 0, "only printed");
    assert_int_equal(world_hash(w), world_hash(same));
    world_trace_bytes(w, slice_str("x"));
    world_trace_bytes(same, slice_str("y"));
    assert_int_not_equal(world_hash(w), world_hash(same));
    world_free(w);
    world_free(same);
}

static void test_concerns_are_independent(void **state)
{
    struct world *w = world_new(9);
    struct prng a = world_prng(w, "net", 0), b = world_prng(w, "disk", 0);
    struct prng c = world_prng(w, "net", 1), again = world_prng(w, "net", 0);
    uint64_t first = prng_u64(&a);
    assert_int_equal(first, prng_u64(&again));
    assert_int_not_equal(first, prng_u64(&b));
    assert_int_not_equal(first, prng_u64(&c));
    world_free(w);
}

/* --- clocks --- */

static void test_clocks(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng random = prng_make(seed);
        struct sim_clock c = sim_clock_make(&random, 0, SIM_CLOCK_DRIFT_PPM_MAX);
        uint64_t start_us = sim_clock_mono_us(&c, 0), wall_ms = sim_clock_wall_ms(&c, 0);
        uint64_t mono_us = sim_clock_mono_us(&c, 1000000) - start_us;
        assert_in_range(mono_us, 950000, 1050000);
        assert_in_range(sim_clock_wall_ms(&c, 1000000) - wall_ms, 949, 1051);
        /* A timer fires when it is due, and not a microsecond of the world's earlier. */
        uint64_t due_us = start_us + prng_below(&random, 10000000) + 1;
        uint64_t at_us = sim_clock_when_us(&c, 0, due_us);
        assert_true(sim_clock_mono_us(&c, at_us) >= due_us);
        assert_true(sim_clock_mono_us(&c, at_us - 1) < due_us);
        /* A new drift goes on from where it is. */
        uint64_t before_us = sim_clock_mono_us(&c, 5000000);
        sim_clock_drift(&c, 5000000, -50000, 50000);
        assert_int_equal(sim_clock_mono_us(&c, 5000000), before_us);
        assert_int_equal(sim_clock_mono_us(&c, 6000000), before_us + 950000);
    }
}

static void test_wall_steps(void **state)
{
    struct prng random = prng_make(1);
    struct sim_clock c = sim_clock_make(&random, 0, 0);
    uint64_t wall_ms = sim_clock_wall_ms(&c, 1000), mono_us = sim_clock_mono_us(&c, 1000);
    sim_clock_step(&c, 1000, -INT64_C(3600000000));
    assert_int_equal(sim_clock_wall_ms(&c, 1000), wall_ms - 3600000);
    assert_int_equal(sim_clock_mono_us(&c, 1000), mono_us);
    sim_clock_boot(&c, 1000);
    assert_true(sim_clock_mono_us(&c, 1000) <= mono_us);
}

/* --- network --- */

struct inbox {
    unsigned count, last, backwards;
    uint8_t seen[4000];
};

static void receive(void *ctx, unsigned from, struct slice bytes)
{
    struct inbox *in = ctx;
    unsigned number = (unsigned)(bytes.data[0] | bytes.data[1] << 8);
    in->backwards += number < in->last;
    in->last = number;
    in->seen[number]++;
    in->count++;
}

static struct net *net_with(struct world *w, struct inbox *in, unsigned loss, unsigned twice,
                            unsigned reorder)
{
    struct net_rates rates = {loss, twice, reorder, 100, 20000};
    struct net *n = net_new(w, 3, &rates);
    *in = (struct inbox){0};
    net_attach(n, 2, receive, in);
    return n;
}

static void send_some(struct world *w, struct net *n, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        uint8_t bytes[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        net_send(n, 1, 2, slice_make(bytes, 2));
        world_run_until(w, world_now_us(w) + 500);
    }
}

static void test_net_whole_keeps_order(void **state)
{
    struct inbox in;
    struct world *w = world_new(1);
    struct net *n = net_with(w, &in, 0, 0, 0);
    send_some(w, n, 0, 4000);
    world_run_until(w, 60000000);
    assert_int_equal(in.count, 4000);
    assert_int_equal(in.backwards, 0);
    net_free(n);
    world_free(w);
}

static void test_net_loses_doubles_reorders(void **state)
{
    struct inbox in;
    struct world *w = world_new(1);
    struct net *n = net_with(w, &in, 300, 0, 0);
    send_some(w, n, 0, 4000);
    world_run_until(w, 60000000);
    assert_in_range(in.count, 2600, 3000);
    net_free(n);
    n = net_with(w, &in, 0, 500, 0);
    send_some(w, n, 0, 4000);
    world_run_until(w, 120000000);
    assert_in_range(in.count, 5800, 6200);
    assert_int_equal(in.backwards, 0);
    net_free(n);
    n = net_with(w, &in, 0, 0, 200);
    send_some(w, n, 0, 4000);
    world_run_until(w, 180000000);
    assert_int_equal(in.count, 4000);
    assert_true(in.backwards > 200);
    net_free(n);
    world_free(w);
}

static void test_net_blocks_and_clogs(void **state)
{
    struct inbox in;
    struct world *w = world_new(1);
    struct net *n = net_with(w, &in, 0, 0, 0);
    net_block(n, 1, 2);
    net_block(n, 1, 2);
    send_some(w, n, 0, 10);
    net_unblock(n, 1, 2);
    assert_true(net_blocked(n, 1, 2));
    assert_false(net_blocked(n, 2, 1));
    send_some(w, n, 10, 20);
    net_unblock(n, 1, 2);
    world_run_until(w, 1000000);
    assert_int_equal(in.count, 0);
    net_clog(n, 1, 2, 3000000);
    send_some(w, n, 20, 30);
    world_run_until(w, 2999999);
    assert_int_equal(in.count, 0);
    world_run_until(w, 3500000);
    assert_int_equal(in.count, 10);
    assert_int_equal(in.backwards, 0);
    net_free(n);
    world_free(w);
}

static void test_exponential(void **state)
{
    struct prng random = prng_make(5);
    uint64_t sum = 0, above = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t us = net_exponential(&random, 1000);
        assert_true(us <= 20000);
        sum += us;
        above += us > 2303; /* a tenth, by ln 10 */
    }
    assert_in_range(sum / 100000, 950, 1100);
    assert_in_range(above, 9000, 11500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_in_order),
        cmocka_unit_test(test_failure_stops_it),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_concerns_are_independent),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_wall_steps),
        cmocka_unit_test(test_net_whole_keeps_order),
        cmocka_unit_test(test_net_loses_doubles_reorders),
        cmocka_unit_test(test_net_blocks_and_clogs),
        cmocka_unit_test(test_exponential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
