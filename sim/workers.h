/* Runs of seeds in child processes, so that one that crashes or hangs is a failure of its seed and
 * nothing more. Work is handed out one run at a time. */
#pragma once

#include "sim/run.h"

struct workers;

struct work_order {
    uint64_t seed;
    bool twice;  /* the hash must be the same again: else it fails with checker "determinism" */
    bool subset; /* only the chosen faults */
    bool chosen[FAULTS_MAX];
};

struct workers *workers_new(const struct workload *workload, unsigned jobs, unsigned limit_s);
void workers_free(struct workers *ws); /* ends the children */

unsigned workers_idle(const struct workers *ws);
void workers_give(struct workers *ws, const struct work_order *order); /* one must be idle */
/* Waits for the next result, in whatever order they come. A child that died failed with checker
 * "crash" and its last words, one that took too long with "hang". */
void workers_take(struct workers *ws, struct run_result *ret_result);
