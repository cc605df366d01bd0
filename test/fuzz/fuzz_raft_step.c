/* Any sequence of events into one core: messages with arbitrary fields, between them what a caller
 * may do. Nothing that arrives may crash it or fail a CHECK, and what it says has to be sound: seqs
 * rise, commit never falls and never passes the log.
 *
 * The input is read as a script: a byte says what happens, the bytes behind it fill the fields.
 * Small numbers are drawn from one byte, so that they meet the core's own. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/check.h"
#include "base/status.h"
#include "raft/raft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOG_MAX 100000

struct world {
    struct raft_reader reader; /* first */
    const uint8_t *data;
    size_t size;
    struct raft *r;
    struct raft_actions actions;
    uint64_t now_us, seq, commit, applied, base;
    uint64_t terms[LOG_MAX]; /* as given to persist */
    uint64_t last;
    bool storing, reading;
    uint64_t store_from, read_to;
    struct raft_snapshot_chunk store;
    uint64_t read_index, read_stream, read_offset;
};

static uint8_t take_u8(struct world *w)
{
    if (w->size == 0)
        return 0;
    w->size--;
    return *w->data++;
}

/* Mostly small, sometimes anything. */
static uint64_t take_number(struct world *w)
{
    uint8_t kind = take_u8(w);
    if (kind < 240)
        return kind % 16;
    if (kind < 250)
        return RAFT_INDEX_MAX - 3 + kind % 8;
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value = value << 8 | take_u8(w);
    return value;
}

static uint8_t take_role(struct world *w)
{
    static const uint8_t ROLES[] = {RAFT_VOTER, RAFT_LEARNER, RAFT_VOTER_OLD,
                                    RAFT_VOTER | RAFT_VOTER_OLD, RAFT_LEARNER | RAFT_VOTER_OLD};
    return ROLES[take_u8(w) % sizeof(ROLES)];
}

/* Near what the core has. */
static uint64_t take_index(struct world *w)
{
    struct raft_status s;
    raft_status(w->r, &s);
    uint8_t kind = take_u8(w);
    if (kind < 100)
        return s.last_index + kind % 8 - 3;
    if (kind < 180)
        return s.commit + kind % 8 - 3;
    return take_number(w);
}

static uint64_t take_term(struct world *w)
{
    struct raft_status s;
    raft_status(w->r, &s);
    uint8_t kind = take_u8(w);
    if (kind < 200)
        return s.term + (kind < 180 ? 0 : kind % 4) - (kind < 20);
    return take_number(w);
}

static int world_entries(struct raft_reader *reader, uint64_t first, uint64_t last,
                         uint64_t bytes_max, struct raft_entry *ret_entries, unsigned cap,
                         unsigned *ret_count)
{
    struct world *w = (struct world *)reader;
    CHECK(first > w->base && first <= last && last <= w->last);
    if (w->now_us % 3 == 0)
        return ST_AGAIN;
    *ret_entries =
        (struct raft_entry){.index = first, .term = w->terms[first % LOG_MAX], .type = RAFT_NOOP};
    *ret_count = 1;
    return 0;
}

static uint64_t world_term(struct raft_reader *reader, uint64_t index)
{
    struct world *w = (struct world *)reader;
    CHECK(index > w->base && index <= w->last);
    return w->terms[index % LOG_MAX];
}

static void act(struct world *w)
{
    for (unsigned i = 0; i < w->actions.count; i++) {
        const struct raft_action *a = &w->actions.list[i];
        switch (a->type) {
        case RAFT_ACTION_ENTRIES:
            CHECK(a->entries.seq == ++w->seq);
            CHECK(a->entries.list[0].index > w->commit);
            for (unsigned k = 0; k < a->entries.count; k++)
                w->terms[a->entries.list[k].index % LOG_MAX] = a->entries.list[k].term;
            w->last = a->entries.list[0].index + a->entries.count - 1;
            break;
        case RAFT_ACTION_STATE:
            CHECK(a->state.seq == ++w->seq);
            break;
        case RAFT_ACTION_COMMIT:
            CHECK(a->index > w->commit && a->index <= w->last);
            w->commit = a->index;
            break;
        case RAFT_ACTION_SNAPSHOT_READ:
            w->reading = true;
            w->read_to = a->snapshot_read.to;
            w->read_index = a->snapshot_read.index;
            w->read_stream = a->snapshot_read.stream;
            w->read_offset = a->snapshot_read.offset;
            break;
        case RAFT_ACTION_SNAPSHOT_STORE:
            CHECK(!w->storing);
            w->storing = true;
            w->store_from = a->snapshot_store.from;
            w->store = a->snapshot_store.chunk;
            break;
        case RAFT_ACTION_SEND: {
            BUFFER_AUTO struct buffer bytes = {0};
            struct raft_message m;
            message_encode(&bytes, &a->send.message);
            struct slice encoded = buffer_slice(&bytes);
            CHECK(message_decode(&encoded, &m) == 0); /* nothing that a peer would refuse */
            break;
        }
        default:
            break;
        }
    }
}

static void step(struct world *w, struct raft_event event)
{
    w->now_us += take_u8(w) * 500;
    event.now_us = w->now_us;
    raft_step(w->r, &event, &w->actions);
    act(w);
}

static void take_entries(struct world *w, struct buffer *bytes, struct raft_message *m)
{
    unsigned count = take_u8(w) % 4;
    for (unsigned i = 0; i < count; i++) {
        BUFFER_AUTO struct buffer config = {0};
        struct raft_entry entry = {.term = take_term(w), .type = take_u8(w) % 3};
        if (entry.type == RAFT_CONFIG) {
            struct raft_config c = {0};
            unsigned members = take_u8(w) % 6;
            for (uint64_t id = 1; id <= members; id++)
                raft_config_set(&c, id, id, take_role(w));
            raft_config_encode(&config, &c);
        }
        entry.data = buffer_slice(&config);
        message_entry_encode(bytes, &entry);
    }
    m->append.entries.count = count + (take_u8(w) == 7);
    m->append.entries.bytes = buffer_slice(bytes);
}

static void take_message(struct world *w)
{
    BUFFER_AUTO struct buffer bytes = {0};
    BUFFER_AUTO struct buffer config = {0};
    struct raft_message m;
    memset(&m, 0, sizeof(m));
    m.code = MESSAGE_VOTE_REQUEST + take_u8(w) % 10;
    m.group = take_u8(w) == 9;
    m.to = take_u8(w) == 9 ? 2 : 1;
    m.from = take_u8(w) % 5 + (take_u8(w) != 9);
    m.term = take_term(w);
    switch (m.code) {
    case MESSAGE_VOTE_REQUEST:
        m.vote_request.flags = take_u8(w) % 4;
        m.vote_request.last_index = take_index(w);
        m.vote_request.last_term = take_term(w);
        break;
    case MESSAGE_VOTE:
        m.vote.flags = take_u8(w) % 4;
        m.vote.granted = take_u8(w) % 3;
        m.term += take_u8(w) % 2;
        break;
    case MESSAGE_APPEND:
        m.append.prev_index = take_index(w);
        m.append.prev_term = take_term(w);
        if (m.append.prev_index > w->base && m.append.prev_index <= w->last && take_u8(w) > 30)
            m.append.prev_term = w->terms[m.append.prev_index % LOG_MAX];
        m.append.commit = take_index(w);
        m.append.round = take_number(w);
        take_entries(w, &bytes, &m);
        break;
    case MESSAGE_APPEND_RESULT:
        m.append_result.accepted = take_u8(w) % 3;
        m.append_result.index = take_index(w);
        m.append_result.hint_term = take_term(w);
        m.append_result.prev_index = take_index(w);
        m.append_result.round = take_u8(w) % 2 ? w->now_us : take_number(w);
        break;
    case MESSAGE_HEARTBEAT:
        m.heartbeat.commit = take_index(w);
        m.heartbeat.round = take_number(w);
        break;
    case MESSAGE_HEARTBEAT_RESULT:
        m.heartbeat_result.round = take_u8(w) % 2 ? w->now_us : take_number(w);
        break;
    case MESSAGE_SNAPSHOT: {
        struct raft_config c = {0};
        raft_config_set(&c, 1, 1, take_role(w));
        raft_config_set(&c, 2, 2, RAFT_VOTER);
        raft_config_encode(&config, &c);
        m.snapshot.index = take_index(w);
        m.snapshot.index_term = take_term(w);
        m.snapshot.stream = take_number(w);
        m.snapshot.config = buffer_slice(&config);
        m.snapshot.offset = take_number(w);
        m.snapshot.done = take_u8(w) % 3;
        m.snapshot.data = slice_str("abc");
        break;
    }
    case MESSAGE_SNAPSHOT_RESULT:
        m.snapshot_result.state = take_u8(w) % 4;
        m.snapshot_result.index = take_u8(w) % 2 ? w->base : take_index(w);
        m.snapshot_result.stream = take_u8(w) % 2 ? 5 : take_number(w);
        m.snapshot_result.offset = take_number(w);
        break;
    }
    step(w, (struct raft_event){.type = RAFT_MESSAGE, .message = &m});
}

static void chunk_answer(struct world *w)
{
    if (!w->reading)
        return;
    w->reading = false;
    struct raft_event e = {.type = RAFT_SNAPSHOT_CHUNK};
    e.chunk.to = w->read_to;
    e.chunk.st = take_u8(w) % 4 == 0 ? ST_NOTFOUND : take_u8(w) % 4 == 0 ? ST_AGAIN : 0;
    e.chunk.chunk.index = w->read_index ? w->read_index : w->base;
    e.chunk.chunk.index_term = 1;
    e.chunk.chunk.stream = w->read_stream ? w->read_stream : 5;
    e.chunk.chunk.offset = w->read_offset;
    raft_config_set(&e.chunk.chunk.config, 1, 1, RAFT_VOTER);
    e.chunk.chunk.data = slice_str("xyz");
    if (e.chunk.chunk.index == 0)
        e.chunk.st = ST_NOTFOUND;
    step(w, e);
}

static void store_answer(struct world *w)
{
    if (!w->storing)
        return;
    w->storing = false;
    struct raft_event e = {.type = RAFT_SNAPSHOT_STORED};
    e.stored.from = w->store_from;
    e.stored.index = w->store.index;
    e.stored.stream = w->store.stream;
    e.stored.state = take_u8(w) % 2 ? SNAPSHOT_WANTED : SNAPSHOT_REFUSED;
    if (w->store.done && take_u8(w) % 4 != 0) {
        e.stored.state = SNAPSHOT_INSTALLED;
        e.stored.index_term = w->store.index_term;
        e.stored.config = w->store.config;
        w->base = w->last = w->commit = w->applied = w->store.index;
    }
    step(w, e);
}

static void take_event(struct world *w)
{
    struct slice text = slice_str("command");
    struct raft_event e = {.type = RAFT_TICK};
    uint8_t kind = take_u8(w);
    switch (kind % 16) {
    case 0:
        w->now_us += take_u8(w) * 1000;
        step(w, e);
        break;
    case 1:
        e.type = RAFT_PERSISTED;
        e.seq = w->seq;
        step(w, e);
        break;
    case 2:
        e.type = RAFT_PROPOSE;
        e.propose.data = &text;
        e.propose.count = 1;
        step(w, e);
        break;
    case 3:
        e.type = RAFT_READ;
        step(w, e);
        break;
    case 4:
        e.type = RAFT_CHANGE;
        for (uint64_t id = 1; id < 5; id++)
            raft_config_set(&e.change, id, id, take_u8(w) % 3);
        step(w, e);
        break;
    case 5:
        e.type = RAFT_TRANSFER;
        e.transfer_to = take_u8(w) % 5;
        step(w, e);
        break;
    case 6:
        if (!w->storing) { /* as an install is under way nothing is applied */
            e.type = RAFT_APPLIED;
            w->applied = e.applied = w->commit;
            step(w, e);
        }
        break;
    case 7:
        if (!w->storing) {
            e.type = RAFT_COMPACTED;
            e.compacted = w->applied;
            step(w, e);
            w->base = w->applied;
        }
        break;
    case 8:
        e.type = RAFT_LOADED;
        step(w, e);
        break;
    case 9:
        chunk_answer(w);
        break;
    case 10:
        store_answer(w);
        break;
    default:
        take_message(w);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof(*w));
    CHECK(w != NULL);
    w->data = data;
    w->size = size;
    w->reader.entries = world_entries;
    w->reader.term = world_term;
    struct raft_start start = {
        .id = 1,
        .seed = 1,
        .reader = &w->reader,
        .fresh = true,
        .limits = {.election_ms = 100,
                   .heartbeat_ms = 10,
                   .clock_drift_percent = 10,
                   .transfer_ms = 100,
                   .appends_inflight_max = 4,
                   .append_bytes_max = 100,
                   .inflight_bytes_max = 1000,
                   .tail_bytes_max = 300,
                   .uncommitted_bytes_max = 2000,
                   .reads_max = 4,
                   .snapshot_chunk_bytes = 16,
                   .leases = true},
    };
    unsigned voters = take_u8(w) % 4;
    for (uint64_t id = 1; id <= voters; id++)
        raft_config_set(&start.config, id, id, RAFT_VOTER);
    CHECK(raft_create(&start, &w->r) == 0);
    while (w->size != 0)
        take_event(w);
    raft_bytes(w->r);
    raft_free(w->r);
    raft_actions_free(&w->actions);
    free(w);
    return 0;
}
