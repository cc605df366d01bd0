#include "run/shard_thread.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"
#include "command/front.h"
#include "run/committer.h"
#include "run/peers.h"
#include "run/thread.h"

#define TASKS_MAX           65536  /* in a mailbox; beyond, the sender parks its client */
#define FRAMES_MAX          65536  /* from peers, beside their limit in bytes; beyond, lost */
#define ENGINE_TURN_US      100000 /* an idle shard's engine gets a turn so often */
#define FINISH_WORK_WAIT_US 1000
#define SETTLE_POLL_US      1000

static struct shard_thread *of_env(struct env *env)
{
    return container_of(env, struct shard_thread, env);
}

/* --- env --- */

static uint64_t real_now_mono_us(struct env *env)
{
    (void)env;
    struct timespec t; /* not the turn's time: what a slow command took is measured with it */
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t real_now_wall_ms(struct env *env)
{
    return loop_now(of_env(env)->loop).wall_ms;
}

static uint64_t real_now_wall_us(struct env *env)
{
    (void)env;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t real_random(struct env *env)
{
    uint64_t value;
    CHECK(getrandom(&value, sizeof(value), 0) == sizeof(value));
    return value;
}

static int real_persist(struct env *env, struct log_batch *batch, uint64_t *ret_lsn)
{
    const struct shard_thread *t = of_env(env);
    return committer_append(t->shared->committer, t->shard->id, batch, ret_lsn);
}

static uint64_t real_synced_lsn(struct env *env)
{
    return committer_synced_lsn(of_env(env)->shared->committer);
}

static void real_sync(struct env *env)
{
    committer_sync_soon(of_env(env)->shared->committer);
}

static int real_log_read(struct env *env, uint64_t lsn, struct buffer *scratch,
                         struct log_record *ret_record)
{
    return committer_read(of_env(env)->shared->committer, lsn, scratch, ret_record);
}

/* The peers' thread is woken once, by send_wake(). */
static void real_send(struct env *env, uint64_t node, struct slice frame)
{
    struct shard_thread *t = of_env(env);
    if (t->shared->peers != NULL && peers_send(t->shared->peers, node, frame))
        t->sent = true;
    else
        metrics_add(&t->metrics->frames_dropped, 1);
}

static bool real_log_room(struct env *env, uint64_t bytes)
{
    const struct shard_thread *t = of_env(env);
    return committer_room(t->shared->committer, t->shard->id, bytes);
}

static uint64_t real_log_end_lsn(struct env *env)
{
    return committer_end_lsn(of_env(env)->shared->committer);
}

static void real_work(struct env *env, struct work *work)
{
    executor_submit(&of_env(env)->owner, work);
}

static void real_timer(struct env *env, struct env_timer *timer, uint64_t due_us)
{
    loop_timer(of_env(env)->loop, timer, due_us);
}

static void real_timer_cancel(struct env *env, struct env_timer *timer)
{
    loop_timer_cancel(of_env(env)->loop, timer);
}

static bool real_post(struct env *env, unsigned shard, struct env_task *task, bool control)
{
    struct shard_thread *to = of_env(env)->shared->threads[shard];
    if (control)
        mailbox_put_always(&to->tasks, task);
    else if (!mailbox_put(&to->tasks, task))
        return false;
    loop_wake(to->loop);
    return true;
}

static void real_unhold(struct env *env, unsigned shard)
{
    struct shard_thread *to = of_env(env)->shared->threads[shard];
    pthread_mutex_lock(&to->hold_lock);
    atomic_fetch_add_explicit(&to->unholds, 1, memory_order_seq_cst);
    pthread_cond_signal(&to->hold_ended);
    pthread_mutex_unlock(&to->hold_lock);
    loop_wake(to->loop);
}

static void real_shutdown(struct env *env, bool now)
{
    struct shard_thread_shared *shared = of_env(env)->shared;
    shared->shutdown(shared->ctx, now);
}

static const struct env_ops real_ops = {
    .now_mono_us = real_now_mono_us,
    .now_wall_ms = real_now_wall_ms,
    .now_wall_us = real_now_wall_us,
    .random = real_random,
    .persist = real_persist,
    .synced_lsn = real_synced_lsn,
    .sync = real_sync,
    .log_read = real_log_read,
    .send = real_send,
    .log_room = real_log_room,
    .work = real_work,
    .timer = real_timer,
    .timer_cancel = real_timer_cancel,
    .log_end_lsn = real_log_end_lsn,
    .post = real_post,
    .unhold = real_unhold,
    .shutdown = real_shutdown,
};

static void engine_submit(struct work_queue *queue, struct work *work)
{
    executor_submit(&container_of(queue, struct shard_thread, work_queue)->owner, work);
}

static void owner_wake(struct executor_owner *owner)
{
    loop_wake(container_of(owner, struct shard_thread, owner)->loop);
}

/* --- the turn --- */

void shard_thread_yield(struct shard_thread *t)
{
    while (t->live && unlikely(shard_held(t->shard))) {
        pthread_mutex_lock(&t->hold_lock);
        while (atomic_load_explicit(&t->unholds, memory_order_relaxed) == t->unholds_seen)
            pthread_cond_wait(&t->hold_ended, &t->hold_lock);
        pthread_mutex_unlock(&t->hold_lock);
        t->unholds_seen++;
        shard_unheld(t->shard); /* the next claim may take it at once */
    }
}

static void send_wake(struct shard_thread *t)
{
    if (t->sent)
        peers_wake(t->shared->peers);
    t->sent = false;
}

bool shard_thread_frame(struct shard_thread *t, struct peers_frame *frame)
{
    if (!mailbox_put(&t->frames, frame))
        return false;
    loop_wake(t->loop);
    return true;
}

static void take_frames(struct shard_thread *t, bool use)
{
    struct peers_frame *next;
    for (struct peers_frame *frame = mailbox_take(&t->frames); frame != NULL; frame = next) {
        next = frame->next;
        if (use && t->live && t->shared->frame != NULL) {
            t->shared->frame(t, slice_make(frame->bytes, frame->len));
            shard_thread_yield(t);
        }
        peers_frame_free(frame);
    }
}

static void run_tasks(struct shard_thread *t)
{
    if (t->pending == NULL)
        t->pending = mailbox_take(&t->tasks);
    while (t->pending != NULL) {
        struct env_task *task = t->pending;
        t->pending = task->next;
        task->run(task, t->shard);
        shard_thread_yield(t);
    }
}

static bool sync_moved(const struct shard_thread *t)
{
    return t->live && t->shared->committer != NULL && !list_empty(&t->conns.output) &&
           committer_synced_lsn(t->shared->committer) != t->synced_lsn;
}

/* Asked by the loop just before it sleeps, after it announced that it does. */
static bool nothing_to_do(void *ctx)
{
    const struct shard_thread *t = ctx;
    return mailbox_empty(&t->tasks) && mailbox_empty(&t->frames) &&
           (!t->live || mailbox_empty(&t->owner.finished)) && !sync_moved(t) &&
           !(t->live && shard_held(t->shard)) &&
           !atomic_load_explicit(&t->stop, memory_order_seq_cst);
}

static uint64_t sleep_us(const struct shard_thread *t)
{
    if (t->pending != NULL || conn_any_runnable(&t->conns) || (t->live && t->engine_busy))
        return 0;
    return t->live ? ENGINE_TURN_US : UINT64_MAX;
}

static void turn_begin(struct shard_thread *t)
{
    shard_thread_yield(t);
    if (!t->live)
        return;
    shard_turn_begin(t->shard);
    metrics_add(&t->metrics->turns, 1);
    if (t->shared->committer != NULL) {
        t->synced_lsn = committer_synced_lsn(t->shared->committer);
        shard_synced(t->shard, t->synced_lsn);
    }
}

static void log_flush_error(struct shard_thread *t)
{
    int error = engine_flush_error(t->shard->engine);
    bool same = error == atomic_load_explicit(&t->flush_error, memory_order_relaxed);
    atomic_store_explicit(&t->flush_error, error, memory_order_relaxed);
    atomic_store_explicit(&t->flush_failures, engine_flush_failures(t->shard->engine),
                          memory_order_release);
    if (likely(same))
        return;
    if (error < 0)
        log_event(LOG_ERROR, "flush_failed", "shard=%u error=%s", t->id, status_text(error));
    else
        log_event(LOG_NOTICE, "flush_works_again", "shard=%u", t->id);
}

static void sync_turn(struct shard_thread *t)
{
    if (t->shared->committer == NULL)
        return;
    committer_turn_ended(t->shared->committer);
    t->synced_lsn = committer_synced_lsn(t->shared->committer);
    shard_turn_settle(t->shard, t->synced_lsn);
}

static void turn_end(struct shard_thread *t)
{
    shard_thread_yield(t);
    if (!t->live)
        return;
    t->engine_busy = shard_turn_end(t->shard);
    sync_turn(t);
    atomic_store_explicit(&t->flushed_lsn, engine_flushed_lsn(t->shard->engine),
                          memory_order_release);
    log_flush_error(t);
    front_turn_end(t->front);
}

static void turn(struct shard_thread *t)
{
    loop_wait(t->loop, sleep_us(t), nothing_to_do, t);
    turn_begin(t);
    run_tasks(t);
    take_frames(t, true);
    if (t->live)
        executor_finish(&t->owner);
    loop_dispatch(t->loop);
    conn_run_all(t);
    loop_fire_timers(t->loop);
    send_wake(t); /* they send while this thread writes its log */
    turn_end(t);
    send_wake(t);
    conn_flush_all(t);
    loop_submit(t->loop);
}

static void *body(void *argument)
{
    struct shard_thread *t = argument;
    thread_name("torc-shard");
    loop_clock_update(t->loop);
    loop_timer(t->loop, &t->tick, loop_now(t->loop).mono_us + CONN_TICK_US);
    while (!atomic_load_explicit(&t->stop, memory_order_relaxed))
        turn(t);
    return NULL;
}

static void on_tick(struct env_timer *timer)
{
    struct shard_thread *t = container_of(timer, struct shard_thread, tick);
    conn_tick_some(t);
    loop_timer(t->loop, timer, loop_now(t->loop).mono_us + CONN_TICK_US);
}

/* --- life --- */

int shard_thread_create(struct shard_thread_shared *shared, unsigned id,
                        struct shard_thread **ret_thread)
{
    struct loop *loop;
    int st = loop_create(&loop);
    if (st < 0)
        return st;
    struct shard_thread *t = mem_zalloc(sizeof(*t));
    t->env.ops = &real_ops;
    t->work_queue.submit = engine_submit;
    t->shared = shared;
    t->id = id;
    t->loop = loop;
    t->metrics = &shared->node->metrics[id];
    t->tasks = mailbox_make(struct env_task, next, TASKS_MAX);
    t->frames = mailbox_make(struct peers_frame, next, FRAMES_MAX);
    t->tick.fire = on_tick;
    executor_owner_init(&t->owner, shared->executor, owner_wake);
    conn_set_init(&t->conns);
    pthread_mutex_init(&t->hold_lock, NULL);
    pthread_cond_init(&t->hold_ended, NULL);
    shared->threads[id] = t;
    *ret_thread = t;
    return 0;
}

void shard_thread_attach(struct shard_thread *t, struct shard *shard, struct front *front)
{
    t->shard = shard;
    t->front = front;
}

static void on_accepted(struct loop_listener *listener, int fd)
{
    struct shard_thread *t = listener->owner;
    if (fd >= 0)
        conn_accept(t, fd);
    else
        log_event(LOG_WARNING, "accept_failed", "error=%s", strerror(-fd));
}

int shard_thread_listen(struct shard_thread *t, int fd)
{
    if (t->listener_count == LISTENERS_MAX)
        return ST_LIMIT;
    struct loop_listener *listener = &t->listeners[t->listener_count];
    int st = loop_listen(t->loop, listener, fd, on_accepted, t);
    if (st == 0)
        t->listener_count++;
    return st;
}

int shard_thread_start(struct shard_thread *t)
{
    int err = thread_start(&t->thread, body, t);
    t->started = err == 0;
    return err == 0 ? 0 : status_from_errno(err);
}

void shard_thread_finish_work(struct shard_thread *t)
{
    if (executor_finish(&t->owner) == 0)
        usleep(FINISH_WORK_WAIT_US);
}

struct thread_call {
    struct env_task task;
    void (*fn)(struct shard_thread *t, void *ctx);
    void *ctx;
    struct shard_thread *thread;
    sem_t ran;
};

static void call_run(struct env_task *task, struct shard *on)
{
    struct thread_call *call = container_of(task, struct thread_call, task);
    call->fn(call->thread, call->ctx);
    sem_post(&call->ran); /* the last touch: the caller's stack may be gone now */
}

void shard_thread_call(struct shard_thread *t, void (*fn)(struct shard_thread *t, void *ctx),
                       void *ctx)
{
    struct thread_call call = {.task.run = call_run, .fn = fn, .ctx = ctx, .thread = t};
    CHECK(t->started);
    sem_init(&call.ran, 0, 0);
    mailbox_put_always(&t->tasks, &call.task);
    loop_wake(t->loop);
    while (sem_wait(&call.ran) < 0)
        CHECK(errno == EINTR);
    sem_destroy(&call.ran);
}

static void go_live(struct shard_thread *t, void *ctx)
{
    t->live = true;
    shard_turn_begin(t->shard); /* it runs inside a turn that began without one */
}

void shard_thread_go_live(struct shard_thread *t)
{
    shard_thread_call(t, go_live, NULL);
}

void shard_thread_settle(struct shard_thread *t)
{
    while (shard_claims(t->shard) > 0)
        usleep(SETTLE_POLL_US);
}

void shard_thread_stop(struct shard_thread *t)
{
    if (t == NULL || !t->started)
        return;
    atomic_store_explicit(&t->stop, true, memory_order_seq_cst);
    loop_wake(t->loop);
    pthread_join(t->thread, NULL);
    t->started = false;
    take_frames(t, false);
}

void shard_thread_free(struct shard_thread *t)
{
    if (t == NULL)
        return;
    CHECK(!t->started);
    for (unsigned i = 0; i < t->listener_count; i++) {
        int fd = t->listeners[i].fd;
        loop_unlisten(t->loop, &t->listeners[i]);
        if (fd >= 0)
            close(fd);
    }
    conn_close_all(t);
    loop_dispatch(t->loop);
    front_free(t->front); /* after its sessions, and while its timers have a loop */
    loop_free(t->loop);
    pthread_mutex_destroy(&t->hold_lock);
    pthread_cond_destroy(&t->hold_ended);
    free(t);
}
