#include "base/sm.h"

#include <stdio.h>

#include "base/check.h"

struct sm sm_make(const char *name, const struct sm_state *states, size_t states_len,
                  unsigned initial)
{
    CHECK(states_len <= SM_STATES_MAX);
    CHECK(initial < states_len);
    for (size_t i = 0; i < states_len; i++) {
        CHECK(states[i].name != NULL);
        CHECK(states_len == SM_STATES_MAX || states[i].to >> states_len == 0);
    }
    return (struct sm){
        .name = name,
        .states = states,
        .states_len = (uint16_t)states_len,
        .state = (uint16_t)initial,
    };
}

bool sm_may_move(const struct sm *sm, unsigned to)
{
    CHECK(sm->state < sm->states_len);
    return to < sm->states_len && (sm->states[sm->state].to & SM_TO(to)) != 0;
}

void sm_move(struct sm *sm, unsigned to)
{
    if (unlikely(!sm_may_move(sm, to))) {
        char message[160];
        snprintf(message, sizeof(message), "%s may not move from %s to %s", sm->name,
                 sm_state_name(sm), to < sm->states_len ? sm->states[to].name : "(no state)");
        check_failed(message, __FILE__, __LINE__);
    }
    sm->state = (uint16_t)to;
}

const char *sm_state_name(const struct sm *sm)
{
    CHECK(sm->state < sm->states_len);
    return sm->states[sm->state].name;
}
