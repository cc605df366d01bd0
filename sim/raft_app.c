#include "sim/raft_app.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "node/config.h"
#include "node/node.h"
#include "sim/raft_app_private.h"
#include "sim/raft_operator.h"

#define ORDERED_IDLE_MS 10000

/* --- what the checkers see --- */

static void on_applied(void *ctx, const struct group_apply *apply, const struct kv_command *command,
                       int64_t before, const struct kv_result *result)
{
    struct raft_app *a = ctx;
    if (!process_dying(a->process))
        raft_check_applied(a->run->check, process_id(a->process), process_life(a->process), apply,
                           command, before, result);
}

static void on_damaged(void *ctx, const struct group *group, uint64_t key, const char *why)
{
    raft_app_damaged(ctx, group_id(group), key, why);
}

void raft_app_damaged(struct raft_app *a, uint32_t group, uint64_t key, const char *why)
{
    if (!process_dying(a->process))
        world_fail(a->run->world, "damage_served",
                   "node %u group %" PRIu32 ": the value of key %" PRIu64 " is %s",
                   process_id(a->process), group, key, why);
}

/* The environment's send, listened to: what a replica says counts whether or not it arrives. */
static void tapped_send(struct env *env, uint64_t node, struct slice frame)
{
    struct process *p = process_of_env(env);
    struct raft_app *a = process_user(p);
    if (!process_dying(p))
        raft_check_sent(a->run->check, process_id(p), node, frame);
    a->env_ops->send(env, node, frame);
}

/* --- life --- */

static bool keyspace_dropped(void *ctx, uint32_t keyspace)
{
    return node_keyspace_dropped(ctx, keyspace);
}

static struct node *make_node(struct raft_app *a)
{
    struct process *p = a->process;
    const struct raft_plan *plan = &a->run->plan;
    const struct identity *identity = process_identity(p);
    struct node_options options = {
        .settings = a->settings,
        .shards = 1,
        .partitions = RAFT_PLAN_PARTITIONS,
        .durable = true,
        .commit_on_sync = plan->sync_always,
        .hlc_floor = identity->clock_max == 0 ? 1 : identity->clock_max,
        .hash_seed = a->env->ops->random(a->env),
        .now_ms = process_wall_ms(p),
    };
    struct node *node;
    CHECK(node_create(&options, &node) == 0);
    return node;
}

static int make_engine(struct raft_app *a)
{
    const struct raft_plan *plan = &a->run->plan;
    struct engine_options options = {
        .tier = process_tier(a->process),
        .work = process_work_queue(a->process),
        .shards = 1,
        .partitions = RAFT_PLAN_PARTITIONS,
        .table_bytes = plan->table_bytes,
        .cache_bytes = plan->cache_bytes,
        .log_bytes = plan->log_bytes,
        .ordered_idle_ms = ORDERED_IDLE_MS,
        .hash_seed = a->node->hash_seed,
    };
    return engine_create(&options, &a->engine);
}

static int make_groups(struct raft_app *a)
{
    const struct raft_plan *plan = &a->run->plan;
    struct kv_watch watch = {.ctx = a, .applied = on_applied, .damaged = on_damaged};
    kv_machine_init(&a->machine, &watch);
    struct groups_options options = {
        .shard = a->shard,
        .machine = &a->machine.base,
        .cluster = RAFT_PLAN_CLUSTER,
        .node = process_id(a->process),
        .birth = process_birth(a->process),
        .limits = plan->limits,
        .log_keep_bytes = plan->log_keep_bytes,
        .session_idle_entries = plan->session_idle_entries,
    };
    return groups_create(&options, &a->groups);
}

static int app_start(struct process *p)
{
    struct raft_app *a = mem_zalloc(sizeof(*a));
    a->process = p;
    a->run = process_ctx(p);
    a->env = process_env(p);
    list_init(&a->requests);
    process_set_user(p, a);
    a->env_ops = a->env->ops;
    a->tapped_ops = *a->env_ops;
    a->tapped_ops.send = tapped_send;
    a->env->ops = &a->tapped_ops;

    a->settings = settings_new();
    a->node = make_node(a);
    process_tier_policy(
        p, &(struct tier_policy){.ctx = a->node, .keyspace_dropped = keyspace_dropped});
    int st = make_engine(a);
    if (st == 0)
        st = shard_create(a->node, a->env, 0, a->engine, &a->shard);
    if (st == 0)
        st = make_groups(a);
    return st;
}

static int app_replay(struct process *p, const struct log_record *record)
{
    struct raft_app *a = process_user(p);
    if (record->type == LOG_ENTRY || record->type == LOG_HARDSTATE)
        return groups_replay(a->groups, record);
    return node_replay(a->node, record->lsn, record);
}

static int app_recovered(struct process *p, const struct log_recovery *report)
{
    struct raft_app *a = process_user(p);
    /* A disk that is known to rot may have lost what was synced, too: nobody trusts it. */
    if (report->torn && raft_operator_suspects(a->run->operator, process_id(p)))
        return ST_CORRUPT;
    node_recovered(a->node);
    node_hlc_reserved(a->node, process_identity(p)->clock_max);
    int st = groups_recover(a->groups);
    if (st < 0)
        return st;
    a->recovered = true;
    return 0;
}

static void app_stop(struct process *p)
{
    struct raft_app *a = process_user(p);
    if (a == NULL)
        return;
    raft_app_requests_end(a);
    for (unsigned i = 0; i < RAFT_PLAN_GROUPS_MAX; i++)
        raft_app_scan_end(a, i);
    groups_free(a->groups);
    engine_free(a->engine);
    shard_free(a->shard);
    if (a->node != NULL)
        node_free(a->node);
    settings_unref(a->settings);
    process_tier_policy(p, NULL);
    a->env->ops = a->env_ops;
    process_set_user(p, NULL);
    free(a);
}

/* --- turns --- */

static void admin_run(struct raft_app *a, const struct raft_admin *task)
{
    struct group *g = groups_find(a->groups, task->group);
    struct group_status status = {0};
    if (g != NULL)
        group_status(g, &status);
    int st = ST_NOTFOUND;
    switch (task->kind) {
    case RAFT_ADMIN_ADD:
        st = g != NULL ? ST_EXISTS : groups_add(a->groups, task->group, task->id, &task->config);
        if (st == 0)
            raft_operator_added(a->run->operator, process_id(a->process), task->group, task->id);
        break;
    case RAFT_ADMIN_DESTROY:
        if (g != NULL && status.id == task->id)
            st = groups_destroy(a->groups, task->group);
        break;
    case RAFT_ADMIN_CHANGE:
        if (g != NULL && status.state == GROUP_RUNNING &&
            raft_operator_allows(a->run->operator, task->group, &task->config)) {
            st = group_change(g, &task->config);
            raft_operator_saw(a->run->operator, process_id(a->process), g);
        }
        break;
    case RAFT_ADMIN_TRANSFER:
        if (g != NULL && status.state == GROUP_RUNNING)
            st = group_transfer(g, task->id);
        break;
    case RAFT_ADMIN_BALANCE:
        groups_balance(a->groups);
        st = 0;
        break;
    }
    world_trace(a->run->world, process_id(a->process), "admin", {"kind", task->kind},
                {"group", task->group}, {"id", task->id}, {"st", (uint64_t)(int64_t)st});
}

static void app_turn_begin(struct process *p)
{
    struct raft_app *a = process_user(p);
    node_hlc_reserved(a->node, process_identity(p)->clock_max);
    shard_turn_begin(a->shard);
    process_clock_at(p, node_clock_ms(a->node));
    for (unsigned i = 0; i < a->admin_count; i++)
        admin_run(a, &a->admin[i]);
    a->admin_count = 0;
}

static void app_message(struct process *p, unsigned from, struct slice bytes)
{
    struct raft_app *a = process_user(p);
    if (from <= a->run->plan.nodes)
        groups_message(a->groups, bytes);
    else
        raft_app_request(a, from, bytes);
}

static void app_synced(struct process *p, uint64_t lsn)
{
    struct raft_app *a = process_user(p);
    shard_synced(a->shard, lsn);
}

/* The log is cut where nobody needs it; when it has grown long, what keeps it is written anew. */
static void truncate_log(struct raft_app *a)
{
    uint64_t flushed = engine_flushed_lsn(a->engine);
    uint64_t retain = groups_retain_lsn(a->groups);
    uint64_t low = flushed < retain ? flushed : retain;
    if (low > a->truncated_lsn) {
        a->truncated_lsn = low;
        process_truncate(a->process, low);
    }
    uint64_t end = a->env->ops->log_end_lsn(a->env);
    if (end - low < a->run->plan.log_rewrite_bytes || end < a->rewrite_next_lsn)
        return;
    a->rewrite_next_lsn = end + a->run->plan.segment_bytes;
    engine_flush(a->engine, a->shard->lsn);
    groups_rewrite(a->groups, end - a->run->plan.log_rewrite_bytes / 2);
}

static bool app_turn_end(struct process *p)
{
    struct raft_app *a = process_user(p);
    groups_turn(a->groups);
    bool more = shard_turn_end(a->shard);
    truncate_log(a);
    struct group *g;
    struct groups_counters counters;
    groups_counters(a->groups, &counters);
    for (uint32_t at = 0; (g = groups_next(a->groups, &at)) != NULL && !process_dying(p);)
        raft_check_turn(a->run->check, process_id(p), process_life(p), counters.snapshots_installed,
                        g);
    return more;
}

const struct process_app raft_app_upcalls = {
    .start = app_start,
    .replay = app_replay,
    .recovered = app_recovered,
    .turn_begin = app_turn_begin,
    .message = app_message,
    .synced = app_synced,
    .turn_end = app_turn_end,
    .stop = app_stop,
};

/* --- for the operator --- */

struct raft_app *raft_app_of(struct process *p)
{
    struct raft_app *a = process_state(p) == PROCESS_DOWN ? NULL : process_user(p);
    return a != NULL && a->recovered ? a : NULL;
}

struct groups *raft_app_groups(struct raft_app *a)
{
    return a->groups;
}

struct group *raft_app_group(struct raft_app *a, uint32_t group)
{
    return groups_find(a->groups, group);
}

void raft_app_admin(struct raft_app *a, const struct raft_admin *task)
{
    if (a->admin_count == RAFT_ADMIN_MAX)
        return;
    a->admin[a->admin_count++] = *task;
    process_ready(a->process);
}
