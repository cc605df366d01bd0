/* The operator of a replicated store: changes members for no reason, moves leaderships, and builds
 * anew what lost its disk: the old replica leaves the group, is destroyed, and another one, of a
 * fresh id, comes in as a learner and is promoted.
 *
 * It looks from above: at all processes at once, at whatever each believes. It never lets more than
 * a minority of a group's voters lose their disks, in any configuration that somebody may hold.
 * Damage that nobody did is a failure of checker "refused", "stopped" or "orphaned". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/raft_app.h"
#include "sim/raft_run.h"

/* Founds the groups: fills run->founders. */
struct raft_operator *raft_operator_new(struct raft_run *run);
void raft_operator_free(struct raft_operator *o);
void raft_operator_begin(struct raft_operator *o); /* processes are up */
void raft_operator_heal(struct raft_operator *o);  /* repairs only from now on */

/* The disk of node `node` (from 1) is about to lose or damage what it holds: true when all groups
 * stand that; the node counts as damaged from now on. */
bool raft_operator_may_damage(struct raft_operator *o, unsigned node);
bool raft_operator_may_stay_down(struct raft_operator *o, unsigned node);
void raft_operator_refused(struct raft_operator *o, unsigned node, int st);
bool raft_operator_suspects(const struct raft_operator *o, unsigned node);

/* Would the group stand these members, as things are now? And what a replica holds now. */
bool raft_operator_allows(const struct raft_operator *o, uint32_t group,
                          const struct raft_config *config);
void raft_operator_saw(struct raft_operator *o, unsigned node, const struct group *g);
void raft_operator_added(struct raft_operator *o, unsigned node, uint32_t group, uint64_t id);

/* Nothing is damaged, every group has a leader and its voters, all of one applied index. */
bool raft_operator_settled(struct raft_operator *o);
void raft_operator_describe(struct raft_operator *o, struct buffer *out); /* what is not */
