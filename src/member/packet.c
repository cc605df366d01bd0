/* What comes in, and whom to believe. Of a packet whose MAC is right:
 *
 *   from ourselves               we were given our own address to join
 *   another version, cluster     refused, and told so
 *   our id, another nonce        two processes with our id
 *   a boot older than known      its sender is over; or it is not, and there are two with its id
 *   our present boot, or a fresh stream (handshake): believed, once (window of counters)
 *   any other boot of ours       made for an earlier life of ours, by one who does not know yet, or
 *                                recorded then: only its ping is answered
 *
 * One who is not known, or whose boot is not, is believed when his packet begins with who he is. */
#include "base/hlc.h"
#include "base/status.h"
#include "member/member_private.h"

#define LATE_US_MAX (5 * UINT64_C(1000000)) /* on its way */

/* --- dispatch --- */

/* It may know better, and should say so. */
static void put_held(struct member_core *c, struct out *o, struct peer *p)
{
    struct member_message held = member_rumour_message(p);
    member_out_put(c, o, &held);
    p->told_packet = c->packets;
    p->warned_us = member_now_us(c);
}

/* We hear from one whom we hold for suspect or dead: he is not, but who misses his refutation will
 * bury him all the same. (The buddy system of Lifeguard IV-C tells him only when we ping him, which
 * may be long after when our health is bad.) */
static void warn(struct member_core *c, struct peer *p)
{
    bool held = p->m.state == MEMBER_SUSPECT || p->m.state == MEMBER_DEAD;
    if (!held || member_now_us(c) - p->warned_us < c->limits.probe_interval_ms * MS_US)
        return;
    struct out o;
    member_out_begin(c, &o, p);
    put_held(c, &o, p);
    member_out_send(c, &o);
}

static void take_ping(struct member_core *c, const struct datagram_head *head, struct peer *p,
                      uint64_t sequence)
{
    struct out o;
    struct member_message ack = {.code = MEMBER_MESSAGE_ACK, .ack = {sequence, c->event->wall_ms}};
    member_out_reply(c, &o, head, p);
    if (p != NULL && p->m.state != MEMBER_ALIVE)
        put_held(c, &o, p);
    member_out_put(c, &o, &ack);
    if (p != NULL)
        member_out_rumours(c, &o);
    member_out_send(c, &o);
}

static void take_alive(struct member_core *c, const struct member_message_alive *a)
{
    int st = member_fact_alive(c, a);
    struct datagram_head about = {.from = a->node, .cluster = c->cluster};
    if (st == ST_LIMIT)
        member_refuse(c, MEMBER_REFUSED_FULL, false, &about, a->address);
    if (st == ST_VERSION)
        member_refuse(c, MEMBER_REFUSED_VERSION, false, &about, a->address);
}

static void take_message(struct member_core *c, const struct datagram_head *head, struct peer *p,
                         const struct member_message *m, bool *synced)
{
    switch (m->code) {
    case MEMBER_MESSAGE_PING:
        take_ping(c, head, p, m->ping.sequence);
        break;
    case MEMBER_MESSAGE_PING_REQ:
        member_probe_relay(c, p, &m->ping_req);
        break;
    case MEMBER_MESSAGE_ACK:
        member_probe_ack(c, p, &m->ack);
        break;
    case MEMBER_MESSAGE_NACK:
        member_probe_nack(c, &m->nack);
        break;
    case MEMBER_MESSAGE_ALIVE:
        take_alive(c, &m->alive);
        break;
    case MEMBER_MESSAGE_SUSPECT:
        member_fact_suspect(c, &m->suspect);
        break;
    case MEMBER_MESSAGE_DEAD:
        member_fact_dead(c, &m->dead, *synced ? p->m.id : 0);
        break;
    case MEMBER_MESSAGE_SYNC:
        *synced = true;
        member_sync_take(c, p, &m->sync);
        break;
    case MEMBER_MESSAGE_REFUSE:
        member_refuse(c, m->refuse.reason, true, head, c->event->packet.from);
        break;
    }
}

static void take_messages(struct member_core *c, const struct datagram *d, struct peer *p)
{
    struct slice left = d->messages;
    struct member_message m;
    bool synced = false;
    int st;
    while ((st = member_message_decode(&left, &c->counts.refusals, &m)) != ST_NOTFOUND) {
        if (st == ST_PROTOCOL)
            return;
        if (st == 0)
            take_message(c, &d->head, p, &m, &synced);
    }
}

/* --- whom to believe --- */

/* One with code 0 when there is none. */
static struct member_message first_message(const struct datagram *d)
{
    struct slice left = d->messages;
    struct member_message m = {0}, none = {0};
    return member_message_decode(&left, NULL, &m) == 0 ? m : none;
}

/* For one who may not be believed: his pings are answered, as an answer tells him our boot. */
static void take_unproven(struct member_core *c, const struct datagram *d)
{
    struct slice left = d->messages;
    struct member_message m;
    int st;
    wire_refuse(&c->counts.refusals, WIRE_REFUSED_BOOT, 0);
    if (c->event->type == MEMBER_STREAM)
        return;
    while ((st = member_message_decode(&left, NULL, &m)) == 0 || st == ST_UNSUPPORTED) {
        if (st == 0 && m.code == MEMBER_MESSAGE_PING) {
            take_ping(c, &d->head, NULL, m.ping.sequence);
            return;
        }
    }
}

static bool says(const struct datagram *d, uint8_t code)
{
    struct slice left = d->messages;
    struct member_message m;
    int st;
    while ((st = member_message_decode(&left, NULL, &m)) == 0 || st == ST_UNSUPPORTED)
        if (st == 0 && m.code == code)
            return true;
    return false;
}

static void take_foreign(struct member_core *c, const struct datagram *d)
{
    const struct datagram_head *head = &d->head;
    bool to_us = head->to == c->self->m.id && head->to_boot == c->self->m.boot;
    wire_refuse(&c->counts.refusals, WIRE_REFUSED_CLUSTER, 0);
    if (!says(d, MEMBER_MESSAGE_REFUSE))
        member_refuse_sender(c, MEMBER_REFUSED_CLUSTER, head, NULL);
    else if (to_us)
        member_refuse(c, MEMBER_REFUSED_CLUSTER, true, head, c->event->packet.from);
}

/* Its sender has an id that somebody newer has by now. When it was sent well after we heard of that
 * one (our clock is never behind what we heard), both run; unless its clock was wrong, and it is
 * late. */
static void take_older(struct member_core *c, const struct datagram_head *head, struct peer *p)
{
    uint64_t newer_ms = hlc_wall_ms(p->life_stamp) + c->limits.skew_ms_max;
    wire_refuse(&c->counts.refusals, WIRE_REFUSED_BOOT, 0);
    if (hlc_wall_ms(head->stamp) <= newer_ms || member_now_us(c) - p->life_us < LATE_US_MAX)
        return;
    member_refuse_sender(c, MEMBER_REFUSED_DUPLICATE, head, NULL);
    struct out o; /* the newer one hears of it, too */
    struct member_message m = {.code = MEMBER_MESSAGE_REFUSE, .refuse = {MEMBER_REFUSED_DUPLICATE}};
    member_out_begin(c, &o, p);
    member_out_put(c, &o, &m);
    member_out_send(c, &o);
}

/* The peer as which the sender is to be believed, or NULL when it is not. */
static struct peer *introduce(struct member_core *c, const struct datagram *d)
{
    const struct datagram_head *head = &d->head;
    struct peer *p = member_peer_find(c, head->from);
    if (p == NULL || p->m.boot < head->boot) {
        struct member_message m = first_message(d);
        const struct member_message_alive *a = &m.alive;
        if (m.code != MEMBER_MESSAGE_ALIVE || a->node != head->from || a->boot != head->boot ||
            a->nonce != head->nonce)
            return NULL;
        int st = member_fact_alive(c, a);
        if (st == ST_LIMIT || st == ST_VERSION)
            member_refuse_sender(c, st == ST_LIMIT ? MEMBER_REFUSED_FULL : MEMBER_REFUSED_VERSION,
                                 head, NULL);
        p = member_peer_find(c, head->from);
        return st == 0 ? p : NULL;
    }
    if (p->m.boot > head->boot) {
        take_older(c, head, p);
        return NULL;
    }
    if (p->m.nonce != head->nonce) {
        member_refuse_sender(c, MEMBER_REFUSED_DUPLICATE, head, NULL);
        return NULL;
    }
    return p;
}

/* For this node of this cluster, in a version it speaks, from another node. */
static bool addressed(struct member_core *c, const struct datagram *d)
{
    const struct datagram_head *head = &d->head;
    if (head->from == c->self->m.id && head->nonce == c->self->m.nonce) {
        wire_refuse(&c->counts.refusals, WIRE_REFUSED_SOURCE, 0);
        if (head->to == 0) /* else somebody sends us back what we sent */
            member_refuse(c, MEMBER_REFUSED_SELF, true, head, c->event->packet.from);
        return false;
    }
    if (head->cluster != 0 && c->cluster != 0 && head->cluster != c->cluster) {
        take_foreign(c, d);
        return false;
    }
    bool named = head->to == c->self->m.id;
    if (!named && (head->to != 0 || c->event->type != MEMBER_STREAM)) {
        wire_refuse(&c->counts.refusals, WIRE_REFUSED_DESTINATION, 0);
        return false;
    }
    enum member_refusal reason = 0;
    if (!d->spoken)
        reason = MEMBER_REFUSED_VERSION;
    else if (head->from == c->self->m.id)
        reason = MEMBER_REFUSED_DUPLICATE;
    else if (c->removed != NULL && c->removed(c->ctx, head->from))
        reason = MEMBER_REFUSED_REMOVED;
    if (reason != 0)
        member_refuse_sender(c, reason, head, NULL);
    return reason == 0;
}

static void believe(struct member_core *c, const struct datagram *d, struct peer *p)
{
    const struct datagram_head *head = &d->head;
    p->m.heard_us = member_now_us(c);
    p->knows_me |= head->to_boot == c->self->m.boot;
    if (head->stamp > c->actions->heard_stamp)
        c->actions->heard_stamp = head->stamp;
    if (head->epoch > c->actions->heard_epoch)
        c->actions->heard_epoch = head->epoch;
    if (c->cluster == 0 && head->cluster != 0) {
        c->cluster = head->cluster;
        member_out_action(c, MEMBER_ACTION_CLUSTER)->cluster = c->cluster;
    }
    take_messages(c, d, p);
    warn(c, p);
}

void member_packet_take(struct member_core *c, bool stream)
{
    struct wire_refusals *refusals = &c->counts.refusals;
    struct slice bytes = c->event->packet.bytes;
    struct datagram d;
    if (bytes.len > (stream ? DATAGRAM_STREAM_BYTES_MAX : DATAGRAM_BYTES_MAX)) {
        wire_refuse(refusals, WIRE_REFUSED_LENGTH, 0);
        return;
    }
    if (datagram_open(bytes, c->mac, refusals, &d) < 0 || !addressed(c, &d))
        return;
    if (!stream && d.head.to_boot != c->self->m.boot) {
        take_unproven(c, &d);
        return;
    }
    struct peer *p = introduce(c, &d);
    if (p == NULL) {
        struct peer *known = member_peer_find(c, d.head.from);
        if (known == NULL || known->m.boot < d.head.boot)
            take_unproven(c, &d);
        return;
    }
    if (!datagram_window_take(&p->window, d.head.counter)) {
        wire_refuse(refusals, WIRE_REFUSED_REPLAY, 0);
        return;
    }
    believe(c, &d, p);
}
