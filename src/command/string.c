/* Strings: GET, SET and their kin, as Redis 7.0 answers them. */
#include <limits.h>

#include "base/buffer.h"
#include "base/number.h"
#include "base/status.h"
#include "command/call.h"
#include "command/expiry.h"
#include "command/handlers.h"
#include "node/config.h"

/* --- GET, SET --- */

enum set_flags {
    SET_NX = 1,
    SET_XX = 2,
    SET_KEEPTTL = 4,
    SET_GET = 8,
    SET_PERSIST = 16,
};

struct set_options {
    unsigned flags;
    enum expiry_unit unit;
    int expire_arg; /* index of the time, 0: none */
};

/* Options of SET (for_set) and GETEX from argv[from] on. Replies and returns false on an error. */
static bool set_options_parse(struct call *c, int from, bool for_set, struct set_options *o)
{
    static const struct {
        const char *name;
        enum expiry_unit unit;
    } units[] = {
        {"EX", EXPIRY_S}, {"PX", EXPIRY_MS}, {"EXAT", EXPIRY_AT_S}, {"PXAT", EXPIRY_AT_MS}};
    *o = (struct set_options){0};
    for (int i = from; i < c->argc; i++) {
        bool known = false;
        for (size_t u = 0; u < ARRAY_SIZE(units) && !known; u++) {
            if (!call_arg_is(c, i, units[u].name) || i + 1 >= c->argc)
                continue;
            if (o->flags & (SET_KEEPTTL | SET_PERSIST) ||
                (o->expire_arg != 0 && o->unit != units[u].unit))
                break; /* the same unit again is fine: the last one counts */
            o->unit = units[u].unit;
            o->expire_arg = ++i;
            known = true;
        }
        if (known)
            continue;
        if (for_set && call_arg_is(c, i, "NX") && !(o->flags & SET_XX))
            o->flags |= SET_NX;
        else if (for_set && call_arg_is(c, i, "XX") && !(o->flags & SET_NX))
            o->flags |= SET_XX;
        else if (for_set && call_arg_is(c, i, "GET"))
            o->flags |= SET_GET;
        else if (for_set && call_arg_is(c, i, "KEEPTTL") && o->expire_arg == 0)
            o->flags |= SET_KEEPTTL;
        else if (!for_set && call_arg_is(c, i, "PERSIST") && o->expire_arg == 0)
            o->flags |= SET_PERSIST;
        else
            return reply_syntax_error(c), false;
    }
    return true;
}

void cmd_get(struct call *c)
{
    struct record old;
    int st = call_read(c, call_key(c, 1), &old);
    if (st == ST_COLD)
        return;
    if (st < 0)
        reply_null(c);
    else
        reply_bulk(c, old.value);
}

/* SET and its older spellings, once their arguments are understood. */
static void set_generic(struct call *c, const struct set_options *o, int value_arg)
{
    uint64_t expire_ms = 0;
    if (o->expire_arg != 0 && !expiry_parse(c, o->expire_arg, o->unit, &expire_ms))
        return;
    const struct key *key = call_key(c, 1);
    if (o->flags & (SET_NX | SET_XX | SET_GET | SET_KEEPTTL)) {
        struct record old;
        int st = call_read(c, key, &old);
        if (st == ST_COLD)
            return;
        bool found = st == 0;
        if (o->flags & SET_GET)
            found ? reply_bulk(c, old.value) : reply_null(c);
        if ((o->flags & SET_NX && found) || (o->flags & SET_XX && !found)) {
            if (!(o->flags & SET_GET))
                reply_null(c);
            return;
        }
        if (o->flags & SET_KEEPTTL && found)
            expire_ms = record_expiry(&old);
    }
    call_put(c, key, call_arg(c, value_arg), expire_ms);
    if (!(o->flags & SET_GET))
        reply_ok(c);
}

void cmd_set(struct call *c)
{
    if (c->argc == 3) { /* the common case */
        call_put(c, call_key(c, 1), call_arg(c, 2), 0);
        reply_ok(c);
        return;
    }
    struct set_options o;
    if (set_options_parse(c, 3, true, &o))
        set_generic(c, &o, 2);
}

void cmd_setnx(struct call *c)
{
    struct record old;
    int st = call_read(c, call_key(c, 1), &old);
    if (st == ST_COLD)
        return;
    if (st < 0)
        call_put(c, call_key(c, 1), call_arg(c, 2), 0);
    reply_int(c, st < 0);
}

void cmd_setex(struct call *c)
{
    set_generic(c, &(struct set_options){.unit = EXPIRY_S, .expire_arg = 2}, 3);
}

void cmd_psetex(struct call *c)
{
    set_generic(c, &(struct set_options){.unit = EXPIRY_MS, .expire_arg = 2}, 3);
}

void cmd_getset(struct call *c)
{
    struct record old;
    int st = call_read(c, call_key(c, 1), &old);
    if (st == ST_COLD)
        return;
    st < 0 ? reply_null(c) : reply_bulk(c, old.value);
    call_put(c, call_key(c, 1), call_arg(c, 2), 0);
}

void cmd_getdel(struct call *c)
{
    struct record old;
    int st = call_read(c, call_key(c, 1), &old);
    if (st == ST_COLD)
        return;
    if (st < 0) {
        reply_null(c);
        return;
    }
    reply_bulk(c, old.value);
    call_delete(c, call_key(c, 1));
}

void cmd_getex(struct call *c)
{
    struct set_options o;
    if (!set_options_parse(c, 2, false, &o))
        return;
    struct record old;
    int st = call_read(c, call_key(c, 1), &old);
    if (st == ST_COLD)
        return;
    if (st < 0) {
        reply_null(c);
        return;
    }
    uint64_t expire_ms = 0;
    if (o.expire_arg != 0 && !expiry_parse(c, o.expire_arg, o.unit, &expire_ms))
        return;
    if (!call_has_room(c, old.value.len))
        return;
    reply_bulk(c, old.value);
    if (o.expire_arg != 0 && expire_ms <= c->now_ms)
        call_delete(c, call_key(c, 1));
    else if (o.expire_arg != 0 || (o.flags & SET_PERSIST && record_expiry(&old) != 0))
        call_put(c, call_key(c, 1), old.value, expire_ms);
}

/* --- many keys --- */

void cmd_mget(struct call *c)
{
    for (int i = 1; i < c->argc; i++) {
        struct record r;
        if (call_read(c, call_key(c, i), &r) == ST_COLD)
            return;
    }
    reply_array(c, (size_t)(c->argc - 1));
    for (int i = 1; i < c->argc; i++) {
        struct record r;
        if (call_read(c, call_key(c, i), &r) < 0)
            reply_null(c);
        else
            reply_bulk(c, r.value);
    }
}

static void put_pairs(struct call *c)
{
    for (int i = 1; i < c->argc; i += 2)
        call_put(c, call_key(c, i), call_arg(c, i + 1), 0);
}

void cmd_mset(struct call *c)
{
    if (c->argc % 2 == 0) {
        reply_arity_error(c);
        return;
    }
    put_pairs(c);
    reply_ok(c);
}

void cmd_msetnx(struct call *c)
{
    if (c->argc % 2 == 0) {
        reply_arity_error(c);
        return;
    }
    bool found = false;
    for (int i = 1; i < c->argc; i += 2) {
        struct record r;
        int st = call_read(c, call_key(c, i), &r);
        if (st == ST_COLD)
            return;
        found |= st == 0;
    }
    if (!found)
        put_pairs(c);
    reply_int(c, !found);
}

/* --- parts --- */

/* The value becomes the old one up to `offset` (zero-filled), then `piece`, then the rest. */
static void splice(struct call *c, const struct record *old, uint64_t offset, struct slice piece)
{
    struct slice before = old->value;
    uint64_t end = offset + piece.len;
    uint64_t len = end > before.len ? end : before.len;
    if (!call_has_room(c, len))
        return;
    struct buffer *out = call_scratch(c);
    uint8_t *to = buffer_reserve(out, len);
    if (before.len > 0)
        memcpy(to, before.data, before.len);
    if (offset > before.len)
        memset(to + before.len, 0, offset - before.len);
    if (piece.len > 0)
        memcpy(to + offset, piece.data, piece.len);
    call_put(c, call_key(c, 1), slice_make(to, len), record_expiry(old));
    reply_int(c, (int64_t)len);
}

static bool length_allowed(struct call *c, uint64_t bytes)
{
    if (bytes <= call_value_bytes_max(c))
        return true;
    bool own = bytes <= (uint64_t)call_settings(c)->proto_max_bulk_len; /* Redis would take it */
    reply_error(c, "ERR string exceeds maximum allowed size (%s)",
                own ? "value-bytes-max" : "proto-max-bulk-len");
    return false;
}

void cmd_append(struct call *c)
{
    struct record old = {0};
    if (call_read(c, call_key(c, 1), &old) == ST_COLD)
        return;
    struct slice piece = call_arg(c, 2);
    if (length_allowed(c, old.value.len + piece.len))
        splice(c, &old, old.value.len, piece);
}

void cmd_strlen(struct call *c)
{
    struct record r = {0};
    if (call_read(c, call_key(c, 1), &r) != ST_COLD)
        reply_int(c, (int64_t)r.value.len);
}

void cmd_getrange(struct call *c)
{
    int64_t start, end;
    if (!call_arg_i64(c, 2, &start) || !call_arg_i64(c, 3, &end))
        return;
    struct record r = {0};
    if (call_read(c, call_key(c, 1), &r) == ST_COLD)
        return;
    int64_t len = (int64_t)r.value.len;
    if (start < 0 && end < 0 && start > end)
        end = -1, start = len;
    if (start < 0)
        start = len + start < 0 ? 0 : len + start;
    if (end < 0)
        end = len + end < 0 ? 0 : len + end;
    if (end >= len)
        end = len - 1;
    if (len == 0 || start > end)
        reply_bulk(c, slice_make("", 0));
    else
        reply_bulk(c, slice_make(r.value.data + start, (size_t)(end - start + 1)));
}

void cmd_setrange(struct call *c)
{
    int64_t offset;
    if (!call_arg_i64(c, 2, &offset))
        return;
    if (offset < 0) {
        reply_error(c, "ERR offset is out of range");
        return;
    }
    struct record old = {0};
    if (call_read(c, call_key(c, 1), &old) == ST_COLD)
        return;
    struct slice piece = call_arg(c, 3);
    if (piece.len == 0)
        reply_int(c, (int64_t)old.value.len);
    else if (length_allowed(c, (uint64_t)offset + piece.len))
        splice(c, &old, (uint64_t)offset, piece);
}

/* --- numbers --- */

static void add_integer(struct call *c, int64_t add)
{
    struct record old = {0};
    int st = call_read(c, call_key(c, 1), &old);
    if (st == ST_COLD)
        return;
    int64_t value = 0;
    if (st == 0 && number_parse_i64(old.value, &value) < 0) {
        reply_not_integer(c);
        return;
    }
    if (__builtin_add_overflow(value, add, &value)) {
        reply_error(c, "ERR increment or decrement would overflow");
        return;
    }
    char text[NUMBER_TEXT_MAX];
    size_t len = number_format_i64(text, value);
    call_put(c, call_key(c, 1), slice_make(text, len), record_expiry(&old));
    reply_int(c, value);
}

void cmd_incr(struct call *c)
{
    add_integer(c, 1);
}

void cmd_decr(struct call *c)
{
    add_integer(c, -1);
}

void cmd_incrby(struct call *c)
{
    int64_t add;
    if (call_arg_i64(c, 2, &add))
        add_integer(c, add);
}

void cmd_decrby(struct call *c)
{
    int64_t add;
    if (!call_arg_i64(c, 2, &add))
        return;
    if (add == INT64_MIN)
        reply_error(c, "ERR decrement would overflow");
    else
        add_integer(c, -add);
}

void cmd_incrbyfloat(struct call *c)
{
    struct record old = {0};
    int st = call_read(c, call_key(c, 1), &old);
    if (st == ST_COLD)
        return;
    long double value = 0, add;
    if ((st == 0 && number_parse_float(old.value, &value) < 0) ||
        number_parse_float(call_arg(c, 2), &add) < 0) {
        reply_error(c, "ERR value is not a valid float");
        return;
    }
    value += add;
    if (__builtin_isnan(value) || __builtin_isinf(value)) {
        reply_error(c, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[NUMBER_FLOAT_TEXT_MAX];
    struct slice result = slice_make(text, number_format_float(text, value));
    call_put(c, call_key(c, 1), result, record_expiry(&old));
    reply_bulk(c, result);
}
