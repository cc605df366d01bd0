#include "sim/raft_operator.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "sim/raft_operator_private.h"

#define TICK_MIN_US UINT64_C(100000)
#define TICK_MAX_US UINT64_C(400000)
#define SECOND_US   UINT64_C(1000000)

static const struct raft_plan *plan_of(const struct raft_operator *o)
{
    return &o->run->plan;
}

static struct process *process_at(const struct raft_operator *o, unsigned node)
{
    return o->run->processes[node - 1];
}

/* --- what is known --- */

unsigned operator_voters(const struct raft_config *config)
{
    unsigned count = 0;
    for (unsigned i = 0; i < config->count; i++)
        count += (config->members[i].role & RAFT_VOTER) != 0;
    return count;
}

bool operator_sound(const struct raft_operator *o, uint32_t group, const struct raft_member *m)
{
    if (m->node < 1 || m->node > plan_of(o)->nodes || o->nodes[m->node].damaged ||
        o->nodes[m->node].absent)
        return false;
    return o->replicas[group][m->node].sound_id == m->id;
}

static bool majority_sound(const struct raft_operator *o, uint32_t group,
                           const struct raft_config *config, unsigned more, uint8_t role)
{
    unsigned voters = 0, sound = 0;
    for (unsigned i = 0; i < config->count; i++) {
        const struct raft_member *m = &config->members[i];
        if (!(m->role & role))
            continue;
        voters++;
        sound += m->node != more && operator_sound(o, group, m);
    }
    return voters == 0 || sound > voters / 2;
}

bool operator_stands(const struct raft_operator *o, uint32_t group,
                     const struct raft_config *config, unsigned more)
{
    return majority_sound(o, group, config, more, RAFT_VOTER) &&
           majority_sound(o, group, config, more, RAFT_VOTER_OLD);
}

bool raft_operator_allows(const struct raft_operator *o, uint32_t group,
                          const struct raft_config *config)
{
    return operator_voters(config) > 0 && operator_stands(o, group, config, 0);
}

void raft_operator_saw(struct raft_operator *o, unsigned node, const struct group *g)
{
    struct operator_replica *r = &o->replicas[group_id(g)][node];
    struct group_status status;
    group_status(g, &status);
    if (status.state != GROUP_RUNNING || status.id != r->sound_id)
        return;
    r->seen = *group_config(g);
    r->seen_index = status.raft.config_index;
}

void raft_operator_added(struct raft_operator *o, unsigned node, uint32_t group, uint64_t id)
{
    if (!o->nodes[node].damaged)
        o->replicas[group][node] = (struct operator_replica){.sound_id = id};
}

bool raft_operator_suspects(const struct raft_operator *o, unsigned node)
{
    return o->nodes[node].damaged;
}

static bool all_stand(const struct raft_operator *o, unsigned node)
{
    for (uint32_t g = 0; g < plan_of(o)->groups; g++)
        for (unsigned n = 1; n <= plan_of(o)->nodes; n++) {
            const struct operator_replica *r = &o->replicas[g][n];
            if (r->sound_id != 0 && r->seen.count > 0 && !operator_stands(o, g, &r->seen, node))
                return false;
        }
    return true;
}

static void replica_lost(struct operator_replica *r)
{
    *r = (struct operator_replica){0};
}

static void look(struct raft_operator *o);

bool raft_operator_may_damage(struct raft_operator *o, unsigned node)
{
    look(o);
    if (o->nodes[node].damaged || !all_stand(o, node))
        return false;
    for (uint32_t g = 0; g < plan_of(o)->groups; g++)
        replica_lost(&o->replicas[g][node]);
    uint64_t wait_us = SECOND_US + prng_below(&o->random, 15 * SECOND_US);
    o->nodes[node] = (struct operator_node){
        .damaged = true,
        .birth = process_birth(process_at(o, node)),
        .wipe_us = world_now_us(o->run->world) + wait_us,
    };
    return true;
}

bool raft_operator_may_stay_down(struct raft_operator *o, unsigned node)
{
    look(o);
    if (o->nodes[node].damaged || !all_stand(o, node))
        return false;
    o->nodes[node].absent = true;
    return true;
}

void raft_operator_refused(struct raft_operator *o, unsigned node, int st)
{
    if (!o->nodes[node].damaged) {
        world_fail(o->run->world, "refused",
                   "node %u, whose disk is sound, refuses to start: %s %s", node, status_text(st),
                   process_refusal(process_at(o, node)));
        return;
    }
    o->nodes[node].wipe_us = world_now_us(o->run->world) + prng_below(&o->random, 5 * SECOND_US);
}

/* --- looking at everything --- */

static void look_replica(struct raft_operator *o, unsigned node, uint32_t group, struct group *g)
{
    struct operator_replica *r = &o->replicas[group][node];
    struct group_status status;
    if (g == NULL) {
        if (r->sound_id != 0)
            replica_lost(r); /* it was made and not yet synced when the power went */
        return;
    }
    group_status(g, &status);
    if (status.state == GROUP_RUNNING) {
        raft_operator_saw(o, node, g);
        return;
    }
    if (!o->nodes[node].damaged && status.id == r->sound_id)
        world_fail(o->run->world, status.state == GROUP_ORPHAN ? "orphaned" : "stopped",
                   "node %u group %" PRIu32 ", whose disk is sound: %s", node, group,
                   status_text(status.error));
}

/* A node that was wiped, or has a copy, knows itself that it is nobody any more: no need to wipe
 * it. */
static void look_damaged(struct raft_operator *o, unsigned node)
{
    struct operator_node *n = &o->nodes[node];
    if (n->damaged && process_birth(process_at(o, node)) != n->birth)
        n->damaged = false;
}

static void look(struct raft_operator *o)
{
    for (unsigned node = 1; node <= plan_of(o)->nodes; node++) {
        struct raft_app *a = raft_app_of(process_at(o, node));
        if (a == NULL)
            continue;
        look_damaged(o, node);
        for (uint32_t g = 0; g < plan_of(o)->groups; g++)
            look_replica(o, node, g, raft_app_group(a, g));
    }
}

static void wipe(struct raft_operator *o, unsigned node)
{
    struct process *p = process_at(o, node);
    world_trace(o->run->world, node, "operator_wipe", {"life", process_life(p)});
    process_die(p, PROCESS_KILL);
    process_wipe(p);
    for (uint32_t g = 0; g < plan_of(o)->groups; g++)
        replica_lost(&o->replicas[g][node]);
    o->nodes[node].damaged = false;
    int st = process_start(p);
    if (st == ST_IO || st == ST_NOSPACE) { /* while its disk fails: again a little later */
        o->nodes[node].damaged = true;
        o->nodes[node].birth = process_birth(p);
        o->nodes[node].wipe_us = world_now_us(o->run->world) + SECOND_US;
    } else if (st < 0) {
        world_fail(o->run->world, "refused", "node %u with an empty disk refuses to start: %s",
                   node, status_text(st));
    }
}

bool operator_view(struct raft_operator *o, uint32_t group, struct operator_view *ret_view)
{
    uint64_t term = 0;
    for (unsigned node = 1; node <= plan_of(o)->nodes; node++) {
        struct raft_app *a = raft_app_of(process_at(o, node));
        struct group *g = a == NULL ? NULL : raft_app_group(a, group);
        if (g == NULL || !group_leads(g))
            continue;
        struct group_status status;
        group_status(g, &status);
        if (status.raft.term <= term)
            continue;
        term = status.raft.term;
        *ret_view = (struct operator_view){
            .node = node, .app = a, .group = g, .status = status, .config = *group_config(g)};
    }
    return term > 0;
}

static void tick(struct world_event *event)
{
    struct raft_operator *o = container_of(event, struct raft_operator, event);
    uint64_t now_us = world_now_us(o->run->world);
    look(o);
    for (unsigned node = 1; node <= plan_of(o)->nodes; node++)
        if (o->nodes[node].damaged && now_us >= o->nodes[node].wipe_us)
            wipe(o, node);
    for (uint32_t g = 0; g < plan_of(o)->groups; g++)
        operator_group_tick(o, g);
    world_after(o->run->world, &o->event,
                TICK_MIN_US + prng_below(&o->random, TICK_MAX_US - TICK_MIN_US));
}

/* --- life --- */

uint64_t operator_fresh_id(struct raft_operator *o)
{
    uint64_t id;
    do
        id = prng_u64(&o->random) >> 1;
    while (id == 0);
    return id;
}

static void found(struct raft_operator *o, uint32_t group)
{
    struct raft_config *config = &o->run->founders[group];
    unsigned first = (unsigned)prng_below(&o->random, plan_of(o)->nodes);
    for (unsigned i = 0; i < plan_of(o)->voters; i++) {
        unsigned node = 1 + (first + i) % plan_of(o)->nodes;
        uint64_t id = operator_fresh_id(o);
        raft_config_set(config, id, node, RAFT_VOTER);
    }
}

struct raft_operator *raft_operator_new(struct raft_run *run)
{
    struct raft_operator *o = mem_zalloc(sizeof(*o));
    o->run = run;
    o->random = world_prng(run->world, "raft operator", 0);
    o->event.fire = tick;
    for (uint32_t g = 0; g < run->plan.groups; g++) {
        found(o, g);
        o->change_us[g] = prng_below(&o->random, 10 * SECOND_US);
    }
    return o;
}

void raft_operator_free(struct raft_operator *o)
{
    if (o == NULL)
        return;
    world_cancel(o->run->world, &o->event);
    free(o);
}

void raft_operator_begin(struct raft_operator *o)
{
    for (uint32_t g = 0; g < plan_of(o)->groups; g++)
        for (unsigned i = 0; i < o->run->founders[g].count; i++) {
            const struct raft_member *m = &o->run->founders[g].members[i];
            raft_app_admin(raft_app_of(process_at(o, (unsigned)m->node)),
                           &(struct raft_admin){.kind = RAFT_ADMIN_ADD,
                                                .group = g,
                                                .id = m->id,
                                                .config = o->run->founders[g]});
        }
    world_after(o->run->world, &o->event, TICK_MAX_US);
}

void raft_operator_heal(struct raft_operator *o)
{
    o->healed = true;
    uint64_t now_us = world_now_us(o->run->world);
    for (unsigned node = 1; node <= plan_of(o)->nodes; node++)
        if (o->nodes[node].damaged && o->nodes[node].wipe_us > now_us + SECOND_US)
            o->nodes[node].wipe_us = now_us + SECOND_US;
}

/* --- the end --- */

static const char *unsettled(struct raft_operator *o, uint32_t group, unsigned *ret_node)
{
    struct operator_view v;
    *ret_node = 0;
    if (!operator_view(o, group, &v))
        return "has no leader";
    *ret_node = v.node;
    if (!v.status.raft.config_committed || raft_config_joint(&v.config))
        return "changes members";
    if (v.status.raft.applied != v.status.raft.last_index)
        return "has entries not applied";
    for (unsigned i = 0; i < v.config.count; i++) {
        const struct raft_member *m = &v.config.members[i];
        *ret_node = (unsigned)m->node;
        if (!operator_sound(o, group, m))
            return "has a damaged member";
        struct raft_app *a = raft_app_of(process_at(o, (unsigned)m->node));
        struct group *g = a == NULL ? NULL : raft_app_group(a, group);
        struct group_status status;
        if (g == NULL)
            return "has a member that is down";
        group_status(g, &status);
        if (status.raft.applied != v.status.raft.applied)
            return "has a member that is behind";
    }
    return NULL;
}

bool raft_operator_settled(struct raft_operator *o)
{
    unsigned node;
    for (uint32_t g = 0; g < plan_of(o)->groups; g++)
        if (unsettled(o, g, &node) != NULL)
            return false;
    return true;
}

static void describe_group(struct raft_operator *o, uint32_t group)
{
    for (unsigned node = 1; node <= plan_of(o)->nodes; node++) {
        struct raft_app *a = raft_app_of(process_at(o, node));
        struct group *g = a == NULL ? NULL : raft_app_group(a, group);
        struct group_status s;
        if (g == NULL) {
            world_note(o->run->world, node, "group %" PRIu32 " %s", group,
                       a == NULL ? "down" : "has no replica");
            continue;
        }
        group_status(g, &s);
        world_note(o->run->world, node,
                   "group %" PRIu32 " replica %" PRIu64 " state %d role %d term %" PRIu64
                   " leader %" PRIu64 " log %" PRIu64 "..%" PRIu64 " commit %" PRIu64
                   " applied %" PRIu64 " flushed %" PRIu64 " config %" PRIu64 "%s",
                   group, s.id, s.state, s.raft.role, s.raft.term, s.raft.leader,
                   s.raft.first_index, s.raft.last_index, s.raft.commit, s.raft.applied,
                   s.flushed_index, s.raft.config_index,
                   raft_config_find(group_config(g), s.id) == NULL ? ", no member" : "");
    }
}

void raft_operator_describe(struct raft_operator *o, struct buffer *out)
{
    for (uint32_t g = 0; g < plan_of(o)->groups; g++) {
        unsigned node;
        const char *why = unsettled(o, g, &node);
        if (why == NULL)
            continue;
        buffer_printf(out, "group %" PRIu32 " %s (node %u); ", g, why, node);
        describe_group(o, g);
    }
}
