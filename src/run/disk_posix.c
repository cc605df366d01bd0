#include "run/disk_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"

#define FILE_MODE        0640
#define DIRECTORY_MODE   0750
#define ZEROS_BYTES      (256u << 10)
#define WRITE_IOVECS_MAX IOV_MAX

struct disk_posix {
    struct disk base;
    int fd;
};

struct file_posix {
    struct disk_file base;
    int fd;
};

static int disk_fd(struct disk *disk)
{
    return ((struct disk_posix *)disk)->fd;
}

static int file_fd(struct disk_file *file)
{
    return ((struct file_posix *)file)->fd;
}

static int posix_open(struct disk *disk, const char *name, int flags, struct disk_file **ret_file)
{
    int how = O_CLOEXEC | (flags & DISK_WRITE ? O_RDWR : O_RDONLY);
    if (flags & DISK_CREATE)
        how |= O_CREAT;
    if (flags & DISK_EXCLUSIVE)
        how |= O_EXCL;
    int fd;
    do {
        fd = openat(disk_fd(disk), name, how, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return status_from_errno(errno);
    struct file_posix *f = mem_zalloc(sizeof(*f));
    f->base.disk = disk;
    f->fd = fd;
    *ret_file = &f->base;
    return 0;
}

static void posix_close(struct disk_file *file)
{
    if (file == NULL)
        return;
    close(file_fd(file)); /* what was not synced was not promised */
    free(file);
}

static int posix_size(struct disk_file *file, uint64_t *ret_bytes)
{
    struct stat st;
    if (fstat(file_fd(file), &st) != 0)
        return status_from_errno(errno);
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

static int posix_pread(struct disk_file *file, void *data, size_t len, uint64_t offset,
                       size_t *ret_len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(file_fd(file), (char *)data + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_from_errno(errno);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *ret_len = done;
    return 0;
}

static int posix_pwritev(struct disk_file *file, struct iovec *iov, int count, uint64_t offset)
{
    while (count > 0) {
        if (iov->iov_len == 0) {
            iov++;
            count--;
            continue;
        }
        int part = count < WRITE_IOVECS_MAX ? count : WRITE_IOVECS_MAX;
        ssize_t n = pwritev(file_fd(file), iov, part, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_from_errno(errno);
        if (n == 0)
            return ST_IO;
        offset += (uint64_t)n;
        while (n > 0 && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

/* Where fallocate is not supported: zeros are written from the end of the file on. */
static int posix_write_zeros(struct disk_file *file, uint64_t bytes)
{
    uint64_t at = 0;
    int st = posix_size(file, &at);
    if (st != 0)
        return st;
    MEM_AUTO uint8_t *zeros = mem_zalloc(ZEROS_BYTES);
    while (at < bytes && st == 0) {
        struct iovec iov = {.iov_base = zeros, .iov_len = ZEROS_BYTES};
        if (bytes - at < ZEROS_BYTES)
            iov.iov_len = bytes - at;
        uint64_t len = iov.iov_len;
        st = posix_pwritev(file, &iov, 1, at);
        at += len;
    }
    return st;
}

static int posix_allocate(struct disk_file *file, uint64_t bytes)
{
    int result;
    do {
        result = fallocate(file_fd(file), 0, 0, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    if (result == 0)
        return 0;
    if (errno == EOPNOTSUPP || errno == ENOSYS)
        return posix_write_zeros(file, bytes);
    return status_from_errno(errno);
}

static int posix_truncate(struct disk_file *file, uint64_t bytes)
{
    int result;
    do {
        result = ftruncate(file_fd(file), (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : status_from_errno(errno);
}

/* Any failure of a sync is ST_IO, ENOSPC included: what of it is on the disk is not known. */
static int posix_sync(struct disk_file *file)
{
    return fdatasync(file_fd(file)) == 0 ? 0 : ST_IO;
}

static int posix_rename(struct disk *disk, const char *from, const char *to)
{
    int fd = disk_fd(disk);
    return renameat(fd, from, fd, to) == 0 ? 0 : status_from_errno(errno);
}

static int posix_unlink(struct disk *disk, const char *name)
{
    return unlinkat(disk_fd(disk), name, 0) == 0 ? 0 : status_from_errno(errno);
}

static int posix_sync_dir(struct disk *disk)
{
    return fsync(disk_fd(disk)) == 0 ? 0 : ST_IO;
}

struct names {
    char **names;
    size_t count, cap;
};

static int names_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int posix_names(struct disk *disk, struct names *all)
{
    int fd = openat(disk_fd(disk), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return status_from_errno(errno);
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int err = errno;
        close(fd);
        return status_from_errno(err);
    }
    struct dirent *e;
    while (errno = 0, (e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (all->count == all->cap) {
            all->cap = all->cap == 0 ? 64 : all->cap * 2;
            all->names = mem_realloc(all->names, all->cap * sizeof(*all->names));
        }
        all->names[all->count++] = mem_strdup(e->d_name);
    }
    int err = errno;
    closedir(dir);
    return err == 0 ? 0 : status_from_errno(err);
}

/* The names are taken down first, so that `each` may create and remove files. */
static int posix_list(struct disk *disk, void (*each)(void *ctx, const char *name), void *ctx)
{
    struct names all = {0};
    int st = posix_names(disk, &all);
    if (st == 0 && all.count > 0)
        qsort(all.names, all.count, sizeof(*all.names), names_order);
    for (size_t i = 0; i < all.count; i++) {
        if (st == 0)
            each(ctx, all.names[i]);
        free(all.names[i]);
    }
    free(all.names);
    return st;
}

static const struct disk_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .size = posix_size,
    .pread = posix_pread,
    .pwritev = posix_pwritev,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .sync = posix_sync,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
};

/* A directory made just now is durable only when its parent is synced. */
static int posix_sync_parent(int fd)
{
    int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return status_from_errno(errno);
    int result = fsync(parent);
    close(parent);
    return result == 0 ? 0 : ST_IO;
}

int disk_posix_open(const char *path, bool create, struct disk **ret_disk)
{
    bool made = create && mkdir(path, DIRECTORY_MODE) == 0;
    if (create && !made && errno != EEXIST)
        return status_from_errno(errno);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return status_from_errno(errno);
    int st = made ? posix_sync_parent(fd) : 0;
    if (st != 0) {
        close(fd);
        return st;
    }
    struct disk_posix *d = mem_zalloc(sizeof(*d));
    d->base.ops = &posix_ops;
    d->fd = fd;
    *ret_disk = &d->base;
    return 0;
}

void disk_posix_close(struct disk *disk)
{
    if (disk == NULL)
        return;
    close(disk_fd(disk));
    free(disk);
}

int disk_posix_lock(struct disk *disk, const char *name, int *ret_fd)
{
    int fd = openat(disk_fd(disk), name, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return status_from_errno(errno);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int st = errno == EWOULDBLOCK ? ST_LOCKED : status_from_errno(errno);
        close(fd);
        return st;
    }
    *ret_fd = fd;
    return 0;
}

void disk_posix_unlock(int fd)
{
    close(fd);
}
