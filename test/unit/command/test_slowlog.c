#include "command/slowlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct slowlog_entry *newest(const struct slowlog *log)
{
    return list_entry(list_first(&log->entries), struct slowlog_entry, link);
}

static void push(struct slowlog *log, const struct slice *argv, int argc, unsigned max)
{
    struct slowlog_what what = {.at_ms = 5, .took_us = 7, .argv = argv, .argc = argc};
    slowlog_push(log, &what, max);
}

static void test_order_and_bound(void **state)
{
    struct slowlog *log = slowlog_create();
    for (int i = 0; i < 5; i++) {
        char text[8];
        snprintf(text, sizeof(text), "cmd%d", i);
        struct slice argv = slice_str(text);
        push(log, &argv, 1, 3);
    }
    assert_int_equal(log->count, 3);
    uint64_t id = 4;
    list_foreach (node, &log->entries) {
        const struct slowlog_entry *entry = list_entry(node, struct slowlog_entry, link);
        assert_int_equal(entry->id, id--);
    }
    assert_int_equal(id, 1);
    assert_true(slice_equal(newest(log)->argv[0], slice_str("cmd4")));
    slowlog_clear(log);
    assert_int_equal(log->count, 0);
    struct slice argv = slice_str("more");
    push(log, &argv, 1, 3);
    assert_int_equal(newest(log)->id, 5);
    push(log, &argv, 1, 0);
    assert_int_equal(log->count, 0);
    slowlog_destroy(log);
}

static void test_cut_argument(void **state)
{
    struct slowlog *log = slowlog_create();
    char text[200];
    memset(text, 'x', sizeof(text));
    struct slice argv[2] = {slice_make(text, SLOWLOG_ARG_BYTES_MAX), slice_make(text, 200)};
    push(log, argv, 2, 9);
    assert_int_equal(newest(log)->argv[0].len, SLOWLOG_ARG_BYTES_MAX);
    const char *note = "... (72 more bytes)";
    struct slice cut = newest(log)->argv[1];
    assert_int_equal(cut.len, SLOWLOG_ARG_BYTES_MAX + strlen(note));
    assert_memory_equal(cut.data + SLOWLOG_ARG_BYTES_MAX, note, strlen(note));
    slowlog_destroy(log);
}

static void test_cut_arguments(void **state)
{
    struct slowlog *log = slowlog_create();
    struct slice argv[40];
    for (int i = 0; i < 40; i++)
        argv[i] = slice_str("a");
    push(log, argv, SLOWLOG_ARGS_MAX, 9);
    assert_int_equal(newest(log)->argc, SLOWLOG_ARGS_MAX);
    assert_true(slice_equal(newest(log)->argv[SLOWLOG_ARGS_MAX - 1], slice_str("a")));
    push(log, argv, 40, 9);
    assert_int_equal(newest(log)->argc, SLOWLOG_ARGS_MAX);
    assert_true(
        slice_equal(newest(log)->argv[SLOWLOG_ARGS_MAX - 1], slice_str("... (9 more arguments)")));
    slowlog_destroy(log);
}

static void test_client(void **state)
{
    struct slowlog *log = slowlog_create();
    struct slice argv = slice_str("get");
    struct slowlog_what what = {
        .at_ms = 1, .took_us = 2, .argv = &argv, .argc = 1, .peer = "1.2.3.4:5", .name = "me"};
    slowlog_push(log, &what, 9);
    assert_string_equal(newest(log)->peer, "1.2.3.4:5");
    assert_string_equal(newest(log)->name, "me");
    push(log, &argv, 1, 9);
    assert_string_equal(newest(log)->peer, "");
    slowlog_destroy(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_bound),
        cmocka_unit_test(test_cut_argument),
        cmocka_unit_test(test_cut_arguments),
        cmocka_unit_test(test_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
