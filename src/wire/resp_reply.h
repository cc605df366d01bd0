/* Replies of the client protocol (RESP2 and RESP3), as a client reads them.
 *
 * The reader is incremental: bytes are fed in any portions, and a reply comes out as soon as its
 * last byte is there. No byte is looked at twice for structure, so a reply that arrives one byte a
 * packet costs no more than linear time.
 *
 * Everything is bounded by struct resp_reply_limits: nesting, elements and bytes of one reply.
 * Memory grows with what has arrived, never with what a header announces, so `*1000000000` costs
 * nothing. After an error the stream has no known boundary any more: the reader stays failed, and
 * the connection has to be closed.
 *
 *   +status -error :integer $bulk *array               RESP2, with $-1 and *-1 as nil
 *   _nil #boolean ,double (bignum !blob error =verbatim %map ~set >push |attribute    RESP3
 *
 * Attributes are read and dropped. Streamed types ($? *?) are refused: no server sends them
 * unasked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define RESP_REPLY_LINE_BYTES_MAX (64u << 10) /* statuses, errors, numbers, headers */

enum resp_reply_type {
    RESP_REPLY_NIL, /* so that a zeroed reply is a valid one */
    RESP_REPLY_STATUS,
    RESP_REPLY_ERROR,
    RESP_REPLY_INTEGER,
    RESP_REPLY_STRING,
    RESP_REPLY_DOUBLE,
    RESP_REPLY_BOOL,
    RESP_REPLY_BIGNUM,
    RESP_REPLY_VERBATIM,
    RESP_REPLY_ARRAY,
    RESP_REPLY_MAP,
    RESP_REPLY_SET,
    RESP_REPLY_PUSH,
};

/* A plain value that owns its bytes and items; resp_reply_free() gives them back. */
struct resp_reply {
    enum resp_reply_type type;
    char format[4];  /* VERBATIM: "txt" or "mkd" */
    int64_t integer; /* INTEGER; BOOL: 0 or 1 */
    double number;   /* DOUBLE */
    uint8_t *data; /* STATUS, ERROR, STRING, BIGNUM, VERBATIM; DOUBLE: as it was sent. A NUL that */
    size_t len;    /* `len` does not count stands behind the last byte. NULL for other types. */
    struct resp_reply *items; /* ARRAY, SET, PUSH; MAP: key, value, key, value ... */
    size_t count;             /* of items; even for MAP */
};

struct resp_reply_limits {
    size_t depth_max;       /* nested aggregates */
    size_t elements_max;    /* items in one reply, at all depths together */
    size_t bulk_bytes_max;  /* one string */
    size_t reply_bytes_max; /* all strings and items of one reply */
};

extern const struct resp_reply_limits resp_reply_default_limits;

struct resp_reply_reader;

struct resp_reply_reader *resp_reply_reader_create(const struct resp_reply_limits *limits);
void resp_reply_reader_free(struct resp_reply_reader *reader);

void resp_reply_reader_feed(struct resp_reply_reader *reader, struct slice bytes);

/* 0 and a reply; ST_AGAIN when more bytes are needed; ST_PROTOCOL or ST_LIMIT, once and for all. */
int resp_reply_reader_next(struct resp_reply_reader *reader, struct resp_reply *ret_reply);

/* What was wrong, for a person; "" before a failure. Lives as long as the reader. */
const char *resp_reply_reader_error(const struct resp_reply_reader *reader);

void resp_reply_free(struct resp_reply *reply); /* leaves a nil */

static inline struct slice resp_reply_text(const struct resp_reply *reply)
{
    return slice_make(reply->data, reply->len);
}
