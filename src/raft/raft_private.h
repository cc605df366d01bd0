/* What the files of the core share. Each holds one concern:
 *
 *   raft.c       create, restore, the dispatch of events and messages, status
 *   election.c   terms, votes, timeouts, taking and losing leadership
 *   replicate.c  the leader's side of the log: appends, heartbeats, what followers answer
 *   append.c     the follower's side of the log
 *   commit.c     majorities, the commit index
 *   log.c        the log itself: tail in memory, terms of what is behind, configurations in it
 *   persist.c    what is durable, and what is held back until it is
 *   read.c change.c transfer.c snapshot.c    as they are called
 *   actions.c    the answers of one step
 *
 * Invariants: base <= applied <= commit <= last; durable <= last; only a leader has peers; what is
 * said in a term is said after the term is durable. */
#pragma once

#include "base/check.h"
#include "base/status.h"
#include "raft/raft.h"

#define RAFT_UNSYNCED_MAX 4096 /* writes under way; appends beyond are dropped as if lost */
#define RAFT_HELD_MAX     64   /* messages held back; more are dropped as if lost */
#define RAFT_READ_ENTRIES 64   /* taken from the reader at once */
#define RAFT_CONFIGS_MAX  1024 /* in the log, not compacted; more are dropped as if lost */
#define RAFT_ENTRY_EXTRA  64   /* bytes that an entry counts for besides its data */

struct raft_tail_row {
    uint64_t term;
    uint8_t *data;
    uint32_t len;
    uint8_t type;
};

struct raft_log {
    uint64_t base_index, base_term; /* compacted up to here; base_term of index 0 is 0 */
    uint64_t last_index, last_term;
    uint64_t tail_first;        /* rows hold tail_first..last_index */
    uint64_t tail_bytes;        /* of applied and other rows together */
    struct raft_tail_row *rows; /* a ring */
    uint32_t head, cap;
};

/* A configuration that is not in force any more but may come back when the log is cut. */
struct raft_past_config {
    uint64_t index;
    uint8_t count;
    struct raft_member members[];
};

/* Entries up to `last` are durable once `seq` is. */
struct raft_unsynced {
    uint64_t seq, last;
};

struct raft_held {
    uint64_t seq;
    struct raft_message message; /* without slices */
};

struct raft_read {
    uint64_t id, index, round; /* index 0: not known before an entry of the own term commits */
};

struct raft_inflight {
    uint64_t last, bytes;
};

/* Appends to one follower that are not answered: a ring. */
struct raft_inflights {
    uint32_t head, count, cap;
    uint64_t bytes;
    struct raft_inflight list[];
};

/* A snapshot on its way to one follower. */
struct raft_sending {
    uint64_t index, stream, offset; /* what is wanted next; index 0: a new one */
    uint64_t due_us;                /* asked for again then */
    bool reading;                   /* the caller was asked */
};

/* How far a follower is (the states are etcd's): PROBE sends one append at a time until the logs
 * are known to meet, REPLICATE sends ahead, SNAPSHOT waits for one to be installed. */
enum raft_peer_state { PEER_PROBE, PEER_REPLICATE, PEER_SNAPSHOT };

struct raft_peer {
    uint64_t id, node;
    uint64_t match; /* equal to ours up to here, and durable there */
    uint64_t next;  /* sent next; above match */
    uint64_t round; /* last one answered */
    uint64_t heard_us;
    uint64_t moved_us; /* match rose, or it was asked where it stands */
    uint8_t state;
    bool paused;  /* PROBE: unanswered */
    bool loading; /* the reader said ST_AGAIN */
    struct raft_inflights *inflights;
    struct raft_sending *sending; /* in SNAPSHOT only */
};

struct raft {
    uint64_t id, now_us;
    uint32_t group;
    uint8_t role;
    bool state_dirty, role_dirty, config_dirty;
    bool ack_owed;       /* the leader waits for what is not durable */
    bool storing;        /* a snapshot's chunk is with the caller */
    bool installing;     /* the last one: the log is not touched */
    bool started;        /* stepped once */
    bool transfer_asked; /* TIMEOUT_NOW was sent in this term: no more leases in it */
    struct raft_limits limits;
    struct raft_reader *reader;
    struct raft_actions *out; /* while in a step */

    uint64_t term, vote, leader;
    uint64_t commit, applied;
    uint64_t commit_hint; /* until started */
    struct raft_log log;
    struct raft_config config; /* in force: the last in the log, committed or not (4.1) */
    uint64_t config_index;
    struct raft_past_config **past; /* ascending */

    uint64_t seq, persisted_seq;
    uint64_t state_seq; /* term and vote are durable when this is */
    uint64_t durable;   /* index */
    struct raft_unsynced *unsynced;
    struct raft_held *held;
    uint16_t past_count, past_cap;
    uint16_t unsynced_count, unsynced_cap;
    uint16_t held_count, held_cap;
    uint16_t votes; /* bits: places in the configuration */

    uint64_t random;         /* state of the timeouts' generator */
    uint64_t election_us;    /* stands then */
    uint64_t heard_us;       /* from a leader, last; 0: never */
    uint64_t voting_from_us; /* votes from then on */
    uint64_t quiet_us;       /* the log grew last */
    uint64_t matched;        /* equal to the leader's log up to here */
    uint64_t leader_round;   /* the leader's last */

    uint64_t heartbeat_us; /* next */
    uint64_t round;        /* last begun: the time of it, and so the begin of a lease */
    uint64_t term_start;   /* index of the no-op */
    uint64_t uncommitted_bytes;
    struct raft_peer *peers; /* the other members, ascending */
    struct raft_read *reads; /* in order of arrival */
    uint32_t read_count, read_cap;
    uint64_t transfer_to, transfer_us;
    uint64_t dropped;
    uint8_t peer_count;
};

/* Terms and indexes that a forged message has brought near their end: nothing is added there. */
static inline bool raft_log_full(const struct raft *r)
{
    return r->log.last_index >= RAFT_INDEX_MAX - UINT32_MAX || r->term >= RAFT_INDEX_MAX - 1;
}

static inline uint64_t raft_ms(uint64_t ms)
{
    return ms * 1000;
}

/* --- actions.c --- */
void raft_actions_clear(struct raft_actions *actions);
struct raft_action *raft_act(struct raft *r, enum raft_action_type type);
void *raft_scratch(struct raft *r, size_t bytes); /* until the next step */

/* --- persist.c --- */
void raft_state_changed(struct raft *r); /* term or vote */
void raft_state_flush(struct raft *r);
void raft_entries_persist(struct raft *r, uint64_t first); /* first..last, just appended */
bool raft_writes_full(const struct raft *r);
void raft_on_persisted(struct raft *r, uint64_t seq);
/* Sends in the current term: once that is durable. raft_send_now() for what claims nothing. */
void raft_send(struct raft *r, uint64_t node, struct raft_message *m);
void raft_send_now(struct raft *r, uint64_t node, const struct raft_message *m);
struct raft_message raft_message_to(const struct raft *r, uint64_t to, uint16_t code);
uint64_t raft_node_of(const struct raft *r, uint64_t id); /* 0: not a member */

/* --- log.c --- */
uint64_t raft_log_term(const struct raft *r, uint64_t index); /* base <= index <= last */
void raft_log_append(struct raft *r, uint64_t term, uint8_t type, struct slice data);
void raft_log_cut(struct raft *r, uint64_t first); /* first and all behind it go */
void raft_log_reset(struct raft *r, uint64_t index, uint64_t term, const struct raft_config *c);
/* The highest index up to `index` whose term is not above `term`; not below base. */
uint64_t raft_log_find(const struct raft *r, uint64_t index, uint64_t term);
void raft_log_trim(struct raft *r);
void raft_log_rest(struct raft *r); /* gives the tail back when nothing is going on */
void raft_on_compacted(struct raft *r, uint64_t index);
/* Entries from first on as they stand in a message. ST_AGAIN, or what the reader says. */
int raft_log_encode(struct raft *r, uint64_t first, struct message_entries *ret_entries);
const struct raft_tail_row *raft_log_row(const struct raft *r, uint64_t index); /* or NULL */
void raft_log_free(struct raft *r);
void raft_config_push(struct raft *r, uint64_t index, const struct raft_config *config);

/* --- election.c --- */
void raft_follow(struct raft *r, uint64_t term, uint64_t leader); /* steps down, if it must */
void raft_election_reset(struct raft *r);
bool raft_in_touch(const struct raft *r); /* a leader was heard of within election_ms */
bool raft_stands(const struct raft *r);   /* may become leader */
void raft_campaign(struct raft *r, bool transfer);
void raft_election_tick(struct raft *r);
void raft_votes_count(struct raft *r);
bool raft_recv_vote_request(struct raft *r, const struct raft_message *m);
bool raft_recv_vote(struct raft *r, const struct raft_message *m);

/* --- replicate.c --- */
struct raft_peer *raft_peer_find(const struct raft *r, uint64_t id);
void raft_peers_update(struct raft *r); /* to the configuration in force */
void raft_peers_free(struct raft *r);
void raft_peer_probe(struct raft *r, struct raft_peer *p, uint64_t next);
void raft_replicate(struct raft *r, struct raft_peer *p);
void raft_replicate_all(struct raft *r);
void raft_heartbeats(struct raft *r); /* begins a round */
void raft_leader_tick(struct raft *r);
/* It has all up to index, durably. */
void raft_peer_accepted(struct raft *r, struct raft_peer *p, uint64_t index);
/* What every answer has: false when it can't be, *ret_peer NULL when it is late. */
bool raft_answer_check(struct raft *r, const struct raft_message *m, uint64_t round,
                       struct raft_peer **ret_peer);
bool raft_recv_append_result(struct raft *r, const struct raft_message *m);
bool raft_recv_heartbeat_result(struct raft *r, const struct raft_message *m);
int raft_on_propose(struct raft *r, const struct slice *data, unsigned count);
void raft_on_loaded(struct raft *r);

/* --- append.c --- each false: the message cannot be */
bool raft_recv_append(struct raft *r, const struct raft_message *m);
bool raft_recv_heartbeat(struct raft *r, const struct raft_message *m);
void raft_append_answer(struct raft *r); /* what is durable by now */
/* From the leader of a term: false when there can't be one, *ret_current false when it is late. */
bool raft_leader_heard(struct raft *r, const struct raft_message *m, bool *ret_current);

/* --- commit.c --- */
enum raft_quorum { QUORUM_MATCH, QUORUM_ROUND, QUORUM_HEARD };
/* What a majority (of old and of new voters) has reached. */
uint64_t raft_quorum(const struct raft *r, enum raft_quorum what);
bool raft_quorum_votes(const struct raft *r);
bool raft_quorum_alone(const struct raft *r); /* this replica is a majority by itself */
void raft_commit_to(struct raft *r, uint64_t index);
void raft_commit_advance(struct raft *r); /* leader */
static inline bool raft_term_committed(const struct raft *r)
{
    return r->commit >= r->term_start;
}

/* --- read.c --- */
int raft_on_read(struct raft *r, uint64_t id);
void raft_reads_advance(struct raft *r);
void raft_reads_fail(struct raft *r);
bool raft_leased(const struct raft *r);

/* --- change.c --- */
int raft_on_change(struct raft *r, const struct raft_config *to);
void raft_change_advance(struct raft *r);
void raft_config_append(struct raft *r, const struct raft_config *config);

/* --- transfer.c --- */
int raft_on_transfer(struct raft *r, uint64_t to);
void raft_transfer_advance(struct raft *r);
void raft_transfer_tick(struct raft *r);
bool raft_recv_timeout_now(struct raft *r, const struct raft_message *m);

/* --- snapshot.c --- */
void raft_snapshot_begin(struct raft *r, struct raft_peer *p);
void raft_snapshot_end(struct raft_peer *p);
void raft_snapshot_tick(struct raft *r, struct raft_peer *p);
bool raft_recv_snapshot(struct raft *r, const struct raft_message *m);
bool raft_recv_snapshot_result(struct raft *r, const struct raft_message *m);
void raft_on_chunk(struct raft *r, const struct raft_event *event);
void raft_on_stored(struct raft *r, const struct raft_event *event);
