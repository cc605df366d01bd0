/* Linearizable reads (6.4). A read may be served at the commit index of its arrival once (a) an
 * entry of the leader's own term is committed, before that it does not know what is, and (b) a
 * majority answered a round of heartbeats begun after the read arrived. One round serves all that
 * wait; those that come while one is out share the next.
 *
 * Leases (6.4.1): who answers a round does not vote for election_ms after he got it. So no other
 * can lead until election_ms after the round was *begun*, and the number of a round is the time of
 * that. The clocks' rates differ by at most clock_drift_percent, so the leader counts that much
 * less. It has no lease
 * - when it does not vote in the configuration in force: the others may be few enough to begin
 *   without waiting;
 * - from the begin of a transfer on, and when TIMEOUT_NOW was sent, to the end of the term: the
 *   message may be late, and votes for a transfer do not wait. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/planted.h"
#include "raft/raft_private.h"

bool raft_leased(const struct raft *r)
{
    if (r->role != RAFT_LEADER || !r->limits.leases || !raft_term_committed(r) ||
        r->transfer_to != 0 || (r->transfer_asked && !PLANTED(lease_after_transfer)) ||
        !raft_config_votes(&r->config, r->id))
        return false;
    if (raft_quorum_alone(r))
        return true;
    uint64_t begun = raft_quorum(r, QUORUM_ROUND);
    uint64_t lease = raft_ms(r->limits.election_ms) / 100 * (100 - r->limits.clock_drift_percent);
    if (PLANTED(lease_too_long))
        lease *= 3;
    return begun != 0 && r->now_us < begun + lease;
}

static void read_ready(struct raft *r, uint64_t id, uint64_t index)
{
    struct raft_action *action = raft_act(r, RAFT_ACTION_READ_READY);
    action->read.id = id;
    action->read.index = index;
}

static void reads_drop(struct raft *r, unsigned count) /* the first ones */
{
    r->read_count -= count;
    if (r->read_count == 0) {
        free(r->reads);
        r->reads = NULL;
        r->read_cap = 0;
    } else if (count != 0) {
        memmove(r->reads, r->reads + count, r->read_count * sizeof(*r->reads));
    }
}

static void read_push(struct raft *r, const struct raft_read *read)
{
    if (r->read_count == r->read_cap) {
        r->read_cap = r->read_cap ? r->read_cap * 2 : 4;
        r->reads = mem_realloc(r->reads, r->read_cap * sizeof(*r->reads));
    }
    r->reads[r->read_count++] = *read;
}

int raft_on_read(struct raft *r, uint64_t id)
{
    if (r->role != RAFT_LEADER)
        return ST_CLOSED;
    bool alone = raft_quorum_alone(r);
    if (raft_term_committed(r) && (alone || raft_leased(r) || PLANTED(read_without_confirming))) {
        read_ready(r, id, r->commit);
        return ST_OK;
    }
    if (r->read_count >= r->limits.reads_max)
        return ST_LIMIT;
    struct raft_read read = {.id = id, .index = raft_term_committed(r) ? r->commit : 0};
    if (raft_quorum(r, QUORUM_ROUND) < r->round) {
        read.round = r->round + 1; /* the one that is out began before the read came */
        read_push(r, &read);
        return ST_OK;
    }
    raft_heartbeats(r);
    read.round = r->round;
    read_push(r, &read);
    return ST_OK;
}

void raft_reads_advance(struct raft *r)
{
    if (r->read_count == 0)
        return;
    uint64_t answered = raft_quorum(r, QUORUM_ROUND);
    if (raft_term_committed(r)) {
        unsigned ready = 0;
        for (; ready < r->read_count && r->reads[ready].round <= answered; ready++) {
            const struct raft_read *read = &r->reads[ready];
            read_ready(r, read->id, read->index ? read->index : r->commit);
        }
        reads_drop(r, ready);
    }
    if (r->read_count != 0 && r->reads[r->read_count - 1].round > r->round && answered >= r->round)
        raft_heartbeats(r);
}

void raft_reads_fail(struct raft *r)
{
    for (unsigned i = 0; i < r->read_count; i++)
        raft_act(r, RAFT_ACTION_READ_FAILED)->read.id = r->reads[i].id;
    reads_drop(r, r->read_count);
}
