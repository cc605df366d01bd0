/* The cold tier on RocksDB, through its C API.
 *
 * Data rows only ever arrive as sorted SST files that are ingested, never through RocksDB's own
 * memtable: so there is no write-ahead log for them, an ingest never has to flush a memtable, and
 * one manifest write makes a whole bulk visible and durable. Deleted ranges are ingested the same
 * way, as a file that holds nothing but range tombstones. Only meta rows (few, small) go through
 * memtable and WAL, under the prefix 0xffff, which no partition has.
 *
 * Files being written are in <path>/bulk/; what is found there at open is debris of a crash.
 *
 * Ingests are not held back by RocksDB's own write stalls, so bulk_finish() waits by itself while
 * level 0 is far behind: the flush then takes longer, the table fills, and writers are slowed. */
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "store/record.h"
#include "store/rocks_logger.h"
#include "store/tier.h"

#define SST_FILE_BYTES      (64u << 20)  /* of those that compaction writes */
#define BULK_FILE_BYTES     (256u << 20) /* fewer files at level 0 for a big flush */
#define LEVEL_BASE_BYTES    (1024u << 20)
#define META_MEMTABLE_BYTES (1u << 20)
#define MANIFEST_AHEAD_BYTES                                            \
    (64u << 10) /* RocksDB's 4 MiB would be the most that a start takes \
                 */
#define BLOCK_BYTES           4096
#define METADATA_BLOCK_BYTES  4096
#define BLOOM_BITS_PER_KEY    10
#define SCAN_READAHEAD_BYTES  (256u << 10)
#define ROOM_LOOK_BYTES       (1u << 20) /* the disk's room is looked at each time so much is written */
#define LEVEL0_COMPACT_FILES  8
#define LEVEL0_WAIT_FILES     40
#define LEVEL0_WAIT_STEP_MS   20
#define LEVEL0_WAIT_MAX_STEPS 500
#define READ_TIER_CACHE       1 /* RocksDB's kBlockCacheTier */
#define CACHE_BYTES_MIN       (1u << 20)

static const uint8_t META_PREFIX[2] = {0xff, 0xff};

struct tier_rocks {
    struct tier base;
    rocksdb_t *db;
    rocksdb_options_t *options;     /* of the database */
    rocksdb_options_t *sst_options; /* of the files written for ingest */
    rocksdb_envoptions_t *env_options;
    rocksdb_cache_t *cache;
    rocksdb_env_t *env;
    rocksdb_logger_t *logger;
    rocksdb_readoptions_t *read, *read_cached;
    rocksdb_writeoptions_t *write_synced;
    rocksdb_ingestexternalfileoptions_t *ingest;
    struct tier_policy policy;
    rocksdb_compactionfilter_t *filter;
    char *bulk_dir;
    uint64_t keep_free_bytes;
    _Atomic uint64_t next_file;
    _Atomic bool filled; /* rows may be there */
};

struct rocks_iter { /* struct tier_iter */
    struct tier_rocks *rocks;
    rocksdb_iterator_t *it;
    rocksdb_readoptions_t *read;
    struct buffer start, end; /* the bounds; RocksDB keeps pointers to them */
    bool reverse, once;
    bool positioned; /* a row (or the end) is at hand and was not returned yet */
    bool moving;     /* the row at hand was returned: move on first */
};

struct rocks_bulk { /* struct tier_bulk */
    struct tier_rocks *rocks;
    rocksdb_sstfilewriter_t *writer; /* NULL between files */
    char **files;
    size_t files_count, files_cap;
    uint64_t looked_bytes; /* of the file being written, when the disk's room was last looked at */
};

static struct tier_rocks *rocks_of(struct tier *t)
{
    return container_of(t, struct tier_rocks, base);
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* RocksDB's C API tells errors as text only: "<code>: <message>". */
static int status_of(const char *text)
{
    if (strstr(text, "No space left") != NULL || strstr(text, "NoSpace") != NULL)
        return ST_NOSPACE;
    if (starts(text, "Corruption"))
        return ST_CORRUPT;
    if (starts(text, "Result incomplete"))
        return ST_AGAIN;
    if (starts(text, "IO error: lock") || strstr(text, "lock hold by current process") != NULL)
        return ST_LOCKED;
    if (starts(text, "Invalid argument") && strstr(text, "does not exist") != NULL)
        return ST_NOTFOUND;
    return ST_IO;
}

/* Turns an error string into a status and frees it; 0 when there is none. */
static int status_take(struct tier_rocks *r, char *error)
{
    if (error == NULL)
        return 0;
    int st = status_of(error);
    if ((st == ST_CORRUPT || st == ST_IO) && r->policy.failed != NULL)
        r->policy.failed(r->policy.ctx, st, error);
    rocksdb_free(error);
    return st;
}

/* --- compaction filter --- */

/* Whether policy lets this row go. Rows that don't parse stay: losing them is not our call. */
static unsigned char filter_row(void *ctx, int level, const char *key, size_t key_len,
                                const char *value, size_t value_len, char **ret_value,
                                size_t *ret_len, unsigned char *ret_changed)
{
    const struct tier_policy *policy = ctx;
    *ret_changed = 0;
    if (key_len < ROW_KEY_PREFIX_BYTES)
        return 0;
    uint32_t keyspace = bytes_get_be32(key + 6);
    if (keyspace == ROW_KEYSPACE_META)
        return 0;
    if (policy->keyspace_dropped != NULL && policy->keyspace_dropped(policy->ctx, keyspace))
        return 1;
    uint8_t flags = value_len > 0 ? (uint8_t)value[0] : 0;
    if (!(flags & (RECORD_TOMBSTONE | RECORD_EXPIRES)))
        return 0;
    struct record record;
    if (record_decode(slice_make(value, value_len), &record) != 0)
        return 0;
    if (record.flags & RECORD_TOMBSTONE)
        return policy->purge_tombstones != NULL && policy->purge_tombstones(policy->ctx);
    return policy->purge_before_ms != NULL &&
           record.expire_ms < policy->purge_before_ms(policy->ctx);
}

static const char *filter_name(void *ctx)
{
    return "torc.policy";
}

static void filter_destroy(void *ctx)
{
}

/* --- points --- */

static int rocks_get(struct tier *t, struct slice row, bool cached_only, struct buffer *out)
{
    struct tier_rocks *r = rocks_of(t);
    char *error = NULL;
    rocksdb_pinnableslice_t *value = rocksdb_get_pinned(
        r->db, cached_only ? r->read_cached : r->read, (const char *)row.data, row.len, &error);
    if (error != NULL)
        return status_take(r, error);
    if (value == NULL)
        return ST_NOTFOUND;
    size_t len = 0;
    const char *data = rocksdb_pinnableslice_value(value, &len);
    buffer_append(out, data, len);
    rocksdb_pinnableslice_destroy(value);
    return 0;
}

static void meta_key(struct buffer *out, struct slice name)
{
    buffer_append(out, META_PREFIX, sizeof(META_PREFIX));
    buffer_append_slice(out, name);
}

static int rocks_put_meta(struct tier *t, struct slice name, struct slice value)
{
    struct tier_rocks *r = rocks_of(t);
    BUFFER_AUTO struct buffer key = {0};
    meta_key(&key, name);
    char *error = NULL;
    rocksdb_put(r->db, r->write_synced, (const char *)key.data, key.len, (const char *)value.data,
                value.len, &error);
    return status_take(r, error);
}

static int rocks_get_meta(struct tier *t, struct slice name, struct buffer *out)
{
    BUFFER_AUTO struct buffer key = {0};
    meta_key(&key, name);
    return rocks_get(t, buffer_slice(&key), false, out);
}

/* --- iterators --- */

static struct tier_snapshot *rocks_snapshot(struct tier *t)
{
    return (struct tier_snapshot *)rocksdb_create_snapshot(rocks_of(t)->db);
}

static void rocks_snapshot_release(struct tier *t, struct tier_snapshot *s)
{
    rocksdb_release_snapshot(rocks_of(t)->db, (const rocksdb_snapshot_t *)s);
}

static int rocks_iter(struct tier *t, struct tier_snapshot *s, struct slice start, struct slice end,
                      unsigned flags, struct tier_iter **ret_iter)
{
    struct tier_rocks *r = rocks_of(t);
    struct rocks_iter *it = mem_zalloc(sizeof(*it));
    it->rocks = r;
    it->reverse = flags & TIER_ITER_REVERSE;
    buffer_append_slice(&it->start, start);
    buffer_append_slice(&it->end, end.len > 0 ? end : slice_make(META_PREFIX, sizeof(META_PREFIX)));
    it->read = rocksdb_readoptions_create();
    if (s != NULL)
        rocksdb_readoptions_set_snapshot(it->read, (const rocksdb_snapshot_t *)s);
    if (it->start.len > 0)
        rocksdb_readoptions_set_iterate_lower_bound(it->read, (const char *)it->start.data,
                                                    it->start.len);
    rocksdb_readoptions_set_iterate_upper_bound(it->read, (const char *)it->end.data, it->end.len);
    if (flags & TIER_ITER_ONCE) {
        rocksdb_readoptions_set_fill_cache(it->read, 0);
        rocksdb_readoptions_set_readahead_size(it->read, SCAN_READAHEAD_BYTES);
    }
    it->it = rocksdb_create_iterator(r->db, it->read);
    *ret_iter = (struct tier_iter *)it;
    return 0;
}

static int rocks_iter_next(struct tier_iter *iter, struct slice *ret_row, struct slice *ret_value)
{
    struct rocks_iter *it = (struct rocks_iter *)iter;
    if (it->positioned) {
        it->positioned = false;
    } else if (!it->moving) {
        if (it->reverse)
            rocksdb_iter_seek_to_last(it->it);
        else
            rocksdb_iter_seek_to_first(it->it);
    } else if (rocksdb_iter_valid(it->it)) {
        if (it->reverse)
            rocksdb_iter_prev(it->it);
        else
            rocksdb_iter_next(it->it);
    }
    it->moving = true;
    if (!rocksdb_iter_valid(it->it)) {
        char *error = NULL;
        rocksdb_iter_get_error(it->it, &error);
        return error != NULL ? status_take(it->rocks, error) : ST_NOTFOUND;
    }
    size_t len;
    const char *data = rocksdb_iter_key(it->it, &len);
    struct slice row = slice_make(data, len);
    data = rocksdb_iter_value(it->it, &len);
    *ret_row = row;
    *ret_value = slice_make(data, len);
    return 0;
}

static int rocks_iter_seek(struct tier_iter *iter, struct slice row)
{
    struct rocks_iter *it = (struct rocks_iter *)iter;
    it->positioned = true;
    if (!it->reverse) {
        rocksdb_iter_seek(it->it, (const char *)row.data, row.len);
        return 0;
    }
    rocksdb_iter_seek_for_prev(it->it, (const char *)row.data, row.len);
    if (rocksdb_iter_valid(it->it)) {
        size_t len;
        const char *data = rocksdb_iter_key(it->it, &len);
        if (slice_equal(slice_make(data, len), row))
            rocksdb_iter_prev(it->it);
    }
    return 0;
}

static void rocks_iter_close(struct tier_iter *iter)
{
    struct rocks_iter *it = (struct rocks_iter *)iter;
    if (it == NULL)
        return;
    rocksdb_iter_destroy(it->it);
    rocksdb_readoptions_destroy(it->read);
    buffer_free(&it->start);
    buffer_free(&it->end);
    free(it);
}

/* --- bulks --- */

static int rocks_bulk(struct tier *t, struct tier_bulk **ret_bulk)
{
    struct rocks_bulk *b = mem_zalloc(sizeof(*b));
    b->rocks = rocks_of(t);
    *ret_bulk = (struct tier_bulk *)b;
    return 0;
}

static int bulk_open_file(struct rocks_bulk *b)
{
    struct tier_rocks *r = b->rocks;
    BUFFER_AUTO struct buffer path = {0};
    buffer_printf(&path, "%s/%llu.sst", r->bulk_dir,
                  (unsigned long long)atomic_fetch_add(&r->next_file, 1));
    buffer_append_u8(&path, 0);
    if (b->files_count == b->files_cap) {
        b->files_cap = b->files_cap > 0 ? b->files_cap * 2 : 8;
        b->files = mem_realloc(b->files, b->files_cap * sizeof(*b->files));
    }
    b->files[b->files_count++] = mem_strdup((const char *)path.data);
    b->writer = rocksdb_sstfilewriter_create(r->env_options, r->sst_options);
    char *error = NULL;
    rocksdb_sstfilewriter_open(b->writer, (const char *)path.data, &error);
    return status_take(r, error);
}

static int bulk_close_file(struct rocks_bulk *b)
{
    char *error = NULL;
    rocksdb_sstfilewriter_finish(b->writer, &error);
    rocksdb_sstfilewriter_destroy(b->writer);
    b->writer = NULL;
    return status_take(b->rocks, error);
}

/* A bulk that finds no room fails in the end: before, it would have taken the last of it from those
 * who need little. */
static int bulk_room(struct rocks_bulk *b, uint64_t file_bytes)
{
    struct statvfs fs;
    if (file_bytes > 0 && file_bytes - b->looked_bytes < ROOM_LOOK_BYTES)
        return 0;
    b->looked_bytes = file_bytes;
    if (b->rocks->keep_free_bytes == 0 || statvfs(b->rocks->bulk_dir, &fs) != 0)
        return 0;
    return (uint64_t)fs.f_bavail * fs.f_frsize < b->rocks->keep_free_bytes ? ST_NOSPACE : 0;
}

static int rocks_bulk_add(struct tier_bulk *bulk, struct slice row, struct slice value)
{
    struct rocks_bulk *b = (struct rocks_bulk *)bulk;
    if (b->writer == NULL) {
        int st = bulk_room(b, 0);
        if (st == 0)
            st = bulk_open_file(b);
        if (st != 0)
            return st;
    }
    char *error = NULL;
    rocksdb_sstfilewriter_put(b->writer, (const char *)row.data, row.len, (const char *)value.data,
                              value.len, &error);
    if (error != NULL)
        return status_take(b->rocks, error);
    uint64_t bytes = 0;
    rocksdb_sstfilewriter_file_size(b->writer, &bytes);
    return bytes >= BULK_FILE_BYTES ? bulk_close_file(b) : bulk_room(b, bytes);
}

/* Frees the bulk; the files go too unless RocksDB has taken them over. */
static void rocks_bulk_abort(struct tier_bulk *bulk)
{
    struct rocks_bulk *b = (struct rocks_bulk *)bulk;
    if (b == NULL)
        return;
    if (b->writer != NULL)
        rocksdb_sstfilewriter_destroy(b->writer);
    for (size_t i = 0; i < b->files_count; i++) {
        unlink(b->files[i]);
        free(b->files[i]);
    }
    free(b->files);
    free(b);
}

static uint64_t property(struct tier_rocks *r, const char *name)
{
    uint64_t value = 0;
    if (rocksdb_property_int(r->db, name, &value) != 0)
        return 0;
    return value;
}

static uint64_t level0_files(struct tier_rocks *r)
{
    char *text = rocksdb_property_value(r->db, "rocksdb.num-files-at-level0");
    uint64_t count = text != NULL ? strtoull(text, NULL, 10) : 0;
    rocksdb_free(text);
    return count;
}

static void level0_wait(struct tier_rocks *r)
{
    const struct timespec step = {.tv_nsec = LEVEL0_WAIT_STEP_MS * 1000000L};
    for (int i = 0; i < LEVEL0_WAIT_MAX_STEPS && level0_files(r) >= LEVEL0_WAIT_FILES; i++)
        nanosleep(&step, NULL);
}

static int bulk_ingest(struct rocks_bulk *b)
{
    struct tier_rocks *r = b->rocks;
    level0_wait(r);
    char *error = NULL;
    rocksdb_ingest_external_file(r->db, (const char *const *)b->files, b->files_count, r->ingest,
                                 &error);
    return status_take(r, error);
}

static int rocks_bulk_finish(struct tier_bulk *bulk)
{
    struct rocks_bulk *b = (struct rocks_bulk *)bulk;
    int st = b->writer != NULL ? bulk_close_file(b) : 0;
    const struct tier_policy *policy = &b->rocks->policy;
    if (st == 0 && b->files_count > 0 && policy->sync_log != NULL)
        st = policy->sync_log(policy->ctx);
    if (st == 0 && b->files_count > 0) {
        /* Before, not after: rows must never be there while empty() says there are none. */
        atomic_store(&b->rocks->filled, true);
        st = bulk_ingest(b);
    }
    rocks_bulk_abort(bulk);
    return st;
}

static int rocks_drop_ranges(struct tier *t, const struct tier_range *ranges, size_t count)
{
    struct tier_rocks *r = rocks_of(t);
    if (count == 0 || !atomic_load(&r->filled))
        return 0;
    struct tier_bulk *bulk = NULL;
    rocks_bulk(t, &bulk);
    struct rocks_bulk *b = (struct rocks_bulk *)bulk;
    int st = bulk_open_file(b);
    for (size_t i = 0; st == 0 && i < count; i++) {
        char *error = NULL;
        rocksdb_sstfilewriter_delete_range(b->writer, (const char *)ranges[i].start.data,
                                           ranges[i].start.len, (const char *)ranges[i].end.data,
                                           ranges[i].end.len, &error);
        st = status_take(r, error);
    }
    if (st != 0) {
        rocks_bulk_abort(bulk);
        return st;
    }
    st = rocks_bulk_finish(bulk);
    if (st != 0)
        return st;
    /* The ranges are gone for every reader. The rest is only about getting the space back soon, so
     * its failure is nobody's concern. */
    char *error = NULL;
    rocksdb_suggest_compact_range(r->db, (const char *)ranges[0].start.data, ranges[0].start.len,
                                  (const char *)ranges[count - 1].end.data,
                                  ranges[count - 1].end.len, &error);
    rocksdb_free(error);
    return 0;
}

/* --- the whole --- */

static int rocks_checkpoint(struct tier *t, const char *path)
{
    struct tier_rocks *r = rocks_of(t);
    char *error = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(r->db, &error);
    if (error != NULL)
        return status_take(r, error);
    /* 0: the memtable (meta rows) is flushed first, so that the copy needs no WAL. */
    rocksdb_checkpoint_create(checkpoint, path, 0, &error);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return status_take(r, error);
}

static bool rocks_empty(struct tier *t)
{
    return !atomic_load(&rocks_of(t)->filled);
}

static void rocks_stats(struct tier *t, struct tier_stats *ret_stats)
{
    struct tier_rocks *r = rocks_of(t);
    *ret_stats = (struct tier_stats){
        .disk_bytes = property(r, "rocksdb.total-sst-files-size"),
        .cache_bytes = rocksdb_cache_get_usage(r->cache),
        .rows_estimate = property(r, "rocksdb.estimate-num-keys"),
        .compaction_pending_bytes = property(r, "rocksdb.estimate-pending-compaction-bytes"),
        .level0_files = level0_files(r),
        .background_errors = property(r, "rocksdb.background-errors"),
    };
}

static void rocks_close(struct tier *t)
{
    if (t == NULL)
        return;
    struct tier_rocks *r = rocks_of(t);
    if (r->db != NULL) {
        rocksdb_cancel_all_background_work(r->db, 1);
        rocksdb_close(r->db);
    }
    if (r->ingest != NULL)
        rocksdb_ingestexternalfileoptions_destroy(r->ingest);
    if (r->write_synced != NULL)
        rocksdb_writeoptions_destroy(r->write_synced);
    if (r->read_cached != NULL)
        rocksdb_readoptions_destroy(r->read_cached);
    if (r->read != NULL)
        rocksdb_readoptions_destroy(r->read);
    if (r->env_options != NULL)
        rocksdb_envoptions_destroy(r->env_options);
    if (r->sst_options != NULL)
        rocksdb_options_destroy(r->sst_options);
    if (r->options != NULL)
        rocksdb_options_destroy(r->options);
    if (r->filter != NULL)
        rocksdb_compactionfilter_destroy(r->filter);
    if (r->cache != NULL)
        rocksdb_cache_destroy(r->cache);
    if (r->logger != NULL)
        rocks_logger_destroy(r->logger);
    if (r->env != NULL)
        rocksdb_env_destroy(r->env);
    free(r->bulk_dir);
    free(r);
}

static const struct tier_ops ROCKS_OPS = {
    .get = rocks_get,
    .snapshot = rocks_snapshot,
    .snapshot_release = rocks_snapshot_release,
    .iter = rocks_iter,
    .iter_next = rocks_iter_next,
    .iter_seek = rocks_iter_seek,
    .iter_close = rocks_iter_close,
    .bulk = rocks_bulk,
    .bulk_add = rocks_bulk_add,
    .bulk_finish = rocks_bulk_finish,
    .bulk_abort = rocks_bulk_abort,
    .put_meta = rocks_put_meta,
    .get_meta = rocks_get_meta,
    .drop_ranges = rocks_drop_ranges,
    .checkpoint = rocks_checkpoint,
    .empty = rocks_empty,
    .stats = rocks_stats,
    .close = rocks_close,
};

/* --- opening --- */

static void options_table(struct tier_rocks *r, rocksdb_options_t *options)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
    rocksdb_block_based_options_set_whole_key_filtering(table, 1);
    /* A file's filter and index are megabytes: in parts, a read brings in the part that it needs,
     * and a small cache is not emptied for one key. */
    rocksdb_block_based_options_set_index_type(
        table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(table, 1);
    rocksdb_block_based_options_set_metadata_block_size(table, METADATA_BLOCK_BYTES);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1);
    rocksdb_block_based_options_set_block_cache(table, r->cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

static void options_compaction(struct tier_rocks *r, rocksdb_options_t *options, int threads)
{
    rocksdb_options_set_compaction_style(options, rocksdb_level_compaction);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, LEVEL0_COMPACT_FILES);
    rocksdb_options_set_target_file_size_base(options, SST_FILE_BYTES);
    rocksdb_options_set_max_bytes_for_level_base(options, LEVEL_BASE_BYTES);
    rocksdb_options_set_max_background_jobs(options, threads + 1);
    rocksdb_env_set_background_threads(r->env, threads);
    rocksdb_env_set_high_priority_background_threads(r->env, 1);
    /* Stalls would hit meta rows only; ingests wait in level0_wait(). */
    rocksdb_options_set_level0_slowdown_writes_trigger(options, 1 << 20);
    rocksdb_options_set_level0_stop_writes_trigger(options, 1 << 20);
    rocksdb_options_set_soft_pending_compaction_bytes_limit(options, 0);
    rocksdb_options_set_hard_pending_compaction_bytes_limit(options, 0);
    rocksdb_options_set_bytes_per_sync(options, 1u << 20);
    r->filter =
        rocksdb_compactionfilter_create(&r->policy, filter_destroy, filter_row, filter_name);
    rocksdb_options_set_compaction_filter(options, r->filter);
}

static rocksdb_options_t *options_make(struct tier_rocks *r, const struct tier_rocks_options *o)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_env(options, r->env);
    rocksdb_options_set_create_if_missing(options, o->create);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_write_buffer_size(options, META_MEMTABLE_BYTES);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_info_log(options, r->logger);
    rocksdb_options_set_manifest_preallocation_size(options, MANIFEST_AHEAD_BYTES);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    options_table(r, options);
    return options;
}

/* Makes <path>/bulk and removes what a crash left in it. */
static int bulk_dir_prepare(const char *dir)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return status_from_errno(errno);
    DIR *d = opendir(dir);
    if (d == NULL)
        return status_from_errno(errno);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
    return 0;
}

/* Whether any row is there: decides what empty() says until the first bulk. */
static int find_first_row(struct tier_rocks *r)
{
    struct tier_iter *it;
    struct slice row, value;
    rocks_iter(&r->base, NULL, slice_make(NULL, 0), slice_make(NULL, 0), 0, &it);
    int st = rocks_iter_next(it, &row, &value);
    rocks_iter_close(it);
    if (st != 0 && st != ST_NOTFOUND)
        return st;
    atomic_store(&r->filled, st == 0);
    return 0;
}

static int rocks_open_db(struct tier_rocks *r, const struct tier_rocks_options *o, char *error,
                         size_t error_bytes)
{
    char *text = NULL;
    r->db = rocksdb_open(r->options, o->path, &text);
    if (text != NULL) {
        snprintf(error, error_bytes, "%s", text);
        return status_take(r, text);
    }
    BUFFER_AUTO struct buffer dir = {0};
    buffer_printf(&dir, "%s/bulk", o->path);
    buffer_append_u8(&dir, 0);
    r->bulk_dir = mem_strdup((const char *)dir.data);
    int st = bulk_dir_prepare(r->bulk_dir);
    if (st == 0)
        st = find_first_row(r);
    if (st != 0)
        snprintf(error, error_bytes, "%s: %s", r->bulk_dir, status_text(st));
    return st;
}

int tier_rocks_open(const struct tier_rocks_options *options, char *error, size_t error_bytes,
                    struct tier **ret_tier)
{
    struct tier_rocks *r = mem_zalloc(sizeof(*r));
    uint64_t cache_bytes =
        options->cache_bytes > CACHE_BYTES_MIN ? options->cache_bytes : CACHE_BYTES_MIN;
    r->base.ops = &ROCKS_OPS;
    r->policy = options->policy;
    r->keep_free_bytes = options->keep_free_bytes;
    r->env = rocksdb_create_default_env();
    r->logger = rocks_logger_create();
    r->cache = rocksdb_cache_create_lru(cache_bytes);
    r->options = options_make(r, options);
    options_compaction(r, r->options,
                       options->background_threads > 1 ? options->background_threads : 1);
    r->sst_options = options_make(r, options);
    r->env_options = rocksdb_envoptions_create();
    r->read = rocksdb_readoptions_create();
    r->read_cached = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(r->read_cached, READ_TIER_CACHE);
    r->write_synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(r->write_synced, 1);
    r->ingest = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(r->ingest, 1);
    int st = rocks_open_db(r, options, error, error_bytes);
    if (st != 0) {
        rocks_close(&r->base);
        return st;
    }
    *ret_tier = &r->base;
    return 0;
}
