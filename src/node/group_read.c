/* Linearizable reads (dissertation 6.4): the core confirms leadership and says up to where the log
 * counts; the read is served once that much is applied, and with it this leader's first entry,
 * which brings the time (group_apply.c). */
#include "base/check.h"
#include "base/hlc.h"
#include "base/status.h"
#include "node/group_private.h"

int group_read(struct group *g, struct group_read *r)
{
    if (!g->leads || g->state != GROUP_RUNNING || g->doomed)
        return ST_CLOSED;
    r->id = ++g->read_last;
    list_node_init(&r->link);
    list_push_back(&g->reads, &r->link);
    int st = group_step(g, &(struct raft_event){.type = RAFT_READ, .read_id = r->id});
    if (st != 0) {
        list_remove(&r->link);
        return st;
    }
    g->of->counters.reads++;
    groups_busy(g->of, g);
    return 0;
}

void group_read_cancel(struct group_read *r)
{
    list_remove(&r->link);
}

static struct group_read *find(struct group *g, uint64_t id)
{
    list_foreach (node, &g->reads) {
        struct group_read *r = list_entry(node, struct group_read, link);
        if (r->id == id)
            return r;
        if (r->id > id)
            return NULL; /* cancelled */
    }
    return NULL;
}

void group_read_ready(struct group *g, uint64_t id, uint64_t index)
{
    struct group_read *r = find(g, id);
    if (r == NULL)
        return;
    list_remove(&r->link);
    r->index = index;
    list_push_back(&g->reads_ready, &r->link);
}

void group_read_failed(struct group *g, uint64_t id)
{
    struct group_read *r = find(g, id);
    if (r == NULL)
        return;
    list_remove(&r->link);
    list_push_back(&g->of->reads_finished, &r->link);
}

bool group_reads_serve(struct group *g)
{
    struct list_head ready;
    bool served = false;
    list_init(&ready);
    if (g->state == GROUP_RUNNING && !group_snapshot_installing(g) && g->clock_index != 0 &&
        g->applied >= g->clock_index)
        list_foreach_safe (node, spare, &g->reads_ready) {
            if (list_entry(node, struct group_read, link)->index > g->applied)
                continue;
            list_remove(node);
            list_push_back(&ready, node);
        }
    for (struct list_node *node; (node = list_pop_front(&ready)) != NULL; served = true) {
        struct group_read *r = list_entry(node, struct group_read, link);
        r->done(r, 0);
    }
    return served;
}

void group_reads_end(struct group *g)
{
    list_splice_back(&g->of->reads_finished, &g->reads);
    list_splice_back(&g->of->reads_finished, &g->reads_ready);
}

int group_look(struct group *g, const struct key *key, struct record *ret_record)
{
    struct record record;
    CHECK(key->partition == g->partition);
    int st = engine_get(g->shard->engine, key, &record);
    if (st != 0)
        return st;
    if (!record_live(&record, hlc_wall_ms(g->applied_stamp)))
        return ST_NOTFOUND;
    *ret_record = record;
    return 0;
}
