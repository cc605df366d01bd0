/* Records of a link whose handshake was right: each sealed with a MAC under the key of its
 * direction. The layout is drawn in sealed.c.
 *
 * Guarantees: nothing between two records can be left out, doubled, changed or put in another
 * order, for each carries the count of those before it under its MAC. The first that does not fit
 * ends the link. Not guaranteed: that the last records before the link's end have come. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "wire/datagram.h"
#include "wire/frame.h"

#define SEALED_HEADER_BYTES   16
#define SEALED_COUNTER_AT     8 /* in the header, to its end: a MAC may rest on it as a nonce */
#define SEALED_OVERHEAD_BYTES (SEALED_HEADER_BYTES + DATAGRAM_MAC_BYTES)
#define SEALED_PAYLOAD_MAX    (FRAME_HEADER_BYTES + FRAME_BYTES_MAX)

enum sealed_kind {
    SEALED_PING = 1, /* answer with SEALED_PONG; no payload */
    SEALED_PONG = 2,
    SEALED_FRAME = 3,  /* wire/frame.h, whole; from dialer to acceptor */
    SEALED_MEMBER = 4, /* one packet of wire/datagram.h */
};

/* One direction of a link. */
struct sealed {
    const struct datagram_mac *mac; /* with that direction's key; outlives it */
    uint64_t counter;               /* of records sealed or opened so far */
};

/* `record` has the payload at SEALED_HEADER_BYTES, and room for the MAC behind it; header and MAC
 * are written. Each record is sent once, in the order of the calls. */
void sealed_close(struct sealed *s, uint8_t *record, enum sealed_kind kind, size_t payload_len);

/* How long the record is that begins here. ST_AGAIN: the header is not all there; ST_PROTOCOL: no
 * record, end the link. */
int sealed_length(struct slice bytes, struct wire_refusals *refusals, size_t *ret_bytes);

/* `record` is one record, no more. The payload is borrowed from it. ST_DENIED: not the next one
 * sealed with this key. Kinds are not judged. refusals may be NULL. */
int sealed_open(struct sealed *s, struct slice record, struct wire_refusals *refusals,
                uint8_t *ret_kind, struct slice *ret_payload);
