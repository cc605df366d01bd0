#include "node/config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/status.h"
#include "node/config_row.h"

const struct config_row config_rows[CONFIG_COUNT] = {
#define X(k, field, n, a, i, lo, hi, c, w, h)    \
    {.name = n,                                  \
     .alias = a,                                 \
     .initial = i,                               \
     .choices = c,                               \
     .help = h,                                  \
     .min = lo,                                  \
     .max = hi,                                  \
     .offset = offsetof(struct settings, field), \
     .kind = KIND_##k,                           \
     .when = WHEN_##w},
    SETTINGS_TABLE(X)
#undef X
};

static const char *const class_names[CLIENT_CLASSES] = {"normal", "slave", "pubsub"};

void config_error(char error[CONFIG_ERROR_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, CONFIG_ERROR_BYTES, format, args);
    va_end(args);
}

static void *field_of(const struct settings *s, unsigned index)
{
    return (char *)(uintptr_t)s + config_rows[index].offset;
}

static bool is_text(unsigned index)
{
    return config_rows[index].kind == KIND_TEXT || config_rows[index].kind == KIND_SECRET;
}

struct settings *settings_new(void)
{
    struct settings *s = mem_zalloc(sizeof(*s));
    char error[CONFIG_ERROR_BYTES];
    atomic_init(&s->references, 1);
    for (unsigned i = 0; i < CONFIG_COUNT; i++)
        CHECK(config_set(s, i, slice_str(config_rows[i].initial), FROM_DEFAULT, error) == 0);
    return s;
}

struct settings *settings_clone(const struct settings *s)
{
    struct settings *clone = mem_dup(s, sizeof(*s));
    atomic_init(&clone->references, 1);
    for (unsigned i = 0; i < CONFIG_COUNT; i++)
        if (is_text(i))
            *(char **)field_of(clone, i) = mem_strdup(*(char **)field_of(s, i));
    if (s->file != NULL)
        clone->file = mem_strdup(s->file);
    return clone;
}

struct settings *settings_ref(struct settings *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void settings_unref(struct settings *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < CONFIG_COUNT; i++)
        if (is_text(i))
            free(*(char **)field_of(s, i));
    free(s->file);
    free(s);
}

/* --- names --- */

static bool name_equal(const char *name, struct slice given)
{
    if (name == NULL || strlen(name) != given.len)
        return false;
    for (size_t i = 0; i < given.len; i++) {
        int c = given.data[i] == '_' ? '-' : tolower(given.data[i]);
        if (c != name[i])
            return false;
    }
    return true;
}

int config_find(struct slice name)
{
    for (unsigned i = 0; i < CONFIG_COUNT; i++)
        if (name_equal(config_rows[i].name, name) || name_equal(config_rows[i].alias, name))
            return (int)i;
    return -1;
}

const char *config_name(unsigned index)
{
    return config_rows[index].name;
}

const char *config_alias(unsigned index)
{
    return config_rows[index].alias;
}

bool config_live(unsigned index)
{
    return config_rows[index].when == WHEN_LIVE;
}

bool config_secret(unsigned index)
{
    return config_rows[index].kind == KIND_SECRET;
}

static size_t edit_distance(const char *a, struct slice b)
{
    size_t row[CONFIG_NAME_BYTES_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.len; j++) {
            int c = b.data[j] == '_' ? '-' : tolower(b.data[j]);
            size_t change = diagonal + (a[i] != c);
            diagonal = row[j + 1];
            size_t drop = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            row[j + 1] = change < drop ? change : drop;
        }
    }
    return row[b.len];
}

const char *config_closest(struct slice name)
{
    const char *best = NULL;
    size_t best_distance = 4; /* farther is no typing error */
    if (name.len == 0 || name.len > CONFIG_NAME_BYTES_MAX)
        return NULL;
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        const char *names[] = {config_rows[i].name, config_rows[i].alias};
        for (unsigned n = 0; n < 2; n++) {
            size_t distance = names[n] == NULL ? SIZE_MAX : edit_distance(names[n], name);
            if (distance < best_distance && distance < name.len) {
                best = names[n];
                best_distance = distance;
            }
        }
    }
    return best;
}

/* --- values from text --- */

static bool word_is(struct slice text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

static int parse_bool(struct slice text, bool *ret_value)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (unsigned i = 0; i < ARRAY_SIZE(yes); i++) {
        if (word_is(text, yes[i]) || word_is(text, no[i])) {
            *ret_value = word_is(text, yes[i]);
            return 0;
        }
    }
    return ST_INVALID;
}

/* In the setting's own unit. */
static int parse_number(struct slice text, enum config_kind kind, int64_t *ret_value)
{
    uint64_t value;
    int st;
    int64_t plain;
    if (kind == KIND_INT)
        return number_parse_i64(text, ret_value);
    if (number_parse_i64(text, &plain) == 0 && plain < 0)
        return ST_RANGE; /* a number, but none of a size or a time */
    if (kind == KIND_BYTES)
        st = number_parse_bytes(text, &value);
    else
        st = number_parse_duration(text, kind == KIND_SECONDS ? 1000 : 1, &value);
    if (st == 0 && kind == KIND_SECONDS) {
        if (value % 1000 != 0)
            return ST_INVALID;
        value /= 1000;
    }
    if (st == 0 && value > INT64_MAX)
        return ST_RANGE;
    if (st == 0)
        *ret_value = (int64_t)value;
    return st;
}

/* Calls for the next word of a `a|b=c|d` list: its number, and whether it is the main name. */
static bool choice_next(const char **at, int *number, bool *main_name, struct slice *ret_word)
{
    if (**at == '\0')
        return false;
    *main_name = **at != '=';
    if (**at == '|' || **at == '=')
        ++*at;
    if (*main_name)
        ++*number;
    size_t len = strcspn(*at, "|=");
    *ret_word = slice_make(*at, len);
    *at += len;
    return true;
}

static int parse_enum(const char *choices, struct slice text, int *ret_value)
{
    const char *at = choices;
    struct slice word;
    int number = -1;
    bool main_name;
    while (choice_next(&at, &number, &main_name, &word)) {
        if (word.len == text.len &&
            strncasecmp((const char *)word.data, (const char *)text.data, text.len) == 0) {
            *ret_value = number;
            return 0;
        }
    }
    return ST_INVALID;
}

static struct slice enum_word(const char *choices, int value)
{
    const char *at = choices;
    struct slice word = {0};
    int number = -1;
    bool main_name;
    while (choice_next(&at, &number, &main_name, &word))
        if (main_name && number == value)
            return word;
    return slice_make("", 0);
}

static struct slice word_next(struct slice *rest)
{
    while (rest->len > 0 && isspace(rest->data[0]))
        *rest = slice_make(rest->data + 1, rest->len - 1);
    size_t len = 0;
    while (len < rest->len && !isspace(rest->data[len]))
        len++;
    struct slice word = slice_make(rest->data, len);
    *rest = slice_make(rest->data + len, rest->len - len);
    return word;
}

/* "normal 1gb 256mb 60 pubsub ..."; classes not named stay as they are. */
static int parse_output_limits(struct slice text, struct config_output_limits *limits)
{
    struct config_output_limits result = *limits;
    struct slice word = word_next(&text);
    if (word.len == 0)
        return ST_INVALID;
    for (; word.len > 0; word = word_next(&text)) {
        int klass = word_is(word, "replica") ? CLIENT_REPLICA : -1;
        for (int i = 0; i < CLIENT_CLASSES; i++)
            klass = word_is(word, class_names[i]) ? i : klass;
        int64_t hard, soft, soft_s;
        if (klass < 0 || parse_number(word_next(&text), KIND_BYTES, &hard) != 0 ||
            parse_number(word_next(&text), KIND_BYTES, &soft) != 0 ||
            parse_number(word_next(&text), KIND_SECONDS, &soft_s) != 0)
            return ST_INVALID;
        result.of[klass].hard_bytes = hard;
        result.of[klass].soft_bytes = soft;
        result.of[klass].soft_s = soft_s;
    }
    *limits = result;
    return 0;
}

bool config_is_hash(struct slice password)
{
    size_t len = strlen(CONFIG_HASH_PREFIX);
    return password.len >= len && memcmp(password.data, CONFIG_HASH_PREFIX, len) == 0;
}

/* Of its form, and not so costly that a login would hurt. */
static int check_hash(struct slice text)
{
    char copy[CONFIG_HASH_BYTES_MAX + 1];
    unsigned kib, passes;
    int end = 0;
    if (text.len > CONFIG_HASH_BYTES_MAX)
        return ST_INVALID;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (sscanf(copy, "$argon2id$v=19$m=%9u,t=%9u,p=1$%n", &kib, &passes, &end) != 2 || end == 0)
        return ST_INVALID;
    const char *salt = copy + end, *hash = strchr(salt, '$');
    bool whole = hash != NULL && hash > salt && hash[1] != '\0' && strchr(hash + 1, '$') == NULL;
    return whole && kib <= CONFIG_HASH_KIB_MAX && passes <= CONFIG_HASH_PASSES_MAX ? 0 : ST_INVALID;
}

/* Rules of single texts that a length can't express. */
static int check_text(unsigned index, struct slice text)
{
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return ST_INVALID;
    if (index == CONFIG_INDEX_password && config_is_hash(text))
        return check_hash(text);
    if (index == CONFIG_INDEX_cluster_secret && text.len > 0 &&
        text.len < CONFIG_CLUSTER_SECRET_BYTES_MIN)
        return ST_INVALID;
    if (index == CONFIG_INDEX_node_id) {
        for (size_t i = 0; i < text.len; i++)
            if (!isalnum(text.data[i]) && strchr("._-", text.data[i]) == NULL)
                return ST_INVALID;
    }
    return 0;
}

static int set_number(struct settings *s, unsigned index, struct slice text)
{
    const struct config_row *row = &config_rows[index];
    int64_t value;
    int st = parse_number(text, row->kind, &value);
    if (st != 0)
        return st;
    if (value < row->min || value > row->max)
        return ST_RANGE;
    if (index == CONFIG_INDEX_partitions && (value & (value - 1)) != 0)
        return ST_RANGE;
    *(int64_t *)field_of(s, index) = value;
    return 0;
}

static int set_text(struct settings *s, unsigned index, struct slice text)
{
    const struct config_row *row = &config_rows[index];
    if ((int64_t)text.len < row->min || (int64_t)text.len > row->max)
        return ST_RANGE;
    if (check_text(index, text) != 0)
        return ST_INVALID;
    char *copy = mem_alloc(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    char **field = field_of(s, index);
    free(*field);
    *field = copy;
    return 0;
}

/* Why CONFIG SET refuses a value, in Redis' words where it has some. */
static void command_reason(unsigned index, int st, char error[CONFIG_ERROR_BYTES])
{
    const struct config_row *row = &config_rows[index];
    char allowed[CONFIG_ERROR_BYTES / 2];
    config_allowed(index, allowed, sizeof(allowed));
    bool number = row->kind == KIND_INT || row->kind == KIND_BYTES || row->kind == KIND_SECONDS ||
                  row->kind == KIND_MILLIS;
    if (number && st == ST_RANGE && index != CONFIG_INDEX_partitions)
        config_error(error, "argument must be between %lld and %lld inclusive", (long long)row->min,
                     (long long)row->max);
    else if (row->kind == KIND_BYTES)
        config_error(error, "argument must be a memory value");
    else if (number)
        config_error(error, "argument couldn't be parsed into an integer");
    else if (row->kind == KIND_ENUM)
        config_error(error, "argument(s) must be %s", allowed);
    else
        config_error(error, "argument must be %s", allowed);
}

int config_set(struct settings *s, unsigned index, struct slice text, enum config_source source,
               char error[CONFIG_ERROR_BYTES])
{
    const struct config_row *row = &config_rows[index];
    int st = ST_INVALID;
    if (source == FROM_COMMAND && row->when != WHEN_LIVE) {
        config_error(error, "can't set immutable config");
        return ST_DENIED;
    }
    switch (row->kind) {
    case KIND_BOOL:
        st = parse_bool(text, field_of(s, index));
        break;
    case KIND_INT:
    case KIND_BYTES:
    case KIND_SECONDS:
    case KIND_MILLIS:
        st = set_number(s, index, text);
        break;
    case KIND_ENUM:
        st = parse_enum(row->choices, text, field_of(s, index));
        break;
    case KIND_TEXT:
    case KIND_SECRET:
        st = set_text(s, index, text);
        break;
    case KIND_OUTPUT_LIMITS:
        st = parse_output_limits(text, field_of(s, index));
        break;
    }
    if (st != 0 && source == FROM_COMMAND) {
        command_reason(index, st, error);
        return ST_INVALID;
    }
    if (st != 0) {
        char allowed[CONFIG_ERROR_BYTES / 2];
        config_allowed(index, allowed, sizeof(allowed));
        config_error(error, "argument must be %s", allowed);
        return ST_INVALID;
    }
    s->source[index] = (uint8_t)source;
    return 0;
}

/* --- values to text --- */

static size_t bounded(int length, size_t limit)
{
    return length < 0 ? 0 : (size_t)length >= limit ? limit - 1 : (size_t)length;
}

static int format_output_limits(const struct config_output_limits *limits, char *out, size_t bytes)
{
    size_t len = 0;
    for (int i = 0; i < CLIENT_CLASSES; i++)
        len +=
            bounded(snprintf(out + len, bytes - len, "%s%s %lld %lld %lld", i == 0 ? "" : " ",
                             class_names[i], (long long)limits->of[i].hard_bytes,
                             (long long)limits->of[i].soft_bytes, (long long)limits->of[i].soft_s),
                    bytes - len);
    return (int)len;
}

size_t config_format(const struct settings *s, unsigned index, char out[CONFIG_VALUE_BYTES_MAX])
{
    const struct config_row *row = &config_rows[index];
    const void *field = field_of(s, index);
    struct slice word;
    int len = 0;
    switch (row->kind) {
    case KIND_BOOL:
        len = snprintf(out, CONFIG_VALUE_BYTES_MAX, "%s", *(const bool *)field ? "yes" : "no");
        break;
    case KIND_INT:
    case KIND_BYTES:
    case KIND_SECONDS:
    case KIND_MILLIS:
        len = snprintf(out, CONFIG_VALUE_BYTES_MAX, "%lld", (long long)*(const int64_t *)field);
        break;
    case KIND_ENUM:
        word = enum_word(row->choices, *(const int *)field);
        len = snprintf(out, CONFIG_VALUE_BYTES_MAX, "%.*s", (int)word.len, (const char *)word.data);
        break;
    case KIND_TEXT:
    case KIND_SECRET:
        len = snprintf(out, CONFIG_VALUE_BYTES_MAX, "%s", *(char *const *)field);
        break;
    case KIND_OUTPUT_LIMITS:
        len = format_output_limits(field, out, CONFIG_VALUE_BYTES_MAX);
        break;
    }
    return bounded(len, CONFIG_VALUE_BYTES_MAX);
}

static void allowed_number(const struct config_row *row, char *out, size_t bytes)
{
    const char *what = row->kind == KIND_BYTES     ? "a memory value (bytes, or like 64mb)"
                       : row->kind == KIND_SECONDS ? "a duration (seconds, or like 5m)"
                       : row->kind == KIND_MILLIS  ? "a duration (milliseconds, or like 5s)"
                                                   : "a number";
    const char *extra = row == &config_rows[CONFIG_INDEX_partitions] ? ", a power of two" : "";
    if (row->max == INT64_MAX)
        snprintf(out, bytes, "%s of at least %lld", what, (long long)row->min);
    else
        snprintf(out, bytes, "%s between %lld and %lld inclusive%s", what, (long long)row->min,
                 (long long)row->max, extra);
}

static void allowed_enum(const struct config_row *row, char *out, size_t bytes)
{
    const char *at = row->choices;
    struct slice word;
    int number = -1;
    bool main_name;
    size_t len = bounded(snprintf(out, bytes, "one of the following:"), bytes);
    for (bool first = true; choice_next(&at, &number, &main_name, &word); first = false)
        len += bounded(snprintf(out + len, bytes - len, "%s%.*s", first ? " " : ", ", (int)word.len,
                                (const char *)word.data),
                       bytes - len);
}

static const char *text_rule(unsigned index)
{
    return index == CONFIG_INDEX_node_id          ? " of letters, digits, '.', '_' and '-'"
           : index == CONFIG_INDEX_cluster_secret ? ", but not of 1 to 15"
           : index == CONFIG_INDEX_password ? "; what begins with $argon2 is taken for a hash and "
                                              "has to be a whole one: argon2id, at most 256 MiB "
                                              "and 16 passes"
                                            : "";
}

void config_allowed(unsigned index, char *out, size_t bytes)
{
    const struct config_row *row = &config_rows[index];
    switch (row->kind) {
    case KIND_BOOL:
        snprintf(out, bytes, "'yes' or 'no'");
        break;
    case KIND_INT:
    case KIND_BYTES:
    case KIND_SECONDS:
    case KIND_MILLIS:
        allowed_number(row, out, bytes);
        break;
    case KIND_ENUM:
        allowed_enum(row, out, bytes);
        break;
    case KIND_TEXT:
    case KIND_SECRET:
        if (row->max == 0)
            snprintf(out, bytes, "empty");
        else
            snprintf(out, bytes, "a text of %lld to %lld bytes%s", (long long)row->min,
                     (long long)row->max, text_rule(index));
        break;
    case KIND_OUTPUT_LIMITS:
        snprintf(out, bytes,
                 "class (normal, replica, pubsub), hard limit, soft limit, seconds; "
                 "any number of times");
        break;
    }
}
