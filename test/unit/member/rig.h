/* Some cores, with packets carried at once and a trace of what they do:
 *
 *   1000 1->2 ping                         a datagram at 1000 ms, and what is in it
 *   1000 1=>2 alive(1) sync                a stream
 *   1500 2: 3 suspect                      what node 2 now holds of node 3
 *
 * Alive, suspect and dead say whom they are about, and the incarnation when it is not 1. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/status.h"
#include "member/member.h"
#include "wire/frame.h"
#include "wire/member_samples.h"

#define RIG_NODES   6
#define RIG_CLUSTER 0xc1
#define RIG_WALL_MS 1000000

struct rig {
    struct member_core *cores[RIG_NODES + 1]; /* by node id; NULL: is down */
    char addresses[RIG_NODES + 1][24];
    uint64_t boots[RIG_NODES + 1];
    int64_t wall_ahead_ms[RIG_NODES + 1];
    bool deaf[RIG_NODES + 1];               /* gets nothing, sends nothing */
    bool cut[RIG_NODES + 1][RIG_NODES + 1]; /* from, to: datagrams are lost */
    struct test_mac mac;
    uint64_t now_us;
    struct buffer trace;
    bool quiet;
    enum member_refusal refused[RIG_NODES + 1]; /* last report */
    bool refused_self[RIG_NODES + 1];
    unsigned refused_count, left_count, clock_count;
    uint64_t removed;
    struct buffer last; /* bytes of the last datagram, for replays */
    unsigned last_to;
};

static const char *const rig_states[] = {"alive", "suspect", "dead", "left"};

static inline void rig_note_message(struct rig *r, const struct member_message *m)
{
    uint64_t node = m->alive.node, incarnation = m->suspect.incarnation;
    buffer_printf(&r->trace, " %s", member_message_name(m->code));
    if (m->code == MEMBER_MESSAGE_ALIVE)
        incarnation = m->alive.incarnation;
    else if (m->code != MEMBER_MESSAGE_SUSPECT && m->code != MEMBER_MESSAGE_DEAD)
        return;
    buffer_printf(&r->trace, "(%d", (int)node);
    if (incarnation != 1)
        buffer_printf(&r->trace, "/%d", (int)incarnation);
    buffer_append_str(&r->trace, ")");
}

static inline void rig_note_packet(struct rig *r, unsigned from, const struct member_action *a)
{
    struct datagram d;
    struct member_message m;
    assert_int_equal(datagram_open(a->send.bytes, &r->mac.mac, NULL, &d), 0);
    if (r->quiet)
        return;
    buffer_printf(&r->trace, "%d %u%s%d", (int)(r->now_us / 1000), from,
                  a->type == MEMBER_ACTION_STREAM ? "=>" : "->", (int)a->send.node);
    while (member_message_decode(&d.messages, NULL, &m) == 0)
        rig_note_message(r, &m);
    buffer_append_str(&r->trace, "\n");
}

static inline void rig_step(struct rig *r, unsigned node, struct member_event event);

static inline unsigned rig_at(struct rig *r, struct slice address)
{
    for (unsigned i = 1; i <= RIG_NODES; i++)
        if (r->cores[i] != NULL && slice_equal(slice_str(r->addresses[i]), address))
            return i;
    return 0;
}

static inline void rig_carry(struct rig *r, unsigned from, const struct member_action *a)
{
    bool stream = a->type == MEMBER_ACTION_STREAM;
    unsigned to = a->send.link != 0 ? (unsigned)a->send.link : rig_at(r, a->send.address);
    rig_note_packet(r, from, a);
    if (!stream) {
        buffer_clear(&r->last);
        buffer_append_slice(&r->last, a->send.bytes);
        r->last_to = to;
    }
    if (to == 0 || r->cores[to] == NULL || r->deaf[from] || r->deaf[to] ||
        (!stream && r->cut[from][to]))
        return;
    BUFFER_AUTO struct buffer bytes = {0}; /* steps nest: the actions of this one go on living */
    buffer_append_slice(&bytes, a->send.bytes);
    rig_step(r, to,
             (struct member_event){
                 .type = stream ? MEMBER_STREAM : MEMBER_DATAGRAM,
                 .packet = {slice_str(r->addresses[from]), from, buffer_slice(&bytes)}});
}

static inline void rig_take(struct rig *r, unsigned node, const struct member_action *a)
{
    switch (a->type) {
    case MEMBER_ACTION_DATAGRAM:
    case MEMBER_ACTION_STREAM:
        rig_carry(r, node, a);
        break;
    case MEMBER_ACTION_CHANGED:
        if (!r->quiet)
            buffer_printf(&r->trace, "%d %u: %d %s\n", (int)(r->now_us / 1000), node,
                          (int)a->member.id, rig_states[a->member.state]);
        break;
    case MEMBER_ACTION_REFUSED:
        r->refused[node] = a->refused.reason;
        r->refused_self[node] = a->refused.self;
        r->refused_count++;
        break;
    case MEMBER_ACTION_LEFT:
        r->left_count++;
        break;
    case MEMBER_ACTION_CLOCK:
        r->clock_count++;
        break;
    default:
        break;
    }
}

static inline int rig_step_st(struct rig *r, unsigned node, struct member_event event)
{
    struct member_actions actions = {0};
    event.now_us = r->now_us;
    event.wall_ms = RIG_WALL_MS + r->now_us / 1000 + (uint64_t)r->wall_ahead_ms[node];
    event.stamp = event.wall_ms << 16;
    int st = member_step(r->cores[node], &event, &actions);
    for (unsigned i = 0; i < actions.count; i++)
        rig_take(r, node, &actions.list[i]);
    member_actions_free(&actions);
    return st;
}

static inline void rig_step(struct rig *r, unsigned node, struct member_event event)
{
    assert_int_equal(rig_step_st(r, node, event), 0);
}

static inline bool rig_removed(void *ctx, uint64_t node)
{
    return ((struct rig *)ctx)->removed == node;
}

static inline struct member_start rig_start(struct rig *r, unsigned node)
{
    return (struct member_start){.cluster = RIG_CLUSTER,
                                 .node = node,
                                 .boot = ++r->boots[node],
                                 .nonce = 100 * node + r->boots[node],
                                 .seed = node,
                                 .now_us = r->now_us,
                                 .address = slice_str(r->addresses[node]),
                                 .zone = slice_str("z"),
                                 .limits = member_limits_default(),
                                 .mac = &r->mac.mac,
                                 .removed = rig_removed,
                                 .ctx = r};
}

static inline void rig_up(struct rig *r, unsigned node)
{
    struct member_start start = rig_start(r, node);
    assert_int_equal(member_create(&start, &r->cores[node]), 0);
}

static inline void rig_down(struct rig *r, unsigned node)
{
    member_free(r->cores[node]);
    r->cores[node] = NULL;
}

static inline int rig_join(struct rig *r, unsigned node, const char *address)
{
    struct slice addresses[] = {slice_str(address)};
    return rig_step_st(r, node, (struct member_event){.type = MEMBER_JOIN, .join = {addresses, 1}});
}

/* Ticks everybody when they want it, in the order of their ids. */
static inline void rig_run(struct rig *r, uint64_t ms)
{
    uint64_t end_us = r->now_us + ms * 1000;
    for (;;) {
        unsigned next = 0;
        uint64_t due = end_us;
        for (unsigned i = RIG_NODES; i > 0; i--)
            if (r->cores[i] != NULL && member_due_us(r->cores[i]) <= due) {
                next = i;
                due = member_due_us(r->cores[i]);
            }
        r->now_us = due > r->now_us ? due : r->now_us;
        if (next == 0)
            return;
        rig_step(r, next, (struct member_event){.type = MEMBER_TICK});
    }
}

/* Nodes 1 to n, all knowing each other and without rumours, the trace empty. */
static inline void rig_begin(struct rig *r, unsigned n)
{
    memset(r, 0, sizeof(*r));
    r->mac = test_mac(7);
    r->now_us = 1000000;
    r->quiet = true;
    for (unsigned i = 1; i <= RIG_NODES; i++)
        snprintf(r->addresses[i], sizeof(r->addresses[i]), "10.0.0.%u:7401", i);
    for (unsigned i = 1; i <= n; i++) {
        rig_up(r, i);
        if (i > 1)
            assert_int_equal(rig_join(r, i, "10.0.0.1:7401"), 0);
    }
    rig_run(r, 10000);
    r->quiet = false;
}

static inline void rig_end(struct rig *r)
{
    for (unsigned i = 1; i <= RIG_NODES; i++)
        member_free(r->cores[i]);
    buffer_free(&r->trace);
    buffer_free(&r->last);
}

static inline enum member_state rig_state(struct rig *r, unsigned at, unsigned of)
{
    struct member m;
    assert_int_equal(member_find(r->cores[at], of, &m), 0);
    return m.state;
}

static inline struct member_status rig_status(struct rig *r, unsigned node)
{
    struct member_status s;
    member_status(r->cores[node], &s);
    return s;
}

/* The trace up to now, which then begins anew. */
static inline void rig_expect(struct rig *r, const char *expected)
{
    buffer_append_u8(&r->trace, 0);
    if (getenv("RIG_PRINT") != NULL)
        printf("----\n%s", (char *)r->trace.data);
    else
        assert_string_equal((char *)r->trace.data, expected);
    buffer_clear(&r->trace);
}
