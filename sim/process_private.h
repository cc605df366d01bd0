/* The inside of struct process, for sim/process*.c only. */
#pragma once

#include "base/list.h"
#include "sim/disk.h"
#include "sim/process.h"
#include "sim/tier.h"

#define PROCESS_INBOX_MAX   4096   /* messages; beyond they are dropped, as a full socket does */
#define PROCESS_TICK_US     100000 /* an idle process has a turn so often */
#define PROCESS_TURN_EVENTS 128    /* messages and works taken in one turn */

struct process {
    struct env env;
    struct work_queue queue;
    struct process_options options;
    enum process_state state;
    bool dying;     /* its last steps, which nobody sees */
    bool doomed;    /* dies as soon as this event is over */
    bool recovered; /* turns may run */
    enum process_death doom;
    int doom_status;
    unsigned life, protocol, boot;
    void *user;
    void (*died)(void *ctx, int st);
    void *died_ctx;
    struct prng random, timing, stalls;
    struct sim_clock clock;
    uint64_t app_clock_ms; /* process_clock_at() of this life */
    struct process_stats stats;
    char refusal[256];

    struct sim_disk *disk, *home; /* of the log; of the identity */
    struct tier_model *tier;
    struct tier_policy policy; /* the application's */
    struct identity identity;

    struct world_event turn_event, timer_event, tick_event, doom_event, stop_event, resume_event;
    uint64_t resume_us;              /* paused until then */
    uint64_t slow_us, slow_until_us; /* turns come so late until then */
    unsigned stall_ppm;              /* of turns */
    uint64_t stall_mean_us;
    bool in_turn; /* one has begun and stands still */
    struct heap timers;
    struct list_head inbox, jobs, finished;
    unsigned inbox_count, jobs_count;

    struct log *log;
    struct log_sync sync;
    struct world_event sync_event, keeper_event;
    bool sync_active, sync_ran, sync_asked;
    int sync_status;
    uint64_t told_lsn; /* the application was told that it is synced up to here */
    uint64_t truncate_lsn;
    uint64_t next_sync_us; /* monotonic: everysec */
};

struct process_job { /* a work on its way */
    struct world_event event;
    struct list_node link;
    struct process *process;
    struct work *work;
    bool ran;
};

#define PROCESS_CLOCK_AHEAD_MS 20000 /* stamps are reserved so far, as DATADIR_CLOCK_AHEAD_MS */

/* process_turn.c */
void process_turn_init(struct process *p);
void process_turn_begin(struct process *p);                     /* recovered: turns may come */
void process_turn_end(struct process *p);                       /* forgets what waits to be taken */
uint64_t process_delay_us(struct process *p, uint64_t mean_us); /* drawn; longer while slow */
/* Paused: the event comes again when that is over. */
bool process_asleep(struct process *p, struct world_event *event);
/* It dies right after this event. */
void process_doom(struct process *p, enum process_death how, int st);

/* process_log.c */
void process_log_init(struct process *p);
int process_log_open(struct process *p, struct log_recovery *report);
void process_log_close(struct process *p, bool in_order);
int process_log_persist(struct process *p, struct log_batch *batch, uint64_t *ret_lsn);
bool process_log_room(struct process *p, uint64_t bytes);
void process_log_sync_soon(struct process *p);
int process_log_sync_now(struct process *p); /* blocking, from background work */
void process_log_tick(struct process *p);
