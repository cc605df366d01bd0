/* A growable byte buffer.
 *
 * Invariants: len <= cap; data is NULL only while cap is 0; the bytes beyond len are undefined.
 * There is no hidden terminator: a text is data and len. A zeroed struct is an empty buffer, so
 * `struct buffer b = {0};` needs no init. Appending doubles the capacity, so it costs amortised
 * O(1); it may move the bytes, so pointers and slices into a buffer die with the next append or
 * reserve. Whoever bounds what comes from outside does so before appending; there is no limit in
 * here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buffer {
    uint8_t *data;
    size_t len, cap;
};

/* `BUFFER_AUTO struct buffer b = {0};` frees at the end of the scope. */
#define BUFFER_AUTO __attribute__((cleanup(buffer_free)))

/* Makes room for `bytes` more and returns where they go; the caller adds what it wrote to len. */
uint8_t *buffer_reserve(struct buffer *b, size_t bytes);

void buffer_append(struct buffer *b, const void *data, size_t len);
void buffer_append_slice(struct buffer *b, struct slice bytes);
void buffer_append_str(struct buffer *b, const char *text);
void buffer_append_u8(struct buffer *b, uint8_t value);
void buffer_append_u16(struct buffer *b, uint16_t value); /* little endian, as are u32 and u64 */
void buffer_append_u32(struct buffer *b, uint32_t value);
void buffer_append_u64(struct buffer *b, uint64_t value);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

void buffer_clear(struct buffer *b); /* empties it and keeps the memory */
void buffer_free(struct buffer *b);  /* gives the memory back; the buffer is empty and usable */

static inline struct slice buffer_slice(const struct buffer *b)
{
    return slice_make(b->data, b->len);
}
