/* Encoders and decoders of cluster_commands.def. */
#include "node/cluster_command.h"

#include "base/check.h"
#include "base/status.h"
#include "node/cluster_reader.h"

#define COMMAND_FORMAT 1
#define RESULT_FORMAT  1

const char *cluster_command_name(uint8_t code)
{
    switch (code) {
#define X(number, NAME, name) \
    case number:              \
        return #name;
        CLUSTER_COMMAND_TABLE(X)
#undef X
    default:
        return NULL;
    }
}

/* --- encoding --- */

#define put_u8  buffer_append_u8
#define put_u16 buffer_append_u16
#define put_u32 buffer_append_u32
#define put_u64 buffer_append_u64

static void put_text(struct buffer *out, struct slice text)
{
    CHECK(text.len <= UINT16_MAX);
    put_u16(out, (uint16_t)text.len);
    buffer_append_slice(out, text);
}

static void put_nodes(struct buffer *out, struct cluster_nodes nodes)
{
    CHECK(nodes.count <= RING_REPLICAS_MAX);
    put_u8(out, nodes.count);
    for (unsigned i = 0; i < nodes.count; i++)
        put_u64(out, nodes.list[i]);
}

static void put_places(struct buffer *out, struct cluster_places places)
{
    CHECK(places.count <= CLUSTER_PLACES_MAX);
    put_u16(out, places.count);
    buffer_append_slice(out, places.bytes);
}

#define F(type, field) put_##type(out, c->field);
#define X(number, NAME, name)                                                     \
    static void encode_##name(struct buffer *out, const struct cluster_##name *c) \
    {                                                                             \
        CLUSTER_FIELDS_##NAME(F)                                                  \
    }
CLUSTER_COMMAND_TABLE(X)
#undef X
#undef F

void cluster_command_encode(struct buffer *out, const struct cluster_command *c)
{
    CHECK(cluster_command_name(c->code) != NULL);
    put_u8(out, COMMAND_FORMAT);
    put_u8(out, c->code);
    switch (c->code) {
#define X(number, NAME, name)         \
    case number:                      \
        encode_##name(out, &c->name); \
        break;
        CLUSTER_COMMAND_TABLE(X)
#undef X
    }
}

void cluster_places_add(struct buffer *bytes, struct cluster_places *places, uint16_t partition,
                        const struct cluster_nodes *nodes)
{
    put_u16(bytes, partition);
    put_nodes(bytes, *nodes);
    places->count++;
    places->bytes = buffer_slice(bytes);
}

/* --- decoding --- */

#define get_u8   cluster_get_u8
#define get_u16  cluster_get_u16
#define get_u32  cluster_get_u32
#define get_u64  cluster_get_u64
#define get_text cluster_get_text

static struct cluster_nodes get_nodes(struct cluster_reader *r)
{
    struct cluster_nodes nodes = {.count = get_u8(r)};
    if (nodes.count > RING_REPLICAS_MAX) {
        r->failed = true;
        nodes.count = 0;
    }
    for (unsigned i = 0; i < nodes.count; i++)
        nodes.list[i] = get_u64(r);
    return nodes;
}

static struct cluster_places get_places(struct cluster_reader *r)
{
    struct cluster_places places = {.count = get_u16(r), .bytes = r->left};
    if (places.count > CLUSTER_PLACES_MAX)
        r->failed = true;
    for (unsigned i = 0; i < places.count && !r->failed; i++) {
        get_u16(r);
        get_nodes(r);
    }
    places.bytes.len -= r->left.len;
    return places;
}

#define F(type, field) c->field = get_##type(r);
#define X(number, NAME, name)                                                     \
    static void decode_##name(struct cluster_reader *r, struct cluster_##name *c) \
    {                                                                             \
        CLUSTER_FIELDS_##NAME(F)                                                  \
    }
CLUSTER_COMMAND_TABLE(X)
#undef X
#undef F

int cluster_command_decode(struct slice bytes, struct cluster_command *ret_command)
{
    struct cluster_reader r = {.left = bytes};
    uint8_t format = get_u8(&r);
    struct cluster_command c = {.code = get_u8(&r)};
    if (r.failed)
        return ST_PROTOCOL;
    if (format != COMMAND_FORMAT)
        return ST_VERSION;
    switch (c.code) {
#define X(number, NAME, name)       \
    case number:                    \
        decode_##name(&r, &c.name); \
        break;
        CLUSTER_COMMAND_TABLE(X)
#undef X
    default:
        return ST_UNSUPPORTED;
    }
    if (r.failed || r.left.len > 0)
        return ST_PROTOCOL;
    *ret_command = c;
    return 0;
}

bool cluster_places_next(struct cluster_places *places, uint16_t *ret_partition,
                         struct cluster_nodes *ret_nodes)
{
    if (places->count == 0)
        return false;
    struct cluster_reader r = {.left = places->bytes};
    *ret_partition = get_u16(&r);
    *ret_nodes = get_nodes(&r);
    CHECK(!r.failed); /* decoding has walked them */
    places->bytes = r.left;
    places->count--;
    return true;
}

/* --- results --- */

void cluster_result_encode(struct buffer *out, const struct cluster_result *result)
{
    CHECK(result->st <= 0 && result->st >= -UINT8_MAX);
    put_u8(out, RESULT_FORMAT);
    put_u8(out, 0);
    put_u16(out, (uint16_t)-result->st);
    put_u64(out, result->epoch);
    put_u64(out, result->value);
    put_text(out, slice_str(result->why));
}

int cluster_result_decode(struct slice bytes, struct cluster_result *ret_result)
{
    struct cluster_reader r = {.left = bytes};
    uint8_t format = get_u8(&r), zero = get_u8(&r);
    if (r.failed)
        return ST_PROTOCOL;
    if (format != RESULT_FORMAT)
        return ST_VERSION;
    struct cluster_result result = {.st = -(int)get_u16(&r)};
    result.epoch = get_u64(&r);
    result.value = get_u64(&r);
    struct slice why = get_text(&r);
    if (r.failed || r.left.len > 0 || zero != 0 || result.st < -UINT8_MAX ||
        why.len > CLUSTER_WHY_BYTES_MAX || (why.len > 0 && memchr(why.data, 0, why.len) != NULL))
        return ST_PROTOCOL;
    if (why.len > 0)
        memcpy(result.why, why.data, why.len);
    *ret_result = result;
    return 0;
}
