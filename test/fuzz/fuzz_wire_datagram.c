/* Packets of members from somebody who has the secret: all but the messages' bytes is put right,
 * unless the input's first byte says otherwise. What is accepted must encode to the same bytes. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/status.h"
#include "wire/member_samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_messages(struct slice left, struct wire_refusals *refusals)
{
    BUFFER_AUTO struct buffer again = {0};
    struct slice before = left;
    struct member_message m;
    bool skipped = false;
    int st;
    while ((st = member_message_decode(&left, refusals, &m)) == 0 || st == ST_UNSUPPORTED) {
        if (st == 0)
            member_message_encode(&again, &m);
        skipped |= st != 0;
    }
    CHECK(st == ST_NOTFOUND || st == ST_PROTOCOL);
    if (st == ST_NOTFOUND && !skipped)
        CHECK(slice_equal(before, buffer_slice(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    BUFFER_AUTO struct buffer packet = {0};
    struct test_mac mac = test_mac(1);
    buffer_append(&packet, data + 1, size - 1);
    if ((data[0] & 1) != 0 && packet.len >= DATAGRAM_OVERHEAD_BYTES &&
        packet.len <= DATAGRAM_STREAM_BYTES_MAX) {
        memcpy(packet.data, "TORM\1\0", 6);
        size_t sealed = packet.len - DATAGRAM_MAC_BYTES;
        bytes_put_u16(packet.data + 6, (uint16_t)(packet.len - DATAGRAM_OVERHEAD_BYTES));
        mac.mac.compute(&mac.mac, slice_make(packet.data, sealed), packet.data + sealed);
    }
    struct wire_refusals refusals = {0};
    struct datagram d;
    int st = datagram_open(buffer_slice(&packet), &mac.mac, &refusals, &d);
    uint64_t refused = 0;
    for (int i = 0; i < WIRE_REFUSALS; i++)
        refused += refusals.counts[i];
    CHECK(refused == (st < 0));
    if (st == 0)
        read_messages(d.messages, &refusals);
    return 0;
}
