#include "sim/net.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"

#define LN2_16 45426 /* ln 2 in 16.16 fixed point */

struct packet {
    struct world_event event;
    struct list_node link;
    struct net *net;
    unsigned from, to;
    size_t len;
    uint8_t bytes[];
};

struct link {
    struct prng random;
    uint64_t last_us;    /* arrival of the last message that keeps its order */
    uint64_t clogged_us; /* nothing arrives before */
    unsigned blocks;
};

struct endpoint {
    net_receive receive;
    void *ctx;
};

struct net {
    struct world *world;
    unsigned endpoints;
    struct net_rates rates;
    struct endpoint endpoint[NET_ENDPOINTS_MAX + 1];
    struct link *links; /* [from][to] */
    struct list_head packets;
    uint64_t in_flight;
    struct net_stats stats;
};

/* -ln(u) of a uniform u is exponentially distributed; the logarithm from the number of leading
 * zeros and, linearly between, the bits behind the first one. */
uint64_t net_exponential(struct prng *random, uint64_t mean)
{
    uint64_t r = prng_u64(random) | 1;
    unsigned zeros = (unsigned)__builtin_clzll(r);
    uint64_t fraction = zeros == 63 ? 0 : (r << (zeros + 1)) >> 48;
    uint64_t log2_16 = ((uint64_t)(zeros + 1) << 16) - fraction;
    uint64_t value = (uint64_t)((unsigned __int128)mean * log2_16 * LN2_16 >> 32);
    return value < 20 * mean ? value : 20 * mean;
}

/* Mostly small, sometimes up to max. */
static unsigned draw_permille(struct prng *random, unsigned max)
{
    uint64_t value = prng_below(random, max + 1) * prng_below(random, 1001) / 1000;
    return prng_below(random, 2) == 0 ? 0 : (unsigned)value;
}

struct net_rates net_rates_draw(struct prng *random)
{
    struct net_rates r = {.delay_min_us = 50 + prng_below(random, 500)};
    bool quick = prng_below(random, 5) < 3;
    r.delay_mean_us = quick ? 200 + prng_below(random, 4800) : 30000 + prng_below(random, 70000);
    r.loss_permille = draw_permille(random, 100);
    r.double_permille = draw_permille(random, 250);
    r.reorder_permille = draw_permille(random, 500);
    return r;
}

static struct link *link_at(const struct net *n, unsigned from, unsigned to)
{
    CHECK(from >= 1 && from <= n->endpoints);
    CHECK(to >= 1 && to <= n->endpoints);
    return &n->links[(from - 1) * n->endpoints + to - 1];
}

struct net *net_new(struct world *w, unsigned endpoints, const struct net_rates *rates)
{
    CHECK(endpoints >= 1 && endpoints <= NET_ENDPOINTS_MAX);
    struct net *n = mem_zalloc(sizeof(*n));
    n->world = w;
    n->endpoints = endpoints;
    n->rates = *rates;
    n->links = mem_zalloc((size_t)endpoints * endpoints * sizeof(*n->links));
    for (unsigned i = 0; i < endpoints * endpoints; i++)
        n->links[i].random = world_prng(w, "link", i);
    list_init(&n->packets);
    return n;
}

static void packet_free(struct packet *p)
{
    world_cancel(p->net->world, &p->event);
    list_remove(&p->link);
    p->net->in_flight--;
    free(p);
}

void net_free(struct net *n)
{
    if (n == NULL)
        return;
    list_foreach_safe (node, spare, &n->packets)
        packet_free(list_entry(node, struct packet, link));
    free(n->links);
    free(n);
}

void net_attach(struct net *n, unsigned id, net_receive receive, void *ctx)
{
    CHECK(id >= 1 && id <= n->endpoints);
    n->endpoint[id] = (struct endpoint){.receive = receive, .ctx = ctx};
}

unsigned net_endpoints(const struct net *n)
{
    return n->endpoints;
}

static bool chance(struct prng *random, unsigned permille)
{
    return prng_below(random, 1000) < permille;
}

/* Arrival. What happens to the sender meanwhile does not matter, what happens to the link does. */
static void packet_arrive(struct world_event *event)
{
    struct packet *p = container_of(event, struct packet, event);
    struct net *n = p->net;
    struct link *l = link_at(n, p->from, p->to);
    if (l->blocks > 0) {
        n->stats.blocked++;
        packet_free(p);
        return;
    }
    if (l->clogged_us > world_now_us(n->world)) {
        n->stats.held_back++;
        world_at(n->world, &p->event, l->clogged_us); /* in their order: ties by insertion */
        return;
    }
    const struct endpoint *to = &n->endpoint[p->to];
    n->stats.delivered++;
    world_trace(n->world, p->to, "deliver", {"from", p->from}, {"bytes", p->len});
    world_trace_bytes(n->world, slice_make(p->bytes, p->len));
    if (to->receive != NULL)
        to->receive(to->ctx, p->from, slice_make(p->bytes, p->len));
    packet_free(p);
}

static void packet_send(struct net *n, unsigned from, unsigned to, struct slice bytes)
{
    struct link *l = link_at(n, from, to);
    uint64_t delay_us = n->rates.delay_min_us + net_exponential(&l->random, n->rates.delay_mean_us);
    bool reorder = chance(&l->random, n->rates.reorder_permille);
    uint64_t at_us = world_now_us(n->world) + delay_us;
    if (n->in_flight == NET_IN_FLIGHT_MAX) {
        n->stats.overflown++;
        return;
    }
    if (reorder)
        n->stats.reordered += at_us < l->last_us;
    else
        at_us = l->last_us = at_us > l->last_us ? at_us : l->last_us;
    struct packet *p = mem_alloc(sizeof(*p) + bytes.len);
    *p = (struct packet){.net = n, .from = from, .to = to, .len = bytes.len};
    p->event.fire = packet_arrive;
    if (bytes.len > 0)
        memcpy(p->bytes, bytes.data, bytes.len);
    list_push_back(&n->packets, &p->link);
    n->in_flight++;
    world_at(n->world, &p->event, at_us);
}

void net_send(struct net *n, unsigned from, unsigned to, struct slice bytes)
{
    CHECK(bytes.len <= NET_FRAME_MAX_BYTES);
    struct link *l = link_at(n, from, to);
    bool lose = chance(&l->random, n->rates.loss_permille);
    bool twice = chance(&l->random, n->rates.double_permille);
    n->stats.sent++;
    n->stats.bytes += bytes.len;
    if (l->blocks > 0) {
        n->stats.blocked++;
        return;
    }
    if (lose)
        n->stats.lost++;
    else
        packet_send(n, from, to, bytes);
    if (twice) {
        n->stats.doubled++;
        packet_send(n, from, to, bytes);
    }
}

void net_set_rates(struct net *n, const struct net_rates *rates)
{
    n->rates = *rates;
}

const struct net_rates *net_rates(const struct net *n)
{
    return &n->rates;
}

void net_block(struct net *n, unsigned from, unsigned to)
{
    link_at(n, from, to)->blocks++;
}

void net_unblock(struct net *n, unsigned from, unsigned to)
{
    struct link *l = link_at(n, from, to);
    if (l->blocks > 0) /* 0: healed in the meantime */
        l->blocks--;
}

bool net_blocked(const struct net *n, unsigned from, unsigned to)
{
    return link_at(n, from, to)->blocks > 0;
}

void net_clog(struct net *n, unsigned from, unsigned to, uint64_t until_us)
{
    struct link *l = link_at(n, from, to);
    if (until_us > l->clogged_us)
        l->clogged_us = until_us;
}

void net_heal(struct net *n)
{
    for (unsigned i = 0; i < n->endpoints * n->endpoints; i++) {
        n->links[i].blocks = 0;
        n->links[i].clogged_us = 0; /* what is held back already comes when it would have */
    }
}

const struct net_stats *net_stats(const struct net *n)
{
    return &n->stats;
}
