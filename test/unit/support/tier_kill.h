/* A tier that passes everything on to another one and ends the process, as kill -9 would, before
 * the n-th mutating step: for kill points against the real tier in a forked child. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/tier.h"

#define TIER_KILL_EXIT 77

struct tier_kill {
    struct tier base;
    struct tier_ops ops; /* the real ones but for those that count */
    struct tier *real;
    uint64_t steps_left; /* 0: never */
};

/* The real tier hands out its own objects, which find their way back by themselves; only calls that
 * get the tier itself must be redirected. One at a time in a process. */
static struct tier_kill *tier_kill_only;

static inline void tier_kill_step(void)
{
    if (tier_kill_only->steps_left > 0 && --tier_kill_only->steps_left == 0)
        _exit(TIER_KILL_EXIT);
}

static inline int tier_kill_get(struct tier *t, struct slice row, bool cached, struct buffer *out)
{
    struct tier *real = tier_kill_only->real;
    return real->ops->get(real, row, cached, out);
}

static inline struct tier_snapshot *tier_kill_snapshot(struct tier *t)
{
    struct tier *real = tier_kill_only->real;
    return real->ops->snapshot(real);
}

static inline void tier_kill_snapshot_release(struct tier *t, struct tier_snapshot *s)
{
    struct tier *real = tier_kill_only->real;
    real->ops->snapshot_release(real, s);
}

static inline int tier_kill_iter(struct tier *t, struct tier_snapshot *s, struct slice start,
                                 struct slice end, unsigned flags, struct tier_iter **ret_iter)
{
    struct tier *real = tier_kill_only->real;
    return real->ops->iter(real, s, start, end, flags, ret_iter);
}

static inline int tier_kill_bulk(struct tier *t, struct tier_bulk **ret_bulk)
{
    struct tier *real = tier_kill_only->real;
    tier_kill_step();
    return real->ops->bulk(real, ret_bulk);
}

static inline int tier_kill_bulk_add(struct tier_bulk *b, struct slice row, struct slice value)
{
    tier_kill_step();
    return tier_kill_only->real->ops->bulk_add(b, row, value);
}

static inline int tier_kill_bulk_finish(struct tier_bulk *b)
{
    tier_kill_step();
    int st = tier_kill_only->real->ops->bulk_finish(b);
    tier_kill_step();
    return st;
}

static inline int tier_kill_drop(struct tier *t, const struct tier_range *ranges, size_t count)
{
    struct tier *real = tier_kill_only->real;
    tier_kill_step();
    int st = real->ops->drop_ranges(real, ranges, count);
    tier_kill_step();
    return st;
}

static inline bool tier_kill_empty(struct tier *t)
{
    struct tier *real = tier_kill_only->real;
    return real->ops->empty(real);
}

static inline void tier_kill_stats(struct tier *t, struct tier_stats *ret_stats)
{
    struct tier *real = tier_kill_only->real;
    real->ops->stats(real, ret_stats);
}

static inline struct tier *tier_kill_wrap(struct tier_kill *k, struct tier *real, uint64_t steps)
{
    *k = (struct tier_kill){.ops = *real->ops, .real = real, .steps_left = steps};
    k->ops.get = tier_kill_get;
    k->ops.snapshot = tier_kill_snapshot;
    k->ops.snapshot_release = tier_kill_snapshot_release;
    k->ops.iter = tier_kill_iter;
    k->ops.bulk = tier_kill_bulk;
    k->ops.bulk_add = tier_kill_bulk_add;
    k->ops.bulk_finish = tier_kill_bulk_finish;
    k->ops.drop_ranges = tier_kill_drop;
    k->ops.empty = tier_kill_empty;
    k->ops.stats = tier_kill_stats;
    k->base.ops = &k->ops;
    tier_kill_only = k;
    return &k->base;
}
