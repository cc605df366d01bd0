/* Raft for one group: a state machine without I/O. raft_step() takes one event and answers with
 * actions; nothing else happens. Sections are of Diego Ongaro's dissertation, "Consensus: Bridging
 * Theory and Practice" (2014).
 *
 * The caller (node/group) owns the log on disk, the network, the clock and the state machine, and
 * owes this:
 * - Actions are carried out in order. Entries and state to persist are numbered (seq), and
 *   RAFT_PERSISTED says which are durable: synced, in groups with more than one voter. What a reply
 *   rests on is never sent before that: the core itself holds votes and results back.
 * - now_us is monotonic, and was sampled after what the event carries came into being: after the
 *   message was received, after the read was asked for; a turn's begin is too early. Over all
 *   replicas of a group the rates of these clocks differ by at most clock_drift_percent: leases
 *   rest on it, and on nothing else about time.
 * - After a restart raft_create() gets exactly what was durable or later than it, and a replica
 *   whose disk may have lost something comes back under a new id. Nobody gets a vote for one
 *   election timeout after a start, as he may have granted a lease before it.
 * - Entries above RAFT_COMMIT are not applied; those up to it are, in order, once.
 *
 * The core guarantees (checked by the simulator): at most one leader a term; logs that agree at an
 * index and term agree below; a leader has all committed entries; an entry once given as committed
 * never changes; READ_READY's index is at least that of any write answered before the READ came.
 *
 * Memory: entries not yet applied, and a tail of at most tail_bytes_max below, are held here; older
 * ones are read through struct raft_reader. An idle group with three members costs less than 1 KiB.
 * No timers of its own: it is told the time with every event and says when it wants the next
 * (raft_due_us). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "raft/config.h"
#include "wire/message.h"

struct raft;

enum raft_role {
    RAFT_FOLLOWER, /* learners too */
    RAFT_PRECANDIDATE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

/* --- what the caller provides --- */

/* Older entries. Both are asked only for what was given to persist and not compacted. */
struct raft_reader {
    /* Entries from `first` on, one at least, up to `last` or cap or about bytes_max; valid until
     * the next raft_step(). ST_AGAIN: being read, RAFT_LOADED will follow. */
    int (*entries)(struct raft_reader *reader, uint64_t first, uint64_t last, uint64_t bytes_max,
                   struct raft_entry *ret_entries, unsigned cap, unsigned *ret_count);
    uint64_t (*term)(struct raft_reader *reader, uint64_t index); /* at once, from memory */
};

struct raft_limits {                /* all > 0 */
    uint32_t election_ms;           /* a follower waits so long at least, twice that at most */
    uint32_t heartbeat_ms;          /* well below election_ms */
    uint32_t clock_drift_percent;   /* below 50 */
    uint32_t transfer_ms;           /* a transfer that takes longer is given up */
    uint32_t appends_inflight_max;  /* messages to one follower */
    uint64_t append_bytes_max;      /* of one message's entries; one entry may exceed it */
    uint64_t inflight_bytes_max;    /* to one follower */
    uint64_t tail_bytes_max;        /* applied entries kept in memory */
    uint64_t uncommitted_bytes_max; /* reached: proposals are refused with ST_LIMIT */
    uint32_t reads_max;             /* waiting; beyond are refused */
    uint32_t snapshot_chunk_bytes;
    bool leases; /* else every read takes a round of heartbeats */
};

struct raft_start {
    uint32_t group;
    uint64_t id; /* of this replica; a message to another one is dropped */
    uint64_t seed;
    uint64_t now_us;
    struct raft_limits limits;
    struct raft_reader *reader; /* outlives the core */
    bool fresh;                 /* never ran before: need not wait before it may vote */
    /* as was durable */
    uint64_t term, vote, commit;              /* commit: a lower bound, 0 when unknown */
    uint64_t applied;                         /* the state machine's; at least compacted_index */
    uint64_t compacted_index, compacted_term; /* the log begins after it; 0: at the beginning */
    /* in force at compacted_index; empty: waits to be added. All members that a group is born with
     * start with the same, which its first entry repeats for those who come later. */
    struct raft_config config;
};

/* --- events --- */

enum raft_event_type {
    RAFT_TICK,      /* time has passed */
    RAFT_MESSAGE,   /* from a peer, decoded; may be anything */
    RAFT_PERSISTED, /* all up to seq is durable */
    RAFT_PROPOSE,   /* leader only: appends entries. ST_CLOSED, ST_LIMIT; ST_AGAIN: a transfer is
                       under way; ST_INVALID: none */
    RAFT_READ,      /* leader only. ST_CLOSED, ST_LIMIT */
    RAFT_CHANGE,    /* leader only: to these members. ST_CLOSED; ST_AGAIN: another change is under
                       way, or nothing of the own term is committed yet; ST_INVALID */
    RAFT_TRANSFER,  /* leader only: leadership to a voter that is up to date. ST_CLOSED, ST_INVALID,
                       ST_AGAIN */
    RAFT_APPLIED,   /* the state machine is at index */
    RAFT_COMPACTED, /* the log begins after index: all up to it is safe elsewhere. The reader
                       still has it until this step is done */
    RAFT_LOADED,    /* entries that the reader answered ST_AGAIN for can be read */
    RAFT_SNAPSHOT_CHUNK,  /* answers RAFT_ACTION_SNAPSHOT_READ */
    RAFT_SNAPSHOT_STORED, /* answers RAFT_ACTION_SNAPSHOT_STORE */
};

struct raft_snapshot_chunk {
    uint64_t index, index_term;
    uint64_t stream; /* tells apart streams of one index whose bytes differ; never 0 */
    uint64_t offset;
    bool done;
    struct raft_config config; /* in force at index */
    struct slice data;         /* at most snapshot_chunk_bytes */
};

struct raft_event {
    enum raft_event_type type;
    uint64_t now_us;
    union {
        const struct raft_message *message;
        uint64_t seq;
        struct {
            const struct slice *data; /* copied */
            unsigned count;
        } propose;
        uint64_t read_id;          /* the caller's */
        struct raft_config change; /* without RAFT_VOTER_OLD */
        uint64_t transfer_to;      /* 0: whoever is best */
        uint64_t applied;
        uint64_t compacted; /* <= applied */
        struct {
            uint64_t to;
            int st; /* 0, or why there is none: ST_AGAIN: asked again, else for a new one */
            struct raft_snapshot_chunk chunk;
        } chunk;
        struct {
            uint64_t from;
            uint64_t index, stream;
            enum snapshot_state state;
            uint64_t offset; /* SNAPSHOT_WANTED: next */
            /* SNAPSHOT_INSTALLED: durable and in force, applied == index, log emptied */
            uint64_t index_term;
            struct raft_config config;
        } stored;
    };
};

/* --- actions --- */

enum raft_action_type {
    RAFT_ACTION_ENTRIES, /* persist: they replace what the log had from the first one's index on */
    RAFT_ACTION_STATE,   /* persist: term, vote, and commit as a hint */
    RAFT_ACTION_SEND,    /* message.to says to which replica, node says where it is; 0: not a member
                            here, it is where its message came from */
    RAFT_ACTION_COMMIT,  /* entries up to index are committed */
    RAFT_ACTION_PROPOSED,    /* got indexes from index on, in the current term */
    RAFT_ACTION_READ_READY,  /* may be served once index is applied */
    RAFT_ACTION_READ_FAILED, /* not leader any more: ask the new one */
    RAFT_ACTION_ROLE,        /* role, term or leader changed: see raft_status() */
    RAFT_ACTION_CONFIG,      /* another configuration is in force: see raft_config() */
    /* A READ that is not answered within election_ms comes again; each STORE is answered once, and
     * there is no second before. */
    RAFT_ACTION_SNAPSHOT_READ,  /* to, stream and index (0: a new one) and offset */
    RAFT_ACTION_SNAPSHOT_STORE, /* a checked chunk from the leader; nothing is applied meanwhile
                                   that is behind it */
};

struct raft_action {
    enum raft_action_type type;
    union {
        struct {
            uint64_t seq;
            const struct raft_entry *list;
            unsigned count;
        } entries;
        struct {
            uint64_t seq;
            uint64_t term, vote, commit;
        } state;
        struct {
            struct raft_message message;
            uint64_t node;
        } send;
        uint64_t index; /* COMMIT, PROPOSED */
        struct {
            uint64_t id, index;
        } read;
        struct {
            uint64_t to;
            uint64_t index, stream, offset;
        } snapshot_read;
        struct {
            uint64_t from;
            struct raft_snapshot_chunk chunk;
        } snapshot_store;
    };
};

/* Reused from step to step; what it points to is valid until the next one. A zeroed one is empty.
 */
struct raft_actions {
    struct raft_action *list;
    unsigned count, cap;
    void *scratch;
};
void raft_actions_free(struct raft_actions *actions);

/* --- the core --- */

int raft_create(const struct raft_start *start, struct raft **ret_raft);
/* Before the first step, in order: each entry of the log after compacted_index. Of commands only
 * index, term and length are looked at. ST_CORRUPT: a gap, or terms that run backwards. */
int raft_restore(struct raft *r, const struct raft_entry *entry);
void raft_free(struct raft *r);

/* 0, or why a PROPOSE, READ, CHANGE or TRANSFER was refused, with no effect. Messages that cannot
 * be are dropped and counted, never an error. *actions holds only this step's. */
int raft_step(struct raft *r, const struct raft_event *event, struct raft_actions *actions);

/* When it wants a RAFT_TICK at the latest. */
uint64_t raft_due_us(const struct raft *r);

struct raft_status {
    enum raft_role role;
    uint64_t term, vote;
    uint64_t leader; /* replica id, 0: unknown */
    uint64_t first_index, last_index, last_term, commit, applied;
    uint64_t config_index; /* of the entry that the configuration in force came with */
    bool config_committed, leased, transferring; /* as of the last step */
    uint64_t dropped; /* messages that could not be, or were not for this replica */
};
void raft_status(const struct raft *r, struct raft_status *ret_status);
const struct raft_config *raft_config(const struct raft *r); /* in force: the log's last */
/* The configuration in force at an index not below the compacted one. */
void raft_config_at(const struct raft *r, uint64_t index, struct raft_config *ret_config);
/* A committed or later entry, if it is in memory: else ST_NOTFOUND, read it from the log. */
int raft_entry(const struct raft *r, uint64_t index, struct raft_entry *ret_entry);
/* How far a follower is, as its leader knows: the last index known durable there. ST_CLOSED. */
int raft_progress(const struct raft *r, uint64_t id, uint64_t *ret_match, uint64_t *ret_heard_us);
uint64_t raft_bytes(const struct raft *r); /* memory that it takes */
