#include "support/engine_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "sim/tier.h"
#include "store/engine_private.h"
#include "store/engine_scan.h"
#include "support/work_later.h"

#define KEYS         160
#define PARTITIONS   8
#define SPACES       3 /* SELECT numbers; each has an incarnation's id */
#define WAITS_MAX    16
#define SCANS_MAX    4
#define COUNTS_MAX   4
#define VALUE_MAX    300
#define VALUE_BIG    20000
#define HASH_SEED    77
#define PURGE_LAG_MS 10000

struct value {        /* what a key holds in the model */
    uint64_t version; /* 0: nothing */
    uint64_t expire_ms;
    uint32_t len;
};

struct log_entry {
    uint64_t lsn, index;
    unsigned space_id, key;
    struct value value; /* version of the write; deleted: len is ~0 */
    bool deleted, gone; /* gone: truncated */
    uint64_t version;
};

struct row_check { /* an expected row */
    unsigned key;
    struct value value;
};

struct world;

struct wait_check {
    struct engine_wait wait;
    struct world *w;
    struct key key;
    unsigned space, k;
    uint32_t id;
    bool busy;
};

struct scan_check {
    struct engine_scan scan;
    struct world *w;
    bool busy, armed;
    struct row_check rows[KEYS];
    size_t count;
    bool more;
};

struct count_check {
    struct engine_count count;
    struct world *w;
    bool busy, armed, waited;
    uint64_t live, expiring, live_late; /* late: with expired ones that were not deleted */
};

struct world {
    const struct engine_world_options *o;
    struct engine_world_result *result;
    struct prng prng;
    struct tier_model *model_tier;
    struct tier *tier;
    struct work_later later;
    struct engine *e;
    char names[KEYS][24];
    uint16_t partition[KEYS];
    uint16_t shard, shards;
    uint32_t ids[SPACES], next_id;
    struct value model[SPACES][KEYS];
    struct log_entry *log;
    size_t log_count, log_cap;
    uint64_t lsn, now_ms, version;
    bool failures_on;
    struct wait_check waits[WAITS_MAX];
    struct scan_check scans[SCANS_MAX];
    struct count_check counts[COUNTS_MAX];
};

static void failed(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void failed(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->result->failed)
        return; /* the first one is what matters */
    w->result->failed = true;
    int n = snprintf(w->result->why, sizeof(w->result->why),
                     "seed %llu: ", (unsigned long long)w->o->seed);
    va_start(args, format);
    vsnprintf(w->result->why + n, sizeof(w->result->why) - (size_t)n, format, args);
    va_end(args);
}

static uint64_t below(struct world *w, uint64_t bound)
{
    return prng_below(&w->prng, bound);
}

static struct key key_of(struct world *w, uint32_t id, unsigned k)
{
    struct slice name = slice_str(w->names[k]);
    return (struct key){.bytes = name,
                        .keyspace = id,
                        .partition = w->partition[k],
                        .hash = key_hash(HASH_SEED, id, name)};
}

/* Whether errors of the tier are to be expected. */
static bool tier_fails(const struct world *w)
{
    return w->failures_on || (w->model_tier != NULL && tier_model_crashed(w->model_tier));
}

static bool live(const struct world *w, const struct value *v)
{
    return v->version != 0 && (v->expire_ms == 0 || v->expire_ms > w->now_ms);
}

/* The bytes of a value follow from its version. */
static struct slice value_bytes(const struct value *v, uint8_t *out)
{
    struct prng p = prng_make(v->version);
    prng_fill(&p, out, v->len);
    return slice_make(out, v->len);
}

static bool value_is(const struct value *v, struct slice bytes)
{
    uint8_t expected[VALUE_BIG];
    return slice_equal(value_bytes(v, expected), bytes);
}

/* --- writes --- */

static struct record record_of(const struct log_entry *entry, uint8_t *bytes)
{
    struct record r = {.actor = 1, .counter = entry->index, .stamp = entry->version};
    if (entry->deleted) {
        r.flags = RECORD_TOMBSTONE;
        return r;
    }
    r.value = value_bytes(&entry->value, bytes);
    r.expire_ms = entry->value.expire_ms;
    r.flags = r.expire_ms != 0 ? RECORD_EXPIRES : 0;
    return r;
}

static void apply(struct world *w, const struct log_entry *entry)
{
    uint8_t bytes[VALUE_BIG];
    struct record r = record_of(entry, bytes);
    struct key key = key_of(w, entry->space_id, entry->key);
    struct engine_partition *p = engine_partition(w->e, key.partition);
    p->index = entry->index;
    p->actor = 1;
    p->counter = entry->index;
    engine_put(w->e, &key, &r);
}

static void write_key(struct world *w, unsigned space, unsigned k, bool deleted)
{
    struct log_entry entry = {
        .lsn = w->lsn,
        .index = engine_partition(w->e, w->partition[k])->index + 1,
        .space_id = w->ids[space],
        .key = k,
        .deleted = deleted,
        .version = ++w->version,
    };
    if (!deleted) {
        entry.value = (struct value){
            .version = entry.version,
            .len = (uint32_t)below(w, below(w, 8) == 0 ? VALUE_BIG : VALUE_MAX),
            .expire_ms = below(w, 4) == 0 ? w->now_ms + below(w, 3000) : 0,
        };
    }
    w->lsn += 100;
    if (w->log_count == w->log_cap) {
        w->log_cap = w->log_cap > 0 ? w->log_cap * 2 : 256;
        w->log = mem_realloc(w->log, w->log_cap * sizeof(*w->log));
    }
    w->log[w->log_count++] = entry;
    w->model[space][k] = entry.value;
    apply(w, &entry);
}

/* --- reads --- */

static void check_get(struct world *w, unsigned space, unsigned k, int st,
                      const struct record *record, const char *where)
{
    const struct value *v = &w->model[space][k];
    bool found = st == 0 && record_live(record, w->now_ms);
    if (st != 0 && st != ST_NOTFOUND)
        failed(w, "%s %s: %s", where, w->names[k], status_name(st));
    else if (found != live(w, v))
        failed(w, "%s %s: %s, wanted %s", where, w->names[k], found ? "found" : "not found",
               live(w, v) ? "found" : "not found");
    else if (found && (record->stamp != v->version || !value_is(v, record->value)))
        failed(w, "%s %s: version %llu, wanted %llu", where, w->names[k],
               (unsigned long long)record->stamp, (unsigned long long)v->version);
}

static void waited(struct engine_wait *wait, int st)
{
    struct wait_check *c = container_of(wait, struct wait_check, wait);
    struct world *w = c->w;
    c->busy = false;
    if (st != 0) {
        if (!tier_fails(w))
            failed(w, "fetch: %s", status_name(st));
        return;
    }
    if (c->id != w->ids[c->space])
        return; /* dropped meanwhile: nobody asks */
    struct record record;
    check_get(w, c->space, c->k, engine_get(w->e, &c->key, &record), &record, "fetched");
}

static void get_key(struct world *w, unsigned space, unsigned k)
{
    struct key key = key_of(w, w->ids[space], k);
    struct record record;
    w->result->gets++;
    if (below(w, 2))
        engine_prefetch(w->e, key.hash);
    int st = engine_get(w->e, &key, &record);
    if (st != ST_COLD) {
        check_get(w, space, k, st, &record, "get");
        return;
    }
    for (size_t i = 0; i < WAITS_MAX; i++) {
        struct wait_check *c = &w->waits[i];
        if (c->busy)
            continue;
        *c = (struct wait_check){.wait = {.done = waited},
                                 .w = w,
                                 .key = key,
                                 .space = space,
                                 .k = k,
                                 .id = key.keyspace,
                                 .busy = true};
        w->result->fetches++;
        engine_fetch(w->e, &c->key, &c->wait);
        return;
    }
}

static void cancel_wait(struct world *w)
{
    struct wait_check *c = &w->waits[below(w, WAITS_MAX)];
    if (c->busy)
        engine_fetch_cancel(w->e, &c->wait);
    c->busy = false;
}

/* --- scans --- */

static int by_name(const void *a, const void *b, void *ctx)
{
    struct world *w = ctx;
    return strcmp(w->names[*(const unsigned *)a], w->names[*(const unsigned *)b]);
}

static bool in_range(const struct world *w, const struct engine_scan *s, unsigned k)
{
    struct slice name = slice_str(w->names[k]);
    if (s->partition >= 0 && w->partition[k] != s->partition)
        return false;
    if (s->has_start && slice_compare(name, s->start) < (s->start_exclusive ? 1 : 0))
        return false;
    return !s->has_end || slice_compare(name, s->end) < 0;
}

/* What the scan must find if it looked now. */
static void expect_scan(struct scan_check *c)
{
    struct world *w = c->w;
    unsigned space = 0, order[KEYS];
    while (space < SPACES && w->ids[space] != c->scan.keyspace)
        space++;
    c->count = 0;
    c->more = false;
    for (unsigned k = 0; k < KEYS; k++)
        order[k] = k;
    qsort_r(order, KEYS, sizeof(order[0]), by_name, w);
    for (unsigned i = 0; space < SPACES && i < KEYS; i++) {
        unsigned k = order[c->scan.reverse ? KEYS - 1 - i : i];
        const struct value *v = &w->model[space][k];
        if (!live(w, v) || !in_range(w, &c->scan, k))
            continue;
        if (c->count == c->scan.limit_rows) {
            c->more = true;
            break;
        }
        c->rows[c->count++] = (struct row_check){.key = k, .value = *v};
    }
}

static void compare_scan(struct scan_check *c)
{
    struct world *w = c->w;
    if (c->scan.row_count != c->count) {
        failed(w, "scan: %llu rows, wanted %zu", (unsigned long long)c->scan.row_count, c->count);
        return;
    }
    if (c->scan.more != c->more)
        failed(w, "scan: more is %d", c->scan.more);
    for (size_t i = 0; i < c->count; i++) {
        const struct engine_row *row = &c->scan.rows[i];
        const struct row_check *want = &c->rows[i];
        if (!slice_equal(row->key, slice_str(w->names[want->key])))
            failed(w, "scan: row %zu is not %s", i, w->names[want->key]);
        else if (!c->scan.keys_only && !value_is(&want->value, row->value))
            failed(w, "scan: %s has another value", w->names[want->key]);
        else if (row->expire_ms != want->value.expire_ms)
            failed(w, "scan: %s has another expiry", w->names[want->key]);
    }
}

static void scanned(struct engine_scan *scan, int st)
{
    struct scan_check *c = container_of(scan, struct scan_check, scan);
    c->busy = false;
    if (st == 0)
        compare_scan(c);
    else if (!tier_fails(c->w))
        failed(c->w, "scan: %s", status_name(st));
    engine_scan_free(scan);
}

static void arm_scans(struct world *w)
{
    for (size_t i = 0; i < SCANS_MAX; i++) {
        struct scan_check *c = &w->scans[i];
        struct scan_impl *impl = c->busy ? c->scan.impl : NULL;
        if (impl != NULL && impl->running)
            c->armed = true;
    }
}

static void expect_unarmed(struct world *w);

static void scan_keys(struct world *w, unsigned space)
{
    struct scan_check *c = &w->scans[below(w, SCANS_MAX)];
    if (c->busy) {
        if (below(w, 4) == 0) {
            engine_scan_free(&c->scan);
            c->busy = false;
        }
        return;
    }
    const char *a = w->names[below(w, KEYS)], *b = w->names[below(w, KEYS)];
    bool swap = strcmp(a, b) > 0;
    *c = (struct scan_check){.w = w, .busy = true};
    c->scan = (struct engine_scan){
        .keyspace = w->ids[space],
        .partition = below(w, 2) ? -1 : w->partition[below(w, KEYS)],
        .start = slice_str(swap ? b : a),
        .end = slice_str(swap ? a : b),
        .has_start = below(w, 3) != 0,
        .has_end = below(w, 3) != 0,
        .start_exclusive = below(w, 2),
        .reverse = below(w, 2),
        .keys_only = below(w, 2),
        .limit_rows = 1 + below(w, below(w, 2) ? 10 : 2 * KEYS),
        .limit_bytes = 64 << 20,
        .now_ms = w->now_ms,
        .done = scanned,
    };
    w->result->scans++;
    expect_scan(c);
    engine_scan(w->e, &c->scan);
    arm_scans(w);
}

/* --- counts --- */

static void expect_count(struct count_check *c)
{
    struct world *w = c->w;
    unsigned space = 0;
    while (space < SPACES && w->ids[space] != c->count.keyspace)
        space++;
    c->live = c->expiring = c->live_late = 0;
    for (unsigned k = 0; space < SPACES && k < KEYS; k++) {
        const struct value *v = &w->model[space][k];
        c->live_late += v->version != 0;
        c->live += live(w, v);
        c->expiring += live(w, v) && v->expire_ms != 0;
    }
}

static void counted(struct engine_count *count, int st)
{
    struct count_check *c = container_of(count, struct count_check, count);
    c->busy = false;
    if (st != 0) {
        if (!tier_fails(c->w))
            failed(c->w, "count: %s", status_name(st));
        return;
    }
    uint64_t most = c->waited ? c->live : c->live_late;
    if (count->keys < c->live || count->keys > most)
        failed(c->w, "count: %llu, wanted %llu to %llu", (unsigned long long)count->keys,
               (unsigned long long)c->live, (unsigned long long)most);
    else if (c->waited && count->keys_expiring != c->expiring)
        failed(c->w, "count: %llu expiring, wanted %llu", (unsigned long long)count->keys_expiring,
               (unsigned long long)c->expiring);
}

/* The recount has begun: what it counts is what is now. */
static void arm_counts(struct world *w)
{
    for (size_t i = 0; i < COUNTS_MAX; i++) {
        struct count_check *c = &w->counts[i];
        if (!c->busy || c->armed)
            continue;
        struct engine_keyspace *k = engine_keyspace(w->e, c->count.keyspace);
        c->armed = k->recount != NULL && list_empty(&k->counts);
    }
}

static void count_keys(struct world *w, unsigned space)
{
    struct count_check *c = &w->counts[below(w, COUNTS_MAX)];
    if (c->busy) {
        if (below(w, 4) == 0) {
            engine_count_cancel(w->e, &c->count);
            c->busy = false;
        }
        return;
    }
    *c = (struct count_check){
        .w = w, .busy = true, .count = {.keyspace = w->ids[space], .now_ms = w->now_ms}};
    c->count.done = counted;
    w->result->counts++;
    expect_count(c);
    engine_count(w->e, &c->count);
    c->waited = c->busy;
    w->result->counts_in_background += c->waited;
}

static void expect_unarmed(struct world *w)
{
    for (size_t i = 0; i < SCANS_MAX; i++)
        if (w->scans[i].busy && !w->scans[i].armed)
            expect_scan(&w->scans[i]);
    for (size_t i = 0; i < COUNTS_MAX; i++)
        if (w->counts[i].busy && !w->counts[i].armed)
            expect_count(&w->counts[i]);
}

/* --- the rest of a life --- */

static void random_key(struct world *w, unsigned space)
{
    struct buffer out = {0};
    int st = engine_random(w->e, w->ids[space], prng_u64(&w->prng), w->now_ms, &out);
    bool any = false, ok = false;
    for (unsigned k = 0; k < KEYS; k++) {
        if (!live(w, &w->model[space][k]))
            continue;
        any = true;
        ok |= slice_equal(slice_str(w->names[k]), buffer_slice(&out));
    }
    if (st == 0 && !ok)
        failed(w, "random key is not a live one");
    if (st == ST_NOTFOUND && any)
        failed(w, "random key: none, but there are");
    buffer_free(&out);
}

static void drop_space(struct world *w, unsigned space)
{
    uint32_t old = w->ids[space];
    w->result->drops++;
    for (size_t i = 0; i < SCANS_MAX; i++) /* as nobody reads a dropped keyspace */
        if (w->scans[i].busy && w->scans[i].scan.keyspace == old) {
            engine_scan_free(&w->scans[i].scan);
            w->scans[i].busy = false;
        }
    for (size_t i = 0; i < COUNTS_MAX; i++)
        if (w->counts[i].busy && w->counts[i].count.keyspace == old) {
            engine_count_cancel(w->e, &w->counts[i].count);
            w->counts[i].busy = false;
        }
    __atomic_store_n(&w->ids[space], w->next_id++, __ATOMIC_RELAXED);
    memset(w->model[space], 0, sizeof(w->model[space]));
    engine_drop_keyspace(w->e, old);
}

static void turn(struct world *w)
{
    uint64_t passed_ms = below(w, 4) == 0 ? below(w, 500) : 1;
    __atomic_store_n(&w->now_ms, w->now_ms + passed_ms, __ATOMIC_RELAXED);
    w->lsn += below(w, 50); /* other shards write too */
    expect_unarmed(w);
    engine_turn(w->e, w->lsn, w->now_ms);
    arm_scans(w);
    arm_counts(w);
    for (size_t i = 0; below(w, 8) == 0 && i < w->log_count; i++)
        w->log[i].gone |= w->log[i].lsn < engine_flushed_lsn(w->e);
}

static void work(struct world *w)
{
    struct work_later *l = &w->later;
    if (l->submitted_count > 0 && below(w, 2))
        work_later_run(l, below(w, l->submitted_count));
    if (l->ran_count > 0 && below(w, 2)) {
        expect_unarmed(w); /* a finished flush may let a count begin */
        work_later_finish(l, below(w, l->ran_count));
        arm_counts(w);
    }
}

static void fail_tier(struct world *w)
{
    static const enum tier_model_op OPS[] = {TIER_MODEL_GET, TIER_MODEL_ITER, TIER_MODEL_BULK,
                                             TIER_MODEL_FINISH, TIER_MODEL_DROP};
    enum tier_model_op op = OPS[below(w, ARRAY_SIZE(OPS))];
    bool read = op == TIER_MODEL_GET || op == TIER_MODEL_ITER;
    int st = read || below(w, 10) == 0 ? ST_IO : ST_NOSPACE;
    w->failures_on = true;
    tier_model_fail(w->model_tier, op, st, 1 + (unsigned)below(w, 3));
}

/* RocksDB's threads ask. */
static bool dropped(void *ctx, uint32_t keyspace)
{
    struct world *w = ctx;
    for (unsigned i = 0; i < SPACES; i++)
        if (__atomic_load_n(&w->ids[i], __ATOMIC_RELAXED) == keyspace)
            return false;
    return true;
}

static uint64_t purge_before(void *ctx)
{
    return __atomic_load_n(&((struct world *)ctx)->now_ms, __ATOMIC_RELAXED) - PURGE_LAG_MS;
}

static bool purge_tombstones(void *ctx)
{
    return true;
}

static void open_rocks(struct world *w)
{
    char error[256] = "";
    struct tier_rocks_options options = {.path = w->o->rocks,
                                         .cache_bytes = 1 << 20,
                                         .background_threads = 1,
                                         .create = true,
                                         .policy = {.keyspace_dropped = dropped,
                                                    .purge_before_ms = purge_before,
                                                    .purge_tombstones = purge_tombstones,
                                                    .ctx = w}};
    int st = tier_rocks_open(&options, error, sizeof(error), &w->tier);
    CHECK(st == 0);
}

static void open_engine(struct world *w)
{
    struct engine_options options = {
        .tier = w->tier,
        .work = &w->later.queue,
        .shard = w->shard,
        .shards = w->shards,
        .partitions = PARTITIONS,
        .table_bytes = 64 << 20,
        .cache_bytes = w->o->seed % 3 == 0 ? 64 << 20 : 0,
        .log_bytes = 2000 + w->o->seed % 7 * 3000,
        .ordered_idle_ms = 500,
        .hash_seed = HASH_SEED,
    };
    int st = engine_create(&options, &w->e);
    CHECK(st == 0);
    w->e->flaws = w->o->flaws;
    engine_turn(w->e, 0, w->now_ms);
}

static void replay(struct world *w)
{
    for (size_t i = 0; i < w->log_count; i++) {
        const struct log_entry *entry = &w->log[i];
        if (entry->gone)
            continue;
        struct engine_partition *p = engine_partition(w->e, w->partition[entry->key]);
        if (entry->index <= p->index)
            continue;
        if (dropped(w, entry->space_id))
            p->index = p->counter = entry->index;
        else
            apply(w, entry);
        if (below(w, 50) == 0)
            engine_turn(w->e, entry->lsn + 1, w->now_ms);
    }
}

static void check_all(struct world *w)
{
    for (unsigned space = 0; space < SPACES; space++)
        for (unsigned k = 0; k < KEYS && !w->result->failed; k++) {
            struct key key = key_of(w, w->ids[space], k);
            struct record record;
            if (engine_get(w->e, &key, &record) == ST_COLD) {
                struct wait_check *c = &w->waits[0];
                *c = (struct wait_check){.wait = {.done = waited},
                                         .w = w,
                                         .key = key,
                                         .space = space,
                                         .k = k,
                                         .id = key.keyspace};
                engine_fetch(w->e, &key, &c->wait);
                work_later_all(&w->later);
            } else {
                get_key(w, space, k);
            }
        }
}

static void settle(struct world *w)
{
    for (size_t i = 0; i < WAITS_MAX; i++)
        if (w->waits[i].busy) {
            engine_fetch_cancel(w->e, &w->waits[i].wait);
            w->waits[i].busy = false;
        }
    for (size_t i = 0; i < SCANS_MAX; i++)
        if (w->scans[i].busy) {
            engine_scan_free(&w->scans[i].scan);
            w->scans[i].busy = false;
        }
    for (size_t i = 0; i < COUNTS_MAX; i++)
        if (w->counts[i].busy) {
            engine_count_cancel(w->e, &w->counts[i].count);
            w->counts[i].busy = false;
        }
}

static void note(struct world *w)
{
    struct engine_stats stats;
    engine_stats(w->e, &stats);
    w->result->flushes += stats.flushes;
    w->result->cancelled += stats.fills_cancelled;
    w->result->evictions += stats.evictions;
    w->result->inline_reads += stats.tier_reads_inline;
}

/* The process dies here: nothing that is under way reaches the tier any more. */
static void crash(struct world *w)
{
    w->result->crashes++;
    if (w->model_tier != NULL)
        tier_model_crash(w->model_tier);
    settle(w);
    note(w);
    work_later_all(&w->later);
    engine_free(w->e);
    if (w->model_tier != NULL) {
        tier_model_restart(w->model_tier);
    } else {
        w->tier->ops->close(w->tier);
        open_rocks(w);
    }
    w->failures_on = false;
    open_engine(w);
    replay(w);
    check_all(w);
}

static void step(struct world *w)
{
    unsigned space = below(w, 3) == 0 ? (unsigned)below(w, SPACES) : 0,
             k = (unsigned)below(w, KEYS);
    unsigned what = (unsigned)below(w, 1000);
    if (what < 250)
        write_key(w, space, k, below(w, 4) == 0);
    else if (what < 500)
        get_key(w, space, k);
    else if (what < 650)
        turn(w);
    else if (what < 850)
        work(w);
    else if (what < 900)
        scan_keys(w, space);
    else if (what < 930)
        count_keys(w, space);
    else if (what < 950)
        random_key(w, space);
    else if (what < 960)
        engine_flush(w->e, w->lsn);
    else if (what < 970)
        cancel_wait(w);
    else if (what < 973)
        drop_space(w, space);
    else if (what < 976 && w->model_tier != NULL)
        tier_model_compact(w->model_tier);
    else if (what < 980 && w->o->failures)
        fail_tier(w);
    else if (what < 984 && w->o->crashes && w->model_tier != NULL)
        tier_model_crash_at(w->model_tier, 1 + below(w, 60));
    else if (what < 986 && w->o->crashes)
        crash(w);
}

static bool must_crash(struct world *w)
{
    if (w->model_tier == NULL)
        return false;
    return tier_model_crashed(w->model_tier) ||
           (engine_flush_error(w->e) != 0 && engine_flush_error(w->e) != ST_NOSPACE);
}

static void begin(struct world *w)
{
    w->prng = prng_make(w->o->seed);
    w->shards = 1 + (uint16_t)below(w, 2);
    w->shard = (uint16_t)below(w, w->shards);
    w->lsn = 4096;
    w->now_ms = 1000000;
    for (unsigned k = 0; k < KEYS; k++) {
        snprintf(w->names[k], sizeof(w->names[k]), "%x-%u", (unsigned)below(w, 256), k);
        w->partition[k] = (uint16_t)(below(w, PARTITIONS / w->shards) * w->shards + w->shard);
    }
    for (unsigned i = 0; i < SPACES; i++)
        w->ids[i] = w->next_id++;
    work_later_init(&w->later);
    const struct tier_policy policy = {.keyspace_dropped = dropped,
                                       .purge_before_ms = purge_before,
                                       .purge_tombstones = purge_tombstones,
                                       .ctx = w};
    if (w->o->rocks != NULL) {
        open_rocks(w);
    } else if (!w->o->memory_only) {
        w->model_tier = tier_model_create(&policy);
        w->tier = tier_model_tier(w->model_tier);
    }
    open_engine(w);
}

static void end(struct world *w)
{
    settle(w);
    if (w->model_tier != NULL)
        tier_model_fail(w->model_tier, TIER_MODEL_GET, 0, 0);
    if (!w->result->failed)
        check_all(w);
    note(w);
    work_later_all(&w->later);
    engine_free(w->e);
    if (w->o->rocks != NULL)
        w->tier->ops->close(w->tier);
    tier_model_free(w->model_tier);
    work_later_done(&w->later);
    free(w->log);
}

void engine_world_run(const struct engine_world_options *options,
                      struct engine_world_result *ret_result)
{
    struct world *w = mem_zalloc(sizeof(*w));
    *ret_result = (struct engine_world_result){0};
    w->o = options;
    w->result = ret_result;
    begin(w);
    for (unsigned i = 0; i < options->steps && !ret_result->failed; i++) {
        step(w);
        if (must_crash(w))
            crash(w);
    }
    end(w);
    free(w);
}
