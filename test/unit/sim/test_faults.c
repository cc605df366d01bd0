/* The plan, and that each kind of fault does what its name says: on processes that only keep their
 * log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/status.h"
#include "sim/faults.h"

#define NODES     3
#define FAULTY_US (UINT64_C(30) * 1000000)

struct idle {
    struct world *world;
    struct net *net;
    struct process *processes[NODES];
    struct faults *faults;
    bool damaged[NODES];
    unsigned refused, births, protocols, lives;
    uint64_t birth[NODES];
};

static int idle_start(struct process *p)
{
    struct idle *idle = process_ctx(p);
    unsigned i = process_id(p) - 1;
    idle->births += idle->birth[i] != process_birth(p);
    idle->birth[i] = process_birth(p);
    idle->protocols += process_protocol(p) == 2;
    idle->lives++;
    process_set_user(p, mem_zalloc(sizeof(struct log_batch)));
    return 0;
}

static int idle_replay(struct process *p, const struct log_record *record)
{
    return 0;
}

static int idle_recovered(struct process *p, const struct log_recovery *report)
{
    return 0;
}

static void idle_turn_begin(struct process *p)
{
}

static void idle_message(struct process *p, unsigned from, struct slice bytes)
{
}

/* A record each turn, and the log never grows long. */
static bool idle_turn_end(struct process *p)
{
    struct log_batch *batch = process_user(p);
    struct env *env = process_env(p);
    uint64_t lsn;
    buffer_append_str(log_batch_begin(batch, LOG_WRITE, 0, 1, 0), "record of an idle process");
    assert_int_equal(log_batch_end(batch), 0);
    if (env->ops->log_room(env, 100) && env->ops->persist(env, batch, &lsn) == 0)
        process_truncate(p, lsn);
    log_batch_clear(batch);
    return false;
}

static void idle_stop(struct process *p)
{
    log_batch_free(process_user(p));
    free(process_user(p));
}

static const struct process_app idle_app = {
    .start = idle_start,
    .replay = idle_replay,
    .recovered = idle_recovered,
    .turn_begin = idle_turn_begin,
    .message = idle_message,
    .turn_end = idle_turn_end,
    .stop = idle_stop,
};

static bool idle_may_damage(void *run, unsigned i)
{
    ((struct idle *)run)->damaged[i] = true;
    return true;
}

/* The operator takes a new disk. */
static void idle_refused(void *run, unsigned i, int st)
{
    struct idle *idle = run;
    assert_int_equal(st, ST_CORRUPT);
    assert_true(idle->damaged[i]);
    idle->refused++;
    process_wipe(idle->processes[i]);
    assert_int_equal(process_start(idle->processes[i]), 0);
}

static const struct workload idle_workload = {
    .name = "idle", .may_damage = idle_may_damage, .refused = idle_refused};

static void idle_init(struct idle *idle, uint64_t seed)
{
    struct net_rates rates = {.delay_mean_us = 1000};
    *idle = (struct idle){.world = world_new(seed)};
    idle->net = net_new(idle->world, NODES, &rates);
    for (unsigned i = 0; i < NODES; i++) {
        struct process_options options = {
            .id = i + 1,
            .world = idle->world,
            .net = idle->net,
            .app = &idle_app,
            .ctx = idle,
            .sync_always = true,
            .segment_bytes = LOG_SEGMENT_BYTES_MIN,
        };
        idle->processes[i] = process_new(&options);
        assert_int_equal(process_start(idle->processes[i]), 0);
    }
    idle->births = 0;
}

static void idle_done(struct idle *idle)
{
    faults_free(idle->faults);
    for (unsigned i = 0; i < NODES; i++)
        process_free(idle->processes[i]);
    net_free(idle->net);
    world_free(idle->world);
}

/* A plan of nothing but one kind, every second. */
static void run_kind(struct idle *idle, struct plan *plan, enum fault_kind kind)
{
    plan->drift_ppm_max = 0;
    for (size_t i = 0; i < plan->count; i++) {
        plan->faults[i].kind = kind;
        plan->faults[i].amount %= 500;
    }
    idle->faults = faults_begin(idle->world, plan, NULL, &idle_workload, idle, idle->net,
                                idle->processes, NODES);
    world_run_until(idle->world, FAULTY_US);
    faults_heal(idle->faults);
    world_run_until(idle->world, FAULTY_US + 5000000);
    if (world_failed(idle->world) != NULL)
        fail_msg("%s: %s", fault_name(kind), world_failure(idle->world));
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(process_state(idle->processes[i]), PROCESS_UP);
    for (unsigned i = 1; i <= NODES * NODES; i++)
        assert_false(net_blocked(idle->net, (i - 1) / NODES + 1, (i - 1) % NODES + 1));
}

static void test_each_kind_alone(void **state)
{
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        struct idle idle;
        idle_init(&idle, (uint64_t)kind + 1);
        struct plan *plan = plan_draw(idle.world, NODES, FAULTY_US, true);
        plan->all_return = true;
        run_kind(&idle, plan, (enum fault_kind)kind);
        assert_true(faults_counts(idle.faults)->fired[kind] > 10);
        bool replaces = kind == FAULT_wipe || kind == FAULT_restore_copy || kind == FAULT_rot;
        assert_int_equal(idle.births > 0, replaces);
        assert_int_equal(idle.refused > 0, kind == FAULT_rot);
        assert_int_equal(idle.protocols > 0, kind == FAULT_upgrade);
        idle_done(&idle);
        plan_free(plan);
    }
}

static void test_a_minority_may_stay_down(void **state)
{
    struct idle idle;
    struct workload workload = idle_workload;
    workload.may_stay_down = idle_may_damage; /* anybody */
    idle_init(&idle, 5);
    struct plan *plan = plan_draw(idle.world, NODES, FAULTY_US, false);
    plan->all_return = false;
    idle.faults =
        faults_begin(idle.world, plan, NULL, &workload, &idle, idle.net, idle.processes, NODES);
    world_run_until(idle.world, FAULTY_US);
    faults_heal(idle.faults);
    world_run_until(idle.world, FAULTY_US + 20000000);
    unsigned down = 0;
    for (unsigned i = 0; i < NODES; i++)
        down += process_state(idle.processes[i]) == PROCESS_DOWN;
    assert_int_equal(down, 1);
    idle_done(&idle);
    plan_free(plan);
}

static void test_plans(void **state)
{
    uint64_t kinds = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct world *w = world_new(seed);
        struct plan *plan = plan_draw(w, 5, FAULTY_US, seed % 2 == 0);
        struct plan *again = plan_draw(w, 5, FAULTY_US, seed % 2 == 0);
        assert_in_range(plan->count, FAULTS_MIN, FAULTS_MAX);
        assert_int_equal(plan->count, again->count);
        assert_memory_equal(plan->faults, again->faults, plan->count * sizeof(*plan->faults));
        for (size_t i = 0; i < plan->count; i++) {
            const struct fault *f = &plan->faults[i];
            assert_true(plan->kinds >> f->kind & 1);
            assert_in_range(f->at_us, WORKLOAD_QUIET_US, FAULTY_US);
            assert_true(i == 0 || plan->faults[i - 1].at_us <= f->at_us);
            assert_true(f->mask > 0 && f->mask < 31);
        }
        if (seed % 2 == 1)
            assert_int_equal(plan->kinds >> FAULT_wipe & 1, 0);
        kinds |= plan->kinds;
        plan_free(plan);
        plan_free(again);
        world_free(w);
    }
    assert_int_equal(kinds, (UINT64_C(1) << FAULT_KINDS) - 1);
}

/* Without a workload that answers for it, a process that does not start is a failure. */
static void test_refusal_is_a_failure(void **state)
{
    unsigned failed = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct idle idle;
        struct workload workload = idle_workload;
        workload.refused = NULL;
        idle_init(&idle, seed);
        struct plan *plan = plan_draw(idle.world, NODES, FAULTY_US, true);
        for (size_t i = 0; i < plan->count; i++)
            plan->faults[i].kind = FAULT_rot;
        idle.faults =
            faults_begin(idle.world, plan, NULL, &workload, &idle, idle.net, idle.processes, NODES);
        world_run_until(idle.world, FAULTY_US);
        failed += world_failed(idle.world) != NULL;
        if (world_failed(idle.world) != NULL)
            assert_string_equal(world_failed(idle.world), "refused");
        idle_done(&idle);
        plan_free(plan);
    }
    assert_true(failed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_alone),
        cmocka_unit_test(test_a_minority_may_stay_down),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_refusal_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
