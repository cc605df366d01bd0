/* The core's outside: create and restore, events and messages to who handles them, status. */
#include "raft/raft.h"
#include "base/planted.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "raft/raft_private.h"

static bool limits_valid(const struct raft_limits *l)
{
    return l->election_ms != 0 && l->heartbeat_ms != 0 && l->heartbeat_ms < l->election_ms &&
           l->clock_drift_percent < 50 && l->transfer_ms != 0 && l->appends_inflight_max != 0 &&
           l->append_bytes_max != 0 && l->inflight_bytes_max != 0 && l->tail_bytes_max != 0 &&
           l->uncommitted_bytes_max != 0 && l->reads_max != 0 && l->snapshot_chunk_bytes != 0;
}

int raft_create(const struct raft_start *start, struct raft **ret_raft)
{
    if (start->id == 0 || start->reader == NULL || !limits_valid(&start->limits) ||
        start->compacted_index > start->applied || start->applied > RAFT_INDEX_MAX ||
        start->compacted_term > start->term || start->term > RAFT_INDEX_MAX ||
        (start->compacted_index == 0) != (start->compacted_term == 0))
        return ST_INVALID;
    struct raft *r = mem_zalloc(sizeof(*r));
    r->group = start->group;
    r->id = start->id;
    r->limits = start->limits;
    r->reader = start->reader;
    r->random = start->seed;
    r->now_us = start->now_us;
    r->term = start->term;
    r->vote = start->vote;
    r->commit = start->compacted_index;
    r->commit_hint = start->commit > start->applied ? start->commit : start->applied;
    r->applied = start->applied;
    r->log.tail_first = 1;
    raft_log_reset(r, start->compacted_index, start->compacted_term, &start->config);
    r->config_dirty = false;
    /* Before the start it may have answered a leader, who counts on it for so long (6.4.1). */
    r->voting_from_us = start->now_us + (start->fresh ? 0 : raft_ms(start->limits.election_ms));
    if (PLANTED(no_wait_after_restart))
        r->voting_from_us = 0;
    raft_election_reset(r);
    *ret_raft = r;
    return ST_OK;
}

int raft_restore(struct raft *r, const struct raft_entry *entry)
{
    CHECK(!r->started);
    struct raft_log *log = &r->log;
    if (entry->index != log->last_index + 1 || entry->index > RAFT_INDEX_MAX ||
        entry->term < log->last_term || entry->term == 0 || entry->term > r->term ||
        entry->type >= RAFT_ENTRY_TYPES)
        return ST_CORRUPT;
    struct raft_config config;
    if (entry->type == RAFT_CONFIG) {
        if (raft_config_decode(entry->data, &config) != ST_OK ||
            r->past_count >= 4 * RAFT_CONFIGS_MAX) /* compaction may be behind what it was */
            return ST_CORRUPT;
        raft_config_push(r, entry->index, &config);
        r->config_dirty = false;
    }
    log->last_index = r->durable = entry->index;
    log->last_term = entry->term;
    log->tail_first = entry->index + 1;
    if (entry->index <= r->commit_hint)
        r->commit = entry->index;
    return ST_OK;
}

void raft_free(struct raft *r)
{
    if (r == NULL)
        return;
    raft_peers_free(r);
    raft_log_free(r);
    free(r->unsynced);
    free(r->held);
    free(r->reads);
    free(r);
}

/* --- events --- */

static bool message_possible(const struct raft *r, const struct raft_message *m)
{
    return m->group == r->group && m->to == r->id && m->from != 0 && m->from != r->id &&
           m->term != 0 && m->term <= RAFT_INDEX_MAX;
}

static bool on_message(struct raft *r, const struct raft_message *m)
{
    if (!message_possible(r, m))
        return false;
    switch (m->code) {
    case MESSAGE_VOTE_REQUEST:
        return raft_recv_vote_request(r, m);
    case MESSAGE_VOTE:
        return raft_recv_vote(r, m);
    case MESSAGE_APPEND:
        return raft_recv_append(r, m);
    case MESSAGE_APPEND_RESULT:
        return raft_recv_append_result(r, m);
    case MESSAGE_HEARTBEAT:
        return raft_recv_heartbeat(r, m);
    case MESSAGE_HEARTBEAT_RESULT:
        return raft_recv_heartbeat_result(r, m);
    case MESSAGE_SNAPSHOT:
        return raft_recv_snapshot(r, m);
    case MESSAGE_SNAPSHOT_RESULT:
        return raft_recv_snapshot_result(r, m);
    case MESSAGE_TIMEOUT_NOW:
        return raft_recv_timeout_now(r, m);
    default:
        return false;
    }
}

static void on_tick(struct raft *r)
{
    if (r->role == RAFT_LEADER)
        raft_leader_tick(r);
    else
        raft_election_tick(r);
    raft_log_rest(r);
}

static void on_applied(struct raft *r, uint64_t index)
{
    CHECK(index <= r->commit);
    if (index <= r->applied)
        return;
    r->applied = index;
    raft_log_trim(r);
}

static int dispatch(struct raft *r, const struct raft_event *event)
{
    switch (event->type) {
    case RAFT_TICK:
        on_tick(r);
        return ST_OK;
    case RAFT_MESSAGE:
        if (!on_message(r, event->message))
            r->dropped++;
        return ST_OK;
    case RAFT_PERSISTED:
        raft_on_persisted(r, event->seq);
        return ST_OK;
    case RAFT_PROPOSE:
        return raft_on_propose(r, event->propose.data, event->propose.count);
    case RAFT_READ:
        return raft_on_read(r, event->read_id);
    case RAFT_CHANGE:
        return raft_on_change(r, &event->change);
    case RAFT_TRANSFER:
        return raft_on_transfer(r, event->transfer_to);
    case RAFT_APPLIED:
        on_applied(r, event->applied);
        return ST_OK;
    case RAFT_COMPACTED:
        raft_on_compacted(r, event->compacted);
        return ST_OK;
    case RAFT_LOADED:
        raft_on_loaded(r);
        return ST_OK;
    case RAFT_SNAPSHOT_CHUNK:
        raft_on_chunk(r, event);
        return ST_OK;
    case RAFT_SNAPSHOT_STORED:
        raft_on_stored(r, event);
        return ST_OK;
    }
    CHECK(!"an event");
    return ST_INVALID;
}

static void start(struct raft *r)
{
    r->started = true;
    CHECK(r->applied <= r->log.last_index); /* what is applied is in the log */
    if (r->commit > r->applied)
        raft_act(r, RAFT_ACTION_COMMIT)->index = r->commit;
}

int raft_step(struct raft *r, const struct raft_event *event, struct raft_actions *actions)
{
    raft_actions_clear(actions);
    r->out = actions;
    if (event->now_us > r->now_us)
        r->now_us = event->now_us;
    if (!r->started)
        start(r);
    int st = dispatch(r, event);
    raft_state_flush(r);
    if (r->config_dirty)
        raft_act(r, RAFT_ACTION_CONFIG);
    if (r->role_dirty)
        raft_act(r, RAFT_ACTION_ROLE);
    r->config_dirty = r->role_dirty = false;
    r->out = NULL;
    return st;
}

/* --- what it is asked --- */

static uint64_t leader_due_us(const struct raft *r)
{
    uint64_t due_us = r->heartbeat_us;
    if (r->transfer_to != 0 && r->transfer_us < due_us)
        due_us = r->transfer_us;
    for (unsigned i = 0; i < r->peer_count; i++) {
        const struct raft_sending *s = r->peers[i].sending;
        if (s != NULL && s->due_us < due_us)
            due_us = s->due_us;
    }
    return due_us;
}

uint64_t raft_due_us(const struct raft *r)
{
    if (r->role == RAFT_LEADER)
        return leader_due_us(r);
    if (!raft_stands(r))
        return UINT64_MAX;
    if (raft_quorum_alone(r))
        return r->role == RAFT_FOLLOWER ? r->now_us : UINT64_MAX;
    return r->election_us;
}

void raft_status(const struct raft *r, struct raft_status *ret_status)
{
    *ret_status = (struct raft_status){
        .role = r->role,
        .term = r->term,
        .vote = r->vote,
        .leader = r->leader,
        .first_index = r->log.base_index + 1,
        .last_index = r->log.last_index,
        .last_term = r->log.last_term,
        .commit = r->commit,
        .applied = r->applied,
        .config_index = r->config_index,
        .config_committed = r->config_index <= r->commit,
        .leased = raft_leased(r),
        .transferring = r->role == RAFT_LEADER && r->transfer_to != 0,
        .dropped = r->dropped,
    };
}

const struct raft_config *raft_config(const struct raft *r)
{
    return &r->config;
}

int raft_progress(const struct raft *r, uint64_t id, uint64_t *ret_match, uint64_t *ret_heard_us)
{
    if (r->role != RAFT_LEADER)
        return ST_CLOSED;
    if (id == r->id) {
        *ret_match = r->durable;
        *ret_heard_us = r->now_us;
        return ST_OK;
    }
    const struct raft_peer *p = raft_peer_find(r, id);
    if (p == NULL)
        return ST_NOTFOUND;
    *ret_match = p->match;
    *ret_heard_us = p->heard_us;
    return ST_OK;
}

uint64_t raft_bytes(const struct raft *r)
{
    uint64_t bytes = sizeof(*r) + r->log.cap * sizeof(*r->log.rows) + r->log.tail_bytes;
    bytes += r->unsynced_cap * sizeof(*r->unsynced) + r->held_cap * sizeof(*r->held);
    bytes += r->read_cap * sizeof(*r->reads) + r->past_cap * sizeof(*r->past);
    for (unsigned i = 0; i < r->past_count; i++)
        bytes += sizeof(*r->past[i]) + r->past[i]->count * sizeof(struct raft_member);
    for (unsigned i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        bytes += sizeof(*p);
        if (p->inflights != NULL)
            bytes += sizeof(*p->inflights) + p->inflights->cap * sizeof(struct raft_inflight);
        if (p->sending != NULL)
            bytes += sizeof(*p->sending);
    }
    return bytes;
}
