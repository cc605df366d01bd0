/* Looking over all records of the table: expiry, walks, random picks. */
#include "base/prng.h"
#include "base/status.h"
#include "store/table_private.h"

#define EXPIRE_WAIT_PART   8 /* a chunk is looked at again after an eighth of the mean time left */
#define EXPIRE_WAIT_MAX_MS 60000 /* ... but after a minute at the latest */
#define EXPIRE_CHUNK_ROWS  1     /* passing a chunk by counts as so many rows */
#define STRIP_BYTES_MIN    64    /* smaller values aren't worth the copy */
#define RANDOM_TRIES       64
#define RANDOM_SLOTS       (2 * BUCKET_ROWS)
#define RANDOM_BUCKETS     512

/* Does what a judge said. */
static void row_sentence(struct table *t, struct row *r, const struct key *key,
                         enum table_verdict verdict)
{
    struct generation *g = chunk_of(r)->generation;
    struct place place = {0};
    if (verdict == TABLE_KEEP)
        return;
    if (verdict == TABLE_FORGET) {
        place = index_find_row(&t->index, key->hash, r);
        CHECK(place.row == r);
        table_forget(t, key->hash, &place);
        return;
    }
    if ((g->state != GENERATION_ACTIVE && g->state != GENERATION_CACHE) ||
        r->value_len < STRIP_BYTES_MIN)
        return;
    struct record record;
    row_view(t, r, &record);
    record.value.len = 0;
    struct row *bare = row_append(t, g, row_need(t, key, &record));
    row_write(t, bare, key, &record);
    bare->meta = r->meta;
    place = index_find_row(&t->index, key->hash, r);
    CHECK(place.row == r);
    index_replace(&place, bare);
    if (g->ordered != NULL)
        generation_order_insert(g, bare);
    row_retire(t, r);
}

static void row_show(struct table *t, struct row *r, table_judge *judge, void *ctx)
{
    struct key key = row_key_view(t, r);
    struct record record;
    row_view(t, r, &record);
    enum generation_state state = chunk_of(r)->generation->state;
    bool clean = state == GENERATION_CACHE || state == GENERATION_RELEASING;
    row_sentence(t, r, &key, judge(ctx, &key, &record, clean));
}

/* --- expiry: a chunk knows before which time none of its rows expires --- */

static void chunk_expire_row(struct table *t, struct row *r, uint64_t now_ms, table_judge *judge,
                             void *ctx)
{
    if (!(r->flags & RECORD_EXPIRES) || (r->flags & RECORD_TOMBSTONE) || row_dead(r) ||
        (r->meta & ROW_TOLD))
        return;
    uint64_t expire_ms = row_expire_ms(r);
    if (expire_ms > now_ms) {
        t->expire_least = expire_ms < t->expire_least ? expire_ms : t->expire_least;
        uint64_t left = expire_ms - now_ms;
        t->expire_sum += left < UINT32_MAX ? left : UINT32_MAX;
        t->expire_rows++;
        return;
    }
    r->meta |= ROW_TOLD;
    row_show(t, r, judge, ctx);
}

/* The chunk was walked to its end: when to come again. */
static void chunk_expire_next(struct table *t, struct chunk *c)
{
    if (t->expire_rows == 0)
        return;
    uint64_t wait = t->expire_sum / t->expire_rows / EXPIRE_WAIT_PART;
    wait = wait < EXPIRE_WAIT_MAX_MS ? wait : EXPIRE_WAIT_MAX_MS;
    uint64_t next = t->expire_least + wait < wait ? EXPIRE_NEVER : t->expire_least + wait;
    c->expire_ms = next < c->expire_ms ? next : c->expire_ms;
}

void table_expire(struct table *t, uint64_t now_ms, unsigned rows, table_judge *judge, void *ctx)
{
    int64_t budget = rows;
    uint32_t passed = 0;
    while (budget > 0 && passed <= t->chunk_count && t->chunk_count > 0) {
        if (t->expire_number >= t->chunk_count)
            t->expire_number = t->expire_offset = 0;
        struct chunk *c = t->chunks[t->expire_number];
        if (t->expire_offset == 0) {
            budget -= EXPIRE_CHUNK_ROWS;
            passed++;
            if (c->expire_ms > now_ms) {
                t->expire_number++;
                continue;
            }
            c->expire_ms = EXPIRE_NEVER; /* rows that come meanwhile lower it */
            t->expire_least = EXPIRE_NEVER;
            t->expire_sum = t->expire_rows = 0;
        }
        while (budget > 0 && t->expire_offset < c->used) {
            struct row *r = chunk_row(c, t->expire_offset);
            t->expire_offset += row_bytes(r);
            chunk_expire_row(t, r, now_ms, judge, ctx);
            budget--;
        }
        if (t->expire_offset < c->used)
            return;
        chunk_expire_next(t, c);
        t->expire_offset = 0;
        t->expire_number++;
    }
}

/* --- walking: bucket by bucket; a split only moves rows to a bucket still to come --- */

bool table_walk(struct table *t, uint64_t *cursor, unsigned rows, table_judge *judge, void *ctx)
{
    int64_t budget = rows;
    for (; *cursor < t->index.buckets && budget > 0; ++*cursor, budget--) {
        struct row *found[RANDOM_SLOTS * BUCKET_ROWS];
        unsigned count = 0;
        struct bucket *at = NULL;
        do { /* a judge's sentence reorders the bucket: collect first */
            count += index_bucket(&t->index, *cursor, &at, found + count);
        } while (at != NULL && count + BUCKET_ROWS <= ARRAY_SIZE(found));
        for (unsigned i = 0; i < count; i++)
            __builtin_prefetch(found[i]);
        for (unsigned i = 0; i < count; i++, budget--)
            if (!(found[i]->flags & ROW_ABSENT))
                row_show(t, found[i], judge, ctx);
    }
    return *cursor < t->index.buckets;
}

bool table_forget_partition(struct table *t, uint64_t *cursor, unsigned rows, uint16_t partition)
{
    int64_t budget = rows;
    for (; *cursor < t->index.buckets && budget > 0; ++*cursor, budget--) {
        struct row *found[RANDOM_SLOTS * BUCKET_ROWS];
        unsigned count = 0;
        struct bucket *at = NULL;
        do {
            count += index_bucket(&t->index, *cursor, &at, found + count);
        } while (at != NULL && count + BUCKET_ROWS <= ARRAY_SIZE(found));
        for (unsigned i = 0; i < count; i++, budget--) {
            if (found[i]->partition != partition)
                continue;
            struct key key = row_key_view(t, found[i]);
            row_sentence(t, found[i], &key, TABLE_FORGET);
        }
    }
    return *cursor < t->index.buckets;
}

/* --- a random one --- */

static bool row_accept(const struct table *t, const struct row *r, table_accept *accept, void *ctx,
                       struct key *ret_key)
{
    if (r->flags & (ROW_ABSENT | RECORD_TOMBSTONE))
        return false;
    struct record record;
    struct key key = {.bytes = row_key(r), .keyspace = r->keyspace, .partition = r->partition};
    row_view(t, r, &record);
    if (!accept(ctx, &key, &record))
        return false;
    key.hash = key_hash(t->index.hash_seed, key.keyspace, key.bytes);
    *ret_key = key;
    return true;
}

/* The rows of a bucket and its first overflow; further ones are very rare. */
static unsigned bucket_collect(const struct table *t, uint64_t bucket,
                               struct row *ret_rows[RANDOM_SLOTS])
{
    struct bucket *at = NULL;
    unsigned count = index_bucket(&t->index, bucket, &at, ret_rows);
    if (at != NULL)
        count += index_bucket(&t->index, bucket, &at, ret_rows + count);
    return count;
}

int table_random(struct table *t, uint64_t random, table_accept *accept, void *ctx,
                 struct key *ret_key)
{
    struct prng p = prng_make(random);
    struct row *rows[RANDOM_SLOTS];
    /* Uniform: any slot of any bucket is as likely, and an empty one means another try. */
    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        unsigned count = bucket_collect(t, prng_below(&p, t->index.buckets), rows);
        uint64_t slot = prng_below(&p, RANDOM_SLOTS);
        if (slot < count && row_accept(t, rows[slot], accept, ctx, ret_key))
            return 0;
    }
    /* Few are acceptable: the next one from a random place. */
    uint64_t from = prng_below(&p, t->index.buckets);
    for (uint64_t i = 0; i < t->index.buckets && i < RANDOM_BUCKETS; i++) {
        unsigned count = bucket_collect(t, (from + i) % t->index.buckets, rows);
        for (unsigned k = 0; k < count; k++)
            if (row_accept(t, rows[k], accept, ctx, ret_key))
                return 0;
    }
    return ST_AGAIN;
}
