#include "command/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/number.h"
#include "command/session_private.h"

/* An error text longer than this is cut. */
#define ERROR_BYTES_MAX 1024

/* --- arguments --- */

bool call_arg_is(const struct call *c, int i, const char *word)
{
    struct slice arg = c->argv[i];
    return arg.len == strlen(word) && strncasecmp((const char *)arg.data, word, arg.len) == 0;
}

bool call_arg_i64(struct call *c, int i, int64_t *ret_value)
{
    if (number_parse_i64(c->argv[i], ret_value) == 0)
        return true;
    reply_not_integer(c);
    return false;
}

bool call_arg_range(struct call *c, int i, int64_t min, int64_t max, const char *error,
                    int64_t *ret_value)
{
    int64_t value;
    bool number = number_parse_i64(c->argv[i], &value) == 0;
    if (number && value >= min && value <= max) {
        *ret_value = value;
        return true;
    }
    if (error != NULL)
        reply_error(c, "%s", error);
    else if (number)
        reply_error(c, "ERR value is out of range, value must between %lld and %lld",
                    (long long)min, (long long)max);
    else
        reply_not_integer(c);
    return false;
}

const struct key *call_key_slow(struct call *c, int i)
{
    const struct command *cmd = c->command;
    int at = cmd->step > 0 ? (i - cmd->first) / cmd->step : 0;
    CHECK(at >= 0 && at < c->key_count && c->keys[at].arg == i);
    return &c->keys[at].key;
}

struct buffer *call_scratch(struct call *c)
{
    buffer_clear(&c->front->scratch);
    return &c->front->scratch;
}

const char *call_name(const struct call *c)
{
    return c->command->name;
}

const struct settings *call_settings(const struct call *c)
{
    return __atomic_load_n(&c->node->settings, __ATOMIC_ACQUIRE);
}

uint64_t call_value_bytes_max(const struct call *c)
{
    return (uint64_t)call_settings(c)->value_bytes_max;
}

unsigned call_dbs(const struct call *c)
{
    return NODE_DBS;
}

/* --- data --- */

static inline struct shard_metrics *metrics_of(const struct call *c)
{
    return &c->node->metrics[c->shard->id];
}

/* All keys that may be in the cold tier were fetched before EXEC; what is cold then belongs to a
 * keyspace that was born in the transaction. */
static int cold(struct call *c, const struct key *key)
{
    if (c->in_exec)
        return ST_NOTFOUND;
    if (c->status == 0)
        c->cold_key = *key;
    c->status = ST_COLD;
    return ST_COLD;
}

static inline void gate_read(struct call *c, const struct key *key)
{
    uint64_t gate = shard_gate(c->shard, key->partition);
    if (gate > c->gate)
        c->gate = gate;
}

int call_read(struct call *c, const struct key *key, struct record *ret_record)
{
    int st = shard_read(c->shard, key, ret_record);
    if (unlikely(st == ST_COLD)) {
        st = cold(c, key);
        if (st == ST_COLD)
            return st;
    }
    gate_read(c, key);
    if (c->command->flags & CMD_READONLY) {
        struct shard_metrics *m = metrics_of(c);
        metrics_add(st == 0 ? &m->keyspace_hits : &m->keyspace_misses, 1);
    }
    return st;
}

int call_read_any(struct call *c, const struct key *key, struct record *ret_record)
{
    struct shard *owner = node_shard(c->node, node_shard_index(c->node, key->partition));
    int st = engine_get(owner->engine, key, ret_record);
    if (st == ST_COLD)
        st = cold(c, key);
    if (st != ST_COLD)
        gate_read(c, key);
    return st;
}

bool call_has_room(struct call *c, uint64_t bytes)
{
    if (likely(bytes <= SHARD_SMALL_BYTES) || c->in_exec) /* which asked for all in it */
        return true;
    for (int i = 1; i < c->argc; i++)
        bytes += c->argv[i].len;
    if (shard_has_room(c->shard, bytes + (uint64_t)c->argc * SHARD_WRITE_BYTES))
        return true;
    metrics_add(&metrics_of(c)->writes_refused_diskfull, 1);
    reply_error(c, "%s", DISKFULL_TEXT);
    return false;
}

void call_put(struct call *c, const struct key *key, struct slice value, uint64_t expire_ms)
{
    watch_touch(c, key);
    if (unlikely(expire_ms != 0 && expire_ms <= c->now_ms))
        shard_delete(c->shard, key); /* dead at once; a tombstone is smaller */
    else
        shard_put(c->shard, key, value, expire_ms);
    c->gate = c->shard->turn;
}

void call_delete(struct call *c, const struct key *key)
{
    watch_touch(c, key);
    shard_delete(c->shard, key);
    c->gate = c->shard->turn;
}

/* --- replies --- */

void reply_error(struct call *c, const char *format, ...)
{
    char text[ERROR_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t kept = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    while (kept > 0 && (text[kept - 1] == '\r' || text[kept - 1] == '\n'))
        kept--; /* as Redis: line ends at the end go, those inside become spaces */
    reply_write_error(c->reply, slice_make(text, kept));
    c->errors++;
    metrics_add(&metrics_of(c)->error_replies, 1);
}

void reply_syntax_error(struct call *c)
{
    reply_error(c, "ERR syntax error");
}

void reply_not_integer(struct call *c)
{
    reply_error(c, "ERR value is not an integer or out of range");
}

void reply_arity_error(struct call *c)
{
    reply_error(c, "ERR wrong number of arguments for '%s' command", c->command->name);
}
