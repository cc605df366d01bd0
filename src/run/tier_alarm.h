/* What the cold tier says when it meets damage or an I/O error: log lines, no more than one in
 * ALARM_EVERY_MS however often it is met, and the words for a start that failed because of it.
 *
 * Reads that meet damage answer an error by themselves, and a flush that fails stops writes; this
 * is for the person who has to mend it. */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "store/tier.h"

#define ALARM_WORDS_BYTES_MAX 512

struct tier_alarm {
    pthread_mutex_t lock;
    int st; /* the first failure's, 0: none yet */
    char first[ALARM_WORDS_BYTES_MAX];
    uint64_t said_ms, unsaid; /* when the last line was written; failures since then */
    uint64_t background_errors, looked_ms;
};

void tier_alarm_init(struct tier_alarm *a);
void tier_alarm_free(struct tier_alarm *a);
/* tier_policy.failed, with the alarm as its context. */
void tier_alarm_failed(struct tier_alarm *a, int st, const char *why);
/* Now and then: whether background work of the tier failed, which nobody hears of otherwise. */
void tier_alarm_look(struct tier_alarm *a, struct tier *tier);
/* The start failed with `error` (at most `bytes` long): adds what the tier said about it, and what
 * can be done. Nothing when it said nothing. */
void tier_alarm_explain(struct tier_alarm *a, char *error, size_t bytes);
