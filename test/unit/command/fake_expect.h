/* Golden dialogues with a session, for cmocka tests. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "command/fake_env.h"

/* Sends and compares the whole answer. */
static inline void fake_expect_bytes(struct fake_client *c, struct slice sent, struct slice wanted)
{
    buffer_clear(&c->out);
    assert_int_equal(fake_send(c, sent.data, sent.len), 0);
    if (!slice_equal(buffer_slice(&c->out), wanted))
        print_error("sent   <%.*s>\nwanted <%.*s>\ngot    <%.*s>\n", (int)sent.len, sent.data,
                    (int)wanted.len, wanted.data, (int)c->out.len, c->out.data);
    assert_true(slice_equal(buffer_slice(&c->out), wanted));
}

static inline void fake_expect(struct fake_client *c, const char *sent, const char *wanted)
{
    fake_expect_bytes(c, slice_str(sent), slice_str(wanted));
}
