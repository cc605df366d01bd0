/* Connections of one shard thread: each moves bytes between a socket and a session.
 *
 * - Input is read only when the session asks for some, straight into its buffer: a client that
 *   sends faster than it is served waits in the socket.
 * - Output leaves at the end of a turn, one writev a connection, and only what the session
 *   releases: replies that wait for a sync stay.
 * - A session runs in turns with the others: conn_run_all() gives each one share.
 * - Closed at once: a broken socket, and when the session says so (CLIENT KILL, output buffer
 *   limits, idle timeout). Closed after its output is sent: the end of input, QUIT, errors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct conn;
struct shard_thread;

struct conn_set {
    struct list_head all;      /* the next to be ticked first */
    struct list_head runnable; /* their session has something to do */
    struct list_head output;   /* may have something to send at the end of this turn */
    unsigned count;
    bool draining; /* the server stops: no new input is read */
};

void conn_set_init(struct conn_set *set);

/* A connection that was accepted; fd is closed on failure. */
void conn_accept(struct shard_thread *thread, int fd);

/* Inside a turn: runs each runnable session once. */
void conn_run_all(struct shard_thread *thread);
/* After the turn's end: submits what may leave. */
void conn_flush_all(struct shard_thread *thread);
bool conn_any_runnable(const struct conn_set *set);

/* Ten times a second: ticks a tenth of the sessions. */
#define CONN_TICK_US 100000
void conn_tick_some(struct shard_thread *thread);

/* Stops reading; connections close as soon as their replies are sent. */
void conn_drain_all(struct shard_thread *thread);
void conn_close_all(struct shard_thread *thread); /* at once */
