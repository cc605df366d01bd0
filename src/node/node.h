/* The node: its shards, and what they share.
 *
 * What changes while it runs changes only while all shards are held (shard_acquire), so each shard
 * reads it without locks; the keyspace map is read with relaxed loads because a session may look
 * ahead while its shard is held, and must look again when `version` has moved before it executes.
 *
 * Recovery: node_create() with empty engines; node_load_meta() from the cold tier; node_replay()
 * for each record of the commit log in order; node_recovered(); then the shard threads start. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "node/metrics.h"
#include "node/shard.h"
#include "ring/slot.h"
#include "store/log.h"

struct settings; /* node/config.h */
struct groups;   /* node/groups.h */

#define NODE_DBS        16
#define NODE_SHARDS_MAX 64
/* The actor of all that a Raft group writes: its log says what came first, so it needs no life. */
#define NODE_ACTOR_GROUP 1

/* SELECT numbers to ids of keyspace incarnations. Stored whole, in log records (LOG_META) and in
 * the cold tier under "keyspaces":  u8 format 1 | u64 version | u32 next_id | u8 count | u32
 * id[count] An id below next_id that is not in the map is dropped. */
struct node_keyspaces {
    uint64_t version;
    uint64_t sequence; /* odd while the map is being changed */
    uint32_t next_id;
    uint32_t id[NODE_DBS];
};

/* SAVE, BGSAVE: filled by the caller, who keeps it until done ran on its shard's thread. */
struct node_snapshot {
    void (*done)(struct node_snapshot *snapshot, int st);
    struct shard *home;
    char path[512]; /* where it was written, when st is 0 */
};

/* Facts of the process and the commit log, for INFO and STATUS. 0 and "" where unknown. */
struct node_process {
    uint64_t pid;
    unsigned tcp_port;
    uint64_t rss_bytes, rss_bytes_max; /* now, and at its highest */
    uint64_t heap_bytes;               /* allocated, as the allocator counts it */
    uint64_t memory_bytes;             /* of the machine, or the control group's limit */
    uint64_t cpu_user_us, cpu_system_us;
    uint64_t log_start_lsn, log_synced_lsn;
    char os[128];         /* as uname(1) says it */
    char executable[256]; /* path */
};

/* What the runtime does for commands; set before the shards start. */
struct node_hooks {
    void *ctx;
    /* Fills *process, which is all zero. NULL: nothing is known. From any shard's thread. */
    void (*process)(void *ctx, struct node_process *process);
    /* Whether the argon2id hash is of the password. Blocks for long: for background threads. */
    bool (*password_matches)(const char *hash, struct slice password);
    int (*snapshot)(void *ctx, struct node_snapshot *snapshot); /* ST_AGAIN: one is under way */
    int (*config_rewrite)(void *ctx, char *error, size_t error_bytes);
    /* Whether the process can do what `fresh` says of this setting, before CONFIG SET makes it the
     * node's; else a negative status and why. All shards are held. NULL: it can. */
    int (*config_check)(void *ctx, const struct settings *fresh, unsigned setting, char *error,
                        size_t error_bytes);
    /* A setting was changed by CONFIG SET, under the lock of node_config_lock. */
    void (*config_changed)(void *ctx);
};

struct node_options {
    struct settings *settings; /* the node's from now on to read; changed through CONFIG SET */
    unsigned shards;
    unsigned partitions;
    bool durable;        /* there is a log */
    bool commit_on_sync; /* fsync always: a turn is committed when it is synced */
    uint64_t actor;      /* of dots; 0: each partition goes on with the one it had */
    uint64_t hlc_floor;  /* the last reservation persisted: stamps are above it; 0: none */
    uint64_t hash_seed;
    uint64_t now_ms;
};

struct node {
    struct settings *settings;
    unsigned shards, partitions;
    bool durable, commit_on_sync;
    bool loading; /* commands get -LOADING; atomic: node_loading() */
    uint64_t hash_seed, actor, hlc_floor;
    uint64_t hlc_reserved; /* stamps stay below; moved on, once persisted, by node_hlc_reserved() */
    struct node_keyspaces keyspaces;
    /* The newest map known to survive a power cut; and the one that will be it when the log is
     * synced up to the position, of shard 0's thread. */
    struct node_keyspaces keyspaces_durable, keyspaces_pending;
    uint64_t keyspaces_pending_lsn;
    /* The furthest of the shards' clocks (now_ms), about: see node_clock_ms(). */
    uint64_t clock_ms;
    uint64_t
        keyspaces_stored_version; /* what the cold tier has; under the truncation lock of src/run */
    struct node_hooks hooks;
    struct shard *shard[NODE_SHARDS_MAX];
    struct groups *groups[NODE_SHARDS_MAX]; /* set by groups_create(); NULL: none */
    int (*groups_replay)(struct groups *groups, const struct log_record *record);
    struct shard_metrics metrics[NODE_SHARDS_MAX];
    uint64_t replayed; /* records of the log, so far */
    uint64_t start_wall_ms;
    uint64_t last_save_ms; /* LASTSAVE; relaxed atomic */
    char id[41];           /* node id and run id, hexadecimal */
    char run_id[41];
};

int node_create(const struct node_options *options, struct node **ret_node);
void node_free(struct node *node); /* not the shards, not the settings */

/* The log is being replayed. Once false is seen, all that replay made is seen too. */
static inline bool node_loading(const struct node *node)
{
    return __atomic_load_n(&node->loading, __ATOMIC_ACQUIRE);
}

static inline struct shard *node_shard(struct node *node, unsigned i)
{
    return node->shard[i];
}

static inline unsigned node_shard_index(const struct node *node, uint16_t partition)
{
    return node->shards == 1 ? 0 : partition % node->shards;
}

/* The keyspace incarnation behind SELECT db, and the version to compare before executing. */
static inline uint32_t node_keyspace(const struct node *node, unsigned db)
{
    return __atomic_load_n(&node->keyspaces.id[db], __ATOMIC_RELAXED);
}

static inline uint64_t node_keyspaces_version(const struct node *node)
{
    return __atomic_load_n(&node->keyspaces.version, __ATOMIC_RELAXED);
}

/* key_make() with the node's numbers. */
static inline struct key node_key(const struct node *node, unsigned db, struct slice bytes)
{
    return key_make(bytes, node_keyspace(node, db), node->partitions, node->hash_seed);
}

/* Whether the id is in no map any more; from any thread. */
bool node_keyspace_dropped(const struct node *node, uint32_t keyspace);
/* And will not be after a power cut either: only then may the cold tier forget its rows
 * (tier_policy), or a FLUSHDB that was not synced would come back undone in part. */
bool node_keyspace_gone(const struct node *node, uint32_t keyspace);
/* At the end of each of shard 0's turns: all changes of the map are in the log below lsn. */
void node_keyspaces_turn(struct node *node, uint64_t lsn, uint64_t synced_lsn);

/* With all shards held, on the thread of `s`. The change goes into the log of this turn. */
void node_flush_db(struct node *node, struct shard *s, unsigned db);
void node_flush_all(struct node *node, struct shard *s);
void node_swap_db(struct node *node, struct shard *s, unsigned a, unsigned b);

/* The keyspace map as stored; ST_CORRUPT, ST_VERSION. */
void node_keyspaces_encode(const struct node *node, struct buffer *out);
int node_load_meta(struct node *node, struct slice stored);

/* One record of the log; the caller lets engines flush when they press (engine_pressure). */
int node_replay(struct node *node, uint64_t lsn, const struct log_record *record);
/* After the last record: actors and clocks are set for new writes. */
void node_recovered(struct node *node);

/* A reservation of the clock is durable (hlc_reserve); any thread. ~0 when nothing is kept. */
static inline void node_hlc_reserved(struct node *node, uint64_t bound)
{
    __atomic_store_n(&node->hlc_reserved, bound, __ATOMIC_RELAXED);
}

/* What stamps are reserved ahead of: after the wall clock was set back the shards' clocks are ahead
 * of it, possibly for hours, and go on. Any thread; 0 before the first turn. */
static inline uint64_t node_clock_ms(const struct node *node)
{
    return __atomic_load_n(&node->clock_ms, __ATOMIC_RELAXED);
}

void node_metrics(const struct node *node, struct shard_metrics *ret_sum);
