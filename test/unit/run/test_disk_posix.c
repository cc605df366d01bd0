#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/disk_posix.h"
#include "store/identity.h"
#include "store/log.h"

static char directory[] = "/tmp/torc-disk-XXXXXX";

static void unlink_each(void *ctx, const char *name)
{
    struct disk *disk = ctx;
    assert_int_equal(disk->ops->unlink(disk, name), 0);
}

static int set_up(void **state)
{
    struct disk *disk;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(disk_posix_open(directory, false, &disk), 0);
    *state = disk;
    return 0;
}

static int tear_down(void **state)
{
    struct disk *disk = *state;
    assert_int_equal(disk->ops->list(disk, unlink_each, disk), 0);
    disk_posix_close(disk);
    rmdir(directory);
    snprintf(directory, sizeof(directory), "/tmp/torc-disk-XXXXXX");
    return 0;
}

static void test_files(void **state)
{
    struct disk *disk = *state;
    struct disk_file *file, *again;
    assert_int_equal(disk->ops->open(disk, "a", DISK_READ, &file), ST_NOTFOUND);
    assert_int_equal(disk->ops->open(disk, "a", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file),
                     0);
    assert_int_equal(disk->ops->open(disk, "a", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &again),
                     ST_EXISTS);
    assert_int_equal(disk->ops->allocate(file, 100000), 0);
    uint64_t bytes;
    assert_int_equal(disk->ops->size(file, &bytes), 0);
    assert_int_equal(bytes, 100000);
    struct iovec iov[3] = {{.iov_base = "one", .iov_len = 3},
                           {.iov_base = NULL, .iov_len = 0},
                           {.iov_base = "two", .iov_len = 3}};
    assert_int_equal(disk->ops->pwritev(file, iov, 3, 50), 0);
    uint8_t back[8];
    size_t len;
    assert_int_equal(disk->ops->pread(file, back, 8, 49, &len), 0);
    assert_int_equal(len, 8);
    assert_memory_equal(back, "\0onetwo\0", 8);
    assert_int_equal(disk->ops->pread(file, back, 8, 99995, &len), 0);
    assert_int_equal(len, 5);
    assert_int_equal(disk->ops->sync(file), 0);
    assert_int_equal(disk->ops->truncate(file, 60), 0);
    assert_int_equal(disk->ops->rename(disk, "a", "b"), 0);
    assert_int_equal(disk->ops->sync_dir(disk), 0);
    disk->ops->close(file);
    disk->ops->close(NULL);
    assert_int_equal(disk->ops->open(disk, "b", DISK_READ, &file), 0);
    assert_int_equal(disk->ops->size(file, &bytes), 0);
    assert_int_equal(bytes, 60);
    disk->ops->close(file);
    assert_int_equal(disk->ops->unlink(disk, "missing"), ST_NOTFOUND);
}

/* More pieces than one system call takes. */
static void test_many_pieces(void **state)
{
    enum { PIECES = 5000 };
    struct disk *disk = *state;
    struct disk_file *file;
    struct iovec *iov = mem_alloc(PIECES * sizeof(*iov));
    uint32_t *numbers = mem_alloc(PIECES * sizeof(*numbers));
    for (uint32_t i = 0; i < PIECES; i++) {
        numbers[i] = i;
        iov[i] = (struct iovec){.iov_base = &numbers[i], .iov_len = sizeof(numbers[i])};
    }
    assert_int_equal(disk->ops->open(disk, "many", DISK_WRITE | DISK_CREATE, &file), 0);
    assert_int_equal(disk->ops->pwritev(file, iov, PIECES, 0), 0);
    uint32_t *back = mem_zalloc(PIECES * sizeof(*back));
    size_t len;
    assert_int_equal(disk->ops->pread(file, back, PIECES * sizeof(*back), 0, &len), 0);
    assert_int_equal(len, PIECES * sizeof(*back));
    assert_memory_equal(back, numbers, len);
    disk->ops->close(file);
    free(iov);
    free(numbers);
    free(back);
}

static void collect(void *ctx, const char *name)
{
    buffer_append_str(ctx, name);
    buffer_append_u8(ctx, ' ');
}

static void test_list_is_ordered(void **state)
{
    struct disk *disk = *state;
    const char *names[] = {"c", "a", "b10", "b9"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(disk_replace_file(disk, names[i], slice_str("x")), 0);
    BUFFER_AUTO struct buffer all = {0};
    assert_int_equal(disk->ops->list(disk, collect, &all), 0);
    assert_true(slice_equal(buffer_slice(&all), slice_str("a b10 b9 c ")));
}

static void test_replace_and_read(void **state)
{
    struct disk *disk = *state;
    uint8_t *data;
    size_t len;
    assert_int_equal(disk_read_file(disk, "f", 100, &data, &len), ST_NOTFOUND);
    assert_int_equal(disk_replace_file(disk, "f", slice_str("a longer text")), 0);
    assert_int_equal(disk_replace_file(disk, "f", slice_str("short")), 0);
    assert_int_equal(disk_read_file(disk, "f", 4, &data, &len), ST_LIMIT);
    assert_int_equal(disk_read_file(disk, "f", 5, &data, &len), 0);
    assert_true(slice_equal(slice_make(data, len), slice_str("short")));
    free(data);
    struct identity id = {.node_id = 3}, back;
    assert_int_equal(identity_save(disk, &id), 0);
    assert_int_equal(identity_load(disk, &back), 0);
    assert_int_equal(back.node_id, 3);
}

static void test_lock(void **state)
{
    struct disk *disk = *state;
    int fd, other;
    assert_int_equal(disk_posix_lock(disk, "torc.lock", &fd), 0);
    assert_int_equal(disk_posix_lock(disk, "torc.lock", &other), ST_LOCKED);
    pid_t child = fork();
    if (child == 0) {
        struct disk *again;
        int st = disk_posix_open(directory, false, &again);
        _exit(st == 0 && disk_posix_lock(again, "torc.lock", &other) == ST_LOCKED ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    disk_posix_unlock(fd);
    assert_int_equal(disk_posix_lock(disk, "torc.lock", &fd), 0);
    disk_posix_unlock(fd);
}

static void test_open_and_create(void **state)
{
    struct disk *disk;
    char path[64];
    snprintf(path, sizeof(path), "%s/sub", directory);
    assert_int_equal(disk_posix_open(path, false, &disk), ST_NOTFOUND);
    assert_int_equal(disk_posix_open(path, true, &disk), 0);
    disk_posix_close(disk);
    assert_int_equal(disk_posix_open(path, true, &disk), 0);
    disk_posix_close(disk);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(disk_posix_open("/tmp/none/none", true, &disk), ST_NOTFOUND);
}

static int replay_count(void *ctx, const struct log_record *record)
{
    (*(uint64_t *)ctx)++;
    return 0;
}

/* The log on a real file system, twice. */
static void test_log(void **state)
{
    struct disk *disk = *state;
    uint64_t replayed = 0, written = 0;
    struct log_callbacks callbacks = {.replay = replay_count, .ctx = &replayed};
    for (int life = 0; life < 3; life++) {
        struct log_options options = {
            .log_id = 1, .segment_bytes = LOG_SEGMENT_BYTES_MIN, .create = life == 0};
        struct log_recovery report;
        struct log *log;
        replayed = 0;
        assert_int_equal(log_open(disk, &options, &callbacks, &report, &log), 0);
        assert_int_equal(replayed, written);
        struct log_batch batch = {0};
        for (int i = 0; i < 300; i++) {
            while (log_needs_spare(log)) {
                struct log_spare *spare;
                assert_int_equal(log_spare_create(disk, log_segment_bytes(log), &spare), 0);
                log_spare_add(log, spare);
            }
            uint64_t end;
            struct buffer *b = log_batch_begin(&batch, LOG_WRITE, 0, written++, 0);
            buffer_printf(b, "%0700d", i);
            assert_int_equal(log_batch_end(&batch), 0);
            assert_int_equal(log_append(log, &batch, &end), 0);
            log_batch_clear(&batch);
        }
        struct log_sync sync;
        while (log_sync_begin(log, &sync))
            assert_int_equal(log_sync_end(log, &sync, log_sync_run(&sync)), 0);
        log_batch_free(&batch);
        log_free(log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_is_ordered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replace_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open_and_create, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
