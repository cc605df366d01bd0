#include "sim/member_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/status.h"

#define WALL_MS     UINT64_C(1700000000000)
#define SEEDS       3
#define RECORDS     128
#define REPLAY_US   50000
#define ADDRESS_LEN 8
#define META_LEN    8

struct node {
    struct member_world *mw;
    unsigned id;
    struct member_core *core; /* NULL: down */
    uint64_t boot, metas;
    bool left;
    unsigned side;
    uint8_t address[ADDRESS_LEN]; /* u32 node, u32 how often it moved */
    uint8_t meta[META_LEN];
    struct world_event tick;
    struct member_actions actions;
    struct held *held; /* of each node, what this one last saw */
};

struct held {
    uint64_t boot, incarnation;
};

struct packet { /* under way, or recorded */
    struct world_event event;
    struct list_node flying;
    struct member_world *mw;
    bool stream;
    unsigned from, to;
    uint64_t to_boot; /* the life that it was delivered to */
    struct buffer bytes;
};

struct world_mac {
    struct datagram_mac mac;
    uint64_t key;
};

struct member_world {
    struct world *w;
    struct member_limits limits;
    struct member_world_net net;
    struct node *nodes; /* by id, from 1 */
    unsigned count;
    struct prng network, lives, recorder;
    struct world_mac mac;
    struct packet records[RECORDS];
    unsigned records_next;
    struct world_event replay;
    struct list_head flying; /* struct packet */
    member_world_changed changed;
    void *changed_ctx;
};

static void mac_compute(const struct datagram_mac *mac, struct slice bytes,
                        uint8_t ret_tag[DATAGRAM_MAC_BYTES])
{
    uint64_t key = ((const struct world_mac *)mac)->key;
    bytes_put_u64(ret_tag, hash_bytes(key, bytes.data, bytes.len));
    bytes_put_u64(ret_tag + 8, hash_bytes(~key, bytes.data, bytes.len));
}

static void step(struct node *n, struct member_event event);

/* --- the network --- */

static struct node *node_at(struct member_world *mw, struct slice address)
{
    if (address.len != ADDRESS_LEN)
        return NULL;
    uint32_t id = bytes_get_u32(address.data);
    if (id == 0 || id > mw->count)
        return NULL;
    struct node *n = &mw->nodes[id];
    return memcmp(n->address, address.data, ADDRESS_LEN) == 0 ? n : NULL;
}

static uint64_t refusals(const struct member_core *core)
{
    struct member_status s;
    uint64_t sum = 0;
    member_status(core, &s);
    for (int i = 0; i < WIRE_REFUSALS; i++)
        sum += s.refusals.counts[i];
    return sum;
}

static void deliver(struct packet *p)
{
    struct member_world *mw = p->mw;
    struct node *from = &mw->nodes[p->from];
    struct member_event event = {
        .type = p->stream ? MEMBER_STREAM : MEMBER_DATAGRAM,
        .packet = {slice_make(from->address, ADDRESS_LEN), p->from, buffer_slice(&p->bytes)}};
    p->to_boot = mw->nodes[p->to].boot;
    step(&mw->nodes[p->to], event);
}

static void packet_free(struct packet *p)
{
    list_remove(&p->flying);
    buffer_free(&p->bytes);
    free(p);
}

static void record(struct member_world *mw, const struct packet *p)
{
    struct packet *r = &mw->records[mw->records_next++ % RECORDS];
    buffer_clear(&r->bytes);
    buffer_append_slice(&r->bytes, buffer_slice(&p->bytes));
    r->mw = mw;
    r->from = p->from;
    r->to = p->to;
    r->to_boot = p->to_boot;
}

static void packet_arrive(struct world_event *event)
{
    struct packet *p = container_of(event, struct packet, event);
    struct member_world *mw = p->mw;
    struct node *from = &mw->nodes[p->from], *to = &mw->nodes[p->to];
    if (to->core != NULL && from->side == to->side) {
        uint64_t before = mw->net.replays ? refusals(to->core) : 0;
        deliver(p);
        /* One that was refused may be taken later, as one that was delayed. */
        if (mw->net.replays && !p->stream && to->core != NULL && refusals(to->core) == before)
            record(mw, p);
    }
    packet_free(p);
}

static void replay(struct world_event *event)
{
    struct member_world *mw = container_of(event, struct member_world, replay);
    world_after(mw->w, event, REPLAY_US);
    if (!mw->net.replays || mw->records_next == 0)
        return;
    unsigned known = mw->records_next < RECORDS ? mw->records_next : RECORDS;
    struct packet *p = &mw->records[prng_below(&mw->recorder, known)];
    struct node *to = &mw->nodes[p->to];
    if (to->core == NULL || to->boot != p->to_boot || to->left)
        return;
    uint64_t before = refusals(to->core);
    struct packet copy = *p;
    deliver(&copy);
    if (to->core != NULL && refusals(to->core) == before)
        world_fail(mw->w, "replay", "node %u took a packet of node %u twice", p->to, p->from);
}

static void carry(struct node *from, const struct member_action *a)
{
    struct member_world *mw = from->mw;
    bool stream = a->type == MEMBER_ACTION_STREAM;
    struct node *to =
        stream && a->send.link != 0 ? &mw->nodes[a->send.link] : node_at(mw, a->send.address);
    uint64_t delay = mw->net.delay_min_us;
    if (mw->net.delay_max_us > delay)
        delay += prng_below(&mw->network, mw->net.delay_max_us - delay);
    bool lost = !stream && prng_below(&mw->network, 1000) < mw->net.loss_permille;
    if (to == NULL || lost)
        return;
    struct packet *p = mem_zalloc(sizeof(*p));
    *p = (struct packet){
        .event.fire = packet_arrive, .mw = mw, .stream = stream, .from = from->id, .to = to->id};
    buffer_append_slice(&p->bytes, a->send.bytes);
    world_after(mw->w, &p->event, stream ? mw->net.delay_max_us : delay);
    list_push_back(&mw->flying, &p->flying);
}

/* --- what nodes see --- */

static void check_held(struct node *n, const struct member *m)
{
    struct member_world *mw = n->mw;
    struct node *about = &mw->nodes[m->id];
    struct held *held = &n->held[m->id];
    if (m->boot < held->boot || (m->boot == held->boot && m->incarnation < held->incarnation))
        world_fail(mw->w, "backwards", "node %u, of node %u", n->id, about->id);
    *held = (struct held){m->boot, m->incarnation};
    if (m->boot > about->boot)
        world_fail(mw->w, "invented", "node %u: a boot of node %u", n->id, about->id);
    if (m->boot != about->boot || about->core == NULL)
        return;
    struct member_status s;
    member_status(about->core, &s);
    struct slice meta = slice_make(about->meta, META_LEN);
    if (m->incarnation > s.incarnation)
        world_fail(mw->w, "invented", "node %u: an incarnation of node %u", n->id, about->id);
    if (m->incarnation == s.incarnation && m->state == MEMBER_ALIVE && !slice_equal(m->meta, meta))
        world_fail(mw->w, "invented", "node %u: metadata of node %u", n->id, about->id);
    if (!slice_equal(m->address, slice_make(about->address, ADDRESS_LEN)))
        world_fail(mw->w, "invented", "node %u: an address of node %u", n->id, about->id);
}

static void saw(struct node *n, const struct member *m)
{
    struct member_world *mw = n->mw;
    world_trace(mw->w, n->id, "member", {"id", m->id}, {"state", m->state}, {"boot", m->boot},
                {"incarnation", m->incarnation});
    check_held(n, m);
    if (mw->changed != NULL)
        mw->changed(mw->changed_ctx, n->id, m);
}

static void take(struct node *n, const struct member_action *a)
{
    switch (a->type) {
    case MEMBER_ACTION_DATAGRAM:
    case MEMBER_ACTION_STREAM:
        carry(n, a);
        break;
    case MEMBER_ACTION_CHANGED:
        saw(n, &a->member);
        break;
    case MEMBER_ACTION_REFUSED:
        world_fail(n->mw->w, "refused", "node %u: node %u, %s", n->id, (unsigned)a->refused.node,
                   member_refusal_name(a->refused.reason));
        break;
    case MEMBER_ACTION_LEFT:
        n->left = true;
        break;
    default:
        break;
    }
}

static void step(struct node *n, struct member_event event)
{
    struct world *w = n->mw->w;
    event.now_us = world_now_us(w);
    event.wall_ms = WALL_MS + event.now_us / 1000;
    event.stamp = event.wall_ms << 16;
    CHECK(member_step(n->core, &event, &n->actions) == 0);
    for (unsigned i = 0; i < n->actions.count; i++)
        take(n, &n->actions.list[i]);
    if (n->left)
        member_world_stop(n->mw, n->id);
    else if (member_due_us(n->core) != n->tick.node.key || !heap_contains(&n->tick.node))
        world_at(w, &n->tick, member_due_us(n->core));
}

static void tick(struct world_event *event)
{
    step(container_of(event, struct node, tick), (struct member_event){.type = MEMBER_TICK});
}

/* --- nodes --- */

static void node_address(struct node *n, uint32_t moves)
{
    bytes_put_u32(n->address, n->id);
    bytes_put_u32(n->address + 4, moves);
}

struct member_world *member_world_new(struct world *w, unsigned nodes,
                                      const struct member_limits *limits)
{
    struct member_world *mw = mem_zalloc(sizeof(*mw));
    mw->w = w;
    mw->limits = *limits;
    mw->net = (struct member_world_net){.delay_min_us = 100, .delay_max_us = 1000};
    mw->count = nodes;
    mw->nodes = mem_zalloc((nodes + 1) * sizeof(*mw->nodes));
    mw->network = world_prng(w, "member network", 0);
    mw->lives = world_prng(w, "member lives", 0);
    mw->recorder = world_prng(w, "member recorder", 0);
    mw->mac = (struct world_mac){{mac_compute}, world_seed(w)};
    for (unsigned i = 1; i <= nodes; i++) {
        struct node *n = &mw->nodes[i];
        n->mw = mw;
        n->id = i;
        n->tick.fire = tick;
        n->held = mem_zalloc((nodes + 1) * sizeof(*n->held));
        node_address(n, 0);
    }
    list_init(&mw->flying);
    mw->replay.fire = replay;
    world_after(w, &mw->replay, REPLAY_US);
    return mw;
}

void member_world_free(struct member_world *mw)
{
    for (unsigned i = 1; i <= mw->count; i++) {
        member_free(mw->nodes[i].core);
        member_actions_free(&mw->nodes[i].actions);
        free(mw->nodes[i].held);
        world_cancel(mw->w, &mw->nodes[i].tick);
    }
    list_foreach_safe (node, spare, &mw->flying) {
        struct packet *p = list_entry(node, struct packet, flying);
        world_cancel(mw->w, &p->event);
        packet_free(p);
    }
    for (unsigned i = 0; i < RECORDS; i++)
        buffer_free(&mw->records[i].bytes);
    world_cancel(mw->w, &mw->replay);
    free(mw->nodes);
    free(mw);
}

struct member_world_net *member_world_net(struct member_world *mw)
{
    return &mw->net;
}

unsigned member_world_nodes(const struct member_world *mw)
{
    return mw->count;
}

struct member_core *member_world_core(const struct member_world *mw, unsigned node)
{
    return mw->nodes[node].core;
}

void member_world_watch(struct member_world *mw, member_world_changed changed, void *ctx)
{
    mw->changed = changed;
    mw->changed_ctx = ctx;
}

/* Where nodes are, whether they run or not, beginning anywhere. */
static unsigned choose_seeds(struct member_world *mw, unsigned node, struct slice *ret_seeds)
{
    unsigned count = 0;
    unsigned at = (unsigned)prng_below(&mw->lives, mw->count);
    for (unsigned i = 0; i < mw->count && count < MEMBER_SEEDS_MAX; i++) {
        struct node *n = &mw->nodes[(at + i) % mw->count + 1];
        if (n->id != node && (n->core != NULL || mw->count <= MEMBER_SEEDS_MAX))
            ret_seeds[count++] = slice_make(n->address, ADDRESS_LEN);
    }
    return count < SEEDS || mw->count <= MEMBER_SEEDS_MAX ? count : SEEDS;
}

void member_world_start(struct member_world *mw, unsigned node)
{
    struct node *n = &mw->nodes[node];
    if (n->core != NULL)
        return;
    n->boot++;
    n->left = false;
    bytes_put_u64(n->meta, ++n->metas);
    memset(n->held, 0, (mw->count + 1) * sizeof(*n->held));
    struct member_start start = {.cluster = 1,
                                 .node = node,
                                 .boot = n->boot,
                                 .nonce = prng_u64(&mw->lives) | 1,
                                 .seed = prng_u64(&mw->lives),
                                 .now_us = world_now_us(mw->w),
                                 .address = slice_make(n->address, ADDRESS_LEN),
                                 .meta = slice_make(n->meta, META_LEN),
                                 .limits = mw->limits,
                                 .mac = &mw->mac.mac};
    CHECK(member_create(&start, &n->core) == 0);
    world_trace(mw->w, node, "start", {"boot", n->boot});
    struct slice seeds[MEMBER_SEEDS_MAX];
    unsigned count = choose_seeds(mw, node, seeds);
    struct member_event join = {.type = MEMBER_JOIN, .join = {seeds, count}};
    step(n, count > 0 ? join : (struct member_event){.type = MEMBER_TICK});
}

void member_world_stop(struct member_world *mw, unsigned node)
{
    struct node *n = &mw->nodes[node];
    world_trace(mw->w, node, "stop", {"boot", n->boot});
    member_free(n->core);
    n->core = NULL;
    world_cancel(mw->w, &n->tick);
}

void member_world_leave(struct member_world *mw, unsigned node)
{
    world_trace(mw->w, node, "leave", {"boot", mw->nodes[node].boot});
    if (mw->nodes[node].core != NULL)
        step(&mw->nodes[node], (struct member_event){.type = MEMBER_LEAVE});
}

void member_world_move(struct member_world *mw, unsigned node)
{
    struct node *n = &mw->nodes[node];
    CHECK(n->core == NULL);
    node_address(n, bytes_get_u32(n->address + 4) + 1);
}

void member_world_set(struct member_world *mw, unsigned node)
{
    struct node *n = &mw->nodes[node];
    if (n->core == NULL)
        return;
    bytes_put_u64(n->meta, ++n->metas);
    step(n, (struct member_event){.type = MEMBER_SET, .set.meta = slice_make(n->meta, META_LEN)});
}

void member_world_side(struct member_world *mw, unsigned node, unsigned side)
{
    mw->nodes[node].side = side;
}

/* --- settled --- */

/* What is wrong in the eyes of n about another, or NULL. */
static const char *sees_wrong(const struct node *n, const struct node *about)
{
    struct member m;
    bool known = member_find(n->core, about->id, &m) == 0;
    if (about->core == NULL)
        return known && (m.state == MEMBER_ALIVE || m.state == MEMBER_SUSPECT) ? "is down" : NULL;
    if (!known)
        return "is not known";
    struct member_status s;
    member_status(about->core, &s);
    if (m.state != MEMBER_ALIVE)
        return "is alive";
    if (m.boot != about->boot || m.incarnation != s.incarnation)
        return "is newer";
    return slice_equal(m.meta, slice_make(about->meta, META_LEN)) ? NULL : "has other metadata";
}

bool member_world_settled(const struct member_world *mw, char *ret_why, size_t why_bytes)
{
    for (unsigned i = 1; i <= mw->count; i++) {
        const struct node *n = &mw->nodes[i];
        struct member_status s;
        if (n->core == NULL)
            continue;
        for (unsigned j = 1; j <= mw->count; j++) {
            const char *wrong = i == j ? NULL : sees_wrong(n, &mw->nodes[j]);
            if (wrong == NULL)
                continue;
            snprintf(ret_why, why_bytes, "node %u does not see that node %u %s", i, j, wrong);
            return false;
        }
        member_status(n->core, &s);
        if (s.rumours == 0)
            continue;
        snprintf(ret_why, why_bytes, "node %u has %u rumours to tell", i, s.rumours);
        return false;
    }
    return true;
}
