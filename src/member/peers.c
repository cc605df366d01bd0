/* The table of members, and the order in which they are probed: SWIM 4.3, round robin over a random
 * order, so that each is probed within two rounds. New ones go to a random place of it. */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/sm.h"
#include "base/status.h"
#include "member/member_private.h"

static const struct sm_state STATES[] = {
    [MEMBER_ALIVE] = {"alive", SM_TO(MEMBER_SUSPECT) | SM_TO(MEMBER_DEAD) | SM_TO(MEMBER_LEFT)},
    [MEMBER_SUSPECT] = {"suspect", SM_TO(MEMBER_ALIVE) | SM_TO(MEMBER_DEAD) | SM_TO(MEMBER_LEFT)},
    [MEMBER_DEAD] = {"dead", SM_TO(MEMBER_ALIVE) | SM_TO(MEMBER_LEFT)},
    [MEMBER_LEFT] = {"left", SM_TO(MEMBER_ALIVE)},
};

struct peer *member_peer_find(const struct member_core *c, uint64_t node)
{
    return map64_get(c->peers, node);
}

bool member_peer_active(const struct peer *p)
{
    return p->m.state == MEMBER_ALIVE || p->m.state == MEMBER_SUSPECT;
}

/* --- the order --- */

static void order_place(struct member_core *c, struct peer *p, size_t at)
{
    c->order[at] = p;
    p->order = at;
}

static void order_swap(struct member_core *c, size_t a, size_t b)
{
    struct peer *was = c->order[a];
    order_place(c, c->order[b], a);
    order_place(c, was, b);
}

static void order_add(struct member_core *c, struct peer *p)
{
    if (c->order_len == c->order_cap) {
        c->order_cap = c->order_cap ? 2 * c->order_cap : 8;
        c->order = mem_realloc(c->order, c->order_cap * sizeof(*c->order));
    }
    size_t last = c->order_len++;
    order_place(c, p, last);
    order_swap(c, last, prng_below(&c->prng, last + 1));
}

static void order_remove(struct member_core *c, struct peer *p)
{
    order_swap(c, p->order, c->order_len - 1);
    c->order_len--;
    if (c->order_at > c->order_len)
        c->order_at = c->order_len;
}

static void order_shuffle(struct member_core *c) /* Fisher and Yates */
{
    for (size_t i = c->order_len; i > 1; i--)
        order_swap(c, i - 1, prng_below(&c->prng, i));
    c->order_at = 0;
}

struct peer *member_peers_next(struct member_core *c)
{
    for (size_t looked = 0; looked < 2 * c->order_len; looked++) {
        if (c->order_at >= c->order_len)
            order_shuffle(c);
        struct peer *p = c->order[c->order_at++];
        if (member_peer_active(p))
            return p;
    }
    return NULL;
}

unsigned member_peers_draw(struct member_core *c, unsigned k,
                           bool (*fit)(const struct member_core *c, const struct peer *p,
                                       uint64_t arg),
                           uint64_t arg, struct peer **ret_peers)
{
    unsigned count = 0;
    /* A random walk without end conditions would be unbounded where few fit. */
    for (size_t tries = 0; tries < 3 * c->order_len + 8 && c->order_len > 0 && count < k; tries++) {
        struct peer *p = c->order[prng_below(&c->prng, c->order_len)];
        bool drawn = !fit(c, p, arg);
        for (unsigned i = 0; i < count; i++)
            drawn |= ret_peers[i] == p;
        if (!drawn)
            ret_peers[count++] = p;
    }
    return count;
}

/* --- peers --- */

static struct slice text_put(uint8_t **at, struct slice from)
{
    struct slice kept = slice_make(*at, from.len);
    if (from.len > 0)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return kept;
}

void member_peer_describe(struct peer *p, const struct member_message_alive *a)
{
    uint8_t *text = mem_alloc(a->address.len + a->zone.len + a->meta.len), *at = text;
    p->m.boot = a->boot;
    p->m.nonce = a->nonce;
    p->described = a->incarnation;
    p->m.version_min = a->version_min;
    p->m.version_max = a->version_max;
    p->m.address = text_put(&at, a->address);
    p->m.zone = text_put(&at, a->zone);
    p->m.meta = text_put(&at, a->meta);
    free(p->text); /* last: `a` may point into it */
    p->text = text;
}

struct peer *member_peer_add(struct member_core *c, const struct member_message_alive *a)
{
    struct peer *p = mem_zalloc(sizeof(*p));
    p->m.id = a->node;
    p->m.state = MEMBER_ALIVE;
    list_node_init(&p->rumour);
    p->m.incarnation = a->incarnation;
    member_peer_describe(p, a);
    map64_put(c->peers, a->node, p);
    c->states[MEMBER_ALIVE]++;
    if (c->self != NULL) {
        p->m.changed_us = member_now_us(c);
        order_add(c, p);
    }
    return p;
}

void member_peer_remove(struct member_core *c, struct peer *p)
{
    CHECK(p != c->self);
    member_rumour_drop(c, p);
    heap_remove(&c->timers, &p->timer.node);
    order_remove(c, p);
    map64_remove(c->peers, p->m.id);
    c->states[p->m.state]--;
    free(p->text);
    free(p);
}

void member_peer_move(struct member_core *c, struct peer *p, enum member_state to)
{
    if (p->m.state == to)
        return;
    struct sm sm = sm_make("member", STATES, MEMBER_STATES, p->m.state);
    sm_move(&sm, to);
    c->states[p->m.state]--;
    c->states[to]++;
    p->m.state = to;
    p->m.changed_us = member_now_us(c);
}

/* --- looking at them --- */

int member_find(const struct member_core *c, uint64_t node, struct member *ret_member)
{
    struct peer *p = member_peer_find(c, node);
    if (p == NULL)
        return ST_NOTFOUND;
    *ret_member = p->m;
    return 0;
}

bool member_next(const struct member_core *c, size_t *at, struct member *ret_member)
{
    uint64_t node;
    void *value;
    if (!map64_next(c->peers, at, &node, &value))
        return false;
    *ret_member = ((struct peer *)value)->m;
    return true;
}
