/* From a recorded history to what a search works on: completed and pending operations apart, values
 * mapped (rule 6 of linear_search.c), counted (rule 7) and pending ones in classes (rule 4), calls
 * and returns in one list. */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/linear_private.h"

void linear_clear(struct linear_search *s)
{
    void *parts[] = {s->ops,     s->source,  s->values, s->needed, s->makers, s->classes,
                     s->members, s->entries, s->done,   s->used,   s->path};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        free(parts[i]);
    s->ops = NULL;
    s->classes = NULL;
    s->entries = NULL;
    s->values = NULL;
    s->done = s->used = NULL;
    s->source = s->needed = s->makers = s->members = s->path = NULL;
    linear_seen_clear(s->seen);
}

static int compare_values(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bool completed(const struct linear_op *op, uint64_t until)
{
    return op->ret != LINEAR_NEVER && op->ret <= until;
}

/* Splits the history in completed and pending operations; what can't matter is left out. */
static void take_ops(struct linear_search *s, const struct linear_op *const *ops, size_t count,
                     uint64_t until)
{
    s->ops = mem_alloc(count * sizeof(*s->ops));
    s->source = mem_alloc(count * sizeof(*s->source));
    s->incr = false;
    size_t n = 0;
    for (int pending = 0; pending <= 1; pending++) {
        for (size_t i = 0; i < count && ops[i]->call <= until; i++) {
            if (completed(ops[i], until) == pending || (pending && ops[i]->kind == LINEAR_READ))
                continue;
            s->incr |= ops[i]->kind == LINEAR_INCR;
            s->ops[n] = *ops[i];
            s->source[n++] = (uint32_t)i;
        }
        if (!pending)
            s->done_count = (uint32_t)n;
    }
    s->pending_count = (uint32_t)n - s->done_count;
}

/* Rule 6: the place of a value among those looked for, from 1; LINEAR_JUNK when nobody looks for
 * it. */
static int64_t map_value(const struct linear_search *s, int64_t value)
{
    if (value == LINEAR_ABSENT)
        return value;
    const int64_t *at = bsearch(&value, s->values, s->value_count, sizeof(value), compare_values);
    return at == NULL ? LINEAR_JUNK : 1 + (at - s->values);
}

static void map_values(struct linear_search *s)
{
    size_t total = s->done_count + (size_t)s->pending_count;
    s->values = mem_alloc((total + 1) * sizeof(*s->values));
    s->value_count = 0;
    if (s->incr)
        return;
    size_t n = 0;
    for (size_t i = 0; i < total; i++) {
        if (s->ops[i].kind == LINEAR_READ)
            s->values[n++] = s->ops[i].result;
        else if (s->ops[i].kind == LINEAR_CAS)
            s->values[n++] = s->ops[i].expected;
    }
    qsort(s->values, n, sizeof(*s->values), compare_values);
    for (size_t i = 0; i < n; i++)
        if (s->values[i] != LINEAR_ABSENT &&
            (s->value_count == 0 || s->values[i] != s->values[s->value_count - 1]))
            s->values[s->value_count++] = s->values[i];
    for (size_t i = 0; i < total; i++) {
        struct linear_op *op = &s->ops[i];
        op->arg = map_value(s, op->arg);
        op->expected = map_value(s, op->expected);
        if (op->kind == LINEAR_READ)
            op->result = map_value(s, op->result);
    }
}

static void count_values(struct linear_search *s)
{
    s->needed = mem_zalloc((s->value_count + 2) * sizeof(*s->needed));
    s->makers = mem_zalloc((s->value_count + 2) * sizeof(*s->makers));
    if (s->incr)
        return;
    int64_t state;
    for (uint32_t i = 0; i < s->done_count + s->pending_count; i++) {
        bool pending = i >= s->done_count;
        if (!pending && linear_needs_state(&s->ops[i], &state))
            s->needed[linear_value_index(state)]++;
        if (linear_makes_state(&s->ops[i], pending, &state))
            s->makers[linear_value_index(state)]++;
    }
}

/* Orders pending operations by what they do, then by their call: first those that leave a state of
 * their own, by that state. */
static int compare_pending(const void *a, const void *b)
{
    const struct linear_op *x = *(const struct linear_op *const *)a;
    const struct linear_op *y = *(const struct linear_op *const *)b;
    if ((x->kind == LINEAR_INCR) != (y->kind == LINEAR_INCR))
        return x->kind == LINEAR_INCR ? 1 : -1;
    if (x->arg != y->arg)
        return x->arg < y->arg ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->expected != y->expected)
        return x->expected < y->expected ? -1 : 1;
    return x < y ? -1 : x > y; /* one array, in order of calls */
}

static void make_classes(struct linear_search *s)
{
    uint32_t n = s->pending_count;
    const struct linear_op **sorted = mem_alloc(n * sizeof(*sorted));
    s->classes = mem_alloc(n * sizeof(*s->classes));
    s->members = mem_alloc(n * sizeof(*s->members));
    s->class_count = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct linear_op *op = &s->ops[s->done_count + i];
        if (op->kind != LINEAR_CAS)
            op->expected = 0;
        if (op->kind == LINEAR_DELETE)
            op->arg = LINEAR_ABSENT;
        sorted[i] = op;
    }
    if (n > 0)
        qsort(sorted, n, sizeof(*sorted), compare_pending);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || !linear_same_deed(sorted[i - 1], sorted[i]))
            s->classes[s->class_count++] = (struct linear_class){.op = *sorted[i], .first = i};
        s->classes[s->class_count - 1].count++;
        s->members[i] = (uint32_t)(sorted[i] - s->ops) - s->done_count;
    }
    s->incr_first = 0;
    while (s->incr_first < s->class_count && s->classes[s->incr_first].op.kind != LINEAR_INCR)
        s->incr_first++;
    free(sorted);
}

static int compare_entries(const void *a, const void *b)
{
    const struct linear_entry *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    bool x_returns = x->prev & 1, y_returns = y->prev & 1;
    if (x_returns != y_returns)
        return x_returns ? 1 : -1; /* equal moments are concurrent: calls before returns */
    return x->prev < y->prev ? -1 : 1;
}

static void make_entries(struct linear_search *s)
{
    uint32_t n = 2 * s->done_count;
    struct linear_entry *sorted = mem_alloc((n + 1) * sizeof(*sorted));
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = (struct linear_entry){.prev = i, /* its number, meanwhile */
                                          .time = i & 1 ? s->ops[i / 2].ret : s->ops[i / 2].call};
    qsort(sorted, n, sizeof(*sorted), compare_entries);
    s->entries = mem_alloc((n + 1) * sizeof(*s->entries));
    uint32_t last = n; /* the head */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = sorted[i].prev;
        s->entries[at] = (struct linear_entry){.prev = last, .time = sorted[i].time};
        s->entries[last].next = at;
        last = at;
    }
    s->entries[last].next = n;
    s->entries[n].prev = last;
    s->entries[n].time = LINEAR_NEVER;
    free(sorted);
}

void linear_prepare(struct linear_search *s, const struct linear_op *const *ops, size_t count,
                    uint64_t until)
{
    linear_clear(s);
    take_ops(s, ops, count, until);
    map_values(s);
    count_values(s);
    make_classes(s);
    make_entries(s);
    s->done = mem_zalloc((s->done_count / 64 + 1) * sizeof(*s->done));
    s->used = mem_zalloc((s->pending_count / 64 + 1) * sizeof(*s->used));
    s->path = mem_alloc((count + 1) * sizeof(*s->path));
    s->best = mem_realloc(s->best, (count + 1) * sizeof(*s->best));
    s->state = LINEAR_ABSENT;
    s->done_high = 0;
    s->node_count = s->choice_count = s->chain_count = 0;
    s->path_len = s->best_len = s->best_done = s->best_same = 0;
    s->steps = 0;
    s->exhausted = false;
}
