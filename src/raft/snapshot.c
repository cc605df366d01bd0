/* Snapshots for followers whose place in the log is compacted away (5.1), in chunks.
 *
 * The core neither makes nor keeps them. The leader asks its caller for the chunk that the follower
 * wants next (SNAPSHOT_READ), sends it, and goes on where the answer says; the follower hands it to
 * its caller (SNAPSHOT_STORE) and passes the answer on. One chunk at a time on both sides, so what
 * is lost is asked for again by the leader after election_ms. (index, stream) names the bytes: a
 * follower goes on with a stream it has the begin of, and another leader's is another stream.
 * Within a stream it only goes forward, or begins anew when it has forgotten all: an answer that
 * wants less than was already sent is late.
 *
 * While the last chunk is with the follower's caller its log is not touched: what is committed
 * below the snapshot can't overtake it. Then the log is empty and begins behind the snapshot. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/planted.h"
#include "raft/raft_private.h"

/* --- the leader --- */

static void chunk_ask(struct raft *r, struct raft_peer *p)
{
    struct raft_sending *s = p->sending;
    if (s->reading)
        return;
    if (r->now_us - p->heard_us > raft_ms(r->limits.election_ms)) {
        s->due_us = r->now_us + raft_ms(r->limits.heartbeat_ms); /* nobody there */
        return;
    }
    s->reading = true;
    s->due_us = r->now_us + raft_ms(r->limits.election_ms);
    struct raft_action *action = raft_act(r, RAFT_ACTION_SNAPSHOT_READ);
    action->snapshot_read.to = p->id;
    action->snapshot_read.index = s->index;
    action->snapshot_read.stream = s->stream;
    action->snapshot_read.offset = s->offset;
}

static void sending_renew(struct raft *r, struct raft_sending *s) /* with a new one, soon */
{
    s->index = s->stream = s->offset = 0;
    s->due_us = r->now_us + raft_ms(r->limits.heartbeat_ms);
}

void raft_snapshot_begin(struct raft *r, struct raft_peer *p)
{
    raft_peer_probe(r, p, p->next);
    p->state = PEER_SNAPSHOT;
    p->sending = mem_zalloc(sizeof(*p->sending));
    chunk_ask(r, p);
}

void raft_snapshot_end(struct raft_peer *p)
{
    free(p->sending);
    p->sending = NULL;
}

void raft_snapshot_tick(struct raft *r, struct raft_peer *p)
{
    if (r->now_us < p->sending->due_us)
        return;
    p->sending->reading = false; /* the caller may have forgotten */
    chunk_ask(r, p);
}

static struct slice scratch_copy(struct raft *r, struct slice bytes)
{
    if (bytes.len == 0)
        return (struct slice){0};
    void *place = raft_scratch(r, bytes.len);
    memcpy(place, bytes.data, bytes.len);
    return slice_make(place, bytes.len);
}

static void chunk_send(struct raft *r, struct raft_peer *p, const struct raft_snapshot_chunk *c)
{
    BUFFER_AUTO struct buffer config = {0};
    raft_config_encode(&config, &c->config);
    struct raft_message m = raft_message_to(r, p->id, MESSAGE_SNAPSHOT);
    m.snapshot.index = c->index;
    m.snapshot.index_term = c->index_term;
    m.snapshot.stream = c->stream;
    m.snapshot.config = scratch_copy(r, buffer_slice(&config));
    m.snapshot.offset = c->offset;
    m.snapshot.done = c->done;
    m.snapshot.data = scratch_copy(r, c->data);
    m.snapshot.crc = crc32c(0, c->data.data, c->data.len);
    raft_send_now(r, p->node, &m);
}

void raft_on_chunk(struct raft *r, const struct raft_event *event)
{
    struct raft_peer *p = raft_peer_find(r, event->chunk.to);
    if (r->role != RAFT_LEADER || p == NULL || p->state != PEER_SNAPSHOT || !p->sending->reading)
        return; /* late */
    struct raft_sending *s = p->sending;
    const struct raft_snapshot_chunk *c = &event->chunk.chunk;
    if (event->chunk.st != ST_OK) {
        s->reading = false;
        if (event->chunk.st != ST_AGAIN)
            sending_renew(r, s);
        else
            s->due_us = r->now_us + raft_ms(r->limits.heartbeat_ms);
        return;
    }
    bool asked = s->index == 0 || (c->index == s->index && c->stream == s->stream);
    s->reading = false;
    if (!asked || c->offset != s->offset) {
        chunk_ask(r, p); /* to a question of an earlier leadership, or the follower went on */
        return;
    }
    CHECK(c->index <= r->applied);
    CHECK(c->stream != 0);
    if (c->index < r->log.base_index) {
        sending_renew(r, s); /* what follows it is gone by now */
        return;
    }
    s->index = c->index;
    s->stream = c->stream;
    s->due_us = r->now_us + raft_ms(r->limits.election_ms);
    chunk_send(r, p, c);
}

bool raft_recv_snapshot_result(struct raft *r, const struct raft_message *m)
{
    const struct message_snapshot_result *a = &m->snapshot_result;
    struct raft_peer *p;
    if (a->state > SNAPSHOT_REFUSED || a->index > RAFT_INDEX_MAX || !raft_answer_check(r, m, 0, &p))
        return false;
    if (p == NULL || p->state != PEER_SNAPSHOT || p->sending->index == 0 ||
        a->index != p->sending->index || a->stream != p->sending->stream)
        return true; /* late */
    struct raft_sending *s = p->sending;
    if (a->state == SNAPSHOT_INSTALLED) {
        sending_renew(r, s); /* for when more was compacted since */
        s->reading = false;
        raft_peer_accepted(r, p, a->index);
    } else if (a->state == SNAPSHOT_REFUSED) {
        s->reading = false;
        sending_renew(r, s);
    } else if (a->offset > s->offset || (a->offset == 0 && s->offset != 0)) {
        s->offset = a->offset;
        chunk_ask(r, p);
    }
    return true;
}

/* --- the follower --- */

static bool snapshot_possible(const struct raft_message *m, struct raft_config *ret_config)
{
    const struct message_snapshot *s = &m->snapshot;
    return s->index != 0 && s->index <= RAFT_INDEX_MAX && s->index_term != 0 &&
           s->index_term <= m->term && s->stream != 0 && s->done <= 1 &&
           s->offset <= RAFT_INDEX_MAX && raft_config_decode(s->config, ret_config) == ST_OK;
}

bool raft_recv_snapshot(struct raft *r, const struct raft_message *m)
{
    const struct message_snapshot *s = &m->snapshot;
    struct raft_config config;
    bool current;
    if (!snapshot_possible(m, &config) || !raft_leader_heard(r, m, &current))
        return false;
    if (!current || r->storing)
        return true; /* one at a time: it will be sent again */
    /* Already here, and as the leader has it: what is committed, and what is below an entry that
     * both have (log matching, 3.5). Nothing is installed then: entries above it in this log may
     * have been acknowledged. */
    bool here = s->index <= r->log.last_index && s->index > r->commit &&
                raft_log_term(r, s->index) == s->index_term;
    if (here && !PLANTED(snapshot_drops_suffix))
        raft_commit_to(r, s->index);
    if (s->index <= r->commit) {
        if (r->matched < r->commit)
            r->matched = r->commit;
        raft_append_answer(r);
        return true;
    }
    r->storing = true;
    r->installing = s->done;
    struct raft_action *action = raft_act(r, RAFT_ACTION_SNAPSHOT_STORE);
    action->snapshot_store.from = m->from;
    struct raft_snapshot_chunk *c = &action->snapshot_store.chunk;
    c->index = s->index;
    c->index_term = s->index_term;
    c->stream = s->stream;
    c->offset = s->offset;
    c->done = s->done;
    c->config = config;
    c->data = scratch_copy(r, s->data);
    return true;
}

void raft_on_stored(struct raft *r, const struct raft_event *event)
{
    CHECK(r->storing);
    bool installing = r->installing;
    r->storing = r->installing = false;
    if (event->stored.state == SNAPSHOT_INSTALLED) {
        CHECK(installing);
        CHECK(event->stored.index > r->commit);
        CHECK(event->stored.index_term <= r->term);
        CHECK(event->stored.config.count != 0);
        raft_log_reset(r, event->stored.index, event->stored.index_term, &event->stored.config);
        r->commit = r->applied = r->matched = event->stored.index;
        r->ack_owed = false;
    }
    if (r->leader == 0 || r->leader != event->stored.from)
        return;
    struct raft_message m = raft_message_to(r, r->leader, MESSAGE_SNAPSHOT_RESULT);
    m.snapshot_result.state = event->stored.state;
    m.snapshot_result.index = event->stored.index;
    m.snapshot_result.stream = event->stored.stream;
    m.snapshot_result.offset = event->stored.offset;
    raft_send(r, raft_node_of(r, r->leader), &m);
}
