/* The worker's part of a scan: one iterator over a snapshot of the tier.
 *
 * Over several partitions their rows are merged by key. The tier has them partition by partition,
 * so a bounded chunk of each is read at a time, and read on when it is used up: memory is bounded
 * by partitions x chunk, whatever the range holds. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/engine_merge.h"
#include "store/engine_scan.h"

#define CHUNK_ROWS_MAX   256u
#define CHUNK_BYTES_MAX  (64u << 10) /* a chunk ends behind the row that reaches it */
#define ONCE_ROWS        10000u      /* scans of more rows don't fill the tier's cache */
#define CANCEL_ROWS_MASK 1023u       /* how often a long run of dead rows looks for a cancel */

struct cold_row {
    size_t key_at, key_len, value_len; /* in bytes; the value follows the key */
    uint64_t expire_ms;
};

struct cold_part {
    struct merge_source source;
    struct scan_part where;
    struct buffer bytes;   /* of the chunk's rows */
    struct cold_row *rows; /* `want` of them */
    unsigned want;         /* rows of a chunk; twice as many each time, as more are needed */
    unsigned count, next;
    bool ended;         /* nothing behind this chunk */
    struct buffer from; /* where to read on: forward row >= from, reverse row < from */
};

struct cold {
    struct scan_impl *s;
    struct tier_iter *it;
    struct cold_part *parts;
    unsigned parts_count;
    struct merge merge;
};

/* The row's key when it belongs to the part's range. */
static bool row_in_part(const struct cold *c, const struct cold_part *p, struct slice row,
                        struct slice *ret_key)
{
    const struct engine_scan *ask = &c->s->ask;
    uint16_t partition;
    uint32_t generation, keyspace;
    if (row_key_decode(row, &partition, &generation, &keyspace, ret_key) != 0)
        return false;
    if (partition != p->where.partition || generation != p->where.generation ||
        keyspace != ask->keyspace)
        return false;
    if (!ask->reverse)
        return !ask->has_end || slice_compare(*ret_key, ask->end) < 0;
    if (!ask->has_start)
        return true;
    int order = slice_compare(*ret_key, ask->start);
    return ask->start_exclusive ? order > 0 : order >= 0;
}

static void chunk_push(struct cold *c, struct cold_part *p, struct slice key,
                       const struct record *record)
{
    struct slice value = c->s->ask.keys_only ? slice_make(NULL, 0) : record->value;
    p->rows[p->count++] = (struct cold_row){
        .key_at = p->bytes.len,
        .key_len = key.len,
        .value_len = value.len,
        .expire_ms = record_expiry(record),
    };
    buffer_append_slice(&p->bytes, key);
    buffer_append_slice(&p->bytes, value);
}

/* Where the next chunk begins: forward right behind this row (no row is between a key and the key
 * with a zero byte appended), reverse before it. */
static void remember(struct cold *c, struct cold_part *p, struct slice row)
{
    buffer_clear(&p->from);
    buffer_append_slice(&p->from, row);
    if (!c->s->ask.reverse)
        buffer_append_u8(&p->from, 0);
}

/* Reads the part's next chunk of live rows. */
static int chunk_read(struct cold *c, struct cold_part *p)
{
    const struct tier_ops *ops = c->s->e->tier->ops;
    buffer_clear(&p->bytes);
    p->count = p->next = 0;
    p->want = p->want * 2 < CHUNK_ROWS_MAX ? p->want * 2 : CHUNK_ROWS_MAX;
    p->rows = mem_realloc(p->rows, p->want * sizeof(*p->rows));
    int st = ops->iter_seek(c->it, buffer_slice(&p->from));
    for (unsigned seen = 1; st == 0; seen++) {
        struct slice row, value, key;
        struct record record;
        if ((seen & CANCEL_ROWS_MASK) == 0 && atomic_load(&c->s->cancelled))
            return ST_CLOSED;
        st = ops->iter_next(c->it, &row, &value);
        if (st == ST_NOTFOUND || (st == 0 && !row_in_part(c, p, row, &key))) {
            p->ended = true;
            return 0;
        }
        if (st == 0)
            st = record_decode(value, &record);
        if (st != 0)
            return st;
        if (!record_live(&record, c->s->ask.now_ms))
            continue;
        chunk_push(c, p, key, &record);
        if (p->count < p->want && p->bytes.len < CHUNK_BYTES_MAX)
            continue;
        remember(c, p, row);
        return 0;
    }
    return st;
}

/* Makes the part's next row its current one. ST_NOTFOUND at its end. */
static int part_next(struct cold *c, struct cold_part *p)
{
    while (p->next == p->count) {
        if (p->ended)
            return ST_NOTFOUND;
        int st = chunk_read(c, p);
        if (st != 0)
            return st;
    }
    const struct cold_row *row = &p->rows[p->next++];
    p->source.key = slice_make(p->bytes.data + row->key_at, row->key_len);
    return 0;
}

static int add_cold(struct cold *c, const struct cold_part *p)
{
    const struct cold_row *row = &p->rows[p->next - 1];
    struct slice value = slice_make(p->source.key.data + row->key_len, row->value_len);
    return scan_add(c->s, p->source.key, value, row->expire_ms);
}

static int advance_cold(struct cold *c, struct cold_part *p)
{
    int st = part_next(c, p);
    if (st == 0)
        merge_sift(&c->merge);
    else if (st == ST_NOTFOUND)
        merge_drop_top(&c->merge);
    return st == ST_NOTFOUND ? 0 : st;
}

/* One step of the merge of hot and cold rows. ST_NOTFOUND at the end. */
static int merge_step(struct cold *c, size_t *hot_at)
{
    struct scan_impl *s = c->s;
    const struct scan_hot *hot = *hot_at < s->hot_count ? &s->hot[*hot_at] : NULL;
    struct merge_source *top = merge_top(&c->merge);
    struct cold_part *p = top != NULL ? container_of(top, struct cold_part, source) : NULL;
    int order; /* < 0: the hot row comes first; 0: it hides the cold one */
    if (hot == NULL && p == NULL)
        return ST_NOTFOUND;
    if (hot == NULL || p == NULL)
        order = hot == NULL ? 1 : -1;
    else
        order = slice_compare(hot->key, p->source.key) * (s->ask.reverse ? -1 : 1);
    int st = 0;
    if (order > 0)
        st = add_cold(c, p);
    else if (hot->live)
        st = scan_add(s, hot->key, hot->value, hot->expire_ms);
    if (order <= 0)
        ++*hot_at;
    if (st == 0 && order >= 0)
        st = advance_cold(c, p);
    return st;
}

/* About what the part's share of the result will be; its first chunk has twice as many rows. */
static unsigned share_rows(const struct scan_impl *s)
{
    uint64_t rows = s->ask.limit_rows / s->parts_count + 1; /* the limit may be UINT64_MAX */
    return rows < CHUNK_ROWS_MAX ? (unsigned)rows : CHUNK_ROWS_MAX;
}

static void part_open(struct cold *c, struct cold_part *p, struct scan_part where)
{
    const struct engine_scan *ask = &c->s->ask;
    const struct slice none = slice_make(NULL, 0);
    uint32_t keyspace = ask->keyspace;
    struct slice from = none;
    p->where = where;
    p->want = share_rows(c->s);
    if (!ask->reverse && ask->has_start)
        from = ask->start;
    else if (ask->reverse && ask->has_end)
        from = ask->end;
    else if (ask->reverse)
        keyspace++; /* never the last: that one is reserved */
    row_key_encode(&p->from, where.partition, where.generation, keyspace, from);
    if (!ask->reverse && ask->has_start && ask->start_exclusive)
        buffer_append_u8(&p->from, 0);
}

static int cold_open(struct cold *c)
{
    struct scan_impl *s = c->s;
    const struct scan_part *parts = s->parts;
    BUFFER_AUTO struct buffer low = {0}, high = {0};
    const struct slice none = slice_make(NULL, 0);
    row_key_encode(&low, parts[0].partition, 0, 0, none);
    row_key_encode(&high, (uint16_t)(parts[s->parts_count - 1].partition + 1), 0, 0, none);
    unsigned flags = (s->ask.reverse ? TIER_ITER_REVERSE : 0) |
                     (s->ask.limit_rows > ONCE_ROWS ? TIER_ITER_ONCE : 0);
    int st = s->e->tier->ops->iter(s->e->tier, s->snapshot, buffer_slice(&low), buffer_slice(&high),
                                   flags, &c->it);
    if (st != 0)
        return st;
    c->parts = mem_zalloc(s->parts_count * sizeof(*c->parts));
    for (size_t i = 0; st == 0 && i < s->parts_count; i++) {
        struct cold_part *part = &c->parts[c->parts_count++];
        part_open(c, part, parts[i]);
        st = part_next(c, part);
        if (st == 0)
            merge_push(&c->merge, &part->source);
        else if (st == ST_NOTFOUND)
            st = 0;
    }
    return st;
}

static void cold_close(struct cold *c)
{
    for (unsigned i = 0; i < c->parts_count; i++) {
        buffer_free(&c->parts[i].bytes);
        buffer_free(&c->parts[i].from);
        free(c->parts[i].rows);
    }
    free(c->parts);
    merge_done(&c->merge);
    c->s->e->tier->ops->iter_close(c->it);
}

int scan_cold(struct scan_impl *s)
{
    struct cold c = {
        .s = s,
        .merge = {.reverse = s->ask.reverse},
    };
    size_t hot_at = 0;
    int st = cold_open(&c);
    while (st == 0)
        st = atomic_load(&s->cancelled) ? ST_CLOSED : merge_step(&c, &hot_at);
    cold_close(&c);
    return st == ST_NOTFOUND ? 0 : st;
}
