/* Frames from hostile peers. The checksum is made right first, and mostly cluster and destination
 * too, or nothing random would come so far as to be read. The input's first byte says what is put
 * right. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/status.h"
#include "wire/frame.h"

#define CLUSTER 0x1234
#define NODE    7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_right(uint8_t *frame, size_t len, uint8_t how)
{
    if (how & 1) {
        memcpy(frame, "TORC\1\0\0", 8);
        bytes_put_u32(frame + 48, (uint32_t)(len - FRAME_HEADER_BYTES));
        bytes_put_u32(frame + 56, 0);
    }
    if (how & 2) {
        bytes_put_u64(frame + 8, CLUSTER);
        bytes_put_u64(frame + 24, NODE);
    }
    if (how & 4) {
        uint32_t crc = crc32c(0, frame, 60);
        crc = crc32c(crc, frame + FRAME_HEADER_BYTES, len - FRAME_HEADER_BYTES);
        bytes_put_u32(frame + 60, crc);
    }
}

static void read_messages(struct frame *f, struct wire_refusals *refusals)
{
    struct frame_writer again = {0};
    struct slice before = f->messages;
    struct raft_message m;
    bool skipped = false;
    int st;
    while ((st = frame_next(f, refusals, &m)) == 0 || st == ST_UNSUPPORTED) {
        if (st == 0)
            frame_append(&again, &m);
        skipped |= st != 0;
    }
    CHECK(st == ST_NOTFOUND || st == ST_PROTOCOL);
    if (st == ST_NOTFOUND && !skipped) {
        struct slice frame = frame_finish(&again, &f->head);
        CHECK(frame.len == FRAME_HEADER_BYTES + before.len);
        CHECK(before.len == 0 ||
              memcmp(frame.data + FRAME_HEADER_BYTES, before.data, before.len) == 0);
    }
    frame_writer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    BUFFER_AUTO struct buffer frame = {0};
    buffer_append(&frame, data + 1, size - 1);
    if (frame.len >= FRAME_HEADER_BYTES)
        put_right(frame.data, frame.len, data[0]);
    struct wire_refusals refusals = {0};
    struct frame f;
    int st = frame_parse(buffer_slice(&frame), CLUSTER, NODE, &refusals, &f);
    uint64_t refused = 0;
    for (int i = 0; i < WIRE_REFUSALS; i++)
        refused += refusals.counts[i];
    CHECK(refused == (st < 0));
    if (st == 0)
        read_messages(&f, &refusals);
    return 0;
}
