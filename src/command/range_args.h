/* Arguments of RANGE and PREFIX: what rows they mean.
 *
 * The range is half open, [start, end), in order of key bytes; REVERSE walks it from its end. As
 * the start - is the first key, as the end + is behind the last. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

struct range_args {
    struct slice start, end; /* where has_ is set */
    bool has_start, has_end, start_exclusive;
    bool reverse, keys_only;
    bool nothing;        /* the ends are the wrong way round */
    uint64_t limit_rows; /* UINT64_MAX: all */
};

/* RANGE start end [LIMIT count] [REVERSE] [KEYSONLY]. ST_INVALID: syntax; ST_RANGE: LIMIT. */
int range_parse(const struct slice *argv, int argc, struct range_args *ret_args);

/* PREFIX prefix [LIMIT count] [AFTER key] [KEYSONLY]. The end is built in *scratch. */
int prefix_parse(const struct slice *argv, int argc, struct buffer *scratch,
                 struct range_args *ret_args);

/* No key can be in it. */
bool range_is_empty(const struct range_args *args);
