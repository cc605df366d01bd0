#include "run/tier_alarm.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/logger.h"
#include "base/status.h"

#define ALARM_EVERY_MS  1000
#define LOOK_EVERY_MS   1000
#define META_ALARM      "alarm" /* written only to hear why the tier takes no writes */
#define FILE_NAME_BYTES 256

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void tier_alarm_init(struct tier_alarm *a)
{
    memset(a, 0, sizeof(*a));
    pthread_mutex_init(&a->lock, NULL);
}

void tier_alarm_free(struct tier_alarm *a)
{
    pthread_mutex_destroy(&a->lock);
}

/* The name of the table file in RocksDB's words, without its directory; "" when there is none. */
static void file_named(const char *why, char name[FILE_NAME_BYTES])
{
    const char *end = strstr(why, ".sst"), *start = end;
    name[0] = '\0';
    if (end == NULL)
        return;
    while (start > why && start[-1] >= '0' && start[-1] <= '9')
        start--;
    snprintf(name, FILE_NAME_BYTES, "%.*s", (int)(end + 4 - start), start);
}

void tier_alarm_failed(struct tier_alarm *a, int st, const char *why)
{
    char file[FILE_NAME_BYTES];
    pthread_mutex_lock(&a->lock);
    uint64_t now_ms = mono_ms(), unsaid = a->unsaid;
    if (a->st == 0) {
        a->st = st;
        snprintf(a->first, sizeof(a->first), "%s", why);
    }
    bool say = a->said_ms == 0 || now_ms - a->said_ms >= ALARM_EVERY_MS;
    a->unsaid = say ? 0 : unsaid + 1;
    if (say)
        a->said_ms = now_ms;
    pthread_mutex_unlock(&a->lock);
    if (!say)
        return;
    file_named(why, file);
    log_event(LOG_ERROR, st == ST_CORRUPT ? "cold_tier_damaged" : "cold_tier_failed",
              "file=%s why=%s more=%" PRIu64, file, why, unsaid);
}

void tier_alarm_look(struct tier_alarm *a, struct tier *tier)
{
    struct tier_stats stats;
    uint64_t now_ms = mono_ms();
    if (now_ms - a->looked_ms < LOOK_EVERY_MS)
        return;
    a->looked_ms = now_ms;
    tier->ops->stats(tier, &stats);
    if (stats.background_errors <= a->background_errors)
        return;
    a->background_errors = stats.background_errors;
    log_event(LOG_ERROR, "cold_tier_background_error", "count=%" PRIu64, stats.background_errors);
    tier->ops->put_meta(tier, slice_str(META_ALARM), slice_str("")); /* its failure is told */
}

void tier_alarm_explain(struct tier_alarm *a, char *error, size_t bytes)
{
    size_t len = strlen(error);
    pthread_mutex_lock(&a->lock);
    if (a->st != 0 && strstr(error, a->first) == NULL)
        len += (size_t)snprintf(error + len, bytes - len, ". The cold tier: %s", a->first);
    if (a->st == ST_CORRUPT && len < bytes)
        snprintf(error + len, bytes - len,
                 ". It is damaged, and nothing was changed. Restore a snapshot into a new "
                 "directory: torc restore SNAPSHOT DIRECTORY");
    pthread_mutex_unlock(&a->lock);
}
