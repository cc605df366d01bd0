#include "store/engine_install.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/engine_export.h"
#include "store/engine_private.h"

#define META_KEY         "installed"
#define RECORD_BYTES_MAX (VALUE_BYTES_MAX + (1u << 20))

enum phase {
    FEED,   /* rows into the bulk */
    WAIT,   /* until no flush runs */
    FINISH, /* the bulk */
    FORGET, /* rows in memory */
    OVER,
};

struct engine_install {
    struct engine *e;
    struct engine_install_options options;
    struct list_node link; /* in e->installs from WAIT to FORGET */
    struct work work;
    enum phase phase;
    bool busy, working; /* asked for something; on a worker */
    int st;
    uint32_t generation;
    struct tier_bulk *bulk;
    struct buffer bytes; /* of the stream, not yet taken */
    struct buffer row, last_row, value, meta;
    struct flush_watermark watermark;
    uint64_t rows, cursor;
    uint32_t crc;
    bool headed, ended;
};

/* --- the stream, on a worker --- */

static void take(struct engine_install *x, size_t *at, size_t len)
{
    x->crc = crc32c(x->crc, x->bytes.data + *at, len);
    *at += len;
}

static int take_head(struct engine_install *x, const uint8_t *head)
{
    if (head[0] != EXPORT_FORMAT)
        return ST_VERSION;
    x->watermark = (struct flush_watermark){
        .partition = x->options.partition,
        .generation = x->generation,
        .index = bytes_get_u64(head + 1),
        .actor = bytes_get_u64(head + 9),
        .counter = bytes_get_u64(head + 17),
        .stamp = bytes_get_u64(head + 25),
    };
    x->headed = true;
    return x->e->tier->ops->bulk(x->e->tier, &x->bulk);
}

static int add_row(struct engine_install *x, uint32_t keyspace, struct slice key,
                   struct slice record)
{
    struct record decoded;
    int st = record_decode(record, &decoded);
    if (st != 0)
        return st;
    buffer_clear(&x->row);
    row_key_encode(&x->row, x->options.partition, x->generation, keyspace, key);
    if (x->last_row.len > 0 &&
        slice_compare(buffer_slice(&x->last_row), buffer_slice(&x->row)) >= 0)
        return ST_CORRUPT;
    buffer_clear(&x->last_row);
    buffer_append_slice(&x->last_row, buffer_slice(&x->row));
    x->rows++;
    return x->e->tier->ops->bulk_add(x->bulk, buffer_slice(&x->row), record);
}

/* The next item of the stream. ST_AGAIN: it is not all there yet. */
static int take_item(struct engine_install *x, size_t *at)
{
    const uint8_t *p = x->bytes.data + *at;
    size_t left = x->bytes.len - *at;
    if (!x->headed) {
        if (left < EXPORT_HEAD_BYTES)
            return ST_AGAIN;
        take(x, at, EXPORT_HEAD_BYTES);
        return take_head(x, p);
    }
    if (x->ended && left > 0)
        return ST_CORRUPT;
    if (left < 8)
        return ST_AGAIN;
    uint32_t keyspace = bytes_get_u32(p), key_len = bytes_get_u32(p + 4);
    if (keyspace == EXPORT_END) {
        if (left < EXPORT_TAIL_BYTES)
            return ST_AGAIN;
        take(x, at, EXPORT_TAIL_BYTES - 4);
        x->ended = true;
        bool good = bytes_get_u64(p + 4) == x->rows && bytes_get_u32(p + 12) == x->crc;
        *at += 4;
        return good ? 0 : ST_CORRUPT;
    }
    if (key_len > KEY_BYTES_MAX)
        return ST_CORRUPT;
    if (left < EXPORT_ROW_BYTES + (size_t)key_len)
        return ST_AGAIN;
    uint32_t record_len = bytes_get_u32(p + 8 + key_len);
    if (record_len > RECORD_BYTES_MAX)
        return ST_CORRUPT;
    size_t all = EXPORT_ROW_BYTES + (size_t)key_len + record_len;
    if (left < all)
        return ST_AGAIN;
    take(x, at, all);
    return add_row(x, keyspace, slice_make(p + 8, key_len),
                   slice_make(p + EXPORT_ROW_BYTES + key_len, record_len));
}

static void feed_run(struct work *work)
{
    struct engine_install *x = container_of(work, struct engine_install, work);
    size_t at = 0;
    int st = 0;
    while (st == 0)
        st = take_item(x, &at);
    memmove(x->bytes.data, x->bytes.data + at, x->bytes.len - at);
    x->bytes.len -= at;
    x->st = st == ST_AGAIN ? 0 : st;
}

static void answer(struct engine_install *x)
{
    x->busy = false;
    x->options.done(x, x->st);
}

static void feed_done(struct work *work)
{
    struct engine_install *x = container_of(work, struct engine_install, work);
    x->e->works--;
    x->working = false;
    answer(x);
}

struct engine_install *engine_install_create(struct engine *e,
                                             const struct engine_install_options *options)
{
    CHECK(e->tier != NULL);
    struct engine_install *x = mem_zalloc(sizeof(*x));
    x->e = e;
    x->options = *options;
    x->generation = engine_part(e, options->partition)->pub.generation + 1;
    list_node_init(&x->link);
    buffer_reserve(&x->bytes, 1);
    return x;
}

void engine_install_feed(struct engine_install *x, struct slice data)
{
    CHECK(!x->busy);
    CHECK(x->phase == FEED);
    x->busy = true;
    buffer_append_slice(&x->bytes, data);
    x->work = (struct work){.run = feed_run, .done = feed_done, .klass = WORK_FLUSH};
    x->working = true;
    engine_submit(x->e, &x->work);
}

/* --- the last step --- */

static int finish_bulk(struct engine_install *x)
{
    const struct tier_ops *ops = x->e->tier->ops;
    if (x->meta.len > 0) {
        buffer_clear(&x->row);
        row_key_encode(&x->row, x->options.partition, x->generation, ROW_KEYSPACE_META,
                       slice_str(META_KEY));
        int st = ops->bulk_add(x->bulk, buffer_slice(&x->row), buffer_slice(&x->meta));
        if (st != 0)
            return st;
    }
    buffer_clear(&x->row);
    buffer_clear(&x->value);
    flush_watermark_row(&x->row, x->options.partition);
    flush_watermark_encode(&x->value, &x->watermark);
    return ops->bulk_add(x->bulk, buffer_slice(&x->row), buffer_slice(&x->value));
}

/* What the partition had under earlier generations; nobody reads it any more. */
static void drop_old(struct engine_install *x)
{
    BUFFER_AUTO struct buffer start = {0}, end = {0};
    const struct slice none = slice_make(NULL, 0);
    row_key_encode(&start, x->options.partition, 0, 0, none);
    row_key_encode(&end, x->options.partition, x->generation, 0, none);
    const struct tier_range range = {buffer_slice(&start), buffer_slice(&end)};
    x->e->tier->ops->drop_ranges(x->e->tier, &range, 1);
}

static void finish_run(struct work *work)
{
    struct engine_install *x = container_of(work, struct engine_install, work);
    x->st = finish_bulk(x);
    if (x->st != 0)
        x->e->tier->ops->bulk_abort(x->bulk);
    else
        x->st = x->e->tier->ops->bulk_finish(x->bulk);
    x->bulk = NULL;
    if (x->st == 0)
        drop_old(x);
}

/* Frozen rows of the partition are of its past: they and their watermark are not written. */
static void switch_partition(struct engine_install *x)
{
    struct engine *e = x->e;
    struct engine_part *part = engine_part(e, x->options.partition);
    const struct flush_watermark *w = &x->watermark;
    list_foreach (node, &e->frozen) {
        struct engine_generation *g = list_entry(node, struct engine_generation, link);
        flush_forget_partition(&g->flush, x->options.partition);
    }
    part->pub.generation = w->generation;
    part->pub.index = part->pub.flushed_index = part->frozen_index = w->index;
    part->pub.actor = w->actor;
    part->pub.counter = w->counter;
    part->pub.stamp = w->stamp;
    part->dirty = false;
    part->forgetting = true;
    part->tier_rows = true;
    engine_fetches_cancel_partition(e, x->options.partition);
    engine_counts_unknown(e);
}

static void finish_done(struct work *work)
{
    struct engine_install *x = container_of(work, struct engine_install, work);
    struct engine *e = x->e;
    e->works--;
    x->working = false;
    e->installing = false;
    if (x->st == 0) {
        switch_partition(x);
        x->phase = FORGET;
    } else {
        list_remove(&x->link);
        x->phase = OVER;
        answer(x);
    }
    engine_flushes_start(e);
}

void engine_install_finish(struct engine_install *x, uint64_t index, struct slice meta)
{
    CHECK(!x->busy);
    CHECK(x->phase == FEED);
    x->busy = true;
    buffer_append_slice(&x->meta, meta);
    x->phase = WAIT;
    x->st = x->ended && x->watermark.index == index ? 0 : ST_CORRUPT;
    list_push_back(&x->e->installs, &x->link);
}

/* --- turns --- */

static struct engine_install *first_install(struct engine *e)
{
    struct list_node *node = list_first(&e->installs);
    return node != NULL ? list_entry(node, struct engine_install, link) : NULL;
}

static bool flush_running(struct engine *e)
{
    struct list_node *node = list_first(&e->frozen);
    return node != NULL && list_entry(node, struct engine_generation, link)->running;
}

static void forget_step(struct engine_install *x)
{
    struct engine *e = x->e;
    if (!x->options.keep_rows &&
        table_forget_partition(e->table, &x->cursor, ENGINE_WALK_ROWS, x->options.partition))
        return;
    engine_part(e, x->options.partition)->forgetting = false;
    list_remove(&x->link);
    x->phase = OVER;
    answer(x);
}

/* One installation at a time. */
bool engine_installs_turn(struct engine *e)
{
    struct engine_install *x = first_install(e);
    if (x == NULL)
        return false;
    if (x->phase == WAIT && x->st != 0) {
        list_remove(&x->link);
        x->phase = OVER;
        answer(x);
    } else if (x->phase == WAIT && !flush_running(e)) {
        x->phase = FINISH;
        e->installing = x->working = true;
        x->work = (struct work){.run = finish_run, .done = finish_done, .klass = WORK_FLUSH};
        engine_submit(e, &x->work);
    } else if (x->phase == FORGET) {
        forget_step(x);
    }
    x = first_install(e);
    return x != NULL && (x->phase == FORGET || (x->phase == WAIT && !flush_running(e)));
}

bool engine_install_busy(const struct engine_install *x)
{
    return x->busy;
}

void *engine_install_ctx(const struct engine_install *x)
{
    return x->options.ctx;
}

void engine_install_free(struct engine_install *x)
{
    if (x == NULL)
        return;
    CHECK(!x->working);
    list_remove(&x->link);
    if (x->bulk != NULL)
        x->e->tier->ops->bulk_abort(x->bulk);
    buffer_free(&x->bytes);
    buffer_free(&x->row);
    buffer_free(&x->last_row);
    buffer_free(&x->value);
    buffer_free(&x->meta);
    free(x);
}

int engine_install_meta(struct engine *e, uint16_t partition, struct buffer *out)
{
    BUFFER_AUTO struct buffer row = {0};
    if (e->tier == NULL)
        return ST_NOTFOUND;
    row_key_encode(&row, partition, engine_part(e, partition)->pub.generation, ROW_KEYSPACE_META,
                   slice_str(META_KEY));
    return e->tier->ops->get(e->tier, buffer_slice(&row), false, out);
}
