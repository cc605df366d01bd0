/* Counters of one shard: plain numbers that only its own thread adds to; INFO and STATUS sum them
 * over the shards. Other threads read them with metrics_read(), a relaxed load, so a sum is exact
 * only when the node is quiet.
 *
 * One table: name as INFO prints it, and what it counts. */
#pragma once

#include <stdint.h>

#define METRICS_TABLE(X)                                                     \
    X(commands_processed, "commands executed")                               \
    X(connections_received, "connections accepted")                          \
    X(connections_rejected, "connections refused for max-clients")           \
    X(connected_clients, "connections open now")                             \
    X(blocked_clients, "clients parked now")                                 \
    X(net_input_bytes, "bytes read from clients")                            \
    X(net_output_bytes, "bytes written to clients")                          \
    X(keyspace_hits, "reads that found a live key")                          \
    X(keyspace_misses, "reads that found none")                              \
    X(error_replies, "error replies")                                        \
    X(writes_refused_diskfull, "writes refused for want of disk space")      \
    X(writes_slowed, "times a writer was parked by back-pressure")           \
    X(cold_waits, "commands that waited for a read from disk")               \
    X(commands_forwarded, "commands sent on to another shard")               \
    X(shard_holds, "commands that held several shards")                      \
    X(transactions, "EXECs executed")                                        \
    X(output_limit_disconnections, "clients closed for their output buffer") \
    X(query_limit_disconnections, "clients closed for their query buffer")   \
    X(protocol_errors, "clients closed for a protocol error")                \
    X(scan_cursors_evicted, "SCAN cursors dropped for newer ones")           \
    X(frames_dropped, "frames to peers that were not sent")                  \
    X(turns, "turns of the shard's loop")

struct shard_metrics {
#define X(name, text) uint64_t name;
    METRICS_TABLE(X)
#undef X
};

static inline uint64_t metrics_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Only by the owner. */
static inline void metrics_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void metrics_sub(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter - n, __ATOMIC_RELAXED);
}

/* *sum += *add, field by field. */
void metrics_sum(struct shard_metrics *sum, const struct shard_metrics *add);
/* Sets to zero what counts events; what shows a state now (connected, blocked) stays. */
void metrics_reset(struct shard_metrics *m);
