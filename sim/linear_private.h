/* The inside of a search, private to linear_search.c and linear_prepare.c. What it is for stands at
 * the top of linear_search.c. */
#pragma once

#include <stdbool.h>

#include "sim/linear_search.h"
#include "sim/linear_seen.h"

#define LINEAR_JUNK 0 /* state: a value that nobody looks for */

/* A list entry: the call (2 * op) or the return (2 * op + 1) of a completed operation. */
struct linear_entry {
    uint32_t prev, next;
    uint64_t time;
};

struct linear_class {
    struct linear_op op;   /* with mapped values */
    uint32_t first, count; /* members in `members`, in order of their calls */
    uint32_t used;
};

/* A way on from a configuration: the classes of a chain, then a completed operation. Or many ways,
 * while any > 0: a chain of one class, whichever changes the state, those from any - 1 on are yet
 * to be tried. */
struct linear_choice {
    uint32_t op, chain, chain_len, any;
};

/* A configuration on the path and the choices made in it. */
struct linear_node {
    uint32_t choice_first, choice_next, choice_end, taken, chain_mark, path_mark;
    uint32_t done_high; /* no operation from here on is linearized */
    int64_t state;
    uint64_t horizon; /* what was called by then may be next */
};

struct linear_search {
    struct linear_limits limits;
    struct linear_seen *seen;
    uint64_t steps;
    bool exhausted;

    /* The history, values mapped by rule 6. */
    bool incr;
    struct linear_op *ops; /* completed, in order of calls; then pending, in order of calls */
    uint32_t *source;      /* position of each in the caller's array */
    uint32_t done_count, pending_count;
    int64_t *values; /* looked for by some operation; sorted, unique */
    size_t value_count;
    uint32_t *needed, *makers;    /* per mapped value: remaining operations that need it, make it */
    struct linear_class *classes; /* by the state they leave (arg); increments behind the others */
    uint32_t class_count, incr_first;
    uint32_t *members;

    /* The configuration. */
    struct linear_entry *entries; /* the last one is the head */
    uint64_t *done, *used;        /* bits: completed and linearized; pending and used */
    int64_t state;
    uint32_t done_high;

    struct linear_node *nodes;
    size_t node_count, node_cap;
    struct linear_choice *choices;
    size_t choice_count, choice_cap;
    uint32_t *chains; /* classes of the chains of all choices */
    size_t chain_count, chain_cap;
    uint32_t *path, *best; /* positions in the caller's array */
    size_t path_len, best_len;
    size_t best_done, best_same; /* completed ones in best; how far path and best agree */
    uint32_t *candidates;
    size_t candidate_count, candidate_cap;
    struct buffer key;
};

/* Rule 7's tables are indexed by absent, JUNK and the values looked for. */
static inline size_t linear_value_index(int64_t mapped)
{
    return mapped == LINEAR_ABSENT ? 0 : 1 + (size_t)mapped;
}

/* The one state in which a completed operation is legal, if there is just one. */
static inline bool linear_needs_state(const struct linear_op *op, int64_t *ret_state)
{
    if (op->kind == LINEAR_READ)
        *ret_state = op->result;
    else if (op->kind == LINEAR_CAS && op->result == 1)
        *ret_state = op->expected;
    else if (op->kind == LINEAR_DELETE && op->result == 0)
        *ret_state = LINEAR_ABSENT;
    else
        return false;
    return true;
}

/* The state that an operation leaves when it changes something; not for increments. */
static inline bool linear_makes_state(const struct linear_op *op, bool pending, int64_t *ret_state)
{
    if (op->kind == LINEAR_READ || (op->kind != LINEAR_WRITE && !pending && op->result == 0))
        return false;
    *ret_state = op->kind == LINEAR_DELETE ? LINEAR_ABSENT : op->arg;
    return true;
}

static inline bool linear_same_deed(const struct linear_op *x, const struct linear_op *y)
{
    return x->kind == y->kind && (x->arg == y->arg || x->kind == LINEAR_DELETE) &&
           (x->expected == y->expected || x->kind != LINEAR_CAS);
}

/* The list's head behaves as an entry behind the last one. */
static inline uint32_t linear_head(const struct linear_search *s)
{
    return 2 * s->done_count;
}

/* Takes the history up to `until` in, in place of the one before; see linear_search_run(). */
void linear_prepare(struct linear_search *s, const struct linear_op *const *ops, size_t count,
                    uint64_t until);
/* Gives back what belongs to one history, but for the best path and the growing stacks. */
void linear_clear(struct linear_search *s);
