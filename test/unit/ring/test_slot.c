#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ring/slot.h"

static void test_known_slots(void **state)
{
    (void)state;
    /* As `redis-cli cluster keyslot` answers. */
    assert_int_equal(slot_of(slice_str("")), 0);
    assert_int_equal(slot_of(slice_str("123456789")), 12739);
    assert_int_equal(slot_of(slice_str("foo")), 12182);
    assert_int_equal(slot_of(slice_str("somekey")), 11058);
}

static void test_hash_tags(void **state)
{
    (void)state;
    uint16_t tag = slot_of(slice_str("user1000"));
    assert_int_equal(slot_of(slice_str("{user1000}.following")), tag);
    assert_int_equal(slot_of(slice_str("a{user1000}b}c{x}")), tag);
    /* An empty tag, an unclosed one: the whole key counts. */
    assert_int_not_equal(slot_of(slice_str("foo{}{bar}")), slot_of(slice_str("bar")));
    assert_int_not_equal(slot_of(slice_str("foo{bar")), slot_of(slice_str("bar")));
    assert_int_equal(slot_of(slice_str("foo{{bar}}zap")), slot_of(slice_str("{bar")));
}

static void test_partitions(void **state)
{
    (void)state;
    assert_true(slot_partitions_valid(1));
    assert_true(slot_partitions_valid(256));
    assert_true(slot_partitions_valid(16384));
    assert_false(slot_partitions_valid(0));
    assert_false(slot_partitions_valid(3));
    assert_false(slot_partitions_valid(32768));
    assert_int_equal(slot_partition(0, 256), 0);
    assert_int_equal(slot_partition(63, 256), 0);
    assert_int_equal(slot_partition(64, 256), 1);
    assert_int_equal(slot_partition(16383, 256), 255);
    assert_int_equal(slot_partition(16383, 1), 0);
}

static void test_key_hash_depends_on_keyspace(void **state)
{
    (void)state;
    struct key a = key_make(slice_str("k"), 1, 256, 7);
    struct key b = key_make(slice_str("k"), 2, 256, 7);
    assert_true(a.hash != b.hash);
    assert_int_equal(a.partition, b.partition);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_slots),
        cmocka_unit_test(test_hash_tags),
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_key_hash_depends_on_keyspace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
