/* Facts about members, and what follows from them. Of two facts about a node the one of the higher
 * (boot, incarnation) counts, among equals alive < suspect < dead (SWIM 4.2): applying them in any
 * order, any number of times, ends in the same.
 *
 * A suspicion lasts (Lifeguard IV-B)
 *
 *   max - (max - min) * log(confirmations + 1) / log(wanted + 1)
 *
 * with min = alpha * log10(members) * probe interval and max = beta * min: one who is slow himself,
 * and so alone with his suspicion, gives others long to refute it. */
#include "base/check.h"
#include "base/planted.h"
#include "base/status.h"
#include "member/member_private.h"
#include "wire/frame.h"

/* --- suspicions --- */

static uint64_t suspicion_us(const struct member_core *c, const struct peer *p)
{
    uint64_t log10_n = member_log2(member_count_active(c)) * UINT64_C(65536) / MEMBER_LOG2_10;
    if (log10_n < 65536)
        log10_n = 65536;
    uint64_t min_us = c->limits.suspicion_mult * log10_n * c->limits.probe_interval_ms / 65536;
    min_us *= MS_US;
    if (p->confirmations >= p->confirmations_wanted)
        return min_us;
    uint64_t max_us = c->limits.suspicion_max_mult * min_us;
    return max_us - (max_us - min_us) * member_log2(p->confirmations + 1u) /
                        member_log2(p->confirmations_wanted + 1u);
}

static void suspicion_arm(struct member_core *c, struct peer *p)
{
    uint64_t end_us = p->suspected_us + suspicion_us(c, p);
    member_timer_arm(c, &p->timer, end_us > member_now_us(c) ? end_us - member_now_us(c) : 0);
}

/* Nobody shares the suspicion: maybe it was refuted long ago, and only we have missed it. */
static bool ask_last_word(struct member_core *c, struct peer *p)
{
    if (p->last_word || p->confirmations >= p->confirmations_wanted)
        return false;
    struct member_message suspect = member_rumour_message(p);
    struct out o;
    p->last_word = true;
    member_out_begin(c, &o, p);
    member_out_put(c, &o, &suspect);
    member_out_send(c, &o);
    member_timer_arm(c, &p->timer, c->limits.probe_timeout_ms * MS_US);
    return true;
}

static void suspicion_end(struct member_core *c, struct member_timer *timer)
{
    struct peer *p = container_of(timer, struct peer, timer);
    if (p->m.state != MEMBER_SUSPECT && !PLANTED(member_suspicion_final))
        return;
    if (ask_last_word(c, p))
        return;
    struct member_message_dead dead = {p->m.id, p->m.boot, p->m.incarnation, c->self->m.id};
    member_fact_dead(c, &dead, 0);
}

static void suspicion_begin(struct member_core *c, struct peer *p, uint64_t by)
{
    unsigned active = member_count_active(c);
    unsigned others = active > 2 ? active - 2 : 0; /* that could confirm it */
    unsigned wanted = c->limits.suspicion_mult - 2;
    p->suspected_us = member_now_us(c);
    p->confirmations = 0;
    p->last_word = false;
    p->confirmations_wanted = (uint8_t)(others < wanted ? 0 : wanted);
    p->by[0] = by;
    p->timer.fire = suspicion_end;
    suspicion_arm(c, p);
}

/* Another one suspects it, too: tell that on, as it shortens the wait (Lifeguard IV-B). */
static void suspicion_confirm(struct member_core *c, struct peer *p, uint64_t by)
{
    if (p->confirmations >= p->confirmations_wanted)
        return;
    for (unsigned i = 0; i <= p->confirmations; i++)
        if (p->by[i] == by)
            return;
    p->by[++p->confirmations] = by;
    member_rumour_add(c, p, by);
    suspicion_arm(c, p);
}

/* --- about this node --- */

/* Somebody holds us for suspect or dead: we are not (SWIM 4.2), and it is our own fault if we did
 * not answer in time (Lifeguard IV-A). One who accuses what we were has missed what we said since,
 * and nobody may be telling it any more: say it again. */
static void refute(struct member_core *c, uint64_t boot, uint64_t incarnation)
{
    struct peer *self = c->self;
    if (boot > self->m.boot || c->leaving || PLANTED(member_no_refute))
        return;
    if (boot == self->m.boot && incarnation >= self->m.incarnation &&
        incarnation < MEMBER_INCARNATION_MAX) {
        self->m.incarnation = self->described = incarnation + 1;
        c->counts.refutations++;
        member_health_change(c, 1);
        member_rumour_add(c, self, 0);
    } else if (!list_linked(&self->rumour)) {
        member_rumour_add(c, self, 0);
    }
}

/* A process with our id that is not this one. That of an earlier life is over; any other runs. */
static int alive_self(struct member_core *c, const struct member_message_alive *a)
{
    struct peer *self = c->self;
    if (a->nonce != self->m.nonce && a->boot >= self->m.boot) {
        struct datagram_head head = {.from = a->node, .cluster = c->cluster};
        member_refuse(c, MEMBER_REFUSED_DUPLICATE, true, &head, a->address);
    } else if (a->nonce == self->m.nonce && a->incarnation > self->m.incarnation) {
        refute(c, a->boot, a->incarnation);
    }
    return 0;
}

/* --- about others --- */

static void suspicion_over(struct member_core *c, struct peer *p)
{
    if (!PLANTED(member_suspicion_final))
        heap_remove(&c->timers, &p->timer.node);
}

static int alive_new(struct member_core *c, const struct member_message_alive *a)
{
    if (c->removed != NULL && c->removed(c->ctx, a->node))
        return ST_DENIED;
    if (a->version_min > WIRE_VERSION_NEXT || a->version_max < WIRE_VERSION)
        return ST_VERSION;
    if (map64_count(c->peers) >= c->limits.members_max)
        return ST_LIMIT;
    struct peer *p = member_peer_add(c, a);
    p->life_stamp = c->event->stamp;
    p->life_us = member_now_us(c);
    member_rumour_add(c, p, 0);
    member_out_changed(c, p);
    return 0;
}

/* That it is suspect or dead in this incarnation was heard first: only what it is like is news. */
static void alive_late(struct member_core *c, struct peer *p, const struct member_message_alive *a)
{
    if (a->boot != p->m.boot || a->incarnation <= p->described)
        return;
    member_peer_describe(p, a);
    member_out_changed(c, p);
}

int member_fact_alive(struct member_core *c, const struct member_message_alive *a)
{
    struct peer *p = member_peer_find(c, a->node);
    if (p == NULL)
        return alive_new(c, a);
    if (p == c->self)
        return alive_self(c, a);
    if (a->boot == p->m.boot && a->nonce != p->m.nonce) {
        struct datagram_head head = {.from = a->node, .cluster = c->cluster};
        member_refuse(c, MEMBER_REFUSED_DUPLICATE, false, &head, a->address);
        return ST_EXISTS;
    }
    bool newer = a->boot > p->m.boot ||
                 (a->boot == p->m.boot && a->incarnation > p->m.incarnation) ||
                 PLANTED(member_incarnation_ignored);
    if (!newer) {
        alive_late(c, p, a);
        return 0;
    }
    if (a->boot != p->m.boot) { /* another process: knows nothing of what the last one knew */
        p->window = (struct datagram_window){0};
        p->life_stamp = c->event->stamp;
        p->life_us = member_now_us(c);
        p->knows_me = false;
        p->m.clock_known = false;
    }
    p->m.incarnation = a->incarnation;
    member_peer_describe(p, a);
    suspicion_over(c, p);
    member_peer_move(c, p, MEMBER_ALIVE);
    member_rumour_add(c, p, 0);
    member_out_changed(c, p);
    return 0;
}

void member_fact_suspect(struct member_core *c, const struct member_message_suspect *s)
{
    struct peer *p = member_peer_find(c, s->node);
    if (p == c->self) {
        refute(c, s->boot, s->incarnation);
        return;
    }
    if (p == NULL || s->boot != p->m.boot || s->incarnation < p->m.incarnation ||
        !member_peer_active(p))
        return;
    p->m.incarnation = s->incarnation;
    if (p->m.state == MEMBER_SUSPECT) {
        suspicion_confirm(c, p, s->by);
        return;
    }
    member_peer_move(c, p, MEMBER_SUSPECT);
    suspicion_begin(c, p, s->by);
    member_rumour_add(c, p, s->by);
    member_out_changed(c, p);
}

static void forget(struct member_core *c, struct member_timer *timer)
{
    member_peer_remove(c, container_of(timer, struct peer, timer));
}

void member_fact_dead(struct member_core *c, const struct member_message_dead *d,
                      uint64_t synced_by)
{
    struct peer *p = member_peer_find(c, d->node);
    enum member_state to = d->by == d->node ? MEMBER_LEFT : MEMBER_DEAD;
    if (p == c->self) {
        refute(c, d->boot, d->incarnation);
        return;
    }
    if (p == NULL || d->boot != p->m.boot || d->incarnation < p->m.incarnation)
        return;
    if (p->m.state == to || p->m.state == MEMBER_LEFT)
        return;
    if (synced_by != 0 && to == MEMBER_DEAD) { /* a last word for it, as in memberlist */
        struct member_message_suspect s = {d->node, d->boot, d->incarnation, synced_by};
        member_fact_suspect(c, &s);
        return;
    }
    p->m.incarnation = d->incarnation;
    member_peer_move(c, p, to);
    p->timer.fire = forget;
    member_timer_arm(c, &p->timer, c->limits.dead_keep_s * UINT64_C(1000000));
    member_rumour_add(c, p, d->by);
    member_out_changed(c, p);
}
