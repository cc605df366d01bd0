/* Inside the table: chunks, generations, the index. Included by table*.c only.
 *
 * Chunks. Rows lie one behind the other in chunks of 1 MiB, aligned to their size, so that a row's
 * chunk is found from its address; a bigger row has a chunk of its own right before it. The
 * chunk's header lies at one of 32 places in its first 4 KiB, chosen by the address: at the same
 * place in each, all headers would compete for the same few cache lines.
 *
 * Generations. A chunk belongs to one: the active, a frozen, or one of the two queues of the cache
 * (`small` and `main`), whose state says what may be done with its rows.
 *
 * Index. Linear hashing: buckets of one cache line with 7 rows (16 bits of hash and 48 of address
 * each) and the address of an overflow bucket. When records outnumber 5 a bucket, the next bucket
 * in turn is split; nothing is ever rehashed as a whole. It does not shrink. */
#pragma once

#include "base/check.h"
#include "base/list.h"
#include "store/ordered.h"
#include "store/row.h"
#include "store/table.h"

#define CHUNK_BYTES        (1u << 20)
#define CHUNK_COLOURS      32u
#define CHUNK_COLOUR_BYTES 128u
#define ROW_SMALL_MAX      (64u << 10) /* bigger rows get a chunk of their own */
#define SLAB_BYTES         (32u << 20) /* chunks are mapped so many at once */
#define SPARE_CHUNKS_MIN   32u         /* free chunks kept in memory, at least */
#define EXPIRE_NEVER       UINT64_MAX

struct chunk {
    struct list_node link;    /* in its generation's chunks */
    struct list_node garbage; /* in table.garbage when worth compacting */
    struct generation *generation;
    struct row *first;
    uint32_t used;      /* bytes of rows; constant once frozen */
    uint32_t room;      /* bytes for rows */
    uint32_t live;      /* bytes of rows that are not dead */
    uint32_t number;    /* in table.chunks */
    uint64_t expire_ms; /* no need to look for expired rows before */
    bool big;
};
_Static_assert(sizeof(struct chunk) <= CHUNK_COLOUR_BYTES, "chunk header");

enum generation_state {
    GENERATION_ACTIVE,
    GENERATION_FROZEN,
    GENERATION_RELEASING, /* its chunks are moving to the cache */
    GENERATION_CACHE,
};

struct row_ref {
    uint64_t head;
    struct row *row;
};

struct generation {
    enum generation_state state;
    struct list_head chunks; /* oldest first */
    struct chunk *open;      /* where rows are appended; NULL: none */
    uint64_t bytes;          /* memory of the chunks */
    uint64_t used;           /* bytes of rows, dead ones too */
    uint64_t dead;           /* bytes of dead rows (while active) */
    struct list_node link;   /* in table.frozen (newest first) or table.releasing */
    struct table *table;

    struct ordered *ordered; /* NULL: not wanted */
    bool ordered_built;
    struct chunk *build_chunk; /* building is here; NULL: at the first */
    uint32_t build_offset;

    struct row_ref *sorted; /* by table_frozen_sort() */
    uint64_t sorted_count, sorted_bytes;
};

struct table_frozen {
    struct generation generation;
};

#define BUCKET_ROWS     7
#define BUCKET_LOAD     5
#define SEGMENT_BUCKETS 32768u
#define BUCKETS_MIN     64u

struct bucket {
    uint16_t tag[8];   /* 0: free; the last is never used */
    uint8_t row[8][6]; /* the last: the overflow bucket */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

struct overflow_block {
    struct overflow_block *next;
};

struct index {
    struct bucket **segments;
    uint64_t segment_count, segment_room;
    uint64_t buckets; /* in use */
    uint64_t mask;    /* of the size before this doubling: buckets - 1 once it is complete */
    uint64_t records;
    struct bucket *overflow_free;
    struct overflow_block *overflow_blocks;
    uint64_t overflow_bytes;
    uint64_t hash_seed;
    unsigned splits; /* in this operation */
    uint64_t splits_max;
};

struct place { /* of a row in the index */
    struct bucket *bucket;
    unsigned slot;
    struct row *row; /* NULL: not found */
};

struct ghost {
    uint32_t mark, time;
};

struct dying { /* memory to unmap piece by piece */
    struct list_node link;
    uint8_t *at;
    size_t bytes;
};

struct table {
    struct index index;
    struct generation *active;
    struct list_head frozen;    /* newest first */
    struct list_head releasing; /* oldest first */
    struct generation small, main;
    uint64_t cache_bytes, frozen_bytes;

    uint64_t *actors; /* room for ROW_ACTORS_MAX; never moves: frozen rows are read through it */
    uint32_t actor_count, actor_last;
    uint32_t *actor_map; /* open addressing: number + 1, or 0 */

    struct chunk **chunks;
    uint32_t chunk_count, chunk_room;
    struct list_head spare, spare_cold; /* free chunks; cold: their memory was given back */
    uint32_t spare_count;
    void **slabs;
    uint32_t slab_count;
    uint64_t slab_used, big_bytes;
    struct list_head garbage;
    struct list_head limbo; /* chunks freed while pinned */
    unsigned pins;
    struct list_head dying;
    struct ordered *ordered_dying;
    bool ordered_wanted;

    struct chunk *evicting, *compacting;
    uint32_t evict_offset, compact_offset;
    uint64_t debt_rows; /* rows appended since the last step */
    struct ghost *ghosts;
    uint64_t ghost_mask;
    uint32_t ghost_time;

    uint32_t expire_number, expire_offset; /* table_expire() is here */
    uint64_t expire_least, expire_sum, expire_rows;
    uint64_t change; /* counts what invalidates scans' positions */
    struct table_stats counted;
};

/* --- chunks and rows (table_chunk.c) --- */

static inline struct chunk *chunk_of(const struct row *r)
{
    if (r->units == 0)
        return (struct chunk *)((uint8_t *)r - CHUNK_COLOUR_BYTES);
    uintptr_t base = (uintptr_t)r & ~(uintptr_t)(CHUNK_BYTES - 1);
    return (struct chunk *)(base + ((base / CHUNK_BYTES) % CHUNK_COLOURS) * CHUNK_COLOUR_BYTES);
}

static inline uint32_t row_bytes(const struct row *r)
{
    return r->units != 0 ? r->units * ROW_UNIT : chunk_of(r)->used;
}

static inline struct row *chunk_row(const struct chunk *c, uint32_t offset)
{
    return (struct row *)((uint8_t *)c->first + offset);
}

void chunks_init(struct table *t);
void chunks_done(struct table *t);
void chunk_free(struct table *t, struct chunk *c); /* out of its generation; waits for pins */
void chunks_unpin(struct table *t);
void chunk_move(struct table *t, struct chunk *c, struct generation *to);
void chunk_close(struct table *t, struct generation *g); /* its open one */
void chunk_judge_garbage(struct table *t, struct chunk *c);

void generation_init(struct table *t, struct generation *g, enum generation_state state);

size_t row_need(const struct table *t, const struct key *key, const struct record *record);
/* A row of at least `bytes`, its memory in `g`; only units, flags and meta are set. */
struct row *row_append(struct table *t, struct generation *g, size_t bytes);
void row_write(struct table *t, struct row *r, const struct key *key,
               const struct record *record); /* NULL: absent; keeps units and meta */
void row_view(const struct table *t, const struct row *r, struct record *ret_record);
struct key row_key_view(const struct table *t, const struct row *r); /* with the hash */
void row_retire(struct table *t, struct row *r);                     /* is dead from now on */
/* Copies a live row into `g` and makes index and ordered index point there. */
struct row *row_move(struct table *t, struct row *r, struct generation *g);
void row_expires(struct table *t, struct row *r); /* tells the chunk */

/* --- index (table_index.c) --- */

void index_init(struct index *x, uint64_t hash_seed);
void index_done(struct index *x);
uint64_t index_bytes(const struct index *x);
struct place index_find(const struct index *x, const struct key *key);
struct place index_find_row(const struct index *x, uint64_t hash, const struct row *row);
void index_insert(struct index *x, uint64_t hash, struct row *row);
void index_replace(struct place *p, struct row *row);
void index_remove(struct index *x, uint64_t hash, struct place *p);
void index_prefetch(const struct index *x, uint64_t hash);
void index_prefetch_rows(const struct index *x, uint64_t hash);
/* The rows of one bucket; *ret_more is where to go on with in the same bucket, NULL at its end. */
unsigned index_bucket(const struct index *x, uint64_t bucket, struct bucket **inout_at,
                      struct row *ret_rows[BUCKET_ROWS]);

/* --- the rest --- */

void table_forget(struct table *t, uint64_t hash, struct place *p); /* out of index, retired */
void cache_init(struct table *t);
bool cache_ghost_take(struct table *t, uint64_t hash);
void generation_order_insert(struct generation *g, struct row *r);
void generation_order_remove(struct generation *g, struct row *r);
void generation_order_drop(struct table *t, struct generation *g);
bool generation_order_step(struct generation *g, unsigned *inout_rows);
