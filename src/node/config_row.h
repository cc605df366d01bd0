/* The settings table as data, for config*.c only. */
#pragma once

#include <stddef.h>

#include "node/config.h"

enum config_kind {
    KIND_BOOL,
    KIND_INT,
    KIND_BYTES,
    KIND_SECONDS,
    KIND_MILLIS,
    KIND_ENUM,
    KIND_TEXT,
    KIND_SECRET,
    KIND_OUTPUT_LIMITS,
};

enum config_when { WHEN_LIVE, WHEN_START, WHEN_BIRTH };

struct config_row {
    const char *name, *alias, *initial, *choices, *help;
    int64_t min, max;
    size_t offset; /* of the field in struct settings */
    enum config_kind kind;
    enum config_when when;
};

extern const struct config_row config_rows[CONFIG_COUNT];

void config_error(char error[CONFIG_ERROR_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What values are allowed, as a phrase: "from 1 to 65536", "one of always, everysec, never". */
void config_allowed(unsigned index, char *out, size_t bytes);

/* The known name that is closest to a mistyped one; NULL when none is close. */
const char *config_closest(struct slice name);
