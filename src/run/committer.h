/* The committer: the commit log shared by all shard threads, with the threads that sync it and keep
 * spare segments ready.
 *
 * Guarantees
 * - committer_append() returns only when the bytes are written to the file; committer_synced_lsn()
 *   passes a position only when an fdatasync that covers it has succeeded.
 * - One fdatasync at a time, for all shards: `always` as soon as a turn's writes are unsynced,
 *   `everysec` each second, `never` at close.
 * - When a write or a sync fails, the process ends at once with EXIT_LOG_BROKEN: nothing is
 *   acknowledged after that. A full disk is no failure: committer_room() says no until there is
 *   room again.
 * - What committer_room() promised one shard it promises no other: batches that keep to it fit,
 *   in whatever order the shards append. It may wait a moment for a spare segment being made. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/config.h"
#include "run/synced_file.h"
#include "store/log.h"

#define EXIT_LOG_BROKEN 74 /* EX_IOERR */

struct committer;

struct committer_options {
    enum config_fsync policy;
    unsigned shards;
    uint64_t share_bytes;              /* always kept for each shard; 0: default */
    struct synced_file *synced_file;   /* told of each sync; outlives the committer; may be NULL */
    void (*synced)(void *ctx);         /* after a sync, under `always` or when one was asked for */
    void (*broken)(void *ctx, int st); /* NULL: log it and _exit(EXIT_LOG_BROKEN) */
    void *ctx;
};

/* How many spare segments the log has to keep ready so that the shares of so many shards fit. */
unsigned committer_spares(unsigned shards, uint64_t segment_bytes);

/* Takes the opened log over. The disk outlives the committer. */
int committer_create(struct disk *disk, struct log *log, const struct committer_options *options,
                     struct committer **ret_committer);
/* Syncs, writes the clean mark, frees the log. No append may be under way. */
int committer_close(struct committer *c);

/* Written to the file, and off the shard's promise; the caller empties the batch. ST_NOSPACE only
 * if the disk stayed full although committer_room() had promised; any other failure does not
 * return. */
int committer_append(struct committer *c, unsigned shard, struct log_batch *batch,
                     uint64_t *ret_end_lsn);
/* Promises the shard, on its thread, that one record of so many bytes fits, beside all that is
 * promised to others and a share for each shard: half of it for what its batch holds already, half
 * for a small record. Takes the place of the shard's promise before; 0 only gives that back. */
bool committer_room(struct committer *c, unsigned shard, uint64_t bytes);
/* Told by a shard thread when all of its turn is appended. Under `always`, on a disk that syncs in
 * well below a millisecond, it syncs right here: handing over to another thread and back costs more
 * than it gains, and the clients of one turn stay together. On a slower disk the sync thread does
 * it, and the shard goes on serving reads. */
void committer_turn_ended(struct committer *c);
bool committer_disk_full(const struct committer *c);

uint64_t committer_end_lsn(const struct committer *c);    /* any thread, no lock */
uint64_t committer_synced_lsn(const struct committer *c); /* any thread, no lock */

/* Syncs what was appended until now, whatever the policy, and waits for it. */
int committer_sync(struct committer *c);
/* The same without waiting: `synced` tells. */
void committer_sync_soon(struct committer *c);

/* log_read(); blocks, from any thread. */
int committer_read(struct committer *c, uint64_t lsn, struct buffer *scratch,
                   struct log_record *ret_record);

/* The log below lsn is not needed any more. Dead segments are recycled in the background. Nothing
 * is cut while a hold is in force (snapshots copy segments meanwhile). */
void committer_truncate(struct committer *c, uint64_t lsn);
void committer_hold(struct committer *c);
void committer_unhold(struct committer *c);

struct committer_stats {
    uint64_t appends, appended_bytes, syncs, sync_us_total, sync_us_max;
    uint64_t start_lsn, end_lsn, synced_lsn;
};
void committer_stats(struct committer *c, struct committer_stats *ret_stats);
