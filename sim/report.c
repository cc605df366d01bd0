#include "sim/report.h"

#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct report report_make(const struct workload *workload)
{
    return (struct report){.workload = workload, .began_ms = now_ms()};
}

static void add_mark(struct report *r, const struct world_mark *mark)
{
    size_t i = 0;
    while (i < r->marks_count && strcmp(r->marks[i].name, mark->name) != 0)
        i++;
    if (i == ARRAY_SIZE(r->marks))
        return;
    if (i == r->marks_count) {
        r->marks[r->marks_count++] = *mark;
        return;
    }
    r->marks[i].count += mark->count;
}

void report_add(struct report *r, const struct run_result *result, bool passed)
{
    r->seeds++;
    r->passed += passed;
    r->failed += !passed;
    r->virtual_us += result->virtual_us;
    r->events += result->events;
    r->faults += result->fired;
    r->counts.operations += result->counts.operations;
    r->counts.elections += result->counts.elections;
    r->counts.changes += result->counts.changes;
    for (int i = 0; i < FAULT_KINDS; i++) {
        r->fired[i] += result->faults.fired[i];
        r->skipped += result->faults.skipped[i];
        r->seeds_on[i] += result->kinds >> i & 1;
        r->seeds_fired[i] += result->faults.fired[i] > 0;
    }
    for (size_t i = 0; i < result->marks_count; i++)
        add_mark(r, &result->marks[i]);
}

static void print_subset(FILE *to, const struct shrunk *shrunk)
{
    const char *comma = "";
    if (shrunk->count == 0)
        fprintf(to, "none");
    for (size_t i = 0; i < FAULTS_MAX; i++) {
        if (shrunk->chosen[i]) {
            fprintf(to, "%s%zu", comma, i);
            comma = ",";
        }
    }
}

/* The plan is drawn anew, in a child: what makes a run crash may do so here. */
static void print_schedule(FILE *to, const struct workload *workload, uint64_t seed,
                           const bool *chosen)
{
    pid_t pid = fork();
    if (pid > 0)
        waitpid(pid, NULL, 0);
    if (pid != 0)
        return;
    struct net *net;
    struct process **processes;
    unsigned count;
    struct world *w = world_new(seed);
    void *run = workload->create(w, &net, &processes, &count);
    struct plan *plan = plan_draw(w, count, workload->faulty_us(run), workload->may_damage != NULL);
    for (size_t i = 0; i < plan->count; i++) {
        struct buffer text = {0};
        plan_print_fault(plan, i, &text);
        if (chosen[i])
            fprintf(to, "    %.*s\n", (int)text.len, (const char *)text.data);
        buffer_free(&text);
    }
    fflush(to);
    _exit(0);
}

void report_failure(FILE *to, const struct report *r, const struct run_result *result,
                    const struct shrunk *shrunk, const char *bug)
{
    fprintf(to, "FAILED seed=%" PRIu64 " checker=%s: %s\n", result->seed, result->checker,
            result->message);
    if (shrunk != NULL)
        fprintf(to, "  shrunk to %zu of %u faults in %u runs: %s\n", shrunk->count,
                (unsigned)result->planned, shrunk->runs, shrunk->result.message);
    fprintf(to, "  replay: torc-sim --workload %s --seed %" PRIu64, r->workload->name,
            result->seed);
    if (bug != NULL)
        fprintf(to, " --bug %s", bug);
    if (shrunk != NULL) {
        fprintf(to, " --faults ");
        print_subset(to, shrunk);
    }
    fprintf(to, " --trace\n");
    fflush(to);
    if (shrunk != NULL && shrunk->count > 0)
        print_schedule(to, r->workload, result->seed, shrunk->chosen);
}

/* Per seed, with one decimal. */
static void print_average(FILE *to, const char *what, uint64_t sum, uint64_t seeds)
{
    uint64_t tenths = seeds > 0 ? sum * 10 / seeds : 0;
    fprintf(to, ", %" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, what);
}

static uint64_t thin(FILE *to, const char *what, uint64_t sum, uint64_t least, uint64_t seeds)
{
    if (sum >= least * seeds)
        return 0;
    fprintf(to, "FAILED too few %s: %" PRIu64 " a seed, %" PRIu64 " wanted\n", what, sum / seeds,
            least);
    return 1;
}

static uint64_t print_kinds(FILE *to, const struct report *r)
{
    uint64_t missing = 0;
    for (int i = 0; i < FAULT_KINDS; i++) {
        if (r->seeds_on[i] == 0)
            continue;
        bool never = r->fired[i] == 0 && r->seeds >= REPORT_COVERAGE_SEEDS;
        fprintf(to, "  %-20s %8" PRIu64 " times in %" PRIu64 " of %" PRIu64 " seeds%s\n",
                fault_name((enum fault_kind)i), r->fired[i], r->seeds_fired[i], r->seeds_on[i],
                never ? "  FAILED: never" : "");
        missing += never;
    }
    for (size_t i = 0; i < r->marks_count; i++)
        fprintf(to, "  %-36s %8" PRIu64 "\n", r->marks[i].name, r->marks[i].count);
    return missing;
}

uint64_t report_print(FILE *to, struct report *r)
{
    uint64_t took_ms = now_ms() - r->began_ms + 1, seeds = r->seeds > 0 ? r->seeds : 1;
    uint64_t hundredths = r->virtual_us / 36000000;
    fprintf(to, "workload %s: %" PRIu64 " seeds in %" PRIu64 ".%01" PRIu64 " s\n",
            r->workload->name, r->seeds, took_ms / 1000, took_ms / 100 % 10);
    fprintf(to,
            "%" PRIu64 ".%02" PRIu64 " virtual hours (%" PRIu64 " s a second), %" PRIu64
            " operations (%" PRIu64 "/s), %" PRIu64 " events (%" PRIu64 "/s)\n",
            hundredths / 100, hundredths % 100, r->virtual_us / 1000 / took_ms,
            r->counts.operations, r->counts.operations * 1000 / took_ms, r->events,
            r->events * 1000 / took_ms);
    fprintf(to, "a seed: %" PRIu64 " operations", r->counts.operations / seeds);
    print_average(to, "faults", r->faults, seeds);
    print_average(to, "elections", r->counts.elections, seeds);
    print_average(to, "membership changes", r->counts.changes, seeds);
    print_average(to, "faults skipped\n", r->skipped, seeds);
    uint64_t failed = r->failed + print_kinds(to, r);
    if (r->seeds >= REPORT_COVERAGE_SEEDS) {
        failed += thin(to, "operations", r->counts.operations, r->workload->operations_min, seeds);
        failed += thin(to, "elections or membership changes",
                       r->counts.elections + r->counts.changes, r->workload->elections_min, seeds);
    }
    fprintf(to, "%" PRIu64 " passed, %" PRIu64 " failed\n", r->passed, failed);
    return failed;
}
