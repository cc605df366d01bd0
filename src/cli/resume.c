#include "cli/resume.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define SUFFIX  ".torc-import"
#define VERSION 1

static int make_path(const char *file, const char *suffix, char path[PATH_MAX],
                     struct failure *failure)
{
    int n = snprintf(path, PATH_MAX, "%s%s", file, suffix);
    if (n < 0 || n >= PATH_MAX)
        return failure_set(failure, ST_LIMIT, "the name %s is too long.", file);
    return 0;
}

int resume_load(const char *file, struct failure *failure, struct resume_state *ret_state)
{
    char path[PATH_MAX];
    int st = make_path(file, SUFFIX, path, failure);
    if (st < 0)
        return st;
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return failure_set(failure, ST_NOTFOUND, "there is no %s to go on from.", path);
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    json_int_t version = 0, bytes, changed, offset, line, stored, failed, keyspace;
    const char *server;
    if (root == NULL ||
        json_unpack(root, "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:I}", "version", &version,
                    "file_bytes", &bytes, "file_changed_ms", &changed, "offset", &offset, "line",
                    &line, "stored", &stored, "failed", &failed, "server", &server, "keyspace",
                    &keyspace) < 0 ||
        version != VERSION || offset < 0 || line < 1 || offset > bytes) {
        json_decref(root);
        return failure_set(failure, ST_CORRUPT,
                           "%s can't be understood: remove it, and import without --resume.", path);
    }
    struct resume_state state = {
        .file_bytes = (uint64_t)bytes,
        .file_changed_ms = changed,
        .place = {.offset = (uint64_t)offset, .line = (uint64_t)line},
        .stored = (uint64_t)stored,
        .failed = (uint64_t)failed,
        .keyspace = (int)keyspace,
    };
    snprintf(state.server, sizeof(state.server), "%s", server);
    json_decref(root);
    *ret_state = state;
    return 0;
}

int resume_save(const char *file, const struct resume_state *state, struct failure *failure)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    int st = make_path(file, SUFFIX, path, failure);
    if (st == 0)
        st = make_path(file, SUFFIX ".tmp", temporary, failure);
    if (st < 0)
        return st;
    json_t *root = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:i}", "version", (json_int_t)VERSION, "file_bytes",
        (json_int_t)state->file_bytes, "file_changed_ms", (json_int_t)state->file_changed_ms,
        "offset", (json_int_t)state->place.offset, "line", (json_int_t)state->place.line, "stored",
        (json_int_t)state->stored, "failed", (json_int_t)state->failed, "server", state->server,
        "keyspace", state->keyspace);
    int failed = root == NULL || json_dump_file(root, temporary, JSON_COMPACT) < 0 ||
                 rename(temporary, path) < 0;
    int err = errno;
    json_decref(root);
    if (!failed)
        return 0;
    unlink(temporary);
    return failure_errno(failure, err ? err : EIO, "can't write", path);
}

void resume_remove(const char *file)
{
    char path[PATH_MAX];
    struct failure ignored;
    if (make_path(file, SUFFIX, path, &ignored) == 0)
        unlink(path);
}
