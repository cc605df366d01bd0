/* The state machine that the simulator replicates: integers under numbered keys, as sim/linear.h
 * has them, over the real rows of a partition.
 *
 * Values say who they are, so that one that is damaged or under a wrong key is noticed by whoever
 * reads it:
 *
 *   u64 key | u64 op that wrote it | i64 value | padding, a function of op | u32 crc32c of all that
 *
 * Commands, of which a read never becomes an entry:
 *
 *   u8 enum linear_kind | u64 op, unique in the run | u64 key | i64 arg | i64 expected
 *   | u64 ttl_ms, 0: none | padding that the value gets
 *
 * Results:  u8 enum kv_outcome | i64 result as struct linear_op has it */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "node/group.h"
#include "sim/linear.h"

#define KV_PAD_BYTES_MAX (100u << 10)
#define KV_KEYSPACE      0u
#define KV_KEY_BYTES     8

struct kv_command {
    uint8_t kind; /* enum linear_kind */
    uint64_t op, key;
    int64_t arg, expected;
    uint64_t ttl_ms;
    uint32_t pad_bytes;
};

enum kv_outcome {
    KV_DONE,
    KV_MALFORMED, /* the command */
    KV_DAMAGED,   /* the value that was there */
};

struct kv_result {
    uint8_t outcome;
    int64_t value;
};

struct kv_machine;

/* Who watches; both may be NULL. */
struct kv_watch {
    void *ctx;
    /* A command was applied where `before` was (LINEAR_ABSENT: nothing). */
    void (*applied)(void *ctx, const struct group_apply *apply, const struct kv_command *command,
                    int64_t before, const struct kv_result *result);
    /* A value that is damaged or belongs to another key. */
    void (*damaged)(void *ctx, const struct group *group, uint64_t key, const char *why);
};

struct kv_machine {
    struct group_machine base;
    struct kv_watch watch;
};
void kv_machine_init(struct kv_machine *m, const struct kv_watch *watch);

/* Reads what group_look() or a scan gave. NULL, or what is wrong with it. */
const char *kv_value_read(uint64_t key, struct slice value, int64_t *ret_value);

void kv_command_encode(struct buffer *out, const struct kv_command *command);
int kv_command_decode(struct slice bytes, struct kv_command *ret_command); /* ST_PROTOCOL */
int kv_result_decode(struct slice bytes, struct kv_result *ret_result);    /* ST_PROTOCOL */

/* The key's bytes, sorted as the numbers are. */
static inline struct slice kv_key(uint64_t key, uint8_t bytes[KV_KEY_BYTES])
{
    for (unsigned i = 0; i < KV_KEY_BYTES; i++)
        bytes[i] = (uint8_t)(key >> (56 - 8 * i));
    return slice_make(bytes, KV_KEY_BYTES);
}
