/* One member message of each kind, every field with a value of its own, and a MAC for tests. */
#pragma once

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "wire/datagram.h"
#include "wire/member_message.h"

#define MEMBER_SAMPLES 9

struct test_mac {
    struct datagram_mac mac;
    uint64_t key;
};

static inline void test_mac_compute(const struct datagram_mac *mac, struct slice bytes,
                                    uint8_t ret_tag[DATAGRAM_MAC_BYTES])
{
    uint64_t key = ((const struct test_mac *)mac)->key;
    bytes_put_u64(ret_tag, hash_bytes(key, bytes.data, bytes.len));
    bytes_put_u64(ret_tag + 8, hash_bytes(key + 1, bytes.data, bytes.len));
}

static inline struct test_mac test_mac(uint64_t key)
{
    return (struct test_mac){{test_mac_compute}, key};
}

static inline void member_samples(struct member_message to[MEMBER_SAMPLES])
{
    memset(to, 0, MEMBER_SAMPLES * sizeof(*to));
    for (uint8_t i = 0; i < MEMBER_SAMPLES; i++)
        to[i].code = i + 1;
    to[0].ping.sequence = 0x0102030405060708;
    to[1].ping_req = (struct member_message_ping_req){0x11, 0x22};
    to[2].ack = (struct member_message_ack){0x33, 0x44};
    to[3].nack.sequence = 0x55;
    to[4].alive = (struct member_message_alive){
        3, 0x66, 0x77, 9, 1, 2, slice_str("10.0.0.3:7401"), slice_str("east"), slice_str("load=7")};
    to[5].suspect = (struct member_message_suspect){3, 0x66, 9, 4};
    to[6].dead = (struct member_message_dead){3, 0x66, 9, 4};
    to[7].sync = (struct member_message_sync){MEMBER_SYNC_WANTED, 0x88};
    to[8].refuse.reason = MEMBER_REFUSED_CLUSTER;
}
