#include "sim/raft_plan.h"

#define SECOND_US UINT64_C(1000000)
#define KIB       UINT64_C(1024)

static uint64_t between(struct prng *r, uint64_t low, uint64_t high)
{
    return low + prng_below(r, high - low + 1);
}

static bool chance(struct prng *r, unsigned percent)
{
    return prng_below(r, 100) < percent;
}

/* Within a machine hall, or around the world; sound or bad. */
static struct net_rates draw_net(struct prng *r)
{
    struct net_rates rates = {0};
    bool far = chance(r, 30);
    rates.delay_min_us = far ? between(r, 1000, 20000) : between(r, 50, 300);
    rates.delay_mean_us = far ? between(r, 30000, 100000) : between(r, 200, 5000);
    if (chance(r, 60))
        rates.loss_permille = (unsigned)(chance(r, 50) ? between(r, 1, 30) : between(r, 30, 300));
    if (chance(r, 50))
        rates.double_permille = (unsigned)between(r, 1, 500);
    if (chance(r, 50))
        rates.reorder_permille = (unsigned)between(r, 1, 500);
    return rates;
}

/* A round trip has to fit into an election's time-out several times, or nobody ever leads. */
static struct raft_limits draw_limits(struct prng *r, const struct net_rates *net)
{
    uint64_t trip_ms = 2 * (net->delay_min_us + net->delay_mean_us) / 1000 + 1;
    uint64_t election_ms = trip_ms * between(r, 8, 15);
    if (election_ms < 200)
        election_ms = between(r, 200, 1000);
    /* One small message a round trip is enough only where that is short. */
    bool near = net->delay_mean_us < 1500;
    bool tight = near && chance(r, 60);
    uint64_t chunk_min = near ? 256 : net->delay_mean_us < 10000 ? 4 * KIB : 32 * KIB;
    return (struct raft_limits){
        .election_ms = (uint32_t)election_ms,
        .heartbeat_ms = (uint32_t)(election_ms / between(r, 4, 8)),
        .clock_drift_percent = 12, /* two clocks of 5 % each, and what comes of dividing them */
        .transfer_ms = (uint32_t)election_ms,
        .appends_inflight_max = (uint32_t)(tight ? between(r, 1, 4) : between(r, 8, 64)),
        .append_bytes_max = tight ? between(r, 256, 4 * KIB) : between(r, 64 * KIB, 1024 * KIB),
        .inflight_bytes_max =
            tight ? between(r, 16 * KIB, 256 * KIB) : between(r, 1024 * KIB, 4096 * KIB),
        .tail_bytes_max = chance(r, 50) ? between(r, 1, 4 * KIB) : between(r, 64 * KIB, 1024 * KIB),
        .uncommitted_bytes_max =
            chance(r, 30) ? between(r, 160 * KIB, 512 * KIB) : between(r, 1024 * KIB, 8192 * KIB),
        .reads_max = (uint32_t)(tight ? between(r, 2, 16) : 1024),
        .snapshot_chunk_bytes =
            (uint32_t)(chance(r, 50) ? chunk_min : between(r, 32 * KIB, 256 * KIB)),
        .leases = chance(r, 50),
    };
}

static void draw_store(struct prng *r, struct raft_plan *plan)
{
    bool small = chance(r, 70);
    /* It counts in chunks of a MiB; mostly it is the log that asks for a flush. */
    plan->table_bytes = small ? between(r, 3, 6) * 1024 * KIB : 16 * 1024 * KIB;
    plan->cache_bytes = small ? between(r, 64 * KIB, 512 * KIB) : 4096 * KIB;
    plan->log_bytes = small ? between(r, 64 * KIB, 1024 * KIB) : 4096 * KIB;
    plan->segment_bytes = small ? 256 * KIB : 1024 * KIB;
    plan->log_keep_bytes = chance(r, 50) ? between(r, 1, 32 * KIB) : between(r, 64, 512) * KIB;
    plan->session_idle_entries = chance(r, 50) ? between(r, 200, 5000) : 100000;
    plan->log_rewrite_bytes = between(r, 4, 12) * plan->segment_bytes;
}

static void draw_clients(struct prng *r, struct raft_plan *plan)
{
    plan->clients = (unsigned)between(r, 3, RAFT_PLAN_CLIENTS_MAX);
    /* So many operations under way that there are enough of them in all. */
    bool far = plan->net.delay_mean_us > 20000;
    plan->lanes = (far ? 240u : 60u) / plan->clients + 1;
    bool few = !far && chance(r, 30); /* else too many would be at one key at a time */
    plan->keys = (unsigned)(few ? between(r, 10, 40) : between(r, 100, RAFT_PLAN_KEYS_AT_ONCE));
    plan->fading_percent = (unsigned)(chance(r, 50) ? between(r, 5, 30) : 0);
    plan->fade_ms_max = between(r, 10, chance(r, 50) ? 100 : 20000);
    plan->session_percent = (unsigned)between(r, 20, 80);
    plan->read_percent = (unsigned)between(r, 20, 60);
    plan->counter_percent = (unsigned)between(r, 10, 50);
    plan->pad_bytes_max = chance(r, 60) ? between(r, 0, 200) : between(r, 1 * KIB, 3 * KIB);
    plan->large_permille = (unsigned)(chance(r, 50) ? between(r, 1, 3) : 0);
    uint64_t trip_us = 2 * (plan->net.delay_min_us + plan->net.delay_mean_us);
    plan->timeout_us = 4 * trip_us + between(r, 50000, 500000);
}

struct raft_plan raft_plan_draw(const struct world *w)
{
    struct prng r = world_prng(w, "raft plan", 0);
    struct raft_plan plan = {0};
    /* Mostly three and five. */
    static const unsigned sizes[] = {1, 2, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 6, 7};
    plan.nodes = sizes[prng_below(&r, sizeof(sizes) / sizeof(sizes[0]))];
    plan.groups = (unsigned)between(&r, 1, RAFT_PLAN_GROUPS_MAX);
    plan.voters = plan.nodes <= 3 ? plan.nodes : (unsigned)between(&r, 3, plan.nodes);
    /* What a group of one voter answers is as durable as the policy says and no more. */
    plan.sync_always = plan.nodes == 1 || chance(&r, 40);
    plan.one_voter = plan.sync_always;
    plan.net = draw_net(&r);
    plan.limits = draw_limits(&r, &plan.net);
    draw_store(&r, &plan);
    draw_clients(&r, &plan);
    plan.faulty_us = between(&r, 40, 80) * SECOND_US;
    plan.change_mean_us = chance(&r, 80) ? between(&r, 1000, 8000) * 1000 : 0;
    plan.stall_ppm = (unsigned)(chance(&r, 50) ? between(&r, 50, 500) : 0);
    plan.stall_mean_us = plan.limits.election_ms * between(&r, 500, 3000);
    return plan;
}
