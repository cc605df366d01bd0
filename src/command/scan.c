/* SCAN, KEYS and LIST: keys of the current database, gathered in batches over call_scan().
 *
 * KEYS and LIST walk all shards in the order of keys. SCAN walks partition by partition, so that
 * one call looks at few rows of one place; where it has got to is kept behind its cursor. All see
 * every key that is there all the time exactly once; keys that come or go meanwhile, perhaps. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/glob.h"
#include "base/mem.h"
#include "base/number.h"
#include "command/admin.h"
#include "command/handlers.h"
#include "command/scan_cursors.h"
#include "command/session_private.h"

#define KEYS_BATCH_ROWS      4096
#define KEYS_REPLY_BYTES_MAX (UINT64_C(256) << 20)
#define SCAN_ROWS_DEFAULT    10
#define SCAN_ROWS_MAX        65536 /* of one call, whatever COUNT says */
#define BATCH_BYTES_MAX      (UINT64_C(64) << 20)
#define CURSOR_TEXT_MAX      32
#define BULK_HEADER_MAX      32 /* $, a length and two line ends */

/* What a call has gathered so far: its c->state, one block that grows. `bytes` holds the keys as
 * they are replied, and behind them the key where the next batch goes on. */
struct gather {
    struct slice pattern;
    bool match;   /* against the pattern */
    bool driving; /* drive() is at it: it goes on, not the callback */
    bool arrived, finished;

    bool scan;          /* SCAN's, else all partitions merged */
    uint64_t cursor;    /* that SCAN was called with */
    uint64_t rows_left; /* to look at */
    uint64_t batch_rows;
    unsigned partition;
    bool has_key; /* go on behind the key at bytes[len] */
    size_t key_len;

    uint64_t count;
    size_t len, cap;
    uint8_t bytes[];
};

static struct gather *gather_of(struct call *c)
{
    return c->state;
}

static struct gather *gather_begin(struct call *c)
{
    struct gather *g = mem_zalloc(sizeof(*g));
    g->rows_left = UINT64_MAX;
    g->batch_rows = KEYS_BATCH_ROWS;
    free(c->state);
    c->state = g;
    return g;
}

/* Room for `bytes` behind what is gathered; the block may move. */
static struct gather *gather_reserve(struct call *c, size_t bytes)
{
    struct gather *g = gather_of(c);
    if (g->len + bytes <= g->cap)
        return g;
    size_t cap = 2 * (g->len + bytes);
    g = mem_realloc(g, sizeof(*g) + cap);
    g->cap = cap;
    c->state = g;
    return g;
}

static void gather_add(struct call *c, struct slice key)
{
    struct gather *g = gather_reserve(c, key.len + BULK_HEADER_MAX);
    uint8_t *to = g->bytes + g->len;
    *to++ = '$';
    to += number_format_u64((char *)to, key.len);
    *to++ = '\r';
    *to++ = '\n';
    if (key.len > 0)
        memcpy(to, key.data, key.len);
    to += key.len;
    *to++ = '\r';
    *to++ = '\n';
    g->len = (size_t)(to - g->bytes);
    g->count++;
}

static void gather_go_on_behind(struct call *c, struct slice key)
{
    struct gather *g = gather_reserve(c, key.len);
    if (key.len > 0)
        memcpy(g->bytes + g->len, key.data, key.len);
    g->key_len = key.len;
    g->has_key = true;
}

static void gather_reply(struct call *c)
{
    const struct gather *g = gather_of(c);
    reply_array(c, g->count);
    reply_raw(c->reply, g->bytes, g->len);
}

/* --- batches --- */

static void on_rows(struct call *c, int st, const struct call_rows *rows);
static void scan_reply(struct call *c);

/* Scans batch after batch. Where call_scan() answers at once, this loop goes on with the next one,
 * not the callback inside it, so the stack stays flat. */
static void drive(struct call *c)
{
    gather_of(c)->driving = true;
    do {
        struct gather *g = gather_of(c);
        g->arrived = false;
        struct call_scan scan = {
            .start = slice_make(g->bytes + g->len, g->has_key ? g->key_len : 0),
            .has_start = g->has_key,
            .start_exclusive = g->has_key,
            .keys_only = true,
            .limit_rows = g->batch_rows < g->rows_left ? g->batch_rows : g->rows_left,
            .limit_bytes = BATCH_BYTES_MAX,
            .partition = g->scan ? (int)g->partition : -1,
        };
        call_scan(c, &scan, on_rows);
    } while (gather_of(c)->arrived && !gather_of(c)->finished);
    gather_of(c)->driving = false;
}

/* Everything was gathered, or enough. */
static void finish(struct call *c)
{
    gather_of(c)->finished = true;
    gather_of(c)->scan ? scan_reply(c) : gather_reply(c);
}

/* Where the next batch begins; false: nowhere. */
static bool advance(struct call *c, const struct call_rows *rows)
{
    if (rows->more) {
        gather_go_on_behind(c, rows->rows[rows->count - 1].key);
        return true;
    }
    struct gather *g = gather_of(c);
    g->has_key = false;
    g->partition++;
    return g->scan && g->partition < c->node->partitions;
}

static void take_rows(struct call *c, const struct call_rows *rows)
{
    struct slice pattern = gather_of(c)->pattern;
    bool match = gather_of(c)->match;
    for (uint64_t i = 0; i < rows->count; i++)
        if (!match || glob_match(pattern, rows->rows[i].key, false))
            gather_add(c, rows->rows[i].key);
    gather_of(c)->rows_left -= rows->count;
}

static void on_rows(struct call *c, int st, const struct call_rows *rows)
{
    struct gather *g = gather_of(c);
    g->arrived = true;
    if (st == ST_LIMIT && g->batch_rows > 1) {
        g->batch_rows /= 2; /* long keys: fewer at a time */
    } else if (st < 0) {
        g->finished = true;
        reply_scan_error(c, st);
    } else {
        take_rows(c, rows);
        if (!gather_of(c)->scan && gather_of(c)->len > KEYS_REPLY_BYTES_MAX) {
            gather_of(c)->finished = true;
            reply_scan_error(c, ST_LIMIT);
        } else if (!advance(c, rows) || gather_of(c)->rows_left == 0) {
            finish(c);
        }
    }
    if (!gather_of(c)->driving && !gather_of(c)->finished)
        drive(c);
}

/* --- KEYS, LIST --- */

static void keys_by_pattern(struct call *c, struct slice pattern)
{
    struct gather *g = gather_begin(c);
    g->pattern = pattern;
    g->match = !glob_is_all(pattern);
    drive(c);
}

void cmd_keys(struct call *c)
{
    keys_by_pattern(c, call_arg(c, 1));
}

void cmd_list(struct call *c)
{
    if (c->argc > 2)
        reply_arity_error(c);
    else
        keys_by_pattern(c, c->argc == 2 ? call_arg(c, 1) : slice_str("*"));
}

/* --- SCAN --- */

/* The node's table hangs at the front of shard 0. Whichever thread comes first makes it. */
static struct scan_cursors *cursors_of(struct call *c)
{
    struct scan_cursors **at = &c->front->group->fronts[0]->scans;
    struct scan_cursors *t = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    if (t != NULL)
        return t;
    struct scan_cursors *fresh = scan_cursors_create(c->shard->env->ops->random(c->shard->env));
    if (__atomic_compare_exchange_n(at, &t, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    scan_cursors_destroy(fresh);
    return t;
}

void scan_cursors_free(struct front *f)
{
    scan_cursors_destroy(f->scans);
    f->scans = NULL;
}

static void reply_cursor(struct call *c, uint64_t cursor)
{
    char text[NUMBER_TEXT_MAX];
    reply_array(c, 2);
    reply_bulk(c, slice_make(text, number_format_u64(text, cursor)));
}

static void scan_reply(struct call *c)
{
    const struct gather *g = gather_of(c);
    uint64_t next = 0;
    if (g->partition >= c->node->partitions) {
        scan_cursors_finish(cursors_of(c), g->cursor);
    } else {
        struct scan_position position = {.partition = g->partition,
                                         .has_key = g->has_key,
                                         .key = slice_make(g->bytes + g->len, g->key_len)};
        bool evicted;
        next = scan_cursors_advance(cursors_of(c), g->cursor, &position, &evicted);
        if (evicted)
            metrics_add(&c->node->metrics[c->shard->id].scan_cursors_evicted, 1);
    }
    reply_cursor(c, next);
    gather_reply(c);
}

/* As Redis reads it: strtoul(3) over the whole argument, no space before it. */
static bool parse_cursor(struct call *c, uint64_t *ret_cursor)
{
    struct slice arg = call_arg(c, 1);
    char text[CURSOR_TEXT_MAX];
    char *end = text;
    uint64_t cursor = 0;
    bool good = arg.len < sizeof(text) && (arg.len == 0 || !isspace(arg.data[0]));
    if (good) {
        if (arg.len > 0)
            memcpy(text, arg.data, arg.len);
        text[arg.len] = '\0';
        errno = 0;
        cursor = strtoul(text, &end, 10);
        good = errno == 0 && end == text + arg.len;
    }
    if (!good) {
        reply_error(c, "ERR invalid cursor");
        return false;
    }
    *ret_cursor = cursor;
    return true;
}

struct scan_options {
    uint64_t rows;
    struct slice pattern;
    bool match, other_type;
};

static bool parse_scan_options(struct call *c, struct scan_options *o)
{
    for (int i = 2; i < c->argc; i += 2) {
        bool value = i + 1 < c->argc;
        int64_t count;
        if (value && call_arg_is(c, i, "count")) {
            if (!call_arg_i64(c, i + 1, &count))
                return false;
            if (count < 1) {
                reply_syntax_error(c);
                return false;
            }
            o->rows = count < SCAN_ROWS_MAX ? (uint64_t)count : SCAN_ROWS_MAX;
        } else if (value && call_arg_is(c, i, "match")) {
            o->pattern = call_arg(c, i + 1);
            o->match = !glob_is_all(o->pattern);
        } else if (value && call_arg_is(c, i, "type")) {
            o->other_type = !call_arg_is(c, i + 1, "string");
        } else {
            reply_syntax_error(c);
            return false;
        }
    }
    return true;
}

void cmd_scan(struct call *c)
{
    uint64_t cursor;
    struct scan_options options = {.rows = SCAN_ROWS_DEFAULT};
    if (!parse_cursor(c, &cursor) || !parse_scan_options(c, &options))
        return;
    struct scan_position position = {0};
    if (cursor != 0 && scan_cursors_find(cursors_of(c), cursor, call_scratch(c), &position) < 0) {
        reply_error(c,
                    "ERR cursor %llu is unknown or was dropped for newer ones; start again from 0",
                    (unsigned long long)cursor);
        return;
    }
    if (options.other_type) { /* there are only strings */
        reply_cursor(c, 0);
        reply_array(c, 0);
        return;
    }
    struct gather *g = gather_begin(c);
    g->scan = true;
    g->cursor = cursor;
    g->pattern = options.pattern;
    g->match = options.match;
    g->rows_left = options.rows;
    g->partition = position.partition;
    if (position.has_key)
        gather_go_on_behind(c, position.key);
    drive(c);
}
