/* What clients ask of a node: a command through its group's log, a linearizable read, a session.
 *
 * A request that names no session must not be executed twice because the network doubled it:
 * clients and servers talk over connections, which don't double. So its attempts pass once in the
 * whole run, over restarts too; those of a session may come as often as they like. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/raft_app_private.h"
#include "sim/raft_clients.h"
#include "sim/raft_frame.h"

#define FETCHES_MAX 16 /* of one read: a row may be evicted again before it is looked at */

struct app_request {
    struct list_node link; /* in raft_app.requests */
    struct raft_app *app;
    unsigned client; /* endpoint */
    uint64_t attempt;
    uint8_t kind;
    uint32_t group;
    union {
        struct group_proposal proposal;
        struct group_read read;
    };
    /* of a read */
    bool asked, fetching;
    unsigned fetches;
    uint64_t index;
    struct kv_command command;
    struct engine_wait wait;
};

static void request_free(struct app_request *q)
{
    list_remove(&q->link);
    free(q);
}

static void reply(struct raft_app *a, unsigned client, uint64_t attempt, uint32_t group,
                  enum raft_reply_kind kind, uint64_t index, int64_t value)
{
    struct group *g = groups_find(a->groups, group);
    struct raft_reply r = {
        .attempt = attempt,
        .kind = (uint8_t)kind,
        .leader_node = g == NULL ? 0 : group_leader_node(g),
        .index = index,
        .value = value,
    };
    BUFFER_AUTO struct buffer bytes = {0};
    raft_reply_encode(&bytes, &r);
    process_send(a->process, client, buffer_slice(&bytes));
}

static void answer(struct app_request *q, enum raft_reply_kind kind, uint64_t index, int64_t value)
{
    reply(q->app, q->client, q->attempt, q->group, kind, index, value);
    request_free(q);
}

/* --- commands --- */

static enum raft_reply_kind reply_of(int st, bool applied)
{
    switch (st) {
    case ST_CLOSED:
        return REPLY_ELSEWHERE;
    case ST_LIMIT:
        return applied ? REPLY_UNCERTAIN : REPLY_BUSY;
    case ST_AGAIN:
    case ST_NOSPACE:
        return REPLY_BUSY;
    case ST_NOTFOUND:
        return REPLY_NO_SESSION;
    default: /* ST_UNCERTAIN; ST_EXISTS: a request from the past, whose client waits no more */
        return REPLY_UNCERTAIN;
    }
}

static void on_command(struct group_proposal *p, int st, struct slice bytes)
{
    struct app_request *q = container_of(p, struct app_request, proposal);
    struct kv_result result;
    if (st < 0) {
        answer(q, reply_of(st, p->applied), 0, 0);
        return;
    }
    CHECK(kv_result_decode(bytes, &result) == 0);
    answer(q, result.outcome == KV_DONE ? REPLY_DONE : REPLY_UNCERTAIN, p->index, result.value);
}

static void on_opened(struct group_proposal *p, int st, struct slice bytes)
{
    struct app_request *q = container_of(p, struct app_request, proposal);
    if (st < 0) {
        answer(q, reply_of(st, false), 0, 0);
        return;
    }
    CHECK(bytes.len == 8);
    answer(q, REPLY_DONE, p->index, (int64_t)bytes_get_u64(bytes.data));
}

/* --- reads --- */

static void look(struct app_request *q);

static void on_fetched(struct engine_wait *wait, int st)
{
    struct app_request *q = container_of(wait, struct app_request, wait);
    q->fetching = false;
    if (st == 0) {
        look(q);
        return;
    }
    struct group *g = groups_find(q->app->groups, q->group);
    if (st == ST_CORRUPT && g != NULL)
        group_damaged(g, st);
    answer(q, REPLY_FAILED, 0, 0);
}

/* Whatever was read once the group was at q->index is good enough; a later state is too. */
static void look(struct app_request *q)
{
    struct group *g = groups_find(q->app->groups, q->group);
    if (g == NULL) {
        answer(q, REPLY_FAILED, 0, 0);
        return;
    }
    uint8_t name[KV_KEY_BYTES];
    struct key key = group_key(g, KV_KEYSPACE, kv_key(q->command.key, name));
    struct record record;
    int st = group_look(g, &key, &record);
    if (st == ST_COLD && q->fetches++ < FETCHES_MAX) {
        q->fetching = true;
        engine_fetch(q->app->engine, &key, &q->wait);
        return;
    }
    if (st == ST_NOTFOUND) {
        answer(q, REPLY_DONE, q->index, LINEAR_ABSENT);
        return;
    }
    if (st < 0) {
        answer(q, REPLY_FAILED, 0, 0);
        return;
    }
    int64_t value;
    const char *wrong = kv_value_read(q->command.key, record.value, &value);
    if (wrong != NULL)
        raft_app_damaged(q->app, q->group, q->command.key, wrong);
    answer(q, wrong == NULL ? REPLY_DONE : REPLY_FAILED, q->index, value);
}

static void on_read(struct group_read *r, int st)
{
    struct app_request *q = container_of(r, struct app_request, read);
    q->asked = false;
    if (st < 0) {
        answer(q, st == ST_LIMIT ? REPLY_BUSY : REPLY_ELSEWHERE, 0, 0);
        return;
    }
    q->index = r->index;
    look(q);
}

/* --- requests --- */

static int ask(struct app_request *q, struct group *g, const struct raft_request *r)
{
    switch (r->kind) {
    case FRAME_COMMAND:
        q->proposal.done = on_command;
        return group_propose(g, &q->proposal, r->session, r->number, r->command);
    case FRAME_OPEN:
        q->proposal.done = on_opened;
        return group_session_open(g, &q->proposal);
    default:
        q->read.done = on_read;
        q->wait.done = on_fetched;
        q->asked = true;
        return group_read(g, &q->read);
    }
}

void raft_app_request(struct raft_app *a, unsigned from, struct slice bytes)
{
    struct raft_request r;
    struct kv_command command = {0};
    CHECK(raft_request_decode(bytes, &r) == 0); /* the network damages nothing */
    if (r.session == 0 && !raft_clients_first(a->run->clients, r.attempt))
        return;
    if (r.kind != FRAME_OPEN)
        CHECK(kv_command_decode(r.command, &command) == 0);
    struct group *g = groups_find(a->groups, r.group);
    if (g == NULL) {
        reply(a, from, r.attempt, r.group, REPLY_ELSEWHERE, 0, 0);
        return;
    }
    struct app_request *q = mem_zalloc(sizeof(*q));
    q->app = a;
    q->client = from;
    q->attempt = r.attempt;
    q->kind = r.kind;
    q->group = r.group;
    q->command = command;
    list_push_back(&a->requests, &q->link);
    int st = ask(q, g, &r);
    if (st < 0)
        answer(q, st == ST_LIMIT ? REPLY_BUSY : REPLY_ELSEWHERE, 0, 0);
}

void raft_app_requests_end(struct raft_app *a)
{
    while (!list_empty(&a->requests)) {
        struct app_request *q = list_entry(list_first(&a->requests), struct app_request, link);
        if (q->kind != FRAME_READ)
            group_cancel(&q->proposal);
        else if (q->asked)
            group_read_cancel(&q->read);
        else if (q->fetching)
            engine_fetch_cancel(a->engine, &q->wait);
        request_free(q);
    }
}
