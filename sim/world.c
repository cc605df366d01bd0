#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"

#define LINE_BYTES_MAX 1024

struct world {
    uint64_t seed, now_us, events, hash;
    struct heap heap;
    void (*line)(void *ctx, const char *text);
    void *line_ctx;
    struct world_mark marks[WORLD_MARKS_MAX];
    size_t marks_count;
    const char *failed;
    char failure[WORLD_FAIL_BYTES];
};

struct world *world_new(uint64_t seed)
{
    struct world *w = mem_zalloc(sizeof(*w));
    w->seed = seed;
    w->hash = seed;
    return w;
}

void world_free(struct world *w)
{
    if (w == NULL)
        return;
    free(w->heap.nodes); /* not heap_free(): what was armed may be gone already */
    free(w);
}

uint64_t world_seed(const struct world *w)
{
    return w->seed;
}

uint64_t world_now_us(const struct world *w)
{
    return w->now_us;
}

struct prng world_prng(const struct world *w, const char *concern, uint64_t n)
{
    uint64_t name = hash_bytes(n, concern, strlen(concern));
    return prng_make(w->seed ^ name);
}

/* --- events --- */

void world_at(struct world *w, struct world_event *event, uint64_t at_us)
{
    CHECK(event->fire != NULL);
    heap_update(&w->heap, &event->node, at_us > w->now_us ? at_us : w->now_us);
}

void world_after(struct world *w, struct world_event *event, uint64_t delay_us)
{
    world_at(w, event, w->now_us + delay_us);
}

void world_cancel(struct world *w, struct world_event *event)
{
    heap_remove(&w->heap, &event->node);
}

bool world_run_until(struct world *w, uint64_t at_us)
{
    struct heap_node *top;
    while (w->failed == NULL && (top = heap_top(&w->heap)) != NULL && top->key <= at_us) {
        w->now_us = top->key;
        w->events++;
        heap_remove(&w->heap, top);
        struct world_event *event = container_of(top, struct world_event, node);
        event->fire(event);
    }
    if (w->failed == NULL && at_us > w->now_us)
        w->now_us = at_us;
    return w->failed == NULL;
}

/* --- the trace --- */

static void print_line(struct world *w, unsigned node, const char *text)
{
    char line[LINE_BYTES_MAX], who[24] = "";
    if (node != 0)
        snprintf(who, sizeof(who), " node=%u", node);
    snprintf(line, sizeof(line), "t=%" PRIu64 ".%06" PRIu64 "%s %s", w->now_us / 1000000,
             w->now_us % 1000000, who, text);
    w->line(w->line_ctx, line);
}

static void print_fields(struct world *w, unsigned node, const char *what,
                         const struct world_field *fields, size_t count)
{
    char text[LINE_BYTES_MAX];
    size_t len = (size_t)snprintf(text, sizeof(text), "%s", what);
    for (size_t i = 0; i < count && len < sizeof(text); i++) {
        int64_t value = (int64_t)fields[i].value;
        bool status = value < 0 && value > -1000; /* a failure, not a number that large */
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                status ? " %s=%" PRId64 : " %s=%" PRIu64, fields[i].key, value);
    }
    print_line(w, node, text);
}

void world_trace_fields(struct world *w, unsigned node, const char *what,
                        const struct world_field *fields, size_t count)
{
    uint64_t words[3 + 16];
    CHECK(count <= 16);
    words[0] = w->now_us;
    words[1] = node;
    words[2] = hash_bytes(0, what, strlen(what));
    for (size_t i = 0; i < count; i++)
        words[3 + i] = fields[i].value;
    w->hash = hash_bytes(w->hash, words, (3 + count) * sizeof(words[0]));
    if (w->line != NULL)
        print_fields(w, node, what, fields, count);
}

void world_trace_bytes(struct world *w, struct slice bytes)
{
    w->hash = hash_bytes(w->hash, bytes.data, bytes.len);
}

void world_note(struct world *w, unsigned node, const char *format, ...)
{
    if (w->line == NULL)
        return;
    char text[LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_line(w, node, text);
}

uint64_t world_hash(const struct world *w)
{
    return w->hash;
}

uint64_t world_events(const struct world *w)
{
    return w->events;
}

void world_set_sink(struct world *w, void (*line)(void *ctx, const char *text), void *ctx)
{
    w->line = line;
    w->line_ctx = ctx;
}

bool world_tracing(const struct world *w)
{
    return w->line != NULL;
}

/* --- coverage --- */

void world_mark(struct world *w, const char *name)
{
    CHECK(strlen(name) < WORLD_MARK_NAME_BYTES);
    size_t i = 0;
    while (i < w->marks_count && strcmp(w->marks[i].name, name) != 0)
        i++;
    if (i == w->marks_count) {
        CHECK(w->marks_count < WORLD_MARKS_MAX);
        strcpy(w->marks[w->marks_count++].name, name);
    }
    w->marks[i].count++;
}

const struct world_mark *world_marks(const struct world *w, size_t *ret_count)
{
    *ret_count = w->marks_count;
    return w->marks;
}

/* --- verdict --- */

void world_fail(struct world *w, const char *checker, const char *format, ...)
{
    if (w->failed != NULL)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(w->failure, sizeof(w->failure), format, args);
    va_end(args);
    w->failed = checker;
    world_note(w, 0, "FAILED checker=%s %s", checker, w->failure);
}

const char *world_failed(const struct world *w)
{
    return w->failed;
}

const char *world_failure(const struct world *w)
{
    return w->failure;
}
