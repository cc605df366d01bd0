#include "sim/raft_workload.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "sim/linear.h"
#include "sim/raft_app.h"
#include "sim/raft_clients.h"
#include "sim/raft_operator.h"
#include "sim/raft_run.h"

/* After healing: until every client is served again, and until all replicas agree. */
#define LIVELY_US  (UINT64_C(120) * 1000000)
#define ENOUGH_US  (UINT64_C(400) * 1000000) /* for as many operations as there should be */
#define SETTLED_US (UINT64_C(240) * 1000000)

enum phase { PHASE_FAULTY, PHASE_HEALING, PHASE_QUIET, PHASE_SCANNING };

struct run { /* a struct raft_run and what only this file needs */
    struct raft_run shared;
    struct process *processes[RAFT_PLAN_NODES_MAX];
    enum phase phase;
    uint64_t healed_us, deadline_us;
};

static void add_processes(struct run *r)
{
    struct raft_run *s = &r->shared;
    struct prng random = world_prng(s->world, "raft processes", 0);
    for (unsigned i = 0; i < s->plan.nodes; i++) {
        struct process_options options = {
            .id = i + 1,
            .world = s->world,
            .net = s->net,
            .app = &raft_app_upcalls,
            .ctx = s,
            .sync_always = s->plan.sync_always,
            .segment_bytes = s->plan.segment_bytes,
            .sync_mean_us = 100 + prng_below(&random, 10000),
            .work_mean_us = 50 + prng_below(&random, 5000),
            .turn_mean_us = 20 + prng_below(&random, 300),
        };
        s->processes[i] = r->processes[i] = process_new(&options);
        process_stalls(s->processes[i], s->plan.stall_ppm, s->plan.stall_mean_us);
    }
}

static void *create(struct world *w, struct net **ret_net, struct process ***ret_processes,
                    unsigned *ret_count)
{
    struct run *r = mem_zalloc(sizeof(*r));
    struct raft_run *s = &r->shared;
    s->world = w;
    s->plan = raft_plan_draw(w);
    s->net = net_new(w, s->plan.nodes + s->plan.clients, &s->plan.net);
    s->check = raft_check_new(w, &s->plan);
    s->operator= raft_operator_new(s);
    add_processes(r);
    world_trace(w, 0, "raft", {"nodes", s->plan.nodes}, {"groups", s->plan.groups},
                {"voters", s->plan.voters}, {"clients", s->plan.clients}, {"lanes", s->plan.lanes},
                {"election_ms", s->plan.limits.election_ms}, {"sync_always", s->plan.sync_always},
                {"leases", s->plan.limits.leases});
    for (unsigned i = 0; i < s->plan.nodes; i++) {
        int st = process_start(s->processes[i]);
        if (st < 0)
            world_fail(w, "refused", "node %u refuses to start for the first time: %s", i + 1,
                       status_text(st));
    }
    if (world_failed(w) == NULL)
        raft_operator_begin(s->operator);
    s->clients = raft_clients_new(s);
    *ret_net = s->net;
    *ret_processes = r->processes;
    *ret_count = s->plan.nodes;
    return r;
}

static uint64_t faulty_us(void *run)
{
    return ((struct run *)run)->shared.plan.faulty_us;
}

static bool may_damage(void *run, unsigned i)
{
    return raft_operator_may_damage(((struct run *)run)->shared.operator, i + 1);
}

static bool may_stay_down(void *run, unsigned i)
{
    return raft_operator_may_stay_down(((struct run *)run)->shared.operator, i + 1);
}

static void refused(void *run, unsigned i, int st)
{
    raft_operator_refused(((struct run *)run)->shared.operator, i + 1, st);
}

/* --- healing --- */

static void heal(void *run)
{
    struct run *r = run;
    r->shared.healed = true;
    r->phase = PHASE_HEALING;
    r->healed_us = world_now_us(r->shared.world);
    r->deadline_us = r->healed_us + LIVELY_US;
    raft_clients_heal(r->shared.clients);
    raft_operator_heal(r->shared.operator);
}

static void fail_liveness(struct run *r)
{
    BUFFER_AUTO struct buffer why = {0};
    raft_operator_describe(r->shared.operator, & why);
    raft_clients_describe(r->shared.clients, &why);
    world_fail(r->shared.world, "liveness", "too long after healing, %" PRIu64 " operations: %.*s",
               raft_clients_completed(r->shared.clients), (int)why.len, (const char *)why.data);
}

/* Reads all rows of all replicas; true when all were read at the index that they are at. */
static bool scanned(struct raft_run *s)
{
    bool all = true;
    for (unsigned i = 0; i < s->plan.nodes; i++) {
        struct raft_app *a = raft_app_of(s->processes[i]);
        for (uint32_t g = 0; a != NULL && g < s->plan.groups; g++) {
            struct group *group = raft_app_group(a, g);
            struct group_status status;
            if (group == NULL)
                continue;
            group_status(group, &status);
            if (status.state != GROUP_RUNNING || status.raft.applied == 0 ||
                raft_app_scanned(a, g) == status.raft.applied)
                continue;
            all = false;
            raft_app_scan(a, g);
        }
    }
    return all;
}

/* Every client is served, and for as long as is affordable until there were enough operations. */
static bool served(const struct run *r, bool *ret_lively)
{
    const struct raft_clients *clients = r->shared.clients;
    *ret_lively = raft_clients_lively(clients);
    return *ret_lively && (raft_clients_completed(clients) >= RAFT_PLAN_OPERATIONS ||
                           world_now_us(r->shared.world) >= r->healed_us + ENOUGH_US);
}

static bool finished(void *run)
{
    struct run *r = run;
    struct raft_run *s = &r->shared;
    uint64_t now_us = world_now_us(s->world);
    bool lively = false, done = false;
    switch (r->phase) {
    case PHASE_HEALING:
        if (served(r, &lively)) {
            raft_clients_quiet(s->clients);
            r->phase = PHASE_QUIET;
            r->deadline_us = now_us + SETTLED_US;
        }
        break;
    case PHASE_QUIET:
        if (raft_clients_idle(s->clients) && raft_operator_settled(s->operator))
            r->phase = PHASE_SCANNING;
        break;
    default:
        done = scanned(s);
    }
    if (!done && !lively && now_us > r->deadline_us)
        fail_liveness(r);
    return done;
}

/* --- the end --- */

static void check_history(struct raft_run *s)
{
    const struct history *h = raft_clients_history(s->clients);
    struct linear_limits limits = LINEAR_LIMITS_DEFAULT;
    struct linear_result result;
    BUFFER_AUTO struct buffer report = {0};
    int st = linear_check(h->ops, h->count, &limits, &report, &result);
    if (st < 0)
        world_fail(s->world, "linear", "the history of %zu operations can't be checked: %s",
                   h->count, status_text(st));
    else if (result.verdict == LINEAR_VIOLATION)
        world_fail(s->world, "linear", "key %" PRIu64 " is not linearizable: %.*s", result.key,
                   (int)report.len, (const char *)report.data);
    else if (result.verdict == LINEAR_UNKNOWN)
        world_fail(s->world, "undecided", "key %" PRIu64 " is too hard to judge: %" PRIu64 " steps",
                   result.key, result.steps);
}

static void end(void *run, struct workload_counts *ret_counts)
{
    struct run *r = run;
    struct raft_run *s = &r->shared;
    if (world_failed(s->world) == NULL)
        check_history(s);
    const struct raft_check_counts *counts = raft_check_counts(s->check);
    *ret_counts = (struct workload_counts){
        .operations = raft_clients_completed(s->clients),
        .elections = counts->elections,
        .changes = counts->changes,
    };
    for (unsigned i = 0; i < s->plan.nodes; i++)
        process_free(s->processes[i]);
    raft_clients_free(s->clients);
    raft_operator_free(s->operator);
    raft_check_free(s->check);
    net_free(s->net);
    free(r);
}

const struct workload workload_raft = {
    .name = "raft",
    .about = "a replicated store of integers: many Raft groups, changing members, failing disks",
    .operations_min = RAFT_PLAN_OPERATIONS,
    .elections_min = 5,
    .create = create,
    .faulty_us = faulty_us,
    .may_damage = may_damage,
    .may_stay_down = may_stay_down,
    .refused = refused,
    .heal = heal,
    .finished = finished,
    .end = end,
};
