#include "run/server.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"
#include "command/front.h"
#include "node/node.h"
#include "run/listener.h"
#include "run/log_file.h"
#include "run/machine.h"
#include "run/notify.h"
#include "run/password.h"
#include "run/server_private.h"

#define PURGE_LAG_MS    600000
#define FLUSH_THREADS   2
#define TICK_MS         100
#define DRAIN_POLL_US   1000
#define ORDERED_IDLE_MS 600000

static uint64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t random_u64(void)
{
    uint64_t value;
    CHECK(getrandom(&value, sizeof(value), 0) == sizeof(value));
    return value;
}

/* --- the cold tier may forget --- */

static bool policy_keyspace_dropped(void *ctx, uint32_t keyspace)
{
    struct node *node = __atomic_load_n(&((struct server *)ctx)->shared.node, __ATOMIC_ACQUIRE);
    return node != NULL && node_keyspace_gone(node, keyspace);
}

/* Behind the clock, as tier_policy wants it. */
static uint64_t policy_purge_before_ms(void *ctx)
{
    return wall_ms() - PURGE_LAG_MS;
}

static bool policy_purge_tombstones(void *ctx)
{
    return true;
}

static int policy_sync_log(void *ctx)
{
    struct committer **committer = &((struct server *)ctx)->shared.committer;
    struct committer *c = __atomic_load_n(committer, __ATOMIC_ACQUIRE);
    return c != NULL ? committer_sync(c) : 0; /* what recovery replays is synced already */
}

static void policy_failed(void *ctx, int st, const char *why)
{
    tier_alarm_failed(&((struct server *)ctx)->alarm, st, why);
}

/* --- start: parts --- */

static int files_prepare(struct server *server, char error[CONFIG_ERROR_BYTES])
{
    unsigned files;
    unsigned clients = server_clients_possible(server->settings->max_clients, &files);
    if (clients == 0) {
        snprintf(error, CONFIG_ERROR_BYTES,
                 "only %u files may be open (ulimit -n): at least %u are needed", files, FILES_MIN);
        return ST_LIMIT;
    }
    atomic_store(&server->shared.clients_max, clients);
    if (clients < server->settings->max_clients) {
        log_event(LOG_WARNING, "max_clients_lowered",
                  "from=%" PRId64 " to=%u because=open-files-limit limit=%u",
                  server->settings->max_clients, clients, files);
        server->settings->max_clients = clients; /* what CONFIG GET shows */
    }
    return 0;
}

/* The wall clock, but not before the last run's: what expired then has expired. The reservation
 * tells, as far as it was made ahead. */
static uint64_t clock_start(const struct server *server)
{
    uint64_t last_ms = server->durable ? hlc_wall_ms(server->dir.identity.clock_max) : 0;
    last_ms = last_ms > DATADIR_CLOCK_AHEAD_MS ? last_ms - DATADIR_CLOCK_AHEAD_MS : 0;
    return last_ms > wall_ms() ? last_ms : wall_ms();
}

static int node_make(struct server *server, char error[CONFIG_ERROR_BYTES])
{
    const struct settings *s = server->settings;
    uint64_t floor = server->dir.identity.clock_max;
    struct node_options options = {
        .settings = settings_ref(server->settings), /* its own: CONFIG SET puts others there */
        .shards = server->sizes.shards,
        .partitions = server->durable ? server->dir.partitions : (unsigned)s->partitions,
        .durable = server->durable,
        .commit_on_sync = server->durable && s->fsync == FSYNC_ALWAYS,
        .hlc_floor = !server->durable ? 0
                     : floor == 0     ? 1
                                      : floor, /* 0: no reservations */
        .hash_seed = random_u64(),
        .now_ms = clock_start(server),
        .actor = server->durable ? 0 : random_u64(),
    };
    struct node *node;
    int st = node_create(&options, &node);
    if (st < 0) {
        snprintf(error, CONFIG_ERROR_BYTES, "can't make %u shards over %u partitions",
                 options.shards, options.partitions);
        return st;
    }
    node->loading = true; /* before any other thread knows the node */
    uint64_t id = server->durable ? server->dir.identity.node_id : random_u64();
    snprintf(node->id, sizeof(node->id), "%040" PRIx64, id);
    snprintf(node->run_id, sizeof(node->run_id), "%016" PRIx64 "%016" PRIx64 "%08x", random_u64(),
             random_u64(), (unsigned)random_u64());
    node->hooks = (struct node_hooks){
        .ctx = server,
        .process = server_process,
        .password_matches = password_matches,
        .snapshot = server_snapshot,
        .config_rewrite = server_config_rewrite,
        .config_check = server_config_check,
        .config_changed = server_config_changed,
    };
    __atomic_store_n(&server->shared.node, node, __ATOMIC_RELEASE);
    return 0;
}

static int shard_make(struct server *server, unsigned id)
{
    struct node *node = server->shared.node;
    struct shard_thread *t;
    struct engine *engine;
    struct shard *shard;
    int st = shard_thread_create(&server->shared, id, &t);
    if (st < 0)
        return st;
    struct engine_options options = {
        .tier = server->durable ? server->dir.tier : NULL,
        .work = &t->work_queue,
        .shard = (uint16_t)id,
        .shards = (uint16_t)node->shards,
        .partitions = (uint16_t)node->partitions,
        .table_bytes = server->sizes.table_bytes / node->shards,
        .cache_bytes = server->sizes.cache_bytes / node->shards,
        .log_bytes = server->sizes.log_bytes_max / 2,
        .ordered_idle_ms = ORDERED_IDLE_MS,
        .hash_seed = node->hash_seed,
    };
    st = engine_create(&options, &engine);
    if (st < 0)
        return st;
    st = shard_create(node, &t->env, id, engine, &shard);
    if (st < 0) {
        engine_free(engine);
        return st;
    }
    shard_thread_attach(t, shard, front_create(server->fronts, shard));
    return 0;
}

static int shards_make(struct server *server, char error[CONFIG_ERROR_BYTES])
{
    int st = executor_create(server->sizes.io_threads, FLUSH_THREADS, &server->shared.executor);
    server->fronts = front_group_create(server->shared.node);
    server->shared.count = server->sizes.shards;
    for (unsigned i = 0; i < server->sizes.shards && st == 0; i++)
        st = shard_make(server, i);
    if (st < 0)
        snprintf(error, CONFIG_ERROR_BYTES, "can't make the shards: %s", status_text(st));
    return st;
}

static int listen_all(struct server *server, char error[CONFIG_ERROR_BYTES])
{
    const struct settings *s = server->settings;
    struct listener_set *set = &server->listeners;
    int st = listener_open(s->address, (unsigned)s->port, (int)s->tcp_backlog, server->sizes.shards,
                           "--port", set, error);
    for (unsigned i = 0; st == 0 && i < set->count; i++) {
        st = shard_thread_listen(server->shared.threads[i % set->copies], set->fds[i]);
        if (st == 0)
            set->fds[i] = -1; /* the thread's from now on */
        else
            snprintf(error, CONFIG_ERROR_BYTES, "too many addresses to listen on");
    }
    return st;
}

static int threads_start(struct server *server, char error[CONFIG_ERROR_BYTES])
{
    for (unsigned i = 0; i < server->shared.count; i++) {
        int st = shard_thread_start(server->shared.threads[i]);
        if (st < 0) {
            snprintf(error, CONFIG_ERROR_BYTES, "can't start threads: %s", status_text(st));
            return st;
        }
    }
    return 0;
}

static void banner(const struct server *server)
{
    log_event(LOG_NOTICE, "ready", "port=%u shards=%u persistence=%s fsync=%s pid=%d version=%s",
              server->listeners.port, server->shared.count, server->durable ? "yes" : "no",
              server->settings->fsync == FSYNC_ALWAYS     ? "always"
              : server->settings->fsync == FSYNC_EVERYSEC ? "everysec"
                                                          : "never",
              (int)getpid(), TORC_VERSION);
    fprintf(stderr,
            "torcd %s serves on port %u. Try: torc -h localhost:%u put name value   or   "
            "redis-cli -p %u\n",
            TORC_VERSION, server->listeners.port, server->listeners.port, server->listeners.port);
}

/* --- requests to stop, from any thread --- */

static void request_stop(void *ctx, bool now)
{
    struct server *server = ctx;
    if (now)
        atomic_store(&server->stop_now, true);
    atomic_store(&server->stop, true);
    pthread_kill(server->main_thread, SIGTERM);
}

int server_start(struct settings *settings, struct server **ret_server,
                 char error[CONFIG_ERROR_BYTES])
{
    struct server *server = mem_zalloc(sizeof(*server));
    struct config_machine machine = machine_probe();
    server->settings = settings_ref(settings);
    server->sizes = config_sizes(settings, &machine);
    server->durable = settings->persistence;
    server->dir.lock_fd = -1;
    server->main_thread = pthread_self();
    pthread_mutex_init(&server->snapshot_lock, NULL);
    tier_alarm_init(&server->alarm);
    server->shared.shutdown = request_stop;
    server->shared.ctx = server;
    if (server->sizes.table_raised)
        log_event(LOG_NOTICE, "table_memory_raised", "from=%" PRId64 " to=%" PRIu64 " shards=%u",
                  settings->table_memory, server->sizes.table_bytes, server->sizes.shards);
    struct tier_policy policy = {
        .ctx = server,
        .keyspace_dropped = policy_keyspace_dropped,
        .purge_before_ms = policy_purge_before_ms,
        .purge_tombstones = policy_purge_tombstones,
        .sync_log = policy_sync_log,
        .failed = policy_failed,
    };
    int st = files_prepare(server, error);
    if (st == 0 && server->durable)
        st = datadir_open(settings, &server->sizes, policy, &server->dir, error);
    if (st == 0)
        st = node_make(server, error);
    if (st == 0)
        st = shards_make(server, error);
    if (st == 0)
        st = listen_all(server, error);
    if (st == 0)
        st = threads_start(server, error);
    if (st == 0 && server->durable)
        st = server_recover(server, error);
    if (st < 0) {
        tier_alarm_explain(&server->alarm, error, CONFIG_ERROR_BYTES);
        server_free(server);
        return st;
    }
    node_recovered(server->shared.node);
    for (unsigned i = 0; i < server->shared.count; i++)
        shard_thread_go_live(server->shared.threads[i]);
    __atomic_store_n(&server->shared.node->loading, false, __ATOMIC_RELEASE);
    banner(server);
    notify_manager("READY=1");
    *ret_server = server;
    return 0;
}

/* --- running --- */

static void clock_reserve(struct server *server)
{
    bool moved;
    uint64_t now_ms = wall_ms(), clock_ms = node_clock_ms(server->shared.node);
    int st = datadir_reserve(&server->dir, now_ms > clock_ms ? now_ms : clock_ms, &moved);
    if (st < 0 && !server->reserve_failed)
        log_event(LOG_ERROR, "clock_not_reserved", "error=%s", status_text(st));
    server->reserve_failed = st < 0;
    if (moved)
        node_hlc_reserved(server->shared.node, server->dir.identity.clock_max);
}

static void tick(struct server *server)
{
    if (server->durable) {
        clock_reserve(server);
        server_truncate(server);
        server_snapshot_tick(server);
        ballast_keep(&server->dir.ballast);
        tier_alarm_look(&server->alarm, server->dir.tier);
    }
}

static bool stop_signal(struct server *server, const sigset_t *set)
{
    struct timespec timeout = {.tv_nsec = TICK_MS * 1000000L};
    int signal = sigtimedwait(set, NULL, &timeout);
    if (signal == SIGHUP)
        log_file_reopen();
    if ((signal == SIGTERM || signal == SIGINT) && !atomic_load(&server->stop))
        log_event(LOG_NOTICE, "signal", "name=%s", signal == SIGTERM ? "SIGTERM" : "SIGINT");
    return signal == SIGTERM || signal == SIGINT || atomic_load(&server->stop);
}

static void thread_drain(struct shard_thread *t, void *ctx)
{
    for (unsigned i = 0; i < t->listener_count; i++) {
        int fd = t->listeners[i].fd;
        loop_unlisten(t->loop, &t->listeners[i]);
        close(fd);
    }
    conn_drain_all(t);
}

static void thread_close(struct shard_thread *t, void *ctx)
{
    conn_close_all(t);
}

static void second_signal(int signal)
{
    _exit(EXIT_FAILURE);
}

/* Waits for clients to take their replies, no longer than shutdown-timeout as it is now. */
static void drain(struct server *server)
{
    const struct settings *s = __atomic_load_n(&server->shared.node->settings, __ATOMIC_ACQUIRE);
    uint64_t end_us = mono_us() + (uint64_t)s->shutdown_timeout * 1000000;
    for (unsigned i = 0; i < server->shared.count; i++)
        shard_thread_call(server->shared.threads[i], thread_drain, NULL);
    while (atomic_load(&server->shared.clients) > 0 && mono_us() < end_us &&
           !atomic_load(&server->stop_now))
        usleep(DRAIN_POLL_US);
    for (unsigned i = 0; i < server->shared.count; i++)
        shard_thread_call(server->shared.threads[i], thread_close, NULL);
    for (unsigned i = 0; i < server->shared.count; i++)
        shard_thread_settle(server->shared.threads[i]);
    for (unsigned i = 0; i < server->shared.count; i++)
        shard_thread_stop(server->shared.threads[i]);
}

static uint64_t last_stamp(const struct server *server)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < server->shared.count; i++) {
        const struct shard *s = server->shared.node->shard[i];
        last = s->hlc.last > last ? s->hlc.last : last;
    }
    return last;
}

int server_run(struct server *server)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    while (!stop_signal(server, &set))
        tick(server);
    notify_manager("STOPPING=1");
    signal(SIGTERM, second_signal);
    signal(SIGINT, second_signal);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    log_event(LOG_NOTICE, "stopping", "clients=%u", atomic_load(&server->shared.clients));
    atomic_store(&server->stop, true);
    server_snapshot_wait(server);
    drain(server);
    server_work_finish(server);
    int st = 0;
    if (server->durable) {
        st = committer_close(server->shared.committer);
        server->shared.committer = NULL;
        if (st == 0)
            st = datadir_end(&server->dir, last_stamp(server));
    }
    log_event(st == 0 ? LOG_NOTICE : LOG_ERROR, "stopped", "clean=%s", st == 0 ? "yes" : "no");
    return st == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    struct node *node = server->shared.node;
    for (unsigned i = 0; i < server->shared.count; i++)
        shard_thread_stop(server->shared.threads[i]);
    server_work_finish(server);
    executor_free(server->shared.executor);
    for (unsigned i = 0; i < server->shared.count; i++) {
        struct shard_thread *t = server->shared.threads[i];
        if (t == NULL)
            continue;
        struct shard *shard = t->shard;
        shard_thread_free(t);
        if (shard != NULL) {
            engine_free(shard->engine);
            shard_free(shard);
        }
    }
    front_group_free(server->fronts);
    listener_close(&server->listeners);
    if (server->shared.committer != NULL)
        committer_close(server->shared.committer);
    __atomic_store_n(&server->shared.node, NULL, __ATOMIC_RELEASE);
    datadir_close(&server->dir);
    if (node != NULL)
        settings_unref(node->settings);
    node_free(node);
    settings_unref(server->settings);
    pthread_mutex_destroy(&server->snapshot_lock);
    tier_alarm_free(&server->alarm);
    free(server);
}
