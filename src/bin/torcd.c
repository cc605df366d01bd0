/* torcd: the server program. Reads settings, then hands over to run/server. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/logger.h"
#include "base/mem.h"
#include "base/status.h"
#include "node/config.h"
#include "run/log_file.h"
#include "run/password.h"
#include "run/server.h"

#define EXIT_USAGE              64 /* EX_USAGE: a bad setting */
#define PASSWORD_LINE_BYTES_MAX 4096

extern char **environ;

static int read_file(const char *path, size_t max_bytes, char **ret_text, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_from_errno(errno);
    char *text = mem_alloc(max_bytes + 1);
    size_t len = 0;
    ssize_t n = 1;
    while (n > 0 && len <= max_bytes) {
        n = read(fd, text + len, max_bytes + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    int err = n < 0 ? errno : 0;
    close(fd);
    if (n < 0 || len > max_bytes) {
        free(text);
        return n < 0 ? status_from_errno(err) : ST_LIMIT;
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}

static int show(void (*print)(struct buffer *out), const char *heading)
{
    BUFFER_AUTO struct buffer out = {0};
    buffer_append_str(&out, heading);
    print(&out);
    return fwrite(out.data, 1, out.len, stdout) == out.len ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const char usage[] =
    "Usage: torcd [PORT] [--config FILE] [--SETTING VALUE ...]\n"
    "       torcd --hash-password      (reads it from standard input, prints its hash)\n"
    "The Torc key-value server. Settings come from flags, else from the environment\n"
    "(TORC_DATA_DIR=...), else from the file, else they have the value in brackets.\n\n";

/* The hash of the line on standard input, to be put into the settings. */
static int print_hash(void)
{
    char line[PASSWORD_LINE_BYTES_MAX], hash[PASSWORD_HASH_BYTES];
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "Password (it is shown): ");
    bool read = fgets(line, sizeof(line), stdin) != NULL;
    size_t len = read ? strcspn(line, "\n") : 0;
    if (len == 0 || len + 1 == sizeof(line)) {
        fprintf(stderr, "torcd: --hash-password: no password, or too long a one\n");
        return EXIT_USAGE;
    }
    line[len] = '\0';
    int st = password_hash(slice_str(line), hash);
    explicit_bzero(line, sizeof(line));
    if (st < 0) {
        fprintf(stderr, "torcd: --hash-password: %s\n", status_text(st));
        return EXIT_FAILURE;
    }
    return printf("%s\n", hash) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Signals are waited for by the main thread, and blocked in all others. */
static void signals_prepare(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int serve(struct settings *settings)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct server *server;
    int st = log_file_open(settings->log_file);
    if (st < 0) {
        fprintf(stderr, "torcd: can't open log-file %s: %s\n", settings->log_file, status_text(st));
        return EXIT_FAILURE;
    }
    logger_set_level((enum log_level)settings->log_level);
    signals_prepare();
    if (server_start(settings, &server, error) < 0) {
        fprintf(stderr, "torcd: %s\n", error);
        return EXIT_FAILURE;
    }
    int status = server_run(server);
    server_free(server);
    return status;
}

int main(int argc, char **argv)
{
    char error[CONFIG_ERROR_BYTES];
    struct config_request request;
    struct settings *settings = settings_new();
    int status;
    if (config_load(settings, argc, argv, environ, read_file, &request, error) < 0) {
        fprintf(stderr, "torcd: %s\n", error);
        status = EXIT_USAGE;
    } else if (request.version) {
        status = printf("torcd %s\n", TORC_VERSION) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    } else if (request.markdown) {
        status = show(config_markdown, "");
    } else if (request.hash_password) {
        status = print_hash();
    } else if (request.help) {
        status = show(config_help, usage);
    } else {
        status = serve(settings);
    }
    settings_unref(settings);
    return status;
}
