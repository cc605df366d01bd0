/* A shard: the thread-confined part of a node. It owns the partitions p with p % shards == id,
 * their engine, and the log batch of the current turn.
 *
 * A turn: shard_turn_begin(), any number of reads and writes, shard_turn_end(). At the end the
 * turn's writes go to the log as one batch. A reply may leave when the turn it depends on is
 * committed: written to the log (fsync everysec, never) or synced (always); see shard_gate().
 *
 * A shard can be held by another one for a command that spans shards: while held its own commands
 * wait, and the holder, on its own thread, uses it as if it were its own. Shards are acquired in
 * ascending order, so holders never deadlock; before it is given away, and before it is given back,
 * the batch at hand is written to the log, so log order is execution order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hlc.h"
#include "base/list.h"
#include "base/prng.h"
#include "node/env.h"
#include "store/engine.h"
#include "store/log.h"

/* A batch that has grown to this is written before the turn's end. */
#define SHARD_BATCH_BYTES_MAX (UINT64_C(1) << 20)
/* Of one write in the log beside its key and value, rounded up. */
#define SHARD_WRITE_BYTES 128
/* A value that short needs no room of its own: numbers, flags and framing of any command. */
#define SHARD_SMALL_BYTES 8192

struct node;

/* Who puts records of his own into the turn's batch (Raft groups) is told when it was written, and
 * asks log_batch_lsn() where each is. */
struct shard_written {
    void (*written)(struct shard_written *w, const struct log_batch *batch, uint64_t end_lsn);
};

struct shard_pending { /* a turn written to the log but not yet committed */
    uint64_t turn, lsn;
    uint64_t at_us; /* when it began */
};

struct shard {
    struct node *node;
    struct env *env;
    struct engine *engine;
    unsigned id;
    struct hlc hlc;
    struct prng prng;
    struct log_batch batch;
    struct shard_written *written; /* NULL: nobody */

    uint64_t now_ms; /* wall time of this turn: never runs backwards; expiry is judged by it */
    uint64_t now_us; /* monotonic, of this turn */
    uint64_t slew_base_us;
    uint64_t turn;           /* number of the current turn, from 1 */
    uint64_t committed_turn; /* replies that depend on turns <= this may leave */
    uint64_t lsn;            /* end of what this shard wrote to the log */

    struct latency *latency; /* node/latency.h */

    unsigned atomic_depth; /* in shard_atomic_begin() .. end() */
    bool held;             /* by another shard: this thread must run nothing of the shard */
    void *impl;            /* the module's: pending turns, hold queue */
};

int shard_create(struct node *node, struct env *env, unsigned id, struct engine *engine,
                 struct shard **ret_shard);
void shard_free(struct shard *s);

void shard_turn_begin(struct shard *s);
/* Writes the batch to the log, lets the engine do its steps. Returns true when the engine wants
 * another turn soon. */
bool shard_turn_end(struct shard *s);
/* The log was synced up to lsn: commits turns under `always`. */
void shard_synced(struct shard *s, uint64_t lsn);
/* The same between shard_turn_end() and the next turn. A turn that waits for nothing is committed
 * with those before it. */
void shard_turn_settle(struct shard *s, uint64_t lsn);

/* --- reads and writes, inside a turn --- */

/* The live record: ST_OK, ST_NOTFOUND (absent, deleted or expired), ST_COLD. */
int shard_read(struct shard *s, const struct key *key, struct record *ret_record);

/* Whether a command may be executed now that writes no more than `bytes`, of keys, values and
 * SHARD_WRITE_BYTES for each write after the first: 0, ST_NOSPACE (disk full: answer DISKFULL),
 * ST_NOMEM (nothing is kept on disk and memory is full: only what frees some may be executed),
 * ST_AGAIN (back-pressure: park the client, try again). Asked before the first write of a command.
 */
int shard_may_write(struct shard *s, uint64_t bytes);
/* Of that the part that asks the engine, for other shards that a command writes to. */
int shard_pressure_status(const struct shard *s);
/* The room alone, for a command that finds out, before its first write, that it writes more than it
 * said: is there room in the log? */
bool shard_has_room(struct shard *s, uint64_t bytes);
/* Whether hlc_now() may be called some thousand times more. Not, for a while, when the disk is
 * full: the clock's reservation can't be moved on then. */
bool shard_has_stamps(const struct shard *s);

/* Sets the value with a fresh dot and stamp. expire_ms 0: never expires. */
void shard_put(struct shard *s, const struct key *key, struct slice value, uint64_t expire_ms);
void shard_delete(struct shard *s, const struct key *key);

/* Writes between begin and end are one log record: all or nothing after a crash. Nests. Puts to
 * partitions of held shards belong to it too: pass the shard that runs the command. */
void shard_atomic_begin(struct shard *s);
void shard_atomic_end(struct shard *s);

/* A LOG_META record of the node in this turn's batch. */
void shard_log_meta(struct shard *s, struct slice payload);

/* The turn a reply must wait for that shows (or made) this partition's last write; 0: none. */
uint64_t shard_gate(struct shard *s, uint16_t partition);

/* For what is read on a shard's own thread and shown by another: there, outside commands, all that
 * was put so far goes to the log, up to the position returned; the shard that shows it has its turn
 * wait for that position. */
uint64_t shard_settle(struct shard *s);
void shard_await(struct shard *s, uint64_t lsn);

/* --- shards together --- */

/* A claim on several shards. They are acquired in ascending order; then hold->ready runs on the
 * home shard's thread, may use node_shard(node, i) of each as its own, and ends with
 * shard_release() (at once or later on the same thread). While a shard is held by another one
 * (shard_held()) its own thread must run nothing of it: no session, no completion, no turn's end;
 * the loop waits until it is given back and then calls shard_unheld(). Embedded in the caller's
 * object, which lives until it is released. */
struct shard_hold {
    void (*ready)(struct shard_hold *hold);
    struct shard *home;
    uint64_t mask;
    unsigned next; /* the shard it is at */
    struct env_task task;
    struct list_node link; /* in a shard's queue */
};
void shard_acquire(struct shard *s, struct shard_hold *hold, uint64_t mask);
/* Writes the home shard's batch to the log, then gives all back. */
void shard_release(struct shard_hold *hold);
/* Claims of this home shard that were made and not yet released; from any thread. */
unsigned shard_claims(const struct shard *s);

/* On the shard's own thread. Until shard_unheld(), even when it was released already. */
static inline bool shard_held(const struct shard *s)
{
    return s->held;
}

/* On the shard's own thread, after it was given back: serves the next claim. It may be held again
 * when this returns. */
void shard_unheld(struct shard *s);
