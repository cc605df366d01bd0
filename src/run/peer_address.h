/* Where a node is reached: an IP address and a port, written "10.0.0.3:7401" or "[fe80::1]:7401".
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/slice.h"

#define PEER_ADDRESS_TEXT_BYTES 64 /* with its terminator */

struct peer_address {
    struct sockaddr_storage at;
    socklen_t len; /* 0: none */
};

/* Numbers only; nothing is looked up. ST_INVALID */
int peer_address_parse(struct slice text, struct peer_address *ret_address);
/* Names too, and a port that may be missing. Asks the resolver and waits for it: never on the
 * thread of a loop. ST_NOTFOUND: it does not know; ST_INVALID: no name can be so. */
int peer_address_resolve(struct slice text, unsigned default_port,
                         struct peer_address *ret_address);
void peer_address_format(const struct peer_address *address, char out[PEER_ADDRESS_TEXT_BYTES]);
bool peer_address_loopback(const struct peer_address *address);
unsigned peer_address_port(const struct peer_address *address);
