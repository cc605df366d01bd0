/* Base64 as RFC 4648 section 4 has it, with padding: how bytes that are no text travel in JSON and
 * CSV. */
#pragma once

#include "base/buffer.h"
#include "base/slice.h"

void base64_append(struct buffer *out, struct slice bytes);

/* Appends the decoded bytes; ST_INVALID, with `out` as it was, for anything not canonical. */
int base64_decode(struct slice text, struct buffer *out);
