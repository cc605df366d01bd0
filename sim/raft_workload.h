/* The Raft workload: a replicated store of integers on one to seven nodes, its clients, its
 * operator and its checkers. See sim/raft_run.h for its parts, docs/testing.md for the whole. */
#pragma once

#include "sim/workload.h"

extern const struct workload workload_raft;
