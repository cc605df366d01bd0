/* A fresh directory for a test, removed with all in it at the end. */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

static inline void temp_dir_make(char path[64])
{
    snprintf(path, 64, "/tmp/torc-test-XXXXXX");
    CHECK(mkdtemp(path) != NULL);
}

static inline int temp_dir_remove_one(const char *path, const struct stat *st, int type,
                                      struct FTW *ftw)
{
    return remove(path);
}

static inline void temp_dir_remove(const char *path)
{
    nftw(path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
