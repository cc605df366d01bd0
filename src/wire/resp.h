/* Requests of the client protocol (RESP), incrementally and without copying.
 *
 * Bytes are read into resp_space(), announced with resp_filled(), and taken out as commands with
 * resp_next(). Arguments are slices of the query buffer; a bulk string of RESP_BIG_BYTES or more
 * gets a block of its own exact size, which the rest of it is read into. So no argument is copied
 * more than once, however it arrives.
 *
 * Invariants
 * - Commands that were taken stay valid until resp_release(); between, resp_space() must not be
 * called.
 * - What is buffered is bounded by limits.query_bytes, and by one big bulk.
 * - The same bytes give the same commands, whatever pieces they arrive in.
 *
 * Texts of errors are Redis 7.0's. After an error the parser takes nothing more. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

#define RESP_INLINE_BYTES_MAX (64u << 10) /* a line of words; also of a length */
#define RESP_ARGS_MAX         (1 << 20)
#define RESP_BIG_BYTES        (32u << 10)
#define RESP_READ_BYTES       (16u << 10) /* least space offered for reading */

struct resp_limits {
    uint64_t bulk_bytes;  /* longest argument */
    uint64_t query_bytes; /* unparsed bytes and the arguments of an incomplete command */
    bool unauthenticated; /* at most 10 arguments of 16 KiB */
};

enum resp_result {
    RESP_COMMAND, /* *ret_command is one */
    RESP_MORE,    /* read more, or (taken commands) release first */
    RESP_ERROR,   /* resp_error(): answer it and close */
};

struct resp_command {
    uint32_t first, argc; /* arguments first .. first + argc - 1, see resp_args() */
};

struct resp_span { /* an argument of the command being parsed */
    uint8_t *own;  /* or NULL: at `offset` in the query buffer */
    size_t offset, len;
};

struct resp {
    struct buffer in;
    size_t pos;           /* parsed up to here */
    int64_t args_left;    /* of the command being parsed; 0: none is */
    int64_t bulk_left;    /* length of the argument being parsed, -1: not known yet */
    uint8_t *big;         /* it has its own block */
    size_t big_have;      /* bytes of it that are there, terminator included */
    struct buffer spans;  /* struct resp_span of the command being parsed */
    uint64_t spans_bytes; /* in own blocks */
    struct buffer args;   /* struct slice of all taken commands */
    struct buffer owned;  /* void *: blocks of taken commands */
    struct resp_limits limits;
    char error[96];
};

void resp_init(struct resp *r, const struct resp_limits *limits);
void resp_free(struct resp *r);

/* Where the next bytes go. */
void resp_space(struct resp *r, uint8_t **ret_data, size_t *ret_len);
void resp_filled(struct resp *r, size_t len);

enum resp_result resp_next(struct resp *r, struct resp_command *ret_command);
const struct slice *resp_args(const struct resp *r, const struct resp_command *command);
const char *resp_error(const struct resp *r);

/* Forgets the commands taken so far. */
void resp_release(struct resp *r);
/* Gives memory back while it is idle. */
void resp_trim(struct resp *r);
/* Nothing is buffered of a command that is not complete. */
bool resp_idle(const struct resp *r);
/* Memory held, for CLIENT LIST and limits. */
size_t resp_memory(const struct resp *r);

/* Splits a line into words as redis-cli does, unquoting in place. ST_INVALID: unbalanced quotes.
 * The words (struct resp_span with own == NULL, offsets into the line) are appended to *spans. */
int resp_split_line(uint8_t *line, size_t len, struct buffer *spans);
