/* LCS: the longest common subsequence of two strings, as Redis 7.0 answers it.
 *
 * The classic table of lengths, (a+1) x (b+1) numbers of 32 bits, row major; walked back from its
 * end. Its size is bounded: LCS_TABLE_BYTES_MAX. */
#include <stdlib.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/status.h"
#include "command/call.h"
#include "command/handlers.h"

#define LCS_TABLE_BYTES_MAX (256u << 20)

struct lcs_options {
    bool length, indexes, with_match_length;
    int64_t match_length_min;
};

/* A run of equal bytes: where it is in a and in b, inclusive. */
struct lcs_match {
    uint32_t a_first, a_last, b_first, b_last;
};

static bool options_parse(struct call *c, struct lcs_options *o)
{
    *o = (struct lcs_options){0};
    for (int i = 3; i < c->argc; i++) {
        if (call_arg_is(c, i, "IDX"))
            o->indexes = true;
        else if (call_arg_is(c, i, "LEN"))
            o->length = true;
        else if (call_arg_is(c, i, "WITHMATCHLEN"))
            o->with_match_length = true;
        else if (call_arg_is(c, i, "MINMATCHLEN") && i + 1 < c->argc) {
            if (!call_arg_i64(c, ++i, &o->match_length_min))
                return false;
            if (o->match_length_min < 0)
                o->match_length_min = 0;
        } else {
            return reply_syntax_error(c), false;
        }
    }
    if (o->length && o->indexes) {
        reply_error(c, "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

/* Fills the table; the caller frees it. NULL: too large. */
static uint32_t *table_fill(struct slice a, struct slice b)
{
    size_t width = b.len + 1;
    if (a.len + 1 > LCS_TABLE_BYTES_MAX / sizeof(uint32_t) / width)
        return NULL;
    uint32_t *table = mem_alloc((a.len + 1) * width * sizeof(uint32_t));
    memset(table, 0, width * sizeof(uint32_t));
    for (size_t i = 1; i <= a.len; i++) {
        uint32_t *row = table + i * width, *above = row - width;
        row[0] = 0;
        for (size_t j = 1; j <= b.len; j++) {
            if (a.data[i - 1] == b.data[j - 1])
                row[j] = above[j - 1] + 1;
            else
                row[j] = above[j] > row[j - 1] ? above[j] : row[j - 1];
        }
    }
    return table;
}

/* Walks back from the end: the subsequence into `text` (of the full length) and its runs, last
 * first, into *matches. */
static void table_walk(const uint32_t *table, struct slice a, struct slice b, uint8_t *text,
                       struct buffer *matches)
{
    size_t width = b.len + 1, i = a.len, j = b.len;
    size_t left = table[i * width + j];
    struct lcs_match run = {0};
    bool in_run = false;
    while (i > 0 && j > 0 && left > 0) {
        bool equal = a.data[i - 1] == b.data[j - 1];
        bool joins = in_run && run.a_first == i && run.b_first == j;
        if (in_run && (!equal || !joins)) {
            buffer_append(matches, &run, sizeof(run));
            in_run = false;
        }
        if (!equal) {
            if (table[(i - 1) * width + j] > table[i * width + j - 1])
                i--;
            else
                j--;
            continue;
        }
        text[--left] = a.data[i - 1];
        if (!in_run)
            run = (struct lcs_match){.a_last = (uint32_t)i - 1, .b_last = (uint32_t)j - 1};
        run.a_first = (uint32_t)--i;
        run.b_first = (uint32_t)--j;
        in_run = true;
    }
    if (in_run)
        buffer_append(matches, &run, sizeof(run));
}

static void reply_match(struct call *c, const struct lcs_options *o, const struct lcs_match *m)
{
    reply_array(c, o->with_match_length ? 3 : 2);
    reply_array(c, 2);
    reply_int(c, m->a_first);
    reply_int(c, m->a_last);
    reply_array(c, 2);
    reply_int(c, m->b_first);
    reply_int(c, m->b_last);
    if (o->with_match_length)
        reply_int(c, m->a_last - m->a_first + 1);
}

static bool long_enough(const struct lcs_options *o, const struct lcs_match *m)
{
    return m->a_last - m->a_first + 1 >= o->match_length_min;
}

static void reply_indexes(struct call *c, const struct lcs_options *o, struct slice runs,
                          size_t len)
{
    const struct lcs_match *matches = (const struct lcs_match *)runs.data;
    size_t all = runs.len / sizeof(matches[0]), count = 0;
    for (size_t i = 0; i < all; i++)
        count += long_enough(o, &matches[i]);
    reply_map(c, 2);
    reply_bulk(c, slice_str("matches"));
    reply_array(c, count);
    for (size_t i = 0; i < all; i++)
        if (long_enough(o, &matches[i]))
            reply_match(c, o, &matches[i]);
    reply_bulk(c, slice_str("len"));
    reply_int(c, (int64_t)len);
}

void cmd_lcs(struct call *c)
{
    struct record ra = {0}, rb = {0};
    if (call_read(c, call_key(c, 1), &ra) == ST_COLD ||
        call_read(c, call_key(c, 2), &rb) == ST_COLD)
        return;
    struct lcs_options o;
    if (!options_parse(c, &o))
        return;
    MEM_AUTO uint32_t *table = table_fill(ra.value, rb.value);
    if (table == NULL) {
        reply_error(c, "ERR Insufficient memory, failed allocating transient memory for LCS");
        return;
    }
    size_t len = table[(ra.value.len + 1) * (rb.value.len + 1) - 1];
    if (o.length) {
        reply_int(c, (int64_t)len);
        return;
    }
    struct buffer *text = call_scratch(c);
    BUFFER_AUTO struct buffer runs = {0};
    table_walk(table, ra.value, rb.value, buffer_reserve(text, len), &runs);
    text->len = len;
    if (o.indexes)
        reply_indexes(c, &o, buffer_slice(&runs), len);
    else
        reply_bulk(c, buffer_slice(text));
}
