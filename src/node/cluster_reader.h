/* Reads numbers and texts off bytes that nobody vouches for; beyond the end it gives zeros and
 * remembers. The caller looks at `failed` before it believes anything. */
#pragma once

#include "base/bytes.h"
#include "base/slice.h"

struct cluster_reader {
    struct slice left;
    bool failed;
};

static inline struct slice cluster_take(struct cluster_reader *r, size_t bytes)
{
    if (r->left.len < bytes) {
        r->failed = true;
        r->left.len = 0;
        return slice_make(NULL, 0);
    }
    struct slice taken = slice_make(r->left.data, bytes);
    r->left = slice_make(r->left.data + bytes, r->left.len - bytes);
    return taken;
}

static inline uint8_t cluster_get_u8(struct cluster_reader *r)
{
    struct slice s = cluster_take(r, 1);
    return s.len == 0 ? 0 : s.data[0];
}

static inline uint16_t cluster_get_u16(struct cluster_reader *r)
{
    struct slice s = cluster_take(r, 2);
    return s.len == 0 ? 0 : bytes_get_u16(s.data);
}

static inline uint32_t cluster_get_u32(struct cluster_reader *r)
{
    struct slice s = cluster_take(r, 4);
    return s.len == 0 ? 0 : bytes_get_u32(s.data);
}

static inline uint64_t cluster_get_u64(struct cluster_reader *r)
{
    struct slice s = cluster_take(r, 8);
    return s.len == 0 ? 0 : bytes_get_u64(s.data);
}

static inline struct slice cluster_get_text(struct cluster_reader *r)
{
    return cluster_take(r, cluster_get_u16(r));
}
