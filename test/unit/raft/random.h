/* Random schedules for a few cores: messages lost, doubled, reordered; writes late; crashes that
 * keep a part of what was not persisted; cuts, changes of members, transfers, snapshots, reads;
 * clocks of different rates. Then all is whole again, and the group has to go on. The cluster
 * checks safety all the time. One seed is one schedule. */
#pragma once

#include "raft/cluster.h"

#define RANDOM_STEPS 3000
#define HEAL_MS      4000

struct world {
    struct cluster *c;
    struct prng p;
    unsigned nodes;
    uint64_t reads;
    unsigned lose_percent, double_percent, late_permille;
    unsigned crash_permille, change_permille, cut_permille, pause_permille, transfer_permille;
    struct packet *late; /* messages that come when nobody waits for them any more */
    uint64_t late_until_us;
    uint64_t paused_until_us[NODES_MAX];
    bool persist_slowly;
};

static inline uint64_t below(struct world *w, uint64_t bound)
{
    return prng_below(&w->p, bound);
}

static inline bool chance(struct world *w, unsigned permille)
{
    return below(w, 1000) < permille;
}

/* Of what is on its way to the disk some arrives, in order, and nobody is told. */
static inline void crash(struct world *w, uint64_t id)
{
    struct node *n = &w->c->nodes[id];
    uint64_t kept = below(w, 4);
    for (struct write *x = n->writes; x != NULL && kept-- > 0; x = x->next) {
        if (x->is_state) {
            n->durable.term = x->term;
            n->durable.vote = x->vote;
            n->durable.commit = x->commit;
            continue;
        }
        for (unsigned i = 0; i < x->count; i++)
            row_set(&n->durable.log[x->first + i], x->rows[i].term, x->rows[i].type,
                    x->rows[i].data);
        n->durable.last = x->first + x->count - 1;
    }
    stop(w->c, id);
}

static inline void network_some(struct world *w)
{
    struct cluster *c = w->c;
    if (c->packet_count == 0)
        return;
    /* mostly in order */
    unsigned span = c->packet_count < 8 ? c->packet_count : 8;
    unsigned at = chance(w, 700) ? 0 : (unsigned)below(w, span);
    struct packet *p = packet_take(c, at);
    if (w->late == NULL && chance(w, w->late_permille)) {
        w->late = p;
        w->late_until_us = c->now_us + below(w, 4 * ELECTION) * 1000;
        return;
    }
    if (c->now_us < w->paused_until_us[p->to] && c->packet_count < 200) {
        packet_add(c, p->from, p->to, buffer_slice(&p->bytes));
        packet_free(p);
        return;
    }
    if (below(w, 100) >= w->lose_percent)
        packet_deliver(c, p);
    if (below(w, 100) < w->double_percent && c->packet_count < 200)
        packet_add(c, p->from, p->to, buffer_slice(&p->bytes));
    packet_free(p);
}

static inline void late_some(struct world *w)
{
    if (w->late == NULL || w->c->now_us < w->late_until_us)
        return;
    packet_add(w->c, w->late->from, w->late->to, buffer_slice(&w->late->bytes));
    packet_free(w->late);
    w->late = NULL;
}

static inline struct raft_config random_config(struct world *w)
{
    struct raft_config config = {0};
    unsigned voters_count = 0;
    for (uint64_t id = 1; id <= w->nodes; id++) {
        uint64_t role = below(w, 5);
        if (role <= 2) {
            raft_config_set(&config, id, id * 10, RAFT_VOTER);
            voters_count++;
        } else if (role == 3) {
            raft_config_set(&config, id, id * 10, RAFT_LEARNER);
        }
    }
    if (voters_count == 0)
        raft_config_set(&config, 1, 10, RAFT_VOTER);
    return config;
}

static inline void client_some(struct world *w, uint64_t id)
{
    struct cluster *c = w->c;
    char text[32];
    if (status(c, id).last_index + 100 < LOG_MAX && chance(w, 500)) {
        snprintf(text, sizeof(text), "%lu", below(w, 1000000));
        propose(c, id, text);
    }
    if (w->reads < READS_MAX && chance(w, 400))
        ask(c, id, w->reads++);
    if (chance(w, w->change_permille)) {
        struct raft_config to = random_config(w);
        change(c, id, &to);
    }
    if (chance(w, w->transfer_permille))
        transfer(c, id, chance(w, 500) ? 0 : 1 + below(w, w->nodes));
}

static inline void disk_some(struct world *w, uint64_t id)
{
    struct cluster *c = w->c;
    if (!w->persist_slowly || chance(w, 400))
        persist_one(c, id);
    if (c->nodes[id].up && chance(w, 200))
        apply(c, id);
    if (chance(w, 5))
        compact(c, id);
    if (chance(w, 300))
        stored_answer(c, id);
    c->nodes[id].load_later = chance(w, 300);
    if (c->nodes[id].load_later) {
        c->nodes[id].loaded = true;
        step(c, id, (struct raft_event){.type = RAFT_LOADED});
    }
}

static inline void node_some(struct world *w, uint64_t id)
{
    struct cluster *c = w->c;
    struct node *n = &c->nodes[id];
    if (!n->up) {
        if (chance(w, 20))
            restart(c, id);
        return;
    }
    if (c->now_us < w->paused_until_us[id])
        return;
    if (chance(w, w->pause_permille)) { /* as a process is stopped: its clock goes on */
        w->paused_until_us[id] = c->now_us + below(w, 3 * ELECTION) * 1000;
        return;
    }
    if (raft_due_us(n->r) <= node_now(n) && chance(w, 700))
        tick(c, id);
    disk_some(w, id);
    client_some(w, id);
    if (chance(w, w->cut_permille))
        n->cut = !n->cut;
    else if (n->cut && chance(w, 30))
        n->cut = false;
    if (chance(w, w->crash_permille))
        crash(w, id);
}

/* Logs that have the same term at an index are the same up to there (3.5). */
static inline void check_log_matching(struct world *w)
{
    for (uint64_t a = 1; a <= w->nodes; a++)
        for (uint64_t b = a + 1; b <= w->nodes; b++) {
            const struct disk *x = &w->c->nodes[a].seen, *y = &w->c->nodes[b].seen;
            uint64_t low = x->base.index > y->base.index ? x->base.index : y->base.index;
            uint64_t i = x->last < y->last ? x->last : y->last;
            while (i > low && x->log[i].term != y->log[i].term)
                i--;
            for (; i > low; i--)
                CHECK(row_hash(i, &x->log[i]) == row_hash(i, &y->log[i]));
        }
}

static inline void world_heal(struct world *w)
{
    struct cluster *c = w->c;
    c->hold_writes = false;
    w->late_until_us = 0;
    late_some(w);
    for (uint64_t id = 1; id <= w->nodes; id++) {
        c->nodes[id].cut = false;
        c->nodes[id].load_later = false;
        if (!c->nodes[id].up)
            restart(c, id);
        persist(c, id);
        step(c, id, (struct raft_event){.type = RAFT_LOADED});
    }
    for (uint64_t end = c->now_us + HEAL_MS * 1000; c->now_us < end;) {
        run_ms(c, HEARTBEAT);
        for (uint64_t id = 1; id <= w->nodes; id++)
            apply(c, id);
    }
    /* alive: somebody leads, and all members have what is committed */
    uint64_t leader = 0;
    for (uint64_t id = 1; id <= w->nodes; id++)
        if (status(c, id).role == RAFT_LEADER &&
            (leader == 0 || status(c, id).term > status(c, leader).term))
            leader = id;
    if (leader == 0)
        cluster_print(c);
    CHECK(leader != 0);
    CHECK(propose(c, leader, "last") == 0);
    run_ms(c, 20 * HEARTBEAT);
    struct raft_status s = status(c, leader);
    if (s.commit != s.last_index)
        cluster_print(c);
    CHECK(s.commit == s.last_index);
    CHECK(c->nodes[leader].reads_ready + c->nodes[leader].reads_failed <= w->reads);
    const struct raft_config *config = raft_config(c->nodes[leader].r);
    CHECK(!raft_config_joint(config));
    for (unsigned i = 0; i < config->count; i++)
        CHECK(status(c, config->members[i].id).commit == s.commit);
    for (uint64_t id = 1; id <= w->nodes; id++) {
        apply(c, id);
    }
    for (unsigned i = 0; i < config->count; i++)
        CHECK(c->nodes[config->members[i].id].state.hash == c->nodes[leader].state.hash);
}

struct world_counts {
    uint64_t elections, commits, snapshots, configs, reads_ready, reads_failed;
};

static inline void random_run(uint64_t seed, struct world_counts *counts)
{
    struct world world = {.p = prng_make(seed)}, *w = &world;
    struct cluster *c = w->c = cluster_make();
    c->quiet = true;
    c->hold_writes = true;
    w->nodes = 3 + (unsigned)below(w, 3);
    w->lose_percent = below(w, 2) ? 0 : (unsigned)below(w, 30);
    w->double_percent = below(w, 2) ? 0 : (unsigned)below(w, 40);
    w->crash_permille = below(w, 3) ? (unsigned)below(w, 6) : 0;
    w->cut_permille = below(w, 2) ? (unsigned)below(w, 6) : 0;
    w->change_permille = below(w, 2) ? (unsigned)below(w, 30) : 0;
    w->persist_slowly = below(w, 2);
    w->late_permille = below(w, 2) ? 5 : 0;
    w->pause_permille = below(w, 2) ? (unsigned)below(w, 6) : 0;
    w->transfer_permille = below(w, 3) ? 5 : 50;
    c->limits.leases = below(w, 2);
    c->limits.append_bytes_max = below(w, 2) ? 1 : 1000;
    c->limits.tail_bytes_max = 1 + below(w, 3000);
    c->limits.appends_inflight_max = 1 + (uint32_t)below(w, 8);
    struct raft_config first = {0}, none = {0};
    unsigned members = 1 + (unsigned)below(w, w->nodes);
    for (uint64_t id = 1; id <= members; id++)
        raft_config_set(&first, id, id * 10, RAFT_VOTER);
    for (uint64_t id = 1; id <= w->nodes; id++) {
        c->nodes[id].rate_permille = 950 + below(w, 101);
        c->nodes[id].boot_us = below(w, 100000000);
        c->nodes[id].forgets_reads = id % 2;
        start(c, id, true, id <= members ? &first : &none);
    }
    for (unsigned i = 0; i < RANDOM_STEPS; i++) {
        c->now_us += 1000 * (below(w, 10) == 0 ? below(w, 20) : 0);
        for (unsigned k = (unsigned)below(w, 10); k > 0; k--)
            network_some(w);
        late_some(w);
        node_some(w, 1 + below(w, w->nodes));
        if (i % 100 == 0)
            check_log_matching(w);
    }
    world_heal(w);
    counts->elections += c->elections;
    counts->commits += c->truth_last;
    counts->snapshots += c->snapshots;
    counts->configs += c->configs;
    for (uint64_t id = 1; id <= w->nodes; id++) {
        counts->reads_ready += c->nodes[id].reads_ready;
        counts->reads_failed += c->nodes[id].reads_failed;
    }
    cluster_free(c);
}
