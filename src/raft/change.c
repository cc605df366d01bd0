/* Membership (4.3): from one configuration through the joint one to the next. Each is in force on a
 * replica as soon as it is in its log (4.1), and goes when it is cut off.
 *
 * One change at a time: a new one begins when the last configuration is committed and not joint,
 * and, as a leader of an older term may have appended one that it could not commit, when an entry
 * of the own term is committed (Ongaro's note to raft-dev, 2015-07-10, on 4.1). */
#include "base/buffer.h"
#include "base/planted.h"
#include "raft/raft_private.h"

void raft_config_append(struct raft *r, const struct raft_config *config)
{
    BUFFER_AUTO struct buffer bytes = {0};
    raft_config_encode(&bytes, config);
    raft_log_append(r, r->term, RAFT_CONFIG, buffer_slice(&bytes));
    raft_config_push(r, r->log.last_index, config);
    raft_entries_persist(r, r->log.last_index);
    raft_peers_update(r);
    raft_replicate_all(r);
}

static bool config_valid(const struct raft_config *config)
{
    BUFFER_AUTO struct buffer bytes = {0};
    struct raft_config decoded;
    if (config->count > RAFT_MEMBERS_MAX)
        return false;
    raft_config_encode(&bytes, config);
    return raft_config_decode(buffer_slice(&bytes), &decoded) == ST_OK;
}

int raft_on_change(struct raft *r, const struct raft_config *to)
{
    if (r->role != RAFT_LEADER)
        return ST_CLOSED;
    if (!config_valid(to) || raft_config_joint(to) || raft_config_equal(to, &r->config))
        return ST_INVALID;
    if (!raft_term_committed(r) && !PLANTED(change_before_own_term_commit))
        return ST_AGAIN;
    if (raft_writes_full(r) || raft_log_full(r) || r->transfer_to != 0 ||
        r->past_count + 2 > RAFT_CONFIGS_MAX || r->config_index > r->commit ||
        raft_config_joint(&r->config))
        return ST_AGAIN;
    if (raft_config_same_voters(&r->config, to)) {
        raft_config_append(r, to); /* majorities stay what they are */
        return ST_OK;
    }
    struct raft_config joint = raft_config_join(&r->config, to);
    if (joint.count == 0)
        return ST_INVALID;
    raft_config_append(r, &joint);
    return ST_OK;
}

void raft_change_advance(struct raft *r)
{
    if (r->config_index > r->commit)
        return;
    if (raft_config_joint(&r->config)) {
        struct raft_config config = raft_config_leave(&r->config);
        raft_config_append(r, &config);
    } else if (!raft_config_votes(&r->config, r->id)) {
        /* It led without a vote until this was committed (4.2.2). The others learn of that now: so
         * whoever is elected next needs not find out. */
        raft_heartbeats(r);
        raft_follow(r, r->term, 0);
    }
}
