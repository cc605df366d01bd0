#include "sim/workload.h"

#include <string.h>

#include "sim/raft_workload.h"
#include "sim/toy.h"

const struct workload *const workloads[] = {
    &workload_toy,
    &workload_canary,
    &workload_raft,
    NULL,
};

const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; workloads[i] != NULL; i++) {
        if (strcmp(workloads[i]->name, name) == 0)
            return workloads[i];
    }
    return NULL;
}
