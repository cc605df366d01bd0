#include "run/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/peers_private.h"
#include "run/thread.h"

#define TASKS_MAX     65536 /* frames in the mailbox, beside their limit in bytes */
#define BACKLOG       128
#define TICK_US       50000
#define FREE_PORTS    8 /* tried when any will do: what TCP has free may be taken for UDP */
#define LOOPBACK      "127.0.0.1 -::1"
#define EVERYWHERE    "*"
#define DEFAULT_PORT  7401
#define OUTPUT_BYTES  (32u << 20)
#define INPUT_BYTES   (64u << 20)
#define HANDSHAKE_MS  5000
#define PING_MS       1000
#define IDLE_MS       10000
#define KEEPALIVE_S   30
#define RETRY_MS      100
#define RETRY_MS_MAX  5000
#define CLOSING_TURNS 1000

struct peers_options peers_options_default(void)
{
    return (struct peers_options){
        .port = DEFAULT_PORT,
        .port_option = "--peer-port",
        .limits = {.output_bytes_max = OUTPUT_BYTES,
                   .handshake_ms_max = HANDSHAKE_MS,
                   .ping_ms = PING_MS,
                   .idle_ms_max = IDLE_MS,
                   .keepalive_s = KEEPALIVE_S},
        .retry_ms = RETRY_MS,
        .retry_ms_max = RETRY_MS_MAX,
        .input_bytes_max = INPUT_BYTES,
    };
}

/* --- from any thread --- */

static void post(struct peers *p, struct peers_task *task)
{
    mailbox_put_always(&p->tasks, task);
    loop_wake(p->loop);
}

static void run_out(struct peers_task *task, struct peers *p)
{
    struct peer_out *out = container_of(task, struct peer_out, task);
    atomic_fetch_sub_explicit(&p->posted, out->len, memory_order_relaxed);
    peers_out(p, out);
}

bool peers_send(struct peers *p, uint64_t node, struct slice frame)
{
    uint64_t len = SEALED_OVERHEAD_BYTES + frame.len;
    uint64_t before = atomic_fetch_add_explicit(&p->posted, len, memory_order_relaxed);
    if (before > 0 && before + len > p->options.limits.output_bytes_max) {
        atomic_fetch_sub_explicit(&p->posted, len, memory_order_relaxed);
        return false;
    }
    struct peer_out *out = peer_out_make(node, SEALED_FRAME, frame);
    out->task.run = run_out;
    if (mailbox_put(&p->tasks, &out->task))
        return true;
    atomic_fetch_sub_explicit(&p->posted, len, memory_order_relaxed);
    free(out);
    return false;
}

void peers_wake(struct peers *p)
{
    loop_wake(p->loop);
}

struct order {
    struct peers_task task;
    uint64_t node, cluster, link;
    struct peer_address address;
    struct peer_out *out;
};

static void post_order(struct peers *p, void (*run)(struct peers_task *, struct peers *),
                       struct order order)
{
    struct order *o = mem_dup(&order, sizeof(order));
    o->task.run = run;
    post(p, &o->task);
}

static void run_set(struct peers_task *task, struct peers *p)
{
    struct order *o = container_of(task, struct order, task);
    peers_node_set(p, o->node, &o->address);
    free(o);
}

void peers_set(struct peers *p, uint64_t node, const struct peer_address *address)
{
    post_order(p, run_set, (struct order){.node = node, .address = *address});
}

static void run_forget(struct peers_task *task, struct peers *p)
{
    struct order *o = container_of(task, struct order, task);
    peers_node_forget(p, o->node);
    free(o);
}

void peers_forget(struct peers *p, uint64_t node)
{
    post_order(p, run_forget, (struct order){.node = node});
}

static void run_cluster(struct peers_task *task, struct peers *p)
{
    struct order *o = container_of(task, struct order, task);
    p->links.self.cluster = o->cluster;
    free(o);
}

void peers_set_cluster(struct peers *p, uint64_t cluster)
{
    post_order(p, run_cluster, (struct order){.cluster = cluster});
}

static void run_stream(struct peers_task *task, struct peers *p)
{
    struct order *o = container_of(task, struct order, task);
    peers_stream_out(p, o->link, &o->address, o->out);
    free(o);
}

void peers_stream(struct peers *p, uint64_t link, uint64_t node, const struct peer_address *address,
                  struct slice packet)
{
    CHECK(packet.len <= DATAGRAM_STREAM_BYTES_MAX);
    struct peer_out *out = peer_out_make(node, SEALED_MEMBER, packet);
    post_order(p, run_stream, (struct order){.link = link, .address = *address, .out = out});
}

void peers_counters(struct peers *p, struct peers_counters *ret_counters)
{
    pthread_mutex_lock(&p->published_lock);
    *ret_counters = p->published;
    pthread_mutex_unlock(&p->published_lock);
}

const struct datagram_mac *peers_datagram_mac(const struct peers *p)
{
    return &p->datagram_mac.mac;
}

unsigned peers_port(const struct peers *p)
{
    return p->port;
}

struct loop *peers_loop(struct peers *p)
{
    return p->loop;
}

/* --- the thread --- */

static bool nothing_to_do(void *ctx)
{
    const struct peers *p = ctx;
    return mailbox_empty(&p->tasks) && !peers_may_resume(p) &&
           !atomic_load_explicit(&p->stop, memory_order_seq_cst);
}

static void run_tasks(struct peers *p)
{
    struct peers_task *task = mailbox_take(&p->tasks);
    while (task != NULL) {
        struct peers_task *next = task->next;
        task->run(task, p);
        task = next;
    }
}

static void publish(struct peers *p)
{
    p->counters.links = p->links.counters;
    pthread_mutex_lock(&p->published_lock);
    p->published = p->counters;
    pthread_mutex_unlock(&p->published_lock);
}

static void turn(struct peers *p)
{
    const struct peers_handlers *handlers = &p->options.handlers;
    loop_wait(p->loop, UINT64_MAX, nothing_to_do, p);
    if (peers_may_resume(p))
        peers_resume(p);
    run_tasks(p);
    loop_dispatch(p->loop);
    loop_fire_timers(p->loop);
    if (handlers->turn != NULL)
        handlers->turn(p->options.ctx);
    peer_links_flush(&p->links);
    loop_submit(p->loop);
    publish(p);
}

static void on_tick(struct env_timer *timer)
{
    struct peers *p = container_of(timer, struct peers, tick);
    peers_tick(p);
    loop_timer(p->loop, timer, loop_now(p->loop).mono_us + TICK_US);
}

static void *body(void *argument)
{
    struct peers *p = argument;
    thread_name("torc-peers");
    loop_clock_update(p->loop);
    loop_timer(p->loop, &p->tick, loop_now(p->loop).mono_us + TICK_US);
    while (!atomic_load_explicit(&p->stop, memory_order_relaxed))
        turn(p);
    return NULL;
}

/* --- life --- */

static void sockets_close(struct peers *p)
{
    for (unsigned i = 0; i < p->sockets; i++) {
        int fd = p->listeners[i].fd;
        loop_unlisten(p->loop, &p->listeners[i]);
        if (fd >= 0)
            close(fd);
    }
    peers_udp_close(p);
    loop_dispatch(p->loop);
    p->sockets = 0;
}

/* Each listener with a socket for datagrams beside it. ST_EXISTS: taken for one of them. */
static int sockets_open(struct peers *p, char error[PEERS_ERROR_BYTES])
{
    struct peers_options *o = &p->options;
    struct listener_set *set = mem_zalloc(sizeof(*set));
    int st = listener_open(o->addresses, o->port, BACKLOG, 1, o->port_option, set, error);
    for (unsigned i = 0; st == 0 && i < set->count; i++) {
        if (p->sockets == PEERS_ADDRESSES_MAX) {
            snprintf(error, PEERS_ERROR_BYTES, "too many addresses for peers, at most %d",
                     PEERS_ADDRESSES_MAX);
            st = ST_LIMIT;
            break;
        }
        st = peers_udp_open(p, set->fds[i]);
        if (st < 0) {
            snprintf(error, PEERS_ERROR_BYTES, "can't receive datagrams on port %u: %s; see %s",
                     set->port, status_text(st), o->port_option);
            break;
        }
        st = loop_listen(p->loop, &p->listeners[p->sockets], set->fds[i], peers_accepted, p);
        if (st == 0)
            set->fds[i] = -1; /* the loop's from now on */
        p->sockets++;
    }
    p->port = set->port;
    listener_close(set);
    free(set);
    if (st < 0)
        sockets_close(p);
    return st;
}

static bool all_loopback(struct peers *p)
{
    struct peer_address at;
    for (unsigned i = 0; i < p->sockets; i++) {
        at.len = sizeof(at.at);
        if (getsockname(p->listeners[i].fd, (struct sockaddr *)&at.at, &at.len) < 0 ||
            !peer_address_loopback(&at))
            return false;
    }
    return true;
}

static int options_check(struct peers_options *o, char error[PEERS_ERROR_BYTES])
{
    if (o->addresses == NULL || o->addresses[0] == '\0')
        o->addresses = o->secret.len > 0 ? EVERYWHERE : LOOPBACK;
    CHECK(o->shards > 0 && o->shards <= PEERS_SHARDS_MAX);
    CHECK(o->self.node != 0 && o->self.boot != 0 && o->self.process != 0);
    if (o->secret.len == 0 || o->secret.len >= CONFIG_CLUSTER_SECRET_BYTES_MIN)
        return 0;
    snprintf(error, PEERS_ERROR_BYTES,
             "the cluster secret is too short: it needs at least %d bytes, best random ones",
             CONFIG_CLUSTER_SECRET_BYTES_MIN);
    return ST_INVALID;
}

static int start(struct peers *p, char error[PEERS_ERROR_BYTES])
{
    int st = options_check(&p->options, error);
    if (st < 0)
        return st;
    peer_mac_init_handshake(&p->handshake_mac, p->options.secret);
    peer_mac_init(&p->datagram_mac, p->options.secret);
    st = sockets_open(p, error);
    for (int i = 1; i < FREE_PORTS && p->options.port == 0 && st == ST_EXISTS; i++)
        st = sockets_open(p, error);
    if (st < 0)
        return st;
    if (p->options.secret.len == 0 && !all_loopback(p)) {
        snprintf(error, PEERS_ERROR_BYTES,
                 "without a cluster secret peers are served on loopback addresses only, and '%s' "
                 "is more: set cluster-secret, the same on all nodes",
                 p->options.addresses);
        return ST_INVALID;
    }
    int err = thread_start(&p->thread, body, p);
    p->started = err == 0;
    if (err != 0)
        snprintf(error, PEERS_ERROR_BYTES, "can't start the thread for peers: %s", strerror(err));
    return err == 0 ? 0 : status_from_errno(err);
}

int peers_start(const struct peers_options *options, struct peers **ret_peers,
                char error[PEERS_ERROR_BYTES])
{
    struct loop *loop;
    uint64_t seeds[2];
    int st = loop_create(&loop);
    if (st < 0) {
        snprintf(error, PEERS_ERROR_BYTES, "can't make the loop for peers: %s", status_text(st));
        return st;
    }
    CHECK(getrandom(seeds, sizeof(seeds), 0) == sizeof(seeds));
    struct peers *p = mem_zalloc(sizeof(*p));
    p->options = *options;
    p->loop = loop;
    p->nodes = map64_create(seeds[0]);
    p->prng = prng_make(seeds[1]);
    p->tick.fire = on_tick;
    p->tasks = mailbox_make(struct peers_task, next, TASKS_MAX);
    p->links = (struct peer_link_set){.loop = loop,
                                      .ops = &peers_link_ops,
                                      .owner = p,
                                      .self = options->self,
                                      .mac = &p->handshake_mac.mac,
                                      .limits = options->limits};
    peer_link_set_init(&p->links);
    pthread_mutex_init(&p->published_lock, NULL);
    st = start(p, error);
    if (st < 0) {
        peers_free(p);
        return st;
    }
    *ret_peers = p;
    return 0;
}

/* The links, here, as the thread is gone. */
static void links_close(struct peers *p)
{
    p->options.handlers = (struct peers_handlers){0};
    p->stopped = true;
    run_tasks(p);
    peers_close_all(p);
    for (int i = 0; i < CLOSING_TURNS && p->links.count > 0; i++)
        loop_dispatch(p->loop);
    CHECK(p->links.count == 0);
    publish(p);
}

void peers_stop(struct peers *p)
{
    if (p == NULL || !p->started)
        return;
    atomic_store_explicit(&p->stop, true, memory_order_seq_cst);
    loop_wake(p->loop);
    pthread_join(p->thread, NULL);
    p->started = false;
    links_close(p);
    sockets_close(p);
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    CHECK(!p->started);
    CHECK(atomic_load(&p->waiting) == 0);
    sockets_close(p);
    run_tasks(p);
    size_t at = 0;
    uint64_t id;
    void *peer;
    while (map64_next(p->nodes, &at, &id, &peer))
        free(peer);
    map64_free(p->nodes);
    loop_free(p->loop);
    pthread_mutex_destroy(&p->published_lock);
    peer_mac_wipe(&p->handshake_mac);
    peer_mac_wipe(&p->datagram_mac);
    free(p->datagrams);
    free(p);
}
