/* Torc's own verbs: RANGE, PREFIX, CAS; and RANDOMKEY and DBSIZE, which ask the engines too. */
#include "base/number.h"
#include "command/admin.h"
#include "command/handlers.h"
#include "command/range_args.h"
#include "store/engine.h"

#define RANGE_REPLY_BYTES_MAX (UINT64_C(64) << 20)
#define RANDOM_ROWS           256 /* of which RANDOMKEY takes one, where it has to scan */

/* --- RANGE, PREFIX --- */

static void reply_rows(struct call *c, int st, const struct call_rows *rows, bool keys_only)
{
    if (st < 0) {
        reply_scan_error(c, st);
        return;
    }
    reply_array(c, rows->count * (keys_only ? 1 : 2));
    for (uint64_t i = 0; i < rows->count; i++) {
        reply_bulk(c, rows->rows[i].key);
        if (!keys_only)
            reply_bulk(c, rows->rows[i].value);
    }
}

static void on_range(struct call *c, int st, const struct call_rows *rows)
{
    reply_rows(c, st, rows, false);
}

static void on_range_keys(struct call *c, int st, const struct call_rows *rows)
{
    reply_rows(c, st, rows, true);
}

static void range_run(struct call *c, const struct range_args *r)
{
    if (range_is_empty(r)) {
        reply_array(c, 0);
        return;
    }
    struct call_scan scan = {
        .start = r->start,
        .end = r->end,
        .has_start = r->has_start,
        .has_end = r->has_end,
        .start_exclusive = r->start_exclusive,
        .reverse = r->reverse,
        .keys_only = r->keys_only,
        .limit_rows = r->limit_rows,
        .limit_bytes = RANGE_REPLY_BYTES_MAX,
        .partition = -1,
    };
    call_scan(c, &scan, r->keys_only ? on_range_keys : on_range);
}

static void reply_range_error(struct call *c, int st)
{
    if (st == ST_RANGE)
        reply_error(c, "ERR LIMIT is not an integer or out of range");
    else
        reply_syntax_error(c);
}

void cmd_range(struct call *c)
{
    struct range_args r;
    int st = range_parse(c->argv, c->argc, &r);
    if (st < 0)
        reply_range_error(c, st);
    else
        range_run(c, &r);
}

void cmd_prefix(struct call *c)
{
    struct range_args r;
    int st = prefix_parse(c->argv, c->argc, call_scratch(c), &r);
    if (st < 0)
        reply_range_error(c, st);
    else
        range_run(c, &r);
}

/* --- CAS --- */

void cmd_cas(struct call *c)
{
    const struct key *key = call_key(c, 1);
    struct slice fresh = call_arg(c, 3);
    if (fresh.len > call_value_bytes_max(c)) {
        reply_error(c, "ERR string exceeds maximum allowed size (value-bytes-max)");
        return;
    }
    struct record r;
    int st = call_read(c, key, &r);
    if (st == ST_COLD)
        return;
    if (st < 0 || !slice_equal(r.value, call_arg(c, 2))) {
        reply_int(c, 0);
        return;
    }
    call_put(c, key, fresh, record_expiry(&r));
    reply_int(c, 1);
}

/* --- DBSIZE --- */

static void on_count(struct call *c, int st, uint64_t keys, uint64_t expiring)
{
    if (st < 0)
        reply_scan_error(c, st);
    else
        reply_int(c, (int64_t)keys);
}

/* EXEC has it counted before it begins; its own writes are followed from there. */
static void count_in_exec(struct call *c)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->node->shards; i++) {
        uint64_t keys, expiring;
        const struct shard *s = node_shard(c->node, i);
        if (engine_count_known(s->engine, node_keyspace(c->node, c->db), &keys, &expiring) < 0) {
            reply_error(c, "ERR the number of keys is not known inside this transaction");
            return;
        }
        sum += keys;
        if (s != c->shard)
            shard_await(c->shard, s->lsn); /* it shows what others wrote there */
    }
    c->gate = c->shard->turn;
    reply_int(c, (int64_t)sum);
}

void cmd_dbsize(struct call *c)
{
    if (c->in_exec)
        count_in_exec(c);
    else
        call_count(c, node_keyspace(c->node, c->db), on_count);
}

/* --- RANDOMKEY --- */

static uint64_t random_below(struct call *c, uint64_t bound)
{
    return c->shard->env->ops->random(c->shard->env) % bound;
}

static void on_any_row(struct call *c, int st, const struct call_rows *rows)
{
    if (st < 0)
        reply_scan_error(c, st);
    else if (rows->count == 0)
        reply_null(c);
    else
        reply_bulk(c, rows->rows[random_below(c, rows->count)].key);
}

static void scan_for_any(struct call *c, int partition, call_scan_fn *then)
{
    struct call_scan scan = {
        .keys_only = true,
        .limit_rows = RANDOM_ROWS,
        .limit_bytes = RANGE_REPLY_BYTES_MAX,
        .partition = partition,
    };
    call_scan(c, &scan, then);
}

static void on_partition_row(struct call *c, int st, const struct call_rows *rows)
{
    if (st == 0 && rows->count == 0)
        scan_for_any(c, -1, on_any_row);
    else
        on_any_row(c, st, rows);
}

/* From the table when the shard drawn is this one and knows; else from the first rows of a
 * partition drawn, or, when that is empty, of all. */
void cmd_randomkey(struct call *c)
{
    unsigned partition = (unsigned)random_below(c, c->node->partitions);
    if (node_shard_index(c->node, (uint16_t)partition) == c->shard->id) {
        struct buffer *out = call_scratch(c);
        int st = engine_random(c->shard->engine, node_keyspace(c->node, c->db),
                               random_below(c, UINT64_MAX), c->now_ms, out);
        if (st == 0) {
            c->gate = c->shard->turn; /* it may have been written in this turn */
            reply_bulk(c, buffer_slice(out));
            return;
        }
    }
    scan_for_any(c, (int)partition, on_partition_row);
}
