#include "run/peer_mac.h"

#include <sodium.h>

#include "base/check.h"
#include "wire/sealed.h"

_Static_assert(DATAGRAM_MAC_BYTES >= crypto_generichash_BYTES_MIN, "a tag of BLAKE2b");
_Static_assert(DATAGRAM_MAC_BYTES == crypto_onetimeauth_BYTES, "a tag of Poly1305");
_Static_assert(PEER_MAC_KEY_BYTES == crypto_stream_chacha20_KEYBYTES, "a key of ChaCha20");
_Static_assert(SEALED_HEADER_BYTES - SEALED_COUNTER_AT == crypto_stream_chacha20_NONCEBYTES,
               "the counter is the nonce");
_Static_assert(PEER_MAC_KEY_BYTES <= crypto_generichash_KEYBYTES_MAX, "a key of BLAKE2b");

static void compute(const struct datagram_mac *mac, struct slice bytes,
                    uint8_t ret_tag[DATAGRAM_MAC_BYTES])
{
    const struct peer_mac *m = container_of(mac, struct peer_mac, mac);
    CHECK(crypto_generichash(ret_tag, DATAGRAM_MAC_BYTES, bytes.data, bytes.len, m->key,
                             sizeof(m->key)) == 0);
}

/* The context is there so that the secret, used for something else too, gives another key there. */
static void init(struct peer_mac *m, const char *context, struct slice secret)
{
    CHECK(sodium_init() >= 0);
    crypto_generichash_state state;
    m->mac.compute = compute;
    CHECK(crypto_generichash_init(&state, NULL, 0, sizeof(m->key)) == 0);
    CHECK(crypto_generichash_update(&state, (const uint8_t *)context, strlen(context) + 1) == 0);
    CHECK(crypto_generichash_update(&state, secret.data, secret.len) == 0);
    CHECK(crypto_generichash_final(&state, m->key, sizeof(m->key)) == 0);
    sodium_memzero(&state, sizeof(state));
}

void peer_mac_init(struct peer_mac *m, struct slice secret)
{
    init(m, "torc peer datagrams, version 1", secret);
}

void peer_mac_init_handshake(struct peer_mac *m, struct slice secret)
{
    init(m, "torc peer handshakes, version 1", secret);
}

static void compute_link(const struct datagram_mac *mac, struct slice record,
                         uint8_t ret_tag[DATAGRAM_MAC_BYTES])
{
    const struct peer_mac *m = container_of(mac, struct peer_mac, mac);
    uint8_t once[crypto_onetimeauth_KEYBYTES];
    CHECK(record.len >= SEALED_HEADER_BYTES);
    crypto_stream_chacha20(once, sizeof(once), record.data + SEALED_COUNTER_AT, m->key);
    crypto_onetimeauth(ret_tag, record.data, record.len, once);
    sodium_memzero(once, sizeof(once));
}

void peer_mac_init_link(struct peer_mac *m, const uint8_t key[PEER_MAC_KEY_BYTES])
{
    CHECK(sodium_init() >= 0);
    m->mac.compute = compute_link;
    memcpy(m->key, key, sizeof(m->key));
}

void peer_mac_wipe(struct peer_mac *m)
{
    sodium_memzero(m->key, sizeof(m->key));
}
