#include "sim/raft_check.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/raft_check_private.h"

struct raft_check *raft_check_new(struct world *w, const struct raft_plan *plan)
{
    struct raft_check *c = mem_zalloc(sizeof(*c));
    c->world = w;
    c->plan = plan;
    c->replicas = map64_create(0);
    for (unsigned i = 0; i < RAFT_PLAN_PARTITIONS; i++)
        c->groups[i].leaders = map64_create(0);
    return c;
}

static void free_values(struct map64 *m)
{
    uint64_t key;
    void *value;
    for (size_t at = 0; map64_next(m, &at, &key, &value);)
        free(value);
    map64_free(m);
}

static void replicas_free(struct map64 *m)
{
    uint64_t key;
    void *value;
    for (size_t at = 0; map64_next(m, &at, &key, &value);)
        free(((struct check_replica *)value)->touched);
    free_values(m);
}

static void group_done(struct check_group *g)
{
    for (size_t i = 0; i < g->slots_cap; i++)
        for (struct check_entry *e = g->slots[i].seen, *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    free(g->slots);
    free_values(g->leaders);
}

void raft_check_free(struct raft_check *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < RAFT_PLAN_PARTITIONS; i++)
        group_done(&c->groups[i]);
    replicas_free(c->replicas);
    free(c->places);
    free(c);
}

const struct raft_check_counts *raft_check_counts(const struct raft_check *c)
{
    return &c->counts;
}

/* --- what the files share --- */

struct check_slot *check_slot(struct raft_check *c, uint32_t group, uint64_t index)
{
    CHECK(group < RAFT_PLAN_PARTITIONS);
    if (index >= RAFT_CHECK_INDEX_MAX) {
        world_fail(c->world, "index_wild", "group %" PRIu32 " index %" PRIu64, group, index);
        return NULL;
    }
    struct check_group *g = &c->groups[group];
    if (index >= g->slots_cap) {
        size_t cap = g->slots_cap == 0 ? 1024 : g->slots_cap;
        while (cap <= index)
            cap *= 2;
        g->slots = mem_realloc(g->slots, cap * sizeof(*g->slots));
        memset(g->slots + g->slots_cap, 0, (cap - g->slots_cap) * sizeof(*g->slots));
        g->slots_cap = cap;
    }
    return &g->slots[index];
}

struct check_replica *check_replica(struct raft_check *c, uint32_t group, uint64_t id)
{
    struct check_replica *r = map64_get(c->replicas, id);
    if (r == NULL) {
        r = mem_zalloc(sizeof(*r));
        r->id = id;
        r->group = group;
        map64_put(c->replicas, id, r);
    }
    return r;
}

struct check_leader *check_leader(struct raft_check *c, uint32_t group, uint64_t term, uint64_t id)
{
    struct check_group *g = &c->groups[group];
    struct check_leader *leader = map64_get(g->leaders, term);
    if (leader == NULL) {
        leader = mem_zalloc(sizeof(*leader));
        leader->id = id;
        map64_put(g->leaders, term, leader);
        c->counts.elections++;
        world_trace(c->world, 0, "leader", {"group", group}, {"term", term}, {"replica", id});
    } else if (leader->id != id) {
        world_fail(c->world, "two_leaders",
                   "group %" PRIu32 " term %" PRIu64 ": %016" PRIx64 " and %016" PRIx64, group,
                   term, leader->id, id);
    }
    return leader;
}

/* --- what is applied --- */

/* An operation takes effect at one place: a repeated request of a session at its first one. */
static void check_place(struct raft_check *c, const struct group_apply *apply, uint64_t op)
{
    CHECK(op < RAFT_CHECK_INDEX_MAX);
    if (op >= c->places_cap) {
        size_t cap = c->places_cap == 0 ? 4096 : c->places_cap;
        while (cap <= op)
            cap *= 2;
        c->places = mem_realloc(c->places, cap * sizeof(*c->places));
        memset(c->places + c->places_cap, 0, (cap - c->places_cap) * sizeof(*c->places));
        c->places_cap = cap;
    }
    uint64_t place = apply->index * (GROUP_COMMANDS_MAX + 1) + apply->position + 1;
    if (c->places[op] == 0)
        c->places[op] = place;
    else if (c->places[op] != place)
        world_fail(c->world, "applied_twice",
                   "group %" PRIu32 ": operation %" PRIu64 " at index %" PRIu64
                   " and again at index %" PRIu64,
                   group_id(apply->group), op, (c->places[op] - 1) / (GROUP_COMMANDS_MAX + 1),
                   apply->index);
}

/* All commands of an entry are through: they did what they did elsewhere. */
static void fold_close(struct raft_check *c, unsigned node, struct check_replica *r)
{
    if (r->fold_index == 0)
        return;
    struct check_slot *slot = check_slot(c, r->group, r->fold_index);
    if (slot != NULL && !slot->applied) {
        slot->applied = true;
        slot->fold = r->fold;
        slot->count = r->count;
    } else if (slot != NULL && (slot->fold != r->fold || slot->count != r->count)) {
        world_fail(c->world, "apply_differs",
                   "group %" PRIu32 " index %" PRIu64 ": node %u applies %" PRIu64
                   " commands, another one %" PRIu64 ", %s",
                   r->group, r->fold_index, node, r->count, slot->count,
                   slot->count == r->count ? "with other results" : "not the same ones");
    }
    r->fold_index = 0;
    r->fold = 0;
    r->count = 0;
}

static void touched_add(struct check_replica *r, uint64_t index)
{
    if (r->touched_count == r->touched_cap) {
        r->touched_cap = r->touched_cap == 0 ? 64 : 2 * r->touched_cap;
        r->touched = mem_realloc(r->touched, r->touched_cap * sizeof(*r->touched));
    }
    r->touched[r->touched_count++] = index;
}

/* Entries that it went past without a command: nobody else found any in them. What a snapshot
 * brought was not applied here. */
static void check_untouched(struct raft_check *c, unsigned node, struct check_replica *r,
                            uint64_t applied)
{
    size_t at = 0;
    for (uint64_t index = r->applied + 1; index <= applied; index++) {
        while (at < r->touched_count && r->touched[at] < index)
            at++;
        if (at < r->touched_count && r->touched[at] == index)
            continue;
        struct check_slot *slot = check_slot(c, r->group, index);
        if (slot == NULL)
            return;
        if (slot->applied && slot->count != 0) {
            world_fail(c->world, "apply_differs",
                       "group %" PRIu32 " index %" PRIu64
                       ": node %u applies nothing, another one %" PRIu64 " commands",
                       r->group, index, node, slot->count);
            return;
        }
        slot->applied = true;
    }
}

void raft_check_applied(struct raft_check *c, unsigned node, unsigned life,
                        const struct group_apply *apply, const struct kv_command *command,
                        int64_t before, const struct kv_result *result)
{
    struct group_status status;
    group_status(apply->group, &status);
    struct check_replica *r = check_replica(c, group_id(apply->group), status.id);
    c->counts.applied++;
    if (r->fold_life != life) { /* a life that ended within a turn: nobody saw what it did */
        r->fold_life = life;
        r->fold_index = r->fold = r->count = r->touched_count = 0;
    }
    if (r->fold_index != apply->index) {
        fold_close(c, node, r);
        touched_add(r, apply->index);
    }
    r->fold_index = apply->index;
    r->count++;
    const uint64_t words[] = {apply->position, apply->stamp,      command->kind,
                              command->op,     command->key,      (uint64_t)command->arg,
                              command->ttl_ms, (uint64_t)before,  (uint64_t)result->value,
                              result->outcome, command->pad_bytes};
    r->fold = hash_bytes(r->fold, words, sizeof(words));
    check_place(c, apply, command->op);
}

/* --- at a turn's end --- */

static void check_committed(struct raft_check *c, unsigned node, struct check_replica *r,
                            const struct raft *raft, const struct raft_status *s)
{
    struct check_group *g = &c->groups[r->group];
    if (r->checked + 1 < s->first_index)
        r->checked = s->first_index - 1;
    for (; r->checked < s->commit; r->checked++) {
        struct raft_entry e;
        uint64_t index = r->checked + 1;
        if (raft_entry(raft, index, &e) < 0) {
            c->counts.unseen++;
            continue;
        }
        struct check_slot *slot = check_slot(c, r->group, index);
        if (slot == NULL)
            return;
        uint64_t hash = hash_bytes(e.type, e.data.data, e.data.len);
        c->counts.committed++;
        if (!slot->committed) {
            slot->committed = true;
            slot->term = e.term;
            slot->hash = hash;
            slot->commit_term = s->term;
            if (index > g->committed_max)
                g->committed_max = index;
            if (e.type == RAFT_CONFIG)
                c->counts.changes++;
        } else if (slot->term != e.term || slot->hash != hash) {
            world_fail(c->world, "committed_changed",
                       "group %" PRIu32 " index %" PRIu64 ": node %u has an entry of term %" PRIu64
                       " committed, another one had one of term %" PRIu64,
                       r->group, index, node, e.term, slot->term);
            return;
        } else if (s->term < slot->commit_term) {
            slot->commit_term = s->term;
        }
    }
}

/* Whatever was committed before its term is in a new leader's log (3.6.3). */
static void check_complete(struct raft_check *c, unsigned node, struct check_replica *r,
                           const struct raft *raft, const struct raft_status *s)
{
    struct check_group *g = &c->groups[r->group];
    for (uint64_t index = g->committed_max; index >= s->first_index && index > 0; index--) {
        const struct check_slot *slot = &g->slots[index];
        struct raft_entry e;
        if (!slot->committed || slot->commit_term >= s->term)
            continue;
        bool missing = index > s->last_index;
        if (!missing && raft_entry(raft, index, &e) < 0)
            break; /* what is not in memory is applied */
        if (missing || e.term != slot->term) {
            world_fail(c->world, "leader_completeness",
                       "group %" PRIu32 ": node %u leads term %" PRIu64 " without entry %" PRIu64
                       " of term %" PRIu64 ", committed by term %" PRIu64,
                       r->group, node, s->term, index, slot->term, slot->commit_term);
            return;
        }
    }
}

/* A leader appends a configuration only when the one before it is committed, and an entry of its
 * own term too (Ongaro's note on single-server changes, raft-dev 2015). What holds now held when it
 * was appended, as commit only grows; the reverse is the best a watcher can do. */
static void check_change(struct raft_check *c, unsigned node, struct check_replica *r,
                         const struct raft *raft, const struct raft_status *s,
                         struct check_leader *leader)
{
    if (s->config_index == leader->config_index)
        return;
    uint64_t before = leader->config_index;
    leader->config_index = s->config_index;
    struct raft_entry e;
    bool own = raft_entry(raft, s->config_index, &e) == 0 && e.term == s->term;
    if (!own)
        return; /* it found this one in its log */
    const struct check_slot *slot = check_slot(c, r->group, s->commit);
    bool own_committed = slot == NULL || !slot->committed || slot->term == s->term;
    if (before > s->commit || !own_committed)
        world_fail(c->world, "change_unsafe",
                   "group %" PRIu32 ": node %u changes members at index %" PRIu64
                   " in term %" PRIu64 " while %s",
                   r->group, node, s->config_index, s->term,
                   before > s->commit ? "another change is under way"
                                      : "nothing of its term is committed");
}

static void check_leading(struct raft_check *c, unsigned node, struct check_replica *r,
                          const struct raft *raft, const struct raft_status *s)
{
    struct check_leader *leader = check_leader(c, r->group, s->term, r->id);
    if (!leader->complete) {
        leader->complete = true;
        check_complete(c, node, r, raft, s);
    }
    check_change(c, node, r, raft, s, leader);
}

static void check_progress(struct raft_check *c, unsigned node, struct check_replica *r,
                           const struct group_status *s, bool fresh)
{
    if (fresh && s->raft.applied < r->flushed)
        world_fail(c->world, "applied_backwards",
                   "group %" PRIu32 ": node %u comes back at %" PRIu64 " and had flushed %" PRIu64,
                   r->group, node, s->raft.applied, r->flushed);
    if (fresh && s->raft.term == r->acked_term && s->raft.last_index < r->acked)
        world_fail(c->world, "ack_lost",
                   "group %" PRIu32 ": node %u called index %" PRIu64 " durable in term %" PRIu64
                   " and comes back with %" PRIu64,
                   r->group, node, r->acked, r->acked_term, s->raft.last_index);
    if (!fresh && s->raft.applied < r->applied)
        world_fail(c->world, "applied_backwards",
                   "group %" PRIu32 ": node %u is at %" PRIu64 " and was at %" PRIu64, r->group,
                   node, s->raft.applied, r->applied);
    if (s->raft.applied > s->raft.commit)
        world_fail(c->world, "applied_backwards",
                   "group %" PRIu32 ": node %u has applied %" PRIu64 " and committed %" PRIu64,
                   r->group, node, s->raft.applied, s->raft.commit);
    r->applied = s->raft.applied;
    if (s->flushed_index > r->flushed)
        r->flushed = s->flushed_index;
}

void raft_check_turn(struct raft_check *c, unsigned node, unsigned life, uint64_t installed,
                     const struct group *g)
{
    struct group_status status;
    group_status(g, &status);
    if (status.state != GROUP_RUNNING)
        return;
    struct check_replica *r = check_replica(c, group_id(g), status.id);
    bool fresh = r->life != life;
    if (fresh) {
        r->life = life;
        r->checked = 0;
    }
    fold_close(c, node, r);
    /* A snapshot is counted first and shows later; it may be another group's. */
    r->jumps |= installed != r->installed;
    r->installed = installed;
    if (!fresh && !r->jumps)
        check_untouched(c, node, r, status.raft.applied);
    if (fresh || status.raft.applied > r->applied)
        r->jumps = false;
    r->touched_count = 0;
    check_progress(c, node, r, &status, fresh);
    const struct raft *raft = group_raft(g);
    check_committed(c, node, r, raft, &status.raft);
    if (status.raft.role == RAFT_LEADER)
        check_leading(c, node, r, raft, &status.raft);
}

/* --- what clients see --- */

void raft_check_rows(struct raft_check *c, unsigned node, uint32_t group, uint64_t applied,
                     uint64_t hash)
{
    struct check_slot *slot = check_slot(c, group, applied);
    if (slot == NULL)
        return;
    if (slot->rows && slot->rows_hash != hash)
        world_fail(c->world, "rows_differ",
                   "group %" PRIu32 ": node %u has other rows at index %" PRIu64
                   " than another replica",
                   group, node, applied);
    slot->rows = true;
    slot->rows_hash = hash;
}

uint64_t raft_check_acknowledged(const struct raft_check *c, uint64_t key)
{
    CHECK(key < RAFT_PLAN_KEYS_MAX);
    return c->acknowledged[key];
}

void raft_check_write_done(struct raft_check *c, uint64_t key, uint64_t index)
{
    CHECK(key < RAFT_PLAN_KEYS_MAX);
    if (index > c->acknowledged[key])
        c->acknowledged[key] = index;
}

void raft_check_read_done(struct raft_check *c, unsigned client, uint64_t key, uint64_t floor,
                          uint64_t index)
{
    if (index < floor)
        world_fail(c->world, "stale_read",
                   "client %u: key %" PRIu64 " was read at index %" PRIu64
                   " after a write at %" PRIu64 " was acknowledged",
                   client, key, index, floor);
}
