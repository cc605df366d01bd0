#include "store/flush.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"

#define WATERMARK_FORMAT     1
#define WATERMARK_STAMPED    2
#define WATERMARK_BYTES      (1 + 4 + 8 + 8 + 8)
#define WATERMARK_GENERATION UINT32_MAX /* sorts behind all rows of the partition */

static const struct sm_state STATES[] = {
    [FLUSH_FROZEN] = {"frozen", SM_TO(FLUSH_SORTED)},
    [FLUSH_SORTED] = {"sorted", SM_TO(FLUSH_BULK)},
    [FLUSH_BULK] = {"bulk", SM_TO(FLUSH_VISIBLE) | SM_TO(FLUSH_FAILED)},
    [FLUSH_VISIBLE] = {"visible", SM_TO(FLUSH_RELEASED)},
    [FLUSH_RELEASED] = {"released", 0},
    [FLUSH_FAILED] = {"failed", SM_TO(FLUSH_SORTED)},
};

void flush_init(struct flush *f, struct tier *tier, const struct flush_source *source,
                struct flush_watermark *watermarks, size_t watermarks_count, uint64_t now_ms)
{
    for (size_t i = 1; i < watermarks_count; i++)
        CHECK(watermarks[i - 1].partition < watermarks[i].partition);
    *f = (struct flush){
        .sm = sm_make("flush", STATES, ARRAY_SIZE(STATES), FLUSH_FROZEN),
        .tier = tier,
        .source = *source,
        .watermarks = watermarks,
        .watermarks_count = watermarks_count,
        .now_ms = now_ms,
    };
}

void flush_set_dropped(struct flush *f, struct flush_dropped dropped)
{
    CHECK(flush_state(f) != FLUSH_BULK);
    free(f->dropped.ids);
    f->dropped = dropped;
}

void flush_done(struct flush *f)
{
    free(f->watermarks);
    free(f->dropped.ids);
    free(f->expiries);
    f->watermarks = NULL;
    f->dropped.ids = NULL;
    f->expiries = NULL;
}

enum flush_state flush_state(const struct flush *f)
{
    return (enum flush_state)sm_state(&f->sm);
}

void flush_retry(struct flush *f)
{
    sm_move(&f->sm, FLUSH_SORTED);
}

void flush_released(struct flush *f)
{
    sm_move(&f->sm, FLUSH_RELEASED);
}

static bool is_dropped(const struct flush *f, uint32_t keyspace)
{
    size_t low = 0, high = f->dropped.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (f->dropped.ids[mid] < keyspace)
            low = mid + 1;
        else
            high = mid;
    }
    return low < f->dropped.count && f->dropped.ids[low] == keyspace;
}

/* Rows come sorted by partition and then keyspace, so nearly always it is the last entry. */
static void note_expiry(struct flush *f, uint32_t keyspace, uint64_t expire_ms)
{
    size_t i = f->expiries_count;
    while (i > 0 && f->expiries[i - 1].keyspace != keyspace)
        i--;
    if (i > 0) {
        if (expire_ms < f->expiries[i - 1].expire_ms)
            f->expiries[i - 1].expire_ms = expire_ms;
        return;
    }
    f->expiries = mem_realloc(f->expiries, (f->expiries_count + 1) * sizeof(*f->expiries));
    f->expiries[f->expiries_count++] =
        (struct flush_expiry){.keyspace = keyspace, .expire_ms = expire_ms};
}

/* What the tier gets for this record: itself, or a tombstone with its dot once it has expired. */
static struct record row_to_store(struct flush *f, uint32_t keyspace, const struct record *r,
                                  uint64_t judge_ms)
{
    struct record stored = *r;
    if (!record_live(r, judge_ms != 0 ? judge_ms : f->now_ms)) {
        stored.flags = RECORD_TOMBSTONE | (r->flags & RECORD_VERSIONED);
        stored.value = slice_make(NULL, 0);
        stored.expire_ms = 0;
        f->tombstones++;
    } else if (r->flags & RECORD_EXPIRES) {
        note_expiry(f, keyspace, r->expire_ms);
    }
    return stored;
}

static int add(struct flush *f, struct tier_bulk *bulk, struct buffer *row, struct buffer *value)
{
    f->rows++;
    f->bytes += row->len + value->len;
    return f->tier->ops->bulk_add(bulk, buffer_slice(row), buffer_slice(value));
}

void flush_watermark_row(struct buffer *out, uint16_t partition)
{
    row_key_encode(out, partition, WATERMARK_GENERATION, ROW_KEYSPACE_META, slice_make(NULL, 0));
}

void flush_watermark_encode(struct buffer *out, const struct flush_watermark *w)
{
    buffer_append_u8(out, w->stamp == 0 ? WATERMARK_FORMAT : WATERMARK_STAMPED);
    buffer_append_u32(out, w->generation);
    buffer_append_u64(out, w->index);
    buffer_append_u64(out, w->actor);
    buffer_append_u64(out, w->counter);
    if (w->stamp != 0)
        buffer_append_u64(out, w->stamp);
}

void flush_forget_partition(struct flush *f, uint16_t partition)
{
    CHECK(flush_state(f) != FLUSH_BULK);
    for (size_t i = 0; i < f->watermarks_count; i++)
        if (f->watermarks[i].partition == partition)
            f->watermarks[i].stale = true;
}

static int add_watermark(struct flush *f, struct tier_bulk *bulk, const struct flush_watermark *w,
                         struct buffer *row, struct buffer *value)
{
    if (w->stale)
        return 0;
    buffer_clear(row);
    buffer_clear(value);
    flush_watermark_row(row, w->partition);
    flush_watermark_encode(value, w);
    return add(f, bulk, row, value);
}

static int write_rows(struct flush *f, struct tier_bulk *bulk, struct buffer *row,
                      struct buffer *value)
{
    uint64_t count = f->source.count(f->source.ctx);
    size_t w = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct key key;
        struct record record;
        f->source.row(f->source.ctx, i, &key, &record);
        for (; w < f->watermarks_count && f->watermarks[w].partition < key.partition; w++) {
            int st = add_watermark(f, bulk, &f->watermarks[w], row, value);
            if (st != 0)
                return st;
        }
        CHECK(w < f->watermarks_count);
        CHECK(f->watermarks[w].partition == key.partition);
        if (f->watermarks[w].stale || is_dropped(f, key.keyspace))
            continue;
        struct record stored = row_to_store(f, key.keyspace, &record, f->watermarks[w].judge_ms);
        buffer_clear(row);
        buffer_clear(value);
        row_key_encode(row, key.partition, f->watermarks[w].generation, key.keyspace, key.bytes);
        record_encode(value, &stored);
        int st = add(f, bulk, row, value);
        if (st != 0)
            return st;
    }
    for (; w < f->watermarks_count; w++) {
        int st = add_watermark(f, bulk, &f->watermarks[w], row, value);
        if (st != 0)
            return st;
    }
    return 0;
}

static int write_bulk(struct flush *f)
{
    BUFFER_AUTO struct buffer row = {0}, value = {0};
    struct tier_bulk *bulk;
    f->rows = f->bytes = f->tombstones = 0;
    f->expiries_count = 0;
    int st = f->tier->ops->bulk(f->tier, &bulk);
    if (st != 0)
        return st;
    st = write_rows(f, bulk, &row, &value);
    if (st != 0) {
        f->tier->ops->bulk_abort(bulk);
        return st;
    }
    return f->tier->ops->bulk_finish(bulk);
}

int flush_run(struct flush *f)
{
    if (flush_state(f) == FLUSH_FROZEN) {
        f->source.sort(f->source.ctx);
        sm_move(&f->sm, FLUSH_SORTED);
    }
    sm_move(&f->sm, FLUSH_BULK);
    f->st = write_bulk(f);
    sm_move(&f->sm, f->st == 0 ? FLUSH_VISIBLE : FLUSH_FAILED);
    return f->st;
}

int flush_watermark_read(struct tier *tier, uint16_t partition,
                         struct flush_watermark *ret_watermark)
{
    BUFFER_AUTO struct buffer row = {0}, value = {0};
    flush_watermark_row(&row, partition);
    int st = tier->ops->get(tier, buffer_slice(&row), false, &value);
    if (st != 0)
        return st;
    return flush_watermark_decode(buffer_slice(&value), partition, ret_watermark);
}

int flush_watermark_decode(struct slice value, uint16_t partition,
                           struct flush_watermark *ret_watermark)
{
    if (value.len == 0)
        return ST_CORRUPT;
    if (value.data[0] != WATERMARK_FORMAT && value.data[0] != WATERMARK_STAMPED)
        return ST_VERSION;
    if (value.len != WATERMARK_BYTES + (value.data[0] == WATERMARK_STAMPED ? 8 : 0))
        return ST_CORRUPT;
    *ret_watermark = (struct flush_watermark){
        .partition = partition,
        .generation = bytes_get_u32(value.data + 1),
        .index = bytes_get_u64(value.data + 5),
        .actor = bytes_get_u64(value.data + 13),
        .counter = bytes_get_u64(value.data + 21),
        .stamp = value.len > WATERMARK_BYTES ? bytes_get_u64(value.data + WATERMARK_BYTES) : 0,
    };
    return 0;
}
