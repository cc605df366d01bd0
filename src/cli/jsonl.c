#include "cli/jsonl.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>

#include "base/number.h"
#include "cli/base64.h"
#include "cli/json_text.h"

static void append_field(struct buffer *out, const char *name, struct slice bytes)
{
    bool text = json_text_is_utf8(bytes);
    buffer_printf(out, "\"%s%s\":", name, text ? "" : "_b64");
    if (text) {
        json_text_append(out, bytes);
    } else {
        buffer_append_u8(out, '"');
        base64_append(out, bytes);
        buffer_append_u8(out, '"');
    }
}

void jsonl_append(struct buffer *out, struct slice key, struct slice value, int64_t ttl_ms)
{
    buffer_append_u8(out, '{');
    append_field(out, "key", key);
    buffer_append_u8(out, ',');
    append_field(out, "value", value);
    if (ttl_ms != ENTRY_FOREVER)
        buffer_printf(out, ",\"ttl_ms\":%" PRId64, ttl_ms);
    buffer_append_str(out, "}\n");
}

/* --- the text of a field, in a line that is known to be a JSON object --- */

static size_t space_end(struct slice line, size_t at)
{
    while (at < line.len && isspace(line.data[at]))
        at++;
    return at;
}

static size_t string_end(struct slice line, size_t at)
{
    for (at++; line.data[at] != '"'; at++)
        at += line.data[at] == '\\';
    return at + 1;
}

static size_t value_end(struct slice line, size_t at)
{
    for (size_t depth = 0;;) {
        uint8_t c = line.data[at];
        if (depth == 0 && (c == ',' || c == '}' || c == ']' || isspace(c)))
            return at;
        depth += (c == '{' || c == '[');
        depth -= (c == '}' || c == ']');
        at = c == '"' ? string_end(line, at) : at + 1;
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            return at;
    }
}

static bool name_is(struct slice text, const char *name)
{
    json_t *string =
        json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool same = slice_equal(slice_make(json_string_value(string), json_string_length(string)),
                            slice_str(name));
    json_decref(string);
    return same;
}

/* As it is written; of several of that name the last one, as jansson has it. */
static struct slice field_text(struct slice line, const char *name)
{
    struct slice found = {0};
    for (size_t at = space_end(line, 1); line.data[at] != '}';) {
        size_t name_end = string_end(line, at);
        struct slice own = slice_make(line.data + at, name_end - at);
        at = space_end(line, space_end(line, name_end) + 1); /* behind the colon */
        size_t end = value_end(line, at);
        if (name_is(own, name))
            found = slice_make(line.data + at, end - at);
        at = space_end(line, end);
        if (line.data[at] == ',')
            at = space_end(line, at + 1);
    }
    return found;
}

/* A field's bytes: strings bare, all else as JSON, as it is written but for the space in it: no
 * number is changed. */
static void append_value(const json_t *value, struct slice text, struct buffer *out)
{
    if (json_is_string(value)) {
        buffer_append(out, json_string_value(value), json_string_length(value));
        return;
    }
    for (size_t at = 0; at < text.len;) {
        size_t end = text.data[at] == '"' ? string_end(text, at) : at + 1;
        if (!isspace(text.data[at]))
            buffer_append(out, text.data + at, end - at);
        at = end;
    }
}

static bool is_whole(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isdigit(text.data[i]) && text.data[i] != '-')
            return false;
    return text.len > 0;
}

/* --- fields --- */

static int take_b64(const json_t *object, const char *name, struct buffer *out,
                    struct failure *failure)
{
    const json_t *field = json_object_get(object, name);
    if (field == NULL)
        return ST_NOTFOUND;
    struct slice text = slice_make(json_string_value(field), json_string_length(field));
    if (!json_is_string(field) || base64_decode(text, out) < 0)
        return failure_set(failure, ST_INVALID, "\"%s\" is not base64", name);
    return 0;
}

static int take_key(const json_t *object, struct slice line, const struct entry_fields *fields,
                    struct buffer *out, struct failure *failure)
{
    const char *name = fields->key ? fields->key : "key";
    const json_t *field = json_object_get(object, name);
    struct slice text = json_is_number(field) ? field_text(line, name) : (struct slice){0};
    if (json_is_string(field) || is_whole(text)) {
        append_value(field, text, out);
        return 0;
    }
    if (field != NULL)
        return failure_set(failure, ST_INVALID, "\"%s\" is neither a text nor a whole number",
                           name);
    int st = fields->key ? ST_NOTFOUND : take_b64(object, "key_b64", out, failure);
    if (st == ST_NOTFOUND)
        failure_set(failure, ST_INVALID, "no field \"%s\"", name);
    return st == ST_NOTFOUND ? ST_INVALID : st;
}

static int take_value(const json_t *object, struct slice line, const struct entry_fields *fields,
                      struct buffer *out, struct failure *failure)
{
    if (fields->key && !fields->value) {
        buffer_append_slice(out, line);
        return 0;
    }
    const char *name = fields->value ? fields->value : "value";
    const json_t *field = json_object_get(object, name);
    if (json_is_null(field))
        return failure_set(failure, ST_INVALID, "\"%s\" is null", name);
    if (field != NULL) {
        append_value(field, json_is_string(field) ? line : field_text(line, name), out);
        return 0;
    }
    int st = fields->value ? ST_NOTFOUND : take_b64(object, "value_b64", out, failure);
    if (st == ST_NOTFOUND)
        failure_set(failure, ST_INVALID, "no field \"%s\"", name);
    return st == ST_NOTFOUND ? ST_INVALID : st;
}

static int take_ttl(const json_t *object, struct slice line, const struct entry_fields *fields,
                    int64_t *ret_ttl_ms, struct failure *failure)
{
    const json_t *field = json_object_get(object, "ttl_ms");
    if (field == NULL || json_is_null(field) || (fields->key && !fields->value))
        return 0;
    int64_t ttl_ms;
    if (!json_is_number(field) || number_parse_i64(field_text(line, "ttl_ms"), &ttl_ms) < 0 ||
        ttl_ms < 1)
        return failure_set(failure, ST_INVALID, "\"ttl_ms\" is not a whole number above 0");
    *ret_ttl_ms = ttl_ms;
    return 0;
}

static struct slice trim(struct slice line)
{
    while (line.len > 0 && isspace(line.data[line.len - 1]))
        line.len--;
    while (line.len > 0 && isspace(line.data[0]))
        line = slice_make(line.data + 1, line.len - 1);
    return line;
}

int jsonl_parse(struct slice line, const struct entry_fields *fields, struct entry *entry,
                struct failure *failure)
{
    entry_clear(entry);
    line = trim(line);
    json_error_t error;
    /* Integers of any size are JSON: as reals they pass, and their text is what is taken. */
    json_t *object = json_loadb((const char *)line.data, line.len,
                                JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (object == NULL)
        return failure_set(failure, ST_INVALID, "not JSON: %s", error.text);
    int st;
    if (!json_is_object(object)) {
        st = failure_set(failure, ST_INVALID, "not a JSON object");
    } else {
        st = take_key(object, line, fields, &entry->key, failure);
        if (st == 0)
            st = take_value(object, line, fields, &entry->value, failure);
        if (st == 0)
            st = take_ttl(object, line, fields, &entry->ttl_ms, failure);
    }
    json_decref(object);
    return st;
}
