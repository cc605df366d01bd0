#include "cli/repl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/docs.h"
#include "cli/editor.h"
#include "cli/format.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/oneshot.h"
#include "cli/quote.h"

#define HISTORY_NAME ".torc_history"
#define SLOW_SECONDS 0.5 /* a reply that took longer says so */
#define REPEAT_MAX   1000000

struct repl {
    const struct args *args;
    struct client *client;
    struct docs *docs; /* NULL until a server told */
    bool transaction;  /* between MULTI and EXEC */
    bool failed;       /* some line did */
    bool unreachable;  /* the last command got no answer */
    enum format_mode mode;
    bool terminal;
};

static const char *const own_words[] = {"help", "quit", "exit", "clear", "connect"};

bool repl_is_secret(size_t argc, const struct slice *argv)
{
    if (argc == 0)
        return false;
    if (quote_word_is(argv[0], "auth") || quote_word_is(argv[0], "acl") ||
        quote_word_is(argv[0], "migrate"))
        return true;
    bool config = quote_word_is(argv[0], "config"), hello = quote_word_is(argv[0], "hello");
    for (size_t i = 1; i < argc; i++) {
        if ((hello && quote_word_is(argv[i], "auth")) ||
            (config &&
             (quote_word_is(argv[i], "requirepass") || quote_word_is(argv[i], "masterauth") ||
              quote_word_is(argv[i], "password"))))
            return true;
    }
    return false;
}

/* ---- the editor asks ---- */

static void on_hint(void *ctx, struct slice line, struct buffer *out)
{
    struct repl *r = ctx;
    struct quote_args words;
    if (quote_split(line, &words) < 0)
        return;
    BUFFER_AUTO struct buffer hint = {0};
    if (words.count > 0)
        docs_append_hint(r->docs, words.count, words.items, &hint);
    if (hint.len > 0 && line.data[line.len - 1] != ' ')
        buffer_append_u8(out, ' ');
    buffer_append_slice(out, buffer_slice(&hint));
    quote_args_free(&words);
}

/* Offers `word` when it goes on as `typed` begins; in the case of what was typed. */
static void offer(const char *word, struct slice typed,
                  void (*found)(void *found_ctx, const char *word), void *found_ctx)
{
    if (strlen(word) < typed.len || strncasecmp(word, (const char *)typed.data, typed.len) != 0)
        return;
    bool upper = typed.len > 0 && typed.data[0] >= 'A' && typed.data[0] <= 'Z';
    MEM_AUTO char *copy = mem_strdup(word);
    for (char *c = copy; upper && *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    found(found_ctx, copy);
}

static void on_complete(void *ctx, struct slice line, size_t start,
                        void (*found)(void *found_ctx, const char *word), void *found_ctx)
{
    struct repl *r = ctx;
    struct slice typed = slice_make(line.data + start, line.len - start);
    struct slice before = slice_make(line.data, start);
    if (before.len >= 5 && strncasecmp((const char *)before.data, "help ", 5) == 0)
        before = slice_make(before.data + 5, before.len - 5);
    for (size_t i = 0; start == 0 && i < ARRAY_SIZE(own_words); i++)
        offer(own_words[i], typed, found, found_ctx);
    for (size_t i = 0; i < docs_count(r->docs); i++) {
        const char *name = docs_name(r->docs, i);
        if (strlen(name) < before.len ||
            strncasecmp(name, (const char *)before.data, before.len) != 0)
            continue;
        const char *word = name + before.len;
        if (strchr(word, ' ') == NULL)
            offer(word, typed, found, found_ctx);
    }
}

/* ---- one line ---- */

static void learn_docs(struct repl *r)
{
    struct failure ignored;
    if (r->terminal && r->docs == NULL && r->client->connection != NULL)
        docs_fetch(r->client, &ignored, &r->docs);
    interrupt_clear();
}

static void print_failure(struct repl *r, const struct failure *failure)
{
    r->failed = true;
    failure_print(failure);
}

/* What a reply changes on this side of the connection. */
static void follow(struct repl *r, size_t argc, const struct slice *argv,
                   const struct resp_reply *reply)
{
    int64_t number;
    bool error = reply->type == RESP_REPLY_ERROR;
    if (quote_word_is(argv[0], "multi") && !error)
        r->transaction = true;
    else if (quote_word_is(argv[0], "exec") || (quote_word_is(argv[0], "discard") && !error))
        r->transaction = false;
    else if (quote_word_is(argv[0], "select") && !error && !r->transaction && argc == 2 &&
             number_parse_i64(argv[1], &number) == 0)
        r->client->keyspace = (int)number;
    else if (quote_word_is(argv[0], "reset") && !error) {
        r->transaction = false;
        r->client->keyspace = 0;
        r->client->protocol = 2;
    }
}

static void print_reply(struct repl *r, size_t argc, const struct slice *argv,
                        const struct resp_reply *reply)
{
    if (reply->type == RESP_REPLY_ERROR)
        r->failed = true;
    if (r->terminal && r->mode == FORMAT_TTY && reply->type == RESP_REPLY_ERROR) {
        BUFFER_AUTO struct buffer out = {0};
        format_tty(reply, &out);
        fwrite(out.data, 1, out.len, stdout);
        return;
    }
    oneshot_print(reply, r->mode, !r->args->no_newline, format_is_page(argc, argv));
}

/* A connection that the server has closed meanwhile is opened again. One that is lost while a
 * command is on its way is not: the command may have been done, and would be done twice. */
static void drop_closed_connection(struct repl *r)
{
    if (r->client->connection == NULL || !connection_is_closed(r->client->connection))
        return;
    client_disconnect(r->client);
    if (r->transaction)
        fputs("torc: the server has closed the connection; the transaction is lost.\n", stderr);
    r->transaction = false;
}

static void run_command(struct repl *r, size_t argc, const struct slice *argv)
{
    struct failure failure;
    struct resp_reply reply;
    drop_closed_connection(r);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int st = client_call(r->client, argc, argv, &failure, &reply);
    r->unreachable = st < 0;
    if (st < 0) {
        r->transaction = false;
        if (st == ST_CLOSED && quote_word_is(argv[0], "shutdown"))
            puts("OK");
        else
            print_failure(r, &failure);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    print_reply(r, argc, argv, &reply);
    if (r->terminal && seconds >= SLOW_SECONDS)
        printf("(%.2fs)\n", seconds);
    follow(r, argc, argv, &reply);
    resp_reply_free(&reply);
}

static void print_help(struct repl *r, size_t argc, const struct slice *argv)
{
    if (argc == 1) {
        puts("torc " TORC_VERSION "\n"
             "  help COMMAND   what a command does; also: help @string, and its other groups\n"
             "  Tab            completes the name of a command; its arguments are shown faintly\n"
             "  N COMMAND      runs a command N times\n"
             "  connect H:P    talks to another server\n"
             "  clear, quit");
        return;
    }
    struct failure failure;
    if (r->docs == NULL && docs_fetch(r->client, &failure, &r->docs) < 0) {
        print_failure(r, &failure);
        return;
    }
    BUFFER_AUTO struct buffer topic = {0};
    for (size_t i = 1; i < argc; i++) {
        buffer_append_str(&topic, i > 1 ? " " : "");
        buffer_append_slice(&topic, argv[i]);
    }
    BUFFER_AUTO struct buffer page = {0};
    docs_append_help(r->docs, buffer_slice(&topic), &page);
    fwrite(page.data, 1, page.len, stdout);
}

static void change_server(struct repl *r, struct slice text)
{
    struct failure failure;
    BUFFER_AUTO struct buffer name = {0};
    buffer_append_slice(&name, text);
    buffer_append_u8(&name, '\0');
    struct address address = {.port = r->client->address.port};
    if (address_parse((char *)name.data, &failure, &address) < 0) {
        print_failure(r, &failure);
        return;
    }
    client_disconnect(r->client);
    r->client->address = address;
    r->client->keyspace = 0;
    r->transaction = false;
    docs_free(r->docs);
    r->docs = NULL;
    if (client_connect(r->client, &failure) < 0)
        print_failure(r, &failure);
}

static bool is_stream(struct slice word)
{
    return quote_word_is(word, "monitor") || quote_word_is(word, "subscribe") ||
           quote_word_is(word, "psubscribe") || quote_word_is(word, "ssubscribe") ||
           quote_word_is(word, "sync") || quote_word_is(word, "psync");
}

static void run_repeatedly(struct repl *r, int64_t times, size_t argc, const struct slice *argv)
{
    r->unreachable = false;
    for (; times > 0 && !r->unreachable; times--) {
        if (interrupt_pending()) {
            struct failure failure;
            failure_set(&failure, ST_AGAIN, "interrupted.");
            print_failure(r, &failure);
            return;
        }
        run_command(r, argc, argv);
    }
}

/* Returns false when it was the last line. */
static bool run_words(struct repl *r, size_t argc, const struct slice *argv)
{
    int64_t repeat = 1;
    if (argc > 1 && number_parse_i64(argv[0], &repeat) == 0) {
        repeat = repeat < 0 ? 0 : repeat > REPEAT_MAX ? REPEAT_MAX : repeat;
        argc--;
        argv++;
    }
    if (quote_word_is(argv[0], "quit") || quote_word_is(argv[0], "exit"))
        return false;
    if (quote_word_is(argv[0], "help") || quote_word_is(argv[0], "?")) {
        print_help(r, argc, argv);
    } else if (quote_word_is(argv[0], "clear") && argc == 1) {
        fputs("\x1b[H\x1b[2J", stdout);
    } else if (quote_word_is(argv[0], "connect") && argc == 2) {
        change_server(r, argv[1]);
    } else if (is_stream(argv[0])) {
        struct failure failure;
        failure_set(&failure, ST_UNSUPPORTED,
                    "this is answered with a stream, which torc does not follow: use redis-cli.");
        print_failure(r, &failure);
    } else {
        run_repeatedly(r, repeat, argc, argv);
    }
    interrupt_clear();
    return true;
}

/* Returns false when it was the last line. `editor` is NULL for piped lines. */
static bool run_line(struct repl *r, struct editor *editor, struct slice line)
{
    struct quote_args words;
    struct failure failure;
    if (quote_split(line, &words) < 0) {
        if (editor != NULL)
            editor_remember(editor, line);
        failure_set(&failure, ST_INVALID, "the quotes of this line don't match.");
        print_failure(r, &failure);
        return true;
    }
    bool more = true;
    if (words.count > 0) {
        if (editor != NULL && !repl_is_secret(words.count, words.items))
            editor_remember(editor, line);
        more = run_words(r, words.count, words.items);
    }
    quote_args_free(&words);
    fflush(stdout);
    return more;
}

static void make_prompt(const struct repl *r, struct buffer *out)
{
    buffer_clear(out);
    if (r->client->connection == NULL) {
        buffer_append_str(out, "not connected");
    } else {
        address_append(out, &r->client->address);
        if (r->client->keyspace != 0)
            buffer_printf(out, "[%d]", r->client->keyspace);
        if (r->transaction)
            buffer_append_str(out, "(TX)");
    }
    buffer_append(out, "> ", 3); /* with its end */
}

static int run_terminal(struct repl *r)
{
    static const struct editor_ops ops = {.hint = on_hint, .complete = on_complete};
    struct failure failure;
    interrupt_install();
    if (client_connect(r->client, &failure) < 0)
        failure_print(&failure);
    interrupt_clear();
    const char *home = getenv("HOME");
    BUFFER_AUTO struct buffer history = {0};
    buffer_printf(&history, "%s/" HISTORY_NAME, home ? home : "");
    buffer_append_u8(&history, '\0');
    struct editor *editor = editor_create(&ops, r, home ? (char *)history.data : NULL);
    if (editor == NULL) {
        failure_set(&failure, ST_UNSUPPORTED, "this terminal can't be used; pipe commands in.");
        failure_print(&failure);
        return CLI_ERROR;
    }
    BUFFER_AUTO struct buffer prompt = {0};
    struct slice line;
    for (;;) {
        learn_docs(r);
        make_prompt(r, &prompt);
        if (!editor_read(editor, (char *)prompt.data, &line)) {
            fputs("\n", stdout);
            break;
        }
        if (!run_line(r, editor, line))
            break;
    }
    editor_free(editor);
    return CLI_OK;
}

static int run_pipe(struct repl *r)
{
    struct failure failure;
    struct input *input = NULL;
    int st = input_open("-", false, &failure, &input);
    struct slice line;
    uint64_t number;
    while (st == 0 && (st = input_next(input, &failure, &line, &number)) == 0) {
        if (!run_line(r, NULL, line))
            break;
        if (r->unreachable)
            break; /* all that follows would fail alike */
    }
    input_close(input);
    if (st < 0 && st != ST_CLOSED)
        print_failure(r, &failure);
    return r->failed ? CLI_ERROR : CLI_OK;
}

int repl_run(const struct args *args, struct client *client)
{
    struct repl r = {
        .args = args,
        .client = client,
        .mode = oneshot_mode(args),
        .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
    };
    int code = r.terminal ? run_terminal(&r) : run_pipe(&r);
    docs_free(r.docs);
    return code;
}
