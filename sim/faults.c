/* The plan in motion. */
#include "sim/faults.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/status.h"

#define RETRY_US        1000000 /* a start refused for want of space, or of a disk that works */
#define DIED_MEAN_US    500000  /* until what died by itself is started again */
#define HEAL_START_US   500000  /* healing: processes are started within this time */
#define CRASH_WITHIN_US 2000000 /* a crash in a write that does not come, comes anyway */
#define PROCESSES_MAX   63

enum burst { BURST_LOSS, BURST_DOUBLING, BURST_REORDERING, BURST_DELAY, BURSTS };

struct later;
typedef void (*later_fn)(struct faults *f, struct later *l);

struct later { /* the other end of a fault */
    struct world_event event;
    struct list_node link;
    struct faults *faults;
    later_fn fn;
    unsigned a, b;
    uint64_t left;
    const struct fault *fault;
    struct process_copy *copy;
};

struct machine {
    struct process *process;
    struct faults *faults;
    struct world_event start;
    bool stays_down;
};

struct entry {
    struct world_event event;
    struct faults *faults;
    const struct fault *fault;
};

struct faults {
    struct world *world;
    const struct plan *plan;
    const struct workload *workload;
    void *run;
    struct net *net;
    struct net_rates rates; /* without any burst */
    struct machine machines[PROCESSES_MAX];
    unsigned count;
    struct entry *entries;
    struct list_head laters;
    struct prng random; /* for what was not planned: what dies by itself */
    struct {
        uint64_t value, until_us;
    } bursts[BURSTS];
    struct faults_counts counts;
};

/* --- later --- */

static void later_free(struct later *l)
{
    world_cancel(l->faults->world, &l->event);
    list_remove(&l->link);
    process_copy_free(l->copy);
    free(l);
}

static void later_fire(struct world_event *event)
{
    struct later *l = container_of(event, struct later, event);
    l->fn(l->faults, l);
    if (!heap_contains(&l->event.node))
        later_free(l);
}

/* fn arms the event again when it wants to come back. */
static struct later *later(struct faults *f, uint64_t delay_us, later_fn fn, unsigned a, unsigned b)
{
    struct later *l = mem_zalloc(sizeof(*l));
    l->event.fire = later_fire;
    l->faults = f;
    l->fn = fn;
    l->a = a;
    l->b = b;
    list_push_back(&f->laters, &l->link);
    world_after(f->world, &l->event, delay_us);
    return l;
}

/* --- life --- */

static void start_after(struct faults *f, unsigned i, uint64_t us)
{
    world_after(f->world, &f->machines[i].start, us);
}

static void start_fire(struct world_event *event)
{
    struct machine *m = container_of(event, struct machine, start);
    struct faults *f = m->faults;
    unsigned i = (unsigned)(m - f->machines);
    if (m->stays_down || process_state(m->process) != PROCESS_DOWN)
        return;
    int st = process_start(m->process);
    if (st == ST_IO || st == ST_NOSPACE)
        start_after(f, i, RETRY_US);
    else if (st != 0 && f->workload->refused != NULL)
        f->workload->refused(f->run, i, st);
    else if (st != 0)
        world_fail(f->world, "refused", "node %u does not start: %s", i + 1,
                   process_refusal(m->process));
}

static void on_death(void *ctx, int st)
{
    struct machine *m = ctx;
    struct faults *f = m->faults;
    start_after(f, (unsigned)(m - f->machines), net_exponential(&f->random, DIED_MEAN_US));
}

/* Down for so long; what is down already stays so a while longer. */
static bool take_down(struct faults *f, unsigned i, enum process_death how, uint64_t for_us)
{
    struct machine *m = &f->machines[i];
    if (process_state(m->process) == PROCESS_DOWN)
        return false;
    process_die(m->process, how);
    start_after(f, i, for_us);
    return true;
}

/* --- each kind; false: there was nothing to do it to --- */

static bool up(const struct faults *f, unsigned i)
{
    return process_state(f->machines[i].process) != PROCESS_DOWN;
}

static bool do_crash_in_write(struct faults *f, const struct fault *x)
{
    if (!up(f, x->target))
        return false;
    process_die_at_op(f->machines[x->target].process, x->amount, CRASH_WITHIN_US);
    return true;
}

static bool do_crash_many(struct faults *f, const struct fault *x)
{
    bool any = false;
    for (unsigned i = 0; i < f->count; i++) {
        if (x->mask >> i & 1)
            any |= take_down(f, i, PROCESS_POWERCUT, x->for_us + (x->extra >> i & 0xffff));
    }
    return any;
}

static void storm_next(struct faults *f, struct later *l)
{
    struct process *p = f->machines[l->a].process;
    if (process_state(p) == PROCESS_DOWN && l->left % 2 == 1)
        process_die_at_op(p, (l->fault->extra >> l->left % 60) % 16, 0); /* while it recovers */
    else
        process_die(p, l->left % 3 == 0 ? PROCESS_KILL : PROCESS_POWERCUT);
    start_after(f, l->a, l->fault->for_us / 4);
    if (--l->left > 0)
        world_after(f->world, &l->event, l->fault->for_us);
}

static bool do_storm(struct faults *f, const struct fault *x)
{
    if (!take_down(f, x->target, PROCESS_POWERCUT, x->for_us / 2))
        return false;
    struct later *l = later(f, x->for_us / 4, storm_next, x->target, 0);
    l->left = x->amount;
    l->fault = x;
    return true;
}

static void unblock(struct faults *f, struct later *l)
{
    net_unblock(f->net, l->a, l->b);
}

/* The link is blocked, and comes back some time in the second half: in a random order. */
static void cut(struct faults *f, const struct fault *x, unsigned from, unsigned to)
{
    uint64_t order = hash_bytes(x->extra, &(uint64_t){(uint64_t)from << 32 | to}, 8);
    net_block(f->net, from + 1, to + 1);
    later(f, x->for_us / 2 + order % (x->for_us / 2 + 1), unblock, from + 1, to + 1);
}

static bool do_partition(struct faults *f, const struct fault *x)
{
    uint64_t side = x->mask;
    unsigned bridge = x->kind == FAULT_partition_bridge ? x->target : f->count;
    if (x->kind == FAULT_partition_isolate)
        side = UINT64_C(1) << x->target;
    for (unsigned i = 0; i < f->count; i++) {
        for (unsigned k = 0; k < f->count; k++) {
            if (!(side >> i & 1) || (side >> k & 1) || i == bridge || k == bridge)
                continue;
            cut(f, x, i, k);
            if (x->kind != FAULT_partition_one_way)
                cut(f, x, k, i);
        }
    }
    return f->count > 1;
}

static bool do_clog(struct faults *f, const struct fault *x)
{
    unsigned endpoints = net_endpoints(f->net);
    unsigned other = (unsigned)(x->extra % endpoints);
    uint64_t until_us = world_now_us(f->world) + x->for_us;
    net_clog(f->net, x->target + 1, other + 1, until_us);
    if (x->extra >> 32 & 1)
        net_clog(f->net, other + 1, x->target + 1, until_us);
    return true;
}

static void rates_apply(struct faults *f, struct later *l)
{
    struct net_rates r = f->rates;
    uint64_t values[BURSTS] = {r.loss_permille, r.double_permille, r.reorder_permille,
                               r.delay_mean_us};
    for (int i = 0; i < BURSTS; i++) {
        if (world_now_us(f->world) < f->bursts[i].until_us && f->bursts[i].value > values[i])
            values[i] = f->bursts[i].value;
    }
    r.loss_permille = (unsigned)values[BURST_LOSS];
    r.double_permille = (unsigned)values[BURST_DOUBLING];
    r.reorder_permille = (unsigned)values[BURST_REORDERING];
    r.delay_mean_us = values[BURST_DELAY];
    net_set_rates(f->net, &r);
}

static bool do_burst(struct faults *f, const struct fault *x)
{
    enum burst burst = BURST_LOSS + (enum burst)(x->kind - FAULT_loss);
    f->bursts[burst].value = x->amount;
    f->bursts[burst].until_us = world_now_us(f->world) + x->for_us;
    rates_apply(f, NULL);
    later(f, x->for_us, rates_apply, 0, 0);
    return true;
}

static bool do_clock(struct faults *f, const struct fault *x)
{
    struct sim_clock *clock = process_clock(f->machines[x->target].process);
    uint64_t now_us = world_now_us(f->world);
    int64_t step_us = (int64_t)x->amount;
    int64_t max = SIM_CLOCK_DRIFT_PPM_MAX;
    if (x->kind == FAULT_drift)
        sim_clock_drift(clock, now_us, (int64_t)x->amount - max,
                        (int64_t)(x->extra % (uint64_t)(2 * max + 1)) - max);
    else
        sim_clock_step(clock, now_us, x->kind == FAULT_clock_forward ? step_us : -step_us);
    return true;
}

static void disk_works(struct faults *f, struct later *l)
{
    if (l->fault->kind == FAULT_sync_fails)
        process_fail_sync(f->machines[l->a].process, false);
    else
        process_disk_full(f->machines[l->a].process, false);
}

static bool do_disk(struct faults *f, const struct fault *x)
{
    if (x->kind == FAULT_sync_fails)
        process_fail_sync(f->machines[x->target].process, true);
    else
        process_disk_full(f->machines[x->target].process, true);
    later(f, x->for_us, disk_works, x->target, 0)->fault = x;
    return true;
}

static bool may_damage(const struct faults *f, unsigned i)
{
    return f->workload->may_damage != NULL && f->workload->may_damage(f->run, i);
}

static bool do_rot(struct faults *f, const struct fault *x)
{
    struct process *p = f->machines[x->target].process;
    if (!may_damage(f, x->target) || !process_rot(p, x->extra, x->extra % 3 == 0))
        return false;
    if (x->extra >> 32 & 1) /* rot of the log is mostly found at a start */
        take_down(f, x->target, PROCESS_KILL, x->for_us);
    return true;
}

static bool do_wipe(struct faults *f, const struct fault *x)
{
    if (!may_damage(f, x->target))
        return false;
    process_die(f->machines[x->target].process, PROCESS_POWERCUT);
    process_wipe(f->machines[x->target].process);
    start_after(f, x->target, x->for_us);
    return true;
}

static void restore(struct faults *f, struct later *l)
{
    if (!may_damage(f, l->a)) {
        f->counts.fired[FAULT_restore_copy]--;
        f->counts.skipped[FAULT_restore_copy]++;
        return;
    }
    world_trace(f->world, l->a + 1, "restored", {"down_us", l->fault->for_us});
    process_die(f->machines[l->a].process, PROCESS_POWERCUT);
    process_restore(f->machines[l->a].process, l->copy);
    start_after(f, l->a, l->fault->for_us);
}

static bool do_restore_copy(struct faults *f, const struct fault *x)
{
    struct later *l = later(f, x->amount, restore, x->target, 0);
    l->fault = x;
    l->copy = process_copy_take(f->machines[x->target].process);
    return true;
}

static bool do_upgrade(struct faults *f, const struct fault *x)
{
    struct process *p = f->machines[x->target].process;
    if (!take_down(f, x->target, PROCESS_STOP, x->for_us))
        return false;
    process_set_protocol(p, 3 - process_protocol(p));
    return true;
}

static bool do_pause(struct faults *f, const struct fault *x)
{
    if (!up(f, x->target))
        return false;
    process_pause(f->machines[x->target].process, x->for_us);
    return true;
}

static bool do_slow(struct faults *f, const struct fault *x)
{
    process_slow(f->machines[x->target].process, x->amount, world_now_us(f->world) + x->for_us);
    return up(f, x->target);
}

static bool do_down(struct faults *f, const struct fault *x)
{
    enum process_death how = x->kind == FAULT_crash  ? PROCESS_POWERCUT
                             : x->kind == FAULT_kill ? PROCESS_KILL
                                                     : PROCESS_STOP;
    return take_down(f, x->target, how, x->for_us);
}

static bool (*const deeds[FAULT_KINDS])(struct faults *f, const struct fault *x) = {
    [FAULT_crash] = do_down,
    [FAULT_crash_in_write] = do_crash_in_write,
    [FAULT_crash_many] = do_crash_many,
    [FAULT_kill] = do_down,
    [FAULT_stop] = do_down,
    [FAULT_pause] = do_pause,
    [FAULT_slow] = do_slow,
    [FAULT_storm] = do_storm,
    [FAULT_partition_split] = do_partition,
    [FAULT_partition_isolate] = do_partition,
    [FAULT_partition_one_way] = do_partition,
    [FAULT_partition_bridge] = do_partition,
    [FAULT_clog] = do_clog,
    [FAULT_loss] = do_burst,
    [FAULT_doubling] = do_burst,
    [FAULT_reordering] = do_burst,
    [FAULT_delay] = do_burst,
    [FAULT_clock_forward] = do_clock,
    [FAULT_clock_back] = do_clock,
    [FAULT_drift] = do_clock,
    [FAULT_sync_fails] = do_disk,
    [FAULT_disk_full] = do_disk,
    [FAULT_rot] = do_rot,
    [FAULT_wipe] = do_wipe,
    [FAULT_restore_copy] = do_restore_copy,
    [FAULT_upgrade] = do_upgrade,
};

static void entry_fire(struct world_event *event)
{
    struct entry *e = container_of(event, struct entry, event);
    const struct fault *x = e->fault;
    struct faults *f = e->faults;
    world_note(f->world, x->target + 1, "fault: %s", fault_name(x->kind));
    bool done = deeds[x->kind](f, x);
    world_trace(f->world, x->target + 1, "fault", {"kind", x->kind}, {"done", done},
                {"for_us", x->for_us}, {"mask", x->mask}, {"amount", x->amount});
    if (done)
        f->counts.fired[x->kind]++;
    else
        f->counts.skipped[x->kind]++;
}

/* --- begin and end --- */

static void clocks_begin(struct faults *f)
{
    for (unsigned i = 0; i < f->count && f->plan->drift_ppm_max > 0; i++) {
        struct prng random = world_prng(f->world, "drift", i);
        uint64_t width = (uint64_t)(2 * f->plan->drift_ppm_max + 1);
        int64_t mono_ppm = (int64_t)prng_below(&random, width) - f->plan->drift_ppm_max;
        int64_t wall_ppm = (int64_t)prng_below(&random, width) - f->plan->drift_ppm_max;
        sim_clock_drift(process_clock(f->machines[i].process), world_now_us(f->world), mono_ppm,
                        wall_ppm);
    }
}

struct faults *faults_begin(struct world *w, const struct plan *plan, const bool *chosen,
                            const struct workload *workload, void *run, struct net *net,
                            struct process **processes, unsigned count)
{
    CHECK(count <= PROCESSES_MAX);
    struct faults *f = mem_zalloc(sizeof(*f));
    f->world = w;
    f->plan = plan;
    f->workload = workload;
    f->run = run;
    f->net = net;
    f->rates = *net_rates(net);
    f->count = count;
    f->random = world_prng(w, "deaths", 0);
    list_init(&f->laters);
    for (unsigned i = 0; i < count; i++) {
        CHECK(process_id(processes[i]) == i + 1);
        f->machines[i] = (struct machine){.process = processes[i], .faults = f};
        f->machines[i].start.fire = start_fire;
        process_on_death(processes[i], on_death, &f->machines[i]);
    }
    f->entries = mem_zalloc(plan->count * sizeof(*f->entries));
    for (size_t i = 0; i < plan->count; i++) {
        struct entry *e = &f->entries[i];
        *e = (struct entry){.faults = f, .fault = &plan->faults[i]};
        e->event.fire = entry_fire;
        if (chosen == NULL || chosen[i])
            world_at(w, &e->event, e->fault->at_us);
    }
    clocks_begin(f);
    return f;
}

static void events_forget(struct faults *f)
{
    for (size_t i = 0; i < f->plan->count; i++)
        world_cancel(f->world, &f->entries[i].event);
    list_foreach_safe (node, spare, &f->laters)
        later_free(list_entry(node, struct later, link));
}

/* A random minority, of those that may. */
static void some_stay_down(struct faults *f)
{
    struct prng random = world_prng(f->world, "absent", 0);
    unsigned left = (f->count - 1) / 2;
    for (unsigned tries = 0; tries < f->count && left > 0; tries++) {
        unsigned i = (unsigned)prng_below(&random, f->count);
        struct machine *m = &f->machines[i];
        if (m->stays_down || f->workload->may_stay_down == NULL ||
            !f->workload->may_stay_down(f->run, i))
            continue;
        process_die(m->process, PROCESS_KILL);
        m->stays_down = true;
        left--;
    }
}

void faults_heal(struct faults *f)
{
    struct prng random = world_prng(f->world, "healing", 0);
    struct net_rates whole = {
        .delay_min_us = f->rates.delay_min_us,
        .delay_mean_us = f->rates.delay_mean_us,
    };
    world_trace(f->world, 0, "heal", {"all", f->plan->all_return});
    events_forget(f);
    net_heal(f->net);
    net_set_rates(f->net, &whole);
    if (!f->plan->all_return)
        some_stay_down(f);
    for (unsigned i = 0; i < f->count; i++) {
        struct process *p = f->machines[i].process;
        process_fail_sync(p, false);
        process_disk_full(p, false);
        process_slow(p, 0, 0);
        process_stalls(p, 0, 0);
        process_resume(p);
        if (process_state(p) == PROCESS_DOWN)
            start_after(f, i, prng_below(&random, HEAL_START_US));
    }
}

void faults_free(struct faults *f)
{
    if (f == NULL)
        return;
    events_forget(f);
    for (unsigned i = 0; i < f->count; i++)
        world_cancel(f->world, &f->machines[i].start);
    free(f->entries);
    free(f);
}

const struct faults_counts *faults_counts(const struct faults *f)
{
    return &f->counts;
}
