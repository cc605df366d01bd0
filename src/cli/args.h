/* The command line. Options of the client itself stand before the command; what follows a command
 * of the server is sent as it is. import, export and restore are the client's own, and take their
 * options anywhere. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/address.h"
#include "cli/failure.h"

#define ARGS_TIMEOUT_MS         10000
#define ARGS_KEYSPACE_MAX       1023
#define ARGS_PASSWORD_BYTES_MAX 4096

enum args_action {
    ARGS_INTERACTIVE,
    ARGS_COMMAND,
    ARGS_IMPORT,
    ARGS_EXPORT,
    ARGS_RESTORE,
    ARGS_HELP,
    ARGS_VERSION,
};

enum args_output { OUTPUT_AUTO, OUTPUT_TTY, OUTPUT_RAW, OUTPUT_JSON };
enum args_file_format { FILE_BY_NAME, FILE_JSONL, FILE_CSV };

/* Texts point into argv or the environment, except `password`, which is owned. */
struct args {
    enum args_action action;
    struct address server;
    const char *user;
    char *password; /* NULL: none */
    int keyspace;
    int protocol; /* 2 or 3 */
    uint64_t timeout_ms;
    enum args_output output;
    bool no_newline;
    bool stdin_last; /* the last argument comes from the standard input */

    enum args_file_format format;
    const char *key_field, *value_field, *key_prefix, *match;
    bool no_header, resume, dry_run;

    int operand_count; /* the command and its arguments; of import and the like, what follows it */
    char **operands;
};

/* May reorder argv. On failure *ret_args is untouched. */
int args_parse(int argc, char **argv, struct failure *failure, struct args *ret_args);
void args_free(struct args *args);

void args_print_help(FILE *to);
