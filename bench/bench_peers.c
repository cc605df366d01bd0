/* What a link between two nodes carries: bench_peers [seconds]
 *
 * Two endpoints in one process over loopback, one sends. For frames of several sizes: frames and
 * megabytes a second that arrive, processor time of all threads a frame and a megabyte; then how
 * long one frame takes there and back. */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/peers.h"

#define CLUSTER 7
#define ROUNDS  5000 /* there and back */
/* At a time: less than a queue takes, so that nothing is dropped. */
#define UNDER_WAY_BYTES (8u << 20)
#define A_TURN          16 /* frames between two wake-ups, as of a shard's turn */

static atomic_uint_least64_t arrived;
static struct peers *peers[2];

static bool on_frame(void *ctx, unsigned shard, struct peers_frame *frame)
{
    atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
    peers_frame_free(frame);
    return true;
}

static double seconds_now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void start(unsigned i)
{
    char error[PEERS_ERROR_BYTES];
    struct peers_options o = peers_options_default();
    o.self = (struct handshake_id){WIRE_VERSION, CLUSTER, i + 1, 1, i + 100};
    o.secret = slice_str("a secret for the bench");
    o.addresses = "127.0.0.1";
    o.port = 0;
    o.shards = 1;
    o.handlers.frame = on_frame;
    if (peers_start(&o, &peers[i], error) < 0) {
        fprintf(stderr, "bench_peers: %s\n", error);
        exit(1);
    }
}

static void introduce(unsigned i, unsigned other)
{
    char text[PEER_ADDRESS_TEXT_BYTES];
    struct peer_address at;
    struct peers_counters c = {0};
    snprintf(text, sizeof(text), "127.0.0.1:%u", peers_port(peers[other]));
    CHECK(peer_address_parse(slice_str(text), &at) == 0);
    peers_set(peers[i], other + 1, &at);
    while (c.links_out == 0) {
        usleep(1000);
        peers_counters(peers[i], &c);
    }
}

/* One message, an entry of so many bytes. */
static struct slice make_frame(struct frame_writer *w, uint64_t from, uint64_t to, size_t bytes)
{
    struct frame_head head = {.version = WIRE_VERSION, .cluster = CLUSTER, .from = from, .to = to};
    BUFFER_AUTO struct buffer entry = {0};
    uint8_t *data = mem_zalloc(bytes);
    struct raft_entry e = {
        .index = 2, .term = 1, .type = RAFT_COMMAND, .data = slice_make(data, bytes)};
    struct raft_message m = {.code = MESSAGE_APPEND, .to = 7, .from = 8, .term = 1};
    message_entry_encode(&entry, &e);
    m.append.prev_index = m.append.prev_term = 1;
    m.append.entries = (struct message_entries){1, buffer_slice(&entry)};
    frame_reset(w);
    frame_append(w, &m);
    free(data);
    return frame_finish(w, &head);
}

static void throughput(size_t bytes, double seconds)
{
    struct frame_writer w = {0};
    struct slice frame = make_frame(&w, 1, 2, bytes);
    uint64_t sent = 0, before = atomic_load(&arrived), window = UNDER_WAY_BYTES / frame.len + 2;
    double wall = seconds_now(CLOCK_MONOTONIC), cpu = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
    double until = wall + seconds;
    while (seconds_now(CLOCK_MONOTONIC) < until) {
        for (int i = 0; i < A_TURN && sent - (atomic_load(&arrived) - before) < window; i++)
            sent += peers_send(peers[0], 2, frame);
        peers_wake(peers[0]);
        if (sent - (atomic_load(&arrived) - before) >= window)
            usleep(50);
    }
    wall = seconds_now(CLOCK_MONOTONIC) - wall;
    cpu = seconds_now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    double count = (double)(atomic_load(&arrived) - before);
    double megabytes = count * (double)frame.len / 1e6;
    printf("| %zu | %.0f | %.0f | %.2f | %.2f |\n", frame.len, count / wall, megabytes / wall,
           cpu / count * 1e6, cpu / megabytes * 1e3);
    while (atomic_load(&arrived) - before < sent)
        usleep(100);
    frame_writer_free(&w);
}

static int compare(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void there_and_back(void)
{
    static double us[ROUNDS];
    struct frame_writer there = {0}, back = {0};
    struct slice out = make_frame(&there, 1, 2, 100), in = make_frame(&back, 2, 1, 100);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t before = atomic_load(&arrived);
        double start_s = seconds_now(CLOCK_MONOTONIC);
        for (unsigned way = 0; way < 2; way++) {
            CHECK(peers_send(peers[way], 2 - way, way == 0 ? out : in));
            peers_wake(peers[way]);
            while (atomic_load(&arrived) == before + way)
                sched_yield();
        }
        us[i] = (seconds_now(CLOCK_MONOTONIC) - start_s) * 1e6;
    }
    qsort(us, ROUNDS, sizeof(us[0]), compare);
    printf("\nthere and back: p50 %.0f us, p99 %.0f us\n", us[ROUNDS / 2], us[ROUNDS * 99 / 100]);
    frame_writer_free(&there);
    frame_writer_free(&back);
}

int main(int argc, char **argv)
{
    const size_t sizes[] = {100, 1000, 10000, 100000, 1000000, 8000000};
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    start(0);
    start(1);
    introduce(0, 1);
    introduce(1, 0);
    printf("| bytes a frame | frames/s | MB/s | CPU us a frame | CPU ms a MB |\n"
           "|---|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        throughput(sizes[i], seconds);
    there_and_back();
    for (unsigned i = 0; i < 2; i++)
        peers_stop(peers[i]);
    for (unsigned i = 0; i < 2; i++)
        peers_free(peers[i]);
    return 0;
}
