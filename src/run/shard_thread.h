/* The thread of one shard: its loop, its connections, its mailboxes, and the real env of its shard.
 *
 * A turn: sleep until something happens; take what other threads sent; receive; run each session's
 * share; timers; shard_turn_end() writes the log; send replies. All work in a turn is bounded.
 *
 * While the node loads, turns leave the shard alone (the main thread replays into it), and sessions
 * answer LOADING; shard_thread_go_live() ends that. While another shard holds this one, the thread
 * stops in shard_thread_yield(). */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "node/env.h"
#include "node/node.h"
#include "run/conn.h"
#include "run/executor.h"
#include "run/loop.h"
#include "run/mailbox.h"

#define LISTENERS_MAX 16

struct peers_frame;

/* What the threads of a server share; outlives them. */
struct shard_thread_shared {
    struct node *node;
    struct committer *committer; /* NULL: memory only, or not yet recovered */
    struct executor *executor;
    struct peers *peers; /* NULL: no other nodes; what is sent to one is lost */
    /* A frame from a peer with messages for groups of this shard; inside a turn. NULL: dropped. */
    void (*frame)(struct shard_thread *t, struct slice frame);
    struct shard_thread *threads[NODE_SHARDS_MAX];
    unsigned count;
    atomic_uint clients;                   /* connected, all threads */
    atomic_uint clients_max;               /* what descriptors allow, beside max-clients */
    void (*shutdown)(void *ctx, bool now); /* from any thread */
    void *ctx;
};

struct shard_thread {
    struct env env;
    struct work_queue work_queue; /* for the engine */
    struct shard_thread_shared *shared;
    struct shard *shard;
    struct front *front; /* of its sessions */
    struct shard_metrics *metrics;
    struct loop *loop;
    struct executor_owner owner;
    struct mailbox tasks;
    struct env_task *pending; /* taken out, not yet run */
    struct mailbox frames;    /* from peers */
    struct conn_set conns;
    struct loop_listener listeners[LISTENERS_MAX];
    unsigned listener_count, id;
    bool live;        /* the shard may be touched */
    bool engine_busy; /* wants another turn soon */
    bool started;
    bool sent; /* to peers, who may not be awake yet */
    atomic_bool stop;
    _Atomic uint64_t flushed_lsn;    /* of the engine, published at each turn's end */
    uint64_t synced_lsn;             /* told to the shard */
    _Atomic int flush_error;         /* likewise, and as logged */
    _Atomic uint64_t flush_failures; /* likewise */
    struct env_timer tick;
    /* Each hold by another shard ends with one unhold; it may have ended before this thread came to
     * look, so they are counted. */
    pthread_mutex_t hold_lock;
    pthread_cond_t hold_ended;
    _Atomic uint64_t unholds; /* changed with the lock */
    uint64_t unholds_seen;    /* told to the shard */
    pthread_t thread;
};

/* With its loop and env, so that a shard can be made for it; no thread yet. */
int shard_thread_create(struct shard_thread_shared *shared, unsigned id,
                        struct shard_thread **ret_thread);
void shard_thread_attach(struct shard_thread *t, struct shard *shard, struct front *front);
/* Takes a listening socket over. */
int shard_thread_listen(struct shard_thread *t, int fd);
int shard_thread_start(struct shard_thread *t);
/* Before the thread is live, on the main thread: completes background work of the engine. Waits a
 * little when there is none. */
void shard_thread_finish_work(struct shard_thread *t);

/* On the thread itself, between two things that touch the shard: waits while another shard holds
 * it. */
void shard_thread_yield(struct shard_thread *t);

/* Runs fn on the thread, between commands; from any thread. Waits until it has run. */
void shard_thread_call(struct shard_thread *t, void (*fn)(struct shard_thread *t, void *ctx),
                       void *ctx);
/* From any thread: `frame` will be given to shared->frame and freed. false: too much waits there,
 * the frame is the caller's still. */
bool shard_thread_frame(struct shard_thread *t, struct peers_frame *frame);
void shard_thread_go_live(struct shard_thread *t);
/* From another thread, when all sessions of all shards are closed: waits until this shard's claims
 * are over. A thread that ended before could be held, or be asked, by one that then waits for ever.
 */
void shard_thread_settle(struct shard_thread *t);
/* Ends the loop and joins the thread; the peers are stopped before, and freed behind it. */
void shard_thread_stop(struct shard_thread *t);
void shard_thread_free(struct shard_thread *t); /* closes all, the front too; not the shard */
