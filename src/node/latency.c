#include "node/latency.h"

#include <strings.h>

static const struct {
    const char *name, *text;
} events[LATENCY_EVENT_COUNT] = {
#define X(event, name, text) {name, text},
    LATENCY_EVENTS(X)
#undef X
};

const char *latency_name(enum latency_event event)
{
    return events[event].name;
}

const char *latency_text(enum latency_event event)
{
    return events[event].text;
}

int latency_find(struct slice name)
{
    for (int i = 0; i < LATENCY_EVENT_COUNT; i++)
        if (strlen(events[i].name) == name.len &&
            strncasecmp(events[i].name, (const char *)name.data, name.len) == 0)
            return i;
    return -1;
}

void latency_add(struct latency_series *s, uint64_t at_s, uint64_t took_ms)
{
    uint32_t ms = took_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)took_ms;
    if (ms > s->max_ms)
        s->max_ms = ms;
    if (s->count > 0) {
        struct latency_sample *last = &s->samples[(s->first + s->count - 1) % LATENCY_SAMPLES_MAX];
        if (last->at_s == (uint32_t)at_s) {
            last->took_ms = ms > last->took_ms ? ms : last->took_ms;
            return;
        }
    }
    s->samples[(s->first + s->count) % LATENCY_SAMPLES_MAX] =
        (struct latency_sample){.at_s = (uint32_t)at_s, .took_ms = ms};
    if (s->count < LATENCY_SAMPLES_MAX)
        s->count++;
    else
        s->first = (s->first + 1) % LATENCY_SAMPLES_MAX;
}

void latency_merge(struct latency_series *to, const struct latency_series *from)
{
    struct latency_series both = {0};
    unsigned a = 0, b = 0;
    while (a < to->count || b < from->count) {
        bool first = b == from->count ||
                     (a < to->count && latency_at(to, a).at_s <= latency_at(from, b).at_s);
        struct latency_sample next = first ? latency_at(to, a++) : latency_at(from, b++);
        latency_add(&both, next.at_s, next.took_ms);
    }
    both.max_ms = to->max_ms > from->max_ms ? to->max_ms : from->max_ms;
    *to = both;
}
