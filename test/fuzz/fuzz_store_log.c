/* The log reader on arbitrary segment files: never crashes, and what it accepts it accepts again.
 *
 * Input: u8 options, then files: u16 length (little endian, x 8), bytes. Checksums keep random
 * bytes from getting far, so an option repairs them: each header's, and those of all records
 * that follow one another. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/log_format.h"
#include "support/log_run.h"

#define FILES_MAX 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct replayed {
    uint64_t records, last_lsn, checksum;
};

static int replay(void *ctx, const struct log_record *record)
{
    struct replayed *r = ctx;
    CHECK(record->lsn >= r->last_lsn);
    r->last_lsn = record->lsn;
    r->records++;
    r->checksum = r->checksum * 31 + crc32c(0, record->payload.data, record->payload.len);
    return 0;
}

static void repair(uint8_t *file, size_t len)
{
    if (len < LOG_HEADER_BYTES)
        return;
    memcpy(file, LOG_MAGIC, 8);
    bytes_put_u32(file + 8, LOG_VERSION);
    bytes_put_u64(file + 16, LOG_RUN_ID);
    bytes_put_u32(file + 60, crc32c(0, file, 60));
    struct log_header h;
    CHECK(log_header_get(file, &h));
    for (size_t at = LOG_HEADER_BYTES; len - at >= LOG_RECORD_HEADER_BYTES;) {
        uint64_t bytes = log_record_bytes(file + at), lsn = h.base + at - LOG_HEADER_BYTES;
        if (bytes > len - at)
            return;
        if (file[at + 8] == LOG_SYNCED || file[at + 8] == LOG_CLOSE) {
            bytes_put_u32(file + at + 12, h.epoch);
            bytes_put_u64(file + at + 24, lsn);
        }
        uint32_t crc = log_record_crc(file + at, bytes_get_u32(file + at + 4));
        bytes_put_u32(file + at, crc ^ log_seed(log_epoch_key(LOG_RUN_ID, h.epoch), lsn));
        at += bytes;
    }
}

static void put_files(struct disk *disk, const uint8_t *data, size_t size, bool repaired)
{
    for (int i = 0; i < FILES_MAX && size >= 2; i++) {
        size_t used = (size_t)bytes_get_u16(data) * 8;
        data += 2;
        size -= 2;
        if (used > size)
            used = size;
        /* The header's used part comes from the input, the rest of its page is zero. */
        size_t head = used < LOG_HEADER_USED_BYTES ? used : LOG_HEADER_USED_BYTES;
        size_t len = used == 0 ? 0 : LOG_HEADER_BYTES + used - head;
        MEM_AUTO uint8_t *file = mem_zalloc(len + 1);
        memcpy(file, data, head);
        if (used > head)
            memcpy(file + LOG_HEADER_BYTES, data + head, used - head);
        data += used;
        size -= used;
        if (repaired)
            repair(file, len);
        char name[LOG_NAME_BYTES];
        snprintf(name, sizeof(name), "%016x.seg", i + 1);
        struct disk_file *f;
        struct iovec iov = {.iov_base = file, .iov_len = len};
        CHECK(disk->ops->open(disk, name, DISK_WRITE | DISK_CREATE, &f) == 0);
        CHECK(disk->ops->pwritev(f, &iov, 1, 0) == 0);
        CHECK(disk->ops->sync(f) == 0);
        disk->ops->close(f);
    }
    CHECK(disk->ops->sync_dir(disk) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct sim_disk *sim = sim_disk_new();
    struct disk *disk = sim_disk_disk(sim);
    struct log_options options = {.log_id = LOG_RUN_ID,
                                  .segment_bytes = LOG_SEGMENT_BYTES_MIN,
                                  .create = data[0] & 1,
                                  .cut_corrupt = data[0] & 2};
    put_files(disk, data + 1, size - 1, data[0] & 4);
    struct replayed first = {0}, second = {0};
    struct log_callbacks callbacks = {.replay = replay, .ctx = &first};
    struct log_recovery report;
    struct log *log;
    int st = log_open(disk, &options, &callbacks, &report, &log);
    if (st == 0) {
        log_free(log);
        sim_disk_crash(sim, size);
        options.create = options.cut_corrupt = false;
        callbacks.ctx = &second;
        st = log_open(disk, &options, &callbacks, &report, &log);
        if (st != 0) {
            fprintf(stderr, "opened once, not twice: %s\n", report.message);
            abort();
        }
        CHECK(first.records == second.records);
        CHECK(first.checksum == second.checksum);
        log_free(log);
    } else {
        CHECK(st == ST_CORRUPT || st == ST_VERSION || st == ST_INVALID || st == ST_LIMIT);
        CHECK(report.message[0] != 0);
    }
    sim_disk_free(sim);
    return 0;
}
