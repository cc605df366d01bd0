/* torc-sim: runs the production cores in simulated worlds full of faults, and checks what comes of
 * it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/planted.h"
#include "sim/report.h"
#include "sim/shrink.h"
#include "sim/workers.h"

#define EXIT_USAGE      64
#define LIMIT_S_DEFAULT 120
#define SHRINKS_MAX     3 /* failing seeds that are shrunk; the others are only named */
#define SHRINK_RUNS_MAX 150

struct arguments {
    const struct workload *workload;
    const char *bug;
    uint64_t first, last; /* seeds */
    unsigned jobs, limit_s, twice_percent;
    bool one, trace, shrink, stop_at_first, subset;
    bool chosen[FAULTS_MAX];
};

static const char USAGE[] =
    "torc-sim [--workload NAME] --seed N [--trace] [--faults LIST]\n"
    "torc-sim [--workload NAME] --seeds N | --seeds A..B [--jobs N]\n"
    "  --seed N                 one run, here\n"
    "  --trace                  prints what happens, a line an event\n"
    "  --faults 3,7,9 | none    only these faults of the plan\n"
    "  --seeds N | A..B         runs 1..N, or A..B, in children\n"
    "  --jobs N                 so many at a time (2)\n"
    "  --limit-s N              a run that takes longer hangs (120)\n"
    "  --check-determinism N    so many per cent of the seeds run twice (1)\n"
    "  --shrink                 failing seeds are run again with fewer faults\n"
    "  --stop-at-first          ends with the first failure\n"
    "  --bug NAME               plants a bug (cmake --preset planted)\n"
    "  --list                   workloads, faults and bugs\n";

static void usage(const char *what)
{
    fprintf(stderr, "torc-sim: %s\n%s", what, USAGE);
    exit(EXIT_USAGE);
}

static void list_all(void)
{
    printf("workloads\n");
    for (size_t i = 0; workloads[i] != NULL; i++)
        printf("  %-30s %s\n", workloads[i]->name, workloads[i]->about);
    printf("faults\n");
    for (int i = 0; i < FAULT_KINDS; i++)
        printf("  %-30s %s\n", fault_name((enum fault_kind)i), fault_text((enum fault_kind)i));
    printf("bugs\n");
    for (int i = 1; i < PLANTED_COUNT; i++)
        printf("  %-30s %s%s\n", planted_name(i), planted_sentence(i),
               planted_built(i) ? "" : " (not in this build)");
}

/* --- arguments --- */

static uint64_t number(const char *text, uint64_t max)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || value > max)
        usage("not a number, or too large");
    return value;
}

static void parse_seeds(struct arguments *a, char *text)
{
    char *dots = strstr(text, "..");
    a->first = 1;
    if (dots != NULL) {
        *dots = '\0';
        a->first = number(text, UINT64_MAX - 1);
        text = dots + 2;
    }
    a->last = number(text, UINT64_MAX - 1);
    if (a->last < a->first)
        usage("no seeds");
}

static void parse_faults(struct arguments *a, char *text)
{
    a->subset = true;
    if (strcmp(text, "none") == 0)
        return;
    for (char *part = strtok(text, ","); part != NULL; part = strtok(NULL, ","))
        a->chosen[number(part, FAULTS_MAX - 1)] = true;
}

static void parse_bug(struct arguments *a, const char *name)
{
    int bug = planted_find(name);
    if (bug < 0)
        usage("no such bug; see --list");
    if (!planted_built(bug))
        usage("this build has no planted bugs: cmake --preset planted");
    planted_bug = bug;
    a->bug = bug == PLANTED_none ? NULL : name;
}

enum {
    ARG_WORKLOAD = 256,
    ARG_SEED,
    ARG_SEEDS,
    ARG_TRACE,
    ARG_FAULTS,
    ARG_JOBS,
    ARG_LIMIT,
    ARG_TWICE,
    ARG_SHRINK,
    ARG_FIRST,
    ARG_BUG,
    ARG_LIST,
    ARG_HELP
};

static const struct option options[] = {
    {"workload", required_argument, NULL, ARG_WORKLOAD},
    {"seed", required_argument, NULL, ARG_SEED},
    {"seeds", required_argument, NULL, ARG_SEEDS},
    {"trace", no_argument, NULL, ARG_TRACE},
    {"faults", required_argument, NULL, ARG_FAULTS},
    {"jobs", required_argument, NULL, ARG_JOBS},
    {"limit-s", required_argument, NULL, ARG_LIMIT},
    {"check-determinism", required_argument, NULL, ARG_TWICE},
    {"shrink", no_argument, NULL, ARG_SHRINK},
    {"stop-at-first", no_argument, NULL, ARG_FIRST},
    {"bug", required_argument, NULL, ARG_BUG},
    {"list", no_argument, NULL, ARG_LIST},
    {"help", no_argument, NULL, ARG_HELP},
    {NULL, 0, NULL, 0},
};

static void take(struct arguments *a, int option, char *value)
{
    switch (option) {
    case ARG_WORKLOAD:
        a->workload = workload_find(value);
        if (a->workload == NULL)
            usage("no such workload; see --list");
        break;
    case ARG_SEED:
        a->one = true;
        a->first = a->last = number(value, UINT64_MAX);
        break;
    case ARG_SEEDS:
        a->one = false;
        parse_seeds(a, value);
        break;
    case ARG_TRACE:
        a->trace = true;
        break;
    case ARG_FAULTS:
        parse_faults(a, value);
        break;
    case ARG_JOBS:
        a->jobs = (unsigned)number(value, 64);
        break;
    case ARG_LIMIT:
        a->limit_s = (unsigned)number(value, 86400);
        break;
    case ARG_TWICE:
        a->twice_percent = (unsigned)number(value, 100);
        break;
    case ARG_SHRINK:
        a->shrink = true;
        break;
    case ARG_FIRST:
        a->stop_at_first = true;
        break;
    case ARG_BUG:
        parse_bug(a, value);
        break;
    case ARG_LIST:
        list_all();
        exit(0);
    case ARG_HELP:
        fputs(USAGE, stdout);
        exit(0);
    default:
        usage("unknown argument");
    }
}

static struct arguments parse(int argc, char **argv)
{
    struct arguments a = {
        .workload = workloads[0],
        .jobs = 2,
        .limit_s = LIMIT_S_DEFAULT,
        .twice_percent = 1,
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        take(&a, option, optarg);
    if (optind != argc)
        usage("unknown argument");
    if (a.last == 0 && !a.one)
        usage("which seeds?");
    if (!a.one && (a.trace || a.subset))
        usage("--trace and --faults want one --seed");
    if (a.jobs == 0)
        usage("no jobs");
    return a;
}

/* --- one run --- */

static void print_line(void *ctx, const char *text)
{
    puts(text);
}

static void print_plan(const struct plan *plan, const struct arguments *a)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct buffer text = {0};
        plan_print_fault(plan, i, &text);
        if (!a->subset || a->chosen[i])
            printf("fault %.*s\n", (int)text.len, (const char *)text.data);
        buffer_free(&text);
    }
}

static int run_one(const struct arguments *a)
{
    struct run_options o = {
        .workload = a->workload,
        .seed = a->first,
        .chosen = a->subset ? a->chosen : NULL,
        .line = a->trace ? print_line : NULL,
    };
    struct run_result r;
    struct plan *plan = run_seed_plan(&o, &r);
    if (r.failed)
        print_plan(plan, a);
    printf("seed=%" PRIu64 " hash=%016" PRIx64 " virtual_s=%" PRIu64 " events=%" PRIu64
           " operations=%" PRIu64 " faults=%" PRIu32 " elections=%" PRIu64 "\n",
           r.seed, r.hash, r.virtual_us / 1000000, r.events, r.counts.operations, r.fired,
           r.counts.elections);
    if (r.failed)
        printf("FAILED checker=%s: %s\n", r.checker, r.message);
    printf("%d passed, %d failed\n", !r.failed, r.failed);
    plan_free(plan);
    return r.failed;
}

/* --- many --- */

/* Among the first hundred seeds at least one is run twice. */
static bool run_twice(const struct arguments *a, uint64_t seed)
{
    return (seed - a->first) % 100 < a->twice_percent;
}

static void tell_failure(const struct arguments *a, const struct report *report,
                         const struct run_result *r)
{
    struct shrunk shrunk;
    bool shrinks = a->shrink && report->failed <= SHRINKS_MAX;
    if (shrinks) {
        struct workers *ws = workers_new(a->workload, 1, a->limit_s);
        shrink(ws, r, SHRINK_RUNS_MAX, &shrunk);
        workers_free(ws);
    }
    report_failure(stdout, report, r, shrinks ? &shrunk : NULL, a->bug);
}

static int run_many(const struct arguments *a)
{
    struct workers *ws = workers_new(a->workload, a->jobs, a->limit_s);
    struct report report = report_make(a->workload);
    uint64_t next = a->first, under_way = 0;
    bool stop = false;
    while (under_way > 0 || (next <= a->last && !stop)) {
        if (next <= a->last && !stop && workers_idle(ws) > 0) {
            struct work_order order = {.seed = next, .twice = run_twice(a, next)};
            workers_give(ws, &order);
            next++;
            under_way++;
            continue;
        }
        struct run_result r;
        workers_take(ws, &r);
        under_way--;
        report_add(&report, &r, !r.failed);
        if (r.failed) {
            stop |= a->stop_at_first;
            tell_failure(a, &report, &r);
        }
    }
    workers_free(ws);
    return report_print(stdout, &report) > 0;
}

int main(int argc, char **argv)
{
    struct arguments a = parse(argc, argv);
    return a.one ? run_one(&a) : run_many(&a);
}
