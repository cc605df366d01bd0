/* A failing seed with as few faults as still make it fail: delta debugging (Zeller and Hildebrandt
 * 2002) over the plan, in a bounded number of runs. It counts as the same failure when the same
 * checker found it. */
#pragma once

#include "sim/workers.h"

struct shrunk {
    bool chosen[FAULTS_MAX];
    size_t count;             /* chosen */
    unsigned runs;            /* it took */
    struct run_result result; /* of the last failing one */
};

/* failed: the result of the whole plan. One worker must be idle, and none busy. */
void shrink(struct workers *ws, const struct run_result *failed, unsigned runs_max,
            struct shrunk *ret_shrunk);
