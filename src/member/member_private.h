/* What the files of src/member share. Each part is one file:
 *
 *   member.c    create, step, the own events
 *   packet.c    what comes in: whom to believe, dispatch
 *   peers.c     the table and its order
 *   facts.c     alive, suspect, dead; suspicions
 *   rumour.c    which facts are told how often
 *   probe.c     pings and relays, local health
 *   sync.c      joins and full syncs
 *   out.c       what goes out, actions
 *   clock.c     offsets of clocks
 *   refuse.c    who is refused, and told so
 *
 * Peers are referred to by id across steps: a peer may be forgotten in any of them. */
#pragma once

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "member/member.h"

#define CONFIRMATIONS_MAX 4  /* of a suspicion; the limits want suspicion_mult - 2 */
#define RELAYS_MAX        64 /* pings under way for others; more are answered by a nack */
#define TOLD_MAX          63 /* times a rumour is sent */
#define REFUSALS_MAX      16 /* remembered, not to repeat them */
#define REFUSAL_REPEAT_US (10 * UINT64_C(1000000))
#define CLOCK_FRESH_US    (60 * UINT64_C(1000000))
#define MEMBERS_LIMIT_MAX 100000
#define MS_US             UINT64_C(1000)

struct member_timer { /* zeroed but for fire: unarmed */
    struct heap_node node;
    void (*fire)(struct member_core *c, struct member_timer *timer);
};

struct peer {
    struct member m;
    uint64_t described;            /* incarnation that address, zone, metadata are of: below
                                      m.incarnation when a suspicion came before them */
    uint8_t *text;                 /* owned; m's slices point into it */
    struct datagram_window window; /* of m.boot */
    uint64_t life_stamp, life_us;  /* our clocks when we learned of m.boot */
    bool knows_me;                 /* addressed us by our boot */
    uint64_t clock_us;             /* when its clock was measured */
    uint64_t warned_us;            /* when we last told it that we hold it for suspect or dead */
    struct member_timer timer;     /* SUSPECT: then dead; DEAD, LEFT: then forgotten */

    uint64_t suspected_us; /* SUSPECT: since when, and by whom */
    uint8_t confirmations, confirmations_wanted;
    bool last_word;                     /* was asked for */
    uint64_t by[CONFIRMATIONS_MAX + 1]; /* [0] began it */

    struct list_node rumour; /* in member_core.rumours[told] */
    uint8_t told;
    uint64_t told_packet; /* last packet that it went into */
    uint64_t rumour_by;   /* who suspects, or buried, it */

    size_t order; /* in member_core.order; the own node is not in it */
};

struct probe {
    bool active;
    uint64_t target, boot, sequence;
    uint64_t sent_us, sent_wall_ms;
    bool indirect;
    unsigned nacks_wanted, nacks;
};

struct relay { /* somebody asked us to ping another */
    struct member_timer timer;
    bool used, nacked;
    uint64_t origin, origin_boot, origin_sequence;
    uint64_t target, sequence, begun_us;
};

struct refusal_told {
    enum member_refusal reason;
    bool self;
    uint64_t node, at_us;
};

struct member_core {
    struct member_limits limits;
    const struct datagram_mac *mac;
    bool (*removed)(void *ctx, uint64_t node);
    void *ctx;
    struct prng prng;
    uint64_t cluster, counter;

    struct map64 *peers; /* struct peer, the own one too */
    struct peer *self;
    struct peer **order; /* all others; probed in this order, shuffled after each round */
    size_t order_len, order_cap, order_at;
    unsigned states[MEMBER_STATES];

    struct heap timers;
    struct member_timer probe_timer, probe_late_timer, gossip_timer, sync_timer, join_timer,
        leave_timer;
    struct probe probe;
    struct relay relays[RELAYS_MAX];
    unsigned health;
    struct list_head rumours[TOLD_MAX + 1];
    unsigned rumours_count;
    uint64_t packets;

    uint8_t seeds[MEMBER_SEEDS_MAX][MEMBER_ADDRESS_BYTES_MAX];
    uint8_t seeds_len[MEMBER_SEEDS_MAX];
    unsigned seeds_count;
    uint64_t join_wait_us;
    bool joined, leaving, left, clock_bad;

    struct refusal_told told[REFUSALS_MAX];
    unsigned told_next;
    struct member_status counts; /* only its counters */

    const struct member_event *event; /* of this step, and what it leads to */
    struct member_actions *actions;
};

static inline uint64_t member_now_us(const struct member_core *c)
{
    return c->event->now_us;
}

/* member.c */
void member_timer_arm(struct member_core *c, struct member_timer *timer, uint64_t after_us);
unsigned member_count_active(const struct member_core *c); /* alive or suspect, this node too */
/* log2(x) in units of 1/65536; x > 0. Rounded down, in integers: the same everywhere. */
uint32_t member_log2(uint64_t x);
#define MEMBER_LOG2_10 217706u /* member_log2(10) */

/* peers.c */
struct peer *member_peer_find(const struct member_core *c, uint64_t node);
struct peer *member_peer_add(struct member_core *c, const struct member_message_alive *a);
void member_peer_remove(struct member_core *c, struct peer *p);
void member_peer_describe(struct peer *p,
                          const struct member_message_alive *a); /* state, incarnation apart */
void member_peer_move(struct member_core *c, struct peer *p, enum member_state to);
bool member_peer_active(const struct peer *p); /* alive or suspect */
/* Up to k different ones that `fit`, drawn at random. */
unsigned member_peers_draw(struct member_core *c, unsigned k,
                           bool (*fit)(const struct member_core *c, const struct peer *p,
                                       uint64_t arg),
                           uint64_t arg, struct peer **ret_peers);
struct peer *member_peers_next(struct member_core *c); /* to probe; NULL: nobody */

/* facts.c */
int member_fact_alive(struct member_core *c, const struct member_message_alive *a);
void member_fact_suspect(struct member_core *c, const struct member_message_suspect *s);
/* synced: it came in a full sync, where the dead are only suspect. */
void member_fact_dead(struct member_core *c, const struct member_message_dead *d,
                      uint64_t synced_by);

/* rumour.c */
void member_rumour_add(struct member_core *c, struct peer *about, uint64_t by);
void member_rumour_drop(struct member_core *c, struct peer *about);
struct member_message member_rumour_message(const struct peer *about);
struct member_message member_rumour_alive(const struct peer *about);
void member_rumour_gossip(struct member_core *c, struct member_timer *timer);

/* out.c */
struct out { /* a packet being written; one at a time */
    struct datagram_head head;
    struct peer *peer; /* whom it goes to, when known */
    struct slice address;
    uint64_t link;
    bool stream;
    size_t start, end_max;
};
void member_out_begin(struct member_core *c, struct out *o, struct peer *to);
/* To whoever sent the packet of this event; p: who that is, when known. */
void member_out_reply(struct member_core *c, struct out *o, const struct datagram_head *head,
                      struct peer *p);
/* Streams: to `to`, or on a link, or to an address alone. */
void member_out_stream(struct member_core *c, struct out *o, struct peer *to, uint64_t link,
                       struct slice address);
bool member_out_fits(const struct member_core *c, const struct out *o,
                     const struct member_message *m);
void member_out_put(struct member_core *c, struct out *o, const struct member_message *m);
void member_out_rumours(struct member_core *c, struct out *o); /* as many as fit */
void member_out_send(struct member_core *c, struct out *o);
struct member_action *member_out_action(struct member_core *c, enum member_action_type type);
struct slice member_out_keep(struct member_core *c, struct slice bytes); /* for an action's slice */
void member_out_changed(struct member_core *c, const struct peer *p);
void member_out_finish(struct member_actions *actions); /* slices point into scratch from now on */

/* probe.c */
void member_probe_period(struct member_core *c, struct member_timer *timer);
void member_probe_late(struct member_core *c, struct member_timer *timer);
void member_probe_relay(struct member_core *c, struct peer *origin,
                        const struct member_message_ping_req *m);
void member_probe_ack(struct member_core *c, struct peer *from, const struct member_message_ack *m);
void member_probe_nack(struct member_core *c, const struct member_message_nack *m);
void member_health_change(struct member_core *c, int by);

/* sync.c */
void member_sync_period(struct member_core *c, struct member_timer *timer);
void member_sync_take(struct member_core *c, struct peer *from,
                      const struct member_message_sync *m);
void member_join_try(struct member_core *c, struct member_timer *timer);

/* packet.c */
void member_packet_take(struct member_core *c, bool stream);

/* clock.c */
void member_clock_measured(struct member_core *c, struct peer *p, int64_t ahead_ms);

/* refuse.c */
void member_refuse(struct member_core *c, enum member_refusal reason, bool self,
                   const struct datagram_head *head, struct slice address);
/* ... and tells the sender of this event's packet. */
void member_refuse_sender(struct member_core *c, enum member_refusal reason,
                          const struct datagram_head *head, struct peer *p);
