#include "wire/resp_reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/status.h"

#define ITEMS_FIRST   4
#define COMPACT_BYTES (64u << 10) /* consumed bytes worth moving the rest for */

const struct resp_reply_limits resp_reply_default_limits = {
    .depth_max = 64,
    .elements_max = 16u << 20,
    .bulk_bytes_max = 512u << 20,
    .reply_bytes_max = (size_t)2 << 30,
};

/* An aggregate whose items are still coming. `node` stays where it is meanwhile: the array that
 * holds it grows only after it is complete. */
struct frame {
    struct resp_reply *node;
    size_t left;     /* items that must still come */
    size_t capacity; /* of node->items */
    bool attribute;  /* to be dropped when complete; does not fill its place */
};

struct resp_reply_reader {
    struct resp_reply_limits limits;
    struct buffer in;
    size_t pos;     /* consumed bytes of `in` */
    size_t scanned; /* from pos: bytes known to hold no line end */

    struct resp_reply root;
    struct frame *frames; /* limits.depth_max of them */
    size_t depth;
    size_t elements, reply_bytes; /* of the reply being read */

    bool in_bulk; /* a header was read; bulk_len bytes and a line end must follow */
    char bulk_kind;
    size_t bulk_len;

    int failed;
    char error[160];
};

struct resp_reply_reader *resp_reply_reader_create(const struct resp_reply_limits *limits)
{
    CHECK(limits->depth_max > 0);
    struct resp_reply_reader *r = mem_zalloc(sizeof(*r));
    r->limits = *limits;
    r->frames = mem_zalloc(limits->depth_max * sizeof(r->frames[0]));
    return r;
}

void resp_reply_reader_free(struct resp_reply_reader *r)
{
    if (r == NULL)
        return;
    resp_reply_free(&r->root);
    buffer_free(&r->in);
    free(r->frames);
    free(r);
}

const char *resp_reply_reader_error(const struct resp_reply_reader *r)
{
    return r->error;
}

/* Recursion is bounded by limits.depth_max of the reader that built the reply. */
void resp_reply_free(struct resp_reply *reply)
{
    for (size_t i = 0; i < reply->count; i++)
        resp_reply_free(&reply->items[i]);
    free(reply->items);
    free(reply->data);
    *reply = (struct resp_reply){0};
}

void resp_reply_reader_feed(struct resp_reply_reader *r, struct slice bytes)
{
    if (r->pos == r->in.len) {
        buffer_clear(&r->in);
        r->pos = 0;
    } else if (r->pos >= COMPACT_BYTES && r->pos >= r->in.len / 2) {
        memmove(r->in.data, r->in.data + r->pos, r->in.len - r->pos);
        r->in.len -= r->pos;
        r->pos = 0;
    }
    if (bytes.len > 0)
        buffer_append(&r->in, bytes.data, bytes.len);
}

static int fail(struct resp_reply_reader *r, int status, const char *text)
{
    r->failed = status;
    snprintf(r->error, sizeof(r->error), "%s", text);
    return status;
}

/* The protocol allows a plus sign, which numbers elsewhere don't. */
static bool parse_integer(struct slice text, int64_t *ret_value)
{
    if (text.len > 1 && text.data[0] == '+' && text.data[1] != '-')
        text = slice_make(text.data + 1, text.len - 1);
    return number_parse_i64(text, ret_value) == 0;
}

static bool parse_double(const char *text, size_t len, double *ret_number)
{
    if (strcmp(text, "inf") == 0 || strcmp(text, "+inf") == 0) {
        *ret_number = INFINITY;
    } else if (strcmp(text, "-inf") == 0) {
        *ret_number = -INFINITY;
    } else if (strcmp(text, "nan") == 0 || strcmp(text, "-nan") == 0) {
        *ret_number = NAN;
    } else {
        if (len == 0 || strspn(text, "0123456789+-.eE") != len)
            return false;
        char *end;
        *ret_number = strtod(text, &end);
        return *end == '\0';
    }
    return true;
}

static bool is_bignum(struct slice text)
{
    size_t i = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    if (i == text.len)
        return false;
    for (; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return true;
}

static int count_bytes(struct resp_reply_reader *r, size_t bytes)
{
    if (bytes > r->limits.reply_bytes_max - r->reply_bytes)
        return fail(r, ST_LIMIT, "the reply is larger than this client takes");
    r->reply_bytes += bytes;
    return 0;
}

/* Where the next element goes: the root, or a new item of the innermost open aggregate. */
static int open_place(struct resp_reply_reader *r, struct resp_reply **ret_place)
{
    if (r->depth == 0) {
        *ret_place = &r->root;
        return 0;
    }
    struct frame *top = &r->frames[r->depth - 1];
    if (r->elements >= r->limits.elements_max)
        return fail(r, ST_LIMIT, "the reply has more elements than this client takes");
    int st = count_bytes(r, sizeof(struct resp_reply));
    if (st < 0)
        return st;
    r->elements++;
    if (top->node->count == top->capacity) {
        top->capacity = top->capacity ? top->capacity * 2 : ITEMS_FIRST;
        top->node->items =
            mem_realloc(top->node->items, top->capacity * sizeof(top->node->items[0]));
    }
    struct resp_reply *place = &top->node->items[top->node->count++];
    *place = (struct resp_reply){0};
    *ret_place = place;
    return 0;
}

static int store_text(struct resp_reply_reader *r, struct resp_reply *place,
                      enum resp_reply_type type, struct slice text)
{
    int st = count_bytes(r, text.len + 1);
    if (st < 0)
        return st;
    place->type = type;
    place->data = mem_alloc(text.len + 1);
    if (text.len > 0)
        memcpy(place->data, text.data, text.len);
    place->data[text.len] = '\0';
    place->len = text.len;
    return 0;
}

/* Opens an aggregate of `count` items in `place`. *ret_open tells whether items must come. */
static int open_aggregate(struct resp_reply_reader *r, struct resp_reply *place, char kind,
                          int64_t count, bool *ret_open)
{
    bool pairs = kind == '%' || kind == '|';
    if (count < 0 || (uint64_t)count > r->limits.elements_max / (pairs ? 2 : 1))
        return fail(r, count < 0 ? ST_PROTOCOL : ST_LIMIT,
                    count < 0 ? "a negative number of elements"
                              : "the reply has more elements than this client takes");
    place->type = pairs         ? RESP_REPLY_MAP
                  : kind == '~' ? RESP_REPLY_SET
                  : kind == '>' ? RESP_REPLY_PUSH
                                : RESP_REPLY_ARRAY;
    *ret_open = count > 0 || kind == '|';
    if (!*ret_open)
        return 0;
    if (r->depth == r->limits.depth_max)
        return fail(r, ST_LIMIT, "the reply is nested deeper than this client takes");
    r->frames[r->depth++] = (struct frame){
        .node = place,
        .left = (size_t)count * (pairs ? 2 : 1),
        .attribute = kind == '|',
    };
    return 0;
}

/* Drops a complete attribute, and gives its place back to the element it describes. */
static void drop_attribute(struct resp_reply_reader *r, struct resp_reply *node)
{
    resp_reply_free(node);
    if (r->depth > 0)
        r->frames[r->depth - 1].node->count--;
}

/* An element is complete, and with it maybe its parents. Returns whether the whole reply is. */
static bool close_element(struct resp_reply_reader *r)
{
    while (r->depth > 0) {
        struct frame *top = &r->frames[r->depth - 1];
        if (--top->left > 0)
            return false;
        r->depth--;
        if (top->attribute) {
            drop_attribute(r, top->node);
            return false;
        }
    }
    return true;
}

/* The element whose header line is `kind` and `text`, unless more bytes must follow. */
static int read_scalar(struct resp_reply_reader *r, struct resp_reply *place, char kind,
                       struct slice text)
{
    int st;
    switch (kind) {
    case '+':
        return store_text(r, place, RESP_REPLY_STATUS, text);
    case '-':
        return store_text(r, place, RESP_REPLY_ERROR, text);
    case ':':
        if (!parse_integer(text, &place->integer))
            return fail(r, ST_PROTOCOL, "an integer that is none");
        place->type = RESP_REPLY_INTEGER;
        return 0;
    case '_':
        if (text.len != 0)
            return fail(r, ST_PROTOCOL, "a nil with a text");
        place->type = RESP_REPLY_NIL;
        return 0;
    case '#':
        if (text.len != 1 || (text.data[0] != 't' && text.data[0] != 'f'))
            return fail(r, ST_PROTOCOL, "a boolean that is neither t nor f");
        place->type = RESP_REPLY_BOOL;
        place->integer = text.data[0] == 't';
        return 0;
    case ',':
        st = store_text(r, place, RESP_REPLY_DOUBLE, text);
        if (st == 0 && !parse_double((char *)place->data, place->len, &place->number))
            return fail(r, ST_PROTOCOL, "a double that is none");
        return st;
    case '(':
        if (!is_bignum(text))
            return fail(r, ST_PROTOCOL, "a big number that is none");
        return store_text(r, place, RESP_REPLY_BIGNUM, text);
    default:
        CHECK(false); /* take_line lets no other kind through */
        return ST_PROTOCOL;
    }
}

/* One header line. *ret_complete: an element is complete with it. */
static int read_line(struct resp_reply_reader *r, struct slice line, bool *ret_complete)
{
    char kind = (char)line.data[0];
    struct slice text = slice_make(line.data + 1, line.len - 1);
    int64_t number = 0;
    bool aggregate = memchr("*%~>|", kind, 5) != NULL, bulk = memchr("$!=", kind, 3) != NULL;
    *ret_complete = true;
    if ((aggregate || bulk) && !parse_integer(text, &number))
        return fail(r, ST_PROTOCOL, "a length that is no number");
    if (bulk && number != -1) {
        if (number < 0)
            return fail(r, ST_PROTOCOL, "a negative length");
        if ((uint64_t)number > r->limits.bulk_bytes_max)
            return fail(r, ST_LIMIT, "a string is longer than this client takes");
        r->in_bulk = true;
        r->bulk_kind = kind;
        r->bulk_len = (size_t)number;
        *ret_complete = false;
        return 0;
    }
    if (bulk && kind != '$')
        return fail(r, ST_PROTOCOL, "a negative length");

    struct resp_reply *place;
    int st = open_place(r, &place);
    if (st < 0)
        return st;
    if (bulk || (kind == '*' && number == -1))
        return 0; /* nil, as RESP2 writes it; the place is one already */
    if (!aggregate)
        return read_scalar(r, place, kind, text);

    bool open;
    st = open_aggregate(r, place, kind, number, &open);
    if (st < 0)
        return st;
    *ret_complete = !open;
    if (kind == '|' && number == 0) {
        r->depth--;
        drop_attribute(r, place);
    }
    return 0;
}

static int read_bulk(struct resp_reply_reader *r, struct slice body)
{
    struct resp_reply *place;
    int st = open_place(r, &place);
    if (st < 0)
        return st;
    enum resp_reply_type type = r->bulk_kind == '!' ? RESP_REPLY_ERROR : RESP_REPLY_STRING;
    if (r->bulk_kind == '=') {
        if (body.len < 4 || body.data[3] != ':')
            return fail(r, ST_PROTOCOL, "a verbatim string without its format");
        memcpy(place->format, body.data, 3);
        body = slice_make(body.data + 4, body.len - 4);
        type = RESP_REPLY_VERBATIM;
    }
    return store_text(r, place, type, body);
}

/* Takes the next line out of the input, without its end. It lives until the next feed. */
static int take_line(struct resp_reply_reader *r, struct slice *ret_line)
{
    const uint8_t *start = r->in.data + r->pos;
    size_t available = r->in.len - r->pos;
    if (memchr("+-:$*_#,(!=%~>|", start[0], 15) == NULL) { /* said at once: no line may follow */
        snprintf(r->error, sizeof(r->error), "a reply can't start with byte 0x%02x", start[0]);
        r->failed = ST_PROTOCOL;
        return ST_PROTOCOL;
    }
    const uint8_t *end =
        available > r->scanned ? memchr(start + r->scanned, '\n', available - r->scanned) : NULL;
    size_t len = end ? (size_t)(end - start) : available;
    if (len > RESP_REPLY_LINE_BYTES_MAX)
        return fail(r, ST_LIMIT, "a line is longer than this client takes");
    if (end == NULL) {
        r->scanned = available;
        return ST_AGAIN;
    }
    r->scanned = 0;
    if (len < 2 || start[len - 1] != '\r')
        return fail(r, ST_PROTOCOL, "a line that does not end as the protocol wants it");
    *ret_line = slice_make(start, len - 1);
    r->pos += len + 1;
    return 0;
}

static int take_bulk(struct resp_reply_reader *r, struct slice *ret_body)
{
    const uint8_t *start = r->in.data + r->pos;
    if (r->in.len - r->pos < r->bulk_len + 2)
        return ST_AGAIN;
    if (start[r->bulk_len] != '\r' || start[r->bulk_len + 1] != '\n')
        return fail(r, ST_PROTOCOL, "a string that does not end where it should");
    *ret_body = slice_make(start, r->bulk_len);
    r->pos += r->bulk_len + 2;
    r->in_bulk = false;
    return 0;
}

int resp_reply_reader_next(struct resp_reply_reader *r, struct resp_reply *ret_reply)
{
    while (r->failed == 0) {
        struct slice part;
        bool complete = true;
        int st;
        if (r->in.len == r->pos)
            return ST_AGAIN;
        if (r->in_bulk) {
            st = take_bulk(r, &part);
            st = st < 0 ? st : read_bulk(r, part);
        } else {
            st = take_line(r, &part);
            st = st < 0 ? st : read_line(r, part, &complete);
        }
        if (st < 0)
            return st;
        if (complete && close_element(r)) {
            *ret_reply = r->root;
            r->root = (struct resp_reply){0};
            r->elements = r->reply_bytes = 0;
            return 0;
        }
    }
    return r->failed;
}
