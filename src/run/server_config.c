/* CONFIG SET and CONFIG REWRITE meet the process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "base/status.h"
#include "run/disk_posix.h"
#include "run/machine.h"
#include "run/server_private.h"

unsigned server_clients_possible(int64_t wanted, unsigned *ret_files)
{
    unsigned files = (unsigned)wanted + FILES_RESERVED;
    files = machine_raise_files(files < FILES_MIN ? FILES_MIN : files);
    *ret_files = files;
    return files < FILES_MIN ? 0 : files - FILES_RESERVED;
}

/* max-clients is the only setting that needs something of the system. */
int server_config_check(void *ctx, const struct settings *fresh, unsigned setting, char *error,
                        size_t error_bytes)
{
    struct server *server = ctx;
    if (setting != CONFIG_INDEX_max_clients)
        return 0;
    unsigned files, clients = server_clients_possible(fresh->max_clients, &files);
    if (clients >= fresh->max_clients) {
        atomic_store(&server->shared.clients_max, clients);
        return 0;
    }
    snprintf(error, error_bytes,
             "The operating system is not able to handle the specified number of clients, try with "
             "%u (it lets this process open %u files: ulimit -n, LimitNOFILE)",
             clients, files);
    return ST_LIMIT;
}

void server_config_changed(void *ctx)
{
    struct server *server = ctx;
    const struct settings *s = __atomic_load_n(&server->shared.node->settings, __ATOMIC_ACQUIRE);
    logger_set_level((enum log_level)s->log_level);
}

/* Splits a path into its directory, opened, and the name in it. */
static int open_directory_of(const char *path, struct disk **ret_disk, const char **ret_name)
{
    char directory[1024];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(directory, sizeof(directory), ".");
    else if (slash == path)
        snprintf(directory, sizeof(directory), "/");
    else if ((size_t)(slash - path) >= sizeof(directory))
        return ST_LIMIT;
    else
        snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
    *ret_name = slash == NULL ? path : slash + 1;
    return disk_posix_open(directory, false, ret_disk);
}

static int rewrite(const struct settings *s)
{
    BUFFER_AUTO struct buffer text = {0};
    struct disk *disk = NULL;
    const char *name;
    uint8_t *old = NULL;
    size_t old_len = 0;
    int st = open_directory_of(s->file, &disk, &name);
    if (st < 0)
        return st;
    st = disk_read_file(disk, name, CONFIG_FILE_BYTES_MAX, &old, &old_len);
    if (st == ST_NOTFOUND) /* somebody removed it: write it anew */
        st = 0;
    if (st == 0) {
        config_rewrite(s, slice_make(old, old_len), &text);
        st = disk_replace_file(disk, name, buffer_slice(&text));
    }
    free(old);
    disk_posix_close(disk);
    return st;
}

int server_config_rewrite(void *ctx, char *error, size_t error_bytes)
{
    struct server *server = ctx;
    const struct settings *s = __atomic_load_n(&server->shared.node->settings, __ATOMIC_ACQUIRE);
    if (s->file == NULL) {
        snprintf(error, error_bytes, "The server is running without a config file");
        return ST_UNSUPPORTED;
    }
    int st = rewrite(s);
    if (st < 0)
        snprintf(error, error_bytes, "Rewriting config file: %s", status_text(st));
    return st;
}
