#include "node/groups.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hlc.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/group_private.h"
#include "node/node.h"

#define PASSES_MAX       32     /* of a turn; what is left is for the next one */
#define UPKEEP_US        500000 /* compaction, dead sessions and the like */
#define NO_ROOM_US       100000 /* the disk is full: nothing goes on, looked at so often */
#define SKEW_MS_MAX      500    /* a peer's clock further ahead does not move ours */
#define BALANCE_MAX      2      /* leaderships handed away at a time */
#define BALANCE_HEARD_US 1000000
#define STATE_ROOM_BYTES (16u << 10) /* what one event writes beside entries */

/* A partition whose rows of a former replica go before a new one begins. */
struct groups_clear {
    struct groups *of;
    struct list_node link;
    struct engine_install *install;
    uint16_t partition;
    bool finishing;
};

/* --- life --- */

static struct group *doomed_find(struct groups *gs, uint32_t id)
{
    list_foreach (node, &gs->doomed) {
        struct group *g = list_entry(node, struct group, doom_link);
        if (g->id == id)
            return g;
    }
    return NULL;
}

static void on_written(struct shard_written *w, const struct log_batch *batch, uint64_t end_lsn)
{
    struct groups *gs = container_of(w, struct groups, written);
    for (size_t i = 0; i < log_batch_count(batch); i++) {
        struct log_record record = log_batch_record(batch, i);
        if (record.type != LOG_ENTRY && record.type != LOG_HARDSTATE)
            continue;
        record.lsn = log_batch_lsn(batch, i);
        struct group *g = groups_find(gs, record.group);
        if (g == NULL)
            g = doomed_find(gs, record.group); /* the record says that it is gone */
        if (g != NULL)
            group_written(g, &record, end_lsn);
    }
}

/* It only has a turn run. */
static void on_timer(struct env_timer *timer)
{
}

int groups_create(const struct groups_options *options, struct groups **ret_groups)
{
    struct shard *s = options->shard;
    if (options->cluster == 0 || options->node == 0 || !s->node->durable)
        return ST_INVALID;
    struct groups *gs = mem_zalloc(sizeof(*gs));
    gs->options = *options;
    if (gs->options.session_idle_entries == 0)
        gs->options.session_idle_entries = GROUP_SESSION_IDLE;
    gs->shard = s;
    gs->written.written = on_written;
    gs->timer.fire = on_timer;
    gs->by_id = map64_create(s->node->hash_seed);
    gs->peers = map64_create(s->node->hash_seed);
    list_init(&gs->busy);
    list_init(&gs->unsynced);
    list_init(&gs->doomed);
    list_init(&gs->clears);
    list_init(&gs->finished);
    list_init(&gs->reads_finished);
    list_init(&gs->peers_full);
    s->written = &gs->written;
    s->node->groups[s->id] = gs;
    s->node->groups_replay = groups_replay; /* so that a node without groups needs none of it */
    *ret_groups = gs;
    return 0;
}

static void clear_free(struct groups_clear *c)
{
    list_remove(&c->link);
    engine_install_free(c->install);
    free(c);
}

void groups_free(struct groups *gs)
{
    if (gs == NULL)
        return;
    struct shard *s = gs->shard;
    if (gs->timer.armed)
        s->env->ops->timer_cancel(s->env, &gs->timer);
    for (unsigned i = 0; i < gs->count; i++)
        group_free(gs->sorted[i]);
    for (struct list_node *node; (node = list_first(&gs->doomed)) != NULL;)
        group_free(list_entry(node, struct group, doom_link));
    for (struct list_node *node; (node = list_first(&gs->clears)) != NULL;)
        clear_free(list_entry(node, struct groups_clear, link));
    size_t at = 0;
    uint64_t node_id;
    void *peer;
    while (map64_next(gs->peers, &at, &node_id, &peer)) {
        frame_writer_free(&((struct groups_peer *)peer)->frame);
        free(peer);
    }
    map64_free(gs->peers);
    map64_free(gs->by_id);
    free(gs->sorted);
    heap_free(&gs->due);
    raft_actions_free(&gs->actions);
    buffer_free(&gs->result);
    s->written = NULL;
    s->node->groups[s->id] = NULL;
    free(gs);
}

static struct group *add(struct groups *gs, uint32_t id)
{
    struct group *g = group_new(gs, id);
    map64_put(gs->by_id, id, g);
    gs->sorted = mem_realloc(gs->sorted, (gs->count + 1) * sizeof(struct group *));
    unsigned i = gs->count++;
    for (; i > 0 && gs->sorted[i - 1]->id > id; i--)
        gs->sorted[i] = gs->sorted[i - 1];
    gs->sorted[i] = g;
    return g;
}

static void take_out(struct groups *gs, struct group *g)
{
    unsigned i = 0;
    map64_remove(gs->by_id, g->id);
    while (gs->sorted[i] != g)
        i++;
    for (gs->count--; i < gs->count; i++)
        gs->sorted[i] = gs->sorted[i + 1];
}

/* --- recovery --- */

int groups_replay(struct groups *gs, const struct log_record *record)
{
    struct group *g = groups_find(gs, record->group);
    if (g == NULL)
        g = add(gs, record->group);
    int st = group_log_replay(&g->log, record);
    return st == ST_CORRUPT ? 0 : st; /* that group will stop; the others go on */
}

int groups_recover(struct groups *gs)
{
    for (unsigned i = gs->count; i-- > 0;) {
        struct group *g = gs->sorted[i];
        int st = 0;
        if (!g->log.found) {
            take_out(gs, g);
            group_free(g);
        } else {
            st = group_open(g);
        }
        if (st != 0)
            return st;
    }
    return 0;
}

/* --- replicas come and go --- */

static void clear_step(struct engine_install *install, int st)
{
    struct groups_clear *c = engine_install_ctx(install);
    if (st == 0 && !c->finishing) {
        c->finishing = true;
        engine_install_finish(install, 0, slice_make(NULL, 0));
        return;
    }
    clear_free(c); /* groups_add() looks whether it worked */
}

/* ST_AGAIN until the partition is empty. */
static int clear(struct groups *gs, uint16_t partition)
{
    struct engine *engine = gs->shard->engine;
    list_foreach (node, &gs->clears) {
        if (list_entry(node, struct groups_clear, link)->partition == partition)
            return ST_AGAIN;
    }
    if (engine_partition(engine, partition)->index == 0)
        return 0;
    struct groups_clear *c = mem_zalloc(sizeof(*c));
    const struct engine_install_options options = {
        .partition = partition, .done = clear_step, .ctx = c};
    BUFFER_AUTO struct buffer stream = {0};
    c->of = gs;
    c->partition = partition;
    list_push_back(&gs->clears, &c->link);
    c->install = engine_install_create(engine, &options);
    engine_export_empty(0, &stream);
    engine_install_feed(c->install, buffer_slice(&stream));
    return ST_AGAIN;
}

int groups_add(struct groups *gs, uint32_t group, uint64_t id, const struct raft_config *config)
{
    struct node *node = gs->shard->node;
    if (id == 0 || group >= node->partitions ||
        node_shard_index(node, (uint16_t)group) != gs->shard->id)
        return ST_INVALID;
    if (groups_find(gs, group) != NULL)
        return ST_EXISTS;
    if (doomed_find(gs, group) != NULL)
        return ST_AGAIN;
    int st = clear(gs, (uint16_t)group);
    if (st != 0)
        return st;
    if (!groups_room(gs, 0))
        return ST_NOSPACE;
    struct group *g = add(gs, group);
    st = group_found(g, id, config);
    if (st != 0) {
        take_out(gs, g);
        group_free(g);
    }
    return st;
}

int groups_destroy(struct groups *gs, uint32_t group)
{
    struct group *g = groups_find(gs, group);
    if (g == NULL)
        return ST_NOTFOUND;
    if (!groups_room(gs, 0))
        return ST_NOSPACE;
    g->doomed = true;
    group_end(g);
    group_log_write_end(&g->log, &gs->shard->batch);
    g->log.written_lsn = UINT64_MAX; /* until it is */
    take_out(gs, g);
    list_push_back(&gs->doomed, &g->doom_link);
    gs->sync_wanted = true;
    return 0;
}

/* Until its end is synced it keeps the log as before: without a part of that it would come back
 * after a power cut, as one that forgot what it had acknowledged. */
static void doomed_free(struct groups *gs)
{
    uint64_t synced_lsn = gs->shard->env->ops->synced_lsn(gs->shard->env);
    list_foreach_safe (node, spare, &gs->doomed) {
        struct group *g = list_entry(node, struct group, doom_link);
        group_snapshot_pass(g);
        if (!group_log_busy(&g->log) && !group_snapshot_busy(g) && g->log.written_lsn <= synced_lsn)
            group_free(g);
    }
}

struct group *groups_find(struct groups *gs, uint32_t group)
{
    return map64_get(gs->by_id, group);
}

struct group *groups_next(struct groups *gs, uint32_t *at)
{
    for (unsigned i = 0; i < gs->count; i++) {
        if (gs->sorted[i]->id < *at)
            continue;
        *at = gs->sorted[i]->id + 1;
        return gs->sorted[i];
    }
    return NULL;
}

/* --- messages --- */

bool groups_room(struct groups *gs, uint64_t bytes)
{
    struct shard *s = gs->shard;
    if (log_batch_bytes(&s->batch) + STATE_ROOM_BYTES > SHARD_BATCH_BYTES_MAX / 2)
        shard_settle(s);
    return shard_has_room(s, bytes + STATE_ROOM_BYTES);
}

static void peer_flush(struct groups *gs, struct groups_peer *peer)
{
    struct shard *s = gs->shard;
    struct frame_head head = {
        .version = WIRE_VERSION,
        .cluster = gs->options.cluster,
        .from = gs->options.node,
        .to = peer->node,
        .stamp = s->hlc.last,
    };
    struct slice frame = frame_finish(&peer->frame, &head);
    gs->counters.frames_out++;
    gs->counters.bytes_out += frame.len;
    s->env->ops->send(s->env, peer->node, frame);
    frame_reset(&peer->frame);
    list_remove(&peer->link);
}

void groups_send(struct groups *gs, uint64_t node, const struct raft_message *message)
{
    if (node == 0 || node == gs->options.node)
        return;
    struct groups_peer *peer = map64_get(gs->peers, node);
    if (peer == NULL) {
        peer = mem_zalloc(sizeof(*peer));
        peer->node = node;
        list_node_init(&peer->link);
        map64_put(gs->peers, node, peer);
    }
    if (frame_full(&peer->frame))
        peer_flush(gs, peer);
    frame_append(&peer->frame, message);
    gs->counters.messages_out++;
    if (!list_linked(&peer->link))
        list_push_back(&gs->peers_full, &peer->link);
}

/* A stamp that no clock gives would bring the group's time to its end. */
static bool stamps_possible(const struct message_append *append)
{
    struct message_entries entries = append->entries;
    struct raft_entry entry;
    for (uint64_t index = append->prev_index;
         message_entries_next(&entries, ++index, &entry) == ST_OK;)
        if (entry.type == RAFT_COMMAND && group_log_stamp(entry.data) > GROUP_STAMP_MAX)
            return false;
    return true;
}

static void message_in(struct groups *gs, uint64_t from, const struct raft_message *message)
{
    struct group *g = groups_find(gs, message->group);
    uint64_t bytes = message->code == MESSAGE_APPEND ? message->append.entries.bytes.len : 0;
    gs->counters.messages_in++;
    if (g == NULL || g->state != GROUP_RUNNING || message->to != g->log.state.replica) {
        gs->counters.dropped_group++;
        return;
    }
    if (message->code == MESSAGE_APPEND && !stamps_possible(&message->append)) {
        gs->counters.dropped_malformed++;
        return;
    }
    if (!groups_room(gs, bytes)) {
        gs->counters.dropped_room++;
        return;
    }
    group_heard(g, message->from, from);
    group_step(g, &(struct raft_event){.type = RAFT_MESSAGE, .message = message});
}

void groups_message(struct groups *gs, struct slice bytes)
{
    struct frame frame;
    struct raft_message message;
    int st = frame_parse(bytes, gs->options.cluster, gs->options.node, &gs->refusals, &frame);
    if (st != 0) {
        if (st == ST_DENIED)
            gs->counters.dropped_cluster++;
        else
            gs->counters.dropped_malformed++;
        return;
    }
    gs->counters.frames_in++;
    hlc_merge(&gs->shard->hlc, frame.head.stamp, gs->shard->now_ms, SKEW_MS_MAX);
    while ((st = frame_next(&frame, &gs->refusals, &message)) != ST_NOTFOUND) {
        if (st == 0)
            message_in(gs, frame.head.from, &message);
        else
            gs->counters.dropped_malformed++;
        if (st == ST_PROTOCOL)
            return;
    }
}

/* --- the turn --- */

static void timer_arm(struct groups *gs, uint64_t due_us)
{
    struct env *env = gs->shard->env;
    if (!gs->timer.armed || gs->timer.due_us != due_us)
        env->ops->timer(env, &gs->timer, due_us);
}

void groups_busy(struct groups *gs, struct group *g)
{
    if (!list_linked(&g->busy_link) && !list_linked(&g->doom_link))
        list_push_back(&gs->busy, &g->busy_link);
    if (!gs->in_turn)
        timer_arm(gs, gs->shard->now_us);
}

static void ticks(struct groups *gs)
{
    uint64_t now_us = gs->shard->now_us;
    for (unsigned i = 0; i < gs->count; i++) { /* each once at most */
        struct heap_node *top = heap_top(&gs->due);
        if (top == NULL || top->key > now_us || !groups_room(gs, 0))
            return;
        struct group *g = container_of(top, struct group, due);
        group_step(g, &(struct raft_event){.type = RAFT_TICK});
    }
}

static void synced(struct groups *gs)
{
    uint64_t lsn = gs->shard->env->ops->synced_lsn(gs->shard->env);
    if (lsn == gs->synced_lsn)
        return;
    gs->synced_lsn = lsn;
    for (struct list_node *node; (node = list_pop_front(&gs->unsynced)) != NULL;)
        groups_busy(gs, list_entry(node, struct group, sync_link));
}

static void upkeep(struct groups *gs)
{
    if (gs->shard->now_us < gs->upkeep_us)
        return;
    gs->upkeep_us = gs->shard->now_us + UPKEEP_US;
    for (unsigned i = 0; i < gs->count; i++)
        if (groups_room(gs, 0))
            group_upkeep(gs->sorted[i]);
}

/* Callbacks of all that came to its end. */
static void deliver(struct groups *gs)
{
    group_deliver(gs);
    for (struct list_node *node; (node = list_pop_front(&gs->reads_finished)) != NULL;) {
        struct group_read *r = list_entry(node, struct group_read, link);
        r->done(r, ST_CLOSED);
    }
}

/* Once each group that has something to do. */
static void pass(struct groups *gs)
{
    struct list_head todo;
    list_init(&todo);
    list_splice_back(&todo, &gs->busy);
    for (struct list_node *node; (node = list_pop_front(&todo)) != NULL;) {
        struct group *g = list_entry(node, struct group, busy_link);
        group_pass(g);
        group_reads_serve(g); /* the group stays: it is freed in groups_turn() only */
    }
    deliver(gs);
}

static void arm(struct groups *gs, bool more)
{
    uint64_t due_us = gs->upkeep_us, now_us = gs->shard->now_us;
    struct heap_node *top = heap_top(&gs->due);
    if (top != NULL && top->key < due_us)
        due_us = top->key;
    if (due_us <= now_us) /* a tick that found no room */
        due_us = now_us + NO_ROOM_US;
    if (more)
        due_us = now_us;
    timer_arm(gs, due_us);
}

void groups_turn(struct groups *gs)
{
    struct shard *s = gs->shard;
    gs->in_turn = true;
    doomed_free(gs);
    synced(gs);
    ticks(gs);
    upkeep(gs);
    unsigned passes = 0;
    do {
        pass(gs);
        shard_settle(s);
    } while (++passes < PASSES_MAX && !list_empty(&gs->busy));
    for (struct list_node *node; (node = list_first(&gs->peers_full)) != NULL;)
        peer_flush(gs, list_entry(node, struct groups_peer, link));
    if (gs->sync_wanted)
        s->env->ops->sync(s->env);
    gs->sync_wanted = false;
    gs->in_turn = false;
    arm(gs, !list_empty(&gs->busy) || !list_empty(&gs->finished));
}

/* --- the log's beginning --- */

uint64_t groups_retain_lsn(struct groups *gs)
{
    uint64_t synced_lsn = gs->shard->env->ops->synced_lsn(gs->shard->env), lowest = UINT64_MAX;
    /* What is in the batch may replace what is in the log: it is not looked at before it is there
     */
    bool written = log_batch_count(&gs->shard->batch) == 0;
    for (unsigned i = 0; i < gs->count; i++) {
        if (PLANTED(segment_deleted_while_needed) && i == 0)
            continue;
        struct group_log *log = &gs->sorted[i]->log;
        uint64_t lsn = written ? group_log_retain_lsn(log, synced_lsn) : log->held_lsn;
        lowest = lsn < lowest ? lsn : lowest;
    }
    list_foreach (node, &gs->doomed) {
        const struct group *g = list_entry(node, struct group, doom_link);
        lowest = g->log.held_lsn < lowest ? g->log.held_lsn : lowest;
    }
    return lowest;
}

void groups_rewrite(struct groups *gs, uint64_t lsn)
{
    for (unsigned i = 0; i < gs->count; i++) {
        struct group *g = gs->sorted[i];
        if (!groups_room(gs, GROUP_LOG_WINDOW_BYTES))
            return;
        group_forget_below(g, lsn);
        int st = group_log_rewrite(&g->log, &gs->shard->batch, lsn);
        if (st == ST_CORRUPT)
            group_stop(g, st, "an entry in the log can't be read back");
    }
}

/* --- leaders --- */

/* Any other voter that has all of the log and was heard of lately; which one depends on the group,
 * so that many groups go to many. */
static uint64_t heir_of(const struct group *g)
{
    const struct raft_config *config = raft_config(g->raft);
    struct raft_status status;
    uint64_t heirs[RAFT_MEMBERS_MAX], match, heard_us;
    unsigned count = 0;
    raft_status(g->raft, &status);
    for (unsigned i = 0; i < config->count; i++) {
        const struct raft_member *m = &config->members[i];
        if (!(m->role & RAFT_VOTER) || m->id == g->log.state.replica ||
            raft_progress(g->raft, m->id, &match, &heard_us) != 0)
            continue;
        if (match == status.last_index && heard_us + BALANCE_HEARD_US > g->shard->now_us)
            heirs[count++] = m->id;
    }
    return count > 0 ? heirs[g->id % count] : 0;
}

void groups_balance(struct groups *gs)
{
    uint64_t share_milli = 0, leading = 0;
    for (unsigned i = 0; i < gs->count; i++) {
        const struct group *g = gs->sorted[i];
        unsigned voters = raft_config_voters(group_config(g));
        if (voters > 0 && raft_config_votes(group_config(g), g->log.state.replica))
            share_milli += 1000 / voters;
        leading += g->leads;
    }
    for (unsigned i = 0, given = 0; i < gs->count && given < BALANCE_MAX; i++) {
        struct group *g = gs->sorted[i];
        if (leading * 1000 < share_milli + 1000)
            return;
        uint64_t heir = g->leads ? heir_of(g) : 0;
        if (heir == 0 || group_transfer(g, heir) != 0)
            continue;
        leading--;
        given++;
    }
}

void groups_counters(const struct groups *gs, struct groups_counters *ret_counters)
{
    struct groups_counters c = gs->counters;
    c.groups = gs->count;
    for (unsigned i = 0; i < gs->count; i++)
        c.leading += gs->sorted[i]->leads;
    *ret_counters = c;
}
