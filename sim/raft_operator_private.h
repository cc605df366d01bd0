/* What the files of the operator share:  raft_operator.c  life, and what is known;
 * raft_operator_change.c  what it does to a group. */
#pragma once

#include "base/prng.h"
#include "sim/raft_operator.h"

struct operator_node {
    bool damaged; /* its disk is not to be trusted, and is wiped at wipe_us */
    bool absent;  /* down for good */
    uint64_t wipe_us;
    uint64_t birth; /* of the disk when it was damaged; with another one it is new, or a copy, and
                     * its replicas know themselves that they are nobody any more */
};

struct operator_replica { /* by group and node */
    uint64_t sound_id;    /* the replica there as far as we know; 0: none, or not to be trusted */
    uint64_t idle_us;     /* since when it is in no configuration; 0: it is */
    struct raft_config seen; /* what it held when last looked at; empty: nothing */
    uint64_t seen_index;
};

struct raft_operator {
    struct raft_run *run;
    struct prng random;
    struct world_event event;
    struct operator_node nodes[RAFT_PLAN_NODES_MAX + 1]; /* from 1 */
    struct operator_replica replicas[RAFT_PLAN_GROUPS_MAX][RAFT_PLAN_NODES_MAX + 1];
    uint64_t change_us[RAFT_PLAN_GROUPS_MAX]; /* when to change something for no reason */
    bool healed;
};

/* The replica that leads in the latest term; false: none known. */
struct operator_view {
    unsigned node; /* of the leader */
    struct raft_app *app;
    struct group *group;
    struct group_status status;
    struct raft_config config;
};
bool operator_view(struct raft_operator *o, uint32_t group, struct operator_view *ret_view);
bool operator_sound(const struct raft_operator *o, uint32_t group, const struct raft_member *m);
/* With one more node damaged; 0: none more. */
bool operator_stands(const struct raft_operator *o, uint32_t group,
                     const struct raft_config *config, unsigned more);
unsigned operator_voters(const struct raft_config *config); /* to be, not old */
uint64_t operator_fresh_id(struct raft_operator *o);
void operator_group_tick(struct raft_operator *o, uint32_t group);
