/* The search for a linearization of one key's history. What it does and why that is sound stands at
 * the top of linear_search.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sim/linear.h"

struct linear_search;

struct linear_search *linear_search_create(const struct linear_limits *limits);
void linear_search_free(struct linear_search *s); /* NULL is fine */

/* Judges the history up to and including the moment `until`: an operation called later is not part
 * of it, one that returned later has an unknown outcome. `ops` are of one key, valid, in the order
 * of their calls; they must stay as they are as long as linear_search_best is used. */
enum linear_verdict linear_search_run(struct linear_search *s, const struct linear_op *const *ops,
                                      size_t count, uint64_t until);

/* After a run: positions in `ops` of the longest partial linearization found, in its order; valid
 * until the next run. */
size_t linear_search_best(const struct linear_search *s, const uint32_t **ret_positions);
uint64_t linear_search_steps(const struct linear_search *s); /* of the last run */
