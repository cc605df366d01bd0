#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/client.h"
#include "cli/export.h"
#include "cli/import.h"
#include "cli/oneshot.h"
#include "cli/repl.h"
#include "cli/restore.h"

static int run(const struct args *args)
{
    struct client client = {
        .address = args->server,
        .user = args->user,
        .password = args->password,
        .keyspace = args->keyspace,
        .protocol = args->protocol,
        .timeout_ms = args->timeout_ms,
    };
    int code = CLI_OK;
    switch (args->action) {
    case ARGS_HELP:
        args_print_help(stdout);
        break;
    case ARGS_VERSION:
        puts("torc " TORC_VERSION);
        break;
    case ARGS_COMMAND:
        code = oneshot_run(args, &client);
        break;
    case ARGS_IMPORT:
        code = import_run(args, &client);
        break;
    case ARGS_EXPORT:
        code = export_run(args, &client);
        break;
    case ARGS_RESTORE:
        code = restore_run(args);
        break;
    case ARGS_INTERACTIVE:
        code = repl_run(args, &client);
        break;
    }
    client_disconnect(&client);
    return code;
}

int cli_main(int argc, char **argv)
{
    struct failure failure;
    struct args args;
    if (args_parse(argc, argv, &failure, &args) < 0) {
        failure_print(&failure);
        return CLI_ERROR;
    }
    int code = run(&args);
    args_free(&args);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        failure_errno(&failure, errno, "can't write", "the standard output");
        failure_print(&failure);
        return CLI_ERROR;
    }
    return code;
}
