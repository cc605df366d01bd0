/* The server's parts, for server*.c only. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "node/config.h"
#include "node/node.h"
#include "run/committer.h"
#include "run/datadir.h"
#include "run/listener.h"
#include "run/shard_thread.h"
#include "run/tier_alarm.h"

#define FILES_RESERVED 40 /* beside clients: log, cold tier, loops, standard streams */
#define FILES_MIN      64

struct server {
    struct settings *settings; /* as at the start: for what can't change */
    struct config_sizes sizes;
    struct shard_thread_shared shared;
    struct front_group *fronts;
    struct listener_set listeners;
    struct datadir dir;
    struct tier_alarm alarm;
    pthread_t main_thread;
    bool durable, reserve_failed;
    atomic_bool stop, stop_now;
    uint64_t truncated_lsn; /* asked for so far; relaxed atomic, INFO shows it */

    pthread_mutex_t snapshot_lock;
    struct snapshot *snapshot; /* under way */
    uint64_t snapshot_last_ms;
};

/* server_recover.c: opens the log, replays it into the shards, starts the committer. */
int server_recover(struct server *server, char error[CONFIG_ERROR_BYTES]);
/* Moves the log's start to what all shards have flushed. */
void server_truncate(struct server *server);
/* With the threads stopped: ends all background work. */
void server_work_finish(struct server *server);

/* server_snapshot.c */
int server_snapshot(void *ctx, struct node_snapshot *request);
void server_snapshot_tick(struct server *server); /* snapshot-every; ends finished ones */
void server_snapshot_wait(struct server *server);

/* server_config.c */
int server_config_rewrite(void *ctx, char *error, size_t error_bytes);
int server_config_check(void *ctx, const struct settings *fresh, unsigned setting, char *error,
                        size_t error_bytes);
void server_config_changed(void *ctx);
/* Raises the limit of open files for so many clients as far as it goes. How many there may be then;
 * 0: not even the server itself has enough. *ret_files: the limit. */
unsigned server_clients_possible(int64_t wanted, unsigned *ret_files);

/* server_process.c */
void server_process(void *ctx, struct node_process *process);
