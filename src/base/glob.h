/* Glob patterns as Redis 7.0 matches them: * any bytes, ? one byte, [a-c] one of a class, [^a-c]
 * one not of it, \ takes the next byte as it is. Odd patterns (an unclosed class, a lone backslash,
 * an empty text) give the answers that Redis gives.
 *
 * Takes at most pattern.len x text.len steps, on no pattern more: only the last * seen is ever
 * retried. nocase folds ASCII letters. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

bool glob_match(struct slice pattern, struct slice text, bool nocase);

/* Whether the pattern is just "*", which callers answer without matching (Redis does, so that the
 * empty key is listed too, which a match of "*" against it would deny). */
bool glob_is_all(struct slice pattern);
