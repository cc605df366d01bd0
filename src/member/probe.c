/* Probes (SWIM 3.1): each period one member is pinged; when it has not answered in time, k others
 * are asked to ping it; when nobody has answered by the end of the period, it is suspect.
 *
 *   us ──ping──▶ target                            t = 0
 *   us ──ping-req──▶ k helpers ──ping──▶ target    t = probe timeout
 *   us ◀──ack─────── helper   ◀──ack─── target     or a nack at 80 % of the helper's timeout
 *   suspect                                        t = probe interval
 *
 * Local health (Lifeguard IV-A): failed probes, nacks that did not come and suspicions of ourselves
 * count against us, answers for us; timeout and interval are multiplied by the score plus one. A
 * nack says that the helper, and so our network, is well.
 *
 * The buddy system (Lifeguard IV-C): who is suspect hears of it first in the ping itself. */
#include "base/check.h"
#include "member/member_private.h"

#define HELPERS_MAX  8
#define NACK_PERCENT 80

void member_health_change(struct member_core *c, int by)
{
    int health = (int)c->health + by, max = (int)c->limits.health_max - 1;
    c->health = (unsigned)(health < 0 ? 0 : health > max ? max : health);
}

static void send_ping(struct member_core *c, struct peer *to, uint64_t sequence)
{
    struct out o;
    member_out_begin(c, &o, to);
    if (to->m.state == MEMBER_SUSPECT) {
        struct member_message suspect = {
            .code = MEMBER_MESSAGE_SUSPECT,
            .suspect = {to->m.id, to->m.boot, to->m.incarnation, to->by[0]}};
        member_out_put(c, &o, &suspect);
        to->told_packet = c->packets;
    }
    struct member_message ping = {.code = MEMBER_MESSAGE_PING, .ping = {sequence}};
    member_out_put(c, &o, &ping);
    member_out_rumours(c, &o);
    member_out_send(c, &o);
}

/* --- our own --- */

static void probe_failed(struct member_core *c)
{
    struct probe *probe = &c->probe;
    struct peer *p = member_peer_find(c, probe->target);
    probe->active = false;
    if (p == NULL || p->m.boot != probe->boot || !member_peer_active(p))
        return; /* it is another one by now, or known to be gone */
    c->counts.probes_failed++;
    if (probe->nacks_wanted == 0)
        member_health_change(c, 1);
    else if (probe->nacks < probe->nacks_wanted)
        member_health_change(c, (int)(probe->nacks_wanted - probe->nacks));
    struct member_message_suspect s = {p->m.id, p->m.boot, p->m.incarnation, c->self->m.id};
    member_fact_suspect(c, &s);
}

void member_probe_period(struct member_core *c, struct member_timer *timer)
{
    if (c->probe.active)
        probe_failed(c);
    member_timer_arm(c, timer, c->limits.probe_interval_ms * MS_US * (c->health + 1));
    struct peer *p = member_peers_next(c);
    if (p == NULL)
        return;
    c->probe = (struct probe){.active = true,
                              .target = p->m.id,
                              .boot = p->m.boot,
                              .sequence = prng_u64(&c->prng),
                              .sent_us = member_now_us(c),
                              .sent_wall_ms = c->event->wall_ms};
    member_timer_arm(c, &c->probe_late_timer, c->limits.probe_timeout_ms * MS_US * (c->health + 1));
    send_ping(c, p, c->probe.sequence);
}

static bool may_help(const struct member_core *c, const struct peer *p, uint64_t target)
{
    return p->m.state == MEMBER_ALIVE && p->m.id != target;
}

void member_probe_late(struct member_core *c, struct member_timer *timer)
{
    struct probe *probe = &c->probe;
    if (!probe->active)
        return;
    probe->indirect = true;
    struct peer *helpers[HELPERS_MAX];
    unsigned k = c->limits.indirect_probes < HELPERS_MAX ? c->limits.indirect_probes : HELPERS_MAX;
    unsigned count = member_peers_draw(c, k, may_help, probe->target, helpers);
    for (unsigned i = 0; i < count; i++) {
        struct out o;
        struct member_message request = {.code = MEMBER_MESSAGE_PING_REQ,
                                         .ping_req = {probe->sequence, probe->target}};
        member_out_begin(c, &o, helpers[i]);
        member_out_put(c, &o, &request);
        member_out_rumours(c, &o);
        member_out_send(c, &o);
    }
    probe->nacks_wanted = count;
}

/* Half the round trip either way (Cristian 1989). */
static void probe_clock(struct member_core *c, struct peer *p, uint64_t wall_ms)
{
    int64_t round_ms = (int64_t)((member_now_us(c) - c->probe.sent_us) / MS_US);
    int64_t middle_ms = (int64_t)c->probe.sent_wall_ms + round_ms / 2;
    member_clock_measured(c, p, (int64_t)wall_ms - middle_ms);
}

static bool probe_own_ack(struct member_core *c, struct peer *from,
                          const struct member_message_ack *m)
{
    struct probe *probe = &c->probe;
    if (!probe->active || m->sequence != probe->sequence)
        return false;
    if (from->m.id == probe->target && m->wall_ms != 0 && m->wall_ms <= UINT64_MAX >> 1)
        probe_clock(c, from, m->wall_ms);
    probe->active = false;
    heap_remove(&c->timers, &c->probe_late_timer.node);
    member_health_change(c, -1);
    return true;
}

/* --- for others --- */

static void answer_origin(struct member_core *c, const struct relay *r, uint8_t code)
{
    struct peer *origin = member_peer_find(c, r->origin);
    if (origin == NULL || origin->m.boot != r->origin_boot)
        return;
    struct out o;
    struct member_message m = {.code = code};
    if (code == MEMBER_MESSAGE_ACK)
        m.ack.sequence = r->origin_sequence;
    else
        m.nack.sequence = r->origin_sequence;
    member_out_begin(c, &o, origin);
    member_out_put(c, &o, &m);
    member_out_rumours(c, &o);
    member_out_send(c, &o);
}

static void relay_timer(struct member_core *c, struct member_timer *timer)
{
    struct relay *r = container_of(timer, struct relay, timer);
    if (r->nacked) {
        r->used = false;
        return;
    }
    r->nacked = true; /* an ack that comes now is passed on all the same */
    answer_origin(c, r, MEMBER_MESSAGE_NACK);
    member_timer_arm(c, timer, c->limits.probe_interval_ms * MS_US);
}

void member_probe_relay(struct member_core *c, struct peer *origin,
                        const struct member_message_ping_req *m)
{
    struct peer *target = member_peer_find(c, m->target);
    struct relay request = {.used = true,
                            .origin = origin->m.id,
                            .origin_boot = origin->m.boot,
                            .origin_sequence = m->sequence,
                            .target = m->target,
                            .sequence = prng_u64(&c->prng),
                            .timer.fire = relay_timer};
    unsigned i = 0;
    while (i < RELAYS_MAX && c->relays[i].used)
        i++;
    if (target == NULL || target == c->self || i == RELAYS_MAX) {
        answer_origin(c, &request, MEMBER_MESSAGE_NACK);
        return;
    }
    c->relays[i] = request;
    member_timer_arm(c, &c->relays[i].timer,
                     c->limits.probe_timeout_ms * MS_US * NACK_PERCENT / 100);
    send_ping(c, target, request.sequence);
}

void member_probe_ack(struct member_core *c, struct peer *from, const struct member_message_ack *m)
{
    if (probe_own_ack(c, from, m))
        return;
    for (unsigned i = 0; i < RELAYS_MAX; i++) {
        struct relay *r = &c->relays[i];
        if (!r->used || r->sequence != m->sequence || r->target != from->m.id)
            continue;
        r->used = false;
        heap_remove(&c->timers, &r->timer.node);
        answer_origin(c, r, MEMBER_MESSAGE_ACK);
        return;
    }
}

void member_probe_nack(struct member_core *c, const struct member_message_nack *m)
{
    if (c->probe.active && c->probe.indirect && c->probe.sequence == m->sequence)
        c->probe.nacks++;
}
