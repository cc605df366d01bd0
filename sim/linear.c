/* The register's rules, the split by key, and what is said about a failure.
 *
 * A prefix of a linearizable history is linearizable (what has not returned yet is pending in it),
 * so the shortest failing prefix is found by halving over the returns of the key. A prefix whose
 * verdict is unknown counts as well, so that the one reported is certain to fail, if not always the
 * shortest. */
#include "sim/linear.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/linear_search.h"

#define REPORT_OPS_MAX  40 /* lines of history in a report */
#define REPORT_PATH_MAX 20 /* lines of the linearization */

/* --- the register --- */

bool linear_legal(const struct linear_op *op, int64_t state)
{
    switch (op->kind) {
    case LINEAR_READ:
        return state == op->result;
    case LINEAR_DELETE:
        return (state != LINEAR_ABSENT) == (op->result == 1);
    case LINEAR_CAS:
        return (state == op->expected) == (op->result == 1);
    case LINEAR_INCR:
        return linear_effect(op, state) == op->result;
    default:
        return true;
    }
}

int64_t linear_effect(const struct linear_op *op, int64_t state)
{
    switch (op->kind) {
    case LINEAR_WRITE:
        return op->arg;
    case LINEAR_DELETE:
        return LINEAR_ABSENT;
    case LINEAR_CAS:
        return state == op->expected ? op->arg : state;
    case LINEAR_INCR:
        return (state == LINEAR_ABSENT ? 0 : state) + op->arg;
    default:
        return state;
    }
}

static bool value_sane(int64_t value)
{
    return value >= -LINEAR_VALUE_MAX && value <= LINEAR_VALUE_MAX;
}

static bool state_sane(int64_t value)
{
    return value == LINEAR_ABSENT || value_sane(value);
}

int linear_op_validate(const struct linear_op *op)
{
    bool known = op->ret != LINEAR_NEVER;
    bool sane = op->call != LINEAR_NEVER && op->call <= op->ret;
    switch (op->kind) {
    case LINEAR_READ:
        sane = sane && (!known || state_sane(op->result));
        break;
    case LINEAR_WRITE:
        sane = sane && value_sane(op->arg);
        break;
    case LINEAR_DELETE:
        sane = sane && (!known || op->result == 0 || op->result == 1);
        break;
    case LINEAR_CAS:
        sane = sane && value_sane(op->arg) && state_sane(op->expected) &&
               (!known || op->result == 0 || op->result == 1);
        break;
    case LINEAR_INCR:
        sane = sane && op->arg >= -LINEAR_DELTA_MAX && op->arg <= LINEAR_DELTA_MAX &&
               (!known || value_sane(op->result));
        break;
    default:
        sane = false;
    }
    return sane ? 0 : ST_INVALID;
}

/* --- words for people --- */

static void print_value(int64_t value, struct buffer *out)
{
    if (value == LINEAR_ABSENT)
        buffer_append_str(out, "nil");
    else
        buffer_printf(out, "%lld", (long long)value);
}

void linear_op_print(const struct linear_op *op, struct buffer *out)
{
    static const char *const names[LINEAR_KINDS] = {"read", "write", "delete", "cas", "incr"};
    CHECK(op->kind < LINEAR_KINDS);
    buffer_append_str(out, names[op->kind]);
    if (op->kind == LINEAR_CAS) {
        buffer_append_str(out, " ");
        print_value(op->expected, out);
    }
    if (op->kind == LINEAR_WRITE || op->kind == LINEAR_CAS || op->kind == LINEAR_INCR)
        buffer_printf(out, " %lld", (long long)op->arg);
    buffer_append_str(out, " -> ");
    if (op->ret == LINEAR_NEVER)
        buffer_append_str(out, "?");
    else if (op->kind == LINEAR_WRITE)
        buffer_append_str(out, "ok");
    else if (op->kind == LINEAR_CAS)
        buffer_append_str(out, op->result == 1 ? "ok" : "refused");
    else
        print_value(op->result, out);
}

/* One key's history, in the order of the calls. */
struct history_slice {
    const struct linear_op *const *ops;
    size_t count;
    uint64_t until; /* the moment the prefix ends with */
};

static void report_op(const struct history_slice *h, size_t at, struct buffer *report)
{
    struct linear_op op = *h->ops[at];
    if (op.ret > h->until)
        op.ret = LINEAR_NEVER;
    buffer_printf(report, "  #%-5zu client %-5lu call %-12lu ", at + 1, (unsigned long)op.client,
                  (unsigned long)op.call);
    if (op.ret == LINEAR_NEVER)
        buffer_append_str(report, "return ?            ");
    else
        buffer_printf(report, "return %-12lu ", (unsigned long)op.ret);
    linear_op_print(&op, report);
}

static void report_path(const struct history_slice *h, const struct linear_search *s,
                        struct buffer *report)
{
    const uint32_t *path;
    size_t count = linear_search_best(s, &path);
    int64_t state = LINEAR_ABSENT;
    if (count == 0) {
        buffer_append_str(report, "no linearization begins, or nothing made a value returned\n");
        return;
    }
    buffer_printf(report, "longest linearization found, %zu operations:\n", count);
    if (count > REPORT_PATH_MAX)
        buffer_printf(report, "  (the first %zu left out)\n", count - REPORT_PATH_MAX);
    for (size_t i = 0; i < count; i++) {
        state = linear_effect(h->ops[path[i]], state);
        if (i + REPORT_PATH_MAX < count)
            continue;
        report_op(h, path[i], report);
        buffer_append_str(report, "    state ");
        print_value(state, report);
        buffer_append_str(report, "\n");
    }
}

/* What has returned and is not in the longest linearization. */
static void report_left(const struct history_slice *h, const struct linear_search *s, size_t count,
                        struct buffer *report)
{
    const uint32_t *path;
    size_t path_len = linear_search_best(s, &path), lines = 0;
    if (path_len == 0)
        return;
    bool *placed = mem_zalloc(h->count * sizeof(*placed));
    for (size_t i = 0; i < path_len; i++)
        placed[path[i]] = true;
    buffer_append_str(report, "which leaves:\n");
    for (size_t i = 0; i < count && lines < REPORT_OPS_MAX; i++) {
        if (placed[i] || h->ops[i]->ret > h->until)
            continue;
        report_op(h, i, report);
        buffer_append_str(report, "\n");
        lines++;
    }
    free(placed);
}

static void report_violation(const struct history_slice *h, const struct linear_search *s,
                             struct buffer *report)
{
    size_t count = 0, returned = 0;
    while (count < h->count && h->ops[count]->call <= h->until)
        returned += h->ops[count++]->ret <= h->until;
    buffer_printf(report, "key %lu is not linearizable\n", (unsigned long)h->ops[0]->key);
    buffer_printf(report,
                  "shortest failing prefix: to the return at %lu, %zu operations of %zu, %zu "
                  "returned:\n",
                  (unsigned long)h->until, count, h->count, returned);
    if (count > REPORT_OPS_MAX)
        buffer_printf(report, "  (the first %zu left out)\n", count - REPORT_OPS_MAX);
    for (size_t i = count > REPORT_OPS_MAX ? count - REPORT_OPS_MAX : 0; i < count; i++) {
        report_op(h, i, report);
        buffer_append_str(report, h->ops[i]->ret == h->until ? "    <- impossible\n" : "\n");
    }
    report_path(h, s, report);
    report_left(h, s, count, report);
}

/* --- the check --- */

static int compare_moments(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Shortens a failing history to its first failing return, and leaves the search there. */
static void shorten(struct history_slice *h, struct linear_search *s, uint64_t *steps)
{
    uint64_t *returns = mem_alloc(h->count * sizeof(*returns));
    size_t count = 0;
    for (size_t i = 0; i < h->count; i++)
        if (h->ops[i]->ret != LINEAR_NEVER)
            returns[count++] = h->ops[i]->ret;
    CHECK(count > 0); /* what has no return can't fail */
    qsort(returns, count, sizeof(*returns), compare_moments);
    size_t low = 0, high = count; /* the prefix to returns[high], or all of it, is known to fail */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (linear_search_run(s, h->ops, h->count, returns[middle]) == LINEAR_VIOLATION)
            high = middle;
        else
            low = middle + 1;
        *steps += linear_search_steps(s);
    }
    if (high < count)
        h->until = returns[high];
    CHECK(linear_search_run(s, h->ops, h->count, h->until) == LINEAR_VIOLATION);
    *steps += linear_search_steps(s);
    free(returns);
}

static int compare_ops(const void *a, const void *b)
{
    const struct linear_op *x = *(const struct linear_op *const *)a;
    const struct linear_op *y = *(const struct linear_op *const *)b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->call != y->call)
        return x->call < y->call ? -1 : 1;
    return x < y ? -1 : x > y; /* one array: by position */
}

/* Checks one key; true to go on with the next. */
static bool check_key(struct history_slice *h, struct linear_search *s, struct buffer *report,
                      struct linear_result *result)
{
    enum linear_verdict verdict = linear_search_run(s, h->ops, h->count, h->until);
    result->keys++;
    result->steps += linear_search_steps(s);
    if (verdict == LINEAR_UNKNOWN && result->keys_unknown++ == 0) {
        result->verdict = LINEAR_UNKNOWN;
        result->key = h->ops[0]->key;
    }
    if (verdict != LINEAR_VIOLATION)
        return true;
    result->verdict = LINEAR_VIOLATION;
    result->key = h->ops[0]->key;
    if (report != NULL) {
        shorten(h, s, &result->steps);
        report_violation(h, s, report);
    }
    return false;
}

int linear_check(const struct linear_op *ops, size_t count, const struct linear_limits *limits,
                 struct buffer *report, struct linear_result *ret_result)
{
    if (count > LINEAR_OPS_MAX)
        return ST_LIMIT;
    for (size_t i = 0; i < count; i++)
        if (linear_op_validate(&ops[i]) < 0)
            return ST_INVALID;
    const struct linear_op **sorted = mem_alloc((count + 1) * sizeof(*sorted));
    for (size_t i = 0; i < count; i++)
        sorted[i] = &ops[i];
    qsort(sorted, count, sizeof(*sorted), compare_ops);

    struct linear_search *s = linear_search_create(limits);
    struct linear_result result = {.verdict = LINEAR_OK};
    size_t from = 0;
    while (from < count) {
        size_t to = from;
        while (to < count && sorted[to]->key == sorted[from]->key)
            to++;
        struct history_slice h = {
            .ops = sorted + from, .count = to - from, .until = LINEAR_NEVER - 1};
        if (!check_key(&h, s, report, &result))
            break;
        from = to;
    }
    linear_search_free(s);
    free(sorted);
    *ret_result = result;
    return 0;
}
