/* Which facts are told on, and how often: SWIM 4.1. One rumour a member, made from what is known
 * when it is sent; the least told go first, of them the newest; after lambda * log10(members) times
 * it is dropped. They ride on probes and their answers, and while there are any, some members are
 * sent what fits a datagram, each gossip interval. */
#include "base/check.h"
#include "base/planted.h"
#include "member/member_private.h"

#define FANOUT_MAX 16

static unsigned told_max(const struct member_core *c)
{
    uint64_t log10_n = member_log2(member_count_active(c) + 1u) * UINT64_C(65536) / MEMBER_LOG2_10;
    uint64_t times = c->limits.rumour_mult * ((log10_n + 65535) / 65536);
    return times < TOLD_MAX ? (unsigned)times : TOLD_MAX;
}

void member_rumour_drop(struct member_core *c, struct peer *about)
{
    if (!list_linked(&about->rumour))
        return;
    list_remove(&about->rumour);
    c->rumours_count--;
}

void member_rumour_add(struct member_core *c, struct peer *about, uint64_t by)
{
    member_rumour_drop(c, about);
    about->told = 0;
    about->rumour_by = by;
    list_push_front(&c->rumours[0], &about->rumour);
    c->rumours_count++;
    if (!heap_contains(&c->gossip_timer.node))
        member_timer_arm(c, &c->gossip_timer, c->limits.gossip_interval_ms * MS_US);
}

struct member_message member_rumour_alive(const struct peer *about)
{
    const struct member *m = &about->m;
    return (struct member_message){
        .code = MEMBER_MESSAGE_ALIVE,
        .alive = {m->id, m->boot, m->nonce, about->described, m->version_min, m->version_max,
                  m->address, m->zone, m->meta},
    };
}

struct member_message member_rumour_message(const struct peer *about)
{
    const struct member *m = &about->m;
    uint64_t by = about->rumour_by;
    if (m->state == MEMBER_ALIVE)
        return member_rumour_alive(about);
    if (m->state == MEMBER_SUSPECT)
        return (struct member_message){.code = MEMBER_MESSAGE_SUSPECT,
                                       .suspect = {m->id, m->boot, m->incarnation, by}};
    return (struct member_message){
        .code = MEMBER_MESSAGE_DEAD,
        .dead = {m->id, m->boot, m->incarnation, m->state == MEMBER_LEFT ? m->id : by}};
}

static void rumour_told(struct member_core *c, struct peer *about)
{
    bool again = about->told + 1u < told_max(c) || PLANTED(member_rumour_forever);
    list_remove(&about->rumour);
    if (!again) {
        c->rumours_count--;
        return;
    }
    if (about->told < TOLD_MAX)
        about->told++;
    list_push_back(&c->rumours[about->told], &about->rumour);
}

void member_out_rumours(struct member_core *c, struct out *o)
{
    for (unsigned told = 0; told <= TOLD_MAX; told++) {
        list_foreach_safe (node, spare, &c->rumours[told]) {
            struct peer *about = list_entry(node, struct peer, rumour);
            if (about->told_packet == c->packets)
                continue; /* in here already */
            struct member_message m = member_rumour_message(about);
            if (!member_out_fits(c, o, &m))
                return;
            member_out_put(c, o, &m);
            about->told_packet = c->packets;
            rumour_told(c, about);
        }
    }
}

/* The dead are told for a while, too: one who is not may hear of it and refute. */
static bool wants_gossip(const struct member_core *c, const struct peer *p, uint64_t arg)
{
    uint64_t dead_us = member_now_us(c) - p->m.changed_us;
    return member_peer_active(p) ||
           (p->m.state == MEMBER_DEAD && dead_us < c->limits.gossip_dead_ms * MS_US);
}

/* Nobody is there to be told: who comes is told all in a full sync. */
static void drop_all(struct member_core *c)
{
    for (unsigned told = 0; told <= TOLD_MAX; told++) {
        struct list_node *node;
        while ((node = list_first(&c->rumours[told])) != NULL)
            member_rumour_drop(c, list_entry(node, struct peer, rumour));
    }
}

void member_rumour_gossip(struct member_core *c, struct member_timer *timer)
{
    struct peer *to[FANOUT_MAX];
    unsigned k = c->limits.gossip_fanout < FANOUT_MAX ? c->limits.gossip_fanout : FANOUT_MAX;
    unsigned count = member_peers_draw(c, k, wants_gossip, 0, to);
    for (unsigned i = 0; i < count && c->rumours_count > 0; i++) {
        struct out o;
        member_out_begin(c, &o, to[i]);
        member_out_rumours(c, &o);
        member_out_send(c, &o);
    }
    if (count == 0)
        drop_all(c);
    if (c->rumours_count > 0)
        member_timer_arm(c, timer, c->limits.gossip_interval_ms * MS_US);
}
