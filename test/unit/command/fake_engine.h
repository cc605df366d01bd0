/* An engine for tests of the command layer: a plain map, with keys that can be made cold. Defines
 * all of store/engine.h, so the real one is not linked. Include it in one file of a test. */
#pragma once

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/status.h"
#include "ring/slot.h"
#include "store/engine.h"

#define FAKE_PARTITIONS_MAX 16384
#define FAKE_PARTITIONS     256 /* of the nodes that fake_env.h makes */

struct fake_row {
    struct record record;
    uint8_t *bytes;
    bool cold;
    unsigned asks;
};

struct engine {
    struct map *rows; /* u32 keyspace | key -> struct fake_row */
    struct engine_partition *partitions;
    struct list_head fetches;
    struct engine_scan *scan; /* waiting for fake_engine_work() */
    bool defer_scans;
    unsigned scan_turns; /* a waiting scan ends in so many turns; 0: never by itself */
    unsigned pressure;
    int fetch_status; /* what fetches end with */
    uint64_t fetched;
    unsigned cold_asks;      /* others fetch a cold key after it was asked for so often; 0: never */
    unsigned counts_unknown; /* the number of keys is not known until so many counts */
};

struct fake_fetch {
    struct list_node link;
    struct engine_wait *wait;
    struct fake_row *row;
};

static struct slice fake_name(struct buffer *out, uint32_t keyspace, struct slice key)
{
    buffer_clear(out);
    buffer_append_u32(out, keyspace);
    buffer_append_slice(out, key);
    return buffer_slice(out);
}

static struct fake_row *fake_row(struct engine *e, const struct key *key)
{
    BUFFER_AUTO struct buffer name = {0};
    return map_get(e->rows, fake_name(&name, key->keyspace, key->bytes));
}

int engine_create(const struct engine_options *options, struct engine **ret_engine)
{
    struct engine *e = mem_zalloc(sizeof(*e));
    e->rows = map_create(1);
    e->partitions = mem_zalloc(FAKE_PARTITIONS_MAX * sizeof(*e->partitions));
    list_init(&e->fetches);
    *ret_engine = e;
    return 0;
}

void engine_free(struct engine *e)
{
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(e->rows, &at, &key, &value)) {
        free(((struct fake_row *)value)->bytes);
        free(value);
    }
    struct list_node *node;
    while ((node = list_pop_front(&e->fetches)) != NULL)
        free(list_entry(node, struct fake_fetch, link));
    map_free(e->rows);
    free(e->partitions);
    free(e);
}

struct engine_partition *engine_partition(struct engine *e, uint16_t partition)
{
    return &e->partitions[partition];
}

void engine_prefetch(struct engine *e, uint64_t hash)
{
}

void engine_prefetch_record(struct engine *e, uint64_t hash)
{
}

int engine_get(struct engine *e, const struct key *key, struct record *ret_record)
{
    struct fake_row *row = fake_row(e, key);
    if (row == NULL)
        return ST_NOTFOUND;
    if (row->cold && (e->cold_asks == 0 || ++row->asks <= e->cold_asks))
        return ST_COLD;
    row->cold = false;
    *ret_record = row->record;
    return 0;
}

void engine_fetch(struct engine *e, const struct key *key, struct engine_wait *wait)
{
    struct fake_fetch *fetch = mem_zalloc(sizeof(*fetch));
    fetch->wait = wait;
    fetch->row = fake_row(e, key);
    list_push_back(&e->fetches, &fetch->link);
}

void engine_fetch_cancel(struct engine *e, struct engine_wait *wait)
{
    list_foreach_safe (node, spare, &e->fetches) {
        struct fake_fetch *fetch = list_entry(node, struct fake_fetch, link);
        if (fetch->wait != wait)
            continue;
        list_remove(node);
        free(fetch);
    }
}

void engine_put(struct engine *e, const struct key *key, const struct record *record)
{
    struct fake_row *row = fake_row(e, key);
    if (row == NULL) {
        BUFFER_AUTO struct buffer name = {0};
        row = mem_zalloc(sizeof(*row));
        map_put(e->rows, fake_name(&name, key->keyspace, key->bytes), row);
    }
    uint8_t *old = row->bytes;
    row->bytes = mem_dup(record->value.data, record->value.len);
    row->record = *record;
    row->record.value = slice_make(row->bytes, record->value.len);
    row->cold = false;
    free(old);
}

static int fake_order(const void *a, const void *b)
{
    return slice_compare(((const struct engine_row *)a)->key, ((const struct engine_row *)b)->key);
}

static bool fake_in_range(const struct engine_scan *scan, struct slice key)
{
    if (scan->has_start) {
        int order = slice_compare(key, scan->start);
        if (order < 0 || (order == 0 && scan->start_exclusive))
            return false;
    }
    return !scan->has_end || slice_compare(key, scan->end) < 0;
}

static void fake_scan_run(struct engine *e, struct engine_scan *scan)
{
    size_t at = 0, count = 0;
    uint64_t bytes = 0;
    struct slice name;
    void *value;
    struct engine_row *rows = mem_alloc((map_count(e->rows) + 1) * sizeof(*rows));
    while (map_next(e->rows, &at, &name, &value)) {
        const struct fake_row *row = value;
        uint32_t keyspace;
        memcpy(&keyspace, name.data, sizeof(keyspace));
        struct slice key = slice_make(name.data + 4, name.len - 4);
        if (scan->partition >= 0 &&
            slot_partition(slot_of(key), FAKE_PARTITIONS) != scan->partition)
            continue;
        if (keyspace == scan->keyspace && record_live(&row->record, scan->now_ms) &&
            fake_in_range(scan, key))
            rows[count++] = (struct engine_row){key, row->record.value, row->record.expire_ms};
    }
    qsort(rows, count, sizeof(*rows), fake_order);
    for (size_t i = 0; scan->reverse && i < count / 2; i++) {
        struct engine_row swap = rows[i];
        rows[i] = rows[count - 1 - i];
        rows[count - 1 - i] = swap;
    }
    scan->more = count > scan->limit_rows;
    scan->row_count = scan->more ? scan->limit_rows : count;
    scan->rows = rows;
    for (uint64_t i = 0; i < scan->row_count; i++)
        bytes += rows[i].key.len + (scan->keys_only ? 0 : rows[i].value.len);
    scan->done(scan, scan->row_count > 1 && bytes > scan->limit_bytes ? ST_LIMIT : 0);
}

void engine_scan(struct engine *e, struct engine_scan *scan)
{
    scan->impl = e;
    if (e->defer_scans)
        e->scan = scan;
    else
        fake_scan_run(e, scan);
}

void engine_scan_free(struct engine_scan *scan)
{
    struct engine *e = scan->impl;
    if (e->scan == scan)
        e->scan = NULL;
    free(scan->rows);
}

static void fake_count(struct engine *e, struct engine_count *count)
{
    size_t at = 0;
    struct slice name;
    void *value;
    while (map_next(e->rows, &at, &name, &value)) {
        const struct fake_row *row = value;
        uint32_t keyspace;
        memcpy(&keyspace, name.data, sizeof(keyspace));
        if (keyspace != count->keyspace || !record_live(&row->record, count->now_ms))
            continue;
        count->keys++;
        count->keys_expiring += (row->record.flags & RECORD_EXPIRES) != 0;
    }
}

void engine_count(struct engine *e, struct engine_count *count)
{
    e->counts_unknown -= e->counts_unknown > 0;
    fake_count(e, count);
    count->done(count, 0);
}

int engine_count_known(struct engine *e, uint32_t keyspace, uint64_t *ret_keys,
                       uint64_t *ret_expiring)
{
    struct engine_count count = {.keyspace = keyspace};
    if (e->counts_unknown > 0)
        return ST_AGAIN;
    fake_count(e, &count);
    *ret_keys = count.keys;
    *ret_expiring = count.keys_expiring;
    return 0;
}

void engine_count_soon(struct engine *e, uint32_t keyspace)
{
}

void engine_count_estimate(struct engine *e, uint32_t keyspace, uint64_t *ret_keys,
                           uint64_t *ret_expiring)
{
    *ret_keys = *ret_expiring = 0;
}

int engine_random(struct engine *e, uint32_t keyspace, uint64_t random, uint64_t now_ms,
                  struct buffer *out)
{
    return ST_COLD;
}

void engine_drop_keyspace(struct engine *e, uint32_t keyspace)
{
}

bool engine_turn(struct engine *e, uint64_t lsn, uint64_t now_ms)
{
    struct engine_scan *scan = e->scan;
    if (scan == NULL || e->scan_turns == 0 || --e->scan_turns > 0)
        return false;
    e->scan = NULL;
    fake_scan_run(e, scan);
    return false;
}

void engine_flush(struct engine *e, uint64_t lsn)
{
}

bool engine_flushed(const struct engine *e)
{
    return true;
}

bool engine_idle(const struct engine *e)
{
    return true;
}

uint64_t engine_flushed_lsn(const struct engine *e)
{
    return 0;
}

unsigned engine_pressure(const struct engine *e)
{
    return e->pressure;
}

int engine_flush_error(const struct engine *e)
{
    return 0;
}

uint64_t engine_flush_failures(const struct engine *e)
{
    return 0;
}

void engine_stats(const struct engine *e, struct engine_stats *ret_stats)
{
    *ret_stats = (struct engine_stats){0};
}

/* --- what tests do with it --- */

/* Finishes what runs in the background. */
static inline void fake_engine_work(struct engine *e)
{
    struct list_node *node;
    while ((node = list_pop_front(&e->fetches)) != NULL) {
        struct fake_fetch *fetch = list_entry(node, struct fake_fetch, link);
        struct engine_wait *wait = fetch->wait;
        if (fetch->row != NULL && e->fetch_status == 0)
            fetch->row->cold = false;
        free(fetch);
        e->fetched++;
        wait->done(wait, e->fetch_status);
    }
    struct engine_scan *scan = e->scan;
    e->scan = NULL;
    if (scan != NULL)
        fake_scan_run(e, scan);
}

static inline void fake_engine_chill(struct engine *e)
{
    size_t at = 0;
    struct slice name;
    void *value;
    while (map_next(e->rows, &at, &name, &value))
        ((struct fake_row *)value)->cold = true;
}
