#include "sim/clock.h"

#include "base/check.h"

#define PPM           1000000
#define WALL_BEGIN_US (UINT64_C(1700000000) * 1000000)
#define BOOT_US       (UINT64_C(5) * 1000000) /* what a machine took to start */

static uint64_t elapsed_us(uint64_t world_us, int64_t ppm)
{
    return (uint64_t)((unsigned __int128)world_us * (uint64_t)(PPM + ppm) / PPM);
}

static int64_t draw_ppm(struct prng *random, int64_t max)
{
    return (int64_t)prng_below(random, (uint64_t)(2 * max + 1)) - max;
}

struct sim_clock sim_clock_make(struct prng *random, uint64_t now_us, int64_t drift_ppm_max)
{
    CHECK(drift_ppm_max >= 0 && drift_ppm_max <= SIM_CLOCK_DRIFT_PPM_MAX);
    int64_t mono_ppm = draw_ppm(random, drift_ppm_max);
    int64_t wall_ppm = draw_ppm(random, drift_ppm_max);
    uint64_t up_us = prng_below(random, UINT64_C(86400) * 1000000);
    uint64_t off_us = prng_below(random, 1000000);
    return (struct sim_clock){
        .mono_base_us = BOOT_US + up_us,
        .mono_at_us = now_us,
        .mono_ppm = mono_ppm,
        .wall_base_us = WALL_BEGIN_US + off_us + now_us,
        .wall_at_us = now_us,
        .wall_ppm = wall_ppm,
    };
}

uint64_t sim_clock_mono_us(const struct sim_clock *c, uint64_t now_us)
{
    return c->mono_base_us + elapsed_us(now_us - c->mono_at_us, c->mono_ppm);
}

static uint64_t wall_us(const struct sim_clock *c, uint64_t now_us)
{
    return c->wall_base_us + elapsed_us(now_us - c->wall_at_us, c->wall_ppm);
}

uint64_t sim_clock_wall_ms(const struct sim_clock *c, uint64_t now_us)
{
    return wall_us(c, now_us) / 1000;
}

uint64_t sim_clock_when_us(const struct sim_clock *c, uint64_t now_us, uint64_t due_us)
{
    if (due_us <= sim_clock_mono_us(c, now_us))
        return now_us;
    if (due_us - c->mono_base_us > UINT64_MAX / 4)
        return UINT64_MAX / 2; /* never */
    uint64_t rate = (uint64_t)(PPM + c->mono_ppm);
    unsigned __int128 world = (unsigned __int128)(due_us - c->mono_base_us) * PPM;
    uint64_t at_us = c->mono_at_us + (uint64_t)((world + rate - 1) / rate);
    return at_us > now_us ? at_us : now_us;
}

void sim_clock_drift(struct sim_clock *c, uint64_t now_us, int64_t mono_ppm, int64_t wall_ppm)
{
    c->mono_base_us = sim_clock_mono_us(c, now_us);
    c->mono_at_us = now_us;
    c->mono_ppm = mono_ppm;
    c->wall_base_us = wall_us(c, now_us);
    c->wall_at_us = now_us;
    c->wall_ppm = wall_ppm;
}

void sim_clock_step(struct sim_clock *c, uint64_t now_us, int64_t step_us)
{
    c->wall_base_us = (uint64_t)((int64_t)wall_us(c, now_us) + step_us);
    c->wall_at_us = now_us;
}

void sim_clock_boot(struct sim_clock *c, uint64_t now_us)
{
    c->mono_base_us = BOOT_US;
    c->mono_at_us = now_us;
}
