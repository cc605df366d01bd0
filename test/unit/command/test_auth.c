/* AUTH and HELLO with a password that is kept as a hash: checked in the background. */
#include <stdio.h>

#include "command/fake_expect.h"

/* To the fake a hash is of the password behind its last $. */
#define HASH "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$"

static struct fake_node *node;
static struct fake_client *client;
static unsigned checks;

static bool fake_matches(const char *hash, struct slice password)
{
    checks++;
    return slice_equal(password, slice_str(strrchr(hash, '$') + 1));
}

static int setup(void **state)
{
    char error[CONFIG_ERROR_BYTES];
    struct settings *settings = settings_new();
    config_set(settings, CONFIG_INDEX_password, slice_str(HASH "secret"), FROM_FLAG, error);
    node = fake_node_create_with(1, false, settings);
    node->node->hooks.password_matches = fake_matches;
    node->defer_work = true;
    client = fake_connect(node, 0);
    checks = 0;
    return 0;
}

static int teardown(void **state)
{
    if (client != NULL)
        fake_disconnect(client);
    fake_work_run(node);
    struct settings *settings = node->node->settings;
    fake_node_free(node);
    settings_unref(settings);
    return 0;
}

/* What comes once the background work is done. */
static void expect_later(struct fake_client *c, const char *wanted)
{
    buffer_clear(&c->out);
    assert_int_equal(fake_work_run(node), 1);
    fake_settle(c);
    if (!slice_equal(buffer_slice(&c->out), slice_str(wanted)))
        print_error("wanted <%s>\ngot <%.*s>\n", wanted, (int)c->out.len, c->out.data);
    assert_true(slice_equal(buffer_slice(&c->out), slice_str(wanted)));
}

static void test_auth(void **state)
{
    fake_expect(client, "GET a\r\n", "-NOAUTH Authentication required.\r\n");
    fake_expect(client, "AUTH wrong\r\nGET a\r\n", "");
    assert_int_equal(client->state, SESSION_BLOCKED);
    expect_later(client, "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                         "-NOAUTH Authentication required.\r\n");
    fake_expect(client, "AUTH default secret\r\nGET a\r\n", "");
    expect_later(client, "+OK\r\n$-1\r\n");
    fake_expect(client, "AUTH nobody secret\r\n",
                "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    fake_expect(client, "AUTH " HASH "secret\r\n", "");
    expect_later(client, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    assert_int_equal(checks, 3);
}

static void test_hello(void **state)
{
    fake_expect(client, "HELLO 3 AUTH default wrong SETNAME x\r\n", "");
    expect_later(client, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    fake_expect(client, "HELLO 2 SETNAME a AUTH default secret AUTH default secret SETNAME b\r\n",
                "");
    assert_int_equal(fake_work_run(node), 1);
    buffer_clear(&client->out);
    assert_int_equal(fake_work_run(node), 1);
    fake_settle(client);
    assert_memory_equal(client->out.data, "*14\r\n$6\r\nserver\r\n", 17);
    assert_int_equal(checks, 3);
    fake_expect(client, "CLIENT GETNAME\r\n", "$1\r\nb\r\n");
}

/* One at a time; the others wait in order, and may go away in any state. */
static void test_many_at_once(void **state)
{
    struct fake_client *others[4];
    for (unsigned i = 0; i < 4; i++) {
        others[i] = fake_connect(node, 0);
        fake_expect(others[i], "AUTH secret\r\n", "");
    }
    fake_disconnect(others[0]); /* under way */
    fake_disconnect(others[2]); /* waits */
    assert_int_equal(fake_work_run(node), 1);
    expect_later(others[1], "+OK\r\n");
    expect_later(others[3], "+OK\r\n");
    assert_int_equal(fake_work_run(node), 0);
    assert_int_equal(checks, 3);
    fake_disconnect(others[1]);
    fake_disconnect(others[3]);
}

/* A crowd that asks and leaves keeps nobody waiting who is there. */
static void test_those_that_may_be_gone_come_last(void **state)
{
    struct fake_client *others[4];
    for (unsigned i = 0; i < 4; i++) {
        others[i] = fake_connect(node, 0);
        fake_expect(others[i], i == 3 ? "AUTH secret\r\n" : "AUTH wrong\r\n", "");
        others[i]->ended = i < 3;
    }
    assert_int_equal(fake_work_run(node), 1); /* was under way before it ended */
    expect_later(others[3], "+OK\r\n");
    expect_later(others[1], "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    fake_expect(others[3], "AUTH secret\r\n", "");
    front_drain(node->shards[0].front);
    fake_turn(&node->shards[0], NULL);
    assert_true(others[3]->killed);
    assert_false(others[1]->killed);
    for (unsigned i = 0; i < 4; i++)
        fake_disconnect(others[i]);
}

static void test_the_password_changes_meanwhile(void **state)
{
    struct fake_client *other = fake_connect(node, 0);
    fake_expect(other, "AUTH secret\r\n", "");
    expect_later(other, "+OK\r\n");
    fake_expect(client, "AUTH secret\r\n", "");
    fake_expect(other, "CONFIG SET password " HASH "fresh\r\n", "+OK\r\n");
    expect_later(client, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    fake_expect(client, "AUTH fresh\r\n", "");
    expect_later(client, "+OK\r\n");
    fake_expect(other, "CONFIG SET password plain\r\nAUTH plain\r\nAUTH plai\r\n",
                "+OK\r\n+OK\r\n"
                "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    fake_disconnect(other);
}

static void test_not_inside_a_transaction_nor_while_loading(void **state)
{
    fake_expect(client, "AUTH secret\r\n", "");
    expect_later(client, "+OK\r\n");
    fake_expect(client, "MULTI\r\nAUTH secret\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n*1\r\n"
                "-ERR a password that is kept as a hash is not checked inside a transaction\r\n");
    node->node->loading = true;
    fake_expect(client, "AUTH secret\r\n", "-LOADING Torc is loading the dataset in memory\r\n");
    node->node->loading = false;
}

static void test_the_end_comes_first(void **state)
{
    fake_expect(client, "AUTH secret\r\n", "");
    fake_disconnect(client);
    client = NULL;
    node->works = NULL; /* its thread has ended: it will never be done */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_auth),
        T(test_hello),
        T(test_many_at_once),
        T(test_those_that_may_be_gone_come_last),
        T(test_the_password_changes_meanwhile),
        T(test_not_inside_a_transaction_nor_while_loading),
        T(test_the_end_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
