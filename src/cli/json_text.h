/* JSON text: which bytes may stand in it, and how they are written. */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

/* Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
bool json_text_is_utf8(struct slice bytes);

/* Appends a JSON string, quotes included; the bytes must be UTF-8. */
void json_text_append(struct buffer *out, struct slice utf8);
