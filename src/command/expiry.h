/* Times to live in commands: SET's options and the EXPIRE family. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct call;

enum expiry_unit { EXPIRY_S, EXPIRY_MS, EXPIRY_AT_S, EXPIRY_AT_MS };

/* argv[arg] as a positive time, turned into unix milliseconds. Replies and returns false on an
 * error. */
bool expiry_parse(struct call *c, int arg, enum expiry_unit unit, uint64_t *ret_expire_ms);
