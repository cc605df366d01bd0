/* JSON Lines: one JSON object a line.
 *
 *   {"key":"a","value":"text","ttl_ms":1500}       ttl_ms only when it expires
 *   {"key_b64":"/w==","value_b64":"AAE="}          what is no UTF-8 text
 *
 * Reading, a value may also be a number or a boolean (stored as its text), an object or an array
 * (stored as compact JSON); a key may be a number. With fields->key alone, the whole line is the
 * value, exactly as it stands. */
#pragma once

#include "base/slice.h"
#include "cli/entry.h"
#include "cli/failure.h"

void jsonl_append(struct buffer *out, struct slice key, struct slice value, int64_t ttl_ms);

/* One line, without its end, into *entry (cleared first). ST_INVALID with the reason. */
int jsonl_parse(struct slice line, const struct entry_fields *fields, struct entry *entry,
                struct failure *failure);
