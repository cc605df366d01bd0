/* B+tree with truncated prefixes. See ordered.h.
 *
 * A node covers the keys from its low fence to below its high fence: the separators left and right
 * of it in its ancestors, none at the tree's edges. `skip` is how many bytes the two fences have in
 * common; every key in between has them too. Keys count as one string of partition, keyspace (big
 * endian) and key bytes. A node that becomes empty is freed; nodes are not merged. */
#include "store/ordered.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"

#define NODE_ENTRIES 64u
#define LEVELS_MAX   16

/* A separator: the shortest string above all keys left of it and at most the first one right. */
struct separator {
    uint32_t len;
    uint8_t bytes[];
};

struct node {
    struct list_node link; /* leaves: in order; inner ones: in any */
    uint32_t skip;
    uint16_t count;
    uint16_t level; /* 0: a leaf */
    uint64_t head[NODE_ENTRIES];
};

struct leaf {
    struct node node;
    struct row *row[NODE_ENTRIES];
};

/* separator[i] is between child i-1 and child i; number 0 is not used. */
struct inner {
    struct node node;
    struct separator *separator[NODE_ENTRIES];
    struct node *child[NODE_ENTRIES];
};

struct ordered {
    struct node *root;
    struct list_head leaves, inners;
    uint64_t count, bytes, changes;
    struct ordered *next_dying;
};

/* The way to a leaf: nodes with their fences and the child taken. path[0] is the root. */
struct step {
    struct inner *inner;
    unsigned child;
    const struct separator *low, *high;
};
struct path {
    struct step steps[LEVELS_MAX];
    unsigned depth; /* inner nodes */
    struct leaf *leaf;
    const struct separator *low, *high; /* of the leaf */
};

static struct leaf *as_leaf(struct node *n)
{
    return container_of(n, struct leaf, node);
}

static struct inner *as_inner(struct node *n)
{
    return container_of(n, struct inner, node);
}

static struct ordered_key key_of(const struct row *r)
{
    return (struct ordered_key){r->partition, r->keyspace, row_key(r)};
}

static uint64_t key_head(const struct ordered_key *k, size_t skip)
{
    return row_head(k->partition, k->keyspace, k->key, skip);
}

/* --- strings --- */

static void key_prefix(const struct ordered_key *k, uint8_t prefix[ROW_ORDER_PREFIX])
{
    bytes_put_be16(prefix, k->partition);
    bytes_put_be32(prefix + 2, k->keyspace);
}

static int key_compare(const struct ordered_key *a, const struct ordered_key *b)
{
    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    if (a->keyspace != b->keyspace)
        return a->keyspace < b->keyspace ? -1 : 1;
    return slice_compare(a->key, b->key);
}

static int key_compare_separator(const struct ordered_key *k, const struct separator *s)
{
    uint8_t prefix[ROW_ORDER_PREFIX];
    key_prefix(k, prefix);
    size_t n = s->len < ROW_ORDER_PREFIX ? s->len : ROW_ORDER_PREFIX;
    int order = memcmp(prefix, s->bytes, n);
    if (order != 0)
        return order;
    if (s->len < ROW_ORDER_PREFIX)
        return 1;
    return slice_compare(k->key, slice_make(s->bytes + n, s->len - n));
}

static uint64_t separator_head(const struct separator *s, size_t skip)
{
    uint8_t head[8] = {0};
    if (skip < s->len)
        memcpy(head, s->bytes + skip, s->len - skip < 8 ? s->len - skip : 8);
    return bytes_get_be64(head);
}

static struct separator *separator_make(struct ordered *o, const struct row *left,
                                        const struct row *right)
{
    uint8_t a[ROW_ORDER_PREFIX], b[ROW_ORDER_PREFIX];
    struct ordered_key kl = key_of(left), kr = key_of(right);
    key_prefix(&kl, a);
    key_prefix(&kr, b);
    size_t same = 0;
    while (same < ROW_ORDER_PREFIX && a[same] == b[same])
        same++;
    if (same == ROW_ORDER_PREFIX)
        while (same - ROW_ORDER_PREFIX < kl.key.len &&
               kl.key.data[same - ROW_ORDER_PREFIX] == kr.key.data[same - ROW_ORDER_PREFIX])
            same++;
    uint32_t len = (uint32_t)same + 1;
    struct separator *s = mem_alloc(sizeof(*s) + len);
    s->len = len;
    memcpy(s->bytes, b, len < ROW_ORDER_PREFIX ? len : ROW_ORDER_PREFIX);
    if (len > ROW_ORDER_PREFIX)
        memcpy(s->bytes + ROW_ORDER_PREFIX, kr.key.data, len - ROW_ORDER_PREFIX);
    o->bytes += sizeof(*s) + len;
    return s;
}

static void separator_free(struct ordered *o, struct separator *s)
{
    if (s == NULL)
        return;
    o->bytes -= sizeof(*s) + s->len;
    free(s);
}

static uint32_t fences_common(const struct separator *low, const struct separator *high)
{
    uint32_t same = 0;
    if (low == NULL || high == NULL)
        return 0;
    while (same < low->len && same < high->len && low->bytes[same] == high->bytes[same])
        same++;
    return same;
}

/* --- nodes --- */

static size_t node_bytes(const struct node *n)
{
    return n->level == 0 ? sizeof(struct leaf) : sizeof(struct inner);
}

static struct node *node_new(struct ordered *o, unsigned level)
{
    struct node *n = level == 0 ? &((struct leaf *)mem_alloc(sizeof(struct leaf)))->node
                                : &((struct inner *)mem_alloc(sizeof(struct inner)))->node;
    n->count = 0;
    n->skip = 0;
    n->level = (uint16_t)level;
    list_node_init(&n->link);
    if (level > 0)
        list_push_back(&o->inners, &n->link);
    o->bytes += node_bytes(n);
    return n;
}

static void node_free(struct ordered *o, struct node *n)
{
    list_remove(&n->link);
    o->bytes -= node_bytes(n);
    free(n);
}

static void node_fill_heads(struct node *n)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->level > 0) {
            n->head[i] = i > 0 ? separator_head(as_inner(n)->separator[i], n->skip) : 0;
            continue;
        }
        if (i + 8 < n->count)
            __builtin_prefetch(as_leaf(n)->row[i + 8]);
        const struct row *r = as_leaf(n)->row[i];
        n->head[i] = row_head(r->partition, r->keyspace, row_key(r), n->skip);
    }
}

/* The node's fences are these now. */
static void node_fit(struct node *n, const struct separator *low, const struct separator *high)
{
    uint32_t skip = fences_common(low, high);
    if (skip == n->skip)
        return;
    n->skip = skip;
    node_fill_heads(n);
}

/* The first row >= key, or count. */
static unsigned leaf_search(const struct leaf *leaf, const struct ordered_key *key)
{
    uint64_t head = key_head(key, leaf->node.skip);
    unsigned from = 0, n = leaf->node.count;
    while (n > 0) {
        unsigned half = n / 2, i = from + half;
        bool less = leaf->node.head[i] < head;
        if (unlikely(leaf->node.head[i] == head)) {
            struct ordered_key at = key_of(leaf->row[i]);
            less = key_compare(&at, key) < 0;
        }
        from = less ? i + 1 : from;
        n = less ? n - half - 1 : half;
    }
    return from;
}

/* The child whose keys include `key`: the last whose separator is at most the key. */
static unsigned inner_search(const struct inner *inner, const struct ordered_key *key)
{
    uint64_t head = key_head(key, inner->node.skip);
    unsigned from = 1, n = inner->node.count - 1u;
    while (n > 0) {
        unsigned half = n / 2, i = from + half;
        bool at_most = inner->node.head[i] < head;
        if (unlikely(inner->node.head[i] == head))
            at_most = key_compare_separator(key, inner->separator[i]) >= 0;
        from = at_most ? i + 1 : from;
        n = at_most ? n - half - 1 : half;
    }
    return from - 1;
}

static void path_find(const struct ordered *o, const struct ordered_key *key, struct path *ret_path)
{
    struct path *p = ret_path;
    struct node *n = o->root;
    p->low = p->high = NULL;
    for (p->depth = 0; n->level > 0; p->depth++) {
        CHECK(p->depth < LEVELS_MAX);
        struct inner *inner = as_inner(n);
        unsigned child = inner_search(inner, key);
        p->steps[p->depth] = (struct step){inner, child, p->low, p->high};
        p->low = child > 0 ? inner->separator[child] : p->low;
        p->high = child + 1 < n->count ? inner->separator[child + 1] : p->high;
        n = inner->child[child];
    }
    p->leaf = as_leaf(n);
}

/* --- inserting --- */

static void leaf_put(struct leaf *leaf, unsigned at, struct row *row, uint64_t head)
{
    struct node *n = &leaf->node;
    memmove(&n->head[at + 1], &n->head[at], (n->count - at) * sizeof(n->head[0]));
    memmove(&leaf->row[at + 1], &leaf->row[at], (n->count - at) * sizeof(leaf->row[0]));
    n->head[at] = head;
    leaf->row[at] = row;
    n->count++;
}

static void inner_put(struct inner *inner, unsigned at, struct separator *s, struct node *child)
{
    struct node *n = &inner->node;
    size_t behind = n->count - at;
    memmove(&n->head[at + 1], &n->head[at], behind * sizeof(n->head[0]));
    memmove(&inner->separator[at + 1], &inner->separator[at], behind * sizeof(s));
    memmove(&inner->child[at + 1], &inner->child[at], behind * sizeof(child));
    n->head[at] = separator_head(s, n->skip);
    inner->separator[at] = s;
    inner->child[at] = child;
    n->count++;
}

/* Splits a full inner node; what was in the middle goes up. Returns the right half. */
static struct inner *inner_split(struct ordered *o, struct inner *left, const struct step *step,
                                 struct separator **ret_up)
{
    struct inner *right = as_inner(node_new(o, left->node.level));
    unsigned keep = NODE_ENTRIES / 2, move = left->node.count - keep;
    memcpy(right->separator, &left->separator[keep], move * sizeof(right->separator[0]));
    memcpy(right->child, &left->child[keep], move * sizeof(right->child[0]));
    right->node.count = (uint16_t)move;
    left->node.count = (uint16_t)keep;
    struct separator *up = right->separator[0];
    right->separator[0] = NULL;
    right->node.skip = fences_common(up, step->high);
    node_fill_heads(&right->node);
    node_fit(&left->node, step->low, up);
    *ret_up = up;
    return right;
}

/* Hangs `child`, right of `s`, behind the child the path took at `depth`. */
static void path_add(struct ordered *o, struct path *path, unsigned depth, struct separator *s,
                     struct node *child)
{
    for (;;) {
        if (depth == 0) { /* the root was split */
            struct inner *root = as_inner(node_new(o, o->root->level + 1u));
            root->separator[0] = NULL;
            root->child[0] = o->root;
            root->node.head[0] = 0;
            root->node.count = 1;
            inner_put(root, 1, s, child);
            o->root = &root->node;
            return;
        }
        struct step *step = &path->steps[--depth];
        struct inner *inner = step->inner;
        unsigned at = step->child + 1;
        if (inner->node.count < NODE_ENTRIES) {
            inner_put(inner, at, s, child);
            return;
        }
        struct separator *up;
        struct inner *right = inner_split(o, inner, step, &up);
        if (at <= inner->node.count)
            inner_put(inner, at, s, child);
        else
            inner_put(right, at - inner->node.count, s, child);
        s = up;
        child = &right->node;
    }
}

/* Splits the path's full leaf for a row that comes in at `at`. Keys that come in order fill leaves
 * wholly. Returns the right half and the separator. */
static struct leaf *leaf_split(struct ordered *o, struct path *path, unsigned at,
                               const struct separator **ret_separator)
{
    struct leaf *left = path->leaf, *right = as_leaf(node_new(o, 0));
    bool in_order = at == NODE_ENTRIES && list_last(&o->leaves) == &left->node.link;
    unsigned keep = in_order ? NODE_ENTRIES - 1 : NODE_ENTRIES / 2, move = NODE_ENTRIES - keep;
    memcpy(right->row, &left->row[keep], move * sizeof(right->row[0]));
    right->node.count = (uint16_t)move;
    left->node.count = (uint16_t)keep;
    list_insert_after(&left->node.link, &right->node.link);
    struct separator *s = separator_make(o, left->row[keep - 1], right->row[0]);
    right->node.skip = fences_common(s, path->high);
    node_fill_heads(&right->node);
    node_fit(&left->node, path->low, s);
    path_add(o, path, path->depth, s, &right->node);
    *ret_separator = s;
    return right;
}

void ordered_insert(struct ordered *o, struct row *row)
{
    struct ordered_key key = key_of(row);
    struct path path;
    path_find(o, &key, &path);
    struct leaf *leaf = path.leaf;
    unsigned at = leaf_search(leaf, &key);
    o->changes++;
    if (at < leaf->node.count && leaf->node.head[at] == key_head(&key, leaf->node.skip) &&
        row_compare(leaf->row[at], row) == 0) {
        leaf->row[at] = row;
        return;
    }
    if (leaf->node.count == NODE_ENTRIES) {
        const struct separator *s;
        struct leaf *right = leaf_split(o, &path, at, &s);
        unsigned kept = leaf->node.count;
        if (at > kept || (at == kept && key_compare_separator(&key, s) >= 0)) {
            at -= kept;
            leaf = right;
        }
    }
    leaf_put(leaf, at, row, key_head(&key, leaf->node.skip));
    o->count++;
}

/* --- removing --- */

/* New fences for a node and for all below it along one edge, whose fences are the same. */
static void edge_fit(struct node *n, const struct separator *low, const struct separator *high,
                     bool right_edge)
{
    for (;;) {
        node_fit(n, low, high);
        if (n->level == 0)
            return;
        struct inner *inner = as_inner(n);
        if (right_edge) {
            low = n->count > 1 ? inner->separator[n->count - 1] : low;
            n = inner->child[n->count - 1];
        } else {
            high = n->count > 1 ? inner->separator[1] : high;
            n = inner->child[0];
        }
    }
}

/* Takes the child (freed already) out of the path's inner node at `depth`; a neighbour inherits its
 * keys. False when the inner node has no child left. */
static bool inner_drop(struct ordered *o, const struct step *step)
{
    struct inner *inner = step->inner;
    struct node *n = &inner->node;
    unsigned at = step->child, behind = n->count - at - 1u;
    if (n->count == 1)
        return false;
    separator_free(o, inner->separator[at > 0 ? at : 1]);
    memmove(&n->head[at], &n->head[at + 1], behind * sizeof(n->head[0]));
    memmove(&inner->separator[at], &inner->separator[at + 1], behind * sizeof(inner->separator[0]));
    memmove(&inner->child[at], &inner->child[at + 1], behind * sizeof(inner->child[0]));
    n->count--;
    inner->separator[0] = NULL;
    n->head[0] = 0;
    unsigned heir = at > 0 ? at - 1 : 0;
    edge_fit(inner->child[heir], heir > 0 ? inner->separator[heir] : step->low,
             heir + 1u < n->count ? inner->separator[heir + 1] : step->high, at > 0);
    return true;
}

static void path_drop_leaf(struct ordered *o, struct path *path)
{
    node_free(o, &path->leaf->node);
    unsigned depth = path->depth;
    while (depth > 0 && !inner_drop(o, &path->steps[depth - 1]))
        node_free(o, &path->steps[--depth].inner->node);
    if (depth == 0) { /* nothing is left */
        o->root = node_new(o, 0);
        list_push_back(&o->leaves, &o->root->link);
    }
    while (o->root->level > 0 && o->root->count == 1) {
        struct node *old = o->root;
        o->root = as_inner(old)->child[0];
        node_free(o, old);
    }
}

bool ordered_remove(struct ordered *o, const struct row *row)
{
    struct ordered_key key = key_of(row);
    struct path path;
    path_find(o, &key, &path);
    struct leaf *leaf = path.leaf;
    struct node *n = &leaf->node;
    unsigned at = leaf_search(leaf, &key);
    if (at == n->count || leaf->row[at] != row)
        return false;
    unsigned behind = n->count - at - 1u;
    memmove(&n->head[at], &n->head[at + 1], behind * sizeof(n->head[0]));
    memmove(&leaf->row[at], &leaf->row[at + 1], behind * sizeof(leaf->row[0]));
    n->count--;
    o->count--;
    o->changes++;
    if (n->count == 0 && path.depth > 0)
        path_drop_leaf(o, &path);
    return true;
}

/* --- positions --- */

static struct ordered_at at_make(struct leaf *leaf, unsigned slot)
{
    return (struct ordered_at){.row = leaf->row[slot], .leaf = leaf, .slot = slot};
}

/* Only a tree's only leaf can be empty, so a neighbour never is. */
struct ordered_at ordered_next(const struct ordered *o, struct ordered_at at)
{
    struct leaf *leaf = at.leaf;
    if (at.slot + 1 < leaf->node.count)
        return at_make(leaf, at.slot + 1);
    if (list_last(&o->leaves) == &leaf->node.link)
        return (struct ordered_at){0};
    return at_make(as_leaf(list_entry(leaf->node.link.next, struct node, link)), 0);
}

struct ordered_at ordered_prev(const struct ordered *o, struct ordered_at at)
{
    struct leaf *leaf = at.leaf;
    if (at.slot > 0)
        return at_make(leaf, at.slot - 1);
    if (list_first(&o->leaves) == &leaf->node.link)
        return (struct ordered_at){0};
    struct node *n = list_entry(leaf->node.link.prev, struct node, link);
    return at_make(as_leaf(n), n->count - 1u);
}

struct ordered_at ordered_seek(const struct ordered *o, const struct ordered_key *to)
{
    struct path path;
    if (o->count == 0)
        return (struct ordered_at){0};
    path_find(o, to, &path);
    unsigned at = leaf_search(path.leaf, to);
    if (at < path.leaf->node.count)
        return at_make(path.leaf, at);
    return ordered_next(o, (struct ordered_at){.leaf = path.leaf, .slot = at});
}

struct ordered_at ordered_last(const struct ordered *o, const struct ordered_key *to)
{
    struct path path;
    if (o->count == 0)
        return (struct ordered_at){0};
    path_find(o, to, &path);
    return ordered_prev(o, (struct ordered_at){
                               .leaf = path.leaf,
                               .slot = leaf_search(path.leaf, to),
                           });
}

/* --- the whole --- */

struct ordered *ordered_create(void)
{
    struct ordered *o = mem_zalloc(sizeof(*o));
    list_init(&o->leaves);
    list_init(&o->inners);
    o->bytes = sizeof(*o);
    o->root = node_new(o, 0);
    list_push_back(&o->leaves, &o->root->link);
    return o;
}

uint64_t ordered_count(const struct ordered *o)
{
    return o->count;
}

uint64_t ordered_bytes(const struct ordered *o)
{
    return o->bytes;
}

uint64_t ordered_changes(const struct ordered *o)
{
    return o->changes;
}

void ordered_dispose(struct ordered *o, struct ordered **inout_list)
{
    o->next_dying = *inout_list;
    *inout_list = o;
}

void ordered_reclaim(struct ordered **inout_list, size_t nodes)
{
    struct ordered *o = *inout_list;
    for (; o != NULL && nodes > 0; nodes--) {
        struct list_node *link = list_first(&o->leaves);
        link = link != NULL ? link : list_first(&o->inners);
        if (link == NULL) {
            *inout_list = o->next_dying;
            free(o);
            o = *inout_list;
            continue;
        }
        struct node *n = list_entry(link, struct node, link);
        for (unsigned i = 1; n->level > 0 && i < n->count; i++)
            separator_free(o, as_inner(n)->separator[i]);
        node_free(o, n);
    }
}

static uint64_t node_check(const struct ordered *o, struct node *n, unsigned level,
                           const struct separator *low, const struct separator *high)
{
    uint64_t count = 0;
    CHECK(n->level == level);
    CHECK(n->count <= NODE_ENTRIES);
    CHECK(n->count > 0 || n == o->root);
    CHECK(n->skip == fences_common(low, high));
    for (unsigned i = 0; i < n->count; i++) {
        if (level == 0) {
            struct ordered_key key = key_of(as_leaf(n)->row[i]);
            CHECK(n->head[i] == key_head(&key, n->skip));
            CHECK(low == NULL || key_compare_separator(&key, low) >= 0);
            CHECK(high == NULL || key_compare_separator(&key, high) < 0);
            CHECK(i == 0 || row_compare(as_leaf(n)->row[i - 1], as_leaf(n)->row[i]) < 0);
            count++;
            continue;
        }
        const struct inner *inner = as_inner(n);
        CHECK(i == 0 || n->head[i] == separator_head(inner->separator[i], n->skip));
        count += node_check(o, inner->child[i], level - 1, i > 0 ? inner->separator[i] : low,
                            i + 1u < n->count ? inner->separator[i + 1] : high);
    }
    return count;
}

void ordered_check(const struct ordered *o)
{
    CHECK(node_check(o, o->root, o->root->level, NULL, NULL) == o->count);
}
