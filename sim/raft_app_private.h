/* What the files of raft_app share:  raft_app.c  life and turns;  raft_app_request.c  what clients
 * ask;  raft_app_scan.c  all rows of a group. */
#pragma once

#include "base/list.h"
#include "sim/kv_machine.h"
#include "sim/raft_app.h"
#include "sim/raft_run.h"
#include "store/engine.h"

struct raft_app_scan;

struct raft_app { /* of one life of a process */
    struct process *process;
    struct raft_run *run;
    struct env *env;
    const struct env_ops *env_ops; /* the process' own */
    struct env_ops tapped_ops;
    struct settings *settings;
    struct node *node;
    struct engine *engine;
    struct shard *shard;
    struct groups *groups;
    struct kv_machine machine;
    bool recovered;
    struct list_head requests; /* struct app_request */
    uint64_t truncated_lsn, rewrite_next_lsn;
    struct raft_admin admin[RAFT_ADMIN_MAX];
    unsigned admin_count;
    struct raft_app_scan *scans[RAFT_PLAN_GROUPS_MAX];
    uint64_t scanned[RAFT_PLAN_GROUPS_MAX];
};

void raft_app_request(struct raft_app *a, unsigned from, struct slice bytes);
void raft_app_requests_end(struct raft_app *a); /* forgets them all */
void raft_app_scan_end(struct raft_app *a, uint32_t group);
void raft_app_damaged(struct raft_app *a, uint32_t group, uint64_t key, const char *why);
