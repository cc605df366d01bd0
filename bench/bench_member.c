/* What membership costs and how well it works, in simulated time: how long until a crash is known,
 * how often somebody well is taken for suspect or dead, bytes a second, rounds to spread a rumour.
 * Prints a table for docs/testing.md. The same numbers on every machine: nothing here is measured
 * by a real clock.
 *
 *   bench_member [members_max [members_min [loss_percent]]]
 *
 * "seen" is the time from a crash until the first other member, and until the last one, holds the
 * node for dead. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "sim/member_world.h"

#define SECOND_US    UINT64_C(1000000)
#define GOSSIP_US    (200 * UINT64_C(1000))
#define QUIET_US     (60 * SECOND_US)
#define CRASHES      8
#define CRASHES_1000 2 /* it takes long */
#define CRASH_US     (60 * SECOND_US)
#define SPREAD_US    (20 * SECOND_US)
#define FORM_S_MAX   600

struct run {
    struct world *w;
    struct member_world *mw;
    unsigned members;
    unsigned subject; /* the one that crashed, or has other metadata */
    uint64_t began_us;
    unsigned count; /* that saw it */
    bool *seen;     /* by node: who did */
    uint64_t first_us, last_us;
    uint64_t incarnation;      /* that counts as seen; 0: dead does */
    uint64_t suspects, deaths; /* false ones: of nodes that run; each once, not for each who saw */
    struct {
        uint64_t boot, incarnation;
    } * suspected, *buried; /* by node: the last that was counted */
};

/* Whether nobody saw this yet of the node in this incarnation. */
#define FIRST(last, m)                                                            \
    ((last).boot != (m)->boot || (last).incarnation < (m)->incarnation            \
         ? ((last).boot = (m)->boot, (last).incarnation = (m)->incarnation, true) \
         : false)

static void watch(void *ctx, unsigned at, const struct member *m)
{
    struct run *r = ctx;
    bool runs = member_world_core(r->mw, (unsigned)m->id) != NULL;
    if (runs && m->state == MEMBER_SUSPECT)
        r->suspects += FIRST(r->suspected[m->id], m);
    if (runs && m->state == MEMBER_DEAD)
        r->deaths += FIRST(r->buried[m->id], m);
    bool seen = r->incarnation == 0 ? m->state == MEMBER_DEAD : m->incarnation >= r->incarnation;
    if (m->id != r->subject || !seen || r->seen[at])
        return;
    r->seen[at] = true;
    uint64_t us = world_now_us(r->w) - r->began_us;
    r->first_us = r->count++ == 0 ? us : r->first_us;
    r->last_us = us;
}

static void begin(struct run *r, unsigned subject, uint64_t incarnation)
{
    r->subject = subject;
    r->incarnation = incarnation;
    r->began_us = world_now_us(r->w);
    r->count = 0;
    memset(r->seen, 0, (r->members + 1) * sizeof(*r->seen));
    r->first_us = r->last_us = 0;
}

static void run_for(struct run *r, uint64_t us)
{
    if (!world_run_until(r->w, world_now_us(r->w) + us)) {
        fprintf(stderr, "%s: %s\n", world_failed(r->w), world_failure(r->w));
        exit(1);
    }
}

struct traffic {
    uint64_t datagrams, datagram_bytes, stream_bytes;
};

static struct traffic traffic(const struct run *r)
{
    struct traffic t = {0};
    for (unsigned i = 1; i <= r->members; i++) {
        struct member_status s;
        if (member_world_core(r->mw, i) == NULL)
            continue;
        member_status(member_world_core(r->mw, i), &s);
        t.datagrams += s.datagrams;
        t.datagram_bytes += s.datagram_bytes;
        t.stream_bytes += s.stream_bytes;
    }
    return t;
}

static unsigned form(struct run *r)
{
    char why[128];
    for (unsigned i = 1; i <= r->members; i++)
        member_world_start(r->mw, i);
    for (unsigned s = 1; s <= FORM_S_MAX; s++) {
        run_for(r, SECOND_US);
        if (member_world_settled(r->mw, why, sizeof(why)))
            return s;
    }
    fprintf(stderr, "%u members do not form: %s\n", r->members, why);
    exit(1);
}

static void row(unsigned members, unsigned loss_percent)
{
    struct member_limits limits = member_limits_default();
    limits.members_max = 2 * members;
    unsigned crashes = members < 1000 ? CRASHES : CRASHES_1000;
    struct world *w = world_new(members * 100 + loss_percent);
    struct run r = {.w = w, .mw = member_world_new(w, members, &limits), .members = members};
    r.suspected = mem_zalloc((members + 1) * sizeof(*r.suspected));
    r.seen = mem_zalloc((members + 1) * sizeof(*r.seen));
    r.buried = mem_zalloc((members + 1) * sizeof(*r.buried));
    member_world_watch(r.mw, watch, &r);
    unsigned formed_s = form(&r);
    member_world_net(r.mw)->loss_permille = 10 * loss_percent;

    r.suspects = r.deaths = 0;
    struct traffic before = traffic(&r);
    run_for(&r, QUIET_US);
    struct traffic after = traffic(&r);
    uint64_t suspects = r.suspects, deaths = r.deaths;
    uint64_t member_s = members * QUIET_US / SECOND_US;

    uint64_t rounds = 0;
    for (unsigned i = 0; i < crashes; i++) {
        struct member_status s;
        unsigned node = 1 + i % members;
        member_status(member_world_core(r.mw, node), &s);
        begin(&r, node, s.incarnation + 1);
        member_world_set(r.mw, node);
        run_for(&r, SPREAD_US);
        rounds += (r.last_us + GOSSIP_US - 1) / GOSSIP_US;
    }

    uint64_t first_ms = 0, last_ms = 0;
    unsigned known = 0;
    for (unsigned i = 0; i < crashes; i++) {
        unsigned node = 1 + (unsigned)(i * 7 % members);
        begin(&r, node, 0);
        member_world_stop(r.mw, node);
        run_for(&r, CRASH_US);
        first_ms += r.first_us / 1000;
        last_ms += r.last_us / 1000;
        known += r.count >= members - 1;
        member_world_start(r.mw, node);
        run_for(&r, CRASH_US / 2);
    }
    printf("| %u | %u %% | %u | %.1f | %.1f (%u/%u) | %.2f | %.3f | %.0f | %.0f | %.1f |\n",
           members, loss_percent, formed_s, (double)first_ms / 1000 / crashes,
           (double)last_ms / 1000 / crashes, known, crashes,
           (double)suspects * 60 / (double)member_s, (double)deaths * 60 / (double)member_s,
           (double)(after.datagram_bytes - before.datagram_bytes) / (double)member_s,
           (double)(after.stream_bytes - before.stream_bytes) / (double)member_s,
           (double)rounds / crashes);
    fflush(stdout);
    free(r.seen);
    free(r.suspected);
    free(r.buried);
    member_world_free(r.mw);
    world_free(w);
}

int main(int argc, char **argv)
{
    static const unsigned members[] = {3, 10, 100, 1000}, losses[] = {0, 10, 30};
    unsigned max = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    unsigned min = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    int loss = argc > 3 ? atoi(argv[3]) : -1;
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        for (size_t j = 0; j < ARRAY_SIZE(losses); j++)
            if (members[i] <= max && members[i] >= min && (loss < 0 || (int)losses[j] == loss))
                row(members[i], losses[j]);
    return 0;
}
