#include "cli/quote.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "base/status.h"

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static uint8_t unescape(uint8_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

/* What follows an opening quote at line[i]; returns the position behind the closing one, or 0. */
static size_t take_quoted(struct slice line, size_t i, uint8_t quote, struct buffer *out)
{
    for (; i < line.len; i++) {
        const uint8_t *at = line.data + i;
        size_t rest = line.len - i;
        if (at[0] == quote)
            return rest == 1 || isspace(at[1]) ? i + 1 : 0;
        if (quote == '\'' && at[0] == '\\' && rest > 1 && at[1] == '\'') {
            buffer_append_u8(out, '\'');
            i++;
        } else if (quote == '"' && at[0] == '\\' && rest > 3 && at[1] == 'x' &&
                   hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
            buffer_append_u8(out, (uint8_t)(hex_digit(at[2]) * 16 + hex_digit(at[3])));
            i += 3;
        } else if (quote == '"' && at[0] == '\\' && rest > 1) {
            buffer_append_u8(out, unescape(at[1]));
            i++;
        } else {
            buffer_append_u8(out, at[0]);
        }
    }
    return 0;
}

/* The word at line[i], which is not white space. Returns the position behind it, or 0. */
static size_t take_word(struct slice line, size_t i, struct buffer *out)
{
    while (i < line.len && !isspace(line.data[i])) {
        uint8_t c = line.data[i++];
        if (c == '"' || c == '\'')
            return take_quoted(line, i, c, out);
        buffer_append_u8(out, c);
    }
    return i;
}

int quote_split(struct slice line, struct quote_args *ret_args)
{
    struct quote_args args = {0};
    size_t *ends = NULL, capacity = 0;
    int st = 0;
    for (size_t i = 0;;) {
        while (i < line.len && isspace(line.data[i]))
            i++;
        if (i == line.len)
            break;
        i = take_word(line, i, &args.bytes);
        st = i == 0 ? ST_INVALID : args.count == QUOTE_ARGS_MAX ? ST_LIMIT : 0;
        if (st < 0)
            break;
        if (args.count == capacity) {
            capacity = capacity ? capacity * 2 : 8;
            ends = mem_realloc(ends, capacity * sizeof(ends[0]));
        }
        ends[args.count++] = args.bytes.len;
    }
    if (st == 0) {
        args.items = mem_alloc(args.count * sizeof(args.items[0]));
        for (size_t i = 0, start = 0; i < args.count; start = ends[i++])
            args.items[i] = slice_make(args.bytes.data + start, ends[i] - start);
        *ret_args = args;
    } else {
        buffer_free(&args.bytes);
    }
    free(ends);
    return st;
}

void quote_args_free(struct quote_args *args)
{
    free(args->items);
    buffer_free(&args->bytes);
    *args = (struct quote_args){0};
}

void quote_append(struct buffer *out, struct slice bytes)
{
    static const char special[] = "\"\\\n\r\t\a\b", letters[] = "\"\\nrtab";
    buffer_append_u8(out, '"');
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        const char *found = c ? strchr(special, c) : NULL;
        if (found)
            buffer_printf(out, "\\%c", letters[found - special]);
        else if (c >= 0x20 && c < 0x7f)
            buffer_append_u8(out, c);
        else
            buffer_printf(out, "\\x%02x", c);
    }
    buffer_append_u8(out, '"');
}

bool quote_word_is(struct slice word, const char *name)
{
    return word.len == strlen(name) && strncasecmp((const char *)word.data, name, word.len) == 0;
}
