#include "cli/scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/interrupt.h"
#include "cli/quote.h"

#define COUNT "1000"
#define VALUES_BYTES_MAX                                                    \
    ((int64_t)16 << 20) /* asked for at once, unless a single one is longer \
                         */

struct key_info {
    bool is_string;
    int64_t bytes;  /* of the value */
    int64_t expiry; /* as the server answered: -1 none, -2 gone */
};

struct scan {
    struct client *source;
    const char *match;
    scan_visit visit;
    void *ctx;
    struct scan_counts *counts;
    struct failure *failure;
    bool absolute; /* the server knows PEXPIRETIME */
};

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void count_left(struct scan_counts *counts, struct slice type)
{
    size_t i = 0;
    while (i < counts->left_count && !quote_word_is(type, counts->left[i].type))
        i++;
    if (i == SCAN_TYPES_MAX)
        i--;
    if (i == counts->left_count) {
        counts->left_count++;
        snprintf(counts->left[i].type, sizeof(counts->left[i].type), "%.*s",
                 i == SCAN_TYPES_MAX - 1 ? 5 : (int)type.len,
                 i == SCAN_TYPES_MAX - 1 ? "other" : (const char *)type.data);
    }
    counts->left[i].keys++;
}

static int unexpected(struct scan *s, const char *command, const struct resp_reply *reply)
{
    if (reply->type == RESP_REPLY_ERROR)
        return failure_set(s->failure, ST_DENIED, "the server refuses %s: %.*s%s", command,
                           (int)reply->len, reply->data, client_advice(reply));
    return failure_set(s->failure, ST_PROTOCOL, "the server answers %s in a way it should not.",
                       command);
}

/* The next reply, freed when it is not what was asked for. */
static int receive(struct scan *s, const char *command, enum resp_reply_type type,
                   struct resp_reply *ret_reply)
{
    int st = connection_receive(s->source->connection, s->failure, ret_reply);
    if (st == 0 && ret_reply->type != type) {
        st = unexpected(s, command, ret_reply);
        resp_reply_free(ret_reply);
    }
    return st;
}

static void ask(struct scan *s, const char *command, struct slice key)
{
    connection_queue(s->source->connection, 2, (struct slice[]){slice_str(command), key});
}

/* Type, length and expiry of one key, asked for before. */
static int receive_info(struct scan *s, struct key_info *ret_info)
{
    struct resp_reply reply;
    struct key_info info = {0};
    int st = receive(s, "TYPE", RESP_REPLY_STATUS, &reply);
    if (st < 0)
        return st;
    info.is_string = quote_word_is(resp_reply_text(&reply), "string");
    if (quote_word_is(resp_reply_text(&reply), "none"))
        s->counts->vanished++;
    else if (!info.is_string)
        count_left(s->counts, resp_reply_text(&reply));
    resp_reply_free(&reply);

    st = connection_receive(s->source->connection, s->failure, &reply);
    if (st < 0)
        return st;
    if (reply.type == RESP_REPLY_INTEGER && reply.integer > 0) /* other types: an error */
        info.bytes = reply.integer < VALUES_BYTES_MAX ? reply.integer : VALUES_BYTES_MAX;
    resp_reply_free(&reply);

    st = receive(s, "PTTL", RESP_REPLY_INTEGER, &reply);
    if (st < 0)
        return st;
    info.expiry = reply.integer;
    *ret_info = info;
    return 0;
}

static int deliver(struct scan *s, struct slice key, struct slice value, int64_t expiry)
{
    struct scan_item item = {.key = key, .value = value};
    if (expiry >= 0) {
        int64_t now = wall_ms();
        item.expires_at_ms = s->absolute ? expiry : now + expiry;
        item.ttl_ms = s->absolute ? expiry - now : expiry;
        item.ttl_ms = item.ttl_ms < 1 ? 1 : item.ttl_ms; /* about to expire, not lasting */
    }
    s->counts->strings++;
    return s->visit(s->ctx, &item, s->failure);
}

/* Values of keys[from, to), of which the strings are asked for. */
static int fetch_values(struct scan *s, const struct resp_reply *keys, const struct key_info *info,
                        size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (info[i].is_string)
            ask(s, "GET", resp_reply_text(&keys->items[i]));
    }
    int st = 0;
    for (size_t i = from; st == 0 && i < to; i++) {
        if (!info[i].is_string)
            continue;
        struct resp_reply reply;
        st = connection_receive(s->source->connection, s->failure, &reply);
        if (st < 0)
            return st;
        if (reply.type == RESP_REPLY_STRING)
            st = deliver(s, resp_reply_text(&keys->items[i]), resp_reply_text(&reply),
                         info[i].expiry);
        else if (reply.type == RESP_REPLY_NIL || client_error_is(&reply, "WRONGTYPE"))
            s->counts->vanished++;
        else
            st = unexpected(s, "GET", &reply);
        resp_reply_free(&reply);
    }
    return st;
}

/* One portion of keys: what they are, then their values in bites of bounded size. */
static int take_keys(struct scan *s, const struct resp_reply *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->items[i].type != RESP_REPLY_STRING)
            return unexpected(s, "SCAN", keys);
    }
    MEM_AUTO struct key_info *info = mem_zalloc(keys->count * sizeof(info[0]));
    s->counts->keys += keys->count;
    for (size_t i = 0; i < keys->count; i++) {
        struct slice key = resp_reply_text(&keys->items[i]);
        ask(s, "TYPE", key);
        ask(s, "STRLEN", key);
        ask(s, s->absolute ? "PEXPIRETIME" : "PTTL", key);
    }
    int st = 0;
    for (size_t i = 0; st == 0 && i < keys->count; i++)
        st = receive_info(s, &info[i]);
    for (size_t from = 0, to; st == 0 && from < keys->count; from = to) {
        int64_t bytes = 0;
        for (to = from; to < keys->count; to++) {
            if (to > from && bytes + info[to].bytes > VALUES_BYTES_MAX)
                break;
            bytes += info[to].bytes;
        }
        st = fetch_values(s, keys, info, from, to);
    }
    return st;
}

/* PEXPIRETIME came with Redis 7.0; an older server tells only what is left. */
static int learn_expiry(struct scan *s)
{
    struct resp_reply reply;
    int st = client_call_words(s->source, s->failure, &reply, 2,
                               (const char *[]){"PEXPIRETIME", "torc:none"});
    if (st < 0)
        return st;
    s->absolute = reply.type == RESP_REPLY_INTEGER;
    resp_reply_free(&reply);
    return 0;
}

/* One SCAN; *cursor is replaced. */
static int next_portion(struct scan *s, struct buffer *cursor)
{
    struct slice argv[] = {slice_str("SCAN"),  buffer_slice(cursor),
                           slice_str("COUNT"), slice_str(COUNT),
                           slice_str("MATCH"), slice_str(s->match ? s->match : "*")};
    struct resp_reply reply;
    connection_queue(s->source->connection, s->match ? 6 : 4, argv);
    int st = receive(s, "SCAN", RESP_REPLY_ARRAY, &reply);
    if (st < 0)
        return st;
    if (reply.count != 2 || reply.items[0].type != RESP_REPLY_STRING ||
        reply.items[1].type != RESP_REPLY_ARRAY) {
        st = unexpected(s, "SCAN", &reply);
    } else {
        buffer_clear(cursor);
        buffer_append_slice(cursor, resp_reply_text(&reply.items[0]));
        st = take_keys(s, &reply.items[1]);
    }
    resp_reply_free(&reply);
    return st;
}

int scan_run(struct client *source, const char *match, scan_visit visit, void *ctx,
             struct scan_counts *counts, struct failure *failure)
{
    struct scan s = {.source = source,
                     .match = match,
                     .visit = visit,
                     .ctx = ctx,
                     .counts = counts,
                     .failure = failure};
    BUFFER_AUTO struct buffer cursor = {0};
    buffer_append_str(&cursor, "0");
    int st = learn_expiry(&s);
    while (st == 0) {
        st = next_portion(&s, &cursor);
        if (st == 0 && interrupt_pending())
            st = failure_set(failure, ST_AGAIN, "interrupted.");
        if (slice_equal(buffer_slice(&cursor), slice_str("0")))
            break;
    }
    if (st < 0)
        client_disconnect(source); /* answers may still be on their way */
    return st;
}

uint64_t scan_estimate(struct client *source)
{
    struct failure ignored;
    struct resp_reply reply;
    if (client_call_words(source, &ignored, &reply, 1, (const char *[]){"DBSIZE"}) < 0)
        return 0;
    uint64_t keys =
        reply.type == RESP_REPLY_INTEGER && reply.integer > 0 ? (uint64_t)reply.integer : 0;
    resp_reply_free(&reply);
    return keys;
}
