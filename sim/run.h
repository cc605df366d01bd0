/* One run: a workload under the faults of a seed. */
#pragma once

#include "sim/faults.h"
#include "sim/workload.h"

#define RUN_CHECKER_BYTES 32

struct run_options {
    const struct workload *workload;
    uint64_t seed;
    const bool *chosen; /* of the plan's faults, FAULTS_MAX flags; NULL: all */
    void (*line)(void *ctx, const char *text); /* the trace; NULL: not wanted */
    void *line_ctx;
};

struct run_result { /* a plain value: it goes through pipes */
    uint64_t seed, hash;
    bool failed;
    char checker[RUN_CHECKER_BYTES];
    char message[WORLD_FAIL_BYTES];
    uint64_t virtual_us, events;
    struct workload_counts counts;
    struct faults_counts faults;
    uint64_t kinds; /* switched on */
    uint32_t planned, fired;
    uint32_t marks_count;
    struct world_mark marks[WORLD_MARKS_MAX];
};

void run_seed(const struct run_options *options, struct run_result *ret_result);
/* The same, and the plan it had; the caller frees it. */
struct plan *run_seed_plan(const struct run_options *options, struct run_result *ret_result);
