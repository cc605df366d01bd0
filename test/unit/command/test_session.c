#include <stdio.h>

#include "command/dump.h"
#include "command/fake_fixture.h"

static struct engine *engine(void)
{
    return node->shards[0].engine;
}

static void test_basics(void **state)
{
    fake_expect(client, "PING\r\n", "+PONG\r\n");
    fake_expect(client, "SET k v\r\nGET k\r\nget none\r\n", "+OK\r\n$1\r\nv\r\n$-1\r\n");
    fake_expect(client, "*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n");
    fake_expect(client, "put a 1\r\nread a\r\ndelete a\r\nread a\r\n",
                "+OK\r\n$1\r\n1\r\n:1\r\n$-1\r\n");
    fake_expect(client, "*0\r\n\r\n*-1\r\nPING x\r\n", "$1\r\nx\r\n");
    fake_expect(client, "MSET a 1 b 2\r\nMGET a b c\r\nDEL a b c\r\n",
                "+OK\r\n*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n:2\r\n");
}

static void test_every_split(void **state)
{
    static const char sent[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\nGET k\r\n"
                               "*2\r\n$6\r\nAPPEND\r\n$1\r\nk\r\nPING\n";
    static const char wanted[] =
        "+OK\r\n$5\r\nhello\r\n-ERR wrong number of arguments for 'append' command\r\n+PONG\r\n";
    for (size_t piece = 1; piece < sizeof(sent); piece++) {
        client->read_piece = piece;
        fake_expect(client, sent, wanted);
    }
}

/* Hands input over without running anything. */
static void put_input(const char *text)
{
    void *to;
    size_t room;
    session_space(client->session, &to, &room);
    assert_true(room >= strlen(text));
    memcpy(to, text, strlen(text));
    session_received(client->session, strlen(text));
    client->runnable = true;
}

static void test_pipelined_commands_max(void **state)
{
    fake_expect(client, "CONFIG SET pipelined-commands-max 3\r\n", "+OK\r\n");
    uint64_t before = node->node->metrics[0].commands_processed;
    buffer_clear(&client->out);
    put_input("ECHO a\r\nECHO b\r\nECHO c\r\nECHO d\r\nECHO e\r\n");
    fake_turn(client->home, client);
    assert_int_equal(client->state, SESSION_MORE);
    assert_int_equal(node->node->metrics[0].commands_processed - before, 3);
    fake_turn(client->home, client);
    assert_int_equal(client->state, SESSION_IDLE);
    assert_int_equal(node->node->metrics[0].commands_processed - before, 5);
    fake_collect(client);
    assert_true(slice_equal(buffer_slice(&client->out),
                            slice_str("$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n")));
}

/* Also when it is lowered with commands parsed ahead; no more is read while some are under way. */
static void test_pipelined_commands_max_on_other_shards(void **state)
{
    char name[2] = "a", line[32], wanted[32];
    BUFFER_AUTO struct buffer sent = {0}, answers = {0};
    uint64_t *forwarded = &node->node->metrics[client->home->shard->id].commands_forwarded;
    while (node_shard_index(node->node, node_key(node->node, 0, slice_str(name)).partition) != 0)
        name[0]++;
    fake_expect(client, "CONFIG SET pipelined-commands-max 4\r\n", "+OK\r\n");
    for (unsigned i = 1; i <= 10; i++) {
        snprintf(line, sizeof(line), "INCR %s\r\n", name);
        snprintf(wanted, sizeof(wanted), ":%u\r\n", i);
        buffer_append_str(&sent, line);
        buffer_append_str(&answers, wanted);
    }
    buffer_append_u8(&sent, '\0');
    buffer_clear(&client->out);
    put_input((const char *)sent.data);
    fake_turn(client->home, client);
    assert_int_equal(client->state, SESSION_BLOCKED);
    assert_int_equal(*forwarded, 4);
    assert_int_equal(session_run(client->session), SESSION_BLOCKED);
    fake_settle(client);
    assert_int_equal(*forwarded, 10);
    assert_true(slice_equal(buffer_slice(&client->out), buffer_slice(&answers)));
}

static void test_unknown(void **state)
{
    fake_expect(client, "FOO a bc\r\n",
                "-ERR unknown command 'FOO', with args beginning with: 'a' 'bc' \r\n");
    fake_expect(client, "CLIENT BAR\r\n", "-ERR unknown subcommand 'BAR'. Try CLIENT HELP.\r\n");
    fake_expect(client, "CLIENT\r\n", "-ERR wrong number of arguments for 'client' command\r\n");
    fake_expect(client, "client|id\r\n",
                "-ERR unknown command 'client|id', with args beginning with: \r\n");
    fake_expect(client, "GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n");
    fake_expect(client, "LPUSH a b\r\n",
                "-ERR unknown command 'LPUSH', with args beginning with: 'a' 'b' (Torc stores "
                "strings: it has no lists, hashes, sets, sorted sets, streams, channels or "
                "scripts)\r\n");
}

static void test_protocol_error_closes(void **state)
{
    fake_expect(client, "PING\r\n*1\r\n+x\r\n",
                "+PONG\r\n-ERR Protocol error: expected '$', got "
                "'+'\r\n");
    assert_int_equal(client->state, SESSION_CLOSING);
}

static void test_http_is_cut(void **state)
{
    fake_expect(client, "POST / HTTP/1.1\r\n", "");
    assert_true(client->killed);
}

static void test_quit(void **state)
{
    fake_expect(client, "SET a 1\r\nQUIT\r\nSET a 2\r\n", "+OK\r\n+OK\r\n");
    assert_int_equal(client->state, SESSION_CLOSING);
}

static void test_cold_keys_are_fetched_and_order_kept(void **state)
{
    fake_expect(client, "MSET a 1 b 2\r\n", "+OK\r\n");
    fake_engine_chill(engine());
    fake_expect(client, "SET c 3\r\nMGET a b\r\nPING\r\n", "+OK\r\n");
    assert_int_equal(client->state, SESSION_BLOCKED);
    fake_engine_work(engine());
    assert_int_equal(engine()->fetched, 2);
    fake_settle(client);
    fake_expect(client, "", "");
    fake_expect(client, "MGET a b c\r\n", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
}

static void test_cold_reply_comes_once(void **state)
{
    fake_expect(client, "MSET a 1 b 2\r\n", "+OK\r\n");
    fake_engine_chill(engine());
    fake_expect(client, "GETSET a 9\r\nPING\r\n", "");
    fake_engine_work(engine());
    buffer_clear(&client->out);
    fake_settle(client);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("$1\r\n1\r\n+PONG\r\n")));
}

static void test_blind_writes_do_not_fetch(void **state)
{
    fake_expect(client, "MSET a 1 b 2\r\n", "+OK\r\n");
    fake_engine_chill(engine());
    fake_expect(client, "SET a 5\r\nMSET b 6\r\nMGET a b\r\n",
                "+OK\r\n+OK\r\n*2\r\n$1\r\n5\r\n$1\r\n6\r\n");
    assert_int_equal(engine()->fetched, 0);
}

static void test_fetch_error_is_answered(void **state)
{
    fake_expect(client, "SET a 1\r\n", "+OK\r\n");
    fake_engine_chill(engine());
    engine()->fetch_status = ST_IO;
    fake_expect(client, "GET a\r\nPING\r\n", "");
    fake_engine_work(engine());
    buffer_clear(&client->out);
    fake_settle(client);
    assert_true(
        slice_equal(buffer_slice(&client->out),
                    slice_str("-ERR reading from disk failed: input/output error\r\n+PONG\r\n")));
}

static void test_gone_while_fetching(void **state)
{
    fake_expect(client, "SET a 1\r\n", "+OK\r\n");
    fake_engine_chill(engine());
    fake_expect(client, "GET a\r\n", "");
    fake_disconnect(client);
    fake_engine_work(engine());
    client = fake_connect(node, 0);
    fake_settle(client);
}

static void test_transactions(void **state)
{
    fake_expect(client, "EXEC\r\nDISCARD\r\nMULTI\r\nMULTI\r\nWATCH a\r\nDISCARD\r\n",
                "-ERR EXEC without MULTI\r\n-ERR DISCARD without MULTI\r\n+OK\r\n"
                "-ERR MULTI calls can not be nested\r\n-ERR WATCH inside MULTI is not allowed\r\n"
                "+OK\r\n");
    fake_expect(client, "MULTI\r\nSET a 1\r\nINCR a\r\nSELECT 1\r\nSET a x\r\nINCR a\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*5\r\n+OK\r\n:2\r\n"
                "+OK\r\n+OK\r\n-ERR value is not an integer or out of range\r\n");
    fake_expect(client, "GET a\r\nSELECT 0\r\nGET a\r\n", "$1\r\nx\r\n+OK\r\n$1\r\n2\r\n");
    fake_expect(client, "MULTI\r\nNOPE\r\nSET a 7\r\nEXEC\r\nGET a\r\n",
                "+OK\r\n-ERR unknown command 'NOPE', with args beginning with: \r\n+QUEUED\r\n"
                "-EXECABORT Transaction discarded because of previous errors.\r\n$1\r\n2\r\n");
    fake_expect(client, "MULTI\r\nEXEC\r\n", "+OK\r\n*0\r\n");
}

static void test_transaction_with_cold_keys(void **state)
{
    fake_expect(client, "MSET a 1 b 2\r\n", "+OK\r\n");
    fake_engine_chill(engine());
    fake_expect(client, "MULTI\r\nINCR a\r\nINCR b\r\nCOPY a c\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
    fake_engine_work(engine());
    buffer_clear(&client->out);
    fake_settle(client);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("*3\r\n:2\r\n:3\r\n:1\r\n")));
}

/* DUMP's payload is longer than the value, and goes back in. */
static void test_dump_of_the_longest_value(void **state)
{
    static const unsigned lengths[] = {64, 20000, 1 << 20};
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        char line[128], wanted[64];
        BUFFER_AUTO struct buffer sent = {0};
        snprintf(line, sizeof(line), "CONFIG SET value-bytes-max %u\r\nSETRANGE long %u x\r\n",
                 lengths[i], lengths[i] - 1);
        snprintf(wanted, sizeof(wanted), "+OK\r\n:%u\r\n", lengths[i]);
        fake_expect(client, line, wanted);
        buffer_clear(&client->out);
        assert_int_equal(fake_send(client, "DUMP long\r\n", 11), 0);
        buffer_append_str(&sent, "*4\r\n$7\r\nRESTORE\r\n$4\r\ncopy\r\n$1\r\n0\r\n");
        buffer_append_slice(&sent, buffer_slice(&client->out));
        fake_expect_bytes(client, buffer_slice(&sent), slice_str("+OK\r\n"));
        snprintf(wanted, sizeof(wanted), ":%u\r\n:1\r\n", lengths[i]);
        fake_expect(client, "STRLEN copy\r\nDEL copy\r\n", wanted);
        snprintf(line, sizeof(line), "CONFIG SET value-bytes-max %u\r\n", lengths[i] - 1);
        fake_expect(client, line, "+OK\r\n");
        fake_expect_bytes(
            client, buffer_slice(&sent),
            slice_str("-ERR string exceeds maximum allowed size (value-bytes-max)\r\n"));
    }
}

/* What could not be one log record is refused before anything is done. */
static void test_transaction_that_writes_too_much(void **state)
{
    BUFFER_AUTO struct buffer sent = {0};
    buffer_append_str(&sent, "SETRANGE big 10000000 x\r\nMULTI\r\n");
    for (int i = 0; i < 30; i++)
        buffer_printf(&sent, "COPY big copy%d\r\n", i);
    assert_int_equal(fake_send(client, sent.data, sent.len), 0);
    fake_expect(client, "EXEC\r\nEXISTS big copy0\r\n",
                "-EXECABORT Transaction discarded because it may write more than 256 "
                "MiB\r\n:1\r\n");
    fake_expect(client, "MULTI\r\nCOPY big a\r\nCOPY big b\r\nEXEC\r\nEXISTS a b\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n:2\r\n");
}

static void test_watch(void **state)
{
    struct fake_client *other = fake_connect(node, 0);
    fake_expect(client, "SET a 1\r\nWATCH a none\r\nMULTI\r\nSET b 1\r\nEXEC\r\n",
                "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    fake_expect(client, "WATCH a\r\nMULTI\r\nSET b 2\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
    fake_expect(other, "SET a 1\r\n", "+OK\r\n"); /* the same value, but written */
    fake_expect(client, "EXEC\r\nGET b\r\n", "*-1\r\n$1\r\n1\r\n");
    fake_expect(client, "WATCH none\r\n", "+OK\r\n");
    fake_expect(other, "SET none 1\r\nDEL none\r\n", "+OK\r\n:1\r\n");
    fake_expect(client, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
    fake_expect(client, "WATCH none\r\nMULTI\r\nPING\r\nEXEC\r\n",
                "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    fake_expect(client, "WATCH none\r\n", "+OK\r\n");
    fake_expect(other, "SET none 1\r\n", "+OK\r\n");
    fake_expect(client, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
    fake_disconnect(other);
}

static void test_output_waits_for_the_sync(void **state)
{
    node->node->commit_on_sync = true;
    fake_expect(client, "PING\r\n", "+PONG\r\n");
    fake_expect(client, "PING\r\nSET a 1\r\nPING\r\n", "+PONG\r\n");
    struct fake_client *reader = fake_connect(node, 0);
    fake_expect(reader, "GET a\r\n", "");
    fake_expect(reader, "GET b\r\n", "");
    node->synced_lsn = node->lsn;
    shard_synced(node->shards[0].shard, node->lsn);
    buffer_clear(&client->out);
    fake_settle(client);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("+OK\r\n+PONG\r\n")));
    fake_settle(reader);
    assert_true(slice_equal(buffer_slice(&reader->out), slice_str("$1\r\n1\r\n$-1\r\n")));
    fake_disconnect(reader);
}

static void test_auth(void **state)
{
    char error[CONFIG_ERROR_BYTES];
    struct settings *set = settings_clone(node->settings);
    assert_int_equal(config_set(set, CONFIG_INDEX_password, slice_str("s3cret"), FROM_FLAG, error),
                     0);
    node->node->settings = set;
    struct fake_client *c = fake_connect(node, 0);
    fake_expect(c, "GET a\r\n", "-NOAUTH Authentication required.\r\n");
    fake_expect(c, "AUTH wrong\r\nAUTH default s3cre\r\nAUTH nobody s3cret\r\n",
                "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    fake_expect(c, "HELLO 3\r\n",
                "-NOAUTH HELLO must be called with the client already authenticated, otherwise "
                "the HELLO AUTH <user> <pass> option can be used to authenticate the "
                "client and select the RESP protocol version at the same time\r\n");
    fake_expect(c, "AUTH s3cret\r\nGET a\r\n", "+OK\r\n$-1\r\n");
    fake_disconnect(c);
    c = fake_connect(node, 0);
    fake_expect(c, "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n");
    fake_disconnect(c);
    c = fake_connect(node, 0);
    fake_expect(c, "*2\r\n$4\r\nPING\r\n$16385\r\n",
                "-ERR Protocol error: unauthenticated bulk length\r\n");
    fake_disconnect(c);
    node->node->settings = node->settings;
    settings_unref(set);
}

static void test_hello(void **state)
{
    fake_expect(client, "HELLO 4\r\n", "-NOPROTO unsupported protocol version\r\n");
    fake_expect(client, "HELLO x\r\n",
                "-ERR Protocol version is not an integer or out of range\r\n");
    fake_expect(client, "HELLO 3 FOO\r\n", "-ERR Syntax error in HELLO option 'FOO'\r\n");
    buffer_clear(&client->out);
    assert_int_equal(fake_send(client, "HELLO 3\r\n", 9), 0);
    assert_memory_equal(client->out.data, "%7\r\n", 4);
    fake_expect(client, "GET none\r\n", "_\r\n");
    fake_expect(client, "RESET\r\nGET none\r\n", "+RESET\r\n$-1\r\n");
}

static void test_disk_full(void **state)
{
    fake_expect(client, "SET a 1\r\n", "+OK\r\n");
    node->full = true;
    fake_expect(client, "SET a 2\r\nGET a\r\n",
                "-DISKFULL no space left for writes; reads go on, and writes resume when there is "
                "room\r\n$1\r\n1\r\n");
    node->full = false;
    fake_expect(client, "SET a 2\r\n", "+OK\r\n");
}

/* Sends the words as one request. */
static void send_words(struct buffer *out, struct slice big, const char *line)
{
    char copy[256], *at;
    snprintf(copy, sizeof(copy), "%s", line);
    int count = 0;
    for (const char *p = line; *p != '\0'; p++)
        count += *p == ' ';
    buffer_printf(out, "*%d\r\n", count + 1);
    for (char *word = strtok_r(copy, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at)) {
        struct slice s = strcmp(word, "BIG") == 0 ? big : slice_str(word);
        buffer_printf(out, "$%zu\r\n", s.len);
        buffer_append_slice(out, s);
        buffer_append(out, "\r\n", 2);
    }
}

/* true: the answer to the line begins with `wanted`. */
static bool answers(struct slice big, const char *line, const char *wanted)
{
    BUFFER_AUTO struct buffer out = {0};
    send_words(&out, big, line);
    buffer_clear(&client->out);
    assert_int_equal(fake_send(client, out.data, out.len), 0);
    bool same =
        client->out.len >= strlen(wanted) && memcmp(client->out.data, wanted, strlen(wanted)) == 0;
    if (!same)
        print_error("sent   <%s>\nwanted <%s>\ngot    <%.*s>\n", line, wanted,
                    client->out.len > 200 ? 200 : (int)client->out.len, client->out.data);
    return same;
}

/* Short commands that write a lot: they are refused before they did anything. That nothing is
 * written without room for it the fake log checks in all tests. */
static void test_growing_writes_on_a_full_disk(void **state)
{
    static const struct {
        const char *line, *wanted;
    } growing[] = {
        {"APPEND k x", ":100001\r\n"},
        {"SETRANGE k 100010 y", ":100011\r\n"},
        {"SETRANGE none1 100000 y", ":100001\r\n"},
        {"SETBIT k 900000 1", ":0\r\n"},
        {"SETBIT none2 900000 1", ":0\r\n"},
        {"BITFIELD k SET u8 900100 1", "*1\r\n:0\r\n"},
        {"BITFIELD none3 GET u8 0 INCRBY u8 #110000 1", "*2\r\n:0\r\n:1\r\n"},
        {"BITOP NOT none4 k", ":112"},
        {"COPY k k2", ":1\r\n"},
        {"COPY k k3 DB 3", ":1\r\n"},
        {"EXPIRE k 1000", ":1\r\n"},
        {"GETEX k EX 2000", "$112"},
        {"PERSIST k", ":1\r\n"},
        {"MOVE k 2", ":1\r\n"},
        {"RENAME k2 k", "+OK\r\n"},
        {"RENAMENX k none5", ":1\r\n"},
        {"RESTORE r 0 BIG", "+OK\r\n"},
    };
    MEM_AUTO uint8_t *value = mem_zalloc(100000);
    memset(value, 'v', 100000);
    /* LZF: a literal, then copies of 264 bytes from one back. */
    BUFFER_AUTO struct buffer packed = {0}, dump = {0};
    buffer_append(&packed, "\0v", 2);
    for (int i = 0; i < 400; i++)
        buffer_append(&packed, "\xe0\xff\0", 3);
    buffer_append(&dump, "\0\xc3\x44\xb2\x80\0\x01\x9c\x81", 9);
    buffer_append_slice(&dump, buffer_slice(&packed));
    dump_seal(&dump, 0);
    assert_true(answers(slice_make(value, 100000), "SET k BIG", "+OK\r\n"));
    for (size_t i = 0; i < ARRAY_SIZE(growing); i++) {
        struct slice big = buffer_slice(&dump);
        uint64_t before = node->lsn;
        node->room_bytes = 60000;
        assert_true(answers(big, growing[i].line, "-DISKFULL no space left for writes"));
        assert_true(answers(big, "MULTI", "+OK\r\n"));
        assert_true(answers(big, growing[i].line, "+QUEUED\r\n"));
        assert_true(answers(big, "EXEC", "-EXECABORT Transaction discarded because of: DISKFULL"));
        assert_int_equal(node->lsn, before);
        assert_true(answers(big, "INCR n", ":"));
        node->room_bytes = 0;
        assert_true(answers(big, growing[i].line, growing[i].wanted));
        assert_true(node->lsn > before + 100000);
    }
}

/* Many small ones in one transaction. */
static void test_growing_transactions(void **state)
{
    BUFFER_AUTO struct buffer sent = {0}, keys = {0};
    fake_expect(client, "MULTI\r\n", "+OK\r\n");
    for (int i = 0; i < 300; i++) {
        buffer_clear(&sent);
        send_words(&sent, slice_str(""), i % 2 == 0 ? "INCRBYFLOAT f 1e4900" : "APPEND f2 0");
        fake_expect_bytes(client, buffer_slice(&sent), slice_str("+QUEUED\r\n"));
    }
    node->room_bytes = 100000;
    assert_true(answers(slice_str(""), "EXEC", "-EXECABORT"));
    node->room_bytes = 0;
    buffer_append_slice(&keys, slice_str("*1001\r\n$3\r\nDEL\r\n"));
    for (int i = 0; i < 1000; i++)
        buffer_printf(&keys, "$4\r\n%04d\r\n", i);
    fake_expect_bytes(client, buffer_slice(&keys), slice_str(":0\r\n"));
    buffer_clear(&sent);
    buffer_append_slice(&sent, slice_str("*2001\r\n$4\r\nMSET\r\n"));
    for (int i = 0; i < 1000; i++)
        buffer_printf(&sent, "$4\r\n%04d\r\n$0\r\n\r\n", i);
    fake_expect_bytes(client, buffer_slice(&sent), slice_str("+OK\r\n"));
    fake_expect_bytes(client, buffer_slice(&keys), slice_str(":1000\r\n"));
}

static void test_back_pressure(void **state)
{
    engine()->pressure = 500;
    fake_expect(client, "SET a 1\r\nGET a\r\n", "");
    assert_int_equal(client->state, SESSION_BLOCKED);
    buffer_clear(&client->out);
    fake_sleep(client, 20000);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("+OK\r\n$1\r\n1\r\n")));
    engine()->pressure = 1000;
    fake_expect(client, "GET a\r\nSET a 2\r\n", "$1\r\n1\r\n");
    fake_sleep(client, 100000);
    assert_int_equal(client->state, SESSION_BLOCKED);
    engine()->pressure = 0;
    buffer_clear(&client->out);
    fake_sleep(client, 100000);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("+OK\r\n")));
}

static void test_lengths(void **state)
{
    BUFFER_AUTO struct buffer sent = {0};
    uint8_t *to = buffer_reserve(&sent, 70000);
    memset(to, 'k', 70000);
    BUFFER_AUTO struct buffer line = {0};
    buffer_append_str(&line, "*3\r\n$3\r\nSET\r\n$65537\r\n");
    buffer_append(&line, to, 65537);
    buffer_append_str(&line, "\r\n$1\r\nv\r\n*3\r\n$3\r\nSET\r\n$65536\r\n");
    buffer_append(&line, to, 65536);
    buffer_append_str(&line, "\r\n$1\r\nv\r\n");
    fake_expect_bytes(client, buffer_slice(&line),
                      slice_str("-ERR key is longer than key-bytes-max (65536 bytes)\r\n+OK\r\n"));
    fake_expect(client, "MULTI\r\n", "+OK\r\n");
}

static void test_deep_pipeline(void **state)
{
    BUFFER_AUTO struct buffer sent = {0};
    BUFFER_AUTO struct buffer wanted = {0};
    for (int i = 0; i < 5000; i++) {
        buffer_printf(&sent, "*3\r\n$3\r\nSET\r\n$5\r\n%05d\r\n$5\r\n%05d\r\nGET %05d\r\n", i, i,
                      i);
        buffer_printf(&wanted, "+OK\r\n$5\r\n%05d\r\n", i);
    }
    fake_expect_bytes(client, buffer_slice(&sent), buffer_slice(&wanted));
}

static void test_big_values(void **state)
{
    BUFFER_AUTO struct buffer sent = {0};
    BUFFER_AUTO struct buffer value = {0};
    for (int i = 0; i < 300000; i++)
        buffer_append_u8(&value, (uint8_t)(i * 7 + i / 256));
    buffer_printf(&sent, "PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", value.len);
    buffer_append_slice(&sent, buffer_slice(&value));
    buffer_append_str(&sent, "\r\nGET k\r\n");
    BUFFER_AUTO struct buffer wanted = {0};
    buffer_printf(&wanted, "+PONG\r\n+OK\r\n$%zu\r\n", value.len);
    buffer_append_slice(&wanted, buffer_slice(&value));
    buffer_append_str(&wanted, "\r\n");
    size_t pieces[] = {0, 1, 1000, 32768, 100000};
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        client->read_piece = pieces[i];
        fake_expect_bytes(client, buffer_slice(&sent), buffer_slice(&wanted));
    }
}

static void test_end_of_input(void **state)
{
    fake_expect(client, "SET a 1\r\n", "+OK\r\n");
    session_end(client->session);
    client->runnable = true;
    fake_settle(client);
    assert_int_equal(client->state, SESSION_CLOSING);
}

static void test_idle_timeout(void **state)
{
    fake_expect(client, "PING\r\n", "+PONG\r\n");
    node->mono_us += 3600 * UINT64_C(1000000);
    assert_true(session_tick(client->session));
    fake_expect(client, "SET a 1\r\nGET a\r\n", "+OK\r\n$1\r\n1\r\n");
    node->settings->timeout = 10;
    assert_true(session_tick(client->session));
    node->mono_us += 11 * 1000000;
    assert_false(session_tick(client->session));
}

/* --- several shards --- */

static void test_sharded(void **state)
{
    fake_expect(client, "MSET a 1 b 2 c 3 d 4 e 5 f 6\r\nMGET a b c d e f g\r\n",
                "+OK\r\n*7\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n"
                "$-1\r\n");
    fake_expect(client, "GET a\r\nINCR b\r\nPING\r\nAPPEND c x\r\nGET c\r\n",
                "$1\r\n1\r\n:3\r\n+PONG\r\n:2\r\n$2\r\n3x\r\n");
    fake_expect(client, "MULTI\r\nINCR a\r\nINCR b\r\nINCR d\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:2\r\n:4\r\n:5\r\n");
    for (unsigned i = 0; i < 3; i++) {
        assert_true(map_count(node->shards[i].engine->rows) > 0);
        fake_engine_chill(node->shards[i].engine);
    }
    fake_expect(client, "MGET a b c d e f\r\n", "");
    for (unsigned i = 0; i < 3; i++)
        fake_engine_work(node->shards[i].engine);
    buffer_clear(&client->out);
    fake_settle(client);
    assert_true(slice_equal(
        buffer_slice(&client->out),
        slice_str("*6\r\n$1\r\n2\r\n$1\r\n4\r\n$2\r\n3x\r\n$1\r\n5\r\n$1\r\n5\r\n$1\r\n6\r\n")));
}

static void test_no_key_is_looked_up_while_loading(void **state)
{
    node->node->loading = true;
    fake_expect(client, "WATCH a b c d e f\r\nPING\r\n",
                "-LOADING Torc is loading the dataset in memory\r\n"
                "-LOADING Torc is loading the dataset in memory\r\n");
    fake_expect(client, "MULTI\r\nWATCH a\r\nEXEC\r\n",
                "+OK\r\n-LOADING Torc is loading the dataset in memory\r\n"
                "-EXECABORT Transaction discarded because of previous errors.\r\n");
    node->node->loading = false;
    fake_expect(client, "WATCH a b c\r\nUNWATCH\r\n", "+OK\r\n+OK\r\n");
}

static struct shard_metrics home_metrics(void)
{
    return node->node->metrics[1];
}

/* Keys of all shards in one pipeline: each is run by its own shard, replies come in order. */
static void test_forwarded(void **state)
{
    BUFFER_AUTO struct buffer sent = {0};
    BUFFER_AUTO struct buffer wanted = {0};
    for (int i = 0; i < 500; i++) {
        buffer_printf(&sent, "SET k%d v%d\r\nAPPEND k%d x\r\nGET k%d\r\n", i, i, i, i);
        char value[16];
        int len = snprintf(value, sizeof(value), "v%dx", i);
        buffer_printf(&wanted, "+OK\r\n:%d\r\n$%d\r\n%s\r\n", len, len, value);
    }
    fake_expect_bytes(client, buffer_slice(&sent), buffer_slice(&wanted));
    assert_true(home_metrics().commands_forwarded > 500);
    assert_int_equal(home_metrics().shard_holds, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(map_count(node->shards[i].engine->rows) > 100);
}

static void test_forwarded_errors_and_barriers(void **state)
{
    fake_expect(
        client,
        "SET a 1\r\nSET b 2\r\nSET c 3\r\nNOPE\r\nINCR\r\nINCR a\r\nMGET a b c\r\nSELECT 1\r\n"
        "GET a\r\nGET b\r\nSELECT 0\r\nGET b\r\nMULTI\r\nGET c\r\nEXEC\r\nPING\r\nGET a\r\n",
        "+OK\r\n+OK\r\n+OK\r\n-ERR unknown command 'NOPE', with args beginning with: \r\n"
        "-ERR wrong number of arguments for 'incr' command\r\n:2\r\n"
        "*3\r\n$1\r\n2\r\n$1\r\n2\r\n$1\r\n3\r\n+OK\r\n$-1\r\n$-1\r\n+OK\r\n$1\r\n2\r\n+OK\r\n"
        "+QUEUED\r\n*1\r\n$1\r\n3\r\n+PONG\r\n$1\r\n2\r\n");
}

static void chill_all(void)
{
    for (unsigned i = 0; i < 3; i++)
        fake_engine_chill(node->shards[i].engine);
}

static void work_all(struct fake_client *c)
{
    for (int round = 0; round < 8; round++) {
        for (unsigned i = 0; i < 3; i++)
            fake_engine_work(node->shards[i].engine);
        fake_settle(c);
    }
}

static void test_forwarded_to_cold_keys(void **state)
{
    fake_expect(client, "MSET a 1 b 2 c 3 d 4 e 5\r\n", "+OK\r\n");
    chill_all();
    fake_expect(client, "GET a\r\nGET b\r\nINCR c\r\nGET c\r\nGET d\r\nGET e\r\nPING\r\n", "");
    buffer_clear(&client->out);
    work_all(client);
    assert_true(slice_equal(
        buffer_slice(&client->out),
        slice_str("$1\r\n1\r\n$1\r\n2\r\n:4\r\n$1\r\n4\r\n$1\r\n4\r\n$1\r\n5\r\n+PONG\r\n")));
}

/* What is to be fetched is there when the fetch looks for it: so it ends while it is begun. */
static void test_forwarded_to_keys_that_others_fetch(void **state)
{
    fake_expect(client, "MSET a 1 b 2 c 3 d 4 e 5\r\n", "+OK\r\n");
    chill_all();
    for (unsigned i = 0; i < 3; i++)
        node->shards[i].engine->cold_asks = 1;
    fake_expect(
        client, "GET a\r\nGET b\r\nINCR c\r\nGET d\r\nGET e\r\nGET a\r\nGET e\r\nPING\r\n",
        "$1\r\n1\r\n$1\r\n2\r\n:4\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n1\r\n$1\r\n5\r\n+PONG\r\n");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(node->shards[i].engine->fetched, 0);
}

/* What piles up while a client reads nothing, wherever: of its queue and its parts. */
static void test_forwarded_replies_are_bounded(void **state)
{
    enum { VALUE = 4 << 20, GETS = 60, PAUSE = 32 << 20 };
    BUFFER_AUTO struct buffer sent = {0};
    BUFFER_AUTO struct buffer value = {0};
    uint8_t *to = buffer_reserve(&value, VALUE);
    memset(to, 'x', VALUE);
    value.len = VALUE;
    static const char *const NAMES[] = {"a", "b", "c", "d", "e", "f"}; /* on all shards */
    for (unsigned i = 0; i < ARRAY_SIZE(NAMES); i++) {
        buffer_clear(&sent);
        buffer_printf(&sent, "*3\r\n$3\r\nSET\r\n$1\r\n%s\r\n$%d\r\n", NAMES[i], VALUE);
        buffer_append(&sent, value.data, VALUE);
        buffer_append_str(&sent, "\r\n");
        fake_expect_bytes(client, buffer_slice(&sent), slice_str("+OK\r\n"));
    }
    buffer_clear(&sent);
    for (unsigned i = 0; i < GETS; i++)
        buffer_printf(&sent, "GET %s\r\nSTRLEN %s\r\n", NAMES[i * 7 / 3 % 6], NAMES[i % 6]);
    void *space;
    size_t room;
    session_space(client->session, &space, &room);
    assert_true(room >= sent.len);
    memcpy(space, sent.data, sent.len);
    session_received(client->session, sent.len);
    client->runnable = true;
    for (unsigned i = 0; i < 20 * 3; i++)
        fake_turn(&node->shards[i % 3], i % 3 == 1 ? client : NULL);
    assert_true(session_output_pending(client->session) >= PAUSE);
    assert_true(session_output_pending(client->session) <= 4 * (PAUSE + VALUE));
    assert_true(node->node->metrics[0].commands_processed + home_metrics().commands_processed +
                    node->node->metrics[2].commands_processed <
                2 * GETS);
    buffer_clear(&client->out);
    for (unsigned i = 0; i < 20; i++)
        fake_settle(client);
    assert_int_equal(client->out.len, GETS * (VALUE + 12 + 10));
    for (size_t i = 0, at = 0; i < GETS; i++, at += VALUE + 22) {
        assert_memory_equal(client->out.data + at, "$4194304\r\nx", 11);
        assert_memory_equal(client->out.data + at + VALUE + 9, "x\r\n:4194304\r\n", 13);
    }
    assert_int_equal(client->state, SESSION_IDLE);
}

static void test_gone_while_forwarded(void **state)
{
    fake_expect(client, "MSET a 1 b 2 c 3 d 4 e 5\r\n", "+OK\r\n");
    chill_all();
    fake_expect(client, "GET a\r\nGET b\r\nINCR c\r\nGET d\r\nGET e\r\n", "");
    fake_disconnect(client);
    client = fake_connect(node, 1);
    work_all(client);
    assert_int_equal(fake_send(client, "PING\r\nGET c\r\n", 13), 0);
    work_all(client);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("+PONG\r\n$1\r\n3\r\n")) ||
                slice_equal(buffer_slice(&client->out), slice_str("+PONG\r\n$1\r\n4\r\n")));
}

static void test_forwarded_writes_wait_for_pressure(void **state)
{
    for (unsigned i = 0; i < 3; i++)
        node->shards[i].engine->pressure = 1000;
    fake_expect(client, "SET a 1\r\nSET b 2\r\nSET c 3\r\n", "");
    fake_sleep(client, 50000);
    fake_expect(client, "", "");
    for (unsigned i = 0; i < 3; i++)
        node->shards[i].engine->pressure = 0;
    buffer_clear(&client->out);
    for (int i = 0; i < 5; i++)
        fake_sleep(client, 20000);
    assert_true(slice_equal(buffer_slice(&client->out), slice_str("+OK\r\n+OK\r\n+OK\r\n")));
}

/* Under fsync always a forwarded reply leaves after the sync of the shard that ran it. */
static void test_forwarded_waits_for_the_sync(void **state)
{
    node->node->commit_on_sync = true;
    fake_expect(client, "SET a 1\r\nSET b 2\r\nSET c 3\r\nPING\r\n", "");
    node->synced_lsn = node->lsn;
    buffer_clear(&client->out);
    fake_settle(client);
    fake_settle(client);
    assert_true(
        slice_equal(buffer_slice(&client->out), slice_str("+OK\r\n+OK\r\n+OK\r\n+PONG\r\n")));
}

static void test_watch_over_shards(void **state)
{
    struct fake_client *other = fake_connect(node, 2);
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        char line[64];
        fake_expect(client, "WATCH a b c d e f\r\n", "+OK\r\n");
        fake_expect(client, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
        fake_expect(client, "WATCH a b c d e f\r\n", "+OK\r\n");
        snprintf(line, sizeof(line), "SET %s x\r\n", keys[i]);
        fake_expect(other, line, "+OK\r\n");
        fake_expect(client, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
        fake_expect(client, "WATCH a b c d e f\r\nUNWATCH\r\n", "+OK\r\n+OK\r\n");
    }
    fake_disconnect(other);
}

int main(void)
{
#define T(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TS(name) cmocka_unit_test_setup_teardown(name, setup_sharded, teardown)
    const struct CMUnitTest tests[] = {
        T(test_basics),
        T(test_every_split),
        T(test_pipelined_commands_max),
        T(test_dump_of_the_longest_value),
        TS(test_pipelined_commands_max_on_other_shards),
        T(test_unknown),
        T(test_protocol_error_closes),
        T(test_http_is_cut),
        T(test_quit),
        T(test_cold_keys_are_fetched_and_order_kept),
        T(test_cold_reply_comes_once),
        T(test_blind_writes_do_not_fetch),
        T(test_fetch_error_is_answered),
        T(test_gone_while_fetching),
        T(test_transactions),
        T(test_transaction_with_cold_keys),
        T(test_watch),
        T(test_transaction_that_writes_too_much),
        T(test_output_waits_for_the_sync),
        T(test_auth),
        T(test_hello),
        T(test_disk_full),
        T(test_growing_writes_on_a_full_disk),
        TS(test_growing_writes_on_a_full_disk),
        T(test_growing_transactions),
        T(test_back_pressure),
        T(test_lengths),
        T(test_deep_pipeline),
        T(test_big_values),
        T(test_end_of_input),
        T(test_idle_timeout),
        TS(test_sharded),
        TS(test_no_key_is_looked_up_while_loading),
        TS(test_forwarded),
        TS(test_forwarded_errors_and_barriers),
        TS(test_forwarded_to_cold_keys),
        TS(test_forwarded_to_keys_that_others_fetch),
        TS(test_forwarded_replies_are_bounded),
        TS(test_gone_while_forwarded),
        TS(test_forwarded_writes_wait_for_pressure),
        TS(test_forwarded_waits_for_the_sync),
        TS(test_watch_over_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
