/* What the operator does to one group, a step each time it looks: first repairs, then what is
 * missing, then changes for no reason. Each step goes to whoever seems to lead, as one change of
 * members; that it may be refused, lost or overtaken is the point. */
#include "base/status.h"
#include "sim/raft_operator_private.h"

#define SECOND_US    UINT64_C(1000000)
#define IDLE_US      (5 * SECOND_US) /* a replica in no configuration is destroyed after it */
#define CAUGHT_UP    100             /* entries behind: a learner may be promoted */
#define REPLACE_MAX  2               /* members changed at a time */
#define RACE_PERCENT 15
#define PLACES_MAX   RAFT_PLAN_NODES_MAX

static const struct raft_plan *plan_of(const struct raft_operator *o)
{
    return &o->run->plan;
}

static uint64_t now_us(const struct raft_operator *o)
{
    return world_now_us(o->run->world);
}

static struct raft_app *app_at(const struct raft_operator *o, unsigned node)
{
    return raft_app_of(o->run->processes[node - 1]);
}

static bool percent(struct raft_operator *o, unsigned p)
{
    return prng_below(&o->random, 100) < p;
}

/* Nodes that could get a replica, in random order. */
static unsigned places(struct raft_operator *o, uint32_t group, const struct raft_config *config,
                       unsigned *ret_nodes)
{
    unsigned count = 0;
    for (unsigned node = 1; node <= plan_of(o)->nodes; node++) {
        struct raft_app *a = app_at(o, node);
        bool taken = a == NULL || o->nodes[node].damaged || raft_app_group(a, group) != NULL;
        for (unsigned i = 0; i < config->count; i++)
            taken = taken || config->members[i].node == node;
        if (!taken)
            ret_nodes[count++] = node;
    }
    for (unsigned i = count; i > 1; i--) {
        unsigned j = (unsigned)prng_below(&o->random, i);
        unsigned node = ret_nodes[i - 1];
        ret_nodes[i - 1] = ret_nodes[j];
        ret_nodes[j] = node;
    }
    return count;
}

/* Makes a replica that waits; it becomes a member only when that was done. */
static uint64_t place_replica(struct raft_operator *o, uint32_t group, unsigned node)
{
    uint64_t id = operator_fresh_id(o);
    raft_app_admin(app_at(o, node),
                   &(struct raft_admin){.kind = RAFT_ADMIN_ADD, .group = group, .id = id});
    return id;
}

static void change(struct raft_app *a, uint32_t group, const struct raft_config *config)
{
    raft_app_admin(
        a, &(struct raft_admin){.kind = RAFT_ADMIN_CHANGE, .group = group, .config = *config});
}

/* A change must not take the last voters, and not ask more of the others than they can. */
static unsigned voters_min(const struct raft_operator *o)
{
    if (plan_of(o)->one_voter)
        return 1;
    return plan_of(o)->voters < 2 ? plan_of(o)->voters : 2;
}

/* --- repairs --- */

static bool remove_damaged(struct raft_operator *o, uint32_t group, const struct operator_view *v)
{
    struct raft_config config = v->config;
    bool found = false;
    for (unsigned i = 0; i < v->config.count; i++)
        if (!operator_sound(o, group, &v->config.members[i])) {
            raft_config_set(&config, v->config.members[i].id, 0, 0);
            found = true;
        }
    if (found && operator_voters(&config) >= voters_min(o))
        change(v->app, group, &config);
    return found;
}

/* A replica waits on some node since the last look, in no configuration: take it in. */
static bool take_in(struct raft_operator *o, uint32_t group, const struct operator_view *v,
                    uint8_t role)
{
    struct raft_config config = v->config;
    for (unsigned node = 1; node <= plan_of(o)->nodes; node++) {
        const struct operator_replica *r = &o->replicas[group][node];
        if (r->sound_id == 0 || r->seen.count > 0 || app_at(o, node) == NULL)
            continue;
        if (raft_config_find(&config, r->sound_id) == NULL) {
            raft_config_set(&config, r->sound_id, node, role);
            change(v->app, group, &config);
            return true;
        }
    }
    return false;
}

static bool caught_up(const struct raft_operator *o, uint32_t group, const struct raft_member *m,
                      const struct operator_view *v)
{
    struct raft_app *a = app_at(o, (unsigned)m->node);
    struct group *g = a == NULL ? NULL : raft_app_group(a, group);
    struct group_status status;
    if (g == NULL || !operator_sound(o, group, m))
        return false;
    group_status(g, &status);
    return status.raft.applied + CAUGHT_UP >= v->status.raft.commit;
}

static bool promote(struct raft_operator *o, uint32_t group, const struct operator_view *v)
{
    struct raft_config config = v->config;
    for (unsigned i = 0; i < v->config.count; i++) {
        const struct raft_member *m = &v->config.members[i];
        if (m->role != RAFT_LEARNER || !caught_up(o, group, m, v))
            continue;
        raft_config_set(&config, m->id, m->node, RAFT_VOTER);
        change(v->app, group, &config);
        return true;
    }
    return false;
}

/* Brings the group back to its number of voters. */
static bool complete(struct raft_operator *o, uint32_t group, const struct operator_view *v)
{
    if (operator_voters(&v->config) >= plan_of(o)->voters)
        return false;
    if (promote(o, group, v))
        return true;
    for (unsigned i = 0; i < v->config.count; i++)
        if (v->config.members[i].role == RAFT_LEARNER)
            return true; /* it comes */
    if (take_in(o, group, v, RAFT_LEARNER))
        return true;
    unsigned nodes[PLACES_MAX];
    if (places(o, group, &v->config, nodes) > 0)
        place_replica(o, group, nodes[0]);
    return true;
}

/* --- changes for no reason --- */

static const struct raft_member *random_member(struct raft_operator *o,
                                               const struct raft_config *config)
{
    return &config->members[prng_below(&o->random, config->count)];
}

static void drop_one(struct raft_operator *o, uint32_t group, const struct operator_view *v,
                     uint8_t role)
{
    struct raft_config config = v->config;
    const struct raft_member *m = random_member(o, &v->config);
    if (m->role == RAFT_VOTER && operator_voters(&config) <= voters_min(o))
        return;
    raft_config_set(&config, m->id, m->node, role);
    change(v->app, group, &config);
}

/* Others for one or two members, in one joint step: they wait already, or are placed now and
 * taken in when this is drawn again. */
static void replace(struct raft_operator *o, uint32_t group, const struct operator_view *v)
{
    struct raft_config config = v->config;
    unsigned changed = 0, most = 1 + (unsigned)prng_below(&o->random, REPLACE_MAX);
    for (unsigned node = 1; node <= plan_of(o)->nodes && changed < most; node++) {
        const struct operator_replica *r = &o->replicas[group][node];
        if (r->sound_id == 0 || r->seen.count > 0 || app_at(o, node) == NULL)
            continue;
        const struct raft_member *m = random_member(o, &v->config);
        raft_config_set(&config, m->id, 0, 0);
        raft_config_set(&config, r->sound_id, node, RAFT_VOTER);
        changed++;
    }
    if (changed > 0) {
        change(v->app, group, &config);
        return;
    }
    unsigned nodes[PLACES_MAX], count = places(o, group, &v->config, nodes);
    for (unsigned i = 0; i < count && i < most; i++)
        place_replica(o, group, nodes[i]);
    o->change_us[group] = now_us(o) + SECOND_US; /* soon again */
}

static void transfer(struct raft_operator *o, uint32_t group, const struct operator_view *v)
{
    uint64_t to = percent(o, 30) ? 0 : random_member(o, &v->config)->id;
    raft_app_admin(v->app,
                   &(struct raft_admin){.kind = RAFT_ADMIN_TRANSFER, .group = group, .id = to});
}

static void anything(struct raft_operator *o, uint32_t group, const struct operator_view *v)
{
    switch (prng_below(&o->random, 8)) {
    case 0:
    case 1:
        drop_one(o, group, v, 0);
        break;
    case 2:
        drop_one(o, group, v, RAFT_LEARNER);
        break;
    case 3:
    case 4:
        replace(o, group, v);
        break;
    case 5:
        raft_app_admin(v->app, &(struct raft_admin){.kind = RAFT_ADMIN_BALANCE});
        break;
    default:
        transfer(o, group, v);
        break;
    }
    /* A second operator, who knows nothing of the first. */
    if (percent(o, RACE_PERCENT))
        drop_one(o, group, v, percent(o, 50) ? 0 : RAFT_LEARNER);
}

/* --- replicas that nobody needs --- */

/* Removed, or never taken in: destroyed when the latest configuration has been without it for a
 * while and it knows of no later one itself. */
static void clean(struct raft_operator *o, uint32_t group, const struct operator_view *v)
{
    for (unsigned node = 1; node <= plan_of(o)->nodes; node++) {
        struct raft_app *a = app_at(o, node);
        struct group *g = a == NULL ? NULL : raft_app_group(a, group);
        struct operator_replica *r = &o->replicas[group][node];
        struct group_status status;
        if (g == NULL)
            continue;
        group_status(g, &status);
        bool member = raft_config_find(&v->config, status.id) != NULL;
        bool later =
            status.state == GROUP_RUNNING && status.raft.config_index > v->status.raft.config_index;
        if (member || later || !v->status.raft.config_committed) {
            r->idle_us = 0;
            continue;
        }
        if (r->idle_us == 0)
            r->idle_us = now_us(o);
        if (now_us(o) - r->idle_us < IDLE_US && status.state == GROUP_RUNNING)
            continue;
        raft_app_admin(
            a, &(struct raft_admin){.kind = RAFT_ADMIN_DESTROY, .group = group, .id = status.id});
        *r = (struct operator_replica){0};
    }
}

void operator_group_tick(struct raft_operator *o, uint32_t group)
{
    struct operator_view v;
    if (!operator_view(o, group, &v))
        return;
    clean(o, group, &v);
    if (!v.status.raft.config_committed || raft_config_joint(&v.config))
        return;
    if (remove_damaged(o, group, &v))
        return;
    bool due = plan_of(o)->change_mean_us > 0 && !o->healed && now_us(o) >= o->change_us[group];
    if (!due) {
        complete(o, group, &v);
        return;
    }
    o->change_us[group] = now_us(o) + net_exponential(&o->random, plan_of(o)->change_mean_us);
    anything(o, group, &v);
}
