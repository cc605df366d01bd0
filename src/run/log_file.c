#include "run/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"

#define LOG_FILE_MODE 0640

/* As the logger is one for the process, so is its file. */
static char *log_path;
static int log_fd = STDERR_FILENO;

static int path_open(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, LOG_FILE_MODE);
}

int log_file_open(const char *path)
{
    if (path[0] != '\0') {
        int fd = path_open(path);
        if (fd < 0)
            return status_from_errno(errno);
        log_fd = fd;
        free(log_path);
        log_path = mem_strdup(path);
    }
    logger_set_sink(logger_sink_fd, (void *)(intptr_t)log_fd);
    return 0;
}

/* The descriptor stays the same, so that other threads may log meanwhile. */
void log_file_reopen(void)
{
    if (log_path == NULL)
        return;
    int fd = path_open(log_path);
    if (fd < 0 || dup3(fd, log_fd, O_CLOEXEC) < 0)
        log_event(LOG_ERROR, "log_not_reopened", "path=%s error=%s", log_path, strerror(errno));
    if (fd >= 0)
        close(fd);
}
