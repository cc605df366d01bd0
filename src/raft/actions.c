/* The answers of one step: a list of actions, and the memory that they point to, in blocks which
 * never move and are reused from step to step. */
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "raft/raft_private.h"

#define SCRATCH_BLOCK_BYTES (4u << 10)
#define SCRATCH_KEEP_BYTES  (64u << 10) /* larger blocks are given back */
#define SCRATCH_ALIGN       alignof(max_align_t)

struct scratch {
    struct scratch *next;
    size_t used, cap;
    alignas(max_align_t) uint8_t data[];
};

/* Keeps one block, the newest, unless it is large. */
void raft_actions_clear(struct raft_actions *actions)
{
    actions->count = 0;
    struct scratch *s = actions->scratch;
    if (s == NULL)
        return;
    struct scratch *old = s->next;
    s->next = NULL;
    s->used = 0;
    while (old != NULL) {
        struct scratch *next = old->next;
        free(old);
        old = next;
    }
    if (s->cap > SCRATCH_KEEP_BYTES) {
        free(s);
        actions->scratch = NULL;
    }
}

void raft_actions_free(struct raft_actions *actions)
{
    raft_actions_clear(actions);
    free(actions->scratch);
    free(actions->list);
    *actions = (struct raft_actions){0};
}

struct raft_action *raft_act(struct raft *r, enum raft_action_type type)
{
    struct raft_actions *out = r->out;
    if (out->count == out->cap) {
        out->cap = out->cap ? out->cap * 2 : 8;
        out->list = mem_realloc(out->list, out->cap * sizeof(*out->list));
    }
    struct raft_action *action = &out->list[out->count++];
    memset(action, 0, sizeof(*action)); /* padding too: traces are hashed */
    action->type = type;
    return action;
}

void *raft_scratch(struct raft *r, size_t bytes)
{
    struct raft_actions *out = r->out;
    struct scratch *s = out->scratch;
    bytes = (bytes + SCRATCH_ALIGN - 1) & ~(SCRATCH_ALIGN - 1);
    if (s == NULL || s->cap - s->used < bytes) {
        size_t cap = bytes > SCRATCH_BLOCK_BYTES ? bytes : SCRATCH_BLOCK_BYTES;
        struct scratch *fresh = mem_alloc(sizeof(*fresh) + cap);
        *fresh = (struct scratch){.next = s, .cap = cap};
        out->scratch = s = fresh;
    }
    void *place = s->data + s->used;
    s->used += bytes;
    return place;
}
