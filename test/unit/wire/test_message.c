/* Messages between peers: their bytes, and that nothing which can't be gets through. */
#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "wire/message_samples.h"

/* --- bytes --- */

/* The wire, as hexadecimal. What is written here once is never changed: older nodes read it. */
#define HEAD "04030201 1100000000000000 2200000000000000 0600000000000000 "
static const char *const golden[SAMPLES] = {
    "1000 0000 2d000000 " HEAD "02 0700000000000000 0500000000000000",
    "1100 0000 1e000000 " HEAD "01 01",
    "1200 0000 70000000 " HEAD
    "0700000000000000 0100000000000000 0600000000000000 9900000000000000 03000000 2c000000 "
    "0200000000000000 01 03000000 6f6e65 "
    "0200000000000000 00 00000000 "
    "0500000000000000 02 02000000 0102",
    "1300 0000 3d000000 " HEAD
    "01 0a00000000000000 0500000000000000 0700000000000000 9900000000000000",
    "1400 0000 2c000000 " HEAD "0600000000000000 9a00000000000000",
    "1500 0000 24000000 " HEAD "9a00000000000000",
    "1600 0000 50000000 " HEAD
    "0c00000000000000 0400000000000000 7700000000000000 03000000 636667 6400000000000000 01 "
    "04000000 726f7773 4d099baf",
    "1700 0000 35000000 " HEAD "02 0c00000000000000 7700000000000000 6800000000000000",
    "1800 0000 1c000000 " HEAD,
};

static void test_golden(void **state)
{
    BUFFER_AUTO struct buffer entries = {0};
    BUFFER_AUTO struct buffer out = {0};
    BUFFER_AUTO struct buffer hex = {0};
    struct raft_message samples[SAMPLES];
    message_samples(samples, &entries);
    for (size_t i = 0; i < SAMPLES; i++) {
        buffer_clear(&out);
        buffer_clear(&hex);
        message_encode(&out, &samples[i]);
        for (size_t j = 0; j < out.len; j++)
            buffer_printf(&hex, "%02x", out.data[j]);
        buffer_append_u8(&hex, 0);
        char expected[512];
        size_t len = 0;
        for (const char *c = golden[i]; *c != '\0'; c++)
            if (*c != ' ')
                expected[len++] = *c;
        expected[len] = '\0';
        assert_string_equal((char *)hex.data, expected);
    }
}

static void test_names(void **state)
{
    assert_string_equal(message_name(MESSAGE_APPEND), "append");
    assert_string_equal(message_name(24), "timeout_now");
    assert_null(message_name(15));
    assert_null(message_name(25));
    assert_string_equal(wire_refusal_name(WIRE_REFUSED_DATA), "data");
}

/* --- there and back --- */

static void assert_same(const struct raft_message *a, const struct raft_message *b)
{
    BUFFER_AUTO struct buffer one = {0};
    BUFFER_AUTO struct buffer two = {0};
    message_encode(&one, a);
    message_encode(&two, b);
    assert_true(slice_equal(buffer_slice(&one), buffer_slice(&two)));
}

static void test_round_trip(void **state)
{
    BUFFER_AUTO struct buffer entries = {0};
    BUFFER_AUTO struct buffer out = {0};
    struct raft_message samples[SAMPLES], got;
    message_samples(samples, &entries);
    for (size_t i = 0; i < SAMPLES; i++)
        message_encode(&out, &samples[i]);
    struct slice left = buffer_slice(&out);
    for (size_t i = 0; i < SAMPLES; i++) {
        assert_int_equal(message_decode(&left, &got), 0);
        assert_int_equal(got.code, samples[i].code);
        assert_int_equal(got.term, 6);
        assert_same(&got, &samples[i]);
    }
    assert_int_equal(left.len, 0);
    assert_int_equal(message_decode(&left, &got), ST_NOTFOUND);
}

static void test_entries(void **state)
{
    BUFFER_AUTO struct buffer bytes = {0};
    struct raft_message samples[SAMPLES];
    message_samples(samples, &bytes);
    struct message_entries entries = samples[2].append.entries;
    struct raft_entry e;
    assert_int_equal(message_entries_next(&entries, 8, &e), 0);
    assert_int_equal(e.index, 8);
    assert_int_equal(e.term, 2);
    assert_int_equal(e.type, RAFT_COMMAND);
    assert_true(slice_equal(e.data, slice_str("one")));
    assert_int_equal(message_entries_next(&entries, 9, &e), 0);
    assert_int_equal(e.type, RAFT_NOOP);
    assert_int_equal(e.data.len, 0);
    assert_int_equal(message_entries_next(&entries, 10, &e), 0);
    assert_int_equal(e.term, 5);
    assert_int_equal(message_entries_next(&entries, 11, &e), ST_NOTFOUND);
}

/* --- refusals --- */

/* Decodes and expects ST_PROTOCOL for one reason, with nothing changed. */
static void expect_refused(struct slice bytes, enum wire_refusal why, const char *what)
{
    struct wire_refusals refusals = {0}, expected = {0};
    struct raft_message m = {.code = 7777};
    struct slice left = bytes;
    expected.counts[why] = 1;
    if (message_decode_counted(&left, &refusals, &m) != ST_PROTOCOL)
        fail_msg("%s: not refused", what);
    for (int i = 0; i < WIRE_REFUSALS; i++)
        if (refusals.counts[i] != expected.counts[i])
            fail_msg("%s: refused because of %s, not %s", what, wire_refusal_name(i),
                     wire_refusal_name(why));
    assert_int_equal(m.code, 7777);
    assert_ptr_equal(left.data, bytes.data);
    assert_int_equal(left.len, bytes.len);
}

/* Bytes in memory of their own, so that a sanitizer sees one read too many. */
static void expect_refused_copy(struct slice bytes, enum wire_refusal why, const char *what)
{
    uint8_t *copy = mem_dup(bytes.data, bytes.len);
    expect_refused(slice_make(copy, bytes.len), why, what);
    free(copy);
}

static void test_truncated(void **state)
{
    BUFFER_AUTO struct buffer entries = {0};
    struct raft_message samples[SAMPLES];
    message_samples(samples, &entries);
    for (size_t i = 0; i < SAMPLES; i++) {
        BUFFER_AUTO struct buffer out = {0};
        message_encode(&out, &samples[i]);
        for (size_t len = 1; len < out.len; len++)
            expect_refused_copy(slice_make(out.data, len), WIRE_REFUSED_LENGTH, "cut");
        /* And where the length says so: the message itself is too short. */
        for (size_t len = 8; len < out.len; len++) {
            bytes_put_u32(out.data + 4, (uint32_t)(len - 8));
            expect_refused_copy(slice_make(out.data, len), WIRE_REFUSED_LENGTH, "short");
        }
        bytes_put_u32(out.data + 4, (uint32_t)(out.len - 8 + 1));
        buffer_append_u8(&out, 0);
        expect_refused_copy(buffer_slice(&out), WIRE_REFUSED_LENGTH, "long");
        bytes_put_u32(out.data + 4, UINT32_MAX);
        expect_refused_copy(buffer_slice(&out), WIRE_REFUSED_LENGTH, "huge");
    }
}

/* Sets a field of a sample and expects why. */
#define EXPECT(sample, field, value, why)                                            \
    do {                                                                             \
        struct raft_message changed = samples[sample];                               \
        changed.field = value;                                                       \
        BUFFER_AUTO struct buffer out = {0};                                         \
        message_encode(&out, &changed);                                              \
        expect_refused(buffer_slice(&out), WIRE_REFUSED_##why, #field " = " #value); \
    } while (0)

/* Sets a field to the last value that can be. */
#define ACCEPT(sample, field, value)                        \
    do {                                                    \
        struct raft_message changed = samples[sample], got; \
        changed.field = value;                              \
        BUFFER_AUTO struct buffer out = {0};                \
        message_encode(&out, &changed);                     \
        struct slice left = buffer_slice(&out);             \
        assert_int_equal(message_decode(&left, &got), 0);   \
        assert_same(&got, &changed);                        \
    } while (0)

static void test_heads(void **state)
{
    BUFFER_AUTO struct buffer entries = {0};
    struct raft_message samples[SAMPLES];
    message_samples(samples, &entries);
    for (size_t i = 0; i < SAMPLES; i++) {
        EXPECT(i, to, 0, REPLICA);
        EXPECT(i, from, 0, REPLICA);
        EXPECT(i, from, 0x11, REPLICA);
        EXPECT(i, term, 0, TERM);
        EXPECT(i, term, RAFT_INDEX_MAX + 1, TERM);
        EXPECT(i, term, UINT64_MAX, TERM);
        ACCEPT(i, term, RAFT_INDEX_MAX);
        ACCEPT(i, group, UINT32_MAX);
        BUFFER_AUTO struct buffer out = {0};
        message_encode(&out, &samples[i]);
        out.data[2] = 1;
        expect_refused(buffer_slice(&out), WIRE_REFUSED_VALUE, "not zero");
    }
}

static void test_fields(void **state)
{
    BUFFER_AUTO struct buffer entries = {0};
    struct raft_message samples[SAMPLES];
    message_samples(samples, &entries);
    EXPECT(0, vote_request.flags, 4, VALUE);
    EXPECT(0, vote_request.last_index, 0, TERM);
    EXPECT(0, vote_request.last_index, RAFT_INDEX_MAX + 1, INDEX);
    EXPECT(0, vote_request.last_term, 0, TERM);
    EXPECT(0, vote_request.last_term, 6, TERM);
    EXPECT(0, term, 5, TERM);
    ACCEPT(0, vote_request.last_index, RAFT_INDEX_MAX);
    EXPECT(1, vote.flags, 4, VALUE);
    EXPECT(1, vote.granted, 2, VALUE);
    EXPECT(2, append.prev_index, 0, TERM);
    EXPECT(2, append.prev_index, RAFT_INDEX_MAX + 1, INDEX);
    EXPECT(2, append.prev_index, RAFT_INDEX_MAX - 2, INDEX);
    ACCEPT(2, append.prev_index, RAFT_INDEX_MAX - 3);
    EXPECT(2, append.prev_term, 0, TERM);
    EXPECT(2, append.prev_term, 3, TERM);
    EXPECT(2, append.prev_term, 7, TERM);
    EXPECT(2, append.commit, RAFT_INDEX_MAX + 1, INDEX);
    ACCEPT(2, append.commit, RAFT_INDEX_MAX);
    EXPECT(2, term, 4, TERM);
    ACCEPT(2, term, 5);
    EXPECT(3, append_result.accepted, 2, VALUE);
    EXPECT(3, append_result.index, RAFT_INDEX_MAX + 1, INDEX);
    EXPECT(3, append_result.prev_index, RAFT_INDEX_MAX + 1, INDEX);
    EXPECT(3, append_result.hint_term, 7, TERM);
    ACCEPT(3, append_result.hint_term, 6);
    EXPECT(4, heartbeat.commit, RAFT_INDEX_MAX + 1, INDEX);
    ACCEPT(4, heartbeat.commit, 0);
    EXPECT(6, snapshot.index, 0, TERM);
    EXPECT(6, snapshot.index, RAFT_INDEX_MAX + 1, INDEX);
    EXPECT(6, snapshot.index_term, 0, TERM);
    EXPECT(6, snapshot.index_term, 7, TERM);
    EXPECT(6, snapshot.stream, 0, VALUE);
    EXPECT(6, snapshot.offset, RAFT_INDEX_MAX + 1, INDEX);
    EXPECT(6, snapshot.done, 2, VALUE);
    EXPECT(6, snapshot.crc, 1, DATA);
    EXPECT(6, snapshot.data, slice_str("rowz"), DATA);
    EXPECT(7, snapshot_result.state, 3, VALUE);
    EXPECT(7, snapshot_result.index, RAFT_INDEX_MAX + 1, INDEX);
    EXPECT(7, snapshot_result.offset, RAFT_INDEX_MAX + 1, INDEX);

    samples[6].snapshot.index_term = 0;
    EXPECT(6, snapshot.index, 0, INDEX);
    uint8_t config[MESSAGE_CONFIG_BYTES_MAX + 1] = {0};
    samples[6].snapshot.index_term = 4;
    ACCEPT(6, snapshot.config, slice_make(config, sizeof(config) - 1));
    EXPECT(6, snapshot.config, slice_make(config, sizeof(config)), LENGTH);
}

static void test_bad_entries(void **state)
{
    BUFFER_AUTO struct buffer bytes = {0};
    struct raft_message samples[SAMPLES];
    message_samples(samples, &bytes);
    EXPECT(2, append.entries.count, 2, ENTRY);
    EXPECT(2, append.entries.count, 4, ENTRY);
    EXPECT(2, append.entries.count, UINT32_MAX, ENTRY);
    EXPECT(2, append.entries.count, 0, ENTRY);
    for (size_t len = 0; len < bytes.len; len++)
        EXPECT(2, append.entries.bytes.len, len, ENTRY);
    bytes.data[8] = RAFT_ENTRY_TYPES; /* the first one's type */
    EXPECT(2, group, 1, ENTRY);
    bytes.data[8] = RAFT_COMMAND;
    bytes.data[0] = 0; /* its term */
    EXPECT(2, append.prev_index, 7, TERM);
    samples[2].append.prev_index = samples[2].append.prev_term = 0;
    EXPECT(2, group, 1, TERM);
    bytes.data[0] = 1;
    ACCEPT(2, group, 1);
    bytes.data[9] = bytes.data[10] = bytes.data[11] = bytes.data[12] = 0xff; /* its length */
    EXPECT(2, group, 1, ENTRY);
}

static void test_unknown_code(void **state)
{
    BUFFER_AUTO struct buffer entries = {0};
    BUFFER_AUTO struct buffer out = {0};
    struct raft_message samples[SAMPLES], got;
    struct wire_refusals refusals = {0};
    message_samples(samples, &entries);
    message_encode(&out, &samples[4]);
    message_encode(&out, &samples[5]);
    bytes_put_u16(out.data, 999);
    struct slice left = buffer_slice(&out);
    assert_int_equal(message_decode_counted(&left, &refusals, &got), ST_UNSUPPORTED);
    assert_int_equal(refusals.counts[WIRE_REFUSED_CODE], 1);
    assert_int_equal(message_decode_counted(&left, &refusals, &got), 0);
    assert_int_equal(got.code, MESSAGE_HEARTBEAT_RESULT);
}

/* Random damage: nothing is read beyond the end (the sanitizers watch), and what is accepted is
 * the one encoding of what it says. */
static void test_damaged(void **state)
{
    BUFFER_AUTO struct buffer entries = {0};
    struct raft_message samples[SAMPLES], got;
    message_samples(samples, &entries);
    struct prng prng = prng_make(1);
    unsigned accepted = 0, refused = 0;
    for (unsigned round = 0; round < 20000; round++) {
        BUFFER_AUTO struct buffer out = {0};
        message_encode(&out, &samples[round % SAMPLES]);
        for (uint64_t i = 1 + prng_below(&prng, 3); i > 0; i--)
            out.data[prng_below(&prng, out.len)] = (uint8_t)prng_u64(&prng);
        uint8_t *copy = mem_dup(out.data, out.len);
        struct slice left = slice_make(copy, out.len);
        if (message_decode(&left, &got) == 0) {
            BUFFER_AUTO struct buffer again = {0};
            message_encode(&again, &got);
            assert_true(slice_equal(buffer_slice(&again), slice_make(copy, out.len - left.len)));
            accepted++;
        } else {
            refused++;
        }
        free(copy);
    }
    assert_true(accepted > 1000);
    assert_true(refused > 1000);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_golden),       cmocka_unit_test(test_names),
    cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_entries),
    cmocka_unit_test(test_truncated),    cmocka_unit_test(test_heads),
    cmocka_unit_test(test_fields),       cmocka_unit_test(test_bad_entries),
    cmocka_unit_test(test_unknown_code), cmocka_unit_test(test_damaged),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
