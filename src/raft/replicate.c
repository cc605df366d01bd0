/* The leader's side of the log (3.5): appends ahead of their answers, within limits (10.2.1), and
 * rounds of heartbeats.
 *
 * A follower's place is found with one append at a time (PROBE); from then on appends are sent
 * ahead (REPLICATE) until one is refused. What is lost shows by a refusal of what came after it,
 * or, when nothing came, by an empty append that a heartbeat's answer calls forth. A follower whose
 * place is compacted away gets a snapshot. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/planted.h"
#include "raft/raft_private.h"

#define INFLIGHTS_FIRST 4u

struct raft_peer *raft_peer_find(const struct raft *r, uint64_t id)
{
    for (unsigned i = 0; i < r->peer_count; i++)
        if (r->peers[i].id == id)
            return &r->peers[i];
    return NULL;
}

static void peer_done(struct raft_peer *p)
{
    free(p->inflights);
    raft_snapshot_end(p);
    *p = (struct raft_peer){0};
}

void raft_peers_free(struct raft *r)
{
    for (unsigned i = 0; i < r->peer_count; i++)
        peer_done(&r->peers[i]);
    free(r->peers);
    r->peers = NULL;
    r->peer_count = 0;
}

void raft_peers_update(struct raft *r)
{
    unsigned count = 0;
    struct raft_peer *peers = mem_zalloc(sizeof(*peers) * (r->config.count + 1u));
    for (unsigned i = 0; i < r->config.count; i++) {
        const struct raft_member *member = &r->config.members[i];
        if (member->id == r->id)
            continue;
        struct raft_peer *old = raft_peer_find(r, member->id);
        struct raft_peer *p = &peers[count++];
        if (old != NULL) {
            *p = *old;
            *old = (struct raft_peer){0};
        } else {
            p->next = r->log.last_index + 1;
            p->heard_us = p->moved_us = r->now_us;
        }
        p->id = member->id;
        p->node = member->node;
    }
    raft_peers_free(r);
    if (count == 0) {
        free(peers);
        return;
    }
    r->peers = mem_realloc(peers, sizeof(*peers) * count);
    r->peer_count = count;
}

/* --- in flight --- */

static bool inflights_full(const struct raft *r, const struct raft_peer *p)
{
    const struct raft_inflights *f = p->inflights;
    return f != NULL && (f->count >= r->limits.appends_inflight_max ||
                         (f->count != 0 && f->bytes >= r->limits.inflight_bytes_max));
}

static void inflights_add(struct raft_peer *p, uint64_t last, uint64_t bytes)
{
    struct raft_inflights *f = p->inflights;
    if (f == NULL || f->count == f->cap) {
        uint32_t cap = f ? f->cap * 2 : INFLIGHTS_FIRST;
        struct raft_inflights *grown = mem_zalloc(sizeof(*f) + cap * sizeof(f->list[0]));
        grown->cap = cap;
        for (uint32_t i = 0; f != NULL && i < f->count; i++)
            grown->list[i] = f->list[(f->head + i) & (f->cap - 1)];
        if (f != NULL) {
            grown->count = f->count;
            grown->bytes = f->bytes;
        }
        free(f);
        p->inflights = f = grown;
    }
    f->list[(f->head + f->count++) & (f->cap - 1)] = (struct raft_inflight){last, bytes};
    f->bytes += bytes;
}

static void inflights_done(struct raft_peer *p, uint64_t match)
{
    struct raft_inflights *f = p->inflights;
    while (f != NULL && f->count != 0 && f->list[f->head].last <= match) {
        f->bytes -= f->list[f->head].bytes;
        f->head = (f->head + 1) & (f->cap - 1);
        f->count--;
    }
}

void raft_peer_probe(struct raft *r, struct raft_peer *p, uint64_t next)
{
    CHECK(next > p->match);
    raft_snapshot_end(p);
    p->state = PEER_PROBE;
    p->next = next;
    p->paused = false;
    p->loading = false;
    free(p->inflights);
    p->inflights = NULL;
}

/* --- sending --- */

static bool append_send(struct raft *r, struct raft_peer *p, bool empty)
{
    uint64_t prev = p->next - 1;
    if (prev < r->log.base_index) {
        raft_snapshot_begin(r, p);
        return false;
    }
    struct raft_message m = raft_message_to(r, p->id, MESSAGE_APPEND);
    if (!empty && p->next <= r->log.last_index) {
        int st = raft_log_encode(r, p->next, &m.append.entries);
        if (st != ST_OK) {
            p->loading = st == ST_AGAIN; /* else: the caller knows; tried again at a heartbeat */
            return false;
        }
    }
    m.append.prev_index = prev;
    m.append.prev_term = raft_log_term(r, prev);
    m.append.commit = r->commit;
    m.append.round = r->round;
    raft_send_now(r, p->node, &m); /* before they are durable here (10.2.1); the term is */
    if (p->state == PEER_PROBE) {
        p->paused = true;
    } else if (m.append.entries.count != 0) {
        p->next += m.append.entries.count;
        inflights_add(p, p->next - 1, m.append.entries.bytes.len);
    }
    return true;
}

static bool peer_ready(const struct raft *r, const struct raft_peer *p)
{
    if (p->loading)
        return false;
    if (p->state == PEER_PROBE)
        return !p->paused;
    return p->state == PEER_REPLICATE && p->next <= r->log.last_index && !inflights_full(r, p);
}

void raft_replicate(struct raft *r, struct raft_peer *p)
{
    while (peer_ready(r, p) && append_send(r, p, false))
        ;
}

void raft_replicate_all(struct raft *r)
{
    for (unsigned i = 0; i < r->peer_count; i++)
        raft_replicate(r, &r->peers[i]);
}

void raft_on_loaded(struct raft *r)
{
    for (unsigned i = 0; i < r->peer_count; i++)
        r->peers[i].loading = false;
    raft_replicate_all(r);
}

void raft_heartbeats(struct raft *r)
{
    r->round = r->now_us > r->round ? r->now_us : r->round + 1;
    r->heartbeat_us = r->now_us + raft_ms(r->limits.heartbeat_ms);
    for (unsigned i = 0; i < r->peer_count; i++) {
        struct raft_peer *p = &r->peers[i];
        struct raft_message m = raft_message_to(r, p->id, MESSAGE_HEARTBEAT);
        /* A heartbeat checks no logs: only what is known equal may be called committed. */
        m.heartbeat.commit = r->commit < p->match ? r->commit : p->match;
        if (PLANTED(heartbeat_commit_uncapped))
            m.heartbeat.commit = r->commit;
        m.heartbeat.round = r->round;
        raft_send_now(r, p->node, &m);
    }
}

void raft_leader_tick(struct raft *r)
{
    raft_transfer_tick(r);
    if (r->now_us >= r->heartbeat_us) {
        uint64_t heard_us = raft_quorum(r, QUORUM_HEARD);
        if (r->now_us - heard_us > raft_ms(r->limits.election_ms)) {
            raft_follow(r, r->term, 0); /* check-quorum (6.2) */
            return;
        }
        raft_heartbeats(r);
        raft_reads_advance(r);
    }
    for (unsigned i = 0; i < r->peer_count; i++)
        if (r->peers[i].state == PEER_SNAPSHOT)
            raft_snapshot_tick(r, &r->peers[i]);
}

int raft_on_propose(struct raft *r, const struct slice *data, unsigned count)
{
    if (r->role != RAFT_LEADER)
        return ST_CLOSED;
    if (r->transfer_to != 0)
        return ST_AGAIN; /* "stops accepting new client requests" (3.10) */
    if (count == 0)
        return ST_INVALID;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        if (data[i].len > RAFT_ENTRY_BYTES_MAX)
            return ST_LIMIT;
        bytes += data[i].len + RAFT_ENTRY_EXTRA;
    }
    /* The last one may go beyond the limit: else a large one would wait for ever behind small ones
     * that always come first. */
    if (raft_writes_full(r) || raft_log_full(r) ||
        r->uncommitted_bytes >= r->limits.uncommitted_bytes_max)
        return ST_LIMIT;

    uint64_t first = r->log.last_index + 1;
    for (unsigned i = 0; i < count; i++)
        raft_log_append(r, r->term, RAFT_COMMAND, data[i]);
    r->uncommitted_bytes += bytes;
    raft_act(r, RAFT_ACTION_PROPOSED)->index = first;
    raft_entries_persist(r, first);
    raft_replicate_all(r);
    return ST_OK;
}

/* --- answers --- */

static void refused(struct raft *r, struct raft_peer *p, const struct message_append_result *a)
{
    if (a->prev_index <= p->match)
        return; /* late: more than that is known to be there */
    if (p->state == PEER_REPLICATE) {
        raft_peer_probe(r, p, p->match + 1);
    } else if (p->state == PEER_PROBE && a->prev_index == p->next - 1) {
        /* Whole terms are skipped (3.5): below the follower's hint, and where our term is not
         * above its term there. */
        uint64_t meet = a->index;
        if (meet > r->log.base_index)
            meet =
                raft_log_find(r, meet < r->log.last_index ? meet : r->log.last_index, a->hint_term);
        uint64_t next = meet + 1 < a->prev_index ? meet + 1 : a->prev_index;
        raft_peer_probe(r, p, next > p->match ? next : p->match + 1);
    }
    raft_replicate(r, p);
}

void raft_peer_accepted(struct raft *r, struct raft_peer *p, uint64_t index)
{
    uint64_t id = p->id;
    bool moved = index > p->match;
    if (moved) {
        p->match = index;
        p->moved_us = r->now_us;
        inflights_done(p, index);
        if (p->next <= index)
            p->next = index + 1;
    }
    if (p->state == PEER_SNAPSHOT && p->match >= r->log.base_index)
        raft_peer_probe(r, p, p->match + 1);
    if (p->state == PEER_PROBE && index == p->match) {
        raft_peer_probe(r, p, p->match + 1);
        p->state = PEER_REPLICATE;
    }
    if (moved)
        raft_commit_advance(r);
    if (r->role != RAFT_LEADER)
        return; /* it committed its own removal */
    p = raft_peer_find(r, id);
    if (p == NULL)
        return; /* its removal was appended */
    raft_transfer_advance(r);
    raft_replicate(r, p);
}

bool raft_answer_check(struct raft *r, const struct raft_message *m, uint64_t round,
                       struct raft_peer **ret_peer)
{
    *ret_peer = NULL;
    if (!raft_config_find(&r->config, m->from))
        return false;
    if (m->term > r->term) {
        raft_follow(r, m->term, 0); /* "steps down" (3.3) */
        return true;
    }
    if (m->term < r->term || r->role != RAFT_LEADER)
        return true;
    struct raft_peer *p = raft_peer_find(r, m->from);
    if (round > r->round)
        return false;
    p->heard_us = r->now_us;
    if (round > p->round)
        p->round = round;
    *ret_peer = p;
    return true;
}

bool raft_recv_append_result(struct raft *r, const struct raft_message *m)
{
    const struct message_append_result *a = &m->append_result;
    if (a->accepted > 1 || a->index > RAFT_INDEX_MAX || a->prev_index > RAFT_INDEX_MAX)
        return false;
    struct raft_peer *p;
    if (!raft_answer_check(r, m, a->round, &p))
        return false;
    if (p == NULL)
        return true;
    bool possible = a->accepted ? a->index <= r->log.last_index : a->index <= a->prev_index;
    if (possible && a->accepted)
        raft_peer_accepted(r, p, a->index);
    else if (possible)
        refused(r, p, a);
    if (r->role == RAFT_LEADER)
        raft_reads_advance(r);
    return possible;
}

bool raft_recv_heartbeat_result(struct raft *r, const struct raft_message *m)
{
    struct raft_peer *p;
    if (!raft_answer_check(r, m, m->heartbeat_result.round, &p))
        return false;
    if (p == NULL)
        return true;
    bool stuck = r->now_us - p->moved_us >= 2 * raft_ms(r->limits.heartbeat_ms);
    if (stuck)
        p->loading = false; /* asking the reader twice does no harm */
    if (p->state == PEER_PROBE) {
        p->paused = false;
    } else if (p->state == PEER_REPLICATE && p->match + 1 < p->next && stuck) {
        p->moved_us = r->now_us;
        append_send(r, p, true); /* the last append may be lost: where does it stand? */
    }
    raft_replicate(r, p);
    raft_reads_advance(r);
    return true;
}
