#include "node/shard.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "node/config.h"
#include "node/latency.h"
#include "node/node.h"

/* What any command may write beyond what it said. */
#define SLACK_BYTES (2 * SHARD_SMALL_BYTES)
/* More than one command can write. */
#define STAMPS_MIN (UINT64_C(1) << 22)
/* A wall clock behind by more than this was set back. Then time goes on at this rate. */
#define CLOCK_BEHIND_MS    10
#define CLOCK_SLEW_PERCENT 95
/* The node is told of the clock in such steps: far less than what is reserved ahead of it. */
#define CLOCK_TOLD_MS 100
/* Turns written but not yet synced, while an fdatasync is under way; beyond, they share an entry.
 */
#define PENDING_TURNS_MAX 1024

/* The module's own part of a shard. */
struct shard_state {
    struct shard_pending pending[PENDING_TURNS_MAX]; /* a ring, oldest at first */
    unsigned pending_first, pending_count;
    struct list_head claims;   /* struct shard_hold that wait for this shard */
    struct shard_hold *holder; /* who has it, possibly this shard itself */
    unsigned claims_made;      /* from here, not yet released; atomic */
    struct buffer *atomic_out; /* payload of the record that atomic operations go to */
    uint64_t await_lsn;        /* this turn showed another shard's writes up to here */
    bool room_kept;            /* more than the batch always has was asked for in this turn */
};

static struct shard_state *state_of(struct shard *s)
{
    return s->impl;
}

int shard_create(struct node *node, struct env *env, unsigned id, struct engine *engine,
                 struct shard **ret_shard)
{
    struct shard *s = mem_zalloc(sizeof(*s));
    struct shard_state *state = mem_zalloc(sizeof(*state));
    list_init(&state->claims);
    s->node = node;
    s->env = env;
    s->engine = engine;
    s->id = id;
    s->impl = state;
    s->latency = mem_zalloc(sizeof(*s->latency));
    s->now_ms = env->ops->now_wall_ms(env);
    if (s->now_ms < node->start_wall_ms)
        s->now_ms = node->start_wall_ms; /* the clock was set back since the last run */
    s->now_us = env->ops->now_mono_us(env);
    s->slew_base_us = s->now_us;
    s->hlc = node->hlc_floor == 0 ? hlc_make() : hlc_resume(node->hlc_floor);
    s->prng = prng_make(env->ops->random(env));
    node->shard[id] = s;
    *ret_shard = s;
    return 0;
}

void shard_free(struct shard *s)
{
    if (s == NULL)
        return;
    log_batch_free(&s->batch);
    free(s->latency);
    free(s->impl);
    free(s);
}

/* --- what takes long --- */

/* 0: nobody asks. */
static uint64_t latency_limit_us(const struct shard *s)
{
    const struct settings *settings = __atomic_load_n(&s->node->settings, __ATOMIC_ACQUIRE);
    return (uint64_t)settings->latency_monitor_threshold * 1000;
}

/* The clock, where somebody asks. */
static uint64_t latency_begin(const struct shard *s)
{
    return likely(latency_limit_us(s) == 0) ? 0 : s->env->ops->now_mono_us(s->env);
}

static void latency_note(struct shard *s, enum latency_event event, uint64_t took_us)
{
    uint64_t limit_us = latency_limit_us(s);
    if (limit_us > 0 && took_us >= limit_us)
        latency_add(&s->latency->of[event], s->now_ms / 1000, took_us / 1000);
}

static void latency_end(struct shard *s, enum latency_event event, uint64_t begin_us)
{
    if (unlikely(begin_us != 0))
        latency_note(s, event, s->env->ops->now_mono_us(s->env) - begin_us);
}

/* --- turns --- */

/* now_ms follows the wall clock and never runs backwards. After the wall clock was set back it goes
 * on a little slower than real time until the two meet, so that times to live keep running
 * meanwhile. */
static void clock_update(struct shard *s)
{
    uint64_t wall_ms = s->env->ops->now_wall_ms(s->env);
    uint64_t mono_us = s->env->ops->now_mono_us(s->env);
    if (wall_ms + CLOCK_BEHIND_MS >= s->now_ms) {
        if (wall_ms > s->now_ms)
            s->now_ms = wall_ms;
        s->slew_base_us = mono_us;
    } else {
        uint64_t slewed_ms = (mono_us - s->slew_base_us) / 1000 * CLOCK_SLEW_PERCENT / 100;
        if (slewed_ms > 0) {
            s->now_ms += slewed_ms;
            s->slew_base_us = mono_us;
        }
    }
    s->now_us = mono_us;
    if (s->now_ms >= node_clock_ms(s->node) + CLOCK_TOLD_MS)
        __atomic_store_n(&s->node->clock_ms, s->now_ms, __ATOMIC_RELAXED);
}

void shard_turn_begin(struct shard *s)
{
    s->turn++;
    clock_update(s);
    hlc_reserved(&s->hlc, __atomic_load_n(&s->node->hlc_reserved, __ATOMIC_RELAXED));
}

static struct shard_pending *last_pending(struct shard_state *state)
{
    return &state->pending[(state->pending_first + state->pending_count - 1) % PENDING_TURNS_MAX];
}

/* The turn is committed when the log is synced up to lsn, and what is listed before it is. */
static void pending_add(struct shard *s, uint64_t lsn)
{
    struct shard_state *state = state_of(s);
    unsigned used = state->pending_count;
    if (used > 0) {
        const struct shard_pending *last = last_pending(state);
        if (lsn < last->lsn)
            lsn = last->lsn;
        /* One entry a turn, for all that it wrote: a turn that is synced in part is not committed.
         * When there are too many, the last one stands for more turns: they commit a little later.
         */
        if (last->turn == s->turn || used == PENDING_TURNS_MAX)
            used--;
    }
    unsigned slot = (state->pending_first + used) % PENDING_TURNS_MAX;
    state->pending[slot] = (struct shard_pending){.turn = s->turn, .lsn = lsn, .at_us = s->now_us};
    state->pending_count = used + 1;
}

/* Writes what the turn has gathered so far; nothing when it is empty. */
static void batch_write(struct shard *s)
{
    CHECK(s->atomic_depth == 0);
    if (log_batch_bytes(&s->batch) == 0)
        return;
    uint64_t lsn, begin_us = latency_begin(s);
    if (s->env->ops->persist(s->env, &s->batch, &lsn) < 0)
        return; /* the env ends the process; this turn is never committed */
    latency_end(s, LATENCY_LOG_WRITE, begin_us);
    s->lsn = lsn;
    if (s->written != NULL)
        s->written->written(s->written, &s->batch, lsn);
    log_batch_clear(&s->batch);
    if (s->node->commit_on_sync)
        pending_add(s, lsn);
}

bool shard_turn_end(struct shard *s)
{
    batch_write(s);
    struct shard_state *state = state_of(s);
    if (unlikely(state->room_kept)) {
        state->room_kept = false;
        s->env->ops->log_room(s->env, 0);
    }
    if (s->node->durable)
        s->lsn = s->env->ops->log_end_lsn(s->env);
    if (s->id == 0 && s->node->durable)
        node_keyspaces_turn(s->node, s->lsn, s->env->ops->synced_lsn(s->env));
    uint64_t begin_us = latency_begin(s);
    bool busy = engine_turn(s->engine, s->lsn, s->now_ms);
    latency_end(s, LATENCY_ENGINE_TURN, begin_us);
    /* Behind the engine's turn: scans that end in it belong to this turn, and say what it awaits.
     */
    if (state->await_lsn > 0) {
        pending_add(s, state->await_lsn);
        state->await_lsn = 0;
    }
    bool waits = state->pending_count > 0; /* only then there is surely a log */
    shard_turn_settle(s, waits ? s->env->ops->synced_lsn(s->env) : 0);
    return busy;
}

void shard_synced(struct shard *s, uint64_t lsn)
{
    struct shard_state *state = state_of(s);
    while (state->pending_count > 0 && state->pending[state->pending_first].lsn <= lsn) {
        s->committed_turn = state->pending[state->pending_first].turn;
        latency_note(s, LATENCY_LOG_SYNC, s->now_us - state->pending[state->pending_first].at_us);
        state->pending_first = (state->pending_first + 1) % PENDING_TURNS_MAX;
        state->pending_count--;
    }
}

void shard_turn_settle(struct shard *s, uint64_t lsn)
{
    shard_synced(s, lsn);
    if (state_of(s)->pending_count == 0 && log_batch_bytes(&s->batch) == 0)
        s->committed_turn = s->turn;
}

/* --- reads and writes --- */

/* The shard whose engine has the partition: this one, or one that it holds. */
static struct shard *owner_of(struct shard *s, uint16_t partition)
{
    struct shard *owner = node_shard(s->node, node_shard_index(s->node, partition));
    CHECK(owner == s || state_of(owner)->holder != NULL);
    return owner;
}

int shard_read(struct shard *s, const struct key *key, struct record *ret_record)
{
    struct record record;
    int st = engine_get(owner_of(s, key->partition)->engine, key, &record);
    if (st < 0)
        return st;
    if (!record_live(&record, s->now_ms))
        return ST_NOTFOUND;
    *ret_record = record;
    return 0;
}

bool shard_has_stamps(const struct shard *s)
{
    uint64_t next = hlc_stamp(s->now_ms, 0);
    if (next < s->hlc.last || next > s->hlc.reserved)
        next = s->hlc.last;
    return s->hlc.reserved - next >= STAMPS_MIN;
}

bool shard_has_room(struct shard *s, uint64_t bytes)
{
    if (!s->node->durable)
        return true;
    if (unlikely(bytes > SHARD_SMALL_BYTES))
        state_of(s)->room_kept = true;
    return s->env->ops->log_room(s->env, bytes + SLACK_BYTES);
}

int shard_may_write(struct shard *s, uint64_t bytes)
{
    if (unlikely(!shard_has_stamps(s)))
        return ST_NOSPACE;
    if (!shard_has_room(s, bytes))
        return ST_NOSPACE;
    return shard_pressure_status(s);
}

int shard_pressure_status(const struct shard *s)
{
    if (likely(engine_pressure(s->engine) < 1000))
        return 0;
    int error = engine_flush_error(s->engine);
    return error < 0 ? error : ST_AGAIN;
}

/* Adds the operation to the turn's batch: to the record of the atomic command, or as its own.
 * Larger values than LOG_REF_BYTES_MIN are not copied but written at once, while their owner still
 * has them. */
static void batch_add(struct shard *s, const struct record_op *op)
{
    struct shard_state *state = state_of(s);
    if (s->atomic_depth > 0) {
        if (state->atomic_out == NULL)
            state->atomic_out =
                log_batch_begin(&s->batch, LOG_WRITE, op->key.partition, op->index, 0);
        record_op_encode(state->atomic_out, op);
        return;
    }
    struct buffer *out = log_batch_begin(&s->batch, LOG_WRITE, op->key.partition, op->index, 0);
    struct slice value = op->record.value;
    if (value.len < LOG_REF_BYTES_MIN) {
        record_op_encode(out, op);
    } else {
        record_op_encode_head(out, op);
        log_batch_ref(&s->batch, value);
    }
    CHECK(log_batch_end(&s->batch) == 0); /* key and value are bounded far below the log's limit */
    if (value.len >= LOG_REF_BYTES_MIN || log_batch_bytes(&s->batch) >= SHARD_BATCH_BYTES_MAX)
        batch_write(s);
}

static void write_record(struct shard *s, const struct key *key, struct record *record)
{
    struct shard *owner = owner_of(s, key->partition);
    struct engine_partition *p = engine_partition(owner->engine, key->partition);
    record->actor = p->actor;
    record->counter = ++p->counter;
    record->stamp = hlc_now(&s->hlc, s->now_ms);
    p->index++;
    p->last_write_turn = owner->turn;
    if (s->node->durable) {
        struct record_op op = {.key = *key, .index = p->index, .record = *record};
        batch_add(s, &op); /* first: the value may be a view of the record that the put replaces */
    }
    engine_put(owner->engine, key, record);
}

void shard_put(struct shard *s, const struct key *key, struct slice value, uint64_t expire_ms)
{
    struct record record = {
        .value = value,
        .expire_ms = expire_ms,
        .flags = expire_ms != 0 ? RECORD_EXPIRES : 0,
    };
    write_record(s, key, &record);
}

void shard_delete(struct shard *s, const struct key *key)
{
    struct record record = {.flags = RECORD_TOMBSTONE};
    write_record(s, key, &record);
}

void shard_atomic_begin(struct shard *s)
{
    s->atomic_depth++;
}

void shard_atomic_end(struct shard *s)
{
    CHECK(s->atomic_depth > 0);
    struct shard_state *state = state_of(s);
    if (--s->atomic_depth > 0 || state->atomic_out == NULL)
        return;
    state->atomic_out = NULL;
    CHECK(log_batch_end(&s->batch) == 0); /* transactions are bounded before they run */
    if (log_batch_bytes(&s->batch) >= SHARD_BATCH_BYTES_MAX)
        batch_write(s);
}

void shard_log_meta(struct shard *s, struct slice payload)
{
    if (!s->node->durable)
        return;
    CHECK(s->atomic_depth == 0 || state_of(s)->atomic_out == NULL);
    buffer_append_slice(log_batch_begin(&s->batch, LOG_META, 0, 0, 0), payload);
    CHECK(log_batch_end(&s->batch) == 0);
}

void shard_await(struct shard *s, uint64_t lsn)
{
    struct shard_state *state = state_of(s);
    if (s->node->commit_on_sync && lsn > state->await_lsn)
        state->await_lsn = lsn;
}

uint64_t shard_settle(struct shard *s)
{
    if (s->node->durable)
        batch_write(s);
    return s->lsn;
}

uint64_t shard_gate(struct shard *s, uint16_t partition)
{
    struct shard *owner = owner_of(s, partition);
    uint64_t turn = engine_partition(owner->engine, partition)->last_write_turn;
    if (turn <= owner->committed_turn)
        return 0;
    if (owner == s)
        return turn;
    shard_await(s, owner->lsn);
    return s->turn;
}

/* --- shards together --- */

/* The shard `on` is the hold's from here on. Another shard's batch goes to the log first, and its
 * thread stops until the release. */
static void hold_take(struct shard_hold *hold, struct shard *on)
{
    state_of(on)->holder = hold;
    if (on != hold->home) {
        batch_write(on);
        on->held = true;
    }
    hold->next++;
}

/* Runs on one shard after the other, in ascending order, and ends on the home shard. A shard that
 * is taken queues the claim; who gives it back goes on from there. */
static void hold_visit(struct env_task *task, struct shard *on)
{
    struct shard_hold *hold = container_of(task, struct shard_hold, task);
    for (;;) {
        while (hold->next < on->node->shards && !(hold->mask >> hold->next & 1))
            hold->next++;
        bool all = hold->next == on->node->shards;
        unsigned to = all ? hold->home->id : hold->next;
        if (to != on->id) {
            CHECK(on->env->ops->post(on->env, to, &hold->task, true));
            return;
        }
        if (all) {
            hold->ready(hold);
            return;
        }
        if (state_of(on)->holder != NULL) {
            list_push_back(&state_of(on)->claims, &hold->link);
            return;
        }
        hold_take(hold, on); /* if it is another's, only a message may still leave from here */
    }
}

void shard_acquire(struct shard *s, struct shard_hold *hold, uint64_t mask)
{
    hold->home = s;
    hold->mask = mask;
    hold->next = 0;
    hold->task.run = hold_visit;
    __atomic_add_fetch(&state_of(s)->claims_made, 1, __ATOMIC_RELAXED);
    hold_visit(&hold->task, s);
}

static void hold_next(struct shard *s)
{
    struct shard_state *state = state_of(s);
    struct list_node *node = state->holder == NULL ? list_pop_front(&state->claims) : NULL;
    if (node != NULL)
        hold_visit(&list_entry(node, struct shard_hold, link)->task, s);
}

void shard_release(struct shard_hold *hold)
{
    struct shard *home = hold->home;
    batch_write(home);
    uint64_t mask = hold->mask;
    for (unsigned i = 0; i < home->node->shards; i++) {
        struct shard *s = node_shard(home->node, i);
        if (!(mask >> i & 1))
            continue;
        state_of(s)->holder = NULL;
        if (s == home)
            continue;
        if (home->lsn > s->lsn)
            s->lsn = home->lsn;
        if (home->node->commit_on_sync)
            pending_add(s, home->lsn);
        home->env->ops->unhold(home->env, i); /* not touched from here on */
    }
    __atomic_sub_fetch(&state_of(home)->claims_made, 1, __ATOMIC_RELEASE);
    if (mask >> home->id & 1)
        hold_next(home);
}

unsigned shard_claims(const struct shard *s)
{
    const struct shard_state *state = s->impl;
    return __atomic_load_n(&state->claims_made, __ATOMIC_ACQUIRE);
}

void shard_unheld(struct shard *s)
{
    CHECK(s->held);
    s->held = false;
    hold_next(s);
}
