#include "cli/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/buffer.h"

/* Splits at spaces, into static words, and parses. */
static int parse(const char *line, struct args *ret_args, struct failure *failure)
{
    static char text[512];
    static char *argv[32];
    int argc = 0;
    argv[argc++] = "torc";
    snprintf(text, sizeof(text), "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return args_parse(argc, argv, failure, ret_args);
}

static struct args good(const char *line)
{
    struct args args;
    struct failure failure;
    assert_int_equal(parse(line, &args, &failure), 0);
    return args;
}

static void bad(const char *line, const char *reason)
{
    struct args args;
    struct failure failure;
    assert_true(parse(line, &args, &failure) < 0);
    assert_non_null(strstr(failure.text, reason));
}

static int clear_environment(void **state)
{
    unsetenv("TORC_SERVER");
    unsetenv("TORC_PASSWORD");
    unsetenv("TORC_USER");
    return 0;
}

static void test_defaults(void **state)
{
    struct args a = good("");
    assert_int_equal(a.action, ARGS_INTERACTIVE);
    assert_string_equal(a.server.host, "127.0.0.1");
    assert_int_equal(a.server.port, 7400);
    assert_int_equal(a.protocol, 2);
    assert_int_equal(a.timeout_ms, ARGS_TIMEOUT_MS);
    assert_null(a.password);
}

static void test_options(void **state)
{
    struct args a = good("-h db:99 -n 3 --timeout=500ms --user u -3 --raw -N get k --json");
    assert_int_equal(a.action, ARGS_COMMAND);
    assert_string_equal(a.server.host, "db");
    assert_int_equal(a.server.port, 99);
    assert_int_equal(a.keyspace, 3);
    assert_int_equal(a.timeout_ms, 500);
    assert_string_equal(a.user, "u");
    assert_int_equal(a.protocol, 3);
    assert_int_equal(a.output, OUTPUT_RAW);
    assert_true(a.no_newline);
    assert_int_equal(a.operand_count, 3); /* options behind a command are the command's */
    assert_string_equal(a.operands[2], "--json");
    assert_int_equal(good("-hdb -n5 ping").keyspace, 5);
    assert_int_equal(good("--json ping").protocol, 3);
    assert_int_equal(good("-2 --json ping").protocol, 2);
    assert_int_equal(good("--timeout 5 ping").timeout_ms, 5000);
    assert_int_equal(good("--help get x").action, ARGS_HELP);
    assert_int_equal(good("-v").action, ARGS_VERSION);
}

static void test_own_commands(void **state)
{
    struct args a = good("-n 2 import --dry-run f.csv --key-field id --match=x*");
    assert_int_equal(a.action, ARGS_IMPORT);
    assert_true(a.dry_run);
    assert_string_equal(a.key_field, "id");
    assert_string_equal(a.match, "x*");
    assert_int_equal(a.operand_count, 1);
    assert_string_equal(a.operands[0], "f.csv");
    a = good("import - --format csv");
    assert_string_equal(a.operands[0], "-");
    assert_int_equal(a.format, FILE_CSV);
    assert_int_equal(good("export").action, ARGS_EXPORT);
    assert_int_equal(good("restore a b").action, ARGS_RESTORE);
    assert_int_equal(good("restore key 0 payload").action, ARGS_COMMAND);
    a = good("-- restore a b");
    assert_int_equal(a.action, ARGS_COMMAND);
    assert_string_equal(a.operands[0], "restore");
}

static void test_refuses(void **state)
{
    bad("--bogus", "unknown option --bogus");
    bad("-z", "unknown option -z");
    bad("--raw=1 ping", "takes no value");
    bad("-h", "needs a value");
    bad("-h host:0 ping", "no port");
    bad("-h host:65536 ping", "no port");
    bad("-h :1 ping", "no host");
    bad("-h [::1 ping", "no address");
    bad("-n -1 ping", "--keyspace must be");
    bad("--timeout soon ping", "--timeout must be");
    bad("--resume ping", "torc import");
    bad("export --resume", "torc import");
    bad("import f --format xml", "--format must be");
    bad("--password-file /nonexistent ping", "password file");
}

static void test_environment(void **state)
{
    setenv("TORC_SERVER", "[::1]:7", 1);
    setenv("TORC_PASSWORD", "secret", 1);
    struct args a = good("ping");
    assert_string_equal(a.server.host, "::1");
    assert_int_equal(a.server.port, 7);
    assert_string_equal(a.password, "secret");
    args_free(&a);
    a = good("-h other -a mine ping");
    assert_string_equal(a.server.host, "other");
    assert_string_equal(a.password, "mine");
    args_free(&a);
    setenv("TORC_SERVER", "a:b", 1);
    bad("ping", "TORC_SERVER");
}

static void test_password_file(void **state)
{
    char path[] = "/tmp/torc-args-XXXXXX", line[128];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "pass word\r\nrest\n", 16), 16);
    close(fd);
    snprintf(line, sizeof(line), "--password-file %s ping", path);
    struct args a = good(line);
    assert_string_equal(a.password, "pass word");
    args_free(&a);
    assert_int_equal(truncate(path, 0), 0);
    bad(line, "empty first line");
    unlink(path);
}

static void test_addresses(void **state)
{
    struct failure failure;
    struct address_url url;
    assert_int_equal(address_parse_url("redis://u:p%40w@host:1/7", &failure, &url), 0);
    assert_string_equal(url.user, "u");
    assert_string_equal(url.password, "p@w");
    assert_string_equal(url.address.host, "host");
    assert_int_equal(url.address.port, 1);
    assert_int_equal(url.keyspace, 7);
    assert_int_equal(address_parse_url("redis://:p@host", &failure, &url), 0);
    assert_string_equal(url.user, "");
    assert_string_equal(url.password, "p");
    assert_int_equal(url.address.port, 6379);
    assert_int_equal(address_parse_url("redis://[::1]:5/", &failure, &url), 0);
    assert_string_equal(url.address.host, "::1");
    static const char *const wrong[] = {"http://x",       "redis://h:x",   "redis://h/x",
                                        "redis://h/-1",   "redis://%zz@h", "redis://%4@h",
                                        "redis://a:%00@h"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(address_parse_url(wrong[i], &failure, &url), ST_INVALID);
    assert_int_equal(address_parse_url("rediss://h", &failure, &url), ST_UNSUPPORTED);

    struct address address = {.host = "::1", .port = 5};
    BUFFER_AUTO struct buffer text = {0};
    address_append(&text, &address);
    assert_true(slice_equal(buffer_slice(&text), slice_str("[::1]:5")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, clear_environment),
        cmocka_unit_test_setup(test_options, clear_environment),
        cmocka_unit_test_setup(test_own_commands, clear_environment),
        cmocka_unit_test_setup(test_refuses, clear_environment),
        cmocka_unit_test_setup(test_environment, clear_environment),
        cmocka_unit_test_setup(test_password_file, clear_environment),
        cmocka_unit_test_setup(test_addresses, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
