/* MULTI, EXEC, DISCARD, WATCH.
 *
 * Queued commands are copies. EXEC is one command with the keys of all that are queued: they are
 * all resident, and all their shards held, before the first is executed; then nothing can fail half
 * way, and what they write is one log record.
 *
 * Inside a transaction SELECT, SWAPDB and FLUSHDB change what later keys mean, so the keys are
 * worked out with a copy of the keyspace map that follows them. A keyspace emptied by the
 * transaction itself has nothing in the cold tier, so its keys are not fetched.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/number.h"
#include "command/dump.h"
#include "command/handlers.h"
#include "command/session_private.h"
#include "store/engine.h"

#define QUEUED_COMMANDS_MAX (1u << 20)
#define COUNT_ROUNDS_MAX    16 /* how often keys are counted for one EXEC */

struct queued {
    const struct command *command;
    struct slice *argv; /* one block with the bytes */
    int argc;
};

struct multi {
    struct queued *queue;
    int count, cap;
    uint64_t bytes;
    bool spoiled, writes, all;
    struct call_key *keys;      /* of all, for EXEC */
    uint32_t counted[NODE_DBS]; /* keyspaces that DBSIZE is asked about, for EXEC */
    unsigned counted_count, count_rounds;
    int key_count, key_cap;
};

int multi_count(const struct session *s)
{
    return s->multi != NULL ? s->multi->count : -1;
}

uint64_t multi_bytes(const struct session *s)
{
    return s->multi != NULL ? s->multi->bytes : 0;
}

bool multi_writes(const struct session *s)
{
    return s->multi != NULL && s->multi->writes;
}

/* --- the queue --- */

void multi_spoil(struct session *s)
{
    if (s->multi != NULL)
        s->multi->spoiled = true;
}

void multi_discard(struct session *s)
{
    watch_clear(s);
    struct multi *m = s->multi;
    if (m == NULL)
        return;
    s->multi = NULL;
    for (int i = 0; i < m->count; i++)
        free(m->queue[i].argv);
    free(m->queue);
    free(m->keys);
    free(m);
}

static struct slice *argv_copy(const struct slice *argv, int argc)
{
    size_t bytes = (size_t)argc * sizeof(*argv);
    for (int i = 0; i < argc; i++)
        bytes += argv[i].len;
    struct slice *copy = mem_alloc(bytes);
    uint8_t *to = (uint8_t *)(copy + argc);
    for (int i = 0; i < argc; i++) {
        if (argv[i].len > 0)
            memcpy(to, argv[i].data, argv[i].len);
        copy[i] = slice_make(to, argv[i].len);
        to += argv[i].len;
    }
    return copy;
}

void multi_queue(struct session *s, struct call *c)
{
    struct multi *m = s->multi;
    uint64_t bytes = sizeof(struct queued);
    for (int i = 0; i < c->argc; i++)
        bytes += c->argv[i].len + sizeof(struct slice);
    if (m->bytes + bytes > (uint64_t)s->front->settings->multi_bytes_max ||
        m->count == QUEUED_COMMANDS_MAX) {
        m->spoiled = true;
        reply_error(c, "ERR the transaction is larger than multi-bytes-max allows");
        return;
    }
    if (m->count == m->cap) {
        m->cap = m->cap == 0 ? 8 : m->cap * 2;
        m->queue = mem_realloc(m->queue, (size_t)m->cap * sizeof(*m->queue));
    }
    m->queue[m->count++] = (struct queued){c->command, argv_copy(c->argv, c->argc), c->argc};
    m->bytes += bytes;
    m->writes |= (c->command->flags & (CMD_WRITE | CMD_KEYSPACES)) != 0;
    m->all |= (c->command->flags & CMD_ALL) != 0 || c->command->handler == cmd_dbsize;
    reply_status(c, "QUEUED");
}

/* --- keys of all --- */

struct spaces { /* what the commands queued so far make of the keyspace map */
    uint32_t id[NODE_DBS];
    bool fresh[NODE_DBS]; /* emptied by the transaction */
    unsigned db;
};

static void multi_key_add(struct multi *m, const struct call *c, const struct spaces *at,
                          unsigned db, struct slice bytes)
{
    if (m->key_count == m->key_cap) {
        m->key_cap = m->key_cap == 0 ? 32 : m->key_cap * 2;
        m->keys = mem_realloc(m->keys, (size_t)m->key_cap * sizeof(*m->keys));
    }
    m->keys[m->key_count++] = (struct call_key){
        .key = key_make(bytes, at->id[db], c->node->partitions, c->node->hash_seed),
        .arg = at->fresh[db] ? -1 : 0,
    };
}

static unsigned db_argument(const struct queued *q, int i, unsigned otherwise)
{
    int64_t db;
    bool valid = i < q->argc && number_parse_i64(q->argv[i], &db) == 0 && db >= 0 && db < NODE_DBS;
    return valid ? (unsigned)db : otherwise;
}

static void spaces_follow(struct spaces *at, const struct queued *q)
{
    if (q->command->handler == cmd_select) {
        at->db = db_argument(q, 1, at->db);
    } else if (q->command->handler == cmd_flushdb) {
        at->fresh[at->db] = true;
    } else if (q->command->handler == cmd_flushall) {
        for (unsigned i = 0; i < NODE_DBS; i++)
            at->fresh[i] = true;
    } else if (q->command->handler == cmd_swapdb) {
        unsigned a = db_argument(q, 1, 0), b = db_argument(q, 2, a);
        uint32_t id = at->id[a];
        bool fresh = at->fresh[a];
        at->id[a] = at->id[b];
        at->fresh[a] = at->fresh[b];
        at->id[b] = id;
        at->fresh[b] = fresh;
    }
}

/* The key of COPY and MOVE that is in another database. */
static void other_db_key(struct multi *m, const struct call *c, const struct spaces *at,
                         const struct queued *q)
{
    bool copy = q->command->handler == cmd_copy;
    for (int i = copy ? 3 : 2; i < q->argc; i++) {
        unsigned db = db_argument(q, i, NODE_DBS);
        if (db < NODE_DBS)
            multi_key_add(m, c, at, db, q->argv[copy ? 2 : 1]);
    }
}

static void multi_count_add(struct multi *m, const struct spaces *at)
{
    if (at->fresh[at->db])
        return; /* counted from its first key on */
    for (unsigned i = 0; i < m->counted_count; i++)
        if (m->counted[i] == at->id[at->db])
            return;
    m->counted[m->counted_count++] = at->id[at->db];
}

struct watched_keys {
    struct multi *multi;
    const struct call *call;
    const struct spaces *spaces;
};

static void watched_key_add(void *ctx, unsigned db, struct slice bytes)
{
    struct watched_keys *w = ctx;
    multi_key_add(w->multi, w->call, w->spaces, db, bytes);
}

void multi_keys(struct session *s, struct call *c, bool *ret_all)
{
    struct multi *m = s->multi;
    struct spaces at = {.db = s->db};
    for (unsigned i = 0; i < NODE_DBS; i++)
        at.id[i] = node_keyspace(c->node, i);
    m->key_count = 0;
    m->counted_count = 0;
    watch_keys(s, watched_key_add, &(struct watched_keys){m, c, &at});
    for (int i = 0; i < m->key_count; i++)
        m->keys[i].arg = -1; /* their shards are needed, their values are not */
    for (int i = 0; i < m->count && !m->spoiled; i++) {
        const struct queued *q = &m->queue[i];
        int last = command_last_key(q->command, q->argc);
        for (int k = q->command->first; k > 0 && k <= last; k += q->command->step)
            multi_key_add(m, c, &at, at.db, q->argv[k]);
        if (q->command->handler == cmd_dbsize)
            multi_count_add(m, &at);
        if (q->command->flags & CMD_OTHER_DB)
            other_db_key(m, c, &at, q);
        spaces_follow(&at, q);
    }
    c->keys = m->keys;
    c->key_count = m->key_count;
    *ret_all = m->all;
}

/* --- WATCH --- */

void cmd_watch(struct call *c)
{
    if (c->session->multi != NULL) {
        reply_error(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    if (!watches_fit(c)) {
        reply_error(c, "ERR too many keys are watched, or of more than multi-bytes-max bytes");
        return;
    }
    for (int i = 1; i < c->argc; i++) {
        struct record r;
        if (call_read_any(c, call_key(c, i), &r) == ST_COLD)
            return;
    }
    for (int i = 1; i < c->argc; i++)
        watch_add(c, i);
    reply_ok(c);
}

void cmd_unwatch(struct call *c)
{
    watch_clear(c->session);
    reply_ok(c);
}

/* --- MULTI, DISCARD, EXEC --- */

void cmd_multi(struct call *c)
{
    if (c->session->multi != NULL) {
        reply_error(c, "ERR MULTI calls can not be nested");
        return;
    }
    c->session->multi = mem_zalloc(sizeof(struct multi));
    reply_ok(c);
}

void cmd_discard(struct call *c)
{
    if (c->session->multi == NULL) {
        reply_error(c, "ERR DISCARD without MULTI");
        return;
    }
    multi_discard(c->session);
    reply_ok(c);
}

/* All keys are resident, but those of keyspaces that the transaction itself empties.
 * *ret_longest: the longest of their values. */
static bool all_resident(struct call *c, uint64_t *ret_longest)
{
    uint64_t longest = 0;
    for (int i = 0; i < c->key_count; i++) {
        struct record r;
        if (c->keys[i].arg < 0)
            continue;
        int st = call_read_any(c, &c->keys[i].key, &r);
        if (st == ST_COLD)
            return false;
        if (st == 0 && r.value.len > longest)
            longest = r.value.len;
    }
    *ret_longest = longest;
    return true;
}

/* The numbers that DBSIZE will say are known on all shards, or were asked for often enough: others
 * may be writing, and make them unknown again before the shards are held. */
static bool all_counted(struct call *c, struct multi *m)
{
    for (unsigned i = 0; i < m->counted_count * c->node->shards; i++) {
        struct engine *e = node_shard(c->node, i % c->node->shards)->engine;
        uint64_t keys, expiring;
        c->count_keyspace = m->counted[i / c->node->shards];
        if (engine_count_known(e, c->count_keyspace, &keys, &expiring) == 0)
            continue;
        if (m->count_rounds == COUNT_ROUNDS_MAX)
            return true;
        m->count_rounds++;
        c->status = ST_AGAIN;
        return false;
    }
    return true;
}

/* How far, in bytes, the offsets reach that a command names; those out of range do nothing. */
static uint64_t offset_reach(const struct queued *q, uint64_t values_max)
{
    bool field = q->command->handler == cmd_bitfield;
    bool bits = field || q->command->handler == cmd_setbit;
    if (!bits && q->command->handler != cmd_setrange)
        return 0;
    uint64_t reach = 0;
    for (int i = 2; i < q->argc && (field || i == 2); i++) {
        struct slice text = q->argv[i];
        bool counted = field && text.len > 0 && text.data[0] == '#'; /* fields of up to 64 bits */
        int64_t offset;
        if (number_parse_i64(slice_make(text.data + counted, text.len - counted), &offset) < 0 ||
            offset < 0 || (uint64_t)offset >> (bits ? 3 : 0) > values_max)
            continue;
        uint64_t bytes = (uint64_t)offset * (counted ? 64 : 1) >> (bits ? 3 : 0);
        reach = bytes > reach ? bytes : reach;
    }
    return reach < values_max ? reach : values_max;
}

static bool is_counter(const struct queued *q)
{
    void (*handler)(struct call *) = q->command->handler;
    return handler == cmd_incr || handler == cmd_decr || handler == cmd_incrby ||
           handler == cmd_decrby;
}

/* No value longer than this comes out of a command's arguments alone. */
static uint64_t made_bytes_max(const struct queued *q, uint64_t values_max)
{
    if (q->command->handler != cmd_restore)
        return offset_reach(q, values_max);
    uint64_t bytes = dump_value_bytes_max(q->argv[3]);
    return bytes < values_max ? bytes : values_max;
}

/* No more than this is written: what writes blindly writes its arguments, what reads may write the
 * longest value there can be by then. */
static uint64_t written_bytes_bound(const struct call *c, const struct multi *m, uint64_t longest)
{
    uint64_t values_max = call_value_bytes_max(c), total = 0;
    for (int i = 0; i < m->count && total <= ATOMIC_BYTES_MAX; i++) {
        const struct queued *q = &m->queue[i];
        if (!(q->command->flags & CMD_WRITE))
            continue;
        uint64_t arguments = 0;
        for (int a = 1; a < q->argc; a++)
            arguments += q->argv[a].len;
        total += arguments + ((uint64_t)q->argc + 1) * SHARD_WRITE_BYTES;
        if (is_counter(q)) /* an integer, whatever there was */
            continue;
        uint64_t made = made_bytes_max(q, values_max);
        longest = (made > longest ? made : longest) + arguments;
        if (longest > values_max)
            longest = values_max;
        if (q->command->handler == cmd_incrbyfloat)
            total += NUMBER_FLOAT_TEXT_MAX;
        else if (!(q->command->flags & CMD_BLIND) || q->argc != 3)
            total += longest;
    }
    return total;
}

static void exec_one(struct call *c, const struct queued *q)
{
    struct session *s = c->session;
    struct front *f = c->front;
    int first, count;
    f->key_count = 0;
    dispatch_keys(f, q->command, q->argv, q->argc, s->db, &first, &count);
    struct call sub = *c;
    sub.command = q->command;
    sub.argv = q->argv;
    sub.argc = q->argc;
    sub.db = s->db;
    sub.keys = count > 0 ? f->keys + first : NULL;
    sub.key_count = count;
    sub.in_exec = true;
    sub.errors = 0;
    bool spaces = (q->command->flags & CMD_KEYSPACES) != 0;
    if (spaces) /* the map has log records of its own */
        shard_atomic_end(c->shard);
    timing_run(&sub);
    if (spaces)
        shard_atomic_begin(c->shard);
    if (sub.gate > c->gate)
        c->gate = sub.gate;
    f->stats[q->command->id].calls++;
    f->stats[q->command->id].failed += sub.errors > 0;
}

void cmd_exec(struct call *c)
{
    struct session *s = c->session;
    struct multi *m = s->multi;
    if (m == NULL) {
        reply_error(c, "ERR EXEC without MULTI");
        return;
    }
    if (m->spoiled) {
        multi_discard(s);
        reply_error(c, "EXECABORT Transaction discarded because of previous errors.");
        return;
    }
    uint64_t longest;
    if (!all_resident(c, &longest) || !all_counted(c, m))
        return;
    if (watch_broken(s, c->now_ms)) {
        multi_discard(s);
        reply_null_array(c);
        return;
    }
    uint64_t written_max = written_bytes_bound(c, m, longest);
    if (written_max > ATOMIC_BYTES_MAX) {
        multi_discard(s);
        reply_error(c, "EXECABORT Transaction discarded because it may write more than %u MiB",
                    ATOMIC_MEBIBYTES_MAX);
        return;
    }
    if (m->writes && !shard_has_room(c->shard, written_max)) {
        metrics_add(&c->node->metrics[c->shard->id].writes_refused_diskfull, 1);
        multi_discard(s);
        reply_error(c, "EXECABORT Transaction discarded because of: %s", DISKFULL_TEXT);
        return;
    }
    metrics_add(&c->node->metrics[c->shard->id].transactions, 1);
    watch_clear(s);
    s->multi = NULL; /* commands look at it */
    reply_array(c, (uint64_t)m->count);
    shard_atomic_begin(c->shard);
    for (int i = 0; i < m->count; i++)
        exec_one(c, &m->queue[i]);
    timing_end(c->front);
    shard_atomic_end(c->shard);
    c->front->keys_of = NULL;
    s->multi = m;
    multi_discard(s);
}
