/* Planted bugs: mutations of the code that tests and simulations must find. Where one would be
 * wrong, code says
 *
 *   if (PLANTED(vote_unsynced))
 *       ... what a careless author would have written ...
 *
 * The rows stand in base/planted.def. Outside builds with TORC_PLANTED (cmake --preset planted)
 * PLANTED() is the constant false and nothing of it is compiled in. At most one bug is on at a
 * time; the program that searches for it sets planted_bug before anything else runs. */
#pragma once

#include <stdbool.h>

enum planted {
    PLANTED_none,
#define X(name, sentence) PLANTED_##name,
#include "base/planted.def"
#undef X
    PLANTED_COUNT,
};

extern int planted_bug; /* enum planted */

#ifdef TORC_PLANTED
#define PLANTED(name) __builtin_expect(planted_bug == PLANTED_##name, 0)
#else
#define PLANTED(name) false
#endif

/* For the simulator's own toys: in every build. */
#define PLANTED_TOY(name) (planted_bug == PLANTED_##name)

const char *planted_name(int bug);     /* "none" and so on; NULL: no such row */
const char *planted_sentence(int bug); /* for a person */
int planted_find(const char *name);    /* its number, or -1 */
bool planted_built(int bug);           /* whether this build has it */
