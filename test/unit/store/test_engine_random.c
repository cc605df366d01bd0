/* The engine against a plain model: random operations, background work at random moments, tiers
 * that fail, crashes at every kind of moment; see support/engine_world.h. And that such a world
 * notices flaws when some are planted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/engine_private.h"
#include "support/engine_world.h"
#include "support/temp_dir.h"

#ifdef TORC_SANITIZED
#define SEEDS 12 /* each takes ten times as long */
#else
#define SEEDS 40
#endif

/* One seed, or some more: TORC_TEST_SEED=n, TORC_TEST_SEEDS=n. */
static uint64_t setting(const char *name, uint64_t normal)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : normal;
}

static void add(struct engine_world_result *sum, const struct engine_world_result *r)
{
    sum->gets += r->gets;
    sum->fetches += r->fetches;
    sum->scans += r->scans;
    sum->counts += r->counts;
    sum->counts_in_background += r->counts_in_background;
    sum->drops += r->drops;
    sum->crashes += r->crashes;
    sum->flushes += r->flushes;
    sum->cancelled += r->cancelled;
    sum->evictions += r->evictions;
    sum->inline_reads += r->inline_reads;
}

static struct engine_world_result run_seeds(struct engine_world_options o, uint64_t seeds)
{
    struct engine_world_result sum = {0}, r;
    uint64_t first = setting("TORC_TEST_SEED", 1);
    uint64_t count = getenv("TORC_TEST_SEED") != NULL ? 1 : setting("TORC_TEST_SEEDS", seeds);
    for (o.seed = first; o.seed < first + count; o.seed++) {
        engine_world_run(&o, &r);
        if (r.failed)
            fail_msg("%s", r.why);
        add(&sum, &r);
    }
    return sum;
}

static void test_memory_only(void **state)
{
    run_seeds((struct engine_world_options){.steps = 3000, .memory_only = true}, SEEDS);
}

static void test_tier(void **state)
{
    run_seeds((struct engine_world_options){.steps = 4000}, SEEDS);
}

/* Also that the worlds go where they should: a test of nothing would pass too. */
static void test_crashes_and_failures(void **state)
{
    struct engine_world_options o = {.steps = 4000, .crashes = true, .failures = true};
    struct engine_world_result sum = run_seeds(o, SEEDS);
    print_message("gets %llu fetches %llu inline %llu scans %llu counts %llu (%llu in background) "
                  "drops %llu crashes %llu flushes %llu cancelled fills %llu evictions %llu\n",
                  (unsigned long long)sum.gets, (unsigned long long)sum.fetches,
                  (unsigned long long)sum.inline_reads, (unsigned long long)sum.scans,
                  (unsigned long long)sum.counts, (unsigned long long)sum.counts_in_background,
                  (unsigned long long)sum.drops, (unsigned long long)sum.crashes,
                  (unsigned long long)sum.flushes, (unsigned long long)sum.cancelled,
                  (unsigned long long)sum.evictions);
    if (getenv("TORC_TEST_SEED") != NULL)
        return;
    assert_true(sum.fetches > 0);
    assert_true(sum.inline_reads > 0);
    assert_true(sum.counts_in_background > 0);
    assert_true(sum.crashes > 0);
    assert_true(sum.flushes > 0);
    assert_true(sum.cancelled > 0);
    assert_true(sum.evictions > 0);
}

static void test_rocks(void **state)
{
    char dir[64], path[96];
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct engine_world_result r;
        temp_dir_make(dir);
        snprintf(path, sizeof(path), "%s/cold", dir);
        struct engine_world_options o = {
            .seed = seed, .steps = 3000, .crashes = true, .rocks = path};
        engine_world_run(&o, &r);
        temp_dir_remove(dir);
        if (r.failed)
            fail_msg("%s", r.why);
    }
}

static void test_planted_flaws_are_found(void **state)
{
    static const struct {
        const char *name;
        unsigned flaw;
    } FLAWS[] = {
        {"fill unchecked", ENGINE_FLAW_FILL_UNCHECKED},
        {"late watermark", ENGINE_FLAW_LATE_WATERMARK},
        {"early truncation", ENGINE_FLAW_EARLY_LSN},
        {"late snapshot", ENGINE_FLAW_LATE_SNAPSHOT},
        {"blind count", ENGINE_FLAW_COUNT_BLIND},
    };
    for (size_t i = 0; i < ARRAY_SIZE(FLAWS); i++) {
        struct engine_world_result r = {0};
        struct engine_world_options o = {
            .steps = 4000, .crashes = true, .flaws = FLAWS[i].flaw, .seed = 1};
        for (; o.seed <= SEEDS && !r.failed; o.seed++)
            engine_world_run(&o, &r);
        print_message("%s: %s\n", FLAWS[i].name, r.failed ? r.why : "not found");
        assert_true(r.failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_only),
        cmocka_unit_test(test_tier),
        cmocka_unit_test(test_crashes_and_failures),
        cmocka_unit_test(test_rocks),
        cmocka_unit_test(test_planted_flaws_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
