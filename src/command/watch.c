/* WATCH: who has to know of a write to which key.
 *
 * The front of the shard that owns a key keeps, by database and key, the watches on it; each write
 * to the key marks them. A watch is linked in two places: at its key (touched only by the owner
 * shard's thread or who holds the shard) and in its session (the home shard's). When the session
 * lets go of one that another shard has, it is marked, and freed by the owner's next sweep. While
 * nobody watches anything a write pays for one load. */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "command/session_private.h"

#define WATCHES_MAX 65536 /* of one client */

struct watched { /* a key that is watched */
    struct list_head watches;
    struct slice name; /* u8 database | key; behind the struct */
};

struct watch {
    struct list_node link;     /* session->watches */
    struct list_node key_link; /* watched->watches */
    struct watched *of;
    const struct session *session; /* to tell whose it is; never followed */
    unsigned shard;                /* the owner's */
    uint64_t expire_ms;            /* of the live key that was watched; 0: none */
    bool touched;                  /* atomic, as is: */
    bool gone;                     /* the session has let go of it */
};

static struct slice name_make(struct buffer *out, unsigned db, struct slice key)
{
    buffer_clear(out);
    buffer_append_u8(out, (uint8_t)db);
    buffer_append_slice(out, key);
    return buffer_slice(out);
}

static struct front *owner_front(const struct call *c, const struct key *key)
{
    return c->front->group->fronts[node_shard_index(c->node, key->partition)];
}

/* --- adding --- */

static struct watched *watched_get(struct front *f, struct slice name)
{
    if (f->watched == NULL)
        f->watched = map_create(f->node->hash_seed);
    struct watched *k = map_get(f->watched, name);
    if (k != NULL)
        return k;
    k = mem_zalloc(sizeof(*k) + name.len);
    list_init(&k->watches);
    memcpy(k + 1, name.data, name.len);
    k->name = slice_make(k + 1, name.len);
    map_put(f->watched, k->name, k);
    return k;
}

void watch_add(struct call *c, int arg)
{
    const struct key *key = call_key(c, arg);
    struct front *f = owner_front(c, key);
    BUFFER_AUTO struct buffer name = {0};
    struct watched *k = watched_get(f, name_make(&name, c->db, key->bytes));
    list_foreach (node, &k->watches) {
        const struct watch *w = list_entry(node, struct watch, key_link);
        if (w->session == c->session && !__atomic_load_n(&w->gone, __ATOMIC_RELAXED))
            return; /* the first WATCH counts */
    }
    struct record r;
    bool live = call_read_any(c, key, &r) == 0 && record_live(&r, c->now_ms);
    struct watch *w = mem_zalloc(sizeof(*w));
    w->of = k;
    w->session = c->session;
    w->shard = f->shard->id;
    w->expire_ms = live && (r.flags & RECORD_EXPIRES) ? r.expire_ms : 0;
    list_push_back(&k->watches, &w->key_link);
    list_push_back(&c->session->watches, &w->link);
    c->session->watch_count++;
    c->session->watch_bytes += sizeof(*w) + sizeof(*k) + k->name.len;
    __atomic_fetch_add(&c->front->group->watches, 1, __ATOMIC_RELAXED);
}

bool watches_fit(const struct call *c)
{
    const struct session *s = c->session;
    unsigned keys = (unsigned)c->argc - 1;
    uint64_t bytes = s->watch_bytes;
    for (int i = 1; i < c->argc; i++)
        bytes += sizeof(struct watch) + sizeof(struct watched) + c->argv[i].len;
    return keys <= WATCHES_MAX && s->watch_count <= WATCHES_MAX - keys &&
           bytes <= (uint64_t)s->front->settings->multi_bytes_max;
}

/* --- writes --- */

static void touch_name(struct front *f, struct slice name)
{
    struct watched *k = f->watched != NULL ? map_get(f->watched, name) : NULL;
    if (k == NULL)
        return;
    list_foreach (node, &k->watches)
        __atomic_store_n(&list_entry(node, struct watch, key_link)->touched, true,
                         __ATOMIC_RELAXED);
}

void watch_touch_slow(struct call *c, const struct key *key)
{
    BUFFER_AUTO struct buffer name = {0};
    for (unsigned db = 0; db < NODE_DBS; db++)
        if (node_keyspace(c->node, db) == key->keyspace)
            touch_name(owner_front(c, key), name_make(&name, db, key->bytes));
}

/* Whether the key lives, or that can't be told at once. */
static bool may_live(struct call *c, unsigned db, struct slice bytes)
{
    struct key key = node_key(c->node, db, bytes);
    struct shard *owner = node_shard(c->node, node_shard_index(c->node, key.partition));
    struct record r;
    int st = engine_get(owner->engine, &key, &r);
    return st == ST_COLD || (st == 0 && record_live(&r, c->now_ms));
}

void watch_before_change(struct call *c, unsigned db, unsigned becomes)
{
    struct front_group *group = c->front->group;
    if (__atomic_load_n(&group->watches, __ATOMIC_RELAXED) == 0)
        return;
    for (unsigned i = 0; i < c->node->shards; i++) {
        struct front *f = group->fronts[i];
        size_t at = 0;
        struct slice name;
        void *value;
        while (f->watched != NULL && map_next(f->watched, &at, &name, &value)) {
            struct slice bytes = slice_make(name.data + 1, name.len - 1);
            if (name.data[0] == db && (may_live(c, db, bytes) || may_live(c, becomes, bytes)))
                touch_name(f, name);
        }
    }
}

/* --- looking, and letting go --- */

bool watch_broken(const struct session *s, uint64_t now_ms)
{
    list_foreach (node, &s->watches) {
        const struct watch *w = list_entry(node, struct watch, link);
        if (__atomic_load_n(&w->touched, __ATOMIC_RELAXED) ||
            (w->expire_ms != 0 && w->expire_ms <= now_ms))
            return true;
    }
    return false;
}

void watch_keys(const struct session *s, void (*each)(void *ctx, unsigned db, struct slice bytes),
                void *ctx)
{
    list_foreach (node, &s->watches) {
        struct slice name = list_entry(node, struct watch, link)->of->name;
        each(ctx, name.data[0], slice_make(name.data + 1, name.len - 1));
    }
}

/* On the owner's side: unlinks it from its key, which goes too when it was the last. */
static void watch_free(struct front *owner, struct watch *w)
{
    struct watched *k = w->of;
    list_remove(&w->key_link);
    free(w);
    if (!list_empty(&k->watches))
        return;
    map_remove(owner->watched, k->name);
    free(k);
}

void watch_clear(struct session *s)
{
    struct front_group *group = s->front->group;
    struct list_node *node;
    s->watch_count = 0;
    s->watch_bytes = 0;
    while ((node = list_pop_front(&s->watches)) != NULL) {
        struct watch *w = list_entry(node, struct watch, link);
        struct front *owner = group->fronts[w->shard];
        __atomic_fetch_sub(&group->watches, 1, __ATOMIC_RELAXED);
        if (owner == s->front) {
            watch_free(owner, w);
        } else {
            __atomic_store_n(&w->gone, true, __ATOMIC_RELEASE);
            __atomic_fetch_add(&owner->watches_gone, 1, __ATOMIC_RELEASE);
        }
    }
}

void watch_sweep(struct front *f)
{
    if (likely(__atomic_load_n(&f->watches_gone, __ATOMIC_ACQUIRE) == 0))
        return;
    /* Not a plain store: it could overwrite the count of one whose mark is not yet seen below. */
    __atomic_exchange_n(&f->watches_gone, 0, __ATOMIC_ACQ_REL);
    size_t at = 0;
    struct slice name;
    void *value;
    while (map_next(f->watched, &at, &name, &value)) {
        struct watched *k = value;
        list_foreach_safe (node, spare, &k->watches) {
            struct watch *w = list_entry(node, struct watch, key_link);
            bool last = k->watches.root.next == k->watches.root.prev;
            if (!__atomic_load_n(&w->gone, __ATOMIC_ACQUIRE))
                continue;
            watch_free(f, w);
            if (last)
                break; /* the key is gone too */
        }
    }
}

void watch_front_free(struct front *f)
{
    watch_sweep(f);
    CHECK(f->watched == NULL || map_count(f->watched) == 0);
    map_free(f->watched);
    f->watched = NULL;
}
