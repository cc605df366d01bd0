#include "cli/csv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cli/input.h"

#define SLICE(literal) slice_make(literal, sizeof(literal) - 1)

static struct csv_row columns, row;

static void expect_split(const char *record, const char *wanted)
{
    struct failure failure;
    assert_int_equal(csv_split(slice_str(record), &row, &failure), 0);
    BUFFER_AUTO struct buffer joined = {0};
    for (size_t i = 0; i < row.count; i++) {
        buffer_append_str(&joined, i ? "|" : "");
        buffer_append_slice(&joined, csv_field(&row, i));
    }
    assert_true(slice_equal(buffer_slice(&joined), slice_str(wanted)));
}

static void test_split(void **state)
{
    expect_split("a,b,c\r\n", "a|b|c");
    expect_split("a,b,c\n", "a|b|c");
    expect_split("a,b,c", "a|b|c");
    expect_split("", "");
    expect_split(",", "|");
    expect_split("a,,", "a||");
    expect_split(" a , b", " a | b");
    expect_split("\"a,b\",\"c\"\"d\",\"\"\n", "a,b|c\"d|");
    expect_split("\"a\r\nb\"\r\n", "a\r\nb");
}

static void test_split_refuses(void **state)
{
    static const char *const records[] = {"a\"b", "\"a\"b", "\"a", "x,\"", "\"a\"\"", "a, \"b\""};
    struct failure failure;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        assert_int_equal(csv_split(slice_str(records[i]), &row, &failure), ST_INVALID);
    char wide[CSV_COLUMNS_MAX + 1];
    memset(wide, ',', sizeof(wide));
    assert_int_equal(csv_split(slice_make(wide, CSV_COLUMNS_MAX - 1), &row, &failure), 0);
    assert_int_equal(csv_split(slice_make(wide, CSV_COLUMNS_MAX), &row, &failure), ST_LIMIT);
}

static int parse(const char *header, const char *record, const struct entry_fields *fields,
                 struct entry *entry, struct failure *failure)
{
    assert_int_equal(csv_split(slice_str(header), &columns, failure), 0);
    int st = csv_check_columns(&columns, fields, failure);
    if (st == 0)
        st = csv_split(slice_str(record), &row, failure);
    return st < 0 ? st : csv_entry(&columns, &row, fields, entry, failure);
}

static void expect(const char *header, const char *record, const struct entry_fields *fields,
                   struct slice key, struct slice value, int64_t ttl_ms)
{
    struct entry entry = {0};
    struct failure failure;
    assert_int_equal(parse(header, record, fields, &entry, &failure), 0);
    assert_true(slice_equal(buffer_slice(&entry.key), key));
    assert_true(slice_equal(buffer_slice(&entry.value), value));
    assert_int_equal(entry.ttl_ms, ttl_ms);
    entry_free(&entry);
}

static void refuse(const char *header, const char *record, const struct entry_fields *fields,
                   const char *reason)
{
    struct entry entry = {0};
    struct failure failure;
    assert_int_equal(parse(header, record, fields, &entry, &failure), ST_INVALID);
    assert_non_null(strstr(failure.text, reason));
    entry_free(&entry);
}

static void test_entry(void **state)
{
    const struct entry_fields usual = {0}, whole = {.key = "id"}, one = {.key = "id", .value = "n"};
    expect("key,value,ttl_ms", "a,b,7", &usual, SLICE("a"), SLICE("b"), 7);
    expect("value,key", "b,a", &usual, SLICE("a"), SLICE("b"), 0);
    expect("key,value,ttl_ms", "a,b", &usual, SLICE("a"), SLICE("b"), 0); /* short: empty */
    expect("key,value,ttl_ms,key_b64,value_b64", ",,,/w==,AAE=", &usual, SLICE("\xff"),
           SLICE("\0\1"), 0);
    expect("key_b64,value", "/w==,", &usual, SLICE("\xff"), SLICE(""), 0);
    expect("id,n", "5,\"x\"\"\"", &whole, SLICE("5"), SLICE("{\"id\":\"5\",\"n\":\"x\\\"\"}"), 0);
    expect("id,n,ttl_ms", "5,x,3", &one, SLICE("5"), SLICE("x"), 3);

    refuse("a,b", "1,2", &usual, "no column \"key\"");
    refuse("key,b", "1,2", &usual, "no column \"value\"");
    refuse("id", "1", &one, "no column \"n\"");
    refuse("key,value", "a", &usual, "no column \"value\"");
    refuse("key,value", "a,b,c", &usual, "3 fields");
    refuse("key,value,ttl_ms", "a,b,0", &usual, "ttl_ms");
    refuse("key,value,ttl_ms", "a,b,x", &usual, "ttl_ms");
    refuse("key,value,value_b64", "a,b,AAE=", &usual, "both");
    refuse("key,value_b64", "a,A", &usual, "not base64");
}

/* What export writes is read back record by record, through the reader of files. */
static void test_file_round_trip(void **state)
{
    char path[] = "/tmp/torc-csv-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    BUFFER_AUTO struct buffer text = {0};
    csv_append_header(&text);
    for (int i = 0; i < 256; i++) {
        uint8_t bytes[] = {'"', (uint8_t)i, '\n', ','};
        csv_append(&text, slice_make(bytes + 1, 1), slice_make(bytes, 4), i);
    }
    assert_int_equal(write(fd, text.data, text.len), (ssize_t)text.len);
    close(fd);

    struct failure failure;
    struct input *input;
    struct slice record;
    uint64_t line;
    const struct entry_fields usual = {0};
    assert_int_equal(input_open(path, true, &failure, &input), 0);
    assert_int_equal(input_next(input, &failure, &record, &line), 0);
    assert_int_equal(csv_split(record, &columns, &failure), 0);
    struct entry entry = {0};
    struct input_place middle = {0};
    for (int i = 0; i < 256; i++) {
        uint8_t bytes[] = {'"', (uint8_t)i, '\n', ','};
        if (i == 100)
            middle = input_place(input);
        assert_int_equal(input_next(input, &failure, &record, &line), 0);
        assert_int_equal(csv_split(record, &row, &failure), 0);
        assert_int_equal(csv_entry(&columns, &row, &usual, &entry, &failure), 0);
        assert_true(slice_equal(buffer_slice(&entry.key), slice_make(bytes + 1, 1)));
        assert_true(slice_equal(buffer_slice(&entry.value), slice_make(bytes, 4)));
        assert_int_equal(entry.ttl_ms, i);
    }
    assert_int_equal(input_next(input, &failure, &record, &line), ST_CLOSED);
    assert_int_equal(input_place(input).offset, text.len);

    /* and going back to a place gives the same record on the same line */
    assert_int_equal(input_seek(input, middle, &failure), 0);
    assert_int_equal(input_next(input, &failure, &record, &line), 0);
    assert_int_equal(line, middle.line);
    assert_int_equal(csv_split(record, &row, &failure), 0);
    assert_int_equal(csv_entry(&columns, &row, &usual, &entry, &failure), 0);
    assert_int_equal(entry.key.data[0], 100);
    entry_free(&entry);
    input_close(input);
    unlink(path);
}

static int free_rows(void **state)
{
    csv_row_free(&columns);
    csv_row_free(&row);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_refuses),
        cmocka_unit_test(test_entry),
        cmocka_unit_test(test_file_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, free_rows);
}
