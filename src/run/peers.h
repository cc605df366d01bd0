/* The other nodes as this one reaches them: links (run/peer_link.h) to those that are set, links
 * accepted from those that prove themselves, and a socket for the datagrams of members, all on a
 * thread of their own.
 *
 * Sending is fire and forget. A frame is dropped, and counted, when its node is not known, when no
 * link to it stands or is being made, and when its queue is full; Raft repeats. So a node that is
 * away costs no memory, and when it is back it gets nothing old.
 *
 * Receiving: a frame may hold messages for groups of several shards; each shard gets those of its
 * own (group g is shard g mod S's) as a frame, copied once. When more bytes than input_bytes_max
 * wait for the shards, no link is read until half of them are taken.
 *
 * One node has one accepted link: a newer one replaces it, unless it is of an earlier life of the
 * node, or of another process in the same one: these are refused.
 *
 * Without a secret only loopback addresses are listened on and dialed. */
#pragma once

#include "node/config.h"
#include "run/peer_address.h"
#include "run/peer_link.h"

#define PEERS_MAX       1024 /* nodes */
#define PEERS_LINKS_MAX 4096
#define PEERS_PENDING_MAX                                                  \
    128 /* accepted links that have not proved themselves; the oldest goes \
         */
#define PEERS_ERROR_BYTES   512
#define PEERS_DATAGRAM_MAX  DATAGRAM_BYTES_MAX
#define PEERS_SHARDS_MAX    64
#define PEERS_ADDRESSES_MAX 16 /* listened on */

/* A frame for one shard; whoever has it frees it. */
struct peers_frame {
    struct peers_frame *next; /* of the receiver's mailbox */
    struct peers *peers;
    size_t len;
    uint8_t bytes[];
};
void peers_frame_free(struct peers_frame *frame); /* from any thread */

/* All run on the peers' thread; each may be NULL. What is borrowed is so until they return. */
struct peers_handlers {
    /* Takes it over. false: that shard is full; it is the peers' still, who drop and count it. */
    bool (*frame)(void *ctx, unsigned shard, struct peers_frame *frame);
    void (*datagram)(void *ctx, const struct peer_address *from, struct slice bytes);
    /* A member packet of a link whose handshake was right; answer with peers_stream(). */
    void (*stream)(void *ctx, uint64_t link, const struct peer_address *from, struct slice bytes);
    void (*link)(void *ctx, uint64_t node, bool up); /* our own to it */
    /* node: who is there as it says, 0: unknown. */
    void (*refused)(void *ctx, uint64_t node, const struct peer_address *address,
                    enum handshake_refusal why, bool by_peer);
    void (*turn)(void *ctx); /* at each turn's end */
};

struct peers_options {
    struct handshake_id self;
    struct slice secret; /* empty, or at least CONFIG_CLUSTER_SECRET_BYTES_MIN */
    const char *addresses;
    unsigned port;           /* TCP and UDP; 0: one that is free */
    const char *port_option; /* what an error calls it */
    unsigned shards;
    struct peer_link_limits limits;
    uint32_t retry_ms, retry_ms_max; /* of dialing, doubling, with jitter */
    uint64_t input_bytes_max;
    struct peers_handlers handlers;
    void *ctx;
};
/* All but self, addresses, shards and handlers. */
struct peers_options peers_options_default(void);
/* The same, with what the settings say. The secret may come out of a file, and then stands in
 * `secret`; wipe it when the peers are started. ST_INVALID: what is wrong stands in error. */
int peers_options_from(const struct settings *s, struct buffer *secret,
                       struct peers_options *ret_options, char error[PEERS_ERROR_BYTES]);

/* ST_INVALID, ST_EXISTS: what is wrong stands in error. Secret and addresses need not live on. */
int peers_start(const struct peers_options *options, struct peers **ret_peers,
                char error[PEERS_ERROR_BYTES]);
void peers_stop(struct peers *p); /* ends the thread; nothing is sent or handed over behind it */
void peers_free(struct peers *p); /* when it is stopped and all frames are freed; NULL is fine */

/* From any thread. */
void peers_set(struct peers *p, uint64_t node, const struct peer_address *address);
void peers_forget(struct peers *p, uint64_t node);
void peers_set_cluster(struct peers *p, uint64_t cluster); /* of the handshakes from now on */
/* Copied. false: too much waits already. The thread sleeps on until peers_wake(). */
bool peers_send(struct peers *p, uint64_t node, struct slice frame);
void peers_wake(struct peers *p);
/* A member packet: over that link; else, when 0, to that node; else to the address. */
void peers_stream(struct peers *p, uint64_t link, uint64_t node, const struct peer_address *address,
                  struct slice packet);
/* May be lost. ST_AGAIN, or why it can't be. */
int peers_datagram(struct peers *p, const struct peer_address *to, struct slice packet);

const struct datagram_mac *peers_datagram_mac(const struct peers *p);
unsigned peers_port(const struct peers *p);
struct loop *peers_loop(struct peers *p); /* for timers, on its thread */

#define PEERS_COUNTER_TABLE(X)                                               \
    X(nodes, "nodes known")                                                  \
    X(links_out, "links to nodes that stand")                                \
    X(links_in, "links from nodes that stand")                               \
    X(dials, "links begun")                                                  \
    X(dials_failed, "links that did not come to stand")                      \
    X(accepted, "links accepted")                                            \
    X(refused, "links refused here")                                         \
    X(refused_by_peers, "links refused there")                               \
    X(pushed_out, "accepted links closed for newer ones before they proved " \
                  "themselves")                                              \
    X(lost_timeout, "links closed because nothing came or went")             \
    X(lost_garbage, "links closed because what came can't be")               \
    X(frames_out, "frames given to links")                                   \
    X(frames_dropped_unknown, "frames to nodes that are not known")          \
    X(frames_dropped_down, "frames to nodes without a link")                 \
    X(frames_dropped_full, "frames to nodes whose queue was full")           \
    X(frames_in, "frames received")                                          \
    X(frames_split, "frames received that were for several shards")          \
    X(frames_refused, "frames received that can't be")                       \
    X(frames_dropped_shard, "frames received for a shard that was full")     \
    X(pauses, "times a link was not read because shards lag behind")         \
    X(datagrams_in, "datagrams received")                                    \
    X(datagrams_refused, "datagrams received that were too long")

struct peers_counters {
#define X(name, text) uint64_t name;
    PEERS_COUNTER_TABLE(X)
#undef X
    uint64_t refusals[HANDSHAKE_REFUSALS]; /* of handshakes, here and there */
    struct peer_link_counters links;
};
/* As of the end of the last turn. */
void peers_counters(struct peers *p, struct peers_counters *ret_counters);
