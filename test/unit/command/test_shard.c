/* Turns, their commit and the keyspace map, over the fakes of the command layer. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "command/fake_expect.h"

static struct fake_node *node;

static int setup(void **state)
{
    node = fake_node_create(2);
    return 0;
}

static int teardown(void **state)
{
    struct settings *settings = node->settings;
    fake_node_free(node);
    settings_unref(settings);
    return 0;
}

static struct key key_on(unsigned shard, const char *prefix)
{
    static char text[32];
    for (unsigned i = 0;; i++) {
        snprintf(text, sizeof(text), "%s%u", prefix, i);
        struct key key = node_key(node->node, 0, slice_str(text));
        if (node_shard_index(node->node, key.partition) == shard)
            return key;
    }
}

/* What came since the last request. */
static void expect_then(struct fake_client *c, const char *wanted)
{
    buffer_clear(&c->out);
    fake_settle(c);
    assert_true(slice_equal(buffer_slice(&c->out), slice_str(wanted)));
}

static void test_turn_commits_when_all_of_it_is_synced(void **state)
{
    static uint8_t large[LOG_REF_BYTES_MIN];
    struct shard *s = node->shards[0].shard;
    struct key key = key_on(0, "k");
    node->node->commit_on_sync = true;
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, sizeof(large)), 0);
    shard_put(s, &key, slice_make(large, sizeof(large)), 0); /* is written at once */
    uint64_t part_lsn = node->lsn;
    assert_true(part_lsn > 0);
    assert_int_equal(shard_may_write(s, 10), 0);
    shard_put(s, &key, slice_str("v"), 0);
    node->synced_lsn = part_lsn;
    shard_turn_end(s);
    assert_true(node->lsn > part_lsn);
    assert_true(s->committed_turn < s->turn);
    assert_int_equal(shard_gate(s, key.partition), s->turn);
    shard_synced(s, node->lsn);
    assert_int_equal(s->committed_turn, s->turn);
    assert_int_equal(shard_gate(s, key.partition), 0);
}

static void test_many_unsynced_turns(void **state)
{
    struct shard *s = node->shards[0].shard;
    struct key key = key_on(0, "k");
    node->node->commit_on_sync = true;
    for (unsigned i = 0; i < 3000; i++) {
        shard_turn_begin(s);
        assert_int_equal(shard_may_write(s, 10), 0);
        shard_put(s, &key, slice_str("v"), 0);
        shard_turn_end(s);
    }
    shard_synced(s, node->lsn - 1);
    assert_true(s->committed_turn < s->turn);
    shard_synced(s, node->lsn);
    assert_int_equal(s->committed_turn, s->turn);
}

static void test_reads_wait_for_a_flushdb_that_is_not_synced(void **state)
{
    struct fake_client *client = fake_connect(node, 0), *reader = fake_connect(node, 1);
    fake_expect(client, "SET {a}1 v\r\nSET b v\r\nSET c v\r\n", "+OK\r\n+OK\r\n+OK\r\n");
    node->node->commit_on_sync = true;
    fake_expect(client, "FLUSHDB\r\n", "");
    fake_expect(reader, "MGET {a}1 b c\r\n", "");
    node->synced_lsn = node->lsn;
    expect_then(client, "+OK\r\n");
    expect_then(reader, "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    fake_disconnect(reader);
    fake_disconnect(client);
}

/* What is awaited may be synced when the turn behind it ends: then nothing is left to wait for. */
static void test_turn_without_writes_commits_with_those_before(void **state)
{
    struct shard *s = node->shards[0].shard;
    struct key key = key_on(0, "k");
    node->node->commit_on_sync = true;
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, 10), 0);
    shard_put(s, &key, slice_str("v"), 0);
    shard_turn_end(s);
    assert_true(s->committed_turn < s->turn);
    shard_turn_begin(s);
    shard_turn_end(s);
    assert_true(s->committed_turn < s->turn);
    shard_turn_settle(s, node->lsn - 1);
    assert_true(s->committed_turn < s->turn);
    shard_turn_settle(s, node->lsn);
    assert_int_equal(s->committed_turn, s->turn);
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, 10), 0);
    shard_put(s, &key, slice_str("v"), 0);
    shard_turn_end(s);
    node->synced_lsn = node->lsn;
    shard_turn_begin(s);
    shard_turn_end(s);
    assert_int_equal(s->committed_turn, s->turn);
}

/* The other shard's rows are there before the home part ends, with the engine's turn. */
static void test_scan_that_ends_in_the_engines_turn_waits_for_other_shards(void **state)
{
    struct fake_client *client = fake_connect(node, 0);
    struct key key = key_on(1, "k");
    struct shard *s = node->shards[1].shard;
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "*1\r\n$%zu\r\n%.*s\r\n", key.bytes.len, (int)key.bytes.len,
             (const char *)key.bytes.data);
    node->node->commit_on_sync = true;
    node->shards[0].engine->defer_scans = true;
    node->shards[0].engine->scan_turns = 2;
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, 10), 0);
    shard_put(s, &key, slice_str("v"), 0);
    shard_turn_end(s);
    fake_expect(client, "KEYS *\r\n", "");
    assert_int_equal(node->shards[0].engine->scan_turns, 0);
    assert_null(node->shards[0].engine->scan);
    node->synced_lsn = node->lsn;
    expect_then(client, wanted);
    fake_disconnect(client);
}

static void test_scan_waits_for_other_shards(void **state)
{
    struct fake_client *client = fake_connect(node, 0);
    struct key key = key_on(1, "k");
    struct shard *s = node->shards[1].shard;
    node->node->commit_on_sync = true;
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, 10), 0);
    shard_put(s, &key, slice_str("v"), 0);
    shard_turn_end(s);
    fake_expect(client, "DBSIZE\r\n", "");
    node->synced_lsn = node->lsn;
    expect_then(client, ":1\r\n");
    fake_disconnect(client);
}

static void test_count_in_a_transaction_waits_for_other_shards(void **state)
{
    struct fake_client *client = fake_connect(node, 0);
    struct key key = key_on(1, "k");
    struct shard *s = node->shards[1].shard;
    node->node->commit_on_sync = true;
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, 10), 0);
    shard_put(s, &key, slice_str("v"), 0);
    shard_turn_end(s);
    fake_expect(client, "MULTI\r\nDBSIZE\r\n", "+OK\r\n+QUEUED\r\n");
    fake_expect(client, "EXEC\r\n", "");
    node->synced_lsn = node->lsn;
    expect_then(client, "*1\r\n:1\r\n");
    fake_disconnect(client);
}

static void test_no_write_without_stamps(void **state)
{
    struct shard *s = node->shards[0].shard;
    s->hlc.reserved = hlc_stamp(node->wall_ms + 1000, 0);
    node_hlc_reserved(node->node, s->hlc.reserved);
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, 10), 0);
    shard_turn_end(s);
    node->wall_ms += 1000;
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, 10), ST_NOSPACE);
    shard_turn_end(s);
    node_hlc_reserved(node->node, UINT64_MAX);
    shard_turn_begin(s);
    assert_int_equal(shard_may_write(s, 10), 0);
    shard_turn_end(s);
}

static void test_writes_heed_the_pressure_of_all_shards(void **state)
{
    struct fake_client *client = fake_connect(node, 0);
    char request[128], name[32];
    struct key key = key_on(1, "k");
    snprintf(name, sizeof(name), "%.*s", (int)key.bytes.len, (const char *)key.bytes.data);
    snprintf(request, sizeof(request), "SET %s v\r\n", name);
    node->shards[1].engine->pressure = 1000;
    fake_expect(client, request, "");
    node->shards[1].engine->pressure = 0;
    buffer_clear(&client->out);
    fake_sleep(client, 100000);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("+OK\r\n")));
    fake_disconnect(client);
}

static void test_watches_are_bounded(void **state)
{
    struct fake_client *client = fake_connect(node, 0);
    char request[32];
    for (unsigned i = 0; i < 65536; i++) {
        snprintf(request, sizeof(request), "WATCH k%u\r\n", i);
        fake_expect(client, request, "+OK\r\n");
    }
    fake_expect(client, "WATCH more\r\n",
                "-ERR too many keys are watched, or of more than multi-bytes-max bytes\r\n");
    fake_expect(client, "UNWATCH\r\nWATCH more\r\n", "+OK\r\n+OK\r\n");
    fake_disconnect(client);
    for (unsigned i = 0; i < node->count; i++)
        fake_turn(&node->shards[i], NULL);
}

/* --- the keyspace map, looked at by another thread --- */

static atomic_bool asking;
static unsigned wrong;

static void *ask(void *argument)
{
    while (atomic_load(&asking))
        for (uint32_t id = 0; id < NODE_DBS; id++)
            wrong += node_keyspace_dropped(node->node, id);
    return NULL;
}

static void test_swapped_keyspaces_never_look_dropped(void **state)
{
    pthread_t thread;
    struct shard *s = node->shards[0].shard;
    wrong = 0;
    atomic_store(&asking, true);
    assert_int_equal(pthread_create(&thread, NULL, ask, NULL), 0);
    assert_int_equal(shard_may_write(s, 0), 0);
    for (unsigned i = 0; i < 200000; i++) {
        node_swap_db(node->node, s, i % NODE_DBS, (i * 7 + 3) % NODE_DBS);
        log_batch_clear(&s->batch);
    }
    atomic_store(&asking, false);
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
    node_flush_db(node->node, s, 0);
    unsigned dropped = 0;
    for (uint32_t id = 0; id < NODE_DBS; id++)
        dropped += node_keyspace_dropped(node->node, id);
    assert_int_equal(dropped, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_turn_commits_when_all_of_it_is_synced),
        T(test_many_unsynced_turns),
        T(test_reads_wait_for_a_flushdb_that_is_not_synced),
        T(test_turn_without_writes_commits_with_those_before),
        T(test_scan_waits_for_other_shards),
        T(test_scan_that_ends_in_the_engines_turn_waits_for_other_shards),
        T(test_count_in_a_transaction_waits_for_other_shards),
        T(test_no_write_without_stamps),
        T(test_writes_heed_the_pressure_of_all_shards),
        T(test_watches_are_bounded),
        T(test_swapped_keyspaces_never_look_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
