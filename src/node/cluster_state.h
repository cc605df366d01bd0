/* What the cluster log agrees on: members, the partition map with the moves in progress, keyspaces,
 * settings of the cluster, and feature switches. A state machine without I/O: whoever applies the
 * same commands in the same order has the same state, byte for byte.
 *
 * Each command that is obeyed makes a new epoch, which what it changed carries; a command that is
 * refused changes nothing and says why in a sentence. Who read an epoch and proposes a change names
 * it: of changes that race one wins and the others get ST_AGAIN.
 *
 * Guarantees
 * - Ids are never reused: of members (as long as the map remembers them, see ring/map.h), replicas,
 *   keyspaces and their incarnations.
 * - A partition is in one move at a time. Its owners, and in the stages where both sets count those
 *   to come too, have a majority that is not taken for dead; so have the voters of this log.
 * - Protocol versions of all members have one in common, and each knows all features that are on.
 *
 * Not guaranteed: that a keyspace has as many replicas as it wants while members are taken for
 * dead; that a stage of a move has been reached on the nodes when it is recorded here: the driver
 * records it after that (and before it, where the next stage is what tells the nodes to go on). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "node/cluster_command.h"
#include "ring/map.h"

#define CLUSTER_NAME_BYTES_MAX  63u /* of members, keyspaces and settings */
#define CLUSTER_VALUE_BYTES_MAX 255u
#define CLUSTER_KEYSPACES_MAX   1024u
#define CLUSTER_SETTINGS_MAX    128u
#define CLUSTER_FEATURES_MAX    64u
#define CLUSTER_VOTERS_MAX      5u
/* Of keyspaces and their incarnations together; the end of it is an error, not a second round. */
#define CLUSTER_KEYSPACE_ID_MAX UINT32_MAX
#define CLUSTER_KEYSPACE_ZERO   1u /* the keyspace "0" that every cluster has; never dropped */

/* What the map does not say of a member. */
struct cluster_member {
    uint64_t id;
    uint64_t heir;     /* RING_REMOVING: who gets its partitions; 0: whoever should */
    uint64_t features; /* that it knows, a bit each */
    uint16_t version_min, version_max;
    char name[CLUSTER_NAME_BYTES_MAX + 1]; /* no two have the same */
};

struct cluster_keyspace {
    uint32_t id;
    uint32_t incarnation; /* what records carry; no number is an id or incarnation twice */
    uint64_t epoch;
    uint64_t ttl_ms; /* 0: none */
    uint8_t layer;   /* of the map: mode and replicas */
    char name[CLUSTER_NAME_BYTES_MAX + 1];
};

struct cluster_setting {
    char name[CLUSTER_NAME_BYTES_MAX + 1];
    char value[CLUSTER_VALUE_BYTES_MAX + 1];
};

struct cluster_state;

struct cluster_state *cluster_state_create(void); /* before CLUSTER_FOUND: epoch 0, no map */
void cluster_state_free(struct cluster_state *s);

void cluster_state_apply(struct cluster_state *s, struct slice command,
                         struct cluster_result *ret_result);

/* All of it (cluster_code.c). One state has one encoding. ST_VERSION; ST_PROTOCOL: malformed, or no
 * state that commands lead to. */
void cluster_state_encode(struct buffer *out, const struct cluster_state *s);
int cluster_state_decode(struct slice bytes, struct cluster_state **ret_state);
/* NULL, or the guarantee above that is broken; for tests. */
const char *cluster_state_broken(const struct cluster_state *s);

/* --- looking; what is returned is the state's, good until it changes --- */

uint64_t cluster_state_id(const struct cluster_state *s); /* 0: not founded */
uint64_t cluster_state_epoch(const struct cluster_state *s);
const struct ring_map *cluster_state_map(const struct cluster_state *s); /* NULL: not founded */
/* Ascending by id, as in the map. */
const struct cluster_member *cluster_state_members(const struct cluster_state *s,
                                                   unsigned *ret_count);
const struct cluster_member *cluster_state_member(const struct cluster_state *s, uint64_t id);
/* Ascending by id. */
const struct cluster_keyspace *cluster_state_keyspaces(const struct cluster_state *s,
                                                       unsigned *ret_count);
const struct cluster_keyspace *cluster_state_keyspace(const struct cluster_state *s,
                                                      struct slice name);
/* No keyspace has this incarnation, and none ever will: its rows may go. */
bool cluster_state_dropped(const struct cluster_state *s, uint32_t incarnation);
/* NULL: the default. */
const char *cluster_state_setting(const struct cluster_state *s, const char *name);
uint64_t cluster_state_features(const struct cluster_state *s);
const struct ring_set *cluster_state_voters(const struct cluster_state *s, uint64_t *ret_epoch);
/* The latest protocol version that all members speak. 0: there are no members. */
uint16_t cluster_state_version(const struct cluster_state *s);
