/* Two nodes that shake hands, for tests of the handshake. */
#pragma once

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "wire/frame.h"
#include "wire/handshake.h"
#include "wire/member_samples.h"

#define SAMPLE_CLUSTER UINT64_C(0xc1c2c3c4c5c6c7c8)

static const struct handshake_id sample_dialer = {WIRE_VERSION, SAMPLE_CLUSTER, 3, 0x31, 0x3131};
static const struct handshake_id sample_acceptor = {WIRE_VERSION, SAMPLE_CLUSTER, 9, 0x91, 0x9191};

struct handshake_pair {
    struct handshake dialer, acceptor;
    uint8_t hello[HANDSHAKE_BYTES], answer[HANDSHAKE_BYTES], proof[HANDSHAKE_BYTES];
    uint8_t refusal[HANDSHAKE_BYTES]; /* the last one */
};

static inline void sample_nonce(uint8_t seed, uint8_t nonce[HANDSHAKE_NONCE_BYTES])
{
    for (unsigned i = 0; i < HANDSHAKE_NONCE_BYTES; i++)
        nonce[i] = (uint8_t)(seed + i);
}

static inline void sample_begin(struct handshake_pair *p, const struct handshake_id *dialer,
                                uint64_t to, const struct handshake_id *acceptor, uint8_t seed)
{
    uint8_t nonce[HANDSHAKE_NONCE_BYTES];
    memset(p, 0, sizeof(*p));
    sample_nonce(seed, nonce);
    handshake_dial(&p->dialer, dialer, to, nonce, p->hello);
    sample_nonce((uint8_t)(seed + 100), nonce);
    handshake_accept(&p->acceptor, acceptor, nonce);
}

/* To the end, or to the first refusal, which the other side is told: the reason. */
static inline enum handshake_refusal sample_run(struct handshake_pair *p, uint64_t dialer_key,
                                                uint64_t acceptor_key)
{
    struct test_mac dialer_mac = test_mac(dialer_key), acceptor_mac = test_mac(acceptor_key);
    bool reply;
    if (handshake_step(&p->acceptor, p->hello, &acceptor_mac.mac, p->answer, &reply) < 0) {
        memcpy(p->refusal, p->answer, HANDSHAKE_BYTES);
        CHECK(reply);
        CHECK(handshake_step(&p->dialer, p->refusal, &dialer_mac.mac, p->proof, &reply) ==
              ST_DENIED);
        CHECK(!reply && p->dialer.refused_by_peer && p->dialer.refusal == p->acceptor.refusal);
        return p->dialer.refusal;
    }
    CHECK(reply);
    if (handshake_step(&p->dialer, p->answer, &dialer_mac.mac, p->proof, &reply) < 0) {
        memcpy(p->refusal, p->proof, HANDSHAKE_BYTES);
        CHECK(reply);
        CHECK(handshake_step(&p->acceptor, p->refusal, &acceptor_mac.mac, p->proof, &reply) ==
              ST_DENIED);
        CHECK(!reply && p->acceptor.refused_by_peer && p->acceptor.refusal == p->dialer.refusal);
        return p->dialer.refusal;
    }
    CHECK(reply);
    if (handshake_step(&p->acceptor, p->proof, &acceptor_mac.mac, p->refusal, &reply) < 0)
        return p->acceptor.refusal;
    CHECK(!reply);
    return HANDSHAKE_REFUSED_NONE;
}
