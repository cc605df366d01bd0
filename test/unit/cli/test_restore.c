#include "cli/restore.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

static char root[64];

/* As RocksDB's tables end. */
#define TABLE "table\xf7\xcf\xf4\x85\xb7\x41\xe2\x88"

static const char *at(const char *name)
{
    static char paths[4][PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", root, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect_file(const char *name, const char *text)
{
    char got[64] = "";
    FILE *file = fopen(at(name), "r");
    assert_non_null(file);
    assert_true(fgets(got, sizeof(got), file) != NULL);
    fclose(file);
    assert_string_equal(got, text);
}

static ino_t inode(const char *name)
{
    struct stat st;
    assert_int_equal(stat(at(name), &st), 0);
    return st.st_ino;
}

static int make_snapshot(void **state)
{
    snprintf(root, sizeof(root), "/tmp/torc-restore-XXXXXX");
    assert_non_null(mkdtemp(root));
    mkdir(at("snap"), 0755);
    mkdir(at("snap/log"), 0755);
    mkdir(at("snap/rocks"), 0755);
    write_file("snap/torc.identity", "identity");
    write_file("snap/log/000001.log", "segment");
    write_file("snap/log/odd.sst", "not a table");
    write_file("snap/rocks/000007.sst", TABLE);
    write_file("snap/rocks/CURRENT", "MANIFEST-1");
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    return remove(path);
}

static int remove_all(void **state)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static void refuse(const char *snapshot, const char *data_dir, int status, const char *reason)
{
    struct restore_totals totals;
    struct failure failure;
    assert_int_equal(restore_copy(at(snapshot), at(data_dir), &totals, &failure), status);
    assert_non_null(strstr(failure.text, reason));
}

static void test_restores(void **state)
{
    struct restore_totals totals;
    struct failure failure;
    assert_int_equal(restore_copy(at("snap/"), at("data//"), &totals, &failure), 0);
    assert_int_equal(totals.files, 5);
    assert_int_equal(totals.linked, 1);
    expect_file("data/torc.identity", "identity");
    expect_file("data/log/000001.log", "segment");
    expect_file("data/rocks/000007.sst", TABLE);
    assert_int_equal(inode("data/rocks/000007.sst"), inode("snap/rocks/000007.sst"));
    assert_int_not_equal(inode("data/rocks/CURRENT"), inode("snap/rocks/CURRENT"));
    assert_int_not_equal(inode("data/log/odd.sst"), inode("snap/log/odd.sst"));
    assert_int_not_equal(access(at("data.tmp"), F_OK), 0);
    write_file("data/rocks/CURRENT", "MANIFEST-2"); /* the snapshot stays as it was */
    expect_file("snap/rocks/CURRENT", "MANIFEST-1");
}

static void test_into_empty_directory(void **state)
{
    struct restore_totals totals;
    struct failure failure;
    mkdir(at("data"), 0755);
    assert_int_equal(restore_copy(at("snap"), at("data"), &totals, &failure), 0);
    expect_file("data/torc.identity", "identity");
}

static void test_refuses_target(void **state)
{
    mkdir(at("data"), 0755);
    write_file("data/torc.lock", "");
    refuse("snap", "data", ST_EXISTS, "not empty");
    int fd = open(at("data/torc.lock"), O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    refuse("snap", "data", ST_LOCKED, "running torcd");
    close(fd);
    write_file("file", "x");
    refuse("snap", "file", ST_EXISTS, "no directory");
    mkdir(at("other.tmp"), 0755);
    refuse("snap", "other", ST_EXISTS, "interrupted");
    refuse("snap", "no/such/parent", ST_NOTFOUND, "can't create");
}

static void test_refuses_snapshot(void **state)
{
    refuse("nothing", "data", ST_NOTFOUND, "can't read the snapshot");
    refuse("snap/torc.identity", "data", ST_INVALID, "no directory");
    assert_int_equal(symlink("/etc/passwd", at("snap/rocks/link")), 0);
    refuse("snap", "data", ST_INVALID, "neither a file");
    assert_int_not_equal(access(at("data.tmp"), F_OK), 0); /* nothing is left of the attempt */
    unlink(at("snap/rocks/link"));
    for (size_t kept = 0; kept < sizeof(TABLE) - 1; kept++) {
        write_file("snap/rocks/000007.sst", TABLE);
        assert_int_equal(truncate(at("snap/rocks/000007.sst"), (off_t)kept), 0);
        refuse("snap", "data", ST_CORRUPT, "000007.sst is damaged");
    }
    unlink(at("snap/rocks/000007.sst"));
    unlink(at("snap/rocks/CURRENT"));
    rmdir(at("snap/rocks"));
    refuse("snap", "data", ST_INVALID, "no directory rocks");
    write_file("snap/torc.identity", "");
    refuse("snap", "data", ST_INVALID, "no torc.identity");
    assert_int_not_equal(access(at("data"), F_OK), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, make_snapshot, remove_all)
    const struct CMUnitTest tests[] = {
        TEST(test_restores),
        TEST(test_into_empty_directory),
        TEST(test_refuses_target),
        TEST(test_refuses_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
