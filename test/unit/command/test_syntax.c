#include "command/syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/status.h"

/* What was understood, as text: name:type, ? optional, * multiple, TOKEN=, (children). */
static void describe(const struct syntax *s, int first, struct buffer *out)
{
    static const char types[] = {
        [SYNTAX_STRING] = 's',    [SYNTAX_KEY] = 'k',     [SYNTAX_INTEGER] = 'i',
        [SYNTAX_UNIX_TIME] = 'u', [SYNTAX_PATTERN] = 'p', [SYNTAX_PURE_TOKEN] = 't',
        [SYNTAX_ONEOF] = 'o',     [SYNTAX_BLOCK] = 'b',
    };
    for (int i = first; i >= 0; i = s->node[i].next) {
        const struct syntax_node *n = &s->node[i];
        if (i != first)
            buffer_append_str(out, " ");
        if (n->token.len > 0) {
            buffer_append_slice(out, n->token);
            buffer_append_str(out, "=");
        }
        if (n->type != SYNTAX_ONEOF)
            buffer_append(out, n->name, n->name_len);
        buffer_printf(out, ":%c%s%s", types[n->type], n->optional ? "?" : "",
                      n->multiple ? "*" : "");
        if (n->child >= 0) {
            buffer_append_str(out, "(");
            describe(s, n->child, out);
            buffer_append_str(out, ")");
        }
    }
}

static void expect(const char *text, const char *understood)
{
    struct syntax s;
    assert_int_equal(syntax_parse(slice_str(text), &s), 0);
    BUFFER_AUTO struct buffer out = {0};
    describe(&s, s.first, &out);
    buffer_append_u8(&out, '\0');
    assert_string_equal((const char *)out.data, understood);
}

static void test_arguments(void **state)
{
    expect("", "");
    expect("key value", "key:k value:s");
    expect("key [key ...]", "key:k*");
    expect("key value [key value ...]", "key_value:b*(key:k value:s)");
    expect("start end [LIMIT count] [REVERSE]", "start:s end:s LIMIT=count:i? REVERSE=reverse:t?");
    expect("key seconds [NX | XX]", "key:k seconds:i :o?(NX=nx:t XX=xx:t)");
    expect("key [start end [BYTE | BIT]]",
           "key:k start_end_byte:b?(start:s end:s :o?(BYTE=byte:t BIT=bit:t))");
    expect("<ON | OFF>", ":o(ON=on:t OFF=off:t)");
    expect("[TYPE <A | B>] [ID client-id [client-id ...]]",
           "TYPE=:o?(A=a:t B=b:t) ID=client-id:i?*");
    expect("[EX seconds | PERSIST]", ":o?(EX=seconds:i PERSIST=persist:t)");
    expect("key [GET encoding offset [GET encoding offset ...]]",
           "key:k encoding_offset:b?*(GET=encoding:s offset:i)");
}

static void test_broken(void **state)
{
    struct syntax s;
    static const char *const broken[] = {"[a", "a]", "<A", "A>", "[]", "[A | ]", "a | b", "[...]"};
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++)
        assert_int_equal(syntax_parse(slice_str(broken[i]), &s), ST_INVALID);
    assert_int_equal(syntax_parse(slice_str("[[[[[[[[[[a]]]]]]]]]]"), &s), ST_LIMIT);
}

/* Every row of the table can be taken apart. */
static void test_table(void **state)
{
    static const char *const table[] = {
#define ROW(name, handler, arity, flags, first, last, step, access, group, since, complexity, \
            summary, syntax)                                                                  \
    syntax,
#define CMD(...)            ROW(__VA_ARGS__)
#define CONTAINER(...)      ROW(__VA_ARGS__)
#define SUB(container, ...) ROW(__VA_ARGS__)
#include "command/commands.def"
#undef CMD
#undef CONTAINER
#undef SUB
#undef ROW
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct syntax s;
        if (syntax_parse(slice_str(table[i]), &s) != 0)
            fail_msg("not understood: %s", table[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
