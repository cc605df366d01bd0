#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/status.h"
#include "command/dump.h"

/* What redis-server 7.0 answers to DUMP for these values. */
static const struct {
    const char *value;
    const char *payload;
    size_t len;
} golden[] = {
#include "dump_golden.inc"
};

static void test_redis_payloads_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        BUFFER_AUTO struct buffer out = {0};
        assert_int_equal(dump_decode(slice_make(golden[i].payload, golden[i].len), 1 << 20, &out),
                         0);
        assert_int_equal(out.len, strlen(golden[i].value));
        assert_memory_equal(out.data, golden[i].value, out.len);
    }
}

static void test_short_values_encode_as_redis_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        if (strlen(golden[i].value) > 20)
            continue; /* Redis packs those */
        BUFFER_AUTO struct buffer out = {0};
        dump_encode(&out, slice_str(golden[i].value));
        assert_int_equal(out.len, golden[i].len);
        assert_memory_equal(out.data, golden[i].payload, out.len);
    }
}

static void test_round_trip_of_lengths(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 11, 12, 63, 64, 16383, 16384, 100000};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        BUFFER_AUTO struct buffer value = {0}, payload = {0}, out = {0};
        for (size_t n = 0; n < lens[i]; n++)
            buffer_append_u8(&value, (uint8_t)(n * 31));
        dump_encode(&payload, buffer_slice(&value));
        assert_int_equal(dump_decode(buffer_slice(&payload), 1 << 20, &out), 0);
        assert_true(slice_equal(buffer_slice(&out), buffer_slice(&value)));
    }
}

/* As CRC-64/Jones is defined, bit by bit. */
static uint64_t crc_by_bits(const uint8_t *data, size_t len)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0x95ac9329ac4bc9b5) : 0);
    }
    return crc;
}

static void test_checksum_of_any_length(void **state)
{
    for (size_t len = 0; len < 300; len++) {
        BUFFER_AUTO struct buffer out = {0};
        size_t start = len % 9; /* at any address */
        for (size_t i = 0; i < start + len; i++)
            buffer_append_u8(&out, (uint8_t)(i * 37 ^ len));
        dump_seal(&out, start);
        assert_true(bytes_get_u64(out.data + out.len - 8) ==
                    crc_by_bits(out.data + start, out.len - start - 8));
    }
}

static void test_every_flipped_bit_is_refused(void **state)
{
    (void)state;
    BUFFER_AUTO struct buffer payload = {0};
    dump_encode(&payload, slice_str("some value of a few bytes"));
    for (size_t bit = 0; bit < payload.len * 8; bit++) {
        BUFFER_AUTO struct buffer out = {0};
        payload.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(dump_decode(buffer_slice(&payload), 1 << 20, &out), ST_PROTOCOL);
        payload.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < payload.len; len++) {
        BUFFER_AUTO struct buffer out = {0};
        assert_true(dump_decode(slice_make(payload.data, len), 1 << 20, &out) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_payloads_decode),
        cmocka_unit_test(test_short_values_encode_as_redis_does),
        cmocka_unit_test(test_round_trip_of_lengths),
        cmocka_unit_test(test_checksum_of_any_length),
        cmocka_unit_test(test_every_flipped_bit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
