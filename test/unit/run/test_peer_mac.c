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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_differ),
        cmocka_unit_test(test_seals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
