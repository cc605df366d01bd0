/* The MAC of what nodes tell one another: BLAKE2b with a key made from the cluster's secret
 * (libsodium). Nodes with the same secret understand one another; nobody else is listened to. */
#pragma once

#include "base/slice.h"
#include "wire/datagram.h"

#define PEER_MAC_KEY_BYTES 32

struct peer_mac {
    struct datagram_mac mac; /* give &mac to the cores */
    uint8_t key[PEER_MAC_KEY_BYTES];
};

/* Any secret that is not empty; it should be long and random, as anyone who records a datagram can
 * try short ones. It is not kept. */
void peer_mac_init(struct peer_mac *m, struct slice secret);
void peer_mac_wipe(struct peer_mac *m);
