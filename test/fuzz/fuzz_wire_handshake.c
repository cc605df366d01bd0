/* What comes over a link from somebody, with or without the secret: messages of a handshake in any
 * order, then records. The first byte says which role is played, and whether the input's proofs are
 * put right; without that nothing may come through. */
#include "base/check.h"
#include "base/status.h"
#include "wire/handshake_samples.h"
#include "wire/sealed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void prove(struct handshake *h, uint8_t *message, const struct datagram_mac *mac)
{
    uint8_t said[16 + 3 * HANDSHAKE_BYTES];
    size_t len = 16 + HANDSHAKE_BYTES;
    if (h->state == HANDSHAKE_PROOF) {
        memcpy(message, h->hello, 80);
        message[6] = 3;
        bytes_put_u64(message + 24, h->self.node);
        memcpy(said + len, h->answer, HANDSHAKE_BYTES);
        len += HANDSHAKE_BYTES;
    }
    memcpy(said, h->state == HANDSHAKE_PROOF ? "torc link proof " : "torc link answer", 16);
    memcpy(said + 16, h->hello, HANDSHAKE_BYTES);
    memcpy(said + len, message, 80);
    mac->compute(mac, slice_make(said, len + 80), message + 80);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct handshake_pair p;
    struct test_mac mac = test_mac(1);
    sample_begin(&p, &sample_dialer, 9, &sample_acceptor, 5);
    struct handshake *h = (data[0] & 1) != 0 ? &p.dialer : &p.acceptor;
    bool insider = (data[0] & 2) != 0;
    struct slice left = slice_make(data + 1, size - 1);
    while (h->state < HANDSHAKE_DONE && handshake_check(left) == 0) {
        uint8_t message[HANDSHAKE_BYTES], reply[HANDSHAKE_BYTES];
        bool has_reply;
        memcpy(message, left.data, HANDSHAKE_BYTES);
        left = slice_make(left.data + HANDSHAKE_BYTES, left.len - HANDSHAKE_BYTES);
        if (insider)
            prove(h, message, &mac.mac);
        int st = handshake_step(h, message, &mac.mac, reply, &has_reply);
        CHECK((st == ST_DENIED) == (h->state == HANDSHAKE_REFUSED));
        CHECK(st == 0 || st == ST_DENIED);
        CHECK(handshake_check(slice_make(reply, HANDSHAKE_BYTES)) == 0 || !has_reply);
    }
    CHECK(insider || h->state != HANDSHAKE_DONE);
    struct sealed s = {.mac = &mac.mac};
    size_t len;
    while (sealed_length(left, NULL, &len) == 0 && len <= left.len) {
        uint8_t kind;
        struct slice payload;
        struct wire_refusals refusals = {0};
        int st = sealed_open(&s, slice_make(left.data, len), &refusals, &kind, &payload);
        if (st < 0)
            break;
        CHECK(payload.len == len - SEALED_OVERHEAD_BYTES);
        left = slice_make(left.data + len, left.len - len);
    }
    return 0;
}
