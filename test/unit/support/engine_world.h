/* A world around one engine: random clients, a log, background work at random moments, crashes; and
 * a plain model of what must be read. All from one seed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/tier.h"

struct engine_world_options {
    uint64_t seed;
    unsigned steps;
    bool memory_only;
    bool crashes;
    bool failures;     /* the tier fails now and then */
    const char *rocks; /* directory for a real RocksDB; NULL: the model tier */
    unsigned flaws;    /* enum engine_flaw to plant */
};

struct engine_world_result {
    bool failed;
    char why[256];
    uint64_t gets, fetches, scans, counts, counts_in_background, drops, crashes, flushes, cancelled,
        evictions, inline_reads;
};

void engine_world_run(const struct engine_world_options *options,
                      struct engine_world_result *ret_result);
