#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/status.h"
#include "sim/disk.h"
#include "store/identity.h"

static const struct identity sample = {
    .cluster_id = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255},
    .node_id = 0x1122334455667788u,
    .log_id = 42,
    .log_ready = true,
    .actor = 7,
    .boot_id = "5c2c7a4e-0000-4a1b-9a5f-000000000001",
    .clean = true,
    .clock_max = UINT64_MAX,
};

static const char sample_text[] = "torc-identity 1\n"
                                  "cluster=000102030405060708090a0b0c0d0eff\n"
                                  "node=1122334455667788\n"
                                  "log=000000000000002a\n"
                                  "log-ready=1\n"
                                  "actor=0000000000000007\n"
                                  "boot=5c2c7a4e-0000-4a1b-9a5f-000000000001\n"
                                  "clean=1\n"
                                  "durable=0\n"
                                  "clock=ffffffffffffffff\n";

static void assert_same(const struct identity *a, const struct identity *b)
{
    assert_memory_equal(a->cluster_id, b->cluster_id, 16);
    assert_int_equal(a->node_id, b->node_id);
    assert_int_equal(a->log_id, b->log_id);
    assert_int_equal(a->log_ready, b->log_ready);
    assert_int_equal(a->actor, b->actor);
    assert_string_equal(a->boot_id, b->boot_id);
    assert_int_equal(a->clean, b->clean);
    assert_int_equal(a->durable, b->durable);
    assert_true(a->clock_max == b->clock_max);
}

static void test_text(void **state)
{
    BUFFER_AUTO struct buffer text = {0};
    identity_encode(&text, &sample);
    assert_int_equal(text.len, strlen(sample_text) + strlen("crc=01234567\n"));
    assert_memory_equal(text.data, sample_text, strlen(sample_text));
    struct identity id;
    assert_int_equal(identity_decode(buffer_slice(&text), &id), 0);
    assert_same(&id, &sample);
}

static void test_every_damage_is_noticed(void **state)
{
    BUFFER_AUTO struct buffer text = {0};
    struct identity id;
    identity_encode(&text, &sample);
    for (size_t i = 0; i < text.len; i++) {
        assert_int_equal(identity_decode(slice_make(text.data, i), &id), ST_CORRUPT);
        for (unsigned bit = 0; bit < 8; bit++) {
            text.data[i] ^= (uint8_t)(1u << bit);
            int st = identity_decode(buffer_slice(&text), &id);
            bool version_digit = i == strlen("torc-identity ");
            assert_true(st == ST_CORRUPT || (version_digit && st == ST_VERSION));
            text.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    buffer_append_str(&text, "more=1\n");
    assert_int_equal(identity_decode(buffer_slice(&text), &id), ST_CORRUPT);
}

static void test_newer_and_foreign(void **state)
{
    struct identity id;
    assert_int_equal(identity_decode(slice_str("torc-identity 2\nanything\n"), &id), ST_VERSION);
    assert_int_equal(identity_decode(slice_str("torc-identity 0\n"), &id), ST_CORRUPT);
    assert_int_equal(identity_decode(slice_str("torc-identity 01\n"), &id), ST_CORRUPT);
    assert_int_equal(identity_decode(slice_str("# a configuration\nport=7400\n"), &id), ST_CORRUPT);
    assert_int_equal(identity_decode(slice_str(""), &id), ST_CORRUPT);
}

/* A save that a crash interrupts at any step leaves the old identity or the new one. */
static void test_save_is_atomic(void **state)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        bool through = false;
        for (uint64_t step = 0; !through; step++) {
            struct sim_disk *sim = sim_disk_new();
            struct disk *disk = sim_disk_disk(sim);
            struct identity id, next = sample;
            assert_int_equal(identity_load(disk, &id), ST_NOTFOUND);
            assert_int_equal(identity_save(disk, &sample), 0);
            next.actor = 8;
            sim_disk_stop_at_op(sim, step);
            int st = identity_save(disk, &next);
            through = !sim_disk_stopped(sim);
            sim_disk_crash(sim, seed);
            assert_int_equal(identity_load(disk, &id), 0);
            if (st == 0)
                assert_int_equal(id.actor, 8);
            else
                assert_true(id.actor == 7 || id.actor == 8);
            sim_disk_free(sim);
        }
    }
}

static void test_too_large_is_not_read(void **state)
{
    struct sim_disk *sim = sim_disk_new();
    struct disk *disk = sim_disk_disk(sim);
    BUFFER_AUTO struct buffer large = {0};
    struct identity id;
    for (int i = 0; i <= IDENTITY_BYTES_MAX; i++)
        buffer_append_u8(&large, 'x');
    assert_int_equal(disk_replace_file(disk, IDENTITY_FILE, buffer_slice(&large)), 0);
    assert_int_equal(identity_load(disk, &id), ST_CORRUPT);
    sim_disk_free(sim);
}

struct freshness {
    bool clean, durable, same_boot, torn, loss, fresh;
};

static void test_actor_freshness(void **state)
{
    static const struct freshness table[] = {
        /* clean, durable, same boot, torn, loss -> fresh */
        {true, false, true, false, false, false},
        {true, false, false, false, false, false},
        {true, false, false, true, false, true}, /* said to be clean, and yet torn */
        {true, true, true, false, true, true},
        {false, true, false, true, false, false}, /* power cut under fsync always */
        {false, true, true, false, false, false},
        {false, true, false, false, true, true},
        {false, false, true, false, false, false}, /* kill -9 */
        {false, false, true, true, false, true},
        {false, false, false, false, false, true}, /* power cut under everysec */
        {false, false, false, true, false, true},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct identity id = sample;
        id.clean = table[i].clean;
        id.durable = table[i].durable;
        struct identity_past past = {.boot_id = table[i].same_boot ? sample.boot_id : "other",
                                     .log_torn = table[i].torn,
                                     .log_loss = table[i].loss};
        if (identity_actor_fresh(&id, &past) != table[i].fresh)
            fail_msg("row %d", (int)i);
    }
    struct identity id = sample;
    struct identity_past past = {.boot_id = ""};
    id.clean = false;
    id.boot_id[0] = 0;
    assert_true(identity_actor_fresh(&id, &past)); /* two unknown boots are not the same */
    id = sample;
    id.actor = 0;
    assert_true(identity_actor_fresh(&id, &past));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_every_damage_is_noticed),
        cmocka_unit_test(test_newer_and_foreign),
        cmocka_unit_test(test_save_is_atomic),
        cmocka_unit_test(test_too_large_is_not_read),
        cmocka_unit_test(test_actor_freshness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
