#include "cli/args.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/number.h"

enum scope { EVERYWHERE, FOR_IMPORT, FOR_EXPORT, FOR_BOTH };

/* id, long name, letter, argument, scope, help: the parser and --help are made from it. */
#define OPTIONS(X)                                                                                \
    X(SERVER, "server", 'h', "host[:port]", EVERYWHERE,                                           \
      "the server (127.0.0.1:7400; or TORC_SERVER)")                                              \
    X(PORT, "port", 'p', "port", EVERYWHERE, "its port alone")                                    \
    X(KEYSPACE, "keyspace", 'n', "number", EVERYWHERE, "the keyspace (database) to use")          \
    X(USER, "user", 0, "name", EVERYWHERE, "log in as this user (or TORC_USER)")                  \
    X(PASSWORD, "password", 'a', "text", EVERYWHERE,                                              \
      "the password; TORC_PASSWORD keeps it out of `ps`")                                         \
    X(PASSWORD_FILE, "password-file", 0, "file", EVERYWHERE, "read it from the first line")       \
    X(TIMEOUT, "timeout", 't', "duration", EVERYWHERE,                                            \
      "give up after 500ms, 10s (default), 5m; 0: never")                                         \
    X(JSON, "json", 0, NULL, EVERYWHERE, "print replies as JSON")                                 \
    X(RAW, "raw", 0, NULL, EVERYWHERE, "print bare values (default unless on a terminal)")        \
    X(NO_RAW, "no-raw", 0, NULL, EVERYWHERE, "print replies as on a terminal")                    \
    X(NO_NEWLINE, "no-newline", 'N', NULL, EVERYWHERE, "end bare values without a newline")       \
    X(STDIN, "stdin", 'x', NULL, EVERYWHERE, "read the last argument from the standard input")    \
    X(RESP2, "resp2", '2', NULL, EVERYWHERE, "speak RESP2 (default, but with --json)")            \
    X(RESP3, "resp3", '3', NULL, EVERYWHERE, "speak RESP3")                                       \
    X(HELP, "help", 0, NULL, EVERYWHERE, "print this page")                                       \
    X(VERSION, "version", 'v', NULL, EVERYWHERE, "print the version")                             \
    X(FORMAT, "format", 0, "jsonl|csv", FOR_BOTH, "the file's format, if its name does not tell") \
    X(KEY_FIELD, "key-field", 0, "name", FOR_IMPORT,                                              \
      "this field is the key; the value is the whole record")                                     \
    X(VALUE_FIELD, "value-field", 0, "name", FOR_IMPORT, "... or this field alone")               \
    X(KEY_PREFIX, "key-prefix", 0, "text", FOR_IMPORT, "put this before each key")                \
    X(NO_HEADER, "no-header", 0, NULL, FOR_IMPORT, "CSV without names: key,value[,ttl_ms]")       \
    X(RESUME, "resume", 0, NULL, FOR_IMPORT, "go on where an interrupted import stopped")         \
    X(DRY_RUN, "dry-run", 0, NULL, FOR_IMPORT, "read and parse everything, store nothing")        \
    X(MATCH, "match", 0, "pattern", FOR_BOTH,                                                     \
      "only keys like this (export, and import from redis://)")

enum option_id {
#define X(id, ...) OPTION_##id,
    OPTIONS(X)
#undef X
        OPTION_COUNT
};

static const struct option_row {
    const char *name;
    char letter;
    const char *argument;
    enum scope scope;
    const char *help;
} options[OPTION_COUNT] = {
#define X(id, name, letter, argument, scope, help) {name, letter, argument, scope, help},
    OPTIONS(X)
#undef X
};

static int read_password_file(const char *path, struct failure *failure, char **ret_password)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return failure_errno(failure, errno, "can't read the password file", path);
    char line[ARGS_PASSWORD_BYTES_MAX + 2] = "";
    bool read = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    if (!read || line[0] == '\0')
        return failure_set(failure, ST_INVALID, "the password file %s has an empty first line.",
                           path);
    *ret_password = mem_strdup(line);
    return 0;
}

static void set_password(struct args *args, char *password)
{
    free(args->password);
    args->password = password;
}

static int set_number(const char *name, const char *text, int64_t min, int64_t max,
                      struct failure *failure, int64_t *ret_value)
{
    int64_t value;
    if (number_parse_i64(slice_str(text), &value) < 0 || value < min || value > max)
        return failure_set(failure, ST_INVALID, "--%s must be %lld to %lld, not \"%s\".", name,
                           (long long)min, (long long)max, text);
    *ret_value = value;
    return 0;
}

/* Options that need their argument understood. */
static int apply_parsed(struct args *args, enum option_id id, const char *value,
                        struct failure *failure)
{
    int64_t number = 0;
    char *password = NULL;
    int st = 0;
    switch (id) {
    case OPTION_SERVER:
        return address_parse(value, failure, &args->server);
    case OPTION_PORT:
        st = set_number("port", value, 1, 65535, failure, &number);
        args->server.port = st < 0 ? args->server.port : (uint16_t)number;
        return st;
    case OPTION_KEYSPACE:
        st = set_number("keyspace", value, 0, ARGS_KEYSPACE_MAX, failure, &number);
        args->keyspace = (int)number;
        return st;
    case OPTION_PASSWORD_FILE:
        st = read_password_file(value, failure, &password);
        if (st == 0)
            set_password(args, password);
        return st;
    case OPTION_TIMEOUT:
        if (number_parse_duration(slice_str(value), 1000, &args->timeout_ms) < 0)
            return failure_set(failure, ST_INVALID,
                               "--timeout must be like 500ms, 10s or 5m, not \"%s\".", value);
        return 0;
    case OPTION_FORMAT:
        args->format = strcmp(value, "csv") == 0     ? FILE_CSV
                       : strcmp(value, "jsonl") == 0 ? FILE_JSONL
                                                     : FILE_BY_NAME;
        if (args->format == FILE_BY_NAME)
            return failure_set(failure, ST_INVALID, "--format must be jsonl or csv, not \"%s\".",
                               value);
        return 0;
    default:
        CHECK(false);
        return ST_INVALID;
    }
}

static int apply(struct args *args, enum option_id id, const char *value, struct failure *failure)
{
    switch (id) {
    case OPTION_USER:
        args->user = value;
        return 0;
    case OPTION_PASSWORD:
        set_password(args, mem_strdup(value));
        return 0;
    case OPTION_JSON:
        args->output = OUTPUT_JSON;
        args->protocol = args->protocol ? args->protocol : 3;
        return 0;
    case OPTION_RAW:
    case OPTION_NO_RAW:
        args->output = id == OPTION_RAW ? OUTPUT_RAW : OUTPUT_TTY;
        return 0;
    case OPTION_NO_NEWLINE:
        args->no_newline = true;
        return 0;
    case OPTION_STDIN:
        args->stdin_last = true;
        return 0;
    case OPTION_RESP2:
    case OPTION_RESP3:
        args->protocol = id == OPTION_RESP2 ? 2 : 3;
        return 0;
    case OPTION_HELP:
    case OPTION_VERSION:
        args->action = id == OPTION_HELP ? ARGS_HELP : ARGS_VERSION;
        return 0;
    case OPTION_KEY_FIELD:
        args->key_field = value;
        return 0;
    case OPTION_VALUE_FIELD:
        args->value_field = value;
        return 0;
    case OPTION_KEY_PREFIX:
        args->key_prefix = value;
        return 0;
    case OPTION_MATCH:
        args->match = value;
        return 0;
    case OPTION_NO_HEADER:
        args->no_header = true;
        return 0;
    case OPTION_RESUME:
        args->resume = true;
        return 0;
    case OPTION_DRY_RUN:
        args->dry_run = true;
        return 0;
    default:
        return apply_parsed(args, id, value, failure);
    }
}

static bool in_scope(enum scope scope, enum args_action action)
{
    return scope == EVERYWHERE || (action == ARGS_IMPORT && scope != FOR_EXPORT) ||
           (action == ARGS_EXPORT && scope != FOR_IMPORT);
}

/* The option that `text` (--name, --name=value, -x or -xvalue) names, and the value it holds. */
static int find_option(const char *text, struct failure *failure, enum option_id *ret_id,
                       const char **ret_value)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &options[i];
        size_t len = strlen(row->name);
        if (text[1] != '-') {
            if (row->letter != text[1])
                continue;
            *ret_value = text[2] ? text + 2 : NULL;
        } else {
            if (strncmp(text + 2, row->name, len) != 0 ||
                (text[2 + len] != '\0' && text[2 + len] != '='))
                continue;
            *ret_value = text[2 + len] == '=' ? text + 3 + len : NULL;
        }
        if (*ret_value != NULL && row->argument == NULL)
            return failure_set(failure, ST_INVALID, "option --%s takes no value.", row->name);
        *ret_id = (enum option_id)i;
        return 0;
    }
    return failure_set(failure, ST_INVALID, "unknown option %s; torc --help lists them.", text);
}

/* Takes the option at argv[*at] and moves *at behind it. */
static int take_option(struct args *args, int argc, char **argv, int *at, struct failure *failure)
{
    enum option_id id = 0;
    const char *value = NULL;
    int st = find_option(argv[*at], failure, &id, &value);
    if (st < 0)
        return st;
    const struct option_row *row = &options[id];
    if (!in_scope(row->scope, args->action))
        return failure_set(failure, ST_INVALID, "option --%s is for torc %s, and stands behind it.",
                           row->name,
                           row->scope == FOR_BOTH     ? "import and export"
                           : row->scope == FOR_EXPORT ? "export"
                                                      : "import");
    if (row->argument != NULL && value == NULL) {
        if (*at + 1 == argc)
            return failure_set(failure, ST_INVALID, "option --%s needs a value: %s.", row->name,
                               row->argument);
        value = argv[++*at];
    }
    ++*at;
    return apply(args, id, value, failure);
}

/* restore is the client's with a snapshot and a directory; Redis' RESTORE has three arguments. */
static enum args_action action_of(int argc, char **argv)
{
    if (strcmp(argv[0], "import") == 0)
        return ARGS_IMPORT;
    if (strcmp(argv[0], "export") == 0)
        return ARGS_EXPORT;
    if (strcmp(argv[0], "restore") == 0 && argc <= 3)
        return ARGS_RESTORE;
    return ARGS_COMMAND;
}

static int apply_environment(struct args *args, struct failure *failure)
{
    const char *server = getenv("TORC_SERVER"), *password = getenv("TORC_PASSWORD");
    args->user = getenv("TORC_USER");
    if (password != NULL && password[0] != '\0')
        set_password(args, mem_strdup(password));
    if (server == NULL || server[0] == '\0')
        return 0;
    int st = address_parse(server, failure, &args->server);
    return st < 0 ? failure_set(failure, st, "TORC_SERVER: %s", failure->text) : 0;
}

static int parse(int argc, char **argv, struct failure *failure, struct args *args)
{
    int st = apply_environment(args, failure), at = 1;
    bool is_command = false; /* said with "--" */
    while (st == 0 && at < argc && argv[at][0] == '-' && argv[at][1] != '\0' && !is_command) {
        is_command = strcmp(argv[at], "--") == 0;
        if (is_command)
            at++;
        else
            st = take_option(args, argc, argv, &at, failure);
    }
    if (st < 0 || args->action != ARGS_INTERACTIVE) /* --help, --version */
        return st;
    args->operands = argv + at;
    args->operand_count = argc - at;
    if (args->operand_count == 0)
        return 0;
    args->action = is_command ? ARGS_COMMAND : action_of(argc - at, argv + at);
    if (args->action == ARGS_COMMAND)
        return 0;
    args->operands = argv + ++at;
    args->operand_count = 0;
    while (st == 0 && at < argc) {
        if (argv[at][0] == '-' && argv[at][1] != '\0')
            st = take_option(args, argc, argv, &at, failure);
        else
            args->operands[args->operand_count++] = argv[at++];
        if (args->action == ARGS_HELP)
            break;
    }
    return st;
}

int args_parse(int argc, char **argv, struct failure *failure, struct args *ret_args)
{
    struct args args = {
        .server = {.host = "127.0.0.1", .port = ADDRESS_PORT},
        .timeout_ms = ARGS_TIMEOUT_MS,
    };
    int st = parse(argc, argv, failure, &args);
    if (st < 0) {
        args_free(&args);
        return st;
    }
    args.protocol = args.protocol ? args.protocol : 2;
    *ret_args = args;
    return 0;
}

void args_free(struct args *args)
{
    if (args->password != NULL)
        explicit_bzero(args->password, strlen(args->password));
    free(args->password);
    args->password = NULL;
}

static void print_options(FILE *to, bool everywhere)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &options[i];
        if ((row->scope == EVERYWHERE) != everywhere)
            continue;
        char left[64];
        snprintf(left, sizeof(left), "%c%c%s--%s%s%s", row->letter ? '-' : ' ',
                 row->letter ? row->letter : ' ', row->letter ? ", " : "  ", row->name,
                 row->argument ? " " : "", row->argument ? row->argument : "");
        fprintf(to, "  %-30s %s\n", left, row->help);
    }
}

void args_print_help(FILE *to)
{
    fputs(
        "torc: the client of the Torc key-value store\n"
        "\n"
        "  torc [options]                          type commands, or pipe them in\n"
        "  torc [options] command [argument ...]   run one command\n"
        "  torc import FILE | redis://[user:password@]host[:port][/db]\n"
        "  torc export [FILE]\n"
        "  torc restore SNAPSHOT_DIR DATA_DIR\n"
        "\n"
        "Commands, among the many that Redis has for strings:\n"
        "  put KEY VALUE      get KEY      delete KEY      batch KEY VALUE [KEY VALUE ...]\n"
        "  range START END    list         status          help COMMAND\n"
        "\n"
        "An argument `-` is read from the standard input, to its end (except by range, where - is\n"
        "the first key). `torc -- COMMAND` sends a command that has the name of one of torc's "
        "own.\n"
        "\n"
        "Options, before the command:\n",
        to);
    print_options(to, true);
    fputs("\nOptions of import and export:\n", to);
    print_options(to, false);
    fputs("\n"
          "FILE is JSON Lines, {\"key\":\"a\",\"value\":\"b\",\"ttl_ms\":1000}, or CSV with the "
          "columns\n"
          "key,value,ttl_ms, by its name (.csv) or --format; `-` is the standard input or output.\n"
          "Bytes that are no text are in \"key_b64\" and \"value_b64\". What an import that "
          "stopped has\n"
          "done is in FILE.torc-import, where --resume finds it.\n"
          "\n"
          "Exit codes:  0 done   1 not found: the reply was nil, or nothing was there to delete\n"
          "             2 an error: wrong usage, no connection, or the server or a record said no\n"
          "             130 interrupted\n"
          "\n"
          "Examples:\n"
          "  torc put nickname codejitsu && torc get nickname\n"
          "  torc put page - < index.html\n"
          "  torc import packages.jsonl --key-field Package --key-prefix pkg:\n"
          "  torc -n 3 export backup.csv --match 'user:*'\n",
          to);
}
