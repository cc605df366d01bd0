#include "member/member.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "member/member_private.h"
#include "wire/frame.h"

struct member_limits member_limits_default(void)
{
    return (struct member_limits){
        .probe_interval_ms = 1000,
        .probe_timeout_ms = 500,
        .indirect_probes = 3,
        .gossip_interval_ms = 200,
        .gossip_fanout = 3,
        .gossip_dead_ms = 30000,
        .rumour_mult = 4,
        .suspicion_mult = 4,
        .suspicion_max_mult = 6,
        .health_max = 8,
        .sync_interval_ms = 30000,
        .join_retry_ms = 1000,
        .join_retry_ms_max = 30000,
        .leave_ms = 5000,
        .dead_keep_s = 24 * 3600,
        .skew_ms_max = 500,
        .members_max = 1024,
    };
}

uint32_t member_log2(uint64_t x)
{
    CHECK(x > 0);
    unsigned whole = 63u - (unsigned)__builtin_clzll(x);
    /* The mantissa with 31 binary places; each squaring gives one more of the logarithm. */
    uint64_t m = whole > 31 ? x >> (whole - 31) : x << (31 - whole);
    uint32_t result = whole << 16;
    for (uint32_t bit = 1u << 15; bit > 0; bit >>= 1) {
        m = m * m >> 31;
        if (m >> 32 != 0) {
            m >>= 1;
            result |= bit;
        }
    }
    return result;
}

unsigned member_count_active(const struct member_core *c)
{
    return c->states[MEMBER_ALIVE] + c->states[MEMBER_SUSPECT];
}

void member_timer_arm(struct member_core *c, struct member_timer *timer, uint64_t after_us)
{
    CHECK(timer->fire != NULL);
    heap_update(&c->timers, &timer->node, member_now_us(c) + after_us);
}

/* --- life --- */

static bool describes(struct slice address, struct slice zone, struct slice meta)
{
    return address.len > 0 && address.len <= MEMBER_ADDRESS_BYTES_MAX &&
           zone.len <= MEMBER_ZONE_BYTES_MAX && meta.len <= MEMBER_META_BYTES_MAX;
}

static bool limits_sane(const struct member_limits *l)
{
    return l->probe_timeout_ms > 0 && l->probe_timeout_ms < l->probe_interval_ms &&
           l->gossip_interval_ms > 0 && l->rumour_mult > 0 && l->suspicion_mult >= 2 &&
           l->suspicion_mult <= CONFIRMATIONS_MAX + 2 && l->suspicion_max_mult > 0 &&
           l->health_max > 0 && l->sync_interval_ms > 0 && l->join_retry_ms > 0 &&
           l->members_max > 0 && l->members_max <= MEMBERS_LIMIT_MAX;
}

static void core_timers(struct member_core *c)
{
    c->probe_timer.fire = member_probe_period;
    c->probe_late_timer.fire = member_probe_late;
    c->gossip_timer.fire = member_rumour_gossip;
    c->sync_timer.fire = member_sync_period;
    c->join_timer.fire = member_join_try;
    /* Not all in step, when many start at once. */
    member_timer_arm(c, &c->probe_timer, prng_below(&c->prng, c->limits.probe_interval_ms * MS_US));
    member_timer_arm(c, &c->sync_timer, prng_below(&c->prng, c->limits.sync_interval_ms * MS_US));
}

int member_create(const struct member_start *start, struct member_core **ret_core)
{
    if (start->node == 0 || start->boot == 0 || start->nonce == 0 ||
        !describes(start->address, start->zone, start->meta) || !limits_sane(&start->limits))
        return ST_INVALID;
    struct member_core *c = mem_zalloc(sizeof(*c));
    struct member_event event = {.now_us = start->now_us};
    c->limits = start->limits;
    c->mac = start->mac;
    c->removed = start->removed;
    c->ctx = start->ctx;
    c->prng = prng_make(start->seed);
    c->cluster = start->cluster;
    c->peers = map64_create(start->seed);
    for (unsigned i = 0; i <= TOLD_MAX; i++)
        list_init(&c->rumours[i]);
    struct member_message_alive self = {
        start->node,       start->boot,    start->nonce, 1,          WIRE_VERSION,
        WIRE_VERSION_NEXT, start->address, start->zone,  start->meta};
    c->event = &event;
    c->self = member_peer_add(c, &self);
    core_timers(c);
    c->event = NULL;
    *ret_core = c;
    return 0;
}

void member_free(struct member_core *c)
{
    if (c == NULL)
        return;
    size_t at = 0;
    uint64_t node;
    void *value;
    heap_free(&c->timers);
    while (map64_next(c->peers, &at, &node, &value)) {
        free(((struct peer *)value)->text);
        free(value);
    }
    map64_free(c->peers);
    free(c->order);
    free(c);
}

/* --- own events --- */

static int take_join(struct member_core *c)
{
    unsigned count = c->event->join.count;
    const struct slice *addresses = c->event->join.addresses;
    if (count == 0 || count > MEMBER_SEEDS_MAX)
        return ST_INVALID;
    unsigned others = 0;
    for (unsigned i = 0; i < count; i++) {
        if (addresses[i].len == 0 || addresses[i].len > MEMBER_ADDRESS_BYTES_MAX)
            return ST_INVALID;
        others += !slice_equal(addresses[i], c->self->m.address);
    }
    if (others == 0) {
        struct datagram_head head = {.from = c->self->m.id, .cluster = c->cluster};
        member_refuse(c, MEMBER_REFUSED_SELF, true, &head, c->self->m.address);
        return ST_INVALID;
    }
    c->seeds_count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (slice_equal(addresses[i], c->self->m.address))
            continue; /* founders are given the same list each, with their own address in it */
        memcpy(c->seeds[c->seeds_count], addresses[i].data, addresses[i].len);
        c->seeds_len[c->seeds_count++] = (uint8_t)addresses[i].len;
    }
    c->joined = false;
    c->join_wait_us = c->limits.join_retry_ms * MS_US;
    member_join_try(c, &c->join_timer);
    return 0;
}

static struct slice or_as_before(struct slice set, struct slice before)
{
    return set.data != NULL ? set : before;
}

static int take_set(struct member_core *c)
{
    struct member_message_alive self = member_rumour_alive(c->self).alive;
    self.address = or_as_before(c->event->set.address, self.address);
    self.zone = or_as_before(c->event->set.zone, self.zone);
    self.meta = or_as_before(c->event->set.meta, self.meta);
    if (!describes(self.address, self.zone, self.meta))
        return ST_INVALID;
    self.incarnation = ++c->self->m.incarnation;
    member_peer_describe(c->self, &self);
    if (!c->leaving)
        member_rumour_add(c, c->self, 0);
    return 0;
}

static int take_cluster(struct member_core *c)
{
    if (c->event->cluster == 0)
        return ST_INVALID;
    if (c->cluster != 0 && c->cluster != c->event->cluster)
        return ST_EXISTS;
    c->cluster = c->event->cluster;
    return 0;
}

static void leave_end(struct member_core *c, struct member_timer *timer)
{
    c->left = true;
    member_out_action(c, MEMBER_ACTION_LEFT);
}

static int take_leave(struct member_core *c)
{
    if (c->leaving)
        return 0;
    c->leaving = true;
    member_peer_move(c, c->self, MEMBER_LEFT);
    c->leave_timer.fire = leave_end;
    member_timer_arm(c, &c->leave_timer, c->limits.leave_ms * MS_US);
    member_rumour_add(c, c->self, c->self->m.id);
    heap_remove(&c->timers, &c->join_timer.node);
    return 0;
}

static int take_forget(struct member_core *c)
{
    struct peer *p = member_peer_find(c, c->event->node);
    if (p == NULL)
        return ST_NOTFOUND;
    if (p == c->self)
        return ST_INVALID;
    member_peer_remove(c, p);
    return 0;
}

/* --- a step --- */

static int take_event(struct member_core *c)
{
    switch (c->event->type) {
    case MEMBER_TICK:
        return 0;
    case MEMBER_DATAGRAM:
        member_packet_take(c, false);
        return 0;
    case MEMBER_STREAM:
        member_packet_take(c, true);
        return 0;
    case MEMBER_JOIN:
        return take_join(c);
    case MEMBER_SET:
        return take_set(c);
    case MEMBER_CLUSTER:
        return take_cluster(c);
    case MEMBER_LEAVE:
        return take_leave(c);
    case MEMBER_FORGET:
        return take_forget(c);
    }
    return ST_INVALID;
}

/* Once the goodbye was told as often as rumours are, or there is nobody to tell. */
static void leave_early(struct member_core *c)
{
    bool told = !list_linked(&c->self->rumour) || member_count_active(c) == 0;
    if (c->leaving && !c->left && told)
        leave_end(c, &c->leave_timer);
}

static void run_timers(struct member_core *c)
{
    struct heap_node *node;
    while (!c->left && (node = heap_top(&c->timers)) != NULL && node->key <= member_now_us(c)) {
        struct member_timer *timer = container_of(node, struct member_timer, node);
        heap_remove(&c->timers, node);
        timer->fire(c, timer);
    }
}

int member_step(struct member_core *c, const struct member_event *event,
                struct member_actions *actions)
{
    actions->count = 0;
    actions->heard_stamp = actions->heard_epoch = 0;
    buffer_clear(&actions->scratch);
    if (c->left)
        return 0;
    c->event = event;
    c->actions = actions;
    int st = take_event(c);
    run_timers(c);
    leave_early(c);
    member_out_finish(actions);
    c->event = NULL;
    c->actions = NULL;
    return st;
}

uint64_t member_due_us(const struct member_core *c)
{
    struct heap_node *node = heap_top(&c->timers);
    return node == NULL || c->left ? UINT64_MAX : node->key;
}

void member_status(const struct member_core *c, struct member_status *ret_status)
{
    struct member_status s = c->counts;
    s.cluster = c->cluster;
    s.incarnation = c->self->m.incarnation;
    s.members = (unsigned)map64_count(c->peers);
    memcpy(s.states, c->states, sizeof(s.states));
    s.health = c->health;
    s.rumours = c->rumours_count;
    s.joined = c->joined;
    s.leaving = c->leaving;
    s.clock_ok = !c->clock_bad;
    *ret_status = s;
}
