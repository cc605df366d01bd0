/* Frames between nodes: their bytes, and each reason to refuse one. */
#include "wire/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "wire/message_samples.h"

static const struct frame_head head = {.version = WIRE_VERSION,
                                       .cluster = 0xc1c2c3c4c5c6c7c8,
                                       .from = 3,
                                       .to = 9,
                                       .stamp = 0x0102030405060708,
                                       .epoch = 12};

static int parse(struct slice bytes, struct wire_refusals *refusals, struct frame *ret_frame)
{
    return frame_parse(bytes, head.cluster, 9, refusals, ret_frame);
}

/* A frame with all samples; the caller frees the writer. */
static struct slice sample_frame(struct frame_writer *w, const struct frame_head *with)
{
    BUFFER_AUTO struct buffer entries = {0};
    struct raft_message samples[SAMPLES];
    message_samples(samples, &entries);
    for (size_t i = 0; i < SAMPLES; i++)
        frame_append(w, &samples[i]);
    return frame_finish(w, with);
}

static void test_golden(void **state)
{
    static const uint8_t expected[] = {
        'T',  'O',  'R',  'C',  1,    0,    0,    0,    /* magic, version, flags */
        0xc8, 0xc7, 0xc6, 0xc5, 0xc4, 0xc3, 0xc2, 0xc1, /* cluster */
        3,    0,    0,    0,    0,    0,    0,    0,    9,  0, 0, 0, 0, 0, 0, 0, /* from, to */
        8,    7,    6,    5,    4,    3,    2,    1,    12, 0, 0, 0, 0, 0, 0, 0, /* stamp, epoch */
        36,   0,    0,    0,    1,    0,    0,    0,    0,  0, 0, 0, /* length, count, zero */
    };
    struct frame_writer w = {0};
    struct raft_message m = {.code = MESSAGE_TIMEOUT_NOW, .to = 1, .from = 2, .term = 1};
    frame_append(&w, &m);
    struct slice frame = frame_finish(&w, &head);
    assert_int_equal(frame.len, FRAME_HEADER_BYTES + 36);
    assert_memory_equal(frame.data, expected, sizeof(expected));
    assert_int_equal(bytes_get_u32(frame.data + 60), 0x4b117a92);
    frame_writer_free(&w);
}

/* Taken apart by group and put together again, without a look into the messages. */
static void test_skip(void **state)
{
    struct frame_writer w = {0};
    struct slice bytes = sample_frame(&w, &head), message;
    struct frame f, g;
    struct raft_message m;
    uint8_t *again = mem_zalloc(bytes.len);
    size_t len = FRAME_HEADER_BYTES;
    uint32_t group;
    assert_int_equal(parse(bytes, NULL, &f), 0);
    g = f;
    for (unsigned i = 0; i < SAMPLES; i++) {
        assert_int_equal(frame_skip(&f, NULL, &group, &message), 0);
        assert_int_equal(frame_next(&g, NULL, &m), 0);
        assert_int_equal(group, m.group);
        memcpy(again + len, message.data, message.len);
        len += message.len;
    }
    assert_int_equal(frame_skip(&f, NULL, &group, &message), ST_NOTFOUND);
    assert_int_equal(len, bytes.len);
    frame_put_header(again, &head, SAMPLES, len - FRAME_HEADER_BYTES);
    assert_memory_equal(again, bytes.data, len);

    static const uint8_t short_one[] = {1, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3};
    static const uint8_t unknown[] = {0xff, 0x7f, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0};
    for (size_t n = 1; n <= sizeof(unknown); n++) {
        struct slice left = slice_make(unknown, n);
        assert_int_equal(message_skip(&left, NULL, &group, &message),
                         n < sizeof(unknown) ? ST_PROTOCOL : 0);
    }
    assert_int_equal(group, 7);
    struct slice left = slice_make(short_one, sizeof(short_one));
    assert_int_equal(message_skip(&left, NULL, &group, &message), ST_PROTOCOL);
    f.left = 1; /* more announced than there are */
    assert_int_equal(frame_skip(&f, NULL, &group, &message), ST_PROTOCOL);
    free(again);
    frame_writer_free(&w);
}

static void test_round_trip(void **state)
{
    struct frame_writer w = {0};
    assert_true(frame_empty(&w));
    struct slice bytes = sample_frame(&w, &head);
    struct frame f;
    struct raft_message m;
    assert_int_equal(parse(bytes, NULL, &f), 0);
    assert_int_equal(f.head.version, WIRE_VERSION);
    assert_int_equal(f.head.from, 3);
    assert_int_equal(f.head.stamp, head.stamp);
    assert_int_equal(f.head.epoch, 12);
    for (uint16_t i = 0; i < SAMPLES; i++) {
        assert_int_equal(frame_next(&f, NULL, &m), 0);
        assert_int_equal(m.code, 16 + i);
    }
    assert_int_equal(frame_next(&f, NULL, &m), ST_NOTFOUND);
    assert_int_equal(frame_next(&f, NULL, &m), ST_NOTFOUND);
    frame_reset(&w);
    assert_true(frame_empty(&w));
    assert_int_equal(parse(frame_finish(&w, &head), NULL, &f), 0);
    assert_int_equal(frame_next(&f, NULL, &m), ST_NOTFOUND);
    frame_writer_free(&w);
}

static void test_fills(void **state)
{
    struct frame_writer w = {0};
    BUFFER_AUTO struct buffer data = {0};
    data.len = 3 << 20;
    memset(buffer_reserve(&data, data.len) - data.len, 7, data.len);
    struct raft_message m = {.code = MESSAGE_SNAPSHOT, .to = 1, .from = 2, .term = 1};
    m.snapshot = (struct message_snapshot){
        1, 1, 1, {0}, 0, 1, buffer_slice(&data), crc32c(0, data.data, data.len)};
    unsigned count = 0;
    while (!frame_full(&w)) {
        frame_append(&w, &m);
        count++;
    }
    assert_int_equal(count, 3); /* the third goes beyond 8 MiB */
    struct frame f;
    assert_int_equal(parse(frame_finish(&w, &head), NULL, &f), 0);
    while (frame_next(&f, NULL, &m) == 0)
        count--;
    assert_int_equal(count, 0);
    frame_writer_free(&w);
}

/* --- refusals --- */

static void expect(struct slice bytes, int st, enum wire_refusal why)
{
    struct wire_refusals refusals = {0};
    struct frame f = {.left = 77};
    assert_int_equal(parse(bytes, &refusals, &f), st);
    for (int i = 0; i < WIRE_REFUSALS; i++)
        assert_int_equal(refusals.counts[i], i == (int)why);
    assert_int_equal(f.left, 77);
}

static void expect_head(struct frame_head with, int st, enum wire_refusal why)
{
    struct frame_writer w = {0};
    expect(sample_frame(&w, &with), st, why);
    frame_writer_free(&w);
}

static void test_heads(void **state)
{
    struct frame_head h = head;
    struct frame f;
    struct frame_writer w = {0};
    h.version = WIRE_VERSION_NEXT;
    assert_int_equal(parse(sample_frame(&w, &h), NULL, &f), 0);
    assert_int_equal(f.head.version, WIRE_VERSION_NEXT);
    frame_writer_free(&w);
    h.version = WIRE_VERSION_NEXT + 1;
    expect_head(h, ST_VERSION, WIRE_REFUSED_VERSION);
    h.version = 0;
    expect_head(h, ST_VERSION, WIRE_REFUSED_VERSION);
    for (unsigned bit = 0; bit < 16; bit++) {
        h = head;
        h.flags = (uint16_t)(1u << bit);
        expect_head(h, ST_PROTOCOL, WIRE_REFUSED_FLAGS);
    }
    h = head;
    h.cluster++;
    expect_head(h, ST_DENIED, WIRE_REFUSED_CLUSTER);
    h = head;
    h.to = 8;
    expect_head(h, ST_DENIED, WIRE_REFUSED_DESTINATION);
    h = head;
    h.from = 0;
    expect_head(h, ST_PROTOCOL, WIRE_REFUSED_SOURCE);
    h.from = 9;
    expect_head(h, ST_PROTOCOL, WIRE_REFUSED_SOURCE);
}

static void test_every_truncation(void **state)
{
    struct frame_writer w = {0};
    struct slice bytes = sample_frame(&w, &head);
    size_t need;
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *copy = mem_dup(bytes.data, len);
        struct slice cut = slice_make(copy, len);
        expect(cut, ST_PROTOCOL, WIRE_REFUSED_LENGTH);
        if (len < FRAME_HEADER_BYTES) {
            assert_int_equal(frame_length(cut, NULL, &need), ST_AGAIN);
        } else {
            assert_int_equal(frame_length(cut, NULL, &need), 0);
            assert_int_equal(need, bytes.len);
        }
        free(copy);
    }
    frame_writer_free(&w);
}

static void test_every_bit(void **state)
{
    struct frame_writer w = {0};
    struct slice bytes = sample_frame(&w, &head);
    uint8_t *copy = mem_dup(bytes.data, bytes.len);
    struct frame f;
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(parse(slice_make(copy, bytes.len), NULL, &f), 0);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(copy);
    frame_writer_free(&w);
}

/* A header changed, its checksum made right again. */
static void seal(uint8_t *frame, size_t len)
{
    uint32_t crc = crc32c(0, frame, 60);
    bytes_put_u32(frame + 60, crc32c(crc, frame + FRAME_HEADER_BYTES, len - FRAME_HEADER_BYTES));
}

static void test_sealed_nonsense(void **state)
{
    struct frame_writer w = {0};
    struct slice bytes = sample_frame(&w, &head);
    uint8_t *copy = mem_dup(bytes.data, bytes.len);
    struct slice whole = slice_make(copy, bytes.len);

    bytes_put_u32(copy, 0x12345678);
    seal(copy, bytes.len);
    expect(whole, ST_PROTOCOL, WIRE_REFUSED_MAGIC);
    memcpy(copy, bytes.data, bytes.len);
    bytes_put_u32(copy + 56, 1);
    seal(copy, bytes.len);
    expect(whole, ST_PROTOCOL, WIRE_REFUSED_FLAGS);
    memcpy(copy, bytes.data, bytes.len);
    bytes_put_u32(copy + 48, FRAME_BYTES_MAX + 1);
    expect(whole, ST_PROTOCOL, WIRE_REFUSED_LENGTH);
    size_t need;
    assert_int_equal(frame_length(whole, NULL, &need), ST_PROTOCOL);
    memcpy(copy, bytes.data, bytes.len);
    copy[70]++;
    expect(whole, ST_PROTOCOL, WIRE_REFUSED_CHECKSUM);

    static const uint32_t counts[] = {0, 1, SAMPLES - 1, SAMPLES + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        memcpy(copy, bytes.data, bytes.len);
        bytes_put_u32(copy + 52, counts[i]);
        seal(copy, bytes.len);
        struct wire_refusals refusals = {0};
        struct frame f;
        struct raft_message m;
        assert_int_equal(parse(whole, &refusals, &f), 0);
        int st;
        while ((st = frame_next(&f, &refusals, &m)) == 0)
            ;
        assert_int_equal(st, ST_PROTOCOL);
        assert_int_equal(refusals.counts[WIRE_REFUSED_COUNT], 1);
    }
    free(copy);
    frame_writer_free(&w);
}

static void test_unknown_message(void **state)
{
    struct frame_writer w = {0};
    struct slice bytes = sample_frame(&w, &head);
    uint8_t *copy = mem_dup(bytes.data, bytes.len);
    bytes_put_u16(copy + FRAME_HEADER_BYTES, 1000); /* one of a later version, first */
    seal(copy, bytes.len);
    struct frame f;
    struct raft_message m;
    struct wire_refusals refusals = {0};
    assert_int_equal(parse(slice_make(copy, bytes.len), &refusals, &f), 0);
    assert_int_equal(frame_next(&f, &refusals, &m), ST_UNSUPPORTED);
    for (size_t i = 1; i < SAMPLES; i++)
        assert_int_equal(frame_next(&f, &refusals, &m), 0);
    assert_int_equal(frame_next(&f, &refusals, &m), ST_NOTFOUND);
    assert_int_equal(refusals.counts[WIRE_REFUSED_CODE], 1);
    free(copy);
    frame_writer_free(&w);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_golden),
    cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_skip),
    cmocka_unit_test(test_fills),
    cmocka_unit_test(test_heads),
    cmocka_unit_test(test_every_truncation),
    cmocka_unit_test(test_every_bit),
    cmocka_unit_test(test_sealed_nonsense),
    cmocka_unit_test(test_unknown_message),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
