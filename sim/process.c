#include "sim/process.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hlc.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/process_private.h"

#define CLOCK_STEP_MS    1000
#define DYING_STEPS_MAX  48 /* of the tier, that a process gets through after its last event */
#define IDENTITY_CLUSTER 0x51

/* --- birth --- */

static uint64_t draw_id(struct process *p)
{
    uint64_t id = prng_u64(&p->random);
    return id != 0 ? id : 1;
}

static int identity_find(struct process *p)
{
    int st = identity_load(sim_disk_disk(p->home), &p->identity);
    if (st != ST_NOTFOUND)
        return st;
    p->identity = (struct identity){
        .node_id = p->options.id,
        .log_id = draw_id(p),
        .actor = draw_id(p),
        .durable = p->options.sync_always,
        .clean = true,
    };
    memset(p->identity.cluster_id, IDENTITY_CLUSTER, sizeof(p->identity.cluster_id));
    return identity_save(sim_disk_disk(p->home), &p->identity);
}

/* As datadir_begin() of src/run. */
static int identity_begin(struct process *p, const struct log_recovery *report)
{
    struct identity *id = &p->identity;
    char boot[IDENTITY_BOOT_BYTES];
    snprintf(boot, sizeof(boot), "boot-%u", p->boot);
    struct identity_past past = {
        .boot_id = boot, .log_torn = report->torn, .log_loss = report->loss};
    if (identity_actor_fresh(id, &past)) {
        id->actor = draw_id(p);
        id->durable = p->options.sync_always;
    } else {
        id->durable = id->durable && p->options.sync_always;
    }
    snprintf(id->boot_id, sizeof(id->boot_id), "%s", boot);
    id->log_ready = true;
    id->clean = false;
    uint64_t ahead_ms = process_wall_ms(p) + PROCESS_CLOCK_AHEAD_MS;
    uint64_t floor_ms = hlc_wall_ms(id->clock_max) + CLOCK_STEP_MS;
    id->clock_max = hlc_stamp(floor_ms > ahead_ms ? floor_ms : ahead_ms, 0);
    return identity_save(sim_disk_disk(p->home), id);
}

static int boot(struct process *p)
{
    struct log_recovery report = {0};
    int st = identity_find(p);
    if (st == 0)
        st = p->options.app->start(p);
    if (st == 0)
        st = process_log_open(p, &report);
    if (st == 0)
        st = identity_begin(p, &report);
    if (st == 0)
        st = p->options.app->recovered(p, &report);
    p->stats.torn_tails += st == 0 && report.torn;
    if (st == 0 && report.torn)
        world_mark(p->options.world, "torn_tail_cut");
    if (st != 0)
        snprintf(p->refusal, sizeof(p->refusal), "%s%s%.200s", status_text(st),
                 report.message[0] != '\0' ? ": " : "", report.message);
    return st;
}

int process_start(struct process *p)
{
    CHECK(p->state == PROCESS_DOWN);
    p->state = PROCESS_UP;
    p->life++;
    p->stats.starts++;
    p->user = NULL;
    p->app_clock_ms = 0;
    p->refusal[0] = '\0';
    process_tier_policy(p, NULL);
    int st = boot(p);
    world_trace(p->options.world, p->options.id, "start", {"life", p->life},
                {"status", (uint64_t)(int64_t)st}, {"protocol", p->protocol});
    if (st != 0) {
        bool stopped = sim_disk_stopped(p->disk) || sim_disk_stopped(p->home);
        world_note(p->options.world, p->options.id, "refused: %s", p->refusal);
        p->stats.refusals += !stopped;
        world_mark(p->options.world, stopped ? "crash_in_recovery" : "start_refused");
        process_die(p, stopped ? PROCESS_POWERCUT : PROCESS_KILL);
        return st;
    }
    process_turn_begin(p);
    return 0;
}

/* --- death --- */

void process_doom(struct process *p, enum process_death how, int st)
{
    if (p->doomed || p->dying || p->state == PROCESS_DOWN)
        return;
    p->doomed = true;
    p->doom = how;
    p->doom_status = st;
    world_after(p->options.world, &p->doom_event, 0);
}

static void events_cancel(struct process *p)
{
    struct world_event *const events[] = {&p->turn_event, &p->timer_event, &p->tick_event,
                                          &p->doom_event, &p->stop_event,  &p->resume_event};
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        world_cancel(p->options.world, events[i]);
}

/* What was under way runs to its end, where every disk operation fails: at once, or after a few
 * that still get through. */
static void last_steps(struct process *p, enum process_death how)
{
    bool at_once = how == PROCESS_STOP || prng_below(&p->timing, 2) == 0;
    uint64_t steps = prng_below(&p->timing, DYING_STEPS_MAX);
    p->dying = true;
    if (at_once)
        tier_model_crash(p->tier);
    else
        tier_model_crash_at(p->tier, 1 + steps);
    if (!sim_disk_stopped(p->disk))
        sim_disk_stop_at_op(p->disk, at_once ? 0 : steps / 4);
    sim_disk_stop_at_op(p->home, 0);
    process_finish_work(p);
}

static void disks_after(struct process *p, enum process_death how)
{
    if (how != PROCESS_POWERCUT) {
        sim_disk_kill(p->disk);
        sim_disk_kill(p->home);
    } else {
        sim_disk_crash(p->disk, prng_u64(&p->timing));
        sim_disk_crash(p->home, prng_u64(&p->timing));
        p->boot++;
        sim_clock_boot(&p->clock, world_now_us(p->options.world));
    }
    tier_model_restart(p->tier);
}

void process_die(struct process *p, enum process_death how)
{
    if (p->state == PROCESS_DOWN)
        return;
    world_trace(p->options.world, p->options.id, "die", {"how", how}, {"life", p->life});
    p->stats.deaths++;
    bool in_order = how == PROCESS_STOP && p->state == PROCESS_UP && p->recovered && !p->doomed;
    p->recovered = false;
    events_cancel(p);
    if (in_order)
        process_finish_work(p);
    process_log_close(p, in_order);
    if (in_order)
        identity_save(sim_disk_disk(p->home), &p->identity);
    last_steps(p, how);
    heap_free(&p->timers); /* while they live: to cancel one is nothing then */
    p->options.app->stop(p);
    CHECK(p->jobs_count == 0);
    CHECK(heap_top(&p->timers) == NULL);
    log_free(p->log);
    p->log = NULL;
    p->user = NULL;
    process_turn_end(p);
    process_log_close(p, false); /* events that the last steps set */
    events_cancel(p);
    disks_after(p, how);
    p->state = PROCESS_DOWN;
    p->dying = p->doomed = false;
    p->slow_until_us = 0;
}

/* The event that doomed it is over. */
static void doom_fire(struct world_event *event)
{
    struct process *p = container_of(event, struct process, doom_event);
    int st = p->doom_status;
    p->doomed = p->doom != PROCESS_STOP;
    process_die(p, p->doom);
    if (p->died != NULL)
        p->died(p->died_ctx, st);
}

static void stop_fire(struct world_event *event)
{
    struct process *p = container_of(event, struct process, stop_event);
    process_doom(p, PROCESS_POWERCUT, ST_IO);
}

void process_die_at_op(struct process *p, uint64_t ops, uint64_t within_us)
{
    sim_disk_stop_at_op(p->disk, ops);
    if (p->state != PROCESS_DOWN)
        world_after(p->options.world, &p->stop_event, within_us);
}

/* --- pausing --- */

static void resume_fire(struct world_event *event)
{
    struct process *p = container_of(event, struct process, resume_event);
    if (p->state == PROCESS_PAUSED)
        p->state = PROCESS_UP;
    world_trace(p->options.world, p->options.id, "resume", {"state", p->state});
}

static void pause_until(struct process *p, uint64_t until_us)
{
    p->resume_us = until_us;
    p->state = PROCESS_PAUSED;
    world_at(p->options.world, &p->resume_event, until_us);
}

void process_pause(struct process *p, uint64_t us)
{
    uint64_t until_us = world_now_us(p->options.world) + us;
    if (p->state == PROCESS_UP || (p->state == PROCESS_PAUSED && until_us > p->resume_us))
        pause_until(p, until_us);
}

void process_resume(struct process *p)
{
    if (p->state == PROCESS_PAUSED)
        pause_until(p, world_now_us(p->options.world));
}

void process_on_death(struct process *p, void (*died)(void *ctx, int st), void *ctx)
{
    p->died = died;
    p->died_ctx = ctx;
}

void process_slow(struct process *p, uint64_t turn_us, uint64_t until_us)
{
    p->slow_us = turn_us;
    p->slow_until_us = until_us;
}

void process_stalls(struct process *p, unsigned ppm, uint64_t mean_us)
{
    p->stall_ppm = ppm;
    p->stall_mean_us = mean_us;
}

/* --- making --- */

struct process *process_new(const struct process_options *options)
{
    struct process *p = mem_zalloc(sizeof(*p));
    p->options = *options;
    p->protocol = 1;
    p->boot = 1;
    p->random = world_prng(options->world, "process", options->id);
    p->timing = world_prng(options->world, "timing", options->id);
    p->stalls = world_prng(options->world, "stalls", options->id);
    struct prng clocks = world_prng(options->world, "clock", options->id);
    p->clock = sim_clock_make(&clocks, world_now_us(options->world), 0);
    p->disk = sim_disk_new();
    p->home = sim_disk_new();
    p->tier = tier_model_create(NULL);
    p->doom_event.fire = doom_fire;
    p->stop_event.fire = stop_fire;
    p->resume_event.fire = resume_fire;
    process_log_init(p);
    process_turn_init(p);
    return p;
}

void process_free(struct process *p)
{
    if (p == NULL)
        return;
    process_die(p, PROCESS_KILL);
    net_attach(p->options.net, p->options.id, NULL, NULL);
    sim_disk_free(p->disk);
    sim_disk_free(p->home);
    tier_model_free(p->tier);
    free(p);
}

/* --- what it is --- */

unsigned process_id(const struct process *p)
{
    return p->options.id;
}

void *process_ctx(const struct process *p)
{
    return p->options.ctx;
}

void process_set_user(struct process *p, void *user)
{
    p->user = user;
}

void *process_user(const struct process *p)
{
    return p->user;
}

struct world *process_world(const struct process *p)
{
    return p->options.world;
}

struct env *process_env(struct process *p)
{
    return &p->env;
}

struct work_queue *process_work_queue(struct process *p)
{
    return &p->queue;
}

const struct identity *process_identity(const struct process *p)
{
    return &p->identity;
}

unsigned process_protocol(const struct process *p)
{
    return p->protocol;
}

void process_set_protocol(struct process *p, unsigned version)
{
    CHECK(p->state == PROCESS_DOWN);
    p->protocol = version;
}

unsigned process_life(const struct process *p)
{
    return p->life;
}

bool process_dying(const struct process *p)
{
    return p->dying || p->doomed || p->state == PROCESS_DOWN;
}

uint64_t process_mono_us(const struct process *p)
{
    return sim_clock_mono_us(&p->clock, world_now_us(p->options.world));
}

uint64_t process_wall_ms(const struct process *p)
{
    return sim_clock_wall_ms(&p->clock, world_now_us(p->options.world));
}

enum process_state process_state(const struct process *p)
{
    return p->state;
}

const char *process_refusal(const struct process *p)
{
    return p->refusal;
}

struct sim_clock *process_clock(struct process *p)
{
    return &p->clock;
}

const struct process_stats *process_stats(const struct process *p)
{
    return &p->stats;
}
