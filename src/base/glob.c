#include "base/glob.h"

/* Redis compares as char, which is signed where it mostly runs, so in ranges bytes of 0x80 and more
 * lie below the others; with nocase its tolower(3) makes them positive again. */
static int glob_fold(uint8_t byte, bool nocase)
{
    if (!nocase)
        return (int8_t)byte;
    return byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
}

static bool glob_in_range(uint8_t first, uint8_t last, uint8_t byte, bool nocase)
{
    if ((int8_t)first > (int8_t)last) {
        uint8_t swap = first;
        first = last;
        last = swap;
    }
    int c = glob_fold(byte, nocase);
    return c >= glob_fold(first, nocase) && c <= glob_fold(last, nocase);
}

/* Matches `byte` against the class that starts behind its [ at `p`; returns where the class ends,
 * behind its ] or, when it has none, at `end`. */
static const uint8_t *glob_class(const uint8_t *p, const uint8_t *end, uint8_t byte, bool nocase,
                                 bool *ret_match)
{
    bool negated = p < end && *p == '^';
    if (negated)
        p++;
    bool match = false;
    while (p < end && *p != ']') {
        if (*p == '\\' && end - p >= 2) {
            match |= p[1] == byte; /* an escaped byte is not folded */
            p += 2;
        } else if (end - p >= 3 && p[1] == '-') {
            match |= glob_in_range(p[0], p[2], byte, nocase);
            p += 3;
        } else {
            match |= glob_fold(*p, nocase) == glob_fold(byte, nocase);
            p++;
        }
    }
    *ret_match = match != negated;
    return p < end ? p + 1 : end;
}

/* Matches one byte against the element at `p`, which is no star; returns where the next one is. */
static const uint8_t *glob_one(const uint8_t *p, const uint8_t *end, uint8_t byte, bool nocase,
                               bool *ret_match)
{
    if (*p == '?') {
        *ret_match = true;
        return p + 1;
    }
    if (*p == '[')
        return glob_class(p + 1, end, byte, nocase, ret_match);
    if (*p == '\\' && end - p >= 2)
        p++;
    *ret_match = glob_fold(*p, nocase) == glob_fold(byte, nocase);
    return p + 1;
}

bool glob_match(struct slice pattern, struct slice text, bool nocase)
{
    if (text.len == 0)
        return pattern.len == 0;
    const uint8_t *p = pattern.data, *p_end = p + pattern.len;
    const uint8_t *t = text.data, *t_end = t + text.len;
    const uint8_t *star = NULL,
                  *star_text = NULL; /* behind the last *, and the text it starts at */
    while (t < t_end) {
        if (p < p_end && *p == '*') {
            while (p < p_end && *p == '*')
                p++;
            if (p == p_end)
                return true;
            star = p;
            star_text = t;
            continue;
        }
        bool match = false;
        const uint8_t *next = p < p_end ? glob_one(p, p_end, *t, nocase, &match) : p;
        if (match) {
            p = next;
            t++;
        } else if (star != NULL) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*')
        p++;
    return p == p_end;
}

bool glob_is_all(struct slice pattern)
{
    return pattern.len == 1 && pattern.data[0] == '*';
}
