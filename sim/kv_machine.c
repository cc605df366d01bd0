#include "sim/kv_machine.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/planted.h"
#include "base/status.h"

#define COMMAND_HEAD_BYTES 41
#define RESULT_BYTES       9
#define VALUE_HEAD_BYTES   24
#define VALUE_CRC_BYTES    4

/* --- bytes --- */

static void pad(struct buffer *out, uint64_t op, uint32_t bytes)
{
    uint8_t *to = buffer_reserve(out, bytes);
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)((op * 31 + i) >> (i % 8));
    out->len += bytes;
}

void kv_command_encode(struct buffer *out, const struct kv_command *command)
{
    CHECK(command->pad_bytes <= KV_PAD_BYTES_MAX);
    buffer_append_u8(out, command->kind);
    buffer_append_u64(out, command->op);
    buffer_append_u64(out, command->key);
    buffer_append_u64(out, (uint64_t)command->arg);
    buffer_append_u64(out, (uint64_t)command->expected);
    buffer_append_u64(out, command->ttl_ms);
    pad(out, command->op, command->pad_bytes);
}

int kv_command_decode(struct slice bytes, struct kv_command *ret_command)
{
    if (bytes.len < COMMAND_HEAD_BYTES || bytes.len - COMMAND_HEAD_BYTES > KV_PAD_BYTES_MAX)
        return ST_PROTOCOL;
    if (bytes.data[0] >= LINEAR_KINDS)
        return ST_PROTOCOL;
    *ret_command = (struct kv_command){
        .kind = bytes.data[0],
        .op = bytes_get_u64(bytes.data + 1),
        .key = bytes_get_u64(bytes.data + 9),
        .arg = (int64_t)bytes_get_u64(bytes.data + 17),
        .expected = (int64_t)bytes_get_u64(bytes.data + 25),
        .ttl_ms = bytes_get_u64(bytes.data + 33),
        .pad_bytes = (uint32_t)(bytes.len - COMMAND_HEAD_BYTES),
    };
    return 0;
}

static void result_encode(struct buffer *out, const struct kv_result *result)
{
    buffer_append_u8(out, result->outcome);
    buffer_append_u64(out, (uint64_t)result->value);
}

int kv_result_decode(struct slice bytes, struct kv_result *ret_result)
{
    if (bytes.len != RESULT_BYTES)
        return ST_PROTOCOL;
    *ret_result = (struct kv_result){
        .outcome = bytes.data[0],
        .value = (int64_t)bytes_get_u64(bytes.data + 1),
    };
    return 0;
}

static void value_encode(struct buffer *out, const struct kv_command *command, int64_t value)
{
    size_t begin = out->len;
    buffer_append_u64(out, command->key);
    buffer_append_u64(out, command->op);
    buffer_append_u64(out, (uint64_t)value);
    pad(out, command->op, command->pad_bytes);
    buffer_append_u32(out, crc32c(0, out->data + begin, out->len - begin));
}

const char *kv_value_read(uint64_t key, struct slice value, int64_t *ret_value)
{
    if (value.len < VALUE_HEAD_BYTES + VALUE_CRC_BYTES)
        return "short";
    size_t covered = value.len - VALUE_CRC_BYTES;
    if (crc32c(0, value.data, covered) != bytes_get_u32(value.data + covered))
        return "damaged";
    if (bytes_get_u64(value.data) != key)
        return "of another key";
    *ret_value = (int64_t)bytes_get_u64(value.data + 16);
    return NULL;
}

/* --- the machine --- */

static struct key machine_key(const struct group_apply *apply, uint64_t key,
                              uint8_t bytes[KV_KEY_BYTES])
{
    return group_key(apply->group, KV_KEYSPACE, kv_key(key, bytes));
}

static void prepare(struct group_machine *machine, struct group_apply *apply, struct slice bytes)
{
    struct kv_command command;
    if (kv_command_decode(bytes, &command) < 0)
        return;
    uint8_t name[KV_KEY_BYTES];
    struct key key = machine_key(apply, command.key, name);
    group_need(apply, &key);
}

static void store(struct group_apply *apply, const struct key *key,
                  const struct kv_command *command, int64_t value)
{
    BUFFER_AUTO struct buffer bytes = {0};
    value_encode(&bytes, command, value);
    uint64_t expire_ms = command->ttl_ms == 0 ? 0 : apply->now_ms + command->ttl_ms;
    group_put(apply, key, buffer_slice(&bytes), expire_ms);
}

static int64_t execute(struct group_apply *apply, const struct key *key,
                       const struct kv_command *command, int64_t before)
{
    switch (command->kind) {
    case LINEAR_WRITE:
        store(apply, key, command, command->arg);
        return 0;
    case LINEAR_DELETE:
        if (before != LINEAR_ABSENT)
            group_delete(apply, key);
        return before != LINEAR_ABSENT;
    case LINEAR_CAS:
        if (before != command->expected)
            return 0;
        store(apply, key, command, command->arg);
        return 1;
    case LINEAR_INCR: {
        int64_t after = (before == LINEAR_ABSENT ? 0 : before) + command->arg;
        store(apply, key, command, after);
        /* The canary: every run with a thousand operations must fail. */
        if (PLANTED_TOY(toy_raft_canary) && command->op % 16 == 0)
            return after + 1;
        return after;
    }
    default:
        return before;
    }
}

static void apply_bytes(struct group_machine *machine, struct group_apply *apply,
                        struct slice bytes, struct buffer *out)
{
    struct kv_machine *m = container_of(machine, struct kv_machine, base);
    struct kv_command command;
    struct kv_result result = {0};
    if (kv_command_decode(bytes, &command) < 0) {
        result.outcome = KV_MALFORMED;
        result_encode(out, &result);
        return;
    }
    uint8_t name[KV_KEY_BYTES];
    struct key key = machine_key(apply, command.key, name);
    struct record record;
    int64_t before = LINEAR_ABSENT;
    const char *wrong = NULL;
    if (group_get(apply, &key, &record) == 0)
        wrong = kv_value_read(command.key, record.value, &before);
    if (wrong != NULL) {
        result.outcome = KV_DAMAGED;
        if (m->watch.damaged != NULL)
            m->watch.damaged(m->watch.ctx, apply->group, command.key, wrong);
    } else {
        result.value = execute(apply, &key, &command, before);
    }
    result_encode(out, &result);
    if (m->watch.applied != NULL)
        m->watch.applied(m->watch.ctx, apply, &command, before, &result);
}

void kv_machine_init(struct kv_machine *m, const struct kv_watch *watch)
{
    *m = (struct kv_machine){
        .base = {.prepare = prepare, .apply = apply_bytes},
        .watch = watch == NULL ? (struct kv_watch){0} : *watch,
    };
}
