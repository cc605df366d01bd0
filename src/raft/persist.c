/* What is durable here, and what waits for it.
 *
 * Every write gets the next seq. Entries become durable in the order of their seqs, but for those
 * that a later write replaced: when the log is cut, unsynced[] forgets what was behind the cut.
 *
 * Nothing is said in a term before the term, and the vote in it, is durable (3.8): raft_send()
 * holds such messages back, and a change of the term drops those still held. What is lost so is
 * asked for again, as if the network had lost it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/planted.h"
#include "raft/raft_private.h"

void raft_state_changed(struct raft *r)
{
    r->state_dirty = true;
}

void raft_state_flush(struct raft *r)
{
    if (!r->state_dirty)
        return;
    r->state_dirty = false;
    r->state_seq = ++r->seq;
    struct raft_action *action = raft_act(r, RAFT_ACTION_STATE);
    action->state.seq = r->seq;
    action->state.term = r->term;
    action->state.vote = r->vote;
    action->state.commit = r->commit;
}

static void unsynced_push(struct raft *r, uint64_t seq, uint64_t last)
{
    if (r->unsynced_count == r->unsynced_cap) {
        r->unsynced_cap = r->unsynced_cap ? r->unsynced_cap * 2 : 4;
        r->unsynced = mem_realloc(r->unsynced, r->unsynced_cap * sizeof(*r->unsynced));
    }
    r->unsynced[r->unsynced_count++] = (struct raft_unsynced){.seq = seq, .last = last};
}

bool raft_writes_full(const struct raft *r)
{
    return r->unsynced_count >= RAFT_UNSYNCED_MAX;
}

void raft_entries_persist(struct raft *r, uint64_t first)
{
    raft_state_flush(r); /* the term before its entries */
    unsigned count = (unsigned)(r->log.last_index - first + 1);
    struct raft_entry *list = raft_scratch(r, count * sizeof(*list));
    memset(list, 0, count * sizeof(*list));
    for (unsigned i = 0; i < count; i++) {
        const struct raft_tail_row *row = raft_log_row(r, first + i);
        list[i].index = first + i;
        list[i].term = row->term;
        list[i].type = row->type;
        list[i].data = slice_make(row->data, row->len);
    }
    struct raft_action *action = raft_act(r, RAFT_ACTION_ENTRIES);
    action->entries.seq = ++r->seq;
    action->entries.list = list;
    action->entries.count = count;
    unsynced_push(r, r->seq, r->log.last_index);
}

static void held_send(struct raft *r)
{
    unsigned sent = 0;
    while (sent < r->held_count && r->held[sent].seq <= r->persisted_seq) {
        const struct raft_message *m = &r->held[sent++].message;
        raft_send_now(r, raft_node_of(r, m->to), m);
    }
    r->held_count -= sent;
    if (sent != 0 && r->held_count != 0)
        memmove(r->held, r->held + sent, r->held_count * sizeof(*r->held));
    if (r->held_count == 0) {
        free(r->held);
        r->held = NULL;
        r->held_cap = 0;
    }
}

void raft_on_persisted(struct raft *r, uint64_t seq)
{
    CHECK(seq <= r->seq);
    if (seq <= r->persisted_seq)
        return;
    r->persisted_seq = seq;
    unsigned done = 0;
    uint64_t durable = r->durable;
    while (done < r->unsynced_count && r->unsynced[done].seq <= seq) {
        if (r->unsynced[done].last > durable)
            durable = r->unsynced[done].last;
        done++;
    }
    r->unsynced_count -= done;
    if (r->unsynced_count == 0) {
        free(r->unsynced);
        r->unsynced = NULL;
        r->unsynced_cap = 0;
    } else if (done != 0) {
        memmove(r->unsynced, r->unsynced + done, r->unsynced_count * sizeof(*r->unsynced));
    }
    bool grew = durable > r->durable;
    r->durable = durable;

    held_send(r);
    if (r->role == RAFT_CANDIDATE)
        raft_votes_count(r); /* the own vote counts from now on */
    else if (r->role == RAFT_LEADER && grew)
        raft_commit_advance(r); /* the leader's own disk is one of the majority (10.2.1) */
    else if (r->role == RAFT_FOLLOWER && grew && r->ack_owed)
        raft_append_answer(r);
}

/* A replica that the configuration in force here does not know may ask for a vote or be the leader
 * (4.1); where it is only the caller can know: node 0. */
uint64_t raft_node_of(const struct raft *r, uint64_t id)
{
    const struct raft_member *m = raft_config_find(&r->config, id);
    return m != NULL ? m->node : 0;
}

struct raft_message raft_message_to(const struct raft *r, uint64_t to, uint16_t code)
{
    struct raft_message m;
    memset(&m, 0, sizeof(m));
    m.code = code;
    m.group = r->group;
    m.to = to;
    m.from = r->id;
    m.term = r->term;
    return m;
}

void raft_send_now(struct raft *r, uint64_t node, const struct raft_message *m)
{
    struct raft_action *action = raft_act(r, RAFT_ACTION_SEND);
    action->send.message = *m;
    action->send.node = node;
}

void raft_send(struct raft *r, uint64_t node, struct raft_message *m)
{
    raft_state_flush(r);
    if (r->state_seq <= r->persisted_seq || PLANTED(vote_before_persisted)) {
        raft_send_now(r, node, m);
        return;
    }
    if (r->held_count >= RAFT_HELD_MAX)
        return;
    if (r->held_count == r->held_cap) {
        r->held_cap = r->held_cap ? r->held_cap * 2 : 4;
        r->held = mem_realloc(r->held, r->held_cap * sizeof(*r->held));
    }
    r->held[r->held_count++] = (struct raft_held){.seq = r->state_seq, .message = *m};
}
