/* Fetches: a key is read from the tier on another thread and becomes resident.
 *
 * A fetch is in e->fetches while it may fill. A put to its key takes it out: what it reads may be
 * older than the put, so it does not fill. A later fetch of the same key is a new one. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "store/engine_private.h"

struct fetch {
    struct work work;
    struct engine *engine;
    struct list_node link; /* in fetches_waiting until handed over */
    struct list_head waits;
    struct buffer row;   /* its row key in the tier; from ROW_KEY_PREFIX_BYTES on the key */
    struct buffer value; /* what was found */
    struct key key;      /* bytes are in `row` */
    bool cancelled;      /* not in e->fetches any more: must not fill */
    int st;
};

/* What names a key of the shard in e->fetches: its row key without partition and generation. */
static struct slice fetch_name(const struct fetch *f)
{
    return slice_make(f->row.data + 6, f->row.len - 6);
}

static struct slice key_name(struct engine *e, const struct key *key)
{
    buffer_clear(&e->scratch);
    row_key_encode(&e->scratch, 0, 0, key->keyspace, key->bytes);
    return slice_make(e->scratch.data + 6, e->scratch.len - 6);
}

void engine_fetches_init(struct engine *e)
{
    e->fetches = map_create(e->options.hash_seed);
    list_init(&e->fetches_waiting);
}

static void fetch_free(struct fetch *f)
{
    if (!f->cancelled)
        map_remove(f->engine->fetches, fetch_name(f));
    f->engine->fetches_open--;
    buffer_free(&f->row);
    buffer_free(&f->value);
    free(f);
}

void engine_fetches_done(struct engine *e)
{
    for (struct list_node *node; (node = list_pop_front(&e->fetches_waiting)) != NULL;)
        fetch_free(list_entry(node, struct fetch, link));
    map_free(e->fetches);
}

static void fetch_run(struct work *work)
{
    struct fetch *f = container_of(work, struct fetch, work);
    struct tier *tier = f->engine->tier;
    f->st = tier->ops->get(tier, buffer_slice(&f->row), false, &f->value);
}

static void fetch_fill(struct fetch *f)
{
    struct engine *e = f->engine;
    struct record record;
    if (f->cancelled && !(e->flaws & ENGINE_FLAW_FILL_UNCHECKED)) {
        e->counted.fills_cancelled++;
        f->st = 0;
        return;
    }
    if (f->st == ST_NOTFOUND) {
        table_fill(e->table, &f->key, NULL);
        f->st = 0;
        return;
    }
    if (f->st == 0)
        f->st = record_decode(buffer_slice(&f->value), &record);
    if (f->st != 0)
        return;
    table_fill(e->table, &f->key, &record);
}

/* A fetch overtaken by a put normally finds its key resident; if it was flushed and evicted since,
 * the waiters wait for another read. */
static bool fetch_again(struct fetch *f)
{
    struct record record;
    if (!f->cancelled || list_empty(&f->waits) ||
        engine_get(f->engine, &f->key, &record) != ST_COLD)
        return false;
    for (struct list_node *node; (node = list_pop_front(&f->waits)) != NULL;)
        engine_fetch(f->engine, &f->key, list_entry(node, struct engine_wait, link));
    return true;
}

static void hand_over(struct engine *e)
{
    while (e->fetches_running < ENGINE_FETCHES_MAX && !list_empty(&e->fetches_waiting)) {
        struct list_node *node = list_pop_front(&e->fetches_waiting);
        e->fetches_running++;
        engine_submit(e, &list_entry(node, struct fetch, link)->work);
    }
}

static void fetch_finished(struct work *work)
{
    struct fetch *f = container_of(work, struct fetch, work);
    struct engine *e = f->engine;
    struct list_head waits;
    e->works--;
    e->fetches_running--;
    e->counted.tier_reads_background++;
    fetch_fill(f);
    int st = f->st;
    list_init(&waits);
    if (!fetch_again(f))
        list_splice_back(&waits, &f->waits);
    fetch_free(f);
    hand_over(e);
    for (struct list_node *node; (node = list_pop_front(&waits)) != NULL;) {
        struct engine_wait *wait = list_entry(node, struct engine_wait, link);
        wait->done(wait, st);
    }
}

void engine_fetch(struct engine *e, const struct key *key, struct engine_wait *wait)
{
    CHECK(e->tier != NULL);
    struct fetch *f = map_get(e->fetches, key_name(e, key));
    if (f == NULL) {
        f = mem_zalloc(sizeof(*f));
        f->work = (struct work){.run = fetch_run, .done = fetch_finished, .klass = WORK_READ};
        f->engine = e;
        list_init(&f->waits);
        list_node_init(&f->link);
        row_key_encode(&f->row, key->partition, engine_part(e, key->partition)->pub.generation,
                       key->keyspace, key->bytes);
        f->key = *key;
        f->key.bytes = slice_make(f->row.data + ROW_KEY_PREFIX_BYTES, key->bytes.len);
        map_put(e->fetches, fetch_name(f), f);
        e->fetches_open++;
        list_push_back(&e->fetches_waiting, &f->link);
    }
    list_push_back(&f->waits, &wait->link);
    hand_over(e);
}

void engine_fetch_cancel(struct engine *e, struct engine_wait *wait)
{
    list_remove(&wait->link); /* the read goes on: it fills the cache for others */
}

void engine_fetches_cancel(struct engine *e, const struct key *key)
{
    struct fetch *f = map_remove(e->fetches, key_name(e, key));
    if (f != NULL)
        f->cancelled = true;
}

void engine_fetches_cancel_partition(struct engine *e, uint16_t partition)
{
    size_t at = 0;
    struct slice name;
    void *value;
    while (map_next(e->fetches, &at, &name, &value)) {
        struct fetch *f = value;
        if (f->key.partition != partition)
            continue;
        f->cancelled = true;
        map_remove(e->fetches, fetch_name(f));
    }
}

void engine_fetches_cancel_keyspace(struct engine *e, uint32_t keyspace)
{
    size_t at = 0;
    struct slice name;
    void *value;
    while (map_next(e->fetches, &at, &name, &value)) {
        struct fetch *f = value;
        if (f->key.keyspace != keyspace)
            continue;
        f->cancelled = true;
        map_remove(e->fetches, fetch_name(f));
    }
}
