#include "sim/history.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/status.h"

#define TITLE     "torc-history 1"
#define WORDS_MAX 10

void history_free(struct history *h)
{
    free(h->ops);
    *h = (struct history){.ops_max = h->ops_max};
}

int history_append(struct history *h, const struct linear_op *op)
{
    CHECK(h->ops_max <= LINEAR_OPS_MAX);
    int st = linear_op_validate(op);
    if (st < 0)
        return st;
    if (h->count >= h->ops_max)
        return ST_LIMIT;
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 256 : 2 * h->cap;
        h->ops = mem_realloc(h->ops, h->cap * sizeof(*h->ops));
    }
    h->ops[h->count++] = *op;
    return 0;
}

int history_call(struct history *h, const struct linear_op *op, uint64_t now, size_t *ret_id)
{
    struct linear_op called = *op;
    called.call = now;
    called.ret = LINEAR_NEVER;
    called.result = 0;
    int st = history_append(h, &called);
    if (st < 0)
        return st;
    *ret_id = h->count - 1;
    return 0;
}

void history_return(struct history *h, size_t id, uint64_t now, int64_t result)
{
    CHECK(id < h->count);
    CHECK(h->ops[id].ret == LINEAR_NEVER);
    h->ops[id].ret = now;
    h->ops[id].result = result;
}

void history_refused(struct history *h, size_t id)
{
    CHECK(id < h->count);
    CHECK(h->ops[id].ret == LINEAR_NEVER);
    h->ops[id].kind = LINEAR_READ;
}

void history_print(const struct history *h, struct buffer *out)
{
    buffer_append_str(out, TITLE "\n");
    for (size_t i = 0; i < h->count; i++) {
        const struct linear_op *op = &h->ops[i];
        buffer_printf(out, "%llu ", (unsigned long long)op->call);
        if (op->ret == LINEAR_NEVER)
            buffer_append_str(out, "?");
        else
            buffer_printf(out, "%llu", (unsigned long long)op->ret);
        buffer_printf(out, " %lu %llu ", (unsigned long)op->client, (unsigned long long)op->key);
        linear_op_print(op, out);
        buffer_append_str(out, "\n");
    }
}

/* --- reading --- */

/* The words of one line, taken one by one; what can't be taken makes it fail for good. */
struct words {
    struct slice list[WORDS_MAX];
    unsigned count, at;
    bool failed;
};

static struct slice next_word(struct words *w)
{
    if (w->at == w->count) {
        w->failed = true;
        return slice_str("");
    }
    return w->list[w->at++];
}

static bool next_is(struct words *w, const char *text)
{
    if (w->at == w->count || !slice_equal(w->list[w->at], slice_str(text)))
        return false;
    w->at++;
    return true;
}

static uint64_t next_u64(struct words *w)
{
    uint64_t value = 0;
    if (number_parse_u64(next_word(w), &value) < 0)
        w->failed = true;
    return value;
}

static int64_t next_i64(struct words *w)
{
    int64_t value = 0;
    if (number_parse_i64(next_word(w), &value) < 0 || value == LINEAR_ABSENT)
        w->failed = true;
    return value;
}

static int64_t next_state(struct words *w)
{
    return next_is(w, "nil") ? LINEAR_ABSENT : next_i64(w);
}

static int64_t next_outcome(struct words *w, const char *yes, const char *no)
{
    if (next_is(w, yes))
        return 1;
    if (no == NULL || !next_is(w, no))
        w->failed = true;
    return 0;
}

static void read_kind(struct words *w, struct linear_op *op)
{
    if (next_is(w, "read")) {
        op->kind = LINEAR_READ;
    } else if (next_is(w, "write")) {
        op->kind = LINEAR_WRITE;
        op->arg = next_i64(w);
    } else if (next_is(w, "delete")) {
        op->kind = LINEAR_DELETE;
    } else if (next_is(w, "cas")) {
        op->kind = LINEAR_CAS;
        op->expected = next_state(w);
        op->arg = next_i64(w);
    } else if (next_is(w, "incr")) {
        op->kind = LINEAR_INCR;
        op->arg = next_i64(w);
    } else {
        w->failed = true;
    }
}

static void read_result(struct words *w, struct linear_op *op)
{
    switch (op->kind) {
    case LINEAR_READ:
        op->result = next_state(w);
        return;
    case LINEAR_WRITE:
        next_outcome(w, "ok", NULL);
        return;
    case LINEAR_DELETE:
        op->result = next_outcome(w, "1", "0");
        return;
    case LINEAR_CAS:
        op->result = next_outcome(w, "ok", "refused");
        return;
    default:
        op->result = next_i64(w);
    }
}

static void split(struct slice line, struct words *w)
{
    size_t at = 0;
    while (at < line.len) {
        size_t from = at;
        while (at < line.len && line.data[at] != ' ')
            at++;
        if (at > from && w->count == WORDS_MAX)
            w->failed = true;
        else if (at > from)
            w->list[w->count++] = slice_make(line.data + from, at - from);
        at++;
    }
}

static int parse_line(struct slice line, struct linear_op *ret_op)
{
    struct words w = {0};
    struct linear_op op = {0};
    if (line.len > HISTORY_LINE_BYTES_MAX)
        return ST_INVALID;
    split(line, &w);
    op.call = next_u64(&w);
    bool unknown = next_is(&w, "?");
    op.ret = unknown ? LINEAR_NEVER : next_u64(&w);
    uint64_t client = next_u64(&w);
    op.key = next_u64(&w);
    read_kind(&w, &op);
    w.failed |= !next_is(&w, "->");
    if (unknown)
        w.failed |= !next_is(&w, "?");
    else
        read_result(&w, &op);
    if (w.failed || w.at != w.count || client > UINT32_MAX || (op.ret == LINEAR_NEVER && !unknown))
        return ST_INVALID;
    op.client = (uint32_t)client;
    *ret_op = op;
    return 0;
}

/* Takes a line off *text, without its end. */
static struct slice take_line(struct slice *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->data);
    struct slice line = slice_make(text->data, len);
    size_t skip = end == NULL ? len : len + 1;
    *text = slice_make(text->data + skip, text->len - skip);
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

int history_parse(struct history *h, struct slice text, size_t *ret_line)
{
    size_t before = h->count, number = 1;
    int st = text.len > 0 && slice_equal(take_line(&text), slice_str(TITLE)) ? 0 : ST_VERSION;
    while (st == 0 && text.len > 0) {
        struct slice line = take_line(&text);
        struct linear_op op;
        number++;
        if (line.len == 0 || line.data[0] == '#')
            continue;
        st = parse_line(line, &op);
        if (st == 0)
            st = history_append(h, &op);
    }
    if (st < 0) {
        h->count = before;
        *ret_line = number;
    }
    return st;
}
