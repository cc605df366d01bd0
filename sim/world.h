/* The world of one simulated run: its time, its events, its random numbers and its trace.
 *
 * Guarantees: the same seed and the same program give the same events at the same times, on any
 * machine and build type. Events of one time fire in the order they were set. Each concern (the
 * network, a disk, a client ...) draws from a generator of its own, so one more number drawn by one
 * does not shift the others'.
 *
 * The trace is what happened, folded into one hash: two runs that differ anywhere differ in their
 * hash. What goes into it must not depend on addresses, padding or floating point. With a sink set
 * it is printed too, a line an event: `t=12.345678 node=2 deliver from=1 bytes=64`. */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/prng.h"
#include "base/slice.h"

#define WORLD_FAIL_BYTES 512

struct world;

struct world_event { /* embedded in what it concerns; a zeroed one with `fire` set is unarmed */
    void (*fire)(struct world_event *event);
    struct heap_node node;
};

struct world_field {
    const char *key; /* static */
    uint64_t value;
};

struct world *world_new(uint64_t seed);
void world_free(struct world *w); /* events still armed are not touched */

uint64_t world_seed(const struct world *w);
uint64_t world_now_us(const struct world *w);

/* The generator of a concern, and of its n-th instance; the same whenever it is asked for. */
struct prng world_prng(const struct world *w, const char *concern, uint64_t n);

/* Arms or moves it. A time that has passed means now, after what is due already. */
void world_at(struct world *w, struct world_event *event, uint64_t at_us);
void world_after(struct world *w, struct world_event *event, uint64_t delay_us);
void world_cancel(struct world *w, struct world_event *event);

/* Fires what is due until then, or until the run has failed; the time is then at_us. Returns false
 * when it failed. */
bool world_run_until(struct world *w, uint64_t at_us);

/* --- the trace --- */

/* world_trace(w, 2, "deliver", {"from", 1}, {"bytes", 64}); node 0: of none. `what` is static. */
#define world_trace(w, node, what, ...)                                          \
    world_trace_fields(w, node, what, (const struct world_field[]){__VA_ARGS__}, \
                       sizeof((const struct world_field[]){__VA_ARGS__}) /       \
                           sizeof(struct world_field))
void world_trace_fields(struct world *w, unsigned node, const char *what,
                        const struct world_field *fields, size_t count);
/* Bytes into the hash of the last event traced; not printed. */
void world_trace_bytes(struct world *w, struct slice bytes);
/* Printed only, where a sink is set: what explains an event to a person. */
void world_note(struct world *w, unsigned node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

uint64_t world_hash(const struct world *w);
uint64_t world_events(const struct world *w); /* fired so far */

/* Lines without their newline; NULL: none. */
void world_set_sink(struct world *w, void (*line)(void *ctx, const char *text), void *ctx);
bool world_tracing(const struct world *w);

/* --- coverage --- */

#define WORLD_MARKS_MAX       64
#define WORLD_MARK_NAME_BYTES 40

struct world_mark {
    char name[WORLD_MARK_NAME_BYTES];
    uint64_t count;
};

/* Counts a transition that a run should see now and then ("snapshot_installed"). */
void world_mark(struct world *w, const char *name);
const struct world_mark *world_marks(const struct world *w, size_t *ret_count);

/* --- verdict --- */

/* The run has failed: the checker's name (static, one word) and why. The first failure counts. */
void world_fail(struct world *w, const char *checker, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *world_failed(const struct world *w); /* the checker's name, NULL: not so far */
const char *world_failure(const struct world *w);
