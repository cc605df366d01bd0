/* Which links there are: one to each node that is set, dialed again and again with growing pauses;
 * accepted ones; and some dialed for a member packet to an address whose node is not known. */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/peers_private.h"

#define STRANGER_LOG_US 1000000  /* about others than known nodes: a line so often */
#define UNUSED_US       10000000 /* a link to an address is closed when unused for so long */
#define ADDRESSES_MAX   64       /* such links at a time */

static uint64_t now_us(const struct peers *p)
{
    return loop_now(p->loop).mono_us;
}

static struct peers *of_link(const struct peer_link *link)
{
    return link->set->owner;
}

/* --- nodes --- */

static struct peer *node_make(struct peers *p, uint64_t node)
{
    if (map64_count(p->nodes) >= PEERS_MAX)
        return NULL;
    struct peer *peer = mem_zalloc(sizeof(*peer));
    peer->node = node;
    peer->retry_ms = p->options.retry_ms;
    map64_put(p->nodes, node, peer);
    p->counters.nodes = map64_count(p->nodes);
    return peer;
}

/* Forgets it when nothing is known of it any more but that it was here. */
static void node_unused(struct peers *p, struct peer *peer)
{
    if (peer->address.len != 0 || peer->in != NULL || peer->out != NULL)
        return;
    map64_remove(p->nodes, peer->node);
    p->counters.nodes = map64_count(p->nodes);
    free(peer);
}

static void node_link(struct peers *p, struct peer *peer, bool up)
{
    if (p->options.handlers.link != NULL)
        p->options.handlers.link(p->options.ctx, peer->node, up);
}

static bool reachable(const struct peers *p, const struct peer_address *address)
{
    return p->options.secret.len > 0 || peer_address_loopback(address);
}

/* Half to one and a half of what doubles, so that nodes that lost the same one don't come back all
 * at once. */
static void retry_later(struct peers *p, struct peer *peer)
{
    uint64_t pause_us = (uint64_t)peer->retry_ms * 1000;
    peer->retry_us = now_us(p) + pause_us / 2 + prng_below(&p->prng, pause_us + 1);
    uint32_t max_ms = p->options.retry_ms_max;
    peer->retry_ms = peer->retry_ms < max_ms / 2 ? peer->retry_ms * 2 : max_ms;
}

static void dial(struct peers *p, struct peer *peer)
{
    struct peer_link *link;
    if (peer->out != NULL || peer->address.len == 0 || p->stopped)
        return;
    p->counters.dials++;
    if (peer_link_dial(&p->links, &peer->address, peer->node, peer, &link) == 0) {
        peer->out = link;
    } else {
        p->counters.dials_failed++;
        retry_later(p, peer);
    }
}

void peers_node_set(struct peers *p, uint64_t node, const struct peer_address *address)
{
    struct peer *peer = map64_get(p->nodes, node);
    char text[PEER_ADDRESS_TEXT_BYTES];
    peer_address_format(address, text);
    if (node == 0 || node == p->links.self.node)
        return;
    if (!reachable(p, address)) {
        log_event(LOG_ERROR, "peer_needs_secret", "node=%016" PRIx64 " address=%s", node, text);
        return;
    }
    if (peer == NULL && (peer = node_make(p, node)) == NULL) {
        log_event(LOG_ERROR, "peer_not_set", "node=%016" PRIx64 " nodes_max=%d", node, PEERS_MAX);
        return;
    }
    bool moved = peer->address.len != address->len ||
                 memcmp(&peer->address.at, &address->at, address->len) != 0;
    peer->address = *address;
    if (!moved)
        return;
    peer->told = HANDSHAKE_REFUSED_NONE;
    peer->told_down = false;
    peer->retry_ms = p->options.retry_ms;
    struct peer_link *old = peer->out;
    if (old != NULL) {
        old->owner = NULL;
        peer->out = NULL;
        peer_link_close(old, PEER_LINK_REPLACED);
        p->counters.links_out -= old->up;
        if (old->up)
            node_link(p, peer, false);
    }
    dial(p, peer);
}

void peers_node_forget(struct peers *p, uint64_t node)
{
    struct peer *peer = map64_get(p->nodes, node);
    if (peer == NULL)
        return;
    peer->address.len = 0;
    if (peer->out != NULL)
        peer_link_close(peer->out, PEER_LINK_STOPPED);
    if (peer->in != NULL)
        peer_link_close(peer->in, PEER_LINK_STOPPED);
    node_unused(p, peer);
}

/* --- sending --- */

void peers_out(struct peers *p, struct peer_out *out)
{
    struct peer *peer = map64_get(p->nodes, out->node);
    uint64_t *counter = &p->counters.frames_out;
    if (peer == NULL || peer->address.len == 0) {
        counter = &p->counters.frames_dropped_unknown;
        free(out);
    } else if (peer->out == NULL || peer_link_ending(peer->out)) {
        counter = &p->counters.frames_dropped_down;
        free(out);
    } else if (!peer_link_send(peer->out, out)) {
        counter = &p->counters.frames_dropped_full;
    }
    *counter += 1;
}

static struct peer_link *link_by_id(struct peers *p, uint64_t id)
{
    list_foreach (node, &p->links.all) {
        struct peer_link *link = list_entry(node, struct peer_link, all_link);
        if (link->id == id)
            return link;
    }
    return NULL;
}

/* One that was dialed to this address, for whatever node; or a new one. */
static struct peer_link *link_by_address(struct peers *p, const struct peer_address *address)
{
    unsigned count = 0;
    list_foreach (node, &p->links.all) {
        struct peer_link *link = list_entry(node, struct peer_link, all_link);
        if (!link->dialed || peer_link_ending(link))
            continue;
        if (link->address.len == address->len &&
            memcmp(&link->address.at, &address->at, address->len) == 0)
            return link;
        count += link->owner == NULL;
    }
    struct peer_link *link;
    if (count >= ADDRESSES_MAX || !reachable(p, address) || p->stopped)
        return NULL;
    p->counters.dials++;
    if (peer_link_dial(&p->links, address, 0, NULL, &link) == 0)
        return link;
    p->counters.dials_failed++;
    return NULL;
}

void peers_stream_out(struct peers *p, uint64_t id, const struct peer_address *address,
                      struct peer_out *out)
{
    struct peer *peer = map64_get(p->nodes, out->node);
    struct peer_link *link = NULL;
    if (id != 0)
        link = link_by_id(p, id);
    else if (peer != NULL && peer->out != NULL && !peer_link_ending(peer->out))
        link = peer->out;
    else if (address->len != 0)
        link = link_by_address(p, address);
    if (link == NULL) {
        free(out);
        return;
    }
    link->used_us = now_us(p);
    peer_link_send(link, out);
}

/* --- what becomes of links --- */

static void told_refused(struct peers *p, struct peer_link *link, struct peer *peer)
{
    const struct handshake *h = &link->handshake;
    char address[PEER_ADDRESS_TEXT_BYTES];
    p->counters.refusals[h->refusal]++;
    if (h->refused_by_peer)
        p->counters.refused_by_peers++;
    else
        p->counters.refused++;
    if (p->options.handlers.refused != NULL)
        p->options.handlers.refused(p->options.ctx, h->peer.node, &link->address, h->refusal,
                                    h->refused_by_peer);
    if (peer != NULL ? peer->told == h->refusal : now_us(p) < p->logged_us + STRANGER_LOG_US)
        return;
    if (peer != NULL)
        peer->told = h->refusal;
    else
        p->logged_us = now_us(p);
    peer_address_format(&link->address, address);
    log_event(LOG_WARNING, "peer_refused",
              "reason=%s by=%s address=%s node=%016" PRIx64 " cluster=%016" PRIx64
              " version=%u text=%s",
              handshake_refusal_name(h->refusal), h->refused_by_peer ? "peer" : "us", address,
              h->peer.node, h->peer.cluster, h->peer.version, handshake_refusal_text(h->refusal));
}

static void out_up(struct peers *p, struct peer_link *link)
{
    struct peer *peer = link->owner;
    if (peer == NULL)
        return;
    char address[PEER_ADDRESS_TEXT_BYTES];
    peer_address_format(&link->address, address);
    peer->told = HANDSHAKE_REFUSED_NONE;
    peer->told_down = false;
    p->counters.links_out++;
    log_event(LOG_INFO, "peer_link_up", "node=%016" PRIx64 " address=%s", peer->node, address);
    node_link(p, peer, true);
}

/* Of two lives the later one counts; two processes in one life are a node and its copy. */
static enum handshake_refusal judge_life(const struct peer *peer, const struct handshake_id *life)
{
    if (life->boot < peer->boot)
        return HANDSHAKE_REFUSED_BOOT;
    if (life->boot == peer->boot && life->process != peer->process)
        return HANDSHAKE_REFUSED_CLONE;
    return HANDSHAKE_REFUSED_NONE;
}

static void in_up(struct peers *p, struct peer_link *link)
{
    const struct handshake_id *life = &link->handshake.peer;
    struct peer *peer = map64_get(p->nodes, life->node);
    enum handshake_refusal why = HANDSHAKE_REFUSED_NONE;
    p->pending--;
    if (peer == NULL && (peer = node_make(p, life->node)) == NULL)
        why = HANDSHAKE_REFUSED_BUSY;
    else
        why = judge_life(peer, life);
    if (why != HANDSHAKE_REFUSED_NONE) {
        peer_link_refuse(link, why);
        return;
    }
    if (peer->in != NULL) {
        peer->in->owner = NULL;
        p->counters.links_in--;
        peer_link_close(peer->in, PEER_LINK_REPLACED);
    }
    peer->in = link;
    peer->boot = life->boot;
    peer->process = life->process;
    link->owner = peer;
    p->counters.links_in++;
    if (peer->out == NULL) { /* it is there: no need to wait any longer */
        peer->retry_ms = p->options.retry_ms;
        dial(p, peer);
    }
}

static void on_up(struct peer_link *link)
{
    struct peers *p = of_link(link);
    link->used_us = now_us(p);
    if (link->dialed)
        out_up(p, link);
    else
        in_up(p, link);
}

static int on_record(struct peer_link *link, enum sealed_kind kind, struct slice payload)
{
    struct peers *p = of_link(link);
    link->used_us = now_us(p);
    if (kind == SEALED_FRAME) /* only from dialers: see peer_link.h */
        return link->dialed ? ST_PROTOCOL : peers_frame_in(p, link, payload);
    if (payload.len > DATAGRAM_STREAM_BYTES_MAX)
        return ST_PROTOCOL;
    if (p->options.handlers.stream != NULL)
        p->options.handlers.stream(p->options.ctx, link->id, &link->address, payload);
    return 0;
}

static void out_ended(struct peers *p, struct peer_link *link, struct peer *peer,
                      enum peer_link_end end)
{
    char address[PEER_ADDRESS_TEXT_BYTES];
    peer_address_format(&link->address, address);
    peer->out = NULL;
    if (link->up) {
        p->counters.links_out--;
        peer->retry_ms = p->options.retry_ms;
    } else {
        p->counters.dials_failed++;
    }
    if (end != PEER_LINK_REFUSED && end != PEER_LINK_STOPPED && !peer->told_down) {
        peer->told_down = true;
        log_event(LOG_NOTICE, "peer_link_down", "node=%016" PRIx64 " address=%s why=%s", peer->node,
                  address, peer_link_end_name(end));
    }
    retry_later(p, peer);
    if (link->up)
        node_link(p, peer, false);
}

static void on_ended(struct peer_link *link, enum peer_link_end end)
{
    struct peers *p = of_link(link);
    struct peer *peer = link->owner;
    p->counters.lost_timeout += end == PEER_LINK_TIMEOUT;
    p->counters.lost_garbage += end == PEER_LINK_GARBAGE;
    p->pending -= !link->dialed && !link->up;
    if (end == PEER_LINK_REFUSED)
        told_refused(p, link, peer);
    if (peer == NULL) {
        p->counters.dials_failed += link->dialed && !link->up;
        return;
    }
    if (peer->out == link) {
        out_ended(p, link, peer, end);
    } else if (peer->in == link) {
        peer->in = NULL;
        p->counters.links_in--;
    }
    node_unused(p, peer);
}

const struct peer_link_ops peers_link_ops = {
    .up = on_up,
    .record = on_record,
    .ended = on_ended,
};

/* --- accepting --- */

static void push_out_oldest(struct peers *p)
{
    list_foreach (node, &p->links.all) {
        struct peer_link *link = list_entry(node, struct peer_link, all_link);
        if (link->dialed || link->up || link->socket.closing)
            continue;
        p->counters.pushed_out++;
        peer_link_close(link, PEER_LINK_STOPPED);
        return;
    }
}

void peers_accepted(struct loop_listener *listener, int fd)
{
    struct peers *p = listener->owner;
    struct peer_address from = {.len = sizeof(from.at)};
    struct peer_link *link;
    if (fd < 0) {
        log_event(LOG_WARNING, "peer_accept_failed", "error=%s", strerror(-fd));
        return;
    }
    if (getpeername(fd, (struct sockaddr *)&from.at, &from.len) < 0 ||
        p->links.count >= PEERS_LINKS_MAX) {
        close(fd);
        return;
    }
    if (p->pending >= PEERS_PENDING_MAX)
        push_out_oldest(p);
    p->counters.accepted++;
    if (peer_link_accept(&p->links, fd, &from, &link) == 0)
        p->pending++;
}

/* --- all of them --- */

void peers_tick(struct peers *p)
{
    list_foreach_safe (node, spare, &p->links.all) {
        struct peer_link *link = list_entry(node, struct peer_link, all_link);
        bool unused = link->dialed && link->owner == NULL && link->up &&
                      now_us(p) > link->used_us + UNUSED_US;
        if (unused)
            peer_link_close(link, PEER_LINK_STOPPED);
        else
            peer_link_tick(link);
    }
    size_t at = 0;
    uint64_t id;
    void *peer;
    while (map64_next(p->nodes, &at, &id, &peer))
        if (now_us(p) >= ((struct peer *)peer)->retry_us)
            dial(p, peer);
}

void peers_close_all(struct peers *p)
{
    list_foreach_safe (node, spare, &p->links.all)
        peer_link_close(list_entry(node, struct peer_link, all_link), PEER_LINK_STOPPED);
}
