#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"

static void test_zeroed_is_empty(void **state)
{
    struct buffer b = {0};
    assert_int_equal(buffer_slice(&b).len, 0);
    buffer_append(&b, NULL, 0);
    assert_null(b.data);
    buffer_clear(&b);
    buffer_free(&b);
    buffer_free(&b);
}

static void test_append_grows_by_doubling(void **state)
{
    struct buffer b = {0};
    size_t moves = 0, cap = 0;
    for (size_t i = 0; i < 100000; i++) {
        buffer_append_u8(&b, (uint8_t)(i * 7));
        if (b.cap != cap) {
            assert_true(b.cap >= 2 * cap);
            cap = b.cap;
            moves++;
        }
    }
    assert_int_equal(b.len, 100000);
    assert_true(moves < 20);
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    buffer_clear(&b);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, cap);
    buffer_free(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
}

static void test_integers_are_little_endian(void **state)
{
    BUFFER_AUTO struct buffer b = {0};
    buffer_append_u8(&b, 0x01);
    buffer_append_u16(&b, 0x0203);
    buffer_append_u32(&b, 0x04050607);
    buffer_append_u64(&b, 0x08090a0b0c0d0e0f);
    static const uint8_t want[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f,
                                   0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08};
    assert_int_equal(b.len, sizeof(want));
    assert_memory_equal(b.data, want, sizeof(want));
    assert_int_equal(bytes_get_u16(b.data + 1), 0x0203);
    assert_int_equal(bytes_get_u32(b.data + 3), 0x04050607);
    assert_true(bytes_get_u64(b.data + 7) == 0x08090a0b0c0d0e0f);
}

static void test_big_endian_sorts_as_bytes(void **state)
{
    uint8_t a[8], b[8];
    bytes_put_be64(a, 255);
    bytes_put_be64(b, 256);
    assert_true(memcmp(a, b, 8) < 0);
    assert_true(bytes_get_be64(b) == 256);
    bytes_put_be32(a, 0x01020304);
    assert_int_equal(a[0], 1);
    assert_int_equal(bytes_get_be32(a), 0x01020304);
    bytes_put_be16(a, 0x0102);
    assert_int_equal(a[1], 2);
    assert_int_equal(bytes_get_be16(a), 0x0102);
}

/* Every length around the capacity, where the terminator of vsnprintf is one byte too many. */
static void test_printf_at_every_length(void **state)
{
    for (int pad = 0; pad < 130; pad++) {
        BUFFER_AUTO struct buffer b = {0};
        buffer_append_str(&b, "ab");
        buffer_printf(&b, "%*d", pad, 7);
        size_t printed = pad < 1 ? 1 : (size_t)pad;
        assert_int_equal(b.len, 2 + printed);
        assert_memory_equal(b.data, "ab", 2);
        assert_int_equal(b.data[b.len - 1], '7');
        for (size_t i = 2; i + 1 < b.len; i++)
            assert_int_equal(b.data[i], ' ');
    }
}

static void test_reserve_leaves_len(void **state)
{
    BUFFER_AUTO struct buffer b = {0};
    buffer_append_slice(&b, slice_str("xy"));
    uint8_t *tail = buffer_reserve(&b, 1000);
    assert_ptr_equal(tail, b.data + 2);
    assert_int_equal(b.len, 2);
    assert_true(b.cap >= 1002);
    memset(tail, 'z', 1000);
    b.len += 1000;
    assert_int_equal(b.data[1001], 'z');
    assert_non_null(buffer_reserve(&b, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroed_is_empty),
        cmocka_unit_test(test_append_grows_by_doubling),
        cmocka_unit_test(test_integers_are_little_endian),
        cmocka_unit_test(test_big_endian_sorts_as_bytes),
        cmocka_unit_test(test_printf_at_every_length),
        cmocka_unit_test(test_reserve_leaves_len),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
