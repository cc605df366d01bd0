#include "run/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/config.h"

static void test_hash_and_match(void **state)
{
    char hash[PASSWORD_HASH_BYTES], other[PASSWORD_HASH_BYTES];
    assert_int_equal(password_hash(slice_str("secret"), hash), 0);
    assert_int_equal(password_hash(slice_str("secret"), other), 0);
    assert_string_not_equal(hash, other); /* the salt */
    assert_true(password_matches(hash, slice_str("secret")));
    assert_true(password_matches(other, slice_str("secret")));
    assert_false(password_matches(hash, slice_str("secre")));
    assert_false(password_matches(hash, slice_str("secrets")));
    assert_false(password_matches(hash, slice_str("")));
    hash[strlen(hash) - 3] ^= 1;
    assert_false(password_matches(hash, slice_str("secret")));
}

/* The settings take what password_hash() writes. */
static void test_the_settings_take_it(void **state)
{
    char hash[PASSWORD_HASH_BYTES], error[CONFIG_ERROR_BYTES];
    struct settings *s = settings_new();
    assert_int_equal(password_hash(slice_str(""), hash), 0);
    assert_int_equal(config_set(s, CONFIG_INDEX_password, slice_str(hash), FROM_FILE, error), 0);
    assert_true(config_is_hash(slice_str(s->password)));
    settings_unref(s);
}

static void test_nonsense_matches_nothing(void **state)
{
    static const char *const nonsense[] = {
        "", "secret", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$"
        "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFz"
        "aGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo"};
    for (unsigned i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        assert_false(password_matches(nonsense[i], slice_str("secret")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_and_match),
        cmocka_unit_test(test_the_settings_take_it),
        cmocka_unit_test(test_nonsense_matches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
