/* What placement costs and moves: bench_ring
 *
 * Prints, for clusters of 3 to 100 equal members in one zone and in three, with 1024 partitions of
 * three replicas: the milliseconds a first placement takes and one that follows a change, and how
 * many replicas move when one member joins and when one leaves, beside the ideal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "ring/placement.h"

#define PARTITIONS 1024u
#define REPLICAS   3u

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct bench {
    struct ring_member members[101];
    unsigned count;
    bool placed;
    struct placement_row rows[PARTITIONS];
    unsigned moved, load_min, load_max, first_load; /* first: of the first member */
    double ms;
};

static void place(struct bench *b)
{
    struct placement_row *rows = mem_alloc(sizeof(b->rows));
    struct placement_report report;
    struct placement_input input = {.members = b->members,
                                    .member_count = b->count,
                                    .partitions = PARTITIONS,
                                    .replicas = REPLICAS,
                                    .current = b->placed ? b->rows : NULL};
    double start = now_ms();
    CHECK(placement_propose(&input, rows, &report) == 0);
    b->ms = now_ms() - start;
    memcpy(b->rows, rows, sizeof(b->rows));
    free(rows);
    b->placed = true;
    b->moved = report.moved;
    b->load_min = UINT32_MAX;
    b->load_max = 0;
    for (unsigned i = 0; i < report.members; i++) {
        unsigned load = report.loads[i].load;
        b->load_min = load < b->load_min ? load : b->load_min;
        b->load_max = load > b->load_max ? load : b->load_max;
        if (report.loads[i].id == b->members[0].id)
            b->first_load = load;
    }
    placement_report_done(&report);
}

static void add(struct bench *b, unsigned zones)
{
    struct ring_member *m = &b->members[b->count];
    *m = (struct ring_member){
        .id = 1000 + b->count * 7919u, .state = RING_ACTIVE, .weight = RING_WEIGHT_ONE};
    snprintf(m->zone, sizeof(m->zone), "zone-%u", b->count % zones);
    b->count++;
}

static void run(unsigned members, unsigned zones)
{
    struct bench *b = mem_zalloc(sizeof(*b));
    while (b->count < members)
        add(b, zones);
    place(b);
    printf("| %u | %u | %.1f | %u-%u |", members, zones, b->ms, b->load_min, b->load_max);
    add(b, zones);
    place(b);
    double all = PARTITIONS * REPLICAS, ideal = all / (members + 1);
    printf(" %.2f %% | %.2f %% | %.2f |", 100 * b->moved / all, 100 * ideal / all,
           b->moved / ideal);
    double joined_ms = b->ms;
    unsigned had = b->first_load;
    b->members[0].state = RING_LEAVING;
    place(b);
    printf(" %.2f %% | %.2f %% | %.2f | %.1f | %u-%u |\n", 100 * b->moved / all, 100 * had / all,
           (double)b->moved / had, joined_ms > b->ms ? joined_ms : b->ms, b->load_min, b->load_max);
    free(b);
}

int main(void)
{
    const unsigned sizes[] = {3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100};
    printf("| members | zones | first, ms | replicas a member | join moves | ideal | of ideal "
           "| leave moves | ideal | of ideal | change, ms | replicas a member then |\n"
           "|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (unsigned zones = 1; zones <= 3; zones += 2) {
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
            run(sizes[i], zones);
    }
    return 0;
}
