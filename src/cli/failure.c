#include "cli/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int failure_set(struct failure *failure, int status, const char *format, ...)
{
    char text[sizeof(failure->text)]; /* the old text may be an argument */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    memcpy(failure->text, text, sizeof(text));
    failure->status = status;
    return status;
}

int failure_errno(struct failure *failure, int err, const char *what, const char *name)
{
    return failure_set(failure, status_from_errno(err), "%s %s: %s.", what, name, strerror(err));
}

void failure_print(const struct failure *failure)
{
    fflush(stdout);
    fprintf(stderr, "torc: %s\n", failure->text);
}
