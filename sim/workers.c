#include "sim/workers.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

#define JOBS_MAX 64

struct worker {
    pid_t pid;           /* 0: none at the moment */
    int orders, results; /* pipes' ends */
    FILE *words;         /* what it writes to stderr */
    bool busy;
    struct work_order order;
    uint64_t deadline_ms;
};

struct workers {
    const struct workload *workload;
    unsigned jobs, limit_s;
    struct worker workers[JOBS_MAX];
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* false: the other end is gone. */
static bool read_all(int fd, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, (char *)to + done, bytes - done);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool write_all(int fd, const void *from, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(fd, (const char *)from + done, bytes - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* --- the child --- */

static void obey(const struct workload *workload, const struct work_order *order,
                 struct run_result *r)
{
    struct run_options options = {
        .workload = workload,
        .seed = order->seed,
        .chosen = order->subset ? order->chosen : NULL,
    };
    run_seed(&options, r);
    if (!order->twice)
        return;
    struct run_result again;
    run_seed(&options, &again);
    if (again.hash != r->hash && !r->failed) {
        r->failed = true;
        snprintf(r->checker, sizeof(r->checker), "determinism");
        snprintf(r->message, sizeof(r->message), "hash %016" PRIx64 ", then %016" PRIx64, r->hash,
                 again.hash);
    }
}

static void child(const struct workload *workload, int orders, int results)
{
    struct work_order order;
    while (read_all(orders, &order, sizeof(order))) {
        struct run_result r;
        obey(workload, &order, &r);
        if (!write_all(results, &r, sizeof(r)))
            break;
    }
    _exit(0);
}

/* --- the parent --- */

static void worker_start(struct workers *ws, struct worker *w)
{
    int orders[2], results[2];
    CHECK(pipe(orders) == 0);
    CHECK(pipe(results) == 0);
    w->words = tmpfile();
    CHECK(w->words != NULL);
    fflush(stdout);
    w->pid = fork();
    CHECK(w->pid >= 0);
    if (w->pid == 0) {
        for (unsigned i = 0; i < ws->jobs; i++) { /* the others' ends: or they'd never see an end */
            if (&ws->workers[i] != w && ws->workers[i].pid != 0) {
                close(ws->workers[i].orders);
                close(ws->workers[i].results);
            }
        }
        close(orders[1]);
        close(results[0]);
        dup2(fileno(w->words), STDERR_FILENO);
        child(ws->workload, orders[0], results[1]);
    }
    close(orders[0]);
    close(results[1]);
    w->orders = orders[1];
    w->results = results[0];
    w->busy = false;
}

static void worker_end(struct worker *w, bool kill_it)
{
    if (w->pid == 0)
        return;
    if (kill_it)
        kill(w->pid, SIGKILL);
    close(w->orders);
    close(w->results);
    waitpid(w->pid, NULL, 0);
    fclose(w->words);
    w->pid = 0;
    w->busy = false;
}

struct workers *workers_new(const struct workload *workload, unsigned jobs, unsigned limit_s)
{
    CHECK(jobs >= 1 && jobs <= JOBS_MAX);
    struct workers *ws = mem_zalloc(sizeof(*ws));
    ws->workload = workload;
    ws->jobs = jobs;
    ws->limit_s = limit_s;
    signal(SIGPIPE, SIG_IGN);
    return ws;
}

void workers_free(struct workers *ws)
{
    if (ws == NULL)
        return;
    for (unsigned i = 0; i < ws->jobs; i++)
        worker_end(&ws->workers[i], ws->workers[i].busy);
    free(ws);
}

unsigned workers_idle(const struct workers *ws)
{
    unsigned idle = 0;
    for (unsigned i = 0; i < ws->jobs; i++)
        idle += !ws->workers[i].busy;
    return idle;
}

void workers_give(struct workers *ws, const struct work_order *order)
{
    unsigned i = 0;
    while (i < ws->jobs && ws->workers[i].busy)
        i++;
    CHECK(i < ws->jobs);
    struct worker *w = &ws->workers[i];
    if (w->pid == 0)
        worker_start(ws, w);
    w->order = *order;
    w->busy = true;
    w->deadline_ms = now_ms() + ws->limit_s * UINT64_C(1000) * (order->twice ? 2 : 1);
    write_all(w->orders, order, sizeof(*order)); /* it is gone: seen as its end */
}

/* What a child that died said about it: its first words, as sanitizers go on for long. */
static void words_of(const struct worker *w, char to[WORLD_FAIL_BYTES])
{
    rewind(w->words);
    size_t len = fread(to, 1, WORLD_FAIL_BYTES - 1, w->words);
    while (len > 0 && to[len - 1] == '\n')
        len--;
    to[len] = '\0';
    for (char *at = to; *at != '\0'; at++)
        *at = *at == '\n' ? ' ' : *at;
    if (len == 0)
        strcpy(to, "no last words");
}

static void worker_lost(struct worker *w, const char *checker, struct run_result *r)
{
    *r = (struct run_result){.seed = w->order.seed, .failed = true};
    snprintf(r->checker, sizeof(r->checker), "%s", checker);
    worker_end(w, true);
}

/* The first that is late, or NULL; and how long until the next one is. */
static struct worker *late(struct workers *ws, int *ret_wait_ms)
{
    uint64_t now = now_ms(), next = now + 3600000;
    for (unsigned i = 0; i < ws->jobs; i++) {
        struct worker *w = &ws->workers[i];
        if (!w->busy)
            continue;
        if (w->deadline_ms <= now)
            return w;
        next = w->deadline_ms < next ? w->deadline_ms : next;
    }
    *ret_wait_ms = (int)(next - now) + 1;
    return NULL;
}

static void take_from(struct worker *w, struct run_result *r)
{
    if (read_all(w->results, r, sizeof(*r))) {
        w->busy = false;
        return;
    }
    char words[WORLD_FAIL_BYTES];
    words_of(w, words);
    worker_lost(w, "crash", r);
    memcpy(r->message, words, sizeof(r->message));
}

void workers_take(struct workers *ws, struct run_result *ret_result)
{
    CHECK(workers_idle(ws) < ws->jobs);
    for (;;) {
        struct pollfd fds[JOBS_MAX];
        struct worker *of[JOBS_MAX];
        unsigned count = 0;
        int wait_ms;
        struct worker *w = late(ws, &wait_ms);
        if (w != NULL) {
            worker_lost(w, "hang", ret_result);
            snprintf(ret_result->message, sizeof(ret_result->message), "more than %u s",
                     ws->limit_s);
            return;
        }
        for (unsigned i = 0; i < ws->jobs; i++) {
            if (!ws->workers[i].busy)
                continue;
            of[count] = &ws->workers[i];
            fds[count++] = (struct pollfd){.fd = ws->workers[i].results, .events = POLLIN};
        }
        if (poll(fds, count, wait_ms) <= 0)
            continue;
        for (unsigned i = 0; i < count; i++) {
            if (fds[i].revents != 0) {
                take_from(of[i], ret_result);
                return;
            }
        }
    }
}
