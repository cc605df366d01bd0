/* What many runs add up to, and how it is told. */
#pragma once

#include <stdio.h>

#include "sim/run.h"
#include "sim/shrink.h"

#define REPORT_COVERAGE_SEEDS \
    200 /* from here on what never happened, and thin runs, are failures */

struct report {
    const struct workload *workload;
    uint64_t seeds, passed, failed;
    uint64_t virtual_us, events, faults, skipped;
    struct workload_counts counts;
    uint64_t fired[FAULT_KINDS], seeds_on[FAULT_KINDS], seeds_fired[FAULT_KINDS];
    struct world_mark marks[WORLD_MARKS_MAX * 2];
    size_t marks_count;
    uint64_t began_ms;
};

struct report report_make(const struct workload *workload);
void report_add(struct report *r, const struct run_result *result, bool passed);
void report_failure(FILE *to, const struct report *r, const struct run_result *result,
                    const struct shrunk *shrunk, const char *bug); /* shrunk NULL: not done */
/* The table, and the line `N passed, N failed`, which also counts what the table lacks. Returns
 * how many failed. */
uint64_t report_print(FILE *to, struct report *r);
