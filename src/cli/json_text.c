#include "cli/json_text.h"

/* Length of the UTF-8 sequence at p, or 0. */
static size_t sequence(const uint8_t *p, size_t left)
{
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc2 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || /* overlong, surrogate */
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))   /* overlong, too high */
        return 0;
    return n;
}

bool json_text_is_utf8(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len;) {
        size_t n = sequence(bytes.data + i, bytes.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void json_text_append(struct buffer *out, struct slice utf8)
{
    static const char special[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
    buffer_append_u8(out, '"');
    size_t plain = 0; /* start of the run not written yet */
    for (size_t i = 0; i < utf8.len; i++) {
        uint8_t c = utf8.data[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buffer_append(out, utf8.data + plain, i - plain);
        plain = i + 1;
        const char *found = c ? strchr(special, c) : NULL;
        if (found)
            buffer_printf(out, "\\%c", letters[found - special]);
        else
            buffer_printf(out, "\\u%04x", c);
    }
    if (utf8.len > plain)
        buffer_append(out, utf8.data + plain, utf8.len - plain);
    buffer_append_u8(out, '"');
}
