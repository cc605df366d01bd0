/* The engine's cost over a real RocksDB: bench_engine [keys, default 1000000] [directory].
 *
 * 16-byte keys in random order, 100-byte values, 256 partitions. Work is run at once on the one
 * thread, so that wall time of a flush is its own; RocksDB compacts on threads of its own. "cpu" is
 * of the whole process, compaction included. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "store/engine.h"

#define KEY_BYTES   16
#define VALUE_BYTES 100
#define PARTITIONS  256
#define HASH_SEED   1
#define SPACE       1
#define TURN_OPS    64
#define ROUNDS      8

struct bench {
    struct work_queue queue;
    struct work *first, **last; /* not yet run */
    struct tier *tier;
    struct engine *e;
    uint64_t keys, lsn, now_ms;
    char path[256];
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct stopwatch {
    uint64_t wall, thread, process;
};

static struct stopwatch watch_start(void)
{
    return (struct stopwatch){clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_THREAD_CPUTIME_ID),
                              clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
}

static void watch_say(struct stopwatch s, const char *what, uint64_t count)
{
    struct stopwatch n = watch_start();
    printf("%-44s %8" PRIu64 " ns wall, %8" PRIu64 " this thread, %8" PRIu64 " cpu (of %" PRIu64
           ")\n",
           what, (n.wall - s.wall) / count, (n.thread - s.thread) / count,
           (n.process - s.process) / count, count);
    fflush(stdout);
}

static void submit(struct work_queue *queue, struct work *work)
{
    struct bench *b = container_of(queue, struct bench, queue);
    work->next = NULL;
    *b->last = work;
    b->last = &work->next;
}

static void work_all(struct bench *b)
{
    while (b->first != NULL) {
        struct work *work = b->first;
        b->first = work->next;
        if (b->first == NULL)
            b->last = &b->first;
        work->run(work);
        work->done(work);
    }
}

static void turn(struct bench *b)
{
    engine_turn(b->e, b->lsn, ++b->now_ms);
}

static struct key key_of(uint64_t i, uint8_t bytes[KEY_BYTES + 1])
{
    snprintf((char *)bytes, KEY_BYTES + 1, "key:%012" PRIx64,
             i * UINT64_C(0x9e3779b97f4a7c15) & 0xffffffffffff);
    struct slice s = slice_make(bytes, KEY_BYTES);
    return (struct key){.bytes = s,
                        .keyspace = SPACE,
                        .partition = crc16_slot(bytes, KEY_BYTES) / (HASH_SLOTS / PARTITIONS),
                        .hash = key_hash(HASH_SEED, SPACE, s)};
}

static void put(struct bench *b, uint64_t i)
{
    uint8_t bytes[KEY_BYTES + 1], value[VALUE_BYTES];
    struct key key = key_of(i, bytes);
    struct prng p = prng_make(i);
    prng_fill(&p, value, VALUE_BYTES / 2); /* half of it compresses */
    memset(value + VALUE_BYTES / 2, 'x', VALUE_BYTES - VALUE_BYTES / 2);
    struct engine_partition *part = engine_partition(b->e, key.partition);
    struct record r = {.value = slice_make(value, VALUE_BYTES),
                       .actor = 1,
                       .counter = ++part->counter,
                       .stamp = b->now_ms};
    part->index++;
    engine_put(b->e, &key, &r);
    b->lsn += 150;
}

static void flush(struct bench *b)
{
    engine_flush(b->e, b->lsn);
    work_all(b);
    for (int i = 0; i < 100000 && engine_turn(b->e, b->lsn, ++b->now_ms); i++)
        work_all(b);
    CHECK(engine_flushed(b->e));
}

static void settle(struct bench *b)
{
    struct tier_stats stats;
    const struct timespec step = {.tv_nsec = 20000000};
    uint64_t last = 0, quiet = 0;
    while (quiet < 25) {
        nanosleep(&step, NULL);
        b->tier->ops->stats(b->tier, &stats);
        uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        quiet = cpu - last < 2000000 ? quiet + 1 : 0;
        last = cpu;
    }
    printf("tier: %" PRIu64 " MB on disk, %" PRIu64 " files at level 0\n", stats.disk_bytes >> 20,
           stats.level0_files);
}

static void open_all(struct bench *b, uint64_t cache_bytes, uint64_t block_cache_bytes)
{
    char error[256] = "";
    struct tier_rocks_options tier = {
        .path = b->path, .cache_bytes = block_cache_bytes, .background_threads = 1, .create = true};
    int st = tier_rocks_open(&tier, error, sizeof(error), &b->tier);
    if (st != 0) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    struct engine_options engine = {
        .tier = b->tier,
        .work = &b->queue,
        .shards = 1,
        .partitions = PARTITIONS,
        .table_bytes = 8ull << 30,
        .cache_bytes = cache_bytes,
        .log_bytes = UINT64_MAX,
        .ordered_idle_ms = 1000000,
        .hash_seed = HASH_SEED,
    };
    CHECK(engine_create(&engine, &b->e) == 0);
    turn(b);
}

static void close_all(struct bench *b)
{
    engine_free(b->e);
    b->tier->ops->close(b->tier);
}

/* Puts `count` keys, each drawn from all, or each once. */
static void load(struct bench *b, uint64_t count, struct prng *random)
{
    for (uint64_t i = 0; i < count; i++) {
        put(b, random != NULL ? prng_below(random, b->keys) : i);
        if (i % TURN_OPS == 0)
            turn(b);
    }
}

static void bench_writes(struct bench *b)
{
    struct prng random = prng_make(1);
    struct stopwatch watch = watch_start();
    load(b, b->keys, NULL);
    watch_say(watch, "put, new keys", b->keys);
    watch = watch_start();
    flush(b);
    watch_say(watch, "flush into an empty tier", b->keys);
    settle(b);
    watch = watch_start();
    struct stopwatch all = watch;
    for (int round = 0; round < ROUNDS; round++) {
        load(b, b->keys / 4, &random);
        flush(b);
    }
    watch_say(watch, "put and flush a quarter, again and again", b->keys / 4 * ROUNDS);
    settle(b);
    watch_say(all, "the same with all compaction", b->keys / 4 * ROUNDS);
}

static void waited(struct engine_wait *wait, int st)
{
    CHECK(st == 0);
}

static void bench_gets(struct bench *b, uint64_t count, const char *what)
{
    struct prng random = prng_make(2);
    struct engine_stats before, after;
    engine_stats(b->e, &before);
    struct stopwatch watch = watch_start();
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[KEY_BYTES + 1];
        struct key key = key_of(prng_below(&random, b->keys), bytes);
        struct record r;
        int st = engine_get(b->e, &key, &r);
        if (st == ST_COLD) {
            struct engine_wait wait = {.done = waited};
            engine_fetch(b->e, &key, &wait);
            work_all(b);
            st = engine_get(b->e, &key, &r);
        }
        CHECK(st == 0);
        if (i % TURN_OPS == 0)
            turn(b);
    }
    watch_say(watch, what, count);
    engine_stats(b->e, &after);
    printf("    hits %.1f %%, inline %.1f %%, background %.1f %%\n",
           100.0 * (double)(after.hits - before.hits) / (double)count,
           100.0 * (double)(after.tier_reads_inline - before.tier_reads_inline) / (double)count,
           100.0 * (double)(after.tier_reads_background - before.tier_reads_background) /
               (double)count);
}

static void scanned(struct engine_scan *scan, int st)
{
    CHECK(st == 0);
}

static void bench_scans(struct bench *b, int partition, uint64_t limit, uint64_t count,
                        const char *what)
{
    struct prng random = prng_make(3);
    struct stopwatch watch = watch_start();
    uint64_t rows = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[KEY_BYTES + 1];
        struct key key = key_of(prng_below(&random, b->keys), bytes);
        struct engine_scan scan = {.keyspace = SPACE,
                                   .partition = partition,
                                   .start = key.bytes,
                                   .has_start = true,
                                   .limit_rows = limit,
                                   .limit_bytes = 1 << 30,
                                   .now_ms = b->now_ms,
                                   .done = scanned};
        engine_scan(b->e, &scan);
        while (scan.rows == NULL && (b->first != NULL || engine_turn(b->e, b->lsn, ++b->now_ms)))
            work_all(b);
        rows += scan.row_count;
        engine_scan_free(&scan);
    }
    watch_say(watch, what, count);
    printf("    %" PRIu64 " rows each\n", rows / count);
}

static uint64_t counted_keys;
static void count_done(struct engine_count *count, int st)
{
    CHECK(st == 0);
    counted_keys = count->keys;
}

static void bench_count(struct bench *b)
{
    struct engine_count count = {.keyspace = SPACE, .now_ms = b->now_ms, .done = count_done};
    struct stopwatch watch = watch_start();
    counted_keys = UINT64_MAX;
    engine_count(b->e, &count);
    while (counted_keys == UINT64_MAX) {
        turn(b);
        work_all(b);
    }
    watch_say(watch, "count of unknown, a key", counted_keys);
}

int main(int argc, char **argv)
{
    struct bench b = {.queue = {.submit = submit}, .now_ms = 1000, .lsn = 4096};
    char dir[] = "/tmp/torc-bench-XXXXXX";
    b.last = &b.first;
    b.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    if (argc <= 2)
        CHECK(mkdtemp(dir) != NULL);
    snprintf(b.path, sizeof(b.path), "%s/cold", argc > 2 ? argv[2] : dir);
    printf("%" PRIu64 " keys of %d bytes, values of %d, in %s\n", b.keys, KEY_BYTES, VALUE_BYTES,
           b.path);
    open_all(&b, 8ull << 30, 1 << 30);
    bench_writes(&b);
    bench_gets(&b, b.keys, "get, all in memory");
    load(&b, b.keys / 10, NULL);
    bench_scans(&b, -1, 10, 1000, "scan 10 rows over all, a tenth unflushed");
    bench_scans(&b, 7, 10, 10000, "scan 10 rows of a partition");
    flush(&b);
    close_all(&b);
    open_all(&b, 1 << 20, 1 << 30);
    bench_gets(&b, b.keys / 4, "get, cold, block cache filling");
    bench_gets(&b, b.keys / 2, "get, cold, block cache full");
    bench_scans(&b, -1, 10, 1000, "scan 10 rows over all, nothing unflushed");
    bench_scans(&b, -1, 10000, 20, "scan 10000 rows over all");
    bench_count(&b);
    close_all(&b);
    return 0;
}
