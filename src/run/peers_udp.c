/* Datagrams: nothing in here looks into them; who gets them checks their MAC (wire/datagram.h). */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/peers_private.h"

#define DATAGRAMS_A_READ 32
#define READS_A_TURN     8
#define SLOT_BYTES       2048 /* more than the longest, so that longer ones show */

_Static_assert(SLOT_BYTES > PEERS_DATAGRAM_MAX, "too long ones must be told from whole ones");

static void received(struct peers *p, const struct mmsghdr *message, struct slice bytes)
{
    struct peer_address from = {.len = message->msg_hdr.msg_namelen};
    if (bytes.len > PEERS_DATAGRAM_MAX || (message->msg_hdr.msg_flags & MSG_TRUNC) != 0) {
        p->counters.datagrams_refused++;
        return;
    }
    memcpy(&from.at, message->msg_hdr.msg_name, from.len);
    p->counters.datagrams_in++;
    if (p->options.handlers.datagram != NULL)
        p->options.handlers.datagram(p->options.ctx, &from, bytes);
}

/* How many there were, at most DATAGRAMS_A_READ. */
static int read_some(struct peers_udp *u)
{
    struct mmsghdr messages[DATAGRAMS_A_READ] = {0};
    struct iovec iov[DATAGRAMS_A_READ];
    struct sockaddr_storage from[DATAGRAMS_A_READ];
    for (int i = 0; i < DATAGRAMS_A_READ; i++) {
        iov[i] = (struct iovec){u->peers->datagrams + (size_t)i * SLOT_BYTES, SLOT_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                              .msg_namelen = sizeof(from[i]),
                                              .msg_iov = &iov[i],
                                              .msg_iovlen = 1};
    }
    int n = recvmmsg(u->socket.fd, messages, DATAGRAMS_A_READ, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++)
        received(u->peers, &messages[i], slice_make(iov[i].iov_base, messages[i].msg_len));
    return n;
}

static bool on_drain(struct loop_socket *socket)
{
    struct peers_udp *u = container_of(socket, struct peers_udp, socket);
    for (int i = 0; i < READS_A_TURN; i++) {
        int n = read_some(u);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        if (n >= 0 && n < DATAGRAMS_A_READ)
            return true;
    }
    return false;
}

static void on_hung_up(struct loop_socket *socket)
{
}

static void on_closed(struct loop_socket *socket)
{
}

static const struct loop_socket_ops udp_ops = {
    .drain = on_drain,
    .hung_up = on_hung_up,
    .closed = on_closed,
};

int peers_udp_open(struct peers *p, int listener_fd)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof(at);
    struct peers_udp *u = &p->udp[p->sockets];
    int on = 1;
    if (getsockname(listener_fd, (struct sockaddr *)&at, &len) < 0)
        return status_from_errno(errno);
    int fd = socket(at.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return status_from_errno(errno);
    if (at.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, len) < 0) {
        int st = errno == EADDRINUSE ? ST_EXISTS : status_from_errno(errno);
        close(fd);
        return st;
    }
    int st = loop_socket_add(p->loop, &u->socket, fd, &udp_ops);
    if (st < 0) {
        close(fd);
        return st;
    }
    u->peers = p;
    u->family = at.ss_family;
    loop_receive(p->loop, &u->socket);
    if (p->datagrams == NULL)
        p->datagrams = mem_alloc((size_t)DATAGRAMS_A_READ * SLOT_BYTES);
    return 0;
}

void peers_udp_close(struct peers *p)
{
    for (unsigned i = 0; i < p->sockets; i++)
        if (p->udp[i].socket.ops != NULL)
            loop_socket_close(p->loop, &p->udp[i].socket);
}

/* The sockets stay as they are from start to free: any thread may send on them. */
int peers_datagram(struct peers *p, const struct peer_address *to, struct slice packet)
{
    if (packet.len > PEERS_DATAGRAM_MAX)
        return ST_LIMIT;
    if (p->options.secret.len == 0 && !peer_address_loopback(to))
        return ST_DENIED;
    for (unsigned i = 0; i < p->sockets; i++) {
        if (p->udp[i].family != to->at.ss_family)
            continue;
        ssize_t n = sendto(p->udp[i].socket.fd, packet.data, packet.len, MSG_DONTWAIT,
                           (const struct sockaddr *)&to->at, to->len);
        return n >= 0 ? 0 : status_from_errno(errno);
    }
    return ST_UNSUPPORTED;
}
