/* Who a data directory is: the small text file `torc.identity`, replaced atomically.
 *
 *     torc-identity 1
 *     cluster=<32 hex digits>
 *     node=<16 hex digits>
 *     log=<16 hex digits>
 *     log-ready=<0 or 1>
 *     actor=<16 hex digits>
 *     boot=<up to 63 of [0-9a-z-]>
 *     clean=<0 or 1>
 *     durable=<0 or 1>
 *     clock=<16 hex digits>
 *     crc=<8 hex digits of the CRC-32C of all lines above>
 *
 * The first line ends in the format version; a newer one is refused before anything else is read.
 * Every line is there, once, in this order. It is saved when the process starts (clean=0) and when
 * it ends (clean=1), and whenever the clock's reservation is used up.
 *
 * The actor names this replica in one unbroken life (dots are actor and counter, and no dot may be
 * given twice). It is kept only when the past is provably complete: see identity_actor_fresh(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "store/disk.h"

#define IDENTITY_FILE       "torc.identity"
#define IDENTITY_VERSION    1
#define IDENTITY_BYTES_MAX  4096
#define IDENTITY_BOOT_BYTES 64

struct identity {
    uint8_t cluster_id[16];
    uint64_t node_id;
    uint64_t log_id;
    bool log_ready; /* an open of the log has succeeded: its segments must be there */
    uint64_t actor;
    char boot_id[IDENTITY_BOOT_BYTES]; /* of the operating system at the last start; "" unknown */
    bool clean;                        /* the last run ended in order, its log synced */
    bool durable;       /* every run with this actor acknowledged only what was synced */
    uint64_t clock_max; /* hybrid clock: no stamp above was given; start above */
};

/* What is known at a start about the time since the last one. */
struct identity_past {
    const char *boot_id; /* now; "" unknown */
    bool log_torn;       /* recovery cut a torn tail */
    bool log_loss;       /* a loss was accepted, or a snapshot restored */
};

/* Whether the next run must take a fresh actor. The past is complete when the log lost nothing
 * that was handed out: the last run ended cleanly, or it was killed within the same boot (what was
 * written is in the page cache), or nothing ever left before it was synced. */
bool identity_actor_fresh(const struct identity *id, const struct identity_past *past);

void identity_encode(struct buffer *out, const struct identity *id);
/* ST_CORRUPT: damaged or not an identity. ST_VERSION: a newer format. */
int identity_decode(struct slice text, struct identity *ret_id);

/* ST_NOTFOUND: a new directory. */
int identity_load(struct disk *disk, struct identity *ret_id);
int identity_save(struct disk *disk, const struct identity *id);
