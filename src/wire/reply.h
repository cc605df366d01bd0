/* Replies of the client protocol (RESP2 and RESP3), written into a queue of chunks.
 *
 * Bytes are appended to chunks that never move; a value larger than a chunk gets one of its own
 * size. So a reply is copied once, into the queue, and leaves from there by writev. A mark taken
 * before a command lets what it wrote be taken back.
 *
 * Positions count bytes since the queue was made; `written` of them were appended, `sent` have
 * left. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"

#define REPLY_CHUNK_BYTES (16u << 10)

struct reply_chunk {
    struct reply_chunk *next;
    size_t len, cap;
    uint8_t data[];
};

struct reply {
    struct reply_chunk *head, *tail;
    size_t head_sent;
    uint64_t written, sent;
    uint64_t memory_bytes; /* of all chunks */
    uint8_t version;       /* 2 or 3 */
    bool muted;            /* CLIENT REPLY OFF, SKIP: appends nothing */
    /* A value that would take what is pending beyond pending_max (0: no limit) is left out: what is
     * queued is no reply then, and nothing of it may be sent. */
    bool exceeded;
    uint64_t pending_max;
};

struct reply_mark {
    struct reply_chunk *tail;
    size_t len;
    uint64_t written;
};

void reply_init(struct reply *r);
void reply_free(struct reply *r);

struct reply_mark reply_mark(const struct reply *r);
void reply_truncate(struct reply *r, struct reply_mark mark);

/* Up to max pieces of the bytes below position `limit`; returns how many. */
int reply_iovec(const struct reply *r, uint64_t limit, struct iovec *iov, int max);
void reply_sent(struct reply *r, size_t len);

/* Frees what an empty queue keeps for the next replies. */
void reply_trim(struct reply *r);

static inline uint64_t reply_pending(const struct reply *r)
{
    return r->written - r->sent;
}

/* Room for len contiguous bytes; reply_added() says how many were written there. */
uint8_t *reply_room(struct reply *r, size_t len);
static inline void reply_added(struct reply *r, size_t len)
{
    r->tail->len += len;
    r->written += len;
}

void reply_raw(struct reply *r, const void *data, size_t len);
void reply_write_status(struct reply *r, const char *text);
/* "CODE text"; line ends inside become spaces. */
void reply_write_error(struct reply *r, struct slice text);
void reply_write_int(struct reply *r, int64_t value);
void reply_write_bulk(struct reply *r, struct slice value);
void reply_write_null(struct reply *r);       /* $-1 or _ */
void reply_write_null_array(struct reply *r); /* *-1 or _ */
void reply_write_array(struct reply *r, size_t count);
void reply_write_map(struct reply *r, size_t pairs); /* version 2: an array of twice as many */
void reply_write_set(struct reply *r, size_t count);
void reply_write_bool(struct reply *r, bool value);
void reply_write_double(struct reply *r, double value);
void reply_write_verbatim(struct reply *r, struct slice text); /* txt */
