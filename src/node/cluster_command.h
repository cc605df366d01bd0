/* Commands of the cluster log and their results: plain structs, made from one table
 * (cluster_commands.def), with an encoder and a decoder that trusts nothing.
 *
 *   command:  u8 format 1 | u8 code | fields
 *   result:   u8 format 1 | u8 zero | u16 status, negated | u64 epoch | u64 value | u16 length |
 * why
 *
 * Decoding checks lengths and counts; what a command means, and whether it may happen, is for
 * cluster_state_apply(). Decoded texts and places point into the bytes given. A version refuses
 * codes that it does not know while a later one obeys: so a new code is proposed only when the
 * feature switch that stands for it is on, or the replicas of the log would part. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "node/cluster_commands.def"
#include "ring/map.h"

#define CLUSTER_WHY_BYTES_MAX 191
#define CLUSTER_PLACES_MAX    1024 /* of one command */

enum cluster_code {
#define X(code, NAME, name) CLUSTER_##NAME = code,
    CLUSTER_COMMAND_TABLE(X)
#undef X
};

struct cluster_nodes {
    uint8_t count;
    uint64_t list[RING_REPLICAS_MAX];
};

/* As they stand in the command; walked by cluster_places_next(). */
struct cluster_places {
    uint16_t count;
    struct slice bytes;
};

typedef uint8_t cluster_u8;
typedef uint16_t cluster_u16;
typedef uint32_t cluster_u32;
typedef uint64_t cluster_u64;
typedef struct slice cluster_text;
typedef struct cluster_nodes cluster_nodes;
typedef struct cluster_places cluster_places;

#define F(type, field) cluster_##type field;
#define X(code, NAME, name)      \
    struct cluster_##name {      \
        CLUSTER_FIELDS_##NAME(F) \
    };
CLUSTER_COMMAND_TABLE(X)
#undef X
#undef F

struct cluster_command {
    uint8_t code; /* enum cluster_code: which of the union */
    union {
#define X(number, NAME, name) struct cluster_##name name;
        CLUSTER_COMMAND_TABLE(X)
#undef X
    };
};

const char *cluster_command_name(uint8_t code); /* "add"; NULL: there is none */

/* Texts of at most 65535 bytes, at most CLUSTER_PLACES_MAX places; nothing else is looked at. */
void cluster_command_encode(struct buffer *out, const struct cluster_command *c);
/* All of the bytes. ST_VERSION; ST_UNSUPPORTED: a code that this version does not know;
 * ST_PROTOCOL: malformed. */
int cluster_command_decode(struct slice bytes, struct cluster_command *ret_command);

/* Appends a place to what will be places->bytes, and counts it. */
void cluster_places_add(struct buffer *bytes, struct cluster_places *places, uint16_t partition,
                        const struct cluster_nodes *nodes);
/* The first place off *places; false at the end. */
bool cluster_places_next(struct cluster_places *places, uint16_t *ret_partition,
                         struct cluster_nodes *ret_nodes);

/* What became of a command. Refused: nothing has changed, and `why` is a sentence for a person. */
struct cluster_result {
    int st;
    uint64_t epoch; /* of the cluster after it */
    uint64_t value; /* the id or incarnation made; 0: none */
    char why[CLUSTER_WHY_BYTES_MAX + 1];
};

void cluster_result_encode(struct buffer *out, const struct cluster_result *result);
int cluster_result_decode(struct slice bytes, struct cluster_result *ret_result); /* as above */
