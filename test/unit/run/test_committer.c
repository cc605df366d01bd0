#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/prng.h"
#include "base/status.h"
#include "run/committer.h"
#include "run/disk_posix.h"

#define SEGMENT_BYTES LOG_SEGMENT_BYTES_MIN
#define SHARDS        8
#define SHARE_BYTES   2048
#define WAIT_TURNS    5000 /* of a millisecond: longer has failed */

/* A real directory whose disk can be told to fail. */
struct rig {
    char path[64];
    struct disk *disk;
    const struct disk_ops *real_ops;
    struct disk_ops ops;
    struct log *log;
    struct committer *committer;
    struct log_recovery report;
    unsigned replayed;
    unsigned next_of[8]; /* per group, the index that must come next */
    sem_t synced;
};

static struct rig rig;
static bool fail_sync, fail_allocate;
static int broken_status;

static int failing_sync(struct disk_file *file)
{
    return __atomic_load_n(&fail_sync, __ATOMIC_SEQ_CST) ? ST_IO : rig.real_ops->sync(file);
}

static int failing_allocate(struct disk_file *file, uint64_t bytes)
{
    return __atomic_load_n(&fail_allocate, __ATOMIC_SEQ_CST) ? ST_NOSPACE
                                                             : rig.real_ops->allocate(file, bytes);
}

static int on_replay(void *ctx, const struct log_record *record)
{
    assert_int_equal(record->index, rig.next_of[record->group]++);
    rig.replayed++;
    return 0;
}

static void on_synced(void *ctx)
{
    sem_post(&rig.synced);
}

static void on_broken(void *ctx, int st)
{
    __atomic_store_n(&broken_status, st, __ATOMIC_SEQ_CST);
}

static void rig_open(enum config_fsync policy, bool create)
{
    struct log_options options = {.log_id = 7, .segment_bytes = SEGMENT_BYTES, .create = create};
    struct log_callbacks callbacks = {.replay = on_replay};
    struct committer_options committer = {
        .policy = policy,
        .shards = SHARDS,
        .share_bytes = SHARE_BYTES,
        .synced = on_synced,
        .broken = on_broken,
    };
    rig.replayed = 0;
    memset(rig.next_of, 0, sizeof(rig.next_of));
    assert_int_equal(log_open(rig.disk, &options, &callbacks, &rig.report, &rig.log), 0);
    assert_int_equal(committer_create(rig.disk, rig.log, &committer, &rig.committer), 0);
}

static int setup(void **state)
{
    strcpy(rig.path, "/tmp/torc-committer-XXXXXX");
    assert_non_null(mkdtemp(rig.path));
    assert_int_equal(disk_posix_open(rig.path, false, &rig.disk), 0);
    rig.real_ops = rig.disk->ops;
    rig.ops = *rig.disk->ops;
    rig.ops.sync = failing_sync;
    rig.ops.allocate = failing_allocate;
    rig.disk->ops = &rig.ops;
    fail_sync = fail_allocate = false;
    broken_status = 0;
    sem_init(&rig.synced, 0, 0);
    return 0;
}

static int teardown(void **state)
{
    rig.disk->ops = rig.real_ops;
    disk_posix_close(rig.disk);
    DIR *dir = opendir(rig.path);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(rig.path);
    sem_destroy(&rig.synced);
    return 0;
}

static uint64_t append(unsigned group, unsigned index, size_t bytes)
{
    static __thread uint8_t payload[8192];
    struct log_batch batch = {0};
    uint64_t lsn = 0;
    buffer_append(log_batch_begin(&batch, LOG_WRITE, group, index, 0), payload, bytes);
    assert_int_equal(log_batch_end(&batch), 0);
    assert_int_equal(committer_append(rig.committer, group, &batch, &lsn), 0);
    committer_turn_ended(rig.committer);
    log_batch_free(&batch);
    return lsn;
}

static bool comes_true(bool (*what)(void))
{
    for (int i = 0; i < WAIT_TURNS; i++) {
        if (what())
            return true;
        usleep(1000);
    }
    return false;
}

static bool all_synced(void)
{
    return committer_synced_lsn(rig.committer) == committer_end_lsn(rig.committer);
}

static bool has_room(void)
{
    return committer_room(rig.committer, 0, 4000);
}

static bool is_disk_full(void)
{
    return committer_disk_full(rig.committer);
}

static void test_close_and_replay(void **state)
{
    rig_open(FSYNC_NEVER, true);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t lsn = append(0, i, 100);
        assert_int_equal(lsn, committer_end_lsn(rig.committer));
    }
    assert_true(committer_synced_lsn(rig.committer) < committer_end_lsn(rig.committer));
    assert_int_equal(committer_close(rig.committer), 0);
    rig_open(FSYNC_NEVER, false);
    assert_int_equal(rig.replayed, 10);
    assert_true(rig.report.clean);
    assert_int_equal(committer_close(rig.committer), 0);
}

static void test_always_syncs_and_tells(void **state)
{
    rig_open(FSYNC_ALWAYS, true);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t lsn = append(0, i, 100);
        while (committer_synced_lsn(rig.committer) < lsn)
            sem_wait(&rig.synced);
    }
    struct committer_stats stats;
    committer_stats(rig.committer, &stats);
    assert_int_equal(stats.appends, 20);
    assert_true(stats.syncs >= 20);
    assert_int_equal(committer_close(rig.committer), 0);
}

static void test_everysec_syncs_by_itself(void **state)
{
    rig_open(FSYNC_EVERYSEC, true);
    append(0, 0, 100);
    assert_true(comes_true(all_synced));
    assert_int_equal(committer_close(rig.committer), 0);
}

static void test_sync_on_demand(void **state)
{
    rig_open(FSYNC_NEVER, true);
    uint64_t lsn = append(0, 0, 100);
    assert_int_equal(committer_sync(rig.committer), 0);
    assert_true(committer_synced_lsn(rig.committer) >= lsn);
    assert_int_equal(committer_close(rig.committer), 0);
}

#define WRITERS 4
#define EACH    500

static void *write_many(void *argument)
{
    unsigned group = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; i < EACH; i++) {
        while (!committer_room(rig.committer, group, 1000))
            usleep(100);
        uint64_t lsn = append(group, i, 500);
        if (i % 50 == 0)
            while (committer_synced_lsn(rig.committer) < lsn)
                usleep(100);
    }
    return NULL;
}

/* Several threads, many segments, everything is there, each thread's records in order. */
static void test_many_threads(void **state)
{
    pthread_t threads[WRITERS];
    rig_open(FSYNC_ALWAYS, true);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, (void *)i), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(committer_close(rig.committer), 0);
    rig_open(FSYNC_NEVER, false);
    assert_int_equal(rig.replayed, WRITERS * EACH);
    assert_true(rig.report.segments > 5);
    assert_int_equal(committer_close(rig.committer), 0);
}

static bool is_broken(void)
{
    return __atomic_load_n(&broken_status, __ATOMIC_SEQ_CST) != 0;
}

static void test_failed_sync_is_never_synced(void **state)
{
    rig_open(FSYNC_ALWAYS, true);
    assert_true(comes_true(all_synced));
    uint64_t before = committer_synced_lsn(rig.committer);
    __atomic_store_n(&fail_sync, true, __ATOMIC_SEQ_CST);
    append(0, 0, 100);
    assert_true(comes_true(is_broken));
    assert_int_equal(broken_status, ST_IO);
    assert_int_equal(committer_synced_lsn(rig.committer), before);
    assert_int_equal(committer_sync(rig.committer), ST_IO);
    assert_int_equal(committer_close(rig.committer), ST_IO);
}

static void test_full_disk_and_room_again(void **state)
{
    unsigned written = 0;
    rig_open(FSYNC_NEVER, true);
    assert_true(comes_true(has_room));
    __atomic_store_n(&fail_allocate, true, __ATOMIC_SEQ_CST);
    while (committer_room(rig.committer, 0, 4000) && written < 1000)
        append(0, written++, 4000);
    assert_true(written < 1000);
    assert_true(committer_disk_full(rig.committer));
    assert_int_equal(broken_status, 0);
    __atomic_store_n(&fail_allocate, false, __ATOMIC_SEQ_CST);
    assert_true(comes_true(has_room));
    assert_false(is_disk_full());
    append(0, written++, 4000);
    assert_int_equal(committer_close(rig.committer), 0);
    rig_open(FSYNC_NEVER, false);
    assert_int_equal(rig.replayed, written);
    assert_int_equal(committer_close(rig.committer), 0);
}

static uint64_t start_lsn(void)
{
    struct committer_stats stats;
    committer_stats(rig.committer, &stats);
    return stats.start_lsn;
}

static uint64_t start_before;
static bool start_moved(void)
{
    return start_lsn() > start_before;
}

static void test_truncation_waits_for_holds(void **state)
{
    rig_open(FSYNC_NEVER, true);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(comes_true(has_room));
        append(0, i, 4000);
    }
    assert_int_equal(committer_sync(rig.committer), 0);
    start_before = start_lsn();
    committer_hold(rig.committer);
    committer_truncate(rig.committer, committer_end_lsn(rig.committer));
    usleep(50000);
    assert_int_equal(start_lsn(), start_before);
    committer_unhold(rig.committer);
    assert_true(comes_true(start_moved));
    append(0, 100, 100);
    assert_int_equal(committer_close(rig.committer), 0);
    assert_int_equal(broken_status, 0);
}

/* A record larger than a segment gets one of its own. */
static void test_oversize_record(void **state)
{
    rig_open(FSYNC_NEVER, true);
    assert_true(committer_room(rig.committer, 0, 4 << 20));
    struct log_batch batch = {0};
    uint64_t lsn;
    uint8_t *big = calloc(1, 4 << 20);
    buffer_append(log_batch_begin(&batch, LOG_WRITE, 0, 0, 0), big, (4 << 20) - 100);
    assert_int_equal(log_batch_end(&batch), 0);
    assert_int_equal(committer_append(rig.committer, 0, &batch, &lsn), 0);
    log_batch_free(&batch);
    free(big);
    assert_int_equal(committer_close(rig.committer), 0);
    rig_open(FSYNC_NEVER, false);
    assert_int_equal(rig.replayed, 1);
    assert_int_equal(committer_close(rig.committer), 0);
}

/* What is promised to one shard is not promised to another, and is there in whatever order they
 * write; what is given back is there again. */
static void test_no_room_is_promised_twice(void **state)
{
    unsigned next_of[SHARDS] = {0};
    struct prng prng = prng_make(3);
    for (unsigned round = 0; round < 6; round++) {
        rig_open(FSYNC_NEVER, true);
        assert_true(comes_true(has_room));
        assert_true(committer_room(rig.committer, 0, 0));
        for (unsigned i = prng_below(&prng, 20); i > 0; i--)
            append(SHARDS - 1, next_of[SHARDS - 1]++, 1000);
        assert_true(comes_true(has_room));
        __atomic_store_n(&fail_allocate, true, __ATOMIC_SEQ_CST);
        bool promised[SHARDS];
        bool any = true;
        while (any) {
            any = false;
            for (unsigned i = 0; i < SHARDS; i++) {
                promised[i] = committer_room(rig.committer, i, 8100);
                any |= promised[i];
            }
            if (prng_below(&prng, 4) == 0 && promised[0]) {
                promised[0] = false;
                assert_true(committer_room(rig.committer, 0, 0));
            }
            for (unsigned k = 0, i = prng_below(&prng, SHARDS); k < SHARDS;
                 k++, i = (i + 3) % SHARDS)
                append(i, next_of[i]++, promised[i] ? 8000 : 500); /* a share is always there */
            assert_int_equal(broken_status, 0);
            for (unsigned i = 0; i < SHARDS; i++)
                committer_room(rig.committer, i, 0);
        }
        __atomic_store_n(&fail_allocate, false, __ATOMIC_SEQ_CST);
        assert_int_equal(committer_close(rig.committer), 0);
        teardown(NULL);
        setup(NULL);
        memset(next_of, 0, sizeof(next_of));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_close_and_replay),
        TEST(test_always_syncs_and_tells),
        TEST(test_everysec_syncs_by_itself),
        TEST(test_sync_on_demand),
        TEST(test_many_threads),
        TEST(test_failed_sync_is_never_synced),
        TEST(test_full_disk_and_room_again),
        TEST(test_truncation_waits_for_holds),
        TEST(test_oversize_record),
        TEST(test_no_room_is_promised_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
