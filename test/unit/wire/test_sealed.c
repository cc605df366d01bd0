/* Sealed records of a link: their bytes, their order, and each reason to end the link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "wire/member_samples.h"
#include "wire/sealed.h"

static size_t seal(struct sealed *s, uint8_t *record, enum sealed_kind kind, const char *payload)
{
    size_t len = strlen(payload);
    memcpy(record + SEALED_HEADER_BYTES, payload, len);
    sealed_close(s, record, kind, len);
    return SEALED_OVERHEAD_BYTES + len;
}

static void expect(struct sealed *s, struct slice record, int st, enum wire_refusal why)
{
    struct wire_refusals refusals = {0};
    uint64_t before = s->counter;
    uint8_t kind = 99;
    struct slice payload = {0};
    assert_int_equal(sealed_open(s, record, &refusals, &kind, &payload), st);
    for (int i = 0; i < WIRE_REFUSALS; i++)
        assert_int_equal(refusals.counts[i], i == (int)why);
    assert_int_equal(s->counter, before);
    assert_int_equal(kind, 99);
}

static void test_golden(void **state)
{
    static const uint8_t expected[] = {
        5, 0, 0, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o',
    };
    struct test_mac mac = test_mac(42);
    struct sealed s = {.mac = &mac.mac, .counter = 7};
    uint8_t record[64], tag[DATAGRAM_MAC_BYTES];
    assert_int_equal(seal(&s, record, SEALED_FRAME, "hello"), sizeof(expected) + sizeof(tag));
    assert_memory_equal(record, expected, sizeof(expected));
    test_mac_compute(&mac.mac, slice_make(expected, sizeof(expected)), tag);
    assert_memory_equal(record + sizeof(expected), tag, sizeof(tag));
    assert_int_equal(s.counter, 8);
}

static void test_order(void **state)
{
    struct test_mac mac = test_mac(42);
    struct sealed out = {.mac = &mac.mac}, in = {.mac = &mac.mac};
    uint8_t first[64], second[64], kind;
    struct slice payload;
    struct slice a = slice_make(first, seal(&out, first, SEALED_PING, ""));
    struct slice b = slice_make(second, seal(&out, second, SEALED_FRAME, "hello"));
    expect(&in, b, ST_DENIED, WIRE_REFUSED_REPLAY); /* one was left out */
    assert_int_equal(sealed_open(&in, a, NULL, &kind, &payload), 0);
    assert_int_equal(kind, SEALED_PING);
    assert_int_equal(payload.len, 0);
    expect(&in, a, ST_DENIED, WIRE_REFUSED_REPLAY); /* one came twice */
    assert_int_equal(sealed_open(&in, b, NULL, &kind, &payload), 0);
    assert_int_equal(kind, SEALED_FRAME);
    assert_true(slice_equal(payload, slice_str("hello")));
    struct test_mac back = test_mac(43); /* the other direction's */
    struct sealed other = {.mac = &back.mac};
    expect(&other, a, ST_DENIED, WIRE_REFUSED_MAC);
}

static void test_refusals(void **state)
{
    struct test_mac mac = test_mac(42);
    struct sealed out = {.mac = &mac.mac}, in = {.mac = &mac.mac};
    uint8_t bytes[64];
    struct slice record = slice_make(bytes, seal(&out, bytes, SEALED_FRAME, "hello"));
    size_t len;
    for (size_t n = 0; n < record.len; n++) {
        uint8_t *copy = mem_dup(bytes, n);
        assert_int_equal(sealed_length(slice_make(copy, n), NULL, &len),
                         n < SEALED_HEADER_BYTES ? ST_AGAIN : 0);
        expect(&in, slice_make(copy, n), ST_PROTOCOL, WIRE_REFUSED_LENGTH);
        free(copy);
    }
    for (size_t bit = 0; bit < 8 * record.len; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect(&in, record, bit < 32 ? ST_PROTOCOL : ST_DENIED,
               bit < 32 ? WIRE_REFUSED_LENGTH : WIRE_REFUSED_MAC);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    bytes_put_u32(bytes, SEALED_PAYLOAD_MAX + 1);
    assert_int_equal(sealed_length(record, NULL, &len), ST_PROTOCOL);
    bytes_put_u32(bytes, SEALED_PAYLOAD_MAX);
    assert_int_equal(sealed_length(record, NULL, &len), 0);
    assert_int_equal(len, SEALED_PAYLOAD_MAX + SEALED_OVERHEAD_BYTES);
    bytes_put_u32(bytes, 5);
    for (int i = 5; i < 8; i++) { /* zeros that are not, sealed */
        bytes[i] = 1;
        test_mac_compute(&mac.mac, slice_make(bytes, 21), bytes + 21);
        expect(&in, record, ST_PROTOCOL, WIRE_REFUSED_FLAGS);
        bytes[i] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
