/* One member among others who have the secret and mean ill. The input is a run of operations; those
 * that are packets get a right MAC and a head of few values, so that much of it is believed. */
#include <stdlib.h>

#include "base/check.h"
#include "member/member.h"
#include "wire/member_samples.h"

#define MEMBERS_MAX 12
#define OPS_MAX     400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t next(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static struct slice next_bytes(struct input *in, size_t len)
{
    struct slice bytes = slice_make(in->at, len < in->left ? len : in->left);
    in->at += bytes.len;
    in->left -= bytes.len;
    return bytes;
}

/* Messages whole from the table with fields of few values, or raw bytes. */
static void put_message(struct input *in, struct buffer *out)
{
    struct member_message samples[MEMBER_SAMPLES];
    uint8_t which = next(in);
    if (which >= 200) {
        buffer_append_slice(out, next_bytes(in, which - 199));
        return;
    }
    member_samples(samples);
    struct member_message m = samples[which % MEMBER_SAMPLES];
    if (m.code == MEMBER_MESSAGE_ALIVE) {
        m.alive.node = next(in) % 16 + 1;
        m.alive.boot = next(in) % 4 + 1;
        m.alive.nonce = next(in) % 3;
        m.alive.incarnation = next(in) % 8;
    } else if (m.code == MEMBER_MESSAGE_SUSPECT || m.code == MEMBER_MESSAGE_DEAD) {
        uint8_t incarnation = next(in);
        m.suspect.node = next(in) % 16 + 1;
        m.suspect.boot = next(in) % 4 + 1;
        m.suspect.incarnation = incarnation == 255 ? MEMBER_INCARNATION_MAX : incarnation % 8;
        m.suspect.by = next(in) % 16 + 1;
    } else if (m.code == MEMBER_MESSAGE_PING_REQ) {
        m.ping_req.target = next(in) % 16 + 1;
    } else if (m.code == MEMBER_MESSAGE_SYNC) {
        m.sync.flags = next(in) % 4;
    }
    member_message_encode(out, &m);
}

static struct slice packet(struct input *in, struct buffer *out, const struct test_mac *mac)
{
    uint8_t bits = next(in);
    struct datagram_head head = {.version = bits % 32 == 31 ? 9 : 1,
                                 .cluster = bits % 16 == 15 ? 2 : bits % 2,
                                 .from = next(in) % 16 + 1,
                                 .to = bits & 64 ? 0 : 1,
                                 .boot = next(in) % 4 + 1,
                                 .to_boot = bits & 128 ? 1 : 2,
                                 .nonce = next(in) % 3,
                                 .counter = (uint64_t)next(in) * 3 + 1,
                                 .stamp = (uint64_t)next(in) << 24};
    size_t start = datagram_begin(out);
    for (unsigned left = next(in) % 8; left > 0; left--)
        put_message(in, out);
    return datagram_seal(out, start, &head, &mac->mac);
}

static void check(const struct member_core *core, const struct member_actions *actions)
{
    struct member_status s;
    member_status(core, &s);
    CHECK(s.members >= 1 && s.members <= MEMBERS_MAX);
    CHECK(s.states[0] + s.states[1] + s.states[2] + s.states[3] == s.members);
    CHECK(s.rumours <= s.members);
    for (unsigned i = 0; i < actions->count; i++) {
        const struct member_action *a = &actions->list[i];
        if (a->type == MEMBER_ACTION_DATAGRAM)
            CHECK(a->send.bytes.len <= DATAGRAM_BYTES_MAX);
        if (a->type == MEMBER_ACTION_STREAM)
            CHECK(a->send.bytes.len <= DATAGRAM_STREAM_BYTES_MAX);
    }
}

static struct member_event next_event(struct input *in, struct buffer *bytes,
                                      const struct test_mac *mac, uint64_t *now_us)
{
    uint8_t op = next(in);
    struct member_event event = {.type = MEMBER_TICK};
    *now_us += (uint64_t)(op & 15) * (op & 15) * 10000;
    if (op < 128) {
        event.type = op & 16 ? MEMBER_STREAM : MEMBER_DATAGRAM;
        event.packet.from = slice_str("6.6.6.6:6");
        event.packet.link = 9;
        event.packet.bytes = packet(in, bytes, mac);
    } else if (op < 140) {
        event.type = MEMBER_FORGET;
        event.node = next(in) % 16 + 1;
    } else if (op < 150) {
        event.type = MEMBER_SET;
        event.set.meta = next_bytes(in, next(in));
    } else if (op == 150) {
        event.type = MEMBER_LEAVE;
    } else if (op == 151) {
        *now_us += UINT64_C(100000000000); /* the dead are forgotten */
    }
    event.now_us = *now_us;
    event.wall_ms = *now_us / 1000;
    event.stamp = event.wall_ms << 16;
    return event;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct test_mac mac = test_mac(1);
    struct member_start start = {.cluster = next(&in) % 2,
                                 .node = 1,
                                 .boot = 1,
                                 .nonce = 1,
                                 .seed = next(&in),
                                 .address = slice_str("a:1"),
                                 .limits = member_limits_default(),
                                 .mac = &mac.mac};
    struct member_core *core;
    struct member_actions actions = {0};
    uint64_t now_us = 0;
    start.limits.members_max = MEMBERS_MAX;
    CHECK(member_create(&start, &core) == 0);
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        BUFFER_AUTO struct buffer bytes = {0};
        struct member_event event = next_event(&in, &bytes, &mac, &now_us);
        member_step(core, &event, &actions);
        check(core, &actions);
    }
    member_actions_free(&actions);
    member_free(core);
    return 0;
}
