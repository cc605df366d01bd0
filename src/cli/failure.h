/* What went wrong, for the person at the terminal: a status for the program, and a sentence that
 * also says what to do. A plain value; functions that can fail for outside reasons take one and
 * fill it when they return a negative status. */
#pragma once

#include "base/status.h"

enum cli_exit { /* documented in --help; scripts rely on them */
                CLI_OK = 0,
                CLI_NOT_FOUND = 1,
                CLI_ERROR = 2,
                CLI_INTERRUPTED = 130, /* as shells report a program that SIGINT ended */
};

struct failure {
    int status;
    char text[640];
};

/* Both return `status`, so that `return failure_set(...)` reads well. */
int failure_set(struct failure *failure, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int failure_errno(struct failure *failure, int err, const char *what, const char *name);

/* "torc: <text>" to stderr. */
void failure_print(const struct failure *failure);
