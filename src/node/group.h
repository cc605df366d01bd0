/* One replica of a Raft group that replicates a partition: the Raft core (src/raft), its log inside
 * the node's commit log (node/group_log.h), and the partition's rows in the shard's engine.
 *
 * Invariants
 * - An entry is applied whole within one turn, when all rows that it touches are in memory: so no
 *   flush ever holds a part of it, and engine_partition.index, which flushes with the rows, is the
 *   Raft index applied. A restart goes on right behind it.
 * - What is applied depends on the entries and the rows alone: stamps and expiry are judged by the
 *   stamp that the leader put into the entry, never by a clock.
 * - A numbered command of a session is applied once, whoever sends it how often.
 * - A damaged replica answers nothing and sends nothing: GROUP_STOPPED.
 *
 * Everything here runs on the shard's thread inside a turn; callbacks come from groups_turn()
 * (node/groups.h), never from inside the call that asked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/slice.h"
#include "raft/raft.h"
#include "store/key.h"
#include "store/record.h"

struct group;

#define GROUP_COMMANDS_MAX       4096        /* of one entry */
#define GROUP_COMMAND_BYTES_MAX  (72u << 20) /* of one command */
#define GROUP_RESULT_BYTES_MAX   4096    /* of a result that a session remembers; ST_LIMIT beyond */
#define GROUP_SESSION_IDLE       100000u /* log indexes; see groups_options.session_idle_entries */
#define GROUP_SESSION_NUMBER_MAX ((uint64_t)1 << 62)

/* --- the state machine --- */

/* One application of a command, or the look ahead before it. */
struct group_apply {
    struct group *group;
    uint64_t index;    /* of the entry; a read: applied so far */
    uint64_t stamp;    /* of the entry */
    uint64_t now_ms;   /* its wall time */
    unsigned position; /* of the command in the entry */
    unsigned missing;  /* rows being fetched */
};

/* What commands mean. Both functions depend on nothing but the command and the rows. */
struct group_machine {
    /* Calls group_need() for each row that apply() will look at or write. */
    void (*prepare)(struct group_machine *machine, struct group_apply *apply, struct slice command);
    /* Never fails: a command that makes no sense has a result that says so. */
    void (*apply)(struct group_machine *machine, struct group_apply *apply, struct slice command,
                  struct buffer *result);
};

void group_need(struct group_apply *apply, const struct key *key);
/* The live record: 0 or ST_NOTFOUND. Valid until the next put of that key. */
int group_get(struct group_apply *apply, const struct key *key, struct record *ret_record);
void group_put(struct group_apply *apply, const struct key *key, struct slice value,
               uint64_t expire_ms); /* 0: never */
void group_delete(struct group_apply *apply, const struct key *key);

/* A key of the group's partition, whatever slot its bytes would have. The same bytes in the same
 * keyspace must not be used in another partition too: rows in memory are found without it. */
struct key group_key(const struct group *g, uint32_t keyspace, struct slice bytes);

/* --- commands and reads --- */

/* What becomes of a proposal. Embedded in the caller's object, which lives until done or
 * group_cancel(). */
struct group_proposal {
    /* 0: applied, with the machine's result. ST_CLOSED: surely never applied (not the leader, or
     * another entry took its place): send it to the leader. ST_LIMIT: too much under way,
     * ST_AGAIN: leadership is being handed away, ST_NOSPACE: the disk is full; all surely not
     * applied. ST_UNCERTAIN: may be applied or not.
     * Of a session's command also: ST_EXISTS: a later number was applied already; ST_LIMIT with
     * `applied`: it was applied before, its result was too large to be remembered; ST_NOTFOUND:
     * there is no such session (any more), not applied. */
    void (*done)(struct group_proposal *p, int st, struct slice result);
    bool applied;
    /* the group's */
    struct list_node link;
    uint64_t index, term;
    unsigned position;
    int st;
    size_t result_at, result_len;
};

/* The command becomes part of this turn's entry. session 0: none, and number means nothing; else
 * number is above all that were sent before, or that of the command repeated. ST_CLOSED,
 * ST_LIMIT: refused, done will not be called. */
int group_propose(struct group *g, struct group_proposal *p, uint64_t session, uint64_t number,
                  struct slice command);
/* A new session: the result is its id, u64 little endian. */
int group_session_open(struct group *g, struct group_proposal *p);
void group_cancel(struct group_proposal *p); /* done will not be called; the outcome is unknown */

/* A linearizable read: when done(0) runs, the rows are at least as new as all that was answered
 * before group_read(). ST_CLOSED: not leader. Embedded like a proposal. */
struct group_read {
    void (*done)(struct group_read *r, int st);
    /* the group's */
    struct list_node link;
    uint64_t id, index;
};
int group_read(struct group *g, struct group_read *r); /* ST_CLOSED, ST_LIMIT */
void group_read_cancel(struct group_read *r);
/* From done(), or whenever a read may be stale. ST_NOTFOUND; ST_COLD: engine_fetch() and again. */
int group_look(struct group *g, const struct key *key, struct record *ret_record);

/* --- the replica --- */

enum group_state {
    GROUP_RUNNING,
    GROUP_STOPPED, /* damaged: must be destroyed and added anew under another id */
    GROUP_ORPHAN,  /* its directory is a copy or was restored: the same */
};

struct group_status {
    enum group_state state;
    int error;              /* why it stopped */
    uint64_t id;            /* of the replica */
    uint64_t applied_stamp; /* of the last command applied */
    uint64_t flushed_index, log_bytes;
    struct raft_status raft;
};
void group_status(const struct group *g, struct group_status *ret_status);
const struct raft_config *group_config(const struct group *g); /* in force */
uint32_t group_id(const struct group *g);
bool group_leads(const struct group *g);
/* Where a client should ask: the leader's node, 0 when unknown. */
uint64_t group_leader_node(const struct group *g);

/* Leader only; as RAFT_CHANGE and RAFT_TRANSFER. ST_AGAIN also while a group of one syncs what it
 * has before it takes others in. */
int group_change(struct group *g, const struct raft_config *config);
int group_transfer(struct group *g, uint64_t to);

/* Who read a row and found it damaged says so: the replica stops. */
void group_damaged(struct group *g, int st);
/* The core, to be looked at only; NULL unless running. */
const struct raft *group_raft(const struct group *g);
