/* Commands typed at a terminal, or piped in, one a line. */
#pragma once

#include "cli/args.h"
#include "cli/client.h"

/* Returns the exit code: at a terminal 0; else 2 when any line failed. */
int repl_run(const struct args *args, struct client *client);

/* Whether a line may be kept in the history: not when it holds a password. */
bool repl_is_secret(size_t argc, const struct slice *argv);
