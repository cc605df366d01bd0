#include "cli/base64.h"

#include "base/status.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buffer *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = (uint32_t)bytes.data[i] << 16;
        v |= n > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        v |= n > 2 ? bytes.data[i + 2] : 0;
        char quad[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
                        n > 1 ? alphabet[v >> 6 & 63] : '=', n > 2 ? alphabet[v & 63] : '='};
        buffer_append(out, quad, 4);
    }
}

static int digit(uint8_t c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

int base64_decode(struct slice text, struct buffer *out)
{
    size_t before = out->len;
    if (text.len % 4 != 0)
        return ST_INVALID;
    for (size_t i = 0; i < text.len; i += 4) {
        const uint8_t *q = text.data + i;
        bool last = i + 4 == text.len;
        size_t n = last && q[3] == '=' ? (q[2] == '=' ? 1 : 2) : 3;
        uint32_t v = 0;
        bool valid = true;
        for (size_t k = 0; k < 4; k++) {
            int d = k <= n ? digit(q[k]) : 0;
            valid = valid && d >= 0;
            v = v << 6 | (uint32_t)(d & 63);
        }
        if (!valid || (n < 3 && (v & (0xffffffu >> 8 * n)) != 0)) {
            out->len = before;
            return ST_INVALID;
        }
        uint8_t bytes[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        buffer_append(out, bytes, n);
    }
    return 0;
}
