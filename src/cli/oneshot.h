/* One command from the command line: `torc get k`. */
#pragma once

#include "cli/args.h"
#include "cli/client.h"
#include "cli/format.h"

/* How replies are printed, from the options and from whether stdout is a terminal. */
enum format_mode oneshot_mode(const struct args *args);

/* Prints a reply: errors to stderr (in JSON mode to stdout), all else to stdout. `page` as in
 * format_is_page(). Returns the exit code that the reply alone means. */
int oneshot_print(const struct resp_reply *reply, enum format_mode mode, bool newline, bool page);

/* Returns the exit code. */
int oneshot_run(const struct args *args, struct client *client);
