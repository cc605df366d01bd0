/* Registers on single servers, each with its own commit log: enough to show that the frame works,
 * and that what it checks can fail. Two workloads: `toy`, and `canary`, the toy with a bug that
 * must be found in every run. */
#pragma once

#include "sim/workload.h"

extern const struct workload workload_toy, workload_canary;
