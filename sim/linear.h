/* Is a recorded history linearizable (Herlihy and Wing 1990)? Each key is a register of its own: as
 * linearizability is local, the keys are checked one by one.
 *
 * A register is absent or holds an integer. What was asked and what came back:
 *
 *     kind    arg         expected           result
 *     read                                   value seen, LINEAR_ABSENT for none
 *     write   new value
 *     delete                                 1 when there was a value, 0 when not
 *     cas     new value   value, or absent   1 done, 0 refused because the value was another
 *     incr    delta                          value after it; absent counts as 0
 *
 * An operation whose outcome nobody knows (timed out, client or server gone) has ret =
 * LINEAR_NEVER: it may have happened at any moment after its call, or never. Its result is not
 * looked at. What certainly was not executed (refused with an error that says so) is no operation.
 * The retries of one request in a session are one operation: from the first call to the last reply.
 *
 * Moments only need an order; equal ones count as concurrent, so numbers that are unique per event
 * say most. The verdict "unknown" means that a limit was reached; it is never a pass. To stay clear
 * of it: values unique per write; keys that are incremented not written otherwise, and by one delta
 * per key; or so many keys that only a few clients meet at one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define LINEAR_NEVER     UINT64_MAX
#define LINEAR_ABSENT    INT64_MIN
#define LINEAR_VALUE_MAX ((int64_t)1 << 62) /* of values, either sign */
#define LINEAR_DELTA_MAX ((int64_t)1 << 31) /* of increments: no sum can leave 64 bits */
#define LINEAR_OPS_MAX   ((size_t)1 << 24)  /* of one history */

enum linear_kind {
    LINEAR_READ,
    LINEAR_WRITE,
    LINEAR_DELETE,
    LINEAR_CAS,
    LINEAR_INCR,
    LINEAR_KINDS,
};

struct linear_op {
    uint64_t key;
    uint64_t call, ret;
    int64_t arg, expected, result;
    uint32_t client;
    uint8_t kind;
};

/* What a check may use, per key. */
struct linear_limits {
    size_t cache_entries_max; /* configurations remembered */
    size_t cache_bytes_max;   /* and their bytes */
    uint64_t steps_max;       /* operations tried */
};

#define LINEAR_LIMITS_DEFAULT                                                       \
    {                                                                               \
        .cache_entries_max = (size_t)1 << 20, .cache_bytes_max = (size_t)128 << 20, \
        .steps_max = 20000000                                                       \
    }

enum linear_verdict {
    LINEAR_OK,
    LINEAR_VIOLATION,
    LINEAR_UNKNOWN,
};

struct linear_result {
    enum linear_verdict verdict;
    uint64_t key; /* the key that is not linearizable, or the first one unknown */
    size_t keys, keys_unknown;
    uint64_t steps;
};

/* Fields that no client could have recorded: ST_INVALID. */
int linear_op_validate(const struct linear_op *op);

/* Checks a whole history, in any order, and stops at the first key that fails. A violation is
 * described in `report` (appended; NULL when nobody reads it): the shortest prefix of the key's
 * history that fails and the longest linearization found of it. ST_INVALID when an operation is
 * none, ST_LIMIT when there are too many; the verdict is in ret_result. */
int linear_check(const struct linear_op *ops, size_t count, const struct linear_limits *limits,
                 struct buffer *report, struct linear_result *ret_result);

/* The register's rules: may a completed operation happen in this state, and what does any
 * operation make of it? */
bool linear_legal(const struct linear_op *op, int64_t state);
int64_t linear_effect(const struct linear_op *op, int64_t state);

/* "cas 3 4 -> ok", "write 7 -> ?"; appended. */
void linear_op_print(const struct linear_op *op, struct buffer *out);
