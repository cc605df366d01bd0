/* Snapshots: the rows of a partition for a replica that needs entries which the log has let go.
 *
 * The leader sends what its cold tier holds at one moment (store/engine_export.h): rows and applied
 * index are flushed together, so that is the state machine at that index, sessions included, and no
 * entry behind it is missing from the log. The follower installs it as a whole
 * (store/engine_install.h), then begins its log anew behind it.
 *
 * With the rows is stored what the log needs to begin there, for the case that the process dies
 * before the log says so:  u8 format 1 | u64 index | u64 term | configuration
 *
 * A stream is read once from begin to end; the chunk sent last is kept, to be sent again. Who needs
 * an earlier one gets a new stream. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hlc.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/group_private.h"
#include "node/node.h"

#define META_FORMAT     1
#define META_HEAD_BYTES (1 + 8 + 8)

/* --- sending --- */

struct group_export {
    struct group *group;
    struct engine_export *stream_rows; /* NULL: could not begin, `answer` says so */
    uint64_t to, stream;
    uint64_t floor; /* its index is at least that */
    uint64_t index, index_term;
    struct raft_config config; /* at index, once `begun` */
    bool begun, over;          /* over: to be freed when not busy */
    bool wanted, answer;       /* asked for; answer: tell the core */
    int st;
    uint64_t wanted_offset, offset; /* of `chunk` */
    struct buffer chunk;
    bool have, last, told; /* told: the core was given a chunk, so it knows the stream */
    uint64_t used_us;
};

static bool skip_sessions(uint32_t keyspace)
{
    return keyspace == ROW_KEYSPACE_SESSIONS;
}

static void export_begun(struct group_export *x)
{
    struct group *g = x->group;
    x->begun = true;
    x->index = engine_export_index(x->stream_rows);
    if (g->state != GROUP_RUNNING || x->index < g->log.state.base_index || x->index > g->applied) {
        x->st = ST_AGAIN; /* the log went past it meanwhile */
        return;
    }
    x->index_term = group_log_term(&g->log, x->index);
    raft_config_at(g->raft, x->index, &x->config);
}

static void export_read(struct engine_export *rows, int st, struct slice data, bool last)
{
    struct group_export *x = engine_export_ctx(rows);
    x->st = st;
    if (st == 0 && !x->begun)
        export_begun(x);
    if (st == ST_CORRUPT)
        group_stop(x->group, st, "a row can't be read for a snapshot");
    if (x->st == 0) {
        x->offset = engine_export_offset(rows) - data.len;
        buffer_clear(&x->chunk);
        buffer_append_slice(&x->chunk, data);
        x->have = true;
        x->last = last;
    }
    x->answer = true;
    groups_busy(x->group->of, x->group);
}

static void export_free(struct group_export *x)
{
    engine_export_free(x->stream_rows);
    buffer_free(&x->chunk);
    free(x);
}

static struct group_export *export_create(struct group *g, uint64_t to)
{
    struct group_export *x = mem_zalloc(sizeof(*x));
    struct engine_partition *p = engine_partition(g->shard->engine, g->partition);
    const struct engine_export_options options = {
        .partition = g->partition,
        .skip_keyspace = PLANTED(session_not_in_snapshot) ? skip_sessions : NULL,
        .lose_last = PLANTED(snapshot_loses_last),
        .done = export_read,
        .ctx = x,
    };
    x->group = g;
    x->to = to;
    x->floor = p->flushed_index;
    do {
        x->stream = g->shard->env->ops->random(g->shard->env);
    } while (x->stream == 0);
    if (p->flushed_index > 0)
        x->stream_rows = engine_export_create(g->shard->engine, &options);
    g->of->counters.snapshots_sent++;
    return x;
}

/* Its slot, or a free one; -1 when none is. */
static int export_slot(struct group *g, uint64_t to)
{
    int empty = -1;
    for (int i = 0; i < GROUP_EXPORTS_MAX; i++) {
        if (g->exports[i] == NULL)
            empty = i;
        else if (g->exports[i]->to == to)
            return i;
    }
    return empty;
}

void group_snapshot_read(struct group *g, uint64_t to, uint64_t stream, uint64_t index,
                         uint64_t offset)
{
    int slot = export_slot(g, to);
    groups_busy(g->of, g);
    if (slot < 0)
        return; /* the core asks again later */
    struct group_export *x = g->exports[slot];
    bool same = x != NULL && (stream == x->stream || (stream == 0 && !x->told));
    if (x != NULL && (!same || x->over)) {
        x->over = true;
        if (x->stream_rows != NULL && engine_export_busy(x->stream_rows))
            return;
        export_free(x);
        x = g->exports[slot] = NULL;
    }
    if (x == NULL && stream == 0) {
        x = g->exports[slot] = export_create(g, to);
        offset = 0;
    }
    if (x == NULL) { /* a stream that is not there any more */
        x = g->exports[slot] = mem_zalloc(sizeof(*x));
        *x = (struct group_export){.group = g, .to = to, .stream = stream, .over = true};
        x->st = ST_NOTFOUND;
        x->answer = true;
    }
    x->wanted = true;
    x->wanted_offset = offset;
    x->used_us = g->shard->now_us;
}

static void export_answer(struct group *g, struct group_export *x)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT_CHUNK};
    x->wanted = x->answer = false;
    event.chunk.to = x->to;
    event.chunk.st = x->over && x->st == 0 ? ST_AGAIN : x->st; /* another one is wanted by now */
    event.chunk.chunk = (struct raft_snapshot_chunk){
        .index = x->index,
        .index_term = x->index_term,
        .stream = x->stream,
        .offset = x->offset,
        .done = x->last,
        .config = x->config,
        .data = buffer_slice(&x->chunk),
    };
    x->over |= x->st != 0;
    x->told = true;
    if (g->state == GROUP_RUNNING && !g->doomed)
        group_step(g, &event);
}

static void export_pass(struct group *g, struct group_export *x)
{
    bool busy = x->stream_rows != NULL && engine_export_busy(x->stream_rows);
    if (busy)
        return;
    if (x->wanted && !x->answer && !x->over) {
        if (x->stream_rows == NULL) {
            x->st = ST_AGAIN;
            x->answer = true;
        } else if (x->have && x->wanted_offset == x->offset) {
            x->answer = true;
        } else if (x->wanted_offset == engine_export_offset(x->stream_rows) && !x->last) {
            engine_export_read(x->stream_rows, g->of->options.limits.snapshot_chunk_bytes);
            return;
        } else {
            x->st = ST_NOTFOUND;
            x->answer = true;
        }
    }
    if (x->answer)
        export_answer(g, x);
}

/* Nobody will ask for more of it: its follower has it, or went another way, or is gone. */
static bool export_idle(const struct group *g, const struct group_export *x)
{
    uint64_t match, heard_us;
    if (x->over || !g->leads || g->state != GROUP_RUNNING ||
        g->shard->now_us - x->used_us >= GROUP_EXPORT_IDLE_US)
        return true;
    return raft_progress(g->raft, x->to, &match, &heard_us) != 0 ||
           match >= (x->begun ? x->index : x->floor);
}

static void exports_sweep(struct group *g, bool all)
{
    for (unsigned i = 0; i < GROUP_EXPORTS_MAX; i++) {
        struct group_export *x = g->exports[i];
        if (x == NULL || !(all || export_idle(g, x)))
            continue;
        x->over = true;
        if (x->stream_rows != NULL && engine_export_busy(x->stream_rows))
            continue;
        export_free(x);
        g->exports[i] = NULL;
    }
}

uint64_t group_snapshot_pinned(const struct group *g)
{
    uint64_t pinned = UINT64_MAX;
    for (unsigned i = 0; i < GROUP_EXPORTS_MAX; i++) {
        const struct group_export *x = g->exports[i];
        uint64_t index = x == NULL || x->over ? UINT64_MAX : x->begun ? x->index : x->floor;
        pinned = index < pinned ? index : pinned;
    }
    return pinned;
}

/* --- receiving --- */

struct group_install {
    struct group *group;
    struct engine_install *rows;
    uint64_t from, stream, index, index_term;
    struct raft_config config;
    uint64_t offset, feeding; /* taken so far; bytes of the chunk being fed */
    bool last, finishing;
    bool answer, over; /* tell the core; over: then forget it */
    enum snapshot_state state;
};

static void tell(struct group_install *x, enum snapshot_state state, bool over)
{
    x->answer = true;
    x->state = state;
    x->over = over;
    groups_busy(x->group->of, x->group);
}

/* The rows are those of the snapshot from now on: so are log and counters. */
static void installed(struct group *g, struct group_install *x)
{
    struct engine_partition *p = engine_partition(g->shard->engine, g->partition);
    g->applied = g->commit = x->index;
    g->applied_stamp = p->stamp;
    if (p->stamp > g->log_stamp)
        g->log_stamp = p->stamp;
    p->actor = NODE_ACTOR_GROUP;
    p->judge_ms = group_judge_ms(p->stamp);
    group_log_set_base(&g->log, x->index, x->index_term, g->log_stamp, &x->config);
    group_log_write_state(&g->log, &g->shard->batch, true);
    group_proposals_passed(g, x->index);
    g->of->counters.snapshots_installed++;
}

static void finish(struct group *g, struct group_install *x)
{
    BUFFER_AUTO struct buffer meta = {0};
    if (g->commit >= x->index) { /* the log was quicker */
        tell(x, SNAPSHOT_REFUSED, true);
        return;
    }
    buffer_append_u8(&meta, META_FORMAT);
    buffer_append_u64(&meta, x->index);
    buffer_append_u64(&meta, x->index_term);
    raft_config_encode(&meta, &x->config);
    x->finishing = true;
    engine_install_finish(x->rows, x->index, buffer_slice(&meta));
}

static void install_step(struct engine_install *rows, int st)
{
    struct group_install *x = engine_install_ctx(rows);
    struct group *g = x->group;
    bool finished = x->finishing;
    x->finishing = false;
    if (g->install != x || g->state != GROUP_RUNNING || g->doomed)
        tell(x, SNAPSHOT_REFUSED, true);
    else if (st != 0)
        tell(x, SNAPSHOT_REFUSED, true);
    else if (finished) {
        installed(g, x);
        tell(x, SNAPSHOT_INSTALLED, true);
    } else {
        x->offset += x->feeding;
        if (x->last)
            finish(g, x);
        else
            tell(x, SNAPSHOT_WANTED, false);
    }
}

static struct group_install *install_create(struct group *g, uint64_t from,
                                            const struct raft_snapshot_chunk *chunk)
{
    struct group_install *x = mem_zalloc(sizeof(*x));
    *x = (struct group_install){
        .group = g,
        .from = from,
        .stream = chunk->stream,
        .index = chunk->index,
        .index_term = chunk->index_term,
        .config = chunk->config,
    };
    const struct engine_install_options options = {
        .partition = g->partition,
        .keep_rows = PLANTED(install_keeps_old_rows),
        .done = install_step,
        .ctx = x,
    };
    x->rows = engine_install_create(g->shard->engine, &options);
    return x;
}

static void install_free(struct group *g)
{
    struct group_install *x = g->install;
    engine_install_free(x->rows);
    free(x);
    g->install = NULL;
}

void group_snapshot_store(struct group *g, uint64_t from, const struct raft_snapshot_chunk *chunk)
{
    struct group_install *x = g->install;
    if (x != NULL && (x->stream != chunk->stream || x->index != chunk->index)) {
        if (engine_install_busy(x->rows)) { /* what it asked for comes first; then anew */
            x->from = from;
            tell(x, SNAPSHOT_REFUSED, !x->finishing);
            return;
        }
        install_free(g);
        x = NULL;
    }
    if (x == NULL)
        x = g->install = install_create(g, from, chunk);
    x->from = from;
    if (engine_install_busy(x->rows))
        return; /* a chunk sent twice: the first one is answered */
    if (chunk->offset != x->offset || x->over) {
        tell(x, SNAPSHOT_WANTED, false);
        return;
    }
    x->feeding = chunk->data.len;
    x->last = chunk->done;
    engine_install_feed(x->rows, chunk->data);
}

bool group_snapshot_installing(const struct group *g)
{
    return g->install != NULL && g->install->finishing;
}

static void install_pass(struct group *g)
{
    struct group_install *x = g->install;
    if (x == NULL || !x->answer || engine_install_busy(x->rows))
        return;
    struct raft_event event = {.type = RAFT_SNAPSHOT_STORED};
    event.stored.from = x->from;
    event.stored.index = x->index;
    event.stored.stream = x->stream;
    event.stored.state = x->state;
    event.stored.offset = x->offset;
    event.stored.index_term = x->index_term;
    event.stored.config = x->config;
    x->answer = false;
    if (x->over)
        install_free(g);
    if (g->state == GROUP_RUNNING && !g->doomed)
        group_step(g, &event);
}

/* --- both --- */

void group_snapshot_pass(struct group *g)
{
    for (unsigned i = 0; i < GROUP_EXPORTS_MAX; i++)
        if (g->exports[i] != NULL)
            export_pass(g, g->exports[i]);
    install_pass(g);
}

void group_snapshot_upkeep(struct group *g)
{
    exports_sweep(g, false);
}

bool group_snapshot_busy(const struct group *g)
{
    for (unsigned i = 0; i < GROUP_EXPORTS_MAX; i++)
        if (g->exports[i] != NULL && g->exports[i]->stream_rows != NULL &&
            engine_export_busy(g->exports[i]->stream_rows))
            return true;
    return g->install != NULL && engine_install_busy(g->install->rows);
}

void group_snapshot_end(struct group *g)
{
    exports_sweep(g, true);
    if (g->install != NULL)
        install_free(g);
}

int group_snapshot_meta(struct group *g, struct group_log_state *inout_state,
                        struct raft_config *ret_config)
{
    BUFFER_AUTO struct buffer meta = {0};
    int st = engine_install_meta(g->shard->engine, g->partition, &meta);
    if (st != 0)
        return st;
    if (meta.len < META_HEAD_BYTES)
        return ST_CORRUPT;
    if (meta.data[0] != META_FORMAT)
        return ST_VERSION;
    st = raft_config_decode(slice_make(meta.data + META_HEAD_BYTES, meta.len - META_HEAD_BYTES),
                            ret_config);
    if (st != 0)
        return st;
    inout_state->base_index = bytes_get_u64(meta.data + 1);
    inout_state->base_term = bytes_get_u64(meta.data + 9);
    return 0;
}
