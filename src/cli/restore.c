#include "cli/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

#define DEPTH_MAX      8 /* directories below a snapshot */
#define COPY_BYTES     (1u << 20)
#define OPEN_FILES_MAX 16
/* The last eight bytes of each table file: RocksDB's magic number of block based tables. */
#define TABLE_MAGIC       UINT64_C(0x88e241b785f4cff7)
#define TABLE_MAGIC_BYTES 8

static int join(char path[PATH_MAX], const char *dir, const char *name, struct failure *failure)
{
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= PATH_MAX)
        return failure_set(failure, ST_LIMIT, "the path %s/%s is too long.", dir, name);
    return 0;
}

/* ---- checks ---- */

static int check_snapshot(const char *snapshot, struct failure *failure)
{
    static const char *const dirs[] = {"log", "rocks"};
    char path[PATH_MAX];
    struct stat st;
    if (stat(snapshot, &st) < 0)
        return failure_errno(failure, errno, "can't read the snapshot", snapshot);
    if (!S_ISDIR(st.st_mode))
        return failure_set(failure, ST_INVALID, "%s is no directory.", snapshot);
    int result = join(path, snapshot, RESTORE_IDENTITY, failure);
    if (result < 0)
        return result;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return failure_set(failure, ST_INVALID,
                           "%s is no complete snapshot: it has no " RESTORE_IDENTITY
                           ". SAVE and BGSAVE make snapshots.",
                           snapshot);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        result = join(path, snapshot, dirs[i], failure);
        if (result < 0)
            return result;
        if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            return failure_set(failure, ST_INVALID,
                               "%s is no complete snapshot: it has no directory %s.", snapshot,
                               dirs[i]);
    }
    return 0;
}

/* Whether some process holds a lock on the file, of either kind that exists. */
static bool is_locked(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    held = held || (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
    close(fd);
    return held;
}

static bool is_lock_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 4 && strcasecmp(name + len - 4, "lock") == 0;
}

/* DATA_DIR must be absent, or an empty directory. */
static int check_target(const char *data_dir, struct failure *failure)
{
    struct stat st;
    if (lstat(data_dir, &st) < 0)
        return errno == ENOENT ? 0 : failure_errno(failure, errno, "can't look at", data_dir);
    if (!S_ISDIR(st.st_mode))
        return failure_set(failure, ST_EXISTS, "%s is there and is no directory.", data_dir);
    DIR *dir = opendir(data_dir);
    if (dir == NULL)
        return failure_errno(failure, errno, "can't look into", data_dir);
    int result = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (result == 0)
            result = failure_set(failure, ST_EXISTS,
                                 "%s is not empty. Restore into a new directory, or move this one "
                                 "away first.",
                                 data_dir);
        if (is_lock_name(entry->d_name) && join(path, data_dir, entry->d_name, failure) == 0 &&
            is_locked(path)) {
            result = failure_set(failure, ST_LOCKED,
                                 "%s is in use by a running torcd. Stop it, or restore into a new "
                                 "directory.",
                                 data_dir);
            break;
        }
    }
    closedir(dir);
    return result;
}

/* ---- copying ---- */

static int sync_dir(const char *path, struct failure *failure)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failure_errno(failure, errno, "can't open", path);
    int result = fsync(fd) < 0 ? failure_errno(failure, errno, "can't sync", path) : 0;
    close(fd);
    return result;
}

static int copy_bytes(int from, int to, const char *path, uint64_t *bytes, struct failure *failure)
{
    MEM_AUTO uint8_t *chunk = mem_alloc(COPY_BYTES);
    for (;;) {
        ssize_t n = read(from, chunk, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failure_errno(failure, errno, "can't read for", path);
        if (n == 0)
            return 0;
        for (ssize_t at = 0, written; at < n; at += written) {
            written = write(to, chunk + at, (size_t)(n - at));
            if (written < 0 && errno != EINTR)
                return failure_errno(failure, errno, "can't write", path);
            written = written < 0 ? 0 : written;
        }
        *bytes += (uint64_t)n;
    }
}

static int copy_file(const char *from, const char *to, mode_t mode, struct restore_totals *totals,
                     struct failure *failure)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0)
        return failure_errno(failure, errno, "can't read", from);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode | S_IWUSR);
    if (out < 0) {
        int err = errno;
        close(in);
        return failure_errno(failure, err, "can't create", to);
    }
    int result = copy_bytes(in, out, to, &totals->bytes, failure);
    if (result == 0 && fsync(out) < 0)
        result = failure_errno(failure, errno, "can't sync", to);
    if (close(out) < 0 && result == 0)
        result = failure_errno(failure, errno, "can't close", to);
    close(in);
    return result;
}

/* Table files of RocksDB are never written again, so that both directories may share them. */
static bool is_immutable(const char *dir, const char *name)
{
    size_t len = strlen(name), dir_len = strlen(dir);
    return len > 4 && strcmp(name + len - 4, ".sst") == 0 && dir_len >= 6 &&
           strcmp(dir + dir_len - 6, "/rocks") == 0;
}

/* A table file that was cut off, or whose end is something else. What is inside is checked by the
 * server, block by block, as it reads. */
static int check_table(const char *path, struct failure *failure)
{
    uint8_t end[TABLE_MAGIC_BYTES] = {0};
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return failure_errno(failure, err, "can't read", path);
    }
    bool whole = st.st_size >= TABLE_MAGIC_BYTES &&
                 pread(fd, end, sizeof(end), st.st_size - TABLE_MAGIC_BYTES) == sizeof(end) &&
                 bytes_get_u64(end) == TABLE_MAGIC;
    close(fd);
    if (!whole)
        return failure_set(failure, ST_CORRUPT,
                           "%s is damaged: its end is missing. Restore another snapshot.", path);
    return 0;
}

static int take_file(const char *from, const char *to, bool immutable, mode_t mode,
                     struct restore_totals *totals, struct failure *failure)
{
    int result = immutable ? check_table(from, failure) : 0;
    if (result < 0)
        return result;
    totals->files++;
    if (immutable && link(from, to) == 0) {
        totals->linked++;
        return 0;
    }
    return copy_file(from, to, mode & 0777, totals, failure);
}

static int copy_tree(const char *from, const char *to, int depth, struct restore_totals *totals,
                     struct failure *failure);

static int copy_entry(const char *from_dir, const char *to_dir, const char *name, int depth,
                      struct restore_totals *totals, struct failure *failure)
{
    char from[PATH_MAX], to[PATH_MAX];
    struct stat st;
    int result = join(from, from_dir, name, failure);
    if (result == 0)
        result = join(to, to_dir, name, failure);
    if (result < 0)
        return result;
    if (lstat(from, &st) < 0)
        return failure_errno(failure, errno, "can't read", from);
    if (S_ISDIR(st.st_mode))
        return copy_tree(from, to, depth + 1, totals, failure);
    if (!S_ISREG(st.st_mode))
        return failure_set(failure, ST_INVALID,
                           "%s is neither a file nor a directory, and belongs to no snapshot.",
                           from);
    return take_file(from, to, is_immutable(from_dir, name), st.st_mode, totals, failure);
}

static int copy_tree(const char *from, const char *to, int depth, struct restore_totals *totals,
                     struct failure *failure)
{
    if (depth > DEPTH_MAX)
        return failure_set(failure, ST_LIMIT, "%s is nested too deep for a snapshot.", from);
    DIR *dir = opendir(from);
    if (dir == NULL)
        return failure_errno(failure, errno, "can't read", from);
    int result = 0;
    if (mkdir(to, 0700) < 0)
        result = failure_errno(failure, errno, "can't create", to);
    for (struct dirent *entry; result == 0 && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = copy_entry(from, to, entry->d_name, depth, totals, failure);
    }
    closedir(dir);
    return result < 0 ? result : sync_dir(to, failure);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    remove(path);
    return 0;
}

/* A path without the slashes at its end. */
static void trim_slashes(char path[PATH_MAX], const char *text)
{
    snprintf(path, PATH_MAX, "%s", text);
    for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
        path[len - 1] = '\0';
}

int restore_copy(const char *snapshot, const char *data_dir, struct restore_totals *ret_totals,
                 struct failure *failure)
{
    char from[PATH_MAX], target[PATH_MAX], temporary[PATH_MAX + 8], parent[PATH_MAX];
    if (strlen(snapshot) >= PATH_MAX || strlen(data_dir) >= PATH_MAX - 8 || data_dir[0] == '\0')
        return failure_set(failure, ST_INVALID, "a path is empty or too long.");
    trim_slashes(from, snapshot);
    trim_slashes(target, data_dir);
    int result = check_snapshot(from, failure);
    if (result == 0)
        result = check_target(target, failure);
    if (result < 0)
        return result;
    snprintf(temporary, sizeof(temporary), "%s.tmp", target);
    struct stat st;
    if (lstat(temporary, &st) == 0)
        return failure_set(failure, ST_EXISTS,
                           "%s is there, maybe from a restore that was interrupted: remove it "
                           "first.",
                           temporary);
    struct restore_totals totals = {0};
    result = copy_tree(from, temporary, 0, &totals, failure);
    if (result == 0 && rename(temporary, target) < 0)
        result = failure_errno(failure, errno, "can't rename the restored directory to", target);
    if (result < 0) {
        nftw(temporary, remove_one, OPEN_FILES_MAX, FTW_DEPTH | FTW_PHYS);
        return result;
    }
    trim_slashes(parent, target);
    result = sync_dir(dirname(parent), failure);
    if (result == 0)
        *ret_totals = totals;
    return result;
}

int restore_run(const struct args *args)
{
    struct failure failure;
    struct restore_totals totals;
    int st =
        args->operand_count == 2
            ? restore_copy(args->operands[0], args->operands[1], &totals, &failure)
            : failure_set(&failure, ST_INVALID, "restore needs a SNAPSHOT_DIR and a DATA_DIR.");
    if (st < 0) {
        failure_print(&failure);
        return CLI_ERROR;
    }
    printf("restored %" PRIu64 " files to %s (%" PRIu64 " linked, %" PRIu64 " MiB copied)\n"
           "start it: torcd --data-dir %s\n",
           totals.files, args->operands[1], totals.linked, totals.bytes >> 20, args->operands[1]);
    return CLI_OK;
}
