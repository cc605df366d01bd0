#include "command/timing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "command/admin.h"
#include "command/session_private.h"
#include "node/latency.h"

/* A slow log with a lower limit than this wants to know about each single command. */
#define EACH_ALONE_BELOW_US 1000

static bool is_alone(const struct front *f, const struct command *cmd)
{
    int64_t limit_us = f->settings->slowlog_log_slower_than;
    return !(cmd->flags & CMD_FAST) || (limit_us >= 0 && limit_us < EACH_ALONE_BELOW_US);
}

static void stats_add(struct front *f, const struct command *cmd, uint64_t each_ns, uint64_t times)
{
    struct command_stats *stats = &f->stats[cmd->id];
    if (unlikely(stats->spread_ns == NULL))
        stats->spread_ns = mem_zalloc(sizeof(*stats->spread_ns));
    stats->took_ns += each_ns * times;
    histogram_add_many(stats->spread_ns, each_ns, times);
}

/* The slow log and the latency monitor. */
static void report(struct front *f, const struct timing_item *item, const struct session *s,
                   uint64_t took_us)
{
    int64_t limit_us = f->settings->slowlog_log_slower_than;
    if (limit_us >= 0 && took_us >= (uint64_t)limit_us)
        slowlog_add(f, item, s, took_us);
    int64_t limit_ms = f->settings->latency_monitor_threshold;
    if (likely(limit_ms == 0 || took_us / 1000 < (uint64_t)limit_ms))
        return;
    bool fast = item->command->flags & CMD_FAST;
    latency_add(&f->shard->latency->of[fast ? LATENCY_FAST_COMMAND : LATENCY_COMMAND],
                f->shard->now_ms / 1000, took_us / 1000);
}

/* --- runs --- */

static uint64_t bytes_moved(const struct timing_item *item)
{
    uint64_t bytes = item->reply_bytes;
    for (int i = 0; i < item->argc; i++)
        bytes += item->argv[i].len;
    return bytes;
}

static const struct timing_item *heaviest(const struct timing *t)
{
    const struct timing_item *found = &t->items[0];
    for (unsigned i = 1; i < t->count; i++)
        if (bytes_moved(&t->items[i]) > bytes_moved(found))
            found = &t->items[i];
    return found;
}

static bool is_reportable(const struct front *f, uint64_t took_us)
{
    const struct settings *s = f->settings;
    return (s->slowlog_log_slower_than >= 0 && took_us >= (uint64_t)s->slowlog_log_slower_than) ||
           (s->latency_monitor_threshold > 0 &&
            took_us / 1000 >= (uint64_t)s->latency_monitor_threshold);
}

void timing_end(struct front *f)
{
    struct timing *t = &f->timing;
    if (t->count == 0)
        return;
    uint64_t took_us = front_now_us(f) - t->start_us;
    uint64_t each_ns = took_us * 1000 / t->count;
    for (unsigned i = 0, same; i < t->count; i += same) {
        same = 1;
        while (i + same < t->count && t->items[i + same].command == t->items[i].command)
            same++;
        stats_add(f, t->items[i].command, each_ns, same);
    }
    if (unlikely(is_reportable(f, took_us)))
        report(f, heaviest(t), t->session, took_us);
    t->count = 0;
}

static struct timing_item item_of(const struct call *c, uint64_t reply_start)
{
    return (struct timing_item){
        .command = c->command,
        .argv = c->argv,
        .argc = c->argc,
        .reply_bytes = c->reply->written - reply_start,
    };
}

/* --- one by one --- */

static void run_alone(struct call *c)
{
    struct front *f = c->front;
    timing_end(f);
    uint64_t reply_start = c->reply->written, start_us = front_now_us(f);
    c->command->handler(c);
    if (c->status != 0) /* it runs again when its keys are here */
        return;
    uint64_t took_us = front_now_us(f) - start_us;
    struct timing_item item = item_of(c, reply_start);
    stats_add(f, c->command, took_us * 1000, 1);
    report(f, &item, c->session, took_us);
}

void timing_run(struct call *c)
{
    struct front *f = c->front;
    struct timing *t = &f->timing;
    if (is_alone(f, c->command)) {
        run_alone(c);
        return;
    }
    if (t->count == 0)
        t->start_us = front_now_us(f);
    uint64_t reply_start = c->reply->written;
    c->command->handler(c);
    if (unlikely(c->status != 0))
        return;
    t->session = c->session;
    t->items[t->count++] = item_of(c, reply_start);
    if (t->count == TIMING_RUN_MAX)
        timing_end(f);
}

bool timing_spread(struct call *c, unsigned command_id, struct histogram *ret_ns)
{
    histogram_reset(ret_ns);
    for (unsigned i = 0; i < c->node->shards; i++) {
        const struct front *f = call_front(c, i);
        if (f != NULL && f->stats[command_id].spread_ns != NULL)
            histogram_merge(ret_ns, f->stats[command_id].spread_ns);
    }
    return ret_ns->count > 0;
}

void timing_stats_reset(struct front *f)
{
    for (unsigned i = 0; i < command_table_len; i++)
        free(f->stats[i].spread_ns);
    memset(f->stats, 0, command_table_len * sizeof(*f->stats));
}
