/* LATENCY: events from node/latency.h, HISTOGRAM from the statistics of commands. All shards are
 * held (while the log is replayed, only this one is looked at). */
#include <stdlib.h>

#include "base/mem.h"
#include "command/admin.h"
#include "command/handlers.h"
#include "command/session_private.h"
#include "node/latency.h"

#define GRAPH_COLUMNS           80
#define GRAPH_ROWS              4
#define HISTOGRAM_FIRST_NS      1024 /* Redis' buckets: powers of two of about a microsecond */
#define HISTOGRAM_BUCKETS_SHOWN 40

/* Of all shards. */
static struct latency_series series_of(struct call *c, enum latency_event event)
{
    struct latency_series sum = {0};
    for (unsigned i = 0; i < c->node->shards; i++)
        if (call_front(c, i) != NULL)
            latency_merge(&sum, &node_shard(c->node, i)->latency->of[event]);
    return sum;
}

void cmd_latency_latest(struct call *c)
{
    unsigned count = 0;
    for (unsigned event = 0; event < LATENCY_EVENT_COUNT; event++)
        count += series_of(c, event).count > 0;
    reply_array(c, count);
    for (unsigned event = 0; event < LATENCY_EVENT_COUNT; event++) {
        struct latency_series s = series_of(c, event);
        if (s.count == 0)
            continue;
        struct latency_sample last = latency_at(&s, s.count - 1);
        reply_array(c, 4);
        reply_text(c, latency_name(event));
        reply_int(c, last.at_s);
        reply_int(c, last.took_ms);
        reply_int(c, s.max_ms);
    }
}

void cmd_latency_history(struct call *c)
{
    int event = latency_find(call_arg(c, 2));
    struct latency_series s = {0};
    if (event >= 0)
        s = series_of(c, (enum latency_event)event);
    reply_array(c, s.count);
    for (unsigned i = 0; i < s.count; i++) {
        reply_array(c, 2);
        reply_int(c, latency_at(&s, i).at_s);
        reply_int(c, latency_at(&s, i).took_ms);
    }
}

/* A column for each of the newest samples, as high as it was slow; below, the seconds since. */
void cmd_latency_graph(struct call *c)
{
    int event = latency_find(call_arg(c, 2));
    struct latency_series s = {0};
    if (event >= 0)
        s = series_of(c, (enum latency_event)event);
    if (s.count == 0) {
        reply_error(c, "ERR No samples available for event '%.*s'", (int)call_arg(c, 2).len,
                    (const char *)call_arg(c, 2).data);
        return;
    }
    struct buffer *out = call_scratch(c);
    unsigned first = s.count > GRAPH_COLUMNS ? s.count - GRAPH_COLUMNS : 0;
    uint32_t high = 0, low = UINT32_MAX;
    for (unsigned i = first; i < s.count; i++) {
        uint32_t ms = latency_at(&s, i).took_ms;
        high = ms > high ? ms : high;
        low = ms < low ? ms : low;
    }
    buffer_printf(out, "%s - high %u ms, low %u ms (all time high %u ms)\n", latency_name(event),
                  high, low, s.max_ms);
    for (unsigned row = GRAPH_ROWS; row > 0; row--) {
        for (unsigned i = first; i < s.count; i++) {
            uint64_t height = (uint64_t)latency_at(&s, i).took_ms * GRAPH_ROWS;
            buffer_append_u8(out, height > (uint64_t)high * (row - 1) ? '#' : ' ');
        }
        buffer_append_u8(out, '\n');
    }
    uint64_t now_s = c->shard->now_ms / 1000;
    buffer_printf(out, "from %llu s to %llu s ago\n",
                  (unsigned long long)(now_s - latency_at(&s, first).at_s),
                  (unsigned long long)(now_s - latency_at(&s, s.count - 1).at_s));
    reply_verbatim(c, buffer_slice(out));
}

static bool reset_one(struct call *c, enum latency_event event)
{
    bool any = series_of(c, event).count > 0;
    for (unsigned i = 0; i < c->node->shards; i++)
        if (call_front(c, i) != NULL)
            node_shard(c->node, i)->latency->of[event] = (struct latency_series){0};
    return any;
}

void cmd_latency_reset(struct call *c)
{
    int64_t count = 0;
    for (unsigned event = 0; c->argc == 2 && event < LATENCY_EVENT_COUNT; event++)
        count += reset_one(c, event);
    for (int i = 2; i < c->argc; i++) {
        int event = latency_find(call_arg(c, i));
        count += event >= 0 && reset_one(c, (enum latency_event)event);
    }
    reply_int(c, count);
}

static void doctor_event(struct call *c, enum latency_event event, struct buffer *out)
{
    struct latency_series s = series_of(c, event);
    uint64_t sum = 0;
    for (unsigned i = 0; i < s.count; i++)
        sum += latency_at(&s, i).took_ms;
    if (s.count == 0)
        return;
    struct latency_sample last = latency_at(&s, s.count - 1);
    buffer_printf(out,
                  "%s (%s): slow in %u seconds, %llu ms on average, %u ms at most, the last "
                  "one %llu s ago.\n",
                  latency_name(event), latency_text(event), s.count,
                  (unsigned long long)(sum / s.count), s.max_ms,
                  (unsigned long long)(c->shard->now_ms / 1000 - last.at_s));
}

void cmd_latency_doctor(struct call *c)
{
    struct buffer *out = call_scratch(c);
    for (unsigned event = 0; event < LATENCY_EVENT_COUNT; event++)
        doctor_event(c, event, out);
    if (out->len > 0)
        buffer_append_str(out,
                          "SLOWLOG GET shows which commands were slow; LATENCY HISTORY when.\n");
    else if (call_settings(c)->latency_monitor_threshold == 0)
        buffer_append_str(out, "Nothing is recorded: CONFIG SET latency-monitor-threshold to the "
                               "milliseconds from which on an event is slow.\n");
    else
        buffer_append_str(out, "Nothing was slow since the last LATENCY RESET.\n");
    reply_verbatim(c, buffer_slice(out));
}

/* Calls of one command over all shards. */
static uint64_t calls_of(struct call *c, const struct command *cmd)
{
    uint64_t calls = 0;
    for (unsigned i = 0; i < c->node->shards; i++)
        if (call_front(c, i) != NULL)
            calls += call_front(c, i)->stats[cmd->id].calls;
    return calls;
}

static bool is_wanted(struct call *c, const struct command *cmd)
{
    if (cmd->handler == NULL || calls_of(c, cmd) == 0)
        return false;
    for (int i = 2; i < c->argc; i++) {
        const struct command *named = command_find_full(call_arg(c, i));
        if (named == cmd || (named != NULL && named->sub_count > 0 && cmd >= named->subs &&
                             cmd < named->subs + named->sub_count))
            return true;
    }
    return c->argc == 2;
}

/* Calls up to each power of two of about a microsecond, while there are more. */
static void reply_spread(struct call *c, const struct histogram *h)
{
    uint64_t counts[HISTOGRAM_BUCKETS_SHOWN], seen = 0;
    unsigned pairs = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS_SHOWN; i++) {
        counts[i] = histogram_count_to(h, ((uint64_t)HISTOGRAM_FIRST_NS << i) - 1);
        pairs += counts[i] > seen;
        seen = counts[i];
    }
    reply_map(c, pairs);
    seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS_SHOWN; i++) {
        if (counts[i] > seen) {
            reply_int(c, (int64_t)(((uint64_t)HISTOGRAM_FIRST_NS << i) / 1000));
            reply_int(c, (int64_t)counts[i]);
        }
        seen = counts[i];
    }
}

void cmd_latency_histogram(struct call *c)
{
    uint64_t count = 0;
    struct histogram *h = mem_alloc(sizeof(*h));
    for (unsigned i = 0; i < command_table_len; i++)
        count += is_wanted(c, &command_table[i]);
    reply_map(c, count);
    for (unsigned i = 0; i < command_table_len; i++) {
        const struct command *cmd = &command_table[i];
        if (!is_wanted(c, cmd))
            continue;
        timing_spread(c, i, h);
        reply_text(c, cmd->name);
        reply_map(c, 2);
        reply_text(c, "calls");
        reply_int(c, (int64_t)calls_of(c, cmd));
        reply_text(c, "histogram_usec");
        reply_spread(c, h);
    }
    free(h);
}

void cmd_latency_help(struct call *c)
{
    reply_help(c);
}
