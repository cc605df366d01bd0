/* Datagrams: what members tell one another, sealed with a keyed MAC. The same packet, longer, goes
 * over streams. The layout is drawn in datagram.c.
 *
 * Guarantees
 * - Without the right MAC nothing behind magic and length is looked at, and no byte of a packet can
 *   be changed: sender, destination, both boots and counter are under it.
 * - struct datagram_window takes each counter of one life of a sender at most once.
 * - A packet that names the receiver's present boot was made in this life of it: a recording from
 *   before its restart is no such packet.
 *
 * Not guaranteed: secrecy; that the address it came from is the sender's (the MAC does not cover
 * it).
 *
 * The MAC is the caller's: wire needs no library for it, and a simulation may take a quick one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "wire/refusal.h"

#define DATAGRAM_HEADER_BYTES 80
#define DATAGRAM_MAC_BYTES    16
/* Fits an Ethernet frame with IPv6, with room for a tunnel's headers. */
#define DATAGRAM_BYTES_MAX        1400
#define DATAGRAM_STREAM_BYTES_MAX (32u << 10)
#define DATAGRAM_OVERHEAD_BYTES   (DATAGRAM_HEADER_BYTES + DATAGRAM_MAC_BYTES)

struct datagram_mac { /* embedded in what holds the key */
    void (*compute)(const struct datagram_mac *mac, struct slice bytes,
                    uint8_t ret_tag[DATAGRAM_MAC_BYTES]);
};

/* In constant time: how many bytes of a forged tag are right must not show. */
bool datagram_tag_equal(const uint8_t a[DATAGRAM_MAC_BYTES], const uint8_t b[DATAGRAM_MAC_BYTES]);

struct datagram_head {
    uint16_t version;
    uint64_t cluster;       /* 0: belongs to none yet */
    uint64_t from, to;      /* nodes; to 0: whoever is at this address */
    uint64_t boot, to_boot; /* lives of the two; to_boot 0: unknown */
    uint64_t nonce;         /* random for each process: tells clones of one node apart */
    uint64_t counter;       /* of packets of this boot, from 1 */
    uint64_t stamp;         /* the sender's hybrid logical clock */
    uint64_t epoch;         /* of the sender's map */
};

struct datagram {
    struct datagram_head head;
    bool spoken;           /* in a version spoken here; else `messages` is empty */
    struct slice messages; /* borrowed: wire/member_message.h */
};

/* --- writing --- */

/* Begins a packet at the end of `out`; append messages; then seal it. Returns where it begins. */
size_t datagram_begin(struct buffer *out);
/* The packet is what stands in `out` from start on; it must be within DATAGRAM_STREAM_BYTES_MAX. */
struct slice datagram_seal(struct buffer *out, size_t start, const struct datagram_head *head,
                           const struct datagram_mac *mac);

/* --- reading --- */

/* How long the packet is that begins here, for streams. ST_AGAIN: the header is not all there;
 * ST_PROTOCOL: no packet that could be skipped, close the link. */
int datagram_length(struct slice bytes, struct wire_refusals *refusals, size_t *ret_bytes);

/* `bytes` is one packet, no more. ST_PROTOCOL: none; ST_DENIED: not sealed with this key. Whether
 * cluster, destination and counter are right is the receiver's to judge. refusals may be NULL. */
int datagram_open(struct slice bytes, const struct datagram_mac *mac,
                  struct wire_refusals *refusals, struct datagram *ret_datagram);

/* --- replays --- */

#define DATAGRAM_WINDOW 256 /* counters; what is further behind the newest is refused */

struct datagram_window { /* a zeroed one has seen nothing */
    uint64_t newest;
    uint64_t seen[DATAGRAM_WINDOW / 64]; /* counter c at bit c % DATAGRAM_WINDOW */
};

bool datagram_window_take(struct datagram_window *w,
                          uint64_t counter); /* false: seen, or too old */
