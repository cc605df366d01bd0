/* Drives a commit log on a simulated disk beside a model of what it must hold.
 *
 * Each record carries its index (dense) and the life it was written in, so that a record replayed
 * at the wrong place or from an earlier life is noticed. Functions return NULL, or a sentence that
 * says what is wrong. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"
#include "sim/disk.h"
#include "store/log.h"

#define LOG_RUN_SEGMENT_BYTES LOG_SEGMENT_BYTES_MIN
#define LOG_RUN_ID            0x1122334455667788u

struct log_run_record {
    uint64_t lsn; /* 0: not known (its append failed) */
    uint32_t life, len;
};

struct log_run {
    struct sim_disk *sim;
    struct log *log;
    struct log_batch batch;
    struct prng random;
    struct log_recovery report;
    struct log_run_record *records; /* by index */
    uint64_t count, cap;
    uint64_t synced;    /* indexes below are durable */
    uint64_t truncated; /* indexes below may be gone */
    uint64_t replayed;  /* next index during a replay */
    uint32_t life;
    bool uniform; /* one record of one size a batch: leftovers line up with new records */
    bool created; /* an open has succeeded, so the log must not be gone */
    bool cut_corrupt;
    uint64_t synced_min; /* the caller tells the log at the next open */
    char wrong[256];
};

void log_run_init(struct log_run *run, uint64_t seed, bool uniform);
void log_run_done(struct log_run *run);

/* Opens and compares what is replayed with the model, which then is what was replayed. ret_st: of
 * log_open; when that failed the sentence is NULL. */
const char *log_run_open(struct log_run *run, int *ret_st);

void log_run_close(struct log_run *run); /* closes the handles only */

int log_run_append(struct log_run *run, unsigned records);
int log_run_append_one(struct log_run *run, uint32_t payload_len);
int log_run_sync(struct log_run *run);
int log_run_spares(struct log_run *run);   /* makes what is needed */
int log_run_truncate(struct log_run *run); /* below a random synced record; recycles */

/* Some turns of all of this at random; ends early at the first failure and returns it. */
int log_run_turns(struct log_run *run, unsigned turns);
