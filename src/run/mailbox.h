/* A mailbox: many threads put messages in, one takes them all out at once, oldest first.
 *
 * Messages are intrusive (a `next` pointer at a fixed offset), so nothing is allocated. A put is
 * one compare-and-swap on a stack's head; the taker swaps the whole stack out and reverses it. The
 * limit counts what was put with mailbox_put() and not yet taken; mailbox_put_always() is for
 * messages that are few by their nature. Waking the taker is the caller's (loop_wake). */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mailbox {
    _Alignas(64) _Atomic(void *) head;
    atomic_size_t count;
    size_t limit;
    size_t next_offset;
};

/* struct mailbox m = mailbox_make(struct env_task, next, 1000); */
#define mailbox_make(type, member, limit_messages) \
    ((struct mailbox){.limit = (limit_messages), .next_offset = offsetof(type, member)})

/* false: full, and the message is still the caller's. */
bool mailbox_put(struct mailbox *m, void *message);
void mailbox_put_always(struct mailbox *m, void *message);

/* All messages, linked by their next pointers in the order they came; NULL when there are none.
 * Only by the owner. */
void *mailbox_take(struct mailbox *m);
bool mailbox_empty(const struct mailbox *m);
