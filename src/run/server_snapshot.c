/* Snapshots: SAVE, BGSAVE and snapshot-every, each on a thread of its own.
 *
 *   1. the log's start is held, so nothing that was flushed is cut off meanwhile;
 *   2. all shards flush what they have, and the log is synced up to a position E;
 *   3. NAME.tmp/ gets a checkpoint of the cold tier (hard links), then the log's segments up to E,
 *      copied, then the identity, marked so that a node started from it takes a fresh actor;
 *   4. all is synced and NAME.tmp/ becomes NAME/; the oldest beyond snapshot-keep are removed.
 *
 * The log is read after the checkpoint was made and its start was held before, so what is not in
 * the one is in the other; replay skips what the checkpoint has. A snapshot is a data directory:
 * copy it somewhere and start torcd on the copy. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/disk_posix.h"
#include "run/server_private.h"
#include "run/thread.h"
#include "store/log_format.h"

#define FLUSH_POLL_US      2000
#define COPY_BYTES         (1u << 20)
#define SNAPSHOT_PATH_MAX  1400
#define SNAPSHOT_NAME_FORM "%Y%m%dT%H%M%SZ"

struct snapshot {
    struct server *server;
    struct node_snapshot *request; /* NULL: by snapshot-every */
    struct env_task reply;
    pthread_t thread;
    atomic_bool finished;
    int status;
    char path[512];
};

static uint64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- flushing the shards --- */

struct flush_call {
    uint64_t lsn, failures; /* to reach; so far */
};

static void shard_flush(struct shard_thread *t, void *ctx)
{
    struct flush_call *call = ctx;
    /* What this turn has not yet written to the log is above the position told to the engine. */
    call->lsn = log_batch_bytes(&t->shard->batch) == 0 ? committer_end_lsn(t->shared->committer)
                                                       : t->shard->lsn;
    call->failures = engine_flush_failures(t->shard->engine);
    engine_flush(t->shard->engine, call->lsn);
}

/* Why the flush that was asked for won't end soon, else 0. */
static int flush_hindrance(struct server *server, struct shard_thread *t,
                           const struct flush_call *call)
{
    if (atomic_load(&server->stop))
        return ST_CLOSED;
    if (committer_disk_full(server->shared.committer))
        return ST_NOSPACE;
    bool failed = atomic_load_explicit(&t->flush_failures, memory_order_acquire) > call->failures;
    int error = atomic_load_explicit(&t->flush_error, memory_order_relaxed);
    return failed || error != ST_NOSPACE ? error : 0; /* one for want of space is tried again */
}

static int shards_flush(struct server *server)
{
    struct flush_call calls[NODE_SHARDS_MAX];
    for (unsigned i = 0; i < server->shared.count; i++)
        shard_thread_call(server->shared.threads[i], shard_flush, &calls[i]);
    for (unsigned i = 0; i < server->shared.count; i++) {
        struct shard_thread *t = server->shared.threads[i];
        while (atomic_load_explicit(&t->flushed_lsn, memory_order_acquire) < calls[i].lsn) {
            int st = flush_hindrance(server, t, &calls[i]);
            if (st < 0)
                return st;
            usleep(FLUSH_POLL_US);
        }
    }
    return 0;
}

/* --- copying the log --- */

/* Copies the segment's bytes up to position end_lsn; the rest of the file is a hole. */
static int segment_copy(struct disk_file *from, struct disk_file *to, uint64_t file_bytes,
                        uint64_t used_bytes)
{
    MEM_AUTO uint8_t *data = mem_alloc(COPY_BYTES);
    uint64_t offset = 0;
    int st = 0;
    while (offset < used_bytes && st == 0) {
        size_t want = used_bytes - offset < COPY_BYTES ? used_bytes - offset : COPY_BYTES, got;
        st = from->disk->ops->pread(from, data, want, offset, &got);
        if (st == 0 && got == 0)
            st = ST_CORRUPT;
        struct iovec iov = {.iov_base = data, .iov_len = st == 0 ? got : 0};
        if (st == 0)
            st = to->disk->ops->pwritev(to, &iov, 1, offset);
        offset += st == 0 ? got : 0;
    }
    if (st == 0)
        st = to->disk->ops->truncate(to, file_bytes);
    return st == 0 ? to->disk->ops->sync(to) : st;
}

struct log_copy {
    struct disk *from, *to;
    uint64_t end_lsn;
    int status;
};

static int segment_visit(struct log_copy *copy, const char *name)
{
    struct disk_file *from = NULL, *to = NULL;
    struct log_header header;
    uint8_t bytes[LOG_HEADER_USED_BYTES];
    uint64_t file_bytes = 0;
    size_t got = 0;
    int st = copy->from->ops->open(copy->from, name, DISK_READ, &from);
    if (st == ST_NOTFOUND)
        return 0; /* a spare that was renamed or removed */
    if (st == 0)
        st = copy->from->ops->pread(from, bytes, sizeof(bytes), 0, &got);
    if (st == 0)
        st = copy->from->ops->size(from, &file_bytes);
    bool wanted = st == 0 && got == sizeof(bytes) && log_header_get(bytes, &header) &&
                  header.state == LOG_SEGMENT_LIVE && header.base < copy->end_lsn;
    if (wanted)
        st = copy->to->ops->open(copy->to, name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &to);
    if (wanted && st == 0) {
        uint64_t used = LOG_HEADER_BYTES + copy->end_lsn - header.base;
        st = segment_copy(from, to, file_bytes, used < file_bytes ? used : file_bytes);
    }
    if (to != NULL)
        copy->to->ops->close(to);
    if (from != NULL)
        copy->from->ops->close(from);
    return st;
}

static void on_segment(void *ctx, const char *name)
{
    struct log_copy *copy = ctx;
    if (copy->status == 0)
        copy->status = segment_visit(copy, name);
}

static int log_copy_to(struct server *server, const char *path, uint64_t end_lsn)
{
    struct log_copy copy = {.from = server->dir.log_disk, .end_lsn = end_lsn};
    int st = disk_posix_open(path, true, &copy.to);
    if (st < 0)
        return st;
    st = copy.from->ops->list(copy.from, on_segment, &copy);
    if (st == 0)
        st = copy.status;
    if (st == 0)
        st = copy.to->ops->sync_dir(copy.to);
    disk_posix_close(copy.to);
    return st;
}

/* --- the directory --- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int identity_copy(struct server *server, struct disk *to)
{
    struct identity id = server->dir.identity;
    id.actor = 0; /* a node started from this copy is another one: it takes its own */
    id.durable = false;
    id.clean = false;
    return identity_save(to, &id);
}

static int fill(struct server *server, const char *path)
{
    char part[SNAPSHOT_PATH_MAX + 128];
    struct disk *disk = NULL;
    int st = disk_posix_open(path, true, &disk);
    if (st == 0)
        st = shards_flush(server);
    snprintf(part, sizeof(part), "%s/rocks", path);
    if (st == 0)
        st = server->dir.tier->ops->checkpoint(server->dir.tier, part);
    uint64_t end_lsn = committer_end_lsn(server->shared.committer);
    if (st == 0)
        st = committer_sync(server->shared.committer);
    snprintf(part, sizeof(part), "%s/log", path);
    if (st == 0)
        st = log_copy_to(server, part, end_lsn);
    if (st == 0)
        st = identity_copy(server, disk);
    if (st == 0)
        st = disk->ops->sync_dir(disk);
    disk_posix_close(disk);
    return st;
}

static void parent_path(const struct server *server, char out[SNAPSHOT_PATH_MAX])
{
    if (server->settings->snapshot_dir[0] != '\0')
        snprintf(out, SNAPSHOT_PATH_MAX, "%s", server->settings->snapshot_dir);
    else
        snprintf(out, SNAPSHOT_PATH_MAX, "%s/snapshots", server->dir.path);
}

static int is_snapshot(const struct dirent *entry)
{
    int year, time, end = 0;
    return sscanf(entry->d_name, "%8dT%6dZ%n", &year, &time, &end) == 2 && end == 16;
}

/* Names sort by time. */
static void prune(struct server *server, const char *parent)
{
    struct dirent **entries;
    const struct settings *s = __atomic_load_n(&server->shared.node->settings, __ATOMIC_ACQUIRE);
    int keep = (int)s->snapshot_keep; /* once: settings don't live as long as removing may take */
    int count = scandir(parent, &entries, is_snapshot, alphasort);
    for (int i = 0; i < count; i++) {
        char path[SNAPSHOT_PATH_MAX + 300];
        snprintf(path, sizeof(path), "%s/%s", parent, entries[i]->d_name);
        if (i < count - keep) {
            log_event(LOG_NOTICE, "snapshot_removed", "path=%s", path);
            remove_tree(path);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static int take(struct snapshot *snapshot)
{
    struct server *server = snapshot->server;
    char parent[SNAPSHOT_PATH_MAX], name[32], temporary[SNAPSHOT_PATH_MAX + 64],
        target[SNAPSHOT_PATH_MAX + 64];
    struct disk *disk = NULL;
    time_t now = time(NULL);
    struct tm utc;
    parent_path(server, parent);
    strftime(name, sizeof(name), SNAPSHOT_NAME_FORM, gmtime_r(&now, &utc));
    snprintf(temporary, sizeof(temporary), "%s/%s.tmp", parent, name);
    snprintf(target, sizeof(target), "%s/%s", parent, name);
    int st = disk_posix_open(parent, true, &disk);
    if (st == 0)
        remove_tree(temporary);
    if (st == 0)
        st = fill(server, temporary);
    if (st == 0)
        remove_tree(target); /* one taken in the same second, which this one replaces */
    if (st == 0 && rename(temporary, target) < 0)
        st = status_from_errno(errno);
    if (st == 0)
        st = disk->ops->sync_dir(disk);
    if (st < 0)
        remove_tree(temporary);
    else
        prune(server, parent);
    disk_posix_close(disk);
    if (strlen(target) >= sizeof(snapshot->path))
        return ST_LIMIT;
    strcpy(snapshot->path, target);
    return st;
}

/* --- requests --- */

static void reply_run(struct env_task *task, struct shard *on)
{
    struct snapshot *snapshot = container_of(task, struct snapshot, reply);
    struct node_snapshot *request = snapshot->request;
    snprintf(request->path, sizeof(request->path), "%s", snapshot->path);
    int st = snapshot->status;
    atomic_store(&snapshot->finished, true); /* may be freed from here on */
    request->done(request, st);
}

static void *snapshot_body(void *argument)
{
    struct snapshot *snapshot = argument;
    struct server *server = snapshot->server;
    struct node *node = server->shared.node;
    uint64_t begin_ms = wall_ms();
    thread_name("torc-snapshot");
    committer_hold(server->shared.committer);
    int st = take(snapshot);
    committer_unhold(server->shared.committer);
    snapshot->status = st;
    if (st == 0) {
        __atomic_store_n(&node->last_save_ms, wall_ms(), __ATOMIC_RELAXED);
        log_event(LOG_NOTICE, "snapshot", "path=%s ms=%" PRIu64, snapshot->path,
                  wall_ms() - begin_ms);
    } else {
        log_event(LOG_ERROR, "snapshot_failed", "error=%s", status_text(st));
    }
    if (snapshot->request == NULL) {
        atomic_store(&snapshot->finished, true);
        return NULL;
    }
    struct shard *home = snapshot->request->home;
    snapshot->reply.run = reply_run;
    CHECK(home->env->ops->post(&server->shared.threads[home->id]->env, home->id, &snapshot->reply,
                               true));
    return NULL;
}

/* Frees the last one if it has ended. Called with the lock. */
static void collect(struct server *server)
{
    struct snapshot *snapshot = server->snapshot;
    if (snapshot == NULL || !atomic_load(&snapshot->finished))
        return;
    pthread_join(snapshot->thread, NULL);
    free(snapshot);
    server->snapshot = NULL;
}

static int begin(struct server *server, struct node_snapshot *request)
{
    int st = ST_AGAIN;
    pthread_mutex_lock(&server->snapshot_lock);
    collect(server);
    if (!server->durable) {
        st = ST_UNSUPPORTED;
    } else if (server->snapshot == NULL && !atomic_load(&server->stop)) {
        struct snapshot *snapshot = mem_zalloc(sizeof(*snapshot));
        snapshot->server = server;
        snapshot->request = request;
        int err = thread_start(&snapshot->thread, snapshot_body, snapshot);
        st = err == 0 ? 0 : status_from_errno(err);
        if (st == 0)
            server->snapshot = snapshot;
        else
            free(snapshot);
    }
    pthread_mutex_unlock(&server->snapshot_lock);
    return st;
}

int server_snapshot(void *ctx, struct node_snapshot *request)
{
    return begin(ctx, request);
}

void server_snapshot_tick(struct server *server)
{
    const struct settings *s = __atomic_load_n(&server->shared.node->settings, __ATOMIC_ACQUIRE);
    uint64_t every_ms = (uint64_t)s->snapshot_every * 1000;
    uint64_t now_ms = wall_ms();
    if (server->snapshot_last_ms == 0 || server->snapshot_last_ms > now_ms)
        server->snapshot_last_ms = now_ms;
    if (every_ms > 0 && now_ms - server->snapshot_last_ms >= every_ms) {
        server->snapshot_last_ms = now_ms;
        begin(server, NULL); /* one that is under way will do */
    }
}

/* Before the threads stop: the one under way gives up where it waits for them. */
void server_snapshot_wait(struct server *server)
{
    pthread_mutex_lock(&server->snapshot_lock);
    struct snapshot *snapshot = server->snapshot;
    server->snapshot = NULL;
    pthread_mutex_unlock(&server->snapshot_lock);
    if (snapshot == NULL)
        return;
    pthread_join(snapshot->thread, NULL);
    while (!atomic_load(&snapshot->finished)) /* its reply is in a running thread's mailbox */
        usleep(FLUSH_POLL_US);
    free(snapshot);
}
