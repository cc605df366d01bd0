#include "wire/reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/number.h"

#define HEADER_BYTES_MAX (NUMBER_TEXT_MAX + 3)

void reply_init(struct reply *r)
{
    *r = (struct reply){.version = 2};
}

static void chunk_free(struct reply *r, struct reply_chunk *chunk)
{
    r->memory_bytes -= sizeof(*chunk) + chunk->cap;
    free(chunk);
}

void reply_free(struct reply *r)
{
    while (r->head != NULL) {
        struct reply_chunk *next = r->head->next;
        chunk_free(r, r->head);
        r->head = next;
    }
    r->tail = NULL;
}

void reply_trim(struct reply *r)
{
    if (reply_pending(r) > 0)
        return;
    reply_free(r);
    r->head_sent = 0;
}

static void chunk_add(struct reply *r, size_t len)
{
    size_t cap = len > REPLY_CHUNK_BYTES ? len : REPLY_CHUNK_BYTES;
    struct reply_chunk *chunk = mem_alloc(sizeof(*chunk) + cap);
    chunk->next = NULL;
    chunk->len = 0;
    chunk->cap = cap;
    r->memory_bytes += sizeof(*chunk) + cap;
    if (r->tail != NULL)
        r->tail->next = chunk;
    else
        r->head = chunk;
    r->tail = chunk;
}

uint8_t *reply_room(struct reply *r, size_t len)
{
    if (unlikely(r->tail == NULL || r->tail->cap - r->tail->len < len))
        chunk_add(r, len);
    return r->tail->data + r->tail->len;
}

struct reply_mark reply_mark(const struct reply *r)
{
    return (struct reply_mark){r->tail, r->tail != NULL ? r->tail->len : 0, r->written};
}

void reply_truncate(struct reply *r, struct reply_mark mark)
{
    struct reply_chunk *drop;
    if (mark.tail == NULL) {
        drop = r->head;
        r->head = NULL;
    } else {
        drop = mark.tail->next;
        mark.tail->next = NULL;
        mark.tail->len = mark.len;
    }
    r->tail = mark.tail;
    r->written = mark.written;
    r->exceeded = false;
    while (drop != NULL) {
        struct reply_chunk *next = drop->next;
        chunk_free(r, drop);
        drop = next;
    }
}

int reply_iovec(const struct reply *r, uint64_t limit, struct iovec *iov, int max)
{
    uint64_t left = limit > r->sent ? limit - r->sent : 0;
    size_t skip = r->head_sent;
    int count = 0;
    for (struct reply_chunk *c = r->head; c != NULL && left > 0 && count < max; c = c->next) {
        size_t len = c->len - skip < left ? c->len - skip : left;
        if (len > 0)
            iov[count++] = (struct iovec){.iov_base = c->data + skip, .iov_len = len};
        left -= len;
        skip = 0;
    }
    return count;
}

void reply_sent(struct reply *r, size_t len)
{
    CHECK(len <= reply_pending(r));
    r->sent += len;
    while (r->head != NULL && len >= r->head->len - r->head_sent) {
        struct reply_chunk *done = r->head;
        len -= done->len - r->head_sent;
        r->head_sent = 0;
        if (done == r->tail && done->cap == REPLY_CHUNK_BYTES) {
            done->len = 0; /* the last one is kept for the next replies */
            return;
        }
        r->head = done->next;
        if (r->head == NULL)
            r->tail = NULL;
        chunk_free(r, done);
    }
    r->head_sent += len;
}

void reply_raw(struct reply *r, const void *data, size_t len)
{
    if (unlikely(r->muted) || len == 0)
        return;
    memcpy(reply_room(r, len), data, len);
    reply_added(r, len);
}

/* "<kind><number>\r\n" at `to`; returns its length. */
static size_t header(uint8_t *to, char kind, int64_t number)
{
    to[0] = (uint8_t)kind;
    size_t len = 1 + number_format_i64((char *)to + 1, number);
    to[len++] = '\r';
    to[len++] = '\n';
    return len;
}

static void write_header(struct reply *r, char kind, int64_t number)
{
    if (unlikely(r->muted))
        return;
    reply_added(r, header(reply_room(r, HEADER_BYTES_MAX), kind, number));
}

void reply_write_status(struct reply *r, const char *text)
{
    size_t len = strlen(text);
    if (unlikely(r->muted))
        return;
    uint8_t *to = reply_room(r, len + 3);
    to[0] = '+';
    memcpy(to + 1, text, len);
    memcpy(to + 1 + len, "\r\n", 2);
    reply_added(r, len + 3);
}

static bool line_end(uint8_t c)
{
    return c == '\r' || c == '\n';
}

/* A line end that arguments brought into the text goes, or is a space in its middle, as in Redis.
 */
void reply_write_error(struct reply *r, struct slice text)
{
    if (unlikely(r->muted))
        return;
    while (text.len > 0 && line_end(text.data[text.len - 1]))
        text.len--;
    uint8_t *to = reply_room(r, text.len + 3);
    *to++ = '-';
    for (size_t i = 0; i < text.len; i++)
        *to++ = line_end(text.data[i]) ? ' ' : text.data[i];
    memcpy(to, "\r\n", 2);
    reply_added(r, text.len + 3);
}

void reply_write_int(struct reply *r, int64_t value)
{
    write_header(r, ':', value);
}

void reply_write_bulk(struct reply *r, struct slice value)
{
    if (unlikely(r->muted))
        return;
    if (unlikely(r->pending_max > 0 && reply_pending(r) + value.len > r->pending_max)) {
        r->exceeded = true;
        return;
    }
    uint8_t *to = reply_room(r, HEADER_BYTES_MAX + value.len + 2);
    size_t len = header(to, '$', (int64_t)value.len);
    if (value.len > 0)
        memcpy(to + len, value.data, value.len);
    memcpy(to + len + value.len, "\r\n", 2);
    reply_added(r, len + value.len + 2);
}

void reply_write_null(struct reply *r)
{
    r->version == 3 ? reply_raw(r, "_\r\n", 3) : reply_raw(r, "$-1\r\n", 5);
}

void reply_write_null_array(struct reply *r)
{
    r->version == 3 ? reply_raw(r, "_\r\n", 3) : reply_raw(r, "*-1\r\n", 5);
}

void reply_write_array(struct reply *r, size_t count)
{
    write_header(r, '*', (int64_t)count);
}

void reply_write_map(struct reply *r, size_t pairs)
{
    r->version == 3 ? write_header(r, '%', (int64_t)pairs)
                    : write_header(r, '*', (int64_t)pairs * 2);
}

void reply_write_set(struct reply *r, size_t count)
{
    write_header(r, r->version == 3 ? '~' : '*', (int64_t)count);
}

void reply_write_bool(struct reply *r, bool value)
{
    if (r->version == 3)
        reply_raw(r, value ? "#t\r\n" : "#f\r\n", 4);
    else
        reply_write_int(r, value);
}

void reply_write_double(struct reply *r, double value)
{
    char text[64];
    int len = isinf(value) ? snprintf(text, sizeof(text), value > 0 ? "inf" : "-inf")
                           : snprintf(text, sizeof(text), "%.17g", value);
    if (r->version == 2) {
        reply_write_bulk(r, slice_make(text, (size_t)len));
        return;
    }
    reply_raw(r, ",", 1);
    reply_raw(r, text, (size_t)len);
    reply_raw(r, "\r\n", 2);
}

void reply_write_verbatim(struct reply *r, struct slice text)
{
    if (r->version == 2) {
        reply_write_bulk(r, text);
        return;
    }
    write_header(r, '=', (int64_t)text.len + 4);
    reply_raw(r, "txt:", 4);
    reply_raw(r, text.data, text.len);
    reply_raw(r, "\r\n", 2);
}
