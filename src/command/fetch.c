/* Cold keys of a command: all of them are fetched at once, each by the shard that owns it; `done`
 * runs when all have come.
 *
 * One part a shard travels as a task to the shard's thread and back; the home shard's part stays.
 * The keys' bytes are copied, because who waits may go away meanwhile: then the fetch is an orphan
 * and frees itself when its parts are back. */
#include <stdlib.h>

#include "base/mem.h"
#include "command/session_private.h"

struct fetch_key {
    struct engine_wait wait;
    struct fetch_part *part;
    struct key key;
    bool asked; /* the engine has the wait */
};

struct fetch_part {
    struct env_task task;
    struct fetch *fetch;
    unsigned shard;
    unsigned left; /* keys, and one while they are being asked for */
    int error;
};

struct fetch {
    void (*done)(void *owner, int error); /* NULL: who waited is gone */
    void *owner;
    int error;
    struct shard *home;
    unsigned parts_left;
    int key_count;
    struct fetch_key *keys;
    uint8_t *bytes;
    struct fetch_part parts[NODE_SHARDS_MAX];
};

static void fetch_free(struct fetch *f)
{
    free(f->keys);
    free(f->bytes);
    free(f);
}

/* On the home shard: a part is done. */
static void part_back(struct env_task *task, struct shard *on)
{
    struct fetch_part *part = container_of(task, struct fetch_part, task);
    struct fetch *f = part->fetch;
    if (part->error < 0)
        f->error = part->error;
    if (--f->parts_left > 0)
        return;
    void (*done)(void *owner, int error) = f->done;
    void *owner = f->owner;
    int error = f->error;
    fetch_free(f);
    if (done != NULL)
        done(owner, error);
}

static void part_done_one(struct fetch_part *part, struct shard *on)
{
    if (--part->left > 0)
        return;
    part->task.run = part_back;
    if (part->fetch->home == on)
        part_back(&part->task, on);
    else
        on->env->ops->post(on->env, part->fetch->home->id, &part->task, true);
}

static void key_done(struct engine_wait *wait, int st)
{
    struct fetch_key *k = container_of(wait, struct fetch_key, wait);
    k->asked = false;
    if (st < 0 && st != ST_NOTFOUND)
        k->part->error = st;
    part_done_one(k->part, node_shard(k->part->fetch->home->node, k->part->shard));
}

/* On the thread of the shard that owns the part's keys. */
static void part_start(struct env_task *task, struct shard *on)
{
    struct fetch_part *part = container_of(task, struct fetch_part, task);
    struct fetch *f = part->fetch;
    part->left = 1;
    for (int i = 0; i < f->key_count; i++) {
        struct fetch_key *k = &f->keys[i];
        struct record record;
        if (k->part != part || engine_get(on->engine, &k->key, &record) != ST_COLD)
            continue;
        part->left++;
        k->asked = true;
        k->wait.done = key_done;
        list_node_init(&k->wait.link);
        engine_fetch(on->engine, &k->key, &k->wait);
    }
    part_done_one(part, on);
}

static void key_add(struct fetch *f, const struct key *key, size_t *at)
{
    struct node *node = f->home->node;
    struct fetch_key *k = &f->keys[f->key_count++];
    k->key = *key;
    if (key->bytes.len > 0)
        memcpy(f->bytes + *at, key->bytes.data, key->bytes.len);
    k->key.bytes.data = f->bytes + *at;
    *at += key->bytes.len;
    k->part = &f->parts[node_shard_index(node, key->partition)];
    k->part->fetch = f;
}

static bool same_key(const struct key *a, const struct key *b)
{
    return a->hash == b->hash && a->keyspace == b->keyspace && slice_equal(a->bytes, b->bytes);
}

void fetch_begin(struct call *c, void (*done)(void *owner, int error), void *owner,
                 struct fetch **ret_fetch)
{
    struct fetch *f = mem_zalloc(sizeof(*f));
    size_t bytes = c->cold_key.bytes.len, at = 0;
    for (int i = 0; i < c->key_count; i++)
        bytes += c->keys[i].key.bytes.len;
    f->done = done;
    f->owner = owner;
    f->home = c->shard;
    f->keys = mem_zalloc(((size_t)c->key_count + 1) * sizeof(*f->keys));
    f->bytes = mem_alloc(bytes);
    *ret_fetch = f; /* done may run before this returns */
    bool known = false;
    for (int i = 0; i < c->key_count; i++) {
        key_add(f, &c->keys[i].key, &at);
        known |= same_key(&c->keys[i].key, &c->cold_key);
    }
    if (!known)
        key_add(f, &c->cold_key, &at); /* of COPY and MOVE, in another database */
    unsigned shards = f->home->node->shards, own = f->home->id;
    for (unsigned i = 0; i < shards; i++)
        f->parts_left += f->parts[i].fetch != NULL;
    f->parts_left++; /* until all have been sent */
    for (unsigned i = 0; i < shards; i++) {
        struct fetch_part *part = &f->parts[i];
        if (part->fetch == NULL)
            continue;
        part->shard = i;
        part->task.run = part_start;
        if (i == own)
            part_start(&part->task, f->home);
        else
            f->home->env->ops->post(f->home->env, i, &part->task, true);
    }
    struct fetch_part none = {.fetch = f};
    part_back(&none.task, f->home);
}

void fetch_cancel(struct fetch *f)
{
    if (f == NULL)
        return;
    f->done = NULL;
    struct fetch_part *own = &f->parts[f->home->id];
    bool only_own = f->parts_left == 1 && own->fetch != NULL && own->left > 0;
    if (!only_own)
        return; /* part_back() frees it */
    for (int i = 0; i < f->key_count; i++)
        if (f->keys[i].asked)
            engine_fetch_cancel(f->home->engine, &f->keys[i].wait);
    fetch_free(f);
}
