/* torc restore SNAPSHOT_DIR DATA_DIR: makes a data directory out of a snapshot, with no server
 * running on it.
 *
 *   snapshot/torc.identity   marks the directory as complete; copied
 *   snapshot/log/...         copied: the server goes on writing in them
 *   snapshot/rocks/N.sst     never written again: linked where the file system can, else copied
 *   snapshot/rocks/...       all others are copied
 *
 * Everything is made in DATA_DIR.tmp and synced, then renamed: DATA_DIR is complete or not there.
 * It must not hold anything before. The snapshot is not changed. A table file that was cut off is
 * refused; other damage is found by the server. */
#pragma once

#include "cli/args.h"

#define RESTORE_IDENTITY "torc.identity"

struct restore_totals {
    uint64_t files, linked, bytes;
};

int restore_copy(const char *snapshot, const char *data_dir, struct restore_totals *ret_totals,
                 struct failure *failure);

/* Returns the exit code. */
int restore_run(const struct args *args);
