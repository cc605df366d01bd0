/* The two clocks of a simulated machine, made from the world's time.
 *
 * monotonic: never runs backwards within a boot, drifts up to 5 % either way. wall: a drift of its
 * own, and can be stepped. Integers only; both are exact functions of the world's time. */
#pragma once

#include <stdint.h>

#include "base/prng.h"

#define SIM_CLOCK_DRIFT_PPM_MAX 50000

struct sim_clock {
    uint64_t mono_base_us, mono_at_us; /* showed base when the world's time was at */
    int64_t mono_ppm;
    uint64_t wall_base_us, wall_at_us;
    int64_t wall_ppm;
};

/* Drifts are drawn up to the bound. */
struct sim_clock sim_clock_make(struct prng *random, uint64_t now_us, int64_t drift_ppm_max);

uint64_t sim_clock_mono_us(const struct sim_clock *c, uint64_t now_us);
uint64_t sim_clock_wall_ms(const struct sim_clock *c, uint64_t now_us);
/* The world's time when the monotonic clock will show due_us, or now_us when it has passed. */
uint64_t sim_clock_when_us(const struct sim_clock *c, uint64_t now_us, uint64_t due_us);

void sim_clock_drift(struct sim_clock *c, uint64_t now_us, int64_t mono_ppm, int64_t wall_ppm);
void sim_clock_step(struct sim_clock *c, uint64_t now_us, int64_t wall_us);
/* Another boot: the monotonic clock begins anew. */
void sim_clock_boot(struct sim_clock *c, uint64_t now_us);
