/* How far the commit log was synced, beside it: the file `log/synced`, overwritten in place after
 * each sync. The log says so too, but in what is written after; if the log's end is lost, so is
 * that.
 *
 *     0 u8[8] magic     "TORCsyn\n"
 *     8 u64   log id    of the data directory; little endian as all that follows
 *    16 u64   position  all of the log below it was durable when this was written
 *    24 u32   0
 *    28 u32   checksum  CRC-32C of bytes 0 to 27
 *
 * Guarantees: what it says was true. Not guaranteed: that it says all. It is never synced itself
 * (that would double what a write costs): after a kill it is exact, after a power cut it may be old
 * or hold nothing. Failing to write it is no failure. */
#pragma once

#include <stdint.h>

#include "store/disk.h"

#define SYNCED_FILE "synced"

struct synced_file;

/* Opens or makes it; NULL when that is not possible, and all below takes NULL. */
struct synced_file *synced_file_open(struct disk *disk, uint64_t log_id);
void synced_file_close(struct synced_file *f);
/* As the file said when it was opened; 0: nothing, or not about this log. */
uint64_t synced_file_position(const struct synced_file *f);
/* From one thread at a time. */
void synced_file_write(struct synced_file *f, uint64_t lsn);
