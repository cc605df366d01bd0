/* Background threads for struct work: readers for what clients wait for, and a few nicer threads
 * for long work (flushes, checkpoints, counting).
 *
 * Work is run in the order it came, per class. When it ran, it is put into its owner's mailbox, and
 * the owner calls `done` on its own thread (executor_finish). An owner outlives its work. */
#pragma once

#include "base/work.h"
#include "run/mailbox.h"

struct executor;

struct executor_owner {
    struct executor *executor;
    struct mailbox finished; /* struct work */
    void (*wake)(struct executor_owner *owner);
};

int executor_create(unsigned readers, unsigned flushers, struct executor **ret_executor);
/* Runs what was submitted to its end, then stops. NULL is allowed. */
void executor_free(struct executor *executor);

void executor_owner_init(struct executor_owner *owner, struct executor *executor,
                         void (*wake)(struct executor_owner *owner));
/* From any thread; `done` will be called by the owner's. */
void executor_submit(struct executor_owner *owner, struct work *work);
/* Calls `done` of what has run, on the owner's thread. Returns how many. */
unsigned executor_finish(struct executor_owner *owner);
