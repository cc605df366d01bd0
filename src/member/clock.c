/* Whose clock is wrong. Each answered probe gives the other's wall clock relative to ours, right to
 * half the round trip. We are wrong when a majority, we among them, is beyond the same side of the
 * skew that is allowed: with fewer than three members nobody can tell. */
#include <stdlib.h>

#include "base/mem.h"
#include "member/member_private.h"

static bool counts(const struct member_core *c, const struct peer *p)
{
    return p->m.clock_known && member_peer_active(p) &&
           member_now_us(c) - p->clock_us <= CLOCK_FRESH_US;
}

static bool majority_is_elsewhere(const struct member_core *c)
{
    int64_t skew = c->limits.skew_ms_max;
    size_t known = 1, ahead = 0, behind = 0;
    for (size_t i = 0; i < c->order_len; i++) {
        const struct peer *p = c->order[i];
        if (!counts(c, p))
            continue;
        known++;
        ahead += p->m.clock_ahead_ms > skew;
        behind += p->m.clock_ahead_ms < -skew;
    }
    return 2 * ahead > known || 2 * behind > known;
}

void member_clock_measured(struct member_core *c, struct peer *p, int64_t ahead_ms)
{
    p->m.clock_known = true;
    p->m.clock_ahead_ms = ahead_ms;
    p->clock_us = member_now_us(c);
    int64_t skew = c->limits.skew_ms_max;
    if (!c->clock_bad && ahead_ms <= skew && ahead_ms >= -skew)
        return; /* one more who agrees makes no majority that does not */
    bool bad = majority_is_elsewhere(c);
    if (bad == c->clock_bad)
        return;
    c->clock_bad = bad;
    member_out_action(c, MEMBER_ACTION_CLOCK);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The median, our own 0 among them. */
int64_t member_clock_ahead_ms(const struct member_core *c)
{
    MEM_AUTO int64_t *offsets = mem_alloc((c->order_len + 1) * sizeof(*offsets));
    size_t count = 0;
    offsets[count++] = 0;
    for (size_t i = 0; i < c->order_len; i++)
        if (c->order[i]->m.clock_known && member_peer_active(c->order[i]))
            offsets[count++] = c->order[i]->m.clock_ahead_ms;
    qsort(offsets, count, sizeof(*offsets), by_value);
    return offsets[(count - 1) / 2];
}

bool member_clock_ok(const struct member_core *c)
{
    return !c->clock_bad;
}
