#include "sim/run.h"

#include <stdio.h>

#include "base/logger.h"

#define POLL_US     100000
#define HEAL_MAX_US (UINT64_C(3600) * 1000000) /* a workload without a deadline of its own */

/* What the cores log goes into the trace, where there is one. */
static void log_line(void *ctx, enum log_level level, const char *line, size_t len)
{
    world_note(ctx, 0, "log %s %.*s", log_level_name(level), (int)(len > 0 ? len - 1 : 0), line);
}

static uint64_t log_clock_ms(void *ctx)
{
    return world_now_us(ctx) / 1000;
}

static void no_line(void *ctx, enum log_level level, const char *line, size_t len)
{
}

static void phases(const struct run_options *o, struct world *w, struct faults *f, void *run,
                   uint64_t faulty_us)
{
    const struct workload *workload = o->workload;
    if (!world_run_until(w, faulty_us))
        return;
    faults_heal(f);
    workload->heal(run);
    uint64_t end_us = world_now_us(w) + HEAL_MAX_US;
    while (world_failed(w) == NULL && !workload->finished(run)) {
        if (world_now_us(w) >= end_us)
            world_fail(w, "endless", "the healing phase does not end");
        world_run_until(w, world_now_us(w) + POLL_US);
    }
}

static void result_fill(const struct world *w, const struct plan *plan, const struct faults *f,
                        struct run_result *r)
{
    size_t marks;
    const struct world_mark *mark = world_marks(w, &marks);
    r->marks_count = (uint32_t)marks;
    for (size_t i = 0; i < marks; i++)
        r->marks[i] = mark[i];
    r->virtual_us = world_now_us(w);
    r->events = world_events(w);
    r->kinds = plan->kinds;
    r->planned = (uint32_t)plan->count;
    r->faults = *faults_counts(f);
    for (int i = 0; i < FAULT_KINDS; i++)
        r->fired += r->faults.fired[i];
}

struct plan *run_seed_plan(const struct run_options *o, struct run_result *ret_result)
{
    struct run_result r = {.seed = o->seed};
    struct world *w = world_new(o->seed);
    struct net *net;
    struct process **processes;
    unsigned count;
    world_set_sink(w, o->line, o->line_ctx);
    logger_set_clock(log_clock_ms, w);
    logger_set_sink(o->line != NULL ? log_line : no_line, w);
    void *run = o->workload->create(w, &net, &processes, &count);
    uint64_t faulty_us = o->workload->faulty_us(run);
    struct plan *plan = plan_draw(w, count, faulty_us, o->workload->may_damage != NULL);
    struct faults *f = faults_begin(w, plan, o->chosen, o->workload, run, net, processes, count);
    phases(o, w, f, run, faulty_us);
    result_fill(w, plan, f, &r);
    faults_free(f);
    o->workload->end(run, &r.counts);
    r.hash = world_hash(w);
    r.failed = world_failed(w) != NULL;
    if (r.failed) {
        snprintf(r.checker, sizeof(r.checker), "%s", world_failed(w));
        snprintf(r.message, sizeof(r.message), "%s", world_failure(w));
    }
    logger_set_sink(NULL, NULL);
    logger_set_clock(NULL, NULL);
    world_free(w);
    *ret_result = r;
    return plan;
}

void run_seed(const struct run_options *options, struct run_result *ret_result)
{
    plan_free(run_seed_plan(options, ret_result));
}
