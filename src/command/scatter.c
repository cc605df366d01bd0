/* Commands that end later: scans and counts over all shards, and whatever else suspends a call.
 *
 * A scan runs on each shard's own thread; when all parts are back on the home shard they are merged
 * by key, `then` gets the rows, and the parts go back to be freed where they were made. When the
 * client goes away meanwhile, the scatter is an orphan and only frees itself. */
#include <stdlib.h>

#include "base/mem.h"
#include "command/session_private.h"

struct scatter;

struct scatter_part {
    struct env_task task;
    struct scatter *scatter;
    unsigned shard;
    bool started;
    int st;
    uint64_t next; /* row to merge */
    uint64_t lsn;  /* what another shard found is in the log below it */
    union {
        struct engine_scan scan;
        struct engine_count count;
    };
};

struct scatter {
    struct call *call; /* NULL: the client is gone */
    struct shard *home;
    call_scan_fn *then_scan; /* or */
    call_count_fn *then_count;
    struct call_scan what;
    struct slice start, end; /* own copies */
    uint32_t keyspace;
    uint64_t now_ms;
    unsigned part_count, left;
    bool starting;
    struct scatter_part parts[];
};

static struct shard *part_shard(const struct scatter_part *part)
{
    return node_shard(part->scatter->home->node, part->shard);
}

static void send(struct scatter_part *part, struct shard *from, unsigned to,
                 void (*run)(struct env_task *task, struct shard *on))
{
    part->task.run = run;
    if (from->id == to)
        run(&part->task, from);
    else
        from->env->ops->post(from->env, to, &part->task, true);
}

/* --- freeing --- */

static void on_freed(struct env_task *task, struct shard *on)
{
    struct scatter *sc = container_of(task, struct scatter_part, task)->scatter;
    if (--sc->left > 0)
        return;
    free((void *)sc->start.data);
    free((void *)sc->end.data);
    free(sc);
}

static void part_free(struct env_task *task, struct shard *on)
{
    struct scatter_part *part = container_of(task, struct scatter_part, task);
    if (part->started && part->scatter->then_scan != NULL)
        engine_scan_free(&part->scan);
    send(part, on, part->scatter->home->id, on_freed);
}

static void scatter_free(struct scatter *sc)
{
    unsigned count = sc->part_count;
    sc->left = count;
    for (unsigned i = 0; i < count; i++) /* the last one may free it */
        send(&sc->parts[i], sc->home, sc->parts[i].shard, part_free);
}

/* --- results --- */

static bool row_before(const struct scatter *sc, const struct engine_row *a,
                       const struct engine_row *b)
{
    int order = slice_compare(a->key, b->key);
    return sc->what.reverse ? order > 0 : order < 0;
}

static struct scatter_part *next_part(struct scatter *sc)
{
    struct scatter_part *best = NULL;
    for (unsigned i = 0; i < sc->part_count; i++) {
        struct scatter_part *p = &sc->parts[i];
        if (p->next < p->scan.row_count &&
            (best == NULL || row_before(sc, &p->scan.rows[p->next], &best->scan.rows[best->next])))
            best = p;
    }
    return best;
}

static void finish_scan(struct scatter *sc, int st)
{
    struct call_rows result = {0};
    struct engine_row *merged = NULL;
    if (st == 0 && sc->part_count == 1) {
        result.rows = sc->parts[0].scan.rows;
        result.count = sc->parts[0].scan.row_count;
        result.more = sc->parts[0].scan.more;
    } else if (st == 0) {
        uint64_t total = 0;
        for (unsigned i = 0; i < sc->part_count; i++) {
            total += sc->parts[i].scan.row_count;
            result.more |= sc->parts[i].scan.more;
        }
        result.count = total < sc->what.limit_rows ? total : sc->what.limit_rows;
        result.more |= total > result.count;
        merged = mem_alloc((result.count + 1) * sizeof(*merged));
        for (uint64_t i = 0; i < result.count; i++) {
            struct scatter_part *p = next_part(sc);
            merged[i] = p->scan.rows[p->next++];
        }
        result.rows = merged;
    }
    sc->then_scan(sc->call, st, &result);
    free(merged);
}

static void finish_count(struct scatter *sc, int st)
{
    uint64_t keys = 0, expiring = 0;
    for (unsigned i = 0; i < sc->part_count && st == 0; i++) {
        keys += sc->parts[i].count.keys;
        expiring += sc->parts[i].count.keys_expiring;
    }
    sc->then_count(sc->call, st, keys, expiring);
}

static void scatter_finish(struct scatter *sc)
{
    struct call *c = sc->call;
    if (c == NULL) {
        scatter_free(sc);
        return;
    }
    bool was_suspended = c->suspended;
    int st = 0;
    for (unsigned i = 0; i < sc->part_count; i++)
        st = sc->parts[i].st < 0 ? sc->parts[i].st : st;
    c->suspended = false;
    c->pending->impl = NULL;
    if (!node_loading(c->node))
        c->gate = c->shard->turn; /* rows may show what this turn wrote */
    for (unsigned i = 0; i < sc->part_count; i++)
        shard_await(sc->home, sc->parts[i].lsn);
    sc->then_scan != NULL ? finish_scan(sc, st) : finish_count(sc, st);
    scatter_free(sc);
    if (was_suspended && !c->suspended)
        dispatch_resumed(c->session);
}

static void part_back(struct env_task *task, struct shard *on)
{
    struct scatter *sc = container_of(task, struct scatter_part, task)->scatter;
    if (--sc->left == 0 && !sc->starting)
        scatter_finish(sc);
}

static void part_done(struct scatter_part *part, int st)
{
    part->st = st;
    if (part_shard(part) != part->scatter->home)
        part->lsn = shard_settle(part_shard(part));
    send(part, part_shard(part), part->scatter->home->id, part_back);
}

static void scan_done(struct engine_scan *scan, int st)
{
    part_done(container_of(scan, struct scatter_part, scan), st);
}

static void count_done(struct engine_count *count, int st)
{
    part_done(container_of(count, struct scatter_part, count), st);
}

/* --- starting --- */

static void part_start(struct env_task *task, struct shard *on)
{
    struct scatter_part *part = container_of(task, struct scatter_part, task);
    const struct scatter *sc = part->scatter;
    part->started = true;
    if (sc->then_scan == NULL) {
        part->count = (struct engine_count){
            .keyspace = sc->keyspace, .now_ms = sc->now_ms, .done = count_done};
        engine_count(on->engine, &part->count);
        return;
    }
    part->scan = (struct engine_scan){
        .keyspace = sc->keyspace,
        .partition = sc->what.partition,
        .start = sc->start,
        .end = sc->end,
        .has_start = sc->what.has_start,
        .has_end = sc->what.has_end,
        .start_exclusive = sc->what.start_exclusive,
        .reverse = sc->what.reverse,
        .keys_only = sc->what.keys_only,
        .limit_rows = sc->what.limit_rows,
        .limit_bytes = sc->what.limit_bytes,
        .now_ms = sc->now_ms,
        .done = scan_done,
    };
    engine_scan(on->engine, &part->scan);
}

static struct slice copy_of(struct slice bytes)
{
    return slice_make(bytes.len > 0 ? mem_dup(bytes.data, bytes.len) : NULL, bytes.len);
}

static struct scatter *scatter_make(struct call *c, int partition)
{
    CHECK(c->pending != NULL);
    unsigned count = partition < 0 ? c->node->shards : 1;
    struct scatter *sc = mem_zalloc(sizeof(*sc) + count * sizeof(sc->parts[0]));
    sc->call = c;
    sc->home = c->shard;
    sc->keyspace = node_keyspace(c->node, c->db);
    sc->now_ms = c->shard->now_ms;
    sc->part_count = sc->left = count;
    for (unsigned i = 0; i < count; i++) {
        sc->parts[i].scatter = sc;
        sc->parts[i].shard = partition < 0 ? i : node_shard_index(c->node, (uint16_t)partition);
    }
    return sc;
}

static void scatter_start(struct scatter *sc, struct call *c)
{
    c->pending->impl = sc;
    sc->starting = true;
    for (unsigned i = 0; i < sc->part_count; i++)
        send(&sc->parts[i], sc->home, sc->parts[i].shard, part_start);
    sc->starting = false;
    if (sc->left == 0)
        scatter_finish(sc);
    else
        c->suspended = true;
}

void call_scan(struct call *c, const struct call_scan *scan, call_scan_fn *then)
{
    struct scatter *sc = scatter_make(c, scan->partition);
    sc->what = *scan;
    sc->start = copy_of(scan->start);
    sc->end = copy_of(scan->end);
    sc->then_scan = then;
    scatter_start(sc, c);
}

void call_count(struct call *c, uint32_t keyspace, call_count_fn *then)
{
    struct scatter *sc = scatter_make(c, -1);
    sc->keyspace = keyspace;
    sc->then_count = then;
    scatter_start(sc, c);
}

/* --- other things that end later --- */

void call_suspend(struct call *c, void (*cancel)(struct call *c))
{
    CHECK(c->pending != NULL);
    c->suspended = true;
    c->pending->cancel = cancel;
}

void call_resume(struct call *c)
{
    CHECK(c->suspended);
    c->suspended = false;
    c->pending->cancel = NULL;
    dispatch_resumed(c->session);
}

void pending_free(struct call_pending *p)
{
    free(p->call.state);
    free(p);
}

void pending_cancel(struct session *s)
{
    struct call_pending *p = s->pending;
    if (p == NULL)
        return;
    s->pending = NULL;
    struct scatter *sc = p->impl;
    if (sc != NULL)
        sc->call = NULL; /* goes on by itself */
    if (p->cancel != NULL)
        p->cancel(&p->call);
    pending_free(p);
}
