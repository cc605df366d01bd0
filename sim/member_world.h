/* Members (src/member) on a simulated network, from 1 to some thousand: datagrams are lost, delayed
 * and reordered, sometimes recorded and sent again; streams arrive or do not. Nodes crash, come
 * back with another address, leave, are cut off.
 *
 * What must hold always is checked here, and fails the world:
 *   invented   somebody holds of a node what it never was
 *   backwards  what somebody holds of a node gets older
 *   replay     a packet that was delivered is taken once more
 *   refused    somebody is refused, though nobody should be */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "member/member.h"
#include "sim/world.h"

struct member_world;

struct member_world_net { /* may be changed while it runs */
    uint32_t loss_permille;
    uint64_t delay_min_us, delay_max_us;
    bool replays;
};

/* Nodes have ids from 1 on, none runs yet. */
struct member_world *member_world_new(struct world *w, unsigned nodes,
                                      const struct member_limits *limits);
void member_world_free(struct member_world *mw);
struct member_world_net *member_world_net(struct member_world *mw);

void member_world_start(struct member_world *mw, unsigned node); /* joins through others */
void member_world_stop(struct member_world *mw, unsigned node);  /* as kill -9 does */
void member_world_leave(struct member_world *mw, unsigned node); /* stops when it is told */
void member_world_move(struct member_world *mw,
                       unsigned node); /* another address from its next start */
void member_world_set(struct member_world *mw, unsigned node); /* other metadata */
/* Nodes reach those of their own side only. */
void member_world_side(struct member_world *mw, unsigned node, unsigned side);

unsigned member_world_nodes(const struct member_world *mw);
struct member_core *member_world_core(const struct member_world *mw,
                                      unsigned node); /* NULL: down */

/* Told of each change that a node sees. */
typedef void (*member_world_changed)(void *ctx, unsigned at, const struct member *member);
void member_world_watch(struct member_world *mw, member_world_changed changed, void *ctx);

/* Whether everybody who runs sees everybody as he is, and nothing is left to tell. If not, why. */
bool member_world_settled(const struct member_world *mw, char *ret_why, size_t why_bytes);

/* A random history of some minutes: crashes, moves, leaves, partitions, loss; then all is well
 * again, and everybody must know. Fails the world if not. */
void member_chaos(struct world *w, unsigned nodes);
