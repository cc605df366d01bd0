/* Messages of members: their bytes, and each way to be none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/status.h"
#include "wire/member_samples.h"

static void test_golden(void **state)
{
    static const uint8_t expected[] = {
        1,    0,   8,   0,   8,    7,    6,   5,   4,    3,   2,   1, /* ping */
        2,    0,   16,  0,   0x11, 0,    0,   0,   0,    0,   0,   0, /* ping-req */
        0x22, 0,   0,   0,   0,    0,    0,   0,                      /* target */
        3,    0,   16,  0,   0x33, 0,    0,   0,   0,    0,   0,   0, /* ack */
        0x44, 0,   0,   0,   0,    0,    0,   0,                      /* wall_ms */
        4,    0,   8,   0,   0x55, 0,    0,   0,   0,    0,   0,   0, /* nack */
        5,    0,   62,  0,   3,    0,    0,   0,   0,    0,   0,   0, /* alive */
        0x66, 0,   0,   0,   0,    0,    0,   0,   0x77, 0,   0,   0,   0,   0,
        0,    0,                                                                  /* boot, nonce */
        9,    0,   0,   0,   0,    0,    0,   0,   1,    0,   2,   0,             /* incarnation */
        13,   '1', '0', '.', '0',  '.',  '0', '.', '3',  ':', '7', '4', '0', '1', /* address */
        4,    'e', 'a', 's', 't',  6,    'l', 'o', 'a',  'd', '=', '7',           /* zone, meta */
        6,    0,   32,  0,   3,    0,    0,   0,   0,    0,   0,   0,             /* suspect */
        0x66, 0,   0,   0,   0,    0,    0,   0,                                  /* boot */
        9,    0,   0,   0,   0,    0,    0,   0,   4,    0,   0,   0,   0,   0,
        0,    0,                                                      /* by */
        7,    0,   32,  0,   3,    0,    0,   0,   0,    0,   0,   0, /* dead */
        0x66, 0,   0,   0,   0,    0,    0,   0,                      /* boot */
        9,    0,   0,   0,   0,    0,    0,   0,   4,    0,   0,   0,   0,   0,
        0,    0,                                                           /* by */
        8,    0,   9,   0,   2,    0x88, 0,   0,   0,    0,   0,   0,   0, /* sync */
        9,    0,   1,   0,   1,                                            /* refuse */
    };
    struct member_message samples[MEMBER_SAMPLES], m;
    BUFFER_AUTO struct buffer out = {0}, again = {0};
    member_samples(samples);
    for (size_t i = 0; i < MEMBER_SAMPLES; i++)
        member_message_encode(&out, &samples[i]);
    assert_int_equal(out.len, sizeof(expected));
    assert_memory_equal(out.data, expected, sizeof(expected));
    struct slice left = buffer_slice(&out);
    for (size_t i = 0; i < MEMBER_SAMPLES; i++) {
        assert_int_equal(member_message_decode(&left, NULL, &m), 0);
        assert_int_equal(m.code, i + 1);
        member_message_encode(&again, &m);
    }
    assert_int_equal(member_message_decode(&left, NULL, &m), ST_NOTFOUND);
    assert_memory_equal(again.data, expected, sizeof(expected));
}

static void test_every_truncation(void **state)
{
    struct member_message samples[MEMBER_SAMPLES], m = {.code = 77};
    member_samples(samples);
    for (size_t i = 0; i < MEMBER_SAMPLES; i++) {
        BUFFER_AUTO struct buffer out = {0};
        member_message_encode(&out, &samples[i]);
        for (size_t len = 1; len < out.len; len++) {
            uint8_t *copy = mem_dup(out.data, len);
            struct slice cut = slice_make(copy, len);
            assert_int_equal(member_message_decode(&cut, NULL, &m), ST_PROTOCOL);
            if (len >= 4) { /* the same with a length that agrees */
                bytes_put_u16(copy + 2, (uint16_t)(len - 4));
                assert_int_equal(member_message_decode(&cut, NULL, &m), ST_PROTOCOL);
            }
            assert_int_equal(cut.len, len);
            free(copy);
        }
    }
    assert_int_equal(m.code, 77);
}

static void expect(const struct member_message *m, enum wire_refusal why)
{
    BUFFER_AUTO struct buffer out = {0};
    struct wire_refusals refusals = {0};
    struct member_message got;
    member_message_encode(&out, m);
    struct slice left = buffer_slice(&out);
    assert_int_equal(member_message_decode(&left, &refusals, &got), ST_PROTOCOL);
    assert_int_equal(refusals.counts[why], 1);
}

static void test_values(void **state)
{
    static const uint8_t zeros[MEMBER_META_BYTES_MAX];
    struct member_message samples[MEMBER_SAMPLES], m;
    member_samples(samples);
#define BAD(index, assignment, why)     \
    do {                                \
        m = samples[index];             \
        m.assignment;                   \
        expect(&m, WIRE_REFUSED_##why); \
    } while (0)
    BAD(1, ping_req.target = 0, SOURCE);
    BAD(4, alive.node = 0, SOURCE);
    BAD(4, alive.boot = 0, SOURCE);
    BAD(4, alive.incarnation = MEMBER_INCARNATION_MAX + 1, VALUE);
    BAD(4, alive.version_min = 0, VALUE);
    BAD(4, alive.version_min = 3, VALUE);
    BAD(4, alive.address.len = 0, LENGTH);
    BAD(4, alive.address = slice_make(zeros, MEMBER_ADDRESS_BYTES_MAX + 1), LENGTH);
    BAD(4, alive.zone = slice_make(zeros, MEMBER_ZONE_BYTES_MAX + 1), LENGTH);
    BAD(5, suspect.node = 0, SOURCE);
    BAD(5, suspect.by = 0, SOURCE);
    BAD(5, suspect.incarnation = UINT64_MAX, VALUE);
    BAD(6, dead.boot = 0, SOURCE);
    BAD(6, dead.by = 0, SOURCE);
    BAD(7, sync.flags = 4, VALUE);
    BAD(8, refuse.reason = 0, VALUE);
#undef BAD
}

static void test_heads(void **state)
{
    uint8_t unknown[] = {200, 0, 2, 0, 1, 2, 4, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    struct slice left = slice_make(unknown, sizeof(unknown));
    struct wire_refusals refusals = {0};
    struct member_message m;
    assert_int_equal(member_message_decode(&left, &refusals, &m), ST_UNSUPPORTED);
    assert_int_equal(refusals.counts[WIRE_REFUSED_CODE], 1);
    assert_int_equal(member_message_decode(&left, &refusals, &m), 0);
    assert_int_equal(m.nack.sequence, 1);
    unknown[1] = 1;
    left = slice_make(unknown, sizeof(unknown));
    assert_int_equal(member_message_decode(&left, &refusals, &m), ST_PROTOCOL);
}

static void test_names(void **state)
{
    assert_string_equal(member_message_name(MEMBER_MESSAGE_PING_REQ), "ping_req");
    assert_null(member_message_name(0));
    assert_string_equal(member_refusal_name(MEMBER_REFUSED_DUPLICATE), "duplicate_id");
    assert_null(member_refusal_name(99));
    assert_string_equal(member_refusal_text(99), "unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_values), cmocka_unit_test(test_heads),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
