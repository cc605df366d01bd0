/* The table in order: ordered indexes of the active and the frozen generations, and scans that
 * merge them. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/table_private.h"

/* --- indexes --- */

void generation_order_insert(struct generation *g, struct row *r)
{
    ordered_insert(g->ordered, r);
}

void generation_order_remove(struct generation *g, struct row *r)
{
    ordered_remove(g->ordered, r);
}

void generation_order_drop(struct table *t, struct generation *g)
{
    if (g->ordered == NULL)
        return;
    ordered_dispose(g->ordered, &t->ordered_dying);
    g->ordered = NULL;
    g->ordered_built = false;
    t->change++;
}

/* Inserts the rows the generation had when it began, going through its memory; later ones are
 * inserted as they come. */
bool generation_order_step(struct generation *g, unsigned *inout_rows)
{
    while (!g->ordered_built && *inout_rows > 0) {
        struct chunk *c = g->build_chunk;
        while (c != NULL && *inout_rows > 0 && g->build_offset < c->used) {
            struct row *r = chunk_row(c, g->build_offset);
            g->build_offset += row_bytes(r);
            (*inout_rows)--;
            if (!(r->flags & ROW_DEAD))
                ordered_insert(g->ordered, r);
        }
        if (c != NULL && g->build_offset < c->used)
            break;
        struct list_node *next = c == NULL ? g->chunks.root.next : c->link.next;
        g->ordered_built = next == &g->chunks.root;
        g->build_chunk = g->ordered_built ? NULL : list_entry(next, struct chunk, link);
        g->build_offset = 0;
    }
    return g->ordered_built;
}

static void generation_order_want(struct generation *g)
{
    if (g->ordered != NULL)
        return;
    g->ordered = ordered_create();
    g->build_chunk = NULL;
    g->build_offset = 0;
    g->ordered_built = list_empty(&g->chunks);
}

void table_ordered_want(struct table *t)
{
    t->ordered_wanted = true;
    generation_order_want(t->active);
    list_foreach (node, &t->frozen)
        generation_order_want(list_entry(node, struct generation, link));
}

bool table_ordered_step(struct table *t, unsigned rows)
{
    if (!t->ordered_wanted)
        return false;
    list_foreach (node, &t->frozen) {
        if (!generation_order_step(list_entry(node, struct generation, link), &rows))
            return false;
    }
    return generation_order_step(t->active, &rows);
}

bool table_ordered_ready(const struct table *t)
{
    if (!t->ordered_wanted)
        return false;
    list_foreach (node, &t->frozen) {
        if (!list_entry(node, struct generation, link)->ordered_built)
            return false;
    }
    return t->active->ordered_built;
}

void table_ordered_drop(struct table *t)
{
    t->ordered_wanted = false;
    generation_order_drop(t, t->active);
    list_foreach (node, &t->frozen)
        generation_order_drop(t, list_entry(node, struct generation, link));
}

/* --- scans --- */

/* Where a scan is in one generation. */
struct cursor {
    struct generation *generation;
    struct ordered_at at;
    uint64_t changes; /* of the index when `at` was found */
};

struct cursors {
    uint64_t change; /* of the table when they were made */
    unsigned count;
    struct cursor of[]; /* newest generation first */
};

void table_scan_init(struct table_scan *s, struct table *t, uint16_t partition, uint32_t keyspace,
                     const struct slice *start, bool reverse)
{
    *s = (struct table_scan){
        .table = t,
        .partition = partition,
        .keyspace = keyspace,
        .reverse = reverse,
        .from_end = start == NULL,
    };
    if (start != NULL)
        buffer_append_slice(&s->at, *start);
}

void table_scan_done(struct table_scan *s)
{
    buffer_free(&s->at);
    free(s->cursors);
    s->cursors = NULL;
}

static void cursor_seek(const struct table_scan *s, struct cursor *c)
{
    const struct ordered *o = c->generation->ordered;
    struct ordered_key key = {s->partition, s->keyspace, buffer_slice(&s->at)};
    c->changes = ordered_changes(o);
    if (!s->reverse) {
        c->at = ordered_seek(o, &key);
        if (s->behind && c->at.row != NULL && c->at.row->partition == s->partition &&
            c->at.row->keyspace == s->keyspace && slice_equal(row_key(c->at.row), key.key))
            c->at = ordered_next(o, c->at);
        return;
    }
    if (s->from_end) { /* what comes behind the keyspace's last key */
        bool last = s->keyspace == UINT32_MAX;
        CHECK(!last || s->partition < UINT16_MAX);
        key = (struct ordered_key){last ? s->partition + 1 : s->partition,
                                   last ? 0 : s->keyspace + 1, slice_make("", 0)};
    }
    c->at = ordered_last(o, &key);
}

static struct cursors *cursors_make(struct table_scan *s)
{
    struct table *t = s->table;
    unsigned count = 1, i = 0;
    list_foreach (node, &t->frozen)
        count++;
    struct cursors *all = mem_alloc(sizeof(*all) + count * sizeof(all->of[0]));
    *all = (struct cursors){.change = t->change, .count = count};
    all->of[i++] = (struct cursor){.generation = t->active};
    list_foreach (node, &t->frozen)
        all->of[i++] = (struct cursor){.generation = list_entry(node, struct generation, link)};
    for (i = 0; i < count; i++)
        cursor_seek(s, &all->of[i]);
    free(s->cursors);
    s->cursors = all;
    return all;
}

static void cursor_advance(const struct table_scan *s, struct cursor *c)
{
    const struct ordered *o = c->generation->ordered;
    c->at = s->reverse ? ordered_prev(o, c->at) : ordered_next(o, c->at);
}

/* The row, NULL when it is outside of what is scanned. */
static struct row *cursor_row(const struct table_scan *s, const struct cursor *c)
{
    struct row *r = c->at.row;
    return r != NULL && r->partition == s->partition && r->keyspace == s->keyspace ? r : NULL;
}

/* Takes the next row in order: the newest generation's where several have the key. */
static struct row *cursors_take(const struct table_scan *s, struct cursors *all)
{
    struct row *best = NULL;
    for (unsigned i = 0; i < all->count; i++) {
        struct row *r = cursor_row(s, &all->of[i]);
        if (r == NULL)
            continue;
        int order = best == NULL ? -1 : row_compare(r, best);
        if (s->reverse && best != NULL)
            order = -order;
        if (order < 0)
            best = r;
    }
    for (unsigned i = 0; best != NULL && i < all->count; i++) {
        struct row *r = cursor_row(s, &all->of[i]);
        if (r != NULL && row_compare(r, best) == 0)
            cursor_advance(s, &all->of[i]);
    }
    return best;
}

int table_scan_next(struct table_scan *s, struct key *ret_key, struct record *ret_record)
{
    struct table *t = s->table;
    CHECK(table_ordered_ready(t));
    struct cursors *all = s->cursors;
    if (all == NULL || all->change != t->change) {
        all = cursors_make(s);
    } else {
        for (unsigned i = 0; i < all->count; i++)
            if (all->of[i].changes != ordered_changes(all->of[i].generation->ordered))
                cursor_seek(s, &all->of[i]);
    }
    struct row *r;
    do {
        r = cursors_take(s, all);
        if (r == NULL)
            return ST_NOTFOUND;
    } while (row_dead(r)); /* removed while frozen */
    buffer_clear(&s->at);
    buffer_append_slice(&s->at, row_key(r));
    s->behind = true;
    s->from_end = false;
    *ret_key = row_key_view(t, r);
    row_view(t, r, ret_record);
    return 0;
}
