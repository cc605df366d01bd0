#include "run/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/logger.h"
#include "base/mem.h"
#include "command/front.h"
#include "command/session.h"
#include "node/config.h"
#include "run/loop.h"
#include "run/shard_thread.h"

#define CONN_PIECES      16 /* of one writev */
#define CONN_ADDRESS_MAX (INET6_ADDRSTRLEN + 16)
#define TICK_PARTS       10 /* a second */
#define KEEPALIVE_PROBES 3

struct conn {
    struct loop_socket socket;
    struct shard_thread *thread;
    struct session *session;
    struct list_node link, run_link, output_link;
    bool finishing;   /* close when all replies are sent */
    bool killed;      /* close at once */
    bool output_full; /* the session waits for output to drain */
    struct iovec iov[CONN_PIECES];
    char peer[CONN_ADDRESS_MAX];
};

void conn_set_init(struct conn_set *set)
{
    *set = (struct conn_set){0};
    list_init(&set->all);
    list_init(&set->runnable);
    list_init(&set->output);
}

static const struct settings *settings_of(const struct shard_thread *t)
{
    return __atomic_load_n(&t->shared->node->settings, __ATOMIC_ACQUIRE);
}

static void push(struct list_head *list, struct list_node *node)
{
    if (!list_linked(node))
        list_push_back(list, node);
}

static void want_flush(struct conn *c)
{
    push(&c->thread->conns.output, &c->output_link);
}

static void make_runnable(struct conn *c)
{
    push(&c->thread->conns.runnable, &c->run_link);
}

/* --- closing --- */

static void conn_close(struct conn *c)
{
    if (c->socket.closing)
        return;
    list_remove(&c->run_link);
    list_remove(&c->output_link);
    loop_socket_close(c->thread->loop, &c->socket);
}

static void on_closed(struct loop_socket *socket)
{
    struct conn *c = container_of(socket, struct conn, socket);
    struct shard_thread *t = c->thread;
    session_free(c->session);
    list_remove(&c->run_link); /* the session may have asked for something while it was freed */
    list_remove(&c->output_link);
    list_remove(&c->link);
    free(c);
    t->conns.count--;
    atomic_fetch_sub_explicit(&t->shared->clients, 1, memory_order_relaxed);
    metrics_sub(&t->metrics->connected_clients, 1);
}

/* --- the session's side --- */

static void host_wake(void *host)
{
    make_runnable(host);
}

static void host_close(void *host)
{
    struct conn *c = host;
    c->killed = true; /* not from here: the session is still at work */
    make_runnable(c);
}

static bool host_ended(void *host)
{
    return ((struct conn *)host)->socket.ended;
}

static const struct session_host_ops host_ops = {
    .wake = host_wake,
    .close = host_close,
    .ended = host_ended,
};

/* --- input --- */

static void on_space(struct loop_socket *socket, void **ret_data, size_t *ret_len)
{
    session_space(container_of(socket, struct conn, socket)->session, ret_data, ret_len);
}

static void on_received(struct loop_socket *socket, ssize_t result)
{
    struct conn *c = container_of(socket, struct conn, socket);
    if (result < 0) {
        conn_close(c);
        return;
    }
    if (result == 0) {
        session_end(c->session);
    } else {
        session_received(c->session, (size_t)result);
        metrics_add(&c->thread->metrics->net_input_bytes, (uint64_t)result);
    }
    make_runnable(c);
}

static void on_hung_up(struct loop_socket *socket)
{
    conn_close(container_of(socket, struct conn, socket));
}

static void conn_run(struct conn *c)
{
    if (c->killed) {
        conn_close(c);
        return;
    }
    c->output_full = false;
    switch (session_run(c->session)) {
    case SESSION_IDLE:
        if (c->thread->conns.draining)
            c->finishing = true;
        else
            loop_receive(c->thread->loop, &c->socket);
        break;
    case SESSION_MORE:
        make_runnable(c);
        break;
    case SESSION_BLOCKED:
        break;
    case SESSION_CLOSING:
        c->finishing = true;
        break;
    case SESSION_OUTPUT_FULL:
        c->output_full = true;
        break;
    }
    want_flush(c);
}

bool conn_any_runnable(const struct conn_set *set)
{
    return !list_empty(&set->runnable);
}

void conn_run_all(struct shard_thread *t)
{
    struct list_head batch;
    struct list_node *node;
    list_init(&batch);
    list_splice_back(&batch, &t->conns.runnable);
    while ((node = list_pop_front(&batch)) != NULL) {
        conn_run(list_entry(node, struct conn, run_link));
        shard_thread_yield(t); /* the session may have let another shard's hold in */
    }
}

/* --- output --- */

/* Submits what may leave. Without that, stays listed while replies wait for a commit. */
static void conn_flush(struct conn *c)
{
    if (c->socket.closing || c->socket.sending)
        return;
    int count = session_output(c->session, c->iov, CONN_PIECES);
    if (count > 0)
        loop_send(c->thread->loop, &c->socket, c->iov, count);
    else if (session_output_pending(c->session) > 0)
        want_flush(c);
    else if (c->finishing)
        conn_close(c);
}

static void on_sent(struct loop_socket *socket, ssize_t result)
{
    struct conn *c = container_of(socket, struct conn, socket);
    if (result < 0) {
        conn_close(c);
        return;
    }
    session_output_done(c->session, (size_t)result);
    metrics_add(&c->thread->metrics->net_output_bytes, (uint64_t)result);
    if (c->output_full)
        make_runnable(c);
    conn_flush(c);
}

void conn_flush_all(struct shard_thread *t)
{
    struct list_head batch;
    struct list_node *node;
    list_init(&batch);
    list_splice_back(&batch, &t->conns.output);
    while ((node = list_pop_front(&batch)) != NULL)
        conn_flush(list_entry(node, struct conn, output_link));
}

/* --- accepting --- */

static const struct loop_socket_ops socket_ops = {
    .space = on_space,
    .received = on_received,
    .sent = on_sent,
    .hung_up = on_hung_up,
    .closed = on_closed,
};

/* "127.0.0.1:5000" or "[::1]:5000"; true when the address is of this machine's loopback. */
static bool address_format(const struct sockaddr_storage *address, char out[CONN_ADDRESS_MAX])
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        snprintf(out, CONN_ADDRESS_MAX, "%s:%u", text, ntohs(in->sin_port));
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
    snprintf(out, CONN_ADDRESS_MAX, "[%s]:%u", text, ntohs(in6->sin6_port));
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127);
}

static void socket_options(const struct settings *s, int fd)
{
    int on = 1, keepalive_s = (int)s->tcp_keepalive, probes = KEEPALIVE_PROBES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (keepalive_s == 0)
        return;
    int interval_s = keepalive_s > KEEPALIVE_PROBES ? keepalive_s / KEEPALIVE_PROBES : 1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s, sizeof(keepalive_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static const char too_many[] = "-ERR max number of clients reached\r\n";
static const char denied[] =
    "-DENIED Torc is running in protected mode because no password is set. In this mode "
    "connections are only accepted from the loopback interface. To serve other machines, set a "
    "password (torcd --password, or CONFIG SET password from this machine), or, only if nobody "
    "else can reach this port, switch the mode off with CONFIG SET protected-mode no.\r\n";

/* Best effort: whoever can't take a short line at once gets none. */
static void refuse(struct shard_thread *t, int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_event(LOG_DEBUG, "client_not_told", "error=%s", strerror(errno));
    close(fd);
    metrics_add(&t->metrics->connections_rejected, 1);
}

/* Counts the connection in, unless there are too many. */
static bool admit(struct shard_thread *t, const struct settings *s)
{
    unsigned before = atomic_fetch_add_explicit(&t->shared->clients, 1, memory_order_relaxed);
    if (before < (uint64_t)s->max_clients &&
        before < atomic_load_explicit(&t->shared->clients_max, memory_order_relaxed))
        return true;
    atomic_fetch_sub_explicit(&t->shared->clients, 1, memory_order_relaxed);
    return false;
}

static bool session_start(struct conn *c, int fd, bool is_local, const char *local)
{
    struct session_options options = {
        .ops = &host_ops,
        .host = c,
        .peer = c->peer,
        .local = local,
        .peer_local = is_local,
        .fd = fd,
    };
    if (loop_socket_add(c->thread->loop, &c->socket, fd, &socket_ops) < 0)
        return false;
    c->session = session_create(c->thread->front, &options);
    return true;
}

void conn_accept(struct shard_thread *t, int fd)
{
    const struct settings *s = settings_of(t);
    struct sockaddr_storage peer = {0}, local = {0};
    socklen_t peer_len = sizeof(peer), local_len = sizeof(local);
    char local_text[CONN_ADDRESS_MAX];
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0 ||
        getsockname(fd, (struct sockaddr *)&local, &local_len) < 0) {
        close(fd); /* gone already */
        return;
    }
    struct conn *c = mem_zalloc(sizeof(*c));
    list_node_init(&c->link);
    list_node_init(&c->run_link);
    list_node_init(&c->output_link);
    c->thread = t;
    bool is_local = address_format(&peer, c->peer);
    address_format(&local, local_text);
    const char *refusal = NULL;
    if (!is_local && s->protected_mode && s->password[0] == '\0')
        refusal = denied;
    else if (!admit(t, s))
        refusal = too_many;
    if (refusal != NULL) {
        refuse(t, fd, refusal);
        free(c);
        return;
    }
    socket_options(s, fd);
    if (!session_start(c, fd, is_local, local_text)) {
        atomic_fetch_sub_explicit(&t->shared->clients, 1, memory_order_relaxed);
        close(fd);
        free(c);
        return;
    }
    t->conns.count++;
    metrics_add(&t->metrics->connections_received, 1);
    metrics_add(&t->metrics->connected_clients, 1);
    list_push_back(&t->conns.all, &c->link);
    loop_receive(t->loop, &c->socket);
}

/* --- all of them --- */

void conn_tick_some(struct shard_thread *t)
{
    unsigned some = (t->conns.count + TICK_PARTS - 1) / TICK_PARTS;
    while (some-- > 0) {
        struct list_node *node = list_pop_front(&t->conns.all);
        struct conn *c = list_entry(node, struct conn, link);
        list_push_back(&t->conns.all, node);
        if (!c->socket.closing && !session_tick(c->session))
            conn_close(c);
    }
}

void conn_drain_all(struct shard_thread *t)
{
    t->conns.draining = true;
    list_foreach (node, &t->conns.all) {
        struct conn *c = list_entry(node, struct conn, link);
        if (c->socket.closing)
            continue;
        if (c->socket.receiving) {
            loop_receive_cancel(&c->socket);
            c->finishing = true;
        }
        want_flush(c);
    }
    front_drain(t->front);
}

void conn_close_all(struct shard_thread *t)
{
    list_foreach_safe (node, spare, &t->conns.all)
        conn_close(list_entry(node, struct conn, link));
}
