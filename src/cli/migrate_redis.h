/* torc import redis://...: copies the strings of a running server, with their expiries. */
#pragma once

#include "cli/args.h"
#include "cli/client.h"

int migrate_redis_run(const struct args *args, struct client *target);
