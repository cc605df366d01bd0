/* Entries of commands: made by a leader from what was proposed in a turn, applied by every replica.
 *
 * Data of a RAFT_COMMAND entry (little endian):
 *
 *   u8 format 1 | u64 stamp | u32 count
 *   | count x (u64 session | u64 number | u32 length | command)
 *
 * The stamp is the leader's hybrid logical clock, above all stamps before it in the log: it is the
 * time of these commands, for expiry too. An entry without commands only brings a time; a leader's
 * first one is such, and reads wait until it is applied, so that what one leader showed as expired
 * the next one does not show again.
 *
 * Session 0 is none; GROUP_SESSION_CONTROL is the session table itself (group_session.c).
 *
 * An entry is applied when every row that its commands need is in memory, found so in one pass
 * without a gap: nothing is evicted within a turn. The rows of a pass that found some missing are
 * fetched, then the next pass looks at all again. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hlc.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/group_private.h"
#include "node/node.h"

#define ENTRY_FORMAT 1

/* --- proposing --- */

static void entry_begin(struct group *g)
{
    buffer_clear(&g->entry);
    buffer_append_u8(&g->entry, ENTRY_FORMAT);
    buffer_append_u64(&g->entry, 0); /* the stamp */
    buffer_append_u32(&g->entry, 0); /* the count */
}

static int propose(struct group *g, struct group_proposal *p, uint64_t session, uint64_t number,
                   struct slice command)
{
    if (!g->leads || g->state != GROUP_RUNNING || g->doomed)
        return ST_CLOSED;
    if (command.len > GROUP_COMMAND_BYTES_MAX)
        return ST_LIMIT;
    if (g->entry_count == GROUP_COMMANDS_MAX ||
        (g->entry_count > 0 && g->entry.len + command.len > GROUP_ENTRY_BYTES_SOFT))
        group_flush_entry(g);
    if (g->entry_count == 0)
        entry_begin(g);
    buffer_append_u64(&g->entry, session);
    buffer_append_u64(&g->entry, number);
    buffer_append_u32(&g->entry, (uint32_t)command.len);
    buffer_append_slice(&g->entry, command);
    p->applied = false;
    p->position = g->entry_count++;
    list_node_init(&p->link);
    list_push_back(&g->queued, &p->link);
    groups_busy(g->of, g);
    return 0;
}

int group_propose(struct group *g, struct group_proposal *p, uint64_t session, uint64_t number,
                  struct slice command)
{
    if (session == GROUP_SESSION_CONTROL ||
        (session != 0 && (number == 0 || number > GROUP_SESSION_NUMBER_MAX)))
        return ST_INVALID;
    return propose(g, p, session, session == 0 ? 0 : number, command);
}

int group_session_open(struct group *g, struct group_proposal *p)
{
    return propose(g, p, GROUP_SESSION_CONTROL, GROUP_CONTROL_OPEN, slice_make(NULL, 0));
}

int group_session_sweep(struct group *g, struct group_proposal *p, struct slice ids)
{
    return propose(g, p, GROUP_SESSION_CONTROL, GROUP_CONTROL_SWEEP, ids);
}

void group_cancel(struct group_proposal *p)
{
    list_remove(&p->link); /* its place in the entry stays */
}

void group_finish(struct group *g, struct group_proposal *p, int st)
{
    list_remove(&p->link);
    p->st = st;
    p->result_len = 0;
    list_push_back(&g->of->finished, &p->link);
}

static void finish_all(struct group *g, struct list_head *list, int st)
{
    while (!list_empty(list))
        group_finish(g, list_entry(list_first(list), struct group_proposal, link), st);
}

void group_proposals_end(struct group *g, int queued_st, int waiting_st)
{
    finish_all(g, &g->queued, queued_st);
    finish_all(g, &g->waiting, waiting_st);
    g->entry_count = 0;
}

/* The core gave the entry just proposed its index. */
void group_proposed(struct group *g, uint64_t index)
{
    struct raft_status status;
    raft_status(g->raft, &status);
    list_foreach (node, &g->queued) {
        struct group_proposal *p = list_entry(node, struct group_proposal, link);
        p->index = index;
        p->term = status.term;
    }
    list_splice_back(&g->waiting, &g->queued);
    if (g->clock_index == 0)
        g->clock_index = index;
    g->of->counters.commands += g->entry_count;
    g->entry_count = 0;
}

void group_flush_entry(struct group *g)
{
    if (g->entry_count == 0) {
        if (!g->leads || g->clock_index != 0)
            return;
        entry_begin(g);
    }
    if (!g->leads) {
        finish_all(g, &g->queued, ST_CLOSED);
        g->entry_count = 0;
        return;
    }
    if (!groups_room(g->of, g->entry.len) || !shard_has_stamps(g->shard) ||
        g->log_stamp >= GROUP_STAMP_MAX) {
        finish_all(g, &g->queued, ST_NOSPACE);
        g->entry_count = 0;
        return;
    }
    uint64_t stamp = hlc_now(&g->shard->hlc, g->shard->now_ms);
    if (stamp <= g->log_stamp)
        stamp = g->log_stamp + 1;
    bytes_put_u64(g->entry.data + 1, stamp);
    bytes_put_u32(g->entry.data + 9, g->entry_count);
    struct slice data = buffer_slice(&g->entry);
    struct raft_event event = {.type = RAFT_PROPOSE, .propose = {.data = &data, .count = 1}};
    int st = group_step(g, &event);
    if (st != 0) {
        finish_all(g, &g->queued, st);
        g->entry_count = 0;
    }
    if (g->entry.cap > GROUP_ENTRY_BYTES_SOFT)
        buffer_free(&g->entry);
}

/* --- rows --- */

struct fetch { /* one row that an entry waits for */
    struct engine_wait wait;
    struct group *group;
    struct list_node link;
};

static void fetched(struct engine_wait *wait, int st)
{
    struct fetch *f = container_of(wait, struct fetch, wait);
    struct group *g = f->group;
    list_remove(&f->link);
    free(f);
    g->fetching--;
    if (st == ST_CORRUPT)
        group_stop(g, st, "a row can't be read");
    groups_busy(g->of, g); /* other errors: the next pass fetches it again */
}

static void fetch(struct group *g, const struct key *key)
{
    struct fetch *f = mem_zalloc(sizeof(*f));
    f->wait.done = fetched;
    f->group = g;
    list_node_init(&f->wait.link);
    list_push_back(&g->fetches, &f->link);
    g->fetching++;
    engine_fetch(g->shard->engine, key, &f->wait);
}

void group_fetches_cancel(struct group *g)
{
    for (struct list_node *node; (node = list_pop_front(&g->fetches)) != NULL;) {
        struct fetch *f = list_entry(node, struct fetch, link);
        engine_fetch_cancel(g->shard->engine, &f->wait);
        free(f);
    }
    g->fetching = 0;
}

struct key group_key(const struct group *g, uint32_t keyspace, struct slice bytes)
{
    return (struct key){
        .bytes = bytes,
        .hash = key_hash(g->shard->node->hash_seed, keyspace, bytes),
        .keyspace = keyspace,
        .partition = g->partition,
    };
}

void group_need(struct group_apply *apply, const struct key *key)
{
    struct record record;
    CHECK(key->partition == apply->group->partition);
    if (engine_get(apply->group->shard->engine, key, &record) != ST_COLD)
        return;
    apply->missing++;
    fetch(apply->group, key);
}

int group_get(struct group_apply *apply, const struct key *key, struct record *ret_record)
{
    struct record record;
    CHECK(key->partition == apply->group->partition);
    int st = engine_get(apply->group->shard->engine, key, &record);
    CHECK(st != ST_COLD); /* prepare() must have asked for it */
    if (st != 0 || !record_live(&record, apply->now_ms))
        return ST_NOTFOUND;
    *ret_record = record;
    return 0;
}

/* Every replica writes the same record: actor, counter and stamp come from the log alone. */
void group_put_raw(struct group_apply *apply, const struct key *key, const struct record *record)
{
    struct group *g = apply->group;
    struct engine_partition *p = engine_partition(g->shard->engine, g->partition);
    CHECK(key->partition == g->partition);
    struct record put = *record;
    put.actor = NODE_ACTOR_GROUP;
    put.counter = ++p->counter;
    put.stamp = apply->stamp;
    engine_put(g->shard->engine, key, &put);
}

void group_put(struct group_apply *apply, const struct key *key, struct slice value,
               uint64_t expire_ms)
{
    struct record record = {
        .value = value,
        .expire_ms = expire_ms,
        .flags = expire_ms != 0 ? RECORD_EXPIRES : 0,
    };
    group_put_raw(apply, key, &record);
}

void group_delete(struct group_apply *apply, const struct key *key)
{
    group_put_raw(apply, key, &(struct record){.flags = RECORD_TOMBSTONE});
}

/* --- applying --- */

struct command {
    uint64_t session, number;
    struct slice bytes;
};

static int entry_open(struct slice *data, struct group_apply *apply, uint32_t *ret_count)
{
    if (data->len < GROUP_ENTRY_HEAD_BYTES)
        return ST_CORRUPT;
    if (data->data[0] != ENTRY_FORMAT)
        return ST_VERSION;
    apply->stamp = bytes_get_u64(data->data + 1);
    apply->now_ms = hlc_wall_ms(apply->stamp);
    *ret_count = bytes_get_u32(data->data + 9);
    *data = slice_make(data->data + GROUP_ENTRY_HEAD_BYTES, data->len - GROUP_ENTRY_HEAD_BYTES);
    return *ret_count <= GROUP_COMMANDS_MAX ? 0 : ST_CORRUPT;
}

static int command_next(struct slice *data, struct command *ret_command)
{
    if (data->len < GROUP_COMMAND_HEAD_BYTES)
        return ST_CORRUPT;
    uint32_t len = bytes_get_u32(data->data + 16);
    if (data->len - GROUP_COMMAND_HEAD_BYTES < len)
        return ST_CORRUPT;
    *ret_command = (struct command){
        .session = bytes_get_u64(data->data),
        .number = bytes_get_u64(data->data + 8),
        .bytes = slice_make(data->data + GROUP_COMMAND_HEAD_BYTES, len),
    };
    size_t all = GROUP_COMMAND_HEAD_BYTES + len;
    *data = slice_make(data->data + all, data->len - all);
    return 0;
}

/* Whether it is all well formed, and all rows are in memory: 0, ST_COLD (they are being fetched),
 * ST_CORRUPT. */
static int prepare(struct group *g, struct group_apply *apply, struct slice data, uint32_t count)
{
    struct group_machine *machine = g->of->options.machine;
    for (uint32_t i = 0; i < count; i++) {
        struct command c;
        int st = command_next(&data, &c);
        if (st != 0)
            return st;
        unsigned missing = apply->missing;
        apply->position = i;
        if (c.session != 0)
            group_session_prepare(apply, c.session, c.number, c.bytes);
        if (c.session != GROUP_SESSION_CONTROL)
            machine->prepare(machine, apply, c.bytes);
        if (PLANTED(entry_half_applied) && missing == 0 && apply->missing > 0 && i > g->half) {
            g->half = i; /* what precedes it is all there: no need to wait */
            return ST_LIMIT;
        }
    }
    if (data.len != 0)
        return ST_CORRUPT;
    return apply->missing > 0 ? ST_COLD : 0;
}

/* The proposal made here that this command is, or NULL. */
static struct group_proposal *proposal_of(struct group *g, uint64_t index, uint64_t term,
                                          unsigned position)
{
    for (struct list_node *node; (node = list_first(&g->waiting)) != NULL;) {
        struct group_proposal *p = list_entry(node, struct group_proposal, link);
        if (p->index > index || (p->index == index && p->term == term && p->position > position))
            return NULL;
        if (p->index == index && p->term == term && p->position == position)
            return p;
        /* Another entry has its place (or a snapshot went past it). */
        group_finish(g, p, p->index < index ? ST_UNCERTAIN : ST_CLOSED);
    }
    return NULL;
}

void group_proposals_passed(struct group *g, uint64_t index)
{
    list_foreach_safe (node, spare, &g->waiting) {
        struct group_proposal *p = list_entry(node, struct group_proposal, link);
        if (p->index <= index)
            group_finish(g, p, ST_UNCERTAIN);
    }
}

/* The first entry of its term is committed: every leader from now on has it, and behind it no entry
 * of a term before. So what was proposed in those, and has not come yet, never will. */
static void term_begun(struct group *g, uint64_t index, uint64_t term)
{
    g->applied_term = term;
    list_foreach_safe (node, spare, &g->waiting) {
        struct group_proposal *p = list_entry(node, struct group_proposal, link);
        if (p->term < term)
            group_finish(g, p, p->index < index ? ST_UNCERTAIN : ST_CLOSED);
    }
}

static void apply_command(struct group *g, struct group_apply *apply, uint64_t term,
                          const struct command *c)
{
    struct group_machine *machine = g->of->options.machine;
    struct buffer *result = &g->of->result;
    size_t at = result->len;
    int st = 0;
    bool applied = true;
    if (c->session == 0)
        machine->apply(machine, apply, c->bytes, result);
    else
        st = group_session_apply(apply, c->session, c->number, c->bytes, result, &applied);
    struct group_proposal *p = proposal_of(g, apply->index, term, apply->position);
    if (p == NULL) {
        result->len = at;
        return;
    }
    group_finish(g, p, st);
    p->applied = applied;
    p->result_at = at;
    p->result_len = result->len - at;
}

static void apply_commands(struct group *g, struct group_apply *apply, uint64_t term,
                           struct slice data, uint32_t first, uint32_t end)
{
    for (uint32_t i = 0; i < end; i++) {
        struct command c;
        CHECK(command_next(&data, &c) == 0); /* prepare() has seen it */
        apply->position = i;
        if (i >= first)
            apply_command(g, apply, term, &c);
    }
}

/* 0; ST_COLD: not yet, not at all. */
static int apply_entry(struct group *g, const struct raft_entry *entry)
{
    struct engine_partition *p = engine_partition(g->shard->engine, g->partition);
    struct group_apply apply = {.group = g, .index = entry->index};
    struct slice data = entry->data;
    uint32_t count = 0, from = g->half;
    int st = entry->type == RAFT_COMMAND ? entry_open(&data, &apply, &count) : 0;
    if (st == 0 && entry->type == RAFT_COMMAND)
        st = prepare(g, &apply, data, count);
    if (st == ST_LIMIT && PLANTED(entry_half_applied)) {
        apply_commands(g, &apply, entry->term, data, from, g->half);
        return ST_COLD;
    }
    if (st != 0)
        return st;
    if (entry->term > g->applied_term)
        term_begun(g, entry->index, entry->term);
    if (entry->type == RAFT_COMMAND) {
        apply_commands(g, &apply, entry->term, data, g->half, count);
        g->half = 0;
        g->applied_stamp = apply.stamp;
        p->judge_ms = group_judge_ms(apply.stamp);
    }
    proposal_of(g, entry->index, entry->term, GROUP_COMMANDS_MAX); /* those it took the place of */
    uint64_t index = entry->index;
    if (PLANTED(applied_index_apart))
        index++;
    /* With the puts, in one turn: a flush takes both or neither. */
    engine_partition_moved(g->shard->engine, g->partition, index, g->applied_stamp);
    g->applied = entry->index;
    g->of->counters.applied++;
    return 0;
}

/* The next committed entry: from the core's memory or read back from the log. */
static int next_entry(struct group *g, struct raft_entry *ret_entry)
{
    uint64_t index = g->applied + 1;
    unsigned count;
    int st = raft_entry(g->raft, index, ret_entry);
    if (st != ST_NOTFOUND)
        return st;
    return group_log_entries(&g->log, index, g->commit, GROUP_APPLY_BYTES_TURN, ret_entry, 1,
                             &count);
}

void group_apply_ready(struct group *g)
{
    uint64_t before = g->applied, bytes = 0;
    int st = 0;
    if (group_snapshot_installing(g))
        return;
    while (g->applied < g->commit && g->fetching == 0 && st == 0) {
        struct raft_entry entry;
        if (g->applied - before >= GROUP_APPLY_ENTRIES_TURN || bytes >= GROUP_APPLY_BYTES_TURN) {
            groups_busy(g->of, g);
            break;
        }
        st = next_entry(g, &entry);
        if (st != 0)
            break;
        bytes += entry.data.len;
        st = apply_entry(g, &entry);
    }
    if (st != 0 && st != ST_AGAIN && st != ST_COLD) {
        group_stop(g, st, "an entry is not what this version can apply");
        return;
    }
    if (g->applied > before)
        group_step(g, &(struct raft_event){.type = RAFT_APPLIED, .applied = g->applied});
}

/* --- the callbacks --- */

void group_deliver(struct groups *gs)
{
    struct buffer results = gs->result; /* a callback may make new ones */
    gs->result = (struct buffer){0};
    struct list_head finished;
    list_init(&finished);
    list_splice_back(&finished, &gs->finished);
    for (struct list_node *node; (node = list_pop_front(&finished)) != NULL;) {
        struct group_proposal *p = list_entry(node, struct group_proposal, link);
        p->done(p, p->st, slice_make(results.data + p->result_at, p->result_len));
    }
    if (gs->result.cap == 0 && results.cap <= GROUP_ENTRY_BYTES_SOFT) {
        buffer_clear(&results);
        gs->result = results; /* its memory serves again */
        return;
    }
    buffer_free(&results);
}
