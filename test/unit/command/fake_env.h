/* A node of some shards on one thread, with fake engines and a clock that tests set, and clients
 * that talk to sessions. Mailboxes are drained and turns run by fake_turn(). */
#pragma once

#include "command/fake_engine.h"
#include "command/front.h"
#include "command/session.h"
#include "node/config.h"
#include "node/node.h"

#define FAKE_SHARDS_MAX 4
#define FAKE_TASKS      4096

struct fake_shard {
    struct env env;
    struct fake_node *of;
    struct shard *shard;
    struct front *front;
    struct engine *engine;
    struct env_task *tasks[FAKE_TASKS];
    unsigned task_first, task_count;
    uint64_t promised; /* no batch may have more bytes */
};

struct fake_node {
    struct node *node;
    struct settings *settings;
    struct front_group *group;
    struct fake_shard shards[FAKE_SHARDS_MAX];
    unsigned count;
    uint64_t mono_us, wall_ms;
    uint64_t look_us; /* what a look at the monotonic clock takes: so commands take some time */
    struct heap timers;
    uint64_t lsn, synced_lsn; /* with commit_on_sync */
    bool full;                /* no room in the log */
    uint64_t room_bytes;      /* no room for a record larger than this; 0: for any */
    bool shutdown;
    bool defer_work;    /* until fake_work_run() */
    struct work *works; /* the newest first */
};

static struct fake_shard *fake_of(struct env *env)
{
    return container_of(env, struct fake_shard, env);
}

static uint64_t fake_mono_us(struct env *env)
{
    struct fake_node *n = fake_of(env)->of;
    return n->mono_us += n->look_us;
}

static uint64_t fake_wall_ms(struct env *env)
{
    return fake_of(env)->of->wall_ms;
}

static uint64_t fake_wall_us(struct env *env)
{
    return fake_of(env)->of->wall_ms * 1000 + 7;
}

static uint64_t fake_random(struct env *env)
{
    return 42;
}

static int fake_persist(struct env *env, struct log_batch *batch, uint64_t *ret_lsn)
{
    struct fake_node *n = fake_of(env)->of;
    uint64_t bytes = log_batch_bytes(batch);
    CHECK(bytes <= fake_of(env)->promised); /* nobody writes more than there was room for */
    fake_of(env)->promised -= bytes;
    n->lsn += bytes;
    *ret_lsn = n->lsn;
    return 0;
}

static uint64_t fake_synced_lsn(struct env *env)
{
    return fake_of(env)->of->synced_lsn;
}

static uint64_t fake_end_lsn(struct env *env)
{
    return fake_of(env)->of->lsn;
}

static bool fake_log_room(struct env *env, uint64_t bytes)
{
    struct fake_shard *s = fake_of(env);
    struct fake_node *n = s->of;
    if (bytes > 0 && (n->full || (n->room_bytes > 0 && bytes > n->room_bytes)))
        return false;
    s->promised = log_batch_bytes(&s->shard->batch) + bytes;
    return true;
}

static void fake_work(struct env *env, struct work *work)
{
    struct fake_node *n = fake_of(env)->of;
    if (n->defer_work) {
        work->next = n->works;
        n->works = work;
        return;
    }
    work->run(work);
    work->done(work);
}

static void fake_timer(struct env *env, struct env_timer *timer, uint64_t due_us)
{
    timer->due_us = due_us;
    timer->armed = true;
    heap_update(&fake_of(env)->of->timers, &timer->node, due_us);
}

static void fake_timer_cancel(struct env *env, struct env_timer *timer)
{
    timer->armed = false;
    heap_remove(&fake_of(env)->of->timers, &timer->node);
}

static bool fake_post(struct env *env, unsigned shard, struct env_task *task, bool control)
{
    struct fake_shard *to = &fake_of(env)->of->shards[shard];
    CHECK(to->task_count < FAKE_TASKS);
    to->tasks[(to->task_first + to->task_count++) % FAKE_TASKS] = task;
    return true;
}

static void fake_unhold(struct env *env, unsigned shard)
{
    shard_unheld(fake_of(env)->of->shards[shard].shard);
}

static void fake_shutdown(struct env *env, bool now)
{
    fake_of(env)->of->shutdown = true;
}

static const struct env_ops fake_env_ops = {
    .now_mono_us = fake_mono_us,
    .now_wall_ms = fake_wall_ms,
    .now_wall_us = fake_wall_us,
    .random = fake_random,
    .persist = fake_persist,
    .synced_lsn = fake_synced_lsn,
    .log_end_lsn = fake_end_lsn,
    .log_room = fake_log_room,
    .work = fake_work,
    .timer = fake_timer,
    .timer_cancel = fake_timer_cancel,
    .post = fake_post,
    .unhold = fake_unhold,
    .shutdown = fake_shutdown,
};

static inline struct fake_node *fake_node_create_with(unsigned shards, bool commit_on_sync,
                                                      struct settings *settings)
{
    struct fake_node *n = mem_zalloc(sizeof(*n));
    n->count = shards;
    n->mono_us = 1000000;
    n->wall_ms = 1700000000000;
    n->settings = settings;
    struct node_options options = {
        .settings = settings,
        .shards = shards,
        .partitions = FAKE_PARTITIONS,
        .durable = true,
        .commit_on_sync = commit_on_sync,
        .actor = 7,
        .hash_seed = 5,
        .now_ms = n->wall_ms,
    };
    CHECK(node_create(&options, &n->node) == 0);
    node_hlc_reserved(n->node, UINT64_MAX);
    n->group = front_group_create(n->node);
    for (unsigned i = 0; i < shards; i++) {
        struct fake_shard *s = &n->shards[i];
        s->env.ops = &fake_env_ops;
        s->of = n;
        engine_create(NULL, &s->engine);
        CHECK(shard_create(n->node, &s->env, i, s->engine, &s->shard) == 0);
    }
    node_recovered(n->node);
    for (unsigned i = 0; i < shards; i++)
        n->shards[i].front = front_create(n->group, n->shards[i].shard);
    n->node->loading = false;
    return n;
}

static inline struct fake_node *fake_node_create(unsigned shards)
{
    return fake_node_create_with(shards, false, settings_new());
}

static inline void fake_node_free(struct fake_node *n)
{
    for (unsigned i = 0; i < n->count; i++) {
        front_free(n->shards[i].front);
        shard_free(n->shards[i].shard);
        engine_free(n->shards[i].engine);
    }
    front_group_free(n->group);
    node_free(n->node);
    heap_free(&n->timers);
    free(n);
}

/* All that was deferred, in order. Returns how many. */
static inline unsigned fake_work_run(struct fake_node *n)
{
    unsigned count = 0;
    struct work *ordered = NULL, *next;
    for (struct work *work = n->works; work != NULL; work = next) {
        next = work->next;
        work->next = ordered;
        ordered = work;
    }
    n->works = NULL;
    for (struct work *work = ordered; work != NULL; work = next, count++) {
        next = work->next;
        work->run(work);
        work->done(work);
    }
    return count;
}

/* --- clients --- */

struct fake_client {
    struct session *session;
    struct fake_node *node;
    struct fake_shard *home;
    bool runnable, closed, killed, ended;
    enum session_state state;
    struct buffer out;
    size_t read_piece; /* sent to the session in pieces of at most so many bytes; 0: as it wants */
};

static void fake_wake(void *host)
{
    ((struct fake_client *)host)->runnable = true;
}

static void fake_close(void *host)
{
    ((struct fake_client *)host)->killed = true;
}

static bool fake_ended(void *host)
{
    return ((struct fake_client *)host)->ended;
}

static const struct session_host_ops fake_host_ops = {
    .wake = fake_wake,
    .close = fake_close,
    .ended = fake_ended,
};

static inline struct fake_client *fake_connect(struct fake_node *n, unsigned shard)
{
    struct fake_client *c = mem_zalloc(sizeof(*c));
    c->node = n;
    c->home = &n->shards[shard];
    struct session_options options = {
        .ops = &fake_host_ops,
        .host = c,
        .peer = "127.0.0.1:5000",
        .local = "127.0.0.1:7400",
        .fd = 8,
        .peer_local = true,
    };
    c->session = session_create(c->home->front, &options);
    return c;
}

static inline void fake_disconnect(struct fake_client *c)
{
    session_free(c->session);
    buffer_free(&c->out);
    free(c);
}

/* One turn of a shard, with one client's share in it. */
static inline void fake_turn(struct fake_shard *s, struct fake_client *c)
{
    if (shard_held(s->shard))
        return;
    shard_turn_begin(s->shard);
    while (s->task_count > 0) {
        struct env_task *task = s->tasks[s->task_first];
        s->task_first = (s->task_first + 1) % FAKE_TASKS;
        s->task_count--;
        task->run(task, s->shard);
    }
    if (c != NULL && c->runnable) {
        c->runnable = false;
        c->state = session_run(c->session);
        c->runnable |= c->state == SESSION_MORE;
    }
    shard_turn_end(s->shard);
    front_turn_end(s->front);
}

static inline void fake_collect(struct fake_client *c)
{
    struct iovec iov[4];
    int count;
    while ((count = session_output(c->session, iov, 4)) > 0) {
        size_t total = 0;
        for (int i = 0; i < count; i++) {
            buffer_append(&c->out, iov[i].iov_base, iov[i].iov_len);
            total += iov[i].iov_len;
        }
        session_output_done(c->session, total);
        if (c->state == SESSION_OUTPUT_FULL)
            c->runnable = true;
    }
}

/* All shards, until nobody has anything to do. */
static inline void fake_settle(struct fake_client *c)
{
    struct fake_node *n = c->node;
    bool busy = true;
    while (busy) {
        busy = false;
        for (unsigned i = 0; i < n->count; i++)
            fake_turn(&n->shards[i], &n->shards[i] == c->home ? c : NULL);
        for (unsigned i = 0; i < n->count; i++)
            busy |= n->shards[i].task_count > 0;
        busy |= c->runnable;
        fake_collect(c);
    }
}

/* Returns how many bytes were not taken: the session closes or waits. */
static inline size_t fake_send(struct fake_client *c, const void *data, size_t len)
{
    const uint8_t *from = data;
    while (len > 0) {
        void *to;
        size_t room;
        session_space(c->session, &to, &room);
        size_t take = room < len ? room : len;
        if (c->read_piece > 0 && take > c->read_piece)
            take = c->read_piece;
        memcpy(to, from, take);
        session_received(c->session, take);
        from += take;
        len -= take;
        c->runnable = true;
        fake_settle(c);
        if (c->state == SESSION_BLOCKED || c->state == SESSION_CLOSING)
            break; /* nothing more is read then */
    }
    return len;
}

/* Passes time: timers fire. */
static inline void fake_sleep(struct fake_client *c, uint64_t us)
{
    struct fake_node *n = c->node;
    n->mono_us += us;
    n->wall_ms += us / 1000;
    struct heap_node *top;
    while ((top = heap_top(&n->timers)) != NULL && top->key <= n->mono_us) {
        struct env_timer *timer = container_of(top, struct env_timer, node);
        heap_remove(&n->timers, top);
        timer->armed = false;
        timer->fire(timer);
    }
    fake_settle(c);
}
