#include "store/engine_scan.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/engine_merge.h"

#define BLOCK_BYTES_MIN (16u << 10)
#define BLOCK_BYTES_MAX (1u << 20)

/* --- the result --- */

static struct slice keep(struct scan_impl *s, struct slice bytes)
{
    if (bytes.len > s->room) {
        size_t want = s->bytes < BLOCK_BYTES_MIN   ? BLOCK_BYTES_MIN
                      : s->bytes > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX
                                                   : s->bytes;
        if (want < bytes.len)
            want = bytes.len;
        struct scan_block *block = mem_alloc(sizeof(*block) + want);
        block->next = s->blocks;
        s->blocks = block;
        s->at = block->bytes;
        s->room = want;
    }
    if (bytes.len == 0)
        return slice_make(s->at, 0);
    struct slice kept = slice_make(memcpy(s->at, bytes.data, bytes.len), bytes.len);
    s->at += bytes.len;
    s->room -= bytes.len;
    return kept;
}

int scan_add(struct scan_impl *s, struct slice key, struct slice value, uint64_t expire_ms)
{
    if (s->count == s->ask.limit_rows) {
        s->more = true;
        return ST_NOTFOUND;
    }
    if (s->ask.keys_only)
        value.len = 0;
    s->bytes += key.len + value.len + sizeof(struct engine_row);
    if (s->bytes > s->ask.limit_bytes && s->count > 0)
        return ST_LIMIT;
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 16;
        s->rows = mem_realloc(s->rows, s->cap * sizeof(*s->rows));
    }
    struct engine_row *row = &s->rows[s->count++];
    row->key = keep(s, key);
    row->value = keep(s, value);
    row->expire_ms = expire_ms;
    return 0;
}

/* --- collecting from the table --- */

struct hot_source {
    struct merge_source source;
    struct table_scan scan;
    struct record record;
};

/* Whether the key, reached in the scan's direction, is still inside the range. */
static bool inside(const struct engine_scan *ask, struct slice key)
{
    if (!ask->reverse)
        return !ask->has_end || slice_compare(key, ask->end) < 0;
    if (!ask->has_start)
        return true;
    int order = slice_compare(key, ask->start);
    return ask->start_exclusive ? order > 0 : order >= 0;
}

static bool hot_next(const struct engine_scan *ask, struct hot_source *h)
{
    struct key key;
    do {
        if (table_scan_next(&h->scan, &key, &h->record) != 0)
            return false;
    } while (!ask->reverse && ask->start_exclusive && ask->has_start &&
             slice_equal(key.bytes, ask->start));
    h->source.key = key.bytes;
    return inside(ask, key.bytes);
}

static void hot_push(struct scan_impl *s, const struct hot_source *h, uint64_t *live)
{
    if (s->hot_count == s->hot_cap) {
        s->hot_cap = s->hot_cap > 0 ? s->hot_cap * 2 : 16;
        s->hot = mem_realloc(s->hot, s->hot_cap * sizeof(*s->hot));
    }
    const struct record *r = &h->record;
    struct scan_hot *hot = &s->hot[s->hot_count++];
    *hot = (struct scan_hot){
        .key = h->source.key,
        .value = r->value,
        .expire_ms = record_expiry(r),
        .live = record_live(r, s->ask.now_ms),
    };
    *live += hot->live;
}

static void hot_open(struct scan_impl *s, uint16_t partition, struct hot_source *h)
{
    const struct engine_scan *ask = &s->ask;
    const struct slice *start =
        ask->reverse ? (ask->has_end ? &ask->end : NULL) : (ask->has_start ? &ask->start : NULL);
    const struct slice lowest = slice_make("", 0);
    if (!ask->reverse && start == NULL)
        start = &lowest;
    table_scan_init(&h->scan, s->e->table, partition, ask->keyspace, start, ask->reverse);
}

static void collect(struct scan_impl *s)
{
    const struct engine_options *o = &s->e->options;
    unsigned first = s->ask.partition < 0 ? o->shard : (unsigned)s->ask.partition;
    unsigned end = s->ask.partition < 0 ? o->partitions : first + 1, sources_count = 0;
    struct hot_source *sources = mem_zalloc((end - first) * sizeof(*sources));
    struct merge merge = {.reverse = s->ask.reverse};
    uint64_t live = 0;
    for (unsigned p = first; p < end; p += o->shards) {
        struct hot_source *h = &sources[sources_count++];
        hot_open(s, (uint16_t)p, h);
        if (hot_next(&s->ask, h))
            merge_push(&merge, &h->source);
    }
    for (struct merge_source *top;
         live <= s->ask.limit_rows && (top = merge_top(&merge)) != NULL;) {
        struct hot_source *h = container_of(top, struct hot_source, source);
        hot_push(s, h, &live);
        if (hot_next(&s->ask, h))
            merge_sift(&merge);
        else
            merge_drop_top(&merge);
    }
    for (unsigned i = 0; i < sources_count; i++)
        table_scan_done(&sources[i].scan);
    merge_done(&merge);
    free(sources);
}

/* --- running --- */

static void impl_free(struct scan_impl *s)
{
    while (s->blocks != NULL) {
        struct scan_block *next = s->blocks->next;
        free(s->blocks);
        s->blocks = next;
    }
    free(s->rows);
    free(s->hot);
    free(s->parts);
    buffer_free(&s->bounds);
    free(s);
}

static void finish(struct scan_impl *s)
{
    struct engine_scan *scan = s->scan;
    if (s->snapshot != NULL)
        s->e->tier->ops->snapshot_release(s->e->tier, s->snapshot);
    table_unpin(s->e->table);
    s->running = false;
    if (scan == NULL) {
        impl_free(s);
        return;
    }
    free(s->hot);
    s->hot = NULL;
    scan->rows = s->rows;
    scan->row_count = s->count;
    scan->more = s->more;
    scan->done(scan, s->st);
}

static void scan_run(struct work *work)
{
    struct scan_impl *s = container_of(work, struct scan_impl, work);
    s->st = scan_cold(s);
}

static void scan_finished(struct work *work)
{
    struct scan_impl *s = container_of(work, struct scan_impl, work);
    s->e->works--;
    finish(s);
}

/* The partitions to read in the tier: the worker must not look at the engine's. */
static void find_parts(struct scan_impl *s)
{
    const struct engine_options *o = &s->e->options;
    unsigned first = s->ask.partition < 0 ? o->shard : (unsigned)s->ask.partition;
    unsigned end = s->ask.partition < 0 ? o->partitions : first + 1;
    s->parts = mem_alloc((end - first) * sizeof(*s->parts));
    for (unsigned p = first; p < end; p += o->shards) {
        const struct engine_part *part = engine_part(s->e, (uint16_t)p);
        if (part->tier_rows)
            s->parts[s->parts_count++] =
                (struct scan_part){.partition = (uint16_t)p, .generation = part->pub.generation};
    }
}

static int scan_hot_only(struct scan_impl *s)
{
    int st = 0;
    for (size_t i = 0; st == 0 && i < s->hot_count; i++)
        if (s->hot[i].live)
            st = scan_add(s, s->hot[i].key, s->hot[i].value, s->hot[i].expire_ms);
    return st == ST_NOTFOUND ? 0 : st;
}

static void start(struct scan_impl *s)
{
    struct engine *e = s->e;
    s->running = true;
    if (s->ask.now_ms < e->now_ms)
        s->ask.now_ms = e->now_ms; /* it waited, and sees this moment */
    table_pin(e->table);
    if (engine_unflushed(e))
        collect(s);
    find_parts(s);
    if (s->parts_count == 0) {
        s->st = scan_hot_only(s);
        finish(s);
        return;
    }
    if (!(e->flaws & ENGINE_FLAW_LATE_SNAPSHOT))
        s->snapshot = e->tier->ops->snapshot(e->tier);
    s->work = (struct work){.run = scan_run, .done = scan_finished, .klass = WORK_READ};
    engine_submit(e, &s->work);
}

/* --- the outside --- */

static struct slice keep_bound(struct scan_impl *s, size_t *at, struct slice bound)
{
    struct slice kept = slice_make(s->bounds.data + *at, bound.len);
    *at += bound.len;
    return kept;
}

void engine_scan(struct engine *e, struct engine_scan *scan)
{
    CHECK(scan->limit_rows > 0);
    struct scan_impl *s = mem_zalloc(sizeof(*s));
    s->e = e;
    s->scan = scan;
    s->ask = *scan;
    buffer_append_slice(&s->bounds, scan->start);
    buffer_append_slice(&s->bounds, scan->end);
    size_t at = 0;
    s->ask.start = keep_bound(s, &at, scan->start);
    s->ask.end = keep_bound(s, &at, scan->end);
    list_node_init(&s->link);
    scan->impl = s;
    scan->rows = NULL;
    scan->row_count = 0;
    scan->more = false;
    e->ordered_used_ms = e->now_ms;
    if (!e->ordered_wanted) {
        e->ordered_wanted = true;
        table_ordered_want(e->table);
    }
    if (!engine_unflushed(e) || table_ordered_ready(e->table))
        start(s);
    else
        list_push_back(&e->scans_waiting, &s->link);
}

void engine_scan_free(struct engine_scan *scan)
{
    struct scan_impl *s = scan->impl;
    scan->impl = NULL;
    scan->rows = NULL;
    scan->row_count = 0;
    if (s == NULL)
        return;
    if (s->running) {
        s->scan = NULL;
        atomic_store(&s->cancelled, true);
        return;
    }
    list_remove(&s->link);
    impl_free(s);
}

void engine_scans_turn(struct engine *e)
{
    if (!e->ordered_wanted)
        return;
    if (!table_ordered_ready(e->table) && !table_ordered_step(e->table, ENGINE_ORDER_ROWS))
        return;
    for (struct list_node *node; (node = list_pop_front(&e->scans_waiting)) != NULL;)
        start(list_entry(node, struct scan_impl, link));
    if (e->now_ms - e->ordered_used_ms < e->options.ordered_idle_ms)
        return;
    e->ordered_wanted = false;
    table_ordered_drop(e->table);
}

void engine_scans_done(struct engine *e)
{
    for (struct list_node *node; (node = list_pop_front(&e->scans_waiting)) != NULL;) {
        struct scan_impl *s = list_entry(node, struct scan_impl, link);
        s->scan->impl = NULL;
        impl_free(s);
    }
}
