#include "command/range_args.h"

#include <strings.h>

#include "base/number.h"
#include "base/status.h"

static bool is_word(struct slice arg, const char *word)
{
    return arg.len == strlen(word) && strncasecmp((const char *)arg.data, word, arg.len) == 0;
}

static int parse_limit(struct slice text, uint64_t *ret_rows)
{
    int64_t rows;
    if (number_parse_i64(text, &rows) < 0 || rows < 0)
        return ST_RANGE;
    *ret_rows = (uint64_t)rows;
    return 0;
}

int range_parse(const struct slice *argv, int argc, struct range_args *ret_args)
{
    struct range_args r = {.limit_rows = UINT64_MAX};
    bool from_last = is_word(argv[1], "+"), to_first = is_word(argv[2], "-");
    r.nothing = from_last || to_first;
    r.has_start = !is_word(argv[1], "-");
    r.has_end = !is_word(argv[2], "+");
    r.start = argv[1];
    r.end = argv[2];
    for (int i = 3; i < argc; i++) {
        if (is_word(argv[i], "limit") && i + 1 < argc) {
            int st = parse_limit(argv[++i], &r.limit_rows);
            if (st < 0)
                return st;
        } else if (is_word(argv[i], "reverse")) {
            r.reverse = true;
        } else if (is_word(argv[i], "keysonly")) {
            r.keys_only = true;
        } else {
            return ST_INVALID;
        }
    }
    *ret_args = r;
    return 0;
}

/* The least bytes above all that begin with the prefix; false: there are none. */
static bool prefix_end(struct slice prefix, struct buffer *scratch)
{
    size_t len = prefix.len;
    while (len > 0 && prefix.data[len - 1] == 0xff)
        len--;
    if (len == 0)
        return false;
    buffer_clear(scratch);
    buffer_append(scratch, prefix.data, len);
    scratch->data[len - 1]++;
    return true;
}

int prefix_parse(const struct slice *argv, int argc, struct buffer *scratch,
                 struct range_args *ret_args)
{
    struct range_args r = {.limit_rows = UINT64_MAX, .has_start = true, .start = argv[1]};
    for (int i = 2; i < argc; i++) {
        bool value = i + 1 < argc;
        if (is_word(argv[i], "limit") && value) {
            int st = parse_limit(argv[++i], &r.limit_rows);
            if (st < 0)
                return st;
        } else if (is_word(argv[i], "after") && value) {
            if (slice_compare(argv[++i], r.start) >= 0) {
                r.start = argv[i];
                r.start_exclusive = true;
            }
        } else if (is_word(argv[i], "keysonly")) {
            r.keys_only = true;
        } else {
            return ST_INVALID;
        }
    }
    r.has_end = prefix_end(argv[1], scratch);
    r.end = buffer_slice(scratch);
    *ret_args = r;
    return 0;
}

bool range_is_empty(const struct range_args *args)
{
    return args->nothing || args->limit_rows == 0 ||
           (args->has_start && args->has_end && slice_compare(args->start, args->end) >= 0);
}
