#include "cli/quote.h"

#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "base/status.h"
#include "wire/resp.h"

int quote_split(struct slice line, struct quote_args *ret_args)
{
    struct quote_args args = {0};
    BUFFER_AUTO struct buffer spans = {0};
    buffer_append_slice(&args.bytes, line); /* unquoted in place */
    int st = resp_split_line(args.bytes.data, line.len, &spans);
    size_t count = spans.len / sizeof(struct resp_span);
    if (st == 0 && count > QUOTE_ARGS_MAX)
        st = ST_LIMIT;
    if (st < 0) {
        buffer_free(&args.bytes);
        return st;
    }
    args.count = count;
    args.items = mem_alloc((count + 1) * sizeof(args.items[0]));
    for (size_t i = 0; i < count; i++) {
        const struct resp_span *span = (const struct resp_span *)spans.data + i;
        args.items[i] = slice_make(args.bytes.data + span->offset, span->len);
    }
    *ret_args = args;
    return 0;
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
