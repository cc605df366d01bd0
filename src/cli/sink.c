#include "cli/sink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

#define SEND_BYTES (64u << 10) /* queued before the socket is troubled */

struct request {
    struct sink_mark mark;
    size_t bytes;
};

struct sink {
    struct client *client;
    const struct sink_ops *ops;
    void *ctx;
    struct request ring[SINK_REQUESTS_MAX];
    size_t first, count, bytes;
};

struct sink *sink_create(struct client *client, const struct sink_ops *ops, void *ctx)
{
    struct sink *s = mem_zalloc(sizeof(*s));
    s->client = client;
    s->ops = ops;
    s->ctx = ctx;
    return s;
}

void sink_free(struct sink *s)
{
    free(s);
}

void sink_reset(struct sink *s)
{
    s->first = s->count = s->bytes = 0;
}

/* Errors after which no other write would fare better. */
static bool is_fatal(const struct resp_reply *reply)
{
    static const char *const codes[] = {"DISKFULL",   "OOM",      "LOADING",     "NOAUTH",
                                        "NOPERM",     "READONLY", "MISCONF",     "BUSY",
                                        "MASTERDOWN", "DENIED",   "CLUSTERDOWN", "NOREPLICAS"};
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (client_error_is(reply, codes[i]))
            return true;
    }
    return false;
}

static int take(struct sink *s, struct resp_reply *reply, struct failure *failure)
{
    struct request *request = &s->ring[s->first];
    int st = 0;
    if (is_fatal(reply)) {
        /* a server that is starting is as good as one that can't be reached yet */
        st = failure_set(failure, client_error_is(reply, "LOADING") ? ST_CLOSED : ST_DENIED,
                         "the server takes no writes: %.*s%s", (int)reply->len, reply->data,
                         client_advice(reply));
    } else if (reply->type == RESP_REPLY_ERROR) {
        s->ops->refused(s->ctx, &request->mark, resp_reply_text(reply));
    } else {
        s->ops->stored(s->ctx, &request->mark);
    }
    s->first = (s->first + 1) % SINK_REQUESTS_MAX;
    s->count--;
    s->bytes -= request->bytes;
    resp_reply_free(reply);
    return st;
}

static int wait_one(struct sink *s, struct failure *failure)
{
    struct resp_reply reply;
    int st = connection_receive(s->client->connection, failure, &reply);
    return st < 0 ? st : take(s, &reply, failure);
}

/* Takes the answers that are there. */
static int drain(struct sink *s, struct failure *failure)
{
    struct resp_reply reply;
    int st = 0;
    while (st == 0 && s->count > 0) {
        st = connection_try_receive(s->client->connection, failure, &reply);
        if (st == 0)
            st = take(s, &reply, failure);
    }
    return st == ST_AGAIN ? 0 : st;
}

int sink_put(struct sink *s, const struct sink_write *write, const struct sink_mark *mark,
             struct failure *failure)
{
    int st = client_connect(s->client, failure);
    if (st < 0)
        return st;
    struct request request = {.mark = *mark, .bytes = write->key.len + write->value.len};
    while (s->count == SINK_REQUESTS_MAX ||
           (s->count > 0 && s->bytes + request.bytes > SINK_BYTES_MAX)) {
        st = wait_one(s, failure);
        if (st < 0)
            return st;
    }
    char number[24];
    int64_t expiry = write->expires_at_ms ? write->expires_at_ms : write->ttl_ms;
    snprintf(number, sizeof(number), "%" PRId64, expiry);
    struct slice argv[] = {slice_str("SET"), write->key, write->value,
                           slice_str(write->expires_at_ms ? "PXAT" : "PX"), slice_str(number)};
    connection_queue(s->client->connection, expiry ? 5 : 3, argv);
    s->ring[(s->first + s->count++) % SINK_REQUESTS_MAX] = request;
    s->bytes += request.bytes;
    if (connection_unsent_bytes(s->client->connection) < SEND_BYTES)
        return 0;
    return drain(s, failure);
}

int sink_finish(struct sink *s, struct failure *failure)
{
    int st = 0;
    while (st == 0 && s->count > 0)
        st = wait_one(s, failure);
    return st;
}
