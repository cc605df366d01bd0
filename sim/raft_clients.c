#include "sim/raft_clients.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/raft_frame.h"

#define OPS_MAX         ((size_t)1 << 18)
#define REDIRECTS_MAX   3
#define BACKOFF_MIN_US  4000 /* doubled with each attempt */
#define BACKOFF_DOUBLED 7
#define ATTEMPTS_MAX    40      /* then a client dies, unless all is healed */
#define BEHIND_MAX_US   1000000 /* what was missed longer ago is not made up for */
#define LARGE_BYTES_MAX KV_PAD_BYTES_MAX
#define UNKNOWN_MAX     8   /* outcomes of one key */
#define PACE_PERCENT    110 /* of the operations wanted: some are never answered */

enum lane_state {
    LANE_IDLE,    /* the event begins the next operation */
    LANE_WAITING, /* ... is the time-out */
    LANE_BACKOFF, /* ... sends again */
    LANE_STOPPED,
};

struct lane {
    struct raft_clients *of;
    struct world_event event;
    unsigned client, number;
    bool sessions;
    enum lane_state state;
    uint64_t next_us; /* by its pace */

    /* of the operation at hand */
    struct kv_command command;
    uint32_t group;
    bool recorded; /* in the history, as history_id */
    size_t history_id;
    uint64_t began_us, floor, attempt;
    unsigned target, redirects, attempts;
    uint8_t last_reply;   /* enum raft_reply_kind */
    bool opening, unsure; /* an attempt may have been executed */

    struct {
        uint64_t id, number;
    } session[RAFT_PLAN_GROUPS_MAX];
    uint64_t done_after_heal;
};

struct raft_clients {
    struct raft_run *run;
    struct prng random;
    struct lane *lanes;
    unsigned count;
    struct history history;
    uint64_t moment, op_next, attempt_next, completed, pace_us, heal_us;
    bool healed, quiet;
    unsigned leader[RAFT_PLAN_CLIENTS_MAX][RAFT_PLAN_GROUPS_MAX]; /* as each believes */
    uint64_t key_at[RAFT_PLAN_KEYS_AT_ONCE];                      /* the key in each place */
    uint8_t unknown[RAFT_PLAN_KEYS_MAX]; /* outcomes, of recorded operations */
    int64_t seen[RAFT_PLAN_KEYS_MAX];    /* what somebody saw last */
    uint8_t *delivered;                  /* a bit an attempt */
    size_t delivered_cap;
    struct buffer frame, command;
};

static const struct raft_plan *plan_of(const struct raft_clients *c)
{
    return &c->run->plan;
}

static struct world *world_of(const struct raft_clients *c)
{
    return c->run->world;
}

static uint64_t now_us(const struct raft_clients *c)
{
    return world_now_us(c->run->world);
}

static bool percent(struct raft_clients *c, unsigned p)
{
    return prng_below(&c->random, 100) < p;
}

bool raft_clients_first(struct raft_clients *c, uint64_t attempt)
{
    size_t byte = attempt / 8;
    if (byte >= c->delivered_cap) {
        size_t cap = c->delivered_cap == 0 ? 4096 : c->delivered_cap;
        while (cap <= byte)
            cap *= 2;
        c->delivered = mem_realloc(c->delivered, cap);
        memset(c->delivered + c->delivered_cap, 0, cap - c->delivered_cap);
        c->delivered_cap = cap;
    }
    bool first = !(c->delivered[byte] >> attempt % 8 & 1);
    c->delivered[byte] |= (uint8_t)(1 << attempt % 8);
    return first;
}

/* --- sending --- */

static void lane_send(struct lane *l)
{
    struct raft_clients *c = l->of;
    bool in_session = l->sessions && l->command.kind != LINEAR_READ;
    l->opening = in_session && l->session[l->group].id == 0;
    l->attempt = c->attempt_next++;
    l->attempts++;
    buffer_clear(&c->command);
    kv_command_encode(&c->command, &l->command);
    struct raft_request r = {
        .attempt = l->attempt,
        .kind = l->opening                       ? FRAME_OPEN
                : l->command.kind == LINEAR_READ ? FRAME_READ
                                                 : FRAME_COMMAND,
        .group = l->group,
    };
    if (!l->opening)
        r.command = buffer_slice(&c->command);
    if (in_session && !l->opening) {
        r.session = l->session[l->group].id;
        r.number = l->session[l->group].number;
    }
    buffer_clear(&c->frame);
    raft_request_encode(&c->frame, &r);
    net_send(c->run->net, raft_run_client(c->run, l->client), l->target, buffer_slice(&c->frame));
    l->state = LANE_WAITING;
    world_after(world_of(c), &l->event, plan_of(c)->timeout_us);
}

static unsigned any_node(struct raft_clients *c)
{
    return 1 + (unsigned)prng_below(&c->random, plan_of(c)->nodes);
}

static void lane_elsewhere(struct lane *l)
{
    l->target = any_node(l->of);
    l->of->leader[l->client][l->group] = l->target;
}

static void lane_backoff(struct lane *l)
{
    struct raft_clients *c = l->of;
    unsigned doubled = l->attempts < BACKOFF_DOUBLED ? l->attempts : BACKOFF_DOUBLED;
    uint64_t span_us = (uint64_t)BACKOFF_MIN_US << doubled;
    l->redirects = 0;
    l->state = LANE_BACKOFF;
    world_after(world_of(c), &l->event, BACKOFF_MIN_US + prng_below(&c->random, span_us));
}

/* --- operations --- */

static void lane_rest(struct lane *l)
{
    struct raft_clients *c = l->of;
    l->next_us += net_exponential(&c->random, c->pace_us) + 1;
    if (l->next_us + BEHIND_MAX_US < now_us(c))
        l->next_us = now_us(c);
    l->state = c->quiet ? LANE_STOPPED : LANE_IDLE;
    if (c->quiet)
        world_cancel(world_of(c), &l->event);
    else
        world_at(world_of(c), &l->event, l->next_us);
}

/* What nobody knows can have happened at any time since: with many such operations a key's history
 * is too hard to judge. Another key takes its place. */
static void key_spent(struct raft_clients *c, uint64_t key)
{
    uint64_t *place = &c->key_at[key % plan_of(c)->keys];
    if (c->unknown[key] < UNKNOWN_MAX)
        c->unknown[key]++;
    if (c->unknown[key] == UNKNOWN_MAX && *place == key &&
        key + plan_of(c)->keys < RAFT_PLAN_KEYS_MAX)
        *place += plan_of(c)->keys;
}

/* Nobody will know whether it was done. A later number of the session keeps it from being done
 * after that. */
static void lane_abandon(struct lane *l)
{
    key_spent(l->of, l->command.key);
    world_trace(world_of(l->of), raft_run_client(l->of->run, l->client), "abandon",
                {"op", l->command.op}, {"attempts", l->attempts});
    lane_rest(l);
}

static void lane_done(struct lane *l, const struct raft_reply *r)
{
    struct raft_clients *c = l->of;
    uint64_t key = l->command.key;
    bool read = l->command.kind == LINEAR_READ;
    if (l->recorded)
        history_return(&c->history, l->history_id, c->moment++, r->value);
    if (read)
        raft_check_read_done(c->run->check, l->client, key, l->floor, r->index);
    else
        raft_check_write_done(c->run->check, key, r->index);
    if (l->command.kind == LINEAR_WRITE || (l->command.kind == LINEAR_CAS && r->value == 1))
        c->seen[key] = l->command.arg;
    else if (read || l->command.kind == LINEAR_INCR)
        c->seen[key] = r->value;
    else if (l->command.kind == LINEAR_DELETE)
        c->seen[key] = LINEAR_ABSENT;
    c->completed++;
    if (c->healed && l->began_us >= c->heal_us)
        l->done_after_heal++;
    world_trace(world_of(c), raft_run_client(c->run, l->client), "done", {"op", l->command.op},
                {"key", key}, {"value", (uint64_t)r->value}, {"index", r->index});
    lane_rest(l);
}

static bool counts(const struct raft_clients *c, uint64_t key)
{
    return key % plan_of(c)->keys * 100 / plan_of(c)->keys < plan_of(c)->counter_percent;
}

/* Its values expire by the time of the log: replicas must agree when, but for the history it is no
 * register. */
static bool fades(const struct raft_clients *c, uint64_t key)
{
    return key % plan_of(c)->keys * 37 % 100 < plan_of(c)->fading_percent;
}

static uint32_t draw_pad(struct raft_clients *c)
{
    if (prng_below(&c->random, 1000) < plan_of(c)->large_permille)
        return (uint32_t)prng_below(&c->random, LARGE_BYTES_MAX);
    return (uint32_t)prng_below(&c->random, plan_of(c)->pad_bytes_max + 1);
}

static struct kv_command draw_command(struct raft_clients *c)
{
    uint64_t place = prng_below(&c->random, plan_of(c)->keys);
    struct kv_command d = {.op = ++c->op_next, .key = c->key_at[place]};
    unsigned what = (unsigned)prng_below(&c->random, 100);
    if (percent(c, plan_of(c)->read_percent)) {
        d.kind = LINEAR_READ;
        return d;
    }
    if (what < 5) {
        d.kind = LINEAR_DELETE;
        return d;
    }
    if (counts(c, d.key)) {
        d.kind = LINEAR_INCR;
        d.arg = 1 + (int64_t)(d.key % 5);
    } else {
        d.kind = what < 55 ? LINEAR_WRITE : LINEAR_CAS;
        d.arg = (int64_t)d.op;
    }
    if (d.kind == LINEAR_CAS)
        d.expected = percent(c, 85) ? c->seen[d.key] : LINEAR_ABSENT;
    d.pad_bytes = draw_pad(c);
    if (fades(c, d.key))
        d.ttl_ms = 1 + prng_below(&c->random, plan_of(c)->fade_ms_max);
    return d;
}

/* One that stands still and may have led before: what it is asked meanwhile it answers, if at all,
 * when it goes on, before anything else reached it. Else the node given. */
static unsigned paused_node(struct raft_clients *c, unsigned otherwise)
{
    unsigned first = (unsigned)prng_below(&c->random, plan_of(c)->nodes);
    for (unsigned i = 0; i < plan_of(c)->nodes; i++) {
        unsigned node = (first + i) % plan_of(c)->nodes;
        if (process_state(c->run->processes[node]) == PROCESS_PAUSED)
            return node + 1;
    }
    return otherwise;
}

static void lane_begin(struct lane *l)
{
    struct raft_clients *c = l->of;
    l->command = draw_command(c);
    l->group = (uint32_t)(l->command.key % plan_of(c)->groups);
    l->began_us = now_us(c);
    l->floor = raft_check_acknowledged(c->run->check, l->command.key);
    l->attempts = l->redirects = 0;
    l->unsure = false;
    l->target = c->leader[l->client][l->group];
    if (percent(c, 2))
        l->target = any_node(c); /* who led before may think that it still does */
    if (l->command.kind == LINEAR_READ && percent(c, 25))
        l->target = paused_node(c, l->target);
    l->session[l->group].number++;
    struct linear_op op = {
        .key = l->command.key,
        .client = l->client * RAFT_PLAN_LANES_MAX + l->number,
        .kind = l->command.kind,
        .arg = l->command.arg,
        .expected = l->command.expected,
    };
    l->recorded = !fades(c, op.key);
    if (l->recorded)
        CHECK(history_call(&c->history, &op, c->moment++, &l->history_id) == 0);
    lane_send(l);
}

static void lane_timeout(struct lane *l)
{
    bool repeats = l->opening || l->sessions || l->command.kind == LINEAR_READ;
    if (!l->opening)
        l->unsure = true;
    lane_elsewhere(l);
    if (!repeats || (l->attempts >= ATTEMPTS_MAX && !l->of->healed))
        lane_abandon(l);
    else
        lane_send(l);
}

static void lane_fire(struct world_event *event)
{
    struct lane *l = container_of(event, struct lane, event);
    switch (l->state) {
    case LANE_IDLE:
        lane_begin(l);
        break;
    case LANE_WAITING:
        lane_timeout(l);
        break;
    case LANE_BACKOFF:
        lane_send(l);
        break;
    case LANE_STOPPED:
        break;
    }
}

/* --- replies --- */

/* The node says who leads: believe it a few times in a row, then wait a little. */
static void lane_redirect(struct lane *l, const struct raft_reply *r)
{
    struct raft_clients *c = l->of;
    bool hint =
        r->leader_node >= 1 && r->leader_node <= plan_of(c)->nodes && r->leader_node != l->target;
    if (hint && l->redirects++ < REDIRECTS_MAX) {
        l->target = (unsigned)r->leader_node;
        c->leader[l->client][l->group] = l->target;
        lane_send(l);
        return;
    }
    lane_elsewhere(l);
    lane_backoff(l);
}

static void lane_opened(struct lane *l, const struct raft_reply *r)
{
    if (r->kind == REPLY_DONE) {
        l->session[l->group].id = (uint64_t)r->value;
        l->session[l->group].number = 1;
        lane_send(l);
    } else if (r->kind == REPLY_ELSEWHERE) {
        lane_redirect(l, r);
    } else {
        lane_backoff(l);
    }
}

static void lane_uncertain(struct lane *l)
{
    if (!l->sessions && l->command.kind != LINEAR_READ) {
        lane_abandon(l);
        return;
    }
    l->unsure = true;
    lane_backoff(l);
}

static void lane_evicted(struct lane *l)
{
    l->session[l->group].id = 0;
    if (l->unsure)
        lane_abandon(l);
    else
        lane_send(l);
}

static void on_reply(void *ctx, unsigned from, struct slice bytes)
{
    struct raft_clients *c = ((struct lane *)ctx)->of;
    struct lane *first = ctx, *l = NULL;
    struct raft_reply r;
    CHECK(raft_reply_decode(bytes, &r) == 0);
    for (unsigned i = 0; i < plan_of(c)->lanes && l == NULL; i++)
        if (first[i].state == LANE_WAITING && first[i].attempt == r.attempt)
            l = &first[i];
    if (l == NULL)
        return; /* it waits no more */
    l->last_reply = r.kind;
    if (l->opening) {
        lane_opened(l, &r);
        return;
    }
    switch (r.kind) {
    case REPLY_DONE:
        c->leader[l->client][l->group] = from;
        lane_done(l, &r);
        break;
    case REPLY_ELSEWHERE:
        lane_redirect(l, &r);
        break;
    case REPLY_UNCERTAIN:
        lane_uncertain(l);
        break;
    case REPLY_NO_SESSION:
        lane_evicted(l);
        break;
    case REPLY_FAILED:
        lane_elsewhere(l);
        lane_backoff(l);
        break;
    default:
        lane_backoff(l);
        break;
    }
}

/* --- life --- */

struct raft_clients *raft_clients_new(struct raft_run *run)
{
    struct raft_clients *c = mem_zalloc(sizeof(*c));
    const struct raft_plan *plan = &run->plan;
    c->run = run;
    c->random = world_prng(run->world, "raft clients", 0);
    c->history.ops_max = OPS_MAX;
    c->count = plan->clients * plan->lanes;
    c->lanes = mem_zalloc(c->count * sizeof(*c->lanes));
    c->pace_us = plan->faulty_us * c->count / RAFT_PLAN_OPERATIONS * 100 / PACE_PERCENT;
    for (unsigned k = 0; k < plan->keys; k++)
        c->key_at[k] = k;
    for (unsigned k = 0; k < RAFT_PLAN_KEYS_MAX; k++)
        c->seen[k] = LINEAR_ABSENT;
    for (unsigned i = 0; i < c->count; i++) {
        struct lane *l = &c->lanes[i];
        l->of = c;
        l->event.fire = lane_fire;
        l->client = i / plan->lanes;
        l->number = i % plan->lanes;
        l->sessions = percent(c, plan->session_percent);
        l->next_us = prng_below(&c->random, c->pace_us + 1);
        world_at(run->world, &l->event, l->next_us);
    }
    for (unsigned i = 0; i < plan->clients; i++) {
        net_attach(run->net, raft_run_client(run, i), on_reply, &c->lanes[i * plan->lanes]);
        for (unsigned g = 0; g < plan->groups; g++)
            c->leader[i][g] = any_node(c);
    }
    return c;
}

void raft_clients_free(struct raft_clients *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->count; i++)
        world_cancel(world_of(c), &c->lanes[i].event);
    history_free(&c->history);
    buffer_free(&c->frame);
    buffer_free(&c->command);
    free(c->delivered);
    free(c->lanes);
    free(c);
}

void raft_clients_heal(struct raft_clients *c)
{
    c->healed = true;
    c->heal_us = now_us(c);
}

static bool lane_lively(const struct raft_clients *c, const struct lane *l)
{
    return l->done_after_heal > 0;
}

bool raft_clients_lively(const struct raft_clients *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (!lane_lively(c, &c->lanes[i]))
            return false;
    return true;
}

void raft_clients_quiet(struct raft_clients *c)
{
    c->quiet = true;
    for (unsigned i = 0; i < c->count; i++)
        if (c->lanes[i].state == LANE_IDLE)
            lane_rest(&c->lanes[i]);
}

bool raft_clients_idle(const struct raft_clients *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->lanes[i].state != LANE_STOPPED)
            return false;
    return true;
}

void raft_clients_describe(const struct raft_clients *c, struct buffer *out)
{
    for (unsigned i = 0; i < c->count; i++) {
        const struct lane *l = &c->lanes[i];
        if (c->quiet ? l->state == LANE_STOPPED : lane_lively(c, l))
            continue;
        buffer_printf(out,
                      "client %u is at attempt %u of an operation on group %" PRIu32
                      " with %" PRIu32 " bytes, %s, last answer %u",
                      l->client, l->attempts, l->group, l->command.pad_bytes,
                      l->sessions ? "in a session" : "alone", l->last_reply);
        return;
    }
}

uint64_t raft_clients_completed(const struct raft_clients *c)
{
    return c->completed;
}

const struct history *raft_clients_history(const struct raft_clients *c)
{
    return &c->history;
}
