/* A call: one command being executed, and all a handler may use.
 *
 * A handler is `void cmd_xxx(struct call *c)`. It runs on the thread of c->shard, inside a turn,
 * and does all its reads before its first write. call_read() may say ST_COLD: the handler returns
 * at once; what it replied is taken back, the keys are fetched, and it runs again from the start.
 * After a write it must not fail. Arity is checked before; room for writing was asked for; a
 * command of several keys or with CMD_ATOMIC is one log record.
 *
 * argv and what call_read() returned are valid until the handler returns (the record: until its key
 * is written). Only commands with CMD_SESSION may touch c->session. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/slice.h"
#include "base/status.h"
#include "command/command.h"
#include "node/node.h"
#include "wire/reply.h"

struct front;
struct session;
struct call_pending;

struct call_key {
    struct key key;
    int arg; /* index in argv */
};

struct call {
    const struct command *command;
    const struct slice *argv;
    int argc;
    unsigned db;
    uint64_t now_ms;
    struct node *node;
    struct shard *shard;
    struct front *front;     /* of that shard */
    struct session *session; /* NULL where it runs away from the client's home */
    struct reply *reply;
    uint64_t client_id;

    struct call_key *keys; /* as the table says */
    int key_count;
    struct call_pending *pending; /* of a command that may end later, else NULL */
    void *state;                  /* such a handler's own; free(3)d at the end */

    /* results */
    uint64_t gate;           /* the shard's turn the reply has to wait for; 0: none */
    unsigned errors;         /* error replies */
    int status;              /* ST_COLD: run again when the keys are here; or */
    uint32_t count_keyspace; /* ST_AGAIN: when this one's keys are counted */
    bool suspended;          /* the reply comes later */
    bool in_exec;            /* cold keys are then such that can't exist */
    struct key cold_key;     /* the first that was cold */
};

/* --- arguments --- */

static inline struct slice call_arg(const struct call *c, int i)
{
    return c->argv[i];
}
bool call_arg_is(const struct call *c, int i, const char *word); /* any case */
/* Replies "value is not an integer or out of range" and returns false. */
bool call_arg_i64(struct call *c, int i, int64_t *ret_value);
/* Also within [min, max]; `error` NULL: Redis' usual texts. */
bool call_arg_range(struct call *c, int i, int64_t min, int64_t max, const char *error,
                    int64_t *ret_value);

/* The key at argv[i], a key position by the table. */
const struct key *call_key_slow(struct call *c, int i);
static inline const struct key *call_key(struct call *c, int i)
{
    return c->key_count > 0 && c->keys[0].arg == i ? &c->keys[0].key : call_key_slow(c, i);
}

/* A buffer for the handler's use, empty; at most one at a time. Valid until the handler returns. */
struct buffer *call_scratch(struct call *c);

const char *call_name(const struct call *c);
uint64_t call_value_bytes_max(const struct call *c);
unsigned call_dbs(const struct call *c);
const struct settings *call_settings(const struct call *c);

/* --- data --- */

/* ST_OK, ST_NOTFOUND, ST_COLD; counts hits and misses of read-only commands. */
int call_read(struct call *c, const struct key *key, struct record *ret_record);
/* Also tombstones and expired records, uncounted. */
int call_read_any(struct call *c, const struct key *key, struct record *ret_record);
/* For a handler whose writes may be longer than its arguments, asked before the first of them and
 * before anything is replied: `bytes`: of all the values that it puts. Replies and returns false
 * when the disk is full. */
bool call_has_room(struct call *c, uint64_t bytes);
void call_put(struct call *c, const struct key *key, struct slice value, uint64_t expire_ms);
void call_delete(struct call *c, const struct key *key);

/* Rows of the current database over all shards, in order of key bytes (each shard's rows are of one
 * point in time). Only for CMD_ASYNC commands; the handler returns at once afterwards. `then` runs
 * later (or before this returns) with the same call, replies, or scans on; rows are valid only in
 * it. st: 0, ST_LIMIT, ST_IO. */
struct call_scan {
    struct slice start, end; /* copied */
    bool has_start, has_end, start_exclusive, reverse, keys_only;
    uint64_t limit_rows, limit_bytes;
    int partition; /* -1: all */
};
struct call_rows {
    const struct engine_row *rows;
    uint64_t count;
    bool more;
};
typedef void call_scan_fn(struct call *c, int st, const struct call_rows *rows);
void call_scan(struct call *c, const struct call_scan *scan, call_scan_fn *then);

/* The number of live keys of the current database. */
typedef void call_count_fn(struct call *c, int st, uint64_t keys, uint64_t expiring);
void call_count(struct call *c, uint32_t keyspace, call_count_fn *then);

/* For other things that end later: the handler returns after it, and call_resume() lets the session
 * go on once the reply is written, on the same thread. `cancel` runs when the client went away
 * first; afterwards the call is gone. */
void call_suspend(struct call *c, void (*cancel)(struct call *c));
void call_resume(struct call *c);

/* --- replies --- */

static inline void reply_ok(struct call *c)
{
    reply_write_status(c->reply, "OK");
}
static inline void reply_status(struct call *c, const char *text)
{
    reply_write_status(c->reply, text);
}
static inline void reply_int(struct call *c, int64_t value)
{
    reply_write_int(c->reply, value);
}
static inline void reply_bulk(struct call *c, struct slice bytes)
{
    reply_write_bulk(c->reply, bytes);
}
static inline void reply_text(struct call *c, const char *text)
{
    reply_write_bulk(c->reply, slice_str(text));
}
static inline void reply_null(struct call *c)
{
    reply_write_null(c->reply);
}
static inline void reply_array(struct call *c, uint64_t count)
{
    reply_write_array(c->reply, count);
}
static inline void reply_map(struct call *c, uint64_t pairs)
{
    reply_write_map(c->reply, pairs);
}
static inline void reply_set(struct call *c, uint64_t count)
{
    reply_write_set(c->reply, count);
}
static inline void reply_double(struct call *c, double value)
{
    reply_write_double(c->reply, value);
}
static inline void reply_bool(struct call *c, bool value)
{
    reply_write_bool(c->reply, value);
}
static inline void reply_verbatim(struct call *c, struct slice text)
{
    reply_write_verbatim(c->reply, text);
}
static inline void reply_null_array(struct call *c)
{
    reply_write_null_array(c->reply);
}
void reply_error(struct call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_syntax_error(struct call *c);
void reply_not_integer(struct call *c);
void reply_arity_error(struct call *c);
/* HELP of a container: lines from the table. */
void reply_help(struct call *c);
