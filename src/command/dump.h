/* DUMP payloads of strings, as Redis writes and reads them, so that values can be carried between
 * the two:
 *
 *   u8 type 0 | length-encoded string | u16 RDB version, little endian | u64 CRC-64/Jones of all
 * before
 *
 * Length: 00xxxxxx 6 bits; 01xxxxxx + 1 byte 14 bits; 0x80 + u32 and 0x81 + u64 big endian; 0xc0,
 * 0xc1, 0xc2: an integer of 8, 16, 32 bits little endian, printed; 0xc3: LZF: packed length,
 * length, bytes. */
#pragma once

#include "base/buffer.h"
#include "base/slice.h"

/* What a payload has around the value's bytes, at most. */
#define DUMP_OVERHEAD_BYTES_MAX 20

void dump_encode(struct buffer *out, struct slice value);
/* Appends version and checksum to what stands in *out from `start` on. */
void dump_seal(struct buffer *out, size_t start);

/* What dump_decode() appends is no longer than this; checks nothing. */
uint64_t dump_value_bytes_max(struct slice payload);

/* Appends the value to *out. ST_PROTOCOL: version or checksum are wrong; ST_UNSUPPORTED: sound, but
 * of another type than string; ST_CORRUPT: bad data; ST_LIMIT: longer than max_bytes. */
int dump_decode(struct slice payload, size_t max_bytes, struct buffer *out);
