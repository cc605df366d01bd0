/* Records, operations and row keys from disk: nothing there may overrun, and what is accepted is
 * the one encoding of what it says. */
#include "base/check.h"
#include "base/status.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_bytes(struct buffer *encoded, struct slice from)
{
    CHECK(slice_equal(buffer_slice(encoded), from));
    buffer_clear(encoded);
}

/* Reads what a slice claims to hold, so that the sanitizer sees it. */
static void touch(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        (void)*(const volatile uint8_t *)&s.data[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BUFFER_AUTO struct buffer encoded = {0};
    struct slice all = slice_make(data, size);
    struct record record;
    if (record_decode(all, &record) == ST_OK) {
        touch(record.value);
        touch(record.versions);
        record_encode(&encoded, &record);
        same_bytes(&encoded, all);
    }

    struct slice payload = all;
    struct record_op op;
    int st;
    for (;;) {
        struct slice before = payload;
        st = record_op_decode(&payload, &op);
        if (st != ST_OK) {
            CHECK(slice_equal(before, payload));
            break;
        }
        touch(op.key.bytes);
        touch(op.record.value);
        touch(op.record.versions);
        CHECK(payload.len < before.len);
        record_op_encode(&encoded, &op);
        same_bytes(&encoded, slice_make(before.data, before.len - payload.len));
    }
    CHECK(st == ST_CORRUPT || st == ST_VERSION || (st == ST_NOTFOUND && payload.len == 0));

    uint16_t partition;
    uint32_t generation, keyspace;
    struct slice key;
    if (row_key_decode(all, &partition, &generation, &keyspace, &key) == ST_OK) {
        row_key_encode(&encoded, partition, generation, keyspace, key);
        same_bytes(&encoded, all);
    }
    return 0;
}
