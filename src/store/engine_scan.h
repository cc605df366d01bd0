/* A scan under way; shared by engine_scan.c (the owner's thread) and engine_cold.c (the worker's).
 *
 * At the start the unflushed rows of the range are collected as views (hot), dead ones too because
 * they hide rows of the tier, until limit_rows + 1 live ones are there: more can't be needed. The
 * table is pinned so that the views keep their bytes. With the tier snapshot of the same moment,
 * the worker merges both into the result. */
#pragma once

#include <stdatomic.h>

#include "store/engine_private.h"

struct scan_hot {
    struct slice key, value;
    uint64_t expire_ms;
    bool live;
};

struct scan_block {
    struct scan_block *next;
    uint8_t bytes[];
};

struct scan_part { /* of those that have rows in the tier */
    uint16_t partition;
    uint32_t generation;
};

struct scan_impl {
    struct engine *e;
    struct engine_scan *scan; /* NULL once cancelled */
    struct list_node link;    /* in e->scans_waiting */
    struct engine_scan ask;   /* what was asked; the slices point into `bounds` */
    struct buffer bounds;
    struct scan_hot *hot;
    size_t hot_count, hot_cap;
    struct scan_part *parts; /* ascending */
    size_t parts_count;
    struct tier_snapshot *snapshot;
    struct work work;
    bool running;
    atomic_bool cancelled;
    int st;
    /* the result */
    struct engine_row *rows;
    uint64_t count, cap, bytes;
    bool more;
    struct scan_block *blocks; /* bytes of the rows */
    uint8_t *at;               /* free room in the first block */
    size_t room;
};

/* Adds a copy of a live row. ST_OK; ST_LIMIT: limit_bytes is used up; ST_NOTFOUND: there were
 * limit_rows already, scan is at its end with `more`. */
int scan_add(struct scan_impl *s, struct slice key, struct slice value, uint64_t expire_ms);

/* Merges hot rows and those of the tier into the result; any thread. */
int scan_cold(struct scan_impl *s);
