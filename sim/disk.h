/* A disk in memory that forgets like a real one.
 *
 * What was written but not synced is, at sim_disk_crash(), lost, kept or torn page by page (512
 * bytes), each page independently at any of the versions it had since the last sync: so writes are
 * reordered as well. File sizes behave alike. Names (created, renamed, removed) persist in order up
 * to a random point since the last sync_dir (a journaling file system). Everything is decided by
 * the seed.
 *
 * Who a disk is: sim_disk_birth() is a number that stays with the contents over crashes and that no
 * copy and no wiped disk shares with what it came from (as a file system's own identity does).
 *
 * Faults: stop_at_op makes the n-th changing call and all after it fail with ST_IO, as if the
 * process died there (the call itself may have happened in part); fail_sync makes syncs fail and
 * forget the dirty pages, as Linux does; capacity is a full disk; flip and rot are bit rot; wipe
 * takes everything. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/disk.h"

struct sim_disk;

struct sim_disk *sim_disk_new(void);
void sim_disk_free(struct sim_disk *d); /* open files die with it */
struct disk *sim_disk_disk(struct sim_disk *d);

/* Power cut: keeps what is durable and a random part of the rest, and closes all files (handles
 * from before must not be used, but for close). Ends stop_at_op. */
void sim_disk_crash(struct sim_disk *d, uint64_t seed);

/* kill -9: nothing is lost, only the handles. Ends stop_at_op. */
void sim_disk_kill(struct sim_disk *d);

/* A new disk with the same contents, all of it durable. */
struct sim_disk *sim_disk_clone(struct sim_disk *d);

/* Nothing is left of it; the handles are gone as at sim_disk_kill(). */
void sim_disk_wipe(struct sim_disk *d);

uint64_t sim_disk_birth(const struct sim_disk *d);

void sim_disk_stop_at_op(struct sim_disk *d, uint64_t op); /* counted from now, 0: the next */
bool sim_disk_stopped(const struct sim_disk *d);           /* whether that moment came */
uint64_t sim_disk_ops(const struct sim_disk *d);           /* changing calls so far */

void sim_disk_fail_sync(struct sim_disk *d, bool fail);
void sim_disk_fail_write(struct sim_disk *d, bool fail);
void sim_disk_capacity(struct sim_disk *d, uint64_t bytes); /* 0: unlimited */
uint64_t sim_disk_used(const struct sim_disk *d);

/* A copy of the contents (the caller frees it), or NULL when there is no such file; and rot. */
uint8_t *sim_disk_bytes(struct sim_disk *d, const char *name, uint64_t *ret_len);
void sim_disk_flip(struct sim_disk *d, const char *name, uint64_t offset, unsigned bit);

/* Flips one bit, picked by the seed, in one of the pages that hold anything. false: there is none.
 */
bool sim_disk_rot(struct sim_disk *d, uint64_t seed, const char **ret_name, uint64_t *ret_offset);
