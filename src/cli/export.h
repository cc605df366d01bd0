/* torc export [FILE]: the keys of a keyspace as JSON Lines or CSV. A file is written beside its
 * name and takes it when it is complete and on disk; devices, FIFOs and the like are written to. */
#pragma once

#include "cli/args.h"
#include "cli/client.h"

int export_run(const struct args *args, struct client *client);
