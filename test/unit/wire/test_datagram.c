/* Sealed packets: their bytes, each reason to refuse one, and the replay window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "wire/frame.h"
#include "wire/member_samples.h"

static const struct datagram_head head = {.version = WIRE_VERSION,
                                          .cluster = 0xc1c2c3c4c5c6c7c8,
                                          .from = 3,
                                          .to = 9,
                                          .boot = 0x31,
                                          .to_boot = 0x91,
                                          .nonce = 0x3131,
                                          .counter = 5,
                                          .stamp = 0x0102030405060708,
                                          .epoch = 12};

static struct slice sample(struct buffer *out, const struct datagram_head *with, uint64_t key)
{
    struct member_message samples[MEMBER_SAMPLES];
    struct test_mac mac = test_mac(key);
    member_samples(samples);
    size_t start = datagram_begin(out);
    for (size_t i = 0; i < MEMBER_SAMPLES; i++)
        member_message_encode(out, &samples[i]);
    return datagram_seal(out, start, with, &mac.mac);
}

static void expect(struct slice bytes, int st, enum wire_refusal why)
{
    struct test_mac mac = test_mac(42);
    struct wire_refusals refusals = {0};
    struct datagram d = {.head.from = 77};
    assert_int_equal(datagram_open(bytes, &mac.mac, &refusals, &d), st);
    for (int i = 0; i < WIRE_REFUSALS; i++)
        assert_int_equal(refusals.counts[i], i == (int)why);
    assert_int_equal(d.head.from, 77);
}

static void test_golden(void **state)
{
    static const uint8_t expected[] = {
        'T',  'O',  'R',  'M',  1,    0,    12,   0,    /* magic, version, length */
        0xc8, 0xc7, 0xc6, 0xc5, 0xc4, 0xc3, 0xc2, 0xc1, /* cluster */
        3,    0,    0,    0,    0,    0,    0,    0,    9,    0, 0, 0,
        0,    0,    0,    0, /* from, to */
        0x31, 0,    0,    0,    0,    0,    0,    0,    0x91, 0, 0, 0,
        0,    0,    0,    0, /* boots */
        0x31, 0x31, 0,    0,    0,    0,    0,    0,    5,    0, 0, 0,
        0,    0,    0,    0, /* counter */
        8,    7,    6,    5,    4,    3,    2,    1,    12,   0, 0, 0,
        0,    0,    0,    0,                                           /* stamp, epoch */
        4,    0,    8,    0,    7,    0,    0,    0,    0,    0, 0, 0, /* nack */
    };
    BUFFER_AUTO struct buffer out = {0};
    struct member_message m = {.code = MEMBER_MESSAGE_NACK, .nack = {7}};
    struct test_mac mac = test_mac(42);
    size_t start = datagram_begin(&out);
    member_message_encode(&out, &m);
    struct slice bytes = datagram_seal(&out, start, &head, &mac.mac);
    assert_int_equal(bytes.len, sizeof(expected) + DATAGRAM_MAC_BYTES);
    assert_memory_equal(bytes.data, expected, sizeof(expected));
    uint8_t tag[DATAGRAM_MAC_BYTES];
    test_mac_compute(&mac.mac, slice_make(expected, sizeof(expected)), tag);
    assert_memory_equal(bytes.data + sizeof(expected), tag, sizeof(tag));
}

static void test_round_trip(void **state)
{
    BUFFER_AUTO struct buffer out = {0};
    buffer_append_str(&out, "before"); /* packets may stand behind something */
    struct slice bytes = sample(&out, &head, 42);
    struct test_mac mac = test_mac(42);
    struct datagram d;
    struct member_message m;
    size_t length;
    assert_int_equal(datagram_length(bytes, NULL, &length), 0);
    assert_int_equal(length, bytes.len);
    assert_int_equal(datagram_open(bytes, &mac.mac, NULL, &d), 0);
    assert_memory_equal(&d.head.cluster, &head.cluster, sizeof(head) - 8);
    assert_true(d.spoken);
    for (int i = 1; i <= MEMBER_SAMPLES; i++) {
        assert_int_equal(member_message_decode(&d.messages, NULL, &m), 0);
        assert_int_equal(m.code, i);
    }
    assert_int_equal(member_message_decode(&d.messages, NULL, &m), ST_NOTFOUND);
}

static void test_versions(void **state)
{
    static const struct {
        uint16_t version;
        bool spoken;
    } rows[] = {{0, false},
                {WIRE_VERSION, true},
                {WIRE_VERSION_NEXT, true},
                {WIRE_VERSION_NEXT + 1, false},
                {UINT16_MAX, false}};
    struct test_mac mac = test_mac(42);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        BUFFER_AUTO struct buffer out = {0};
        struct datagram_head h = head;
        struct datagram d;
        h.version = rows[i].version;
        assert_int_equal(datagram_open(sample(&out, &h, 42), &mac.mac, NULL, &d), 0);
        assert_int_equal(d.head.version, rows[i].version);
        assert_int_equal(d.spoken, rows[i].spoken);
        assert_int_equal(d.messages.len > 0, rows[i].spoken);
    }
}

static void test_refusals(void **state)
{
    BUFFER_AUTO struct buffer out = {0}, other = {0};
    struct slice bytes = sample(&out, &head, 42);
    expect(sample(&other, &head, 43), ST_DENIED, WIRE_REFUSED_MAC);
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *copy = mem_dup(bytes.data, len);
        expect(slice_make(copy, len), ST_PROTOCOL, WIRE_REFUSED_LENGTH);
        free(copy);
    }
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool magic = bit < 32, length = bit >= 48 && bit < 64;
        expect(bytes, magic || length ? ST_PROTOCOL : ST_DENIED,
               magic    ? WIRE_REFUSED_MAGIC
               : length ? WIRE_REFUSED_LENGTH
                        : WIRE_REFUSED_MAC);
        out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    static const size_t zeros[] = {offsetof(struct datagram_head, from),
                                   offsetof(struct datagram_head, boot),
                                   offsetof(struct datagram_head, counter)};
    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++) {
        BUFFER_AUTO struct buffer bad = {0};
        struct datagram_head h = head;
        memset((char *)&h + zeros[i], 0, 8);
        expect(sample(&bad, &h, 42), ST_PROTOCOL, WIRE_REFUSED_SOURCE);
    }
}

static void test_window(void **state)
{
    struct datagram_window w = {0};
    assert_true(datagram_window_take(&w, 5));
    assert_false(datagram_window_take(&w, 5));
    assert_true(datagram_window_take(&w, 3));
    assert_true(datagram_window_take(&w, 5 + DATAGRAM_WINDOW - 3));
    assert_false(datagram_window_take(&w, 3));
    assert_true(datagram_window_take(&w, 4));
    assert_false(datagram_window_take(&w, 2)); /* too old, though never seen */
    assert_true(datagram_window_take(&w, UINT64_MAX));
    assert_false(datagram_window_take(&w, 6));
    assert_true(datagram_window_take(&w, UINT64_MAX - DATAGRAM_WINDOW + 1));
    assert_false(datagram_window_take(&w, UINT64_MAX - DATAGRAM_WINDOW));
}

/* Against the plain model: a set, and the newest. */
static void test_window_random(void **state)
{
    enum { COUNTERS = 400000 };
    static bool seen[COUNTERS];
    struct prng prng = prng_make(7);
    struct datagram_window w = {0};
    uint64_t newest = 0, taken = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t c = newest + prng_below(&prng, 60);
        c = c > 40 ? c - 40 : 1;
        if (prng_below(&prng, 50) == 0)
            c += prng_below(&prng, 400);
        if (prng_below(&prng, 20) == 0)
            c = c > 400 ? c - prng_below(&prng, 400) : c;
        if (c == 0 || c >= COUNTERS)
            continue;
        bool fresh = !seen[c] && (c > newest || newest - c < DATAGRAM_WINDOW);
        assert_int_equal(datagram_window_take(&w, c), fresh);
        taken += fresh;
        seen[c] |= fresh;
        newest = c > newest ? c : newest;
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_versions), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_window),   cmocka_unit_test(test_window_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
