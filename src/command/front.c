#include "command/front.h"

#include <stdlib.h>

#include "base/mem.h"
#include "command/auth.h"
#include "command/session_private.h"

struct front_group *front_group_create(struct node *node)
{
    struct front_group *group = mem_zalloc(sizeof(*group));
    group->node = node;
    group->next_client_id = 1;
    return group;
}

void front_group_free(struct front_group *group)
{
    for (unsigned i = 0; group != NULL && i < SETTINGS_RETIRED; i++)
        settings_unref(group->retired[i]);
    free(group);
}

/* --- sessions that wait for time --- */

void front_timer_arm(struct front *f)
{
    uint64_t due_us = f->pause_until_us == 0 ? UINT64_MAX : f->pause_until_us;
    list_foreach (node, &f->delayed) {
        const struct session *s = list_entry(node, struct session, wait_link);
        if (s->due_us < due_us)
            due_us = s->due_us;
    }
    if (!list_empty(&f->forwarded) || !list_empty(&f->outbox)) {
        uint64_t soon_us = front_now_us(f) + WRITE_RETRY_US;
        due_us = soon_us < due_us ? soon_us : due_us;
    }
    if (due_us != UINT64_MAX)
        f->shard->env->ops->timer(f->shard->env, &f->timer, due_us);
}

static void on_timer(struct env_timer *timer)
{
    struct front *f = container_of(timer, struct front, timer);
    uint64_t now_us = front_now_us(f);
    list_foreach_safe (node, spare, &f->delayed) {
        struct session *s = list_entry(node, struct session, wait_link);
        if (s->due_us <= now_us)
            session_wake(s);
    }
    if (f->pause_until_us != 0 && f->pause_until_us <= now_us)
        front_unpause(f);
    forward_due(f, now_us);
    front_timer_arm(f);
}

void session_delay(struct session *s, uint64_t us)
{
    struct front *f = s->front;
    s->due_us = front_now_us(f) + us;
    session_park(s, WAIT_DELAY);
    list_push_back(&f->delayed, &s->wait_link);
    front_timer_arm(f);
}

void front_pause(struct front *f, uint64_t until_us, bool all)
{
    if (until_us > f->pause_until_us)
        f->pause_until_us = until_us;
    f->pause_all = all;
    f->pause_changed = true; /* timers belong to the shard's own thread */
}

void front_unpause(struct front *f)
{
    f->pause_until_us = 0;
    f->pause_all = false;
    f->pause_changed = true;
}

static void wake_paused(struct front *f)
{
    list_foreach_safe (node, spare, &f->paused)
        session_wake(list_entry(node, struct session, wait_link));
}

/* --- the front --- */

struct front *front_create(struct front_group *group, struct shard *shard)
{
    struct front *f = mem_zalloc(sizeof(*f));
    f->group = group;
    f->shard = shard;
    f->node = group->node;
    f->settings = group->node->settings;
    list_init(&f->sessions);
    list_init(&f->delayed);
    list_init(&f->paused);
    list_init(&f->doomed);
    list_init(&f->forwarded);
    list_init(&f->outbox);
    list_init(&f->auth_waiting);
    f->timer.fire = on_timer;
    f->stats = mem_zalloc(command_table_len * sizeof(*f->stats));
    group->fronts[shard->id] = f;
    return f;
}

void front_free(struct front *f)
{
    if (f == NULL)
        return;
    CHECK(list_empty(&f->sessions));
    if (f->timer.armed)
        f->shard->env->ops->timer_cancel(f->shard->env, &f->timer);
    watch_front_free(f);
    slowlog_free(f);
    scan_cursors_free(f);
    auth_front_free(f);
    buffer_free(&f->scratch);
    free(f->keys);
    timing_stats_reset(f);
    free(f->stats);
    f->group->fronts[f->shard->id] = NULL;
    free(f);
}

void front_turn_end(struct front *f)
{
    struct list_node *node;
    while ((node = list_pop_front(&f->doomed)) != NULL) {
        struct session *s = list_entry(node, struct session, doom_link);
        s->ops->close(s->host);
    }
    watch_sweep(f);
    forward_turn_end(f);
    if (!f->pause_changed)
        return;
    f->pause_changed = false;
    if (f->pause_until_us == 0)
        wake_paused(f);
    front_timer_arm(f);
}

void front_drain(struct front *f)
{
    auth_front_drain(f);
}

unsigned front_sessions(const struct front *f)
{
    return f->session_count;
}
