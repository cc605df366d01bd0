/* One TCP link to another node: the handshake, then sealed records both ways (wire/sealed.h). All
 * calls are on the thread of the loop.
 *
 * Which links there are. Each node dials each other one and sends its frames over the link that it
 * dialed: so between two nodes there are two links, one a direction, and over the accepted one only
 * answers go back (pongs, member packets). One link for both directions would save a socket a
 * pair, but needs a rule for who keeps which when both dial at once, and that rule has to be right
 * when each side sees another set of links; and a node whose own dialing fails would not notice.
 * With a link of its own each sender knows from its own socket whether it gets through, and its
 * queue, its backoff and its death are its alone. 50 nodes have 98 sockets each.
 *
 * - `up` comes when the other side has proved itself and, for a dialer, has taken our proof: so
 *   nothing is sent into a link that is then refused.
 * - Output waits in a queue of limited bytes; records are sealed when they leave.
 * - The dialer pings; a link on which a ping stays unanswered, or output stays untaken, is dead. So
 *   is an accepted one on which nothing comes, for the dialer's pings should.
 * - `ended` is the last callback, never from inside a call; the link is freed behind it. */
#pragma once

#include "base/list.h"
#include "run/loop.h"
#include "run/peer_address.h"
#include "run/peer_mac.h"
#include "wire/handshake.h"
#include "wire/sealed.h"

#define PEER_LINK_PIECES 64 /* of one writev */

#define PEER_LINK_END_TABLE(X)                            \
    X(CLOSED, "closed") /* by the other side */           \
    X(UNREACHABLE, "unreachable")                         \
    X(TIMEOUT, "timeout")   /* silent, or stuck */        \
    X(REFUSED, "refused")   /* ->handshake says why */    \
    X(GARBAGE, "garbage")   /* something that can't be */ \
    X(REPLACED, "replaced") /* by a newer one */          \
    X(STOPPED, "stopped")   /* not wanted any more */

enum peer_link_end {
#define X(NAME, name) PEER_LINK_##NAME,
    PEER_LINK_END_TABLE(X)
#undef X
};
const char *peer_link_end_name(enum peer_link_end end);

struct peer_link;
struct peers;

/* Runs on the thread of the links; from a mailbox. */
struct peers_task {
    void (*run)(struct peers_task *task, struct peers *peers);
    struct peers_task *next;
};

/* Something to send: made by whoever has it, sealed in place. */
struct peer_out {
    struct peers_task task;
    uint64_t node;           /* to whom */
    struct peer_out *behind; /* in the queue of a link */
    size_t len;              /* of bytes, header and MAC included */
    uint8_t kind;            /* enum sealed_kind; 0: goes as it is */
    bool sealed;
    uint8_t bytes[];
};
struct peer_out *peer_out_make(uint64_t node, enum sealed_kind kind, struct slice payload);

struct peer_link_limits {
    uint64_t output_bytes_max; /* a record that finds the queue empty may be longer */
    uint32_t handshake_ms_max; /* from the dialing on */
    uint32_t ping_ms, idle_ms_max;
    uint32_t keepalive_s; /* of TCP; 0: none */
};

struct peer_link_counters {
    uint64_t records_out, bytes_out, records_in, bytes_in;
    uint64_t unknown; /* records of a kind that this version does not know */
    struct wire_refusals refusals;
};

struct peer_link_ops {
    void (*up)(struct peer_link *link);
    /* A frame or a member packet; borrowed. Negative: ends the link as garbage. */
    int (*record)(struct peer_link *link, enum sealed_kind kind, struct slice payload);
    void (*ended)(struct peer_link *link, enum peer_link_end end);
};

/* What the links of one endpoint share; outlives them. */
struct peer_link_set {
    struct loop *loop;
    const struct peer_link_ops *ops;
    void *owner;
    struct handshake_id self;
    const struct datagram_mac *mac; /* of handshakes */
    struct peer_link_limits limits;
    struct peer_link_counters counters;
    struct list_head all, output;
    unsigned count;
    uint64_t id_last;
};

struct peer_link {
    struct loop_socket socket;
    struct peer_link_set *set;
    struct list_node all_link, output_link;
    void *owner; /* the caller's */
    uint64_t id; /* of all links ever of this set; not 0 */
    struct peer_address address;
    bool dialed, up, paused, finishing, pong_queued;
    enum peer_link_end end;
    struct handshake handshake;
    struct peer_mac send_mac, receive_mac;
    struct sealed send, receive;
    struct buffer in;
    struct peer_out *head, *tail; /* output; the first `head_sent` bytes of it are gone */
    size_t head_sent;
    uint64_t queued_bytes;
    uint64_t begun_us, heard_us, sent_us, pinged_us;
    uint64_t used_us;  /* the caller's */
    uint64_t waits_us; /* since when a ping is unanswered, 0: none is */
    struct iovec iov[PEER_LINK_PIECES];
};

void peer_link_set_init(struct peer_link_set *set);

/* to: the node, or 0 for whoever is there. A negative status: there is no link. */
int peer_link_dial(struct peer_link_set *set, const struct peer_address *address, uint64_t to,
                   void *owner, struct peer_link **ret_link);
/* fd is the link's, also on failure. */
int peer_link_accept(struct peer_link_set *set, int fd, const struct peer_address *address,
                     struct peer_link **ret_link);

/* Takes `out` over. false: the queue is full, `out` is freed. */
bool peer_link_send(struct peer_link *link, struct peer_out *out);
void peer_link_pause(struct peer_link *link);  /* no more records come */
void peer_link_resume(struct peer_link *link); /* they do again */
void peer_link_close(struct peer_link *link, enum peer_link_end end);
void peer_link_refuse(struct peer_link *link, enum handshake_refusal why); /* tells, then closes */
bool peer_link_ending(const struct peer_link *link);

/* Now and then: pings, and ends what is dead. */
void peer_link_tick(struct peer_link *link);
/* At a turn's end: submits what may leave, of all links. */
void peer_links_flush(struct peer_link_set *set);
