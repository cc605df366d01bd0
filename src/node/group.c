#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hlc.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/group_private.h"
#include "node/node.h"

/* --- life --- */

static void on_loaded(struct group_log *log, int st)
{
    struct group *g = container_of(log, struct group, log);
    if (st == ST_CORRUPT)
        group_stop(g, st, "an entry in the log can't be read back");
    g->loaded = true; /* other errors: who asked asks again */
    groups_busy(g->of, g);
}

struct group *group_new(struct groups *gs, uint32_t id)
{
    struct group *g = mem_zalloc(sizeof(*g));
    g->of = gs;
    g->shard = gs->shard;
    g->id = id;
    g->partition = (uint16_t)id;
    group_log_init(&g->log, gs->shard->env, id);
    g->log.loaded = on_loaded;
    list_node_init(&g->busy_link);
    list_node_init(&g->sync_link);
    list_node_init(&g->doom_link);
    list_init(&g->queued);
    list_init(&g->waiting);
    list_init(&g->fetches);
    list_init(&g->reads);
    list_init(&g->reads_ready);
    return g;
}

void group_free(struct group *g)
{
    if (g == NULL)
        return;
    group_fetches_cancel(g);
    group_session_end(g);
    group_snapshot_end(g);
    heap_remove(&g->of->due, &g->due);
    list_remove(&g->busy_link);
    list_remove(&g->sync_link);
    list_remove(&g->doom_link);
    raft_free(g->raft);
    group_log_free(&g->log);
    buffer_free(&g->entry);
    free(g);
}

void group_end(struct group *g)
{
    heap_remove(&g->of->due, &g->due);
    g->leads = false;
    group_proposals_end(g, ST_CLOSED, ST_UNCERTAIN);
    group_reads_end(g);
    group_fetches_cancel(g);
}

void group_stop(struct group *g, int st, const char *why)
{
    if (g->state != GROUP_RUNNING)
        return;
    g->state = GROUP_STOPPED;
    g->error = st;
    g->of->counters.stopped++;
    log_event(LOG_ERROR, "group_stopped",
              "group=%" PRIu32 " replica=%" PRIu64 " error=%s why=\"%s\" do=\"%s\"", g->id,
              g->log.state.replica, status_text(st), why,
              "remove this replica and add it anew: it is rebuilt from its peers");
    g->log.state.damaged = 1; /* for ever: so its entries need not be kept to know it */
    group_log_write_state(&g->log, &g->shard->batch, true);
    group_end(g);
}

static int core_create(struct group *g, bool fresh)
{
    const struct group_log_state *s = &g->log.state;
    struct raft_start start = {
        .group = g->id,
        .id = s->replica,
        .seed = g->shard->env->ops->random(g->shard->env),
        .now_us = g->shard->env->ops->now_mono_us(g->shard->env),
        .limits = g->of->options.limits,
        .reader = &g->log.reader,
        .fresh = fresh,
        .term = s->term,
        .vote = s->vote,
        .commit = s->commit > g->applied ? s->commit : g->applied,
        .applied = g->applied,
        .compacted_index = s->base_index,
        .compacted_term = s->base_term,
    };
    int st = 0;
    if (g->log.config.len > 0)
        st = raft_config_decode(buffer_slice(&g->log.config), &start.config);
    if (st == 0 && start.commit > group_log_last(&g->log))
        st = ST_CORRUPT; /* what was committed is not all there */
    if (st == 0)
        st = raft_create(&start, &g->raft);
    if (st == 0)
        st = group_log_restore(&g->log, g->raft);
    if (st != 0)
        return st;
    g->commit = g->applied; /* the core says how far it goes on */
    heap_update(&g->of->due, &g->due, raft_due_us(g->raft));
    return 0;
}

static struct engine_partition *partition_of(const struct group *g)
{
    return engine_partition(g->shard->engine, g->partition);
}

int group_found(struct group *g, uint64_t replica, const struct raft_config *config)
{
    CHECK(replica != 0);
    struct engine_partition *p = partition_of(g);
    g->log.state = (struct group_log_state){.replica = replica, .birth = g->of->options.birth};
    if (config->count > 0)
        raft_config_encode(&g->log.config, config);
    p->actor = NODE_ACTOR_GROUP;
    p->judge_ms = 1; /* nothing has expired yet */
    int st = core_create(g, true);
    if (st != 0)
        return st;
    group_log_write_state(&g->log, &g->shard->batch, true);
    groups_busy(g->of, g);
    return 0;
}

/* A snapshot was installed, and the log does not say so: the rows are what counts. */
static int open_installed(struct group *g)
{
    struct group_log_state meta = g->log.state;
    struct raft_config config;
    int st = group_snapshot_meta(g, &meta, &config);
    if (st == ST_NOTFOUND)
        return 0;
    if (st != 0 || meta.base_index <= g->log.state.base_index)
        return st;
    group_log_set_base(&g->log, meta.base_index, meta.base_term, meta.base_stamp, &config);
    group_log_write_state(&g->log, &g->shard->batch, true);
    return 0;
}

int group_open(struct group *g)
{
    struct engine_partition *p = partition_of(g);
    bool former = g->log.state.birth == g->of->options.birth;
    if (PLANTED(wiped_votes_as_former))
        former = true;
    if (!former) {
        g->state = GROUP_ORPHAN;
        log_event(LOG_WARNING, "group_orphan",
                  "group=%" PRIu32 " replica=%" PRIu64 " why=\"%s\" do=\"%s\"", g->id,
                  g->log.state.replica, "its directory was copied or restored",
                  "remove this replica and add it anew");
        return 0;
    }
    int st = g->log.state.damaged ? ST_CORRUPT : open_installed(g);
    if (st == 0)
        st = group_log_check(&g->log);
    if (st == 0 && p->index < g->log.state.base_index)
        st = ST_CORRUPT; /* rows that the log no longer has are not there */
    if (st == 0 && p->index > group_log_last(&g->log))
        st = ST_CORRUPT; /* the log was synced before the rows were written */
    p->actor = NODE_ACTOR_GROUP;
    g->applied = p->index;
    g->applied_stamp = p->stamp;
    p->judge_ms = group_judge_ms(p->stamp);
    g->log_stamp = g->log.state.base_stamp;
    if (g->log.stamp > g->log_stamp)
        g->log_stamp = g->log.stamp;
    if (p->stamp > g->log_stamp)
        g->log_stamp = p->stamp;
    if (st == 0)
        st = core_create(g, false);
    if (st != 0)
        group_stop(g, st, "what the directory holds of it does not fit together");
    return 0;
}

/* --- the core's actions --- */

static void act_entries(struct group *g, const struct raft_action *a)
{
    for (unsigned i = 0; i < a->entries.count; i++) {
        const struct raft_entry *e = &a->entries.list[i];
        group_log_append(&g->log, &g->shard->batch, e);
        uint64_t stamp = e->type == RAFT_COMMAND ? group_log_stamp(e->data) : 0;
        if (stamp > g->log_stamp)
            g->log_stamp = stamp;
        g->unwritten_config |= e->type == RAFT_CONFIG;
    }
    g->of->counters.entries += a->entries.count;
    g->unwritten_seq = a->entries.seq;
}

static void act_state(struct group *g, const struct raft_action *a)
{
    g->log.state.term = a->state.term;
    g->log.state.vote = a->state.vote;
    g->log.state.commit = a->state.commit;
    group_log_write_state(&g->log, &g->shard->batch, false);
    g->unwritten_seq = a->state.seq;
}

static void act_role(struct group *g)
{
    struct raft_status status;
    raft_status(g->raft, &status);
    bool leads = status.role == RAFT_LEADER;
    if (leads && !g->leads) {
        g->of->counters.elections++;
        g->clock_index = 0; /* its first entry brings the time: reads wait for it */
    }
    g->leads = leads;
}

void group_heard(struct group *g, uint64_t id, uint64_t node)
{
    for (unsigned i = 0; i < GROUP_HEARD; i++)
        if (g->heard[i].id == id) {
            g->heard[i].node = node;
            return;
        }
    g->heard[g->heard_next++ % GROUP_HEARD] = (struct group_heard){id, node};
}

static uint64_t heard_node(const struct group *g, uint64_t id)
{
    for (unsigned i = 0; i < GROUP_HEARD; i++)
        if (g->heard[i].id == id)
            return g->heard[i].node;
    return 0;
}

static void act(struct group *g, const struct raft_action *a)
{
    switch (a->type) {
    case RAFT_ACTION_ENTRIES:
        act_entries(g, a);
        break;
    case RAFT_ACTION_STATE:
        act_state(g, a);
        break;
    case RAFT_ACTION_SEND:
        groups_send(g->of, a->send.node != 0 ? a->send.node : heard_node(g, a->send.message.to),
                    &a->send.message);
        break;
    case RAFT_ACTION_COMMIT:
        g->commit = a->index > g->commit ? a->index : g->commit;
        break;
    case RAFT_ACTION_PROPOSED:
        group_proposed(g, a->index);
        break;
    case RAFT_ACTION_READ_READY:
        group_read_ready(g, a->read.id, a->read.index);
        break;
    case RAFT_ACTION_READ_FAILED:
        group_read_failed(g, a->read.id);
        break;
    case RAFT_ACTION_ROLE:
        act_role(g);
        break;
    case RAFT_ACTION_CONFIG:
        break;
    case RAFT_ACTION_SNAPSHOT_READ:
        group_snapshot_read(g, a->snapshot_read.to, a->snapshot_read.stream, a->snapshot_read.index,
                            a->snapshot_read.offset);
        break;
    case RAFT_ACTION_SNAPSHOT_STORE:
        group_snapshot_store(g, a->snapshot_store.from, &a->snapshot_store.chunk);
        break;
    }
}

int group_step(struct group *g, const struct raft_event *event)
{
    struct raft_actions *actions = &g->of->actions;
    CHECK(g->state == GROUP_RUNNING);
    CHECK(!g->of->stepping);
    g->of->stepping = true;
    struct raft_event timed = *event;
    timed.now_us = g->shard->env->ops->now_mono_us(g->shard->env); /* the turn may be old by now */
    if (PLANTED(lease_by_turn_begin))
        timed.now_us = g->shard->now_us;
    int st = raft_step(g->raft, &timed, actions);
    for (unsigned i = 0; i < actions->count; i++)
        act(g, &actions->list[i]);
    g->of->stepping = false;
    heap_update(&g->of->due, &g->due, raft_due_us(g->raft));
    if (actions->count > 0)
        groups_busy(g->of, g);
    return st;
}

/* --- what is durable --- */

void group_written(struct group *g, const struct log_record *record, uint64_t end_lsn)
{
    group_log_written(&g->log, record, end_lsn);
    if (g->unwritten_seq == 0)
        return;
    struct group_mark mark = {
        .seq = g->unwritten_seq, .lsn = end_lsn, .config = g->unwritten_config};
    g->unwritten_seq = 0;
    g->unwritten_config = false;
    if (g->marks_count == GROUP_MARKS_MAX) /* the last two become one, durable a little later */
        mark.config |= g->marks[--g->marks_count].config;
    g->marks[g->marks_count++] = mark;
    groups_busy(g->of, g);
}

/* A group of one is as durable as its node's policy says; all others sync before they answer. */
static bool must_sync(const struct group *g)
{
    const struct raft_config *config = raft_config(g->raft);
    if (PLANTED(vote_not_synced))
        return false;
    return g->shard->node->commit_on_sync || g->sync_first || config->count != 1 ||
           config->members[0].id != g->log.state.replica;
}

/* A configuration, and what precedes it, counts when it is synced, whatever the policy: who shrank
 * a group to one gives the others up then, and a log without it needs them. */
static bool config_unsynced(const struct group *g, uint64_t synced_lsn)
{
    for (unsigned i = 0; i < g->marks_count; i++)
        if (g->marks[i].config && g->marks[i].lsn > synced_lsn)
            return true;
    return false;
}

static void persisted(struct group *g)
{
    if (g->marks_count == 0 || g->state != GROUP_RUNNING)
        return;
    struct env *env = g->shard->env;
    unsigned done = g->marks_count;
    uint64_t synced_lsn = env->ops->synced_lsn(env);
    if (must_sync(g) || config_unsynced(g, synced_lsn)) {
        for (done = 0; done < g->marks_count && g->marks[done].lsn <= synced_lsn; done++)
            ;
        if (done < g->marks_count) {
            g->of->sync_wanted = true;
            list_remove(&g->sync_link);
            list_push_back(&g->of->unsynced, &g->sync_link);
        }
    }
    if (done == 0)
        return;
    struct raft_event event = {.type = RAFT_PERSISTED, .seq = g->marks[done - 1].seq};
    g->marks_count -= done;
    memmove(g->marks, g->marks + done, g->marks_count * sizeof(*g->marks));
    group_step(g, &event);
}

void group_pass(struct group *g)
{
    if (g->state == GROUP_RUNNING && !g->doomed) {
        persisted(g);
        if (g->loaded) {
            g->loaded = false;
            group_step(g, &(struct raft_event){.type = RAFT_LOADED});
        }
    }
    group_snapshot_pass(g);
    if (g->state == GROUP_RUNNING && !g->doomed) {
        group_apply_ready(g);
        group_flush_entry(g);
    }
}

/* --- the log's base --- */

static void move_base(struct group *g, uint64_t index)
{
    struct raft_config config;
    raft_config_at(g->raft, index, &config);
    group_log_set_base(&g->log, index, group_log_term(&g->log, index), g->log_stamp, &config);
    group_log_write_state(&g->log, &g->shard->batch, false);
    group_step(g, &(struct raft_event){.type = RAFT_COMPACTED, .compacted = index});
}

/* The lowest index that some member still needs as far as the leader knows. */
static uint64_t lowest_match(const struct group *g, uint64_t limit)
{
    const struct raft_config *config = raft_config(g->raft);
    for (unsigned i = 0; g->leads && i < config->count; i++) {
        uint64_t match, heard_us;
        if (config->members[i].id != g->log.state.replica &&
            raft_progress(g->raft, config->members[i].id, &match, &heard_us) == 0 && match < limit)
            limit = match;
    }
    uint64_t pinned = group_snapshot_pinned(g);
    return pinned < limit ? pinned : limit;
}

/* Lets entries go whose rows are flushed, but those that followers need, up to a cap: who is
 * further behind gets a snapshot. */
static void compact(struct group *g)
{
    uint64_t flushed = partition_of(g)->flushed_index, base = g->log.state.base_index, bytes = 0;
    if (flushed <= base || flushed > g->applied)
        return;
    uint64_t target = lowest_match(g, flushed), floor = flushed;
    while (floor > base && floor > target) {
        bytes += group_log_entry(&g->log, floor)->bytes + LOG_RECORD_HEADER_BYTES;
        if (bytes > g->of->options.log_keep_bytes)
            break;
        floor--;
    }
    if (floor > base)
        move_base(g, floor);
}

void group_forget_below(struct group *g, uint64_t lsn)
{
    if (g->state != GROUP_RUNNING || g->doomed)
        return;
    uint64_t flushed = partition_of(g)->flushed_index, index = g->log.state.base_index;
    for (uint64_t i = index + 1; i <= flushed && i <= g->applied; i++)
        if (group_log_entry(&g->log, i)->lsn < lsn)
            index = i;
    if (index > g->log.state.base_index)
        move_base(g, index);
}

void group_upkeep(struct group *g)
{
    if (g->state == GROUP_RUNNING && !g->doomed) {
        compact(g);
        group_session_upkeep(g);
    }
    group_snapshot_upkeep(g);
    if (g->commit == g->applied)
        group_log_forget_window(&g->log);
}

/* --- the outside --- */

void group_status(const struct group *g, struct group_status *ret_status)
{
    struct group_status s = {
        .state = g->state,
        .error = g->error,
        .id = g->log.state.replica,
        .applied_stamp = g->applied_stamp,
        .flushed_index = partition_of(g)->flushed_index,
        .log_bytes = g->log.bytes,
    };
    if (g->raft != NULL)
        raft_status(g->raft, &s.raft);
    *ret_status = s;
}

const struct raft_config *group_config(const struct group *g)
{
    static const struct raft_config none;
    return g->raft != NULL ? raft_config(g->raft) : &none;
}

uint32_t group_id(const struct group *g)
{
    return g->id;
}

bool group_leads(const struct group *g)
{
    return g->leads;
}

uint64_t group_leader_node(const struct group *g)
{
    if (g->state != GROUP_RUNNING)
        return 0;
    struct raft_status status;
    raft_status(g->raft, &status);
    const struct raft_member *m =
        status.leader != 0 ? raft_config_find(raft_config(g->raft), status.leader) : NULL;
    return m != NULL ? m->node : 0;
}

/* A group of one may have counted what was only written, as the policy allows it. Before others
 * rest on its log, all of it is synced, and from then on it syncs like any group. */
static bool ready_for_others(struct group *g)
{
    struct env *env = g->shard->env;
    if (!g->sync_first) {
        g->sync_first = true;
        g->sync_first_lsn = g->log.written_lsn;
    }
    return g->sync_first_lsn <= env->ops->synced_lsn(env);
}

int group_change(struct group *g, const struct raft_config *config)
{
    if (!g->leads)
        return ST_CLOSED;
    if ((!must_sync(g) || g->sync_first) && !ready_for_others(g)) {
        g->of->sync_wanted = true;
        groups_busy(g->of, g);
        return ST_AGAIN;
    }
    if (!groups_room(g->of, 0))
        return ST_NOSPACE;
    return group_step(g, &(struct raft_event){.type = RAFT_CHANGE, .change = *config});
}

int group_transfer(struct group *g, uint64_t to)
{
    if (!g->leads)
        return ST_CLOSED;
    return group_step(g, &(struct raft_event){.type = RAFT_TRANSFER, .transfer_to = to});
}

void group_damaged(struct group *g, int st)
{
    group_stop(g, st, "a row can't be read");
}

const struct raft *group_raft(const struct group *g)
{
    return g->raft;
}
