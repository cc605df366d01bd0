/* Who is not taken as a member, and why: told to whoever runs this node, and to the other. The same
 * is said again only after a while, which also bounds what a stream of wrong packets costs, and
 * ends two nodes' refusing one another. */
#include "member/member_private.h"

/* Whether it was not said lately; it is from now on. */
static bool worth_saying(struct member_core *c, enum member_refusal reason, bool self,
                         uint64_t node)
{
    for (unsigned i = 0; i < REFUSALS_MAX; i++) {
        struct refusal_told *t = &c->told[i];
        if (t->reason == reason && t->self == self && t->node == node &&
            member_now_us(c) - t->at_us < REFUSAL_REPEAT_US)
            return false;
    }
    c->told[c->told_next++ % REFUSALS_MAX] =
        (struct refusal_told){reason, self, node, member_now_us(c)};
    return true;
}

static void report(struct member_core *c, enum member_refusal reason, bool self,
                   const struct datagram_head *head, struct slice address)
{
    struct slice kept = member_out_keep(c, address);
    struct member_action *a = member_out_action(c, MEMBER_ACTION_REFUSED);
    a->refused.reason = reason;
    a->refused.self = self;
    a->refused.node = head->from;
    a->refused.cluster = head->cluster;
    a->refused.address = kept;
}

void member_refuse(struct member_core *c, enum member_refusal reason, bool self,
                   const struct datagram_head *head, struct slice address)
{
    if (worth_saying(c, reason, self, head->from))
        report(c, reason, self, head, address);
}

void member_refuse_sender(struct member_core *c, enum member_refusal reason,
                          const struct datagram_head *head, struct peer *p)
{
    if (!worth_saying(c, reason, false, head->from))
        return;
    report(c, reason, false, head, c->event->packet.from);
    struct out o;
    struct member_message m = {.code = MEMBER_MESSAGE_REFUSE, .refuse = {(uint8_t)reason}};
    member_out_reply(c, &o, head, p);
    member_out_put(c, &o, &m);
    member_out_send(c, &o);
}
