/* Bytes of the commit log, private to src/store/log*.c. Little endian.
 *
 * A directory holds files `%016x.seg`; the number only names the file. A file is a segment of the
 * log or a spare for one, as its header says:
 *
 *     0 u8[8] magic       "TORCseg\n"
 *     8 u32   version     1. Magic, version and checksum keep their place in all versions
 *    12 u32   state       1 live: part of the log, 2 spare: nothing in it counts
 *    16 u64   log id      of the data directory; spares have 0 here and below
 *    24 u64   sequence    dense along the log
 *    32 u64   base        position (LSN) of the first record
 *    40 u64   previous    position where the segment before ends. base, except after a loss was
 *                         accepted: then positions jump, so that none is ever used twice
 *    48 u64   synced      the log was durable up to here when this header was written
 *    56 u32   epoch       life of the log: one more at each open
 *    60 u32   checksum    CRC-32C of bytes 0 to 59
 *    64 zeros to 4096, then records. The record at position l is at file offset 4096 + l - base.
 *
 * A record, 8-byte aligned:
 *
 *     0 u32 checksum      CRC-32C of bytes 4 to 31 and the payload, xor seed(log id, epoch, LSN)
 *     4 u32 length        of the payload
 *     8 u8  type          enum log_record_type; never 0
 *     9 u8  flags         0 for now
 *    10 u16 reserved      0
 *    12 u32 group
 *    16 u64 index
 *    24 u64 term
 *    32 payload, then zeros up to a multiple of 8 (not in the checksum)
 *
 * What a recycled file still holds, and what a crash left beyond the end of the log, was written
 * for another position or in another life: its checksum fails, so it is never taken for a record.
 * (An open begins a new epoch in a new segment, so no (epoch, LSN) is ever written twice.)
 *
 * Marks (LOG_SYNCED before each piece of a batch, LOG_CLOSE at the end of a run) carry their own
 * seed, so they can be verified wherever they are found: group = epoch, term = own LSN, index =
 * highest position known synced; payload u64 = bytes of the records written along with it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "store/log.h"

#define LOG_HEADER_BYTES      4096 /* a page of its own, so that records never rewrite it */
#define LOG_HEADER_USED_BYTES 64
#define LOG_MAGIC             "TORCseg\n"
#define LOG_VERSION           1
#define LOG_MARK_BYTES        40
#define LOG_MARKS_KEPT_BYTES  (2 * LOG_MARK_BYTES) /* a batch's and, always, a closing one */
#define LOG_MARK_PAYLOAD      8
#define LOG_NAME_BYTES        32
#define LOG_LSN_LIMIT         ((uint64_t)1 << 62) /* what claims to be above was not written by us */
#define LOG_EPOCH_LIMIT       (UINT32_MAX / 2)

enum log_segment_state {
    LOG_SEGMENT_LIVE = 1,
    LOG_SEGMENT_SPARE = 2,
};

struct log_header {
    uint32_t version, state, epoch;
    uint64_t log_id, seq, base, prev_end, synced;
};

struct log_mark {
    uint64_t synced, lsn, bytes;
    uint32_t epoch;
    uint8_t type;
};

static inline uint64_t log_align(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

static inline uint64_t log_mix64(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* What seeds the checksums of one epoch; log_seed() adds the position. */
static inline uint64_t log_epoch_key(uint64_t log_id, uint32_t epoch)
{
    return log_mix64(log_id ^ log_mix64(epoch + 0x9e3779b97f4a7c15u));
}

static inline uint32_t log_seed(uint64_t epoch_key, uint64_t lsn)
{
#ifdef LOG_PLANTED_BUG_UNSEEDED /* test_log_planted.c shows that the tests would notice */
    return 0;
#else
    return (uint32_t)(log_mix64(epoch_key + lsn) >> 32);
#endif
}

/* The checksum but for the seed, of a record that lies in one piece. */
static inline uint32_t log_record_crc(const uint8_t *record, uint32_t payload_len)
{
    return crc32c(0, record + 4, LOG_RECORD_HEADER_BYTES - 4 + (size_t)payload_len);
}

static inline void log_record_put(uint8_t *to, uint8_t type, uint32_t group, uint64_t index,
                                  uint64_t term)
{
    bytes_put_u32(to, 0);
    bytes_put_u32(to + 4, 0);
    to[8] = type;
    to[9] = 0;
    bytes_put_u16(to + 10, 0);
    bytes_put_u32(to + 12, group);
    bytes_put_u64(to + 16, index);
    bytes_put_u64(to + 24, term);
}

static inline uint64_t log_record_bytes(const uint8_t *header)
{
    return log_align(LOG_RECORD_HEADER_BYTES + (uint64_t)bytes_get_u32(header + 4));
}

static inline bool log_record_valid(const uint8_t *record, uint64_t epoch_key, uint64_t lsn)
{
    uint32_t crc = log_record_crc(record, bytes_get_u32(record + 4));
    return record[8] != 0 && bytes_get_u32(record) == (crc ^ log_seed(epoch_key, lsn));
}

static inline struct log_record log_record_view(const uint8_t *record, uint64_t lsn)
{
    return (struct log_record){
        .lsn = lsn,
        .index = bytes_get_u64(record + 16),
        .term = bytes_get_u64(record + 24),
        .group = bytes_get_u32(record + 12),
        .type = record[8],
        .flags = record[9],
        .payload = slice_make(record + LOG_RECORD_HEADER_BYTES, bytes_get_u32(record + 4)),
    };
}

static inline void log_mark_put(uint8_t to[LOG_MARK_BYTES], uint64_t epoch_key,
                                const struct log_mark *m)
{
    log_record_put(to, m->type, m->epoch, m->synced, m->lsn);
    bytes_put_u32(to + 4, LOG_MARK_PAYLOAD);
    bytes_put_u64(to + LOG_RECORD_HEADER_BYTES, m->bytes);
    uint32_t crc = log_record_crc(to, LOG_MARK_PAYLOAD);
    bytes_put_u32(to, crc ^ log_seed(epoch_key, m->lsn));
}

/* A mark whose own seed proves it, wherever it was found. bytes: at least LOG_MARK_BYTES. */
static inline bool log_mark_get(const uint8_t *bytes, uint64_t log_id, struct log_mark *ret_mark)
{
    uint64_t kind = bytes_get_u64(bytes + 4); /* length, type, flags and reserved at once */
    if (kind != (LOG_MARK_PAYLOAD | (uint64_t)LOG_SYNCED << 32) &&
        kind != (LOG_MARK_PAYLOAD | (uint64_t)LOG_CLOSE << 32))
        return false;
    struct log_mark m = {
        .synced = bytes_get_u64(bytes + 16),
        .lsn = bytes_get_u64(bytes + 24),
        .bytes = bytes_get_u64(bytes + LOG_RECORD_HEADER_BYTES),
        .epoch = bytes_get_u32(bytes + 12),
        .type = bytes[8],
    };
    if (m.synced > m.lsn || m.lsn >= LOG_LSN_LIMIT || m.bytes >= LOG_LSN_LIMIT ||
        m.epoch >= LOG_EPOCH_LIMIT ||
        !log_record_valid(bytes, log_epoch_key(log_id, m.epoch), m.lsn))
        return false;
    *ret_mark = m;
    return true;
}

static inline void log_header_put(uint8_t to[LOG_HEADER_USED_BYTES], const struct log_header *h)
{
    memcpy(to, LOG_MAGIC, 8);
    bytes_put_u32(to + 8, h->version);
    bytes_put_u32(to + 12, h->state);
    bytes_put_u64(to + 16, h->log_id);
    bytes_put_u64(to + 24, h->seq);
    bytes_put_u64(to + 32, h->base);
    bytes_put_u64(to + 40, h->prev_end);
    bytes_put_u64(to + 48, h->synced);
    bytes_put_u32(to + 56, h->epoch);
    bytes_put_u32(to + 60, crc32c(0, to, 60));
}

/* A live segment's header that a log could have written. */
static inline bool log_header_sane(const struct log_header *h)
{
    return h->seq > 0 && h->seq < LOG_LSN_LIMIT && h->epoch > 0 && h->epoch < LOG_EPOCH_LIMIT &&
           h->base % 8 == 0 && h->prev_end % 8 == 0 && h->base >= LOG_LSN_FIRST &&
           h->base < LOG_LSN_LIMIT && h->prev_end <= h->base && h->synced <= h->base;
}

static inline bool log_header_get(const uint8_t bytes[LOG_HEADER_USED_BYTES],
                                  struct log_header *ret_header)
{
    if (memcmp(bytes, LOG_MAGIC, 8) != 0 || bytes_get_u32(bytes + 60) != crc32c(0, bytes, 60))
        return false;
    *ret_header = (struct log_header){
        .version = bytes_get_u32(bytes + 8),
        .state = bytes_get_u32(bytes + 12),
        .epoch = bytes_get_u32(bytes + 56),
        .log_id = bytes_get_u64(bytes + 16),
        .seq = bytes_get_u64(bytes + 24),
        .base = bytes_get_u64(bytes + 32),
        .prev_end = bytes_get_u64(bytes + 40),
        .synced = bytes_get_u64(bytes + 48),
    };
    return true;
}
