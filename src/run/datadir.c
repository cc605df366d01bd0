#include "run/datadir.h"

#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hlc.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/disk_posix.h"
#include "run/machine.h"
#include "run/synced_file.h"
#include "store/log.h"

#define LOCK_FILE     "torc.lock"
#define META_BIRTH    "birth"
#define META_LOG      "log"
#define CLOCK_STEP_MS 1000 /* 65 million stamps */

static void describe(char error[DATADIR_ERROR_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void describe(char error[DATADIR_ERROR_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, DATADIR_ERROR_BYTES, format, args);
    va_end(args);
}

static uint64_t random_u64(void)
{
    uint64_t value = 0;
    while (value == 0) /* 0 means none */
        CHECK(getrandom(&value, sizeof(value), 0) == sizeof(value));
    return value;
}

static int sub_directory(const struct datadir *dir, const char *name, struct disk **ret_disk)
{
    char path[1200];
    snprintf(path, sizeof(path), "%s/%s", dir->path, name);
    return disk_posix_open(path, true, ret_disk);
}

static void has_entry(void *ctx, const char *name)
{
    *(bool *)ctx |= strcmp(name, "log") == 0 || strcmp(name, "rocks") == 0;
}

/* A directory without identity is new, unless it holds data: then the file was lost. */
static int identity_make(struct datadir *dir, const struct settings *s,
                         char error[DATADIR_ERROR_BYTES])
{
    bool data = false;
    int st = dir->disk->ops->list(dir->disk, has_entry, &data);
    if (st == 0 && data) {
        describe(error,
                 "%s holds data but no %s: the file was lost. Put it back from a snapshot, or "
                 "choose another data directory",
                 dir->path, IDENTITY_FILE);
        return ST_CORRUPT;
    }
    struct identity *id = &dir->identity;
    *id = (struct identity){
        .node_id = random_u64(),
        .log_id = random_u64(),
        .clean = true,
        .durable = s->fsync == FSYNC_ALWAYS,
    };
    CHECK(getrandom(id->cluster_id, sizeof(id->cluster_id), 0) == sizeof(id->cluster_id));
    if (st == 0)
        st = identity_save(dir->disk, id);
    if (st < 0)
        describe(error, "can't write to data directory %s: %s", dir->path, status_text(st));
    return st;
}

static int identity_open(struct datadir *dir, const struct settings *s,
                         char error[DATADIR_ERROR_BYTES])
{
    int st = identity_load(dir->disk, &dir->identity);
    if (st == ST_NOTFOUND)
        return identity_make(dir, s, error);
    if (st == ST_VERSION)
        describe(error, "data directory %s was written by a newer Torc: use that one", dir->path);
    else if (st == ST_CORRUPT)
        describe(error, "%s/%s is damaged or not Torc's. Restore the directory from a snapshot",
                 dir->path, IDENTITY_FILE);
    else if (st < 0)
        describe(error, "can't read %s/%s: %s", dir->path, IDENTITY_FILE, status_text(st));
    return st;
}

/* What was chosen at birth: written once, and compared with what is asked for at later starts. */
static int birth_check(struct datadir *dir, const struct settings *s,
                       char error[DATADIR_ERROR_BYTES])
{
    BUFFER_AUTO struct buffer text = {0};
    dir->partitions = (unsigned)s->partitions;
    snprintf(dir->name, sizeof(dir->name), "%s", s->node_id);
    if (dir->name[0] == '\0')
        snprintf(dir->name, sizeof(dir->name), "%016llx",
                 (unsigned long long)dir->identity.node_id);
    int st = dir->tier->ops->get_meta(dir->tier, slice_str(META_BIRTH), &text);
    if (st == ST_NOTFOUND) {
        buffer_printf(&text, "partitions=%u node=%s", dir->partitions, dir->name);
        st = dir->tier->ops->put_meta(dir->tier, slice_str(META_BIRTH), buffer_slice(&text));
        if (st < 0)
            describe(error, "can't write to data directory %s: %s", dir->path, status_text(st));
        return st;
    }
    if (st < 0) {
        describe(error, "can't read the cold tier of %s: %s", dir->path, status_text(st));
        return st;
    }
    buffer_append_u8(&text, 0);
    unsigned partitions;
    char name[65];
    if (sscanf((const char *)text.data, "partitions=%u node=%64s", &partitions, name) != 2) {
        describe(error, "the birth record of data directory %s is damaged", dir->path);
        return ST_CORRUPT;
    }
    if (s->source[CONFIG_INDEX_partitions] != FROM_DEFAULT && dir->partitions != partitions) {
        describe(error, "data directory %s has %u partitions, not %u: that can't change", dir->path,
                 partitions, dir->partitions);
        return ST_INVALID;
    }
    if (s->source[CONFIG_INDEX_node_id] != FROM_DEFAULT && strcmp(dir->name, name) != 0) {
        describe(error, "data directory %s belongs to node '%s', not '%s'", dir->path, name,
                 dir->name);
        return ST_INVALID;
    }
    dir->partitions = partitions;
    strcpy(dir->name, name);
    return 0;
}

/* --- the log's start --- */

int datadir_log_needed(struct datadir *dir, uint64_t lsn)
{
    BUFFER_AUTO struct buffer text = {0};
    buffer_printf(&text, "id=%016llx needed=%llu", (unsigned long long)dir->identity.log_id,
                  (unsigned long long)lsn);
    int st = dir->tier->ops->put_meta(dir->tier, slice_str(META_LOG), buffer_slice(&text));
    if (st == 0)
        dir->log_needed = lsn;
    return st;
}

/* A tier that another log has filled would answer with other data, or with none. */
static int log_check(struct datadir *dir, char error[DATADIR_ERROR_BYTES])
{
    BUFFER_AUTO struct buffer text = {0};
    unsigned long long id, needed;
    int st = dir->tier->ops->get_meta(dir->tier, slice_str(META_LOG), &text);
    if (st == ST_NOTFOUND) {
        st = dir->identity.log_ready ? 0 : datadir_log_needed(dir, LOG_LSN_FIRST);
        if (st < 0)
            describe(error, "can't write to data directory %s: %s", dir->path, status_text(st));
        return st;
    }
    if (st < 0) {
        describe(error, "can't read the cold tier of %s: %s", dir->path, status_text(st));
        return st;
    }
    buffer_append_u8(&text, 0);
    if (sscanf((const char *)text.data, "id=%16llx needed=%llu", &id, &needed) != 2) {
        describe(error, "the cold tier's record of the log in data directory %s is damaged",
                 dir->path);
        return ST_CORRUPT;
    }
    if (id != dir->identity.log_id) {
        describe(error,
                 "the cold tier %s/rocks belongs to another data directory (log %016llx, here "
                 "%016llx). Put the right one back, or restore the directory from a snapshot",
                 dir->path, id, (unsigned long long)dir->identity.log_id);
        return ST_CORRUPT;
    }
    dir->log_needed = needed;
    return 0;
}

static int tier_open(struct datadir *dir, const struct config_sizes *sizes,
                     struct tier_policy policy, char error[DATADIR_ERROR_BYTES])
{
    char path[1200], reason[512] = "";
    snprintf(path, sizeof(path), "%s/rocks", dir->path);
    struct tier_rocks_options options = {
        .path = path,
        .cache_bytes = sizes->block_cache_bytes,
        .background_threads = 1,
        .create = !dir->identity.log_ready,
        .keep_free_bytes = BALLAST_BYTES,
        .policy = policy,
    };
    int st = tier_rocks_open(&options, reason, sizeof(reason), &dir->tier);
    if (st < 0)
        describe(error, "can't open the cold tier %s: %s%s", path, reason,
                 st == ST_NOSPACE ? ". The disk is full: make room, then start again" : "");
    return st;
}

/* Why the directory can't be made or opened. */
static const char *directory_trouble(const char *path, int st)
{
    char copy[1200];
    struct stat info;
    if (stat(path, &info) == 0)
        return S_ISDIR(info.st_mode) ? status_text(st) : "it is not a directory";
    snprintf(copy, sizeof(copy), "%s", path);
    if (st != ST_NOTFOUND)
        return status_text(st);
    return stat(dirname(copy), &info) == 0 ? "it can't be made there"
                                           : "the directory above it does not exist";
}

static int directory_lock(struct datadir *dir, char error[DATADIR_ERROR_BYTES])
{
    int st = disk_posix_open(dir->path, true, &dir->disk);
    if (st < 0) {
        describe(error, "can't open data directory %s: %s", dir->path,
                 directory_trouble(dir->path, st));
        return st;
    }
    st = disk_posix_lock(dir->disk, LOCK_FILE, &dir->lock_fd);
    if (st == ST_LOCKED)
        describe(error, "data directory %s is in use by another process", dir->path);
    else if (st < 0)
        describe(error, "can't write to data directory %s: %s", dir->path, status_text(st));
    return st;
}

int datadir_open(const struct settings *s, const struct config_sizes *sizes,
                 struct tier_policy policy, struct datadir *ret_dir,
                 char error[DATADIR_ERROR_BYTES])
{
    struct datadir dir = {.lock_fd = -1, .path = mem_strdup(s->data_dir)};
    int st = directory_lock(&dir, error);
    if (st == 0)
        ballast_drop(&dir.ballast, dir.disk, dir.path);
    if (st == 0)
        st = identity_open(&dir, s, error);
    if (st == 0) {
        st = sub_directory(&dir, "log", &dir.log_disk);
        if (st < 0)
            describe(error, "can't open %s/log: %s", dir.path, status_text(st));
        else
            dir.log_synced = synced_file_open(dir.log_disk, dir.identity.log_id);
    }
    if (st == 0)
        st = tier_open(&dir, sizes, policy, error);
    if (st == 0)
        st = log_check(&dir, error);
    if (st == 0)
        st = birth_check(&dir, s, error);
    if (st < 0)
        datadir_close(&dir);
    else
        *ret_dir = dir;
    return st;
}

/* Enough for this run's first stamps. A floor that is ahead already (after a crash) is moved on by
 * little, so that quick restarts don't carry the clock away. */
static uint64_t clock_bound(const struct identity *id, uint64_t now_ms)
{
    uint64_t ahead_ms = now_ms + DATADIR_CLOCK_AHEAD_MS;
    uint64_t floor_ms = hlc_wall_ms(id->clock_max) + CLOCK_STEP_MS;
    return hlc_stamp(floor_ms > ahead_ms ? floor_ms : ahead_ms, 0);
}

int datadir_begin(struct datadir *dir, const struct settings *s, bool log_torn, bool log_loss,
                  uint64_t now_ms)
{
    struct identity *id = &dir->identity;
    struct identity_past past = {.log_torn = log_torn, .log_loss = log_loss};
    char boot[IDENTITY_BOOT_BYTES];
    bool synced = s->fsync == FSYNC_ALWAYS;
    machine_boot_id(boot, sizeof(boot));
    past.boot_id = boot;
    if (identity_actor_fresh(id, &past)) {
        id->actor = random_u64();
        id->durable = synced;
        log_event(LOG_NOTICE, "actor_fresh", "actor=%016llx", (unsigned long long)id->actor);
    } else {
        id->durable = id->durable && synced;
    }
    strcpy(id->boot_id, boot);
    id->log_ready = true;
    id->clean = false;
    id->clock_max = clock_bound(id, now_ms);
    return identity_save(dir->disk, id);
}

int datadir_reserve(struct datadir *dir, uint64_t now_ms, bool *ret_moved)
{
    uint64_t end_ms = hlc_wall_ms(dir->identity.clock_max);
    *ret_moved = false;
    if (end_ms > now_ms + DATADIR_CLOCK_AHEAD_MS / 2)
        return 0;
    struct identity next = dir->identity;
    next.clock_max = hlc_stamp(now_ms + DATADIR_CLOCK_AHEAD_MS, 0);
    int st = identity_save(dir->disk, &next);
    if (st < 0)
        return st;
    dir->identity = next;
    *ret_moved = true;
    return 0;
}

int datadir_end(struct datadir *dir, uint64_t last_stamp)
{
    dir->identity.clean = true;
    if (last_stamp != 0)
        dir->identity.clock_max = last_stamp;
    return identity_save(dir->disk, &dir->identity);
}

void datadir_close(struct datadir *dir)
{
    if (dir->tier != NULL)
        dir->tier->ops->close(dir->tier);
    synced_file_close(dir->log_synced);
    disk_posix_close(dir->log_disk);
    if (dir->lock_fd >= 0)
        disk_posix_unlock(dir->lock_fd);
    disk_posix_close(dir->disk);
    free(dir->path);
    *dir = (struct datadir){.lock_fd = -1};
}
