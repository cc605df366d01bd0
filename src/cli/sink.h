/* Writes many keys to a server through one pipeline, bounded in requests and in bytes. Each write
 * carries a mark of its caller, and every answer, in order, comes back to him with it.
 *
 * A server that can't take writes at all (disk full, no memory, no login, still loading ...) ends
 * the run: what follows would fail alike. An error about one key goes to the caller. */
#pragma once

#include "cli/client.h"
#include "cli/input.h"

#define SINK_REQUESTS_MAX    1024 /* unanswered */
#define SINK_KEY_SHOWN_BYTES 200
#define SINK_BYTES_MAX       ((size_t)8 << 20)

/* What the caller wants to know again: where in his source the record was. */
struct sink_mark {
    uint64_t line;
    struct input_place behind;
    char key[SINK_KEY_SHOWN_BYTES]; /* for a person, where there are no lines; or "" */
};

struct sink_ops {
    void (*stored)(void *ctx, const struct sink_mark *mark);
    void (*refused)(void *ctx, const struct sink_mark *mark, struct slice error);
};

struct sink;

struct sink *sink_create(struct client *client, const struct sink_ops *ops, void *ctx);
void sink_free(struct sink *sink);

struct sink_write {
    struct slice key, value;
    int64_t ttl_ms;        /* 0: none */
    int64_t expires_at_ms; /* 0: none; else since 1970, instead of ttl_ms */
};

/* Queues one write; waits only while the pipeline is full. */
int sink_put(struct sink *sink, const struct sink_write *write, const struct sink_mark *mark,
             struct failure *failure);
/* Waits for all answers. */
int sink_finish(struct sink *sink, struct failure *failure);
/* Forgets what is unanswered, to begin anew on another connection. */
void sink_reset(struct sink *sink);
