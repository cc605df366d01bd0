/* Faults of a simulated process' disks. */
#include <limits.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/process_private.h"

#define FULL_LEFT_BYTES 4096 /* a full disk still takes so much */

struct process_copy {
    struct sim_disk *disk, *home;
    struct tier_model *tier;
};

static int policy_sync_log(void *ctx)
{
    return process_log_sync_now(ctx);
}

struct tier *process_tier(struct process *p)
{
    return tier_model_tier(p->tier);
}

/* The policy's own context is the application's, so the log's sync needs a place for ours. */
static bool policy_dropped(void *ctx, uint32_t keyspace)
{
    const struct process *p = ctx;
    return p->policy.keyspace_dropped(p->policy.ctx, keyspace);
}

static uint64_t policy_purge_before_ms(void *ctx)
{
    const struct process *p = ctx;
    return p->policy.purge_before_ms(p->policy.ctx);
}

static bool policy_purge_tombstones(void *ctx)
{
    const struct process *p = ctx;
    return p->policy.purge_tombstones(p->policy.ctx);
}

void process_tier_policy(struct process *p, const struct tier_policy *policy)
{
    p->policy = policy != NULL ? *policy : (struct tier_policy){0};
    struct tier_policy ours = {
        .ctx = p,
        .keyspace_dropped = p->policy.keyspace_dropped != NULL ? policy_dropped : NULL,
        .purge_before_ms = p->policy.purge_before_ms != NULL ? policy_purge_before_ms : NULL,
        .purge_tombstones = p->policy.purge_tombstones != NULL ? policy_purge_tombstones : NULL,
        .sync_log = policy_sync_log,
    };
    tier_model_policy(p->tier, &ours);
}

uint64_t process_birth(const struct process *p)
{
    return sim_disk_birth(p->home);
}

void process_fail_sync(struct process *p, bool fail)
{
    sim_disk_fail_sync(p->disk, fail);
    sim_disk_fail_sync(p->home, fail);
}

void process_disk_full(struct process *p, bool full)
{
    tier_model_fail(p->tier, TIER_MODEL_FINISH, ST_NOSPACE, full ? UINT_MAX : 0);
    sim_disk_capacity(p->disk, full ? sim_disk_used(p->disk) + FULL_LEFT_BYTES : 0);
    sim_disk_capacity(p->home, full ? sim_disk_used(p->home) + FULL_LEFT_BYTES : 0);
}

bool process_rot(struct process *p, uint64_t seed, bool tier)
{
    const char *name = "";
    uint64_t offset = 0;
    bool done = tier ? tier_model_rot(p->tier, seed) : sim_disk_rot(p->disk, seed, &name, &offset);
    world_note(p->options.world, p->options.id, "rot in=%s offset=%" PRIu64, tier ? "tier" : name,
               offset);
    return done;
}

void process_wipe(struct process *p)
{
    CHECK(p->state == PROCESS_DOWN);
    sim_disk_wipe(p->disk);
    sim_disk_wipe(p->home);
    tier_model_free(p->tier);
    p->tier = tier_model_create(NULL);
}

struct process_copy *process_copy_take(struct process *p)
{
    struct process_copy *copy = mem_zalloc(sizeof(*copy));
    copy->disk = sim_disk_clone(p->disk);
    copy->home = sim_disk_clone(p->home);
    copy->tier = tier_model_clone(p->tier);
    return copy;
}

void process_copy_free(struct process_copy *copy)
{
    if (copy == NULL)
        return;
    sim_disk_free(copy->disk);
    sim_disk_free(copy->home);
    tier_model_free(copy->tier);
    free(copy);
}

void process_restore(struct process *p, struct process_copy *copy)
{
    CHECK(p->state == PROCESS_DOWN);
    sim_disk_free(p->disk);
    sim_disk_free(p->home);
    tier_model_free(p->tier);
    p->disk = sim_disk_clone(copy->disk);
    p->home = sim_disk_clone(copy->home);
    p->tier = tier_model_clone(copy->tier);
}
