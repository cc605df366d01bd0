#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/status.h"
#include "sim/disk.h"
#include "sim/tier.h"

static struct disk_file *open_file(struct sim_disk *d, const char *name, int flags)
{
    struct disk *disk = sim_disk_disk(d);
    struct disk_file *file;
    assert_int_equal(disk->ops->open(disk, name, flags, &file), 0);
    return file;
}

static void put(struct disk_file *file, const char *text, uint64_t offset)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    assert_int_equal(file->disk->ops->pwritev(file, &iov, 1, offset), 0);
}

static void assert_holds(struct sim_disk *d, const char *name, const char *text)
{
    uint64_t len;
    uint8_t *bytes = sim_disk_bytes(d, name, &len);
    assert_non_null(bytes);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(bytes, text, len);
    free(bytes);
}

/* A disk with the file "a", durable. */
static struct sim_disk *disk_with(const char *text)
{
    struct sim_disk *d = sim_disk_new();
    struct disk_file *file = open_file(d, "a", DISK_WRITE | DISK_CREATE);
    put(file, text, 0);
    assert_int_equal(file->disk->ops->sync(file), 0);
    assert_int_equal(file->disk->ops->sync_dir(file->disk), 0);
    file->disk->ops->close(file);
    return d;
}

static void test_synced_survives_whatever_the_seed(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct sim_disk *d = disk_with("kept");
        sim_disk_crash(d, seed);
        assert_holds(d, "a", "kept");
        sim_disk_free(d);
    }
}

/* What a failed sync did not write stays unwritten: a later one that succeeds does not bring it
 * back, as Linux behaves. */
static void test_failed_sync_forgets(void **state)
{
    struct sim_disk *d = disk_with("old");
    struct disk_file *file = open_file(d, "a", DISK_WRITE);
    put(file, "new", 0);
    sim_disk_fail_sync(d, true);
    assert_int_equal(file->disk->ops->sync(file), ST_IO);
    sim_disk_fail_sync(d, false);
    assert_int_equal(file->disk->ops->sync(file), 0);
    assert_holds(d, "a", "new"); /* as read through the page cache */
    file->disk->ops->close(file);
    sim_disk_crash(d, 1);
    assert_holds(d, "a", "old");
    sim_disk_free(d);
}

static void test_copies_and_wiped_disks_are_others(void **state)
{
    struct sim_disk *d = disk_with("x"), *twin = disk_with("x");
    uint64_t birth = sim_disk_birth(d);
    sim_disk_crash(d, 3);
    assert_int_equal(sim_disk_birth(d), birth);
    struct sim_disk *one = sim_disk_clone(d), *two = sim_disk_clone(d);
    assert_holds(one, "a", "x");
    assert_int_not_equal(sim_disk_birth(one), birth);
    assert_int_not_equal(sim_disk_birth(one), sim_disk_birth(two));
    sim_disk_wipe(d);
    assert_int_not_equal(sim_disk_birth(d), birth);
    uint64_t len;
    assert_null(sim_disk_bytes(d, "a", &len));
    struct sim_disk *again = sim_disk_clone(twin); /* the same history gives the same number */
    assert_int_equal(sim_disk_birth(again), sim_disk_birth(one));
    sim_disk_free(again);
    sim_disk_free(twin);
    sim_disk_free(one);
    sim_disk_free(two);
    sim_disk_free(d);
}

static void test_rot_flips_one_bit(void **state)
{
    struct sim_disk *d = disk_with("aaaaaaaa");
    const char *name;
    uint64_t offset, len;
    assert_true(sim_disk_rot(d, 9, &name, &offset));
    assert_string_equal(name, "a");
    assert_true(offset < 8);
    uint8_t *bytes = sim_disk_bytes(d, "a", &len);
    unsigned bits = 0;
    for (uint64_t i = 0; i < len; i++)
        bits += (unsigned)__builtin_popcount(bytes[i] ^ 'a');
    assert_int_equal(bits, 1);
    assert_int_not_equal(bytes[offset], 'a');
    free(bytes);
    sim_disk_wipe(d);
    assert_false(sim_disk_rot(d, 9, &name, &offset));
    sim_disk_free(d);
}

static void tier_put(struct tier *t, const char *row, const char *value)
{
    struct tier_bulk *bulk;
    assert_int_equal(t->ops->bulk(t, &bulk), 0);
    assert_int_equal(t->ops->bulk_add(bulk, slice_str(row), slice_str(value)), 0);
    assert_int_equal(t->ops->bulk_finish(bulk), 0);
}

static int tier_get(struct tier *t, const char *row)
{
    BUFFER_AUTO struct buffer out = {0};
    return t->ops->get(t, slice_str(row), false, &out);
}

static void test_tier_copy_and_rot(void **state)
{
    struct tier_model *m = tier_model_create(NULL);
    assert_false(tier_model_rot(m, 1));
    tier_put(tier_model_tier(m), "row", "value");
    struct tier_model *copy = tier_model_clone(m);
    assert_true(tier_model_rot(m, 1));
    assert_int_equal(tier_get(tier_model_tier(m), "row"), ST_CORRUPT);
    assert_int_equal(tier_get(tier_model_tier(copy), "row"), 0);
    tier_put(tier_model_tier(m), "row", "value");
    assert_int_equal(tier_get(tier_model_tier(m), "row"), 0);
    tier_model_free(copy);
    tier_model_free(m);
}

static int refuse_sync(void *ctx)
{
    return ST_IO;
}

static void test_tier_syncs_the_log_first(void **state)
{
    struct tier_policy policy = {.sync_log = refuse_sync};
    struct tier_model *m = tier_model_create(NULL);
    struct tier *t = tier_model_tier(m);
    struct tier_bulk *bulk;
    tier_model_policy(m, &policy);
    assert_int_equal(t->ops->bulk(t, &bulk), 0);
    assert_int_equal(t->ops->bulk_add(bulk, slice_str("row"), slice_str("v")), 0);
    assert_int_equal(t->ops->bulk_finish(bulk), ST_IO);
    assert_int_equal(tier_get(t, "row"), ST_NOTFOUND);
    tier_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synced_survives_whatever_the_seed),
        cmocka_unit_test(test_failed_sync_forgets),
        cmocka_unit_test(test_copies_and_wiped_disks_are_others),
        cmocka_unit_test(test_rot_flips_one_bit),
        cmocka_unit_test(test_tier_copy_and_rot),
        cmocka_unit_test(test_tier_syncs_the_log_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
