/* A checked state machine: an enum of states and, for each, the states it may move to. A move that
 * the table does not have aborts, with the names of both states: a lifecycle that goes where nobody
 * meant it to go must not go on.
 *
 *   static const struct sm_state CONNECTION[] = {
 *       [READING] = {"reading", SM_TO(REPLYING) | SM_TO(CLOSED)},
 *       [REPLYING] = {"replying", SM_TO(READING) | SM_TO(CLOSED)},
 *       [CLOSED] = {"closed", 0},
 *   };
 *   struct sm sm = sm_make("connection", CONNECTION, ARRAY_SIZE(CONNECTION), READING);
 *   sm_move(&sm, REPLYING); */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_TO(state)  (UINT64_C(1) << (state))
#define SM_STATES_MAX 64

struct sm_state {
    const char *name;
    uint64_t to; /* SM_TO(a) | SM_TO(b); 0: final */
};

struct sm {
    const char *name;
    const struct sm_state *states; /* static */
    uint16_t states_len;
    uint16_t state;
};

struct sm sm_make(const char *name, const struct sm_state *states, size_t states_len,
                  unsigned initial);
bool sm_may_move(const struct sm *sm, unsigned to);
void sm_move(struct sm *sm, unsigned to);
const char *sm_state_name(const struct sm *sm);

static inline unsigned sm_state(const struct sm *sm)
{
    return sm->state;
}
