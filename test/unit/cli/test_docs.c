#include "cli/docs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cli/quote.h"

/* Appends text as a bulk string, or "[a b]" as an array of what is inside. */
static void encode(const char **text, struct buffer *out)
{
    BUFFER_AUTO struct buffer body = {0};
    size_t count = 0;
    while (**text != '\0' && **text != ']') {
        if (**text == ' ') {
            ++*text;
        } else if (**text == '[') {
            ++*text;
            encode(text, &body);
            count++;
        } else {
            size_t len = strcspn(*text, " []");
            buffer_printf(&body, "$%zu\r\n%.*s\r\n", len, (int)len, *text);
            *text += len;
            count++;
        }
    }
    *text += **text == ']';
    buffer_printf(out, "*%zu\r\n", count);
    buffer_append_slice(out, buffer_slice(&body));
}

static struct docs *make(const char *text)
{
    BUFFER_AUTO struct buffer wire = {0};
    encode(&text, &wire);
    struct resp_reply_reader *reader = resp_reply_reader_create(&resp_reply_default_limits);
    struct resp_reply reply;
    resp_reply_reader_feed(reader, buffer_slice(&wire));
    assert_int_equal(resp_reply_reader_next(reader, &reply), 0);
    struct docs *docs = docs_from_reply(&reply);
    resp_reply_free(&reply);
    resp_reply_reader_free(reader);
    return docs;
}

static const char table[] =
    "set [summary sets group string since 1.0 arguments ["
    "[name key type key] [name value type string]"
    "[name when type oneof flags [optional] arguments ["
    "[name nx type pure-token token NX] [name xx type pure-token token XX]]]"
    "[name expiry type integer token EX flags [optional]]]]"
    "mset [group string arguments [[name data type block flags [multiple] arguments ["
    "[name key type key] [name value type string]]]]]"
    "config [group server subcommands [config|get [group server arguments ["
    "[name parameter type string flags [multiple]]]] config|rewrite [group server]]]";

static void expect_hint(const struct docs *docs, const char *line, const char *wanted)
{
    struct quote_args words;
    assert_int_equal(quote_split(slice_str(line), &words), 0);
    BUFFER_AUTO struct buffer hint = {0};
    docs_append_hint(docs, words.count, words.items, &hint);
    buffer_append_u8(&hint, 0);
    assert_string_equal((char *)hint.data, wanted);
    quote_args_free(&words);
}

static void test_hints(void **state)
{
    struct docs *docs = make(table);
    expect_hint(docs, "set", "key value [NX | XX] [EX expiry]");
    expect_hint(docs, "SET k", "value [NX | XX] [EX expiry]");
    expect_hint(docs, "set k v", "[NX | XX] [EX expiry]");
    expect_hint(docs, "set k v NX", "[NX | XX] [EX expiry]");
    expect_hint(docs, "mset", "key value [key value ...]");
    expect_hint(docs, "config get", "parameter [parameter ...]");
    expect_hint(docs, "config", "");
    expect_hint(docs, "nothing", "");
    expect_hint(NULL, "set", "");
    docs_free(docs);
}

static void test_names(void **state)
{
    static const char *const names[] = {"config", "config get", "config rewrite", "mset", "set"};
    struct docs *docs = make(table);
    assert_int_equal(docs_count(docs), 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(docs_name(docs, i), names[i]);
    docs_free(docs);
}

static void expect_page(const struct docs *docs, const char *topic, bool found, const char *part)
{
    BUFFER_AUTO struct buffer page = {0};
    assert_int_equal(docs_append_help(docs, slice_str(topic), &page), found);
    buffer_append_u8(&page, 0);
    assert_non_null(strstr((char *)page.data, part));
}

static void test_pages(void **state)
{
    struct docs *docs = make(table);
    expect_page(docs, "SET", true, "  SET key value [NX | XX] [EX expiry]\n  summary: sets\n");
    expect_page(docs, "config", true, "CONFIG GET parameter");
    expect_page(docs, "config", true, "CONFIG REWRITE");
    expect_page(docs, "@string", true, "MSET");
    expect_page(docs, "se", false, "no such command");
    expect_page(docs, "", false, "no such command");
    expect_page(NULL, "set", false, "does not describe");
    docs_free(docs);
}

/* Shapes that no server should send: fewer commands, no harm. */
static void test_hostile(void **state)
{
    static const char *const tables[] = {"",
                                         "a",
                                         "[] []",
                                         "a b",
                                         "a [b]",
                                         "a [arguments x]",
                                         "a [arguments [x [y] [name]]]",
                                         "a [subcommands [b c d]]"};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        docs_free(make(tables[i]));
    struct resp_reply nil = {0};
    struct docs *docs = docs_from_reply(&nil);
    assert_int_equal(docs_count(docs), 0);
    docs_free(docs);
    char deep[600] = "a [arguments [";
    for (int i = 0; i < 20; i++)
        strcat(deep, "[type block arguments [");
    for (int i = 0; i < 20; i++)
        strcat(deep, "]]");
    strcat(deep, "]]");
    docs_free(make(deep));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
