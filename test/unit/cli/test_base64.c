#include "cli/base64.h"

#include <stdarg.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/status.h"

static void test_vectors(void **state) /* RFC 4648 section 10 */
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        BUFFER_AUTO struct buffer text = {0};
        base64_append(&text, slice_str(vectors[i][0]));
        assert_true(slice_equal(buffer_slice(&text), slice_str(vectors[i][1])));
        BUFFER_AUTO struct buffer bytes = {0};
        assert_int_equal(base64_decode(slice_str(vectors[i][1]), &bytes), 0);
        assert_true(slice_equal(buffer_slice(&bytes), slice_str(vectors[i][0])));
    }
}

static void test_all_bytes(void **state)
{
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        BUFFER_AUTO struct buffer text = {0};
        BUFFER_AUTO struct buffer back = {0};
        base64_append(&text, slice_make(bytes, len));
        assert_int_equal(base64_decode(buffer_slice(&text), &back), 0);
        assert_true(slice_equal(buffer_slice(&back), slice_make(bytes, len)));
    }
}

static void test_refuses(void **state)
{
    static const char *const texts[] = {"Z",      "Zg",       "Zg=",  "Zg===", "Z===",
                                        "====",   "Zg==Zg==", "Zh==", "Zm9=",  "Zm 9",
                                        "Zm9v\n", "Zm-_",     "=Zg="};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        BUFFER_AUTO struct buffer out = {0};
        buffer_append_str(&out, "kept");
        assert_int_equal(base64_decode(slice_str(texts[i]), &out), ST_INVALID);
        assert_true(slice_equal(buffer_slice(&out), slice_str("kept")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_all_bytes),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
