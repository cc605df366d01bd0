/* Full syncs over streams. Now and then with a member drawn at random, which repairs what rumours
 * missed; also with one that is dead, so that the halves of a partition find one another again, and
 * with seeds where nobody is; and at a join with each seed.
 *
 *   us ──compare, digest──▶ them      as a rule that is all: the digests are equal
 *   us ◀──all they know──── them
 *   us ──all we know──────▶ them      who was held for dead by one side has refuted it by now
 *
 * All that is known is a run of packets, each of which stands alone: who we are, a sync message,
 * and rumours: of the living all there is to know, of the dead only that. */
#include "base/bytes.h"
#include "base/hash.h"
#include "base/planted.h"
#include "member/member_private.h"

#define SYNC_ROOM_BYTES 64
#define SYNC_MEMBERS    32 /* so many are synced in the interval; it grows with log2 beyond */

static void sync_begin(struct member_core *c, struct out *o, struct peer *to, uint64_t link,
                       struct slice address)
{
    struct member_message sync = {.code = MEMBER_MESSAGE_SYNC};
    member_out_stream(c, o, to, link, address);
    member_out_put(c, o, &sync);
    o->end_max -= SYNC_ROOM_BYTES; /* for the wish at its end */
}

static void sync_end(struct member_core *c, struct out *o, uint8_t flags)
{
    struct member_message sync = {.code = MEMBER_MESSAGE_SYNC, .sync = {flags, 0}};
    o->end_max += SYNC_ROOM_BYTES;
    if (flags != 0)
        member_out_put(c, o, &sync);
    member_out_send(c, o);
}

/* What is known about one member, at most two messages. */
static unsigned sync_row(const struct peer *p, struct member_message ret_rows[2])
{
    unsigned count = 0;
    if (member_peer_active(p))
        ret_rows[count++] = member_rumour_alive(p);
    if (p->m.state != MEMBER_ALIVE)
        ret_rows[count++] = member_rumour_message(p);
    return count;
}

static void sync_send(struct member_core *c, struct peer *to, uint64_t link, struct slice address,
                      uint8_t flags)
{
    struct out o;
    size_t at = 0;
    uint64_t node;
    void *value;
    sync_begin(c, &o, to, link, address);
    while (map64_next(c->peers, &at, &node, &value)) {
        struct member_message rows[2];
        unsigned count = value == c->self ? 0 : sync_row(value, rows);
        for (unsigned i = 0; i < count; i++) {
            if (!member_out_fits(c, &o, &rows[i])) {
                sync_end(c, &o, 0);
                sync_begin(c, &o, to, link, address);
            }
            member_out_put(c, &o, &rows[i]);
        }
    }
    if (c->leaving) {
        struct member_message goodbye = member_rumour_message(c->self);
        if (member_out_fits(c, &o, &goodbye))
            member_out_put(c, &o, &goodbye);
    }
    sync_end(c, &o, flags);
}

/* Equal where the same are alive in the same incarnations, whatever the order. Who is dead does not
 * count: not everybody has known him. */
static uint64_t sync_digest(const struct member_core *c)
{
    uint64_t sum = 0, node;
    size_t at = 0;
    void *value;
    while (map64_next(c->peers, &at, &node, &value)) {
        const struct peer *p = value;
        uint8_t bytes[24];
        bytes_put_u64(bytes, node);
        bytes_put_u64(bytes + 8, p->m.boot);
        bytes_put_u64(bytes + 16, p->m.incarnation);
        sum += member_peer_active(p) ? hash_murmur3(0, bytes, sizeof(bytes)) : 0;
    }
    return sum;
}

static void sync_compare(struct member_core *c, struct peer *to, struct slice address)
{
    struct out o;
    struct member_message sync = {.code = MEMBER_MESSAGE_SYNC,
                                  .sync = {MEMBER_SYNC_COMPARE, sync_digest(c)}};
    member_out_stream(c, &o, to, 0, address);
    member_out_put(c, &o, &sync);
    member_out_send(c, &o);
}

void member_sync_take(struct member_core *c, struct peer *from, const struct member_message_sync *m)
{
    if (c->event->type != MEMBER_STREAM)
        return;
    uint64_t link = c->event->packet.link;
    struct out o;
    c->joined = true;
    heap_remove(&c->timers, &c->join_timer.node);
    if ((m->flags & MEMBER_SYNC_WANTED) != 0) {
        sync_send(c, from, link, from->m.address, 0);
    } else if ((m->flags & MEMBER_SYNC_COMPARE) == 0) {
        return;
    } else if (m->digest != sync_digest(c)) {
        sync_send(c, from, link, from->m.address, MEMBER_SYNC_WANTED);
    } else {
        sync_begin(c, &o, from, link, from->m.address);
        sync_end(c, &o, 0);
    }
}

/* --- joins --- */

static struct slice seed_address(const struct member_core *c, uint64_t i)
{
    return slice_make(c->seeds[i], c->seeds_len[i]);
}

static void sync_seeds(struct member_core *c)
{
    for (unsigned i = 0; i < c->seeds_count; i++)
        sync_compare(c, NULL, seed_address(c, i));
}

static bool somebody_is_at(const struct member_core *c, struct slice address)
{
    for (size_t i = 0; i < c->order_len; i++)
        if (member_peer_active(c->order[i]) && slice_equal(c->order[i]->m.address, address))
            return true;
    return false;
}

/* Nodes that started while they were cut off from one another know of the others by this alone. */
static void sync_lost_seeds(struct member_core *c)
{
    for (unsigned i = 0; i < c->seeds_count; i++)
        if (!somebody_is_at(c, seed_address(c, i)))
            sync_compare(c, NULL, seed_address(c, i));
}

void member_join_try(struct member_core *c, struct member_timer *timer)
{
    if (c->joined || c->seeds_count == 0)
        return;
    sync_seeds(c);
    member_timer_arm(c, timer, c->join_wait_us);
    c->join_wait_us *= 2;
    if (c->join_wait_us > c->limits.join_retry_ms_max * MS_US)
        c->join_wait_us = c->limits.join_retry_ms_max * MS_US;
}

/* --- now and then --- */

static bool in_state(const struct member_core *c, const struct peer *p, uint64_t states)
{
    return (states >> p->m.state & 1) != 0;
}

static void sync_random(struct member_core *c, uint64_t states)
{
    struct peer *p;
    if (member_peers_draw(c, 1, in_state, states, &p) == 1)
        sync_compare(c, p, p->m.address);
}

void member_sync_period(struct member_core *c, struct member_timer *timer)
{
    uint64_t wait_us = c->limits.sync_interval_ms * MS_US;
    unsigned n = member_count_active(c);
    if (n > SYNC_MEMBERS)
        wait_us *= (member_log2(n) - member_log2(SYNC_MEMBERS) + 65535) / 65536 + 1;
    member_timer_arm(c, timer, wait_us / 2 + prng_below(&c->prng, wait_us));
    sync_random(c, UINT64_C(1) << MEMBER_ALIVE | UINT64_C(1) << MEMBER_SUSPECT);
    if (PLANTED(member_lost_given_up))
        return;
    if (c->states[MEMBER_DEAD] > 0)
        sync_random(c, UINT64_C(1) << MEMBER_DEAD);
    sync_lost_seeds(c);
}
