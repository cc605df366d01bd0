/* The event loop of one thread, completion style: the owner submits accept, receive, send and
 * timers, and gets told what came of them. Today over epoll; the interface leaves room for
 * io_uring, so results never come from inside a submit, and buffers stay put until their
 * completion.
 *
 * A turn is loop_wait() (the only call that sleeps), loop_dispatch(), which accepts and receives,
 * and, when the owner has done its work, loop_submit(), which sends.
 *
 * - Sockets are watched edge-triggered from loop_socket_add() until loop_socket_close(): a ready
 *   connection costs one read and one write a turn, and no epoll_ctl.
 * - A receive asks for its buffer only when there is something to read (`space`), so an idle
 *   connection holds none. At most one receive and one send are under way per socket.
 * - `sent` and `received` get a byte count or -errno; 0 received is the peer's end.
 * - After loop_socket_close() nothing comes but `closed`, once, never from inside the call.
 * - A socket that stays readable takes its turn behind the others: one receive each a turn. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/heap.h"
#include "base/list.h"
#include "node/env.h"

struct loop;
struct loop_socket;

struct loop_socket_ops {
    /* Where to receive to; len 0: nowhere now, the receive is dropped without completion. */
    void (*space)(struct loop_socket *socket, void **ret_data, size_t *ret_len);
    void (*received)(struct loop_socket *socket, ssize_t result);
    /* In place of these two, for datagrams: the owner reads them itself. true: all that there was;
     * false: there may be more, call again in the next turn. Called until the receive is cancelled.
     */
    bool (*drain)(struct loop_socket *socket);
    void (*sent)(struct loop_socket *socket, ssize_t result);
    void (*hung_up)(struct loop_socket *socket); /* both directions are gone */
    void (*closed)(struct loop_socket *socket);
};

struct loop_socket {
    const struct loop_socket_ops *ops;
    int fd;
    /* the loop's */
    struct list_node ready_link; /* has something to do in the next dispatch */
    struct list_node send_link;  /* has something to send in the next submit */
    struct iovec *iov;           /* of the send under way */
    int iov_count;
    bool readable, writable, ended, hung;
    bool receiving, sending, closing;
};

struct loop_listener {
    void (*accepted)(struct loop_listener *listener, int fd); /* or -errno */
    void *owner;
    int fd;
    /* the loop's */
    struct list_node ready_link;
    struct env_timer retry;
    struct loop *loop;
    bool paused;
};

struct loop_times {
    uint64_t mono_us, wall_ms;
};

int loop_create(struct loop **ret_loop);
void loop_free(struct loop *loop);

/* Sleeps until something happens, a timer is due or timeout_us has passed (UINT64_MAX: no limit);
 * not at all when `idle` says there is work. Reads the clock once, after that. */
void loop_wait(struct loop *loop, uint64_t timeout_us, bool (*idle)(void *ctx), void *ctx);
/* Runs what is ready: accepts, receives, closes. */
void loop_dispatch(struct loop *loop);
/* Hands what loop_send() was given to the system; `sent` is called from here. */
void loop_submit(struct loop *loop);
void loop_fire_timers(struct loop *loop);
/* The clock as of the last loop_wait(). */
struct loop_times loop_now(const struct loop *loop);
void loop_clock_update(struct loop *loop); /* after something slow */

/* From any thread, after something was put where `idle` looks: ends the sleep. Free when the loop
 * is awake. */
void loop_wake(struct loop *loop);

/* fd: a non-blocking socket, owned by the loop until `closed`. A stream may be still connecting:
 * what becomes of that is the result of the first receive and send. */
int loop_socket_add(struct loop *loop, struct loop_socket *socket, int fd,
                    const struct loop_socket_ops *ops);
void loop_receive(struct loop *loop, struct loop_socket *socket);
void loop_receive_cancel(struct loop_socket *socket);
/* iov and what it points to stay until `sent`. */
void loop_send(struct loop *loop, struct loop_socket *socket, struct iovec *iov, int count);
void loop_socket_close(struct loop *loop, struct loop_socket *socket);

/* Accepts until closed; pauses by itself for a while when the process is out of descriptors
 * (accepted() is told -EMFILE once each time). */
int loop_listen(struct loop *loop, struct loop_listener *listener, int fd,
                void (*accepted)(struct loop_listener *, int), void *owner);
void loop_unlisten(struct loop *loop, struct loop_listener *listener);

void loop_timer(struct loop *loop, struct env_timer *timer, uint64_t due_us); /* arms or moves it */
void loop_timer_cancel(struct loop *loop, struct env_timer *timer);
