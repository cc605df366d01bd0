/* Command lines as redis-cli reads and writes them; reading is the server's (wire/resp.h).
 *
 *   set k "a\n\x00b"     double quotes: \n \r \t \b \a \" \\ \xHH
 *   set k 'it\'s'        single quotes: only \' is special
 *
 * A closing quote must be followed by white space or the end. */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

#define QUOTE_ARGS_MAX (1u << 20)

/* The arguments of one line. Owns everything; quote_args_free() gives it back. */
struct quote_args {
    struct slice *items; /* into `bytes` */
    size_t count;
    struct buffer bytes;
};

/* 0; ST_INVALID for quotes that don't close, or close in the middle of a word; ST_LIMIT. */
int quote_split(struct slice line, struct quote_args *ret_args);
void quote_args_free(struct quote_args *args);

/* Appends `bytes` in double quotes, with everything that is not printable ASCII escaped. */
void quote_append(struct buffer *out, struct slice bytes);

/* ASCII, without regard to case. */
bool quote_word_is(struct slice word, const char *name);
