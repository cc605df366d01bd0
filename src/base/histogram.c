#include "base/histogram.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

/* Values up to 2 * SUB_COUNT are their own bucket. Above, with `shift` the bits beyond the leading
 * SUB_BITS + 1, a bucket is shift * SUB_COUNT + leading bits: each shift adds SUB_COUNT buckets. */
static unsigned histogram_bucket(uint64_t value)
{
    if (value < 2 * SUB_COUNT)
        return (unsigned)value;
    unsigned shift = 63 - HISTOGRAM_SUB_BITS - (unsigned)__builtin_clzll(value);
    return shift * SUB_COUNT + (unsigned)(value >> shift);
}

static uint64_t histogram_bucket_end(unsigned bucket)
{
    if (bucket < 2 * SUB_COUNT)
        return bucket;
    unsigned shift = bucket / SUB_COUNT - 1;
    uint64_t leading = bucket - shift * SUB_COUNT;
    return (leading << shift) + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *h, uint64_t value)
{
    histogram_add_many(h, value, 1);
}

void histogram_add_many(struct histogram *h, uint64_t value, uint64_t times)
{
    if (times == 0)
        return;
    unsigned bucket = histogram_bucket(value);
    CHECK(bucket < HISTOGRAM_BUCKETS);
    h->buckets[bucket] += times;
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count += times;
    h->sum += value * times;
}

uint64_t histogram_count_to(const struct histogram *h, uint64_t value)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= histogram_bucket(value); i++)
        count += h->buckets[i];
    return count;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    if (from->count == 0)
        return;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
    if (to->count == 0 || from->min < to->min)
        to->min = from->min;
    if (from->max > to->max)
        to->max = from->max;
    to->count += from->count;
    to->sum += from->sum;
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    CHECK(percent >= 0 && percent <= 100);
    if (h->count == 0)
        return 0;
    /* The factor keeps 7 % of 100 from being a little more than 7. */
    double rank = ceil(percent * (double)h->count / 100 * (1 - 1e-12));
    uint64_t need = rank < 1 ? 1 : (uint64_t)rank;
    if (need > h->count)
        need = h->count;
    uint64_t seen = 0;
    unsigned bucket = 0;
    for (; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += h->buckets[bucket];
        if (seen >= need)
            break;
    }
    uint64_t end = histogram_bucket_end(bucket);
    return end < h->max ? end : h->max;
}
