#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "check_failed expression=\"%s\" file=%s line=%d\n", expression, file, line);
    abort();
}
