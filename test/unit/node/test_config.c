#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"
#include "node/config.h"

static char error[CONFIG_ERROR_BYTES];
static const char *file_text;

static int read_file(const char *path, size_t max_bytes, char **ret_text, size_t *ret_len)
{
    if (file_text == NULL)
        return ST_NOTFOUND;
    *ret_text = mem_strdup(file_text);
    *ret_len = strlen(file_text);
    return 0;
}

/* Loads from a file's text, one environment variable and up to four arguments (NULL: none). */
static int load(struct settings *s, const char *text, char *variable, char *a1, char *a2, char *a3)
{
    char *argv[] = {"torcd", a1, a2, a3, NULL};
    char *environment[] = {"TORC_CONFIG=/x/torc.conf", variable, NULL};
    int argc = a1 == NULL ? 1 : a2 == NULL ? 2 : a3 == NULL ? 3 : 4;
    struct config_request request;
    file_text = text;
    error[0] = '\0';
    return config_load(s, argc, argv, text == NULL ? environment + 1 : environment, read_file,
                       &request, error);
}

static const char *get(const struct settings *s, const char *name)
{
    static char out[CONFIG_VALUE_BYTES_MAX];
    int index = config_find(slice_str(name));
    assert_true(index >= 0);
    config_format(s, (unsigned)index, out);
    return out;
}

static int set(struct settings *s, const char *name, const char *value)
{
    int index = config_find(slice_str(name));
    assert_true(index >= 0);
    return config_set(s, (unsigned)index, slice_str(value), FROM_COMMAND, error);
}

static void test_defaults_format_and_parse_back(void **state)
{
    struct settings *s = settings_new();
    char out[CONFIG_VALUE_BYTES_MAX];
    assert_int_equal(s->port, 7400);
    assert_int_equal(s->fsync, FSYNC_EVERYSEC);
    assert_int_equal(s->log_level, LOG_NOTICE);
    assert_int_equal(config_check(s, error), 0);
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        size_t len = config_format(s, i, out);
        if (config_set(s, i, slice_make(out, len), FROM_FLAG, error) != 0)
            fail_msg("%s: %s: %s", config_name(i), out, error);
    }
    settings_unref(s);
}

static void test_names_are_unique(void **state)
{
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        assert_int_equal(config_find(slice_str(config_name(i))), i);
        if (config_alias(i) != NULL)
            assert_int_equal(config_find(slice_str(config_alias(i))), i);
    }
    assert_int_equal(config_find(slice_str("MAX_Clients")), CONFIG_INDEX_max_clients);
    assert_int_equal(config_find(slice_str("")), -1);
    assert_int_equal(config_find(slice_str("por")), -1);
}

static void test_precedence(void **state)
{
    struct settings *s = settings_new();
    assert_int_equal(load(s, "port = 1\n", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(s->port, 1);
    assert_int_equal(s->source[CONFIG_INDEX_port], FROM_FILE);
    assert_int_equal(load(s, "port = 1\n", "TORC_PORT=2", NULL, NULL, NULL), 0);
    assert_int_equal(s->port, 2);
    assert_int_equal(load(s, "port = 1\n", "TORC_PORT=2", "--port", "3", NULL), 0);
    assert_int_equal(s->port, 3);
    assert_int_equal(load(s, "port = 1\n", "TORC_PORT=2", "4", NULL, NULL), 0);
    assert_int_equal(s->port, 4);
    assert_string_equal(s->file, "/x/torc.conf");
    settings_unref(s);
}

static void test_flags(void **state)
{
    struct settings *s = settings_new();
    assert_int_equal(load(s, NULL, NULL, "--no-persistence", "--node-id=n-1", "--protected-mode"),
                     0);
    assert_false(s->persistence);
    assert_true(s->protected_mode);
    assert_string_equal(s->node_id, "n-1");
    assert_int_equal(load(s, NULL, NULL, "--requirepass", "a b", "--appendfsync=no"), 0);
    assert_string_equal(s->password, "a b");
    assert_int_equal(s->fsync, FSYNC_NEVER);
    assert_int_equal(load(s, NULL, NULL, "--prot", "1", NULL), ST_INVALID);
    assert_string_equal(error, "flag --prot: unknown setting 'prot'; did you mean 'port'?");
    assert_int_equal(load(s, NULL, NULL, "--no-port", NULL, NULL), ST_INVALID);
    assert_int_equal(load(s, NULL, NULL, "--port", NULL, NULL), ST_INVALID);
    assert_string_equal(error, "flag --port: needs a value");
    assert_int_equal(load(s, NULL, NULL, "--port", "70000", NULL), ST_INVALID);
    assert_string_equal(error, "flag --port: bad value '70000' for 'port': argument must be a "
                               "number between 0 and 65535 inclusive");
    assert_int_equal(load(s, NULL, NULL, "--config", NULL, NULL), ST_INVALID);
    assert_int_equal(load(s, NULL, NULL, "serve", NULL, NULL), ST_INVALID);
    assert_int_equal(load(s, NULL, NULL, "--config", "/none", NULL), ST_INVALID);
    assert_string_equal(error, "/none: can't be read: not found");
    settings_unref(s);
}

static void test_password_hash(void **state)
{
    struct settings *s = settings_new();
    static const char good[] = "$argon2id$v=19$m=65536,t=2,p=1$c2FsdA$aGFzaA";
    static const char *const bad[] = {
        "$argon2id$v=19$m=65536,t=2,p=1$c2FsdA$",
        "$argon2id$v=19$m=65536,t=2,p=1$c2FsdA",
        "$argon2i$v=19$m=65536,t=2,p=1$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=65536,t=2,p=2$c2FsdA$aGFz",
        "$argon2id$v=19$m=262145,t=2,p=1$c2FsdA$aGFz",
        "$argon2id$v=19$m=65536,t=17,p=1$c2FsdA$aGFz",
        "$argon2id$v=19$m=-65536,t=2,p=1$c2FsdA$aGFz",
        "$argon2",
        "$argon2id$v=19$m=65536,t=2,p=1$c2FsdA$aGF$zA",
        "$argon2id$v=19$m=65536,t=2,p=1$$aGFz",
    };
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, good, sizeof(good) - 1);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(
            config_set(s, CONFIG_INDEX_password, slice_str(bad[i]), FROM_COMMAND, error),
            ST_INVALID);
    assert_int_equal(
        config_set(s, CONFIG_INDEX_password, slice_make(longest, 128), FROM_COMMAND, error),
        ST_INVALID);
    assert_int_equal(
        config_set(s, CONFIG_INDEX_password, slice_make(longest, 127), FROM_COMMAND, error), 0);
    assert_int_equal(config_set(s, CONFIG_INDEX_password, slice_str(good), FROM_COMMAND, error), 0);
    assert_true(config_is_hash(slice_str(s->password)));
    assert_int_equal(config_set(s, CONFIG_INDEX_password, slice_str("argon2"), FROM_FILE, error),
                     0);
    assert_false(config_is_hash(slice_str(s->password)));
    settings_unref(s);
}

static void test_environment(void **state)
{
    struct settings *s = settings_new();
    assert_int_equal(load(s, NULL, "TORC_DATA_DIR=/d", NULL, NULL, NULL), 0);
    assert_string_equal(s->data_dir, "/d");
    assert_int_equal(load(s, NULL, "TORC_SERVICE_HOST=10.0.0.1", NULL, NULL, NULL), 0);
    static char *const others[] = {"TORC_SERVER=h:1",     "TORC_USER=u",
                                   "TORC_BUILD=b",        "TORC_TEST_SEED=1",
                                   "TORC_PORT=tcp://h:1", "TORC_PORT_7400_TCP_ADDR=h"};
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(load(s, NULL, others[i], NULL, NULL, NULL), 0);
    assert_int_equal(load(s, "", NULL, NULL, NULL, NULL), 0); /* TORC_CONFIG itself */
    static const struct {
        char *variable;
        const char *error;
    } unknown[] = {
        {"TORC_FSNC=always",
         "environment TORC_FSNC: unknown setting 'FSNC'; did you mean 'fsync'?"},
        {"TORC_KEY_BYTE_MAX=1", "environment TORC_KEY_BYTE_MAX: unknown setting 'KEY_BYTE_MAX'; "
                                "did you mean 'key-bytes-max'?"},
        {"TORC_NOBODYS=x", "environment TORC_NOBODYS: unknown setting 'NOBODYS'"},
        {"TORC_TEST_=x", "environment TORC_TEST_: unknown setting 'TEST_'"},
        {"TORC_=x", "environment TORC_: unknown setting ''"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
        assert_int_equal(load(s, NULL, unknown[i].variable, NULL, NULL, NULL), ST_INVALID);
        assert_string_equal(error, unknown[i].error);
    }
    assert_int_equal(load(s, NULL, "TORC_FSYNC=maybe", NULL, NULL, NULL), ST_INVALID);
    assert_string_equal(error, "environment TORC_FSYNC: bad value 'maybe' for 'fsync': argument "
                               "must be one of the following: always, everysec, never, no");
    settings_unref(s);
}

static void test_file(void **state)
{
    struct settings *s = settings_new();
    const char *good = "# comment\n; another = 1\n[torc]\n\n  port=7\r\n"
                       "password = \"a;b # \\\"\\\\ \\x41 \"\n"
                       "client-output-buffer-limit = normal 0 0 0\n"
                       "client-output-buffer-limit = pubsub 1mb 1kb 5\n"
                       "timeout = 5m";
    assert_int_equal(load(s, good, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(s->port, 7);
    assert_string_equal(s->password, "a;b # \"\\ A ");
    assert_int_equal(s->timeout, 300);
    assert_string_equal(get(s, "client-output-buffer-limit"),
                        "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 1024 5");
    struct {
        const char *text, *error;
    } bad[] = {
        {"port = 1\nport = 2\n", "/x/torc.conf:2: 'port' was set in line 1 already"},
        {"port = 1\nbind = x\naddress = y\n",
         "/x/torc.conf:3: 'address' was set in line 2 already"},
        {"\nport 1\n", "/x/torc.conf:2: expected 'name = value'"},
        {"[server]\n", "/x/torc.conf:1: the only heading allowed is [torc]"},
        {"maxclient = 5\n",
         "/x/torc.conf:1: unknown setting 'maxclient'; did you mean 'maxclients'?"},
        {"zzzzzzzzzzz = 5\n", "/x/torc.conf:1: unknown setting 'zzzzzzzzzzz'"},
        {"fsync = \"always\n", "/x/torc.conf:1: bad quoting: a quoted value ends with \" and may "
                               "hold \\\" \\\\ \\n \\r \\t \\xHH"},
        {"partitions = 3\n",
         "/x/torc.conf:1: bad value '3' for 'partitions': argument must be a number between 1 and "
         "16384 inclusive, a power of two"},
        {"node-id = a/b\n",
         "/x/torc.conf:1: bad value 'a/b' for 'node-id': argument must be a text of 0 to 64 bytes "
         "of letters, digits, '.', '_' and '-'"},
        {"log-bytes-max = 64mb\n", "log-bytes-max (67108864) must be at least four times "
                                   "log-segment-bytes (67108864)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct settings *fresh = settings_new();
        assert_int_equal(load(fresh, bad[i].text, NULL, NULL, NULL, NULL), ST_INVALID);
        assert_string_equal(error, bad[i].error);
        settings_unref(fresh);
    }
    settings_unref(s);
}

static void test_secret_is_not_repeated(void **state)
{
    struct settings *s = settings_new();
    char text[1024] = "password = ";
    memset(text + strlen(text), 'S', 600);
    assert_int_equal(load(s, text, NULL, NULL, NULL, NULL), ST_INVALID);
    assert_null(strstr(error, "SSS"));
    settings_unref(s);
}

static void test_numbers(void **state)
{
    struct settings *s = settings_new();
    struct {
        const char *text;
        int64_t bytes; /* -1: refused */
    } rows[] = {
        {"1048576", 1 << 20},
        {"2mb", 2 << 20},
        {"2MB", 2 << 20},
        {"3m", 3000000},
        {"1gb", 1 << 30},
        {"", -1},
        {"mb", -1},
        {"1.5mb", -1},
        {"1 mb", -1},
        {"-1", -1},
        {"9223372036854775808", -1},
        {"9223372036854775807tb", -1},
        {"1xb", -1},
        {"99999999999999999999999", -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int st = set(s, "query-buffer-bytes", rows[i].text);
        assert_int_equal(st, rows[i].bytes < 0 ? ST_INVALID : 0);
        if (st == 0)
            assert_int_equal(s->query_buffer_bytes, rows[i].bytes);
    }
    assert_int_equal(set(s, "latency-monitor-threshold", "2s"), 0);
    assert_int_equal(s->latency_monitor_threshold, 2000);
    assert_int_equal(set(s, "slowlog-log-slower-than", "-1"), 0);
    assert_int_equal(set(s, "slowlog-log-slower-than", "-2"), ST_INVALID);
    settings_unref(s);
}

static void test_command_may_change_live_ones_only(void **state)
{
    struct settings *s = settings_new();
    assert_int_equal(set(s, "port", "1"), ST_DENIED);
    assert_string_equal(error, "can't set immutable config");
    assert_int_equal(s->port, 7400);
    assert_int_equal(set(s, "maxclients", "5"), 0);
    assert_int_equal(set(s, "protected-mode", "perhaps"), ST_INVALID);
    assert_string_equal(error, "argument must be 'yes' or 'no'");
    assert_int_equal(set(s, "slowlog-max-len", "x"), ST_INVALID);
    assert_string_equal(error, "argument couldn't be parsed into an integer");
    assert_int_equal(set(s, "timeout", "-1"), ST_INVALID);
    assert_string_equal(error, "argument must be between 0 and 2147483647 inclusive");
    assert_int_equal(set(s, "query-buffer-bytes", "x"), ST_INVALID);
    assert_string_equal(error, "argument must be a memory value");
    assert_int_equal(set(s, "maxmemory-policy", "x"), ST_INVALID);
    assert_string_equal(error, "argument(s) must be one of the following: noeviction");
    assert_int_equal(set(s, "save", ""), 0);
    assert_int_equal(set(s, "save", "60 1"), ST_INVALID);
    assert_int_equal(set(s, "maxmemory", "1gb"), ST_INVALID);
    assert_int_equal(set(s, "client-output-buffer-limit", "normal 1 2"), ST_INVALID);
    assert_int_equal(set(s, "client-output-buffer-limit", "normal 1 2 3 nobody 1 2 3"), ST_INVALID);
    assert_int_equal(s->output_limits.of[CLIENT_NORMAL].hard_bytes, 1 << 30);
    settings_unref(s);
}

static void test_clone_is_independent(void **state)
{
    struct settings *s = settings_new();
    assert_int_equal(set(s, "password", "one"), 0);
    struct settings *clone = settings_clone(s);
    assert_int_equal(set(clone, "password", "two"), 0);
    assert_string_equal(s->password, "one");
    settings_unref(settings_ref(s));
    settings_unref(s);
    assert_string_equal(clone->password, "two");
    settings_unref(clone);
}

static void test_rewrite_keeps_lines_and_reads_back(void **state)
{
    struct settings *s = settings_new();
    const char *text = "# mine\nport = 7\n\nmaxclients = 3\n";
    BUFFER_AUTO struct buffer out = {0};
    assert_int_equal(load(s, text, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(set(s, "maxclients", "4"), 0);
    assert_int_equal(set(s, "password", " a\"b\\\n"), 0);
    config_rewrite(s, slice_str(text), &out);
    buffer_append_u8(&out, 0);
    assert_string_equal((char *)out.data, "# mine\nport = 7\n\nmax-clients = 4\n"
                                          "# Written by CONFIG REWRITE\n"
                                          "password = \" a\\\"b\\\\\\x0a\"\n");
    struct settings *again = settings_new();
    assert_int_equal(load(again, (char *)out.data, NULL, NULL, NULL, NULL), 0);
    assert_string_equal(again->password, " a\"b\\\n");
    assert_int_equal(again->max_clients, 4);
    settings_unref(again);
    settings_unref(s);
}

static void test_sizes(void **state)
{
    struct settings *s = settings_new();
    struct config_machine machine = {.memory_bytes = UINT64_C(8) << 30, .cores = 2};
    struct config_sizes sizes = config_sizes(s, &machine);
    assert_int_equal(sizes.table_bytes, 1 << 30);
    assert_int_equal(sizes.cache_bytes, UINT64_C(2) << 30);
    assert_int_equal(sizes.block_cache_bytes, 512 << 20);
    assert_int_equal(sizes.log_bytes_max, UINT64_C(2) << 30);
    assert_int_equal(sizes.shards, 1);
    machine.cores = 8;
    assert_int_equal(config_sizes(s, &machine).shards, 7);
    machine.cores = 256;
    assert_int_equal(config_sizes(s, &machine).shards, 64);
    machine.memory_bytes = 1 << 20;
    assert_int_equal(config_sizes(s, &machine).table_bytes, 64 * (8 << 20));
    settings_unref(s);
}

static void test_documents_name_every_setting(void **state)
{
    BUFFER_AUTO struct buffer help = {0}, markdown = {0};
    config_help(&help);
    config_markdown(&markdown);
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        char text[CONFIG_NAME_BYTES_MAX + 8];
        snprintf(text, sizeof(text), "--%s", config_name(i));
        assert_non_null(memmem(help.data, help.len, text, strlen(text)));
        snprintf(text, sizeof(text), "### `%s`\n", config_name(i));
        assert_non_null(memmem(markdown.data, markdown.len, text, strlen(text)));
    }
    assert_non_null(memmem(markdown.data, markdown.len, "TORC_DATA_DIR", 13));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_format_and_parse_back),
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_password_hash),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_secret_is_not_repeated),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_command_may_change_live_ones_only),
        cmocka_unit_test(test_clone_is_independent),
        cmocka_unit_test(test_rewrite_keeps_lines_and_reads_back),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_documents_name_every_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
