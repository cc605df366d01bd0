/* The members of a Raft group: a plain value.
 *
 * A configuration is joint (dissertation 4.3) while some member is RAFT_VOTER_OLD: then elections
 * and commitment need a majority of the RAFT_VOTERs and one of the RAFT_VOTER_OLDs. A member may be
 * both, or only a learner, who gets entries and has no vote (4.2.1).
 *
 * Encoded (little endian):  u8 format 1 | u8 count | count x (u64 id | u64 node | u8 role)
 * ascending by id. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

#define RAFT_MEMBERS_MAX 16

enum raft_member_role {
    RAFT_LEARNER = 1, /* alone, or with RAFT_VOTER_OLD: becomes one when the change is done */
    RAFT_VOTER = 2,
    RAFT_VOTER_OLD = 4,
};

struct raft_member {
    uint64_t id;   /* of the replica: one unbroken life of its disk; never 0 */
    uint64_t node; /* who has it */
    uint8_t role;
};

struct raft_config {
    uint8_t count;
    struct raft_member members[RAFT_MEMBERS_MAX]; /* ascending by id */
};

void raft_config_encode(struct buffer *out, const struct raft_config *config);
/* ST_PROTOCOL: malformed, not ascending, an id of 0, an unknown role, no voter. */
int raft_config_decode(struct slice bytes, struct raft_config *ret_config);

const struct raft_member *raft_config_find(const struct raft_config *config, uint64_t id);
/* Adds or changes; role 0 removes. ST_LIMIT: full. */
int raft_config_set(struct raft_config *config, uint64_t id, uint64_t node, uint8_t role);
bool raft_config_joint(const struct raft_config *config);
bool raft_config_votes(const struct raft_config *config, uint64_t id); /* in old or new */
unsigned raft_config_voters(const struct raft_config *config);         /* in old or new */
bool raft_config_equal(const struct raft_config *a, const struct raft_config *b);

/* The joint configuration on the way from `from` to `to`, neither of them joint; and what is left
 * of it when the change is done. When the voters are the same no joint step is needed. */
struct raft_config raft_config_join(const struct raft_config *from, const struct raft_config *to);
struct raft_config raft_config_leave(const struct raft_config *joint);
bool raft_config_same_voters(const struct raft_config *a, const struct raft_config *b);
