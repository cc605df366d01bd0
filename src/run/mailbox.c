#include "run/mailbox.h"

#include <stdint.h>
#include <string.h>

static void next_set(const struct mailbox *m, void *message, void *next)
{
    memcpy((char *)message + m->next_offset, &next, sizeof(next));
}

static void *next_get(const struct mailbox *m, void *message)
{
    void *next;
    memcpy(&next, (char *)message + m->next_offset, sizeof(next));
    return next;
}

static void push(struct mailbox *m, void *message)
{
    void *head = atomic_load_explicit(&m->head, memory_order_relaxed);
    do {
        next_set(m, message, head);
    } while (!atomic_compare_exchange_weak_explicit(&m->head, &head, message, memory_order_seq_cst,
                                                    memory_order_relaxed));
}

bool mailbox_put(struct mailbox *m, void *message)
{
    if (atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed) >= m->limit) {
        atomic_fetch_sub_explicit(&m->count, 1, memory_order_relaxed);
        return false;
    }
    push(m, message);
    return true;
}

void mailbox_put_always(struct mailbox *m, void *message)
{
    atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed);
    push(m, message);
}

void *mailbox_take(struct mailbox *m)
{
    if (mailbox_empty(m))
        return NULL;
    void *message = atomic_exchange_explicit(&m->head, NULL, memory_order_acquire);
    void *oldest = NULL;
    size_t taken = 0;
    while (message != NULL) {
        void *next = next_get(m, message);
        next_set(m, message, oldest);
        oldest = message;
        message = next;
        taken++;
    }
    atomic_fetch_sub_explicit(&m->count, taken, memory_order_relaxed);
    return oldest;
}

/* Sequentially consistent, like the push: who sleeps after finding it empty is seen to sleep by who
 * pushed after that (see loop.c). */
bool mailbox_empty(const struct mailbox *m)
{
    return atomic_load_explicit(&((struct mailbox *)(uintptr_t)m)->head, memory_order_seq_cst) ==
           NULL;
}
