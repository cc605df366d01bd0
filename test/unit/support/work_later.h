/* A work queue under the test's control: nothing runs by itself. Work is run and finished by the
 * test, in any order that run-before-done allows. Plain fields, all in the header. */
#pragma once

#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/work.h"

struct work_later {
    struct work_queue queue;
    struct work **submitted, **ran;
    size_t submitted_count, ran_count, cap;
};

static inline void work_later_submit(struct work_queue *queue, struct work *work)
{
    struct work_later *l = container_of(queue, struct work_later, queue);
    if (l->submitted_count + l->ran_count == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 64;
        l->submitted = mem_realloc(l->submitted, l->cap * sizeof(struct work *));
        l->ran = mem_realloc(l->ran, l->cap * sizeof(struct work *));
    }
    l->submitted[l->submitted_count++] = work;
}

static inline void work_later_init(struct work_later *l)
{
    *l = (struct work_later){.queue = {.submit = work_later_submit}};
}

/* Takes out the i-th; the others keep their order. */
static inline struct work *work_later_take(struct work **works, size_t *count, size_t i)
{
    struct work *work = works[i];
    for (--*count; i < *count; i++)
        works[i] = works[i + 1];
    return work;
}

static inline void work_later_run(struct work_later *l, size_t i)
{
    struct work *work = work_later_take(l->submitted, &l->submitted_count, i);
    work->run(work);
    l->ran[l->ran_count++] = work;
}

static inline void work_later_finish(struct work_later *l, size_t i)
{
    struct work *work = work_later_take(l->ran, &l->ran_count, i);
    work->done(work);
}

static inline size_t work_later_pending(const struct work_later *l)
{
    return l->submitted_count + l->ran_count;
}

/* Runs and finishes everything, what that leads to too. */
static inline void work_later_all(struct work_later *l)
{
    while (work_later_pending(l) > 0) {
        if (l->ran_count > 0)
            work_later_finish(l, 0);
        else
            work_later_run(l, 0);
    }
}

static inline void work_later_done(struct work_later *l)
{
    CHECK(work_later_pending(l) == 0);
    free(l->submitted);
    free(l->ran);
}
