/* The parts of struct peers, for peers*.c only. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "base/prng.h"
#include "run/listener.h"
#include "run/mailbox.h"
#include "run/peers.h"

struct peer {
    uint64_t node;
    struct peer_address address; /* len 0: not known */
    struct peer_link *out, *in;  /* in: only one that stands */
    uint64_t boot, process;      /* of the latest life seen, 0: none */
    uint32_t retry_ms;
    uint64_t retry_us;           /* the next dialing, when out is NULL */
    enum handshake_refusal told; /* the last one that was logged */
    bool told_down;
};

struct peers_udp {
    struct loop_socket socket;
    struct peers *peers;
    int family;
};

struct peers {
    struct peers_options options;
    struct peer_mac handshake_mac, datagram_mac;
    struct loop *loop;
    struct peer_link_set links;
    struct map64 *nodes; /* struct peer */
    unsigned pending;    /* accepted, not proved */
    bool paused;         /* some link is */
    struct prng prng;
    struct env_timer tick;
    uint64_t logged_us; /* the last line about someone that is no node of ours */
    struct loop_listener listeners[PEERS_ADDRESSES_MAX];
    struct peers_udp udp[PEERS_ADDRESSES_MAX];
    unsigned sockets, port;
    uint8_t *datagrams; /* where they are received */

    struct mailbox tasks;          /* struct peers_task */
    atomic_uint_least64_t posted;  /* bytes of frames in it */
    atomic_uint_least64_t waiting; /* bytes of frames that the shards have not freed */
    atomic_bool stop;
    bool started, stopped;
    pthread_t thread;

    struct peers_counters counters;
    pthread_mutex_t published_lock;
    struct peers_counters published;
};

/* peers_links.c: which links there are. */
extern const struct peer_link_ops peers_link_ops;
void peers_accepted(struct loop_listener *listener, int fd);
void peers_node_set(struct peers *p, uint64_t node, const struct peer_address *address);
void peers_node_forget(struct peers *p, uint64_t node);
void peers_out(struct peers *p, struct peer_out *out); /* takes it over */
void peers_stream_out(struct peers *p, uint64_t link, const struct peer_address *address,
                      struct peer_out *out);
void peers_tick(struct peers *p);
void peers_close_all(struct peers *p);

/* peers_frames.c: what came, to the shards. */
int peers_frame_in(struct peers *p, struct peer_link *link, struct slice bytes);
bool peers_may_resume(const struct peers *p);
void peers_resume(struct peers *p);

/* peers_udp.c: a socket beside each listener, on its address and port. ST_EXISTS: taken. */
int peers_udp_open(struct peers *p, int listener_fd);
void peers_udp_close(struct peers *p);
