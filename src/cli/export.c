#include "cli/export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/csv.h"
#include "cli/import.h"
#include "cli/interrupt.h"
#include "cli/jsonl.h"
#include "cli/progress.h"
#include "cli/scan.h"

#define WRITE_BYTES (256u << 10)

struct export
{
    const struct args *args;
    const char *path;         /* NULL: the standard output */
    char target[PATH_MAX];    /* the path without symbolic links; "": written in place */
    char temporary[PATH_MAX]; /* becomes the target */
    int fd;
    enum args_file_format format;
    struct buffer out;
    struct scan_counts counts;
    struct progress progress;
    uint64_t estimate;
};

static int write_out(struct export *ex, struct failure *failure)
{
    for (size_t at = 0; at < ex->out.len;) {
        ssize_t n = write(ex->fd, ex->out.data + at, ex->out.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failure_errno(failure, errno, "can't write",
                                 ex->path ? ex->path : "the standard output");
        at += (size_t)n;
    }
    buffer_clear(&ex->out);
    return 0;
}

static int on_item(void *ctx, const struct scan_item *item, struct failure *failure)
{
    struct export *ex = ctx;
    if (ex->format == FILE_CSV)
        csv_append(&ex->out, item->key, item->value, item->ttl_ms);
    else
        jsonl_append(&ex->out, item->key, item->value, item->ttl_ms);
    progress_update(&ex->progress, ex->counts.keys, ex->estimate, ex->counts.strings);
    return ex->out.len >= WRITE_BYTES ? write_out(ex, failure) : 0;
}

static bool is_stdout(const struct stat *info)
{
    struct stat out;
    return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == info->st_dev &&
           out.st_ino == info->st_ino;
}

/* Devices, FIFOs and what the standard output is already (/dev/stdout, in its many forms) are
 * written to; a file is replaced, and where the path is a link, the file that it leads to. */
static int open_output(struct export *ex, struct failure *failure)
{
    struct stat info;
    bool there = ex->path != NULL && stat(ex->path, &info) == 0;
    if (ex->path == NULL || (there && is_stdout(&info))) {
        ex->path = NULL;
        ex->fd = STDOUT_FILENO;
        return 0;
    }
    bool dangling = !there && lstat(ex->path, &info) == 0;
    if (dangling || (there && !S_ISREG(info.st_mode))) {
        ex->fd = open(ex->path, O_WRONLY | (dangling ? O_CREAT : 0) | O_NOCTTY | O_CLOEXEC, 0666);
        return ex->fd < 0 ? failure_errno(failure, errno, "can't write", ex->path) : 0;
    }
    if (!there)
        snprintf(ex->target, sizeof(ex->target), "%s", ex->path);
    else if (realpath(ex->path, ex->target) == NULL)
        return failure_errno(failure, errno, "can't write", ex->path);
    int n = snprintf(ex->temporary, sizeof(ex->temporary), "%s.%d.tmp", ex->target, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(ex->temporary))
        return failure_set(failure, ST_LIMIT, "the name %s is too long.", ex->path);
    ex->fd = open(ex->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return ex->fd < 0 ? failure_errno(failure, errno, "can't create", ex->temporary) : 0;
}

static int sync_parent(const char *path, struct failure *failure)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int st = fd < 0 || fsync(fd) < 0
                 ? failure_errno(failure, errno, "can't sync the directory of", path)
                 : 0;
    if (fd >= 0)
        close(fd);
    return st;
}

/* Makes a file durable under its name, or removes it. */
static int close_output(struct export *ex, int st, struct failure *failure)
{
    if (ex->path == NULL || ex->fd < 0)
        return st;
    bool in_place = ex->target[0] == '\0';
    if (st == 0 && fsync(ex->fd) < 0 && !(in_place && (errno == EINVAL || errno == ENOTSUP)))
        st = failure_errno(failure, errno, "can't sync", ex->path);
    if (close(ex->fd) < 0 && st == 0)
        st = failure_errno(failure, errno, "can't close", ex->path);
    if (in_place)
        return st;
    if (st == 0 && rename(ex->temporary, ex->target) < 0)
        st = failure_errno(failure, errno, "can't rename the export to", ex->path);
    if (st < 0) {
        unlink(ex->temporary);
        return st;
    }
    return sync_parent(ex->target, failure);
}

static int run(struct export *ex, struct client *client, struct failure *failure)
{
    int st = client_connect(client, failure);
    if (st == 0)
        st = open_output(ex, failure);
    if (st < 0)
        return st;
    ex->estimate = ex->args->match ? 0 : scan_estimate(client);
    if (ex->format == FILE_CSV)
        csv_append_header(&ex->out);
    st = scan_run(client, ex->args->match, on_item, ex, &ex->counts, failure);
    if (st == 0)
        st = write_out(ex, failure);
    return close_output(ex, st, failure);
}

static void print_summary(const struct export *ex)
{
    BUFFER_AUTO struct buffer text = {0};
    buffer_append_str(&text, "exported ");
    progress_append_number(&text, ex->counts.strings);
    buffer_printf(&text, " record%s in %.1f s\n", ex->counts.strings == 1 ? "" : "s",
                  progress_seconds(&ex->progress));
    for (size_t i = 0; i < ex->counts.left_count; i++)
        buffer_printf(&text, "left: %s %" PRIu64 "\n", ex->counts.left[i].type,
                      ex->counts.left[i].keys);
    fwrite(text.data, 1, text.len, stderr);
}

int export_run(const struct args *args, struct client *client)
{
    struct failure failure;
    struct export ex = {.args = args, .fd = -1};
    if (args->operand_count > 1) {
        failure_set(&failure, ST_INVALID, "export takes one FILE at most.");
        failure_print(&failure);
        return CLI_ERROR;
    }
    if (args->operand_count == 1 && strcmp(args->operands[0], "-") != 0)
        ex.path = args->operands[0];
    ex.format = import_format(args, ex.path ? ex.path : "-");
    if (ex.format == FILE_BY_NAME) {
        failure_set(&failure, ST_INVALID,
                    "the name %s tells no format: say --format jsonl or --format csv.", ex.path);
        failure_print(&failure);
        return CLI_ERROR;
    }
    interrupt_install();
    signal(SIGPIPE, SIG_IGN);
    progress_start(&ex.progress, 0);
    int st = run(&ex, client, &failure);
    progress_end(&ex.progress);
    buffer_free(&ex.out);
    if (st < 0) {
        failure_print(&failure);
        return st == ST_AGAIN ? CLI_INTERRUPTED : CLI_ERROR;
    }
    print_summary(&ex);
    return CLI_OK;
}
