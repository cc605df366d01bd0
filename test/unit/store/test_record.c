/* Records, operations and row keys: they come back as they went in, cut bytes and unknown flags are
 * refused, row keys sort as (partition, generation, keyspace, key). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "store/record.h"

static struct record random_record(struct prng *p, uint8_t *bytes, size_t max)
{
    prng_fill(p, bytes, max);
    struct record r = {
        .flags = (uint8_t)prng_below(p, RECORD_FLAGS_KNOWN + 1),
        .actor = prng_u64(p),
        .counter = prng_u64(p) >> prng_below(p, 64),
        .stamp = prng_u64(p),
        .value = slice_make(bytes, prng_below(p, max)),
    };
    if (r.flags & RECORD_EXPIRES)
        r.expire_ms = prng_u64(p);
    if (r.flags & RECORD_VERSIONED)
        r.versions = slice_make(bytes + max / 2, prng_below(p, max / 2));
    return r;
}

static void assert_same(const struct record *a, const struct record *b)
{
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->actor, b->actor);
    assert_int_equal(a->counter, b->counter);
    assert_int_equal(a->stamp, b->stamp);
    assert_int_equal(a->expire_ms, b->expire_ms);
    assert_true(slice_equal(a->versions, b->versions));
    assert_true(slice_equal(a->value, b->value));
}

static void test_round_trip(void **state)
{
    struct prng p = prng_make(1);
    uint8_t bytes[300];
    for (int i = 0; i < 2000; i++) {
        struct record r = random_record(&p, bytes, sizeof(bytes)), back;
        BUFFER_AUTO struct buffer out = {0};
        record_encode(&out, &r);
        assert_int_equal(record_decode(buffer_slice(&out), &back), 0);
        assert_same(&r, &back);
    }
}

static void test_layout(void **state)
{
    const uint8_t expected[] = {2, 1, 0, 0, 0, 0, 0, 0, 0, 0xac, 0x02, 3, 0, 0,
                                0, 0, 0, 0, 0, 4, 0, 0, 0, 0,    0,    0, 0, 'v'};
    struct record r = {.flags = RECORD_EXPIRES,
                       .actor = 1,
                       .counter = 300,
                       .stamp = 3,
                       .expire_ms = 4,
                       .value = slice_str("v")};
    BUFFER_AUTO struct buffer out = {0};
    record_encode(&out, &r);
    assert_int_equal(out.len, sizeof(expected));
    assert_memory_equal(out.data, expected, sizeof(expected));
}

static void test_ops(void **state)
{
    struct prng p = prng_make(2);
    uint8_t bytes[300], keys[3][40];
    BUFFER_AUTO struct buffer out = {0};
    struct record_op ops[3];
    uint8_t *copies[3];
    for (int i = 0; i < 3; i++) {
        struct record r = random_record(&p, bytes, sizeof(bytes));
        copies[i] = mem_dup(bytes, sizeof(bytes));
        r.value.data = copies[i] + (r.value.data - bytes);
        if (r.flags & RECORD_VERSIONED)
            r.versions.data = copies[i] + (r.versions.data - bytes);
        prng_fill(&p, keys[i], sizeof(keys[i]));
        ops[i] = (struct record_op){
            .index = prng_u64(&p),
            .record = r,
            .key = {.bytes = slice_make(keys[i], (size_t)i * 13), .partition = 7, .keyspace = 9}};
        if (i == 1) {
            record_op_encode_head(&out, &ops[i]);
            buffer_append_slice(&out, ops[i].record.value);
        } else {
            record_op_encode(&out, &ops[i]);
        }
    }
    struct slice rest = buffer_slice(&out);
    for (int i = 0; i < 3; i++) {
        struct record_op op;
        assert_int_equal(record_op_decode(&rest, &op), 0);
        assert_true(slice_equal(op.key.bytes, ops[i].key.bytes));
        assert_int_equal(op.key.partition, 7);
        assert_int_equal(op.key.keyspace, 9);
        assert_int_equal(op.index, ops[i].index);
        assert_same(&op.record, &ops[i].record);
        free(copies[i]);
    }
    struct record_op op;
    assert_int_equal(record_op_decode(&rest, &op), ST_NOTFOUND);
}

static void test_cut_and_flags(void **state)
{
    struct record_op op = {.key = {.bytes = slice_str("key")},
                           .record = {.flags = RECORD_FLAGS_KNOWN,
                                      .counter = 1000,
                                      .versions = slice_str("vv"),
                                      .value = slice_str("")}};
    BUFFER_AUTO struct buffer out = {0};
    record_op_encode(&out, &op);
    for (size_t len = 1; len < out.len; len++) {
        uint8_t *exact = mem_dup(out.data, len); /* so that a sanitizer sees reads beyond it */
        struct slice in = slice_make(exact, len);
        assert_int_equal(record_op_decode(&in, &op), ST_CORRUPT);
        assert_int_equal(in.len, len);
        free(exact);
    }
    BUFFER_AUTO struct buffer record = {0};
    record_encode(&record, &op.record);
    struct record back;
    for (size_t len = 0; len < record.len; len++) {
        uint8_t *exact = mem_dup(record.data, len);
        assert_int_equal(record_decode(slice_make(exact, len), &back), ST_CORRUPT);
        free(exact);
    }
    record.data[0] |= 0x80;
    assert_int_equal(record_decode(buffer_slice(&record), &back), ST_VERSION);
}

static void test_row_key_order(void **state)
{
    struct prng p = prng_make(3);
    BUFFER_AUTO struct buffer a = {0}, b = {0};
    for (int i = 0; i < 1000; i++) {
        uint32_t x[3], y[3];
        for (int k = 0; k < 3; k++) {
            x[k] = (uint32_t)prng_below(&p, 3) * (k == 0 ? 255 : 0x1000001);
            y[k] = (uint32_t)prng_below(&p, 3) * (k == 0 ? 255 : 0x1000001);
        }
        buffer_clear(&a);
        buffer_clear(&b);
        row_key_encode(&a, (uint16_t)x[0], x[1], x[2], slice_str("k"));
        row_key_encode(&b, (uint16_t)y[0], y[1], y[2], slice_str("k"));
        int want = 0;
        for (int k = 0; k < 3 && want == 0; k++)
            want = x[k] < y[k] ? -1 : x[k] > y[k];
        int got = slice_compare(buffer_slice(&a), buffer_slice(&b));
        assert_int_equal((got > 0) - (got < 0), want);
        uint16_t partition;
        uint32_t generation, keyspace;
        struct slice key;
        assert_int_equal(row_key_decode(buffer_slice(&a), &partition, &generation, &keyspace, &key),
                         0);
        assert_int_equal(partition, x[0]);
        assert_int_equal(generation, x[1]);
        assert_int_equal(keyspace, x[2]);
        assert_true(slice_equal(key, slice_str("k")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_layout),
        cmocka_unit_test(test_ops),           cmocka_unit_test(test_cut_and_flags),
        cmocka_unit_test(test_row_key_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
