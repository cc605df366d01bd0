/* All string keys of a server's keyspace with values and expiries, in no order: SCAN, and pipelined
 * questions about each portion. A key that changes meanwhile may come with either value; one that
 * is there all the time comes at least once. Other types are counted and left. */
#pragma once

#include "cli/client.h"

#define SCAN_TYPES_MAX 16

struct scan_item {
    struct slice key, value;
    int64_t ttl_ms;        /* 0: it does not expire */
    int64_t expires_at_ms; /* 0 likewise; since 1970, exact when the server knows PEXPIRETIME */
};

struct scan_counts {
    uint64_t keys, strings;
    uint64_t vanished; /* expired or deleted while the scan went on */
    struct {
        char type[24];
        uint64_t keys;
    } left[SCAN_TYPES_MAX]; /* by type; the last one takes what has no room */
    size_t left_count;
};

typedef int (*scan_visit)(void *ctx, const struct scan_item *item, struct failure *failure);

/* match NULL: all keys. Ends at the first failure, of the server or of `visit`. */
int scan_run(struct client *source, const char *match, scan_visit visit, void *ctx,
             struct scan_counts *counts, struct failure *failure);

/* How many keys there are, for a progress bar; 0 when the server does not say. */
uint64_t scan_estimate(struct client *source);
