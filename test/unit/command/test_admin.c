/* Commands about connections, settings and the server, and those that walk all keys, against a fake
 * engine. */
#include <stdio.h>

#include "command/fake_fixture.h"

static void store_numbered(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char line[64];
        snprintf(line, sizeof(line), "SET k%04u v%u", i, i);
        assert_true(slice_equal(ask(client, line), slice_str("+OK\r\n")));
    }
}

/* --- walking the keys --- */

static void test_range(void **state)
{
    fake_expect(client, "MSET a 1 b 2 c 3 ab 4\r\n", "+OK\r\n");
    fake_expect(client, "RANGE a c\r\n",
                "*6\r\n$1\r\na\r\n$1\r\n1\r\n$2\r\nab\r\n$1\r\n4\r\n$1\r\nb\r\n$1\r\n2\r\n");
    fake_expect(client, "RANGE - + REVERSE LIMIT 2 KEYSONLY\r\n", "*2\r\n$1\r\nc\r\n$1\r\nb\r\n");
    fake_expect(client, "PREFIX a AFTER a\r\nPREFIX a KEYSONLY\r\nRANGE c a\r\n",
                "*2\r\n$2\r\nab\r\n$1\r\n4\r\n*2\r\n$1\r\na\r\n$2\r\nab\r\n*0\r\n");
    fake_expect(client, "RANGE - + LIMIT x\r\nRANGE - + FOO\r\n",
                "-ERR LIMIT is not an integer or out of range\r\n-ERR syntax error\r\n");
    fake_expect(client, "LIST\r\nKEYS ?\r\nDBSIZE\r\n",
                "*4\r\n$1\r\na\r\n$2\r\nab\r\n$1\r\nb\r\n$1\r\nc\r\n"
                "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n:4\r\n");
    fake_expect(client, "MULTI\r\nRANGE - +\r\nDISCARD\r\n",
                "+OK\r\n-ERR Command not allowed inside a transaction\r\n+OK\r\n");
}

/* More rows than a batch has. */
static void test_keys_in_batches(void **state)
{
    store_numbered(9000);
    struct slice reply = ask(client, "KEYS *");
    assert_true(reply.len > 7);
    assert_memory_equal(reply.data, "*9000\r\n", 7);
    reply = ask(client, "KEYS k*99");
    assert_memory_equal(reply.data, "*90\r\n", 5);
}

/* Follows the cursors from 0 to the end; how many keys came. Counts each into seen[]. */
static unsigned scan_all(const char *options, unsigned *seen, unsigned keys)
{
    unsigned total = 0;
    uint64_t cursor = 0;
    do {
        char line[128];
        snprintf(line, sizeof(line), "SCAN %llu %s", (unsigned long long)cursor, options);
        struct slice reply = ask(client, line);
        buffer_append_u8(&client->out, '\0');
        const char *at = (const char *)client->out.data;
        assert_memory_equal(at, "*2\r\n$", 5);
        at = strstr(at + 5, "\r\n") + 2;
        cursor = strtoull(at, NULL, 10);
        while ((at = strstr(at, "\r\nk")) != NULL) {
            unsigned key = (unsigned)strtoul(at += 3, NULL, 10);
            assert_true(key < keys);
            seen[key]++;
            total++;
        }
        assert_true(reply.len > 0);
    } while (cursor != 0);
    return total;
}

static void test_scan(void **state)
{
    unsigned seen[500] = {0};
    store_numbered(500);
    assert_int_equal(scan_all("", seen, 500), 500);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(scan_all("COUNT 1", seen, 500), 500);
    assert_int_equal(scan_all("COUNT 10000", seen, 500), 500);
    assert_int_equal(scan_all("MATCH k*7 COUNT 33", seen, 500), 50);
    fake_expect(client, "SCAN 0 TYPE list\r\nSCAN x\r\nSCAN 0 COUNT 0\r\nSCAN 77\r\n",
                "*2\r\n$1\r\n0\r\n*0\r\n-ERR invalid cursor\r\n-ERR syntax error\r\n"
                "-ERR cursor 77 is unknown or was dropped for newer ones; start again from 0\r\n");
}

/* The scan waits for the disk; then the client goes away while it waits. */
static void test_scan_in_background(void **state)
{
    fake_expect(client, "MSET a 1 b 2\r\n", "+OK\r\n");
    node->shards[0].engine->defer_scans = true;
    fake_expect(client, "KEYS *\r\nPING\r\n", "");
    assert_int_equal(client->state, SESSION_BLOCKED);
    buffer_clear(&client->out);
    fake_engine_work(node->shards[0].engine);
    fake_settle(client);
    assert_true(slice_equal(buffer_slice(&client->out),
                            slice_str("*2\r\n$1\r\na\r\n$1\r\nb\r\n+PONG\r\n")));
    fake_expect(client, "SCAN 0\r\n", "");
    fake_disconnect(client);
    fake_engine_work(node->shards[0].engine);
    client = fake_connect(node, 0);
    fake_settle(client);
    node->shards[0].engine->defer_scans = false;
}

static void test_time(void **state)
{
    fake_expect(client, "TIME\r\n", "*2\r\n$10\r\n1700000000\r\n$1\r\n7\r\n");
}

static void test_cas(void **state)
{
    fake_expect(client, "CAS k a b\r\nSET k a PX 100000\r\nCAS k x b\r\nCAS k a b\r\nGET k\r\n",
                ":0\r\n+OK\r\n:0\r\n:1\r\n$1\r\nb\r\n");
    assert_true(contains(ask(client, "PTTL k"), ":100000"));
}

/* --- settings --- */

static void test_config(void **state)
{
    fake_expect(client, "CONFIG GET MaxClients nosuch\r\n",
                "*2\r\n$10\r\nMaxClients\r\n$5\r\n10000\r\n");
    fake_expect(client, "CONFIG SET maxclients 7 slowlog-max-len 5\r\nCONFIG GET max-clients\r\n",
                "+OK\r\n*2\r\n$11\r\nmax-clients\r\n$1\r\n7\r\n");
    /* All or nothing. */
    fake_expect(client, "CONFIG SET maxclients 8 timeout x\r\nCONFIG GET maxclients\r\n",
                "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument "
                "couldn't be parsed into an integer\r\n*2\r\n$10\r\nmaxclients\r\n$1\r\n7\r\n");
    fake_expect(client, "CONFIG SET maxclients 8 max-clients 9\r\nCONFIG SET nosuch 1\r\n",
                "-ERR CONFIG SET failed (possibly related to argument 'max-clients') - duplicate "
                "parameter\r\n-ERR Unknown option or number of arguments for CONFIG SET - "
                "'nosuch'\r\n");
    fake_expect(client, "CONFIG SET port 1\r\nCONFIG SET a b c\r\nCONFIG REWRITE\r\n",
                "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set "
                "immutable config\r\n-ERR syntax error\r\n"
                "-ERR The server is running without a config file\r\n");
    for (unsigned i = 0; i < 200; i++) /* more often than old ones are kept */
        fake_expect(client, "CONFIG SET timeout 100\r\n", "+OK\r\n");
}

static void test_slowlog(void **state)
{
    fake_expect(client, "CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 2\r\n", "+OK\r\n");
    ask(client, "CONFIG SET password secret");
    struct slice log = ask(client, "SLOWLOG GET 1");
    assert_true(contains(log, "$10\r\n(redacted)\r\n"));
    assert_false(contains(log, "secret"));
    fake_expect(client, "CONFIG SET password \"\"\r\n", "+OK\r\n");
    fake_expect(client, "SLOWLOG LEN\r\nSLOWLOG GET x\r\n",
                ":2\r\n-ERR count should be greater than or equal to -1\r\n");
    fake_expect(client, "CONFIG SET slowlog-log-slower-than -1\r\nSLOWLOG RESET\r\nSLOWLOG LEN\r\n",
                "+OK\r\n+OK\r\n:0\r\n");
}

/* --- connections --- */

static void test_client_list_and_kill(void **state)
{
    struct fake_client *other = fake_connect(node, node->count - 1);
    fake_expect(other, "CLIENT SETNAME victim\r\nCLIENT GETNAME\r\n", "+OK\r\n$6\r\nvictim\r\n");
    struct slice list = ask(client, "CLIENT LIST");
    assert_true(contains(list, "name=victim "));
    assert_true(contains(list, "cmd=client|list "));
    fake_expect(client, "CLIENT KILL 9.9.9.9:1\r\nCLIENT KILL ID 0\r\nCLIENT KILL FOO bar\r\n",
                "-ERR No such client\r\n-ERR client-id should be greater than 0\r\n"
                "-ERR syntax error\r\n");
    fake_expect(client, "CLIENT KILL TYPE pubsub\r\nCLIENT KILL TYPE normal\r\n", ":0\r\n:1\r\n");
    fake_settle(client);
    assert_true(other->killed);
    fake_disconnect(other);
    assert_false(contains(ask(client, "CLIENT LIST"), "victim"));
}

static void test_client_kills_itself_after_the_reply(void **state)
{
    fake_expect(client, "CLIENT KILL SKIPME no TYPE normal\r\n", ":1\r\n");
    assert_int_equal(client->state, SESSION_CLOSING);
}

static void test_client_reply(void **state)
{
    fake_expect(client, "CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\n",
                "+OK\r\n+PONG\r\n");
    fake_expect(client, "CLIENT REPLY SKIP\r\nPING a\r\nPING b\r\n", "$1\r\nb\r\n");
    fake_expect(client, "CLIENT REPLY x\r\n", "-ERR syntax error\r\n");
}

static void test_client_pause(void **state)
{
    fake_expect(client, "CLIENT PAUSE 50 WRITE\r\nGET k\r\nSET k 1\r\n", "+OK\r\n$-1\r\n");
    buffer_clear(&client->out);
    fake_sleep(client, 60000);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("+OK\r\n")));
    fake_expect(client, "CLIENT PAUSE -1\r\nCLIENT PAUSE x\r\nCLIENT PAUSE 1 foo\r\n",
                "-ERR timeout is negative\r\n-ERR timeout is not an integer or out of range\r\n"
                "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n");
}

/* --- the server --- */

static struct node_snapshot *snapshot;
static int snapshot_status;

static int fake_snapshot(void *ctx, struct node_snapshot *asked)
{
    if (snapshot != NULL)
        return ST_AGAIN;
    snapshot = asked;
    return 0;
}

static void snapshot_end(void)
{
    struct node_snapshot *asked = snapshot;
    snapshot = NULL;
    asked->done(asked, snapshot_status);
}

static void test_save(void **state)
{
    node->node->hooks.snapshot = fake_snapshot;
    fake_expect(client, "BGSAVE\r\nBGSAVE\r\n",
                "+Background saving started\r\n-ERR Background save already in progress\r\n");
    assert_true(contains(ask(client, "INFO persistence"), "rdb_bgsave_in_progress:1"));
    snapshot_end();
    fake_expect(client, "SAVE\r\nPING\r\n", "");
    assert_int_equal(client->state, SESSION_BLOCKED);
    buffer_clear(&client->out);
    snapshot_status = ST_NOSPACE;
    snapshot_end();
    fake_settle(client);
    assert_true(slice_equal(
        buffer_slice(&client->out),
        slice_str("-ERR the snapshot failed: no space left on the device\r\n+PONG\r\n")));
    assert_true(contains(ask(client, "INFO persistence"), "rdb_last_bgsave_status:err"));
    snapshot_status = 0;
    fake_expect(client, "SAVE\r\n", "");
    fake_disconnect(client); /* before it is done */
    client = fake_connect(node, 0);
    snapshot_end();
    fake_settle(client);
}

static void test_save_in_exec(void **state)
{
    node->node->hooks.snapshot = fake_snapshot;
    fake_expect(client, "MULTI\r\nBGSAVE\r\nBGREWRITEAOF\r\nSAVE\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR Command not allowed inside a transaction\r\n");
    fake_expect(client, "DISCARD\r\nMULTI\r\nBGSAVE SCHEDULE\r\nBGREWRITEAOF\r\nEXEC\r\n",
                "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+Background saving scheduled\r\n"
                "+Background append only file rewriting scheduled\r\n");
    snapshot_end();
    assert_true(contains(ask(client, "INFO persistence"), "rdb_bgsave_in_progress:0"));
}

static void test_which_limit_a_value_meets(void **state)
{
    fake_expect(client, "CONFIG SET value-bytes-max 1048576\r\nSET k v\r\n", "+OK\r\n+OK\r\n");
    fake_expect(client,
                "SETRANGE k 1048576 x\r\nSETBIT k 8388608 1\r\nBITFIELD k SET u8 8388608 1\r\n",
                "-ERR string exceeds maximum allowed size (value-bytes-max)\r\n"
                "-ERR string exceeds maximum allowed size (value-bytes-max)\r\n"
                "-ERR string exceeds maximum allowed size (value-bytes-max)\r\n");
    fake_expect(client, "SETRANGE k 536870912 x\r\nSETBIT k 4294967296 1\r\n",
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
                "-ERR bit offset is not an integer or out of range\r\n");
    fake_expect(client, "GET k\r\n", "$1\r\nv\r\n");
}

static void test_info(void **state)
{
    fake_expect(client, "SET k v\r\nGET k\r\nGET none\r\n", "+OK\r\n$1\r\nv\r\n$-1\r\n");
    struct slice all = ask(client, "INFO everything");
    static const char *const wanted[] = {"# Server\r\n",
                                         "# CPU\r\n",
                                         "# Commandstats\r\n",
                                         "# Torc\r\n",
                                         "redis_version:7.0.15\r\n",
                                         "cmdstat_get:calls=2,",
                                         "keyspace_hits:1\r\n",
                                         "keyspace_misses:1\r\n",
                                         "role:master\r\n"};
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        assert_true(contains(all, wanted[i]));
    struct slice some = ask(client, "INFO replication CLUSTER");
    assert_true(contains(some, "# Replication\r\n"));
    assert_true(contains(some, "\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n"));
    assert_false(contains(some, "# Server"));
    fake_expect(client, "INFO nosuch\r\n", "$0\r\n\r\n");
    fake_expect(client, "CONFIG RESETSTAT\r\n", "+OK\r\n");
    assert_true(contains(ask(client, "INFO stats"), "keyspace_hits:0\r\n"));
    assert_true(contains(ask(client, "STATUS"), "health      well"));
}

static void test_flush(void **state)
{
    fake_expect(client, "MSET a 1 b 2\r\nSELECT 1\r\nSET c 3\r\nFLUSHDB ASYNC\r\nDBSIZE\r\n",
                "+OK\r\n+OK\r\n+OK\r\n+OK\r\n:0\r\n");
    fake_expect(client, "SWAPDB 0 1\r\nGET a\r\nFLUSHALL x\r\nFLUSHALL\r\nGET a\r\n",
                "+OK\r\n$1\r\n1\r\n-ERR syntax error\r\n+OK\r\n$-1\r\n");
    fake_expect(client, "SWAPDB x 1\r\nSWAPDB 0 y\r\nSWAPDB 0 16\r\n",
                "-ERR invalid first DB index\r\n-ERR invalid second DB index\r\n"
                "-ERR DB index is out of range\r\n");
}

static void test_dbsize_in_exec(void **state)
{
    static const char *const commands =
        "MULTI\r\nDBSIZE\r\nSELECT 1\r\nDBSIZE\r\nSET d 1\r\nDBSIZE\r\nSELECT 0\r\nEXEC\r\n";
    fake_expect(client, "MSET a 1 b 2\r\nSELECT 1\r\nSET c 3\r\nSELECT 0\r\n",
                "+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
    for (unsigned unknown = 0; unknown < 4; unknown++) {
        for (unsigned i = 0; i < node->node->shards; i++) /* made unknown again meanwhile */
            node->shards[i].shard->engine->counts_unknown = unknown;
        fake_expect(client, commands,
                    "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
                    "*6\r\n:2\r\n+OK\r\n:1\r\n+OK\r\n:2\r\n+OK\r\n");
        fake_expect(client, "SELECT 1\r\nDEL d\r\nSELECT 0\r\n", "+OK\r\n:1\r\n+OK\r\n");
    }
    node->shards[0].shard->engine->counts_unknown = 1000; /* always: it ends all the same */
    assert_true(contains(ask(client, "MULTI\r\nDBSIZE\r\nEXEC"),
                         "-ERR the number of keys is not known inside this transaction"));
}

static void test_shutdown(void **state)
{
    fake_expect(client, "SHUTDOWN foo\r\nSHUTDOWN ABORT\r\nSHUTDOWN SAVE NOSAVE\r\n",
                "-ERR syntax error\r\n-ERR No shutdown in progress.\r\n-ERR syntax error\r\n");
    assert_false(node->shutdown);
    fake_expect(client, "SHUTDOWN NOSAVE\r\n", "");
    assert_true(node->shutdown);
    assert_int_equal(client->state, SESSION_CLOSING);
}

static void test_debug_is_off(void **state)
{
    assert_true(contains(ask(client, "DEBUG SLEEP 0"), "-ERR DEBUG command not allowed."));
}

#define BOTH(test)                                               \
    cmocka_unit_test_setup_teardown(test, setup, teardown),      \
    {                                                            \
#test " (3 shards)", test, setup_sharded, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_range),
        BOTH(test_keys_in_batches),
        BOTH(test_scan),
        cmocka_unit_test_setup_teardown(test_scan_in_background, setup, teardown),
        BOTH(test_time),
        BOTH(test_cas),
        BOTH(test_config),
        BOTH(test_slowlog),
        BOTH(test_client_list_and_kill),
        BOTH(test_client_kills_itself_after_the_reply),
        BOTH(test_client_reply),
        BOTH(test_client_pause),
        BOTH(test_save),
        BOTH(test_save_in_exec),
        BOTH(test_which_limit_a_value_meets),
        BOTH(test_info),
        BOTH(test_flush),
        BOTH(test_dbsize_in_exec),
        BOTH(test_shutdown),
        BOTH(test_debug_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
