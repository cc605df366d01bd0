#include "run/peer_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"

#define RECEIVE_BYTES    (64u << 10)  /* asked for at a time, at least */
#define RECEIVE_MAX      (1u << 20)   /* and at most: of a long record */
#define KEEP_BYTES       (256u << 10) /* an empty input buffer that is larger is given back */
#define SEAL_BYTES_MAX   (1u << 20)   /* sealed at a time; a longer record alone */
#define KEEPALIVE_PROBES 3

const char *peer_link_end_name(enum peer_link_end end)
{
    static const char *const names[] = {
#define X(NAME, name) name,
        PEER_LINK_END_TABLE(X)
#undef X
    };
    return names[end];
}

static struct peer_link *of_socket(struct loop_socket *socket)
{
    return container_of(socket, struct peer_link, socket);
}

static uint64_t now_us(const struct peer_link *link)
{
    return loop_now(link->set->loop).mono_us;
}

void peer_link_set_init(struct peer_link_set *set)
{
    list_init(&set->all);
    list_init(&set->output);
}

/* --- closing --- */

bool peer_link_ending(const struct peer_link *link)
{
    return link->socket.closing || link->finishing;
}

void peer_link_close(struct peer_link *link, enum peer_link_end end)
{
    if (link->socket.closing)
        return;
    if (!link->finishing)
        link->end = end;
    list_remove(&link->output_link);
    loop_socket_close(link->set->loop, &link->socket);
}

static void free_output(struct peer_link *link)
{
    struct peer_out *next;
    for (struct peer_out *out = link->head; out != NULL; out = next) {
        next = out->behind;
        free(out);
    }
}

static void on_closed(struct loop_socket *socket)
{
    struct peer_link *link = of_socket(socket);
    list_remove(&link->output_link);
    list_remove(&link->all_link);
    link->set->count--;
    link->set->ops->ended(link, link->end);
    free_output(link);
    buffer_free(&link->in);
    peer_mac_wipe(&link->send_mac);
    peer_mac_wipe(&link->receive_mac);
    free(link);
}

static void on_hung_up(struct loop_socket *socket)
{
    struct peer_link *link = of_socket(socket);
    peer_link_close(link, link->up ? PEER_LINK_CLOSED : PEER_LINK_UNREACHABLE);
}

/* --- output --- */

static struct peer_out *out_alloc(uint64_t node, uint8_t kind, size_t len)
{
    struct peer_out *out = mem_alloc(sizeof(*out) + len);
    *out = (struct peer_out){.node = node, .kind = kind, .len = len};
    return out;
}

struct peer_out *peer_out_make(uint64_t node, enum sealed_kind kind, struct slice payload)
{
    struct peer_out *out = out_alloc(node, (uint8_t)kind, SEALED_OVERHEAD_BYTES + payload.len);
    if (payload.len > 0)
        memcpy(out->bytes + SEALED_HEADER_BYTES, payload.data, payload.len);
    return out;
}

static void want_flush(struct peer_link *link)
{
    if (!link->socket.closing && !list_linked(&link->output_link))
        list_push_back(&link->set->output, &link->output_link);
}

static void enqueue(struct peer_link *link, struct peer_out *out)
{
    if (link->tail == NULL)
        link->head = out;
    else
        link->tail->behind = out;
    link->tail = out;
    link->queued_bytes += out->len;
    want_flush(link);
}

bool peer_link_send(struct peer_link *link, struct peer_out *out)
{
    if (peer_link_ending(link) ||
        (link->queued_bytes > 0 &&
         link->queued_bytes + out->len > link->set->limits.output_bytes_max)) {
        free(out);
        return false;
    }
    enqueue(link, out);
    return true;
}

/* Before all records that wait for the handshake that this is part of. */
static void send_plain(struct peer_link *link, const uint8_t message[HANDSHAKE_BYTES])
{
    struct peer_out *out = out_alloc(0, 0, HANDSHAKE_BYTES);
    struct peer_out **at = &link->head;
    memcpy(out->bytes, message, HANDSHAKE_BYTES);
    while (*at != NULL && ((*at)->kind == 0 || (*at)->sealed))
        at = &(*at)->behind;
    out->behind = *at;
    *at = out;
    if (out->behind == NULL)
        link->tail = out;
    link->queued_bytes += out->len;
    want_flush(link);
}

static void send_empty(struct peer_link *link, enum sealed_kind kind)
{
    enqueue(link, peer_out_make(0, kind, slice_make(NULL, 0)));
}

/* What may leave now: all of a queue that stands, but no record before the link does. */
static int gather(struct peer_link *link)
{
    int count = 0;
    size_t sealed = 0, skip = link->head_sent;
    for (struct peer_out *out = link->head; out != NULL && count < PEER_LINK_PIECES;
         out = out->behind, skip = 0) {
        if (out->kind != 0 && !out->sealed) {
            if (!link->up || (sealed > 0 && sealed + out->len > SEAL_BYTES_MAX))
                break;
            sealed_close(&link->send, out->bytes, out->kind, out->len - SEALED_OVERHEAD_BYTES);
            out->sealed = true;
            sealed += out->len;
            link->set->counters.records_out++;
        }
        link->iov[count++] =
            (struct iovec){.iov_base = out->bytes + skip, .iov_len = out->len - skip};
    }
    return count;
}

static void flush(struct peer_link *link)
{
    if (link->socket.closing || link->socket.sending)
        return;
    int count = gather(link);
    if (count > 0) {
        link->sent_us = now_us(link);
        loop_send(link->set->loop, &link->socket, link->iov, count);
    } else if (link->finishing && link->head == NULL) {
        peer_link_close(link, link->end);
    }
}

static void on_sent(struct loop_socket *socket, ssize_t result)
{
    struct peer_link *link = of_socket(socket);
    if (result < 0) {
        peer_link_close(link, link->up ? PEER_LINK_CLOSED : PEER_LINK_UNREACHABLE);
        return;
    }
    link->set->counters.bytes_out += (uint64_t)result;
    link->sent_us = now_us(link);
    link->queued_bytes -= (uint64_t)result;
    size_t left = link->head_sent + (size_t)result;
    while (link->head != NULL && left >= link->head->len) {
        struct peer_out *out = link->head;
        left -= out->len;
        link->head = out->behind;
        if (out->kind == SEALED_PONG)
            link->pong_queued = false;
        if (out->kind == SEALED_PING && link->waits_us == 0)
            link->waits_us = now_us(link);
        free(out);
    }
    link->head_sent = left;
    if (link->head == NULL)
        link->tail = NULL;
    flush(link);
}

void peer_links_flush(struct peer_link_set *set)
{
    struct list_head batch;
    struct list_node *node;
    list_init(&batch);
    list_splice_back(&batch, &set->output);
    while ((node = list_pop_front(&batch)) != NULL)
        flush(list_entry(node, struct peer_link, output_link));
}

/* --- the handshake --- */

/* What would be sealed next is not sent any more; what is under way is. */
static void drop_unsealed(struct peer_link *link)
{
    struct peer_out **at = &link->head, *out;
    link->tail = NULL;
    while ((out = *at) != NULL) {
        if (out->kind == 0 || out->sealed) {
            link->tail = out;
            at = &out->behind;
            continue;
        }
        *at = out->behind;
        link->queued_bytes -= out->len;
        free(out);
    }
}

/* Closes when what says why is sent. */
static void finish(struct peer_link *link, enum peer_link_end end)
{
    if (peer_link_ending(link))
        return;
    drop_unsealed(link);
    link->end = end;
    link->finishing = true;
    loop_receive_cancel(&link->socket);
    want_flush(link);
}

void peer_link_refuse(struct peer_link *link, enum handshake_refusal why)
{
    uint8_t message[HANDSHAKE_BYTES];
    if (peer_link_ending(link))
        return;
    handshake_refuse(&link->handshake, why, message);
    send_plain(link, message);
    finish(link, PEER_LINK_REFUSED);
}

static void stand(struct peer_link *link)
{
    link->up = true;
    link->set->ops->up(link);
    want_flush(link);
}

static void take_keys(struct peer_link *link)
{
    struct handshake *h = &link->handshake;
    peer_mac_init_link(&link->send_mac, h->send_key);
    peer_mac_init_link(&link->receive_mac, h->receive_key);
    explicit_bzero(h->send_key, sizeof(h->send_key));
    explicit_bzero(h->receive_key, sizeof(h->receive_key));
    link->send = (struct sealed){.mac = &link->send_mac.mac};
    link->receive = (struct sealed){.mac = &link->receive_mac.mac};
    if (link->dialed)
        return; /* stands with the first record that comes */
    stand(link);
    if (!peer_link_ending(link)) { /* else the dialer hears why before anything else */
        send_empty(link, SEALED_PONG);
        link->pong_queued = true;
    }
}

/* A message of the handshake, or a refusal of one that seemed to be done. */
static void on_handshake(struct peer_link *link, const uint8_t *message)
{
    uint8_t reply[HANDSHAKE_BYTES];
    bool has_reply = false;
    bool was_done = link->handshake.state == HANDSHAKE_DONE;
    int st = handshake_step(&link->handshake, message, link->set->mac, reply, &has_reply);
    if (has_reply && !was_done)
        send_plain(link, reply);
    if (st < 0)
        finish(link, PEER_LINK_REFUSED);
    else if (link->handshake.state == HANDSHAKE_DONE)
        take_keys(link);
}

/* --- input --- */

static void on_record(struct peer_link *link, uint8_t kind, struct slice payload)
{
    link->set->counters.records_in++;
    link->waits_us = 0;
    if (!link->up)
        stand(link);
    if (peer_link_ending(link))
        return;
    if (kind == SEALED_PING) {
        if (!link->pong_queued) /* who pings without end is answered once */
            send_empty(link, SEALED_PONG);
        link->pong_queued = true;
    } else if (kind == SEALED_FRAME || kind == SEALED_MEMBER) {
        if (link->set->ops->record(link, kind, payload) < 0)
            peer_link_close(link, PEER_LINK_GARBAGE);
    } else if (kind != SEALED_PONG) {
        link->set->counters.unknown++;
    }
}

/* One piece of the input. ST_AGAIN: more is needed; ST_PROTOCOL: nonsense. */
static int take_piece(struct peer_link *link, struct slice left, size_t *ret_used)
{
    size_t len = HANDSHAKE_BYTES;
    bool shaking = link->handshake.state != HANDSHAKE_DONE;
    if (shaking || (link->dialed && !link->up && handshake_check(left) != ST_PROTOCOL)) {
        int st = handshake_check(left);
        if (st < 0)
            return st;
        on_handshake(link, left.data);
    } else {
        uint8_t kind;
        struct slice payload;
        struct wire_refusals *refusals = &link->set->counters.refusals;
        int st = sealed_length(left, refusals, &len);
        if (st < 0)
            return st;
        if (left.len < len)
            return ST_AGAIN;
        if (sealed_open(&link->receive, slice_make(left.data, len), refusals, &kind, &payload) < 0)
            return ST_PROTOCOL;
        on_record(link, kind, payload);
    }
    *ret_used = len;
    return 0;
}

static void consume(struct peer_link *link)
{
    size_t at = 0, used = 0;
    int st = 0;
    while (st == 0 && at < link->in.len && !peer_link_ending(link) && !link->paused) {
        st = take_piece(link, slice_make(link->in.data + at, link->in.len - at), &used);
        at += st == 0 ? used : 0;
    }
    if (st < 0 && st != ST_AGAIN)
        peer_link_close(link, PEER_LINK_GARBAGE);
    link->in.len -= at;
    if (link->in.len > 0 && at > 0)
        memmove(link->in.data, link->in.data + at, link->in.len);
    if (link->in.len == 0 && link->in.cap > KEEP_BYTES)
        buffer_free(&link->in);
    if (!peer_link_ending(link) && !link->paused)
        loop_receive(link->set->loop, &link->socket);
}

/* Room grows with what comes, not with what is announced. */
static void on_space(struct loop_socket *socket, void **ret_data, size_t *ret_len)
{
    struct peer_link *link = of_socket(socket);
    size_t want = link->in.len < RECEIVE_BYTES ? RECEIVE_BYTES : link->in.len;
    want = want < RECEIVE_MAX ? want : RECEIVE_MAX;
    *ret_data = buffer_reserve(&link->in, want);
    *ret_len = want;
}

static void on_received(struct loop_socket *socket, ssize_t result)
{
    struct peer_link *link = of_socket(socket);
    if (result <= 0) {
        bool was_there = result == 0 || link->in.len > 0 || link->up;
        peer_link_close(link, was_there ? PEER_LINK_CLOSED : PEER_LINK_UNREACHABLE);
        return;
    }
    link->set->counters.bytes_in += (uint64_t)result;
    link->heard_us = now_us(link);
    link->in.len += (size_t)result;
    consume(link);
}

void peer_link_pause(struct peer_link *link)
{
    link->paused = true;
    loop_receive_cancel(&link->socket);
}

void peer_link_resume(struct peer_link *link)
{
    if (!link->paused)
        return;
    link->paused = false;
    link->heard_us = now_us(link); /* what waited meanwhile is not the other's silence */
    if (!peer_link_ending(link))
        consume(link);
}

/* --- time --- */

static bool overdue(const struct peer_link *link, uint64_t since_us, uint64_t limit_ms)
{
    return now_us(link) > since_us + limit_ms * 1000;
}

static bool dead(const struct peer_link *link)
{
    const struct peer_link_limits *limits = &link->set->limits;
    if (!link->up || link->finishing)
        return overdue(link, link->begun_us, limits->handshake_ms_max);
    if (link->socket.sending && overdue(link, link->sent_us, limits->idle_ms_max))
        return true;
    if (link->paused)
        return false;
    if (link->dialed)
        return link->waits_us != 0 && !link->socket.sending &&
               overdue(link, link->waits_us, limits->idle_ms_max) &&
               overdue(link, link->heard_us, limits->idle_ms_max);
    return overdue(link, link->heard_us, 2 * (uint64_t)limits->idle_ms_max);
}

void peer_link_tick(struct peer_link *link)
{
    if (link->socket.closing)
        return;
    if (dead(link)) {
        peer_link_close(link, PEER_LINK_TIMEOUT);
        return;
    }
    if (link->up && link->dialed && overdue(link, link->pinged_us, link->set->limits.ping_ms)) {
        link->pinged_us = now_us(link);
        if (link->waits_us == 0 && link->head == NULL)
            send_empty(link, SEALED_PING);
    }
}

/* --- making --- */

static const struct loop_socket_ops socket_ops = {
    .space = on_space,
    .received = on_received,
    .sent = on_sent,
    .hung_up = on_hung_up,
    .closed = on_closed,
};

static void socket_options(const struct peer_link_limits *limits, int fd)
{
    int on = 1, keepalive_s = (int)limits->keepalive_s, probes = KEEPALIVE_PROBES;
    unsigned stuck_ms = limits->idle_ms_max;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stuck_ms, sizeof(stuck_ms));
    if (keepalive_s == 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s, sizeof(keepalive_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static struct peer_link *link_make(struct peer_link_set *set, int fd,
                                   const struct peer_address *address, bool dialed,
                                   uint8_t nonce[HANDSHAKE_NONCE_BYTES])
{
    struct peer_link *link = mem_zalloc(sizeof(*link));
    CHECK(getrandom(nonce, HANDSHAKE_NONCE_BYTES, 0) == HANDSHAKE_NONCE_BYTES);
    link->set = set;
    link->address = *address;
    link->dialed = dialed;
    list_node_init(&link->all_link);
    list_node_init(&link->output_link);
    socket_options(&set->limits, fd);
    if (loop_socket_add(set->loop, &link->socket, fd, &socket_ops) < 0) {
        close(fd);
        free(link);
        return NULL;
    }
    link->id = ++set->id_last;
    link->begun_us = link->heard_us = link->sent_us = link->pinged_us = now_us(link);
    list_push_back(&set->all, &link->all_link);
    set->count++;
    loop_receive(set->loop, &link->socket);
    return link;
}

int peer_link_accept(struct peer_link_set *set, int fd, const struct peer_address *address,
                     struct peer_link **ret_link)
{
    uint8_t nonce[HANDSHAKE_NONCE_BYTES];
    struct peer_link *link = link_make(set, fd, address, false, nonce);
    if (link == NULL)
        return ST_LIMIT;
    handshake_accept(&link->handshake, &set->self, nonce);
    *ret_link = link;
    return 0;
}

int peer_link_dial(struct peer_link_set *set, const struct peer_address *address, uint64_t to,
                   void *owner, struct peer_link **ret_link)
{
    uint8_t nonce[HANDSHAKE_NONCE_BYTES], hello[HANDSHAKE_BYTES];
    int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return status_from_errno(errno);
    if (connect(fd, (const struct sockaddr *)&address->at, address->len) < 0 &&
        errno != EINPROGRESS) {
        int st = status_from_errno(errno);
        close(fd);
        return st;
    }
    struct peer_link *link = link_make(set, fd, address, true, nonce);
    if (link == NULL)
        return ST_LIMIT;
    link->owner = owner;
    handshake_dial(&link->handshake, &set->self, to, nonce, hello);
    send_plain(link, hello);
    *ret_link = link;
    return 0;
}
