/* All rows of a group, hashed, for comparison between replicas. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/raft_app_private.h"

#define SCAN_BYTES_MAX (UINT64_C(1) << 30)

struct raft_app_scan {
    struct engine_scan scan;
    struct raft_app *app;
    uint32_t group;
    uint64_t applied;
    bool finished;
};

static uint64_t hash_rows(const struct raft_app_scan *s)
{
    uint64_t hash = s->scan.row_count;
    for (uint64_t i = 0; i < s->scan.row_count; i++) {
        const struct engine_row *row = &s->scan.rows[i];
        hash = hash_bytes(hash, row->key.data, row->key.len);
        hash = hash_bytes(hash, row->value.data, row->value.len);
        hash = hash_bytes(hash, &row->expire_ms, sizeof(row->expire_ms));
    }
    return hash;
}

static void on_scanned(struct engine_scan *scan, int st)
{
    struct raft_app_scan *s = container_of(scan, struct raft_app_scan, scan);
    struct raft_app *a = s->app;
    struct group *g = groups_find(a->groups, s->group);
    struct group_status status = {0};
    if (g != NULL)
        group_status(g, &status);
    s->finished = true;
    if (st < 0 || g == NULL || status.raft.applied != s->applied || process_dying(a->process))
        return; /* it was not at rest: another time */
    raft_check_rows(a->run->check, process_id(a->process), s->group, s->applied, hash_rows(s));
    a->scanned[s->group] = s->applied;
}

void raft_app_scan_end(struct raft_app *a, uint32_t group)
{
    struct raft_app_scan *s = a->scans[group];
    if (s == NULL)
        return;
    a->scans[group] = NULL;
    engine_scan_free(&s->scan);
    free(s);
}

int raft_app_scan(struct raft_app *a, uint32_t group)
{
    struct group *g = groups_find(a->groups, group);
    struct group_status status;
    if (g == NULL)
        return ST_NOTFOUND;
    if (a->scans[group] != NULL && !a->scans[group]->finished)
        return ST_AGAIN;
    raft_app_scan_end(a, group);
    group_status(g, &status);
    if (status.state != GROUP_RUNNING)
        return ST_CLOSED;
    struct raft_app_scan *s = mem_zalloc(sizeof(*s));
    s->app = a;
    s->group = group;
    s->applied = status.raft.applied;
    s->scan.keyspace = KV_KEYSPACE;
    s->scan.partition = (int)group;
    s->scan.limit_rows = RAFT_PLAN_KEYS_MAX + 1;
    s->scan.limit_bytes = SCAN_BYTES_MAX;
    s->scan.now_ms = 1; /* nothing has expired: the rows are compared, not what they mean */
    s->scan.done = on_scanned;
    a->scans[group] = s;
    engine_scan(a->engine, &s->scan);
    process_ready(a->process);
    return 0;
}

uint64_t raft_app_scanned(const struct raft_app *a, uint32_t group)
{
    return a->scanned[group];
}
