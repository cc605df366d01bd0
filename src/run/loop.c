/* Over epoll.
 *
 * Sleeping and waking: the loop announces that it sleeps (`asleep`), then looks once more whether
 * there is work, then sleeps. Who has put work in sees `asleep` and writes to the eventfd, at most
 * once a sleep, or the loop saw the work. The eventfd is edge-triggered and never read. */
#include "run/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"

#define EVENTS_A_TURN   256
#define ACCEPTS_A_TURN  64
#define ACCEPT_PAUSE_US 100000
#define SUBMIT_ROUNDS   4 /* a connection with much to send may go on so often in a turn */
#define WAIT_MS_MAX     60000

struct loop {
    int epoll_fd, wake_fd;
    atomic_bool asleep;
    struct list_head ready;     /* sockets with something to do */
    struct list_head sends;     /* sockets with something to send */
    struct list_head listeners; /* that have someone to accept */
    struct heap timers;
    struct loop_times now;
    struct epoll_event events[EVENTS_A_TURN];
};

static char wake_tag; /* its address stands for the eventfd in epoll's data */

/* Listeners and sockets share epoll's data pointer; the lowest bit tells listeners. */
#define LISTENER_BIT 1u

void loop_clock_update(struct loop *loop)
{
    struct timespec mono, wall;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    loop->now.mono_us = (uint64_t)mono.tv_sec * 1000000 + (uint64_t)mono.tv_nsec / 1000;
    loop->now.wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
}

struct loop_times loop_now(const struct loop *loop)
{
    return loop->now;
}

int loop_create(struct loop **ret_loop)
{
    struct loop *loop = mem_zalloc(sizeof(*loop));
    list_init(&loop->ready);
    list_init(&loop->sends);
    list_init(&loop->listeners);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &wake_tag};
    if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) {
        int st = status_from_errno(errno);
        loop_free(loop);
        return st;
    }
    loop_clock_update(loop);
    *ret_loop = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    heap_free(&loop->timers);
    free(loop);
}

void loop_wake(struct loop *loop)
{
    if (atomic_load_explicit(&loop->asleep, memory_order_seq_cst) &&
        atomic_exchange_explicit(&loop->asleep, false, memory_order_seq_cst)) {
        uint64_t one = 1;
        while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }
}

/* --- sockets --- */

static void make_ready(struct loop *loop, struct loop_socket *socket)
{
    if (!list_linked(&socket->ready_link))
        list_push_back(&loop->ready, &socket->ready_link);
}

int loop_socket_add(struct loop *loop, struct loop_socket *socket, int fd,
                    const struct loop_socket_ops *ops)
{
    *socket = (struct loop_socket){.ops = ops, .fd = fd, .writable = true};
    list_node_init(&socket->ready_link);
    list_node_init(&socket->send_link);
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.ptr = socket,
    };
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? status_from_errno(errno) : 0;
}

void loop_receive(struct loop *loop, struct loop_socket *socket)
{
    CHECK(!socket->closing);
    socket->receiving = true;
    if (socket->readable)
        make_ready(loop, socket);
}

void loop_receive_cancel(struct loop_socket *socket)
{
    socket->receiving = false;
}

void loop_send(struct loop *loop, struct loop_socket *socket, struct iovec *iov, int count)
{
    CHECK(!socket->closing);
    CHECK(!socket->sending);
    socket->sending = true;
    socket->iov = iov;
    socket->iov_count = count;
    if (socket->writable)
        list_push_back(&loop->sends, &socket->send_link);
}

/* One writev; what it could not take waits for the socket to become writable. */
static void do_send(struct loop_socket *socket)
{
    struct msghdr message = {.msg_iov = socket->iov, .msg_iovlen = (size_t)socket->iov_count};
    ssize_t n;
    do {
        n = sendmsg(socket->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        socket->writable = false;
        return;
    }
    socket->sending = false;
    socket->ops->sent(socket, n < 0 ? -errno : n);
}

void loop_submit(struct loop *loop)
{
    for (int round = 0; round < SUBMIT_ROUNDS && !list_empty(&loop->sends); round++) {
        struct list_head batch;
        struct list_node *node;
        list_init(&batch);
        list_splice_back(&batch, &loop->sends);
        while ((node = list_pop_front(&batch)) != NULL)
            do_send(list_entry(node, struct loop_socket, send_link));
    }
}

void loop_socket_close(struct loop *loop, struct loop_socket *socket)
{
    CHECK(!socket->closing);
    socket->closing = true;
    socket->receiving = socket->sending = false;
    list_remove(&socket->send_link);
    make_ready(loop, socket);
}

static void do_drain(struct loop *loop, struct loop_socket *socket)
{
    bool drained = socket->ops->drain(socket);
    if (socket->closing || !socket->receiving)
        return;
    socket->readable = !drained;
    if (!drained)
        make_ready(loop, socket);
}

static void do_receive(struct loop *loop, struct loop_socket *socket)
{
    if (socket->ops->drain != NULL) {
        do_drain(loop, socket);
        return;
    }
    void *data = NULL;
    size_t len = 0;
    socket->receiving = false;
    socket->ops->space(socket, &data, &len);
    if (len == 0 || socket->closing)
        return;
    ssize_t n;
    do {
        n = recv(socket->fd, data, len, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        socket->readable = socket->ended;
        socket->receiving = true;
        return;
    }
    /* A stream that gave less than asked for is empty, unless its end is known to follow. */
    if (n >= 0 && (size_t)n < len && !socket->ended)
        socket->readable = false;
    socket->ops->received(socket, n < 0 ? -errno : n);
}

static void socket_dispatch(struct loop *loop, struct loop_socket *socket)
{
    if (!socket->closing && socket->hung) {
        socket->hung = false;
        if (!socket->receiving) /* else the receive tells it, after what was sent before */
            socket->ops->hung_up(socket);
    }
    if (!socket->closing && socket->receiving && socket->readable)
        do_receive(loop, socket);
    if (!socket->closing)
        return;
    list_remove(&socket->ready_link);
    if (socket->fd >= 0)
        close(socket->fd); /* leaves the epoll set by itself */
    socket->fd = -1;
    socket->ops->closed(socket);
}

/* --- listeners --- */

static void listener_retry(struct env_timer *timer)
{
    struct loop_listener *listener = container_of(timer, struct loop_listener, retry);
    listener->paused = false;
    if (!list_linked(&listener->ready_link))
        list_push_back(&listener->loop->listeners, &listener->ready_link);
}

int loop_listen(struct loop *loop, struct loop_listener *listener, int fd,
                void (*accepted)(struct loop_listener *, int), void *owner)
{
    *listener =
        (struct loop_listener){.accepted = accepted, .owner = owner, .fd = fd, .loop = loop};
    list_node_init(&listener->ready_link);
    listener->retry.fire = listener_retry;
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLET,
        .data.ptr = (void *)((uintptr_t)listener | LISTENER_BIT),
    };
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? status_from_errno(errno) : 0;
}

void loop_unlisten(struct loop *loop, struct loop_listener *listener)
{
    loop_timer_cancel(loop, &listener->retry);
    list_remove(&listener->ready_link);
    if (listener->fd >= 0)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
    listener->fd = -1;
}

/* Out of descriptors or memory: the connection stays queued, and to try again at once would spin.
 */
static void listener_pause(struct loop *loop, struct loop_listener *listener, int error)
{
    listener->paused = true;
    list_remove(&listener->ready_link);
    loop_timer(loop, &listener->retry, loop->now.mono_us + ACCEPT_PAUSE_US);
    listener->accepted(listener, -error);
}

static void listener_dispatch(struct loop *loop, struct loop_listener *listener)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener->accepted(listener, fd);
            if (listener->fd < 0)
                return; /* unlistened by the callback */
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            list_remove(&listener->ready_link);
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            listener_pause(loop, listener, errno);
            return;
        } /* else: that one connection broke; take the next */
    }
}

/* --- timers --- */

void loop_timer(struct loop *loop, struct env_timer *timer, uint64_t due_us)
{
    timer->due_us = due_us;
    timer->armed = true;
    heap_update(&loop->timers, &timer->node, due_us);
}

void loop_timer_cancel(struct loop *loop, struct env_timer *timer)
{
    timer->armed = false;
    heap_remove(&loop->timers, &timer->node);
}

/* Only those due by now: one that arms itself again runs in a later turn. */
void loop_fire_timers(struct loop *loop)
{
    uint64_t now_us = loop->now.mono_us;
    uint64_t sequence_end = loop->timers.sequence_next;
    for (;;) {
        struct heap_node *node = heap_top(&loop->timers);
        if (node == NULL || node->key > now_us || node->sequence >= sequence_end)
            return;
        heap_remove(&loop->timers, node);
        struct env_timer *timer = container_of(node, struct env_timer, node);
        timer->armed = false;
        timer->fire(timer);
    }
}

/* --- the turn --- */

static int wait_ms(const struct loop *loop, uint64_t timeout_us)
{
    const struct heap_node *top = heap_top(&loop->timers);
    if (!list_empty(&loop->ready) || !list_empty(&loop->sends) || !list_empty(&loop->listeners))
        return 0;
    if (top != NULL) {
        uint64_t until_us = top->key > loop->now.mono_us ? top->key - loop->now.mono_us : 0;
        timeout_us = until_us < timeout_us ? until_us : timeout_us;
    }
    uint64_t ms = timeout_us / 1000 + (timeout_us % 1000 != 0);
    return ms > WAIT_MS_MAX ? WAIT_MS_MAX : (int)ms;
}

static void event_note(struct loop *loop, const struct epoll_event *event)
{
    if (event->data.ptr == &wake_tag)
        return;
    uintptr_t pointer = (uintptr_t)event->data.ptr;
    if (pointer & LISTENER_BIT) {
        struct loop_listener *listener = (struct loop_listener *)(pointer - LISTENER_BIT);
        if (!listener->paused && listener->fd >= 0 && !list_linked(&listener->ready_link))
            list_push_back(&loop->listeners, &listener->ready_link);
        return;
    }
    struct loop_socket *socket = event->data.ptr;
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        socket->ended = socket->readable = true;
    if (event->events & EPOLLIN)
        socket->readable = true;
    if (event->events & (EPOLLHUP | EPOLLERR)) {
        socket->hung = true;
        make_ready(loop, socket);
    }
    if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR) && !socket->writable) {
        socket->writable = true;
        if (socket->sending)
            list_push_back(&loop->sends, &socket->send_link);
    }
    if (socket->receiving && socket->readable)
        make_ready(loop, socket);
}

void loop_wait(struct loop *loop, uint64_t timeout_us, bool (*idle)(void *ctx), void *ctx)
{
    int ms = timeout_us == 0 ? 0 : wait_ms(loop, timeout_us);
    if (ms != 0) {
        atomic_store_explicit(&loop->asleep, true, memory_order_seq_cst);
        if (!idle(ctx))
            ms = 0;
    }
    int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_A_TURN, ms);
    atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
    loop_clock_update(loop);
    for (int i = 0; i < n; i++)
        event_note(loop, &loop->events[i]);
}

/* What becomes ready meanwhile waits for the next turn. */
void loop_dispatch(struct loop *loop)
{
    struct list_head batch;
    list_init(&batch);
    list_splice_back(&batch, &loop->listeners);
    struct list_node *node;
    while ((node = list_pop_front(&batch)) != NULL) {
        list_push_back(&loop->listeners, node);
        listener_dispatch(loop, list_entry(node, struct loop_listener, ready_link));
    }
    list_splice_back(&batch, &loop->ready);
    while ((node = list_pop_front(&batch)) != NULL)
        socket_dispatch(loop, list_entry(node, struct loop_socket, ready_link));
}
