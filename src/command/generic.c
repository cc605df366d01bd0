/* Commands on keys whatever they hold, as Redis 7.0 answers them. Times to live: expiry.c. */
#include "base/buffer.h"
#include "base/number.h"
#include "base/status.h"
#include "command/call.h"
#include "command/dump.h"
#include "command/handlers.h"
#include "node/node.h"

/* Redis' shared small integers, which OBJECT REFCOUNT shows as immortal. */
#define SHARED_INTEGERS  10000
#define SHARED_REFCOUNT  2147483647
#define EMBSTR_BYTES_MAX 44
#define INTEGER_TEXT_MAX 20

/* All keys from argv[1] on are resident. false: the handler returns. */
static bool all_resident(struct call *c)
{
    for (int i = 1; i < c->argc; i++) {
        struct record r;
        if (call_read(c, call_key(c, i), &r) == ST_COLD)
            return false;
    }
    return true;
}

void cmd_del(struct call *c)
{
    if (!all_resident(c))
        return;
    int64_t count = 0;
    for (int i = 1; i < c->argc; i++) {
        struct record r;
        if (call_read(c, call_key(c, i), &r) < 0)
            continue;
        call_delete(c, call_key(c, i));
        count++;
    }
    reply_int(c, count);
}

void cmd_exists(struct call *c)
{
    if (!all_resident(c))
        return;
    int64_t count = 0;
    for (int i = 1; i < c->argc; i++) {
        struct record r;
        count += call_read(c, call_key(c, i), &r) == 0;
    }
    reply_int(c, count);
}

void cmd_touch(struct call *c)
{
    cmd_exists(c);
}

void cmd_type(struct call *c)
{
    struct record r;
    int st = call_read(c, call_key(c, 1), &r);
    if (st != ST_COLD)
        reply_status(c, st == 0 ? "string" : "none");
}

/* --- RENAME, COPY, MOVE --- */

static void rename_generic(struct call *c, bool only_new)
{
    const struct key *from = call_key(c, 1), *to = call_key(c, 2);
    struct record source, target;
    int st = call_read(c, from, &source), target_st = call_read(c, to, &target);
    if (st == ST_COLD || target_st == ST_COLD)
        return;
    if (st < 0) {
        reply_error(c, "ERR no such key");
        return;
    }
    bool same = slice_equal(from->bytes, to->bytes);
    if (same || (only_new && target_st == 0)) {
        only_new ? reply_int(c, 0) : reply_ok(c);
        return;
    }
    if (!call_has_room(c, source.value.len))
        return;
    call_put(c, to, source.value, record_expiry(&source));
    call_delete(c, from);
    only_new ? reply_int(c, 1) : reply_ok(c);
}

void cmd_rename(struct call *c)
{
    rename_generic(c, false);
}

void cmd_renamenx(struct call *c)
{
    rename_generic(c, true);
}

static bool parse_db(struct call *c, int arg, unsigned *ret_db)
{
    int64_t db;
    if (!call_arg_i64(c, arg, &db))
        return false;
    if (db < INT32_MIN || db > INT32_MAX) {
        reply_error(c, "ERR value is out of range, value must between -2147483648 and 2147483647");
        return false;
    }
    if (db < 0 || db >= (int64_t)call_dbs(c)) {
        reply_error(c, "ERR DB index is out of range");
        return false;
    }
    *ret_db = (unsigned)db;
    return true;
}

void cmd_copy(struct call *c)
{
    unsigned db = c->db;
    bool replace = false;
    for (int i = 3; i < c->argc; i++) {
        if (call_arg_is(c, i, "REPLACE")) {
            replace = true;
        } else if (call_arg_is(c, i, "DB") && i + 1 < c->argc) {
            if (!parse_db(c, ++i, &db))
                return;
        } else {
            reply_syntax_error(c);
            return;
        }
    }
    if (db == c->db && slice_equal(call_arg(c, 1), call_arg(c, 2))) {
        reply_error(c, "ERR source and destination objects are the same");
        return;
    }
    struct key to = node_key(c->node, db, call_arg(c, 2));
    struct record source, target;
    int st = call_read(c, call_key(c, 1), &source), target_st = call_read(c, &to, &target);
    if (st == ST_COLD || target_st == ST_COLD)
        return;
    bool done = st == 0 && (target_st < 0 || replace);
    if (done && !call_has_room(c, source.value.len))
        return;
    if (done)
        call_put(c, &to, source.value, record_expiry(&source));
    reply_int(c, done);
}

void cmd_move(struct call *c)
{
    unsigned db;
    if (!parse_db(c, 2, &db))
        return;
    if (db == c->db) {
        reply_error(c, "ERR source and destination objects are the same");
        return;
    }
    struct key to = node_key(c->node, db, call_arg(c, 1));
    struct record source, target;
    int st = call_read(c, call_key(c, 1), &source), target_st = call_read(c, &to, &target);
    if (st == ST_COLD || target_st == ST_COLD)
        return;
    bool done = st == 0 && target_st < 0;
    if (done && !call_has_room(c, source.value.len))
        return;
    if (done) {
        call_put(c, &to, source.value, record_expiry(&source));
        call_delete(c, call_key(c, 1));
    }
    reply_int(c, done);
}

/* --- DUMP, RESTORE --- */

void cmd_dump(struct call *c)
{
    struct record r;
    int st = call_read(c, call_key(c, 1), &r);
    if (st == ST_COLD)
        return;
    if (st < 0) {
        reply_null(c);
        return;
    }
    struct buffer *out = call_scratch(c);
    dump_encode(out, r.value);
    reply_bulk(c, buffer_slice(out));
}

struct restore_options {
    bool replace, absolute;
    bool has_idle, has_frequency;
};

static bool restore_options_parse(struct call *c, struct restore_options *o)
{
    *o = (struct restore_options){0};
    for (int i = 4; i < c->argc; i++) {
        bool more = i + 1 < c->argc;
        int64_t number;
        if (call_arg_is(c, i, "REPLACE")) {
            o->replace = true;
        } else if (call_arg_is(c, i, "ABSTTL")) {
            o->absolute = true;
        } else if (call_arg_is(c, i, "IDLETIME") && more && !o->has_frequency) {
            if (!call_arg_i64(c, ++i, &number))
                return false;
            if (number < 0)
                return reply_error(c, "ERR Invalid IDLETIME value, must be >= 0"), false;
            o->has_idle = true;
        } else if (call_arg_is(c, i, "FREQ") && more && !o->has_idle) {
            if (!call_arg_i64(c, ++i, &number))
                return false;
            if (number < 0 || number > 255)
                return reply_error(c, "ERR Invalid FREQ value, must be >= 0 and <= 255"), false;
            o->has_frequency = true;
        } else {
            return reply_syntax_error(c), false;
        }
    }
    return true;
}

static bool restore_value(struct call *c, struct buffer *out)
{
    switch (dump_decode(call_arg(c, 3), call_value_bytes_max(c), out)) {
    case 0:
        return true;
    case ST_PROTOCOL:
        reply_error(c, "ERR DUMP payload version or checksum are wrong");
        return false;
    case ST_UNSUPPORTED:
        reply_error(c, "ERR Bad data format: Torc stores strings");
        return false;
    case ST_LIMIT:
        reply_error(c, "ERR string exceeds maximum allowed size (value-bytes-max)");
        return false;
    default:
        reply_error(c, "ERR Bad data format");
        return false;
    }
}

void cmd_restore(struct call *c)
{
    struct restore_options o;
    if (!restore_options_parse(c, &o))
        return;
    struct record old;
    int st = call_read(c, call_key(c, 1), &old);
    if (st == ST_COLD)
        return;
    if (st == 0 && !o.replace) {
        reply_error(c, "BUSYKEY Target key name already exists.");
        return;
    }
    int64_t ttl;
    if (!call_arg_i64(c, 2, &ttl))
        return;
    if (ttl < 0) {
        reply_error(c, "ERR Invalid TTL value, must be >= 0");
        return;
    }
    struct buffer *value = call_scratch(c);
    if (!restore_value(c, value))
        return;
    if (ttl > 0 && !o.absolute && __builtin_add_overflow(ttl, (int64_t)c->now_ms, &ttl))
        ttl = INT64_MAX;
    if (!call_has_room(c, value->len))
        return;
    bool expired = ttl > 0 && ttl <= (int64_t)c->now_ms;
    if (!expired)
        call_put(c, call_key(c, 1), buffer_slice(value), (uint64_t)ttl);
    else if (st == 0)
        call_delete(c, call_key(c, 1));
    reply_ok(c);
}

/* --- OBJECT --- */

static const char *encoding_name(struct slice value)
{
    int64_t number;
    if (value.len <= INTEGER_TEXT_MAX && number_parse_i64(value, &number) == 0)
        return "int";
    return value.len <= EMBSTR_BYTES_MAX ? "embstr" : "raw";
}

/* Reads the key of argv[2] for an OBJECT subcommand; answers nil when there is none. */
static bool object_read(struct call *c, struct record *ret_record)
{
    int st = call_read(c, call_key(c, 2), ret_record);
    if (st < 0 && st != ST_COLD)
        reply_null(c);
    return st == 0;
}

void cmd_object_encoding(struct call *c)
{
    struct record r;
    if (object_read(c, &r))
        reply_bulk(c, slice_str(encoding_name(r.value)));
}

void cmd_object_refcount(struct call *c)
{
    struct record r;
    if (!object_read(c, &r))
        return;
    int64_t number;
    bool shared =
        number_parse_i64(r.value, &number) == 0 && number >= 0 && number < SHARED_INTEGERS;
    reply_int(c, shared ? SHARED_REFCOUNT : 1);
}

void cmd_object_idletime(struct call *c)
{
    struct record r;
    if (object_read(c, &r))
        reply_int(c, 0); /* when a key was last read is not kept */
}

void cmd_object_freq(struct call *c)
{
    struct record r;
    if (object_read(c, &r))
        reply_error(c, "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                       "Please note that when switching between policies at runtime LRU and LFU "
                       "data will take some time to adjust.");
}
