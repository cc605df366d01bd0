/* What the files of the Raft checkers share. */
#pragma once

#include "base/map.h"
#include "sim/raft_check.h"

/* An entry that somebody sent, of a slot's index. */
struct check_entry {
    struct check_entry *next;
    uint64_t term, prev_term, hash;
};

/* What is known about one index of a group. */
struct check_slot {
    struct check_entry *seen;
    bool committed, applied, rows;
    uint64_t term, hash;  /* committed: of the entry */
    uint64_t commit_term; /* the first who told was in this term: it was committed by then */
    uint64_t fold, count; /* applied: what the commands did */
    uint64_t rows_hash;
};

struct check_group {
    struct check_slot *slots; /* by index */
    size_t slots_cap;
    uint64_t committed_max;
    struct map64 *leaders;     /* term to struct check_leader */
    uint64_t config_committed; /* the highest index of a committed configuration seen */
};

struct check_leader {
    uint64_t id;
    bool complete;         /* leader completeness was looked at */
    uint64_t config_index; /* the latest configuration in its log */
};

struct check_replica {
    uint64_t id;
    uint32_t group;
    uint64_t term, vote; /* the latest that it spoke in; whom it voted for then */
    unsigned life;
    uint64_t checked; /* committed entries compared up to here, in this life */
    uint64_t applied, flushed;
    uint64_t acked, acked_term; /* called durable in this term */
    uint64_t installed;         /* as the last turn's end told */
    bool jumps;                 /* a snapshot may be about to move it */
    uint64_t *touched;          /* entries with commands, applied since then */
    size_t touched_count, touched_cap;
    uint64_t fold_index, fold, count; /* of the entry being applied, in fold_life */
    unsigned fold_life;
};

struct raft_check {
    struct world *world;
    const struct raft_plan *plan;
    struct check_group groups[RAFT_PLAN_PARTITIONS];
    struct map64 *replicas; /* by id */
    uint64_t *places;       /* where each operation was applied, by number; 0: nowhere yet */
    size_t places_cap;
    uint64_t acknowledged[RAFT_PLAN_KEYS_MAX];
    struct raft_check_counts counts;
};

struct check_slot *check_slot(struct raft_check *c, uint32_t group, uint64_t index); /* or NULL */
struct check_replica *check_replica(struct raft_check *c, uint32_t group, uint64_t id);
struct check_leader *check_leader(struct raft_check *c, uint32_t group, uint64_t term, uint64_t id);
