/* The table's index: linear hashing (Litwin 1980) over buckets of a cache line. See
 * table_private.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/pages.h"
#include "store/table_private.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

#define OVERFLOW_BLOCK_BYTES 65536u
#define SPLITS_PER_INSERT    2
#define ADDRESS_BITS         48
#define SEGMENT_BYTES        (SEGMENT_BUCKETS * sizeof(struct bucket))

/* --- buckets --- */

static inline uint16_t tag_of(uint64_t hash)
{
    uint16_t tag = (uint16_t)(hash >> 48);
    return tag != 0 ? tag : 1;
}

/* The address in slot i: the 8 bytes that end with it, less the 2 in front. */
static inline void *bucket_address(const struct bucket *b, unsigned i)
{
    return (void *)(uintptr_t)(bytes_get_u64(b->row[i] - 2) >> (64 - ADDRESS_BITS));
}

static inline void bucket_set_address(struct bucket *b, unsigned i, const void *p)
{
    uint64_t address = (uintptr_t)p;
    CHECK(address >> ADDRESS_BITS == 0);
    bytes_put_u32(b->row[i], (uint32_t)address);
    bytes_put_u16(b->row[i] + 4, (uint16_t)(address >> 32));
}

static inline struct bucket *bucket_overflow(const struct bucket *b)
{
    return bucket_address(b, BUCKET_ROWS);
}

/* The slots that hold `tag`: bit 2i is slot i. */
static inline unsigned bucket_match(const struct bucket *b, uint16_t tag)
{
#ifdef __SSE2__
    __m128i tags = _mm_load_si128((const __m128i *)b->tag);
    __m128i same = _mm_cmpeq_epi16(tags, _mm_set1_epi16((short)tag));
    return (unsigned)_mm_movemask_epi8(same) & 0x1555;
#else
    unsigned found = 0;
    for (unsigned i = 0; i < BUCKET_ROWS; i++)
        found |= (unsigned)(b->tag[i] == tag) << (2 * i);
    return found;
#endif
}

static inline unsigned match_slot(unsigned match)
{
    return (unsigned)__builtin_ctz(match) / 2;
}

static inline struct bucket *bucket_at(const struct index *x, uint64_t number)
{
    return &x->segments[number / SEGMENT_BUCKETS][number % SEGMENT_BUCKETS];
}

/* The first half of a doubling's buckets is split already where the number is in the new half. */
static inline struct bucket *bucket_for(const struct index *x, uint64_t hash)
{
    uint64_t number = hash & (2 * x->mask + 1);
    if (number >= x->buckets)
        number &= x->mask;
    return bucket_at(x, number);
}

/* --- memory --- */

static struct bucket *overflow_alloc(struct index *x)
{
    if (x->overflow_free == NULL) {
        void *memory = NULL;
        CHECK(posix_memalign(&memory, sizeof(struct bucket), OVERFLOW_BLOCK_BYTES) == 0);
        struct overflow_block *block = memory;
        block->next = x->overflow_blocks;
        x->overflow_blocks = block;
        x->overflow_bytes += OVERFLOW_BLOCK_BYTES;
        struct bucket *buckets = memory;
        for (size_t i = OVERFLOW_BLOCK_BYTES / sizeof(*buckets) - 1; i > 0; i--) {
            bucket_set_address(&buckets[i], BUCKET_ROWS, x->overflow_free);
            x->overflow_free = &buckets[i];
        }
    }
    struct bucket *b = x->overflow_free;
    x->overflow_free = bucket_overflow(b);
    memset(b, 0, sizeof(*b));
    return b;
}

static void overflow_release(struct index *x, struct bucket *b)
{
    bucket_set_address(b, BUCKET_ROWS, x->overflow_free);
    x->overflow_free = b;
}

void index_init(struct index *x, uint64_t hash_seed)
{
    *x = (struct index){.hash_seed = hash_seed, .buckets = BUCKETS_MIN, .mask = BUCKETS_MIN - 1};
    x->segment_room = 8;
    x->segments = mem_alloc(x->segment_room * sizeof(*x->segments));
    x->segments[x->segment_count++] = pages_map(SEGMENT_BYTES, SEGMENT_BYTES);
}

void index_done(struct index *x)
{
    for (uint64_t i = 0; i < x->segment_count; i++)
        pages_unmap(x->segments[i], SEGMENT_BYTES);
    while (x->overflow_blocks != NULL) {
        struct overflow_block *block = x->overflow_blocks;
        x->overflow_blocks = block->next;
        free(block);
    }
    free(x->segments);
}

uint64_t index_bytes(const struct index *x)
{
    return x->buckets * sizeof(struct bucket) + x->overflow_bytes;
}

/* --- looking --- */

struct place index_find(const struct index *x, const struct key *key)
{
    uint16_t tag = tag_of(key->hash);
    for (struct bucket *b = bucket_for(x, key->hash); b != NULL; b = bucket_overflow(b)) {
        for (unsigned match = bucket_match(b, tag); match != 0; match &= match - 1) {
            unsigned slot = match_slot(match);
            struct row *r = bucket_address(b, slot);
            if (likely(row_is(r, key)))
                return (struct place){b, slot, r};
        }
    }
    return (struct place){0};
}

struct place index_find_row(const struct index *x, uint64_t hash, const struct row *row)
{
    uint16_t tag = tag_of(hash);
    for (struct bucket *b = bucket_for(x, hash); b != NULL; b = bucket_overflow(b)) {
        for (unsigned match = bucket_match(b, tag); match != 0; match &= match - 1) {
            unsigned slot = match_slot(match);
            struct row *r = bucket_address(b, slot);
            if (r == row)
                return (struct place){b, slot, r};
        }
    }
    return (struct place){0};
}

void index_prefetch(const struct index *x, uint64_t hash)
{
    __builtin_prefetch(bucket_for(x, hash));
}

void index_prefetch_rows(const struct index *x, uint64_t hash)
{
    const struct bucket *b = bucket_for(x, hash);
    unsigned match = bucket_match(b, tag_of(hash));
    if (match != 0) {
        const uint8_t *at = bucket_address(b, match_slot(match));
        __builtin_prefetch(at);
        __builtin_prefetch(at + 64);
        __builtin_prefetch(at + 128);
    } else if (bucket_overflow(b) != NULL) {
        __builtin_prefetch(bucket_overflow(b));
    }
}

unsigned index_bucket(const struct index *x, uint64_t bucket, struct bucket **inout_at,
                      struct row *ret_rows[BUCKET_ROWS])
{
    struct bucket *b = *inout_at != NULL ? *inout_at : bucket_at(x, bucket);
    unsigned count = 0;
    for (unsigned i = 0; i < BUCKET_ROWS; i++)
        if (b->tag[i] != 0)
            ret_rows[count++] = bucket_address(b, i);
    *inout_at = bucket_overflow(b);
    return count;
}

/* --- changing --- */

static void bucket_add(struct index *x, struct bucket *b, uint16_t tag, const struct row *row)
{
    for (;;) {
        unsigned match = bucket_match(b, 0);
        if (match != 0) {
            unsigned slot = match_slot(match);
            b->tag[slot] = tag;
            bucket_set_address(b, slot, row);
            return;
        }
        struct bucket *next = bucket_overflow(b);
        if (next == NULL) {
            next = overflow_alloc(x);
            bucket_set_address(b, BUCKET_ROWS, next);
        }
        b = next;
    }
}

/* Deals the rows of `b` out to where their hashes belong now. */
static void bucket_redeal(struct index *x, struct bucket *b)
{
    struct bucket old = *b;
    memset(b, 0, sizeof(*b));
    for (struct bucket *from = &old; from != NULL;) {
        for (unsigned i = 0; i < BUCKET_ROWS; i++) {
            if (from->tag[i] == 0)
                continue;
            const struct row *r = bucket_address(from, i);
            uint64_t hash = key_hash(x->hash_seed, r->keyspace, row_key(r));
            bucket_add(x, bucket_for(x, hash), from->tag[i], r);
        }
        struct bucket *next = bucket_overflow(from);
        if (from != &old)
            overflow_release(x, from);
        from = next;
    }
}

/* Fetches ahead what the next split will read: the rows of that bucket, and the bucket after. */
static void split_prefetch(const struct index *x)
{
    uint64_t half = x->mask + 1, next = x->buckets == 2 * half ? 0 : x->buckets - half;
    const struct bucket *b = bucket_at(x, next);
    for (unsigned i = 0; i < BUCKET_ROWS; i++)
        if (b->tag[i] != 0)
            __builtin_prefetch(bucket_address(b, i));
    __builtin_prefetch(b + 1);
}

static void index_split(struct index *x)
{
    uint64_t fresh = x->buckets;
    if (fresh == 2 * (x->mask + 1)) /* this doubling is complete */
        x->mask = 2 * x->mask + 1;
    if (fresh / SEGMENT_BUCKETS == x->segment_count) {
        if (x->segment_count == x->segment_room) {
            x->segment_room *= 2;
            x->segments = mem_realloc(x->segments, x->segment_room * sizeof(*x->segments));
        }
        x->segments[x->segment_count++] = pages_map(SEGMENT_BYTES, SEGMENT_BYTES);
    }
    x->buckets++;
    bucket_redeal(x, bucket_at(x, fresh - (x->mask + 1)));
    x->splits++;
}

void index_insert(struct index *x, uint64_t hash, struct row *row)
{
    bucket_add(x, bucket_for(x, hash), tag_of(hash), row);
    x->records++;
    x->splits = 0;
    while (x->records > x->buckets * BUCKET_LOAD && x->splits < SPLITS_PER_INSERT)
        index_split(x);
    if (x->splits > 0)
        split_prefetch(x);
    if (x->splits > x->splits_max)
        x->splits_max = x->splits;
}

void index_replace(struct place *p, struct row *row)
{
    bucket_set_address(p->bucket, p->slot, row);
    p->row = row;
}

/* The chain's last row fills the hole, so that only its last bucket has free slots in overflow. */
void index_remove(struct index *x, uint64_t hash, struct place *p)
{
    struct bucket *before = NULL, *last = p->bucket;
    while (bucket_overflow(last) != NULL) {
        before = last;
        last = bucket_overflow(last);
    }
    p->bucket->tag[p->slot] = 0;
    if (last != p->bucket) {
        unsigned i = BUCKET_ROWS;
        while (last->tag[--i] == 0)
            CHECK(i > 0);
        p->bucket->tag[p->slot] = last->tag[i];
        bucket_set_address(p->bucket, p->slot, bucket_address(last, i));
        last->tag[i] = 0;
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < BUCKET_ROWS; i++)
        kept += last->tag[i] != 0;
    if (kept == 0) {
        if (before == NULL && last != bucket_for(x, hash)) {
            before = bucket_for(x, hash);
            while (bucket_overflow(before) != last)
                before = bucket_overflow(before);
        }
        if (before != NULL) {
            bucket_set_address(before, BUCKET_ROWS, NULL);
            overflow_release(x, last);
        }
    }
    x->records--;
}
