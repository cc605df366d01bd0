#include "node/node.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"

#define KEYSPACES_FORMAT       1
#define KEYSPACES_HEADER_BYTES (1 + 8 + 4 + 1)
/* While replaying, engines get a turn after so many records. */
#define REPLAY_TURN_RECORDS 256

int node_create(const struct node_options *options, struct node **ret_node)
{
    if (options->shards == 0 || options->shards > NODE_SHARDS_MAX ||
        !slot_partitions_valid(options->partitions) || options->partitions < options->shards)
        return ST_INVALID;
    struct node *node = mem_zalloc(sizeof(*node));
    node->settings = options->settings;
    node->shards = options->shards;
    node->partitions = options->partitions;
    node->durable = options->durable;
    node->commit_on_sync = options->commit_on_sync;
    node->hash_seed = options->hash_seed;
    node->actor = options->actor;
    node->hlc_floor = options->hlc_floor;
    node->hlc_reserved = ~UINT64_C(0);
    node->start_wall_ms = options->now_ms;
    node->last_save_ms = options->now_ms;
    node->keyspaces.version = 1;
    for (unsigned db = 0; db < NODE_DBS; db++)
        node->keyspaces.id[db] = db;
    node->keyspaces.next_id = NODE_DBS;
    node->keyspaces_durable = node->keyspaces_pending = node->keyspaces;
    *ret_node = node;
    return 0;
}

void node_free(struct node *node)
{
    free(node);
}

/* --- keyspaces --- */

/* Compaction asks while the map changes. "Dropped" lets it forget rows for good, so what was not
 * seen at one moment is not dropped: it will ask again. */
static bool map_lacks(const struct node_keyspaces *k, uint32_t keyspace)
{
    uint64_t sequence = __atomic_load_n(&k->sequence, __ATOMIC_ACQUIRE);
    if (sequence % 2 != 0 || keyspace >= __atomic_load_n(&k->next_id, __ATOMIC_ACQUIRE))
        return false;
    for (unsigned db = 0; db < NODE_DBS; db++)
        if (__atomic_load_n(&k->id[db], __ATOMIC_ACQUIRE) == keyspace)
            return false;
    return __atomic_load_n(&k->sequence, __ATOMIC_RELAXED) == sequence;
}

bool node_keyspace_dropped(const struct node *node, uint32_t keyspace)
{
    return map_lacks(&node->keyspaces, keyspace);
}

bool node_keyspace_gone(const struct node *node, uint32_t keyspace)
{
    return map_lacks(&node->keyspaces_durable, keyspace);
}

void node_keyspaces_encode(const struct node *node, struct buffer *out)
{
    const struct node_keyspaces *k = &node->keyspaces;
    buffer_append_u8(out, KEYSPACES_FORMAT);
    buffer_append_u64(out, k->version);
    buffer_append_u32(out, k->next_id);
    buffer_append_u8(out, NODE_DBS);
    for (unsigned db = 0; db < NODE_DBS; db++)
        buffer_append_u32(out, k->id[db]);
}

static int keyspaces_decode(struct slice stored, struct node_keyspaces *ret_keyspaces)
{
    if (stored.len < 1)
        return ST_CORRUPT;
    if (stored.data[0] != KEYSPACES_FORMAT)
        return ST_VERSION;
    if (stored.len != KEYSPACES_HEADER_BYTES + NODE_DBS * 4 || stored.data[13] != NODE_DBS)
        return ST_CORRUPT;
    struct node_keyspaces k = {
        .version = bytes_get_u64(stored.data + 1),
        .next_id = bytes_get_u32(stored.data + 9),
    };
    for (unsigned db = 0; db < NODE_DBS; db++) {
        k.id[db] = bytes_get_u32(stored.data + KEYSPACES_HEADER_BYTES + db * 4);
        if (k.id[db] >= k.next_id)
            return ST_CORRUPT;
        for (unsigned other = 0; other < db; other++)
            if (k.id[other] == k.id[db])
                return ST_CORRUPT;
    }
    *ret_keyspaces = k;
    return 0;
}

/* Puts a new map into force: other threads may be looking ahead, so field by field, version last.
 */
static void keyspaces_install(struct node_keyspaces *to, const struct node_keyspaces *k)
{
    uint64_t sequence = to->sequence;
    __atomic_store_n(&to->sequence, sequence + 1, __ATOMIC_RELAXED);
    /* Release: who sees one of these sees the odd sequence too. */
    __atomic_store_n(&to->next_id, k->next_id, __ATOMIC_RELEASE);
    for (unsigned db = 0; db < NODE_DBS; db++)
        __atomic_store_n(&to->id[db], k->id[db], __ATOMIC_RELEASE);
    __atomic_store_n(&to->sequence, sequence + 2, __ATOMIC_RELEASE);
    __atomic_store_n(&to->version, k->version, __ATOMIC_RELEASE);
}

void node_keyspaces_turn(struct node *node, uint64_t lsn, uint64_t synced_lsn)
{
    struct node_keyspaces *durable = &node->keyspaces_durable, *pending = &node->keyspaces_pending;
    if (likely(node->keyspaces.version == durable->version))
        return;
    if (pending->version == durable->version) {
        *pending = node->keyspaces;
        node->keyspaces_pending_lsn = lsn;
    }
    if (synced_lsn >= node->keyspaces_pending_lsn)
        keyspaces_install(durable, pending);
}

/* Engines forget the incarnations that `before` had and the map has no more. */
static void keyspaces_drop_old(struct node *node, const struct node_keyspaces *before)
{
    for (unsigned db = 0; db < NODE_DBS; db++) {
        if (!node_keyspace_dropped(node, before->id[db]))
            continue;
        for (unsigned i = 0; i < node->shards; i++)
            engine_drop_keyspace(node->shard[i]->engine, before->id[db]);
    }
}

static void keyspaces_change(struct node *node, struct shard *s, struct node_keyspaces *k)
{
    struct node_keyspaces before = node->keyspaces;
    k->version++;
    keyspaces_install(&node->keyspaces, k);
    BUFFER_AUTO struct buffer encoded = {0};
    node_keyspaces_encode(node, &encoded);
    shard_log_meta(s, buffer_slice(&encoded));
    keyspaces_drop_old(node, &before);
    /* What is read from now on shows the change: it waits until that is committed. */
    for (unsigned partition = 0; partition < node->partitions; partition++) {
        struct shard *owner = node->shard[node_shard_index(node, (uint16_t)partition)];
        engine_partition(owner->engine, (uint16_t)partition)->last_write_turn = owner->turn;
    }
}

void node_flush_db(struct node *node, struct shard *s, unsigned db)
{
    CHECK(db < NODE_DBS);
    struct node_keyspaces k = node->keyspaces;
    k.id[db] = k.next_id++;
    keyspaces_change(node, s, &k);
}

void node_flush_all(struct node *node, struct shard *s)
{
    struct node_keyspaces k = node->keyspaces;
    for (unsigned db = 0; db < NODE_DBS; db++)
        k.id[db] = k.next_id++;
    keyspaces_change(node, s, &k);
}

void node_swap_db(struct node *node, struct shard *s, unsigned a, unsigned b)
{
    CHECK(a < NODE_DBS);
    CHECK(b < NODE_DBS);
    struct node_keyspaces k = node->keyspaces;
    k.id[a] = node->keyspaces.id[b];
    k.id[b] = node->keyspaces.id[a];
    keyspaces_change(node, s, &k);
}

/* --- recovery --- */

int node_load_meta(struct node *node, struct slice stored)
{
    struct node_keyspaces k;
    int st = keyspaces_decode(stored, &k);
    if (st < 0)
        return st;
    keyspaces_install(&node->keyspaces, &k);
    keyspaces_install(&node->keyspaces_durable, &k);
    node->keyspaces_pending = node->keyspaces_durable;
    node->keyspaces_stored_version = k.version;
    return 0;
}

static int replay_meta(struct node *node, struct slice payload)
{
    struct node_keyspaces k;
    int st = keyspaces_decode(payload, &k);
    if (st < 0)
        return st;
    if (k.version <= node->keyspaces.version)
        return 0; /* the cold tier had it already */
    struct node_keyspaces before = node->keyspaces;
    keyspaces_install(&node->keyspaces, &k);
    keyspaces_drop_old(node, &before);
    return 0;
}

static int replay_operation(struct node *node, struct record_op *op)
{
    if (op->key.partition >= node->partitions)
        return ST_CORRUPT;
    struct shard *s = node->shard[node_shard_index(node, op->key.partition)];
    struct engine_partition *p = engine_partition(s->engine, op->key.partition);
    if (op->index <= p->index)
        return 0; /* flushed before the crash */
    p->index = op->index;
    p->actor = op->record.actor;
    p->counter = op->record.counter;
    if (node_keyspace_dropped(node, op->key.keyspace))
        return 0;
    op->key = key_make(op->key.bytes, op->key.keyspace, node->partitions, node->hash_seed);
    engine_put(s->engine, &op->key, &op->record);
    return 0;
}

static int replay_group(struct node *node, const struct log_record *record)
{
    if (record->group >= node->partitions)
        return ST_CORRUPT;
    struct groups *groups = node->groups[node_shard_index(node, (uint16_t)record->group)];
    return groups == NULL ? ST_VERSION : node->groups_replay(groups, record);
}

int node_replay(struct node *node, uint64_t lsn, const struct log_record *record)
{
    if (record->type == LOG_META)
        return replay_meta(node, record->payload);
    if (record->type == LOG_ENTRY || record->type == LOG_HARDSTATE)
        return replay_group(node, record);
    if (record->type != LOG_WRITE)
        return ST_VERSION;
    struct slice payload = record->payload;
    for (;;) {
        struct record_op op;
        int st = record_op_decode(&payload, &op);
        if (st == ST_NOTFOUND)
            break;
        if (st == 0)
            st = replay_operation(node, &op);
        if (st < 0)
            return st;
    }
    if (++node->replayed % REPLAY_TURN_RECORDS == 0)
        for (unsigned i = 0; i < node->shards; i++)
            engine_turn(node->shard[i]->engine, lsn, node->shard[i]->now_ms);
    return 0;
}

/* Keys that the tier has were not seen by the replay. */
static void count_keys(struct node *node, struct engine *e)
{
    for (unsigned db = 0; db < NODE_DBS; db++)
        engine_count_soon(e, node_keyspace(node, db));
}

void node_recovered(struct node *node)
{
    for (unsigned i = 0; i < node->shards; i++)
        count_keys(node, node->shard[i]->engine);
    keyspaces_install(&node->keyspaces_durable, &node->keyspaces);
    node->keyspaces_pending = node->keyspaces_durable;
    for (unsigned partition = 0; partition < node->partitions; partition++) {
        struct shard *s = node->shard[node_shard_index(node, (uint16_t)partition)];
        struct engine_partition *p = engine_partition(s->engine, (uint16_t)partition);
        if (node->actor != 0 && p->actor != node->actor && p->actor != NODE_ACTOR_GROUP) {
            p->actor = node->actor;
            p->counter = 0;
        }
        p->last_write_turn = 0;
    }
}

void node_metrics(const struct node *node, struct shard_metrics *ret_sum)
{
    struct shard_metrics sum = {0};
    for (unsigned i = 0; i < node->shards; i++)
        metrics_sum(&sum, &node->metrics[i]);
    *ret_sum = sum;
}
