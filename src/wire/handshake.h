/* The handshake that a TCP link between two nodes begins with, as a state machine without I/O.
 * Three messages of one length; the layout is drawn in handshake.c.
 *
 *     dialer  --- hello ---->  acceptor    who I am, whom I want, a nonce
 *     dialer  <-- answer ----  acceptor    the same, and a proof over both
 *     dialer  --- proof ---->  acceptor    a proof over both and the answer's proof
 *
 * or, from either side, a refusal that says why.
 *
 * Guarantees, when HANDSHAKE_DONE is reached
 * - Whoever is there has the cluster's secret, is in this handshake now (both nonces are under both
 *   proofs: nothing recorded fits), in the other role (nothing reflected fits), and is the node,
 *   boot and process that it says, for the same cluster and whom it meant.
 * - Both have the same two keys, one a direction, that were never used before.
 *
 * Not guaranteed: secrecy; that a refusal is from a member (it carries no proof: it is a reason for
 * a person to read, and the link would have failed anyway); strength beyond the secret's: who
 * listens may try secrets at leisure, so it must not be a word. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/datagram.h"

#define HANDSHAKE_BYTES       96 /* of each message */
#define HANDSHAKE_NONCE_BYTES 32
#define HANDSHAKE_KEY_BYTES   32

#define HANDSHAKE_REFUSAL_TABLE(X)                                                   \
    X(NONE, "none", "not refused")                                                   \
    X(MALFORMED, "malformed", "what came is no handshake of Torc's nodes")           \
    X(VERSION, "version", "the versions of Torc are too far apart")                  \
    X(CLUSTER, "cluster", "belongs to another cluster")                              \
    X(ITSELF, "itself", "the address leads back to the node itself")                 \
    X(CLONE, "clone", "two nodes run under one node id: one is a copy of the other") \
    X(DESTINATION, "destination", "another node than expected is at this address")   \
    X(SECRET, "secret", "the cluster secrets differ")                                \
    X(BOOT, "boot", "a later life of the node, or its copy, has been here already")  \
    X(BUSY, "busy", "too many links")

enum handshake_refusal {
#define X(NAME, name, text) HANDSHAKE_REFUSED_##NAME,
    HANDSHAKE_REFUSAL_TABLE(X)
#undef X
        HANDSHAKE_REFUSALS,
};

const char *handshake_refusal_name(enum handshake_refusal why); /* "secret" */
const char *handshake_refusal_text(enum handshake_refusal why); /* a sentence's end, for a person */

struct handshake_id {
    uint16_t version; /* of the protocol */
    uint64_t cluster; /* 0: belongs to none yet; fits all */
    uint64_t node;    /* these three are not 0 */
    uint64_t boot;    /* grows with each start of the node */
    uint64_t process; /* random for each: tells a copy of a node from the node */
};

enum handshake_state {
    HANDSHAKE_HELLO,  /* the acceptor waits for the hello */
    HANDSHAKE_ANSWER, /* the dialer waits for the answer */
    HANDSHAKE_PROOF,  /* the acceptor waits for the proof */
    HANDSHAKE_DONE,
    HANDSHAKE_REFUSED,
};

struct handshake {
    enum handshake_state state;
    enum handshake_refusal refusal; /* when refused */
    bool refused_by_peer;           /* it is the other who refused */
    struct handshake_id self, peer; /* the peer's is unproved until it is done */
    uint64_t to;                    /* whom the dialer wants, 0: whoever is there */
    uint16_t version;               /* that both speak, when done */
    uint8_t nonce[HANDSHAKE_NONCE_BYTES];
    uint8_t hello[HANDSHAKE_BYTES], answer[HANDSHAKE_BYTES];
    uint8_t send_key[HANDSHAKE_KEY_BYTES], receive_key[HANDSHAKE_KEY_BYTES]; /* when done */
};

/* nonce: HANDSHAKE_NONCE_BYTES random bytes, never used before. */
void handshake_accept(struct handshake *h, const struct handshake_id *self, const uint8_t *nonce);
void handshake_dial(struct handshake *h, const struct handshake_id *self, uint64_t to,
                    const uint8_t *nonce, uint8_t ret_hello[HANDSHAKE_BYTES]);

/* Whether so few bytes may begin a handshake message: ST_AGAIN: yes, more is needed; 0: a whole one
 * stands there; ST_PROTOCOL: no, close the link and say nothing. */
int handshake_check(struct slice bytes);

/* One message came; behind HANDSHAKE_DONE that is a refusal, if anything. `mac` holds the cluster's
 * secret. 0: look at the state; ST_DENIED: refused,
 * ->refusal says why; close the link when what stands in ret_reply was sent. */
int handshake_step(struct handshake *h, const uint8_t message[HANDSHAKE_BYTES],
                   const struct datagram_mac *mac, uint8_t ret_reply[HANDSHAKE_BYTES],
                   bool *ret_has_reply);

/* Refuses for a reason of the caller's (BUSY, BOOT), whatever the state. */
void handshake_refuse(struct handshake *h, enum handshake_refusal why,
                      uint8_t ret_message[HANDSHAKE_BYTES]);
