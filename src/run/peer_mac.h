/* The MAC of what nodes tell one another: BLAKE2b with a key (libsodium). Nodes with the same
 * secret understand one another; nobody else is listened to. */
#pragma once

#include "base/slice.h"
#include "wire/datagram.h"
#include "wire/handshake.h"

#define PEER_MAC_KEY_BYTES HANDSHAKE_KEY_BYTES

struct peer_mac {
    struct datagram_mac mac; /* give &mac to the cores */
    uint8_t key[PEER_MAC_KEY_BYTES];
};

/* Any secret; it should be long and random, as anyone who records a datagram or a handshake can try
 * short ones. An empty one makes a key that everybody has. It is not kept. Keys of the two uses
 * have nothing to do with one another. */
void peer_mac_init(struct peer_mac *m, struct slice secret);           /* of datagrams */
void peer_mac_init_handshake(struct peer_mac *m, struct slice secret); /* of links' handshakes */
/* Of one direction of a link: for records only, each sealed once. */
void peer_mac_init_link(struct peer_mac *m, const uint8_t key[PEER_MAC_KEY_BYTES]);
void peer_mac_wipe(struct peer_mac *m);
