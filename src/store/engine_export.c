#include "store/engine_export.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/engine_private.h"

struct engine_export {
    struct engine *e;
    struct engine_export_options options;
    struct tier_snapshot *snapshot;
    struct tier_iter *it; /* NULL before the first read */
    struct work work;
    bool busy, ended;
    int st;
    uint32_t want;
    uint64_t index, offset, rows;
    uint32_t crc;
    size_t given;       /* of `out`, by the last read */
    struct buffer out;  /* of the stream, from what was given last on */
    struct buffer held; /* the newest row: not yet known not to be the last */
};

static void put(struct engine_export *x, const void *data, size_t len)
{
    x->crc = crc32c(x->crc, data, len);
    buffer_append(&x->out, data, len);
}

/* The watermark in this snapshot says up to where its rows are complete. */
static int read_watermark(struct engine_export *x, struct flush_watermark *ret_watermark)
{
    const struct tier_ops *ops = x->e->tier->ops;
    BUFFER_AUTO struct buffer start = {0}, end = {0};
    struct tier_iter *it;
    struct slice row, value;
    flush_watermark_row(&start, x->options.partition);
    buffer_append_slice(&end, buffer_slice(&start));
    buffer_append_u8(&end, 0);
    int st = ops->iter(x->e->tier, x->snapshot, buffer_slice(&start), buffer_slice(&end), 0, &it);
    if (st != 0)
        return st;
    st = ops->iter_next(it, &row, &value);
    if (st == 0)
        st = flush_watermark_decode(value, x->options.partition, ret_watermark);
    ops->iter_close(it);
    return st;
}

static int begin(struct engine_export *x)
{
    struct flush_watermark w;
    BUFFER_AUTO struct buffer start = {0}, end = {0}, head = {0};
    const struct slice none = slice_make(NULL, 0);
    int st = read_watermark(x, &w);
    if (st != 0)
        return st;
    row_key_encode(&start, w.partition, w.generation, 0, none);
    row_key_encode(&end, w.partition, w.generation, ROW_KEYSPACE_META, none);
    st = x->e->tier->ops->iter(x->e->tier, x->snapshot, buffer_slice(&start), buffer_slice(&end),
                               TIER_ITER_ONCE, &x->it);
    if (st != 0)
        return st;
    x->index = w.index;
    buffer_append_u8(&head, EXPORT_FORMAT);
    buffer_append_u64(&head, w.index);
    buffer_append_u64(&head, w.actor);
    buffer_append_u64(&head, w.counter);
    buffer_append_u64(&head, w.stamp);
    put(x, head.data, head.len);
    return 0;
}

static void release_held(struct engine_export *x)
{
    if (x->held.len == 0)
        return;
    put(x, x->held.data, x->held.len);
    buffer_clear(&x->held);
    x->rows++;
}

static void end(struct engine_export *x)
{
    uint8_t tail[EXPORT_TAIL_BYTES];
    if (!x->options.lose_last)
        release_held(x);
    bytes_put_u32(tail, EXPORT_END);
    bytes_put_u64(tail + 4, x->rows);
    put(x, tail, 12);
    buffer_append_u32(&x->out, x->crc);
    x->ended = true;
}

static int read_row(struct engine_export *x)
{
    struct slice row, value, key;
    struct record record;
    uint16_t partition;
    uint32_t generation, keyspace;
    int st = x->e->tier->ops->iter_next(x->it, &row, &value);
    if (st == ST_NOTFOUND) {
        end(x);
        return 0;
    }
    if (st == 0)
        st = row_key_decode(row, &partition, &generation, &keyspace, &key);
    if (st == 0)
        st = record_decode(value, &record);
    if (st != 0)
        return st;
    if ((record.flags & RECORD_TOMBSTONE) ||
        (x->options.skip_keyspace != NULL && x->options.skip_keyspace(keyspace)))
        return 0;
    release_held(x);
    buffer_append_u32(&x->held, keyspace);
    buffer_append_u32(&x->held, (uint32_t)key.len);
    buffer_append_slice(&x->held, key);
    buffer_append_u32(&x->held, (uint32_t)value.len);
    buffer_append_slice(&x->held, value);
    return 0;
}

static void export_run(struct work *work)
{
    struct engine_export *x = container_of(work, struct engine_export, work);
    memmove(x->out.data, x->out.data + x->given, x->out.len - x->given);
    x->out.len -= x->given;
    x->given = 0;
    x->st = x->it == NULL ? begin(x) : 0;
    while (x->st == 0 && !x->ended && x->out.len < x->want)
        x->st = read_row(x);
}

static void export_done(struct work *work)
{
    struct engine_export *x = container_of(work, struct engine_export, work);
    x->e->works--;
    x->busy = false;
    if (x->st == 0) {
        x->given = x->out.len < x->want ? x->out.len : x->want;
        x->offset += x->given;
    }
    x->options.done(x, x->st, slice_make(x->out.data, x->given),
                    x->st == 0 && x->ended && x->given == x->out.len);
}

struct engine_export *engine_export_create(struct engine *e,
                                           const struct engine_export_options *options)
{
    CHECK(e->tier != NULL);
    struct engine_export *x = mem_zalloc(sizeof(*x));
    x->e = e;
    x->options = *options;
    x->snapshot = e->tier->ops->snapshot(e->tier);
    buffer_reserve(&x->out, 1);
    return x;
}

void engine_export_read(struct engine_export *x, uint32_t bytes)
{
    CHECK(!x->busy);
    CHECK(bytes > 0);
    x->busy = true;
    x->want = bytes;
    x->work = (struct work){.run = export_run, .done = export_done, .klass = WORK_READ};
    engine_submit(x->e, &x->work);
}

bool engine_export_busy(const struct engine_export *x)
{
    return x->busy;
}

uint64_t engine_export_index(const struct engine_export *x)
{
    return x->index;
}

uint64_t engine_export_offset(const struct engine_export *x)
{
    return x->offset;
}

void *engine_export_ctx(const struct engine_export *x)
{
    return x->options.ctx;
}

void engine_export_free(struct engine_export *x)
{
    if (x == NULL)
        return;
    CHECK(!x->busy);
    if (x->it != NULL)
        x->e->tier->ops->iter_close(x->it);
    x->e->tier->ops->snapshot_release(x->e->tier, x->snapshot);
    buffer_free(&x->out);
    buffer_free(&x->held);
    free(x);
}

void engine_export_empty(uint64_t index, struct buffer *out)
{
    size_t at = out->len;
    buffer_append_u8(out, EXPORT_FORMAT);
    buffer_append_u64(out, index);
    for (unsigned i = 0; i < 3; i++)
        buffer_append_u64(out, 0);
    buffer_append_u32(out, EXPORT_END);
    buffer_append_u64(out, 0);
    buffer_append_u32(out, crc32c(0, out->data + at, out->len - at));
}
