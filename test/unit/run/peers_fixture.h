/* Endpoints of peers in one process, and the other side of a link played by hand, over loopback. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/peers.h"
#include "wire/handshake.h"

#define WAIT_MS     10000 /* longer has failed */
#define CLUSTER     UINT64_C(0xc1c1)
#define SECRET      "a secret of all nodes"
#define FRAMES_KEPT 4096

/* --- an endpoint --- */

struct endpoint {
    struct peers *peers;
    struct handshake_id id;
    pthread_mutex_t lock;
    struct peers_frame *kept[FRAMES_KEPT]; /* as they came */
    unsigned frame_shard[FRAMES_KEPT];
    unsigned frames, datagrams, streams, refusals, ups, downs;
    uint64_t frame_bytes;
    enum handshake_refusal refusal; /* the last one */
    bool refused_by_peer, drop;     /* drop: frames are counted and freed at once */
    char datagram[64], stream[64];
    struct peer_address datagram_from;
    uint64_t stream_link;
};

static inline bool endpoint_frame(void *ctx, unsigned shard, struct peers_frame *frame)
{
    struct endpoint *e = ctx;
    pthread_mutex_lock(&e->lock);
    e->frame_bytes += frame->len;
    if (!e->drop) {
        CHECK(e->frames < FRAMES_KEPT);
        e->frame_shard[e->frames] = shard;
        e->kept[e->frames] = frame;
    }
    e->frames++;
    bool drop = e->drop;
    pthread_mutex_unlock(&e->lock);
    if (drop)
        peers_frame_free(frame);
    return true;
}

static inline void endpoint_text(char to[64], struct slice bytes)
{
    snprintf(to, 64, "%.*s", (int)bytes.len, (const char *)bytes.data);
}

static inline void endpoint_datagram(void *ctx, const struct peer_address *from, struct slice bytes)
{
    struct endpoint *e = ctx;
    pthread_mutex_lock(&e->lock);
    endpoint_text(e->datagram, bytes);
    e->datagram_from = *from;
    e->datagrams++;
    pthread_mutex_unlock(&e->lock);
}

static inline void endpoint_stream(void *ctx, uint64_t link, const struct peer_address *from,
                                   struct slice bytes)
{
    struct endpoint *e = ctx;
    pthread_mutex_lock(&e->lock);
    endpoint_text(e->stream, bytes);
    e->stream_link = link;
    e->streams++;
    pthread_mutex_unlock(&e->lock);
}

static inline void endpoint_link(void *ctx, uint64_t node, bool up)
{
    struct endpoint *e = ctx;
    pthread_mutex_lock(&e->lock);
    *(up ? &e->ups : &e->downs) += 1;
    pthread_mutex_unlock(&e->lock);
}

static inline void endpoint_refused(void *ctx, uint64_t node, const struct peer_address *address,
                                    enum handshake_refusal why, bool by_peer)
{
    struct endpoint *e = ctx;
    pthread_mutex_lock(&e->lock);
    e->refusal = why;
    e->refused_by_peer = by_peer;
    e->refusals++;
    pthread_mutex_unlock(&e->lock);
}

/* Of node n, in its first life; tests change what they like before endpoint_start(). */
static inline struct peers_options endpoint_options(struct endpoint *e, uint64_t n)
{
    struct peers_options o = peers_options_default();
    memset(e, 0, sizeof(*e));
    pthread_mutex_init(&e->lock, NULL);
    o.self = (struct handshake_id){WIRE_VERSION, CLUSTER, n, 1, n * 1000 + 1};
    o.secret = slice_str(SECRET);
    o.addresses = "127.0.0.1";
    o.port = 0;
    o.shards = 1;
    o.retry_ms = 10;
    o.retry_ms_max = 100;
    o.handlers = (struct peers_handlers){.frame = endpoint_frame,
                                         .datagram = endpoint_datagram,
                                         .stream = endpoint_stream,
                                         .link = endpoint_link,
                                         .refused = endpoint_refused};
    o.ctx = e;
    return o;
}

static inline void endpoint_start(struct endpoint *e, const struct peers_options *options)
{
    char error[PEERS_ERROR_BYTES] = "";
    e->id = options->self;
    int st = peers_start(options, &e->peers, error);
    if (st < 0)
        fprintf(stderr, "peers_start: %s\n", error);
    CHECK(st == 0);
}

static inline void endpoint_free_frames(struct endpoint *e)
{
    pthread_mutex_lock(&e->lock);
    for (unsigned i = 0; i < FRAMES_KEPT; i++) {
        if (e->kept[i] != NULL)
            peers_frame_free(e->kept[i]);
        e->kept[i] = NULL;
    }
    pthread_mutex_unlock(&e->lock);
}

static inline void endpoint_stop(struct endpoint *e)
{
    peers_stop(e->peers);
    endpoint_free_frames(e);
    peers_free(e->peers);
    e->peers = NULL;
    pthread_mutex_destroy(&e->lock);
}

static inline struct peer_address loopback(unsigned port)
{
    char text[32];
    struct peer_address a;
    snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    CHECK(peer_address_parse(slice_str(text), &a) == 0);
    return a;
}

static inline void endpoint_knows(struct endpoint *e, uint64_t node, unsigned port)
{
    struct peer_address at = loopback(port);
    peers_set(e->peers, node, &at);
}

static inline struct peers_counters endpoint_counters(struct endpoint *e)
{
    struct peers_counters c;
    peers_counters(e->peers, &c);
    return c;
}

/* Waits until it is so; the last value. The expression is looked at under no lock. */
#define WAIT_UNTIL(condition)                                    \
    do {                                                         \
        int waited_ms = 0;                                       \
        while (!(condition) && waited_ms++ < WAIT_MS)            \
            usleep(1000);                                        \
        if (waited_ms > WAIT_MS)                                 \
            fprintf(stderr, "waited in vain: %s\n", #condition); \
        assert_true(waited_ms <= WAIT_MS);                       \
    } while (0)

static inline unsigned locked(struct endpoint *e, const unsigned *counter)
{
    pthread_mutex_lock(&e->lock);
    unsigned n = *counter;
    pthread_mutex_unlock(&e->lock);
    return n;
}

/* --- frames --- */

/* From node to node, one message for each of these groups; `padding` bytes in each. */
static inline struct slice make_frame(struct frame_writer *w, uint64_t from, uint64_t to,
                                      const uint32_t *groups, unsigned count, size_t padding)
{
    struct frame_head head = {.version = WIRE_VERSION, .cluster = CLUSTER, .from = from, .to = to};
    BUFFER_AUTO struct buffer entry = {0};
    uint8_t *data = mem_zalloc(padding + 1);
    struct raft_entry e = {
        .index = 2, .term = 1, .type = RAFT_COMMAND, .data = slice_make(data, padding)};
    message_entry_encode(&entry, &e);
    frame_reset(w);
    for (unsigned i = 0; i < count; i++) {
        struct raft_message m = {
            .code = MESSAGE_APPEND, .group = groups[i], .to = 7, .from = 8, .term = 1};
        m.append.prev_index = 1;
        m.append.prev_term = 1;
        m.append.entries = (struct message_entries){1, buffer_slice(&entry)};
        frame_append(w, &m);
    }
    free(data);
    return frame_finish(w, &head);
}

/* --- the other side, by hand --- */

struct hand {
    int fd;
    struct handshake shake;
    struct peer_mac cluster_mac, send_mac, receive_mac;
    struct sealed send, receive;
};

static inline bool hand_write(struct hand *h, const void *data, size_t len)
{
    return send(h->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* false: the other side has closed, or said nothing for long. */
static inline bool hand_read(struct hand *h, void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        struct pollfd p = {.fd = h->fd, .events = POLLIN};
        ssize_t n = poll(&p, 1, WAIT_MS) == 1 ? recv(h->fd, (char *)data + at, len - at, 0) : 0;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static inline void hand_connect(struct hand *h, unsigned port)
{
    struct peer_address to = loopback(port);
    memset(h, 0, sizeof(*h));
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(h->fd, (struct sockaddr *)&to.at, to.len) == 0);
}

static inline void hand_keys(struct hand *h)
{
    peer_mac_init_link(&h->send_mac, h->shake.send_key);
    peer_mac_init_link(&h->receive_mac, h->shake.receive_key);
    h->send = (struct sealed){.mac = &h->send_mac.mac};
    h->receive = (struct sealed){.mac = &h->receive_mac.mac};
}

/* Dials and shakes hands as the node `id`. false: refused, ->shake says why. */
static inline bool hand_dial(struct hand *h, unsigned port, const struct handshake_id *id,
                             uint64_t to, const char *secret)
{
    uint8_t nonce[HANDSHAKE_NONCE_BYTES] = {1}, message[HANDSHAKE_BYTES], reply[HANDSHAKE_BYTES];
    bool has_reply;
    hand_connect(h, port);
    peer_mac_init_handshake(&h->cluster_mac, slice_str(secret));
    handshake_dial(&h->shake, id, to, nonce, message);
    if (!hand_write(h, message, sizeof(message)) || !hand_read(h, message, sizeof(message)))
        return false;
    int st = handshake_step(&h->shake, message, &h->cluster_mac.mac, reply, &has_reply);
    if (has_reply)
        hand_write(h, reply, sizeof(reply));
    if (st == 0)
        hand_keys(h);
    return st == 0;
}

/* Accepts on a listening socket, and shakes hands. */
static inline bool hand_accept(struct hand *h, int listener, const struct handshake_id *id)
{
    uint8_t nonce[HANDSHAKE_NONCE_BYTES] = {2}, message[HANDSHAKE_BYTES], reply[HANDSHAKE_BYTES];
    bool has_reply;
    memset(h, 0, sizeof(*h));
    struct pollfd p = {.fd = listener, .events = POLLIN};
    if (poll(&p, 1, WAIT_MS) != 1)
        return false;
    h->fd = accept(listener, NULL, NULL);
    peer_mac_init_handshake(&h->cluster_mac, slice_str(SECRET));
    handshake_accept(&h->shake, id, nonce);
    while (h->shake.state < HANDSHAKE_DONE) {
        if (!hand_read(h, message, sizeof(message)))
            return false;
        int st = handshake_step(&h->shake, message, &h->cluster_mac.mac, reply, &has_reply);
        if (has_reply && !hand_write(h, reply, sizeof(reply)))
            return false;
        if (st < 0)
            return false;
    }
    hand_keys(h);
    return true;
}

static inline int hand_listen(unsigned *ret_port, int receive_bytes)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    if (receive_bytes > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    CHECK(bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 16) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* A record, sealed; the caller frees it. */
static inline uint8_t *hand_record(struct hand *h, enum sealed_kind kind, struct slice payload,
                                   size_t *ret_len)
{
    uint8_t *record = mem_alloc(SEALED_OVERHEAD_BYTES + payload.len);
    if (payload.len > 0)
        memcpy(record + SEALED_HEADER_BYTES, payload.data, payload.len);
    sealed_close(&h->send, record, kind, payload.len);
    *ret_len = SEALED_OVERHEAD_BYTES + payload.len;
    return record;
}

static inline void hand_send(struct hand *h, enum sealed_kind kind, struct slice payload)
{
    size_t len;
    uint8_t *record = hand_record(h, kind, payload, &len);
    CHECK(hand_write(h, record, len));
    free(record);
}

/* The next record's kind; 0: the other side has closed. Payloads are thrown away. */
static inline unsigned hand_receive(struct hand *h)
{
    BUFFER_AUTO struct buffer bytes = {0};
    size_t len;
    uint8_t kind;
    struct slice payload;
    if (!hand_read(h, buffer_reserve(&bytes, SEALED_HEADER_BYTES), SEALED_HEADER_BYTES))
        return 0;
    bytes.len = SEALED_HEADER_BYTES;
    CHECK(sealed_length(buffer_slice(&bytes), NULL, &len) == 0);
    if (!hand_read(h, buffer_reserve(&bytes, len - bytes.len), len - bytes.len))
        return 0;
    CHECK(sealed_open(&h->receive, slice_make(bytes.data, len), NULL, &kind, &payload) == 0);
    return kind;
}

/* Whether the other side closes, whatever it sends before. */
static inline bool hand_closed(struct hand *h)
{
    char data[4096];
    for (;;) {
        struct pollfd p = {.fd = h->fd, .events = POLLIN};
        if (poll(&p, 1, WAIT_MS) != 1)
            return false;
        if (recv(h->fd, data, sizeof(data), 0) <= 0)
            return true;
    }
}
