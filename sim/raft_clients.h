/* The clients of a replicated store: each has a few lanes, and each lane one operation under way.
 *
 * A lane with a session numbers its commands and repeats an unanswered one, to whichever node, as
 * one operation; one without gives up when no answer comes, and nobody knows whether it was done.
 * Reads are repeated by both. All is written into a history for linear_check(), with moments that
 * count events of this module. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/history.h"
#include "sim/raft_run.h"

struct raft_clients *raft_clients_new(struct raft_run *run); /* attaches them to the network */
void raft_clients_free(struct raft_clients *c);

/* For servers: whether this attempt was not delivered before. */
bool raft_clients_first(struct raft_clients *c, uint64_t attempt);

void raft_clients_heal(struct raft_clients *c);
/* Every lane has completed an operation that it began after healing. */
bool raft_clients_lively(const struct raft_clients *c);
void raft_clients_quiet(struct raft_clients *c); /* nothing new is begun */
bool raft_clients_idle(const struct raft_clients *c);
/* "client 3 waits for node 2, group 1": of one that is not done, for a person; or "". */
void raft_clients_describe(const struct raft_clients *c, struct buffer *out);

uint64_t raft_clients_completed(const struct raft_clients *c);
const struct history *raft_clients_history(const struct raft_clients *c);
