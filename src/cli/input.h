/* Records of a text file, one after the other, with the line each starts on and the offset behind
 * it: what a resumed import goes on from. Reads only forward, in portions; holds one record. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "cli/failure.h"

#define INPUT_RECORD_BYTES_MAX ((size_t)512 << 20) /* 64 MiB of value, each byte as \u0000 */

struct input_place {
    uint64_t offset; /* bytes */
    uint64_t line;   /* of the next record, from 1 */
};

struct input;

/* "-" is the standard input. `quoted`: line ends inside double quotes belong to the record. */
int input_open(const char *path, bool quoted, struct failure *failure, struct input **ret_input);
void input_close(struct input *input);

/* The size of a regular file, else 0. */
uint64_t input_bytes(const struct input *input);
/* Something that changes when the file is written to; 0 for what is no regular file. */
int64_t input_changed_ms(const struct input *input);

/* The next record with its line end, valid until the next call; *ret_line is where it starts.
 * ST_CLOSED at the end; ST_LIMIT for a record that is too long. */
int input_next(struct input *input, struct failure *failure, struct slice *ret_record,
               uint64_t *ret_line);
struct input_place input_place(const struct input *input); /* behind the last record */
int input_seek(struct input *input, struct input_place place, struct failure *failure);
