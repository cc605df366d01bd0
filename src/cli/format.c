#include "cli/format.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/base64.h"
#include "cli/json_text.h"
#include "cli/quote.h"

static void tty_item(const struct resp_reply *reply, size_t indent, struct buffer *out);

static void pad(struct buffer *out, size_t columns)
{
    memset(buffer_reserve(out, columns + 1), ' ', columns);
    out->len += columns;
}

/* The value of a map's entry: behind its key when it is one line, else below. */
static void tty_map_value(const struct resp_reply *value, size_t indent, struct buffer *out)
{
    BUFFER_AUTO struct buffer text = {0};
    buffer_append_str(out, " => ");
    tty_item(value, indent, &text);
    if (value->count > 0 && memchr(text.data, '\n', text.len - 1) != NULL) {
        buffer_append_u8(out, '\n');
        pad(out, indent);
    }
    buffer_append_slice(out, buffer_slice(&text));
}

static void tty_aggregate(const struct resp_reply *reply, size_t indent, struct buffer *out)
{
    bool map = reply->type == RESP_REPLY_MAP;
    size_t step = map ? 2 : 1, width = 0;
    char mark = map ? '#' : reply->type == RESP_REPLY_SET ? '~' : ')';
    for (size_t n = reply->count / step; n > 0; n /= 10)
        width++;
    for (size_t i = 0; i < reply->count; i += step) {
        if (i > 0) /* the parent has written the first one's indent */
            pad(out, indent);
        buffer_printf(out, "%*zu%c ", (int)width, i / step + 1, mark);
        tty_item(&reply->items[i], indent + width + 2, out);
        if (map) {
            out->len--; /* the newline behind the key */
            tty_map_value(&reply->items[i + 1], indent + width + 2, out);
        }
    }
}

static void tty_item(const struct resp_reply *reply, size_t indent, struct buffer *out)
{
    switch (reply->type) {
    case RESP_REPLY_NIL:
        buffer_append_str(out, "(nil)");
        break;
    case RESP_REPLY_ERROR:
        buffer_append_str(out, "(error) ");
        buffer_append_slice(out, resp_reply_text(reply));
        break;
    case RESP_REPLY_DOUBLE:
        buffer_append_str(out, "(double) ");
        buffer_append_slice(out, resp_reply_text(reply));
        break;
    case RESP_REPLY_INTEGER:
        buffer_printf(out, "(integer) %" PRId64, reply->integer);
        break;
    case RESP_REPLY_BOOL:
        buffer_append_str(out, reply->integer ? "(true)" : "(false)");
        break;
    case RESP_REPLY_STRING:
        quote_append(out, resp_reply_text(reply));
        break;
    case RESP_REPLY_STATUS:
    case RESP_REPLY_BIGNUM:
    case RESP_REPLY_VERBATIM:
        buffer_append_slice(out, resp_reply_text(reply));
        break;
    default:
        if (reply->count > 0) {
            tty_aggregate(reply, indent, out);
            return;
        }
        buffer_append_str(out, reply->type == RESP_REPLY_ARRAY ? "(empty array)"
                               : reply->type == RESP_REPLY_MAP ? "(empty hash)"
                               : reply->type == RESP_REPLY_SET ? "(empty set)"
                                                               : "(empty push)");
        break;
    }
    buffer_append_u8(out, '\n');
}

void format_tty(const struct resp_reply *reply, struct buffer *out)
{
    tty_item(reply, 0, out);
}

static void raw_item(const struct resp_reply *reply, struct buffer *out)
{
    switch (reply->type) {
    case RESP_REPLY_NIL:
        return;
    case RESP_REPLY_INTEGER:
        buffer_printf(out, "%" PRId64, reply->integer);
        return;
    case RESP_REPLY_BOOL:
        buffer_append_str(out, reply->integer ? "(true)" : "(false)");
        return;
    case RESP_REPLY_ARRAY:
    case RESP_REPLY_SET:
    case RESP_REPLY_PUSH:
    case RESP_REPLY_MAP:
        for (size_t i = 0; i < reply->count; i++) {
            if (i > 0)
                buffer_append_u8(out, reply->type == RESP_REPLY_MAP && i % 2 ? ' ' : '\n');
            raw_item(&reply->items[i], out);
        }
        return;
    default:
        if (reply->len > 0)
            buffer_append_slice(out, resp_reply_text(reply));
        return;
    }
}

void format_raw(const struct resp_reply *reply, bool newline, struct buffer *out)
{
    raw_item(reply, out);
    if (newline)
        buffer_append_u8(out, '\n');
}

static void json_string(struct slice bytes, struct buffer *out)
{
    if (json_text_is_utf8(bytes)) {
        json_text_append(out, bytes);
        return;
    }
    buffer_append_str(out, "{\"base64\":\"");
    base64_append(out, bytes);
    buffer_append_str(out, "\"}");
}

static void json_item(const struct resp_reply *reply, struct buffer *out);

/* Keys of objects must be strings: what is none, or is no UTF-8, is written as its JSON or escaped
 * text inside one. */
static void json_key(const struct resp_reply *key, struct buffer *out)
{
    if (key->data != NULL && json_text_is_utf8(resp_reply_text(key))) {
        json_text_append(out, resp_reply_text(key));
        return;
    }
    BUFFER_AUTO struct buffer text = {0};
    json_item(key, &text);
    json_text_append(out, buffer_slice(&text));
}

/* The shortest of the usual digits that reads back as the same number. */
static void json_double(const struct resp_reply *reply, struct buffer *out)
{
    char text[40];
    if (!isfinite(reply->number)) {
        json_string(resp_reply_text(reply), out);
        return;
    }
    snprintf(text, sizeof(text), "%.15g", reply->number);
    if (strtod(text, NULL) != reply->number)
        snprintf(text, sizeof(text), "%.17g", reply->number);
    buffer_append_str(out, text);
}

static void json_aggregate(const struct resp_reply *reply, struct buffer *out)
{
    bool map = reply->type == RESP_REPLY_MAP;
    buffer_append_u8(out, map ? '{' : '[');
    for (size_t i = 0; i < reply->count; i++) {
        bool value = map && i % 2 == 1;
        if (i > 0)
            buffer_append_u8(out, value ? ':' : ',');
        if (map && !value)
            json_key(&reply->items[i], out);
        else
            json_item(&reply->items[i], out);
    }
    buffer_append_u8(out, map ? '}' : ']');
}

static void json_item(const struct resp_reply *reply, struct buffer *out)
{
    switch (reply->type) {
    case RESP_REPLY_NIL:
        buffer_append_str(out, "null");
        return;
    case RESP_REPLY_INTEGER:
        buffer_printf(out, "%" PRId64, reply->integer);
        return;
    case RESP_REPLY_BOOL:
        buffer_append_str(out, reply->integer ? "true" : "false");
        return;
    case RESP_REPLY_DOUBLE:
        json_double(reply, out);
        return;
    case RESP_REPLY_ERROR:
        buffer_append_str(out, "{\"error\":");
        json_string(resp_reply_text(reply), out);
        buffer_append_u8(out, '}');
        return;
    case RESP_REPLY_STATUS:
    case RESP_REPLY_STRING:
    case RESP_REPLY_BIGNUM:
    case RESP_REPLY_VERBATIM:
        json_string(resp_reply_text(reply), out);
        return;
    default:
        json_aggregate(reply, out);
        return;
    }
}

void format_json(const struct resp_reply *reply, struct buffer *out)
{
    json_item(reply, out);
    buffer_append_u8(out, '\n');
}

bool format_is_page(size_t argc, const struct slice *argv)
{
    static const char *const pages[][2] = {
        {"info", NULL},       {"status", NULL},     {"lolwut", NULL},
        {"client", "list"},   {"client", "info"},   {"cluster", "info"},
        {"cluster", "nodes"}, {"memory", "doctor"}, {"latency", "doctor"},
        {"latency", "graph"}, {"debug", "htstats"}, {"memory", "malloc-stats"},
    };
    for (size_t i = 0; argc > 0 && i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (quote_word_is(argv[0], pages[i][0]) &&
            (pages[i][1] == NULL || (argc > 1 && quote_word_is(argv[1], pages[i][1]))))
            return true;
    }
    return false;
}
