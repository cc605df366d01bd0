/* The turns of a simulated process, and its env. */
#include <stdlib.h>

#include "base/check.h"
#include "base/hlc.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/process_private.h"

#define TURN_MEAN_US     50
#define ASLEEP_STEP_US   50000
#define WORK_MEAN_US     500
#define FINISH_WORKS_MAX 1000000

struct message {
    struct list_node link;
    unsigned from;
    size_t len;
    uint8_t bytes[];
};

/* --- scheduling --- */

uint64_t process_delay_us(struct process *p, uint64_t mean_us)
{
    uint64_t us = net_exponential(&p->timing, mean_us) + 1;
    if (world_now_us(p->options.world) < p->slow_until_us)
        us += p->slow_us;
    return us;
}

bool process_asleep(struct process *p, struct world_event *event)
{
    if (p->state != PROCESS_PAUSED)
        return false;
    uint64_t next_us = world_now_us(p->options.world) + ASLEEP_STEP_US; /* it may be woken early */
    world_at(p->options.world, event, next_us < p->resume_us ? next_us : p->resume_us);
    return true;
}

void process_ready(struct process *p)
{
    if (!p->recovered || p->dying || p->doomed || heap_contains(&p->turn_event.node))
        return;
    uint64_t mean_us = p->options.turn_mean_us > 0 ? p->options.turn_mean_us : TURN_MEAN_US;
    world_after(p->options.world, &p->turn_event, process_delay_us(p, mean_us));
}

static void timers_arm(struct process *p)
{
    const struct heap_node *top = heap_top(&p->timers);
    uint64_t now_us = world_now_us(p->options.world);
    if (top == NULL)
        world_cancel(p->options.world, &p->timer_event);
    else
        world_at(p->options.world, &p->timer_event, sim_clock_when_us(&p->clock, now_us, top->key));
}

static void timer_fire(struct world_event *event)
{
    process_ready(container_of(event, struct process, timer_event));
}

void process_send(struct process *p, unsigned to, struct slice bytes)
{
    if (!process_dying(p))
        net_send(p->options.net, p->options.id, to, bytes);
}

/* --- env --- */

struct process *process_of_env(struct env *env)
{
    return container_of(env, struct process, env);
}

static uint64_t env_mono_us(struct env *env)
{
    return process_mono_us(process_of_env(env));
}

static uint64_t env_wall_ms(struct env *env)
{
    return process_wall_ms(process_of_env(env));
}

static uint64_t env_random(struct env *env)
{
    return prng_u64(&process_of_env(env)->random);
}

static int env_persist(struct env *env, struct log_batch *batch, uint64_t *ret_lsn)
{
    return process_log_persist(process_of_env(env), batch, ret_lsn);
}

static uint64_t env_synced_lsn(struct env *env)
{
    struct process *p = process_of_env(env);
    return p->log == NULL ? 0 : log_synced_lsn(p->log);
}

static uint64_t env_end_lsn(struct env *env)
{
    struct process *p = process_of_env(env);
    return p->log == NULL ? 0 : log_end_lsn(p->log);
}

static void env_sync(struct env *env)
{
    struct process *p = process_of_env(env);
    if (!p->dying)
        process_log_sync_soon(p);
}

static int env_log_read(struct env *env, uint64_t lsn, struct buffer *scratch,
                        struct log_record *ret_record)
{
    struct process *p = process_of_env(env);
    return p->log == NULL || p->dying ? ST_IO : log_read(p->log, lsn, scratch, ret_record);
}

static bool env_log_room(struct env *env, uint64_t bytes)
{
    return process_log_room(process_of_env(env), bytes);
}

static void env_send(struct env *env, uint64_t node, struct slice frame)
{
    process_send(process_of_env(env), (unsigned)node, frame);
}

static void env_timer(struct env *env, struct env_timer *timer, uint64_t due_us)
{
    struct process *p = process_of_env(env);
    timer->due_us = due_us;
    timer->armed = true;
    heap_update(&p->timers, &timer->node, due_us);
    timers_arm(p);
}

static void env_timer_cancel(struct env *env, struct env_timer *timer)
{
    struct process *p = process_of_env(env);
    timer->armed = false;
    heap_remove(&p->timers, &timer->node);
}

static bool env_post(struct env *env, unsigned shard, struct env_task *task, bool control)
{
    CHECK(!"a simulated process has one shard");
    return false;
}

static void env_unhold(struct env *env, unsigned shard)
{
    CHECK(!"a simulated process has one shard");
}

static void env_shutdown(struct env *env, bool now)
{
    process_doom(process_of_env(env), now ? PROCESS_KILL : PROCESS_STOP, ST_CLOSED);
}

/* --- background work --- */

static void job_done(struct process_job *job)
{
    struct work *work = job->work;
    list_remove(&job->link);
    job->process->jobs_count--;
    world_cancel(job->process->options.world, &job->event);
    free(job);
    work->done(work);
}

static void job_run(struct process_job *job)
{
    job->ran = true;
    job->process->stats.works++;
    job->work->run(job->work);
}

static void job_fire(struct world_event *event)
{
    struct process_job *job = container_of(event, struct process_job, event);
    struct process *p = job->process;
    if (process_asleep(p, event))
        return;
    if (!job->ran) {
        world_trace(p->options.world, p->options.id, "work", {"class", job->work->klass});
        job_run(job);
        world_after(p->options.world, event, process_delay_us(p, TURN_MEAN_US));
        return;
    }
    list_remove(&job->link);
    list_push_back(&p->finished, &job->link);
    process_ready(p);
}

static void work_submit(struct process *p, struct work *work)
{
    struct process_job *job = mem_zalloc(sizeof(*job));
    job->process = p;
    job->work = work;
    job->event.fire = job_fire;
    list_push_back(&p->jobs, &job->link);
    p->jobs_count++;
    uint64_t mean_us = p->options.work_mean_us > 0 ? p->options.work_mean_us : WORK_MEAN_US;
    if (work->klass == WORK_FLUSH)
        mean_us *= 8;
    world_after(p->options.world, &job->event, process_delay_us(p, mean_us));
}

static void env_work(struct env *env, struct work *work)
{
    work_submit(process_of_env(env), work);
}

static void queue_submit(struct work_queue *queue, struct work *work)
{
    work_submit(container_of(queue, struct process, queue), work);
}

void process_finish_work(struct process *p)
{
    for (unsigned i = 0; p->jobs_count > 0; i++) {
        CHECK(i < FINISH_WORKS_MAX);
        struct list_node *node = list_first(list_empty(&p->finished) ? &p->jobs : &p->finished);
        struct process_job *job = list_entry(node, struct process_job, link);
        if (!job->ran)
            job_run(job);
        job_done(job);
    }
}

static const struct env_ops env_ops = {
    .now_mono_us = env_mono_us,
    .now_wall_ms = env_wall_ms,
    .random = env_random,
    .persist = env_persist,
    .synced_lsn = env_synced_lsn,
    .sync = env_sync,
    .log_read = env_log_read,
    .send = env_send,
    .log_room = env_log_room,
    .work = env_work,
    .timer = env_timer,
    .timer_cancel = env_timer_cancel,
    .log_end_lsn = env_end_lsn,
    .post = env_post,
    .unhold = env_unhold,
    .shutdown = env_shutdown,
};

/* --- the turn --- */

static void message_arrived(void *ctx, unsigned from, struct slice bytes)
{
    struct process *p = ctx;
    if (p->state == PROCESS_DOWN || p->dying || !p->recovered ||
        p->inbox_count == PROCESS_INBOX_MAX) {
        p->stats.messages_dropped++;
        return;
    }
    struct message *m = mem_alloc(sizeof(*m) + bytes.len);
    m->from = from;
    m->len = bytes.len;
    if (bytes.len > 0)
        memcpy(m->bytes, bytes.data, bytes.len);
    list_push_back(&p->inbox, &m->link);
    p->inbox_count++;
    process_ready(p);
}

static void take_messages(struct process *p)
{
    for (unsigned i = 0; i < PROCESS_TURN_EVENTS && !list_empty(&p->inbox) && !p->doomed; i++) {
        struct message *m = list_entry(list_pop_front(&p->inbox), struct message, link);
        p->inbox_count--;
        p->stats.messages++;
        p->options.app->message(p, m->from, slice_make(m->bytes, m->len));
        free(m);
    }
}

static void take_finished(struct process *p)
{
    for (unsigned i = 0; i < PROCESS_TURN_EVENTS && !list_empty(&p->finished) && !p->doomed; i++)
        job_done(list_entry(list_first(&p->finished), struct process_job, link));
}

static void fire_timers(struct process *p)
{
    uint64_t now_us = process_mono_us(p);
    struct heap_node *top;
    for (unsigned i = 0; i < PROCESS_TURN_EVENTS && !p->doomed; i++) {
        top = heap_top(&p->timers);
        if (top == NULL || top->key > now_us)
            break;
        heap_remove(&p->timers, top);
        struct env_timer *timer = container_of(top, struct env_timer, node);
        timer->armed = false;
        timer->fire(timer);
    }
}

/* The turn goes on later: a page fault, a slow command, the log's write. */
static bool stalls(struct process *p)
{
    if (p->doomed || p->stall_ppm == 0 || prng_below(&p->stalls, 1000000) >= p->stall_ppm)
        return false;
    p->in_turn = true;
    world_after(p->options.world, &p->turn_event,
                1 + net_exponential(&p->stalls, p->stall_mean_us));
    world_mark(p->options.world, "turn_stalled");
    return true;
}

static void turn_fire(struct world_event *event)
{
    struct process *p = container_of(event, struct process, turn_event);
    if (process_asleep(p, event))
        return;
    const struct process_app *app = p->options.app;
    if (!p->in_turn) {
        p->stats.turns++;
        world_trace(p->options.world, p->options.id, "turn", {"inbox", p->inbox_count},
                    {"mono", process_mono_us(p)});
        app->turn_begin(p);
        if (stalls(p))
            return;
    }
    p->in_turn = false;
    take_messages(p);
    take_finished(p);
    fire_timers(p);
    if (!p->doomed && log_synced_lsn(p->log) != p->told_lsn) {
        p->told_lsn = log_synced_lsn(p->log);
        if (app->synced != NULL)
            app->synced(p, p->told_lsn);
    }
    bool more = !p->doomed && app->turn_end(p);
    if (more || !list_empty(&p->inbox) || !list_empty(&p->finished))
        process_ready(p);
    timers_arm(p);
}

void process_clock_at(struct process *p, uint64_t now_ms)
{
    p->app_clock_ms = now_ms;
}

/* Stamps are reserved ahead of the clock: see clock_reserve() of src/run. */
static void clock_reserve(struct process *p)
{
    uint64_t now_ms = process_wall_ms(p);
    if (now_ms < p->app_clock_ms)
        now_ms = p->app_clock_ms;
    if (hlc_wall_ms(p->identity.clock_max) > now_ms + PROCESS_CLOCK_AHEAD_MS / 2)
        return;
    struct identity next = p->identity;
    next.clock_max = hlc_stamp(now_ms + PROCESS_CLOCK_AHEAD_MS, 0);
    int st = identity_save(sim_disk_disk(p->home), &next);
    if (st == 0)
        p->identity = next;
    else if (sim_disk_stopped(p->home))
        process_doom(p, PROCESS_POWERCUT, st);
}

static void tick_fire(struct world_event *event)
{
    struct process *p = container_of(event, struct process, tick_event);
    if (process_asleep(p, event))
        return;
    world_after(p->options.world, event, PROCESS_TICK_US);
    process_log_tick(p);
    clock_reserve(p);
    process_ready(p);
}

void process_turn_init(struct process *p)
{
    p->env.ops = &env_ops;
    p->queue.submit = queue_submit;
    p->turn_event.fire = turn_fire;
    p->timer_event.fire = timer_fire;
    p->tick_event.fire = tick_fire;
    list_init(&p->inbox);
    list_init(&p->jobs);
    list_init(&p->finished);
    net_attach(p->options.net, p->options.id, message_arrived, p);
}

void process_turn_begin(struct process *p)
{
    p->recovered = true;
    p->in_turn = false;
    world_after(p->options.world, &p->tick_event, PROCESS_TICK_US);
    timers_arm(p);
    process_ready(p);
}

void process_turn_end(struct process *p)
{
    while (!list_empty(&p->inbox))
        free(list_entry(list_pop_front(&p->inbox), struct message, link));
    p->inbox_count = 0;
}
