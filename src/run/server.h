/* The server: a node with its threads, from settings to exit.
 *
 * Start: data directory, listening sockets, shard threads (which answer LOADING), recovery on the
 * main thread, then all go live. The main thread then waits for signals and does what comes up ten
 * times a second: it moves the log's start, reserves stamps, starts snapshots.
 *
 * Stop (SIGTERM, SIGINT, SHUTDOWN): no new connections, no new requests; replies under way are
 * sent; the log is synced and closed with a clean mark. A second signal ends the process at once.
 */
#pragma once

#include "node/config.h"

struct server;

/* `error` says in one sentence for a person why the server can't start. */
int server_start(struct settings *settings, struct server **ret_server,
                 char error[CONFIG_ERROR_BYTES]);
/* Until it is told to stop; returns the exit status of the process. */
int server_run(struct server *server);
void server_free(struct server *server);
