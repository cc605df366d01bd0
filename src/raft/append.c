/* The follower's side of the log (3.5). An append is looked at whole before any of it is taken.
 *
 * Entries up to commit are the leader's too (leader completeness, 3.6.3), so they are never cut,
 * whatever a message says. An answer names only what is durable; while it is not, the answer is
 * owed and goes out with RAFT_PERSISTED. */
#include "base/planted.h"
#include "raft/raft_private.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool raft_leader_heard(struct raft *r, const struct raft_message *m, bool *ret_current)
{
    *ret_current = false;
    if (m->term < r->term) {
        /* Tells it the term (3.3): also the way for a candidate whom nobody heeds to come back. */
        struct raft_message answer = raft_message_to(r, m->from, MESSAGE_APPEND_RESULT);
        raft_send(r, raft_node_of(r, m->from), &answer);
        return true;
    }
    if (m->term == r->term && (r->role == RAFT_LEADER || (r->leader != 0 && r->leader != m->from)))
        return false; /* two leaders in a term */
    raft_follow(r, m->term, m->from);
    r->heard_us = r->now_us ? r->now_us : 1;
    raft_election_reset(r);
    *ret_current = true;
    return true;
}

static bool entry_possible(const struct raft_entry *entry, uint64_t term_low, uint64_t term_high)
{
    struct raft_config config;
    if (entry->term < term_low || entry->term > term_high || entry->term == 0)
        return false;
    if (entry->type >= RAFT_ENTRY_TYPES || entry->data.len > RAFT_ENTRY_BYTES_MAX)
        return false;
    return entry->type != RAFT_CONFIG || raft_config_decode(entry->data, &config) == ST_OK;
}

static bool append_possible(const struct raft_message *m)
{
    const struct message_append *a = &m->append;
    if (a->prev_index > RAFT_INDEX_MAX || (a->prev_index == 0) != (a->prev_term == 0) ||
        a->prev_term > m->term || a->commit > RAFT_INDEX_MAX)
        return false;
    struct message_entries entries = a->entries;
    struct raft_entry entry;
    uint64_t term = a->prev_term, index = a->prev_index;
    int st;
    while ((st = message_entries_next(&entries, index + 1, &entry)) == ST_OK) {
        if (!entry_possible(&entry, term, m->term) || ++index > RAFT_INDEX_MAX)
            return false;
        term = entry.term;
    }
    return st == ST_NOTFOUND && index == a->prev_index + a->entries.count;
}

static void refuse(struct raft *r, const struct raft_message *m)
{
    /* All of the conflicting terms at once (3.5): nothing above this can be equal. */
    uint64_t prev = m->append.prev_index;
    uint64_t hint = raft_log_find(r, min_u64(prev, r->log.last_index), m->append.prev_term);
    if (hint < r->commit)
        hint = r->commit;
    struct raft_message answer = raft_message_to(r, m->from, MESSAGE_APPEND_RESULT);
    answer.append_result.index = hint;
    answer.append_result.hint_term = raft_log_term(r, hint);
    answer.append_result.prev_index = prev;
    answer.append_result.round = r->leader_round;
    raft_send(r, raft_node_of(r, m->from), &answer);
}

void raft_append_answer(struct raft *r)
{
    r->ack_owed = r->durable < r->matched;
    struct raft_message answer = raft_message_to(r, r->leader, MESSAGE_APPEND_RESULT);
    answer.append_result.accepted = true;
    answer.append_result.index = min_u64(r->matched, r->durable);
    if (PLANTED(append_acked_before_persisted))
        answer.append_result.index = r->matched;
    answer.append_result.round = r->leader_round;
    raft_send(r, raft_node_of(r, r->leader), &answer);
}

static void entry_take(struct raft *r, const struct raft_entry *entry)
{
    raft_log_append(r, entry->term, entry->type, entry->data);
    struct raft_config config;
    if (entry->type == RAFT_CONFIG && raft_config_decode(entry->data, &config) == ST_OK)
        raft_config_push(r, entry->index, &config); /* in force when it is in the log (4.1) */
}

/* Entries from `entry` on differ from the log, or are not in it. */
static void entries_take(struct raft *r, struct message_entries entries, struct raft_entry entry)
{
    uint64_t first = entry.index;
    if (first <= r->log.last_index)
        raft_log_cut(r, first); /* a conflict: "delete the existing entry and all that follow" */
    int st;
    do {
        entry_take(r, &entry);
        st = message_entries_next(&entries, entry.index + 1, &entry);
    } while (st == ST_OK);
    raft_entries_persist(r, first);
}

/* Whether `entry` and what follows it finds room. */
static bool entries_room(const struct raft *r, struct message_entries entries,
                         struct raft_entry entry)
{
    unsigned configs = r->past_count;
    do {
        configs += entry.type == RAFT_CONFIG;
    } while (message_entries_next(&entries, entry.index + 1, &entry) == ST_OK);
    return configs <= RAFT_CONFIGS_MAX && !raft_writes_full(r);
}

/* False: an entry differs from one that is committed. */
static bool entries_merge(struct raft *r, const struct message_append *a)
{
    struct message_entries entries = a->entries;
    struct raft_entry entry;
    uint64_t index = a->prev_index;
    while (message_entries_next(&entries, index + 1, &entry) == ST_OK) {
        index++;
        if (index < r->log.base_index ||
            (index <= r->log.last_index && raft_log_term(r, index) == entry.term))
            continue; /* there already */
        if (index <= r->commit)
            return false;
        if (entries_room(r, entries, entry)) {
            entries_take(r, entries, entry);
            break;
        }
        r->matched = r->matched > index - 1 ? r->matched : index - 1;
        return true; /* as if the rest were lost */
    }
    uint64_t last = a->prev_index + a->entries.count;
    if (last < r->commit)
        last = r->commit;
    if (PLANTED(append_acked_unmatched))
        last = r->log.last_index;
    if (last > r->matched)
        r->matched = last;
    return true;
}

bool raft_recv_append(struct raft *r, const struct raft_message *m)
{
    const struct message_append *a = &m->append;
    bool current;
    if (!append_possible(m) || !raft_leader_heard(r, m, &current))
        return false;
    if (!current || r->installing)
        return true;
    if (a->round > r->leader_round)
        r->leader_round = a->round;
    if (a->prev_index > r->log.last_index ||
        (a->prev_index >= r->commit && raft_log_term(r, a->prev_index) != a->prev_term)) {
        refuse(r, m);
        return true;
    }
    if (!entries_merge(r, a))
        return false;
    /* min(leaderCommit, index of last new entry) (3.5): what lies behind may differ */
    raft_commit_to(
        r, min_u64(a->commit, PLANTED(follower_commit_uncapped) ? r->log.last_index : r->matched));
    if (r->durable >= r->matched || PLANTED(append_acked_before_persisted))
        raft_append_answer(r);
    else
        r->ack_owed = true;
    return true;
}

bool raft_recv_heartbeat(struct raft *r, const struct raft_message *m)
{
    bool current;
    if (m->heartbeat.commit > RAFT_INDEX_MAX || !raft_leader_heard(r, m, &current))
        return false;
    if (!current)
        return true;
    if (!r->installing) {
        if (m->heartbeat.commit > r->log.last_index)
            return false; /* the leader names only what was durable here */
        raft_commit_to(r, m->heartbeat.commit);
    }
    if (m->heartbeat.round > r->leader_round)
        r->leader_round = m->heartbeat.round;
    struct raft_message answer = raft_message_to(r, m->from, MESSAGE_HEARTBEAT_RESULT);
    answer.heartbeat_result.round = m->heartbeat.round;
    raft_send(r, raft_node_of(r, m->from), &answer);
    raft_log_rest(r);
    return true;
}
