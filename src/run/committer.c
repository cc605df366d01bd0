#include "run/committer.h"

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/thread.h"

/* Twice what a shard may have in its batch when it asks for room (BATCH_BYTES_MAX in shard.c). */
#define SHARE_BYTES_DEFAULT (UINT64_C(2) << 20)
/* Records up to this part of a segment don't get a segment of their own. */
#define SEGMENT_PART  4
#define SYNC_EVERY_MS 1000
#define DISK_RETRY_MS 1000
#define ROOM_WAIT_MS  2000
/* What was promised and not written is given back at the turn's end. */
#define PROMISE_WAIT_MS 50
/* A disk that syncs faster than this is synced by the shard that wrote, see committer_turn_ended().
 */
#define SYNC_QUICK_US    500
#define SYNC_MEAN_WEIGHT 8 /* of the past, in the mean of what a sync takes */

struct committer {
    struct committer_options options;
    struct disk *disk;
    pthread_mutex_t lock;      /* of all below that is not atomic */
    pthread_cond_t sync_due;   /* to the sync thread */
    pthread_cond_t sync_ended; /* to committer_sync() */
    pthread_cond_t keep_due;   /* to the keeper thread */
    pthread_cond_t room_made;  /* to committer_room(), committer_hold() */
    struct log *log;
    uint64_t small_bytes; /* records up to it are paid from the shard's share, without the lock */
    /* To each shard: bytes of one larger record. Written with the lock, by the shard's thread. */
    uint64_t *promised;
    pthread_t sync_thread, keeper_thread;
    bool sync_started, keeper_started, stopping, sync_waits, sync_asked;
    bool sync_told;         /* `synced` is to be called after the next sync, whatever the policy */
    bool sync_handed;       /* a shard found a sync under way and left its own to the sync thread */
    bool syncing;           /* somebody does, without the lock */
    uint64_t sync_us_mean8; /* SYNC_MEAN_WEIGHT times the mean; 0: none yet */
    bool removing;          /* the keeper takes dead segments away */
    unsigned holds;
    uint64_t truncate_lsn;   /* asked for, while held or not yet done */
    uint64_t oversize_bytes; /* a record so large wants a segment of its own */
    struct committer_stats stats;
    _Atomic uint64_t end_lsn, synced_lsn;
    atomic_bool small_fits; /* there is room for all shares and promises */
    atomic_bool disk_full;
};

static struct timespec after_ms(uint64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Nothing may be acknowledged from here on. */
static void broken(struct committer *c, const char *what, int st)
{
    log_event(LOG_ERROR, "log_broken", "while=%s error=%s", what, status_text(st));
    if (c->options.broken == NULL)
        _exit(EXIT_LOG_BROKEN);
    c->options.broken(c->options.ctx, st);
}

/* --- room; called with the lock --- */

/* What has to fit for the shard to get `bytes`, beside what all others have; *ret_record_bytes: the
 * largest record in it. log_room() for that record holds in whatever order they are appended. */
static uint64_t room_needed(const struct committer *c, unsigned shard, uint64_t bytes,
                            uint64_t *ret_record_bytes)
{
    uint64_t need = c->options.shards * c->options.share_bytes;
    uint64_t largest = c->small_bytes;
    for (unsigned i = 0; i < c->options.shards; i++) {
        uint64_t promised = i == shard ? bytes : c->promised[i];
        need += promised;
        largest = promised > largest ? promised : largest;
    }
    *ret_record_bytes = largest;
    return need;
}

static bool shares_fit(const struct committer *c)
{
    uint64_t record_bytes, need = room_needed(c, UINT_MAX, 0, &record_bytes);
    return log_room(c->log, record_bytes) >= need;
}

/* --- what other threads may look at without the lock; called with it --- */

static void publish(struct committer *c)
{
    atomic_store_explicit(&c->end_lsn, log_end_lsn(c->log), memory_order_release);
    atomic_store_explicit(&c->synced_lsn, log_synced_lsn(c->log), memory_order_release);
    atomic_store_explicit(&c->small_fits, shares_fit(c), memory_order_relaxed);
    if (log_needs_spare(c->log) || c->oversize_bytes != 0)
        pthread_cond_signal(&c->keep_due);
}

/* --- syncing --- */

static bool unsynced(const struct committer *c)
{
    return log_synced_lsn(c->log) < log_end_lsn(c->log);
}

static void sync_took(struct committer *c, uint64_t took_us)
{
    c->stats.syncs++;
    c->stats.sync_us_total += took_us;
    if (took_us > c->stats.sync_us_max)
        c->stats.sync_us_max = took_us;
    if (c->sync_us_mean8 == 0)
        c->sync_us_mean8 = took_us * SYNC_MEAN_WEIGHT;
    else
        c->sync_us_mean8 += took_us - c->sync_us_mean8 / SYNC_MEAN_WEIGHT;
}

/* One sync, with the lock given up meanwhile. */
static void sync_once(struct committer *c)
{
    struct log_sync sync;
    CHECK(!c->syncing);
    if (!log_sync_begin(c->log, &sync))
        return;
    bool told = c->sync_told;
    c->sync_told = false;
    c->syncing = true;
    pthread_mutex_unlock(&c->lock);
    uint64_t begin_us = clock_us();
    int st = log_sync_run(&sync);
    if (st == 0)
        synced_file_write(c->options.synced_file, sync.target_lsn);
    uint64_t took_us = clock_us() - begin_us;
    pthread_mutex_lock(&c->lock);
    c->syncing = false;
    st = log_sync_end(c->log, &sync, st);
    if (st < 0) {
        broken(c, "sync", st);
        return;
    }
    sync_took(c, took_us);
    publish(c);
    pthread_cond_broadcast(&c->sync_ended);
    if ((c->options.policy == FSYNC_ALWAYS || told) && c->options.synced != NULL)
        c->options.synced(c->options.ctx);
}

/* Whether the shards sync by themselves. */
static bool sync_quick(const struct committer *c)
{
    return c->sync_us_mean8 != 0 && c->sync_us_mean8 < SYNC_QUICK_US * SYNC_MEAN_WEIGHT;
}

/* Sleeps until a sync is due for the sync thread; false: stop. */
static bool sync_wait(struct committer *c, uint64_t *next_us)
{
    while (!c->stopping) {
        if (!c->syncing && (c->sync_asked || (c->options.policy == FSYNC_ALWAYS && unsynced(c) &&
                                              (c->sync_handed || !sync_quick(c)))))
            return true;
        c->sync_waits = true;
        if (c->options.policy == FSYNC_EVERYSEC) {
            uint64_t now_us = clock_us();
            if (now_us >= *next_us) {
                *next_us = now_us + SYNC_EVERY_MS * 1000;
                c->sync_waits = false;
                return true;
            }
            struct timespec until = after_ms((*next_us - now_us) / 1000 + 1);
            pthread_cond_timedwait(&c->sync_due, &c->lock, &until);
        } else {
            pthread_cond_wait(&c->sync_due, &c->lock);
        }
        c->sync_waits = false;
    }
    return false;
}

static void *sync_body(void *argument)
{
    struct committer *c = argument;
    uint64_t next_us = clock_us() + SYNC_EVERY_MS * 1000;
    thread_name("torc-sync");
    pthread_mutex_lock(&c->lock);
    while (sync_wait(c, &next_us) && log_status(c->log) == 0) {
        c->sync_asked = false;
        c->sync_handed = false;
        if (unsynced(c)) {
            sync_once(c);
        } else if (log_mark(c->log) < 0) { /* idle: write down how far it is synced */
            broken(c, "mark", log_status(c->log));
        }
        publish(c);
        pthread_cond_broadcast(&c->sync_ended);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void sync_thread_wake(struct committer *c)
{
    if (!c->sync_waits)
        return;
    c->sync_waits = false;
    pthread_cond_signal(&c->sync_due);
}

void committer_turn_ended(struct committer *c)
{
    if (c->options.policy != FSYNC_ALWAYS || committer_synced_lsn(c) >= committer_end_lsn(c))
        return;
    pthread_mutex_lock(&c->lock);
    if (sync_quick(c) && !c->syncing && unsynced(c) && log_status(c->log) == 0) {
        sync_once(c);
        if (c->sync_asked || c->sync_handed)
            sync_thread_wake(c);
    } else if (unsynced(c)) {
        c->sync_handed = true;
        sync_thread_wake(c);
    }
    pthread_mutex_unlock(&c->lock);
}

int committer_sync(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t target_lsn = log_end_lsn(c->log);
    while (log_status(c->log) == 0 && log_synced_lsn(c->log) < target_lsn) {
        c->sync_asked = true;
        pthread_cond_signal(&c->sync_due);
        pthread_cond_wait(&c->sync_ended, &c->lock);
    }
    int st = log_status(c->log);
    pthread_mutex_unlock(&c->lock);
    return st;
}

void committer_sync_soon(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    c->sync_asked = true;
    c->sync_told = true;
    pthread_cond_signal(&c->sync_due);
    pthread_mutex_unlock(&c->lock);
}

int committer_read(struct committer *c, uint64_t lsn, struct buffer *scratch,
                   struct log_record *ret_record)
{
    pthread_mutex_lock(&c->lock);
    int st = log_read(c->log, lsn, scratch, ret_record);
    pthread_mutex_unlock(&c->lock);
    return st;
}

/* --- spare segments and dead ones --- */

static void disk_full_set(struct committer *c, bool full)
{
    if (atomic_exchange(&c->disk_full, full) == full)
        return;
    if (full)
        log_event(LOG_ERROR, "disk_full", "writes=refused");
    else
        log_event(LOG_NOTICE, "disk_room_again", "writes=accepted");
    pthread_cond_broadcast(&c->room_made);
}

/* Makes one spare without the lock. Returns false when the disk gave none. */
static bool spare_make(struct committer *c)
{
    uint64_t bytes = log_segment_bytes(c->log);
    if (c->oversize_bytes != 0)
        bytes = log_spare_bytes_for(c->oversize_bytes);
    struct log_spare *spare = NULL;
    pthread_mutex_unlock(&c->lock);
    int st = log_spare_create(c->disk, bytes, &spare);
    pthread_mutex_lock(&c->lock);
    if (st < 0) {
        if (st != ST_NOSPACE)
            log_event(LOG_ERROR, "log_segment_not_made", "bytes=%" PRIu64 " error=%s", bytes,
                      status_text(st));
        disk_full_set(c, true);
        return false;
    }
    if (bytes > log_segment_bytes(c->log))
        c->oversize_bytes = 0;
    log_spare_add(c->log, spare);
    disk_full_set(c, false);
    publish(c);
    pthread_cond_broadcast(&c->room_made);
    return true;
}

/* Takes dead segments away one at a time, without the lock. */
static void dead_remove(struct committer *c)
{
    struct log_spare *dead;
    bool recycle;
    while ((dead = log_take_dead(c->log, &recycle)) != NULL) {
        pthread_mutex_unlock(&c->lock);
        int st = recycle ? log_spare_recycle(dead) : log_spare_remove(dead);
        pthread_mutex_lock(&c->lock);
        if (st < 0) {
            log_break(c->log, st);
            broken(c, "truncate", st);
            return;
        }
        if (recycle)
            log_spare_add(c->log, dead);
        else
            disk_full_set(c, false); /* try again now */
        publish(c);
        pthread_cond_broadcast(&c->room_made);
    }
}

static bool spare_wanted(const struct committer *c)
{
    return log_needs_spare(c->log) || c->oversize_bytes != 0;
}

static void *keeper_body(void *argument)
{
    struct committer *c = argument;
    thread_name("torc-keeper");
    pthread_mutex_lock(&c->lock);
    while (!c->stopping && log_status(c->log) == 0) {
        if (c->truncate_lsn > log_start_lsn(c->log) && c->holds == 0) {
            log_truncate(c->log, c->truncate_lsn);
            c->truncate_lsn = 0;
            publish(c);
            c->removing = true;
            dead_remove(c);
            c->removing = false;
            pthread_cond_broadcast(&c->room_made);
            continue;
        }
        if (spare_wanted(c) && spare_make(c))
            continue;
        if (atomic_load(&c->disk_full)) {
            struct timespec until = after_ms(DISK_RETRY_MS);
            pthread_cond_timedwait(&c->keep_due, &c->lock, &until);
            if (!spare_wanted(c))
                disk_full_set(c, false);
        } else {
            pthread_cond_wait(&c->keep_due, &c->lock);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

void committer_truncate(struct committer *c, uint64_t lsn)
{
    pthread_mutex_lock(&c->lock);
    if (lsn > c->truncate_lsn)
        c->truncate_lsn = lsn;
    pthread_cond_signal(&c->keep_due);
    pthread_mutex_unlock(&c->lock);
}

void committer_hold(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    c->holds++;
    while (c->removing) /* who copies segments must not find some of those that go */
        pthread_cond_wait(&c->room_made, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void committer_unhold(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    CHECK(c->holds > 0);
    c->holds--;
    pthread_cond_signal(&c->keep_due);
    pthread_mutex_unlock(&c->lock);
}

/* --- appending --- */

/* For a record so large that it gets a segment of its own, one for all that is needed: one for the
 * record alone would never be enough. */
static void oversize_ask(struct committer *c, uint64_t record_bytes, uint64_t need)
{
    if (record_bytes > log_segment_bytes(c->log) / SEGMENT_PART &&
        log_spare_bytes_for(need) > log_segment_bytes(c->log) && c->oversize_bytes < need)
        c->oversize_bytes = need;
}

static bool spare_comes(const struct committer *c)
{
    return spare_wanted(c) && !atomic_load(&c->disk_full);
}

/* There would be room, were it not for what is promised to others. */
static bool others_hold_it(const struct committer *c, unsigned shard, uint64_t bytes)
{
    uint64_t alone = c->options.shards * c->options.share_bytes + bytes, record_bytes;
    uint64_t need = room_needed(c, shard, bytes, &record_bytes);
    return need > alone &&
           log_room(c->log, bytes > c->small_bytes ? bytes : c->small_bytes) >= alone;
}

/* Waits until the room is there, the disk is found full, or too long has passed. Called with the
 * lock. */
static bool room_wait(struct committer *c, unsigned shard, uint64_t bytes)
{
    struct timespec until = after_ms(ROOM_WAIT_MS), until_given_back = after_ms(PROMISE_WAIT_MS);
    bool late = false;
    while (log_status(c->log) == 0) {
        uint64_t record_bytes, need = room_needed(c, shard, bytes, &record_bytes);
        if (log_room(c->log, record_bytes) >= need)
            return true;
        oversize_ask(c, bytes, need);
        pthread_cond_signal(&c->keep_due);
        bool comes = spare_comes(c);
        if (late || !(comes || others_hold_it(c, shard, bytes))) {
            c->oversize_bytes = 0; /* who still waits for one asks again */
            return false;
        }
        const struct timespec *limit = comes ? &until : &until_given_back;
        late = pthread_cond_timedwait(&c->room_made, &c->lock, limit) != 0;
    }
    return false;
}

bool committer_room(struct committer *c, unsigned shard, uint64_t bytes)
{
    CHECK(shard < c->options.shards);
    bool small = bytes <= c->small_bytes;
    if (likely(small && c->promised[shard] == 0 &&
               (bytes == 0 || atomic_load_explicit(&c->small_fits, memory_order_relaxed))))
        return true;
    pthread_mutex_lock(&c->lock);
    bool gives_back = c->promised[shard] > 0;
    c->promised[shard] = 0;
    bool enough = bytes == 0 || room_wait(c, shard, small ? 0 : bytes);
    if (enough && !small)
        c->promised[shard] = bytes;
    publish(c);
    if (gives_back)
        pthread_cond_broadcast(&c->room_made);
    pthread_mutex_unlock(&c->lock);
    return enough;
}

/* The shard wrote so much of what it was promised. Called with the lock. */
static void promise_spend(struct committer *c, unsigned shard, uint64_t bytes)
{
    if (likely(c->promised[shard] == 0))
        return;
    c->promised[shard] -= bytes < c->promised[shard] ? bytes : c->promised[shard];
    pthread_cond_broadcast(&c->room_made);
}

/* What was promised does fit; this is for who appends without having asked. Called with the lock.
 */
static bool append_wait(struct committer *c, uint64_t bytes)
{
    struct timespec until = after_ms(ROOM_WAIT_MS);
    while (log_status(c->log) == 0 && log_room(c->log, bytes) < bytes) {
        oversize_ask(c, bytes, bytes);
        pthread_cond_signal(&c->keep_due);
        if (!spare_comes(c) || pthread_cond_timedwait(&c->room_made, &c->lock, &until) != 0)
            return false;
    }
    return log_status(c->log) == 0;
}

int committer_append(struct committer *c, unsigned shard, struct log_batch *batch,
                     uint64_t *ret_end_lsn)
{
    CHECK(shard < c->options.shards);
    uint64_t bytes = log_batch_bytes(batch);
    pthread_mutex_lock(&c->lock);
    int st = log_append(c->log, batch, ret_end_lsn);
    if (st == ST_NOSPACE && append_wait(c, bytes))
        st = log_append(c->log, batch, ret_end_lsn);
    if (st == 0) {
        c->stats.appends++;
        c->stats.appended_bytes += bytes;
        promise_spend(c, shard, bytes);
        publish(c);
        if (c->options.policy == FSYNC_ALWAYS && !sync_quick(c))
            sync_thread_wake(c);
    }
    pthread_mutex_unlock(&c->lock);
    if (st != 0)
        broken(c, "append", st); /* what was executed can't be kept: nothing more is answered */
    return st;
}

bool committer_disk_full(const struct committer *c)
{
    return atomic_load_explicit(&((struct committer *)(uintptr_t)c)->disk_full,
                                memory_order_relaxed);
}

uint64_t committer_end_lsn(const struct committer *c)
{
    return atomic_load_explicit(&((struct committer *)(uintptr_t)c)->end_lsn, memory_order_acquire);
}

uint64_t committer_synced_lsn(const struct committer *c)
{
    return atomic_load_explicit(&((struct committer *)(uintptr_t)c)->synced_lsn,
                                memory_order_acquire);
}

void committer_stats(struct committer *c, struct committer_stats *ret_stats)
{
    pthread_mutex_lock(&c->lock);
    *ret_stats = c->stats;
    ret_stats->start_lsn = log_start_lsn(c->log);
    ret_stats->end_lsn = log_end_lsn(c->log);
    ret_stats->synced_lsn = log_synced_lsn(c->log);
    pthread_mutex_unlock(&c->lock);
}

/* --- life --- */

static void threads_stop(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_broadcast(&c->sync_due);
    pthread_cond_broadcast(&c->keep_due);
    pthread_mutex_unlock(&c->lock);
    if (c->sync_started)
        pthread_join(c->sync_thread, NULL);
    if (c->keeper_started)
        pthread_join(c->keeper_thread, NULL);
}

static void committer_destroy(struct committer *c)
{
    log_free(c->log);
    pthread_cond_destroy(&c->sync_due);
    pthread_cond_destroy(&c->sync_ended);
    pthread_cond_destroy(&c->keep_due);
    pthread_cond_destroy(&c->room_made);
    pthread_mutex_destroy(&c->lock);
    free(c->promised);
    free(c);
}

unsigned committer_spares(unsigned shards, uint64_t segment_bytes)
{
    uint64_t useful_bytes = segment_bytes - SHARE_BYTES_DEFAULT; /* none holds more than that */
    uint64_t shares = (shards * SHARE_BYTES_DEFAULT + useful_bytes - 1) / useful_bytes;
    return (unsigned)shares + 1;
}

int committer_create(struct disk *disk, struct log *log, const struct committer_options *options,
                     struct committer **ret_committer)
{
    struct committer *c = mem_zalloc(sizeof(*c));
    c->options = *options;
    c->disk = disk;
    c->log = log;
    if (c->options.share_bytes == 0)
        c->options.share_bytes = SHARE_BYTES_DEFAULT;
    c->small_bytes = c->options.share_bytes / 2;
    c->promised = mem_zalloc((options->shards + 1) * sizeof(*c->promised));
    pthread_mutex_init(&c->lock, NULL);
    cond_init(&c->sync_due);
    cond_init(&c->sync_ended);
    cond_init(&c->keep_due);
    cond_init(&c->room_made);
    publish(c);
    int err = thread_start(&c->sync_thread, sync_body, c);
    c->sync_started = err == 0;
    if (err == 0) {
        err = thread_start(&c->keeper_thread, keeper_body, c);
        c->keeper_started = err == 0;
    }
    if (err != 0) {
        threads_stop(c);
        c->log = NULL; /* stays the caller's */
        committer_destroy(c);
        return status_from_errno(err);
    }
    *ret_committer = c;
    return 0;
}

int committer_close(struct committer *c)
{
    threads_stop(c);
    pthread_mutex_lock(&c->lock);
    int st = log_status(c->log);
    if (st == 0)
        st = log_close_mark(c->log);
    while (st == 0 && unsynced(c)) {
        sync_once(c);
        st = log_status(c->log);
    }
    pthread_mutex_unlock(&c->lock);
    committer_destroy(c);
    return st;
}
