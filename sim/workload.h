/* What runs in a simulation beside the faults: servers, clients, checkers. One row of the table
 * `workloads` in sim/workload.c each.
 *
 * A run: create(); a quiet while; the faulty phase, in which the plan of sim/faults.h does its
 * worst; then healing: the network is whole, the processes are started again (all, or a majority
 * where may_stay_down() lets some be down), heal() is told, and finished() is asked until it says
 * true; end(). A checker that finds something calls world_fail(), at any time. */
#pragma once

#include "sim/net.h"
#include "sim/process.h"
#include "sim/world.h"

#define WORKLOAD_QUIET_US (UINT64_C(3) * 1000000) /* before the first fault */

struct workload_counts {
    uint64_t operations, elections, changes;
};

struct workload {
    const char *name, *about;
    uint64_t operations_min, elections_min; /* per seed on average, asserted over many; 0: not */
    /* Builds network and processes, starts them, sets its own events; all drawn from world_prng().
     * Process i has the id i + 1; endpoints above are the clients'. Network and processes stay the
     * workload's, but net rates, clocks and life are for the faults to change. */
    void *(*create)(struct world *w, struct net **ret_net, struct process ***ret_processes,
                    unsigned *ret_count);
    uint64_t (*faulty_us)(void *run); /* virtual length of the faulty phase, the quiet one in it */
    /* Asked just before process i's data is wiped, made to rot or replaced by an old copy. false:
     * not now, the fault is skipped. NULL: never. */
    bool (*may_damage)(void *run, unsigned i);
    bool (*may_stay_down)(void *run, unsigned i); /* in the healing phase; NULL: no */
    /* Process i refused to start, for another reason than a full or failing disk; what to do is the
     * workload's. NULL: the run has failed. */
    void (*refused)(void *run, unsigned i, int st);
    void (*heal)(void *run);
    bool (*finished)(void *run); /* asked every 100 ms after heal(); it sets its own deadline */
    void (*end)(void *run, struct workload_counts *ret_counts); /* last checks; frees everything */
};

extern const struct workload *const workloads[]; /* ends with NULL */
const struct workload *workload_find(const char *name);
