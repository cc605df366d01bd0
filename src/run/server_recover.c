/* Recovery and the other end of the log: what the shards have flushed is cut off. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/logger.h"
#include "base/status.h"
#include "run/notify.h"
#include "run/server_private.h"

#define PROGRESS_EVERY_MS    1000
#define FINISH_EVERY_RECORDS 256
#define PRESSURE_WAIT        900 /* per mille: replay waits for flushes from here on */
#define META_KEYSPACES       "keyspaces"

struct recovery {
    struct server *server;
    uint64_t records;
    uint64_t begin_ms, said_ms;
};

static uint64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void finish_some(struct server *server)
{
    for (unsigned i = 0; i < server->shared.count; i++)
        executor_finish(&server->shared.threads[i]->owner);
}

/* Lets the table be flushed when the log holds more than fits. Not on a full disk: there it grows
 * to what the log holds. */
static int relieve(struct server *server, uint64_t lsn)
{
    for (unsigned i = 0; i < server->shared.count; i++) {
        struct shard *s = server->shared.node->shard[i];
        while (engine_pressure(s->engine) >= PRESSURE_WAIT) {
            if (engine_flush_error(s->engine) == ST_NOSPACE)
                break; /* it fitted into memory before, and serving needs no room */
            if (engine_flush_error(s->engine) != 0)
                return engine_flush_error(s->engine);
            shard_thread_finish_work(server->shared.threads[i]);
            engine_turn(s->engine, lsn, s->now_ms);
        }
    }
    return 0;
}

static int on_replay(void *ctx, const struct log_record *record)
{
    struct recovery *r = ctx;
    int st = node_replay(r->server->shared.node, record->lsn, record);
    if (st < 0 || ++r->records % FINISH_EVERY_RECORDS != 0)
        return st;
    finish_some(r->server);
    return relieve(r->server, record->lsn);
}

static void on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct recovery *r = ctx;
    uint64_t now_ms = mono_ms();
    if (now_ms - r->said_ms < PROGRESS_EVERY_MS)
        return;
    r->said_ms = now_ms;
    char status[64];
    unsigned percent = total_bytes == 0 ? 100 : (unsigned)(done_bytes * 100 / total_bytes);
    log_event(LOG_NOTICE, "recovering", "percent=%u done_bytes=%" PRIu64 " total_bytes=%" PRIu64,
              percent, done_bytes, total_bytes);
    snprintf(status, sizeof(status), "STATUS=Recovering, %u %%", percent);
    notify_manager(status);
}

static int load_keyspaces(struct server *server, char error[CONFIG_ERROR_BYTES])
{
    BUFFER_AUTO struct buffer stored = {0};
    struct tier *tier = server->dir.tier;
    int st = tier->ops->get_meta(tier, slice_str(META_KEYSPACES), &stored);
    if (st == ST_NOTFOUND)
        return 0;
    if (st == 0)
        st = node_load_meta(server->shared.node, buffer_slice(&stored));
    if (st < 0)
        snprintf(error, CONFIG_ERROR_BYTES, "the keyspace map of %s can't be read: %s",
                 server->dir.path, status_text(st));
    return st;
}

static void describe_failure(const struct server *server, int st, const struct log_recovery *report,
                             char error[CONFIG_ERROR_BYTES])
{
    if (report->message[0] != '\0')
        snprintf(error, CONFIG_ERROR_BYTES, "%s/log: %s", server->dir.path, report->message);
    else
        snprintf(error, CONFIG_ERROR_BYTES, "%s/log/%s at offset %" PRIu64 ": %s", server->dir.path,
                 report->file, report->file_offset, status_text(st));
}

static void on_synced(void *ctx)
{
    struct server *server = ctx;
    for (unsigned i = 0; i < server->shared.count; i++)
        loop_wake(server->shared.threads[i]->loop);
}

static int committer_begin(struct server *server, struct log *log, char error[CONFIG_ERROR_BYTES])
{
    struct committer_options options = {
        .policy = server->settings->fsync,
        .shards = server->shared.count,
        .synced_file = server->dir.log_synced,
        .synced = on_synced,
        .ctx = server,
    };
    struct committer *committer;
    int st = committer_create(server->dir.log_disk, log, &options, &committer);
    if (st == 0) {
        __atomic_store_n(&server->shared.committer, committer, __ATOMIC_RELEASE);
    } else {
        log_free(log);
        snprintf(error, CONFIG_ERROR_BYTES, "can't start threads: %s", status_text(st));
    }
    return st;
}

int server_recover(struct server *server, char error[CONFIG_ERROR_BYTES])
{
    struct recovery recovery = {.server = server, .begin_ms = mono_ms(), .said_ms = mono_ms()};
    struct log_callbacks callbacks = {
        .replay = on_replay, .progress = on_progress, .ctx = &recovery};
    struct log_options options = {
        .log_id = server->dir.identity.log_id,
        .segment_bytes = (uint64_t)server->settings->log_segment_bytes,
        .spares_ready =
            committer_spares(server->shared.count, (uint64_t)server->settings->log_segment_bytes),
        .start_max = server->dir.log_needed,
        .synced_min = synced_file_position(server->dir.log_synced),
        .create = !server->dir.identity.log_ready,
        .cut_corrupt = server->settings->accept_corrupt_log,
    };
    struct log_recovery report = {0};
    struct log *log;
    int st = load_keyspaces(server, error);
    if (st < 0)
        return st;
    st = log_open(server->dir.log_disk, &options, &callbacks, &report, &log);
    if (st < 0) {
        describe_failure(server, st, &report, error);
        return st;
    }
    if (report.message[0] != '\0')
        log_event(LOG_WARNING, "log_cut", "file=%s offset=%" PRIu64 " message=%s", report.file,
                  report.file_offset, report.message);
    st = datadir_begin(&server->dir, server->settings, report.torn, report.loss || report.gap,
                       server->shared.node->start_wall_ms);
    if (st == 0 && report.gap) /* accepted once and for all */
        st = datadir_log_needed(&server->dir, report.start_lsn);
    if (st < 0) {
        log_free(log);
        snprintf(error, CONFIG_ERROR_BYTES, "can't write to data directory %s: %s",
                 server->dir.path, status_text(st));
        return st;
    }
    ballast_keep(&server->dir.ballast); /* before spare segments take the room */
    server->shared.node->actor = server->dir.identity.actor;
    node_hlc_reserved(server->shared.node, server->dir.identity.clock_max);
    log_event(LOG_NOTICE, "recovered",
              "records=%" PRIu64 " bytes=%" PRIu64 " clean=%s torn_bytes=%" PRIu64 " ms=%" PRIu64,
              report.records, report.end_lsn - report.start_lsn, report.clean ? "yes" : "no",
              report.torn_bytes, mono_ms() - recovery.begin_ms);
    return committer_begin(server, log, error);
}

/* --- the log's start --- */

struct encode_call {
    struct buffer map;
    uint64_t version;
};

/* On shard 0's thread, where the map doesn't change meanwhile: that takes all shards. */
static void encode_keyspaces(struct shard_thread *t, void *ctx)
{
    struct encode_call *call = ctx;
    shard_settle(t->shard); /* the change is in the log */
    node_keyspaces_encode(t->shared->node, &call->map);
    call->version = node_keyspaces_version(t->shared->node);
}

/* Changes of the map are log records like others: before they are cut off, the map is stored. */
static int store_keyspaces(struct server *server)
{
    struct node *node = server->shared.node;
    struct encode_call call = {0};
    if (node_keyspaces_version(node) == node->keyspaces_stored_version)
        return 0;
    shard_thread_call(server->shared.threads[0], encode_keyspaces, &call);
    struct tier *tier = server->dir.tier;
    int st = committer_sync(server->shared.committer); /* nothing older than the map may be lost */
    if (st == 0)
        st = tier->ops->put_meta(tier, slice_str(META_KEYSPACES), buffer_slice(&call.map));
    if (st == 0)
        node->keyspaces_stored_version = call.version;
    buffer_free(&call.map);
    return st;
}

void server_truncate(struct server *server)
{
    uint64_t lsn = UINT64_MAX;
    for (unsigned i = 0; i < server->shared.count; i++) {
        uint64_t flushed =
            atomic_load_explicit(&server->shared.threads[i]->flushed_lsn, memory_order_acquire);
        lsn = flushed < lsn ? flushed : lsn;
    }
    if (lsn <= server->truncated_lsn)
        return;
    int st = store_keyspaces(server);
    if (st < 0) {
        log_event(LOG_ERROR, "keyspaces_not_stored", "error=%s", status_text(st));
        return;
    }
    st = datadir_log_needed(&server->dir, lsn);
    if (st < 0) {
        log_event(LOG_ERROR, "log_not_truncated", "error=%s", status_text(st));
        return;
    }
    committer_truncate(server->shared.committer, lsn);
    __atomic_store_n(&server->truncated_lsn, lsn, __ATOMIC_RELAXED);
}

void server_work_finish(struct server *server)
{
    for (unsigned i = 0; i < server->shared.count; i++) {
        struct shard_thread *t = server->shared.threads[i];
        if (t != NULL && t->shard != NULL)
            engine_counts_stop(t->shard->engine);
        while (t != NULL && t->shard != NULL && !engine_idle(t->shard->engine))
            shard_thread_finish_work(t);
    }
}
