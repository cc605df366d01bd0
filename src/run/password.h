/* Passwords kept as argon2id hashes (libsodium). Both block, and take the memory and the time that
 * the hash says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

#define PASSWORD_HASH_BYTES 128 /* with its NUL */

/* Whether the hash, as password_hash() writes it, is of this password; any thread. */
bool password_matches(const char *hash, struct slice password);
/* ST_NOMEM. Takes 64 MiB and about a tenth of a second of work, as checking it will. */
int password_hash(struct slice password, char ret_hash[PASSWORD_HASH_BYTES]);
