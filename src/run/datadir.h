/* The data directory: who it is, that nobody else uses it, and its parts.
 *
 *   torc.identity   cluster, node, log, actor, clock: store/identity.h
 *   torc.lock       held while a process uses the directory
 *   torc.ballast    room for a start on a full disk: run/ballast.h
 *   log/            segments of the commit log, and how far it is synced: run/synced_file.h
 *   rocks/          the cold tier; its meta rows: "birth", "log" (below), "keyspaces" (node/node.h)
 *   snapshots/      copies of all this, each usable as a data directory
 *
 * "birth" is text: `partitions=256 node=NAME`, what was chosen when the directory was made.
 * "log" is text: `id=HEX needed=POSITION`, the log that the tier was filled from, and from where on
 * the tier needs it; written before the log is cut there, so a log that begins above has a gap. */
#pragma once

#include <stdbool.h>

#include "node/config.h"
#include "run/ballast.h"
#include "store/disk.h"
#include "store/identity.h"
#include "store/tier.h"

#define DATADIR_ERROR_BYTES 1024
/* Stamps are reserved so far ahead of the clock, and anew when half of it is used. */
#define DATADIR_CLOCK_AHEAD_MS 20000

struct datadir {
    struct disk *disk, *log_disk;
    int lock_fd;
    struct identity identity;
    struct synced_file *log_synced; /* may be NULL */
    struct ballast ballast;
    struct tier *tier;
    char *path;
    unsigned partitions;
    uint64_t log_needed; /* as in "log"; 0: not known, of a directory that an older Torc made */
    char name[65];       /* of the node */
};

/* Locks, reads or makes the identity, opens the cold tier. */
int datadir_open(const struct settings *s, const struct config_sizes *sizes,
                 struct tier_policy policy, struct datadir *ret_dir,
                 char error[DATADIR_ERROR_BYTES]);
/* The log has been opened: settles actor and clock for this run and saves the identity. */
int datadir_begin(struct datadir *dir, const struct settings *s, bool log_torn, bool log_loss,
                  uint64_t now_ms);
/* Reserves stamps ahead of now when due; *ret_moved tells whether clock_max moved. */
int datadir_reserve(struct datadir *dir, uint64_t now_ms, bool *ret_moved);
/* The log below this position is needed no more. */
int datadir_log_needed(struct datadir *dir, uint64_t lsn);
/* In order: the log is synced and closed, last_stamp is the highest given. */
int datadir_end(struct datadir *dir, uint64_t last_stamp);
void datadir_close(struct datadir *dir);
