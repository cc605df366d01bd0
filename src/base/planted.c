#include "base/planted.h"

#include <stddef.h>
#include <string.h>

int planted_bug;

static const struct {
    const char *name, *sentence;
} rows[PLANTED_COUNT] = {
    [PLANTED_none] = {"none", "no bug"},
#define X(bug, text) [PLANTED_##bug] = {#bug, text},
#include "base/planted.def"
#undef X
};

const char *planted_name(int bug)
{
    return bug >= 0 && bug < PLANTED_COUNT ? rows[bug].name : NULL;
}

const char *planted_sentence(int bug)
{
    return bug >= 0 && bug < PLANTED_COUNT ? rows[bug].sentence : NULL;
}

int planted_find(const char *name)
{
    for (int bug = 0; bug < PLANTED_COUNT; bug++) {
        if (strcmp(rows[bug].name, name) == 0)
            return bug;
    }
    return -1;
}

bool planted_built(int bug)
{
#ifdef TORC_PLANTED
    return true;
#else
    return bug == PLANTED_none || strncmp(rows[bug].name, "toy_", 4) == 0;
#endif
}
