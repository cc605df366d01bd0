/* Members of a group: see config.h. A configuration that was decoded, or built with
 * raft_config_set(), is valid: ascending ids, none 0, known roles. */
#include "raft/config.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/status.h"

#define CONFIG_FORMAT       1
#define CONFIG_HEAD_BYTES   2
#define CONFIG_MEMBER_BYTES 17

static bool role_known(uint8_t role)
{
    switch (role) {
    case RAFT_LEARNER:
    case RAFT_VOTER:
    case RAFT_VOTER_OLD:
    case RAFT_VOTER | RAFT_VOTER_OLD:
    case RAFT_LEARNER | RAFT_VOTER_OLD:
        return true;
    default:
        return false;
    }
}

void raft_config_encode(struct buffer *out, const struct raft_config *config)
{
    buffer_append_u8(out, CONFIG_FORMAT);
    buffer_append_u8(out, config->count);
    for (unsigned i = 0; i < config->count; i++) {
        buffer_append_u64(out, config->members[i].id);
        buffer_append_u64(out, config->members[i].node);
        buffer_append_u8(out, config->members[i].role);
    }
}

int raft_config_decode(struct slice bytes, struct raft_config *ret_config)
{
    if (bytes.len < CONFIG_HEAD_BYTES || bytes.data[0] != CONFIG_FORMAT)
        return ST_PROTOCOL;
    unsigned count = bytes.data[1];
    if (count > RAFT_MEMBERS_MAX || bytes.len != CONFIG_HEAD_BYTES + count * CONFIG_MEMBER_BYTES)
        return ST_PROTOCOL;

    struct raft_config config = {.count = count};
    bool voter = false;
    uint64_t last = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *p = bytes.data + CONFIG_HEAD_BYTES + i * CONFIG_MEMBER_BYTES;
        struct raft_member *m = &config.members[i];
        *m = (struct raft_member){
            .id = bytes_get_u64(p), .node = bytes_get_u64(p + 8), .role = p[16]};
        if (m->id <= last || !role_known(m->role))
            return ST_PROTOCOL;
        last = m->id;
        voter = voter || (m->role & RAFT_VOTER);
    }
    if (!voter)
        return ST_PROTOCOL;
    *ret_config = config;
    return ST_OK;
}

const struct raft_member *raft_config_find(const struct raft_config *config, uint64_t id)
{
    for (unsigned i = 0; i < config->count; i++)
        if (config->members[i].id == id)
            return &config->members[i];
    return NULL;
}

int raft_config_set(struct raft_config *config, uint64_t id, uint64_t node, uint8_t role)
{
    CHECK(id != 0);
    CHECK(role == 0 || role_known(role));
    unsigned at = 0;
    while (at < config->count && config->members[at].id < id)
        at++;
    bool found = at < config->count && config->members[at].id == id;
    struct raft_member *m = &config->members[at];
    size_t behind = (config->count - at) * sizeof(*m);

    if (role == 0) {
        if (found) {
            memmove(m, m + 1, behind - sizeof(*m));
            config->members[--config->count] = (struct raft_member){0};
        }
        return ST_OK;
    }
    if (!found) {
        if (config->count == RAFT_MEMBERS_MAX)
            return ST_LIMIT;
        memmove(m + 1, m, behind);
        config->count++;
    }
    *m = (struct raft_member){.id = id, .node = node, .role = role};
    return ST_OK;
}

bool raft_config_joint(const struct raft_config *config)
{
    for (unsigned i = 0; i < config->count; i++)
        if (config->members[i].role & RAFT_VOTER_OLD)
            return true;
    return false;
}

bool raft_config_votes(const struct raft_config *config, uint64_t id)
{
    const struct raft_member *m = raft_config_find(config, id);
    return m != NULL && (m->role & (RAFT_VOTER | RAFT_VOTER_OLD));
}

unsigned raft_config_voters(const struct raft_config *config)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < config->count; i++)
        if (config->members[i].role & (RAFT_VOTER | RAFT_VOTER_OLD))
            voters++;
    return voters;
}

bool raft_config_equal(const struct raft_config *a, const struct raft_config *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (a->members[i].id != b->members[i].id || a->members[i].node != b->members[i].node ||
            a->members[i].role != b->members[i].role)
            return false;
    return true;
}

/* Voters of `from` keep their old vote, members of `to` get their new role; what was only a learner
 * and is not in `to` goes at once. The union may be too large: then count is 0. */
struct raft_config raft_config_join(const struct raft_config *from, const struct raft_config *to)
{
    CHECK(!raft_config_joint(from));
    CHECK(!raft_config_joint(to));
    struct raft_config joint = *to;
    for (unsigned i = 0; i < from->count; i++) {
        const struct raft_member *old = &from->members[i];
        if (!(old->role & RAFT_VOTER))
            continue;
        const struct raft_member *new = raft_config_find(to, old->id);
        uint64_t node = new ? new->node : old->node;
        uint8_t role = (new ? new->role : 0) | RAFT_VOTER_OLD;
        if (raft_config_set(&joint, old->id, node, role) != ST_OK)
            return (struct raft_config){0};
    }
    return joint;
}

struct raft_config raft_config_leave(const struct raft_config *joint)
{
    struct raft_config left = {0};
    for (unsigned i = 0; i < joint->count; i++) {
        const struct raft_member *m = &joint->members[i];
        uint8_t role = m->role & (uint8_t)~RAFT_VOTER_OLD;
        if (role != 0) {
            left.members[left.count] = *m;
            left.members[left.count++].role = role;
        }
    }
    return left;
}

bool raft_config_same_voters(const struct raft_config *a, const struct raft_config *b)
{
    for (unsigned i = 0; i < a->count; i++) {
        const struct raft_member *other = raft_config_find(b, a->members[i].id);
        if ((a->members[i].role & RAFT_VOTER) && !(other && (other->role & RAFT_VOTER)))
            return false;
    }
    for (unsigned i = 0; i < b->count; i++) {
        const struct raft_member *other = raft_config_find(a, b->members[i].id);
        if ((b->members[i].role & RAFT_VOTER) && !(other && (other->role & RAFT_VOTER)))
            return false;
    }
    return true;
}
