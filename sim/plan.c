/* The plan of faults: drawn, never changed. */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"
#include "sim/faults.h"

#define KINDS_MIN    3
#define HOUR_US      (UINT64_C(3600) * 1000000)
#define LOSS_MAX     300 /* per mille */
#define DOUBLE_MAX   500
#define REORDER_MAX  500
#define DOWN_MEAN_US 1000000
#define STORM_LIVES  5
#define DAMAGE_KINDS \
    (UINT64_C(1) << FAULT_rot | UINT64_C(1) << FAULT_wipe | UINT64_C(1) << FAULT_restore_copy)

static const struct {
    const char *name, *text;
} kinds[FAULT_KINDS] = {
#define X(kind, what) [FAULT_##kind] = {#kind, what},
    FAULTS_TABLE(X)
#undef X
};

const char *fault_name(enum fault_kind kind)
{
    return kinds[kind].name;
}

const char *fault_text(enum fault_kind kind)
{
    return kinds[kind].text;
}

static bool coin(struct prng *random)
{
    return prng_below(random, 2) == 0;
}

/* Mostly small, sometimes up to max: of a product of two uniform numbers. */
static uint64_t small(struct prng *random, uint64_t max)
{
    uint64_t a = prng_below(random, max + 1);
    return a * prng_below(random, 1001) / 1000;
}

static uint64_t draw_kinds(struct prng *random, uint64_t allowed)
{
    uint64_t set = 0;
    while (__builtin_popcountll(set) < KINDS_MIN)
        set = prng_u64(random) & allowed;
    return set;
}

static enum fault_kind draw_kind(struct prng *random, uint64_t set)
{
    uint64_t n = prng_below(random, (uint64_t)__builtin_popcountll(set));
    while (n-- > 0)
        set &= set - 1;
    return (enum fault_kind)__builtin_ctzll(set);
}

/* At least one process in it, and not all. */
static uint64_t draw_side(struct prng *random, unsigned processes)
{
    uint64_t all = (UINT64_C(1) << processes) - 1, mask;
    do {
        mask = prng_u64(random) & all;
    } while (processes > 1 && (mask == 0 || mask == all));
    return mask;
}

/* What each kind means by its numbers stands in sim/faults.c. */
static void draw_numbers(struct prng *random, struct fault *f)
{
    f->for_us = 10000 + net_exponential(random, DOWN_MEAN_US);
    switch (f->kind) {
    case FAULT_crash_in_write:
        f->amount = prng_below(random, 12);
        break;
    case FAULT_slow:
        f->amount = 1000 + net_exponential(random, 30000);
        break;
    case FAULT_storm:
        f->amount = 2 + prng_below(random, STORM_LIVES);
        f->for_us = 1000 + net_exponential(random, 50000);
        break;
    case FAULT_loss:
        f->amount = 50 + prng_below(random, LOSS_MAX - 50 + 1);
        break;
    case FAULT_doubling:
        f->amount = 50 + prng_below(random, DOUBLE_MAX - 50 + 1);
        break;
    case FAULT_reordering:
        f->amount = 50 + prng_below(random, REORDER_MAX - 50 + 1);
        break;
    case FAULT_delay:
        f->amount = 20000 + prng_below(random, 180000);
        break;
    case FAULT_clock_forward:
    case FAULT_clock_back:
        f->amount = coin(random) ? 1 + prng_below(random, HOUR_US) : prng_below(random, 2000000);
        break;
    case FAULT_drift:
        f->amount = prng_below(random, 2 * SIM_CLOCK_DRIFT_PPM_MAX + 1);
        break;
    case FAULT_restore_copy:
        f->amount = 100000 + net_exponential(random, 8000000); /* the copy's age */
        break;
    default:
        break;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct fault *x = a, *y = b;
    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

struct plan *plan_draw(const struct world *w, unsigned processes, uint64_t faulty_us, bool damage)
{
    CHECK(processes >= 1 && processes < 64);
    CHECK(faulty_us > WORKLOAD_QUIET_US);
    struct prng random = world_prng(w, "faults", 0);
    struct plan *plan = mem_zalloc(sizeof(*plan));
    uint64_t allowed = (UINT64_C(1) << FAULT_KINDS) - 1;
    if (!damage)
        allowed &= ~DAMAGE_KINDS;
    plan->drift_ppm_max = coin(&random) ? 0 : (int64_t)small(&random, SIM_CLOCK_DRIFT_PPM_MAX);
    plan->kinds = draw_kinds(&random, allowed);
    plan->all_return = coin(&random);
    plan->count = FAULTS_MIN + prng_below(&random, FAULTS_MAX - FAULTS_MIN + 1);
    plan->faults = mem_zalloc(plan->count * sizeof(*plan->faults));
    for (size_t i = 0; i < plan->count; i++) {
        struct fault *f = &plan->faults[i];
        f->at_us = WORKLOAD_QUIET_US + prng_below(&random, faulty_us - WORKLOAD_QUIET_US);
        f->kind = draw_kind(&random, plan->kinds);
        f->target = (unsigned)prng_below(&random, processes);
        f->mask = draw_side(&random, processes);
        f->extra = prng_u64(&random);
        draw_numbers(&random, f);
    }
    qsort(plan->faults, plan->count, sizeof(*plan->faults), by_time);
    return plan;
}

void plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    free(plan->faults);
    free(plan);
}

void plan_print_fault(const struct plan *plan, size_t i, struct buffer *out)
{
    const struct fault *f = &plan->faults[i];
    buffer_printf(out,
                  "%zu: t=%" PRIu64 ".%03" PRIu64 " %s node=%u mask=%#" PRIx64 " for_ms=%" PRIu64
                  " amount=%" PRIu64,
                  i, f->at_us / 1000000, f->at_us / 1000 % 1000, fault_name(f->kind), f->target + 1,
                  f->mask, f->for_us / 1000, f->amount);
}
