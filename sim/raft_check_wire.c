/* The checkers that listen to what replicas say to each other: what was sent can't be unsaid, so a
 * vote or a term that was not durable shows here when the replica comes back without it. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/raft_check_private.h"
#include "wire/frame.h"

/* The term of a message that is a promise: that of a pre-vote is none (9.6). */
static void check_term(struct raft_check *c, struct check_replica *r, uint64_t term)
{
    if (term < r->term) {
        world_fail(c->world, "term_backwards",
                   "group %" PRIu32 " replica %016" PRIx64 " speaks in term %" PRIu64
                   " after term %" PRIu64,
                   r->group, r->id, term, r->term);
        return;
    }
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
    }
}

static void check_vote(struct raft_check *c, struct check_replica *r, uint64_t candidate)
{
    if (r->vote != 0 && r->vote != candidate)
        world_fail(c->world, "double_vote",
                   "group %" PRIu32 " replica %016" PRIx64 " votes in term %" PRIu64
                   " for %016" PRIx64 " and for %016" PRIx64,
                   r->group, r->id, r->term, r->vote, candidate);
    r->vote = candidate;
}

static void check_matching(struct raft_check *c, const struct raft_message *m, uint64_t prev_term,
                           const struct raft_entry *e)
{
    struct check_slot *slot = check_slot(c, m->group, e->index);
    if (slot == NULL)
        return;
    uint64_t hash = hash_bytes(e->type, e->data.data, e->data.len);
    struct check_entry *seen = slot->seen;
    while (seen != NULL && seen->term != e->term)
        seen = seen->next;
    if (seen == NULL) {
        seen = mem_alloc(sizeof(*seen));
        *seen = (struct check_entry){
            .next = slot->seen, .term = e->term, .prev_term = prev_term, .hash = hash};
        slot->seen = seen;
    } else if (seen->hash != hash || seen->prev_term != prev_term) {
        world_fail(c->world, "log_matching",
                   "group %" PRIu32 " index %" PRIu64 " term %" PRIu64 ": %016" PRIx64
                   " sends another %s than was sent before",
                   m->group, e->index, e->term, m->from,
                   seen->hash != hash ? "entry" : "predecessor");
    }
}

static void check_append(struct raft_check *c, const struct raft_message *m)
{
    struct message_entries entries = m->append.entries;
    uint64_t index = m->append.prev_index, term = m->append.prev_term;
    struct raft_entry entry;
    while (message_entries_next(&entries, index + 1, &entry) == 0) {
        check_matching(c, m, term, &entry);
        index = entry.index;
        term = entry.term;
    }
}

/* Within a term a log only grows; what a later leader cut off was acknowledged in an older one. */
static void check_ack(struct check_replica *r, const struct raft_message *m)
{
    if (!m->append_result.accepted)
        return;
    if (m->term > r->acked_term || m->append_result.index > r->acked)
        r->acked = m->append_result.index;
    r->acked_term = m->term;
}

static void check_message(struct raft_check *c, const struct raft_message *m)
{
    if (m->group >= c->plan->groups)
        return;
    bool pre = (m->code == MESSAGE_VOTE_REQUEST && m->vote_request.flags & VOTE_PRE) ||
               (m->code == MESSAGE_VOTE && m->vote.flags & VOTE_PRE);
    if (pre)
        return;
    struct check_replica *r = check_replica(c, m->group, m->from);
    check_term(c, r, m->term);
    switch (m->code) {
    case MESSAGE_VOTE_REQUEST:
        check_vote(c, r, m->from);
        break;
    case MESSAGE_VOTE:
        if (m->vote.granted)
            check_vote(c, r, m->to);
        break;
    case MESSAGE_APPEND:
        check_leader(c, m->group, m->term, m->from);
        check_append(c, m);
        break;
    case MESSAGE_HEARTBEAT:
    case MESSAGE_SNAPSHOT:
    case MESSAGE_TIMEOUT_NOW:
        check_leader(c, m->group, m->term, m->from);
        break;
    case MESSAGE_APPEND_RESULT:
        check_ack(r, m);
        break;
    default:
        break;
    }
}

void raft_check_sent(struct raft_check *c, unsigned node, uint64_t to, struct slice bytes)
{
    struct frame frame;
    struct raft_message message;
    if (frame_parse(bytes, RAFT_PLAN_CLUSTER, to, NULL, &frame) < 0) {
        world_fail(c->world, "malformed", "node %u sends a frame that can't be read", node);
        return;
    }
    int st;
    while ((st = frame_next(&frame, NULL, &message)) == 0)
        check_message(c, &message);
    if (st != ST_NOTFOUND)
        world_fail(c->world, "malformed", "node %u sends a message that can't be read", node);
}
