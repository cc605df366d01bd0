/* Client sessions: numbered commands are applied once.
 *
 * A session is a row of the partition, in keyspace ROW_KEYSPACE_SESSIONS, so it is flushed with
 * what its commands did, and is part of snapshots. Key: be16 partition | be64 id; value (little
 * endian)
 *
 *   u8 format 1 | u64 index last used | u64 last number | u8 kind | result
 *   kind: 0 no command yet, 1 the result follows, 2 it was larger than GROUP_RESULT_BYTES_MAX
 *
 * The id is the index of the entry that opened it and the position in that entry: no other session
 * ever has it, whoever leads, whatever restarts.
 *
 * A session that no command used for session_idle_entries indexes is dead: that is seen from its
 * row alone, so all replicas agree. The leader looks for dead rows now and then and has them
 * deleted by a command, which judges them again. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"
#include "node/group_private.h"

#define ROW_FORMAT       1
#define KEY_BYTES        (2 + 8)
#define ROW_HEAD_BYTES   (1 + 8 + 8 + 1)
#define ID_POSITION_BITS 12
#define SWEEP_ROWS       256 /* looked at in one go */
#define SWEEP_BYTES      (4u << 20)
#define SWEEP_EVERY_PART 8 /* of session_idle_entries */

_Static_assert(GROUP_COMMANDS_MAX <= 1 << ID_POSITION_BITS, "positions fit");

enum row_kind { ROW_NEW, ROW_RESULT, ROW_TOO_LARGE };

struct row {
    uint64_t used, number;
    uint8_t kind;
    struct slice result;
};

struct group_sweep {
    struct group *group;
    struct engine_scan scan;
    struct group_proposal proposal;
    struct buffer ids;
    uint64_t next_index; /* to look again */
    uint64_t from;       /* id to go on with */
    bool scanning, proposed;
};

static struct key session_key(const struct group *g, uint64_t id, uint8_t ret_bytes[KEY_BYTES])
{
    bytes_put_be16(ret_bytes, g->partition);
    bytes_put_be64(ret_bytes + 2, id);
    return group_key(g, ROW_KEYSPACE_SESSIONS, slice_make(ret_bytes, KEY_BYTES));
}

static bool row_read(struct slice value, struct row *ret_row)
{
    if (value.len < ROW_HEAD_BYTES || value.data[0] != ROW_FORMAT)
        return false;
    *ret_row = (struct row){
        .used = bytes_get_u64(value.data + 1),
        .number = bytes_get_u64(value.data + 9),
        .kind = value.data[17],
        .result = slice_make(value.data + ROW_HEAD_BYTES, value.len - ROW_HEAD_BYTES),
    };
    return true;
}

static void row_write(struct group_apply *apply, const struct key *key, const struct row *row)
{
    BUFFER_AUTO struct buffer value = {0};
    buffer_append_u8(&value, ROW_FORMAT);
    buffer_append_u64(&value, row->used);
    buffer_append_u64(&value, row->number);
    buffer_append_u8(&value, row->kind);
    if (row->kind == ROW_RESULT)
        buffer_append_slice(&value, row->result);
    group_put(apply, key, buffer_slice(&value), 0);
}

static bool dead(const struct group *g, const struct row *row, uint64_t index)
{
    return row->used + g->of->options.session_idle_entries < index;
}

/* --- commands --- */

void group_session_prepare(struct group_apply *apply, uint64_t session, uint64_t number,
                           struct slice command)
{
    uint8_t bytes[KEY_BYTES];
    struct key key;
    if (session != GROUP_SESSION_CONTROL) {
        key = session_key(apply->group, session, bytes);
        group_need(apply, &key);
        return;
    }
    for (size_t at = 0; number == GROUP_CONTROL_SWEEP && at + 8 <= command.len; at += 8) {
        key = session_key(apply->group, bytes_get_u64(command.data + at), bytes);
        group_need(apply, &key);
    }
}

static void open_session(struct group_apply *apply, struct buffer *result)
{
    uint64_t id = apply->index << ID_POSITION_BITS | apply->position;
    uint8_t bytes[KEY_BYTES];
    if (PLANTED(session_id_restarts))
        id = apply->position + 1;
    struct key key = session_key(apply->group, id, bytes);
    row_write(apply, &key, &(struct row){.used = apply->index});
    buffer_append_u64(result, id);
}

static void sweep(struct group_apply *apply, struct slice ids)
{
    for (size_t at = 0; at + 8 <= ids.len; at += 8) {
        uint8_t bytes[KEY_BYTES];
        struct record record;
        struct row row;
        struct key key = session_key(apply->group, bytes_get_u64(ids.data + at), bytes);
        if (group_get(apply, &key, &record) != 0 || !row_read(record.value, &row) ||
            !dead(apply->group, &row, apply->index))
            continue;
        group_delete(apply, &key);
        apply->group->of->counters.sessions_evicted++;
    }
}

int group_session_apply(struct group_apply *apply, uint64_t session, uint64_t number,
                        struct slice command, struct buffer *result, bool *ret_applied)
{
    struct group_machine *machine = apply->group->of->options.machine;
    uint8_t bytes[KEY_BYTES];
    struct record record;
    struct row row;
    *ret_applied = true;
    if (session == GROUP_SESSION_CONTROL) {
        if (number == GROUP_CONTROL_OPEN)
            open_session(apply, result);
        else if (number == GROUP_CONTROL_SWEEP)
            sweep(apply, command);
        return 0;
    }
    struct key key = session_key(apply->group, session, bytes);
    *ret_applied = false;
    if (group_get(apply, &key, &record) != 0 || !row_read(record.value, &row) ||
        dead(apply->group, &row, apply->index))
        return ST_NOTFOUND;
    if (number < row.number)
        return ST_EXISTS;
    *ret_applied = true;
    if (number == row.number && !PLANTED(session_number_reused)) {
        if (row.kind != ROW_RESULT)
            return ST_LIMIT;
        buffer_append_slice(result, row.result);
        return 0; /* answered again; the session does not live longer by that */
    }
    size_t at = result->len;
    machine->apply(machine, apply, command, result);
    struct slice mine = slice_make(result->data + at, result->len - at);
    row = (struct row){.used = apply->index, .number = number, .kind = ROW_RESULT, .result = mine};
    if (mine.len > GROUP_RESULT_BYTES_MAX)
        row.kind = ROW_TOO_LARGE;
    row_write(apply, &key, &row);
    return 0;
}

/* --- the leader's search for dead ones --- */

static void swept(struct group_proposal *p, int st, struct slice result)
{
    container_of(p, struct group_sweep, proposal)->proposed = false;
}

static void scanned(struct engine_scan *scan, int st)
{
    struct group_sweep *s = container_of(scan, struct group_sweep, scan);
    struct group *g = s->group;
    s->scanning = false;
    buffer_clear(&s->ids);
    for (uint64_t i = 0; st == 0 && i < scan->row_count; i++) {
        struct row row;
        if (scan->rows[i].key.len != KEY_BYTES)
            continue;
        s->from = bytes_get_be64(scan->rows[i].key.data + 2) + 1;
        if (row_read(scan->rows[i].value, &row) && dead(g, &row, g->applied))
            buffer_append_u64(&s->ids, s->from - 1);
    }
    if (st != 0 || !scan->more) {
        s->from = 0;
        s->next_index = g->applied + g->of->options.session_idle_entries / SWEEP_EVERY_PART;
    }
    if (s->ids.len > 0 && group_session_sweep(g, &s->proposal, buffer_slice(&s->ids)) == 0)
        s->proposed = true;
}

static void scan_start(struct group *g, struct group_sweep *s)
{
    uint8_t start[KEY_BYTES];
    engine_scan_free(&s->scan);
    session_key(g, s->from, start);
    s->scan = (struct engine_scan){
        .keyspace = ROW_KEYSPACE_SESSIONS,
        .partition = g->partition,
        .start = slice_make(start, KEY_BYTES),
        .has_start = true,
        .limit_rows = SWEEP_ROWS,
        .limit_bytes = SWEEP_BYTES,
        .done = scanned,
    };
    s->scanning = true;
    engine_scan(g->shard->engine, &s->scan);
}

void group_session_upkeep(struct group *g)
{
    struct group_sweep *s = g->sweep;
    if (!g->leads || g->applied < g->of->options.session_idle_entries)
        return;
    if (s == NULL) {
        s = g->sweep = mem_zalloc(sizeof(*s));
        s->group = g;
        s->proposal.done = swept;
        list_node_init(&s->proposal.link);
    }
    if (!s->scanning && !s->proposed && g->applied >= s->next_index)
        scan_start(g, s);
}

void group_session_end(struct group *g)
{
    if (g->sweep == NULL)
        return;
    group_cancel(&g->sweep->proposal);
    engine_scan_free(&g->sweep->scan);
    buffer_free(&g->sweep->ids);
    free(g->sweep);
    g->sweep = NULL;
}
