/* One run of the Raft workload: what its parts share.
 *
 *   raft_plan      what is drawn
 *   raft_app       the store on a process: engine, shard, groups, and what clients ask of it
 *   raft_clients   who ask, and write down what they were told
 *   raft_operator  who changes members, and rebuilds what is damaged
 *   raft_check     who watches
 *   raft_workload  the whole, as sim/workload.h wants it */
#pragma once

#include "sim/process.h"
#include "sim/raft_check.h"
#include "sim/raft_plan.h"

struct raft_clients;
struct raft_operator;

struct raft_run {
    struct world *world;
    struct raft_plan plan;
    struct net *net; /* endpoints: nodes from 1 on, then clients */
    struct process *processes[RAFT_PLAN_NODES_MAX];
    struct raft_check *check;
    struct raft_clients *clients;
    struct raft_operator *operator;
    bool healed;

    /* What groups begin with. */
    struct raft_config founders[RAFT_PLAN_GROUPS_MAX];
};

/* Endpoint of the c-th client. */
static inline unsigned raft_run_client(const struct raft_run *run, unsigned c)
{
    return run->plan.nodes + 1 + c;
}
