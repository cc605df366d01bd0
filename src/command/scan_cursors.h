/* SCAN's cursors: numbers that name where a scan has got to.
 *
 * A scan from its start takes one of SCAN_CURSORS_MAX places, the one unused for longest, and keeps
 * it to its end. A place knows two numbers: the latest, and the one before, for a client that asks
 * again because it never saw the answer. Numbers are below 2^53, never 0, never used twice in a
 * life of the server, and begin at random, so one from an earlier life is most likely unknown.
 *
 * One table a node, used by all shards' threads: it has a lock of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

#define SCAN_CURSORS_MAX 4096

struct scan_position {
    unsigned partition;
    bool has_key; /* go on behind this key; else from the partition's first */
    struct slice key;
};

struct scan_cursors;

struct scan_cursors *scan_cursors_create(uint64_t seed);
void scan_cursors_destroy(struct scan_cursors *t); /* NULL is allowed */

/* Where `cursor` has got to; the key's bytes go to *key. ST_NOTFOUND: unknown, or dropped. */
int scan_cursors_find(struct scan_cursors *t, uint64_t cursor, struct buffer *key,
                      struct scan_position *ret_position);

/* The scan that had got to `from` (0: a new one) has now got to `position`, which is copied.
 * Returns its new number; *ret_evicted: another scan lost its place. */
uint64_t scan_cursors_advance(struct scan_cursors *t, uint64_t from,
                              const struct scan_position *position, bool *ret_evicted);

/* The scan is over: its place is the next to be taken. */
void scan_cursors_finish(struct scan_cursors *t, uint64_t from);
