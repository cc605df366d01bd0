/* All rows of one moment are a `version`: a sorted array of shared rows that never changes once
 * made. A bulk merges into a new version; a snapshot holds on to an old one. */
#include "sim/tier.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "store/record.h"

struct model_row {
    uint64_t refs;
    bool rotten;
    size_t key_len, value_len;
    uint8_t bytes[];
};

struct version {
    uint64_t refs;
    size_t count;
    struct model_row *rows[];
};

struct tier_model {
    struct tier base;
    struct tier_policy policy;
    pthread_mutex_t lock;
    struct version *now, *meta;
    uint64_t steps, crash_step; /* crash before step number crash_step; 0: never */
    bool crashed;
    struct {
        int st;
        unsigned count;
    } fail[TIER_MODEL_OPS];
    unsigned cached_percent;
    uint64_t bulks, open;
};

struct model_bulk { /* struct tier_bulk */
    struct tier_model *m;
    struct model_row **rows;
    size_t count, cap;
};

struct model_iter { /* struct tier_iter */
    struct tier_model *m;
    struct version *version;
    size_t first, end; /* the range in version->rows */
    size_t next;       /* forward: the row to return; reverse: one above it */
    bool reverse;
};

static struct tier_model *model_of(struct tier *t)
{
    return container_of(t, struct tier_model, base);
}

/* --- rows and versions; all under the lock --- */

static struct slice row_key(const struct model_row *row)
{
    return slice_make(row->bytes, row->key_len);
}

static struct slice row_value(const struct model_row *row)
{
    return slice_make(row->bytes + row->key_len, row->value_len);
}

static struct model_row *row_make(struct slice key, struct slice value)
{
    struct model_row *row = mem_alloc(sizeof(*row) + key.len + value.len);
    *row = (struct model_row){.refs = 1, .key_len = key.len, .value_len = value.len};
    if (key.len > 0)
        memcpy(row->bytes, key.data, key.len);
    if (value.len > 0)
        memcpy(row->bytes + key.len, value.data, value.len);
    return row;
}

static void row_unref(struct model_row *row)
{
    if (--row->refs == 0)
        free(row);
}

static struct version *version_make(size_t rows_max)
{
    struct version *v = mem_alloc(sizeof(*v) + rows_max * sizeof(v->rows[0]));
    v->refs = 1;
    v->count = 0;
    return v;
}

static void version_unref(struct version *v)
{
    if (--v->refs > 0)
        return;
    for (size_t i = 0; i < v->count; i++)
        row_unref(v->rows[i]);
    free(v);
}

/* The first row >= key. */
static size_t version_find(const struct version *v, struct slice key)
{
    size_t low = 0, high = v->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (slice_compare(row_key(v->rows[mid]), key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static const struct model_row *version_get(const struct version *v, struct slice key)
{
    size_t at = version_find(v, key);
    if (at == v->count || !slice_equal(row_key(v->rows[at]), key))
        return NULL;
    return v->rows[at];
}

static void version_push(struct version *v, struct model_row *row)
{
    row->refs++;
    v->rows[v->count++] = row;
}

/* Replaces *v by itself merged with the sorted rows, which win. */
static void version_merge(struct version **v, struct model_row **rows, size_t count)
{
    struct version *old = *v, *merged = version_make(old->count + count);
    size_t i = 0, k = 0;
    while (i < old->count || k < count) {
        int order = i == old->count ? 1
                    : k == count    ? -1
                                    : slice_compare(row_key(old->rows[i]), row_key(rows[k]));
        version_push(merged, order < 0 ? old->rows[i] : rows[k]);
        i += order <= 0;
        k += order >= 0;
    }
    version_unref(old);
    *v = merged;
}

/* --- failing --- */

static int failure(struct tier_model *m, enum tier_model_op op)
{
    if (m->crashed)
        return ST_IO;
    if (m->fail[op].count == 0)
        return 0;
    m->fail[op].count--;
    return m->fail[op].st;
}

/* One mutating step; ST_IO when the process "died" before it. */
static int step(struct tier_model *m, enum tier_model_op op)
{
    int st = failure(m, op);
    if (st != 0)
        return st;
    if (++m->steps == m->crash_step)
        m->crashed = true;
    return m->crashed ? ST_IO : 0;
}

/* --- operations --- */

static bool answers_from_cache(const struct tier_model *m, struct slice row)
{
    return hash_bytes(0, row.data, row.len) % 100 < m->cached_percent;
}

static int model_get(struct tier *t, struct slice row, bool cached_only, struct buffer *out)
{
    struct tier_model *m = model_of(t);
    pthread_mutex_lock(&m->lock);
    int st = 0;
    if (cached_only && !answers_from_cache(m, row))
        st = ST_AGAIN;
    else
        st = failure(m, TIER_MODEL_GET);
    if (st == 0) {
        const struct model_row *found = version_get(m->now, row);
        if (found == NULL)
            st = ST_NOTFOUND;
        else if (found->rotten)
            st = ST_CORRUPT;
        else
            buffer_append_slice(out, row_value(found));
    }
    pthread_mutex_unlock(&m->lock);
    return st;
}

static struct tier_snapshot *model_snapshot(struct tier *t)
{
    struct tier_model *m = model_of(t);
    pthread_mutex_lock(&m->lock);
    struct version *v = m->now;
    v->refs++;
    m->open++;
    pthread_mutex_unlock(&m->lock);
    return (struct tier_snapshot *)v;
}

static void model_snapshot_release(struct tier *t, struct tier_snapshot *s)
{
    struct tier_model *m = model_of(t);
    pthread_mutex_lock(&m->lock);
    version_unref((struct version *)s);
    m->open--;
    pthread_mutex_unlock(&m->lock);
}

static int model_iter(struct tier *t, struct tier_snapshot *s, struct slice start, struct slice end,
                      unsigned flags, struct tier_iter **ret_iter)
{
    struct tier_model *m = model_of(t);
    pthread_mutex_lock(&m->lock);
    int st = failure(m, TIER_MODEL_ITER);
    if (st == 0) {
        struct model_iter *it = mem_zalloc(sizeof(*it));
        it->m = m;
        it->version = s != NULL ? (struct version *)s : m->now;
        it->version->refs++;
        it->reverse = flags & TIER_ITER_REVERSE;
        it->first = version_find(it->version, start);
        it->end = end.len > 0 ? version_find(it->version, end) : it->version->count;
        if (it->end < it->first)
            it->end = it->first;
        it->next = it->reverse ? it->end : it->first;
        m->open++;
        *ret_iter = (struct tier_iter *)it;
    }
    pthread_mutex_unlock(&m->lock);
    return st;
}

static int model_iter_next(struct tier_iter *iter, struct slice *ret_row, struct slice *ret_value)
{
    struct model_iter *it = (struct model_iter *)iter;
    pthread_mutex_lock(&it->m->lock);
    int st = failure(it->m, TIER_MODEL_ITER);
    pthread_mutex_unlock(&it->m->lock);
    if (st != 0)
        return st;
    if (it->reverse ? it->next == it->first : it->next == it->end)
        return ST_NOTFOUND;
    const struct model_row *row = it->version->rows[it->reverse ? --it->next : it->next++];
    if (row->rotten)
        return ST_CORRUPT;
    *ret_row = row_key(row);
    *ret_value = row_value(row);
    return 0;
}

static int model_iter_seek(struct tier_iter *iter, struct slice row)
{
    struct model_iter *it = (struct model_iter *)iter;
    size_t at = version_find(it->version, row);
    it->next = at < it->first ? it->first : at > it->end ? it->end : at;
    return 0;
}

static void model_iter_close(struct tier_iter *iter)
{
    struct model_iter *it = (struct model_iter *)iter;
    if (it == NULL)
        return;
    struct tier_model *m = it->m;
    pthread_mutex_lock(&m->lock);
    version_unref(it->version);
    m->open--;
    pthread_mutex_unlock(&m->lock);
    free(it);
}

static int model_bulk(struct tier *t, struct tier_bulk **ret_bulk)
{
    struct tier_model *m = model_of(t);
    pthread_mutex_lock(&m->lock);
    int st = step(m, TIER_MODEL_BULK);
    if (st == 0) {
        struct model_bulk *b = mem_zalloc(sizeof(*b));
        b->m = m;
        m->open++;
        *ret_bulk = (struct tier_bulk *)b;
    }
    pthread_mutex_unlock(&m->lock);
    return st;
}

static int model_bulk_add(struct tier_bulk *bulk, struct slice row, struct slice value)
{
    struct model_bulk *b = (struct model_bulk *)bulk;
    CHECK(b->count == 0 || slice_compare(row_key(b->rows[b->count - 1]), row) < 0);
    pthread_mutex_lock(&b->m->lock);
    int st = step(b->m, TIER_MODEL_BULK);
    pthread_mutex_unlock(&b->m->lock);
    if (st != 0)
        return st;
    if (b->count == b->cap) {
        b->cap = b->cap > 0 ? b->cap * 2 : 16;
        b->rows = mem_realloc(b->rows, b->cap * sizeof(struct model_row *));
    }
    b->rows[b->count++] = row_make(row, value);
    return 0;
}

static void model_bulk_abort(struct tier_bulk *bulk)
{
    struct model_bulk *b = (struct model_bulk *)bulk;
    if (b == NULL)
        return;
    pthread_mutex_lock(&b->m->lock);
    for (size_t i = 0; i < b->count; i++)
        row_unref(b->rows[i]);
    b->m->open--;
    pthread_mutex_unlock(&b->m->lock);
    free(b->rows);
    free(b);
}

static int model_bulk_finish(struct tier_bulk *bulk)
{
    struct model_bulk *b = (struct model_bulk *)bulk;
    struct tier_model *m = b->m;
    pthread_mutex_lock(&m->lock);
    int st = step(m, TIER_MODEL_FINISH);
    if (st == 0 && m->policy.sync_log != NULL) {
        pthread_mutex_unlock(&m->lock);
        st = m->policy.sync_log(m->policy.ctx);
        pthread_mutex_lock(&m->lock);
    }
    if (st == 0 && b->count > 0) {
        version_merge(&m->now, b->rows, b->count);
        m->bulks++;
    }
    if (st == 0)
        st = step(m, TIER_MODEL_FINISH);
    pthread_mutex_unlock(&m->lock);
    model_bulk_abort(bulk);
    return st;
}

static int model_put_meta(struct tier *t, struct slice name, struct slice value)
{
    struct tier_model *m = model_of(t);
    struct model_row *row = row_make(name, value);
    pthread_mutex_lock(&m->lock);
    int st = step(m, TIER_MODEL_META);
    if (st == 0) {
        version_merge(&m->meta, &row, 1);
        st = step(m, TIER_MODEL_META);
    }
    row_unref(row);
    pthread_mutex_unlock(&m->lock);
    return st;
}

static int model_get_meta(struct tier *t, struct slice name, struct buffer *out)
{
    struct tier_model *m = model_of(t);
    pthread_mutex_lock(&m->lock);
    const struct model_row *row = version_get(m->meta, name);
    if (row != NULL && !m->crashed)
        buffer_append_slice(out, row_value(row));
    int st = m->crashed ? ST_IO : row == NULL ? ST_NOTFOUND : 0;
    pthread_mutex_unlock(&m->lock);
    return st;
}

static bool in_ranges(struct slice key, const struct tier_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_compare(key, ranges[i].start) >= 0 && slice_compare(key, ranges[i].end) < 0)
            return true;
    return false;
}

static int model_drop_ranges(struct tier *t, const struct tier_range *ranges, size_t count)
{
    struct tier_model *m = model_of(t);
    for (size_t i = 0; i < count; i++) {
        CHECK(slice_compare(ranges[i].start, ranges[i].end) < 0);
        CHECK(i == 0 || slice_compare(ranges[i - 1].end, ranges[i].start) <= 0);
    }
    pthread_mutex_lock(&m->lock);
    int st = step(m, TIER_MODEL_DROP);
    if (st == 0 && m->policy.sync_log != NULL) {
        pthread_mutex_unlock(&m->lock);
        st = m->policy.sync_log(m->policy.ctx);
        pthread_mutex_lock(&m->lock);
    }
    if (st == 0) {
        struct version *kept = version_make(m->now->count);
        for (size_t i = 0; i < m->now->count; i++)
            if (!in_ranges(row_key(m->now->rows[i]), ranges, count))
                version_push(kept, m->now->rows[i]);
        version_unref(m->now);
        m->now = kept;
        st = step(m, TIER_MODEL_DROP);
    }
    pthread_mutex_unlock(&m->lock);
    return st;
}

static int model_checkpoint(struct tier *t, const char *path)
{
    return ST_UNSUPPORTED; /* there are no files to copy */
}

static bool model_empty(struct tier *t)
{
    return tier_model_rows(model_of(t)) == 0;
}

static void model_stats(struct tier *t, struct tier_stats *ret_stats)
{
    *ret_stats = (struct tier_stats){.rows_estimate = tier_model_rows(model_of(t))};
}

static void model_close(struct tier *t)
{
}

static const struct tier_ops MODEL_OPS = {
    .get = model_get,
    .snapshot = model_snapshot,
    .snapshot_release = model_snapshot_release,
    .iter = model_iter,
    .iter_next = model_iter_next,
    .iter_seek = model_iter_seek,
    .iter_close = model_iter_close,
    .bulk = model_bulk,
    .bulk_add = model_bulk_add,
    .bulk_finish = model_bulk_finish,
    .bulk_abort = model_bulk_abort,
    .put_meta = model_put_meta,
    .get_meta = model_get_meta,
    .drop_ranges = model_drop_ranges,
    .checkpoint = model_checkpoint,
    .empty = model_empty,
    .stats = model_stats,
    .close = model_close,
};

/* --- for the test --- */

struct tier_model *tier_model_create(const struct tier_policy *policy)
{
    struct tier_model *m = mem_zalloc(sizeof(*m));
    m->base.ops = &MODEL_OPS;
    if (policy != NULL)
        m->policy = *policy;
    pthread_mutex_init(&m->lock, NULL);
    m->now = version_make(0);
    m->meta = version_make(0);
    m->cached_percent = 50;
    return m;
}

void tier_model_free(struct tier_model *m)
{
    if (m == NULL)
        return;
    CHECK(m->open == 0);
    version_unref(m->now);
    version_unref(m->meta);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct tier *tier_model_tier(struct tier_model *m)
{
    return &m->base;
}

void tier_model_policy(struct tier_model *m, const struct tier_policy *policy)
{
    m->policy = policy != NULL ? *policy : (struct tier_policy){0};
}

/* Rows of its own: rot of the one is not rot of the other. */
static struct version *version_copy(const struct version *v)
{
    struct version *copy = version_make(v->count);
    for (size_t i = 0; i < v->count; i++) {
        struct model_row *row = row_make(row_key(v->rows[i]), row_value(v->rows[i]));
        row->rotten = v->rows[i]->rotten;
        copy->rows[copy->count++] = row;
    }
    return copy;
}

struct tier_model *tier_model_clone(struct tier_model *m)
{
    struct tier_model *copy = tier_model_create(NULL);
    pthread_mutex_lock(&m->lock);
    version_unref(copy->now);
    version_unref(copy->meta);
    copy->now = version_copy(m->now);
    copy->meta = version_copy(m->meta);
    copy->cached_percent = m->cached_percent;
    pthread_mutex_unlock(&m->lock);
    return copy;
}

bool tier_model_rot(struct tier_model *m, uint64_t seed)
{
    struct prng random = prng_make(seed);
    pthread_mutex_lock(&m->lock);
    bool any = m->now->count > 0;
    if (any)
        m->now->rows[prng_below(&random, m->now->count)]->rotten = true;
    pthread_mutex_unlock(&m->lock);
    return any;
}

void tier_model_crash_at(struct tier_model *m, uint64_t step_number)
{
    m->crash_step = step_number > 0 ? m->steps + step_number : 0;
}

void tier_model_crash(struct tier_model *m)
{
    m->crashed = true;
}

bool tier_model_crashed(const struct tier_model *m)
{
    return m->crashed;
}

uint64_t tier_model_steps(const struct tier_model *m)
{
    return m->steps;
}

void tier_model_restart(struct tier_model *m)
{
    CHECK(m->open == 0);
    m->crashed = false;
    m->crash_step = 0;
    memset(m->fail, 0, sizeof(m->fail));
}

void tier_model_fail(struct tier_model *m, enum tier_model_op op, int st, unsigned count)
{
    m->fail[op].st = st;
    m->fail[op].count = count;
}

void tier_model_cached(struct tier_model *m, unsigned percent)
{
    m->cached_percent = percent;
}

static bool row_may_go(const struct tier_model *m, const struct model_row *row)
{
    const struct tier_policy *policy = &m->policy;
    uint32_t keyspace = bytes_get_be32(row->bytes + 6);
    struct record record;
    if (keyspace == ROW_KEYSPACE_META)
        return false;
    if (policy->keyspace_dropped != NULL && policy->keyspace_dropped(policy->ctx, keyspace))
        return true;
    if (record_decode(row_value(row), &record) != 0)
        return false;
    if (record.flags & RECORD_TOMBSTONE)
        return policy->purge_tombstones != NULL && policy->purge_tombstones(policy->ctx);
    return (record.flags & RECORD_EXPIRES) && policy->purge_before_ms != NULL &&
           record.expire_ms < policy->purge_before_ms(policy->ctx);
}

void tier_model_compact(struct tier_model *m)
{
    pthread_mutex_lock(&m->lock);
    struct version *kept = version_make(m->now->count);
    for (size_t i = 0; i < m->now->count; i++)
        if (!row_may_go(m, m->now->rows[i]))
            version_push(kept, m->now->rows[i]);
    version_unref(m->now);
    m->now = kept;
    pthread_mutex_unlock(&m->lock);
}

uint64_t tier_model_rows(const struct tier_model *m)
{
    return m->now->count;
}

uint64_t tier_model_bulks(const struct tier_model *m)
{
    return m->bulks;
}

uint64_t tier_model_open(const struct tier_model *m)
{
    return m->open;
}
