#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"

#define BUFFER_FIRST_BYTES 64

uint8_t *buffer_reserve(struct buffer *b, size_t bytes)
{
    if (likely(bytes <= b->cap - b->len && b->data != NULL))
        return b->data + b->len;
    CHECK(bytes <= SIZE_MAX / 2 - b->len);
    size_t need = b->len + bytes;
    size_t cap = b->cap < BUFFER_FIRST_BYTES ? BUFFER_FIRST_BYTES : b->cap;
    while (cap < need)
        cap *= 2;
    b->data = mem_realloc(b->data, cap);
    b->cap = cap;
    return b->data + b->len;
}

void buffer_append(struct buffer *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buffer_reserve(b, len), data, len);
    b->len += len;
}

void buffer_append_slice(struct buffer *b, struct slice bytes)
{
    buffer_append(b, bytes.data, bytes.len);
}

void buffer_append_str(struct buffer *b, const char *text)
{
    buffer_append(b, text, strlen(text));
}

void buffer_append_u8(struct buffer *b, uint8_t value)
{
    *buffer_reserve(b, 1) = value;
    b->len += 1;
}

void buffer_append_u16(struct buffer *b, uint16_t value)
{
    bytes_put_u16(buffer_reserve(b, sizeof(value)), value);
    b->len += sizeof(value);
}

void buffer_append_u32(struct buffer *b, uint32_t value)
{
    bytes_put_u32(buffer_reserve(b, sizeof(value)), value);
    b->len += sizeof(value);
}

void buffer_append_u64(struct buffer *b, uint64_t value)
{
    bytes_put_u64(buffer_reserve(b, sizeof(value)), value);
    b->len += sizeof(value);
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char *tail = (char *)buffer_reserve(b, 1);
    size_t room = b->cap - b->len;
    int len = vsnprintf(tail, room, format, args);
    va_end(args);
    CHECK(len >= 0);
    if ((size_t)len >= room) {
        /* vsnprintf writes a terminator that is not kept, hence one byte more. */
        tail = (char *)buffer_reserve(b, (size_t)len + 1);
        vsnprintf(tail, (size_t)len + 1, format, again);
    }
    va_end(again);
    b->len += (size_t)len;
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}
