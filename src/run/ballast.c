#include "run/ballast.h"

#include <inttypes.h>
#include <sys/statvfs.h>

#include "base/logger.h"
#include "base/status.h"

/* What an ordinary user may still write there; when that is not known, plenty. */
static uint64_t room_bytes(const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return UINT64_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static uint64_t file_bytes(struct disk *disk)
{
    struct disk_file *file;
    uint64_t bytes = 0;
    if (disk->ops->open(disk, BALLAST_FILE, DISK_READ, &file) < 0)
        return 0;
    if (disk->ops->size(file, &bytes) < 0)
        bytes = 0;
    disk->ops->close(file);
    return bytes;
}

static void drop(struct ballast *b)
{
    if (b->disk->ops->unlink(b->disk, BALLAST_FILE) == 0)
        b->bytes = 0;
}

void ballast_drop(struct ballast *b, struct disk *disk, const char *path)
{
    *b = (struct ballast){.disk = disk, .path = path, .bytes = file_bytes(disk)};
    uint64_t room = room_bytes(path);
    if (b->bytes == 0 || room >= BALLAST_BYTES)
        return;
    log_event(LOG_NOTICE, "disk_nearly_full", "free_bytes=%" PRIu64 " ballast_bytes=%" PRIu64, room,
              b->bytes);
    drop(b);
}

void ballast_keep(struct ballast *b)
{
    if (b->disk == NULL || b->bytes >= BALLAST_BYTES)
        return;
    uint64_t room = room_bytes(b->path), want = BALLAST_BYTES;
    if (room < 2 * BALLAST_BYTES) { /* what is left, but for what replaces small files */
        want = room / 8 * 7 < BALLAST_BYTES ? room / 8 * 7 : BALLAST_BYTES;
        if (b->bytes > 0 || want < BALLAST_BYTES_MIN)
            return;
    }
    struct disk_file *file;
    if (b->disk->ops->open(b->disk, BALLAST_FILE, DISK_WRITE | DISK_CREATE, &file) < 0)
        return;
    int st = b->disk->ops->allocate(file, want);
    b->disk->ops->close(file);
    if (st == 0)
        b->bytes = want;
    else
        drop(b);
}
