/* EXPIRE, TTL and their kin, as Redis 7.0 answers them. */
#include "command/expiry.h"

#include "base/status.h"
#include "command/call.h"
#include "command/handlers.h"

static bool is_seconds(enum expiry_unit unit)
{
    return unit == EXPIRY_S || unit == EXPIRY_AT_S;
}

static bool is_relative(enum expiry_unit unit)
{
    return unit == EXPIRY_S || unit == EXPIRY_MS;
}

static bool reply_bad_time(struct call *c)
{
    reply_error(c, "ERR invalid expire time in '%s' command", call_name(c));
    return false;
}

/* Unix milliseconds, possibly negative; false when they don't fit. */
static bool to_unix_ms(struct call *c, int64_t time, enum expiry_unit unit, int64_t *ret_ms)
{
    if (is_seconds(unit) && __builtin_mul_overflow(time, 1000, &time))
        return false;
    if (is_relative(unit) && __builtin_add_overflow(time, (int64_t)c->now_ms, &time))
        return false;
    *ret_ms = time;
    return true;
}

bool expiry_parse(struct call *c, int arg, enum expiry_unit unit, uint64_t *ret_expire_ms)
{
    int64_t time;
    if (!call_arg_i64(c, arg, &time))
        return false;
    if (time <= 0 || !to_unix_ms(c, time, unit, &time))
        return reply_bad_time(c);
    *ret_expire_ms = (uint64_t)time;
    return true;
}

enum expire_flags { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

static bool expire_flags_parse(struct call *c, unsigned *ret_flags)
{
    unsigned flags = 0;
    for (int i = 3; i < c->argc; i++) {
        if (call_arg_is(c, i, "NX"))
            flags |= EXPIRE_NX;
        else if (call_arg_is(c, i, "XX"))
            flags |= EXPIRE_XX;
        else if (call_arg_is(c, i, "GT"))
            flags |= EXPIRE_GT;
        else if (call_arg_is(c, i, "LT"))
            flags |= EXPIRE_LT;
        else {
            struct slice arg = call_arg(c, i);
            reply_error(c, "ERR Unsupported option %.*s", (int)arg.len, (const char *)arg.data);
            return false;
        }
    }
    if (flags & EXPIRE_NX && flags & ~(unsigned)EXPIRE_NX) {
        reply_error(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (flags & EXPIRE_GT && flags & EXPIRE_LT) {
        reply_error(c, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    *ret_flags = flags;
    return true;
}

/* Whether the flags let a key that expires at `current` (0: never) get the time `when`. */
static bool expire_allowed(unsigned flags, uint64_t current, int64_t when)
{
    bool has = current != 0;
    if (flags & EXPIRE_NX && has)
        return false;
    if (flags & EXPIRE_XX && !has)
        return false;
    if (flags & EXPIRE_GT && (!has || when <= (int64_t)current))
        return false;
    if (flags & EXPIRE_LT && has && when >= (int64_t)current)
        return false;
    return true;
}

static void expire_generic(struct call *c, enum expiry_unit unit)
{
    unsigned flags;
    int64_t when;
    if (!expire_flags_parse(c, &flags) || !call_arg_i64(c, 2, &when))
        return;
    if (!to_unix_ms(c, when, unit, &when)) {
        reply_bad_time(c);
        return;
    }
    struct record r;
    int st = call_read(c, call_key(c, 1), &r);
    if (st == ST_COLD)
        return;
    uint64_t current = st == 0 ? record_expiry(&r) : 0;
    if (st < 0 || !expire_allowed(flags, current, when)) {
        reply_int(c, 0);
        return;
    }
    if (!call_has_room(c, r.value.len))
        return;
    if (when <= (int64_t)c->now_ms)
        call_delete(c, call_key(c, 1));
    else
        call_put(c, call_key(c, 1), r.value, (uint64_t)when);
    reply_int(c, 1);
}

void cmd_expire(struct call *c)
{
    expire_generic(c, EXPIRY_S);
}

void cmd_pexpire(struct call *c)
{
    expire_generic(c, EXPIRY_MS);
}

void cmd_expireat(struct call *c)
{
    expire_generic(c, EXPIRY_AT_S);
}

void cmd_pexpireat(struct call *c)
{
    expire_generic(c, EXPIRY_AT_MS);
}

/* -2: no key, -1: no expiry; else the time, relative or not, in the unit. */
static void ttl_generic(struct call *c, enum expiry_unit unit)
{
    struct record r;
    int st = call_read(c, call_key(c, 1), &r);
    if (st == ST_COLD)
        return;
    if (st < 0 || !(r.flags & RECORD_EXPIRES)) {
        reply_int(c, st < 0 ? -2 : -1);
        return;
    }
    uint64_t time_ms = is_relative(unit) ? r.expire_ms - c->now_ms : r.expire_ms;
    reply_int(c, (int64_t)(is_seconds(unit) ? (time_ms + 500) / 1000 : time_ms));
}

void cmd_ttl(struct call *c)
{
    ttl_generic(c, EXPIRY_S);
}

void cmd_pttl(struct call *c)
{
    ttl_generic(c, EXPIRY_MS);
}

void cmd_expiretime(struct call *c)
{
    ttl_generic(c, EXPIRY_AT_S);
}

void cmd_pexpiretime(struct call *c)
{
    ttl_generic(c, EXPIRY_AT_MS);
}

void cmd_persist(struct call *c)
{
    struct record r;
    int st = call_read(c, call_key(c, 1), &r);
    if (st == ST_COLD)
        return;
    bool had = st == 0 && r.flags & RECORD_EXPIRES;
    if (had && !call_has_room(c, r.value.len))
        return;
    if (had)
        call_put(c, call_key(c, 1), r.value, 0);
    reply_int(c, had);
}
