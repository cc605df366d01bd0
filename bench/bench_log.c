/* What the commit log costs: bench_log [directory] [records]
 *
 * Prints nanoseconds a record of 150 bytes (batches of 1, 16, 64: encoding with checksum, append
 * with its system call), the cost of one sync of one batch, and the speed of a replay. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/status.h"
#include "run/disk_posix.h"
#include "store/log.h"

#define PAYLOAD_BYTES 150
#define SYNCS         200
#define RECORDS       4000000

struct bench {
    struct disk *disk;
    struct log *log;
    struct log_batch batch;
    uint64_t log_id, replayed, encode_ns, append_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int count(void *ctx, const struct log_record *record)
{
    struct bench *b = ctx;
    b->replayed++;
    return 0;
}

static void reopen(struct bench *b, bool create)
{
    struct log_options options = {.log_id = b->log_id, .create = create};
    struct log_callbacks callbacks = {.replay = count, .ctx = b};
    struct log_recovery report;
    log_free(b->log);
    int st = log_open(b->disk, &options, &callbacks, &report, &b->log);
    if (st != 0) {
        fprintf(stderr, "bench_log: %s: %s\n", status_text(st), report.message);
        exit(1);
    }
}

/* What a background thread does; not measured. */
static void tend(struct bench *b, bool truncate)
{
    struct log_spare *spare;
    struct log_sync sync;
    bool recycle;
    while (truncate && log_sync_begin(b->log, &sync))
        CHECK(log_sync_end(b->log, &sync, log_sync_run(&sync)) == 0);
    if (truncate)
        log_truncate(b->log, log_end_lsn(b->log));
    while ((spare = log_take_dead(b->log, &recycle)) != NULL) {
        if (recycle && log_spare_recycle(spare) == 0)
            log_spare_add(b->log, spare);
        else
            log_spare_remove(spare);
    }
    while (log_needs_spare(b->log)) {
        CHECK(log_spare_create(b->disk, log_segment_bytes(b->log), &spare) == 0);
        log_spare_add(b->log, spare);
    }
}

static void write_batch(struct bench *b, unsigned records)
{
    static const uint8_t payload[PAYLOAD_BYTES] = "a record of the usual size";
    uint64_t start = now_ns(), end;
    for (unsigned i = 0; i < records; i++) {
        struct buffer *out = log_batch_begin(&b->batch, LOG_WRITE, i, i, 0);
        buffer_append(out, payload, sizeof(payload));
        CHECK(log_batch_end(&b->batch) == 0);
    }
    uint64_t encoded = now_ns();
    CHECK(log_append(b->log, &b->batch, &end) == 0);
    log_batch_clear(&b->batch);
    b->append_ns += now_ns() - encoded;
    b->encode_ns += encoded - start;
}

static void bench_batches(struct bench *b, unsigned records, uint64_t total, const char *what)
{
    b->encode_ns = b->append_ns = 0;
    uint64_t batches = total / records;
    for (uint64_t i = 0; i < batches; i++) {
        if (log_needs_spare(b->log))
            tend(b, true);
        write_batch(b, records);
    }
    double n = (double)(batches * records);
    printf("batch of %3u, %s segments: encode %5.1f ns, append %6.1f ns a record\n", records, what,
           (double)b->encode_ns / n, (double)b->append_ns / n);
}

static int by_value(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static void bench_sync(struct bench *b)
{
    static uint64_t took[SYNCS];
    for (int i = 0; i < SYNCS; i++) {
        struct log_sync sync;
        write_batch(b, 16);
        uint64_t start = now_ns();
        CHECK(log_sync_begin(b->log, &sync));
        CHECK(log_sync_end(b->log, &sync, log_sync_run(&sync)) == 0);
        took[i] = now_ns() - start;
    }
    qsort(took, SYNCS, sizeof(took[0]), by_value);
    printf("sync of a batch of 16: median %.0f us, p99 %.0f us\n", (double)took[SYNCS / 2] / 1e3,
           (double)took[SYNCS * 99 / 100] / 1e3);
}

static void bench_replay(struct bench *b, uint64_t total)
{
    tend(b, true);
    for (uint64_t i = 0; i < total / 64; i++) {
        if (log_needs_spare(b->log))
            tend(b, false);
        write_batch(b, 64);
    }
    b->replayed = 0;
    uint64_t start = now_ns();
    reopen(b, false);
    double ns = (double)(now_ns() - start);
    printf("replay: %.2f M records/s (%llu records, %.0f ms)\n", (double)b->replayed / ns * 1e3,
           (unsigned long long)b->replayed, ns / 1e6);
}

static void remove_file(void *ctx, const char *name)
{
    struct disk *disk = ctx;
    disk->ops->unlink(disk, name);
}

int main(int argc, char **argv)
{
    char directory[256];
    snprintf(directory, sizeof(directory), "%s/bench-log-XXXXXX", argc > 1 ? argv[1] : ".");
    uint64_t total = argc > 2 ? strtoull(argv[2], NULL, 10) : RECORDS;
    struct bench b = {.log_id = now_ns()};
    if (mkdtemp(directory) == NULL || disk_posix_open(directory, false, &b.disk) != 0) {
        fprintf(stderr, "bench_log: can't use %s\n", directory);
        return 1;
    }
    reopen(&b, true);
    tend(&b, false);
    bench_batches(&b, 16, total / 4, "new     ");
    bench_batches(&b, 1, total / 4, "recycled");
    bench_batches(&b, 16, total, "recycled");
    bench_batches(&b, 64, total, "recycled");
    bench_sync(&b);
    bench_replay(&b, total / 4);
    log_free(b.log);
    log_batch_free(&b.batch);
    b.disk->ops->list(b.disk, remove_file, b.disk);
    disk_posix_close(b.disk);
    rmdir(directory);
    return 0;
}
