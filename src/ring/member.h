/* A member of the cluster, as the partition map knows it: a plain value. The id is for ever, an id
 * that was removed never comes back; everything else may change. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RING_MEMBERS_MAX    1024u
#define RING_REPLICAS_MAX   7u /* of a partition */
#define RING_ZONE_BYTES_MAX 31u
#define RING_HOST_BYTES_MAX 253u  /* the longest name in DNS */
#define RING_WEIGHT_ONE     100u  /* hundredths */
#define RING_WEIGHT_MAX     2000u /* of an ordinary member's share; 0: holds no data */

enum ring_state {
    RING_JOINING = 1, /* takes part, has not all of its partitions yet */
    RING_ACTIVE = 2,
    RING_LEAVING = 3,  /* alive; gives its partitions away */
    RING_REMOVING = 4, /* taken for dead: its partitions are rebuilt from others */
};

struct ring_member {
    uint64_t id;    /* never 0 */
    uint64_t epoch; /* of the map, when this last changed */
    uint16_t weight;
    uint16_t client_port, peer_port; /* 0: not known */
    uint8_t state;                   /* enum ring_state */
    char zone[RING_ZONE_BYTES_MAX + 1];
    char host[RING_HOST_BYTES_MAX + 1];
};

/* May be given partitions. */
static inline bool ring_member_eligible(const struct ring_member *m)
{
    return (m->state == RING_JOINING || m->state == RING_ACTIVE) && m->weight > 0;
}
