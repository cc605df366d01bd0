/* Raft groups of real shards in simulated processes: counters that clients add to, with and without
 * sessions, while processes die, pause and lose each other. Afterwards nothing that was answered is
 * lost or was done twice, and all replicas hold the same rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/config.h"
#include "node/group_private.h"
#include "node/node.h"
#include "sim/process.h"
#include "sim/tier.h"

#define PROCESSES_MAX 5
#define GROUPS        2
#define PARTITIONS    4
#define KEYS          6 /* of each group: counters without a session */
#define CLIENTS       4 /* with a session and a counter of its own */
#define VALUES_MAX    20000
#define INDEXES_MAX   30000
#define OP_TIMEOUT_US 3000000

enum op_kind { OP_PLAIN, OP_OPEN, OP_SESSION, OP_READ };

struct rig;
struct host;

struct op {
    struct group_proposal proposal;
    struct group_read read;
    struct list_node link; /* in host.ops */
    struct host *host;
    enum op_kind kind;
    unsigned group, key, client;
    uint64_t floor, begin_us;
};

struct client { /* of a group: one command after the other, each until it is done */
    uint64_t session, number, done;
    bool busy, open;
};

struct host { /* one life of a process */
    struct process *p;
    struct rig *rig;
    struct settings *settings;
    struct node *node;
    struct engine *engine;
    struct shard *shard;
    struct groups *groups;
    struct list_head ops;
    uint64_t upkeep_us, flushes;
};

struct rig {
    struct world *world;
    struct net *net;
    struct process *p[PROCESSES_MAX + 1];
    unsigned count;                         /* of them, and of voters at the beginning */
    uint64_t id[PROCESSES_MAX + 1][GROUPS]; /* replicas; 0: none there yet */
    struct prng prng;
    struct world_event load;
    bool loading, often_flush, small_cache;
    uint64_t keep_bytes, session_idle;
    bool no_sessions, may_evict;
    unsigned damaged; /* a process whose replicas may have stopped; 0: none */
    uint64_t acked[GROUPS][KEYS], asked[GROUPS][KEYS];
    uint64_t highest[GROUPS][KEYS]; /* answered */
    bool seen[GROUPS][KEYS][VALUES_MAX];
    struct client clients[GROUPS][CLIENTS];
    uint64_t closed, uncertain; /* commands without a session that ended so */
    uint64_t reads, plain_done, session_done, session_again, evicted;
    const char *wrong;
    uint64_t did[GROUPS][INDEXES_MAX][4];
};

static struct rig rig;

static void wrong(struct rig *r, const char *why)
{
    if (r->wrong == NULL)
        r->wrong = why;
}

/* --- the machine: counters --- */

static struct key counter_key(const struct group *g, unsigned n, char name[24])
{
    snprintf(name, 24, "g%u-%u", (unsigned)(group_id(g) % 1000), n % 1000);
    return group_key(g, 0, slice_str(name));
}

static void machine_prepare(struct group_machine *machine, struct group_apply *apply,
                            struct slice command)
{
    char name[24];
    struct key key = counter_key(apply->group, command.data[0], name);
    group_need(apply, &key);
}

static uint64_t counter_value(const struct record *record)
{
    return record->value.len >= 8 ? bytes_get_u64(record->value.data) : 0;
}

/* Whoever applies the entry, whenever, does the same command with the same result. */
static void check_same(const struct group_apply *apply, struct slice command, uint64_t result)
{
    struct rig *r = &rig;
    uint64_t mix = apply->stamp * 31 + command.data[0] * 7 + result * 1000003;
    if (apply->index >= INDEXES_MAX || apply->position >= 4)
        return;
    uint64_t *was = &r->did[group_id(apply->group)][apply->index][apply->position];
    if (*was != 0 && *was != mix) {
        wrong(r, "an entry was applied differently");
        if (getenv("TRACE"))
            print_message("group %u index %" PRIu64 " pos %u key %u result %" PRIu64 "\n",
                          group_id(apply->group), apply->index, apply->position, command.data[0],
                          result);
    }
    *was = mix;
}

static void machine_apply(struct group_machine *machine, struct group_apply *apply,
                          struct slice command, struct buffer *result)
{
    char name[24];
    uint8_t value[200] = {0};
    struct record record;
    struct key key = counter_key(apply->group, command.data[0], name);
    uint64_t n = group_get(apply, &key, &record) == 0 ? counter_value(&record) : 0;
    bytes_put_u64(value, n + 1);
    group_put(apply, &key, slice_make(value, sizeof(value)), 0);
    buffer_append_u64(result, n + 1);
    check_same(apply, command, n + 1);
}

static struct group_machine machine = {.prepare = machine_prepare, .apply = machine_apply};

/* --- a process --- */

static const struct raft_limits limits = {
    .election_ms = 300,
    .heartbeat_ms = 60,
    .clock_drift_percent = 12,
    .transfer_ms = 600,
    .appends_inflight_max = 8,
    .append_bytes_max = 64 << 10,
    .inflight_bytes_max = 1 << 20,
    .tail_bytes_max = 4 << 10,
    .uncommitted_bytes_max = 1 << 20,
    .reads_max = 1000,
    .snapshot_chunk_bytes = 1000,
    .leases = true,
};

static int host_start(struct process *p)
{
    struct host *h = mem_zalloc(sizeof(*h));
    h->p = p;
    h->rig = process_ctx(p);
    list_init(&h->ops);
    process_set_user(p, h);
    h->settings = settings_new();
    struct node_options node = {
        .settings = h->settings,
        .shards = 1,
        .partitions = PARTITIONS,
        .durable = true,
        .actor = process_identity(p)->actor,
        .hash_seed = 5,
        .hlc_floor = process_identity(p)->clock_max,
        .now_ms = process_wall_ms(p),
    };
    int st = node_create(&node, &h->node);
    if (st != 0)
        return st;
    node_hlc_reserved(h->node, UINT64_MAX);
    struct engine_options engine = {
        .tier = process_tier(p),
        .work = process_work_queue(p),
        .shards = 1,
        .partitions = PARTITIONS,
        .table_bytes = 64 << 20,
        .cache_bytes = h->rig->small_cache ? 1 : 4 << 20,
        .log_bytes = 1 << 30,
        .ordered_idle_ms = 1000,
        .hash_seed = 5,
    };
    st = engine_create(&engine, &h->engine);
    if (st == 0)
        st = shard_create(h->node, process_env(p), 0, h->engine, &h->shard);
    if (st != 0)
        return st;
    struct groups_options options = {
        .shard = h->shard,
        .machine = &machine,
        .cluster = 77,
        .node = process_id(p),
        .birth = process_birth(p),
        .limits = limits,
        .log_keep_bytes = h->rig->keep_bytes,
        .session_idle_entries = h->rig->session_idle,
    };
    return groups_create(&options, &h->groups);
}

static int host_replay(struct process *p, const struct log_record *record)
{
    struct host *h = process_user(p);
    return node_replay(h->node, record->lsn, record);
}

static int host_recovered(struct process *p, const struct log_recovery *report)
{
    struct host *h = process_user(p);
    struct rig *r = h->rig;
    node_recovered(h->node);
    int st = groups_recover(h->groups);
    for (unsigned g = 0; st == 0 && g < GROUPS; g++) {
        struct raft_config config = {0};
        if (groups_find(h->groups, g) != NULL || r->id[process_id(p)][g] == 0)
            continue;
        for (unsigned i = 1; i <= r->count; i++)
            raft_config_set(&config, i * 100 + g, i, RAFT_VOTER);
        if (r->id[process_id(p)][g] >= 1000) /* joins later */
            config.count = 0;
        st = groups_add(h->groups, g, r->id[process_id(p)][g], &config);
    }
    process_ready(p);
    return st;
}

static void host_stop(struct process *p)
{
    struct host *h = process_user(p);
    if (h == NULL)
        return;
    for (struct list_node *node; (node = list_pop_front(&h->ops)) != NULL;) {
        struct op *op = list_entry(node, struct op, link);
        if (op->kind == OP_OPEN || op->kind == OP_SESSION)
            h->rig->clients[op->group][op->client].busy = false;
        list_remove(&op->proposal.link);
        list_remove(&op->read.link);
        free(op);
    }
    groups_free(h->groups);
    shard_free(h->shard);
    engine_free(h->engine);
    node_free(h->node);
    settings_unref(h->settings);
    free(h);
}

/* --- load --- */

static void op_end(struct op *op)
{
    list_remove(&op->link);
    if (op->kind == OP_OPEN || op->kind == OP_SESSION)
        op->host->rig->clients[op->group][op->client].busy = false;
    free(op);
}

static void session_done(struct rig *r, struct op *op, int st, struct slice result)
{
    struct client *c = &r->clients[op->group][op->client];
    if (st == 0 && result.len == 8 && bytes_get_u64(result.data) != c->done + 1)
        wrong(r, "a session's counter jumped");
    if (st == 0 || (st == ST_LIMIT && op->proposal.applied)) {
        c->done++;
        c->number++;
        r->session_done++;
    } else if (st == ST_EXISTS) {
        wrong(r, "a session's number is behind");
    } else if (st == ST_NOTFOUND && r->may_evict) {
        r->evicted++;
        c->open = false;
    } else if (st == ST_NOTFOUND) {
        wrong(r, "a session is gone");
    }
}

static void on_done(struct group_proposal *p, int st, struct slice result)
{
    struct op *op = container_of(p, struct op, proposal);
    struct rig *r = op->host->rig;
    r->closed += op->kind == OP_PLAIN && st == ST_CLOSED;
    r->uncertain += op->kind == OP_PLAIN && st == ST_UNCERTAIN;
    if (op->kind == OP_PLAIN && st == 0) {
        uint64_t value = bytes_get_u64(result.data);
        if (value >= VALUES_MAX || r->seen[op->group][op->key][value])
            wrong(r, "two clients got the same count");
        else
            r->seen[op->group][op->key][value] = true;
        r->acked[op->group][op->key]++;
        r->plain_done++;
        if (value > r->highest[op->group][op->key])
            r->highest[op->group][op->key] = value;
    } else if (op->kind == OP_PLAIN && st == ST_CLOSED) {
        r->asked[op->group][op->key]--; /* surely not done */
    } else if (op->kind == OP_OPEN && st == 0) {
        struct client *c = &r->clients[op->group][op->client];
        for (unsigned i = 0; i < CLIENTS; i++)
            if (r->clients[op->group][i].open &&
                r->clients[op->group][i].session == bytes_get_u64(result.data))
                wrong(r, "two clients have one session");
        c->session = bytes_get_u64(result.data);
        c->number = 1;
        c->open = true;
    } else if (op->kind == OP_SESSION) {
        session_done(r, op, st, result);
    }
    op_end(op);
}

static void on_read(struct group_read *read, int st)
{
    struct op *op = container_of(read, struct op, read);
    struct rig *r = op->host->rig;
    char name[24];
    struct record record;
    struct group *g = groups_find(op->host->groups, op->group);
    if (st == 0) {
        struct key key = counter_key(g, op->key, name);
        st = group_look(g, &key, &record);
        uint64_t value = st == 0 ? counter_value(&record) : 0;
        if (st == ST_COLD)
            value = op->floor; /* not looked at further */
        if (value < op->floor)
            wrong(r, "a read is stale");
        if (st != ST_COLD && value > r->asked[op->group][op->key])
            wrong(r, "a read is of the future");
        r->reads++;
    }
    op_end(op);
}

static struct op *op_new(struct host *h, enum op_kind kind, unsigned group)
{
    struct op *op = mem_zalloc(sizeof(*op));
    op->host = h;
    op->kind = kind;
    op->group = group;
    op->begin_us = h->shard->now_us;
    op->proposal.done = on_done;
    op->read.done = on_read;
    list_node_init(&op->proposal.link);
    list_node_init(&op->read.link);
    list_push_back(&h->ops, &op->link);
    return op;
}

static void begin_session_op(struct host *h, struct group *g, unsigned group)
{
    struct rig *r = h->rig;
    unsigned n = (unsigned)prng_below(&r->prng, CLIENTS);
    struct client *c = &r->clients[group][n];
    if (c->busy)
        return;
    struct op *op = op_new(h, c->open ? OP_SESSION : OP_OPEN, group);
    uint8_t command = (uint8_t)(100 + n);
    op->client = n;
    c->busy = true;
    int st = c->open
                 ? group_propose(g, &op->proposal, c->session, c->number, slice_make(&command, 1))
                 : group_session_open(g, &op->proposal);
    if (st != 0)
        op_end(op);
}

static void begin_op(struct host *h, unsigned group)
{
    struct rig *r = h->rig;
    struct group *g = groups_find(h->groups, group);
    if (g == NULL || !group_leads(g))
        return;
    uint64_t what = prng_below(&r->prng, 4);
    if (what == 0 && r->no_sessions)
        return;
    if (what == 0) {
        begin_session_op(h, g, group);
        return;
    }
    unsigned key = (unsigned)prng_below(&r->prng, KEYS);
    struct op *op = op_new(h, what == 1 ? OP_READ : OP_PLAIN, group);
    uint8_t command = (uint8_t)key;
    op->key = key;
    op->floor = r->highest[group][key];
    int st = what == 1 ? group_read(g, &op->read)
                       : group_propose(g, &op->proposal, 0, 0, slice_make(&command, 1));
    if (st != 0)
        op_end(op);
    else if (what != 1)
        r->asked[group][key]++;
}

static void timeouts(struct host *h)
{
    list_foreach_safe (node, spare, &h->ops) {
        struct op *op = list_entry(node, struct op, link);
        if (h->shard->now_us - op->begin_us < OP_TIMEOUT_US)
            continue;
        group_cancel(&op->proposal);
        group_read_cancel(&op->read);
        op_end(op);
    }
}

static void load(struct world_event *event)
{
    struct rig *r = container_of(event, struct rig, load);
    for (unsigned i = 1; i <= r->count; i++)
        if (process_state(r->p[i]) == PROCESS_UP)
            process_ready(r->p[i]);
    world_after(r->world, event, 3000);
}

/* --- turns --- */

static void host_turn_begin(struct process *p)
{
    struct host *h = process_user(p);
    shard_turn_begin(h->shard);
}

static void host_message(struct process *p, unsigned from, struct slice bytes)
{
    struct host *h = process_user(p);
    groups_message(h->groups, bytes);
}

static void host_upkeep(struct host *h)
{
    struct env *env = process_env(h->p);
    if (h->shard->now_us < h->upkeep_us)
        return;
    h->upkeep_us = h->shard->now_us + (h->rig->often_flush ? 200000 : 1000000);
    timeouts(h);
    uint64_t end_lsn = env->ops->log_end_lsn(env);
    if (h->rig->often_flush || ++h->flushes % 4 == 0)
        engine_flush(h->engine, end_lsn);
    groups_rewrite(h->groups, end_lsn > 300000 ? end_lsn - 300000 : 0);
    uint64_t lsn = groups_retain_lsn(h->groups), flushed = engine_flushed_lsn(h->engine);
    process_truncate(h->p, flushed < lsn ? flushed : lsn);
}

static bool host_turn_end(struct process *p)
{
    struct host *h = process_user(p);
    for (uint64_t n = prng_below(&h->rig->prng, 4); h->rig->loading && n > 0; n--)
        begin_op(h, (unsigned)prng_below(&h->rig->prng, GROUPS));
    host_upkeep(h);
    groups_turn(h->groups);
    return shard_turn_end(h->shard);
}

static const struct process_app app = {
    .start = host_start,
    .replay = host_replay,
    .recovered = host_recovered,
    .turn_begin = host_turn_begin,
    .message = host_message,
    .turn_end = host_turn_end,
    .stop = host_stop,
};

/* --- the rig --- */

static uint64_t rig_work_us; /* of the next rig: how long a work takes; 0: not long */

static void rig_start(struct rig *r, uint64_t seed, unsigned processes)
{
    memset(r, 0, sizeof(*r));
    r->world = world_new(seed);
    r->count = processes;
    r->keep_bytes = 20000;
    r->prng = world_prng(r->world, "test", 0);
    struct net_rates rates = {.delay_min_us = 200,
                              .delay_mean_us = 2000,
                              .loss_permille = 10,
                              .double_permille = 10,
                              .reorder_permille = 20};
    r->net = net_new(r->world, PROCESSES_MAX, &rates);
    for (unsigned i = 1; i <= processes; i++) {
        struct process_options options = {
            .id = i, .world = r->world, .net = r->net, .app = &app, .ctx = r};
        options.work_mean_us = rig_work_us;
        for (unsigned g = 0; g < GROUPS; g++)
            r->id[i][g] = i * 100 + g;
        r->p[i] = process_new(&options);
        assert_int_equal(process_start(r->p[i]), 0);
    }
    r->loading = true;
    r->load.fire = load;
    world_after(r->world, &r->load, 1000);
}

static void rig_run(struct rig *r, uint64_t us)
{
    world_run_until(r->world, world_now_us(r->world) + us);
}

static void rig_end(struct rig *r)
{
    world_cancel(r->world, &r->load);
    for (unsigned i = 1; i <= r->count; i++)
        process_free(r->p[i]);
    net_free(r->net);
    world_free(r->world);
}

static struct host *host_of(struct rig *r, unsigned i)
{
    return process_state(r->p[i]) == PROCESS_UP ? process_user(r->p[i]) : NULL;
}

static struct group *group_of(struct rig *r, unsigned i, unsigned group)
{
    struct host *h = host_of(r, i);
    return h != NULL ? groups_find(h->groups, group) : NULL;
}

static unsigned leader_of(struct rig *r, unsigned group)
{
    for (unsigned i = 1; i <= r->count; i++) {
        struct group *g = group_of(r, i, group);
        if (g != NULL && group_leads(g))
            return i;
    }
    return 0;
}

/* Value of a counter as a replica has it, its tier asked directly when the row is not in memory. */
static uint64_t value_at(struct rig *r, unsigned i, unsigned group, unsigned n)
{
    struct host *h = host_of(r, i);
    struct group *g = groups_find(h->groups, group);
    char name[24];
    struct record record;
    struct key key = counter_key(g, n, name);
    int st = engine_get(h->engine, &key, &record);
    if (st != ST_COLD)
        return st == 0 && record_live(&record, 0) ? counter_value(&record) : 0;
    BUFFER_AUTO struct buffer row = {0}, value = {0};
    struct tier *tier = process_tier(r->p[i]);
    row_key_encode(&row, (uint16_t)group, engine_partition(h->engine, (uint16_t)group)->generation,
                   0, key.bytes);
    if (tier->ops->get(tier, buffer_slice(&row), false, &value) != 0 ||
        record_decode(buffer_slice(&value), &record) != 0)
        return 0;
    return record_live(&record, 0) ? counter_value(&record) : 0;
}

/* All alive and whole for a while; then everything must add up. */
static void rig_settle(struct rig *r)
{
    net_heal(r->net);
    for (unsigned round = 0; round < 2; round++) { /* some still have their death before them */
        for (unsigned i = 1; i <= r->count; i++)
            if (process_state(r->p[i]) == PROCESS_DOWN && process_start(r->p[i]) != 0 &&
                i != r->damaged)
                wrong(r, "a process does not start");
        rig_run(r, 4000000);
    }
    r->loading = false;
    rig_run(r, 8000000);
}

static void rig_check(struct rig *r)
{
    for (unsigned g = 0; g < GROUPS && r->wrong == NULL; g++) {
        unsigned leader = leader_of(r, g);
        if (leader == 0) {
            wrong(r, "no leader");
            return;
        }
        for (unsigned k = 0; k < KEYS; k++) {
            uint64_t value = value_at(r, leader, g, k);
            if (value < r->acked[g][k])
                wrong(r, "an answered command is lost");
            if (value > r->asked[g][k])
                wrong(r, "a command was done twice");
        }
        for (unsigned c = 0; c < CLIENTS; c++) {
            uint64_t value = value_at(r, leader, g, 100 + c);
            if (value < r->clients[g][c].done || value > r->clients[g][c].done + 1)
                wrong(r, "a session's command was lost or done twice");
        }
        struct group_status lead;
        group_status(group_of(r, leader, g), &lead);
        for (unsigned i = 1; i <= r->count; i++) {
            struct group_status status;
            if (i == r->damaged)
                continue;
            if (group_of(r, i, g) == NULL) {
                wrong(r, "a replica is missing");
                return;
            }
            group_status(group_of(r, i, g), &status);
            if (status.state != GROUP_RUNNING)
                wrong(r, "a replica stopped");
            if (status.raft.applied != lead.raft.applied)
                wrong(r, "a replica is behind");
            for (unsigned k = 0; k < 100 + CLIENTS && r->wrong == NULL; k++)
                if (value_at(r, i, g, k) != value_at(r, leader, g, k))
                    wrong(r, "replicas differ");
        }
    }
}

static void print_state(struct rig *r)
{
    for (unsigned i = 1; i <= r->count; i++) {
        struct groups_counters c;
        if (host_of(r, i) == NULL)
            continue;
        groups_counters(host_of(r, i)->groups, &c);
        print_message("process %u messages out %" PRIu64 " in %" PRIu64 " dropped group %" PRIu64
                      " malformed %" PRIu64 " room %" PRIu64 " snapshots sent %" PRIu64
                      " installed %" PRIu64 "\n",
                      i, c.messages_out, c.messages_in, c.dropped_group, c.dropped_malformed,
                      c.dropped_room, c.snapshots_sent, c.snapshots_installed);
    }
    for (unsigned i = 1; i <= r->count; i++)
        for (unsigned g = 0; g < GROUPS; g++) {
            struct group_status s;
            if (group_of(r, i, g) == NULL)
                continue;
            group_status(group_of(r, i, g), &s);
            print_message("process %u group %u state %d role %d term %" PRIu64 " last %" PRIu64
                          " commit %" PRIu64 " applied %" PRIu64 " first %" PRIu64 "\n",
                          i, g, s.state, s.raft.role, s.raft.term, s.raft.last_index, s.raft.commit,
                          s.raft.applied, s.raft.first_index);
        }
}

static void verdict(struct rig *r, uint64_t seed)
{
    if (r->wrong == NULL)
        return;
    print_state(r);
    fail_msg("seed %" PRIu64 ": %s", seed, r->wrong);
}

static void test_quiet(void **state)
{
    rig_start(&rig, 1, 3);
    rig_run(&rig, 10000000);
    rig_settle(&rig);
    rig_check(&rig);
    verdict(&rig, 1);
    assert_true(rig.plain_done > 500);
    assert_true(rig.session_done > 100);
    assert_true(rig.reads > 200);
    rig_end(&rig);
}

static void test_one_voter(void **state)
{
    rig_start(&rig, 2, 1);
    rig_run(&rig, 5000000);
    process_die(rig.p[1], PROCESS_KILL);
    assert_int_equal(process_start(rig.p[1]), 0);
    for (uint16_t g = 0; g < GROUPS; g++) { /* further entries of that millisecond may follow */
        const struct engine_partition *p = engine_partition(host_of(&rig, 1)->engine, g);
        assert_true(p->stamp != 0);
        assert_true(p->judge_ms == hlc_wall_ms(p->stamp));
    }
    rig_run(&rig, 3000000);
    rig_settle(&rig);
    rig_check(&rig);
    verdict(&rig, 2);
    assert_true(rig.plain_done > 300);
    rig_end(&rig);
}

/* A session that was not used for long gets an error, never a second application; its row goes. */
static void test_eviction(void **state)
{
    rig_start(&rig, 3, 3);
    rig.session_idle = 400;
    rig.often_flush = true;
    for (unsigned i = 1; i <= 3; i++) { /* with that setting from their first entry on */
        process_die(rig.p[i], PROCESS_KILL);
        assert_int_equal(process_start(rig.p[i]), 0);
    }
    rig_run(&rig, 3000000);
    rig.no_sessions = true;
    rig_run(&rig, 6000000);
    rig.no_sessions = false;
    rig.may_evict = true;
    rig_run(&rig, 3000000);
    rig_settle(&rig);
    verdict(&rig, 3);
    assert_int_equal(rig.evicted, GROUPS * CLIENTS);
    for (unsigned i = 1; i <= 3; i++) {
        struct groups_counters c;
        groups_counters(host_of(&rig, i)->groups, &c);
        assert_int_equal(c.sessions_evicted, GROUPS * CLIENTS); /* by each replica */
    }
    rig_end(&rig);
}

/* What a leader proposed and lost is answered as such when it leads again, and does not stand in
 * the way of what it proposes then, which has lower indexes. */
static void test_lost_and_won(void **state)
{
    rig_start(&rig, 7, 3);
    rig_run(&rig, 2000000);
    unsigned leader = leader_of(&rig, 0);
    for (unsigned i = 1; i <= 3; i++)
        if (i != leader) {
            net_block(rig.net, leader, i);
            net_block(rig.net, i, leader);
        }
    rig_run(&rig, 200000); /* it still leads, and nobody hears of it */
    rig.loading = false;
    rig_run(&rig, 1500000);
    uint64_t lost = rig.uncertain + rig.closed;
    net_heal(rig.net);
    rig_run(&rig, 500000); /* they lead, its log is cut */
    assert_true(rig.closed > lost + 20);
    for (unsigned g = 0; g < GROUPS; g++)
        if (leader_of(&rig, g) != leader)
            group_transfer(group_of(&rig, leader_of(&rig, g), g), leader * 100 + g);
    rig_run(&rig, 300000);
    assert_int_equal(leader_of(&rig, 0), leader);
    uint64_t done = rig.plain_done;
    rig.loading = true;
    rig_run(&rig, 500000);
    assert_int_equal(rig.uncertain, 0);
    assert_true(rig.plain_done > done + 20);
    rig_settle(&rig);
    rig_check(&rig);
    verdict(&rig, 7);
    rig_end(&rig);
}

/* The others may be given up as soon as the group of one is committed: a power cut does not bring
 * back the configuration that needs them. */
static void test_shrunk(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        rig_start(&rig, seed, 3);
        rig_run(&rig, 2000000);
        rig.loading = false;
        rig_run(&rig, 1000000);
        unsigned leader = leader_of(&rig, 0);
        struct group_status status = {0};
        struct raft_config one = {0};
        raft_config_set(&one, leader * 100, leader, RAFT_VOTER);
        assert_int_equal(group_change(group_of(&rig, leader, 0), &one), 0);
        process_ready(rig.p[leader]);
        for (unsigned i = 0; i < 5000; i++) {
            group_status(group_of(&rig, leader, 0), &status);
            if (group_config(group_of(&rig, leader, 0))->count == 1 && status.raft.config_committed)
                break;
            rig_run(&rig, 100);
        }
        assert_true(status.raft.config_committed);
        process_die(rig.p[leader], PROCESS_POWERCUT);
        assert_int_equal(process_start(rig.p[leader]), 0);
        assert_int_equal(group_config(group_of(&rig, leader, 0))->count, 1);
        rig_end(&rig);
    }
}

/* The clock's reservation is used up, as on a disk that is full for long: writes are refused until
 * it goes on. */
static void test_no_stamps(void **state)
{
    uint64_t last[4], done;
    rig_start(&rig, 6, 3);
    rig_run(&rig, 3000000);
    for (unsigned i = 1; i <= 3; i++) {
        struct hlc *hlc = &host_of(&rig, i)->shard->hlc;
        last[i] = hlc->last;
        hlc->last = UINT64_MAX - 10;
    }
    rig_run(&rig, 500000);
    done = rig.plain_done;
    rig_run(&rig, 1000000);
    assert_int_equal(rig.plain_done, done);
    for (unsigned i = 1; i <= 3; i++)
        host_of(&rig, i)->shard->hlc.last = last[i];
    rig_run(&rig, 3000000);
    assert_true(rig.plain_done > done + 100);
    rig_settle(&rig);
    rig_check(&rig);
    verdict(&rig, 6);
    rig_end(&rig);
}

/* A disk that takes far longer than an election's timeout for each chunk: one stream is enough, and
 * nothing is kept for it when it has arrived. */
static void test_slow_snapshot(void **state)
{
    uint64_t sent = 0, installed = 0;
    rig_work_us = 2000000;
    rig_start(&rig, 4, 3);
    rig_work_us = 0;
    rig.often_flush = true;
    rig.keep_bytes = 500;
    rig_run(&rig, 3000000);
    process_die(rig.p[3], PROCESS_KILL);
    rig_run(&rig, 20000000);
    rig.loading = false;
    rig_run(&rig, 80000000); /* all is flushed */
    assert_int_equal(process_start(rig.p[3]), 0);
    for (unsigned i = 0; i < 100 && installed < GROUPS; i++) {
        struct groups_counters c;
        rig_run(&rig, 1000000);
        groups_counters(host_of(&rig, 3)->groups, &c);
        installed = c.snapshots_installed;
    }
    rig_run(&rig, 2000000);
    rig_check(&rig);
    verdict(&rig, 4);
    for (unsigned i = 1; i <= 3; i++) {
        struct groups_counters c;
        groups_counters(host_of(&rig, i)->groups, &c);
        sent += c.snapshots_sent;
        for (unsigned g = 0; g < GROUPS; g++)
            assert_true(group_snapshot_pinned(group_of(&rig, i, g)) == UINT64_MAX);
    }
    assert_int_equal(installed, GROUPS);
    assert_int_equal(sent, GROUPS);
    rig_end(&rig);
}

/* Faults of one seed. */
static void storm(struct rig *r, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        unsigned n = 1 + (unsigned)prng_below(&r->prng, r->count);
        unsigned m = 1 + (unsigned)prng_below(&r->prng, r->count);
        switch (prng_below(&r->prng, 6)) {
        case 0:
        case 1:
            process_die(r->p[n], prng_below(&r->prng, 2) ? PROCESS_KILL : PROCESS_POWERCUT);
            break;
        case 2:
            if (process_state(r->p[n]) == PROCESS_UP)
                process_pause(r->p[n], prng_below(&r->prng, 2000000));
            break;
        case 3:
            if (n != m)
                net_block(r->net, n, m);
            break;
        case 4:
            net_heal(r->net);
            break;
        default:
            if (process_state(r->p[n]) == PROCESS_UP)
                process_die_at_op(r->p[n], prng_below(&r->prng, 40), 1000000);
        }
        rig_run(r, 100000 + prng_below(&r->prng, 900000));
        for (unsigned k = 1; k <= r->count; k++)
            if (process_state(r->p[k]) == PROCESS_DOWN && prng_below(&r->prng, 3) != 0 &&
                process_start(r->p[k]) != 0) {
                print_message("process %u: %s\n", k, process_refusal(r->p[k]));
                wrong(r, "a process does not start");
            }
    }
    for (unsigned k = 1; k <= r->count; k++) { /* wakes those that pause */
        if (process_state(r->p[k]) == PROCESS_PAUSED)
            rig_run(r, 2000000);
    }
}

static const char *storm_seed(uint64_t seed, unsigned rounds)
{
    rig_start(&rig, seed, 3 + 2 * (seed % 4 == 0));
    rig.often_flush = seed % 2;
    rig.small_cache = seed % 5 < 2;
    rig.keep_bytes = seed % 3 == 0 ? 500 : 20000;
    rig_run(&rig, 2000000);
    storm(&rig, rounds);
    rig_settle(&rig);
    rig_check(&rig);
    const char *why = rig.wrong;
    if (why != NULL)
        print_state(&rig);
    return why;
}

static void test_storms(void **state)
{
    uint64_t done = 0, sent = 0, installed = 0;
    for (uint64_t seed = 100; seed < 108; seed++) {
        const char *why = storm_seed(seed, 25);
        if (why != NULL)
            fail_msg("seed %" PRIu64 ": %s", seed, why);
        done += rig.plain_done + rig.session_done;
        for (unsigned i = 1; i <= rig.count; i++) {
            struct groups_counters c;
            groups_counters(host_of(&rig, i)->groups, &c);
            sent += c.snapshots_sent;
            installed += c.snapshots_installed;
        }
        rig_end(&rig);
    }
    print_message("commands %" PRIu64 " snapshots sent %" PRIu64 " installed %" PRIu64 "\n", done,
                  sent, installed);
    assert_true(done > 10000);
}

/* --- a replica that lost its past --- */

static void change(struct rig *r, unsigned g, uint64_t remove, uint64_t add, unsigned node,
                   uint8_t role)
{
    for (unsigned i = 0; i < 300; i++) {
        unsigned leader = leader_of(r, g);
        if (leader != 0) {
            struct group *group = group_of(r, leader, g);
            struct raft_config config = *group_config(group);
            const struct raft_member *m = raft_config_find(&config, add);
            bool there = m != NULL && m->role == role && raft_config_find(&config, remove) == NULL;
            if (there && !raft_config_joint(&config))
                return;
            raft_config_set(&config, remove, 0, 0);
            raft_config_set(&config, add, node, role);
            if (!there)
                group_change(group, &config);
            process_ready(r->p[leader]);
        }
        rig_run(r, 50000);
    }
    wrong(r, "a change does not come through");
}

/* Its replicas are given up, and new ones take their place. */
static void rejoin(struct rig *r, unsigned i, uint64_t life)
{
    for (unsigned g = 0; g < GROUPS; g++) {
        uint64_t was = i * 100 + g, id = life * 1000 + i * 100 + g;
        r->id[i][g] = id;
        groups_destroy(host_of(r, i)->groups, g);
        int st = ST_AGAIN;
        for (unsigned n = 0; n < 100 && st == ST_AGAIN; n++) {
            st = groups_add(host_of(r, i)->groups, g, id, &(struct raft_config){0});
            process_ready(r->p[i]);
            rig_run(r, 50000);
        }
        assert_int_equal(st, 0);
        change(r, g, was, id, i, RAFT_LEARNER);
        change(r, g, was, id, i, RAFT_VOTER);
    }
}

static void lost_past(uint64_t seed, bool wipe)
{
    struct process_copy *copy = NULL;
    rig_start(&rig, seed, 3);
    rig.often_flush = seed % 2;
    rig.keep_bytes = seed % 3 == 0 ? 500 : 20000;
    rig_run(&rig, 3000000);
    process_die(rig.p[3], PROCESS_KILL);
    if (!wipe)
        copy = process_copy_take(rig.p[3]);
    if (!wipe) {
        assert_int_equal(process_start(rig.p[3]), 0);
        rig_run(&rig, 2000000);
        process_die(rig.p[3], PROCESS_KILL);
        process_restore(rig.p[3], copy);
        process_copy_free(copy);
    } else {
        process_wipe(rig.p[3]);
    }
    rig.id[3][0] = rig.id[3][1] = 0;
    assert_int_equal(process_start(rig.p[3]), 0);
    rig_run(&rig, 1000000);
    for (unsigned g = 0; g < GROUPS; g++) {
        struct group_status status;
        assert_true((group_of(&rig, 3, g) == NULL) == wipe);
        if (wipe)
            continue;
        group_status(group_of(&rig, 3, g), &status);
        assert_int_equal(status.state, GROUP_ORPHAN);
    }
    rejoin(&rig, 3, 1 + seed);
    storm(&rig, 5);
    rig_settle(&rig);
    rig_check(&rig);
    verdict(&rig, seed);
    rig_end(&rig);
}

/* The log of a replica that is destroyed stays until its end is synced: a power cut before must
 * find it whole, or not at all. */
static void test_destroyed(void **state)
{
    rig_start(&rig, 5, 3);
    rig_run(&rig, 3000000);
    struct host *h = host_of(&rig, 3);
    uint64_t before = groups_retain_lsn(h->groups);
    assert_true(before < UINT64_MAX);
    for (unsigned g = 0; g < GROUPS; g++)
        assert_int_equal(groups_destroy(h->groups, g), 0);
    assert_true(groups_retain_lsn(h->groups) <= before);
    process_ready(rig.p[3]);
    rig_run(&rig, 100);
    assert_true(groups_retain_lsn(h->groups) <= before);
    rig_run(&rig, 500000);
    assert_true(groups_retain_lsn(h->groups) == UINT64_MAX);
    process_die(rig.p[3], PROCESS_POWERCUT);
    rig.id[3][0] = rig.id[3][1] = 0;
    assert_int_equal(process_start(rig.p[3]), 0);
    assert_null(group_of(&rig, 3, 0));
    rig_end(&rig);
}

/* Bits of one replica's disk flip: it stops, or does not start, or has not yet read them. What it
 * answers and sends is right whatever happens. */
static void test_rotten(void **state)
{
    unsigned stopped = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        rig_start(&rig, seed, 3);
        rig.often_flush = rig.small_cache = true;
        rig.damaged = 3;
        rig.keep_bytes = 500;
        rig_run(&rig, 3000000);
        rig.loading = false; /* all is flushed, and not written again */
        rig_run(&rig, 2000000);
        rig.loading = true;
        process_die(rig.p[3], PROCESS_KILL); /* nothing is in memory */
        for (unsigned n = 0; n < 4; n++)
            process_rot(rig.p[3], seed * 10 + n, seed % 4 != 0);
        refused += process_start(rig.p[3]) != 0;
        rig_run(&rig, 1000000);
        process_die(rig.p[1], PROCESS_KILL); /* so that others lead, and need snapshots */
        rig_run(&rig, 3000000);
        rig_settle(&rig);
        rig_check(&rig);
        verdict(&rig, seed);
        for (unsigned g = 0; g < GROUPS; g++) {
            struct group_status status = {0};
            if (group_of(&rig, 3, g) != NULL)
                group_status(group_of(&rig, 3, g), &status);
            stopped += status.state == GROUP_STOPPED;
        }
        rig_end(&rig);
    }
    print_message("stopped %u, refused %u\n", stopped, refused);
    assert_true(stopped + refused > 0);
}

static void test_wiped(void **state)
{
    for (uint64_t seed = 1; seed < 4; seed++)
        lost_past(seed, true);
}

static void test_restored(void **state)
{
    for (uint64_t seed = 1; seed < 4; seed++)
        lost_past(seed, false);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet),     cmocka_unit_test(test_one_voter),
        cmocka_unit_test(test_eviction),  cmocka_unit_test(test_slow_snapshot),
        cmocka_unit_test(test_no_stamps), cmocka_unit_test(test_lost_and_won),
        cmocka_unit_test(test_shrunk),    cmocka_unit_test(test_destroyed),
        cmocka_unit_test(test_storms),    cmocka_unit_test(test_rotten),
        cmocka_unit_test(test_wiped),     cmocka_unit_test(test_restored),
    };
    if (argc > 2) { /* test_group BUG SEEDS: which seed finds it */
        planted_bug = planted_find(argv[1]);
        for (uint64_t seed = 100; seed < 100 + strtoull(argv[2], NULL, 10); seed++) {
            const char *why = storm_seed(seed, 25);
            rig_end(&rig);
            if (why != NULL) {
                print_message("%s: seed %" PRIu64 ": %s\n", argv[1], seed, why);
                return 1;
            }
        }
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
