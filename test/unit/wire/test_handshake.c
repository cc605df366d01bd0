/* The handshake of links: its bytes, each reason to refuse one, and what an attacker without the
 * secret can do with what was heard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/frame.h"
#include "wire/handshake_samples.h"

static void test_golden(void **state)
{
    static const uint8_t hello[HANDSHAKE_BYTES - 16] = {
        'T',  'O',  'R',  'L',  1,    0,    1,    0,    /* magic, version, type, reason */
        0xc8, 0xc7, 0xc6, 0xc5, 0xc4, 0xc3, 0xc2, 0xc1, /* cluster */
        3,    0,    0,    0,    0,    0,    0,    0,    /* from */
        9,    0,    0,    0,    0,    0,    0,    0,    /* to */
        0x31, 0,    0,    0,    0,    0,    0,    0,    /* boot */
        0x31, 0x31, 0,    0,    0,    0,    0,    0,    /* process */
        5,    6,    7,    8,    9,    10,   11,   12,   13, 14, 15, 16, 17, 18, 19, 20,
        21,   22,   23,   24,   25,   26,   27,   28,   29, 30, 31, 32, 33, 34, 35, 36,
    };
    struct handshake_pair p;
    sample_begin(&p, &sample_dialer, 9, &sample_acceptor, 5);
    assert_int_equal(sample_run(&p, 42, 42), HANDSHAKE_REFUSED_NONE);
    uint8_t expected[HANDSHAKE_BYTES] = {0};
    memcpy(expected, hello, sizeof(hello));
    assert_memory_equal(p.hello, expected, HANDSHAKE_BYTES);

    /* the answer: the acceptor's, and proved with the hello before it */
    uint8_t said[16 + 3 * HANDSHAKE_BYTES], tag[DATAGRAM_MAC_BYTES], key[HANDSHAKE_KEY_BYTES];
    struct test_mac mac = test_mac(42);
    expected[6] = 2;
    expected[16] = 9, expected[24] = 3, expected[32] = 0x91;
    expected[40] = expected[41] = 0x91;
    sample_nonce(105, expected + 48);
    memcpy(said, "torc link answer", 16);
    memcpy(said + 16, p.hello, HANDSHAKE_BYTES);
    memcpy(said + 16 + HANDSHAKE_BYTES, expected, 80);
    test_mac_compute(&mac.mac, slice_make(said, 16 + HANDSHAKE_BYTES + 80), expected + 80);
    assert_memory_equal(p.answer, expected, HANDSHAKE_BYTES);

    /* the keys and the proof: over all that was said before */
    memcpy(said + 16 + HANDSHAKE_BYTES, p.answer, HANDSHAKE_BYTES);
    memcpy(said, "torc link key d0", 16);
    test_mac_compute(&mac.mac, slice_make(said, 16 + 2 * HANDSHAKE_BYTES), key);
    memcpy(said, "torc link key d1", 16);
    test_mac_compute(&mac.mac, slice_make(said, 16 + 2 * HANDSHAKE_BYTES), key + 16);
    assert_memory_equal(p.dialer.send_key, key, sizeof(key));
    memcpy(said, "torc link proof ", 16);
    memcpy(said + 16 + 2 * HANDSHAKE_BYTES, hello, sizeof(hello));
    said[16 + 2 * HANDSHAKE_BYTES + 6] = 3;
    test_mac_compute(&mac.mac, slice_make(said, 16 + 2 * HANDSHAKE_BYTES + 80), tag);
    assert_memory_equal(p.proof, said + 16 + 2 * HANDSHAKE_BYTES, 80);
    assert_memory_equal(p.proof + 80, tag, sizeof(tag));
}

static void test_done(void **state)
{
    struct handshake_pair p, q;
    for (uint64_t to = 0; to <= 9; to += 9) {
        sample_begin(&p, &sample_dialer, to, &sample_acceptor, 5);
        assert_int_equal(sample_run(&p, 42, 42), HANDSHAKE_REFUSED_NONE);
        assert_int_equal(p.dialer.state, HANDSHAKE_DONE);
        assert_int_equal(p.acceptor.state, HANDSHAKE_DONE);
        assert_int_equal(p.dialer.peer.node, 9);
        assert_int_equal(p.acceptor.peer.node, 3);
        assert_int_equal(p.acceptor.peer.boot, 0x31);
        assert_int_equal(p.acceptor.peer.process, 0x3131);
        assert_memory_equal(p.dialer.send_key, p.acceptor.receive_key, HANDSHAKE_KEY_BYTES);
        assert_memory_equal(p.dialer.receive_key, p.acceptor.send_key, HANDSHAKE_KEY_BYTES);
        assert_memory_not_equal(p.dialer.send_key, p.dialer.receive_key, HANDSHAKE_KEY_BYTES);
    }
    sample_begin(&q, &sample_dialer, 9, &sample_acceptor, 6);
    assert_int_equal(sample_run(&q, 42, 42), HANDSHAKE_REFUSED_NONE);
    assert_memory_not_equal(p.dialer.send_key, q.dialer.send_key, HANDSHAKE_KEY_BYTES);
}

static void expect(struct handshake_id dialer, uint64_t to, struct handshake_id acceptor,
                   enum handshake_refusal why)
{
    struct handshake_pair p;
    sample_begin(&p, &dialer, to, &acceptor, 5);
    assert_int_equal(sample_run(&p, 42, 42), why);
    assert_int_equal(p.dialer.state == HANDSHAKE_DONE, why == HANDSHAKE_REFUSED_NONE);
    assert_int_equal(p.acceptor.state == HANDSHAKE_DONE, why == HANDSHAKE_REFUSED_NONE);
}

static void test_who(void **state)
{
    struct handshake_id d = sample_dialer, a = sample_acceptor;
    expect(d, 8, a, HANDSHAKE_REFUSED_DESTINATION);
    expect(a, 9, a, HANDSHAKE_REFUSED_ITSELF);
    d.node = 9;
    expect(d, 9, a, HANDSHAKE_REFUSED_CLONE);
    d.cluster = 1; /* a copy is a copy, also when it has found another cluster since */
    expect(d, 9, a, HANDSHAKE_REFUSED_CLONE);
    d.node = 3;
    expect(d, 9, a, HANDSHAKE_REFUSED_CLUSTER);
    d.cluster = 0;
    expect(d, 9, a, HANDSHAKE_REFUSED_NONE);
    d.cluster = a.cluster;
    a.cluster = 0;
    expect(d, 9, a, HANDSHAKE_REFUSED_NONE);
    a = sample_acceptor;
    for (int i = 0; i < 3; i++) {
        struct handshake_id bad = sample_dialer;
        *(i == 0 ? &bad.node : i == 1 ? &bad.boot : &bad.process) = 0;
        expect(bad, 9, a, HANDSHAKE_REFUSED_MALFORMED);
    }
}

static void test_versions(void **state)
{
    struct handshake_id d = sample_dialer, a = sample_acceptor;
    struct handshake_pair p;
    d.version = WIRE_VERSION_NEXT;
    expect(d, 9, a, HANDSHAKE_REFUSED_NONE);
    sample_begin(&p, &d, 9, &a, 5);
    assert_int_equal(sample_run(&p, 42, 42), HANDSHAKE_REFUSED_NONE);
    assert_int_equal(p.dialer.version, WIRE_VERSION);
    assert_int_equal(p.acceptor.version, WIRE_VERSION);
    a.version = WIRE_VERSION_NEXT;
    expect(sample_dialer, 9, a, HANDSHAKE_REFUSED_NONE);
    a.version = WIRE_VERSION;
    d.version = WIRE_VERSION_NEXT + 1;
    expect(d, 9, a, HANDSHAKE_REFUSED_VERSION);
    d.version = 0;
    expect(d, 9, a, HANDSHAKE_REFUSED_VERSION);
    a.version = WIRE_VERSION_NEXT + 1; /* the dialer finds it out */
    expect(sample_dialer, 9, a, HANDSHAKE_REFUSED_VERSION);
}

static void test_secrets(void **state)
{
    struct handshake_pair p;
    sample_begin(&p, &sample_dialer, 9, &sample_acceptor, 5);
    assert_int_equal(sample_run(&p, 42, 43), HANDSHAKE_REFUSED_SECRET);
    assert_false(p.dialer.refused_by_peer);
    /* who has no secret and goes on all the same */
    struct test_mac right = test_mac(42), wrong = test_mac(43);
    bool reply;
    sample_begin(&p, &sample_dialer, 9, &sample_acceptor, 5);
    assert_int_equal(handshake_step(&p.acceptor, p.hello, &right.mac, p.answer, &reply), 0);
    assert_int_equal(handshake_step(&p.dialer, p.answer, &right.mac, p.proof, &reply), 0);
    test_mac_compute(&wrong.mac, slice_make(p.proof, 80), p.proof + 80);
    assert_int_equal(handshake_step(&p.acceptor, p.proof, &right.mac, p.refusal, &reply),
                     ST_DENIED);
    assert_int_equal(p.acceptor.refusal, HANDSHAKE_REFUSED_SECRET);
    assert_true(reply);
    /* who thought it was done is told */
    assert_int_equal(p.dialer.state, HANDSHAKE_DONE);
    assert_int_equal(handshake_step(&p.dialer, p.refusal, &right.mac, p.hello, &reply), ST_DENIED);
    assert_int_equal(p.dialer.refusal, HANDSHAKE_REFUSED_SECRET);
}

/* No bit of the three messages can be changed. */
static void test_bits(void **state)
{
    struct handshake_pair p;
    struct test_mac mac = test_mac(42);
    bool reply;
    for (int which = 0; which < 3; which++) {
        for (size_t bit = 0; bit < 8 * HANDSHAKE_BYTES; bit++) {
            sample_begin(&p, &sample_dialer, 9, &sample_acceptor, 5);
            uint8_t *bad = which == 0 ? p.hello : which == 1 ? p.answer : p.proof;
            int st = 0;
            if (which == 0)
                bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
            st = handshake_step(&p.acceptor, p.hello, &mac.mac, p.answer, &reply);
            if (which == 1)
                bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (st == 0)
                st = handshake_step(&p.dialer, p.answer, &mac.mac, p.proof, &reply);
            if (which == 2)
                bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (st == 0)
                st = handshake_step(&p.acceptor, p.proof, &mac.mac, p.refusal, &reply);
            assert_int_equal(st, ST_DENIED);
            assert_int_not_equal(p.acceptor.state, HANDSHAKE_DONE);
        }
    }
}

static void test_truncations(void **state)
{
    struct handshake_pair p;
    sample_begin(&p, &sample_dialer, 9, &sample_acceptor, 5);
    for (size_t len = 0; len < HANDSHAKE_BYTES; len++) {
        uint8_t *copy = mem_dup(p.hello, len);
        assert_int_equal(handshake_check(slice_make(copy, len)), ST_AGAIN);
        if (len > 0) {
            copy[len < 4 ? len - 1 : 3] ^= 1;
            assert_int_equal(handshake_check(slice_make(copy, len)), ST_PROTOCOL);
        }
        free(copy);
    }
    assert_int_equal(handshake_check(slice_make(p.hello, HANDSHAKE_BYTES)), 0);
    assert_int_equal(handshake_check(slice_str("GET / HTTP/1.1\r\n\r\n")), ST_PROTOCOL);
}

/* All that was heard of one handshake is tried on others of the same two, in every place. */
static void test_replays(void **state)
{
    struct handshake_pair heard, fresh;
    struct test_mac mac = test_mac(42);
    sample_begin(&heard, &sample_dialer, 9, &sample_acceptor, 5);
    assert_int_equal(sample_run(&heard, 42, 42), HANDSHAKE_REFUSED_NONE);
    const uint8_t *messages[] = {heard.hello, heard.answer, heard.proof};
    uint8_t reply[HANDSHAKE_BYTES];
    bool has_reply;
    for (int i = 0; i < 3; i++) {
        /* to a dialer that waits for its answer */
        sample_begin(&fresh, &sample_dialer, 9, &sample_acceptor, 6);
        assert_int_equal(handshake_step(&fresh.dialer, messages[i], &mac.mac, reply, &has_reply),
                         ST_DENIED);
        for (int j = 0; j < 3; j++) {
            /* to an acceptor: nothing leads beyond its answer */
            sample_begin(&fresh, &sample_dialer, 9, &sample_acceptor, 6);
            int st = handshake_step(&fresh.acceptor, messages[i], &mac.mac, reply, &has_reply);
            assert_int_equal(st, i == 0 ? 0 : ST_DENIED);
            if (st == 0)
                st = handshake_step(&fresh.acceptor, messages[j], &mac.mac, reply, &has_reply);
            assert_int_equal(st, ST_DENIED);
        }
    }
}

/* A node's own messages come back to it, or are put to it in the other role. */
static void test_reflections(void **state)
{
    struct handshake_pair p;
    struct handshake other;
    struct test_mac mac = test_mac(42);
    uint8_t nonce[HANDSHAKE_NONCE_BYTES], reply[HANDSHAKE_BYTES], again[HANDSHAKE_BYTES];
    bool has_reply;
    sample_begin(&p, &sample_dialer, 9, &sample_acceptor, 5);
    assert_int_equal(handshake_step(&p.dialer, p.hello, &mac.mac, reply, &has_reply), ST_DENIED);
    sample_nonce(50, nonce);
    handshake_accept(&other, &sample_dialer, nonce);
    assert_int_equal(handshake_step(&other, p.hello, &mac.mac, reply, &has_reply), ST_DENIED);

    /* The acceptor 9 has dialed 3 itself at the same time. Its own answer, made for the hello of
     * who has no secret, is given to it as the answer to its hello. */
    struct handshake_id thief = sample_dialer;
    sample_nonce(60, nonce);
    handshake_dial(&other, &sample_acceptor, 3, nonce, again);
    sample_begin(&p, &thief, 9, &sample_acceptor, 5);
    assert_int_equal(handshake_step(&p.acceptor, p.hello, &mac.mac, p.answer, &has_reply), 0);
    memcpy(reply, p.answer, HANDSHAKE_BYTES);
    assert_int_equal(handshake_step(&other, reply, &mac.mac, again, &has_reply), ST_DENIED);
    /* and with names put right, too */
    handshake_dial(&other, &sample_acceptor, 3, nonce, again);
    bytes_put_u64(reply + 16, 3);
    bytes_put_u64(reply + 24, 9);
    assert_int_equal(handshake_step(&other, reply, &mac.mac, again, &has_reply), ST_DENIED);
    assert_int_equal(other.refusal, HANDSHAKE_REFUSED_SECRET);
    /* and as the proof that the acceptor waits for */
    p.answer[6] = 3;
    assert_int_equal(handshake_step(&p.acceptor, p.answer, &mac.mac, reply, &has_reply), ST_DENIED);
}

static void test_refusals_that_are_none(void **state)
{
    struct handshake_pair p;
    struct test_mac mac = test_mac(42);
    uint8_t reply[HANDSHAKE_BYTES], refusal[HANDSHAKE_BYTES];
    bool has_reply;
    for (unsigned reason = 0; reason <= UINT8_MAX; reason++) {
        sample_begin(&p, &sample_dialer, 9, &sample_acceptor, 5);
        handshake_refuse(&p.acceptor, HANDSHAKE_REFUSED_BUSY, refusal);
        refusal[7] = (uint8_t)reason;
        assert_int_equal(handshake_step(&p.dialer, refusal, &mac.mac, reply, &has_reply),
                         ST_DENIED);
        assert_false(has_reply); /* or two would refuse one another for ever */
        bool known = reason > 0 && reason < HANDSHAKE_REFUSALS;
        assert_int_equal(p.dialer.refusal, known ? reason : HANDSHAKE_REFUSED_MALFORMED);
    }
    assert_string_equal(handshake_refusal_name(HANDSHAKE_REFUSED_BUSY), "busy");
    assert_string_equal(handshake_refusal_name(HANDSHAKE_REFUSALS), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),      cmocka_unit_test(test_done),
        cmocka_unit_test(test_who),         cmocka_unit_test(test_versions),
        cmocka_unit_test(test_secrets),     cmocka_unit_test(test_bits),
        cmocka_unit_test(test_truncations), cmocka_unit_test(test_replays),
        cmocka_unit_test(test_reflections), cmocka_unit_test(test_refusals_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
