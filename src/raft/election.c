/* Terms, votes and leadership (3.4), with
 *
 * - pre-vote (9.6): who can't win does not raise the term, so a replica that was cut off does no
 *   harm when it comes back;
 * - stickiness (4.2.3, 6.4.1): who heard from a leader within the election timeout, or is one,
 *   disregards requests for votes. Leases rest on that, so it also holds for one timeout after a
 *   start, when it is not known any more who was heard. A transfer's requests are exempt: that
 *   leader has given up its lease, and takes none any more in its term (transfer.c);
 * - check-quorum (6.2): a leader that a majority has not answered for one timeout steps down.
 *
 * A candidate's requests leave when its own vote is durable, and its own vote counts then. */
#include <stdlib.h>

#include "base/buffer.h"
#include "base/planted.h"
#include "base/prng.h"
#include "raft/raft_private.h"

void raft_election_reset(struct raft *r)
{
    struct prng p = prng_make(r->random);
    r->random = prng_u64(&p);
    uint64_t timeout = raft_ms(r->limits.election_ms);
    r->election_us = r->now_us + timeout + prng_below(&p, timeout + 1); /* randomized (3.4) */
}

bool raft_in_touch(const struct raft *r)
{
    if (r->role == RAFT_LEADER)
        return true;
    return r->heard_us != 0 && r->now_us - r->heard_us < raft_ms(r->limits.election_ms);
}

/* Who has no vote in the configuration in force may still be needed to commit it (4.2.2): he may
 * be the only one who has what the others lack. He stands, and does not count his own vote. */
static bool needed(const struct raft *r)
{
    if (raft_config_votes(&r->config, r->id))
        return true;
    uint64_t from = r->config_index; /* of the configuration looked at last */
    for (unsigned i = r->past_count; i-- > 0 && from > r->commit;) {
        for (unsigned k = 0; k < r->past[i]->count; k++)
            if (r->past[i]->members[k].id == r->id && r->past[i]->members[k].role != RAFT_LEARNER)
                return true;
        from = r->past[i]->index;
    }
    return false;
}

bool raft_stands(const struct raft *r)
{
    return !r->installing && !raft_log_full(r) && needed(r);
}

static void term_forget(struct raft *r) /* what belonged to the term before */
{
    free(r->held);
    r->held = NULL;
    r->held_count = r->held_cap = 0;
    r->matched = 0;
    r->leader_round = 0;
    r->ack_owed = false;
}

static void leadership_end(struct raft *r)
{
    raft_reads_fail(r);
    raft_peers_free(r);
    r->transfer_to = 0;
    raft_election_reset(r);
}

void raft_follow(struct raft *r, uint64_t term, uint64_t leader)
{
    CHECK(term >= r->term);
    if (r->role == RAFT_LEADER)
        leadership_end(r);
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
        raft_state_changed(r);
        term_forget(r);
        r->role_dirty = true;
    }
    if (r->role != RAFT_FOLLOWER || r->leader != leader)
        r->role_dirty = true;
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
}

static void votes_ask(struct raft *r, uint64_t term, uint8_t flags)
{
    for (unsigned i = 0; i < r->config.count; i++) {
        const struct raft_member *member = &r->config.members[i];
        if (member->id == r->id || !(member->role & (RAFT_VOTER | RAFT_VOTER_OLD)))
            continue;
        struct raft_message m = raft_message_to(r, member->id, MESSAGE_VOTE_REQUEST);
        m.term = term;
        m.vote_request.flags = flags;
        m.vote_request.last_index = r->log.last_index;
        m.vote_request.last_term = r->log.last_term;
        if (flags & VOTE_PRE)
            raft_send_now(r, member->node, &m);
        else
            raft_send(r, member->node, &m);
    }
}

static void vote_add(struct raft *r, uint64_t id)
{
    for (unsigned i = 0; i < r->config.count; i++)
        if (r->config.members[i].id == id)
            r->votes |= (uint16_t)(1u << i);
}

static void stand(struct raft *r, enum raft_role role)
{
    r->role = role;
    r->leader = 0;
    r->votes = 0;
    r->role_dirty = true;
    raft_election_reset(r);
}

static void precampaign(struct raft *r)
{
    stand(r, RAFT_PRECANDIDATE);
    vote_add(r, r->id);
    votes_ask(r, r->term + 1, VOTE_PRE);
}

void raft_campaign(struct raft *r, bool transfer)
{
    r->term++;
    r->vote = r->id;
    raft_state_changed(r);
    term_forget(r);
    stand(r, RAFT_CANDIDATE);
    votes_ask(r, r->term, transfer ? VOTE_TRANSFER : 0);
    raft_state_flush(r);
}

/* An entry of the own term: only such can be committed by counting (3.6.2), and only then is it
 * known what is (6.4). The first of a log is the configuration that the group was born with: who is
 * added later learns it from there, and so knows the one in force at each index. */
static void term_begin(struct raft *r)
{
    BUFFER_AUTO struct buffer bytes = {0};
    bool born = r->log.last_index == 0;
    if (born)
        raft_config_encode(&bytes, &r->config);
    r->term_start = r->log.last_index + 1;
    raft_log_append(r, r->term, born ? RAFT_CONFIG : RAFT_NOOP, buffer_slice(&bytes));
    raft_entries_persist(r, r->term_start);
}

static void lead(struct raft *r)
{
    r->role = RAFT_LEADER;
    r->leader = r->id;
    r->role_dirty = true;
    r->round = r->now_us > r->round ? r->now_us : r->round + 1;
    r->heartbeat_us = r->now_us + raft_ms(r->limits.heartbeat_ms);
    r->transfer_to = 0;
    r->transfer_asked = false;
    r->uncommitted_bytes = 0;
    raft_peers_update(r);
    term_begin(r);
    raft_replicate_all(r);
}

void raft_votes_count(struct raft *r)
{
    if (r->role == RAFT_CANDIDATE && !r->state_dirty && r->state_seq <= r->persisted_seq)
        vote_add(r, r->id);
    if (!raft_quorum_votes(r))
        return;
    if (r->role == RAFT_PRECANDIDATE)
        raft_campaign(r, false);
    else if (r->role == RAFT_CANDIDATE)
        lead(r);
}

void raft_election_tick(struct raft *r)
{
    if (!raft_stands(r))
        return;
    if (!raft_quorum_alone(r)) {
        if (r->now_us >= r->election_us)
            precampaign(r);
    } else if (r->role == RAFT_FOLLOWER) {
        /* Nobody to ask, and nobody has a lease: whoever made this configuration dropped his with
         * it (read.c). */
        raft_campaign(r, false);
    }
}

static bool vote_request_possible(const struct raft_message *m)
{
    const struct message_vote_request *v = &m->vote_request;
    return (v->flags == 0 || v->flags == VOTE_PRE || v->flags == VOTE_TRANSFER) &&
           (v->last_index == 0) == (v->last_term == 0) && v->last_index <= RAFT_INDEX_MAX &&
           v->last_term < m->term;
}

static void vote_answer(struct raft *r, const struct raft_message *request, bool granted)
{
    struct raft_message m = raft_message_to(r, request->from, MESSAGE_VOTE);
    m.vote.flags = request->vote_request.flags;
    m.vote.granted = granted;
    uint64_t node = raft_node_of(r, request->from);
    if (!(request->vote_request.flags & VOTE_PRE)) {
        raft_send(r, node, &m); /* after the vote is durable (3.8) */
        return;
    }
    if (granted)
        m.term = request->term; /* what was granted is a vote in that term */
    raft_send_now(r, node, &m);
}

bool raft_recv_vote_request(struct raft *r, const struct raft_message *m)
{
    const struct message_vote_request *v = &m->vote_request;
    if (!vote_request_possible(m))
        return false;
    bool in_touch = raft_in_touch(r) && !(PLANTED(vote_despite_leader) && r->role != RAFT_LEADER);
    if (!(v->flags & VOTE_TRANSFER) && (in_touch || r->now_us < r->voting_from_us))
        return true; /* disregarded, whatever its term (4.2.3, 6.4.1) */

    /* "at least as up-to-date" (3.6.1) */
    bool current = v->last_term > r->log.last_term ||
                   (v->last_term == r->log.last_term && v->last_index >= r->log.last_index);
    if (v->flags & VOTE_PRE) {
        vote_answer(r, m, current && m->term > r->term); /* neither term nor vote change (9.6) */
        return true;
    }
    if (m->term > r->term)
        raft_follow(r, m->term, 0);
    bool free_to = r->vote == m->from || (r->vote == 0 && r->leader == 0);
    if (PLANTED(vote_twice_after_transfer) && (v->flags & VOTE_TRANSFER))
        free_to = true;
    if (PLANTED(vote_for_short_log))
        current = true;
    bool granted = m->term == r->term && current && free_to;
    if (granted && r->vote != m->from) {
        r->vote = m->from;
        raft_state_changed(r);
    }
    if (granted)
        raft_election_reset(r);
    vote_answer(r, m, granted);
    return true;
}

bool raft_recv_vote(struct raft *r, const struct raft_message *m)
{
    const struct message_vote *v = &m->vote;
    if (v->granted > 1 || (v->flags != 0 && v->flags != VOTE_PRE && v->flags != VOTE_TRANSFER) ||
        !raft_config_votes(&r->config, m->from))
        return false;
    bool pre = v->flags & VOTE_PRE;
    if (pre && v->granted) {
        if (r->role == RAFT_PRECANDIDATE && m->term == r->term + 1) {
            vote_add(r, m->from);
            raft_votes_count(r);
        }
        return true;
    }
    if (m->term > r->term) {
        raft_follow(r, m->term, 0);
    } else if (!pre && v->granted && m->term == r->term && r->role == RAFT_CANDIDATE) {
        vote_add(r, m->from);
        raft_votes_count(r);
    }
    return true;
}
