#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/prng.h"
#include "wire/reply.h"

static void take(struct reply *r, uint64_t limit, struct buffer *out)
{
    struct iovec iov[3];
    int count;
    while ((count = reply_iovec(r, limit, iov, 3)) > 0) {
        size_t total = 0;
        for (int i = 0; i < count; i++) {
            buffer_append(out, iov[i].iov_base, iov[i].iov_len);
            total += iov[i].iov_len;
        }
        reply_sent(r, total);
    }
}

static void expect(struct reply *r, const char *wanted)
{
    BUFFER_AUTO struct buffer out = {0};
    take(r, UINT64_MAX, &out);
    if (!slice_equal(buffer_slice(&out), slice_str(wanted)))
        print_error("wanted %s\ngot %.*s\n", wanted, (int)out.len, (const char *)out.data);
    assert_true(slice_equal(buffer_slice(&out), slice_str(wanted)));
    assert_int_equal(reply_pending(r), 0);
}

static void write_all(struct reply *r)
{
    reply_write_status(r, "OK");
    reply_write_error(r, slice_str("ERR a\r\nb"));
    reply_write_int(r, -42);
    reply_write_bulk(r, slice_str("hi\r\n"));
    reply_write_bulk(r, slice_make(NULL, 0));
    reply_write_null(r);
    reply_write_null_array(r);
    reply_write_array(r, 2);
    reply_write_map(r, 2);
    reply_write_set(r, 3);
    reply_write_bool(r, true);
    reply_write_double(r, 1.5);
    reply_write_double(r, -INFINITY);
    reply_write_verbatim(r, slice_str("text"));
}

static void test_resp2(void **state)
{
    struct reply r;
    reply_init(&r);
    write_all(&r);
    expect(&r, "+OK\r\n-ERR a  "
               "b\r\n:-42\r\n$4\r\nhi\r\n\r\n$0\r\n\r\n$-1\r\n*-1\r\n*2\r\n*4\r\n*3\r\n:1\r\n"
               "$3\r\n1.5\r\n$4\r\n-inf\r\n$4\r\ntext\r\n");
    reply_free(&r);
}

static void test_resp3(void **state)
{
    struct reply r;
    reply_init(&r);
    r.version = 3;
    write_all(&r);
    expect(
        &r,
        "+OK\r\n-ERR a  b\r\n:-42\r\n$4\r\nhi\r\n\r\n$0\r\n\r\n_\r\n_\r\n*2\r\n%2\r\n~3\r\n#t\r\n"
        ",1.5\r\n,-inf\r\n=8\r\ntxt:text\r\n");
    reply_free(&r);
}

static void test_muted(void **state)
{
    struct reply r;
    reply_init(&r);
    r.muted = true;
    write_all(&r);
    assert_int_equal(r.written, 0);
    r.muted = false;
    reply_write_status(&r, "OK");
    expect(&r, "+OK\r\n");
    reply_free(&r);
}

static void test_limit(void **state)
{
    struct reply r;
    BUFFER_AUTO struct buffer out = {0};
    reply_init(&r);
    reply_write_status(&r, "OK");
    uint64_t first = r.written;
    reply_write_status(&r, "PONG");
    take(&r, first, &out);
    assert_true(slice_equal(buffer_slice(&out), slice_str("+OK\r\n")));
    expect(&r, "+PONG\r\n");
    reply_free(&r);
}

/* Random writes, partial sends and take-backs against a plain buffer. */
static void test_too_much_pending(void **state)
{
    struct reply r;
    reply_init(&r);
    r.pending_max = 100;
    static const uint8_t value[90];
    struct reply_mark before = reply_mark(&r);
    reply_write_bulk(&r, slice_make(value, 90));
    assert_false(r.exceeded);
    uint64_t written = r.written;
    reply_write_bulk(&r, slice_make(value, 90));
    assert_true(r.exceeded);
    assert_int_equal(r.written, written);
    reply_truncate(&r, before); /* the command runs again */
    assert_false(r.exceeded);
    reply_free(&r);
}

static void test_against_a_model(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng p = prng_make(seed);
        struct reply r;
        reply_init(&r);
        BUFFER_AUTO struct buffer model = {0};
        BUFFER_AUTO struct buffer out = {0};
        BUFFER_AUTO struct buffer value = {0};
        memset(buffer_reserve(&value, 100000), 'v', 100000);
        for (int step = 0; step < 300; step++) {
            struct reply_mark mark = reply_mark(&r);
            size_t model_len = model.len;
            size_t len = prng_below(&p, prng_below(&p, 4) == 0 ? 100000 : 200);
            if (prng_below(&p, 2) == 0) {
                reply_write_bulk(&r, slice_make(value.data, len));
                buffer_printf(&model, "$%zu\r\n", len);
                buffer_append(&model, value.data, len);
                buffer_append_str(&model, "\r\n");
            } else {
                reply_write_int(&r, (int64_t)len);
                buffer_printf(&model, ":%zu\r\n", len);
            }
            if (prng_below(&p, 5) == 0) {
                reply_truncate(&r, mark);
                model.len = model_len;
            }
            if (prng_below(&p, 3) == 0) {
                struct iovec iov[2];
                int count = reply_iovec(&r, r.sent + prng_below(&p, 50000), iov, 2);
                size_t total = 0;
                for (int i = 0; i < count; i++) {
                    buffer_append(&out, iov[i].iov_base, iov[i].iov_len);
                    total += iov[i].iov_len;
                }
                reply_sent(&r, total);
            }
            assert_int_equal(r.written, model.len);
            assert_int_equal(r.sent, out.len);
        }
        take(&r, UINT64_MAX, &out);
        assert_true(slice_equal(buffer_slice(&out), buffer_slice(&model)));
        assert_true(r.memory_bytes <= 2 * REPLY_CHUNK_BYTES);
        reply_trim(&r);
        assert_int_equal(r.memory_bytes, 0);
        reply_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp2),           cmocka_unit_test(test_resp3),
        cmocka_unit_test(test_muted),           cmocka_unit_test(test_limit),
        cmocka_unit_test(test_against_a_model), cmocka_unit_test(test_too_much_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
