/* The partition map: who is in the cluster, and who owns which partition. What the cluster log
 * agrees on; every node has a copy, perhaps an older one.
 *
 * A layer is one copy of all partitions: the keyspaces of one mode and one number of replicas share
 * it. In a layer each partition has a row: the set of replicas that own it, and while it moves
 * another set and the stage of the move. A replica is named by its own id, of one unbroken life of
 * its disk, and the node that has it.
 *
 * Epochs: each command of the cluster log makes a new epoch of the map; members, layers and rows
 * carry the one they last changed in. So what changed since an epoch is what carries a greater one
 * (ring/map_code.h), and a request that names the epoch of the row it was routed by is known to be
 * late or not.
 *
 * Invariants: sets name members only, no node and no replica twice; owners are there from the day
 * a row is placed; an id that was removed is never a member again, as long as the removed are
 * remembered (the last RING_REMOVED_MAX). Whether a change is safe for the data is for the caller
 * to judge: this refuses only what makes no sense. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ring/member.h"

#define RING_LAYERS_MAX  8u
#define RING_REMOVED_MAX 1024u
#define RING_EPOCH_MAX   (UINT64_C(1) << 62)

enum ring_mode { RING_STRONG = 1, RING_QUORUM = 2 };

/* A step leads to the next stage of the row's mode, or back to the one before. */
enum ring_stage {
    RING_SETTLED = 0,
    RING_LEARN = 1, /* strong: who is to come learns; the owners own */
    RING_JOINT = 2, /* strong: majorities of both sets are needed (dissertation 4.3) */
    RING_WRITE_BOTH =
        3,             /* quorum: writes to both, reads from the owners; who comes is streamed to */
    RING_READ_NEW = 4, /* quorum: writes to both, reads from the other */
    RING_CLEANUP = 5,  /* done, and no way back: `owners` is the new set, `other` the old */
};

struct ring_replica {
    uint64_t id, node;
};

struct ring_set {
    uint8_t count;
    struct ring_replica list[RING_REPLICAS_MAX];
};

struct ring_row {
    uint64_t epoch; /* 0: never placed */
    uint8_t stage;
    struct ring_set owners;
    struct ring_set other; /* empty unless it moves: the set it moves to; in CLEANUP: came from */
};

struct ring_layer {
    uint64_t epoch;
    uint8_t mode;
    uint8_t replicas; /* wanted */
};

struct ring_map;

struct ring_map *ring_map_create(unsigned partitions); /* epoch 0, empty */
struct ring_map *ring_map_copy(const struct ring_map *map);
void ring_map_free(struct ring_map *map);

uint64_t ring_map_epoch(const struct ring_map *map);
unsigned ring_map_partitions(const struct ring_map *map);
/* Ascending by id. What these return is the map's, good until it changes; NULL: there is none. */
const struct ring_member *ring_map_members(const struct ring_map *map, unsigned *ret_count);
const struct ring_member *ring_map_member(const struct ring_map *map, uint64_t id);
bool ring_map_removed(const struct ring_map *map, uint64_t id);
unsigned ring_map_layers(const struct ring_map *map);
const struct ring_layer *ring_map_layer(const struct ring_map *map, unsigned layer);
const struct ring_row *ring_map_row(const struct ring_map *map, unsigned layer, unsigned partition);

/* Changes happen in an epoch: this begins the next one. A change that fails leaves all as it was.
 */
void ring_map_begin(struct ring_map *map);
/* Adds or replaces; the epoch in *member is not looked at. ST_INVALID, ST_LIMIT; ST_DENIED: the id
 * was removed. */
int ring_map_put_member(struct ring_map *map, const struct ring_member *member);
/* ST_NOTFOUND; ST_AGAIN: some row still names it. */
int ring_map_remove_member(struct ring_map *map, uint64_t id);
int ring_map_add_layer(struct ring_map *map, uint8_t mode, unsigned replicas, unsigned *ret_layer);
int ring_map_set_replicas(struct ring_map *map, unsigned layer, unsigned replicas);
/* The first owners. ST_NOTFOUND: no such row; ST_EXISTS: it has some; ST_INVALID: the set. */
int ring_map_place(struct ring_map *map, unsigned layer, unsigned partition,
                   const struct ring_set *owners);
/* ST_NOTFOUND; ST_EXISTS: it moves already; ST_INVALID: the set, or it owns the partition. */
int ring_map_move(struct ring_map *map, unsigned layer, unsigned partition,
                  const struct ring_set *to);
/* One stage on or back. From the first stage back, or from CLEANUP on, is SETTLED. ST_NOTFOUND;
 * ST_INVALID: no step leads there. */
bool ring_map_may_step(const struct ring_map *map, unsigned layer, unsigned partition,
                       enum ring_stage stage);
int ring_map_step(struct ring_map *map, unsigned layer, unsigned partition, enum ring_stage stage);

bool ring_set_has_node(const struct ring_set *set, uint64_t node);
