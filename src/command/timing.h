/* What commands take: statistics per command, the slow log and latency events.
 *
 * Two looks at the clock for each command would cost the fast ones more than a tenth of their time.
 * So a command that is marked fast is timed together with those executed right after it for the
 * same client (up to TIMING_RUN_MAX: a *run*), and each counts for an equal share. Sums are exact,
 * distributions of pipelined fast commands are flattened, and a run over the slow log's limit is
 * entered under the command that moved most bytes. Commands not marked fast, those that come alone,
 * and all when slowlog-log-slower-than is below a millisecond are timed one by one.
 *
 * The time is that on the shard's thread: waiting for the disk or other shards is not in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "base/slice.h"

#define TIMING_RUN_MAX 32

struct call;
struct command;
struct front;
struct session;

struct command_stats {
    uint64_t calls, rejected, failed;
    uint64_t took_ns;            /* sum */
    struct histogram *spread_ns; /* NULL: never timed */
};

struct timing_item {
    const struct command *command;
    const struct slice *argv;
    int argc;
    uint64_t reply_bytes;
};

struct timing { /* a front's run at hand */
    uint64_t start_us;
    unsigned count;
    const struct session *session;
    struct timing_item items[TIMING_RUN_MAX];
};

/* Runs the handler and notes what it took. What the call's arguments point to stays until
 * timing_end(). */
void timing_run(struct call *c);
/* Before arguments go, before other commands than this client's follow, and before it waits. */
void timing_end(struct front *f);

/* What the command took on all shards, which are held; false: it was never timed. */
bool timing_spread(struct call *c, unsigned command_id, struct histogram *ret_ns);
void timing_stats_reset(struct front *f); /* of all commands */
