#include "cli/jsonl.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>

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

static int dump_append(const char *text, size_t len, void *to)
{
    buffer_append(to, text, len);
    return 0;
}

/* A field's bytes: strings bare, all else as JSON. */
static void append_value(const json_t *value, struct buffer *out)
{
    if (json_is_string(value))
        buffer_append(out, json_string_value(value), json_string_length(value));
    else
        json_dump_callback(value, dump_append, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

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

static int take_key(const json_t *object, const struct entry_fields *fields, struct buffer *out,
                    struct failure *failure)
{
    const char *name = fields->key ? fields->key : "key";
    const json_t *field = json_object_get(object, name);
    if (json_is_string(field) || json_is_integer(field)) {
        append_value(field, out);
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
        append_value(field, out);
        return 0;
    }
    int st = fields->value ? ST_NOTFOUND : take_b64(object, "value_b64", out, failure);
    if (st == ST_NOTFOUND)
        failure_set(failure, ST_INVALID, "no field \"%s\"", name);
    return st == ST_NOTFOUND ? ST_INVALID : st;
}

static int take_ttl(const json_t *object, const struct entry_fields *fields, int64_t *ret_ttl_ms,
                    struct failure *failure)
{
    const json_t *field = json_object_get(object, "ttl_ms");
    if (field == NULL || json_is_null(field) || (fields->key && !fields->value))
        return 0;
    if (!json_is_integer(field) || json_integer_value(field) < 1)
        return failure_set(failure, ST_INVALID, "\"ttl_ms\" is not a whole number above 0");
    *ret_ttl_ms = json_integer_value(field);
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
    json_t *object = json_loadb((const char *)line.data, line.len, JSON_ALLOW_NUL, &error);
    if (object == NULL)
        return failure_set(failure, ST_INVALID, "not JSON: %s", error.text);
    int st;
    if (!json_is_object(object)) {
        st = failure_set(failure, ST_INVALID, "not a JSON object");
    } else {
        st = take_key(object, fields, &entry->key, failure);
        if (st == 0)
            st = take_value(object, line, fields, &entry->value, failure);
        if (st == 0)
            st = take_ttl(object, fields, &entry->ttl_ms, failure);
    }
    json_decref(object);
    return st;
}
