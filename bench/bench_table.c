/* The table's cost: bench_table [keys, default 1000000 and 10000000].
 *
 * 16-byte keys in random order, 100-byte values, one thread. ns are per operation; what is
 * reported as the slowest operation includes whatever the machine did meanwhile. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/histogram.h"
#include "base/mem.h"
#include "base/pages.h"
#include "base/prng.h"
#include "base/status.h"
#include "store/ordered.h"
#include "store/table.h"

#define KEY_BYTES   16
#define VALUE_BYTES 100
#define BATCH       16
#define HASH_SEED   1
#define PARTITIONS  256
#define STEP_ROWS   64
#define TURN_OPS    64

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        if (fscanf(f, "%lu %lu", &pages, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static const char DIGITS[] = "0123456789abcdef";

/* The i-th key: the same 4 bytes and 12 digits of a scrambled number. */
static struct key key_make_bench(uint64_t i, uint8_t bytes[KEY_BYTES])
{
    uint64_t x = i * 0x9e3779b97f4a7c15ull;
    memcpy(bytes, "key:", 4);
    for (unsigned k = 4; k < KEY_BYTES; k++, x >>= 4)
        bytes[k] = (uint8_t)DIGITS[(x >> 16) & 15];
    struct slice s = slice_make(bytes, KEY_BYTES);
    uint64_t hash = key_hash(HASH_SEED, 0, s);
    return (struct key){.bytes = s, .hash = hash, .partition = (uint16_t)(hash >> 40) % PARTITIONS};
}

struct run {
    struct table *table;
    uint64_t keys;
    uint8_t value[2 * VALUE_BYTES];
    struct prng prng;
};

static void report(const char *what, uint64_t start_ns, uint64_t ops)
{
    printf("  %-34s %8.1f ns\n", what, (double)(now_ns() - start_ns) / (double)ops);
    fflush(stdout);
}

static void put(struct run *r, uint64_t i, size_t len)
{
    uint8_t bytes[KEY_BYTES];
    struct key key = key_make_bench(i, bytes);
    struct record record = {
        .value = slice_make(r->value, len), .actor = 42, .counter = i, .stamp = i << 16};
    struct table_before before;
    table_put(r->table, &key, &record, &before);
}

static void fill(struct run *r)
{
    uint64_t resident = resident_bytes(), start = now_ns();
    for (uint64_t i = 0; i < r->keys; i++)
        put(r, i, VALUE_BYTES);
    report("put, new", start, r->keys);
    printf("  %-34s %8.1f bytes (key and value: %u)\n", "resident per key",
           (double)(resident_bytes() - resident) / (double)r->keys, KEY_BYTES + VALUE_BYTES);
    struct table_stats s;
    table_stats(r->table, &s);
    printf("  %-34s %8.1f bytes\n", "  of it index", (double)s.index_bytes / (double)r->keys);
}

static void overwrite(struct run *r)
{
    uint64_t start = now_ns();
    for (uint64_t n = 0; n < r->keys; n++)
        put(r, prng_below(&r->prng, r->keys), VALUE_BYTES);
    report("put, same size (random)", start, r->keys);
    struct histogram *h = mem_zalloc(sizeof(*h));
    start = now_ns();
    uint64_t ops = 2 * r->keys, before = start;
    for (uint64_t n = 0; n < ops; n++) {
        put(r, prng_below(&r->prng, r->keys), 1 + prng_below(&r->prng, 2 * VALUE_BYTES - 1));
        if (n % TURN_OPS == 0)
            table_step(r->table, STEP_ROWS);
        uint64_t now = now_ns();
        histogram_add(h, now - before);
        before = now;
    }
    report("put, other sizes, with steps", start, ops);
    printf("  %-34s p99.9 %" PRIu64 " ns, slowest %" PRIu64 " ns\n", "  of single ones",
           histogram_percentile(h, 99.9), h->max);
    struct table_stats s;
    table_stats(r->table, &s);
    printf("  %-34s %8.1f bytes, dead %.1f\n", "  active memory per key then",
           (double)s.active_bytes / (double)r->keys, (double)s.active_dead_bytes / (double)r->keys);
    free(h);
}

static void get(struct run *r, bool hit)
{
    uint8_t bytes[KEY_BYTES];
    uint64_t start = now_ns(), sum = 0, from = hit ? 0 : 2 * r->keys;
    for (uint64_t n = 0; n < r->keys; n++) {
        struct key key = key_make_bench(from + prng_below(&r->prng, r->keys), bytes);
        struct record record;
        int st = table_find(r->table, &key, &record);
        CHECK(st == (hit ? ST_OK : ST_COLD));
        sum += hit ? record.value.data[0] : 0;
    }
    CHECK(sum == 0);
    report(hit ? "get, hit (random)" : "get, miss", start, r->keys);
}

static void get_batched(struct run *r)
{
    uint8_t bytes[BATCH][KEY_BYTES];
    struct key keys[BATCH];
    uint64_t start = now_ns(), sum = 0;
    for (uint64_t n = 0; n < r->keys; n += BATCH) {
        for (unsigned i = 0; i < BATCH; i++) {
            keys[i] = key_make_bench(prng_below(&r->prng, r->keys), bytes[i]);
            table_prefetch(r->table, keys[i].hash);
        }
        for (unsigned i = 0; i < BATCH; i++)
            table_prefetch_record(r->table, keys[i].hash);
        for (unsigned i = 0; i < BATCH; i++) {
            struct record record;
            CHECK(table_find(r->table, &keys[i], &record) == ST_OK);
            sum += record.value.data[0];
        }
    }
    CHECK(sum == 0);
    report("get, hit, 16 prefetched", start, r->keys);
}

#define CHASE_LINES (1u << 22) /* 256 MiB: more than the caches */
#define CHASE_STEPS 4000000u

/* What the machine takes for one read of memory whose address the read before it gave, in huge
 * pages. A lone get is two of them: the index, then the row. */
static void memory_baseline(void)
{
    struct line {
        uint64_t next, rest[7];
    };
    size_t bytes = CHASE_LINES * sizeof(struct line);
    struct line *lines = pages_map(bytes, PAGES_HUGE_BYTES);
    struct prng prng = prng_make(2);
    for (uint64_t i = 0; i < CHASE_LINES; i++)
        lines[i].next = i;
    for (uint64_t i = CHASE_LINES - 1; i > 0; i--) { /* Sattolo: one cycle through all lines */
        uint64_t j = prng_below(&prng, i), next = lines[i].next;
        lines[i].next = lines[j].next;
        lines[j].next = next;
    }
    uint64_t start = now_ns(), at = 0;
    for (uint64_t i = 0; i < CHASE_STEPS; i++)
        at = lines[at].next;
    CHECK(at < CHASE_LINES);
    report("(a dependent read of memory)", start, CHASE_STEPS);
    pages_unmap(lines, bytes);
}

/* What the other loops pay for making keys and random numbers. */
static void overhead(struct run *r)
{
    uint8_t bytes[KEY_BYTES];
    uint64_t start = now_ns(), sum = 0;
    for (uint64_t n = 0; n < r->keys; n++)
        sum += key_make_bench(prng_below(&r->prng, r->keys), bytes).hash;
    report(sum != 0 ? "(making a random key)" : "", start, r->keys);
}

static void in_order(struct run *r)
{
    uint64_t start = now_ns();
    table_ordered_want(r->table);
    while (!table_ordered_step(r->table, 1000))
        continue;
    report("ordered index, building", start, r->keys);
    struct table_stats s;
    table_stats(r->table, &s);
    printf("  %-34s %8.1f bytes\n", "  memory per key", (double)s.ordered_bytes / (double)r->keys);
    start = now_ns();
    for (uint64_t i = 0; i < r->keys / 10; i++)
        put(r, r->keys + i, VALUE_BYTES);
    report("put, new, with ordered index", start, r->keys / 10);
    uint64_t rows = 0;
    start = now_ns();
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        struct table_scan scan;
        struct key key;
        struct record record;
        table_scan_init(&scan, r->table, p, 0, NULL, false);
        while (table_scan_next(&scan, &key, &record) == ST_OK)
            rows++;
        table_scan_done(&scan);
    }
    report("scan, a row", start, rows);
    table_ordered_drop(r->table);
}

static void freeze(struct run *r)
{
    uint64_t start = now_ns();
    struct table_frozen *f = table_freeze(r->table);
    printf("  %-34s %8.1f us\n", "freeze", (double)(now_ns() - start) / 1000);
    start = now_ns();
    table_frozen_sort(f);
    report("sort", start, table_frozen_count(f));
    start = now_ns();
    uint64_t sum = 0;
    for (uint64_t i = 0; i < table_frozen_count(f); i++) {
        struct key key;
        struct record record;
        table_frozen_row(f, i, &key, &record);
        sum += key.bytes.data[KEY_BYTES - 1] + record.value.len;
    }
    report(sum != 0 ? "reading sorted rows" : "", start, table_frozen_count(f));
    uint64_t slowest = 0, steps = 0;
    start = now_ns();
    table_frozen_release(r->table, f);
    for (bool more = true; more; steps++) {
        uint64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        more = table_step(r->table, STEP_ROWS);
        uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
        slowest = took > slowest ? took : slowest;
    }
    printf("  %-34s %8.1f us in %" PRIu64 " steps, slowest %.1f us (CPU)\n",
           "release and evict half", (double)(now_ns() - start) / 1000, steps,
           (double)slowest / 1000);
}

static void bench(uint64_t keys)
{
    printf("%" PRIu64 " keys of %d bytes, values of %d bytes\n", keys, KEY_BYTES, VALUE_BYTES);
    struct run r = {.keys = keys, .prng = prng_make(3)};
    struct table_options options = {.hash_seed = HASH_SEED, .cache_bytes = keys * 75};
    r.table = table_create(&options);
    memory_baseline();
    overhead(&r);
    fill(&r);
    get(&r, true);
    get_batched(&r);
    get(&r, false);
    overwrite(&r);
    in_order(&r);
    freeze(&r);
    table_free(r.table);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        bench(strtoull(argv[1], NULL, 10));
        return 0;
    }
    bench(1000000);
    bench(10000000);
    return 0;
}
