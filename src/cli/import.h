/* torc import FILE: JSON Lines and CSV into a keyspace. */
#pragma once

#include "cli/args.h"
#include "cli/client.h"

/* Returns the exit code. Addresses (redis://...) go to migrate_redis_run(). */
int import_run(const struct args *args, struct client *client);

/* The format of a file, by --format or its name; FILE_BY_NAME when neither tells. */
enum args_file_format import_format(const struct args *args, const char *path);
