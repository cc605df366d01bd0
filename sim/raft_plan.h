/* What a seed of the Raft workload looks like: drawn once, before anything runs.
 *
 * Few things are drawn from the middle: sizes and limits are either tiny, so that their edges are
 * met all the time, or comfortable, so that what lies beyond them is reached. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "raft/raft.h"
#include "sim/net.h"
#include "sim/world.h"

#define RAFT_PLAN_NODES_MAX    7
#define RAFT_PLAN_GROUPS_MAX   5
#define RAFT_PLAN_CLIENTS_MAX  12
#define RAFT_PLAN_LANES_MAX    128
#define RAFT_PLAN_KEYS_MAX     4096 /* ever used */
#define RAFT_PLAN_KEYS_AT_ONCE 512
#define RAFT_PLAN_PARTITIONS   8 /* groups replicate the first ones */
#define RAFT_PLAN_OPERATIONS   20000
#define RAFT_PLAN_CLUSTER      UINT64_C(0x746f7263) /* of all nodes */

struct raft_plan {
    unsigned nodes, groups;
    unsigned voters;         /* that each group has, but while its members change; <= nodes */
    unsigned clients, lanes; /* lanes: operations that one client has under way */
    unsigned keys;           /* in use at a time */
    unsigned fading_percent; /* of the keys: values expire, so they are no register for linear.h */
    bool sync_always;
    bool one_voter; /* groups may shrink to one voter: only where all is synced before replies */
    unsigned stall_ppm; /* of turns, see process_stalls() */
    uint64_t stall_mean_us;
    struct net_rates net;
    struct raft_limits limits;

    uint64_t table_bytes, cache_bytes, log_bytes, segment_bytes;
    uint64_t log_keep_bytes, log_rewrite_bytes;
    uint64_t session_idle_entries;

    unsigned session_percent; /* of the lanes that use sessions */
    unsigned read_percent, counter_percent;
    uint64_t pad_bytes_max;  /* of most values */
    unsigned large_permille; /* of values of up to 100 KiB */
    uint64_t fade_ms_max;    /* time to live of those */
    uint64_t timeout_us;     /* a client waits so long for a reply */
    uint64_t faulty_us;      /* the phase with faults */
    uint64_t change_mean_us; /* between changes that the operator makes for no reason; 0: none */
};

struct raft_plan raft_plan_draw(const struct world *w);
