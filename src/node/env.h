/* env: all that a shard may know of the world. Implemented by src/run for real and by the
 * simulator.
 *
 * Cores see no socket, clock, thread or random device but through here. Functions that can't fail
 * return their value; nothing here blocks. Callbacks come on the shard's own thread, never from
 * inside the call that asked for them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/work.h"
#include "store/log.h"

struct env;
struct shard;

/* Something to run on another shard's thread: embedded in the sender's object, which lives on until
 * it has run. */
struct env_task {
    void (*run)(struct env_task *task, struct shard *on);
    struct env_task *next; /* the mailbox's */
};

struct env_timer {
    void (*fire)(struct env_timer *timer);
    uint64_t due_us; /* monotonic */
    struct heap_node node;
    bool armed;
};

struct env_ops {
    uint64_t (*now_mono_us)(struct env *env);
    uint64_t (*now_wall_ms)(struct env *env);
    uint64_t (*now_wall_us)(
        struct env *env); /* of this moment, not of the turn; NULL: ms will do */
    uint64_t (*random)(struct env *env);
    /* Writes the batch to the commit log (not yet synced); the caller empties it, log_batch_lsn()
     * tells where its records are. On failure the log is broken: nothing of this batch may be
     * acknowledged, and the env ends the process. */
    int (*persist)(struct env *env, struct log_batch *batch, uint64_t *ret_lsn);
    /* Position the log is synced to. When it moves, shard_synced() is called. */
    uint64_t (*synced_lsn)(struct env *env);
    /* Asks for a sync of all that was persisted so far, soon and whatever the policy. */
    void (*sync)(struct env *env);
    /* Reads the record at lsn back (store/log.h). Blocks: only from the run() of a work. */
    int (*log_read)(struct env *env, uint64_t lsn, struct buffer *scratch,
                    struct log_record *ret_record);
    /* Fire and forget: the frame may be lost, doubled or overtaken. Copied. */
    void (*send)(struct env *env, uint64_t node, struct slice frame);
    /* true: the log surely takes one record of `bytes` more, beside SHARD_BATCH_BYTES_MAX that the
     * batch may hold already, and keeps that for this shard until it is written or log_room is
     * called again; 0 gives back what is left. false: the caller answers DISKFULL. */
    bool (*log_room)(struct env *env, uint64_t bytes);
    void (*work)(struct env *env, struct work *work);
    void (*timer)(struct env *env, struct env_timer *timer, uint64_t due_us); /* arms or moves it */
    void (*timer_cancel)(struct env *env, struct env_timer *timer);
    /* End of what was written to the log by all shards so far. */
    uint64_t (*log_end_lsn)(struct env *env);
    /* To the mailbox of another shard. false: full; the caller parks what waits on it and tries
     * again later. Never false for control tasks, which are few by their nature (one a hold). */
    bool (*post)(struct env *env, unsigned shard, struct env_task *task, bool control);
    /* Wakes the thread of a shard that was held and is not any more. */
    void (*unhold)(struct env *env, unsigned shard);
    /* Ends the process as SHUTDOWN does (finish, flush, exit 0), or at once when broken. */
    void (*shutdown)(struct env *env, bool now);
};

struct env {
    const struct env_ops *ops;
};
