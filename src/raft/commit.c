/* Majorities, and the commit index that follows from them (3.5, 3.6.2). While the configuration is
 * joint, each of them is two: of the old voters and of the new (4.3). */
#include "base/planted.h"
#include "raft/raft_private.h"

static uint64_t reached(const struct raft *r, uint64_t id, enum raft_quorum what)
{
    if (id == r->id && what == QUORUM_MATCH && PLANTED(leader_counts_unsynced))
        return r->log.last_index;
    if (id == r->id)
        return what == QUORUM_MATCH ? r->durable : what == QUORUM_ROUND ? r->round : r->now_us;
    const struct raft_peer *p = raft_peer_find(r, id);
    if (p == NULL)
        return 0;
    return what == QUORUM_MATCH ? p->match : what == QUORUM_ROUND ? p->round : p->heard_us;
}

/* The highest value that a majority of those with `role` has; UINT64_MAX when there are none. */
static uint64_t majority(const struct raft *r, uint8_t role, enum raft_quorum what)
{
    uint64_t values[RAFT_MEMBERS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < r->config.count; i++) {
        if (!(r->config.members[i].role & role))
            continue;
        uint64_t value = reached(r, r->config.members[i].id, what);
        unsigned at = count++;
        for (; at > 0 && values[at - 1] < value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return count ? values[count / 2] : UINT64_MAX;
}

uint64_t raft_quorum(const struct raft *r, enum raft_quorum what)
{
    uint64_t new = majority(r, RAFT_VOTER, what);
    uint64_t old = majority(r, RAFT_VOTER_OLD, what);
    if (PLANTED(joint_one_majority))
        return new;
    return new < old ? new : old;
}

static bool votes_majority(const struct raft *r, uint8_t role)
{
    unsigned voters = 0, granted = 0;
    for (unsigned i = 0; i < r->config.count; i++) {
        if (!(r->config.members[i].role & role))
            continue;
        voters++;
        granted += (r->votes >> i) & 1;
    }
    return voters == 0 || granted > voters / 2;
}

bool raft_quorum_votes(const struct raft *r)
{
    return votes_majority(r, RAFT_VOTER) && votes_majority(r, RAFT_VOTER_OLD);
}

bool raft_quorum_alone(const struct raft *r)
{
    return raft_config_votes(&r->config, r->id) && raft_config_voters(&r->config) == 1;
}

void raft_commit_to(struct raft *r, uint64_t index)
{
    if (index <= r->commit)
        return;
    CHECK(index <= r->log.last_index);
    if (r->role == RAFT_LEADER) {
        uint64_t first = r->commit + 1 > r->term_start ? r->commit + 1 : r->term_start;
        for (uint64_t i = first; i <= index; i++) {
            const struct raft_tail_row *row = raft_log_row(r, i);
            if (row->type == RAFT_COMMAND)
                r->uncommitted_bytes -= row->len + RAFT_ENTRY_EXTRA;
        }
    }
    r->commit = index;
    raft_act(r, RAFT_ACTION_COMMIT)->index = index;
}

void raft_commit_advance(struct raft *r)
{
    uint64_t index = raft_quorum(r, QUORUM_MATCH);
    /* Only an entry of the own term is committed by counting; those before it are so with it
     * (3.6.2, figure 3.7). All from the no-op on are of the own term. */
    if (index <= r->commit || (index < r->term_start && !PLANTED(commit_old_term)))
        return;
    raft_commit_to(r, index);
    raft_change_advance(r);
    if (r->role == RAFT_LEADER)
        raft_reads_advance(r);
}
