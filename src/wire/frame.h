/* Frames: what travels between two nodes. A frame carries many messages from one node to one other,
 * for as many groups as there are (heartbeats of a thousand groups cost one frame). The layout is
 * drawn in frame.c.
 *
 * A frame that is whole says only that nobody damaged it by accident. That it is from whom it says
 * is for the link to know, or for a MAC (its flag is kept free). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "wire/message.h"
#include "wire/refusal.h"

/* What this build speaks. It also reads the next version, whose frames look the same: so nodes of
 * two neighbouring versions understand each other while a cluster is upgraded. */
#define WIRE_VERSION       1
#define WIRE_VERSION_NEXT  (WIRE_VERSION + 1)

#define FRAME_HEADER_BYTES 64
/* A frame that has got so long takes no further message. */
#define FRAME_FILL_BYTES (8u << 20)
/* Messages in a frame, in bytes: the last one may be of the longest there is. */
#define FRAME_BYTES_MAX (FRAME_FILL_BYTES + MESSAGE_BYTES_MAX)

struct frame_head {
    uint16_t version;
    uint16_t flags; /* 0 */
    uint64_t cluster;
    uint64_t from, to; /* nodes; not 0 */
    uint64_t stamp;    /* the sender's hybrid logical clock */
    uint64_t epoch;    /* of the sender's map */
};

/* --- writing --- */

/* A zeroed one is empty and ready. */
struct frame_writer {
    struct buffer bytes; /* begins with room for the header once there is a message */
    uint32_t count;
};

void frame_append(struct frame_writer *w, const struct raft_message *m);
bool frame_empty(const struct frame_writer *w);
bool frame_full(const struct frame_writer *w); /* finish it before you append */
/* Writes the header; the bytes are valid until frame_reset(). An empty frame is a frame, too. */
struct slice frame_finish(struct frame_writer *w, const struct frame_head *head);
/* The same for `count` messages that stand behind the room for the header already. */
void frame_put_header(uint8_t *frame, const struct frame_head *head, uint32_t count,
                      size_t messages_len);
void frame_reset(struct frame_writer *w); /* empty again, with its memory */
void frame_writer_free(struct frame_writer *w);

/* --- reading --- */

struct frame {
    struct frame_head head;
    uint32_t left;         /* messages not yet taken */
    struct slice messages; /* borrowed */
};

/* For links that carry frames behind one another: how many bytes the frame has that begins here.
 * ST_AGAIN: the header is not all there; ST_PROTOCOL, ST_VERSION: no frame that could be skipped,
 * close the link. */
int frame_length(struct slice bytes, struct wire_refusals *refusals, size_t *ret_bytes);

/* `bytes` is one frame, no more. ST_PROTOCOL: damaged or nonsense; ST_VERSION: of a version not
 * spoken here; ST_DENIED: sound, but from another cluster or for another node (counted apart).
 * refusals may be NULL. */
int frame_parse(struct slice bytes, uint64_t cluster, uint64_t node, struct wire_refusals *refusals,
                struct frame *ret_frame);

/* The next message. ST_NOTFOUND at the end; ST_UNSUPPORTED: one that this version does not know, go
 * on; ST_PROTOCOL: drop the rest. */
int frame_next(struct frame *f, struct wire_refusals *refusals, struct raft_message *ret_message);
/* The same, but as it stands: for who hands it on (message_skip()). Never ST_UNSUPPORTED. */
int frame_skip(struct frame *f, struct wire_refusals *refusals, uint32_t *ret_group,
               struct slice *ret_message);
