/* The Raft groups of one shard: they share a clock, the shard's batch in the commit log, one fsync,
 * and one frame a turn to each peer.
 *
 * Life: groups_create() before the log is replayed; groups_replay() for each of its LOG_ENTRY and
 * LOG_HARDSTATE records; groups_recover() behind the last one (and node_recovered()); then turns:
 * shard_turn_begin(), messages, proposals and reads, groups_turn(), shard_turn_end(). A group's id
 * is the number of the partition that it replicates. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/group.h"
#include "node/shard.h"

struct groups;

struct groups_options {
    struct shard *shard;
    struct group_machine *machine; /* of all groups */
    uint64_t cluster, node;        /* who we are */
    /* Of the data directory: not shared by a copy of it, nor by one that was restored. Replicas
     * found under another birth don't come back as their former selves. */
    uint64_t birth;
    struct raft_limits limits;
    /* A session unused for so many log indexes is evicted: the same at all replicas, for ever.
     * 0: GROUP_SESSION_IDLE. */
    uint64_t session_idle_entries;
    uint64_t log_keep_bytes; /* applied entries kept for followers that are behind, of one group */
};

int groups_create(const struct groups_options *options, struct groups **ret_groups);
void groups_free(struct groups *gs); /* no work may be under way */

int groups_replay(struct groups *gs, const struct log_record *record);
int groups_recover(struct groups *gs);

/* A replica of the group here. With an empty config it waits to be added by a leader; else `config`
 * is what the group begins with, the same at each founder. id: of the replica, random, never used
 * before. ST_EXISTS. */
int groups_add(struct groups *gs, uint32_t group, uint64_t id, const struct raft_config *config);
/* Forgets the replica and its log; its rows stay until the next replica installs a snapshot. */
int groups_destroy(struct groups *gs, uint32_t group);

struct group *groups_find(struct groups *gs, uint32_t group); /* NULL: none here */
/* All groups, ascending by id: `*at` from 0. NULL at the end. */
struct group *groups_next(struct groups *gs, uint32_t *at);

/* A frame from a peer. Anything may be in it. */
void groups_message(struct groups *gs, struct slice frame);

/* In each turn, last before shard_turn_end(): what is due, durable or proposed goes on; messages
 * leave; callbacks run. Asks env for another turn itself when it has more to do. */
void groups_turn(struct groups *gs);

/* The log below is not needed by the groups; at most engine_flushed_lsn() is to be cut anyway. */
uint64_t groups_retain_lsn(struct groups *gs);
/* Writes forward what keeps the log from being cut up to lsn, and gives up on followers that are
 * behind it. What is not flushed yet stays: flush first. */
void groups_rewrite(struct groups *gs, uint64_t lsn);

/* Hands away a leadership or two when this shard leads more than its share. */
void groups_balance(struct groups *gs);

struct groups_counters {
    uint64_t groups, leading;
    uint64_t frames_out, messages_out, bytes_out;
    uint64_t frames_in, messages_in;
    uint64_t dropped_cluster, dropped_group, dropped_malformed; /* what came and was not for us */
    uint64_t dropped_room; /* what came while the log had no room */
    uint64_t elections, entries, commands, applied, reads;
    uint64_t snapshots_sent, snapshots_installed, sessions_evicted, stopped;
};
void groups_counters(const struct groups *gs, struct groups_counters *ret_counters);
