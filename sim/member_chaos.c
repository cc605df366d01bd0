/* A random history for members; see member_world.h. */
#include "base/check.h"
#include "base/list.h"
#include "sim/member_world.h"

#define NODES_MAX      64
#define TROUBLE_US     UINT64_C(90000000)
#define BETWEEN_US_MAX UINT64_C(4000000)
/* A suspicion that goes back to the trouble is refuted by then, or was right. */
#define CALM_US    UINT64_C(15000000)
#define SETTLED_US UINT64_C(120000000)

struct chaos {
    struct world *w;
    struct member_world *mw;
    struct prng prng;
    bool calm;
};

/* Once the network is whole nobody who runs may be taken for dead any more. */
static void watch(void *ctx, unsigned at, const struct member *m)
{
    struct chaos *c = ctx;
    bool now = m->changed_us == world_now_us(c->w);
    if (c->calm && now && m->state == MEMBER_DEAD &&
        member_world_core(c->mw, (unsigned)m->id) != NULL)
        world_fail(c->w, "buried", "node %u holds node %u for dead", at, (unsigned)m->id);
}

static void split(struct chaos *c)
{
    for (unsigned i = 1; i <= member_world_nodes(c->mw); i++)
        member_world_side(c->mw, i, (unsigned)prng_below(&c->prng, 2));
}

static void unite(struct chaos *c)
{
    for (unsigned i = 1; i <= member_world_nodes(c->mw); i++)
        member_world_side(c->mw, i, 0);
}

static void restart(struct chaos *c, unsigned node)
{
    if (member_world_core(c->mw, node) != NULL)
        member_world_stop(c->mw, node);
    if (prng_below(&c->prng, 3) == 0)
        member_world_move(c->mw, node);
    if (prng_below(&c->prng, 3) != 0)
        member_world_start(c->mw, node);
}

static void something(struct chaos *c)
{
    unsigned node = (unsigned)prng_below(&c->prng, member_world_nodes(c->mw)) + 1;
    switch (prng_below(&c->prng, 10)) {
    case 0:
    case 1:
        restart(c, node);
        break;
    case 2:
        member_world_leave(c->mw, node);
        break;
    case 3:
        split(c);
        break;
    case 4:
        unite(c);
        break;
    case 5:
        member_world_side(c->mw, node, node); /* alone */
        break;
    case 6:
        member_world_net(c->mw)->loss_permille = (uint32_t)prng_below(&c->prng, 400);
        break;
    case 7:
        member_world_net(c->mw)->delay_max_us = 1000 + prng_below(&c->prng, 700000);
        break;
    case 8:
        member_world_set(c->mw, node);
        break;
    case 9:
        member_world_start(c->mw, node);
        break;
    }
}

static void trouble(struct chaos *c)
{
    uint64_t end_us = world_now_us(c->w) + TROUBLE_US;
    while (world_now_us(c->w) < end_us && world_failed(c->w) == NULL) {
        something(c);
        world_run_until(c->w, world_now_us(c->w) + prng_below(&c->prng, BETWEEN_US_MAX));
    }
}

/* The last trouble is a long partition: both sides give one another up. Some nodes stay down. */
static void partition(struct chaos *c)
{
    member_world_net(c->mw)->loss_permille = 0;
    member_world_net(c->mw)->delay_max_us = 1000;
    split(c);
    for (unsigned i = 1; i <= member_world_nodes(c->mw); i++)
        if (prng_below(&c->prng, 4) != 0)
            member_world_start(c->mw, i);
    world_run_until(c->w, world_now_us(c->w) + 40000000 + prng_below(&c->prng, 60000000));
    unite(c);
}

void member_chaos(struct world *w, unsigned nodes)
{
    CHECK(nodes <= NODES_MAX);
    struct member_limits limits = member_limits_default();
    struct chaos c = {.w = w,
                      .mw = member_world_new(w, nodes, &limits),
                      .prng = world_prng(w, "member chaos", 0)};
    member_world_watch(c.mw, watch, &c);
    for (unsigned i = 1; i <= nodes; i++)
        member_world_start(c.mw, i);
    member_world_net(c.mw)->replays = true;
    trouble(&c);
    if (prng_below(&c.prng, 2) == 0)
        partition(&c);
    unite(&c);
    member_world_net(c.mw)->loss_permille = 0;
    member_world_net(c.mw)->delay_max_us = 1000;
    world_run_until(w, world_now_us(w) + CALM_US);
    c.calm = true;
    world_run_until(w, world_now_us(w) + SETTLED_US);
    char why[128];
    if (world_failed(w) == NULL && !member_world_settled(c.mw, why, sizeof(why)))
        world_fail(w, "settled", "%s", why);
    member_world_free(c.mw);
}
