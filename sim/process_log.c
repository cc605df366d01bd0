/* The commit log under a simulated process: what src/run/committer.c does with two threads, in
 * events. Syncs take time, and take effect somewhere in the middle of it; spares are made and dead
 * segments taken away one at a time, so that a crash comes between any two of these steps. */
#include "base/check.h"
#include "base/status.h"
#include "node/shard.h"
#include "sim/process_private.h"

#define SEGMENT_BYTES_DEFAULT (UINT64_C(512) << 10)
#define ROOM_MIN_BYTES        (SHARD_BATCH_BYTES_MAX * 3 / 2)
#define SPARES_MAX            32 /* as log_open() takes */
#define SYNC_MEAN_US          2000
#define KEEPER_MEAN_US        2000
#define SYNC_EVERY_US         1000000

static void log_trouble(struct process *p, int st)
{
    bool stopped = sim_disk_stopped(p->disk) || sim_disk_stopped(p->home);
    world_mark(p->options.world, stopped ? "crash_in_write" : "log_broken");
    process_doom(p, stopped ? PROCESS_POWERCUT : PROCESS_KILL, st);
}

static bool unsynced(const struct process *p)
{
    return log_synced_lsn(p->log) < log_end_lsn(p->log);
}

/* --- syncing --- */

static void sync_begin(struct process *p)
{
    if (p->sync_active || p->dying || !log_sync_begin(p->log, &p->sync))
        return;
    p->sync_active = true;
    p->sync_ran = false;
    p->sync_asked = false;
    uint64_t mean_us = p->options.sync_mean_us > 0 ? p->options.sync_mean_us : SYNC_MEAN_US;
    world_after(p->options.world, &p->sync_event, process_delay_us(p, mean_us / 2));
}

static int sync_end(struct process *p)
{
    p->sync_active = false;
    int st = log_sync_end(p->log, &p->sync, p->sync_status);
    p->stats.syncs++;
    world_trace(p->options.world, p->options.id, "synced", {"lsn", log_synced_lsn(p->log)},
                {"status", (uint64_t)(int64_t)st});
    if (st < 0)
        log_trouble(p, st);
    else
        process_ready(p);
    return st;
}

static void sync_fire(struct world_event *event)
{
    struct process *p = container_of(event, struct process, sync_event);
    if (process_asleep(p, event))
        return;
    if (!p->sync_ran) {
        p->sync_status = log_sync_run(&p->sync);
        p->sync_ran = true;
        uint64_t mean_us = p->options.sync_mean_us > 0 ? p->options.sync_mean_us : SYNC_MEAN_US;
        world_after(p->options.world, event, process_delay_us(p, mean_us / 2));
        return;
    }
    if (sync_end(p) == 0 && unsynced(p) && (p->sync_asked || p->options.sync_always))
        sync_begin(p);
}

void process_log_sync_soon(struct process *p)
{
    if (p->log == NULL || !unsynced(p))
        return;
    p->sync_asked = true;
    sync_begin(p);
}

/* The one under way may have begun before what is to be covered: it is ended, then another made. */
int process_log_sync_now(struct process *p)
{
    if (p->log == NULL)
        return ST_IO;
    if (p->sync_active) {
        world_cancel(p->options.world, &p->sync_event);
        if (!p->sync_ran)
            p->sync_status = log_sync_run(&p->sync);
        int st = sync_end(p);
        if (st < 0)
            return st;
    }
    if (!log_sync_begin(p->log, &p->sync))
        return log_status(p->log);
    p->sync_status = log_sync_run(&p->sync);
    return sync_end(p);
}

/* --- spares and dead segments --- */

static int spare_make(struct process *p, uint64_t bytes)
{
    struct log_spare *spare;
    int st = log_spare_create(sim_disk_disk(p->disk), bytes, &spare);
    if (st == 0)
        log_spare_add(p->log, spare);
    return st;
}

static void keeper_soon(struct process *p)
{
    if (!heap_contains(&p->keeper_event.node))
        world_after(p->options.world, &p->keeper_event, process_delay_us(p, KEEPER_MEAN_US));
}

static void keeper_fire(struct world_event *event)
{
    struct process *p = container_of(event, struct process, keeper_event);
    if (process_asleep(p, event) || log_status(p->log) != 0)
        return;
    if (p->truncate_lsn > log_start_lsn(p->log)) {
        log_truncate(p->log, p->truncate_lsn);
        p->truncate_lsn = 0;
    }
    bool recycle;
    struct log_spare *dead = log_take_dead(p->log, &recycle);
    if (dead != NULL) {
        int st = recycle ? log_spare_recycle(dead) : log_spare_remove(dead);
        world_trace(p->options.world, p->options.id, recycle ? "recycle" : "remove",
                    {"status", (uint64_t)(int64_t)st});
        if (st < 0) {
            if (recycle)
                log_spare_close(dead);
            log_break(p->log, st);
            log_trouble(p, st);
            return;
        }
        world_mark(p->options.world, recycle ? "segment_recycled" : "segment_removed");
        if (recycle)
            log_spare_add(p->log, dead);
        keeper_soon(p); /* the next one */
    } else if (log_needs_spare(p->log) && spare_make(p, log_segment_bytes(p->log)) == 0 &&
               log_needs_spare(p->log)) {
        keeper_soon(p);
    }
}

void process_truncate(struct process *p, uint64_t lsn)
{
    if (p->log == NULL || p->dying || lsn <= log_start_lsn(p->log))
        return;
    if (lsn > p->truncate_lsn)
        p->truncate_lsn = lsn;
    keeper_soon(p);
}

/* --- appending --- */

/* The real one waits here until the keeper made a spare: nothing else happens to the shard
 * meanwhile. Where segments are too small for such a record, or nearly so that most of each would
 * be left unused, one spare takes it all. */
static bool make_room(struct process *p, uint64_t need, uint64_t record_bytes)
{
    uint64_t segment_bytes = log_segment_bytes(p->log);
    while (log_status(p->log) == 0 && log_room(p->log, record_bytes) < need) {
        bool fits = log_spare_bytes_for(record_bytes) <= segment_bytes && log_needs_spare(p->log);
        uint64_t bytes = fits ? segment_bytes : log_spare_bytes_for(need + record_bytes);
        if (spare_make(p, bytes) < 0) {
            world_mark(p->options.world, "no_room_in_log");
            return false;
        }
        if (!fits)
            break;
    }
    return log_status(p->log) == 0 && log_room(p->log, record_bytes) >= need;
}

/* One shard, so what it was promised stays there until it writes. */
bool process_log_room(struct process *p, uint64_t bytes)
{
    if (p->log == NULL || p->dying)
        return false;
    uint64_t small = log_segment_bytes(p->log) / 4;
    uint64_t need = bytes + SHARD_BATCH_BYTES_MAX + p->options.room_bytes;
    return bytes == 0 || make_room(p, need, bytes > small ? bytes : small);
}

int process_log_persist(struct process *p, struct log_batch *batch, uint64_t *ret_lsn)
{
    if (p->log == NULL || p->dying)
        return ST_IO;
    uint64_t bytes = log_batch_bytes(batch);
    int st = log_append(p->log, batch, ret_lsn);
    if (st == ST_NOSPACE && make_room(p, bytes, bytes))
        st = log_append(p->log, batch, ret_lsn);
    p->stats.persists++;
    p->stats.persisted_bytes += bytes;
    world_trace(p->options.world, p->options.id, "persist", {"bytes", bytes},
                {"end", log_end_lsn(p->log)}, {"status", (uint64_t)(int64_t)st});
    if (st < 0) {
        log_trouble(p, st);
        return st;
    }
    if (p->options.sync_always)
        sync_begin(p);
    if (log_needs_spare(p->log))
        keeper_soon(p);
    return 0;
}

/* everysec, and the mark of an idle log that says how far it is synced. */
void process_log_tick(struct process *p)
{
    uint64_t now_us = process_mono_us(p);
    if (now_us < p->next_sync_us)
        return;
    p->next_sync_us = now_us + SYNC_EVERY_US;
    if (unsynced(p)) {
        sync_begin(p);
    } else {
        int st = log_mark(p->log);
        if (st < 0)
            log_trouble(p, st);
    }
    if (log_needs_spare(p->log))
        keeper_soon(p);
}

/* --- life --- */

void process_log_init(struct process *p)
{
    p->sync_event.fire = sync_fire;
    p->keeper_event.fire = keeper_fire;
}

static int on_replay(void *ctx, const struct log_record *record)
{
    struct process *p = ctx;
    return p->options.app->replay(p, record);
}

int process_log_open(struct process *p, struct log_recovery *report)
{
    uint64_t segment_bytes =
        p->options.segment_bytes > 0 ? p->options.segment_bytes : SEGMENT_BYTES_DEFAULT;
    uint64_t spares = (p->options.room_bytes + ROOM_MIN_BYTES) / segment_bytes + 4;
    struct log_options options = {
        .log_id = p->identity.log_id,
        .segment_bytes = segment_bytes,
        .spares_ready = spares < SPARES_MAX ? (unsigned)spares : SPARES_MAX,
        .recycled_max = spares < SPARES_MAX ? (unsigned)spares : SPARES_MAX,
        .create = !p->identity.log_ready,
    };
    struct log_callbacks callbacks = {.replay = on_replay, .ctx = p};
    struct log *log;
    int st = log_open(sim_disk_disk(p->disk), &options, &callbacks, report, &log);
    if (st < 0)
        return st;
    p->log = log;
    p->sync_active = p->sync_asked = false;
    p->truncate_lsn = 0;
    p->told_lsn = log_synced_lsn(log);
    p->next_sync_us = process_mono_us(p) + SYNC_EVERY_US;
    keeper_soon(p);
    return 0;
}

void process_log_close(struct process *p, bool in_order)
{
    world_cancel(p->options.world, &p->sync_event);
    world_cancel(p->options.world, &p->keeper_event);
    if (p->log != NULL && in_order && process_log_sync_now(p) == 0 && log_close_mark(p->log) == 0 &&
        process_log_sync_now(p) == 0)
        p->identity.clean = true;
}
