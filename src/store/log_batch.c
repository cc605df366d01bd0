#include "store/log_batch.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/log.h"
#include "store/log_format.h"

#include "base/status.h"

static const uint8_t log_padding[8];

static void log_batch_grow(void **array, size_t *cap, size_t bytes_each)
{
    *cap = *cap == 0 ? 64 : *cap * 2;
    *array = mem_realloc(*array, *cap * bytes_each);
}

struct buffer *log_batch_begin(struct log_batch *batch, uint8_t type, uint32_t group,
                               uint64_t index, uint64_t term)
{
    CHECK(!batch->open);
    CHECK(!batch->appended);
    CHECK(type != 0);
    if (batch->entries_count == batch->entries_cap)
        log_batch_grow((void **)&batch->entries, &batch->entries_cap, sizeof(*batch->entries));
    batch->entries[batch->entries_count] = (struct log_batch_entry){.offset = batch->bytes.len};
    batch->open_pieces = batch->pieces_count;
    batch->open = true;
    uint8_t *header = buffer_reserve(&batch->bytes, LOG_RECORD_HEADER_BYTES);
    log_record_put(header, type, group, index, term);
    batch->bytes.len += LOG_RECORD_HEADER_BYTES;
    return &batch->bytes;
}

void log_batch_ref(struct log_batch *batch, struct slice data)
{
    CHECK(batch->open);
    if (data.len == 0)
        return;
    if (batch->pieces_count == batch->pieces_cap)
        log_batch_grow((void **)&batch->pieces, &batch->pieces_cap, sizeof(*batch->pieces));
    batch->pieces[batch->pieces_count++] =
        (struct log_batch_piece){.at = batch->bytes.len, .data = data};
}

/* The checksum of the open record, whose payload ends at bytes.len and has pieces in between. */
static uint32_t log_batch_crc(const struct log_batch *batch, size_t offset)
{
    size_t from = offset + 4;
    uint32_t crc = 0;
    for (size_t i = batch->open_pieces; i < batch->pieces_count; i++) {
        const struct log_batch_piece *p = &batch->pieces[i];
        crc = crc32c(crc, batch->bytes.data + from, p->at - from);
        crc = crc32c(crc, p->data.data, p->data.len);
        from = p->at;
    }
    return crc32c(crc, batch->bytes.data + from, batch->bytes.len - from);
}

int log_batch_end(struct log_batch *batch)
{
    CHECK(batch->open);
    struct log_batch_entry *entry = &batch->entries[batch->entries_count];
    uint64_t bytes = batch->bytes.len - entry->offset;
    for (size_t i = batch->open_pieces; i < batch->pieces_count; i++)
        bytes += batch->pieces[i].data.len;
    uint64_t padded = log_align(bytes);
    if (padded > LOG_RECORD_BYTES_MAX) {
        log_batch_cancel(batch);
        return ST_LIMIT;
    }
    uint8_t *header = batch->bytes.data + entry->offset;
    bytes_put_u32(header + 4, (uint32_t)(bytes - LOG_RECORD_HEADER_BYTES));
    bytes_put_u32(header, log_batch_crc(batch, entry->offset));
    if (padded != bytes)
        buffer_append(&batch->bytes, log_padding, padded - bytes);
    entry->bytes = padded;
    batch->entries_count++;
    batch->total_bytes += padded;
    batch->open = false;
    return 0;
}

void log_batch_cancel(struct log_batch *batch)
{
    CHECK(batch->open);
    batch->bytes.len = batch->entries[batch->entries_count].offset;
    batch->pieces_count = batch->open_pieces;
    batch->open = false;
}

uint64_t log_batch_bytes(const struct log_batch *batch)
{
    return batch->entries_count == 0 ? 0 : batch->total_bytes + LOG_BATCH_OVERHEAD_BYTES;
}

uint64_t log_batch_lsn(const struct log_batch *batch, size_t n)
{
    CHECK(batch->appended);
    CHECK(n < batch->entries_count);
    return batch->entries[n].lsn;
}

size_t log_batch_count(const struct log_batch *batch)
{
    return batch->entries_count;
}

struct log_record log_batch_record(const struct log_batch *batch, size_t n)
{
    CHECK(n < batch->entries_count);
    const struct log_batch_entry *entry = &batch->entries[n];
    struct log_record record =
        log_record_view(batch->bytes.data + entry->offset, batch->appended ? entry->lsn : 0);
    record.payload = slice_make(NULL, record.payload.len); /* parts of it may be references */
    return record;
}

void log_batch_clear(struct log_batch *batch)
{
    CHECK(!batch->open);
    buffer_clear(&batch->bytes);
    batch->entries_count = 0;
    batch->pieces_count = 0;
    batch->total_bytes = 0;
    batch->appended = false;
}

void log_batch_free(struct log_batch *batch)
{
    buffer_free(&batch->bytes);
    free(batch->entries);
    free(batch->pieces);
    *batch = (struct log_batch){0};
}
