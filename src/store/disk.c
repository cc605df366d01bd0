#include "store/disk.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"

#define DISK_NAME_BYTES 256

int disk_read_file(struct disk *disk, const char *name, size_t max_bytes, uint8_t **ret_data,
                   size_t *ret_len)
{
    struct disk_file *file;
    int st = disk->ops->open(disk, name, DISK_READ, &file);
    if (st != 0)
        return st;
    uint64_t bytes;
    st = disk->ops->size(file, &bytes);
    if (st == 0 && bytes > max_bytes)
        st = ST_LIMIT;
    if (st == 0) {
        uint8_t *data = mem_alloc(bytes);
        size_t len;
        st = disk->ops->pread(file, data, bytes, 0, &len);
        if (st == 0) {
            *ret_data = data;
            *ret_len = len;
        } else {
            free(data);
        }
    }
    disk->ops->close(file);
    return st;
}

static int disk_write_whole(struct disk *disk, const char *name, struct slice data)
{
    struct disk_file *file;
    int st = disk->ops->open(disk, name, DISK_WRITE | DISK_CREATE, &file);
    if (st != 0)
        return st;
    struct iovec iov = {.iov_base = (void *)data.data, .iov_len = data.len};
    st = disk->ops->truncate(file, 0);
    if (st == 0 && data.len > 0)
        st = disk->ops->pwritev(file, &iov, 1, 0);
    if (st == 0)
        st = disk->ops->sync(file);
    disk->ops->close(file);
    return st;
}

int disk_replace_file(struct disk *disk, const char *name, struct slice data)
{
    char temporary[DISK_NAME_BYTES];
    int len = snprintf(temporary, sizeof(temporary), "%s.tmp", name);
    if (len < 0 || (size_t)len >= sizeof(temporary))
        return ST_INVALID;
    int st = disk_write_whole(disk, temporary, data);
    if (st == 0)
        st = disk->ops->rename(disk, temporary, name);
    if (st == 0)
        return disk->ops->sync_dir(disk);
    disk->ops->unlink(disk, temporary);
    return st;
}
