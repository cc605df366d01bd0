/* The log as the core sees it: base | behind the tail, at the reader's | tail, in memory.
 *
 *      base_index        tail_first          applied  commit   last_index
 *   ───────┼──────────────────┼──────────────────┼───────┼──────────┤
 *          │ terms: reader    │ rows, at most tail_bytes_max below applied
 *
 * Rows leave the tail only when they are applied, so what can be cut off (above commit) and what
 * was appended in this life and is not applied is always here. After a restart the tail is empty.
 *
 * The configuration in force is the last one in the log (4.1). Those before it are kept down to the
 * one in force at base, for when the log is cut, and for snapshots. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/planted.h"
#include "raft/raft_private.h"

static struct raft_tail_row *row_at(const struct raft_log *log, uint64_t index)
{
    return &log->rows[(log->head + (uint32_t)(index - log->tail_first)) & (log->cap - 1)];
}

const struct raft_tail_row *raft_log_row(const struct raft *r, uint64_t index)
{
    const struct raft_log *log = &r->log;
    return index >= log->tail_first && index <= log->last_index ? row_at(log, index) : NULL;
}

uint64_t raft_log_term(const struct raft *r, uint64_t index)
{
    const struct raft_log *log = &r->log;
    CHECK(index >= log->base_index);
    CHECK(index <= log->last_index);
    if (index == log->last_index)
        return log->last_term;
    if (index == log->base_index)
        return log->base_term;
    if (index >= log->tail_first)
        return row_at(log, index)->term;
    return r->reader->term(r->reader, index);
}

static void rows_grow(struct raft_log *log)
{
    uint32_t cap = log->cap ? log->cap * 2 : 4;
    uint32_t count = (uint32_t)(log->last_index + 1 - log->tail_first);
    CHECK(cap > count);
    struct raft_tail_row *rows = mem_alloc(cap * sizeof(*rows));
    for (uint32_t i = 0; i < count; i++)
        rows[i] = *row_at(log, log->tail_first + i);
    free(log->rows);
    log->rows = rows;
    log->head = 0;
    log->cap = cap;
}

void raft_log_append(struct raft *r, uint64_t term, uint8_t type, struct slice data)
{
    struct raft_log *log = &r->log;
    CHECK(term >= log->last_term);
    CHECK(data.len <= RAFT_ENTRY_BYTES_MAX);
    if (log->last_index + 1 - log->tail_first == log->cap)
        rows_grow(log);
    log->last_index++;
    log->last_term = term;
    *row_at(log, log->last_index) = (struct raft_tail_row){
        .term = term,
        .data = data.len ? mem_dup(data.data, data.len) : NULL,
        .len = (uint32_t)data.len,
        .type = type,
    };
    log->tail_bytes += data.len + RAFT_ENTRY_EXTRA;
    r->quiet_us = r->now_us;
}

static void row_drop(struct raft_log *log, struct raft_tail_row *row)
{
    log->tail_bytes -= row->len + RAFT_ENTRY_EXTRA;
    free(row->data);
    row->data = NULL;
}

static void past_pop(struct raft *r)
{
    struct raft_past_config *past = r->past[--r->past_count];
    r->config = (struct raft_config){.count = past->count};
    memcpy(r->config.members, past->members, past->count * sizeof(past->members[0]));
    r->config_index = past->index;
    r->config_dirty = true;
    free(past);
}

void raft_log_cut(struct raft *r, uint64_t first)
{
    struct raft_log *log = &r->log;
    CHECK(first > r->commit);
    CHECK(first <= log->last_index);
    uint64_t last_term = raft_log_term(r, first - 1);
    while (log->last_index >= first && log->last_index >= log->tail_first)
        row_drop(log, row_at(log, log->last_index--));
    log->last_index = first - 1;
    log->last_term = last_term;
    if (log->tail_first > first)
        log->tail_first = first;

    /* Entries written again under the same indexes are durable when those writes are. */
    if (r->durable >= first)
        r->durable = first - 1;
    if (r->matched >= first)
        r->matched = first - 1;
    for (unsigned i = 0; i < r->unsynced_count; i++)
        if (r->unsynced[i].last >= first)
            r->unsynced[i].last = first - 1;
    /* "a server always uses the latest configuration in its log" (4.1): also after a cut */
    while (r->config_index >= first && r->past_count != 0 && !PLANTED(config_not_rolled_back))
        past_pop(r);
}

static void rows_free(struct raft_log *log)
{
    for (uint64_t i = log->tail_first; i <= log->last_index; i++)
        free(row_at(log, i)->data);
    free(log->rows);
    log->rows = NULL;
    log->head = log->cap = 0;
    log->tail_bytes = 0;
    log->tail_first = log->last_index + 1;
}

static void past_free(struct raft *r)
{
    while (r->past_count != 0)
        free(r->past[--r->past_count]);
    free(r->past);
    r->past = NULL;
    r->past_cap = 0;
}

void raft_log_reset(struct raft *r, uint64_t index, uint64_t term, const struct raft_config *c)
{
    rows_free(&r->log);
    past_free(r);
    r->log.base_index = r->log.last_index = index;
    r->log.base_term = r->log.last_term = term;
    r->log.tail_first = index + 1;
    r->unsynced_count = 0;
    r->durable = index;
    r->config = *c;
    r->config_index = index;
    r->config_dirty = true;
}

void raft_log_free(struct raft *r)
{
    rows_free(&r->log);
    past_free(r);
}

uint64_t raft_log_find(const struct raft *r, uint64_t index, uint64_t term)
{
    uint64_t low = r->log.base_index, high = index; /* term(low) <= term, or low is base */
    CHECK(high >= low);
    while (low < high) {
        uint64_t middle = high - (high - low) / 2;
        if (raft_log_term(r, middle) <= term)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void rows_drop_to(struct raft_log *log, uint64_t index) /* index and all before it */
{
    while (log->tail_first <= index && log->tail_first <= log->last_index) {
        row_drop(log, &log->rows[log->head]);
        log->tail_first++;
        log->head = (log->head + 1) & (log->cap - 1);
    }
}

void raft_log_trim(struct raft *r)
{
    struct raft_log *log = &r->log;
    while (log->tail_bytes > r->limits.tail_bytes_max && log->tail_first <= r->applied &&
           log->tail_first <= log->last_index)
        rows_drop_to(log, log->tail_first);
}

void raft_log_rest(struct raft *r)
{
    if (r->log.rows == NULL || r->applied != r->log.last_index ||
        r->now_us - r->quiet_us < raft_ms(r->limits.election_ms))
        return;
    for (unsigned i = 0; i < r->peer_count; i++)
        if (r->peers[i].match != r->log.last_index && r->peers[i].state != PEER_SNAPSHOT &&
            r->now_us - r->peers[i].heard_us <= raft_ms(r->limits.election_ms))
            return;
    rows_free(&r->log);
    for (unsigned i = 0; i < r->peer_count; i++) {
        struct raft_peer *p = &r->peers[i];
        if (p->inflights != NULL && p->inflights->count == 0) {
            free(p->inflights);
            p->inflights = NULL;
        }
    }
}

void raft_on_compacted(struct raft *r, uint64_t index)
{
    CHECK(index <= r->applied);
    struct raft_log *log = &r->log;
    if (index <= log->base_index)
        return;
    log->base_term = raft_log_term(r, index);
    log->base_index = index;
    rows_drop_to(log, index);
    if (log->tail_first <= index)
        log->tail_first = index + 1;

    /* The last configuration at or below base stays. */
    unsigned gone = 0;
    while (gone < r->past_count &&
           (gone + 1u < r->past_count ? r->past[gone + 1]->index : r->config_index) <= index)
        free(r->past[gone++]);
    r->past_count -= gone;
    if (r->past_count == 0)
        past_free(r);
    else
        memmove(r->past, r->past + gone, r->past_count * sizeof(*r->past));
}

void raft_config_push(struct raft *r, uint64_t index, const struct raft_config *config)
{
    if (raft_config_equal(config, &r->config))
        return; /* the one that the group was born with, as its log's first entry */
    if (r->past_count == r->past_cap) {
        r->past_cap = r->past_cap ? r->past_cap * 2 : 2;
        r->past = mem_realloc(r->past, r->past_cap * sizeof(*r->past));
    }
    size_t members = r->config.count * sizeof(r->config.members[0]);
    struct raft_past_config *past = mem_alloc(sizeof(*past) + members);
    past->index = r->config_index;
    past->count = r->config.count;
    memcpy(past->members, r->config.members, members);
    r->past[r->past_count++] = past;
    r->config = *config;
    r->config_index = index;
    r->config_dirty = true;
}

void raft_config_at(const struct raft *r, uint64_t index, struct raft_config *ret_config)
{
    CHECK(index >= r->log.base_index);
    CHECK(index <= r->log.last_index);
    if (index >= r->config_index) {
        *ret_config = r->config;
        return;
    }
    const struct raft_past_config *found = NULL;
    for (unsigned i = 0; i < r->past_count && r->past[i]->index <= index; i++)
        found = r->past[i];
    CHECK(found != NULL);
    *ret_config = (struct raft_config){.count = found->count};
    memcpy(ret_config->members, found->members, found->count * sizeof(found->members[0]));
}

int raft_entry(const struct raft *r, uint64_t index, struct raft_entry *ret_entry)
{
    const struct raft_tail_row *row = raft_log_row(r, index);
    if (row == NULL)
        return ST_NOTFOUND;
    *ret_entry = (struct raft_entry){.index = index,
                                     .term = row->term,
                                     .type = row->type,
                                     .data = slice_make(row->data, row->len)};
    return ST_OK;
}

/* Up to RAFT_READ_ENTRIES entries, or append_bytes_max, one at least. */
static int entries_gather(struct raft *r, uint64_t first, struct raft_entry *list,
                          unsigned *ret_count)
{
    uint64_t bytes_max = r->limits.append_bytes_max, bytes = 0;
    if (first < r->log.tail_first)
        return r->reader->entries(r->reader, first, r->log.tail_first - 1, bytes_max, list,
                                  RAFT_READ_ENTRIES, ret_count);
    unsigned count = 0;
    while (count < RAFT_READ_ENTRIES && raft_entry(r, first + count, &list[count]) == ST_OK) {
        bytes += list[count].data.len;
        if (count != 0 && bytes > bytes_max)
            break;
        count++;
    }
    *ret_count = count;
    return ST_OK;
}

int raft_log_encode(struct raft *r, uint64_t first, struct message_entries *ret_entries)
{
    struct raft_entry list[RAFT_READ_ENTRIES];
    unsigned count = 0;
    int st = entries_gather(r, first, list, &count);
    if (st != ST_OK)
        return st;
    CHECK(count >= 1);
    CHECK(count <= RAFT_READ_ENTRIES);
    BUFFER_AUTO struct buffer bytes = {0};
    for (unsigned i = 0; i < count; i++) {
        CHECK(list[i].index == first + i);
        message_entry_encode(&bytes, &list[i]);
    }
    uint8_t *place = raft_scratch(r, bytes.len);
    memcpy(place, bytes.data, bytes.len);
    *ret_entries = (struct message_entries){.count = count, .bytes = slice_make(place, bytes.len)};
    return ST_OK;
}
