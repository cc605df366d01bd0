#include "sim/shrink.h"

#include <string.h>

struct search {
    struct workers *ws;
    const struct run_result *failed;
    unsigned runs_max;
    struct shrunk *best;
};

/* Whether the chosen ones suffice; then they are the best. */
static bool fails_with(struct search *s, const bool *chosen)
{
    struct work_order order = {.seed = s->failed->seed, .subset = true};
    struct run_result r;
    memcpy(order.chosen, chosen, sizeof(order.chosen));
    workers_give(s->ws, &order);
    workers_take(s->ws, &r);
    s->best->runs++;
    if (!r.failed || strcmp(r.checker, s->failed->checker) != 0)
        return false;
    memcpy(s->best->chosen, chosen, sizeof(order.chosen));
    s->best->count = 0;
    for (size_t i = 0; i < FAULTS_MAX; i++)
        s->best->count += chosen[i];
    s->best->result = r;
    return true;
}

/* Leaves out the part-th of `parts` pieces of what is chosen now. */
static bool without(struct search *s, size_t part, size_t parts)
{
    bool chosen[FAULTS_MAX];
    size_t from = s->best->count * part / parts, to = s->best->count * (part + 1) / parts, at = 0;
    memcpy(chosen, s->best->chosen, sizeof(chosen));
    for (size_t i = 0; i < FAULTS_MAX; i++) {
        if (!chosen[i])
            continue;
        chosen[i] = at < from || at >= to;
        at++;
    }
    return fails_with(s, chosen);
}

void shrink(struct workers *ws, const struct run_result *failed, unsigned runs_max,
            struct shrunk *ret_shrunk)
{
    struct search s = {.ws = ws, .failed = failed, .runs_max = runs_max, .best = ret_shrunk};
    *ret_shrunk = (struct shrunk){.result = *failed};
    size_t planned = failed->planned > 0 ? failed->planned : FAULTS_MAX; /* a crash tells nothing */
    for (size_t i = 0; i < planned; i++)
        ret_shrunk->chosen[i] = true;
    ret_shrunk->count = planned;
    bool none[FAULTS_MAX] = {false};
    if (fails_with(&s, none))
        return;
    size_t parts = 2;
    while (ret_shrunk->count > 1 && ret_shrunk->runs < runs_max) {
        bool smaller = false;
        for (size_t part = 0; part < parts && !smaller && ret_shrunk->runs < runs_max; part++)
            smaller = without(&s, part, parts);
        if (smaller)
            parts = parts > 2 ? parts - 1 : 2;
        else if (parts >= ret_shrunk->count)
            break;
        else
            parts = parts * 2 < ret_shrunk->count ? parts * 2 : ret_shrunk->count;
    }
}
