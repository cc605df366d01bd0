/* Settings from a file, the environment and the command line, and back into a file.
 *
 * The file is parsed here and not by a library: a long line or a `;` inside a password must not be
 * cut off silently, and CONFIG REWRITE has to keep the user's lines. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "node/config.h"
#include "node/config_row.h"

static struct slice trimmed(struct slice s)
{
    while (s.len > 0 && isspace(s.data[0]))
        s = slice_make(s.data + 1, s.len - 1);
    while (s.len > 0 && isspace(s.data[s.len - 1]))
        s.len--;
    return s;
}

static struct slice line_next(struct slice *rest)
{
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->data);
    struct slice line = slice_make(rest->data, len);
    size_t taken = len + (end != NULL);
    *rest = slice_make(rest->data + taken, rest->len - taken);
    return line;
}

static int hex_digit(int c)
{
    return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

/* A quoted value's bytes. ST_INVALID: not closed, text behind it, or an unknown escape. */
static int unquote(struct slice quoted, struct buffer *out)
{
    size_t i = 1;
    for (; i < quoted.len && quoted.data[i] != '"'; i++) {
        uint8_t c = quoted.data[i];
        if (c == '\\') {
            if (++i == quoted.len)
                return ST_INVALID;
            c = quoted.data[i];
            if (c == 'x' && i + 2 < quoted.len && hex_digit(quoted.data[i + 1]) >= 0 &&
                hex_digit(quoted.data[i + 2]) >= 0) {
                c = (uint8_t)(hex_digit(quoted.data[i + 1]) * 16 + hex_digit(quoted.data[i + 2]));
                i += 2;
            } else if (c == 'n' || c == 'r' || c == 't') {
                c = c == 'n' ? '\n' : c == 'r' ? '\r' : '\t';
            } else if (c != '"' && c != '\\') {
                return ST_INVALID;
            }
        }
        buffer_append_u8(out, c);
    }
    return i + 1 == quoted.len ? 0 : ST_INVALID;
}

enum line_kind { LINE_NOTHING, LINE_SETTING, LINE_BAD };

/* Takes a line apart; *ret_why says what a bad one lacks. */
static enum line_kind line_split(struct slice line, struct slice *ret_name, struct slice *ret_value,
                                 const char **ret_why)
{
    line = trimmed(line);
    if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';')
        return LINE_NOTHING;
    if (line.data[0] == '[') {
        if (slice_equal(line, slice_str("[torc]")))
            return LINE_NOTHING;
        *ret_why = "the only heading allowed is [torc]";
        return LINE_BAD;
    }
    const uint8_t *equals = memchr(line.data, '=', line.len);
    if (equals == NULL) {
        *ret_why = "expected 'name = value'";
        return LINE_BAD;
    }
    size_t at = (size_t)(equals - line.data);
    *ret_name = trimmed(slice_make(line.data, at));
    *ret_value = trimmed(slice_make(equals + 1, line.len - at - 1));
    return LINE_SETTING;
}

static void error_unknown(char error[CONFIG_ERROR_BYTES], const char *where, struct slice name)
{
    const char *closest = config_closest(name);
    int len = name.len > CONFIG_NAME_BYTES_MAX ? CONFIG_NAME_BYTES_MAX : (int)name.len;
    config_error(error, "%s: unknown setting '%.*s'%s%s%s", where, len, (const char *)name.data,
                 closest == NULL ? "" : "; did you mean '", closest == NULL ? "" : closest,
                 closest == NULL ? "" : "'?");
}

/* Sets and, on failure, says where and what. A secret is not repeated. */
static int set_at(struct settings *s, const char *where, unsigned index, struct slice value,
                  enum config_source source, char error[CONFIG_ERROR_BYTES])
{
    char reason[CONFIG_ERROR_BYTES];
    int st = config_set(s, index, value, source, reason);
    if (st == 0)
        return 0;
    int len = value.len > 100 ? 100 : (int)value.len;
    if (config_secret(index))
        config_error(error, "%s: bad value for '%s': %s", where, config_name(index), reason);
    else
        config_error(error, "%s: bad value '%.*s' for '%s': %s", where, len,
                     (const char *)value.data, config_name(index), reason);
    return ST_INVALID;
}

int config_parse_file(struct settings *s, const char *path, struct slice text,
                      char error[CONFIG_ERROR_BYTES])
{
    unsigned line_of[CONFIG_COUNT] = {0};
    BUFFER_AUTO struct buffer plain = {0};
    char where[512];
    for (unsigned number = 1; text.len > 0; number++) {
        struct slice name, value;
        const char *why = NULL;
        enum line_kind kind = line_split(line_next(&text), &name, &value, &why);
        snprintf(where, sizeof(where), "%.480s:%u", path, number);
        if (kind == LINE_NOTHING)
            continue;
        if (kind == LINE_BAD) {
            config_error(error, "%s: %s", where, why);
            return ST_INVALID;
        }
        int index = config_find(name);
        if (index < 0) {
            error_unknown(error, where, name);
            return ST_INVALID;
        }
        if (line_of[index] != 0 && index != CONFIG_INDEX_output_limits) {
            config_error(error, "%s: '%s' was set in line %u already", where,
                         config_name((unsigned)index), line_of[index]);
            return ST_INVALID;
        }
        line_of[index] = number;
        if (value.len > 0 && value.data[0] == '"') {
            buffer_clear(&plain);
            if (unquote(value, &plain) != 0) {
                config_error(error,
                             "%s: bad quoting: a quoted value ends with \" and may hold "
                             "\\\" \\\\ \\n \\r \\t \\xHH",
                             where);
                return ST_INVALID;
            }
            value = buffer_slice(&plain);
        }
        if (set_at(s, where, (unsigned)index, value, FROM_FILE, error) != 0)
            return ST_INVALID;
    }
    return 0;
}

#define ENVIRONMENT_PREFIX "TORC_"

/* Variables with our prefix that torcd leaves alone; one that ends in _ stands for all that begin
 * so. */
static const char *const foreign_variables[] = {
    "SERVER",   "USER",       /* the client's; it shares PASSWORD with the server */
    "BUILD",    "TEST_",      /* of the tree's tools and tests */
    "SERVICE_", "PORT_7400_", /* Kubernetes makes them for a service called torc */
};

static bool is_foreign(struct slice name, const char *value)
{
    for (unsigned i = 0; i < ARRAY_SIZE(foreign_variables); i++) {
        const char *known = foreign_variables[i];
        size_t len = strlen(known);
        bool prefix = known[len - 1] == '_';
        if (prefix ? name.len > len && memcmp(name.data, known, len) == 0
                   : slice_equal(name, slice_str(known)))
            return true;
    }
    /* Kubernetes' again: TORC_PORT=tcp://10.0.0.1:7400 */
    return slice_equal(name, slice_str("PORT")) && strncmp(value, "tcp://", 6) == 0;
}

static int parse_environment(struct settings *s, char **environment, const char **config_path,
                             char error[CONFIG_ERROR_BYTES])
{
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *entry = *environment;
        const char *equals = strchr(entry, '=');
        if (strncmp(entry, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX)) != 0 || equals == NULL)
            continue;
        const char *name = entry + strlen(ENVIRONMENT_PREFIX);
        struct slice rest = slice_make(name, (size_t)(equals - name));
        if (config_path != NULL) {
            if (slice_equal(rest, slice_str("CONFIG")))
                *config_path = equals + 1;
            continue;
        }
        if (is_foreign(rest, equals + 1) || slice_equal(rest, slice_str("CONFIG")))
            continue;
        int index = config_find(rest);
        char where[CONFIG_NAME_BYTES_MAX + 32];
        snprintf(where, sizeof(where), "environment %.*s", (int)(equals - entry), entry);
        if (index < 0) {
            error_unknown(error, where, rest);
            return ST_INVALID;
        }
        if (set_at(s, where, (unsigned)index, slice_str(equals + 1), FROM_ENVIRONMENT, error) != 0)
            return ST_INVALID;
    }
    return 0;
}

/* What a flag's text says: the setting, whether it is --no-NAME, and the value after '='. */
struct flag {
    int index;
    bool no;
    const char *value; /* NULL: none in the same word */
    struct slice name;
};

static struct flag flag_split(const char *text)
{
    struct flag flag = {.index = -1};
    const char *name = text + 2;
    const char *equals = strchr(name, '=');
    flag.name = slice_make(name, equals == NULL ? strlen(name) : (size_t)(equals - name));
    flag.value = equals == NULL ? NULL : equals + 1;
    flag.index = config_find(flag.name);
    if (flag.index < 0 && flag.value == NULL && strncmp(name, "no-", 3) == 0) {
        int index = config_find(slice_str(name + 3));
        if (index >= 0 && config_rows[index].kind == KIND_BOOL) {
            flag.index = index;
            flag.no = true;
        }
    }
    return flag;
}

static bool is_help(const char *text)
{
    return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

static bool is_version(const char *text)
{
    return strcmp(text, "--version") == 0 || strcmp(text, "-v") == 0;
}

/* One setting's flag at argv[*i]; advances *i over a value in the next word. */
static int parse_setting_flag(struct settings *s, int argc, char **argv, int *i,
                              char error[CONFIG_ERROR_BYTES])
{
    struct flag flag = flag_split(argv[*i]);
    char where[CONFIG_NAME_BYTES_MAX + 16];
    snprintf(where, sizeof(where), "flag %.*s", CONFIG_NAME_BYTES_MAX, argv[*i]);
    if (flag.index < 0) {
        error_unknown(error, where, flag.name);
        return ST_INVALID;
    }
    bool has_next = *i + 1 < argc && strncmp(argv[*i + 1], "--", 2) != 0;
    if (flag.no) {
        flag.value = "no";
    } else if (flag.value == NULL && has_next) {
        flag.value = argv[++*i];
    } else if (flag.value == NULL && config_rows[flag.index].kind == KIND_BOOL) {
        flag.value = "yes";
    } else if (flag.value == NULL) {
        config_error(error, "%s: needs a value", where);
        return ST_INVALID;
    }
    return set_at(s, where, (unsigned)flag.index, slice_str(flag.value), FROM_FLAG, error);
}

/* With config_path only --config is looked for, because the file comes before the other flags. */
static int parse_flags(struct settings *s, int argc, char **argv, const char **config_path,
                       struct config_request *request, char error[CONFIG_ERROR_BYTES])
{
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        bool is_config = strcmp(text, "--config") == 0;
        if (is_config || strncmp(text, "--config=", 9) == 0) {
            const char *path = is_config ? (i + 1 < argc ? argv[++i] : NULL) : text + 9;
            if (path == NULL || *path == '\0') {
                config_error(error, "flag --config: needs the path of a file");
                return ST_INVALID;
            }
            if (config_path != NULL)
                *config_path = path;
            continue;
        }
        if (config_path != NULL)
            continue;
        request->help |= is_help(text);
        request->version |= is_version(text);
        request->markdown |= strcmp(text, "--help=markdown") == 0;
        bool is_hash = strcmp(text, "--hash-password") == 0;
        request->hash_password |= is_hash;
        if (is_help(text) || is_version(text) || is_hash || request->markdown)
            continue;
        int st;
        if (strncmp(text, "--", 2) == 0)
            st = parse_setting_flag(s, argc, argv, &i, error);
        else if (i == 1 && isdigit((unsigned char)text[0]))
            st = set_at(s, "argument 1", CONFIG_INDEX_port, slice_str(text), FROM_FLAG, error);
        else {
            config_error(error, "argument '%.100s': expected a flag like --port 7400", text);
            st = ST_INVALID;
        }
        if (st != 0)
            return st;
    }
    return 0;
}

int config_load(struct settings *s, int argc, char **argv, char **environment, config_read_fn *read,
                struct config_request *ret_request, char error[CONFIG_ERROR_BYTES])
{
    struct config_request request = {0};
    const char *path = NULL;
    parse_environment(s, environment, &path, error);
    int st = parse_flags(s, argc, argv, &path, &request, error);
    if (st == 0 && path != NULL && *path != '\0') {
        MEM_AUTO char *text = NULL;
        size_t len = 0;
        st = read(path, CONFIG_FILE_BYTES_MAX, &text, &len);
        if (st != 0) {
            config_error(error, "%.400s: can't be read: %s", path, status_text(st));
            return ST_INVALID;
        }
        free(s->file);
        s->file = mem_strdup(path);
        st = config_parse_file(s, path, slice_make(text, len), error);
    }
    if (st == 0)
        st = parse_environment(s, environment, NULL, error);
    if (st == 0)
        st = parse_flags(s, argc, argv, NULL, &request, error);
    if (st == 0 && !request.help && !request.version && !request.markdown && !request.hash_password)
        st = config_check(s, error);
    if (st == 0)
        *ret_request = request;
    return st;
}

/* --- back into a file --- */

static void append_quoted(struct buffer *out, const char *value, size_t len)
{
    bool plain = len > 0 && value[0] != '"' && !isspace((unsigned char)value[0]) &&
                 !isspace((unsigned char)value[len - 1]);
    for (size_t i = 0; i < len; i++)
        plain = plain && (unsigned char)value[i] >= ' ';
    if (plain) {
        buffer_append(out, value, len);
        return;
    }
    buffer_append_u8(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c == '"' || c == '\\')
            buffer_printf(out, "\\%c", c);
        else if (c < ' ')
            buffer_printf(out, "\\x%02x", c);
        else
            buffer_append_u8(out, c);
    }
    buffer_append_u8(out, '"');
}

static void append_setting(const struct settings *s, unsigned index, struct buffer *out)
{
    char value[CONFIG_VALUE_BYTES_MAX];
    size_t len = config_format(s, index, value);
    buffer_printf(out, "%s = ", config_name(index));
    append_quoted(out, value, len);
    buffer_append_u8(out, '\n');
}

void config_rewrite(const struct settings *s, struct slice old_text, struct buffer *out)
{
    bool written[CONFIG_COUNT] = {false};
    while (old_text.len > 0) {
        struct slice line = line_next(&old_text), name, value;
        const char *why;
        int index = line_split(line, &name, &value, &why) == LINE_SETTING ? config_find(name) : -1;
        if (index < 0) {
            buffer_append_slice(out, line);
            buffer_append_u8(out, '\n');
        } else if (!written[index]) { /* a second line of output limits merges into the first */
            append_setting(s, (unsigned)index, out);
            written[index] = true;
        }
    }
    bool first = true;
    for (unsigned i = 0; i < CONFIG_COUNT; i++) {
        if (written[i] || s->source[i] == FROM_DEFAULT)
            continue;
        if (first)
            buffer_append_str(out, "# Written by CONFIG REWRITE\n");
        first = false;
        append_setting(s, i, out);
    }
}
