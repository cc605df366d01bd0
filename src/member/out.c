/* What goes out: packets written one at a time into the actions' scratch buffer, and actions. While
 * a step runs, the data of an action's slices is an offset into scratch (which may move), as a
 * pointer; member_out_finish() makes them point there. */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "member/member_private.h"
#include "wire/frame.h"

struct member_action *member_out_action(struct member_core *c, enum member_action_type type)
{
    struct member_actions *a = c->actions;
    if (a->count == a->cap) {
        a->cap = a->cap ? 2 * a->cap : 8;
        a->list = mem_realloc(a->list, a->cap * sizeof(*a->list));
    }
    struct member_action *action = &a->list[a->count++];
    memset(action, 0, sizeof(*action));
    action->type = type;
    return action;
}

struct slice member_out_keep(struct member_core *c, struct slice bytes)
{
    struct buffer *scratch = &c->actions->scratch;
    size_t offset = scratch->len;
    buffer_append_slice(scratch, bytes);
    return slice_make((void *)(uintptr_t)offset, bytes.len);
}

void member_out_changed(struct member_core *c, const struct peer *p)
{
    struct member m = p->m;
    m.address = member_out_keep(c, m.address);
    m.zone = member_out_keep(c, m.zone);
    m.meta = member_out_keep(c, m.meta);
    member_out_action(c, MEMBER_ACTION_CHANGED)->member = m;
}

static void settle(const struct member_actions *actions, struct slice *s)
{
    s->data = s->len == 0 ? NULL : actions->scratch.data + (uintptr_t)s->data;
}

void member_out_finish(struct member_actions *actions)
{
    for (unsigned i = 0; i < actions->count; i++) {
        struct member_action *a = &actions->list[i];
        switch (a->type) {
        case MEMBER_ACTION_DATAGRAM:
        case MEMBER_ACTION_STREAM:
            settle(actions, &a->send.address);
            settle(actions, &a->send.bytes);
            break;
        case MEMBER_ACTION_CHANGED:
            settle(actions, &a->member.address);
            settle(actions, &a->member.zone);
            settle(actions, &a->member.meta);
            break;
        case MEMBER_ACTION_REFUSED:
            settle(actions, &a->refused.address);
            break;
        default:
            break;
        }
    }
}

void member_actions_free(struct member_actions *actions)
{
    free(actions->list);
    buffer_free(&actions->scratch);
    *actions = (struct member_actions){0};
}

/* --- packets --- */

/* Who does not know us yet hears first who we are: a stranger's packet is not believed. */
static void begin(struct member_core *c, struct out *o, uint64_t to, uint64_t to_boot,
                  bool introduce)
{
    o->head = (struct datagram_head){
        .version = WIRE_VERSION,
        .cluster = c->cluster,
        .from = c->self->m.id,
        .to = to,
        .boot = c->self->m.boot,
        .to_boot = to_boot,
        .nonce = c->self->m.nonce,
        .counter = ++c->counter,
        .stamp = c->event->stamp,
        .epoch = c->event->epoch,
    };
    c->packets++;
    o->address = member_out_keep(c, o->address);
    o->start = datagram_begin(&c->actions->scratch);
    size_t bytes_max = o->stream ? DATAGRAM_STREAM_BYTES_MAX : DATAGRAM_BYTES_MAX;
    o->end_max = o->start + bytes_max - DATAGRAM_MAC_BYTES;
    if (introduce) {
        struct member_message self = member_rumour_alive(c->self);
        member_out_put(c, o, &self);
    }
}

void member_out_begin(struct member_core *c, struct out *o, struct peer *to)
{
    *o = (struct out){.peer = to, .address = to->m.address};
    begin(c, o, to->m.id, to->m.boot, !to->knows_me);
}

void member_out_reply(struct member_core *c, struct out *o, const struct datagram_head *head,
                      struct peer *p)
{
    bool stream = c->event->type == MEMBER_STREAM;
    *o = (struct out){.peer = p,
                      .address = c->event->packet.from,
                      .link = stream ? c->event->packet.link : 0,
                      .stream = stream};
    begin(c, o, head->from, head->boot, p == NULL || !p->knows_me);
}

void member_out_stream(struct member_core *c, struct out *o, struct peer *to, uint64_t link,
                       struct slice address)
{
    *o = (struct out){.peer = to, .address = address, .link = link, .stream = true};
    begin(c, o, to != NULL ? to->m.id : 0, to != NULL ? to->m.boot : 0, true);
}

static size_t message_bytes_max(const struct member_message *m)
{
    if (m->code != MEMBER_MESSAGE_ALIVE)
        return 4 + 4 * sizeof(uint64_t);
    const struct member_message_alive *a = &m->alive;
    return 4 + 4 * 8 + 2 * 2 + 3 + a->address.len + a->zone.len + a->meta.len;
}

bool member_out_fits(const struct member_core *c, const struct out *o,
                     const struct member_message *m)
{
    return c->actions->scratch.len + message_bytes_max(m) <= o->end_max;
}

void member_out_put(struct member_core *c, struct out *o, const struct member_message *m)
{
    CHECK(member_out_fits(c, o, m));
    member_message_encode(&c->actions->scratch, m);
}

void member_out_send(struct member_core *c, struct out *o)
{
    struct slice packet = datagram_seal(&c->actions->scratch, o->start, &o->head, c->mac);
    struct member_action *a =
        member_out_action(c, o->stream ? MEMBER_ACTION_STREAM : MEMBER_ACTION_DATAGRAM);
    a->send.node = o->head.to;
    a->send.link = o->link;
    a->send.address = o->address;
    a->send.bytes = slice_make((void *)(uintptr_t)o->start, packet.len);
    c->counts.datagrams += !o->stream;
    *(o->stream ? &c->counts.stream_bytes : &c->counts.datagram_bytes) += packet.len;
}
