#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "run/loop.h"

#define FOR_EVER 5000000 /* us: a test that waits so long has failed */

static struct loop *loop;
static bool work_pending;

static bool idle(void *ctx)
{
    return !__atomic_load_n(&work_pending, __ATOMIC_SEQ_CST);
}

static void turn(uint64_t timeout_us)
{
    loop_wait(loop, timeout_us, idle, NULL);
    loop_dispatch(loop);
    loop_fire_timers(loop);
    loop_submit(loop);
}

static int setup(void **state)
{
    return loop_create(&loop);
}

static int teardown(void **state)
{
    loop_free(loop);
    return 0;
}

/* --- a socket that notes what it is told --- */

struct peer {
    struct loop_socket socket;
    int other; /* the test's end */
    char data[1 << 16];
    size_t space; /* offered at a time */
    size_t received;
    ssize_t last_received, last_sent;
    unsigned received_calls, sent_calls, closed_calls, hung_calls;
    bool again; /* receive again at once */
};

static void on_space(struct loop_socket *socket, void **ret_data, size_t *ret_len)
{
    struct peer *p = container_of(socket, struct peer, socket);
    *ret_data = p->data + p->received;
    *ret_len = p->space;
}

static void on_received(struct loop_socket *socket, ssize_t result)
{
    struct peer *p = container_of(socket, struct peer, socket);
    p->received_calls++;
    p->last_received = result;
    p->received += result > 0 ? (size_t)result : 0;
    if (p->again && result > 0)
        loop_receive(loop, socket);
}

static void on_sent(struct loop_socket *socket, ssize_t result)
{
    struct peer *p = container_of(socket, struct peer, socket);
    p->sent_calls++;
    p->last_sent = result;
}

static void on_hung_up(struct loop_socket *socket)
{
    container_of(socket, struct peer, socket)->hung_calls++;
}

static void on_closed(struct loop_socket *socket)
{
    container_of(socket, struct peer, socket)->closed_calls++;
}

static const struct loop_socket_ops peer_ops = {
    .space = on_space,
    .received = on_received,
    .sent = on_sent,
    .hung_up = on_hung_up,
    .closed = on_closed,
};

static void peer_open(struct peer *p)
{
    int fds[2];
    memset(p, 0, sizeof(*p));
    p->space = 1024;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    p->other = fds[1];
    assert_int_equal(loop_socket_add(loop, &p->socket, fds[0], &peer_ops), 0);
}

static void peer_close(struct peer *p)
{
    loop_socket_close(loop, &p->socket);
    assert_int_equal(p->closed_calls, 0);
    turn(0);
    assert_int_equal(p->closed_calls, 1);
    if (p->other >= 0)
        close(p->other);
}

static struct peer peer; /* too large for the stack of a sanitised test */

static void test_receive_and_end(void **state)
{
    peer_open(&peer);
    turn(0);
    assert_int_equal(write(peer.other, "hello", 5), 5);
    turn(FOR_EVER);
    assert_int_equal(peer.received_calls, 0); /* not asked for */
    loop_receive(loop, &peer.socket);
    assert_int_equal(peer.received_calls, 0); /* never from inside */
    turn(FOR_EVER);
    assert_int_equal(peer.last_received, 5);
    loop_receive(loop, &peer.socket);
    turn(0);
    assert_int_equal(peer.received_calls, 1);
    close(peer.other);
    peer.other = -1;
    turn(FOR_EVER);
    assert_int_equal(peer.received_calls, 2);
    assert_int_equal(peer.last_received, 0);
    peer_close(&peer);
}

/* Data and end come together: the data first, then the end, although only one edge is seen. */
static void test_data_then_end_in_one_edge(void **state)
{
    peer_open(&peer);
    peer.again = true;
    assert_int_equal(write(peer.other, "abc", 3), 3);
    close(peer.other);
    peer.other = -1;
    loop_receive(loop, &peer.socket);
    for (int i = 0; i < 5 && peer.received_calls < 2; i++)
        turn(FOR_EVER);
    assert_int_equal(peer.received, 3);
    assert_int_equal(peer.last_received, 0);
    peer_close(&peer);
}

/* More than fits the buffer: the rest comes in later turns, one receive each. */
static void test_stays_readable_and_takes_turns(void **state)
{
    char big[5000];
    memset(big, 'x', sizeof(big));
    peer_open(&peer);
    peer.again = true;
    assert_int_equal(write(peer.other, big, sizeof(big)), sizeof(big));
    loop_receive(loop, &peer.socket);
    for (unsigned i = 1; i <= 5; i++) {
        turn(FOR_EVER);
        assert_int_equal(peer.received_calls, i);
    }
    assert_int_equal(peer.received, sizeof(big));
    peer_close(&peer);
}

static void test_send_waits_for_the_reader(void **state)
{
    static char big[4 << 20], sink[1 << 16];
    size_t sent = 0, read_bytes = 0;
    peer_open(&peer);
    for (unsigned calls = 0; sent < sizeof(big); calls++) {
        struct iovec iov = {.iov_base = big + sent, .iov_len = sizeof(big) - sent};
        loop_send(loop, &peer.socket, &iov, 1);
        assert_int_equal(peer.sent_calls, calls); /* never from inside */
        while (peer.sent_calls == calls) {
            turn(0);
            ssize_t n = read(peer.other, sink, sizeof(sink));
            read_bytes += n > 0 ? (size_t)n : 0;
        }
        assert_true(peer.last_sent > 0);
        sent += (size_t)peer.last_sent;
    }
    assert_int_equal(sent, sizeof(big));
    assert_true(peer.sent_calls > 1);
    while (read_bytes < sizeof(big)) { /* what is left is in the socket already */
        ssize_t n = read(peer.other, sink, sizeof(sink));
        assert_true(n > 0);
        read_bytes += (size_t)n;
    }
    assert_int_equal(read_bytes, sizeof(big));
    peer_close(&peer);
}

static void test_send_to_nobody_fails(void **state)
{
    peer_open(&peer);
    close(peer.other);
    peer.other = -1;
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    loop_send(loop, &peer.socket, &iov, 1);
    turn(FOR_EVER);
    assert_int_equal(peer.last_sent, -EPIPE);
    peer_close(&peer);
}

static void test_hang_up_is_told_to_who_does_not_receive(void **state)
{
    peer_open(&peer);
    turn(0);
    close(peer.other);
    peer.other = -1;
    turn(FOR_EVER);
    assert_int_equal(peer.hung_calls, 1);
    peer_close(&peer);
}

static void test_nothing_after_close(void **state)
{
    peer_open(&peer);
    loop_receive(loop, &peer.socket);
    assert_int_equal(write(peer.other, "late", 4), 4);
    peer_close(&peer);
    turn(0);
    assert_int_equal(peer.received_calls, 0);
    assert_int_equal(peer.closed_calls, 1);
}

/* --- timers --- */

static char fired[16];
static size_t fired_count;

struct named_timer {
    struct env_timer timer;
    char name;
    bool again;
};

static void on_fire(struct env_timer *timer)
{
    struct named_timer *t = container_of(timer, struct named_timer, timer);
    assert_false(timer->armed);
    fired[fired_count++] = t->name;
    if (t->again)
        loop_timer(loop, timer, loop_now(loop).mono_us);
}

static struct named_timer timer_make(char name)
{
    return (struct named_timer){.timer = {.fire = on_fire}, .name = name};
}

static void test_timers_fire_in_order(void **state)
{
    struct named_timer a = timer_make('a'), b = timer_make('b'), c = timer_make('c'),
                       d = timer_make('d');
    uint64_t now_us = loop_now(loop).mono_us;
    fired_count = 0;
    loop_timer(loop, &a.timer, now_us + 4000);
    loop_timer(loop, &b.timer, now_us + 2000);
    loop_timer(loop, &c.timer, now_us + 2000); /* ties: first come, first served */
    loop_timer(loop, &d.timer, now_us + 3000);
    loop_timer_cancel(loop, &d.timer);
    while (fired_count < 3)
        turn(FOR_EVER);
    assert_memory_equal(fired, "bca", 3);
    assert_true(loop_now(loop).mono_us >= now_us + 4000);
    turn(0);
    assert_int_equal(fired_count, 3);
}

static void test_timer_that_rearms_itself_fires_once_a_turn(void **state)
{
    struct named_timer a = timer_make('a');
    a.again = true;
    fired_count = 0;
    loop_timer(loop, &a.timer, 0);
    turn(FOR_EVER);
    assert_int_equal(fired_count, 1);
    turn(FOR_EVER);
    assert_int_equal(fired_count, 2);
    loop_timer_cancel(loop, &a.timer);
}

/* --- waking --- */

static void *wake_body(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        __atomic_store_n(&work_pending, true, __ATOMIC_SEQ_CST);
        loop_wake(loop);
        while (__atomic_load_n(&work_pending, __ATOMIC_SEQ_CST))
            sched_yield();
    }
    return NULL;
}

/* No wake-up is lost, however the sleep and the wake race. */
static void test_wake_from_another_thread(void **state)
{
    pthread_t thread;
    uint64_t begin_us = loop_now(loop).mono_us;
    assert_int_equal(pthread_create(&thread, NULL, wake_body, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        while (!__atomic_load_n(&work_pending, __ATOMIC_SEQ_CST))
            turn(FOR_EVER);
        __atomic_store_n(&work_pending, false, __ATOMIC_SEQ_CST);
    }
    pthread_join(thread, NULL);
    loop_clock_update(loop);
    assert_true(loop_now(loop).mono_us - begin_us < FOR_EVER);
}

/* --- accepting --- */

static int accepted_fd, accepted_error;
static unsigned accepted_count;

static void on_accepted(struct loop_listener *listener, int fd)
{
    if (fd < 0) {
        accepted_error = fd;
        return;
    }
    accepted_count++;
    accepted_fd = fd;
}

static int listen_any(struct sockaddr_in *ret_address)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, &len), 0);
    return fd;
}

static int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
    return fd;
}

static void test_accept(void **state)
{
    struct sockaddr_in address;
    struct loop_listener listener;
    int fd = listen_any(&address);
    accepted_count = 0;
    assert_int_equal(loop_listen(loop, &listener, fd, on_accepted, NULL), 0);
    int a = connect_to(&address), b = connect_to(&address);
    turn(FOR_EVER);
    assert_int_equal(accepted_count, 2);
    assert_true(fcntl(accepted_fd, F_GETFL) & O_NONBLOCK);
    loop_unlisten(loop, &listener);
    close(a);
    close(b);
    close(accepted_fd);
    close(fd);
}

/* Out of descriptors: told once, no spinning, and served when there are some again. */
static void test_accept_out_of_descriptors(void **state)
{
    struct sockaddr_in address;
    struct loop_listener listener;
    struct rlimit before, low;
    int fd = listen_any(&address);
    accepted_count = 0;
    accepted_error = 0;
    assert_int_equal(loop_listen(loop, &listener, fd, on_accepted, NULL), 0);
    int client = connect_to(&address);
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = (rlim_t)client + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    turn(FOR_EVER);
    assert_int_equal(accepted_error, -EMFILE);
    accepted_error = 0;
    turn(0);
    assert_int_equal(accepted_error, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 3 && accepted_count == 0; i++)
        turn(FOR_EVER);
    assert_int_equal(accepted_count, 1);
    loop_unlisten(loop, &listener);
    close(client);
    close(accepted_fd);
    close(fd);
}

/* --- datagrams: read by the owner --- */

struct drained {
    struct loop_socket socket;
    unsigned calls, datagrams, limit; /* limit: read in one call */
    bool stop;                        /* with the next call */
};

static bool on_drain(struct loop_socket *socket)
{
    struct drained *d = container_of(socket, struct drained, socket);
    char data[16];
    d->calls++;
    if (d->stop)
        loop_receive_cancel(socket);
    for (unsigned i = 0; i < d->limit; i++, d->datagrams++)
        if (recv(socket->fd, data, sizeof(data), MSG_DONTWAIT) < 0)
            return true;
    return false;
}

static void on_drained_closed(struct loop_socket *socket)
{
}

static void test_datagrams_are_drained(void **state)
{
    static const struct loop_socket_ops ops = {.drain = on_drain, .closed = on_drained_closed};
    struct drained d = {.limit = 4};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(loop_socket_add(loop, &d.socket, fds[0], &ops), 0);
    loop_receive(loop, &d.socket);
    turn(0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(send(fds[1], "x", 1, 0), 1);
    unsigned before = d.calls;
    turn(0);
    assert_int_equal(d.datagrams, 4); /* its share of a turn */
    turn(FOR_EVER);
    turn(FOR_EVER);
    assert_int_equal(d.datagrams, 10);
    assert_int_equal(d.calls - before, 3);
    turn(0);
    assert_int_equal(d.calls - before, 3); /* nothing there, no call */
    assert_int_equal(send(fds[1], "x", 1, 0), 1);
    d.stop = true;
    turn(FOR_EVER);
    assert_int_equal(d.datagrams, 11);
    assert_int_equal(send(fds[1], "x", 1, 0), 1);
    turn(0);
    assert_int_equal(d.datagrams, 11); /* cancelled */
    loop_receive(loop, &d.socket);
    d.stop = false;
    turn(FOR_EVER);
    assert_int_equal(d.datagrams, 12);
    loop_socket_close(loop, &d.socket);
    turn(0);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_receive_and_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_data_then_end_in_one_edge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stays_readable_and_takes_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_send_waits_for_the_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_send_to_nobody_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hang_up_is_told_to_who_does_not_receive, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_nothing_after_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers_fire_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_that_rearms_itself_fires_once_a_turn, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_wake_from_another_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_accept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_accept_out_of_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagrams_are_drained, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
