/* The toy: REGISTERS registers on 1 to 5 servers (key k on server k mod n), written through the
 * real commit log, and clients that ask for one thing at a time.
 *
 *   request   u64 number | u8 kind | u64 key | u64 value       a client's numbers only grow
 *   answer    u64 number | u64 value                           after what it shows is synced
 *   record    LOG_WRITE group=client index=number payload: u64 key | u64 value
 *
 * A client repeats its request until it is answered or it gives up; then the outcome is unknown. A
 * server remembers each client's last number and what it answered, as the log has it: a repeated
 * request is not executed again. */
#include "sim/toy.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/planted.h"
#include "sim/linear.h"

#define REGISTERS     16
#define SERVERS_MAX   5
#define CLIENTS       24
#define REQUEST_BYTES 25
#define ANSWER_BYTES  16
#define RECORD_BYTES  16
#define FAULTY_US     (UINT64_C(40) * 1000000)
#define LIVE_BOUND_US (UINT64_C(60) * 1000000)
#define REPEAT_US     400000
#define REPEATS_MAX   25
#define THINK_MEAN_US 20000
#define HISTORY_MAX   400000

enum toy_kind { TOY_READ, TOY_WRITE };

struct toy;

struct answer { /* waits until the log is synced up to lsn */
    unsigned client;
    uint64_t number, value, lsn;
};

struct server { /* one life of it */
    struct log_batch batch;
    uint64_t values[REGISTERS], lsns[REGISTERS]; /* end of the log when it was written last */
    uint64_t numbers[CLIENTS];
    struct answer *answers;
    size_t answers_count, answers_written, answers_cap;
    uint64_t dirty; /* bits: written in this turn */
    uint64_t lsn;
};

struct client {
    struct toy *toy;
    unsigned id; /* from 0 */
    struct prng random;
    struct world_event event; /* next request, or the same again */
    uint64_t number, key, value, repeats;
    size_t op; /* in the history, while one is under way */
    bool busy;
    uint64_t answered; /* since healing */
};

struct toy {
    struct world *world;
    struct net *net;
    struct process *processes[SERVERS_MAX];
    unsigned servers;
    struct client clients[CLIENTS];
    struct linear_op *history;
    size_t history_count;
    uint64_t moment, value_next, operations, deadline_us;
    bool healing, canary;
};

/* --- the server --- */

static int toy_start(struct process *p)
{
    process_set_user(p, mem_zalloc(sizeof(struct server)));
    return 0;
}

static int toy_replay(struct process *p, const struct log_record *record)
{
    struct server *s = process_user(p);
    uint64_t key = bytes_get_u64(record->payload.data);
    s->values[key] = bytes_get_u64(record->payload.data + 8);
    s->numbers[record->group] = record->index;
    return 0;
}

static int toy_recovered(struct process *p, const struct log_recovery *report)
{
    struct server *s = process_user(p);
    s->lsn = process_env(p)->ops->log_end_lsn(process_env(p));
    if (report->clean)
        world_mark(process_world(p), "clean_start");
    return 0;
}

static void toy_turn_begin(struct process *p)
{
}

static void answer_now(struct process *p, unsigned client, uint64_t number, uint64_t value)
{
    const struct toy *toy = process_ctx(p);
    uint8_t bytes[ANSWER_BYTES];
    bytes_put_u64(bytes, number);
    bytes_put_u64(bytes + 8, value);
    process_send(p, toy->servers + 1 + client, slice_make(bytes, sizeof(bytes)));
}

static void answer_later(struct server *s, unsigned client, uint64_t number, uint64_t value,
                         uint64_t lsn)
{
    if (s->answers_count == s->answers_cap) {
        s->answers_cap = s->answers_cap == 0 ? 64 : s->answers_cap * 2;
        s->answers = mem_realloc(s->answers, s->answers_cap * sizeof(*s->answers));
    }
    s->answers[s->answers_count++] =
        (struct answer){.client = client, .number = number, .value = value, .lsn = lsn};
}

static void write_register(struct server *s, unsigned client, uint64_t number, uint64_t key,
                           uint64_t value)
{
    struct buffer *out = log_batch_begin(&s->batch, LOG_WRITE, client, number, 0);
    buffer_append_u64(out, key);
    buffer_append_u64(out, value);
    CHECK(log_batch_end(&s->batch) == 0);
    s->values[key] = value;
    s->numbers[client] = number;
    s->dirty |= UINT64_C(1) << key;
}

static void toy_message(struct process *p, unsigned from, struct slice bytes)
{
    struct toy *toy = process_ctx(p);
    struct server *s = process_user(p);
    unsigned client = from - toy->servers - 1;
    uint64_t number = bytes_get_u64(bytes.data), key = bytes_get_u64(bytes.data + 9);
    if (number < s->numbers[client])
        return; /* it asks something else by now */
    if (bytes.data[8] == TOY_WRITE) {
        uint64_t value = bytes_get_u64(bytes.data + 17);
        if (number == s->numbers[client])
            world_mark(toy->world, "repeated_request");
        else
            write_register(s, client, number, key, value);
        if (PLANTED_TOY(toy_unsynced))
            answer_now(p, client, number, value);
        else
            answer_later(s, client, number, value, UINT64_MAX);
        return;
    }
    uint64_t value = s->values[key];
    if (toy->canary && toy->healing && value != 0)
        value++;
    if (PLANTED_TOY(toy_early_read))
        answer_now(p, client, number, value);
    else
        answer_later(s, client, number, value, s->dirty >> key & 1 ? UINT64_MAX : s->lsns[key]);
}

static void answer_synced(struct process *p)
{
    struct server *s = process_user(p);
    uint64_t synced_lsn = process_env(p)->ops->synced_lsn(process_env(p));
    size_t kept = 0;
    for (size_t i = 0; i < s->answers_count; i++) {
        const struct answer *a = &s->answers[i];
        if (a->lsn <= synced_lsn)
            answer_now(p, a->client, a->number, a->value);
        else
            s->answers[kept++] = *a;
    }
    s->answers_count = kept;
}

static bool toy_turn_end(struct process *p)
{
    struct server *s = process_user(p);
    struct env *env = process_env(p);
    if (log_batch_bytes(&s->batch) > 0) {
        if (env->ops->persist(env, &s->batch, &s->lsn) < 0)
            return false;
        log_batch_clear(&s->batch);
        env->ops->sync(env);
    }
    for (unsigned k = 0; k < REGISTERS; k++) {
        if (s->dirty >> k & 1)
            s->lsns[k] = s->lsn;
    }
    s->dirty = 0;
    for (size_t i = 0; i < s->answers_count; i++) {
        if (s->answers[i].lsn == UINT64_MAX)
            s->answers[i].lsn = s->lsn;
    }
    answer_synced(p);
    return false;
}

static void toy_stop(struct process *p)
{
    struct server *s = process_user(p);
    log_batch_free(&s->batch);
    free(s->answers);
    free(s);
}

static const struct process_app toy_app = {
    .start = toy_start,
    .replay = toy_replay,
    .recovered = toy_recovered,
    .turn_begin = toy_turn_begin,
    .message = toy_message,
    .turn_end = toy_turn_end,
    .stop = toy_stop,
};

/* --- clients --- */

static void client_send(struct client *c)
{
    uint8_t bytes[REQUEST_BYTES];
    unsigned server = (unsigned)(c->key % c->toy->servers) + 1;
    bytes_put_u64(bytes, c->number);
    bytes[8] = c->toy->history[c->op].kind == LINEAR_WRITE ? TOY_WRITE : TOY_READ;
    bytes_put_u64(bytes + 9, c->key);
    bytes_put_u64(bytes + 17, c->value);
    net_send(c->toy->net, c->toy->servers + 1 + c->id, server, slice_make(bytes, sizeof(bytes)));
    world_after(c->toy->world, &c->event, REPEAT_US);
}

static void client_begin(struct client *c)
{
    struct toy *toy = c->toy;
    if (toy->history_count == HISTORY_MAX)
        return;
    bool write = prng_below(&c->random, 2) == 0;
    c->number++;
    c->repeats = 0;
    c->busy = true;
    c->key = prng_below(&c->random, REGISTERS);
    c->value =
        write ? ++toy->value_next * 2 : 0; /* even: what the canary makes of it is nobody's */
    c->op = toy->history_count++;
    toy->history[c->op] = (struct linear_op){
        .key = c->key,
        .call = ++toy->moment,
        .ret = LINEAR_NEVER,
        .arg = (int64_t)c->value,
        .client = c->id,
        .kind = write ? LINEAR_WRITE : LINEAR_READ,
    };
    client_send(c);
}

static void client_fire(struct world_event *event)
{
    struct client *c = container_of(event, struct client, event);
    if (!c->busy) {
        client_begin(c);
    } else if (PLANTED_TOY(toy_no_retry)) {
        return;
    } else if (++c->repeats < REPEATS_MAX) {
        client_send(c);
    } else {
        world_mark(c->toy->world, "gave_up");
        client_begin(c);
    }
}

static void client_receive(void *ctx, unsigned from, struct slice bytes)
{
    struct client *c = ctx;
    if (!c->busy || bytes_get_u64(bytes.data) != c->number)
        return;
    uint64_t value = bytes_get_u64(bytes.data + 8);
    struct linear_op *op = &c->toy->history[c->op];
    op->ret = ++c->toy->moment;
    op->result = value == 0 ? LINEAR_ABSENT : (int64_t)value;
    c->busy = false;
    c->toy->operations++;
    c->answered += c->toy->healing;
    world_after(c->toy->world, &c->event, net_exponential(&c->random, THINK_MEAN_US));
}

/* --- the workload --- */

static void *create(struct world *w, struct net **ret_net, struct process ***ret_processes,
                    unsigned *ret_count)
{
    struct prng random = world_prng(w, "toy", 0);
    struct toy *toy = mem_zalloc(sizeof(*toy));
    struct net_rates rates = net_rates_draw(&random);
    toy->world = w;
    toy->servers = 1 + (unsigned)prng_below(&random, SERVERS_MAX);
    toy->net = net_new(w, toy->servers + CLIENTS, &rates);
    toy->history = mem_alloc(HISTORY_MAX * sizeof(*toy->history));
    for (unsigned i = 0; i < toy->servers; i++) {
        struct process_options options = {
            .id = i + 1,
            .world = w,
            .net = toy->net,
            .app = &toy_app,
            .ctx = toy,
            .sync_always = prng_below(&random, 2) == 0,
            .segment_bytes = LOG_SEGMENT_BYTES_MIN << prng_below(&random, 4),
            .sync_mean_us = 100 + net_exponential(&random, 3000),
        };
        toy->processes[i] = process_new(&options);
        CHECK(process_start(toy->processes[i]) == 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &toy->clients[i];
        *c = (struct client){.toy = toy, .id = i, .random = world_prng(w, "client", i)};
        c->event.fire = client_fire;
        net_attach(toy->net, toy->servers + 1 + i, client_receive, c);
        world_after(w, &c->event, net_exponential(&c->random, THINK_MEAN_US));
    }
    *ret_net = toy->net;
    *ret_processes = toy->processes;
    *ret_count = toy->servers;
    return toy;
}

static void *create_canary(struct world *w, struct net **ret_net, struct process ***ret_processes,
                           unsigned *ret_count)
{
    struct toy *toy = create(w, ret_net, ret_processes, ret_count);
    toy->canary = true;
    return toy;
}

static uint64_t faulty_us(void *run)
{
    return FAULTY_US;
}

static void heal(void *run)
{
    struct toy *toy = run;
    toy->healing = true;
    toy->deadline_us = world_now_us(toy->world) + LIVE_BOUND_US;
}

/* Each client had some answers, so each server answers again. */
static bool finished(void *run)
{
    struct toy *toy = run;
    unsigned served = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        served += toy->clients[i].answered >= 20;
    if (served == CLIENTS)
        return true;
    if (world_now_us(toy->world) > toy->deadline_us)
        world_fail(toy->world, "liveness", "%u of %u clients are not served again",
                   CLIENTS - served, CLIENTS);
    return false;
}

static void check_history(struct toy *toy)
{
    struct linear_limits limits = LINEAR_LIMITS_DEFAULT;
    struct linear_result result;
    BUFFER_AUTO struct buffer report = {0};
    int st = linear_check(toy->history, toy->history_count, &limits, &report, &result);
    if (st != 0)
        world_fail(toy->world, "history", "the history can't be checked: %d", st);
    else if (result.verdict == LINEAR_UNKNOWN)
        world_fail(toy->world, "unknown", "too much to search: key %" PRIu64, result.key);
    else if (result.verdict == LINEAR_VIOLATION)
        world_fail(toy->world, "linear", "key %" PRIu64 ": %.*s", result.key, (int)report.len,
                   (const char *)report.data);
}

static void end(void *run, struct workload_counts *ret_counts)
{
    struct toy *toy = run;
    check_history(toy);
    for (unsigned i = 0; i < toy->servers; i++)
        process_free(toy->processes[i]);
    net_free(toy->net);
    *ret_counts = (struct workload_counts){.operations = toy->operations};
    free(toy->history);
    free(toy);
}

const struct workload workload_toy = {
    .name = "toy",
    .about = "registers on single servers with a commit log each",
    .operations_min = 5000,
    .create = create,
    .faulty_us = faulty_us,
    .heal = heal,
    .finished = finished,
    .end = end,
};

const struct workload workload_canary = {
    .name = "canary",
    .about = "the toy with a wrong answer in every run, which must be found",
    .create = create_canary,
    .faulty_us = faulty_us,
    .heal = heal,
    .finished = finished,
    .end = end,
};
