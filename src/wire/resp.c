#include "wire/resp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/status.h"

#define UNAUTHENTICATED_ARGS_MAX 10
#define UNAUTHENTICATED_BULK_MAX 16384
/* A query buffer grown beyond this is given back when it is empty. */
#define QUERY_KEEP_BYTES (64u << 10)

void resp_init(struct resp *r, const struct resp_limits *limits)
{
    *r = (struct resp){.bulk_left = -1, .limits = *limits};
}

static size_t span_count(const struct buffer *spans)
{
    return spans->len / sizeof(struct resp_span);
}

static void free_owned(struct resp *r)
{
    void **blocks = (void **)r->owned.data;
    for (size_t i = 0; i < r->owned.len / sizeof(void *); i++)
        free(blocks[i]);
    buffer_clear(&r->owned);
}

void resp_free(struct resp *r)
{
    struct resp_span *spans = (struct resp_span *)r->spans.data;
    for (size_t i = 0; i < span_count(&r->spans); i++)
        free(spans[i].own);
    free(r->big);
    free_owned(r);
    buffer_free(&r->owned);
    buffer_free(&r->in);
    buffer_free(&r->spans);
    buffer_free(&r->args);
    r->big = NULL;
}

static enum resp_result fail(struct resp *r, const char *text)
{
    snprintf(r->error, sizeof(r->error), "ERR Protocol error: %s", text);
    return RESP_ERROR;
}

const char *resp_error(const struct resp *r)
{
    return r->error;
}

/* --- reading --- */

/* Moves the unparsed bytes to the front. Spans of the command being parsed refer to the buffer, so
 * what they cover stays. */
static void compact(struct resp *r)
{
    size_t keep = r->pos;
    const struct resp_span *spans = (const struct resp_span *)r->spans.data;
    for (size_t i = 0; i < span_count(&r->spans); i++) {
        if (spans[i].own == NULL) {
            keep = spans[i].offset; /* the first one is the lowest */
            break;
        }
    }
    if (keep == 0)
        return;
    memmove(r->in.data, r->in.data + keep, r->in.len - keep);
    r->in.len -= keep;
    r->pos -= keep;
    struct resp_span *moved = (struct resp_span *)r->spans.data;
    for (size_t i = 0; i < span_count(&r->spans); i++)
        if (moved[i].own == NULL)
            moved[i].offset -= keep;
}

void resp_space(struct resp *r, uint8_t **ret_data, size_t *ret_len)
{
    CHECK(r->args.len == 0);
    if (r->big != NULL) {
        *ret_data = r->big + r->big_have;
        *ret_len = (size_t)r->bulk_left + 2 - r->big_have;
        return;
    }
    compact(r);
    if (r->in.len == 0 && r->in.cap > QUERY_KEEP_BYTES)
        buffer_free(&r->in);
    *ret_data = buffer_reserve(&r->in, RESP_READ_BYTES);
    *ret_len = r->in.cap - r->in.len;
}

void resp_filled(struct resp *r, size_t len)
{
    if (r->big != NULL)
        r->big_have += len;
    else
        r->in.len += len;
}

/* --- parsing --- */

/* The line at pos, without its end; false when it is not complete. *ret_next: where the next one
 * begins. */
static bool take_line(struct resp *r, uint8_t end, size_t end_bytes, struct slice *ret_line,
                      size_t *ret_next)
{
    const uint8_t *start = r->in.data + r->pos;
    size_t have = r->in.len - r->pos;
    const uint8_t *stop = have == 0 ? NULL : memchr(start, end, have);
    if (stop == NULL || (size_t)(stop - start) + end_bytes > have)
        return false;
    *ret_line = slice_make(start, (size_t)(stop - start));
    *ret_next = r->pos + ret_line->len + end_bytes;
    return true;
}

static bool line_too_long(const struct resp *r)
{
    return r->in.len - r->pos > RESP_INLINE_BYTES_MAX;
}

/* A complete command: its spans become slices behind those of the commands before it. */
static enum resp_result take_command(struct resp *r, struct resp_command *ret_command)
{
    size_t count = span_count(&r->spans);
    const struct resp_span *spans = (const struct resp_span *)r->spans.data;
    ret_command->first = (uint32_t)(r->args.len / sizeof(struct slice));
    ret_command->argc = (uint32_t)count;
    struct slice *to = (struct slice *)buffer_reserve(&r->args, count * sizeof(struct slice));
    for (size_t i = 0; i < count; i++) {
        const uint8_t *data = spans[i].own != NULL ? spans[i].own : r->in.data + spans[i].offset;
        to[i] = slice_make(data, spans[i].len);
        if (unlikely(spans[i].own != NULL))
            buffer_append(&r->owned, &spans[i].own, sizeof(void *));
    }
    r->args.len += count * sizeof(struct slice);
    buffer_clear(&r->spans);
    r->spans_bytes = 0;
    return RESP_COMMAND;
}

static enum resp_result parse_inline(struct resp *r, struct resp_command *ret_command)
{
    struct slice line;
    size_t next;
    if (!take_line(r, '\n', 1, &line, &next))
        return line_too_long(r) ? fail(r, "too big inline request") : RESP_MORE;
    if (line.len > RESP_INLINE_BYTES_MAX)
        return fail(r, "too big inline request");
    size_t len = line.len;
    if (len > 0 && line.data[len - 1] == '\r')
        len--;
    size_t start = r->pos;
    if (resp_split_line(r->in.data + start, len, &r->spans) < 0)
        return fail(r, "unbalanced quotes in request");
    struct resp_span *spans = (struct resp_span *)r->spans.data;
    for (size_t i = 0; i < span_count(&r->spans); i++)
        spans[i].offset += start;
    r->pos = next;
    return take_command(r, ret_command);
}

static enum resp_result parse_count(struct resp *r)
{
    struct slice line;
    size_t next;
    if (!take_line(r, '\r', 2, &line, &next))
        return line_too_long(r) ? fail(r, "too big mbulk count string") : RESP_MORE;
    int64_t count;
    if (number_parse_i64(slice_make(line.data + 1, line.len - 1), &count) < 0 ||
        count > RESP_ARGS_MAX)
        return fail(r, "invalid multibulk length");
    if (count > UNAUTHENTICATED_ARGS_MAX && r->limits.unauthenticated)
        return fail(r, "unauthenticated multibulk length");
    r->pos = next;
    r->args_left = count > 0 ? count : 0;
    r->bulk_left = -1;
    return RESP_COMMAND;
}

static enum resp_result parse_bulk_length(struct resp *r)
{
    struct slice line;
    size_t next;
    if (!take_line(r, '\r', 2, &line, &next))
        return line_too_long(r) ? fail(r, "too big bulk count string") : RESP_MORE;
    if (line.len == 0 || line.data[0] != '$') {
        char text[64];
        snprintf(text, sizeof(text), "expected '$', got '%c'", line.len > 0 ? line.data[0] : '\r');
        return fail(r, text);
    }
    int64_t len;
    if (number_parse_i64(slice_make(line.data + 1, line.len - 1), &len) < 0 || len < 0 ||
        (uint64_t)len > r->limits.bulk_bytes)
        return fail(r, "invalid bulk length");
    if (len > UNAUTHENTICATED_BULK_MAX && r->limits.unauthenticated)
        return fail(r, "unauthenticated bulk length");
    r->pos = next;
    r->bulk_left = len;
    return RESP_COMMAND;
}

/* Gives the argument its own block when it is big and not all there. */
static enum resp_result begin_big(struct resp *r)
{
    size_t len = (size_t)r->bulk_left;
    if (r->spans_bytes + len > r->limits.query_bytes)
        return fail(r, "the request is larger than query-buffer-bytes");
    r->big = mem_alloc(len + 2);
    r->big_have = r->in.len - r->pos;
    memcpy(r->big, r->in.data + r->pos, r->big_have);
    r->in.len = r->pos;
    return RESP_MORE;
}

static enum resp_result parse_bulk(struct resp *r)
{
    size_t len = (size_t)r->bulk_left;
    struct resp_span span = {.offset = r->pos, .len = len};
    if (r->big != NULL) {
        if (r->big_have < len + 2)
            return RESP_MORE;
        span.own = r->big;
        r->spans_bytes += len;
        r->big = NULL;
    } else if (r->in.len - r->pos < len + 2) {
        if (len >= RESP_BIG_BYTES)
            return begin_big(r);
        return r->in.len + r->spans_bytes > r->limits.query_bytes
                   ? fail(r, "the request is larger than query-buffer-bytes")
                   : RESP_MORE;
    } else {
        r->pos += len + 2;
    }
    buffer_append(&r->spans, &span, sizeof(span));
    r->args_left--;
    r->bulk_left = -1;
    return RESP_COMMAND;
}

/* --- the common case --- */

#define WHOLE_ARGS_MAX   64
#define WHOLE_DIGITS_MAX 7

/* "<kind><digits>\r\n" at *at: the number, or -1 when it is not all there or not so plain. */
static inline int32_t plain_number(const uint8_t **at, const uint8_t *end, uint8_t kind)
{
    const uint8_t *p = *at;
    if (end - p < 4 || *p++ != kind)
        return -1;
    int32_t value = *p++ - '0';
    if (value < 0 || value > 9)
        return -1;
    bool zero = value == 0;
    for (int digits = 1; p < end && *p != '\r'; digits++) {
        int digit = *p++ - '0';
        if (digit < 0 || digit > 9 || zero || digits == WHOLE_DIGITS_MAX)
            return -1;
        value = value * 10 + digit;
    }
    if (end - p < 2)
        return -1;
    *at = p + 2;
    return value;
}

/* A multibulk of a few arguments that is all in the buffer and has nothing odd: straight to
 * slices. false: nothing was taken, the careful way has to see. */
static bool take_whole(struct resp *r, struct resp_command *ret_command)
{
    const uint8_t *p = r->in.data + r->pos, *end = r->in.data + r->in.len;
    int32_t count = plain_number(&p, end, '*');
    if (count <= 0 || count > WHOLE_ARGS_MAX || r->limits.unauthenticated)
        return false;
    struct slice *to =
        (struct slice *)buffer_reserve(&r->args, (size_t)count * sizeof(struct slice));
    for (int32_t i = 0; i < count; i++) {
        int32_t len = plain_number(&p, end, '$');
        if (len < 0 || end - p < (ptrdiff_t)len + 2 || (uint64_t)len > r->limits.bulk_bytes)
            return false;
        to[i] = slice_make(p, (size_t)len);
        p += len + 2;
    }
    ret_command->first = (uint32_t)(r->args.len / sizeof(struct slice));
    ret_command->argc = (uint32_t)count;
    r->args.len += (size_t)count * sizeof(struct slice);
    r->pos = (size_t)(p - r->in.data);
    return true;
}

enum resp_result resp_next(struct resp *r, struct resp_command *ret_command)
{
    if (unlikely(r->error[0] != '\0'))
        return RESP_ERROR;
    if (likely(r->args_left == 0 && r->pos < r->in.len) && take_whole(r, ret_command))
        return RESP_COMMAND;
    while (r->args_left > 0 || r->pos < r->in.len) {
        enum resp_result result;
        if (r->args_left == 0) {
            if (r->in.data[r->pos] != '*')
                return parse_inline(r, ret_command);
            result = parse_count(r);
            if (result != RESP_COMMAND)
                return result;
            if (r->args_left == 0)
                return take_command(r, ret_command); /* "*0": nothing to do, nothing to answer */
            continue;
        }
        if (r->bulk_left < 0) {
            result = parse_bulk_length(r);
            if (result != RESP_COMMAND)
                return result;
        }
        result = parse_bulk(r);
        if (result != RESP_COMMAND)
            return result;
        if (r->args_left == 0)
            return take_command(r, ret_command);
    }
    return RESP_MORE;
}

const struct slice *resp_args(const struct resp *r, const struct resp_command *command)
{
    return command->argc == 0 ? NULL : (const struct slice *)r->args.data + command->first;
}

void resp_release(struct resp *r)
{
    buffer_clear(&r->args);
    free_owned(r);
}

void resp_trim(struct resp *r)
{
    if (!resp_idle(r) || r->args.len > 0)
        return;
    buffer_free(&r->in);
    buffer_free(&r->spans);
    buffer_free(&r->args);
    buffer_free(&r->owned);
    r->pos = 0;
}

bool resp_idle(const struct resp *r)
{
    return r->args_left == 0 && r->pos == r->in.len;
}

size_t resp_memory(const struct resp *r)
{
    return r->in.cap + r->spans.cap + r->args.cap + (r->big != NULL ? (size_t)r->bulk_left : 0) +
           r->spans_bytes;
}

/* --- lines of words --- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What \c stands for inside double quotes. */
static uint8_t escaped(uint8_t c)
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

/* Unquotes from line[*at], just behind the opening quote, to line[*to]. false: no end, or no space
 * after. */
static bool unquote(uint8_t *line, size_t len, uint8_t quote, size_t *at, size_t *to)
{
    size_t in = *at, out = *to;
    while (in < len && line[in] != quote) {
        uint8_t c = line[in];
        size_t left = len - in - 1;
        if (c == '\\' && quote == '"' && left >= 3 && line[in + 1] == 'x' &&
            hex_digit(line[in + 2]) >= 0 && hex_digit(line[in + 3]) >= 0) {
            line[out++] = (uint8_t)(hex_digit(line[in + 2]) << 4 | hex_digit(line[in + 3]));
            in += 4;
        } else if (c == '\\' && left >= 1 && (quote == '"' || line[in + 1] == '\'')) {
            line[out++] = quote == '"' ? escaped(line[in + 1]) : '\'';
            in += 2;
        } else {
            line[out++] = c;
            in++;
        }
    }
    if (in >= len || (in + 1 < len && !is_space(line[in + 1])))
        return false;
    *at = in + 1;
    *to = out;
    return true;
}

int resp_split_line(uint8_t *line, size_t len, struct buffer *spans)
{
    size_t in = 0;
    size_t zero = len; /* a NUL byte ends the line, as it does for Redis */
    const uint8_t *nul = len > 0 ? memchr(line, 0, len) : NULL;
    if (nul != NULL)
        zero = (size_t)(nul - line);
    while (in < zero) {
        if (is_space(line[in])) {
            in++;
            continue;
        }
        struct resp_span span = {.offset = in};
        size_t out = in;
        while (in < zero && !is_space(line[in])) {
            if (line[in] == '"' || line[in] == '\'') {
                uint8_t quote = line[in++];
                if (!unquote(line, zero, quote, &in, &out))
                    return ST_INVALID;
                break;
            }
            line[out++] = line[in++];
        }
        span.len = out - span.offset;
        buffer_append(spans, &span, sizeof(span));
    }
    return 0;
}
