/* Commands on the connection itself, but CLIENT: client.c, and AUTH: auth.c. */
#include <string.h>

#include "command/auth.h"
#include "command/handlers.h"
#include "command/session_private.h"

void cmd_ping(struct call *c)
{
    if (c->argc > 2)
        reply_arity_error(c);
    else if (c->argc == 2)
        reply_bulk(c, call_arg(c, 1));
    else
        reply_status(c, "PONG");
}

void cmd_echo(struct call *c)
{
    reply_bulk(c, call_arg(c, 1));
}

void cmd_quit(struct call *c)
{
    reply_ok(c);
    c->session->closing = true;
}

void cmd_reset(struct call *c)
{
    session_reset(c->session);
    reply_status(c, "RESET");
}

void cmd_select(struct call *c)
{
    int64_t db;
    if (!call_arg_range(c, 1, INT32_MIN, INT32_MAX, NULL, &db))
        return;
    if (db < 0 || db >= NODE_DBS) {
        reply_error(c, "ERR DB index is out of range");
        return;
    }
    c->session->db = (unsigned)db;
    reply_ok(c);
}

/* --- who are you --- */

static void hello_go_on(struct call *c, int checked);

/* Options up to argument `checked` are done. false: replied, or suspended. */
static bool hello_options(struct call *c, int checked)
{
    for (int i = checked + 1; i < c->argc; i++) {
        int more = c->argc - 1 - i;
        if (call_arg_is(c, i, "AUTH") && more >= 2) {
            i += 2;
            if (auth_try(c, call_arg(c, i - 1), call_arg(c, i), i, hello_go_on) != AUTH_YES)
                return false;
        } else if (call_arg_is(c, i, "SETNAME") && more >= 1) {
            if (!session_set_name(c, call_arg(c, i + 1)))
                return false;
            i++;
        } else {
            reply_error(c, "ERR Syntax error in HELLO option '%.*s'", (int)call_arg(c, i).len,
                        (const char *)call_arg(c, i).data);
            return false;
        }
    }
    return true;
}

static void hello_go_on(struct call *c, int checked)
{
    struct session *s = c->session;
    int64_t version = s->reply.version;
    if (c->argc >= 2) {
        if (!call_arg_range(c, 1, INT64_MIN, INT64_MAX,
                            "ERR Protocol version is not an integer or out of range", &version))
            return;
        if (version < 2 || version > 3) {
            reply_error(c, "NOPROTO unsupported protocol version");
            return;
        }
    }
    if (!hello_options(c, checked))
        return;
    if (session_needs_auth(s)) {
        reply_error(c, "NOAUTH HELLO must be called with the client already authenticated, "
                       "otherwise the HELLO AUTH <user> <pass> option can be used to "
                       "authenticate the client and select the RESP protocol version at the same "
                       "time");
        return;
    }
    s->reply.version = (uint8_t)version;
    reply_map(c, 7);
    reply_text(c, "server");
    reply_text(c, "redis"); /* what clients look for to know which protocol this is */
    reply_text(c, "version");
    reply_text(c, COMMAND_REDIS_VERSION);
    reply_text(c, "proto");
    reply_int(c, version);
    reply_text(c, "id");
    reply_int(c, (int64_t)s->id);
    reply_text(c, "mode");
    reply_text(c, "standalone");
    reply_text(c, "role");
    reply_text(c, "master");
    reply_text(c, "modules");
    reply_array(c, 0);
}

void cmd_hello(struct call *c)
{
    hello_go_on(c, 1);
}
