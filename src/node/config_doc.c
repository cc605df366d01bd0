/* Settings judged together, sized for a machine, and described for people. */
#include <ctype.h>

#include "base/status.h"
#include "node/config.h"
#include "node/config_row.h"

#define TABLE_BYTES_MIN       (UINT64_C(16) << 20)
#define CACHE_BYTES_MIN       (UINT64_C(16) << 20)
#define BLOCK_CACHE_BYTES_MIN (UINT64_C(8) << 20)
#define LOG_BYTES_MIN         (UINT64_C(1) << 30)
#define LOG_BYTES_DEFAULT_MAX (UINT64_C(2) << 30) /* bounds the time a restart takes */
/* Memory is taken by the megabyte: a table of less than this a shard would be flushed all the time.
 */
#define TABLE_CHOSEN_BYTES_MIN (UINT64_C(8) << 20)

int config_check(const struct settings *s, char error[CONFIG_ERROR_BYTES])
{
    if (s->log_bytes_max != 0 && s->log_bytes_max < 4 * s->log_segment_bytes) {
        config_error(error,
                     "log-bytes-max (%lld) must be at least four times log-segment-bytes (%lld)",
                     (long long)s->log_bytes_max, (long long)s->log_segment_bytes);
        return ST_INVALID;
    }
    if (s->shards > s->partitions) {
        config_error(error, "shards (%lld) must not exceed partitions (%lld)", (long long)s->shards,
                     (long long)s->partitions);
        return ST_INVALID;
    }
    return 0;
}

static uint64_t share(int64_t chosen, uint64_t whole, unsigned part, uint64_t least)
{
    if (chosen != 0)
        return (uint64_t)chosen;
    return whole / part > least ? whole / part : least;
}

struct config_sizes config_sizes(const struct settings *s, const struct config_machine *machine)
{
    unsigned cores = machine->cores > 0 ? machine->cores : 1;
    unsigned shards = cores <= 2 ? 1 : cores - 1;
    struct config_sizes sizes = {
        .table_bytes = share(s->table_memory, machine->memory_bytes, 8, TABLE_BYTES_MIN),
        .cache_bytes = share(s->cache_memory, machine->memory_bytes, 4, CACHE_BYTES_MIN),
        .block_cache_bytes =
            share(s->block_cache_memory, machine->memory_bytes, 16, BLOCK_CACHE_BYTES_MIN),
        .io_threads = s->io_threads != 0 ? (unsigned)s->io_threads : 2 * cores,
    };
    uint64_t log_bytes = 4 * sizes.table_bytes;
    if (log_bytes > LOG_BYTES_DEFAULT_MAX)
        log_bytes = LOG_BYTES_DEFAULT_MAX;
    sizes.log_bytes_max = share(s->log_bytes_max, log_bytes, 1, LOG_BYTES_MIN);
    if (s->shards != 0)
        shards = (unsigned)s->shards;
    shards = shards > 64 ? 64 : shards;
    sizes.shards = shards > (unsigned)s->partitions ? (unsigned)s->partitions : shards;
    if (sizes.table_bytes < TABLE_CHOSEN_BYTES_MIN * sizes.shards) {
        sizes.table_bytes = TABLE_CHOSEN_BYTES_MIN * sizes.shards;
        sizes.table_raised = s->table_memory != 0;
    }
    sizes.io_threads = sizes.io_threads > 64 ? 64 : sizes.io_threads;
    return sizes;
}

static void append_default(const struct config_row *row, struct buffer *out)
{
    buffer_append_str(out, row->initial[0] == '\0' ? "empty" : row->initial);
}

void config_help(struct buffer *out)
{
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        buffer_printf(out, "  --%s", row->name);
        if (row->alias != NULL)
            buffer_printf(out, ", --%s", row->alias);
        buffer_printf(out, "\n      %s [", row->help);
        append_default(row, out);
        buffer_append_str(out, "]\n");
    }
}

static void append_environment_name(const char *name, struct buffer *out)
{
    buffer_append_str(out, "TORC_");
    for (; *name != '\0'; name++)
        buffer_append_u8(out, *name == '-' ? '_' : (uint8_t)toupper(*name));
}

void config_markdown(struct buffer *out)
{
    static const char *const when[] = {
        [WHEN_LIVE] = "any time (`CONFIG SET`)",
        [WHEN_START] = "at start",
        [WHEN_BIRTH] = "when the data directory is made",
    };
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        char allowed[CONFIG_ERROR_BYTES / 2];
        config_allowed(i, allowed, sizeof(allowed));
        buffer_printf(out, "### `%s`\n\n", row->name);
        buffer_append_u8(out, (uint8_t)toupper(row->help[0]));
        buffer_printf(out, "%s.\n\n- Default: `%s`\n- Value: %s\n- May change: %s\n", row->help + 1,
                      row->initial[0] == '\0' ? "\"\"" : row->initial, allowed, when[row->when]);
        buffer_printf(out, "- Flag `--%s`, environment `", row->name);
        append_environment_name(row->name, out);
        buffer_append_str(out, "`");
        if (row->alias != NULL)
            buffer_printf(out, ", Redis' name `%s`", row->alias);
        buffer_append_str(out, "\n\n");
    }
}
