/* Replies as text. Pure: reply in, bytes out.
 *
 *   tty   what redis-cli shows on a terminal:  1) "a"  (integer) 1  (nil)  1# "k" => (integer) 1
 *   raw   bare values, one a line, for pipes; nil is an empty line
 *   json  one JSON document. Strings that are no UTF-8 become {"base64": "..."}, errors
 *         {"error": "..."}, big numbers strings, infinities and NaN strings
 *
 * All end with a newline, except raw with `newline` false. */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "wire/resp_reply.h"

enum format_mode { FORMAT_TTY, FORMAT_RAW, FORMAT_JSON };

void format_tty(const struct resp_reply *reply, struct buffer *out);
void format_raw(const struct resp_reply *reply, bool newline, struct buffer *out);
void format_json(const struct resp_reply *reply, struct buffer *out);

/* Whether the reply to this command is a page of text, which a terminal shows as it is. */
bool format_is_page(size_t argc, const struct slice *argv);
