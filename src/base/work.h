/* Work that must not run on a core's own thread (it blocks: disk reads, flushes, checkpoints).
 *
 * A core hands over a struct work that it embeds in its own object; `run` is called once on some
 * other thread and may touch only what the object owns and what is immutable meanwhile; then `done`
 * is called once on the thread that submitted it, never from inside submit(). The simulator runs
 * both on its one thread, at a time of its choosing. The memory stays the core's. */
#pragma once

#include <stdbool.h>

enum work_class {
    WORK_READ,  /* short: a client waits for it */
    WORK_FLUSH, /* long: flushes, checkpoints, counting */
};

struct work {
    void (*run)(struct work *work);
    void (*done)(struct work *work);
    enum work_class klass;
    void *owner;       /* the executor's: where `done` has to run */
    struct work *next; /* the executor's */
};

/* Where a core submits its work; implemented in src/run and in the simulator. */
struct work_queue {
    void (*submit)(struct work_queue *queue, struct work *work);
};
