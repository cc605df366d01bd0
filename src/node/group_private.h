/* Inside a group; included by group*.c only.
 *
 *   group.c           life, the core's events and actions, what is durable, the log's base
 *   group_apply.c     entries: made of commands, applied
 *   group_session.c   sessions: commands applied once
 *   group_read.c      linearizable reads
 *   group_snapshot.c  rows sent to a replica that is behind, and installed
 *   groups.c          all groups of a shard: turns, messages, ticks, the outbox
 *
 * Nothing here calls back into the outside but from groups_turn(), when no list of actions is being
 * walked and no entry is half applied. */
#pragma once

#include "base/heap.h"
#include "base/hlc.h"
#include "base/map.h"
#include "node/group_log.h"
#include "node/groups.h"
#include "store/engine_export.h"
#include "store/engine_install.h"
#include "wire/frame.h"

#define GROUP_MARKS_MAX          8
#define GROUP_HEARD              3
#define GROUP_ENTRY_BYTES_SOFT   (1u << 20) /* of one entry, unless one command is larger */
#define GROUP_APPLY_ENTRIES_TURN 512        /* of one group */
#define GROUP_APPLY_BYTES_TURN   (4u << 20)
#define GROUP_ENTRY_HEAD_BYTES   (1 + 8 + 4)
#define GROUP_STAMP_MAX          ((uint64_t)1 << 63) /* of an entry: the year 6429 */
#define GROUP_COMMAND_HEAD_BYTES (8 + 8 + 4)
#define GROUP_SESSION_CONTROL    UINT64_MAX /* session of commands to the session table itself */
#define GROUP_CONTROL_OPEN       0
#define GROUP_CONTROL_SWEEP      1
#define GROUP_EXPORTS_MAX        2 /* streams to followers at a time; others wait */
#define GROUP_EXPORT_IDLE_US     60000000u

struct group_mark { /* all up to seq is durable when the log is synced up to lsn */
    uint64_t seq, lsn;
    bool config; /* a configuration is among it */
};

struct group_export;
struct group_install;
struct group_sweep;

struct group {
    struct groups *of;
    struct shard *shard;
    struct raft *raft; /* NULL unless running */
    uint32_t id;
    uint16_t partition;
    enum group_state state;
    int error;
    struct group_log log;
    struct heap_node due;       /* in groups.due, by raft_due_us() */
    struct list_node busy_link; /* in groups.busy: something to do in groups_turn() */
    struct list_node sync_link; /* in groups.unsynced: waits for the log's sync */
    struct list_node doom_link; /* in groups.doomed */
    bool leads, doomed;         /* doomed: destroyed, while work is under way */

    /* Where those are who spoke last, for a replica whose configuration does not (yet) tell. */
    struct group_heard {
        uint64_t id, node;
    } heard[GROUP_HEARD];
    unsigned heard_next;

    /* durability */
    struct group_mark marks[GROUP_MARKS_MAX]; /* oldest first */
    unsigned marks_count;
    uint64_t unwritten_seq; /* in the batch; 0: none */
    bool unwritten_config;
    bool sync_first; /* a group of one that takes in others: from now on as if it were more */
    uint64_t sync_first_lsn; /* what was counted as durable before ends here */

    /* entries */
    uint64_t commit, applied;
    uint64_t applied_term;   /* of the last entry applied in this life; 0: none */
    uint64_t applied_stamp;  /* of the last command entry applied */
    uint64_t log_stamp;      /* none in the log is above */
    uint64_t clock_index;    /* of this leader's first entry with a stamp; 0: not yet proposed */
    bool loaded, told_flush; /* entries were read back */
    struct buffer entry;     /* in the making */
    unsigned entry_count;
    struct list_head queued;  /* struct group_proposal, of the entry in the making */
    struct list_head waiting; /* ... with index and term; ascending, of each term */
    unsigned fetching;        /* rows that the next entry waits for */
    struct list_head fetches;
    unsigned half; /* planted entry_half_applied: commands applied in an earlier turn */

    /* reads */
    struct list_head reads;       /* struct group_read, asked */
    struct list_head reads_ready; /* with their index */
    uint64_t read_last;

    struct group_sweep *sweep;
    struct group_export *exports[GROUP_EXPORTS_MAX];
    struct group_install *install;
};

struct groups_peer {
    uint64_t node;
    struct frame_writer frame;
    struct list_node link; /* in groups.peers_full */
};

struct groups {
    struct groups_options options;
    struct shard *shard;
    struct shard_written written;
    struct env_timer timer;
    struct map64 *by_id; /* struct group */
    struct group **sorted;
    unsigned count;
    struct heap due;
    struct list_head busy, unsynced, doomed;
    struct list_head clears;         /* struct groups_clear */
    uint64_t synced_lsn;             /* seen */
    struct list_head finished;       /* struct group_proposal with their results */
    struct list_head reads_finished; /* struct group_read that failed */
    struct map64 *peers;
    struct list_head peers_full;
    struct raft_actions actions;
    struct buffer result;
    struct wire_refusals refusals;
    struct groups_counters counters;
    uint64_t upkeep_us; /* next */
    bool stepping, in_turn, sync_wanted;
};

/* --- groups.c --- */

void groups_busy(struct groups *gs, struct group *g); /* it has something to do in the next pass */
void groups_send(struct groups *gs, uint64_t node, const struct raft_message *message);
void group_heard(struct group *g, uint64_t id, uint64_t node);
/* Whether `bytes` more may go into the batch; writes it first when it is full. */
bool groups_room(struct groups *gs, uint64_t bytes);

/* --- group.c --- */

struct group *group_new(struct groups *gs, uint32_t id);
void group_free(struct group *g);
int group_open(struct group *g); /* after the log is replayed */
int group_found(struct group *g, uint64_t replica, const struct raft_config *config);
void group_stop(struct group *g, int st, const char *why); /* damaged */
/* One event to the core, its actions carried out. */
int group_step(struct group *g, const struct raft_event *event);
void group_written(struct group *g, const struct log_record *record, uint64_t end_lsn);
/* One pass of what it has to do. False: nothing was. */
void group_pass(struct group *g);
void group_upkeep(struct group *g);
void group_end(struct group *g); /* answers all that waits: it is going away */
void group_forget_below(struct group *g, uint64_t lsn);

/* --- group_apply.c --- */

int group_session_sweep(struct group *g, struct group_proposal *p, struct slice ids);
void group_flush_entry(struct group *g); /* what is queued becomes an entry */
void group_proposed(struct group *g, uint64_t index);
void group_apply_ready(struct group *g);
void group_proposals_end(struct group *g, int queued_st, int waiting_st);
void group_proposals_passed(struct group *g, uint64_t index); /* a snapshot went past them */
void group_fetches_cancel(struct group *g);
void group_finish(struct group *g, struct group_proposal *p, int st);
void group_deliver(struct groups *gs); /* callbacks of proposals and reads */
void group_put_raw(struct group_apply *apply, const struct key *key, const struct record *record);

/* The time by which rows expire after an entry with that stamp: not a millisecond later, as more
 * entries of the same one may follow, for which the rows still live. 1, not 0: no clock ever. */
static inline uint64_t group_judge_ms(uint64_t stamp)
{
    return hlc_wall_ms(stamp) > 0 ? hlc_wall_ms(stamp) : 1;
}

/* --- group_session.c --- */

/* Applies a command that names a session. Result appended to *result; *ret_applied as in
 * group_proposal. */
int group_session_apply(struct group_apply *apply, uint64_t session, uint64_t number,
                        struct slice command, struct buffer *result, bool *ret_applied);
void group_session_prepare(struct group_apply *apply, uint64_t session, uint64_t number,
                           struct slice command);
void group_session_upkeep(struct group *g);
void group_session_end(struct group *g);

/* --- group_read.c --- */

void group_read_ready(struct group *g, uint64_t id, uint64_t index);
void group_read_failed(struct group *g, uint64_t id);
bool group_reads_serve(struct group *g); /* callbacks; true when one ran */
void group_reads_end(struct group *g);

/* --- group_snapshot.c --- */

void group_snapshot_read(struct group *g, uint64_t to, uint64_t stream, uint64_t index,
                         uint64_t offset);
void group_snapshot_store(struct group *g, uint64_t from, const struct raft_snapshot_chunk *chunk);
void group_snapshot_pass(struct group *g);
void group_snapshot_upkeep(struct group *g);
uint64_t group_snapshot_pinned(const struct group *g); /* index still being sent; UINT64_MAX */
bool group_snapshot_busy(const struct group *g);       /* work is under way */
void group_snapshot_end(struct group *g);
/* What the last installed snapshot says of its place in the log. ST_NOTFOUND; ST_CORRUPT */
bool group_snapshot_installing(const struct group *g); /* its rows are about to be replaced */
int group_snapshot_meta(struct group *g, struct group_log_state *inout_state,
                        struct raft_config *ret_config);
