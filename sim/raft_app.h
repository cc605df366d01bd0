/* The replicated store on a simulated process: the real engine, node, shard and groups, joined as
 * the server joins them, with a state machine of integers on top.
 *
 * Clients ask over the network (sim/raft_frame.h). What an operator does to a node is queued and
 * done in its next turn; whether it worked shows in the groups' state, as for a person. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/groups.h"
#include "sim/process.h"

struct raft_app;

extern const struct process_app raft_app_upcalls; /* its process' ctx is a struct raft_run */

/* NULL while the process is down. */
struct raft_app *raft_app_of(struct process *p);
struct groups *raft_app_groups(struct raft_app *a);
struct group *raft_app_group(struct raft_app *a, uint32_t group); /* NULL: none here */

#define RAFT_ADMIN_MAX 64 /* queued; more are dropped */

enum raft_admin_kind {
    RAFT_ADMIN_ADD,      /* a replica `id`, with `config` or an empty one */
    RAFT_ADMIN_DESTROY,  /* the replica, if it is still `id` */
    RAFT_ADMIN_CHANGE,   /* the members to `config`, if it leads and the operator still wants it */
    RAFT_ADMIN_TRANSFER, /* to `id`, 0: anybody */
    RAFT_ADMIN_BALANCE,
};

struct raft_admin {
    enum raft_admin_kind kind;
    uint32_t group;
    uint64_t id;
    struct raft_config config;
};
void raft_app_admin(struct raft_app *a, const struct raft_admin *task);

/* Reads all rows of a group and gives their hash to raft_check_rows(): of a group at rest, or the
 * index is not that of the rows. ST_AGAIN: one is under way. */
int raft_app_scan(struct raft_app *a, uint32_t group);
uint64_t raft_app_scanned(const struct raft_app *a, uint32_t group); /* index of the last; 0 */
