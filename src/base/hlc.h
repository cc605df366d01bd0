/* Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014), after Aerospike's.
 *
 *   stamp:  63                                      16 15             0
 *          | wall clock in ms since 1970, 48 bit      | logical, 16 bit |
 *
 * Guarantees
 * - Every stamp from hlc_now() is greater than all stamps this clock gave or merged before, also
 * when the wall clock stands still or is set back, and also over a restart, if the reservation is
 * kept.
 * - Of an event that causes another (its stamp was merged before), the stamp is smaller.
 * - A stamp is never above the reservation.
 *
 * Not guaranteed
 * - That stamps of different clocks differ, or that the greater stamp is the later event when
 * neither caused the other: within the clocks' skew any order is possible.
 * - That a stamp is near the wall clock: it is ahead after the wall clock was set back, after more
 *   than 65 536 stamps in a millisecond (the logical part carries over) and just after a restart;
 * it is behind while the wall clock is beyond the reservation.
 *
 * Requirements
 * - One thread at a time. The caller passes the wall clock in; nothing here reads one.
 * - Over restarts: persist what hlc_reserve() returns, durably, *before* hlc_reserved(); start
 * again with hlc_resume() from the last one persisted. Ask hlc_reserve_due() regularly: the clock
 * aborts rather than give a stamp that might be given again. A reservation further ahead than peers
 *   tolerate as skew makes them refuse the first stamps after a restart. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HLC_LOGICAL_BITS 16
#define HLC_WALL_MS_MAX  ((UINT64_C(1) << 48) - 1)

struct hlc {
    uint64_t last;     /* greatest stamp given or merged */
    uint64_t reserved; /* no stamp is above this one */
};

/* A clock that starts afresh and needs no reservation (nothing of it outlives the process). */
struct hlc hlc_make(void);
/* A clock that goes on after `reserved`, the last reservation persisted, 0 when there is none.
 * Nothing is reserved yet: hlc_reserve() comes before the first hlc_now(). */
struct hlc hlc_resume(uint64_t reserved);

uint64_t hlc_now(struct hlc *c, uint64_t wall_ms);

/* Takes notice of a stamp from elsewhere. ST_RANGE, and no effect, when it is more than skew_ms_max
 * ahead of the wall clock: a peer whose clock runs wild must not drag this one along. ST_AGAIN, and
 * no effect, when it is at or above the reservation: reserve, then merge again. */
int hlc_merge(struct hlc *c, uint64_t stamp, uint64_t wall_ms, uint64_t skew_ms_max);

/* Whether less than half of ahead_ms is left of the reservation. */
bool hlc_reserve_due(const struct hlc *c, uint64_t wall_ms, uint64_t ahead_ms);
/* The bound to persist so that stamps may run until ahead_ms from now, the clock itself unchanged;
 * hlc_reserved() puts it into force once it is durable. */
uint64_t hlc_reserve(const struct hlc *c, uint64_t wall_ms, uint64_t ahead_ms);
void hlc_reserved(struct hlc *c, uint64_t bound);

uint64_t hlc_stamp(uint64_t wall_ms, uint16_t logical);
uint64_t hlc_wall_ms(uint64_t stamp);
