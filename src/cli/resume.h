/* How far an import has come: FILE.torc-import beside FILE, JSON, replaced atomically.
 *
 *   {"version":1,"file_bytes":N,"file_changed_ms":N,"offset":N,"line":N,"stored":N,"failed":N,
 *    "server":"host:port","keyspace":N}
 *
 * All records before `offset` have been answered; later ones may have been stored too, and are
 * stored again: writing a record twice is the same as once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli/failure.h"
#include "cli/input.h"

struct resume_state {
    uint64_t file_bytes;
    int64_t file_changed_ms;
    struct input_place place;
    uint64_t stored, failed;
    char server[300];
    int keyspace;
};

/* All three take the path of FILE, not of the state. */
int resume_load(const char *file, struct failure *failure, struct resume_state *ret_state);
int resume_save(const char *file, const struct resume_state *state, struct failure *failure);
void resume_remove(const char *file);
