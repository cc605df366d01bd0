/* A network of endpoints, numbered from 1, that loses, doubles, delays and reorders what is sent,
 * each link and direction on its own.
 *
 * A message that is not picked for reordering never overtakes an earlier one of its link. A blocked
 * link drops what is sent over it and what is under way; a clogged one holds everything back and
 * delivers it later, as a stalled connection does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "sim/world.h"

#define NET_ENDPOINTS_MAX   64
#define NET_IN_FLIGHT_MAX   65536 /* messages; beyond they are dropped and counted */
#define NET_FRAME_MAX_BYTES (UINT64_C(64) << 20)

struct net;

struct net_rates {
    unsigned loss_permille, double_permille, reorder_permille;
    uint64_t delay_min_us, delay_mean_us; /* mean of what comes on top, exponentially distributed */
};

typedef void (*net_receive)(void *ctx, unsigned from, struct slice bytes);

/* What a workload may take for a run: short delays or long ones, and none, little or much of each
 * trouble. */
struct net_rates net_rates_draw(struct prng *random);

struct net *net_new(struct world *w, unsigned endpoints, const struct net_rates *rates);
void net_free(struct net *n);
void net_attach(struct net *n, unsigned id, net_receive receive, void *ctx);
unsigned net_endpoints(const struct net *n);

/* Copies. To itself too, through the same trouble. */
void net_send(struct net *n, unsigned from, unsigned to, struct slice bytes);

void net_set_rates(struct net *n, const struct net_rates *rates);
const struct net_rates *net_rates(const struct net *n);
/* Blocks of several partitions add up; each is taken away by itself. */
void net_block(struct net *n, unsigned from, unsigned to);
void net_unblock(struct net *n, unsigned from, unsigned to);
bool net_blocked(const struct net *n, unsigned from, unsigned to);
void net_clog(struct net *n, unsigned from, unsigned to, uint64_t until_us);
void net_heal(struct net *n); /* no blocks, no clogs */

struct net_stats {
    uint64_t sent, delivered, lost, doubled, reordered, blocked, held_back, overflown, bytes;
};
const struct net_stats *net_stats(const struct net *n);

/* About exponentially distributed with this mean, at most 20 times it; integers only. */
uint64_t net_exponential(struct prng *random, uint64_t mean);
