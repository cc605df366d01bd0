/* What commands are said to have taken, with a clock that goes on by look_us at each look. */
#include <stdio.h>

#include "command/fake_fixture.h"

#define LOOK_US 3200

static void expect_part(const char *line, const char *part)
{
    struct slice reply = ask(client, line);
    if (!contains(reply, part))
        print_error("%s answered <%.*s>, which lacks <%s>\n", line, (int)reply.len, reply.data,
                    part);
    assert_true(contains(reply, part));
}

static void send_pipelined(const char *line, unsigned times, const char *last)
{
    BUFFER_AUTO struct buffer sent = {0};
    for (unsigned i = 0; i < times; i++)
        buffer_printf(&sent, "%s\r\n", line);
    buffer_printf(&sent, "%s\r\n", last);
    assert_int_equal(fake_send(client, sent.data, sent.len), 0);
    fake_settle(client);
}

static void test_fast_commands_are_timed_together(void **state)
{
    fake_expect(client, "CONFIG SET slowlog-log-slower-than 10000\r\nCONFIG RESETSTAT\r\n",
                "+OK\r\n+OK\r\n");
    node->look_us = LOOK_US;
    send_pipelined("GET a", 31, "GET b");
    node->look_us = 0;
    expect_part("INFO commandstats", "cmdstat_get:calls=32,usec=3200,usec_per_call=100.00,");
    expect_part("INFO latencystats",
                "latency_percentiles_usec_get:p50=100.000,p99=100.000,p99.9=100.000\r\n");
    expect_part("LATENCY HISTOGRAM get", "$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:32\r\n"
                                         "$14\r\nhistogram_usec\r\n*2\r\n:131\r\n:32\r\n");
    expect_part("CONFIG RESETSTAT", "+OK");
    assert_false(contains(ask(client, "INFO latencystats"), "_get:"));
}

/* Each alone where the slow log asks for so little. */
static void test_fast_commands_are_timed_alone(void **state)
{
    fake_expect(client, "CONFIG SET slowlog-log-slower-than 500\r\nCONFIG RESETSTAT\r\n",
                "+OK\r\n+OK\r\n");
    node->look_us = LOOK_US;
    send_pipelined("GET a", 3, "SELECT 0");
    node->look_us = 0;
    expect_part("INFO commandstats", "cmdstat_get:calls=3,usec=9600,");
    expect_part("SLOWLOG LEN", ":4");
}

static void test_a_slow_run_is_logged_once(void **state)
{
    fake_expect(client,
                "SET big 0123456789\r\nCONFIG SET slowlog-log-slower-than 3000\r\n"
                "CLIENT SETNAME me\r\n",
                "+OK\r\n+OK\r\n+OK\r\n");
    node->look_us = LOOK_US;
    send_pipelined("GET a", 7, "GET big");
    node->look_us = 0;
    expect_part("SLOWLOG GET", "*1\r\n*6\r\n:0\r\n:1700000000\r\n:3200\r\n*2\r\n$3\r\nGET\r\n$3\r\n"
                               "big\r\n$14\r\n127.0.0.1:5000\r\n$2\r\nme\r\n");
}

static void test_commands_of_a_transaction_are_timed(void **state)
{
    fake_expect(client,
                "CONFIG SET slowlog-log-slower-than 3000\r\nMULTI\r\nGET a\r\nKEYS *\r\nDISCARD\r\n"
                "MULTI\r\nINCR a\r\nAPPEND b x\r\n",
                "+OK\r\n+OK\r\n+QUEUED\r\n-ERR Command not allowed inside a transaction\r\n+OK\r\n"
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    node->look_us = LOOK_US;
    send_pipelined("EXEC", 0, "EXEC");
    node->look_us = 0;
    expect_part("SLOWLOG LEN", ":1");
    expect_part("INFO commandstats", "cmdstat_incr:calls=1,usec=1600,");
}

static void test_commands_on_other_shards_are_timed(void **state)
{
    char line[64];
    unsigned i = 0;
    for (;; i++) {
        snprintf(line, sizeof(line), "key%u", i);
        if (node_shard_index(node->node, node_key(node->node, 0, slice_str(line)).partition) == 2)
            break;
    }
    fake_expect(client, "CONFIG SET slowlog-log-slower-than 3000\r\nCONFIG RESETSTAT\r\n",
                "+OK\r\n+OK\r\n");
    snprintf(line, sizeof(line), "GET key%u", i);
    node->look_us = LOOK_US;
    send_pipelined(line, 7, line);
    node->look_us = 0;
    expect_part("INFO commandstats", "cmdstat_get:calls=8,usec=3200,");
    expect_part("SLOWLOG LEN", ":1");
}

static void test_latency_events(void **state)
{
    fake_expect(client, "LATENCY LATEST\r\nLATENCY RESET\r\n", "*0\r\n:0\r\n");
    expect_part("LATENCY DOCTOR", "Nothing is recorded");
    fake_expect(client, "CONFIG SET latency-monitor-threshold 3\r\n", "+OK\r\n");
    expect_part("LATENCY DOCTOR", "Nothing was slow");
    node->look_us = LOOK_US;
    send_pipelined("SET a 1", 1, "APPEND a 2");
    send_pipelined("GET a", 1, "GET a");
    node->look_us = 0;
    expect_part("LATENCY LATEST", "*4\r\n*4\r\n$7\r\ncommand\r\n:1700000000\r\n:3\r\n:3\r\n"
                                  "*4\r\n$12\r\nfast-command\r\n");
    expect_part("LATENCY LATEST", "\r\nlog-write\r\n");
    expect_part("LATENCY LATEST", "\r\nengine-turn\r\n");
    fake_expect(client, "LATENCY HISTORY log-write\r\nLATENCY HISTORY nothing\r\n",
                "*1\r\n*2\r\n:1700000000\r\n:3\r\n*0\r\n");
    expect_part("LATENCY GRAPH command", "command - high 3 ms, low 3 ms (all time high 3 ms)\n#\n");
    expect_part("LATENCY DOCTOR", "slow in 1 seconds, 3 ms on average");
    fake_expect(client,
                "LATENCY RESET command nothing\r\nLATENCY RESET\r\nLATENCY LATEST\r\n"
                "LATENCY GRAPH command\r\n",
                ":1\r\n:3\r\n*0\r\n-ERR No samples available for event 'command'\r\n");
}

static void test_waiting_for_the_disk_is_an_event(void **state)
{
    fake_expect(client, "CONFIG SET latency-monitor-threshold 3\r\n", "+OK\r\n");
    node->node->commit_on_sync = true;
    fake_expect(client, "SET a 1\r\n", "");
    fake_sleep(client, 20000);
    node->synced_lsn = node->lsn;
    fake_settle(client);
    fake_expect(client, "LATENCY HISTORY log-sync\r\n", "*1\r\n*2\r\n:1700000000\r\n:20\r\n");
}

#define T(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TS(name) cmocka_unit_test_setup_teardown(name, setup_sharded, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_fast_commands_are_timed_together),    T(test_fast_commands_are_timed_alone),
        T(test_a_slow_run_is_logged_once),           T(test_commands_of_a_transaction_are_timed),
        TS(test_commands_on_other_shards_are_timed), T(test_latency_events),
        T(test_waiting_for_the_disk_is_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
