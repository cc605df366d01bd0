/* What goes wrong in a run: a list drawn from the seed before anything runs, so that a part of it
 * can be run again (sim/shrink.h).
 *
 * Swarm testing (Groce et al. 2012): each seed switches a random subset of kinds on and draws how
 * far its clocks drift; so some runs have nothing but one kind of trouble.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "sim/workload.h"

#define FAULTS_MIN 50 /* of a seed */
#define FAULTS_MAX 110

/* X(kind, what it does) */
#define FAULTS_TABLE(X)                                                           \
    X(crash, "power cut: what is not synced may be lost, torn or reordered")      \
    X(crash_in_write, "power cut in the middle of the next disk operations")      \
    X(crash_many, "power cut of several processes at once")                       \
    X(kill, "kill -9")                                                            \
    X(stop, "stopped in order")                                                   \
    X(pause, "SIGSTOP for a while")                                               \
    X(slow, "every turn, work and sync comes late for a while")                   \
    X(storm, "restarted again and again, with crashes in the middle of recovery") \
    X(partition_split, "two sides of random sizes")                               \
    X(partition_isolate, "one against the others")                                \
    X(partition_one_way, "some are not heard by the others, but hear them")       \
    X(partition_bridge, "two sides that only one process sees both of")           \
    X(clog, "a link delivers nothing for a while, then everything")               \
    X(loss, "a burst of lost messages")                                           \
    X(doubling, "a burst of doubled messages")                                    \
    X(reordering, "a burst of messages that overtake others")                     \
    X(delay, "a burst of long delays")                                            \
    X(clock_forward, "the wall clock jumps ahead, up to an hour")                 \
    X(clock_back, "the wall clock jumps back, up to an hour")                     \
    X(drift, "both clocks drift anew, up to 5 % either way")                      \
    X(sync_fails, "fdatasync fails and forgets: the log is broken")               \
    X(disk_full, "no space left for a while")                                     \
    X(rot, "a bit of the log or a row of the cold tier decays; found when read")  \
    X(wipe, "the disk is lost")                                                   \
    X(restore_copy, "an old copy of the disk takes its place")                    \
    X(upgrade, "restarted with a build that speaks another protocol version")

enum fault_kind {
#define X(name, text) FAULT_##name,
    FAULTS_TABLE(X)
#undef X
        FAULT_KINDS,
};

const char *fault_name(enum fault_kind kind);
const char *fault_text(enum fault_kind kind);

struct fault {
    uint64_t at_us;
    enum fault_kind kind;
    unsigned target; /* process, from 0 */
    uint64_t mask;   /* of processes */
    uint64_t for_us; /* how long it lasts, or how long the process is down */
    uint64_t amount, extra;
};

struct plan {
    int64_t drift_ppm_max;
    uint64_t kinds;  /* bits: switched on */
    bool all_return; /* in the healing phase */
    struct fault *faults;
    size_t count;
};

/* The plan of a seed, for so many processes; damage: faults that destroy data are allowed. */
struct plan *plan_draw(const struct world *w, unsigned processes, uint64_t faulty_us, bool damage);
void plan_free(struct plan *plan);
void plan_print_fault(const struct plan *plan, size_t i, struct buffer *out); /* one line's text */

struct faults;

/* Sets clocks, and the plan in motion: of its faults the chosen ones (NULL: all). The network's
 * rates as they are now are what bursts come on top of. The plan outlives the result. */
struct faults *faults_begin(struct world *w, const struct plan *plan, const bool *chosen,
                            const struct workload *workload, void *run, struct net *net,
                            struct process **processes, unsigned count);
/* Ends everything: the network is whole, disks have room, processes are started. What dies from
 * now on is started again still. */
void faults_heal(struct faults *f);
void faults_free(struct faults *f);

struct faults_counts {
    uint32_t fired[FAULT_KINDS], skipped[FAULT_KINDS];
};
const struct faults_counts *faults_counts(const struct faults *f);
