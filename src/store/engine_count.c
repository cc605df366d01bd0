/* How many keys of a keyspace are live.
 *
 * A tally per keyspace follows every put as long as the state before it is known. It is not when a
 * key is written without having been read whose record, if any, is in the tier only; nor once a
 * record in the tier may have expired unseen. Then the next engine_count() counts anew: it freezes
 * the table, waits until that generation is in the tier, and counts the tier's rows in a snapshot
 * taken right then, which is the keyspace as it was at the freeze. Changes since the freeze are
 * tallied beside it, so that afterwards the number may be known again.
 *
 * Counting goes in steps of some rows, between which flushes have their turn. What asks often and
 * has no need of the last digit (INFO) asks with engine_count_soon(), which counts anew only after
 * a pause, and takes the tally for an estimate meanwhile.
 *
 * "Live" is judged at the time of the freeze. A number that is known may for a short while still
 * contain keys that have expired since table_expire() last came by. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/engine_private.h"

struct count_wait {
    struct list_node link;
    struct engine_count *count;
};

struct engine_recount {
    struct engine *engine;
    struct engine_keyspace *keyspace; /* NULL: dropped meanwhile */
    uint32_t id;
    struct engine_generation *after; /* its flush must be visible first; NULL: counting */
    struct engine_tally since;       /* changes since the freeze */
    struct list_head counts;         /* those that asked before the freeze */
    struct tier_snapshot *snapshot;
    struct work work;
    unsigned partition; /* the next to count */
    uint64_t begin_ms;
    uint64_t rows, live, expiring, expire_ms; /* found */
    int st;
};

/* --- the tally --- */

static struct engine_keyspace *find(const struct engine *e, uint32_t id)
{
    list_foreach (node, &e->keyspaces) {
        struct engine_keyspace *k = list_entry(node, struct engine_keyspace, link);
        if (k->id == id)
            return k;
    }
    return NULL;
}

struct engine_keyspace *engine_keyspace(struct engine *e, uint32_t id)
{
    struct engine_keyspace *k = find(e, id);
    if (k == NULL) {
        k = mem_zalloc(sizeof(*k));
        k->id = id;
        k->cold_expire_ms = ENGINE_NEVER_MS;
        k->tally.unknown = id <= e->keyspace_counted_after;
        list_init(&k->counts);
        list_push_back(&e->keyspaces, &k->link);
    }
    e->keyspace_last = k;
    return k;
}

static void tally_change(struct engine_tally *t, const struct table_before *before,
                         const struct record *after)
{
    if (before->known == TABLE_UNKNOWN)
        t->unknown = true;
    bool expires = before->expire_ms != 0;
    if (before->known == TABLE_LIVE && !before->expiry_told &&
        (!expires || before->expire_ms > t->as_of_ms)) {
        t->live--;
        t->expiring -= expires;
    }
    expires = after->flags & RECORD_EXPIRES;
    if (!(after->flags & RECORD_TOMBSTONE) && (!expires || after->expire_ms > t->as_of_ms)) {
        t->live++;
        t->expiring += expires;
    }
}

void engine_keyspace_change(struct engine_keyspace *k, const struct table_before *before,
                            const struct record *after)
{
    tally_change(&k->tally, before, after);
    if (unlikely(k->recount != NULL))
        tally_change(&k->recount->since, before, after);
}

static void tally_expired(struct engine_tally *t, uint64_t expire_ms)
{
    if (expire_ms <= t->as_of_ms)
        return;
    t->live--;
    t->expiring--;
}

void engine_keyspace_expired(struct engine *e, uint32_t id, uint64_t expire_ms)
{
    struct engine_keyspace *k = find(e, id);
    if (k == NULL)
        return;
    tally_expired(&k->tally, expire_ms);
    if (k->recount != NULL)
        tally_expired(&k->recount->since, expire_ms);
}

void engine_counts_unknown(struct engine *e)
{
    e->keyspace_counted_after = UINT32_MAX;
    list_foreach (node, &e->keyspaces) {
        struct engine_keyspace *k = list_entry(node, struct engine_keyspace, link);
        k->tally.unknown = true;
        if (k->recount != NULL)
            k->recount->since.unknown = true;
    }
}

static bool known(const struct engine *e, const struct engine_keyspace *k)
{
    return !k->tally.unknown && e->now_ms < k->cold_expire_ms && k->tally.live >= 0 &&
           k->tally.expiring >= 0;
}

int engine_count_known(struct engine *e, uint32_t keyspace, uint64_t *ret_keys,
                       uint64_t *ret_expiring)
{
    const struct engine_keyspace *k = find(e, keyspace);
    if (k == NULL)
        k = engine_keyspace(e, keyspace);
    if (!known(e, k))
        return ST_AGAIN;
    *ret_keys = (uint64_t)k->tally.live;
    *ret_expiring = (uint64_t)k->tally.expiring;
    return 0;
}

/* --- asking --- */

static void answer(struct list_head *counts, int st, uint64_t keys, uint64_t expiring)
{
    for (struct list_node *node; (node = list_pop_front(counts)) != NULL;) {
        struct count_wait *wait = list_entry(node, struct count_wait, link);
        struct engine_count *count = wait->count;
        free(wait);
        count->impl = NULL;
        count->keys = keys;
        count->keys_expiring = expiring;
        count->done(count, st);
    }
}

void engine_count(struct engine *e, struct engine_count *count)
{
    uint64_t keys, expiring;
    count->impl = NULL;
    if (engine_count_known(e, count->keyspace, &keys, &expiring) == 0) {
        count->keys = keys;
        count->keys_expiring = expiring;
        count->done(count, 0);
        return;
    }
    struct count_wait *wait = mem_zalloc(sizeof(*wait));
    wait->count = count;
    count->impl = wait;
    list_push_back(&find(e, count->keyspace)->counts, &wait->link);
}

void engine_count_cancel(struct engine *e, struct engine_count *count)
{
    struct count_wait *wait = count->impl;
    if (wait == NULL)
        return;
    list_remove(&wait->link);
    free(wait);
    count->impl = NULL;
}

/* --- asking now and then --- */

void engine_count_soon(struct engine *e, uint32_t keyspace)
{
    struct engine_keyspace *k = engine_keyspace(e, keyspace);
    if (e->tier != NULL && !known(e, k) && k->recount == NULL && e->now_ms >= k->recount_from_ms)
        k->recount_wanted = true;
}

void engine_count_estimate(struct engine *e, uint32_t keyspace, uint64_t *ret_keys,
                           uint64_t *ret_expiring)
{
    const struct engine_tally *t = &engine_keyspace(e, keyspace)->tally;
    *ret_keys = t->live > 0 ? (uint64_t)t->live : 0;
    *ret_expiring = t->expiring > 0 ? (uint64_t)t->expiring : 0;
}

/* --- counting anew --- */

static int count_rows(struct engine_recount *r, struct tier_iter *it)
{
    const struct tier_ops *ops = r->engine->tier->ops;
    for (;;) {
        struct slice row, value;
        struct record record;
        int st = ops->iter_next(it, &row, &value);
        if (st == ST_NOTFOUND)
            return 0;
        if (st == 0)
            st = record_decode(value, &record);
        if (st != 0)
            return st;
        r->rows++;
        if (unlikely(__atomic_load_n(&r->engine->stopping, __ATOMIC_RELAXED)))
            return ST_CLOSED;
        if (!record_live(&record, r->since.as_of_ms))
            continue;
        r->live++;
        if (!(record.flags & RECORD_EXPIRES))
            continue;
        r->expiring++;
        if (record.expire_ms < r->expire_ms)
            r->expire_ms = record.expire_ms;
    }
}

static int count_partition(struct engine_recount *r, uint16_t partition)
{
    const struct tier_ops *ops = r->engine->tier->ops;
    const struct engine_part *part = engine_part(r->engine, partition);
    BUFFER_AUTO struct buffer start = {0}, end = {0};
    struct tier_iter *it;
    row_key_encode(&start, partition, part->pub.generation, r->id, slice_make(NULL, 0));
    row_key_encode(&end, partition, part->pub.generation, r->id + 1, slice_make(NULL, 0));
    int st = ops->iter(r->engine->tier, r->snapshot, buffer_slice(&start), buffer_slice(&end),
                       TIER_ITER_ONCE, &it);
    if (st != 0)
        return st;
    st = count_rows(r, it);
    ops->iter_close(it);
    return st;
}

/* Whole partitions, until the rows of a step have been seen. */
static void recount_run(struct work *work)
{
    struct engine_recount *r = container_of(work, struct engine_recount, work);
    const struct engine_options *o = &r->engine->options;
    uint64_t rows_end = r->rows + r->engine->count_step_rows;
    for (; r->st == 0 && r->partition < o->partitions && r->rows < rows_end;
         r->partition += o->shards)
        r->st = count_partition(r, (uint16_t)r->partition);
}

/* A count takes no more than a small part of the time. */
static void rest_from_recount(struct engine_keyspace *k, uint64_t begin_ms, uint64_t now_ms)
{
    uint64_t pause_ms = (now_ms - begin_ms) * ENGINE_COUNT_PAUSE_TIMES;
    k->recount_from_ms =
        now_ms + (pause_ms > ENGINE_COUNT_PAUSE_MS_MIN ? pause_ms : ENGINE_COUNT_PAUSE_MS_MIN);
}

static void recount_finished(struct work *work)
{
    struct engine_recount *r = container_of(work, struct engine_recount, work);
    struct engine *e = r->engine;
    struct engine_keyspace *k = r->keyspace;
    e->works--;
    if (r->st == 0 && r->partition < e->options.partitions && k != NULL) {
        engine_submit(e, &r->work);
        return;
    }
    e->tier->ops->snapshot_release(e->tier, r->snapshot);
    if (k != NULL) {
        k->recount = NULL;
        rest_from_recount(k, r->begin_ms, e->now_ms);
        if (r->st == 0) {
            k->tally = r->since;
            k->tally.live += (int64_t)r->live;
            k->tally.expiring += (int64_t)r->expiring;
            if (r->expire_ms < k->cold_expire_ms)
                k->cold_expire_ms = r->expire_ms;
        }
    }
    answer(&r->counts, r->st, r->live, r->expiring);
    free(r);
}

static void recount_submit(struct engine_recount *r)
{
    r->after = NULL;
    if (r->keyspace != NULL)
        r->keyspace->tally.unknown = true; /* until it has been counted */
    r->snapshot = r->engine->tier->ops->snapshot(r->engine->tier);
    /* What is flushed from here on is noted anew: flush expiries, see engine_counts_visible(). */
    if (r->keyspace != NULL)
        r->keyspace->cold_expire_ms = ENGINE_NEVER_MS;
    r->work = (struct work){.run = recount_run, .done = recount_finished, .klass = WORK_FLUSH};
    engine_submit(r->engine, &r->work);
}

/* No count can be had now: who asked hears why. */
static void recount_fail(struct engine *e, struct engine_keyspace *k, int st)
{
    struct engine_recount *r = k->recount;
    k->recount = NULL;
    k->recount_wanted = false;
    rest_from_recount(k, r != NULL ? r->begin_ms : e->now_ms, e->now_ms);
    if (r != NULL)
        answer(&r->counts, st, 0, 0);
    free(r);
    answer(&k->counts, st, 0, 0);
}

static void recount_begin(struct engine *e, struct engine_keyspace *k)
{
    if (e->flush_error < 0 && e->flush_error != ST_NOSPACE) {
        recount_fail(e, k, e->flush_error); /* what it would wait for never comes */
        return;
    }
    bool frozen = engine_freeze(e);
    if (!frozen && e->wrote)
        return; /* no room for another generation: at a later turn */
    struct engine_recount *r = mem_zalloc(sizeof(*r));
    r->engine = e;
    r->keyspace = k;
    r->id = k->id;
    r->partition = e->options.shard;
    r->begin_ms = e->now_ms;
    r->expire_ms = ENGINE_NEVER_MS;
    r->since.as_of_ms = e->now_ms;
    list_init(&r->counts);
    list_splice_back(&r->counts, &k->counts);
    k->recount = r;
    k->recount_wanted = false;
    r->after = engine_newest(e);
    if (r->after == NULL)
        recount_submit(r);
}

void engine_counts_turn(struct engine *e)
{
    list_foreach (node, &e->keyspaces) {
        struct engine_keyspace *k = list_entry(node, struct engine_keyspace, link);
        if (k->recount == NULL && (k->recount_wanted || !list_empty(&k->counts)))
            recount_begin(e, k);
    }
}

void engine_counts_stop(struct engine *e)
{
    __atomic_store_n(&e->stopping, true, __ATOMIC_RELAXED);
}

void engine_counts_visible(struct engine *e, struct engine_generation *g)
{
    for (size_t i = 0; i < g->flush.expiries_count; i++) {
        struct engine_keyspace *k = find(e, g->flush.expiries[i].keyspace);
        if (k != NULL && g->flush.expiries[i].expire_ms < k->cold_expire_ms)
            k->cold_expire_ms = g->flush.expiries[i].expire_ms;
    }
    list_foreach (node, &e->keyspaces) {
        struct engine_keyspace *k = list_entry(node, struct engine_keyspace, link);
        if (k->recount != NULL && k->recount->after == g)
            recount_submit(k->recount);
    }
}

void engine_counts_failed(struct engine *e, int st)
{
    list_foreach_safe (node, spare, &e->keyspaces) {
        struct engine_keyspace *k = list_entry(node, struct engine_keyspace, link);
        bool asked = k->recount != NULL ? k->recount->after != NULL : !list_empty(&k->counts);
        if (asked)
            recount_fail(e, k, st);
    }
}

/* --- ends --- */

void engine_keyspace_drop(struct engine *e, uint32_t id)
{
    struct engine_keyspace *k = find(e, id);
    if (k == NULL)
        return;
    struct engine_recount *r = k->recount;
    if (r != NULL) {
        list_splice_back(&k->counts, &r->counts);
        r->keyspace = NULL;
        if (r->after != NULL)
            free(r); /* not yet begun */
    }
    answer(&k->counts, 0, 0, 0);
    if (e->keyspace_last == k)
        e->keyspace_last = NULL;
    list_remove(&k->link);
    free(k);
}

void engine_counts_done(struct engine *e)
{
    for (struct list_node *node; (node = list_pop_front(&e->keyspaces)) != NULL;) {
        struct engine_keyspace *k = list_entry(node, struct engine_keyspace, link);
        if (k->recount != NULL)
            list_splice_back(&k->counts, &k->recount->counts);
        for (struct list_node *wait; (wait = list_pop_front(&k->counts)) != NULL;)
            free(list_entry(wait, struct count_wait, link));
        free(k->recount);
        free(k);
    }
}
