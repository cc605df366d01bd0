/* Links between nodes over loopback: what gets through, who is refused, and what a broken, silent
 * or hostile other side can do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "run/peers_fixture.h"

static struct endpoint a, b;

/* Two that know one another, links both ways. */
static void pair_start(unsigned shards_of_b)
{
    struct peers_options ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    bo.shards = shards_of_b;
    endpoint_start(&a, &ao);
    endpoint_start(&b, &bo);
    endpoint_knows(&a, 2, peers_port(b.peers));
    endpoint_knows(&b, 1, peers_port(a.peers));
    WAIT_UNTIL(endpoint_counters(&a).links_out == 1 && endpoint_counters(&b).links_out == 1);
    WAIT_UNTIL(endpoint_counters(&a).links_in == 1 && endpoint_counters(&b).links_in == 1);
}

static void send_groups(struct endpoint *from, uint64_t to, const uint32_t *groups, unsigned count,
                        size_t padding)
{
    struct frame_writer w = {0};
    struct slice frame = make_frame(&w, from->id.node, to, groups, count, padding);
    assert_true(peers_send(from->peers, to, frame));
    peers_wake(from->peers);
    frame_writer_free(&w);
}

static void test_exchange(void **state)
{
    const uint32_t group = 5;
    pair_start(1);
    for (unsigned i = 0; i < 100; i++) {
        send_groups(&a, 2, &group, 1, i);
        send_groups(&b, 1, &group, 1, 3 * i);
    }
    WAIT_UNTIL(locked(&a, &a.frames) == 100 && locked(&b, &b.frames) == 100);
    for (unsigned i = 0; i < 100; i++) { /* whole, and in order */
        struct frame_writer w = {0};
        struct slice sent = make_frame(&w, 1, 2, &group, 1, i);
        assert_true(slice_equal(sent, slice_make(b.kept[i]->bytes, b.kept[i]->len)));
        frame_writer_free(&w);
    }
    const uint32_t long_one = 6;
    send_groups(&a, 2, &long_one, 1, 20 << 20);
    WAIT_UNTIL(locked(&b, &b.frames) == 101);
    assert_true(b.kept[100]->len > 20 << 20);
    WAIT_UNTIL(endpoint_counters(&b).frames_in == 101);
    assert_int_equal(endpoint_counters(&b).frames_refused, 0);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

/* What is sent while the link is being made waits for it. */
static void test_sent_early(void **state)
{
    const uint32_t group = 5;
    struct peers_options ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    endpoint_start(&a, &ao);
    endpoint_start(&b, &bo);
    endpoint_knows(&a, 2, peers_port(b.peers));
    for (unsigned i = 0; i < 100; i++)
        send_groups(&a, 2, &group, 1, i);
    WAIT_UNTIL(locked(&b, &b.frames) == 100);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void test_split_by_shard(void **state)
{
    const uint32_t mixed[] = {0, 1, 2, 4, 7, 9, 3, 255}, one[] = {4, 7, 1};
    pair_start(3);
    send_groups(&a, 2, mixed, ARRAY_SIZE(mixed), 10);
    send_groups(&a, 2, one, ARRAY_SIZE(one), 10);
    send_groups(&a, 2, NULL, 0, 0); /* an empty one carries a clock */
    WAIT_UNTIL(locked(&b, &b.frames) == 5);
    unsigned at_shard[3] = {0}, messages = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct frame f;
        struct raft_message m;
        unsigned shard = b.frame_shard[i];
        assert_int_equal(
            frame_parse(slice_make(b.kept[i]->bytes, b.kept[i]->len), CLUSTER, 2, NULL, &f), 0);
        at_shard[shard]++;
        for (; frame_next(&f, NULL, &m) == 0; messages++)
            assert_int_equal(m.group % 3, shard);
    }
    assert_int_equal(messages, ARRAY_SIZE(mixed) + ARRAY_SIZE(one));
    assert_int_equal(at_shard[0], 2);
    assert_int_equal(at_shard[1], 2);
    assert_int_equal(at_shard[2], 1);
    WAIT_UNTIL(endpoint_counters(&b).frames_split == 1);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void test_member_packets(void **state)
{
    pair_start(1);
    struct peer_address to_b = loopback(peers_port(b.peers)), none = {0};
    assert_int_equal(peers_datagram(a.peers, &to_b, slice_str("by datagram")), 0);
    WAIT_UNTIL(locked(&b, &b.datagrams) == 1);
    assert_string_equal(b.datagram, "by datagram");
    assert_int_equal(peer_address_port(&b.datagram_from), peers_port(a.peers));
    char *huge = mem_zalloc(PEERS_DATAGRAM_MAX + 1);
    assert_int_equal(peers_datagram(a.peers, &to_b, slice_make(huge, PEERS_DATAGRAM_MAX + 1)),
                     ST_LIMIT);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(
        sendto(fd, huge, PEERS_DATAGRAM_MAX + 1, 0, (struct sockaddr *)&to_b.at, to_b.len),
        PEERS_DATAGRAM_MAX + 1);
    close(fd);
    WAIT_UNTIL(endpoint_counters(&b).datagrams_refused == 1);
    free(huge);

    peers_stream(a.peers, 0, 2, &none, slice_str("to the node"));
    WAIT_UNTIL(locked(&b, &b.streams) == 1);
    assert_string_equal(b.stream, "to the node");
    peers_stream(b.peers, b.stream_link, 0, &none, slice_str("and back"));
    WAIT_UNTIL(locked(&a, &a.streams) == 1);
    assert_string_equal(a.stream, "and back");
    endpoint_stop(&a);

    /* to an address whose node nobody knows, from who belongs to no cluster yet */
    struct peers_options o = endpoint_options(&a, 3);
    o.self.cluster = 0;
    endpoint_start(&a, &o);
    peers_stream(a.peers, 0, 0, &to_b, slice_str("to the address"));
    WAIT_UNTIL(locked(&b, &b.streams) == 2);
    assert_string_equal(b.stream, "to the address");
    peers_stream(b.peers, b.stream_link, 0, &none, slice_str("welcome"));
    WAIT_UNTIL(locked(&a, &a.streams) == 1);
    peers_stream(b.peers, UINT64_MAX, 0, &none, slice_str("to a link that is gone"));
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void test_reconnect(void **state)
{
    const uint32_t group = 5;
    pair_start(1);
    unsigned port = peers_port(b.peers);
    for (unsigned life = 2; life < 5; life++) {
        endpoint_stop(&b);
        WAIT_UNTIL(endpoint_counters(&a).links_out == 0);
        send_groups(&a, 2, &group, 1, 0); /* is dropped, now or when dialing fails */
        struct peers_options o = endpoint_options(&b, 2);
        o.port = port;
        o.self.boot = life;
        o.self.process += life;
        endpoint_start(&b, &o);
        WAIT_UNTIL(endpoint_counters(&a).links_out == 1);
        unsigned before = locked(&b, &b.frames);
        send_groups(&a, 2, &group, 1, 0);
        WAIT_UNTIL(locked(&b, &b.frames) == before + 1);
    }
    assert_int_equal(locked(&a, &a.ups), 4);
    assert_int_equal(locked(&a, &a.downs), 3);
    endpoint_stop(&b);
    WAIT_UNTIL(endpoint_counters(&a).dials_failed > 3);
    endpoint_stop(&a);
}

static void test_unknown_and_away(void **state)
{
    const uint32_t group = 5;
    unsigned port;
    struct peers_options o = endpoint_options(&a, 1);
    endpoint_start(&a, &o);
    send_groups(&a, 9, &group, 1, 0);
    WAIT_UNTIL(endpoint_counters(&a).frames_dropped_unknown == 1);
    close(hand_listen(&port, 0)); /* nobody is there now */
    endpoint_knows(&a, 9, port);
    WAIT_UNTIL(endpoint_counters(&a).dials_failed > 2);
    for (int i = 0; i < 100; i++)
        send_groups(&a, 9, &group, 1, 1000);
    WAIT_UNTIL(endpoint_counters(&a).frames_dropped_down > 0);
    peers_forget(a.peers, 9);
    WAIT_UNTIL(endpoint_counters(&a).nodes == 0);
    endpoint_stop(&a);
}

/* --- who is refused --- */

/* Frames that wait for the link are no reason to keep it. */
static void refused(struct peers_options *ao, struct peers_options *bo, enum handshake_refusal why)
{
    const uint32_t group = 5;
    ao->limits.handshake_ms_max = bo->limits.handshake_ms_max = 10 * WAIT_MS;
    endpoint_start(&a, ao);
    endpoint_start(&b, bo);
    endpoint_knows(&a, 2, peers_port(b.peers));
    send_groups(&a, 2, &group, 1, 0);
    WAIT_UNTIL(locked(&a, &a.refusals) > 0 && locked(&b, &b.refusals) > 0);
    assert_int_equal(a.refusal, why);
    assert_int_equal(b.refusal, why);
    assert_int_equal(endpoint_counters(&a).links_out, 0);
    assert_int_equal(endpoint_counters(&b).links_in, 0);
    assert_true(endpoint_counters(&a).refusals[why] > 0);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void test_refusals(void **state)
{
    struct peers_options ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    bo.secret = slice_str("another secret of others");
    refused(&ao, &bo, HANDSHAKE_REFUSED_SECRET);
    ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    bo.self.cluster++;
    refused(&ao, &bo, HANDSHAKE_REFUSED_CLUSTER);
    ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 1);
    bo.self.process++;
    refused(&ao, &bo, HANDSHAKE_REFUSED_CLONE);
    ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 3);
    refused(&ao, &bo, HANDSHAKE_REFUSED_DESTINATION);
    ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    bo.self.version = WIRE_VERSION_NEXT + 1;
    refused(&ao, &bo, HANDSHAKE_REFUSED_VERSION);
    ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    ao.self.version = WIRE_VERSION_NEXT + 1;
    refused(&ao, &bo, HANDSHAKE_REFUSED_VERSION);
}

static void test_own_address(void **state)
{
    struct peers_options o = endpoint_options(&a, 1);
    endpoint_start(&a, &o);
    struct peer_address self = loopback(peers_port(a.peers));
    peers_stream(a.peers, 0, 0, &self, slice_str("hello"));
    WAIT_UNTIL(locked(&a, &a.refusals) == 2); /* by both its ends */
    assert_int_equal(a.refusal, HANDSHAKE_REFUSED_ITSELF);
    assert_int_equal(locked(&a, &a.streams), 0);
    endpoint_stop(&a);
}

static void test_next_version(void **state)
{
    const uint32_t group = 5;
    struct peers_options ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    bo.self.version = WIRE_VERSION_NEXT;
    endpoint_start(&a, &ao);
    endpoint_start(&b, &bo);
    endpoint_knows(&a, 2, peers_port(b.peers));
    WAIT_UNTIL(endpoint_counters(&a).links_out == 1);
    send_groups(&a, 2, &group, 1, 0);
    WAIT_UNTIL(locked(&b, &b.frames) == 1);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

/* One node has one link in: of its latest life, and of one process. */
static void test_lives(void **state)
{
    struct hand first, second, third;
    struct handshake_id id = {WIRE_VERSION, CLUSTER, 9, 5, 77};
    struct peers_options o = endpoint_options(&a, 1);
    endpoint_start(&a, &o);
    unsigned port = peers_port(a.peers);
    assert_true(hand_dial(&first, port, &id, 1, SECRET));
    assert_int_equal(hand_receive(&first), SEALED_PONG);
    assert_true(hand_dial(&second, port, &id, 1, SECRET)); /* the first broke, it thinks */
    assert_int_equal(hand_receive(&second), SEALED_PONG);
    assert_true(hand_closed(&first));
    const struct {
        uint64_t boot, process;
        enum handshake_refusal why;
    } rows[] = {{5, 78, HANDSHAKE_REFUSED_CLONE}, {4, 77, HANDSHAKE_REFUSED_BOOT}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t message[HANDSHAKE_BYTES], reply[HANDSHAKE_BYTES];
        bool has_reply;
        id.boot = rows[i].boot;
        id.process = rows[i].process;
        assert_true(hand_dial(&third, port, &id, 1, SECRET)); /* until its proof was looked at */
        assert_true(hand_read(&third, message, sizeof(message)));
        assert_int_equal(
            handshake_step(&third.shake, message, &third.cluster_mac.mac, reply, &has_reply),
            ST_DENIED);
        assert_int_equal(third.shake.refusal, rows[i].why);
        assert_true(hand_closed(&third));
        close(third.fd);
    }
    id.boot = 6;
    assert_true(hand_dial(&third, port, &id, 1, SECRET));
    assert_int_equal(hand_receive(&third), SEALED_PONG);
    assert_true(hand_closed(&second));
    assert_int_equal(endpoint_counters(&a).links_in, 1);
    close(first.fd), close(second.fd), close(third.fd);
    WAIT_UNTIL(endpoint_counters(&a).nodes == 0);
    endpoint_stop(&a);
}

/* --- broken and hostile ones --- */

static void test_garbage(void **state)
{
    static const char *const lines[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01",
                                        "*1\r\n$4\r\nPING\r\n"};
    struct peers_options o = endpoint_options(&a, 1);
    o.limits.handshake_ms_max = 1000;
    endpoint_start(&a, &o);
    struct hand h;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        hand_connect(&h, peers_port(a.peers));
        assert_true(hand_write(&h, lines[i], strlen(lines[i])));
        char byte;
        assert_false(hand_read(&h, &byte, 1)); /* closed, and not a word */
        close(h.fd);
    }
    WAIT_UNTIL(endpoint_counters(&a).lost_garbage == ARRAY_SIZE(lines));
    hand_connect(&h, peers_port(a.peers)); /* begins well, and stops */
    assert_true(hand_write(&h, "TORL\1\0\1\0", 8));
    assert_true(hand_closed(&h));
    close(h.fd);
    WAIT_UNTIL(endpoint_counters(&a).lost_timeout == 1);
    endpoint_stop(&a);
}

static void test_without_secret_nothing_is_parsed(void **state)
{
    struct hand h;
    struct handshake_id id = {WIRE_VERSION, CLUSTER, 9, 5, 77};
    uint8_t nonce[HANDSHAKE_NONCE_BYTES] = {3}, message[HANDSHAKE_BYTES];
    struct peers_options o = endpoint_options(&a, 1);
    endpoint_start(&a, &o);
    hand_connect(&h, peers_port(a.peers));
    handshake_dial(&h.shake, &id, 1, nonce, message);
    assert_true(hand_write(&h, message, sizeof(message)));
    assert_true(hand_read(&h, message, sizeof(message)));
    /* a proof of nothing, and a frame behind it */
    struct frame_writer w = {0};
    const uint32_t group = 5;
    struct slice frame = make_frame(&w, 9, 1, &group, 1, 0);
    handshake_dial(&h.shake, &id, 1, nonce, message);
    message[6] = 3;
    assert_true(hand_write(&h, message, sizeof(message)));
    h.send.mac = &h.send_mac.mac;
    peer_mac_init_link(&h.send_mac, nonce);
    hand_send(&h, SEALED_FRAME, frame);
    assert_true(hand_closed(&h));
    WAIT_UNTIL(endpoint_counters(&a).refusals[HANDSHAKE_REFUSED_SECRET] == 1);
    struct peers_counters c = endpoint_counters(&a);
    assert_int_equal(c.frames_in, 0);
    assert_int_equal(c.links.records_in, 0);
    close(h.fd);
    frame_writer_free(&w);
    endpoint_stop(&a);
}

/* Killed in the middle of a frame, at every length a record can be cut at. */
static void test_cut(void **state)
{
    struct handshake_id id = {WIRE_VERSION, CLUSTER, 9, 5, 77};
    struct frame_writer w = {0};
    const uint32_t group = 5;
    struct peers_options o = endpoint_options(&a, 1);
    endpoint_start(&a, &o);
    struct slice frame = make_frame(&w, 9, 1, &group, 1, 10);
    size_t whole = SEALED_OVERHEAD_BYTES + frame.len;
    unsigned cuts = 0;
    for (size_t cut = 0; cut < whole; cut += 3, cuts++) {
        struct hand h;
        size_t len;
        assert_true(hand_dial(&h, peers_port(a.peers), &id, 1, SECRET));
        hand_send(&h, SEALED_FRAME, frame);
        uint8_t *record = hand_record(&h, SEALED_FRAME, frame, &len);
        assert_int_equal(len, whole);
        assert_true(hand_write(&h, record, cut));
        free(record);
        WAIT_UNTIL(locked(&a, &a.frames) == cuts + 1);
        close(h.fd);
    }
    WAIT_UNTIL(endpoint_counters(&a).links_in == 0);
    assert_int_equal(locked(&a, &a.frames), cuts);
    frame_writer_free(&w);
    endpoint_stop(&a);
}

/* With the keys, but what comes can't be: the link is ended, others go on. */
static void test_bad_records(void **state)
{
    struct handshake_id id = {WIRE_VERSION, CLUSTER, 9, 5, 77};
    struct frame_writer w = {0};
    const uint32_t group = 5;
    struct peers_options o = endpoint_options(&a, 1);
    endpoint_start(&a, &o);
    enum { FLIPPED, TWICE, TOO_LONG, FOREIGN_NODE, NO_FRAME, LONG_PACKET, CASES };
    for (int i = 0; i < CASES; i++) {
        struct hand h;
        size_t len;
        struct slice frame = make_frame(&w, i == FOREIGN_NODE ? 8 : 9, 1, &group, 1, 40000);
        if (i == NO_FRAME || i == LONG_PACKET)
            frame = slice_make(frame.data + 1, frame.len - 1);
        assert_true(hand_dial(&h, peers_port(a.peers), &id, 1, SECRET));
        assert_int_equal(hand_receive(&h), SEALED_PONG);
        uint8_t *record =
            hand_record(&h, i == LONG_PACKET ? SEALED_MEMBER : SEALED_FRAME, frame, &len);
        if (i == FLIPPED)
            record[len / 2] ^= 1;
        if (i == TOO_LONG)
            memset(record, 0xff, 4);
        hand_write(&h, record, len);
        if (i == TWICE)
            hand_write(&h, record, len);
        assert_true(hand_closed(&h));
        free(record);
        close(h.fd);
        WAIT_UNTIL(endpoint_counters(&a).lost_garbage == (unsigned)i + 1);
    }
    struct peers_counters c = endpoint_counters(&a);
    assert_int_equal(locked(&a, &a.frames), 1); /* the first of the two */
    assert_int_equal(c.links.refusals.counts[WIRE_REFUSED_MAC], 1);
    assert_int_equal(c.links.refusals.counts[WIRE_REFUSED_REPLAY], 1);
    assert_int_equal(c.links.refusals.counts[WIRE_REFUSED_LENGTH], 1);
    assert_int_equal(c.links.refusals.counts[WIRE_REFUSED_SOURCE], 1);
    assert_int_equal(c.links.refusals.counts[WIRE_REFUSED_MAGIC], 1);
    frame_writer_free(&w);
    endpoint_stop(&a);
}

static void test_unknown_kind_is_skipped(void **state)
{
    struct handshake_id id = {WIRE_VERSION_NEXT, CLUSTER, 9, 5, 77};
    struct peers_options o = endpoint_options(&a, 1);
    struct hand h;
    endpoint_start(&a, &o);
    assert_true(hand_dial(&h, peers_port(a.peers), &id, 1, SECRET));
    assert_int_equal(hand_receive(&h), SEALED_PONG);
    hand_send(&h, 99, slice_str("of the next version"));
    hand_send(&h, SEALED_PING, slice_str(""));
    assert_int_equal(hand_receive(&h), SEALED_PONG);
    WAIT_UNTIL(endpoint_counters(&a).links.unknown == 1);
    close(h.fd);
    endpoint_stop(&a);
}

/* An acceptor that shakes hands and is silent then; a dialer that is: neither is kept. */
static void test_half_open(void **state)
{
    struct handshake_id id = {WIRE_VERSION, CLUSTER, 2, 5, 77};
    struct peers_options o = endpoint_options(&a, 1);
    o.limits.ping_ms = 50;
    o.limits.idle_ms_max = 1000; /* for a busy machine */
    endpoint_start(&a, &o);
    struct hand h, silent;
    unsigned port;
    int listener = hand_listen(&port, 0);
    assert_true(hand_dial(&silent, peers_port(a.peers), &id, 1, SECRET));
    endpoint_knows(&a, 2, port);
    assert_true(hand_accept(&h, listener, &id));
    hand_send(&h, SEALED_PONG, slice_str(""));
    WAIT_UNTIL(locked(&a, &a.ups) == 1);
    for (int i = 0; i < 5; i++) { /* as long as it answers, it is kept */
        assert_int_equal(hand_receive(&h), SEALED_PING);
        usleep(100000);
        assert_int_equal(locked(&a, &a.downs), 0);
        hand_send(&h, SEALED_PONG, slice_str(""));
    }
    WAIT_UNTIL(locked(&a, &a.downs) == 1);
    assert_true(hand_closed(&silent));
    close(h.fd);
    assert_true(hand_accept(&h, listener, &id)); /* it is dialed again */
    WAIT_UNTIL(endpoint_counters(&a).lost_timeout >= 2);
    close(h.fd), close(silent.fd), close(listener);
    endpoint_stop(&a);
}

/* Over the link that a node dialed it gets answers, no frames. */
static void test_frames_come_from_dialers(void **state)
{
    struct handshake_id id = {WIRE_VERSION, CLUSTER, 2, 5, 77};
    const uint32_t group = 5;
    struct frame_writer w = {0};
    struct peers_options o = endpoint_options(&a, 1);
    struct hand h;
    unsigned port;
    int listener = hand_listen(&port, 0);
    endpoint_start(&a, &o);
    endpoint_knows(&a, 2, port);
    assert_true(hand_accept(&h, listener, &id));
    hand_send(&h, SEALED_FRAME, make_frame(&w, 2, 1, &group, 1, 0));
    assert_true(hand_closed(&h));
    WAIT_UNTIL(endpoint_counters(&a).lost_garbage == 1);
    assert_int_equal(locked(&a, &a.frames), 0);
    frame_writer_free(&w);
    close(h.fd), close(listener);
    endpoint_stop(&a);
}

/* An acceptor that takes nothing: what waits for it is bounded, and other nodes get theirs. */
static void test_slow_reader(void **state)
{
    enum { LIMIT = 1 << 20, FRAME = 64 << 10, FRAMES = 300 };
    struct handshake_id id = {WIRE_VERSION, CLUSTER, 3, 5, 77};
    const uint32_t group = 5;
    struct peers_options ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    ao.limits.output_bytes_max = LIMIT;
    endpoint_start(&a, &ao);
    endpoint_start(&b, &bo);
    b.drop = true;
    struct hand h;
    unsigned port, sent = 0;
    int listener = hand_listen(&port, 8192);
    endpoint_knows(&a, 2, peers_port(b.peers));
    endpoint_knows(&a, 3, port);
    assert_true(hand_accept(&h, listener, &id));
    hand_send(&h, SEALED_PONG, slice_str(""));
    WAIT_UNTIL(endpoint_counters(&a).links_out == 2);
    struct frame_writer w = {0}, w3 = {0};
    struct slice to_b = make_frame(&w, 1, 2, &group, 1, FRAME);
    struct slice to_slow = make_frame(&w3, 1, 3, &group, 1, FRAME);
    for (int i = 0; i < FRAMES; i++) {
        sent += peers_send(a.peers, 3, to_slow);
        peers_wake(a.peers);
        usleep(200);
    }
    WAIT_UNTIL(endpoint_counters(&a).frames_dropped_full > 0);
    struct peers_counters c = endpoint_counters(&a);
    assert_true(c.frames_dropped_full + c.frames_out <= sent);
    assert_true((c.frames_out - c.links.bytes_out / FRAME) * FRAME <= LIMIT + 4 * FRAME);
    for (int i = 0; i < 50; i++) {
        WAIT_UNTIL(peers_send(a.peers, 2, to_b));
        peers_wake(a.peers);
        WAIT_UNTIL(locked(&b, &b.frames) == (unsigned)i + 1);
    }
    frame_writer_free(&w);
    frame_writer_free(&w3);
    close(h.fd), close(listener);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

/* Shards that lag: their senders are not read, and nothing is lost. */
static void test_slow_shards(void **state)
{
    enum { LIMIT = 1 << 20, FRAME = 64 << 10, FRAMES = 200 };
    const uint32_t group = 5;
    struct peers_options ao = endpoint_options(&a, 1), bo = endpoint_options(&b, 2);
    bo.input_bytes_max = LIMIT;
    endpoint_start(&a, &ao);
    endpoint_start(&b, &bo);
    endpoint_knows(&a, 2, peers_port(b.peers));
    WAIT_UNTIL(endpoint_counters(&a).links_out == 1);
    for (int i = 0; i < FRAMES; i++)
        send_groups(&a, 2, &group, 1, FRAME);
    WAIT_UNTIL(endpoint_counters(&b).pauses > 0);
    usleep(50000);
    unsigned held = locked(&b, &b.frames);
    assert_true(held <= LIMIT / FRAME + 2 && held > 0);
    while (locked(&b, &b.frames) < FRAMES) {
        unsigned before = locked(&b, &b.frames);
        endpoint_free_frames(&b);
        WAIT_UNTIL(locked(&b, &b.frames) > before || locked(&b, &b.frames) == FRAMES);
    }
    assert_int_equal(endpoint_counters(&a).frames_dropped_full, 0);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

/* Hundreds of connections that say nothing do not keep nodes out. */
static void test_flood(void **state)
{
    enum { FLOOD = 300 };
    static int fds[FLOOD];
    struct peers_options o = endpoint_options(&a, 1);
    endpoint_start(&a, &o);
    struct hand h;
    for (int i = 0; i < FLOOD; i++) {
        hand_connect(&h, peers_port(a.peers));
        fds[i] = h.fd;
    }
    struct handshake_id id = {WIRE_VERSION, CLUSTER, 9, 5, 77};
    assert_true(hand_dial(&h, peers_port(a.peers), &id, 1, SECRET));
    assert_int_equal(hand_receive(&h), SEALED_PONG);
    WAIT_UNTIL(endpoint_counters(&a).pushed_out >= FLOOD - PEERS_PENDING_MAX);
    for (int i = 0; i < FLOOD; i++)
        close(fds[i]);
    close(h.fd);
    endpoint_stop(&a);
}

static void test_start_refuses(void **state)
{
    char error[PEERS_ERROR_BYTES];
    struct peers *p = NULL;
    struct peers_options o = endpoint_options(&a, 1);
    o.secret = slice_str("");
    o.addresses = "0.0.0.0";
    assert_int_equal(peers_start(&o, &p, error), ST_INVALID);
    assert_non_null(strstr(error, "cluster-secret"));
    o.addresses = "127.0.0.1";
    o.secret = slice_str("too short");
    assert_int_equal(peers_start(&o, &p, error), ST_INVALID);
    assert_non_null(strstr(error, "16"));
    o.secret = slice_str("");
    endpoint_start(&a, &o); /* loopback needs none */
    struct peer_address far;
    assert_int_equal(peer_address_parse(slice_str("192.0.2.1:7401"), &far), 0);
    peers_set(a.peers, 9, &far); /* but nothing else is dialed */
    assert_int_equal(peers_datagram(a.peers, &far, slice_str("x")), ST_DENIED);
    endpoint_knows(&a, 8, peers_port(a.peers));
    WAIT_UNTIL(endpoint_counters(&a).dials > 0);
    assert_int_equal(endpoint_counters(&a).nodes, 1);
    struct peers_options other = endpoint_options(&b, 2);
    other.port = peers_port(a.peers);
    assert_int_equal(peers_start(&other, &p, error), ST_EXISTS);
    assert_non_null(strstr(error, "--peer-port"));
    assert_null(p);
    endpoint_stop(&a);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static int set(struct settings *s, const char *name, const char *value)
{
    char error[CONFIG_ERROR_BYTES];
    int index = config_find(slice_str(name));
    assert_true(index >= 0);
    return config_set(s, (unsigned)index, slice_str(value), FROM_FLAG, error);
}

static void test_settings(void **state)
{
    BUFFER_AUTO struct buffer secret = {0};
    char error[PEERS_ERROR_BYTES], path[] = "/tmp/torc-secret-XXXXXX";
    struct settings *s = settings_new();
    struct peers_options o;
    assert_int_equal(peers_options_from(s, &secret, &o, error), 0);
    assert_int_equal(o.port, 7401);
    assert_int_equal(o.secret.len, 0);
    assert_int_equal(o.limits.output_bytes_max, 32 << 20);
    assert_int_equal(o.limits.idle_ms_max, 10000);
    assert_int_equal(set(s, "cluster-secret", "fifteen bytes!!"), ST_INVALID);
    close(mkstemp(path));
    assert_int_equal(set(s, "cluster-secret-file", path), 0);
    assert_int_equal(set(s, "peer-port", "7"), 0);
    write_file(path, "too short\n");
    assert_int_equal(peers_options_from(s, &secret, &o, error), ST_INVALID);
    assert_non_null(strstr(error, "too short"));
    write_file(path, "a secret of sixteen or more\nanother line\n");
    assert_int_equal(peers_options_from(s, &secret, &o, error), 0);
    assert_true(slice_equal(o.secret, slice_str("a secret of sixteen or more")));
    assert_int_equal(o.port, 7);
    assert_int_equal(set(s, "cluster-secret", "sixteen bytes !!"), 0);
    assert_int_equal(peers_options_from(s, &secret, &o, error), ST_INVALID);
    assert_int_equal(set(s, "cluster-secret-file", ""), 0);
    assert_int_equal(peers_options_from(s, &secret, &o, error), 0);
    assert_true(slice_equal(o.secret, slice_str("sixteen bytes !!")));
    unlink(path);
    assert_int_equal(set(s, "cluster-secret", ""), 0);
    assert_int_equal(set(s, "cluster-secret-file", path), 0);
    assert_int_equal(peers_options_from(s, &secret, &o, error), ST_INVALID);
    assert_non_null(strstr(error, "No such file"));
    settings_unref(s);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *text, *again;
    } good[] = {{"10.0.0.3:7401", "10.0.0.3:7401"},
                {"[fe80::1]:7401", "[fe80::1]:7401"},
                {"[::1]:1", "[::1]:1"},
                {"127.0.0.1:65535", "127.0.0.1:65535"}};
    static const char *const bad[] = {"",
                                      ":",
                                      ":7401",
                                      "10.0.0.3",
                                      "10.0.0.3:",
                                      "10.0.0.3:0",
                                      "10.0.0.3:65536",
                                      "10.0.0.3:7401x",
                                      "10.0.0:7401",
                                      "[::1:7401",
                                      "[::1]",
                                      "[::1]7401",
                                      "::1:7401",
                                      "host:7401",
                                      "[]:1",
                                      "10.0.0.3:-1",
                                      "10.0.0.3:999999999999"};
    struct peer_address a1;
    char text[PEER_ADDRESS_TEXT_BYTES];
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(peer_address_parse(slice_str(good[i].text), &a1), 0);
        peer_address_format(&a1, text);
        assert_string_equal(text, good[i].again);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(peer_address_parse(slice_str(bad[i]), &a1), ST_INVALID);
    assert_int_equal(peer_address_resolve(slice_str("localhost"), 7401, &a1), 0);
    assert_int_equal(peer_address_port(&a1), 7401);
    assert_true(peer_address_loopback(&a1));
    assert_int_equal(peer_address_resolve(slice_str("127.0.0.9:80"), 7401, &a1), 0);
    assert_int_equal(peer_address_port(&a1), 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_start_refuses),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_sent_early),
        cmocka_unit_test(test_split_by_shard),
        cmocka_unit_test(test_member_packets),
        cmocka_unit_test(test_reconnect),
        cmocka_unit_test(test_unknown_and_away),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_own_address),
        cmocka_unit_test(test_next_version),
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_without_secret_nothing_is_parsed),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_unknown_kind_is_skipped),
        cmocka_unit_test(test_half_open),
        cmocka_unit_test(test_frames_come_from_dialers),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_slow_shards),
        cmocka_unit_test(test_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
