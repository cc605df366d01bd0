/* The files of one directory, as the commit log and the data directory see them.
 *
 * A vtable, so that the same log code runs on a real file system (src/run/disk_posix.c) and on the
 * simulated one, which loses, tears and reorders what was not synced. Names are relative to the
 * directory and hold no '/' except for sub-directories that exist. All calls block. Functions
 * return 0 or a negative status; ST_NOSPACE is the only failure after which the caller may go on
 * writing.
 *
 * Durability contract: data is durable after sync(); a created, renamed or removed name after
 * sync_dir(). */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"

enum disk_open_flags {
    DISK_READ = 0,
    DISK_WRITE = 1,     /* read and write */
    DISK_CREATE = 2,    /* create when missing */
    DISK_EXCLUSIVE = 4, /* with DISK_CREATE: ST_EXISTS when it is there */
};

struct disk;

/* An open file. Implementations embed this as their first member. */
struct disk_file {
    struct disk *disk;
};

struct disk_ops {
    int (*open)(struct disk *disk, const char *name, int flags, struct disk_file **ret_file);
    void (*close)(struct disk_file *file); /* NULL is allowed */
    int (*size)(struct disk_file *file, uint64_t *ret_bytes);
    /* Reads up to len bytes; fewer only at the end of the file. */
    int (*pread)(struct disk_file *file, void *data, size_t len, uint64_t offset, size_t *ret_len);
    /* Writes all or fails; on failure the range may hold anything. iov may be modified. */
    int (*pwritev)(struct disk_file *file, struct iovec *iov, int count, uint64_t offset);
    /* Makes the file `bytes` long with its blocks reserved, so that a later write inside can't fail
     * for want of space (on file systems that keep that promise). New bytes read as zero. */
    int (*allocate)(struct disk_file *file, uint64_t bytes);
    int (*truncate)(struct disk_file *file, uint64_t bytes);
    int (*sync)(struct disk_file *file); /* fdatasync */
    int (*rename)(struct disk *disk, const char *from, const char *to);
    int (*unlink)(struct disk *disk, const char *name);
    int (*sync_dir)(struct disk *disk);
    /* Calls each(ctx, name) for every name in the directory, in byte order. */
    int (*list)(struct disk *disk, void (*each)(void *ctx, const char *name), void *ctx);
};

struct disk {
    const struct disk_ops *ops;
};

/* Reads a whole small file (at most max_bytes, else ST_LIMIT). The caller frees *ret_data. */
int disk_read_file(struct disk *disk, const char *name, size_t max_bytes, uint8_t **ret_data,
                   size_t *ret_len);

/* Replaces a small file atomically and durably: temporary name, sync, rename, sync of the
 * directory. */
int disk_replace_file(struct disk *disk, const char *name, struct slice data);
