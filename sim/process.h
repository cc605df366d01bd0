/* A simulated process: the environment (node/env.h) of one shard, with the machine under it.
 *
 * It owns a disk for the commit log, one for its identity, a cold tier and two clocks; the commit
 * log on them is the real one (store/log.h), driven as src/run/committer.c drives it: written at
 * once, synced later, one sync for all that waits, spares made ahead, dead segments recycled. What
 * runs on top is an application, given as a table of upcalls.
 *
 * Everything happens in turns, as on a shard's thread: what arrives (messages, finished work, due
 * timers, a sync) makes the process ready, a little later a turn takes all of it. A paused process
 * (SIGSTOP) has no turns and its background work and syncs stand still; its clocks go on. A slow
 * one has them late.
 *
 * Death: the application is left to run what background work it had under way, with every disk
 * operation failing and nothing leaving the process (process_dying() is true), then it is told to
 * stop; then the disk forgets what a power cut makes it forget, or nothing (kill). A process whose
 * log breaks or that calls shutdown dies after the turn, and stays so until it is started. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/env.h"
#include "sim/clock.h"
#include "sim/net.h"
#include "sim/world.h"
#include "store/identity.h"
#include "store/log.h"
#include "store/tier.h"

struct process;

/* Upcalls. All run on the simulator's one thread; `user` is the application's per life. */
struct process_app {
    /* Builds what the process consists of. Clocks, identity (of the last life: a fresh directory
     * has a new one), tier and work queue are there; the log is not open yet: only reads. Failing
     * here, in replay or in recovered ends the life with stop(). */
    int (*start)(struct process *p);
    int (*replay)(struct process *p, const struct log_record *record);
    /* The log is open and the identity settled; turns follow. */
    int (*recovered)(struct process *p, const struct log_recovery *report);
    /* A turn: turn_begin, message for each, timers and finished work by their own callbacks,
     * synced when the position moved, turn_end. true: another turn soon. */
    void (*turn_begin)(struct process *p);
    void (*message)(struct process *p, unsigned from, struct slice bytes);
    void (*synced)(struct process *p, uint64_t lsn); /* may be NULL */
    bool (*turn_end)(struct process *p);
    /* Frees everything of this life, half built or whole. No work is under way. */
    void (*stop)(struct process *p);
};

enum process_state { PROCESS_DOWN, PROCESS_UP, PROCESS_PAUSED };

enum process_death {
    PROCESS_KILL,     /* kill -9, exit: the page cache stays */
    PROCESS_POWERCUT, /* what is not synced may go; another boot */
    PROCESS_STOP,     /* in order: closing mark, synced, identity says clean */
};

struct process_options {
    unsigned id; /* endpoint in the network, and the node's id; from 1 */
    struct world *world;
    struct net *net;
    const struct process_app *app;
    void *ctx;              /* the run's, for the application */
    bool sync_always;       /* fsync always; else once a second and when asked */
    uint64_t segment_bytes; /* of the log; 0: 512 KiB */
    uint64_t room_bytes;    /* kept free beside what log_room() is asked for; 0: none */
    uint64_t sync_mean_us, work_mean_us, turn_mean_us; /* latencies; 0: defaults */
};

struct process *process_new(const struct process_options *options); /* down, with empty disks */
void process_free(struct process *p);                               /* kills it first */

/* --- for the application --- */

unsigned process_id(const struct process *p);
void *process_ctx(const struct process *p);
void process_set_user(struct process *p, void *user);
void *process_user(const struct process *p); /* NULL at the begin of a life */
struct world *process_world(const struct process *p);

struct env *process_env(struct process *p);
struct process *process_of_env(struct env *env);
struct work_queue *process_work_queue(struct process *p);
struct tier *process_tier(struct process *p);
/* The tier's policy in this life; its sync_log is the process' own, whatever is passed. */
void process_tier_policy(struct process *p, const struct tier_policy *policy);
/* Actor, clock_max (a reservation, moved on in time), node_id, log_id ... of this life. */
const struct identity *process_identity(const struct process *p);
uint64_t process_birth(const struct process *p); /* of the disks: another after wipe and restore */
unsigned process_protocol(const struct process *p); /* what the build speaks: 1 or 2 */
unsigned process_life(const struct process *p);     /* counts starts */

/* Leaves in no particular turn order: at once, through the network. Dropped while dying. */
void process_send(struct process *p, unsigned to, struct slice bytes);
void process_ready(struct process *p); /* a turn soon */
/* Where the application's clock is, which may be ahead of the wall: stamps are reserved beyond it.
 */
void process_clock_at(struct process *p, uint64_t now_ms);
void process_truncate(struct process *p, uint64_t lsn); /* the log below is not needed */
bool process_dying(const struct process *p);            /* nothing that happens now is seen */
/* Runs all background work to its end, now: for replay under memory pressure. */
void process_finish_work(struct process *p);
uint64_t process_mono_us(const struct process *p);
uint64_t process_wall_ms(const struct process *p);

/* --- for the run --- */

enum process_state process_state(const struct process *p);
/* ST_...: why it refused to start; then it is down. `process_refusal` says more, for a person. */
int process_start(struct process *p);
const char *process_refusal(const struct process *p);
void process_die(struct process *p, enum process_death how); /* nothing when it is down */
/* Dies of a power cut within its next disk operations: after `ops` of them, or after within_us. */
void process_die_at_op(struct process *p, uint64_t ops, uint64_t within_us);
/* Told when it died by itself: its log broke, it called shutdown, or a disk operation was its last.
 * NULL: nobody. */
void process_on_death(struct process *p, void (*died)(void *ctx, int st), void *ctx);
void process_pause(struct process *p, uint64_t us);
void process_resume(struct process *p);
void process_slow(struct process *p, uint64_t turn_us, uint64_t until_us); /* each turn so late */
/* So many turns of a million stand still after their begin, so long on average, before they take
 * what arrived meanwhile. 0: none. */
void process_stalls(struct process *p, unsigned ppm, uint64_t mean_us);
void process_set_protocol(struct process *p, unsigned version); /* while down */
struct sim_clock *process_clock(struct process *p);

/* Faults of the disk. Wipe, copy and restore are of log, identity and tier together. */
struct process_copy;
void process_fail_sync(struct process *p, bool fail);
void process_disk_full(struct process *p, bool full);
bool process_rot(struct process *p, uint64_t seed, bool tier); /* false: nothing there to rot */
void process_wipe(struct process *p);                          /* while down */
struct process_copy *process_copy_take(struct process *p);
void process_copy_free(struct process_copy *copy);
void process_restore(struct process *p, struct process_copy *copy); /* while down; it stays valid */

struct process_stats {
    uint64_t starts, refusals, deaths, turns, messages, messages_dropped;
    uint64_t persists, persisted_bytes, syncs, works, torn_tails;
};
const struct process_stats *process_stats(const struct process *p);
