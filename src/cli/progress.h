/* A progress line at a terminal, on stderr, drawn at most ten times a second:
 *
 *   [=========>          ]  47 %  29 482 records  51 203/s  1 s left
 *
 * Nothing is shown when stderr is no terminal. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

struct progress {
    bool shown;
    uint64_t start_ms, drawn_ms;
    uint64_t first; /* what was done before this run */
};

void progress_start(struct progress *progress, uint64_t done);
/* `done` of `total` in any unit; total 0: unknown. */
void progress_update(struct progress *progress, uint64_t done, uint64_t total, uint64_t records);
/* Wipes the line. */
void progress_end(struct progress *progress);
double progress_seconds(const struct progress *progress);

/* The line itself, without control characters. Pure. */
void progress_format(struct buffer *out, uint64_t first, uint64_t done, uint64_t total,
                     uint64_t records, uint64_t passed_ms);
/* 1234567 -> "1 234 567" */
void progress_append_number(struct buffer *out, uint64_t number);
