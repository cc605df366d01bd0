/* The partition map as bytes: all of it, or what changed since an epoch. One format for both, for
 * snapshots of the cluster log, for new nodes and for those that are behind; numbers are little
 * endian.
 *
 *   u8 format 1 | u8 zero | u16 partitions | u64 since | u64 epoch | u64 forgotten
 *   u16 n | n x member     changed after `since`, ascending by id
 *             u64 id | u64 epoch | u16 weight | u16 client port | u16 peer port | u8 state
 *             | u8 length | zone | u8 length | host
 *   u16 n | n x removed    after `since`, ascending by epoch:  u64 id | u64 epoch
 *   u8 n  | n x layer      all of them:  u64 epoch | u8 mode | u8 replicas
 *   u32 n | n x row        changed after `since`, ascending by layer and partition
 *             u8 layer | u16 partition | u64 epoch | u8 stage | set | set
 *             set: u8 n | n x (u64 replica | u64 node)
 *
 * Decoding trusts nothing: what comes out satisfies the invariants of ring/map.h, or an error
 * does. For one map and one `since` there is one encoding. */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "ring/map.h"

/* What changed after `since`; all of it where `since` is 0, or so long ago that removals since then
 * are forgotten. */
void ring_map_encode(struct buffer *out, const struct ring_map *map, uint64_t since);
/* A whole map. ST_VERSION; ST_PROTOCOL: malformed, or not whole. */
int ring_map_decode(struct slice bytes, struct ring_map **ret_map);
/* Brings *map to the epoch of the bytes; news that are not newer change nothing. On failure *map is
 * as it was. ST_VERSION; ST_PROTOCOL; ST_AGAIN: they begin after the map's epoch: ask for what
 * changed since that. */
int ring_map_apply(struct ring_map **map, struct slice bytes);
