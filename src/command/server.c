/* Commands about the server: whole databases, time, snapshots, shutdown, DEBUG. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/number.h"
#include "command/admin.h"
#include "command/handlers.h"
#include "command/session_private.h"

#define DEBUG_SLEEP_S_MAX 3600

/* --- whole databases; all shards are held --- */

/* [ASYNC | SYNC]: the same here, the space is always freed in the background. */
static bool parse_flush(struct call *c)
{
    if (c->argc == 1 || (c->argc == 2 && (call_arg_is(c, 1, "async") || call_arg_is(c, 1, "sync"))))
        return true;
    reply_syntax_error(c);
    return false;
}

void cmd_flushdb(struct call *c)
{
    if (!parse_flush(c))
        return;
    watch_before_change(c, c->db, c->db);
    node_flush_db(c->node, c->shard, c->db);
    c->gate = c->shard->turn;
    reply_ok(c);
}

void cmd_flushall(struct call *c)
{
    if (!parse_flush(c))
        return;
    for (unsigned db = 0; db < NODE_DBS; db++)
        watch_before_change(c, db, db);
    node_flush_all(c->node, c->shard);
    c->gate = c->shard->turn;
    reply_ok(c);
}

static bool parse_db(struct call *c, int arg, const char *error, unsigned *ret_db)
{
    int64_t db;
    if (!call_arg_range(c, arg, INT32_MIN, INT32_MAX, error, &db))
        return false;
    /* A number that is no database is told apart only when both are numbers. */
    *ret_db = db < 0 || db >= (int64_t)call_dbs(c) ? UINT32_MAX : (unsigned)db;
    return true;
}

void cmd_swapdb(struct call *c)
{
    unsigned a, b;
    if (!parse_db(c, 1, "ERR invalid first DB index", &a) ||
        !parse_db(c, 2, "ERR invalid second DB index", &b))
        return;
    if (a == UINT32_MAX || b == UINT32_MAX) {
        reply_error(c, "ERR DB index is out of range");
        return;
    }
    if (a != b) {
        watch_before_change(c, a, b);
        watch_before_change(c, b, a);
        node_swap_db(c->node, c->shard, a, b);
        c->gate = c->shard->turn;
    }
    reply_ok(c);
}

/* --- small answers --- */

void cmd_time(struct call *c)
{
    char text[NUMBER_TEXT_MAX];
    struct env *env = c->shard->env;
    uint64_t now_us = env->ops->now_wall_us != NULL ? env->ops->now_wall_us(env)
                                                    : env->ops->now_wall_ms(env) * 1000;
    reply_array(c, 2);
    reply_bulk(c, slice_make(text, number_format_u64(text, now_us / 1000000)));
    reply_bulk(c, slice_make(text, number_format_u64(text, now_us % 1000000)));
}

/* There are no replicas of Redis' kind: what is to be waited for is done. */
void cmd_wait(struct call *c)
{
    int64_t replicas, timeout_ms;
    if (!call_arg_i64(c, 1, &replicas))
        return;
    if (number_parse_i64(call_arg(c, 2), &timeout_ms) < 0) {
        reply_error(c, "ERR timeout is not an integer or out of range");
        return;
    }
    if (timeout_ms < 0) {
        reply_error(c, "ERR timeout is negative");
        return;
    }
    reply_int(c, 0);
}

void cmd_role(struct call *c)
{
    reply_array(c, 3);
    reply_text(c, "master");
    reply_int(c, 0);
    reply_array(c, 0);
}

void cmd_lolwut(struct call *c)
{
    reply_verbatim(c, slice_str("Torc " TORC_VERSION "\n"));
}

void cmd_lastsave(struct call *c)
{
    reply_int(c, (int64_t)(__atomic_load_n(&c->node->last_save_ms, __ATOMIC_RELAXED) / 1000));
}

void cmd_bgrewriteaof(struct call *c)
{
    reply_status(c, c->in_exec ? "Background append only file rewriting scheduled"
                               : "Background append only file rewriting started");
}

/* --- snapshots --- */

struct save {
    struct node_snapshot snapshot;
    struct front_group *group;
    struct call *c; /* NULL: nobody waits for it */
};

static void save_done(struct node_snapshot *snapshot, int st)
{
    struct save *save = container_of(snapshot, struct save, snapshot);
    struct front_saves *saves = &save->group->saves;
    struct env *env = snapshot->home->env;
    uint64_t now_ms = env->ops->now_wall_ms(env);
    uint64_t started_ms = __atomic_load_n(&saves->started_ms, __ATOMIC_RELAXED);
    __atomic_store_n(&saves->took_ms, now_ms > started_ms ? now_ms - started_ms : 0,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&saves->last_status, st, __ATOMIC_RELAXED);
    __atomic_store_n(&saves->started_ms, 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&saves->done, 1, __ATOMIC_RELAXED);
    struct call *c = save->c;
    free(save);
    if (c == NULL)
        return;
    if (st < 0)
        reply_error(c, "ERR the snapshot failed: %s", status_text(st));
    else
        reply_ok(c);
    call_resume(c);
}

static void save_cancelled(struct call *c)
{
    struct save **save = c->state;
    (*save)->c = NULL;
}

/* Begins a snapshot. waits: the reply comes when it is done. false: the error was replied. */
static bool save_begin(struct call *c, bool waits)
{
    const struct node_hooks *hooks = &c->node->hooks;
    if (!c->node->durable || hooks->snapshot == NULL) {
        reply_error(c,
                    "ERR nothing is kept on disk (persistence no): there is no snapshot to take");
        return false;
    }
    struct save *save = mem_zalloc(sizeof(*save));
    save->snapshot.done = save_done;
    save->snapshot.home = c->shard;
    save->group = c->front->group;
    save->c = waits ? c : NULL;
    struct front_saves *saves = &c->front->group->saves;
    int st = hooks->snapshot(hooks->ctx, &save->snapshot);
    if (st < 0) {
        free(save);
        if (st == ST_AGAIN)
            reply_error(c, "ERR Background save already in progress");
        else
            reply_error(c, "ERR the snapshot failed: %s", status_text(st));
        return false;
    }
    __atomic_store_n(&saves->started_ms, front_wall_ms(c->front), __ATOMIC_RELAXED);
    if (waits) {
        struct save **state = mem_alloc(sizeof(*state));
        *state = save;
        c->state = state;
        call_suspend(c, save_cancelled);
    }
    return true;
}

void cmd_save(struct call *c)
{
    save_begin(c, true);
}

void cmd_bgsave(struct call *c)
{
    if (c->argc > 2 || (c->argc == 2 && !call_arg_is(c, 1, "schedule"))) {
        reply_syntax_error(c);
        return;
    }
    if (save_begin(c, false))
        reply_status(c, c->in_exec ? "Background saving scheduled" : "Background saving started");
}

/* --- SHUTDOWN --- */

void cmd_shutdown(struct call *c)
{
    bool save = false, nosave = false, abort = false, now = false, force = false;
    for (int i = 1; i < c->argc; i++) {
        bool *flag = call_arg_is(c, i, "save")     ? &save
                     : call_arg_is(c, i, "nosave") ? &nosave
                     : call_arg_is(c, i, "abort")  ? &abort
                     : call_arg_is(c, i, "now")    ? &now
                     : call_arg_is(c, i, "force")  ? &force
                                                   : NULL;
        if (flag == NULL) {
            reply_syntax_error(c);
            return;
        }
        *flag = true;
    }
    if ((abort && c->argc > 2) || (save && nosave)) {
        reply_syntax_error(c);
        return;
    }
    if (abort) {
        reply_error(c, "ERR No shutdown in progress.");
        return;
    }
    /* No reply: the connection ends. What was acknowledged is in the log whatever was asked. */
    c->session->closing = true;
    c->shard->env->ops->shutdown(c->shard->env, false);
}

/* --- DEBUG --- */

static bool debug_allowed(struct call *c)
{
    int who = call_settings(c)->enable_debug_command;
    if (who == DEBUG_EVERYBODY || (who == DEBUG_LOCAL && c->session->peer_local))
        return true;
    reply_error(c, "ERR DEBUG command not allowed. If the enable-debug-command option is set to "
                   "\"local\", you can run it from a local connection, otherwise you need to set "
                   "this option in the configuration file, and then restart the server.");
    return false;
}

/* Keeps the shard's thread busy, so that tests see what a stalled shard does. */
static void debug_sleep(struct call *c)
{
    long double seconds;
    if (number_parse_float(call_arg(c, 2), &seconds) < 0)
        seconds = 0; /* as Redis reads what is no number */
    if (seconds > DEBUG_SLEEP_S_MAX)
        seconds = DEBUG_SLEEP_S_MAX;
    uint64_t until_us = front_now_us(c->front) + (uint64_t)(seconds > 0 ? seconds * 1e6L : 0);
    while (front_now_us(c->front) < until_us)
        ;
    reply_ok(c);
}

void cmd_debug(struct call *c)
{
    if (!debug_allowed(c))
        return;
    if (call_arg_is(c, 1, "sleep") && c->argc == 3) {
        debug_sleep(c);
    } else if ((call_arg_is(c, 1, "set-active-expire") && c->argc == 3) ||
               (call_arg_is(c, 1, "jmap") && c->argc == 2)) {
        reply_ok(c);
    } else {
        struct slice sub = call_arg(c, 1);
        reply_error(c,
                    "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG "
                    "HELP.",
                    (int)(sub.len < 128 ? sub.len : 128), (const char *)sub.data);
    }
}
