/* Latency events: what took longer than latency-monitor-threshold, each shard its own; LATENCY
 * merges them. As Redis keeps them: per kind of event the newest LATENCY_SAMPLES_MAX seconds in
 * which something was slow, with the slowest of each second, and the slowest of all. Plain values,
 * zeroed is empty; nothing is allocated. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define LATENCY_SAMPLES_MAX 160

/* X(name in C, name for people, what it is). Redis' names where it has the event too. */
#define LATENCY_EVENTS(X)                                                                 \
    X(COMMAND, "command", "a command of those not marked fast")                           \
    X(FAST_COMMAND, "fast-command", "a command marked fast, or the few it was sent with") \
    X(LOG_WRITE, "log-write", "handing a turn's writes to the commit log")                \
    X(LOG_SYNC, "log-sync", "what replies waited for fdatasync, with fsync always")       \
    X(ENGINE_TURN, "engine-turn", "upkeep of the table at a turn's end")

enum latency_event {
#define X(event, name, text) LATENCY_##event,
    LATENCY_EVENTS(X)
#undef X
        LATENCY_EVENT_COUNT
};

struct latency_sample {
    uint32_t at_s; /* Unix time */
    uint32_t took_ms;
};

struct latency_series {
    unsigned first, count; /* a ring, oldest at first */
    uint32_t max_ms;       /* ever, also when the sample is gone */
    struct latency_sample samples[LATENCY_SAMPLES_MAX];
};

struct latency {
    struct latency_series of[LATENCY_EVENT_COUNT];
};

const char *latency_name(enum latency_event event);
const char *latency_text(enum latency_event event);
int latency_find(struct slice name); /* any case; -1: there is no such event */

void latency_add(struct latency_series *s, uint64_t at_s, uint64_t took_ms);
/* The i-th from the oldest. */
static inline struct latency_sample latency_at(const struct latency_series *s, unsigned i)
{
    return s->samples[(s->first + i) % LATENCY_SAMPLES_MAX];
}

/* The newest samples of both, in order of time. */
void latency_merge(struct latency_series *to, const struct latency_series *from);
