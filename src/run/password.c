#include "run/password.h"

#include <sodium.h>

#include "base/check.h"
#include "base/status.h"

_Static_assert(PASSWORD_HASH_BYTES == crypto_pwhash_STRBYTES, "as libsodium writes it");

bool password_matches(const char *hash, struct slice password)
{
    char text[PASSWORD_HASH_BYTES] = ""; /* libsodium wants as many bytes there */
    CHECK(sodium_init() >= 0);
    if (strlen(hash) >= sizeof(text))
        return false;
    strcpy(text, hash);
    return crypto_pwhash_str_verify(text, (const char *)password.data, password.len) == 0;
}

int password_hash(struct slice password, char ret_hash[PASSWORD_HASH_BYTES])
{
    CHECK(sodium_init() >= 0);
    return crypto_pwhash_str(ret_hash, (const char *)password.data, password.len,
                             crypto_pwhash_OPSLIMIT_INTERACTIVE,
                             crypto_pwhash_MEMLIMIT_INTERACTIVE) == 0
               ? 0
               : ST_NOMEM;
}
