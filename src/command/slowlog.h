/* The slow log: the latest commands that took long, each shard its own; SLOWLOG merges them.
 *
 * Arguments are cut as Redis cuts them: 32 at most, 128 bytes each, with a note of what is missing.
 * So an entry takes at most some 5 KB. */
#pragma once

#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"

#define SLOWLOG_ARGS_MAX      32
#define SLOWLOG_ARG_BYTES_MAX 128

struct slowlog_entry {
    struct list_node link;
    uint64_t id; /* of the shard's: dense from 0 */
    uint64_t at_ms;
    uint64_t took_us;
    char *peer, *name;
    unsigned argc;
    struct slice argv[SLOWLOG_ARGS_MAX]; /* owned */
};

struct slowlog {
    struct list_head entries; /* struct slowlog_entry, newest first */
    unsigned count;
    uint64_t next_id;
};

struct slowlog *slowlog_create(void);
void slowlog_destroy(struct slowlog *log); /* NULL is allowed */

struct slowlog_what {
    uint64_t at_ms, took_us;
    const struct slice *argv;
    int argc;
    const char *peer, *name; /* NULL: empty */
};
/* Copies it in; what is then beyond entries_max is dropped, oldest first. */
void slowlog_push(struct slowlog *log, const struct slowlog_what *what, unsigned entries_max);
void slowlog_clear(struct slowlog *log); /* ids go on */
