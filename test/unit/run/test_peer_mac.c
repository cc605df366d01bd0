/* The MAC between peers: the same secret gives the same tag everywhere and for ever, another one
 * another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "run/peer_mac.h"
#include "wire/frame.h"
#include "wire/sealed.h"

static void tag(const char *secret, const char *text, uint8_t ret_tag[DATAGRAM_MAC_BYTES])
{
    struct peer_mac m;
    peer_mac_init(&m, slice_str(secret));
    m.mac.compute(&m.mac, slice_str(text), ret_tag);
    peer_mac_wipe(&m);
    static const uint8_t zeros[PEER_MAC_KEY_BYTES];
    assert_memory_equal(m.key, zeros, sizeof(zeros));
}

static void test_golden(void **state)
{
    /* Computed with Python's hashlib.blake2b. */
    static const uint8_t expected[DATAGRAM_MAC_BYTES] = {0xbf, 0x37, 0x6d, 0x19, 0x83, 0xff,
                                                         0x3b, 0x3b, 0x1b, 0x3b, 0x59, 0xf7,
                                                         0x42, 0xcc, 0xe1, 0x75};
    uint8_t got[DATAGRAM_MAC_BYTES];
    tag("secret", "message", got);
    assert_memory_equal(got, expected, sizeof(expected));
}

static void test_differ(void **state)
{
    uint8_t a[DATAGRAM_MAC_BYTES], b[DATAGRAM_MAC_BYTES];
    tag("secret", "message", a);
    tag("secreT", "message", b);
    assert_memory_not_equal(a, b, sizeof(a));
    tag("secret", "messagE", b);
    assert_memory_not_equal(a, b, sizeof(a));
    struct peer_mac m;
    peer_mac_init_handshake(&m, slice_str("secret"));
    m.mac.compute(&m.mac, slice_str("message"), b);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void test_seals(void **state)
{
    struct peer_mac ours, theirs;
    BUFFER_AUTO struct buffer out = {0};
    struct datagram_head head = {.version = WIRE_VERSION, .from = 1, .boot = 1, .counter = 1};
    struct datagram d;
    peer_mac_init(&ours, slice_str("secret"));
    peer_mac_init(&theirs, slice_str("other"));
    size_t start = datagram_begin(&out);
    struct slice packet = datagram_seal(&out, start, &head, &ours.mac);
    assert_int_equal(datagram_open(packet, &ours.mac, NULL, &d), 0);
    assert_int_equal(datagram_open(packet, &theirs.mac, NULL, &d), ST_DENIED);
}

/* Computed in Python from RFC 8439's description: ChaCha20 with the counter as the nonce, then
 * Poly1305. */
static void test_link(void **state)
{
    static const uint8_t expected[DATAGRAM_MAC_BYTES] = {0x87, 0x79, 0xdd, 0xbc, 0x7a, 0x25,
                                                         0xb2, 0x80, 0x12, 0x5b, 0x5b, 0xe8,
                                                         0x83, 0xf4, 0xa2, 0x86};
    uint8_t key[PEER_MAC_KEY_BYTES], record[SEALED_OVERHEAD_BYTES + 5];
    struct peer_mac m;
    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    peer_mac_init_link(&m, key);
    struct sealed s = {.mac = &m.mac, .counter = 6};
    for (int i = 0; i < 2; i++) {
        memcpy(record + SEALED_HEADER_BYTES, "hello", 5);
        sealed_close(&s, record, SEALED_FRAME, 5);
        if (i == 0)
            assert_memory_equal(record + sizeof(record) - 16, expected, 16);
        else
            assert_memory_not_equal(record + sizeof(record) - 16, expected, 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_differ),
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
