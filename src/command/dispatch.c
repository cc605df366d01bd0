/* Executing commands: from parsed arguments to replies.
 *
 * Commands are parsed up to BATCH_COMMANDS ahead and their keys prefetched, then executed in order.
 * A command that can't go on parks its session and is executed again from its start: what it
 * replied so far is taken back. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "command/dump.h"
#include "command/handlers.h"
#include "command/session_private.h"

#define KEYS_KEEP               4096 /* front->keys grown beyond this is given back */
#define UNKNOWN_SHOWN_BYTES_MAX 128

static struct shard_metrics *metrics_of(const struct session *s)
{
    return &s->front->node->metrics[s->shard->id];
}

/* --- keys --- */

static struct call_key *keys_add(struct front *f)
{
    if (f->key_count == f->key_cap) {
        f->key_cap = f->key_cap == 0 ? 64 : f->key_cap * 2;
        f->keys = mem_realloc(f->keys, (size_t)f->key_cap * sizeof(*f->keys));
    }
    return &f->keys[f->key_count++];
}

static void keys_clear(struct front *f)
{
    f->key_count = 0;
    f->keys_of = NULL;
    if (unlikely(f->key_cap > KEYS_KEEP)) {
        free(f->keys);
        f->keys = NULL;
        f->key_cap = 0;
    }
}

bool dispatch_keys(struct front *f, const struct command *cmd, const struct slice *argv, int argc,
                   unsigned db, int *ret_first, int *ret_count)
{
    bool fit = true;
    int last = command_last_key(cmd, argc);
    uint64_t longest = (uint64_t)f->settings->key_bytes_max;
    *ret_first = f->key_count;
    for (int i = cmd->first; i > 0 && i <= last; i += cmd->step) {
        struct call_key *k = keys_add(f);
        fit &= argv[i].len <= longest;
        k->key = node_key(f->node, db, argv[i]);
        k->arg = i;
    }
    *ret_count = f->key_count - *ret_first;
    return fit;
}

/* Makes the keys of what is left of the batch and prefetches them in two rounds. */
static void batch_keys(struct session *s)
{
    struct front *f = s->front;
    keys_clear(f);
    f->keys_of = s;
    f->keys_db = s->db;
    f->keys_version = node_keyspaces_version(f->node);
    for (unsigned i = s->batch_at; i < s->batch_len; i++) {
        struct request *q = &s->batch[i];
        q->key_count = 0;
        if (q->command == NULL || q->command->first == 0 ||
            !command_arity_ok(q->command, (int)q->args.argc))
            continue;
        q->keys_fit = dispatch_keys(f, q->command, resp_args(&s->resp, &q->args), (int)q->args.argc,
                                    s->db, &q->key_first, &q->key_count);
    }
    if (f->key_count < 2 || node_loading(f->node))
        return;
    struct engine *engine = f->shard->engine;
    for (int i = 0; i < f->key_count; i++)
        engine_prefetch(engine, f->keys[i].key.hash);
    for (int i = 0; i < f->key_count; i++)
        engine_prefetch_record(engine, f->keys[i].key.hash);
}

static bool batch_keys_valid(const struct session *s)
{
    const struct front *f = s->front;
    return f->keys_of == s && f->keys_db == s->db &&
           f->keys_version == node_keyspaces_version(f->node);
}

/* --- what is refused, queued or made to wait --- */

/* What was gathered for other shards goes, and the command at hand waits for it. */
static bool forward_first(struct session *s)
{
    if (likely(s->forward == NULL))
        return false;
    forward_send(s);
    return true;
}

static void reject(struct session *s, struct call *c, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void reject(struct session *s, struct call *c, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (c->command != NULL && c->command->handler == cmd_exec) {
        multi_discard(s);
        reply_error(c, "EXECABORT Transaction discarded because of: %s",
                    strncmp(text, "ERR ", 4) == 0 ? text + 4 : text);
    } else {
        multi_spoil(s);
        reply_error(c, "%s", text);
    }
    if (c->command != NULL)
        s->front->stats[c->command->id].rejected++;
}

static void reject_unknown(struct session *s, struct call *c)
{
    struct slice name = c->argv[0];
    const struct command *container = command_find(name);
    if (container != NULL) {
        char upper[32];
        size_t len = 0;
        for (; container->name[len] != '\0'; len++)
            upper[len] = (char)(container->name[len] & ~0x20);
        upper[len] = '\0';
        reject(s, c, "ERR unknown subcommand '%.*s'. Try %s HELP.",
               (int)(c->argv[1].len < UNKNOWN_SHOWN_BYTES_MAX ? c->argv[1].len
                                                              : UNKNOWN_SHOWN_BYTES_MAX),
               (const char *)c->argv[1].data, upper);
        return;
    }
    char shown[2 * UNKNOWN_SHOWN_BYTES_MAX + 8];
    size_t len = 0;
    for (int i = 1; i < c->argc && len < UNKNOWN_SHOWN_BYTES_MAX; i++) {
        size_t room = UNKNOWN_SHOWN_BYTES_MAX - len;
        int take = (int)(c->argv[i].len < room ? c->argv[i].len : room);
        len += (size_t)snprintf(shown + len, sizeof(shown) - len, "'%.*s' ", take,
                                (const char *)c->argv[i].data);
    }
    shown[len] = '\0';
    reject(s, c, "ERR unknown command '%.*s', with args beginning with: %s%s",
           (int)(name.len < UNKNOWN_SHOWN_BYTES_MAX ? name.len : UNKNOWN_SHOWN_BYTES_MAX),
           (const char *)name.data, shown,
           command_is_foreign(name) ? "(Torc stores strings: it has no lists, hashes, sets, "
                                      "sorted sets, streams, channels or scripts)"
                                    : "");
}

/* A browser was tricked into talking to this port: what follows would be executed. */
static bool is_http(const struct slice *argv)
{
    return (argv[0].len == 4 && strncasecmp((const char *)argv[0].data, "post", 4) == 0) ||
           (argv[0].len == 5 && strncasecmp((const char *)argv[0].data, "host:", 5) == 0);
}

static bool is_paused(const struct session *s, const struct command *cmd)
{
    const struct front *f = s->front;
    if (f->pause_until_us == 0 || (cmd->flags & CMD_ANY_PAUSE) != 0)
        return false;
    if (f->pause_all)
        return true;
    if (cmd->handler == cmd_exec)
        return multi_writes(s);
    return (cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE | CMD_KEYSPACES)) != 0 && s->multi == NULL;
}

enum verdict { VERDICT_RUN, VERDICT_DONE, VERDICT_PARKED };

static enum verdict judge(struct session *s, struct request *q, struct call *c)
{
    const struct command *cmd = q->command;
    if (cmd == NULL) {
        if (is_http(c->argv)) {
            session_kill(s);
            return VERDICT_DONE;
        }
        reject_unknown(s, c);
        return VERDICT_DONE;
    }
    if (!command_arity_ok(cmd, c->argc) || cmd->handler == NULL) {
        reject(s, c, "ERR wrong number of arguments for '%s' command", cmd->name);
        return VERDICT_DONE;
    }
    if (!(cmd->flags & CMD_NO_AUTH) && session_needs_auth(s)) {
        reject(s, c, "NOAUTH Authentication required.");
        return VERDICT_DONE;
    }
    if (s->multi != NULL && (cmd->flags & CMD_NO_MULTI)) {
        reject(s, c, "ERR Command not allowed inside a transaction");
        return VERDICT_DONE;
    }
    /* The tables are another thread's meanwhile: no command looks up a key, whatever its row says.
     */
    if (node_loading(s->front->node) && (!(cmd->flags & CMD_LOADING) || c->key_count > 0)) {
        reject(s, c, "LOADING Torc is loading the dataset in memory");
        return VERDICT_DONE;
    }
    if (is_paused(s, cmd)) {
        if (forward_first(s))
            return VERDICT_PARKED;
        session_park(s, WAIT_PAUSE);
        list_push_back(&s->front->paused, &s->wait_link);
        return VERDICT_PARKED;
    }
    return VERDICT_RUN;
}

/* Lengths of keys and values: refused before anything is done, also when queued. */
static bool lengths_allowed(struct session *s, const struct request *q, struct call *c)
{
    const struct command *cmd = q->command;
    if (unlikely(q->key_count > 0 && !q->keys_fit)) {
        reject(s, c, "ERR key is longer than key-bytes-max (%lld bytes)",
               (long long)s->front->settings->key_bytes_max);
        return false;
    }
    if (!(cmd->flags & CMD_WRITE))
        return true;
    uint64_t longest = (uint64_t)s->front->settings->value_bytes_max;
    if (cmd->handler == cmd_restore)
        longest += DUMP_OVERHEAD_BYTES_MAX; /* the value inside is looked at when it is unpacked */
    for (int i = 1; i < c->argc; i++) {
        if (unlikely(c->argv[i].len > longest)) {
            reject(s, c, "ERR value is longer than value-bytes-max (%lld bytes)",
                   (long long)s->front->settings->value_bytes_max);
            return false;
        }
    }
    return true;
}

/* --- what is written to the shards that the session holds, else to the call's own --- */

static bool is_held(const struct call *c, unsigned shard)
{
    const struct session *s = c->session;
    return unlikely(s != NULL && s->holding) && (s->hold.mask >> shard & 1);
}

static int may_write(const struct call *c, uint64_t bytes)
{
    int st = shard_may_write(c->shard, bytes);
    for (unsigned i = 0; st == 0 && i < c->node->shards; i++)
        if (is_held(c, i)) /* what is written to it goes to the log from here */
            st = shard_pressure_status(node_shard(c->node, i));
    return st;
}

static unsigned pressure_of(const struct call *c)
{
    unsigned pressure = engine_pressure(c->shard->engine);
    for (unsigned i = 0; i < c->node->shards; i++) {
        unsigned other = is_held(c, i) ? engine_pressure(node_shard(c->node, i)->engine) : 0;
        pressure = other > pressure ? other : pressure;
    }
    return pressure;
}

const char *dispatch_write_refusal(struct call *c, uint64_t bytes, bool waited,
                                   uint64_t *ret_wait_us)
{
    struct shard_metrics *metrics = &c->node->metrics[c->shard->id];
    *ret_wait_us = 0;
    bytes += (uint64_t)c->argc * SHARD_WRITE_BYTES;
    if (bytes > ATOMIC_BYTES_MAX && c->command->handler != cmd_exec) /* looks at its size itself */
        return "ERR the command writes more than " TEXT_OF(ATOMIC_MEBIBYTES_MAX) " MiB at once";
    switch (may_write(c, bytes)) {
    case 0:
        break;
    case ST_NOSPACE:
        metrics_add(&metrics->writes_refused_diskfull, 1);
        return DISKFULL_TEXT;
    case ST_NOMEM:
        if (!(c->command->flags & CMD_DENYOOM) && c->command->handler != cmd_exec)
            return NULL;
        return "OOM command not allowed when used memory > 'maxmemory'.";
    case ST_AGAIN:
        metrics_add(&metrics->writes_slowed, 1);
        *ret_wait_us = WRITE_RETRY_US;
        return NULL;
    default:
        return "MISCONF flushing to the cold tier fails, see the log: writes stop, reads go on; "
               "what was acknowledged is in the commit log. Mend the disk and restart";
    }
    uint64_t pressure = pressure_of(c);
    if (unlikely(pressure > 0) && !waited) {
        /* The closer to the hard limit, the longer a writer waits, so that the flush keeps up. */
        metrics_add(&metrics->writes_slowed, 1);
        *ret_wait_us =
            1 + pressure * pressure * WRITE_DELAY_US_MAX / (PRESSURE_FULL * PRESSURE_FULL);
    }
    return NULL;
}

/* Room for the arguments, answered or parked without. Asked again when the shards are held. Who
 * writes more than its arguments asks for the rest: call_has_room(), cmd_exec(). */
static enum verdict admit_write(struct session *s, struct call *c)
{
    uint64_t bytes = 0, wait_us;
    for (int i = 1; i < c->argc; i++)
        bytes += c->argv[i].len;
    bool exec = c->command->handler == cmd_exec;
    if (exec)
        bytes = multi_bytes(s);
    const char *refusal = dispatch_write_refusal(c, bytes, s->write_slowed, &wait_us);
    if (unlikely(refusal != NULL)) {
        if (exec)
            multi_discard(s);
        reject(s, c, "%s", refusal);
        return VERDICT_DONE;
    }
    if (likely(wait_us == 0))
        return VERDICT_RUN;
    if (forward_first(s))
        return VERDICT_PARKED;
    s->write_slowed = true;
    session_delay(s, wait_us);
    return VERDICT_PARKED;
}

/* --- which shards --- */

/* The shards other than home that the command needs; 0: none. */
static uint64_t shards_needed(const struct session *s, const struct call *c, bool all)
{
    const struct node *node = s->front->node;
    if (likely(node->shards == 1) || node_loading(node))
        return 0;
    uint64_t mask = 0;
    if (all)
        mask = node->shards == 64 ? UINT64_MAX : (UINT64_C(1) << node->shards) - 1;
    for (int i = 0; i < c->key_count; i++)
        mask |= UINT64_C(1) << node_shard_index(node, c->keys[i].key.partition);
    return mask & ~(UINT64_C(1) << s->shard->id);
}

static void on_hold(struct shard_hold *hold)
{
    struct session *s = container_of(hold, struct session, hold);
    if (s->dead) {
        shard_release(hold);
        session_destroy(s);
        return;
    }
    s->holding = true;
    if (s->acquiring)
        return; /* at once: the caller goes on */
    s->wait = WAIT_NONE;
    metrics_sub(&metrics_of(s)->blocked_clients, 1);
    dispatch_held(s);
}

/* false: parked until the shards are there. */
static bool hold_shards(struct session *s, uint64_t others)
{
    s->hold = (struct shard_hold){.ready = on_hold};
    list_node_init(&s->hold.link);
    metrics_add(&metrics_of(s)->shard_holds, 1);
    session_park(s, WAIT_HOLD);
    s->acquiring = true;
    shard_acquire(s->shard, &s->hold, others | UINT64_C(1) << s->shard->id);
    s->acquiring = false;
    if (!s->holding)
        return false;
    s->wait = WAIT_NONE;
    metrics_sub(&metrics_of(s)->blocked_clients, 1);
    return true;
}

static void hold_end(struct session *s)
{
    if (!s->holding)
        return;
    s->holding = false;
    shard_release(&s->hold);
}

/* --- execution --- */

static void call_begin(struct session *s, const struct request *q, struct call *c)
{
    struct front *f = s->front;
    *c = (struct call){
        .command = q->command,
        .argv = resp_args(&s->resp, &q->args),
        .argc = (int)q->args.argc,
        .db = s->db,
        .now_ms = node_loading(f->node) ? 0 : s->shard->now_ms,
        .node = f->node,
        .shard = s->shard,
        .front = f,
        .session = s,
        .reply = likely(s->forward == NULL) ? &s->reply : forward_home_reply(s),
        .client_id = s->id,
        .keys = q->key_count > 0 ? f->keys + q->key_first : NULL,
        .key_count = q->key_count,
    };
}

/* The command is over: gate, statistics, reply mode. */
static void call_finish(struct session *s, struct call *c, uint64_t output_start)
{
    if (unlikely(s->forward != NULL))
        forward_home_done(s, c);
    else if (c->gate != 0)
        session_gate_add(s, output_start, c->gate);
    if (c->command != NULL) {
        struct command_stats *stats = &s->front->stats[c->command->id];
        stats->calls++;
        stats->failed += c->errors > 0;
        s->last_command = c->command;
    }
    s->write_slowed = false;
    s->fetch_error = 0;
    s->fetch_rounds = 0;
    metrics_add(&metrics_of(s)->commands_processed, 1);
    if (unlikely(s->reply_mode == REPLIES_SKIP))
        s->reply_mode = REPLIES_ON;
    else if (unlikely(s->reply_mode == REPLIES_SKIP_NEXT))
        s->reply_mode = REPLIES_SKIP;
    s->reply.muted = s->reply_mode == REPLIES_OFF || s->reply_mode == REPLIES_SKIP;
}

void dispatch_call(struct call *c)
{
    const struct command *cmd = c->command;
    bool atomic = (cmd->flags & CMD_WRITE) && (c->key_count > 1 || (cmd->flags & CMD_ATOMIC));
    if (atomic)
        shard_atomic_begin(c->shard);
    timing_run(c);
    if (atomic)
        shard_atomic_end(c->shard);
}

/* A command that may end later keeps its call on the heap. false: it does. */
static bool run_pending(struct session *s, const struct call *c, uint64_t output_start)
{
    struct call_pending *p = mem_zalloc(sizeof(*p));
    p->call = *c;
    p->call.pending = p;
    p->session = s;
    p->output_start = output_start;
    s->pending = p;
    dispatch_call(&p->call);
    if (p->call.suspended) {
        session_park(s, WAIT_PENDING);
        return false;
    }
    s->pending = NULL;
    call_finish(s, &p->call, output_start);
    pending_free(p);
    return true;
}

static void on_counted(struct call *c, int st, uint64_t keys, uint64_t expiring)
{
    /* Whether it is known now, the command will see. */
}

/* Has the keys counted that the command asks about, before it runs again. */
static void count_first(struct session *s, const struct call *c)
{
    struct call_pending *p = mem_zalloc(sizeof(*p));
    p->call = *c;
    p->call.pending = p;
    p->session = s;
    p->again = true;
    p->output_start = s->reply.written;
    s->pending = p;
    p->call.status = 0;
    call_count(&p->call, c->count_keyspace, on_counted);
    if (p->call.suspended) {
        session_park(s, WAIT_PENDING);
        return;
    }
    s->pending = NULL;
    pending_free(p);
}

void dispatch_resumed(struct session *s)
{
    struct call_pending *p = s->pending;
    s->pending = NULL;
    if (p->again) {
        pending_free(p);
        session_wake(s);
        return;
    }
    call_finish(s, &p->call, p->output_start);
    pending_free(p);
    s->batch_at++;
    session_wake(s);
}

static void on_fetched(void *owner, int error)
{
    struct session *s = owner;
    s->fetch = NULL;
    if (error < 0)
        s->fetch_error = error;
    session_wake(s);
}

/* Runs the handler with the shards at hand. false: parked. */
static bool run(struct session *s, struct call *c)
{
    uint64_t output_start = s->reply.written;
    if (unlikely(s->fetch_error < 0)) {
        reply_error(c, "ERR reading from disk failed: %s", status_text(s->fetch_error));
        call_finish(s, c, output_start);
        return true;
    }
    if (c->command->flags & CMD_ASYNC) {
        return run_pending(s, c, output_start);
    }
    struct reply_mark mark = reply_mark(c->reply);
    dispatch_call(c);
    if (unlikely(c->status == ST_COLD)) {
        reply_truncate(c->reply, mark);
        if (++s->fetch_rounds > FETCH_ROUNDS_MAX) {
            reply_error(c, FETCH_ROUNDS_TEXT);
            call_finish(s, c, output_start);
            return true;
        }
        if (forward_first(s))
            return false;
        metrics_add(&metrics_of(s)->cold_waits, 1);
        session_park(s, WAIT_FETCH);
        fetch_begin(c, on_fetched, s, &s->fetch);
        return false;
    }
    if (unlikely(c->status == ST_AGAIN)) {
        reply_truncate(c->reply, mark);
        if (!forward_first(s))
            count_first(s, c);
        return false;
    }
    call_finish(s, c, output_start);
    return true;
}

/* With several shards: what to do with a command that may be executed. */
static enum verdict route(struct session *s, struct call *c)
{
    if (s->holding || node_loading(s->front->node))
        return VERDICT_RUN;
    if (!forward_able(s, c)) {
        return forward_first(s) ? VERDICT_PARKED : VERDICT_RUN;
    }
    if (node_shard_index(s->front->node, c->keys[0].key.partition) == s->shard->id)
        return VERDICT_RUN;
    forward_add(s, c);
    return VERDICT_DONE;
}

/* Executes the command. false: parked, to be executed again. */
static bool execute(struct session *s, struct request *q)
{
    struct call c;
    call_begin(s, q, &c);
    if (unlikely(c.argc == 0))
        return true;
    uint64_t output_start = s->reply.written;
    const struct command *cmd = q->command;
    if (cmd == NULL || !command_arity_ok(cmd, c.argc) || cmd->handler == NULL ||
        !s->authenticated || s->multi != NULL || s->front->pause_until_us != 0 ||
        node_loading(s->front->node)) {
        enum verdict verdict = judge(s, q, &c);
        if (verdict == VERDICT_DONE)
            call_finish(s, &c, output_start);
        if (verdict != VERDICT_RUN)
            return verdict == VERDICT_DONE;
    }
    if (!lengths_allowed(s, q, &c)) {
        call_finish(s, &c, output_start);
        return true;
    }
    if (unlikely(s->front->node->shards > 1)) {
        enum verdict verdict = route(s, &c);
        if (verdict != VERDICT_RUN)
            return verdict == VERDICT_DONE;
    }
    bool all = (cmd->flags & CMD_ALL) != 0;
    if (unlikely(s->multi != NULL)) {
        if (!(cmd->flags & CMD_IN_MULTI)) {
            multi_queue(s, &c);
            s->last_command = cmd;
            c.command = NULL; /* counted when it is executed */
            call_finish(s, &c, output_start);
            return true;
        }
        if (cmd->handler == cmd_exec)
            multi_keys(s, &c, &all);
    }
    if ((cmd->flags & CMD_WRITE) || (cmd->handler == cmd_exec && multi_writes(s))) {
        enum verdict verdict = admit_write(s, &c);
        if (verdict == VERDICT_DONE)
            call_finish(s, &c, output_start);
        if (verdict != VERDICT_RUN)
            return verdict == VERDICT_DONE;
    }
    uint64_t others = shards_needed(s, &c, all);
    if (unlikely(others != 0) && !s->holding && !hold_shards(s, others))
        return false;
    bool done = run(s, &c);
    if (s->holding)
        timing_end(s->front);
    hold_end(s); /* last: the home shard may be another's from here on */
    return done;
}

void dispatch_held(struct session *s)
{
    batch_keys(s);
    s->running = true;
    if (execute(s, &s->batch[s->batch_at]))
        s->batch_at++;
    s->running = false;
    s->front->keys_of = NULL;
    hold_end(s); /* when it was not executed */
    if (s->wait == WAIT_NONE)
        s->ops->wake(s->host);
}

/* --- the loop --- */

static void take_batch(struct session *s, int64_t commands_max)
{
    s->batch_at = s->batch_len = 0;
    resp_release(&s->resp);
    while (s->batch_len < BATCH_COMMANDS && s->batch_len < commands_max) {
        struct request *q = &s->batch[s->batch_len];
        enum resp_result result = resp_next(&s->resp, &q->args);
        if (result == RESP_MORE)
            break;
        if (result == RESP_ERROR) {
            s->protocol_error = true;
            break;
        }
        const struct slice *argv = resp_args(&s->resp, &q->args);
        q->command = q->args.argc > 0 ? command_resolve(argv, (int)q->args.argc) : NULL;
        q->key_first = q->key_count = 0;
        s->batch_len++;
    }
    s->front->keys_of = NULL;
}

/* Nothing more to execute: what now? */
static enum session_state input_needed(struct session *s)
{
    if (s->forward != NULL)
        return SESSION_IDLE; /* what it says now comes after those */
    if (s->protocol_error) {
        const char *text = resp_error(&s->resp);
        metrics_add(&metrics_of(s)->protocol_errors, 1);
        reply_write_error(&s->reply, slice_str(text));
        s->closing = true;
    }
    if (s->ended)
        s->closing = true;
    return s->closing ? SESSION_CLOSING : SESSION_IDLE;
}

static bool output_exceeded(struct session *s, uint64_t pause_bytes)
{
    uint64_t pending = reply_pending(&s->reply);
    if (unlikely(s->forward != NULL))
        pending += forward_home_pending(s);
    if (likely(pending < pause_bytes && !s->reply.exceeded))
        return false;
    uint64_t hard = (uint64_t)s->front->settings->output_limits.of[CLIENT_NORMAL].hard_bytes;
    if ((hard > 0 && pending > hard) || s->reply.exceeded) {
        metrics_add(&metrics_of(s)->output_limit_disconnections, 1);
        session_kill(s);
    }
    return true;
}

static enum session_state run_commands(struct session *s)
{
    struct front *f = s->front;
    f->settings = __atomic_load_n(&f->node->settings, __ATOMIC_ACQUIRE);
    uint64_t pause_bytes = OUTPUT_PAUSE_BYTES;
    uint64_t hard = (uint64_t)f->settings->output_limits.of[CLIENT_NORMAL].hard_bytes;
    if (hard > 0 && hard < pause_bytes)
        pause_bytes = hard;
    s->reply.pending_max = hard;
    for (int64_t budget = f->settings->pipelined_commands_max; budget > 0;) {
        if (s->batch_at == s->batch_len) {
            timing_end(f);
            take_batch(s, budget);
            if (s->batch_len == 0)
                return input_needed(s);
        }
        while (s->batch_at < s->batch_len && budget > 0) {
            if (unlikely(output_exceeded(s, pause_bytes)))
                return s->closing ? SESSION_CLOSING : SESSION_OUTPUT_FULL;
            if (unlikely(!batch_keys_valid(s)))
                batch_keys(s);
            if (unlikely(!execute(s, &s->batch[s->batch_at])))
                return s->wait == WAIT_NONE ? SESSION_MORE : SESSION_BLOCKED;
            s->batch_at++;
            budget--;
            if (unlikely(s->reply.exceeded))
                output_exceeded(s, pause_bytes);
            if (unlikely(s->closing))
                return SESSION_CLOSING;
        }
    }
    return SESSION_MORE;
}

/* A session's share of a turn is pipelined-commands-max commands. Those that went to other shards
 * are waited for before the next share: what is under way is bounded, and the host reads nothing
 * more meanwhile. */
enum session_state dispatch_run(struct session *s)
{
    enum session_state state = run_commands(s);
    timing_end(s->front);
    if (likely(s->forward == NULL) || state == SESSION_BLOCKED || s->killed)
        return state;
    forward_send(s);
    return SESSION_BLOCKED;
}
