/* A few cores with a network, disks and state machines made of arrays: what the tests of src/raft
 * run on. Messages pass through the wire's encoder and decoder. Nothing moves by itself: the test
 * delivers, persists, applies and ticks.
 *
 * What is sent, and what else is worth a look, is written down as text, a line each:
 *
 *   1>2 append 1 prev=0,0 commit=0 n=1      from, to, message, term, fields
 *   2: follower of 1 in 1                   role
 *   1: commit 3                             also: read, config
 *
 * Always checked, by CHECK: one leader a term, what is applied never differs between replicas
 * (state machine safety), a new leader has all that was applied anywhere (leader completeness), no
 * read is older than what was committed when it came. */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/prng.h"
#include "base/status.h"
#include "raft/raft.h"

#define NODES_MAX   8 /* replicas 1..7 */
#define LOG_MAX     4096
#define READS_MAX   4096
#define TERMS_MAX   4096
#define HEARTBEAT   10 /* ms */
#define ELECTION    100
#define CHUNK_BYTES 16

struct log_row {
    uint64_t term;
    uint8_t type;
    struct slice data; /* owned */
};

struct state { /* of the state machine: a hash over all that was applied */
    uint64_t index, term, hash;
    struct raft_config config;
};

struct disk {
    uint64_t term, vote, commit;
    struct log_row log[LOG_MAX]; /* by index; those up to base are not there */
    uint64_t last;
    struct state base; /* the log begins after it */
};

struct write { /* on its way to the disk */
    struct write *next;
    uint64_t seq;
    bool is_state;
    uint64_t term, vote, commit;
    uint64_t first;
    unsigned count;
    struct log_row rows[];
};

struct install { /* a snapshot that is being received */
    uint64_t stream;
    uint8_t bytes[64];
    size_t len;
};

struct node {
    struct raft_reader reader; /* first */
    struct cluster *c;
    uint64_t id;
    bool up, cut;
    bool forgets_reads; /* some questions for chunks are not answered */
    bool load_later;    /* the reader says ST_AGAIN until `loaded` */
    bool loaded;
    struct raft *r;
    struct raft_actions actions;
    struct disk seen, durable; /* as given to persist; as persisted */
    struct write *writes, **writes_end;
    struct state state;
    struct install install;
    struct raft_event stored; /* an answer that is to be given; type 0: none */
    bool has_stored;
    uint64_t told_commit;
    uint64_t rate_permille, boot_us; /* its clock */
    uint64_t reads_ready, reads_failed;
};

struct packet {
    struct packet *next;
    uint64_t from, to;
    struct buffer bytes;
};

struct cluster {
    struct node nodes[NODES_MAX];
    struct packet *packets, **packets_end;
    unsigned packet_count;
    uint64_t now_us;
    bool hold_writes; /* else they are persisted at once */
    bool quiet;       /* writes nothing down */
    struct buffer trace;
    uint64_t leaders[TERMS_MAX];
    uint64_t truth[LOG_MAX]; /* hash of what was committed at an index; 0: nothing yet */
    uint64_t truth_last;
    uint64_t read_floor[READS_MAX]; /* by read id */
    uint64_t streams;
    uint64_t elections, snapshots, configs;
    struct raft_limits limits;
};

static inline void note(struct cluster *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void note(struct cluster *c, const char *format, ...)
{
    if (c->quiet)
        return;
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    buffer_append_str(&c->trace, line);
}

static inline uint64_t row_hash(uint64_t index, const struct log_row *row)
{
    uint64_t hash = index * UINT64_C(0x9e3779b97f4a7c15) + row->term * 31 + row->type;
    for (size_t i = 0; i < row->data.len; i++)
        hash = (hash ^ row->data.data[i]) * UINT64_C(0x100000001b3);
    return hash | 1;
}

static inline void row_set(struct log_row *row, uint64_t term, uint8_t type, struct slice data)
{
    uint8_t *copy = data.len ? mem_dup(data.data, data.len) : NULL;
    free((void *)(uintptr_t)row->data.data);
    *row = (struct log_row){.term = term, .type = type, .data = slice_make(copy, data.len)};
}

static inline void disk_copy(struct disk *to, const struct disk *from)
{
    to->term = from->term;
    to->vote = from->vote;
    to->commit = from->commit;
    to->last = from->last;
    to->base = from->base;
    for (uint64_t i = from->base.index + 1; i <= from->last; i++)
        row_set(&to->log[i], from->log[i].term, from->log[i].type, from->log[i].data);
}

/* --- the reader --- */

static inline int node_read(struct raft_reader *reader, uint64_t first, uint64_t last,
                            uint64_t bytes_max, struct raft_entry *ret_entries, unsigned cap,
                            unsigned *ret_count)
{
    struct node *n = (struct node *)reader;
    CHECK(first > n->seen.base.index);
    CHECK(first <= last);
    CHECK(last <= n->seen.last);
    if (n->load_later && !n->loaded)
        return ST_AGAIN;
    n->loaded = false;
    unsigned count = 0;
    uint64_t bytes = 0;
    for (uint64_t i = first; i <= last && count < cap && (count == 0 || bytes < bytes_max); i++) {
        const struct log_row *row = &n->seen.log[i];
        ret_entries[count++] = (struct raft_entry){
            .index = i, .term = row->term, .type = row->type, .data = row->data};
        bytes += row->data.len;
    }
    *ret_count = count;
    return 0;
}

static inline uint64_t node_term(struct raft_reader *reader, uint64_t index)
{
    struct node *n = (struct node *)reader;
    CHECK(index > n->seen.base.index);
    CHECK(index <= n->seen.last);
    return n->seen.log[index].term;
}

/* --- what messages look like --- */

static inline void note_message(struct cluster *c, const struct raft_message *m)
{
    note(c, "%lu>%lu %s %lu", m->from, m->to, message_name(m->code), m->term);
    switch (m->code) {
    case MESSAGE_VOTE_REQUEST:
        note(c, " last=%lu,%lu%s%s", m->vote_request.last_index, m->vote_request.last_term,
             m->vote_request.flags & VOTE_PRE ? " pre" : "",
             m->vote_request.flags & VOTE_TRANSFER ? " transfer" : "");
        break;
    case MESSAGE_VOTE:
        note(c, " %s%s", m->vote.granted ? "yes" : "no", m->vote.flags & VOTE_PRE ? " pre" : "");
        break;
    case MESSAGE_APPEND:
        note(c, " prev=%lu,%lu commit=%lu n=%u", m->append.prev_index, m->append.prev_term,
             m->append.commit, m->append.entries.count);
        break;
    case MESSAGE_APPEND_RESULT:
        if (m->append_result.accepted)
            note(c, " yes index=%lu", m->append_result.index);
        else
            note(c, " no index=%lu,%lu prev=%lu", m->append_result.index,
                 m->append_result.hint_term, m->append_result.prev_index);
        break;
    case MESSAGE_HEARTBEAT:
        note(c, " commit=%lu", m->heartbeat.commit);
        break;
    case MESSAGE_SNAPSHOT:
        note(c, " index=%lu,%lu offset=%lu n=%zu%s", m->snapshot.index, m->snapshot.index_term,
             m->snapshot.offset, m->snapshot.data.len, m->snapshot.done ? " done" : "");
        break;
    case MESSAGE_SNAPSHOT_RESULT:
        note(c, " %s index=%lu offset=%lu",
             m->snapshot_result.state == SNAPSHOT_WANTED      ? "wanted"
             : m->snapshot_result.state == SNAPSHOT_INSTALLED ? "installed"
                                                              : "refused",
             m->snapshot_result.index, m->snapshot_result.offset);
        break;
    }
    note(c, "\n");
}

static inline void packet_add(struct cluster *c, uint64_t from, uint64_t to, struct slice bytes)
{
    struct packet *p = mem_zalloc(sizeof(*p));
    p->from = from;
    p->to = to;
    buffer_append_slice(&p->bytes, bytes);
    *c->packets_end = p;
    c->packets_end = &p->next;
    c->packet_count++;
}

/* --- a node carries out what its core says --- */

static inline int step(struct cluster *c, uint64_t id, struct raft_event event);

static inline uint64_t node_now(const struct node *n)
{
    return n->boot_us + n->c->now_us / 1000 * n->rate_permille;
}

static inline void write_push(struct node *n, struct write *w)
{
    *n->writes_end = w;
    n->writes_end = &w->next;
}

static inline void act_entries(struct node *n, const struct raft_action *a)
{
    struct write *w = mem_zalloc(sizeof(*w) + a->entries.count * sizeof(w->rows[0]));
    w->seq = a->entries.seq;
    w->first = a->entries.list[0].index;
    w->count = a->entries.count;
    CHECK(w->first <= n->seen.last + 1);
    CHECK(w->first > n->told_commit);
    for (unsigned i = 0; i < w->count; i++) {
        const struct raft_entry *e = &a->entries.list[i];
        CHECK(e->index == w->first + i);
        CHECK(e->index < LOG_MAX);
        row_set(&n->seen.log[e->index], e->term, e->type, e->data);
        row_set(&w->rows[i], e->term, e->type, e->data);
    }
    n->seen.last = w->first + w->count - 1;
    write_push(n, w);
}

static inline void act_state(struct node *n, const struct raft_action *a)
{
    struct write *w = mem_zalloc(sizeof(*w));
    w->seq = a->state.seq;
    w->is_state = true;
    w->term = a->state.term;
    w->vote = a->state.vote;
    w->commit = a->state.commit;
    n->seen.term = w->term;
    n->seen.vote = w->vote;
    n->seen.commit = w->commit;
    write_push(n, w);
}

static inline void check_new_leader(struct cluster *c, struct node *n, const struct raft_status *s)
{
    CHECK(s->term < TERMS_MAX);
    CHECK(c->leaders[s->term] == 0 || c->leaders[s->term] == n->id); /* election safety */
    if (c->leaders[s->term] == 0)
        c->elections++;
    c->leaders[s->term] = n->id;
    for (uint64_t i = n->seen.base.index + 1; i <= c->truth_last; i++) { /* leader completeness */
        CHECK(i <= n->seen.last);
        CHECK(row_hash(i, &n->seen.log[i]) == c->truth[i]);
    }
}

static inline void act_role(struct cluster *c, struct node *n)
{
    struct raft_status s;
    raft_status(n->r, &s);
    switch (s.role) {
    case RAFT_LEADER:
        note(c, "%lu: leader in %lu\n", n->id, s.term);
        check_new_leader(c, n, &s);
        break;
    case RAFT_FOLLOWER:
        note(c, "%lu: follower of %lu in %lu\n", n->id, s.leader, s.term);
        break;
    case RAFT_PRECANDIDATE:
        note(c, "%lu: precandidate in %lu\n", n->id, s.term);
        break;
    case RAFT_CANDIDATE:
        note(c, "%lu: candidate in %lu\n", n->id, s.term);
        break;
    }
}

static inline void act_commit(struct cluster *c, struct node *n, uint64_t index)
{
    note(c, "%lu: commit %lu\n", n->id, index);
    CHECK(index <= n->seen.last);
    CHECK(index > n->told_commit);
    n->told_commit = index;
    for (uint64_t i = n->state.index + 1; i <= index; i++) {
        uint64_t hash = row_hash(i, &n->seen.log[i]);
        CHECK(c->truth[i] == 0 || c->truth[i] == hash); /* state machine safety */
        c->truth[i] = hash;
        if (i > c->truth_last)
            c->truth_last = i;
    }
}

static inline void act_config(struct cluster *c, struct node *n)
{
    const struct raft_config *config = raft_config(n->r);
    note(c, "%lu: config", n->id);
    for (unsigned i = 0; i < config->count; i++) {
        uint8_t role = config->members[i].role;
        note(c, " %lu%s%s%s", config->members[i].id, role & RAFT_VOTER ? "v" : "",
             role & RAFT_VOTER_OLD ? "o" : "", role & RAFT_LEARNER ? "l" : "");
    }
    note(c, "\n");
    c->configs++;
}

static inline void act_read(struct cluster *c, struct node *n, const struct raft_action *a)
{
    if (a->type == RAFT_ACTION_READ_FAILED) {
        note(c, "%lu: read %lu failed\n", n->id, a->read.id);
        n->reads_failed++;
        return;
    }
    note(c, "%lu: read %lu at %lu\n", n->id, a->read.id, a->read.index);
    CHECK(a->read.index >= c->read_floor[a->read.id]); /* never stale */
    n->reads_ready++;
}

/* The state, as its snapshot's bytes. */
static inline void act_snapshot_read(struct node *n, const struct raft_action *a)
{
    struct raft_event e = {.type = RAFT_SNAPSHOT_CHUNK};
    if (n->forgets_reads && n->c->now_us / 1000 % 3 == 0)
        return; /* the core asks again */
    e.chunk.to = a->snapshot_read.to;
    const struct state *state = &n->seen.base;
    uint64_t stream = n->id * 1000000 + state->index;
    if (a->snapshot_read.index != 0 &&
        (a->snapshot_read.index != state->index || a->snapshot_read.stream != stream)) {
        e.chunk.st = ST_NOTFOUND;
        step(n->c, n->id, e);
        return;
    }
    uint64_t bytes[5] = {state->index, state->term, state->hash, 4, 5};
    uint64_t offset = a->snapshot_read.offset;
    CHECK(offset < sizeof(bytes));
    size_t len = sizeof(bytes) - offset < CHUNK_BYTES ? sizeof(bytes) - offset : CHUNK_BYTES;
    e.chunk.chunk = (struct raft_snapshot_chunk){
        .index = state->index,
        .index_term = state->term,
        .stream = stream,
        .offset = offset,
        .done = offset + len == sizeof(bytes),
        .config = state->config,
        .data = slice_make((uint8_t *)bytes + offset, len),
    };
    step(n->c, n->id, e);
}

static inline void install(struct node *n, const struct raft_snapshot_chunk *c)
{
    uint64_t bytes[5];
    memcpy(bytes, n->install.bytes, sizeof(bytes));
    CHECK(bytes[0] == c->index);
    n->state =
        (struct state){.index = c->index, .term = bytes[1], .hash = bytes[2], .config = c->config};
    while (n->writes != NULL) { /* what was on its way is before it */
        struct write *w = n->writes;
        n->writes = w->next;
        if (w->is_state) {
            n->durable.term = w->term;
            n->durable.vote = w->vote;
        }
        for (unsigned i = 0; i < w->count; i++)
            free((void *)(uintptr_t)w->rows[i].data.data);
        free(w);
    }
    n->writes_end = &n->writes;
    n->seen.base = n->durable.base = n->state;
    n->seen.last = n->durable.last = c->index;
    n->told_commit = c->index;
    n->c->snapshots++;
}

static inline void act_snapshot_store(struct node *n, const struct raft_action *a)
{
    const struct raft_snapshot_chunk *c = &a->snapshot_store.chunk;
    struct install *in = &n->install;
    CHECK(!n->has_stored);
    if (in->stream != c->stream)
        *in = (struct install){.stream = c->stream};
    n->has_stored = true;
    n->stored = (struct raft_event){.type = RAFT_SNAPSHOT_STORED};
    n->stored.stored.from = a->snapshot_store.from;
    n->stored.stored.index = c->index;
    n->stored.stored.stream = c->stream;
    if (c->offset == in->len) {
        memcpy(in->bytes + in->len, c->data.data, c->data.len);
        in->len += c->data.len;
        if (c->done) {
            install(n, c);
            n->stored.stored.state = SNAPSHOT_INSTALLED;
            n->stored.stored.index_term = c->index_term;
            n->stored.stored.config = c->config;
            *in = (struct install){0};
            return;
        }
    }
    n->stored.stored.state = SNAPSHOT_WANTED;
    n->stored.stored.offset = in->len;
}

static inline void carry_out(struct cluster *c, struct node *n)
{
    struct raft_actions actions = n->actions; /* steps below use another */
    n->actions = (struct raft_actions){0};
    for (unsigned i = 0; i < actions.count; i++) {
        const struct raft_action *a = &actions.list[i];
        switch (a->type) {
        case RAFT_ACTION_ENTRIES:
            act_entries(n, a);
            break;
        case RAFT_ACTION_STATE:
            act_state(n, a);
            break;
        case RAFT_ACTION_SEND: {
            BUFFER_AUTO struct buffer bytes = {0};
            note_message(c, &a->send.message);
            message_encode(&bytes, &a->send.message);
            packet_add(c, n->id, a->send.message.to, buffer_slice(&bytes));
            break;
        }
        case RAFT_ACTION_COMMIT:
            act_commit(c, n, a->index);
            break;
        case RAFT_ACTION_PROPOSED:
            break;
        case RAFT_ACTION_READ_READY:
        case RAFT_ACTION_READ_FAILED:
            act_read(c, n, a);
            break;
        case RAFT_ACTION_ROLE:
            act_role(c, n);
            break;
        case RAFT_ACTION_CONFIG:
            act_config(c, n);
            break;
        case RAFT_ACTION_SNAPSHOT_READ:
            act_snapshot_read(n, a);
            break;
        case RAFT_ACTION_SNAPSHOT_STORE:
            act_snapshot_store(n, a);
            break;
        }
    }
    raft_actions_free(&actions);
}

/* Persists the oldest write; false when there is none. */
static inline bool persist_one(struct cluster *c, uint64_t id)
{
    struct node *n = &c->nodes[id];
    struct write *w = n->writes;
    if (w == NULL)
        return false;
    n->writes = w->next;
    if (n->writes == NULL)
        n->writes_end = &n->writes;
    if (w->is_state) {
        n->durable.term = w->term;
        n->durable.vote = w->vote;
        n->durable.commit = w->commit;
    } else {
        for (unsigned i = 0; i < w->count; i++) {
            row_set(&n->durable.log[w->first + i], w->rows[i].term, w->rows[i].type,
                    w->rows[i].data);
            free((void *)(uintptr_t)w->rows[i].data.data);
        }
        n->durable.last = w->first + w->count - 1;
    }
    uint64_t seq = w->seq;
    free(w);
    step(c, id, (struct raft_event){.type = RAFT_PERSISTED, .seq = seq});
    return true;
}

static inline void persist(struct cluster *c, uint64_t id)
{
    while (persist_one(c, id))
        ;
}

static inline bool stored_answer(struct cluster *c, uint64_t id)
{
    struct node *n = &c->nodes[id];
    if (!n->up || !n->has_stored)
        return false;
    n->has_stored = false;
    step(c, id, n->stored);
    return true;
}

/* The state machine takes what is committed. */
static inline void apply(struct cluster *c, uint64_t id)
{
    struct node *n = &c->nodes[id];
    if (n->has_stored)
        return; /* a snapshot may be installed that the core does not know of yet */
    while (n->state.index < n->told_commit) {
        uint64_t i = n->state.index + 1;
        struct raft_entry entry;
        if (raft_entry(n->r, i, &entry) == 0) {
            struct log_row row = {.term = entry.term, .type = entry.type, .data = entry.data};
            CHECK(row_hash(i, &row) == c->truth[i]);
        }
        n->state.hash = hash_bytes(n->state.hash, &c->truth[i], sizeof(c->truth[i]));
        n->state.index = i;
        n->state.term = n->seen.log[i].term;
    }
    raft_config_at(n->r, n->state.index, &n->state.config);
    step(c, id, (struct raft_event){.type = RAFT_APPLIED, .applied = n->state.index});
}

static inline int step(struct cluster *c, uint64_t id, struct raft_event event)
{
    struct node *n = &c->nodes[id];
    CHECK(n->up);
    event.now_us = node_now(n);
    int st = raft_step(n->r, &event, &n->actions);
    carry_out(c, n);
    if (!c->hold_writes)
        persist(c, id);
    return st;
}

static inline int propose(struct cluster *c, uint64_t id, const char *text)
{
    struct slice data = slice_str(text);
    struct raft_event e = {.type = RAFT_PROPOSE};
    e.propose.data = &data;
    e.propose.count = 1;
    return step(c, id, e);
}

static inline int ask(struct cluster *c, uint64_t id, uint64_t read)
{
    CHECK(read < READS_MAX);
    c->read_floor[read] = c->truth_last;
    return step(c, id, (struct raft_event){.type = RAFT_READ, .read_id = read});
}

static inline int change(struct cluster *c, uint64_t id, const struct raft_config *to)
{
    struct raft_status s;
    raft_status(c->nodes[id].r, &s);
    int st = step(c, id, (struct raft_event){.type = RAFT_CHANGE, .change = *to});
    if (st == 0) { /* one at a time, and only after a commit of the own term */
        CHECK(s.config_committed);
        CHECK(c->nodes[id].seen.log[s.commit].term == s.term);
    }
    return st;
}

static inline int transfer(struct cluster *c, uint64_t id, uint64_t to)
{
    return step(c, id, (struct raft_event){.type = RAFT_TRANSFER, .transfer_to = to});
}

/* The state machine's state becomes durable, and the log begins behind it. */
static inline void compact(struct cluster *c, uint64_t id)
{
    struct node *n = &c->nodes[id];
    persist(c, id);
    if (n->state.index > n->durable.last || n->has_stored)
        return;
    n->durable.base = n->state;
    step(c, id, (struct raft_event){.type = RAFT_COMPACTED, .compacted = n->state.index});
    n->seen.base = n->state;
}

static inline void tick(struct cluster *c, uint64_t id)
{
    step(c, id, (struct raft_event){.type = RAFT_TICK});
}

/* --- the network --- */

static inline void packet_free(struct packet *p)
{
    buffer_free(&p->bytes);
    free(p);
}

static inline struct packet *packet_take(struct cluster *c, unsigned at)
{
    struct packet **link = &c->packets;
    while (at-- > 0)
        link = &(*link)->next;
    struct packet *p = *link;
    *link = p->next;
    if (c->packets_end == &p->next)
        c->packets_end = link;
    c->packet_count--;
    return p;
}

static inline void packet_deliver(struct cluster *c, const struct packet *p)
{
    struct node *n = p->to < NODES_MAX ? &c->nodes[p->to] : NULL;
    if (n == NULL || !n->up || n->cut || c->nodes[p->from].cut)
        return;
    struct slice bytes = buffer_slice(&p->bytes);
    struct raft_message m;
    CHECK(message_decode(&bytes, &m) == 0);
    step(c, p->to, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
}

/* One message on the way from..to is delivered, or lost; false when there is none. */
static inline bool pass(struct cluster *c, uint64_t from, uint64_t to, bool lose)
{
    unsigned at = 0;
    for (struct packet *p = c->packets; p != NULL; p = p->next, at++) {
        if (p->from != from || p->to != to)
            continue;
        p = packet_take(c, at);
        if (!lose)
            packet_deliver(c, p);
        packet_free(p);
        return true;
    }
    return false;
}

static inline void lose_all(struct cluster *c)
{
    while (c->packet_count != 0)
        packet_free(packet_take(c, 0));
}

/* Everything on the way arrives, and what that brings about, until nothing moves. */
static inline void deliver(struct cluster *c)
{
    for (bool moved = true; moved;) {
        moved = false;
        while (c->packet_count != 0) {
            struct packet *p = packet_take(c, 0);
            packet_deliver(c, p);
            packet_free(p);
            moved = true;
        }
        for (uint64_t id = 1; id < NODES_MAX; id++)
            moved = stored_answer(c, id) || moved;
    }
}

static inline void sleep_ms(struct cluster *c, uint64_t ms)
{
    c->now_us += ms * 1000;
}

/* Time passes in steps of heartbeats: all tick, everything is delivered. */
static inline void run_ms(struct cluster *c, uint64_t ms)
{
    for (uint64_t end = c->now_us + ms * 1000; c->now_us < end;) {
        sleep_ms(c, HEARTBEAT);
        for (uint64_t id = 1; id < NODES_MAX; id++)
            if (c->nodes[id].up && raft_due_us(c->nodes[id].r) <= node_now(&c->nodes[id]))
                tick(c, id);
        deliver(c);
    }
}

/* --- life --- */

static inline void start(struct cluster *c, uint64_t id, bool fresh,
                         const struct raft_config *config)
{
    struct node *n = &c->nodes[id];
    CHECK(!n->up);
    disk_copy(&n->seen, &n->durable);
    n->c = c;
    n->id = id;
    n->reader.entries = node_read;
    n->reader.term = node_term;
    n->writes = NULL;
    n->writes_end = &n->writes;
    if (n->rate_permille == 0)
        n->rate_permille = 1000;
    if (fresh)
        n->durable.base.config = n->seen.base.config = *config;
    n->state = n->durable.base;
    n->install = (struct install){0};
    n->has_stored = false;
    n->told_commit = n->state.index;
    struct raft_start s = {
        .group = 1,
        .id = id,
        .seed = id,
        .now_us = node_now(n),
        .limits = c->limits,
        .reader = &n->reader,
        .fresh = fresh,
        .term = n->durable.term,
        .vote = n->durable.vote,
        .commit = n->durable.commit,
        .applied = n->durable.base.index,
        .compacted_index = n->durable.base.index,
        .compacted_term = n->durable.base.term,
        .config = n->durable.base.config,
    };
    CHECK(raft_create(&s, &n->r) == 0);
    for (uint64_t i = n->durable.base.index + 1; i <= n->durable.last; i++) {
        const struct log_row *row = &n->durable.log[i];
        struct raft_entry entry = {
            .index = i, .term = row->term, .type = row->type, .data = row->data};
        CHECK(raft_restore(n->r, &entry) == 0);
    }
    n->up = true;
}

static inline void stop(struct cluster *c, uint64_t id)
{
    struct node *n = &c->nodes[id];
    while (n->writes != NULL) {
        struct write *w = n->writes;
        n->writes = w->next;
        for (unsigned i = 0; i < w->count; i++)
            free((void *)(uintptr_t)w->rows[i].data.data);
        free(w);
    }
    raft_free(n->r);
    raft_actions_free(&n->actions);
    n->r = NULL;
    n->up = false;
}

static inline void restart(struct cluster *c, uint64_t id)
{
    start(c, id, false, NULL);
}

static inline struct raft_config voters(unsigned count, ...)
{
    struct raft_config config = {0};
    va_list args;
    va_start(args, count);
    for (unsigned i = 0; i < count; i++) {
        uint64_t id = va_arg(args, unsigned);
        CHECK(raft_config_set(&config, id, id * 10, RAFT_VOTER) == 0);
    }
    va_end(args);
    return config;
}

/* RAFT_BUG=name, in builds that have it: which tests fail then? */
static inline void plant(void)
{
    const char *name = getenv("RAFT_BUG");
    if (name == NULL)
        return;
    planted_bug = planted_find(name);
    CHECK(planted_bug > 0);
    CHECK(planted_built(planted_bug));
}

static inline struct cluster *cluster_make(void)
{
    struct cluster *c = mem_zalloc(sizeof(*c));
    c->packets_end = &c->packets;
    c->now_us = 1000000;
    c->limits = (struct raft_limits){
        .election_ms = ELECTION,
        .heartbeat_ms = HEARTBEAT,
        .clock_drift_percent = 11,
        .transfer_ms = ELECTION,
        .appends_inflight_max = 4,
        .append_bytes_max = 1000,
        .inflight_bytes_max = 4000,
        .tail_bytes_max = 1000,
        .uncommitted_bytes_max = 10000,
        .reads_max = 16,
        .snapshot_chunk_bytes = CHUNK_BYTES,
        .leases = false,
    };
    return c;
}

/* Voters 1..count, begun. */
static inline struct cluster *cluster_new(unsigned count)
{
    struct cluster *c = cluster_make();
    struct raft_config config = {0};
    for (uint64_t id = 1; id <= count; id++)
        CHECK(raft_config_set(&config, id, id * 10, RAFT_VOTER) == 0);
    for (uint64_t id = 1; id <= count; id++)
        start(c, id, true, &config);
    return c;
}

static inline void cluster_free(struct cluster *c)
{
    lose_all(c);
    for (uint64_t id = 0; id < NODES_MAX; id++) {
        struct node *n = &c->nodes[id];
        if (n->up)
            stop(c, id);
        for (unsigned i = 0; i < LOG_MAX; i++) {
            free((void *)(uintptr_t)n->seen.log[i].data.data);
            free((void *)(uintptr_t)n->durable.log[i].data.data);
        }
    }
    buffer_free(&c->trace);
    free(c);
}

/* What was written down since the last time is this. */
static inline void trace_is(struct cluster *c, const char *expected)
{
    if (!slice_equal(buffer_slice(&c->trace), slice_str(expected))) {
        fprintf(stderr, "--- expected\n%s--- got\n%.*s---\n", expected, (int)c->trace.len,
                (const char *)c->trace.data);
        CHECK(!"the trace is as expected");
    }
    buffer_clear(&c->trace);
}

static inline struct raft_status status(struct cluster *c, uint64_t id)
{
    struct raft_status s;
    raft_status(c->nodes[id].r, &s);
    return s;
}

/* The replica leads: its time is over before that of the others. */
static inline void elect(struct cluster *c, uint64_t id)
{
    sleep_ms(c, 2 * ELECTION + 1);
    tick(c, id);
    deliver(c);
    CHECK(status(c, id).role == RAFT_LEADER);
}

/* For a person who looks for a bug. */
static inline void cluster_print(struct cluster *c)
{
    for (uint64_t id = 1; id < NODES_MAX; id++) {
        if (!c->nodes[id].up)
            continue;
        struct raft_status s = status(c, id);
        fprintf(stderr,
                "%lu: role=%d term=%lu vote=%lu leader=%lu log=%lu..%lu,%lu commit=%lu "
                "applied=%lu config=%lu dropped=%lu:",
                id, s.role, s.term, s.vote, s.leader, s.first_index, s.last_index, s.last_term,
                s.commit, s.applied, s.config_index, s.dropped);
        const struct raft_config *config = raft_config(c->nodes[id].r);
        for (unsigned i = 0; i < config->count; i++)
            fprintf(stderr, " %lu/%u", config->members[i].id, config->members[i].role);
        fprintf(stderr, "\n");
    }
}
