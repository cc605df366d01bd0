#include "base/hlc.h"

#include "base/check.h"
#include "base/status.h"

struct hlc hlc_make(void)
{
    return (struct hlc){.last = 0, .reserved = UINT64_MAX};
}

struct hlc hlc_resume(uint64_t reserved)
{
    return (struct hlc){.last = reserved, .reserved = reserved};
}

uint64_t hlc_stamp(uint64_t wall_ms, uint16_t logical)
{
    CHECK(wall_ms <= HLC_WALL_MS_MAX);
    return wall_ms << HLC_LOGICAL_BITS | logical;
}

uint64_t hlc_wall_ms(uint64_t stamp)
{
    return stamp >> HLC_LOGICAL_BITS;
}

uint64_t hlc_now(struct hlc *c, uint64_t wall_ms)
{
    uint64_t stamp = hlc_stamp(wall_ms, 0);
    if (stamp <= c->last || stamp > c->reserved) {
        CHECK(c->last < c->reserved);
        stamp = c->last + 1;
    }
    c->last = stamp;
    return stamp;
}

int hlc_merge(struct hlc *c, uint64_t stamp, uint64_t wall_ms, uint64_t skew_ms_max)
{
    if (stamp <= c->last)
        return ST_OK;
    if (hlc_wall_ms(stamp) > wall_ms && hlc_wall_ms(stamp) - wall_ms > skew_ms_max)
        return ST_RANGE;
    if (stamp >= c->reserved)
        return ST_AGAIN;
    c->last = stamp;
    return ST_OK;
}

/* Where the next stamp would stand in time. */
static uint64_t hlc_front_ms(const struct hlc *c, uint64_t wall_ms)
{
    uint64_t last_ms = hlc_wall_ms(c->last);
    return last_ms > wall_ms ? last_ms : wall_ms;
}

bool hlc_reserve_due(const struct hlc *c, uint64_t wall_ms, uint64_t ahead_ms)
{
    return hlc_front_ms(c, wall_ms) + ahead_ms / 2 >= hlc_wall_ms(c->reserved);
}

uint64_t hlc_reserve(const struct hlc *c, uint64_t wall_ms, uint64_t ahead_ms)
{
    CHECK(ahead_ms > 0);
    uint64_t bound = hlc_stamp(hlc_front_ms(c, wall_ms) + ahead_ms, UINT16_MAX);
    return bound > c->reserved ? bound : c->reserved;
}

void hlc_reserved(struct hlc *c, uint64_t bound)
{
    CHECK(bound >= c->reserved);
    c->reserved = bound;
}
