/* A history of operations while it is recorded, and as a file: what the checker of linear.h judges.
 *
 * A file is text, one operation a line, in any order, after the line "torc-history 1":
 *
 *     call return client key read -> value        value: an integer, or nil for none
 *     call return client key write value -> ok
 *     call return client key delete -> 0|1
 *     call return client key cas expected value -> ok|refused      expected may be nil
 *     call return client key incr delta -> value
 *
 * All numbers are decimal. Where the outcome is not known, both the return and what stands behind
 * the arrow are "?".
 * Lines that are empty or begin with "#" say nothing. What the fields mean stands in linear.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "sim/linear.h"

#define HISTORY_LINE_BYTES_MAX 256

/* A zeroed one with ops_max set is empty and ready. */
struct history {
    struct linear_op *ops;
    size_t count, cap;
    size_t ops_max; /* <= LINEAR_OPS_MAX */
};

void history_free(struct history *h);

/* A whole operation. ST_INVALID: it is none; ST_LIMIT: full. */
int history_append(struct history *h, const struct linear_op *op);

/* An operation called now: key, client, kind, arg and expected are looked at, its outcome is
 * unknown until history_return() says otherwise. ST_LIMIT, ST_INVALID. */
int history_call(struct history *h, const struct linear_op *op, uint64_t now, size_t *ret_id);
void history_return(struct history *h, size_t id, uint64_t now, int64_t result);
/* The operation surely did not happen: it becomes a read of which nothing is known. */
void history_refused(struct history *h, size_t id);

/* The file's text; appended. */
void history_print(const struct history *h, struct buffer *out);

/* Appends what a file says. ST_INVALID with the number of the line, from 1, that is not understood;
 * ST_LIMIT with the line that was one too many; ST_VERSION: not such a file, or of another version.
 * On failure *h is as it was. */
int history_parse(struct history *h, struct slice text, size_t *ret_line);
