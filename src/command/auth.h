/* Passwords: AUTH, and HELLO's AUTH.
 *
 * A password in the settings is plain text, compared in constant time at once, or an argon2id hash
 * (CONFIG_HASH_PREFIX). A hash takes about a tenth of a second and as much memory as it
 * says, so it is computed in the background, one at a time a shard; other clients wait for their
 * turn in the order they came; those that have ended their side, and may be gone, behind the
 * others. Who is known to be gone is dropped from the queue. */
#pragma once

#include "command/call.h"

#define AUTH_PASSWORD_BYTES_MAX 4096 /* given; longer is wrong */

enum auth_result {
    AUTH_YES,
    AUTH_NO,    /* the error is replied */
    AUTH_LATER, /* the call is suspended: the handler returns */
};

/* Only for calls of CMD_ASYNC commands. After AUTH_LATER, when the password is right, `then` goes
 * on with the same call and `arg`, and may call this again; when it is wrong, the error is replied.
 */
typedef void auth_then_fn(struct call *c, int arg);
enum auth_result auth_try(struct call *c, struct slice user, struct slice password, int arg,
                          auth_then_fn *then);

void auth_front_drain(struct front *f); /* closes those that wait */
void auth_front_free(struct front *f);  /* all sessions are gone, nothing runs any more */
