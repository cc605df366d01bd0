#include "cli/connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "cli/interrupt.h"

#define RECEIVE_BYTES  (64u << 10)
#define TIMEOUT_MS_MAX (1u << 30) /* what poll can take */

struct connection {
    int fd;
    uint64_t timeout_ms;
    char name[ADDRESS_HOST_BYTES_MAX + 16]; /* host:port, for messages */
    struct buffer out;
    size_t sent; /* bytes of `out` */
    struct resp_reply_reader *reader;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int timed_out(const struct connection *c, const char *doing, struct failure *failure)
{
    return failure_set(failure, ST_TIMEOUT,
                       "%s %s within %llu ms. Is the address right, and the server well? --timeout "
                       "waits longer.",
                       c->name, doing, (unsigned long long)c->timeout_ms);
}

/* Waits for events on the socket; at most timeout_ms since `since_ms`. */
static int wait_for(struct connection *c, short events, uint64_t since_ms, const char *doing,
                    struct failure *failure)
{
    for (;;) {
        uint64_t passed = now_ms() - since_ms;
        int left = -1;
        if (c->timeout_ms > 0) {
            if (passed >= c->timeout_ms)
                return timed_out(c, doing, failure);
            uint64_t rest = c->timeout_ms - passed;
            left = rest > TIMEOUT_MS_MAX ? (int)TIMEOUT_MS_MAX : (int)rest;
        }
        struct pollfd fd = {.fd = c->fd, .events = events};
        int n = interrupt_poll(&fd, 1, left);
        if (n > 0)
            return 0;
        if (n < 0 && interrupt_pending())
            return failure_set(failure, ST_AGAIN, "interrupted.");
        if (n < 0 && errno != EINTR)
            return failure_errno(failure, errno, "can't wait for", c->name);
    }
}

static int refused(const struct connection *c, int err, struct failure *failure)
{
    if (err == ECONNREFUSED)
        return failure_set(failure, ST_CLOSED,
                           "%s refuses connections. Is torcd running there? Start it with `torcd`, "
                           "or name another server with -h host:port.",
                           c->name);
    return failure_set(failure, status_from_errno(err), "can't connect to %s: %s.", c->name,
                       strerror(err));
}

/* Tries one address of the host. */
static int try_address(struct connection *c, const struct addrinfo *info, struct failure *failure)
{
    c->fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return refused(c, errno, failure);
    int err = connect(c->fd, info->ai_addr, info->ai_addrlen) < 0 ? errno : 0, st = 0;
    if (err == EINPROGRESS) {
        st = wait_for(c, POLLOUT, now_ms(), "did not take the connection", failure);
        socklen_t len = sizeof(err);
        if (st == 0 && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
            err = errno;
    }
    if (st == 0 && err != 0)
        st = refused(c, err, failure);
    if (st == 0) {
        int one = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        return 0;
    }
    close(c->fd);
    c->fd = -1;
    return st;
}

int connection_open(const struct address *address, uint64_t timeout_ms, struct failure *failure,
                    struct connection **ret_connection)
{
    struct connection *c = mem_zalloc(sizeof(*c));
    c->fd = -1;
    c->timeout_ms = timeout_ms;
    c->reader = resp_reply_reader_create(&resp_reply_default_limits);
    BUFFER_AUTO struct buffer name = {0};
    address_append(&name, address);
    snprintf(c->name, sizeof(c->name), "%.*s", (int)name.len, (char *)name.data);

    char port[8];
    snprintf(port, sizeof(port), "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(address->host, port, &hints, &found);
    int st = 0;
    if (code != 0)
        st = failure_set(failure, ST_NOTFOUND, "can't find the host \"%s\": %s.", address->host,
                         code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    for (const struct addrinfo *info = found; info != NULL && c->fd < 0; info = info->ai_next) {
        st = try_address(c, info, failure);
        if (st == ST_AGAIN) /* interrupted */
            break;
    }
    if (found != NULL)
        freeaddrinfo(found);
    if (c->fd < 0) {
        connection_close(c);
        return st;
    }
    *ret_connection = c;
    return 0;
}

void connection_close(struct connection *c)
{
    if (c == NULL)
        return;
    if (c->fd >= 0)
        close(c->fd);
    buffer_free(&c->out);
    resp_reply_reader_free(c->reader);
    free(c);
}

bool connection_is_closed(const struct connection *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void connection_queue(struct connection *c, size_t argc, const struct slice *argv)
{
    if (c->sent == c->out.len) {
        buffer_clear(&c->out);
        c->sent = 0;
    }
    buffer_printf(&c->out, "*%zu\r\n", argc);
    for (size_t i = 0; i < argc; i++) {
        buffer_printf(&c->out, "$%zu\r\n", argv[i].len);
        buffer_append_slice(&c->out, argv[i]);
        buffer_append(&c->out, "\r\n", 2);
    }
}

size_t connection_unsent_bytes(const struct connection *c)
{
    return c->out.len - c->sent;
}

static int lost(const struct connection *c, int err, struct failure *failure)
{
    return failure_set(failure, ST_CLOSED, "%s closed the connection%s%s.", c->name,
                       err ? ": " : "", err ? strerror(err) : "");
}

/* Sends what the socket takes. *ret_moved is set when a byte moved. */
static int push_out(struct connection *c, struct failure *failure, bool *ret_moved)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (n < 0) {
            /* A server that refuses says why before it closes: let the reader find that. */
            if (errno != EPIPE && errno != ECONNRESET)
                return lost(c, errno, failure);
            c->sent = c->out.len;
            return 0;
        }
        c->sent += (size_t)n;
        *ret_moved = true;
    }
    return 0;
}

static int pull_in(struct connection *c, struct failure *failure, bool *ret_moved)
{
    uint8_t bytes[RECEIVE_BYTES];
    ssize_t n;
    do {
        n = recv(c->fd, bytes, sizeof(bytes), 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (n <= 0)
        return lost(c, n < 0 ? errno : 0, failure);
    resp_reply_reader_feed(c->reader, slice_make(bytes, (size_t)n));
    *ret_moved = true;
    return 0;
}

/* A reply that is there already. */
static int take_reply(struct connection *c, struct failure *failure, struct resp_reply *ret_reply)
{
    for (;;) {
        int st = resp_reply_reader_next(c->reader, ret_reply);
        if (st == 0 && ret_reply->type == RESP_REPLY_PUSH) {
            resp_reply_free(ret_reply);
            continue;
        }
        if (st == 0 || st == ST_AGAIN)
            return st;
        return failure_set(failure, st,
                           "%s does not answer as a Torc or Redis server would (%s). Is this its "
                           "port for clients?",
                           c->name, resp_reply_reader_error(c->reader));
    }
}

int connection_try_receive(struct connection *c, struct failure *failure,
                           struct resp_reply *ret_reply)
{
    bool moved;
    int st = take_reply(c, failure, ret_reply);
    if (st != ST_AGAIN)
        return st;
    st = push_out(c, failure, &moved);
    if (st == 0)
        st = pull_in(c, failure, &moved);
    return st < 0 ? st : take_reply(c, failure, ret_reply);
}

int connection_receive(struct connection *c, struct failure *failure, struct resp_reply *ret_reply)
{
    uint64_t since_ms = now_ms();
    for (;;) {
        int st = take_reply(c, failure, ret_reply);
        if (st != ST_AGAIN)
            return st;
        bool moved = false;
        st = push_out(c, failure, &moved);
        if (moved)
            since_ms = now_ms();
        if (st == 0)
            st = wait_for(c, c->sent < c->out.len ? POLLIN | POLLOUT : POLLIN, since_ms,
                          "did not answer", failure);
        if (st < 0)
            return st;
        st = pull_in(c, failure, &moved);
        if (st < 0)
            return st;
        if (moved)
            since_ms = now_ms();
    }
}
