/* The node's figures, summed over its shards: what INFO, STATUS and MEMORY show. */
#pragma once

#include "command/call.h"
#include "node/metrics.h"
#include "store/engine.h"

struct figures {
    struct shard_metrics metrics;
    struct engine_stats engine;
    struct node_process process;
    unsigned pressure; /* of the shard that presses most, per mille */
    int flush_error;   /* of some shard, or 0 */
    uint64_t flushed_lsn;
    uint64_t used_bytes; /* by the heap; without that figure, by records */
    uint64_t uptime_s;
    struct {
        uint64_t keys, expiring;
        bool exact;
    } db[NODE_DBS];
};

/* With all shards held, or the own one only while loading. */
void figures_gather(struct call *c, struct figures *ret_figures);

/* Of the reads that went to table and cache, those that were found there; 0 to 1. */
double figures_hit_rate(const struct figures *f);

/* "1.50M", as Redis writes sizes for people. */
#define FIGURES_SIZE_BYTES 32
const char *figures_size(uint64_t bytes, char to[FIGURES_SIZE_BYTES]);
