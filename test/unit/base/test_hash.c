#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/hash.h"
#include "base/prng.h"

/* Check values from the catalogue of parametrised CRC algorithms, and slots as redis-server 7.0
 * answers CLUSTER KEYSLOT. */
static void test_crc16_known_answers(void **state)
{
    assert_int_equal(crc16("123456789", 9), 0x31c3);
    assert_int_equal(crc16("", 0), 0);
    assert_int_equal(crc16_slot("foo", 3), 12182);
    assert_int_equal(crc16_slot("user1000", 8), 3443);
}

static void test_crc32c_known_answers(void **state)
{
    uint8_t bytes[32];
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, 32); /* RFC 3720, appendix B.4 */
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c_portable(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, "", 0), 0);
}

static uint16_t crc16_by_bits(const uint8_t *p, size_t len)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint16_t)(p[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

/* Every length and alignment that the eight-byte loops can meet, against the plain definition. */
static void test_crcs_at_every_length(void **state)
{
    uint8_t bytes[80];
    struct prng prng = prng_make(9);
    prng_fill(&prng, bytes, sizeof(bytes));
    for (size_t from = 0; from < 8; from++) {
        for (size_t len = 0; from + len <= sizeof(bytes); len++) {
            const uint8_t *p = bytes + from;
            uint32_t seed = (uint32_t)prng_u64(&prng);
            assert_int_equal(crc16(p, len), crc16_by_bits(p, len));
            assert_int_equal(crc32c(seed, p, len), crc32c_portable(seed, p, len));
            size_t cut = len / 3;
            assert_int_equal(crc32c(crc32c(seed, p, cut), p + cut, len - cut),
                             crc32c(seed, p, len));
        }
    }
}

static void test_murmur3_known_answers(void **state)
{
    /* MurmurHash3_x64_128, first half, as Cassandra's and Guava's tests have it. */
    assert_true(hash_murmur3(0, "", 0) == 0);
    assert_true(hash_murmur3(0, "hello", 5) == 0xcbd8a7b341bd9b02);
    assert_true(hash_murmur3(1, "hello", 5) != 0xcbd8a7b341bd9b02);
}

static void test_hash_bytes(void **state)
{
    assert_true(hash_bytes(0, "", 0) == 0x2d06800538d394c2); /* xxhash's own sanity test */
    uint8_t bytes[300];
    struct prng prng = prng_make(10);
    prng_fill(&prng, bytes, sizeof(bytes));
    for (size_t len = 1; len <= sizeof(bytes); len++) {
        uint64_t h = hash_bytes(5, bytes, len);
        assert_true(h == hash_bytes(5, bytes, len));
        assert_true(h != hash_bytes(6, bytes, len));
        bytes[len / 2] ^= 1;
        assert_true(h != hash_bytes(5, bytes, len));
        bytes[len / 2] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc16_known_answers),  cmocka_unit_test(test_crc32c_known_answers),
        cmocka_unit_test(test_crcs_at_every_length), cmocka_unit_test(test_murmur3_known_answers),
        cmocka_unit_test(test_hash_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
