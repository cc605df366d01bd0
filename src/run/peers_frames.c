/* A frame that came is checked once as a whole, then each shard gets its part of it. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/peers_private.h"

/* What of a frame is for which shard. */
struct shares {
    uint32_t count[PEERS_SHARDS_MAX];
    size_t bytes[PEERS_SHARDS_MAX];
    unsigned shards, last; /* how many have something; one of them */
};

void peers_frame_free(struct peers_frame *frame)
{
    struct peers *p = frame->peers;
    uint64_t len = frame->len, half = p->options.input_bytes_max / 2;
    free(frame);
    uint64_t before = atomic_fetch_sub_explicit(&p->waiting, len, memory_order_seq_cst);
    if (before > half && before - len <= half)
        loop_wake(p->loop);
}

bool peers_may_resume(const struct peers *p)
{
    return p->paused && atomic_load_explicit(&p->waiting, memory_order_seq_cst) <=
                            p->options.input_bytes_max / 2;
}

void peers_resume(struct peers *p)
{
    p->paused = false;
    list_foreach_safe (node, spare, &p->links.all) {
        struct peer_link *link = list_entry(node, struct peer_link, all_link);
        if (link->paused)
            peer_link_resume(link); /* and may be paused again by what it has */
    }
}

static struct peers_frame *frame_make(struct peers *p, size_t len)
{
    struct peers_frame *frame = mem_alloc(sizeof(*frame) + len);
    *frame = (struct peers_frame){.peers = p, .len = len};
    atomic_fetch_add_explicit(&p->waiting, len, memory_order_relaxed);
    return frame;
}

static void hand_over(struct peers *p, unsigned shard, struct peers_frame *frame)
{
    if (p->options.handlers.frame(p->options.ctx, shard, frame))
        return;
    p->counters.frames_dropped_shard++;
    peers_frame_free(frame);
}

static int share_out(struct frame frame, unsigned shards, struct wire_refusals *refusals,
                     struct shares *ret_shares)
{
    struct shares s = {0};
    struct slice message;
    uint32_t group;
    int st;
    while ((st = frame_skip(&frame, refusals, &group, &message)) == 0) {
        unsigned shard = group % shards;
        s.shards += s.count[shard] == 0;
        s.last = shard;
        s.count[shard]++;
        s.bytes[shard] += message.len;
    }
    if (st != ST_NOTFOUND)
        return st;
    *ret_shares = s;
    return 0;
}

/* frame_skip() has found nothing wrong with it. */
static void split(struct peers *p, struct frame frame, const struct shares *shares)
{
    struct peers_frame *parts[PEERS_SHARDS_MAX] = {NULL};
    struct frame_head head = frame.head;
    struct slice message;
    uint32_t group;
    while (frame_skip(&frame, NULL, &group, &message) == 0) {
        unsigned shard = group % p->options.shards;
        if (parts[shard] == NULL) {
            parts[shard] = frame_make(p, FRAME_HEADER_BYTES + shares->bytes[shard]);
            parts[shard]->len = FRAME_HEADER_BYTES; /* so far */
        }
        memcpy(parts[shard]->bytes + parts[shard]->len, message.data, message.len);
        parts[shard]->len += message.len;
    }
    for (unsigned i = 0; i < p->options.shards; i++) {
        if (parts[i] == NULL)
            continue;
        CHECK(parts[i]->len == FRAME_HEADER_BYTES + shares->bytes[i]);
        frame_put_header(parts[i]->bytes, &head, shares->count[i], shares->bytes[i]);
        hand_over(p, i, parts[i]);
    }
    p->counters.frames_split++;
}

int peers_frame_in(struct peers *p, struct peer_link *link, struct slice bytes)
{
    struct wire_refusals *refusals = &p->links.counters.refusals;
    struct shares shares = {.shards = 1};
    struct frame frame;
    int st = frame_parse(bytes, p->links.self.cluster, p->links.self.node, refusals, &frame);
    if (st == 0 && frame.head.from != link->handshake.peer.node)
        st = wire_refuse(refusals, WIRE_REFUSED_SOURCE, ST_PROTOCOL);
    if (st == 0 && p->options.shards > 1)
        st = share_out(frame, p->options.shards, refusals, &shares);
    if (st < 0) {
        p->counters.frames_refused++;
        return st == ST_DENIED ? 0 : st; /* of another cluster: we may have joined one since */
    }
    p->counters.frames_in++;
    if (p->options.handlers.frame == NULL)
        return 0;
    if (shares.shards > 1) {
        split(p, frame, &shares);
    } else {
        struct peers_frame *whole = frame_make(p, bytes.len);
        memcpy(whole->bytes, bytes.data, bytes.len);
        hand_over(p, shares.last, whole);
    }
    if (atomic_load_explicit(&p->waiting, memory_order_seq_cst) > p->options.input_bytes_max) {
        peer_link_pause(link);
        p->paused = true;
        p->counters.pauses++;
    }
    return 0;
}
