/* Spare segment files: preallocated, named and marked as spares, all durable before they are
 * handed to a log. Blocking; touches no struct log. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/log_private.h"

#define LOG_NAME_DIGITS 16

bool log_name_parse(const char *name, uint64_t *ret_id)
{
    uint64_t id = 0;
    for (int i = 0; i < LOG_NAME_DIGITS; i++) {
        char c = name[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        id = id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (name[LOG_NAME_DIGITS] != '.')
        return false;
    *ret_id = id;
    return true;
}

struct log_spare *log_spare_make(struct disk *disk, struct disk_file *file, const char *name,
                                 uint64_t bytes)
{
    struct log_spare *spare = mem_zalloc(sizeof(*spare));
    spare->disk = disk;
    spare->file = file;
    spare->bytes = bytes;
    snprintf(spare->name, sizeof(spare->name), "%s", name);
    return spare;
}

uint64_t log_spare_bytes_for(uint64_t record_bytes)
{
    uint64_t bytes = LOG_HEADER_BYTES + LOG_MARKS_KEPT_BYTES + log_align(record_bytes);
    return (bytes + LOG_HEADER_BYTES - 1) / LOG_HEADER_BYTES * LOG_HEADER_BYTES;
}

static void log_spare_id(void *ctx, const char *name)
{
    uint64_t *next = ctx, id;
    if (log_name_parse(name, &id) && id >= *next)
        *next = id + 1;
}

/* Writes the header of a spare and makes it durable. */
static int log_spare_format(struct log_spare *spare)
{
    uint8_t page[LOG_HEADER_BYTES] = {0};
    log_header_put(page, &(struct log_header){.version = LOG_VERSION, .state = LOG_SEGMENT_SPARE});
    struct iovec iov = {.iov_base = page, .iov_len = sizeof(page)};
    int st = spare->disk->ops->pwritev(spare->file, &iov, 1, 0);
    return st != 0 ? st : spare->disk->ops->sync(spare->file);
}

static int log_spare_fill(struct log_spare *spare)
{
    int st = spare->disk->ops->allocate(spare->file, spare->bytes);
    if (st == 0)
        st = log_spare_format(spare);
    return st != 0 ? st : spare->disk->ops->sync_dir(spare->disk);
}

int log_spare_create(struct disk *disk, uint64_t bytes, struct log_spare **ret_spare)
{
    CHECK(log_capacity(bytes) > LOG_MARKS_KEPT_BYTES);
    uint64_t id = 1;
    int st = disk->ops->list(disk, log_spare_id, &id);
    if (st != 0)
        return st;
    struct disk_file *file;
    char name[LOG_NAME_BYTES];
    do {
        snprintf(name, sizeof(name), "%016llx.seg", (unsigned long long)id++);
        st = disk->ops->open(disk, name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file);
    } while (st == ST_EXISTS);
    if (st != 0)
        return st;
    struct log_spare *spare = log_spare_make(disk, file, name, bytes);
    st = log_spare_fill(spare);
    if (st != 0) {
        log_spare_remove(spare); /* what remains of it is removed at the next open */
        return st;
    }
    *ret_spare = spare;
    return 0;
}

int log_spare_recycle(struct log_spare *spare)
{
    return log_spare_format(spare);
}

int log_spare_remove(struct log_spare *spare)
{
    int st = spare->disk->ops->unlink(spare->disk, spare->name);
    if (st == 0)
        st = spare->disk->ops->sync_dir(spare->disk);
    log_spare_close(spare);
    return st;
}

void log_spare_close(struct log_spare *spare)
{
    if (spare == NULL)
        return;
    spare->disk->ops->close(spare->file);
    free(spare);
}
