/* CLIENT: what it shows of sessions and does to them, as Redis 7.0 does. LIST, KILL and PAUSE run
 * with all shards held, so they may walk all fronts. */
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "base/number.h"
#include "command/admin.h"
#include "command/handlers.h"
#include "command/session_private.h"

#define USER_NAME    "default"          /* there is no other user */
#define PAUSE_MS_MAX (INT64_MAX / 2000) /* 146 million years; longer is as long */

void cmd_client_id(struct call *c)
{
    reply_int(c, (int64_t)c->session->id);
}

void cmd_client_getname(struct call *c)
{
    if (c->session->name == NULL)
        reply_null(c);
    else
        reply_text(c, c->session->name);
}

void cmd_client_setname(struct call *c)
{
    if (session_set_name(c, call_arg(c, 2)))
        reply_ok(c);
}

void cmd_client_setinfo(struct call *c)
{
    struct slice value = call_arg(c, 3);
    bool lib_name = call_arg_is(c, 2, "lib-name");
    if (!lib_name && !call_arg_is(c, 2, "lib-ver")) {
        reply_error(c, "ERR Unrecognized option '%.*s'", (int)call_arg(c, 2).len,
                    (const char *)call_arg(c, 2).data);
        return;
    }
    const char *what = lib_name ? "lib-name" : "lib-ver";
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '!' || value.data[i] > '~') {
            reply_error(c, "ERR %s cannot contain spaces, newlines or special characters.", what);
            return;
        }
    }
    if (value.len > CLIENT_NAME_BYTES_MAX) {
        reply_error(c, "ERR %s cannot be longer than %d bytes", what, CLIENT_NAME_BYTES_MAX);
        return;
    }
    char **field = lib_name ? &c->session->lib_name : &c->session->lib_version;
    free(*field);
    *field = NULL;
    if (value.len > 0) {
        *field = mem_alloc(value.len + 1);
        memcpy(*field, value.data, value.len);
        (*field)[value.len] = '\0';
    }
    reply_ok(c);
}

/* --- CLIENT LIST, CLIENT INFO --- */

static void append_flags(struct buffer *out, const struct session *s)
{
    size_t before = out->len;
    if (s->multi != NULL)
        buffer_append_str(out, "x");
    if (watch_broken(s, s->shard->now_ms))
        buffer_append_str(out, "d");
    if (s->wait == WAIT_PENDING || s->wait == WAIT_PAUSE)
        buffer_append_str(out, "b");
    if (s->closing)
        buffer_append_str(out, "c");
    if (s->no_evict)
        buffer_append_str(out, "e");
    if (s->no_touch)
        buffer_append_str(out, "T");
    if (out->len == before)
        buffer_append_str(out, "N");
}

static unsigned chunk_count(const struct reply *reply)
{
    unsigned count = 0;
    for (const struct reply_chunk *chunk = reply->head; chunk != NULL; chunk = chunk->next)
        count++;
    return count;
}

static void append_session(struct call *c, struct buffer *out, const struct session *s)
{
    uint64_t now_us = front_now_us(c->front);
    const struct command *cmd = s == c->session ? c->command : s->last_command;
    size_t queued = s->resp.in.len - s->resp.pos;
    buffer_printf(out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=",
                  (unsigned long long)s->id, s->peer, s->local, s->fd,
                  s->name == NULL ? "" : s->name,
                  (unsigned long long)((now_us - s->created_us) / 1000000),
                  (unsigned long long)((now_us - s->active_us) / 1000000));
    append_flags(out, s);
    buffer_printf(out,
                  " db=%u sub=0 psub=0 ssub=0 multi=%d qbuf=%zu qbuf-free=%zu argv-mem=0 "
                  "multi-mem=%llu rbs=%u rbp=%u obl=0 oll=%u omem=%llu tot-mem=%llu events=r "
                  "cmd=%s user=" USER_NAME " redir=-1 resp=%u lib-name=%s lib-ver=%s\n",
                  s->db, multi_count(s), queued, s->resp.in.cap - s->resp.in.len,
                  (unsigned long long)multi_bytes(s), REPLY_CHUNK_BYTES, REPLY_CHUNK_BYTES,
                  chunk_count(&s->reply), (unsigned long long)s->reply.memory_bytes,
                  (unsigned long long)(sizeof(*s) + s->reply.memory_bytes + multi_bytes(s) +
                                       resp_memory(&s->resp)),
                  cmd == NULL ? "NULL" : cmd->name, s->reply.version,
                  s->lib_name == NULL ? "" : s->lib_name,
                  s->lib_version == NULL ? "" : s->lib_version);
}

/* Calls `visit` with each session of the node in order of shards and ids. */
static void each_session(struct call *c, void (*visit)(struct session *s, void *ctx), void *ctx)
{
    for (unsigned i = 0; i < c->node->shards; i++) {
        struct front *f = call_front(c, i);
        if (f == NULL)
            continue;
        list_foreach_safe (node, spare, &f->sessions)
            visit(list_entry(node, struct session, link), ctx);
    }
}

void cmd_client_info(struct call *c)
{
    struct buffer *out = call_scratch(c);
    append_session(c, out, c->session);
    reply_verbatim(c, buffer_slice(out));
}

struct listing {
    struct call *c;
    struct buffer *out;
    uint64_t id; /* 0: all */
};

static void list_visit(struct session *s, void *ctx)
{
    struct listing *l = ctx;
    if (l->id == 0 || l->id == s->id)
        append_session(l->c, l->out, s);
}

/* Whether our sessions are of the type named; all are normal ones. Replies the error. */
static bool parse_type(struct call *c, int arg, bool *ret_normal)
{
    static const char *const others[] = {"slave", "replica", "pubsub", "master"};
    bool known = call_arg_is(c, arg, "normal");
    bool normal = known;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        known = known || call_arg_is(c, arg, others[i]);
    if (!known) {
        reply_error(c, "ERR Unknown client type '%.*s'", (int)call_arg(c, arg).len,
                    (const char *)call_arg(c, arg).data);
        return false;
    }
    *ret_normal = normal;
    return true;
}

static void list_ids(struct call *c, struct listing *l)
{
    for (int i = 3; i < c->argc; i++) {
        int64_t id;
        if (number_parse_i64(call_arg(c, i), &id) < 0) {
            reply_error(c, "ERR Invalid client ID");
            return;
        }
        l->id = id > 0 ? (uint64_t)id : UINT64_MAX;
        each_session(c, list_visit, l);
    }
    reply_verbatim(c, buffer_slice(l->out));
}

void cmd_client_list(struct call *c)
{
    struct listing l = {.c = c, .out = call_scratch(c)};
    bool normal = true;
    if (c->argc > 3 && call_arg_is(c, 2, "id")) {
        list_ids(c, &l);
        return;
    }
    if (c->argc == 4 && call_arg_is(c, 2, "type")) {
        if (!parse_type(c, 3, &normal))
            return;
    } else if (c->argc != 2) {
        reply_syntax_error(c);
        return;
    }
    if (normal)
        each_session(c, list_visit, &l);
    reply_verbatim(c, buffer_slice(l.out));
}

/* --- CLIENT KILL --- */

struct killing {
    const struct session *self;
    uint64_t id;              /* 0: any */
    struct slice peer, local; /* data NULL: any */
    bool nobody;              /* a type that no session has */
    bool skip_me;
    unsigned killed;
};

static void kill_visit(struct session *s, void *ctx)
{
    struct killing *k = ctx;
    if (k->nobody || s->killed || (k->id != 0 && k->id != s->id) ||
        (k->peer.data != NULL && !slice_equal(k->peer, slice_str(s->peer))) ||
        (k->local.data != NULL && !slice_equal(k->local, slice_str(s->local))) ||
        (k->skip_me && s == k->self))
        return;
    k->killed++;
    if (s == k->self)
        s->closing = true; /* after its reply */
    else
        session_kill(s);
}

/* One pair of options; false: the error was replied. */
static bool kill_option(struct call *c, int i, struct killing *k)
{
    int64_t id;
    bool normal;
    if (call_arg_is(c, i, "id")) {
        if (!call_arg_range(c, i + 1, 1, INT64_MAX, "ERR client-id should be greater than 0", &id))
            return false;
        k->id = (uint64_t)id;
    } else if (call_arg_is(c, i, "type")) {
        if (!parse_type(c, i + 1, &normal))
            return false;
        k->nobody = k->nobody || !normal;
    } else if (call_arg_is(c, i, "addr")) {
        k->peer = call_arg(c, i + 1);
    } else if (call_arg_is(c, i, "laddr")) {
        k->local = call_arg(c, i + 1);
    } else if (call_arg_is(c, i, "user")) {
        if (!slice_equal(call_arg(c, i + 1), slice_str(USER_NAME))) {
            reply_error(c, "ERR No such user '%.*s'", (int)call_arg(c, i + 1).len,
                        (const char *)call_arg(c, i + 1).data);
            return false;
        }
    } else if (call_arg_is(c, i, "skipme") && call_arg_is(c, i + 1, "yes")) {
        k->skip_me = true;
    } else if (call_arg_is(c, i, "skipme") && call_arg_is(c, i + 1, "no")) {
        k->skip_me = false;
    } else {
        reply_syntax_error(c);
        return false;
    }
    return true;
}

void cmd_client_kill(struct call *c)
{
    struct killing k = {.self = c->session, .skip_me = true};
    if (c->argc == 3) { /* the old form: by address, this connection too */
        k.peer = call_arg(c, 2);
        k.skip_me = false;
        each_session(c, kill_visit, &k);
        if (k.killed == 0)
            reply_error(c, "ERR No such client");
        else
            reply_ok(c);
        return;
    }
    for (int i = 2; i < c->argc; i += 2) {
        if (i + 1 == c->argc) {
            reply_syntax_error(c);
            return;
        }
        if (!kill_option(c, i, &k))
            return;
    }
    each_session(c, kill_visit, &k);
    reply_int(c, k.killed);
}

/* --- CLIENT PAUSE --- */

void cmd_client_pause(struct call *c)
{
    bool all = true;
    if (c->argc > 4) {
        reply_subcommand_error(c);
        return;
    }
    if (c->argc == 4 && !call_arg_is(c, 3, "all")) {
        if (!call_arg_is(c, 3, "write")) {
            reply_error(c, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
        all = false;
    }
    int64_t ms;
    if (number_parse_i64(call_arg(c, 2), &ms) < 0) {
        reply_error(c, "ERR timeout is not an integer or out of range");
        return;
    }
    if (ms < 0) {
        reply_error(c, "ERR timeout is negative");
        return;
    }
    if (ms > PAUSE_MS_MAX)
        ms = PAUSE_MS_MAX;
    uint64_t until_us = front_now_us(c->front) + (uint64_t)ms * 1000;
    for (unsigned i = 0; i < c->node->shards; i++)
        if (call_front(c, i) != NULL)
            front_pause(call_front(c, i), until_us, all);
    reply_ok(c);
}

void cmd_client_unpause(struct call *c)
{
    for (unsigned i = 0; i < c->node->shards; i++)
        if (call_front(c, i) != NULL)
            front_unpause(call_front(c, i));
    reply_ok(c);
}

/* --- switches of the connection --- */

void cmd_client_reply(struct call *c)
{
    struct session *s = c->session;
    if (call_arg_is(c, 2, "on")) {
        s->reply_mode = REPLIES_ON;
        s->reply.muted = false;
        reply_ok(c);
    } else if (call_arg_is(c, 2, "off")) {
        s->reply_mode = REPLIES_OFF;
        s->reply.muted = true;
    } else if (call_arg_is(c, 2, "skip")) {
        if (s->reply_mode != REPLIES_OFF)
            s->reply_mode = REPLIES_SKIP_NEXT;
    } else {
        reply_syntax_error(c);
    }
}

/* ON or OFF in argv[2]; else replies the error. */
static bool parse_switch(struct call *c, bool *ret_on)
{
    bool on = call_arg_is(c, 2, "on");
    if (!on && !call_arg_is(c, 2, "off")) {
        reply_syntax_error(c);
        return false;
    }
    *ret_on = on;
    return true;
}

void cmd_client_no_evict(struct call *c)
{
    if (parse_switch(c, &c->session->no_evict))
        reply_ok(c);
}

void cmd_client_no_touch(struct call *c)
{
    if (parse_switch(c, &c->session->no_touch))
        reply_ok(c);
}

void cmd_client_unblock(struct call *c)
{
    if (c->argc > 4) {
        reply_subcommand_error(c);
        return;
    }
    if (c->argc == 4 && !call_arg_is(c, 3, "timeout") && !call_arg_is(c, 3, "error")) {
        reply_error(c, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    int64_t id;
    if (call_arg_i64(c, 2, &id))
        reply_int(c, 0); /* no command of Torc's blocks until something happens */
}

/* --- client side caching: there is none --- */

void cmd_client_tracking(struct call *c)
{
    bool on;
    if (!parse_switch(c, &on))
        return;
    if (on)
        reply_error(c, "ERR CLIENT TRACKING is not supported: Torc sends no invalidations");
    else
        reply_ok(c);
}

void cmd_client_trackinginfo(struct call *c)
{
    reply_map(c, 3);
    reply_text(c, "flags");
    reply_set(c, 1);
    reply_text(c, "off");
    reply_text(c, "redirect");
    reply_int(c, -1);
    reply_text(c, "prefixes");
    reply_array(c, 0);
}

void cmd_client_getredir(struct call *c)
{
    reply_int(c, -1);
}

void cmd_client_caching(struct call *c)
{
    reply_error(c, "ERR CLIENT CACHING can be called only when the client is in tracking mode with "
                   "OPTIN or OPTOUT mode enabled");
}

void cmd_client_help(struct call *c)
{
    reply_help(c);
}
