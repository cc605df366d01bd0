#include "cli/csv.h"

#include <inttypes.h>

#include "base/number.h"
#include "cli/base64.h"
#include "cli/json_text.h"

struct slice csv_field(const struct csv_row *row, size_t i)
{
    size_t start = i ? row->ends[i - 1] : 0;
    return slice_make(row->bytes.data + start, row->ends[i] - start);
}

void csv_row_free(struct csv_row *row)
{
    buffer_free(&row->bytes);
    row->count = 0;
}

/* A field in quotes; `i` stands behind the opening one. Returns the position behind the closing
 * one, or 0. */
static size_t take_quoted(struct slice record, size_t i, struct buffer *out)
{
    while (i < record.len) {
        uint8_t c = record.data[i++];
        if (c == '"' && (i == record.len || record.data[i] != '"'))
            return i;
        i += c == '"';
        buffer_append_u8(out, c);
    }
    return 0;
}

int csv_split(struct slice record, struct csv_row *row, struct failure *failure)
{
    buffer_clear(&row->bytes);
    row->count = 0;
    if (record.len > 0 && record.data[record.len - 1] == '\n')
        record.len--;
    if (record.len > 0 && record.data[record.len - 1] == '\r')
        record.len--;
    for (size_t i = 0;; i++) {
        if (row->count == CSV_COLUMNS_MAX)
            return failure_set(failure, ST_LIMIT, "more than %d columns", CSV_COLUMNS_MAX);
        if (i < record.len && record.data[i] == '"') {
            i = take_quoted(record, i + 1, &row->bytes);
            if (i == 0)
                return failure_set(failure, ST_INVALID, "a quote that does not close");
        } else {
            size_t start = i;
            while (i < record.len && record.data[i] != ',' && record.data[i] != '"')
                i++;
            buffer_append(&row->bytes, record.data + start, i - start);
        }
        row->ends[row->count++] = row->bytes.len;
        if (i == record.len)
            return 0;
        if (record.data[i] != ',')
            return failure_set(failure, ST_INVALID, "a quote in the middle of field %zu",
                               row->count);
    }
}

void csv_columns_default(struct csv_row *columns)
{
    struct failure ignored;
    csv_split(slice_str("key,value,ttl_ms"), columns, &ignored);
}

/* Finds a column; false also when the record is too short to have it. */
static bool find(const struct csv_row *columns, const struct csv_row *row, const char *name,
                 struct slice *ret_field)
{
    for (size_t i = 0; i < columns->count && i < row->count; i++) {
        if (slice_equal(csv_field(columns, i), slice_str(name))) {
            *ret_field = csv_field(row, i);
            return true;
        }
    }
    return false;
}

int csv_check_columns(const struct csv_row *columns, const struct entry_fields *fields,
                      struct failure *failure)
{
    const char *key = fields->key ? fields->key : "key";
    const char *value = fields->value ? fields->value : "value";
    struct slice ignored;
    bool whole = fields->key && !fields->value;
    if (!find(columns, columns, key, &ignored) &&
        (fields->key || !find(columns, columns, "key_b64", &ignored)))
        return failure_set(failure, ST_INVALID,
                           "no column \"%s\" in the first line; name another with --key-field, or "
                           "say --no-header when the columns are key,value,ttl_ms",
                           key);
    if (!whole && !find(columns, columns, value, &ignored) &&
        (fields->value || !find(columns, columns, "value_b64", &ignored)))
        return failure_set(failure, ST_INVALID,
                           "no column \"%s\" in the first line; name another with --value-field",
                           value);
    return 0;
}

/* A plain column, or its _b64 twin when that is not empty. */
static int take(const struct csv_row *columns, const struct csv_row *row, const char *name,
                const char *twin, struct buffer *out, struct failure *failure)
{
    struct slice plain = {0}, coded = {0};
    bool has_plain = find(columns, row, name, &plain);
    bool has_coded = twin && find(columns, row, twin, &coded);
    if (!has_plain && !has_coded)
        return failure_set(failure, ST_INVALID, "the line has no column \"%s\"", name);
    if (coded.len == 0) {
        buffer_append_slice(out, plain);
        return 0;
    }
    if (plain.len > 0)
        return failure_set(failure, ST_INVALID, "both \"%s\" and \"%s\" are set", name, twin);
    if (base64_decode(coded, out) < 0)
        return failure_set(failure, ST_INVALID, "\"%s\" is not base64", twin);
    return 0;
}

static void append_json(struct buffer *out, struct slice bytes)
{
    if (json_text_is_utf8(bytes)) {
        json_text_append(out, bytes);
        return;
    }
    buffer_append_str(out, "{\"base64\":\"");
    base64_append(out, bytes);
    buffer_append_str(out, "\"}");
}

static void append_object(const struct csv_row *columns, const struct csv_row *row,
                          struct buffer *out)
{
    for (size_t i = 0; i < columns->count && i < row->count; i++) {
        buffer_append_u8(out, i ? ',' : '{');
        append_json(out, csv_field(columns, i));
        buffer_append_u8(out, ':');
        append_json(out, csv_field(row, i));
    }
    buffer_append_u8(out, '}');
}

int csv_entry(const struct csv_row *columns, const struct csv_row *row,
              const struct entry_fields *fields, struct entry *entry, struct failure *failure)
{
    entry_clear(entry);
    if (row->count > columns->count)
        return failure_set(failure, ST_INVALID, "%zu fields where the header names %zu", row->count,
                           columns->count);
    int st = take(columns, row, fields->key ? fields->key : "key", fields->key ? NULL : "key_b64",
                  &entry->key, failure);
    if (st < 0)
        return st;
    if (fields->key && !fields->value) {
        append_object(columns, row, &entry->value);
        return 0;
    }
    st = take(columns, row, fields->value ? fields->value : "value",
              fields->value ? NULL : "value_b64", &entry->value, failure);
    if (st < 0)
        return st;
    struct slice ttl;
    if (!find(columns, row, "ttl_ms", &ttl) || ttl.len == 0)
        return 0;
    if (number_parse_i64(ttl, &entry->ttl_ms) < 0 || entry->ttl_ms < 1)
        return failure_set(failure, ST_INVALID, "\"ttl_ms\" is not a whole number above 0");
    return 0;
}

void csv_append_header(struct buffer *out)
{
    buffer_append_str(out, "key,value,ttl_ms,key_b64,value_b64\r\n");
}

static void append_plain(struct buffer *out, struct slice text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.len && !quoted; i++)
        quoted = memchr(",\"\r\n", text.data[i], 4) != NULL;
    if (!quoted) {
        buffer_append_slice(out, text);
        return;
    }
    buffer_append_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"')
            buffer_append_u8(out, '"');
        buffer_append_u8(out, text.data[i]);
    }
    buffer_append_u8(out, '"');
}

void csv_append(struct buffer *out, struct slice key, struct slice value, int64_t ttl_ms)
{
    bool plain_key = json_text_is_utf8(key), plain_value = json_text_is_utf8(value);
    if (plain_key)
        append_plain(out, key);
    buffer_append_u8(out, ',');
    if (plain_value)
        append_plain(out, value);
    buffer_append_u8(out, ',');
    if (ttl_ms != ENTRY_FOREVER)
        buffer_printf(out, "%" PRId64, ttl_ms);
    buffer_append_u8(out, ',');
    if (!plain_key)
        base64_append(out, key);
    buffer_append_u8(out, ',');
    if (!plain_value)
        base64_append(out, value);
    buffer_append_str(out, "\r\n");
}
