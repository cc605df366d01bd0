/* What must be true of Raft groups while they run, watched from outside: through what replicas
 * send, what they apply, what their status says at each turn's end, and what clients were told.
 * Nothing here changes what happens, and nothing is drawn. A broken rule fails the world with the
 * checker's name:
 *
 *   two_leaders          a term has at most one leader (dissertation figure 3.2, election safety)
 *   double_vote          a replica votes for one candidate in a term, over crashes too
 *   term_backwards       a replica never speaks in an older term than it spoke in before
 *   ack_lost             what a replica called durable is there when it comes back
 *   log_matching         entries of one index and term are the same, and so are those before them
 *   committed_changed    an entry once committed anywhere is the one committed everywhere
 *   leader_completeness  who leads a later term has it
 *   change_unsafe        one membership change at a time, after a commit of the own term
 *   apply_differs        replicas apply the same commands at an index, to the same values, with the
 *                        same results, whether they came by log or by snapshot
 *   applied_backwards    the applied index grows, and a restart keeps what was flushed
 *   applied_twice        one client's request takes effect at one place
 *   rows_differ          replicas at one applied index have the same rows
 *   stale_read           a read shows all writes of its key that were acknowledged before it began
 *   malformed            what is sent can be read
 *   damage_served        a damaged or foreign value was read
 *
 * (linear_check on the whole history and liveness are the run's: sim/raft_run.h.) */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/group.h"
#include "sim/kv_machine.h"
#include "sim/raft_plan.h"
#include "sim/world.h"

/* No run gets near it; a replica that does has gone wild. */
#define RAFT_CHECK_INDEX_MAX (UINT64_C(1) << 22)

struct raft_check;

struct raft_check *raft_check_new(struct world *w, const struct raft_plan *plan);
void raft_check_free(struct raft_check *c);

/* A frame leaves a node, whether or not it arrives. */
void raft_check_sent(struct raft_check *c, unsigned node, uint64_t to, struct slice frame);
/* A command was applied on a node, in its current life. */
void raft_check_applied(struct raft_check *c, unsigned node, unsigned life,
                        const struct group_apply *apply, const struct kv_command *command,
                        int64_t before, const struct kv_result *result);
/* A turn's end, for each group that the node has. `life` counts its starts, `installed` the
 * snapshots that it installed in this one. */
void raft_check_turn(struct raft_check *c, unsigned node, unsigned life, uint64_t installed,
                     const struct group *g);
/* All rows of a group at an applied index, hashed. */
void raft_check_rows(struct raft_check *c, unsigned node, uint32_t group, uint64_t applied,
                     uint64_t hash);

/* The index up to which acknowledged writes of a key are known; a read that begins now must be
 * served at that index or later. */
uint64_t raft_check_acknowledged(const struct raft_check *c, uint64_t key);
void raft_check_write_done(struct raft_check *c, uint64_t key, uint64_t index);
void raft_check_read_done(struct raft_check *c, unsigned client, uint64_t key, uint64_t floor,
                          uint64_t index);

struct raft_check_counts {
    uint64_t elections;         /* leaders seen, one a term and group */
    uint64_t changes;           /* configurations committed */
    uint64_t committed, unseen; /* entries compared; those that were out of memory already */
    uint64_t applied;
};
const struct raft_check_counts *raft_check_counts(const struct raft_check *c);
