/* Why something from a peer was dropped. Whoever reads from peers counts by these, so that "we drop
 * what we get from node 3" has a reason beside it. One table: names and enum can't drift apart. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define WIRE_REFUSAL_TABLE(X)                                                           \
    X(MAGIC, "magic")             /* does not begin like a frame */                     \
    X(VERSION, "version")         /* a protocol that is not spoken here */              \
    X(FLAGS, "flags")             /* of the frame: unknown ones, or zeros not zero */   \
    X(LENGTH, "length")           /* too long, too short, or parts that don't add up */ \
    X(CHECKSUM, "checksum")       /* of the frame */                                    \
    X(CLUSTER, "cluster")         /* from another cluster */                            \
    X(DESTINATION, "destination") /* for another node */                                \
    X(SOURCE, "source")           /* from nobody, or from ourselves */                  \
    X(COUNT, "count")             /* another number of messages than announced */       \
    X(CODE, "code")               /* a message that this version does not know */       \
    X(REPLICA, "replica")         /* to or from no replica */                           \
    X(TERM, "term")               /* a term that can't be */                            \
    X(INDEX, "index")             /* an index or offset that can't be */                \
    X(VALUE, "value")             /* a flag, state or type out of its range */          \
    X(ENTRY, "entry")             /* an entry that can't be */                          \
    X(DATA, "data")               /* checksum of snapshot data */                       \
    X(MAC, "mac")                 /* not sealed with our secret */                      \
    X(REPLAY, "replay")           /* a counter seen before, or too old */               \
    X(BOOT, "boot")               /* to or from an earlier life of a node */

enum wire_refusal {
#define X(NAME, text) WIRE_REFUSED_##NAME,
    WIRE_REFUSAL_TABLE(X)
#undef X
        WIRE_REFUSALS,
};

struct wire_refusals {
    uint64_t counts[WIRE_REFUSALS];
};

const char *wire_refusal_name(enum wire_refusal refusal); /* "checksum" */

/* Counts, where counting is wanted, and returns st. */
static inline int wire_refuse(struct wire_refusals *refusals, enum wire_refusal why, int st)
{
    if (refusals != NULL)
        refusals->counts[why]++;
    return st;
}
