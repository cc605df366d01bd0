/* The front of a shard: what the sessions of one shard share, and where commands meet the shard.
 *
 * One per shard, used by that shard's thread only, or by who holds the shard. It lists the sessions
 * (in order of their ids), keeps those that wait for time or room, and the shard's part of the slow
 * log and of command statistics. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct front;
struct node;
struct shard;

/* What the fronts of a node share. */
struct front_group;
struct front_group *front_group_create(struct node *node);
void front_group_free(struct front_group *group);

/* One for each shard, before its first session. */
struct front *front_create(struct front_group *group, struct shard *shard);
void front_free(struct front *f); /* all sessions are gone */

/* After each shard_turn_end(), and after shard_synced() and shard_unheld(): passes on replies that
 * other shards' clients wait for, closes who is to be closed. */
void front_turn_end(struct front *f);

/* The server is about to end: who waits for the check of a password is closed. */
void front_drain(struct front *f);

unsigned front_sessions(const struct front *f);
