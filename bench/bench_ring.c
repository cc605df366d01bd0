/* What placement costs and moves: bench_ring
 *
 * Prints, for clusters of 3 to 100 equal members in one zone and in three, with 1024 partitions of
 * three replicas: the milliseconds of processor time that a first placement takes and one that
 * follows a change (the best of five), and how many replicas move when one member joins and when
 * one leaves, beside the ideal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "ring/placement.h"

#define PARTITIONS 1024u
#define REPLICAS   3u
#define ROUNDS     5

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
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
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ms();
        CHECK(placement_propose(&input, rows, &report) == 0);
        double ms = now_ms() - start;
        b->ms = round == 0 || ms < b->ms ? ms : b->ms;
        if (round < ROUNDS - 1)
            placement_report_done(&report);
    }
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

/* As large as it may be, nearly: once, and again when one leaves. */
static void run_large(void)
{
    const unsigned count = 1000, partitions = 16384;
    struct ring_member *members = mem_zalloc(count * sizeof(*members));
    struct placement_row *rows[2];
    for (int i = 0; i < 2; i++)
        rows[i] = mem_alloc(partitions * sizeof(*rows[i]));
    for (unsigned m = 0; m < count; m++) {
        members[m] = (struct ring_member){
            .id = 1000 + m * 7919u, .state = RING_ACTIVE, .weight = RING_WEIGHT_ONE};
        snprintf(members[m].zone, sizeof(members[m].zone), "zone-%u", m % 3);
    }
    struct placement_input input = {
        .members = members, .member_count = count, .partitions = partitions, .replicas = REPLICAS};
    struct placement_report report;
    double start = now_ms();
    CHECK(placement_propose(&input, rows[0], &report) == 0);
    double first = now_ms() - start;
    placement_report_done(&report);
    members[0].state = RING_LEAVING;
    input.current = rows[0];
    start = now_ms();
    CHECK(placement_propose(&input, rows[1], &report) == 0);
    printf("\n%u members, %u partitions: %.0f ms at first, %.0f ms when one leaves\n", count,
           partitions, first, now_ms() - start);
    placement_report_done(&report);
    for (int i = 0; i < 2; i++)
        free(rows[i]);
    free(members);
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
    run_large();
    return 0;
}
