/* MEMORY, and OBJECT HELP. */
#include "base/number.h"
#include "command/admin.h"
#include "command/figures.h"
#include "command/handlers.h"

/* Of a record in the table beside key and value: header, index entry, padding. */
#define RECORD_OVERHEAD_BYTES 48
#define RECORD_ALIGN_BYTES    8

void cmd_memory_usage(struct call *c)
{
    for (int i = 3; i < c->argc; i += 2) {
        int64_t samples;
        if (!call_arg_is(c, i, "samples") || i + 1 == c->argc) {
            reply_syntax_error(c);
            return;
        }
        if (!call_arg_i64(c, i + 1, &samples))
            return;
        if (samples < 0) {
            reply_syntax_error(c);
            return;
        }
    }
    struct record r;
    int st = call_read(c, call_key(c, 2), &r);
    if (st == ST_COLD)
        return;
    if (st < 0) {
        reply_null(c);
        return;
    }
    size_t bytes = call_arg(c, 2).len + r.value.len + RECORD_OVERHEAD_BYTES;
    bytes = (bytes + RECORD_ALIGN_BYTES - 1) / RECORD_ALIGN_BYTES * RECORD_ALIGN_BYTES;
    reply_int(c, (int64_t)bytes);
}

void cmd_memory_doctor(struct call *c)
{
    struct figures f;
    char a[FIGURES_SIZE_BYTES], b[FIGURES_SIZE_BYTES];
    struct buffer *out = call_scratch(c);
    figures_gather(c, &f);
    if (f.pressure > 0)
        buffer_printf(out, "Writers are slowed: the table fills faster than it is flushed. Raise "
                           "table-memory, or use a faster disk.\n");
    if (f.engine.evictions > 0 && figures_hit_rate(&f) < 0.9)
        buffer_printf(out,
                      "Only %.1f %% of the reads are answered from memory. Raise cache-memory "
                      "if the machine has more.\n",
                      100 * figures_hit_rate(&f));
    if (f.process.memory_bytes > 0 && f.process.rss_bytes > f.process.memory_bytes / 10 * 9)
        buffer_printf(out, "The process takes %s of the machine's %s. Lower cache-memory.\n",
                      figures_size(f.process.rss_bytes, a),
                      figures_size(f.process.memory_bytes, b));
    if (out->len == 0)
        buffer_append_str(out, "No memory problems were found.\n");
    reply_verbatim(c, buffer_slice(out));
}

static void stat(struct call *c, const char *name, uint64_t value)
{
    reply_text(c, name);
    reply_int(c, (int64_t)value);
}

void cmd_memory_stats(struct call *c)
{
    struct figures f;
    uint64_t keys = 0;
    figures_gather(c, &f);
    for (unsigned db = 0; db < NODE_DBS; db++)
        keys += f.db[db].keys;
    uint64_t records = f.engine.table_bytes + f.engine.frozen_bytes + f.engine.cache_bytes;
    uint64_t peak = f.process.rss_bytes_max > f.used_bytes ? f.process.rss_bytes_max : f.used_bytes;
    reply_map(c, 12);
    stat(c, "peak.allocated", peak);
    stat(c, "total.allocated", f.used_bytes);
    stat(c, "startup.allocated", 0);
    stat(c, "overhead.total", f.engine.index_bytes + f.engine.ordered_bytes);
    stat(c, "keys.count", keys);
    stat(c, "keys.bytes-per-key", f.engine.records == 0 ? 0 : records / f.engine.records);
    stat(c, "dataset.bytes", records);
    stat(c, "allocator.resident", f.process.rss_bytes);
    stat(c, "table.bytes", f.engine.table_bytes);
    stat(c, "frozen.bytes", f.engine.frozen_bytes);
    stat(c, "cache.bytes", f.engine.cache_bytes);
    reply_text(c, "fragmentation");
    reply_double(c, f.used_bytes == 0 ? 0.0 : (double)f.process.rss_bytes / (double)f.used_bytes);
}

void cmd_memory_malloc_stats(struct call *c)
{
    reply_verbatim(c, slice_str("Stats not supported for the current allocator"));
}

/* Memory that is free is the allocator's to give back; nothing is hoarded here. */
void cmd_memory_purge(struct call *c)
{
    reply_ok(c);
}

void cmd_memory_help(struct call *c)
{
    reply_help(c);
}

void cmd_object_help(struct call *c)
{
    reply_help(c);
}
