#include "run/synced_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"

#define MAGIC      "TORCsyn\n"
#define FILE_BYTES 32

struct synced_file {
    struct disk *disk;
    struct disk_file *file;
    uint64_t log_id, position;
};

static uint64_t read_position(struct synced_file *f)
{
    uint8_t bytes[FILE_BYTES];
    size_t len = 0;
    int st = f->disk->ops->pread(f->file, bytes, sizeof(bytes), 0, &len);
    if (st < 0 || len < sizeof(bytes) || memcmp(bytes, MAGIC, 8) != 0 ||
        bytes_get_u64(bytes + 8) != f->log_id || bytes_get_u32(bytes + 28) != crc32c(0, bytes, 28))
        return 0;
    return bytes_get_u64(bytes + 16);
}

struct synced_file *synced_file_open(struct disk *disk, uint64_t log_id)
{
    struct disk_file *file;
    if (disk->ops->open(disk, SYNCED_FILE, DISK_WRITE | DISK_CREATE, &file) < 0)
        return NULL;
    struct synced_file *f = mem_zalloc(sizeof(*f));
    f->disk = disk;
    f->file = file;
    f->log_id = log_id;
    f->position = read_position(f);
    return f;
}

void synced_file_close(struct synced_file *f)
{
    if (f == NULL)
        return;
    f->disk->ops->close(f->file);
    free(f);
}

uint64_t synced_file_position(const struct synced_file *f)
{
    return f != NULL ? f->position : 0;
}

void synced_file_write(struct synced_file *f, uint64_t lsn)
{
    uint8_t bytes[FILE_BYTES] = MAGIC;
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    if (f == NULL)
        return;
    bytes_put_u64(bytes + 8, f->log_id);
    bytes_put_u64(bytes + 16, lsn);
    bytes_put_u32(bytes + 28, crc32c(0, bytes, 28));
    (void)f->disk->ops->pwritev(f->file, &iov, 1, 0);
}
