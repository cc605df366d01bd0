#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/glob.h"
#include "base/prng.h"

/* Answers of redis-server 7.0.15 (KEYS with the text as the only key). */
static void test_answers_of_redis(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"", "a", false},           {"a", "a", true},
        {"a", "A", false},          {"a*", "a", true},
        {"a**", "a", true},         {"*a", "ba", true},
        {"*a*", "xyz", false},      {"a*b*c", "axxbyyc", true},
        {"a*b*c", "axxbyy", false}, {"?", "a", true},
        {"??", "a", false},         {"a?c", "abc", true},
        {"[abc]", "b", true},       {"[abc]", "d", false},
        {"[a-c]x", "bx", true},     {"[c-a]x", "bx", true}, /* a range may be upside down */
        {"[^a-c]", "d", true},      {"[^a-c]", "b", false},
        {"[", "[", false},          {"[^", "z", true}, /* an unclosed class ends with the pattern */
        {"[a", "a", true},          {"[ab", "b", true},
        {"[]", "]", false}, /* an empty class */
        {"[^]", "x", true},         {"[\\]]", "]", true},
        {"[\\-]", "-", true},       {"[a-]", "-", false}, /* a range from ] to a, unclosed behind */
        {"[a-]", "]", true},        {"[a-]", "b", false},
        {"[\\", "\\", true},        {"\\*", "*", true},
        {"\\*", "x", false},        {"\\", "\\", true},
        {"a\\", "a\\", true},       {"h[a-z]*o", "hello", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool got = glob_match(slice_str(cases[i].pattern), slice_str(cases[i].text), false);
        if (got != cases[i].match)
            fail_msg("%s against %s gives %d", cases[i].pattern, cases[i].text, got);
    }
}

static void test_nocase(void **state)
{
    assert_true(glob_match(slice_str("HeL*"), slice_str("hello"), true));
    assert_true(glob_match(slice_str("[A-C]"), slice_str("b"), true));
    assert_true(glob_match(slice_str("[abc]"), slice_str("B"), true));
    assert_true(glob_match(slice_str("\\A"), slice_str("a"), true));
    assert_false(glob_match(slice_str("[\\A]"), slice_str("a"), true));
    assert_false(glob_match(slice_str("HeL*"), slice_str("hello"), false));
}

static void test_empty_text(void **state)
{
    assert_true(glob_match(slice_str(""), slice_str(""), false));
    assert_false(glob_match(slice_str("*"), slice_str(""), false));
    assert_true(glob_is_all(slice_str("*")));
    assert_false(glob_is_all(slice_str("**")));
    assert_false(glob_is_all(slice_str("")));
}

/* The plain definition, exponential and recursive: classes written as a set of the bytes they
 * take. Texts are not empty at the top; `left` may become empty on the way. */
static size_t reference_class(const char *p, size_t len, bool nocase, bool set[256])
{
    size_t i = 0;
    bool negated = i < len && p[i] == '^';
    i += negated;
    for (int c = 0; c < 256; c++)
        set[c] = false;
    while (i < len && p[i] != ']') {
        if (p[i] == '\\' && i + 1 < len) {
            set[(uint8_t)p[i + 1]] = true;
            i += 2;
        } else if (i + 2 < len && p[i + 1] == '-') {
            int a = (signed char)p[i], b = (signed char)p[i + 2];
            int low = a < b ? a : b, high = a < b ? b : a;
            for (int c = -128; c < 128; c++) {
                if (nocase ? tolower(c) >= tolower(low) && tolower(c) <= tolower(high)
                           : c >= low && c <= high)
                    set[(uint8_t)c] = true;
            }
            i += 3;
        } else {
            set[(uint8_t)p[i]] = true;
            if (nocase) {
                set[tolower((uint8_t)p[i])] = true;
                set[toupper((uint8_t)p[i])] = true;
            }
            i++;
        }
    }
    for (int c = 0; c < 256; c++)
        set[c] = set[c] != negated;
    return i < len ? i + 1 : len;
}

static bool reference(const char *p, size_t plen, const char *t, size_t tlen, bool nocase)
{
    if (plen == 0)
        return tlen == 0;
    if (p[0] == '*')
        return reference(p + 1, plen - 1, t, tlen, nocase) ||
               (tlen > 0 && reference(p, plen, t + 1, tlen - 1, nocase));
    if (tlen == 0)
        return false;
    if (p[0] == '?')
        return reference(p + 1, plen - 1, t + 1, tlen - 1, nocase);
    if (p[0] == '[') {
        bool set[256];
        size_t used = 1 + reference_class(p + 1, plen - 1, nocase, set);
        return set[(uint8_t)t[0]] && reference(p + used, plen - used, t + 1, tlen - 1, nocase);
    }
    size_t skip = p[0] == '\\' && plen > 1;
    char want = p[skip];
    bool same = nocase ? tolower((uint8_t)want) == tolower((uint8_t)t[0]) : want == t[0];
    return same && reference(p + skip + 1, plen - skip - 1, t + 1, tlen - 1, nocase);
}

static void test_against_the_definition(void **state)
{
    static const char alphabet[] = "aab?**[]^-\\AB\xe0\x80";
    static const char letters[] = "aabAB-]\\\xe0\x80\x90";
    struct prng prng = prng_make(14);
    size_t matches = 0;
    for (int i = 0; i < 300000; i++) {
        char pattern[7], text[5];
        size_t plen = prng_below(&prng, sizeof(pattern)) + 1;
        size_t tlen = prng_below(&prng, sizeof(text)) + 1;
        for (size_t k = 0; k < plen; k++)
            pattern[k] = alphabet[prng_below(&prng, sizeof(alphabet) - 1)];
        for (size_t k = 0; k < tlen; k++)
            text[k] = letters[prng_below(&prng, sizeof(letters) - 1)];
        bool nocase = i % 2;
        bool want = reference(pattern, plen, text, tlen, nocase);
        bool got = glob_match(slice_make(pattern, plen), slice_make(text, tlen), nocase);
        if (want != got)
            fail_msg("\"%.*s\" against \"%.*s\", nocase %d: %d", (int)plen, pattern, (int)tlen,
                     text, nocase, got);
        matches += want;
    }
    assert_in_range(matches, 10000, 290000);
}

/* A thousand stars against 64 KiB: recursion would not end before the sun does. */
static void test_pathological_pattern(void **state)
{
    enum { STARS = 1000, TEXT = 65536 };
    char *pattern = malloc(2 * STARS + 1), *text = malloc(TEXT);
    for (int i = 0; i < STARS; i++) {
        pattern[2 * i] = '*';
        pattern[2 * i + 1] = 'a';
    }
    pattern[2 * STARS] = 'b';
    memset(text, 'a', TEXT);
    clock_t start = clock();
    assert_false(glob_match(slice_make(pattern, 2 * STARS + 1), slice_make(text, TEXT), false));
    assert_true(clock() - start < CLOCKS_PER_SEC * 5);
    text[TEXT - 1] = 'b';
    assert_true(glob_match(slice_make(pattern, 2 * STARS + 1), slice_make(text, TEXT), false));
    free(pattern);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_of_redis),     cmocka_unit_test(test_nocase),
        cmocka_unit_test(test_empty_text),           cmocka_unit_test(test_against_the_definition),
        cmocka_unit_test(test_pathological_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
