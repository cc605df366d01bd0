/* The log of one Raft group inside the node's commit log.
 *
 * Entries are LOG_ENTRY records: group, index and term in the header, payload
 *
 *   u8 type (enum raft_entry_type, + 0x80 for a copy) | data
 *
 * An entry replaces what the group's log had from its index on. A copy replaces nothing: it is an
 * entry written forward, so that the segment it stood in may go.
 *
 * Term and vote are LOG_HARDSTATE records, the last one counts: term in the header, payload
 *
 *   u8 format 1 | u8 flags | u64 vote | u64 commit | u64 replica | u64 birth
 *   | u64 base index | u64 base term | u64 base stamp | u32 length | configuration
 *
 * flags: 1 all entries before this record are void, 2 the replica is gone from here, 4 it is
 * damaged and never comes back. `replica` and `birth` say whose vote it is: one replica in one life
 * of one data directory. The base is where the log begins: all up to its index is in the flushed
 * rows, `configuration` was in force there, and no command up to it has a stamp above its stamp.
 *
 * In memory is where each entry stands and its term; the data is read back when asked for, by a
 * work. A log without entries takes about 300 bytes.
 *
 * Retention: group_log_retain_lsn() is below all that a restart needs, and what was written forward
 * counts only once it is synced. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/work.h"
#include "node/env.h"
#include "raft/raft.h"
#include "store/log_batch.h"

#define GROUP_LOG_WINDOW_ENTRIES 128
#define GROUP_LOG_WINDOW_BYTES   (1u << 20) /* read at once; one entry may be larger */
#define GROUP_LOG_HOLE_MAX       (1u << 24) /* entries; more can't be missing in between */

struct group_log_entry {
    uint64_t lsn; /* 0: not written yet */
    uint64_t term;
    uint32_t bytes; /* of the data */
    uint8_t type;
};

struct group_log_config { /* an entry with a configuration */
    uint64_t index, term;
    struct buffer data;
};

struct group_log_state { /* what a LOG_HARDSTATE says, but for the configuration */
    uint64_t term, vote, commit;
    uint64_t replica, birth;
    uint64_t base_index, base_term, base_stamp;
    uint64_t damaged; /* 0, 1 */
};

struct group_log_window;

struct group_log {
    struct raft_reader reader; /* for the core */
    uint32_t group;
    struct env *env;
    struct group_log_state state;
    struct buffer config; /* encoded, in force at the base */
    bool found;           /* replay has seen a hardstate, and not the end of the replica */
    bool damaged;         /* replay has seen what can't be */
    struct group_log_config *configs; /* seen by replay, for the core's start */
    size_t configs_count;
    uint64_t stamp; /* none of a command seen by replay is above */

    struct group_log_entry *entries; /* of index first + i */
    uint64_t first;
    size_t count, cap, skip; /* entries[0..skip) are gone */
    uint64_t bytes;          /* data of all entries */

    uint64_t state_lsn;                           /* 0: not written yet */
    uint64_t written_lsn;                         /* end of the batch that had the last record */
    uint64_t held_lsn, next_lsn, next_synced_lsn; /* retention, see group_log_retain_lsn */

    struct group_log_window *window;
    void (*loaded)(struct group_log *log, int st); /* inside a turn, never inside a call */
};

void group_log_init(struct group_log *log, struct env *env, uint32_t group);
void group_log_free(struct group_log *log); /* not while busy */
bool group_log_busy(const struct group_log *log);

/* --- recovery --- */

/* A LOG_ENTRY or LOG_HARDSTATE of this group. ST_CORRUPT, ST_VERSION. */
int group_log_replay(struct group_log *log, const struct log_record *record);
/* After the last one: whether all is there behind the base. ST_CORRUPT. */
int group_log_check(const struct group_log *log);
/* All entries for raft_restore(), of commands without their data. What replay kept is freed. */
int group_log_restore(struct group_log *log, struct raft *raft);

/* The stamp that the data of a command entry begins with (node/group_apply.c); 0: none. */
uint64_t group_log_stamp(struct slice data);

/* --- writing, into the shard's batch --- */

void group_log_append(struct group_log *log, struct log_batch *batch,
                      const struct raft_entry *entry);
/* log->state and the configuration as they are. `reset` voids all entries, here too. */
void group_log_write_state(struct group_log *log, struct log_batch *batch, bool reset);
void group_log_write_end(struct group_log *log, struct log_batch *batch); /* it is gone */
/* The record, a view of log_batch_record(), was written; end_lsn: of its batch. */
void group_log_written(struct group_log *log, const struct log_record *record, uint64_t end_lsn);

/* All up to the index is in the flushed rows. It is in force with the next group_log_write_state().
 */
void group_log_set_base(struct group_log *log, uint64_t index, uint64_t term, uint64_t stamp,
                        const struct raft_config *config);

/* --- reading --- */

uint64_t group_log_last(const struct group_log *log); /* index; the base's when empty */
uint64_t group_log_term(const struct group_log *log, uint64_t index); /* from the base on */
const struct group_log_entry *group_log_entry(const struct group_log *log, uint64_t index);
/* As raft_reader.entries; log->loaded() follows ST_AGAIN. */
int group_log_entries(struct group_log *log, uint64_t first, uint64_t last, uint64_t bytes_max,
                      struct raft_entry *ret_entries, unsigned cap, unsigned *ret_count);
void group_log_forget_window(struct group_log *log); /* gives its memory back */

/* --- retention --- */

/* The log below is not needed. synced_lsn: of the commit log now. */
uint64_t group_log_retain_lsn(struct group_log *log, uint64_t synced_lsn);
/* Writes forward what stands below lsn, a window at a time: ST_AGAIN when entries are being read
 * for it, to be called again until it returns 0. */
int group_log_rewrite(struct group_log *log, struct log_batch *batch, uint64_t lsn);
