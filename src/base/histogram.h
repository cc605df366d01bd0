/* A log-linear histogram of 64-bit numbers (as HdrHistogram): any value, fixed memory (30 KB).
 *
 * Values below 128 are counted exactly; above, each power of two is cut into 64 buckets, so what
 * histogram_percentile() says is off by at most 1/64 (1.6 %), to the high side. A plain value;
 * zeroed is empty. One thread at a time: threads keep one each and merge. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count;
    uint64_t sum; /* wraps; the mean is good while it does not */
    uint64_t min, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
void histogram_add_many(struct histogram *h, uint64_t value, uint64_t times);
void histogram_merge(struct histogram *to, const struct histogram *from);
void histogram_reset(struct histogram *h);

/* How many values are at most `value`; those of its bucket count too, so it is exact where value +
 * 1 is a power of two. */
uint64_t histogram_count_to(const struct histogram *h, uint64_t value);

/* The least value that at least `percent` (0 to 100) of the values do not exceed, as the upper end
 * of its bucket and never above max; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
