#include "cli/oneshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/docs.h"
#include "cli/quote.h"

#define STDIN_BYTES_MAX ((size_t)512 << 20)

enum format_mode oneshot_mode(const struct args *args)
{
    switch (args->output) {
    case OUTPUT_TTY:
        return FORMAT_TTY;
    case OUTPUT_RAW:
        return FORMAT_RAW;
    case OUTPUT_JSON:
        return FORMAT_JSON;
    default:
        return isatty(STDOUT_FILENO) ? FORMAT_TTY : FORMAT_RAW;
    }
}

int oneshot_print(const struct resp_reply *reply, enum format_mode mode, bool newline, bool page)
{
    BUFFER_AUTO struct buffer out = {0};
    bool error = reply->type == RESP_REPLY_ERROR;
    if (mode == FORMAT_JSON) {
        format_json(reply, &out);
    } else if (error) {
        fflush(stdout);
        fprintf(stderr, "(error) %.*s%s\n", (int)reply->len, (char *)reply->data,
                client_advice(reply));
    } else if (mode == FORMAT_TTY && !(page && reply->type == RESP_REPLY_STRING)) {
        format_tty(reply, &out);
    } else {
        bool ended = page && reply->len > 0 && reply->data[reply->len - 1] == '\n';
        format_raw(reply, newline && !ended, &out);
    }
    if (out.len > 0)
        fwrite(out.data, 1, out.len, stdout);
    return error ? CLI_ERROR : reply->type == RESP_REPLY_NIL ? CLI_NOT_FOUND : CLI_OK;
}

static int read_stdin(struct buffer *out, struct failure *failure)
{
    for (;;) {
        ssize_t n = read(STDIN_FILENO, buffer_reserve(out, 64u << 10), 64u << 10);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failure_errno(failure, errno, "can't read", "the standard input");
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        if (out->len > STDIN_BYTES_MAX)
            return failure_set(failure, ST_LIMIT, "the standard input holds more than %zu MiB.",
                               STDIN_BYTES_MAX >> 20);
    }
}

/* The words to send. `-` is the standard input, but for ranges, where it is the first key. */
static int make_request(const struct args *args, struct buffer *input, struct slice *argv,
                        struct failure *failure)
{
    size_t argc = (size_t)args->operand_count, from_stdin = 0;
    for (size_t i = 0; i < argc; i++)
        argv[i] = slice_str(args->operands[i]);
    bool dashes = !quote_word_is(argv[0], "range");
    for (size_t i = 1; i < argc && dashes; i++) {
        if (strcmp(args->operands[i], "-") != 0)
            continue;
        if (from_stdin != 0 || args->stdin_last)
            return failure_set(failure, ST_INVALID,
                               "only one argument can come from the standard input.");
        from_stdin = i;
    }
    if (args->stdin_last)
        from_stdin = argc;
    if (quote_word_is(argv[0], "batch"))
        argv[0] = slice_str("BATCHPUT");
    if (from_stdin == 0)
        return 0;
    int st = read_stdin(input, failure);
    argv[from_stdin] = buffer_slice(input);
    return st;
}

/* Commands that answer with how many keys they found. */
static bool counts_keys(struct slice command)
{
    static const char *const names[] = {"delete", "del", "unlink", "exists", "touch"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (quote_word_is(command, names[i]))
            return true;
    }
    return false;
}

static bool refuse_stream(struct slice command, struct failure *failure)
{
    static const char *const names[] = {"monitor",    "subscribe", "psubscribe",
                                        "ssubscribe", "sync",      "psync"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (quote_word_is(command, names[i])) {
            failure_set(failure, ST_UNSUPPORTED,
                        "%s is answered with a stream, which torc does "
                        "not follow: use redis-cli.",
                        names[i]);
            return true;
        }
    }
    return false;
}

static int print_help(const struct args *args, struct client *client)
{
    struct failure failure;
    struct docs *docs = NULL;
    if (args->operand_count == 1) {
        args_print_help(stdout);
        return CLI_OK;
    }
    if (docs_fetch(client, &failure, &docs) < 0) {
        failure_print(&failure);
        return CLI_ERROR;
    }
    BUFFER_AUTO struct buffer page = {0};
    BUFFER_AUTO struct buffer name = {0};
    for (int i = 1; i < args->operand_count; i++)
        buffer_printf(&name, "%s%s", i > 1 ? " " : "", args->operands[i]);
    bool found = docs_append_help(docs, buffer_slice(&name), &page);
    fwrite(page.data, 1, page.len, found ? stdout : stderr);
    docs_free(docs);
    return found ? CLI_OK : CLI_NOT_FOUND;
}

int oneshot_run(const struct args *args, struct client *client)
{
    if (strcmp(args->operands[0], "help") == 0)
        return print_help(args, client);
    struct failure failure;
    struct resp_reply reply;
    BUFFER_AUTO struct buffer input = {0};
    size_t argc = (size_t)args->operand_count + (args->stdin_last ? 1 : 0);
    MEM_AUTO struct slice *argv = mem_zalloc(argc * sizeof(argv[0]));
    int st = make_request(args, &input, argv, &failure);
    if (st == 0 && refuse_stream(argv[0], &failure))
        st = failure.status;
    if (st == 0)
        st = client_call(client, argc, argv, &failure, &reply);
    if (st < 0) {
        failure_print(&failure);
        return CLI_ERROR;
    }
    int code =
        oneshot_print(&reply, oneshot_mode(args), !args->no_newline, format_is_page(argc, argv));
    if (code == CLI_OK && reply.type == RESP_REPLY_INTEGER && reply.integer == 0 &&
        counts_keys(argv[0]))
        code = CLI_NOT_FOUND;
    resp_reply_free(&reply);
    return code;
}
