/* Leadership transfer (3.10): the target is brought up to date while no proposals are taken, and is
 * then asked to stand at once. When that takes longer than transfer_ms it is given up, and
 * proposals are taken again; leases are not (read.c). */
#include "raft/raft_private.h"

static bool may_lead(const struct raft *r, uint64_t id)
{
    const struct raft_member *m = raft_config_find(&r->config, id);
    return m != NULL && (m->role & RAFT_VOTER);
}

int raft_on_transfer(struct raft *r, uint64_t to)
{
    if (r->role != RAFT_LEADER)
        return ST_CLOSED;
    if (r->transfer_to != 0)
        return ST_AGAIN;
    const struct raft_peer *best = NULL;
    for (unsigned i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        if (may_lead(r, p->id) && (to == 0 || to == p->id) &&
            (best == NULL || p->match > best->match))
            best = p;
    }
    if (best == NULL)
        return ST_INVALID;
    r->transfer_to = best->id;
    r->transfer_us = r->now_us + raft_ms(r->limits.transfer_ms);
    raft_transfer_advance(r);
    return ST_OK;
}

void raft_transfer_advance(struct raft *r)
{
    if (r->transfer_to == 0)
        return;
    const struct raft_peer *p = raft_peer_find(r, r->transfer_to);
    if (p == NULL || !may_lead(r, p->id)) {
        r->transfer_to = 0;
    } else if (p->match == r->log.last_index) {
        struct raft_message m = raft_message_to(r, p->id, MESSAGE_TIMEOUT_NOW);
        r->transfer_asked = true;
        raft_send_now(r, p->node, &m);
    }
}

void raft_transfer_tick(struct raft *r)
{
    if (r->transfer_to != 0 && r->now_us >= r->transfer_us)
        r->transfer_to = 0;
    else if (r->now_us >= r->heartbeat_us)
        raft_transfer_advance(r); /* the message may be lost */
}

bool raft_recv_timeout_now(struct raft *r, const struct raft_message *m)
{
    if (m->term < r->term)
        return true; /* late */
    if (m->term > r->term || r->role != RAFT_FOLLOWER || r->leader != m->from)
        return false;
    if (raft_stands(r))
        raft_campaign(r, true);
    return true;
}
