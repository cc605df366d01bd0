/* One key with its value, as import and export carry it. A zeroed struct is empty. */
#pragma once

#include <stdint.h>

#include "base/buffer.h"

#define ENTRY_FOREVER 0 /* ttl_ms of what does not expire */

struct entry {
    struct buffer key, value;
    int64_t ttl_ms; /* at least 1, or ENTRY_FOREVER */
};

static inline void entry_clear(struct entry *e)
{
    buffer_clear(&e->key);
    buffer_clear(&e->value);
    e->ttl_ms = ENTRY_FOREVER;
}

static inline void entry_free(struct entry *e)
{
    buffer_free(&e->key);
    buffer_free(&e->value);
}

/* Which fields of a file's records are what. NULL: the usual names, "key", "value", "ttl_ms" and
 * the binary "key_b64" and "value_b64". */
struct entry_fields {
    const char *key;   /* this field is the key; alone, the value is the whole record as JSON */
    const char *value; /* this field is the value */
};
