/* Who is there: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2017) as
 * a state machine without I/O. member_step() takes one event and answers with actions. Defaults are
 * those that HashiCorp's memberlist came to.
 *
 * A member is a node id. Its boot grows with each start, its nonce is random for each process, its
 * incarnation grows while it runs; address, zone and metadata are what the newest (boot,
 * incarnation) says. So a node that comes back with another address is the same node, and two
 * processes with one id are told apart and reported (MEMBER_REFUSED_DUPLICATE).
 *
 * What this gives is a hint: "suspect" and "dead" mean unreachable, for some. Who belongs to the
 * cluster is decided elsewhere (the cluster log); a dead member is kept, and tried again now and
 * then, so that a partition heals by itself, however long it was.
 *
 * Guarantees
 * - Of two facts about a node the one of the higher (boot, incarnation) counts; among equals alive
 * < suspect < dead. Only a node itself raises its incarnation. So facts may be lost, doubled and
 *   reordered, and everybody ends with the same.
 * - What is recorded and sent again has no effect: within one life of both by the window of
 *   counters, over a restart of either by the boots under the MAC. Streams must be fresh by their
 *   own handshake.
 * - Bounded: members_max members; a rumour is sent lambda * log10(members) times; a member sends a
 *   constant number of datagrams a second, whatever the size of the cluster.
 * - The same seed and events give the same actions.
 *
 * The caller owes this: now_us is monotonic; a boot higher than all of this node's before; actions
 * carried out in order, where what cannot be sent is dropped; after a stall, what waits in sockets
 * is given before the next tick. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "wire/datagram.h"
#include "wire/member_message.h"

#define MEMBER_SEEDS_MAX 16

struct member_core;

enum member_state {
    MEMBER_ALIVE,
    MEMBER_SUSPECT, /* did not answer somebody; may still refute it */
    MEMBER_DEAD,    /* unreachable for long */
    MEMBER_LEFT,    /* said goodbye */
    MEMBER_STATES,
};

struct member {
    uint64_t id, boot, nonce, incarnation;
    enum member_state state;
    uint16_t version_min, version_max; /* of the protocol between peers */
    struct slice address, zone, meta;  /* owned by the core; valid until the next step */
    uint64_t changed_us;               /* when it came to this state here */
    uint64_t heard_us;                 /* when something last came from it, 0: never */
    bool clock_known;
    int64_t clock_ahead_ms; /* its wall clock before ours */
};

struct member_limits {
    uint32_t probe_interval_ms, probe_timeout_ms;
    uint32_t indirect_probes;                    /* k of SWIM 3.1 */
    uint32_t gossip_interval_ms, gossip_fanout;  /* while there are rumours */
    uint32_t gossip_dead_ms;                     /* so long rumours go to the dead, too */
    uint32_t rumour_mult;                        /* lambda of SWIM 4.1 */
    uint32_t suspicion_mult, suspicion_max_mult; /* alpha, beta of Lifeguard IV-B */
    uint32_t health_max;                         /* S of Lifeguard IV-A */
    uint32_t sync_interval_ms;                   /* full syncs; longer from 32 members on */
    uint32_t join_retry_ms, join_retry_ms_max;   /* doubling */
    uint32_t leave_ms;                           /* a goodbye that takes longer is given up */
    uint32_t dead_keep_s;                        /* then the dead and the left are forgotten */
    uint32_t skew_ms_max;
    uint32_t members_max;
};
struct member_limits member_limits_default(void);

struct member_start {
    uint64_t cluster;           /* 0: none yet, takes that of whom it joins */
    uint64_t node, boot, nonce; /* not 0 */
    uint64_t seed;              /* random: sequences of probes are drawn from it */
    uint64_t now_us;
    struct slice address, zone, meta; /* copied; the address not empty */
    struct member_limits limits;
    const struct datagram_mac *mac; /* outlives the core */
    /* Whether the cluster removed this node for good; NULL: none was. */
    bool (*removed)(void *ctx, uint64_t node);
    void *ctx;
};

/* --- events --- */

enum member_event_type {
    MEMBER_TICK,     /* time has passed */
    MEMBER_DATAGRAM, /* may be anything */
    MEMBER_STREAM,   /* one packet of a stream whose handshake was right; may be anything */
    MEMBER_JOIN,     /* through these addresses, again and again until somebody answers.
                        ST_INVALID: none, too many, or only the own one */
    MEMBER_SET,      /* own address, zone or metadata changed */
    MEMBER_CLUSTER,  /* the cluster was born, or joined: its id. ST_EXISTS: is of another one */
    MEMBER_LEAVE,    /* says goodbye; MEMBER_ACTION_LEFT follows */
    MEMBER_FORGET,   /* a node is no member any more (see `removed`) */
};

struct member_event {
    enum member_event_type type;
    uint64_t now_us;
    uint64_t wall_ms; /* for estimates of clocks */
    uint64_t stamp;   /* hybrid logical clock: goes into what is sent */
    uint64_t epoch;   /* of the map, the same */
    union {
        struct {
            struct slice from; /* address */
            uint64_t link;     /* streams: what an answer on the same stream is sent to; not 0 */
            struct slice bytes;
        } packet;
        struct {
            const struct slice *addresses;
            unsigned count;
        } join;
        struct {
            struct slice address, zone, meta; /* data NULL: as before */
        } set;
        uint64_t cluster;
        uint64_t node;
    };
};

/* --- actions --- */

enum member_action_type {
    MEMBER_ACTION_DATAGRAM,
    MEMBER_ACTION_STREAM,  /* link not 0: on that stream; else one to the address */
    MEMBER_ACTION_CHANGED, /* a member is new or is not what it was */
    MEMBER_ACTION_REFUSED, /* a person should know; at most every some seconds each */
    MEMBER_ACTION_CLOCK,   /* member_clock_ok() is not what it was */
    MEMBER_ACTION_CLUSTER, /* belongs to this cluster now: make it durable */
    MEMBER_ACTION_LEFT,    /* the goodbye is told: may stop */
};

struct member_action {
    enum member_action_type type;
    union {
        struct {
            uint64_t node; /* 0: not known */
            uint64_t link;
            struct slice address, bytes;
        } send;
        struct member member;
        struct {
            enum member_refusal reason; /* member_refusal_text() */
            bool self;                  /* it is this node that is refused */
            uint64_t node;              /* by whom; or who is refused */
            uint64_t cluster;           /* the other's */
            struct slice address;       /* where the other is */
        } refused;
        uint64_t cluster;
    };
};

/* Reused from step to step; what it points to is valid until the next one. A zeroed one is empty.
 */
struct member_actions {
    struct member_action *list;
    unsigned count, cap;
    uint64_t heard_stamp, heard_epoch; /* greatest from peers in this step, 0: none. Merge them */
    struct buffer scratch;
};
void member_actions_free(struct member_actions *actions);

/* --- the core --- */

/* ST_INVALID: ids of 0, an address that is empty or too long. */
int member_create(const struct member_start *start, struct member_core **ret_core);
void member_free(struct member_core *c);

/* 0, or why an event was refused, with no effect. Packets that cannot be are dropped and counted,
 * never an error. *actions holds only this step's. */
int member_step(struct member_core *c, const struct member_event *event,
                struct member_actions *actions);
uint64_t member_due_us(const struct member_core *c); /* wants a tick then, at the latest */

/* --- looking at it --- */

/* False while the wall clocks of the majority are further than skew_ms_max from this one's. */
bool member_clock_ok(const struct member_core *c);
int64_t member_clock_ahead_ms(const struct member_core *c); /* of the majority before this one */

int member_find(const struct member_core *c, uint64_t node, struct member *ret_member);
/* `size_t at = 0; while (member_next(c, &at, &member))` visits all, this node too. */
bool member_next(const struct member_core *c, size_t *at, struct member *ret_member);

struct member_status {
    uint64_t cluster, incarnation;
    unsigned members, states[MEMBER_STATES]; /* this node among them */
    unsigned health;                         /* 0: well; see Lifeguard IV-A */
    unsigned rumours;
    bool joined, leaving, clock_ok;
    uint64_t datagrams, datagram_bytes, stream_bytes; /* sent */
    uint64_t probes_failed, refutations;
    struct wire_refusals refusals; /* of what came */
};
void member_status(const struct member_core *c, struct member_status *ret_status);
