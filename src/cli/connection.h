/* One TCP connection to a server: requests are queued, replies come in their order.
 *
 * Both directions move at once, so a pipeline of any length can't lock up two full sockets. Nothing
 * waits longer than timeout_ms (0: forever) without a byte moving; SIGINT ends any wait (after
 * interrupt_install). After a failure the connection is of no use and has to be closed. */
#pragma once

#include <stdbool.h>

#include "cli/address.h"
#include "wire/resp_reply.h"

struct connection;

int connection_open(const struct address *address, uint64_t timeout_ms, struct failure *failure,
                    struct connection **ret_connection);
void connection_close(struct connection *connection); /* NULL is allowed */

/* Whether the server has closed it, as far as this side knows; call it when no reply is awaited. */
bool connection_is_closed(const struct connection *connection);

void connection_queue(struct connection *connection, size_t argc, const struct slice *argv);
size_t connection_unsent_bytes(const struct connection *connection);

/* Waits for the next reply, sending what is queued. Pushed messages are skipped. */
int connection_receive(struct connection *connection, struct failure *failure,
                       struct resp_reply *ret_reply);
/* Sends and receives what it can without waiting; ST_AGAIN when no reply is there. */
int connection_try_receive(struct connection *connection, struct failure *failure,
                           struct resp_reply *ret_reply);
