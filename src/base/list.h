/* An intrusive doubly linked list: nodes live inside what they link, so linking never allocates.
 *
 * The head is a node of its own ring, so nothing here tests for NULL. A node is in at most one
 * list; list_remove() leaves it pointing at itself, so removing it again does no harm and
 * list_linked() tells. A head must not move in memory while it has nodes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list_node {
    struct list_node *prev, *next;
};

struct list_head {
    struct list_node root;
};

/* The struct that holds `node` as its `member`. */
#define list_entry(node, type, member) container_of(node, type, member)

/* `node` walks from first to last; the plain form must not unlink it, the safe one may. */
#define list_foreach(node, head) \
    for (struct list_node *node = (head)->root.next; node != &(head)->root; node = node->next)
#define list_foreach_safe(node, spare, head)                                                     \
    for (struct list_node *node = (head)->root.next, *spare = node->next; node != &(head)->root; \
         node = spare, spare = node->next)

static inline void list_init(struct list_head *head)
{
    head->root.prev = head->root.next = &head->root;
}

static inline void list_node_init(struct list_node *node)
{
    node->prev = node->next = node;
}

static inline bool list_linked(const struct list_node *node)
{
    return node->next != node;
}

static inline bool list_empty(const struct list_head *head)
{
    return head->root.next == &head->root;
}

static inline void list_insert_after(struct list_node *place, struct list_node *node)
{
    node->prev = place;
    node->next = place->next;
    place->next->prev = node;
    place->next = node;
}

static inline void list_push_back(struct list_head *head, struct list_node *node)
{
    list_insert_after(head->root.prev, node);
}

static inline void list_push_front(struct list_head *head, struct list_node *node)
{
    list_insert_after(&head->root, node);
}

static inline void list_remove(struct list_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_node_init(node);
}

/* The first and the last node, NULL when there is none. */
static inline struct list_node *list_first(const struct list_head *head)
{
    return list_empty(head) ? NULL : head->root.next;
}

static inline struct list_node *list_last(const struct list_head *head)
{
    return list_empty(head) ? NULL : head->root.prev;
}

static inline struct list_node *list_pop_front(struct list_head *head)
{
    struct list_node *node = list_first(head);
    if (node != NULL)
        list_remove(node);
    return node;
}

/* Moves all nodes of `from` to the end of `to`, in their order; `from` is empty then. */
static inline void list_splice_back(struct list_head *to, struct list_head *from)
{
    if (list_empty(from))
        return;
    struct list_node *first = from->root.next, *last = from->root.prev;
    first->prev = to->root.prev;
    last->next = &to->root;
    to->root.prev->next = first;
    to->root.prev = last;
    list_init(from);
}
