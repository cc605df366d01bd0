/* All rows of a group, those of its sessions too, hashed, for comparison between replicas. What has
 * a time to live is left out: when it is purged is each replica's own affair. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/raft_app_private.h"

#define SCAN_ROWS_MAX  100000
#define SCAN_BYTES_MAX (UINT64_C(1) << 30)

struct raft_app_scan {
    struct engine_scan scan;
    struct raft_app *app;
    uint32_t group;
    uint64_t applied, hash;
    bool finished;
};

static uint64_t hash_rows(const struct raft_app_scan *s)
{
    uint64_t hash = s->hash;
    for (uint64_t i = 0; i < s->scan.row_count; i++) {
        const struct engine_row *row = &s->scan.rows[i];
        if (row->expire_ms != 0)
            continue;
        hash = hash_bytes(hash, row->key.data, row->key.len);
        hash = hash_bytes(hash, row->value.data, row->value.len);
    }
    return hash;
}

static void on_scanned(struct engine_scan *scan, int st);

static void scan_begin(struct raft_app_scan *s, uint32_t keyspace)
{
    s->scan = (struct engine_scan){
        .keyspace = keyspace,
        .partition = (int)s->group,
        .limit_rows = SCAN_ROWS_MAX,
        .limit_bytes = SCAN_BYTES_MAX,
        .now_ms = 1, /* nothing has expired: the rows are compared, not what they mean */
        .done = on_scanned,
    };
    engine_scan(s->app->engine, &s->scan);
}

static void on_scanned(struct engine_scan *scan, int st)
{
    struct raft_app_scan *s = container_of(scan, struct raft_app_scan, scan);
    struct raft_app *a = s->app;
    struct group *g = groups_find(a->groups, s->group);
    struct group_status status = {0};
    if (g != NULL)
        group_status(g, &status);
    bool rested = st == 0 && g != NULL && status.raft.applied == s->applied;
    if (rested && !process_dying(a->process) && scan->keyspace == KV_KEYSPACE) {
        s->hash = hash_rows(s);
        engine_scan_free(scan);
        scan_begin(s, ROW_KEYSPACE_SESSIONS);
        return;
    }
    s->finished = true;
    if (!rested || process_dying(a->process))
        return; /* another time */
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
    a->scans[group] = s;
    scan_begin(s, KV_KEYSPACE);
    process_ready(a->process);
    return 0;
}

uint64_t raft_app_scanned(const struct raft_app *a, uint32_t group)
{
    return a->scanned[group];
}
