#include "cli/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/csv.h"
#include "cli/interrupt.h"
#include "cli/jsonl.h"
#include "cli/migrate_redis.h"
#include "cli/progress.h"
#include "cli/resume.h"
#include "cli/sink.h"

#define SHOWN_ERRORS_MAX   10
#define SAVE_EVERY_MS      1000
#define RECONNECTS_MAX     5 /* in a row, without a record between */
#define RECONNECT_PAUSE_MS 500

struct import {
    const struct args *args;
    const char *path;
    struct client *client;
    struct input *input;
    struct sink *sink;
    enum args_file_format format;
    struct entry_fields fields;
    struct csv_row columns, row;
    struct entry entry;
    struct buffer key; /* with its prefix */

    struct resume_state state; /* place: everything before it is answered */
    uint64_t resumed;          /* records stored by earlier runs */
    uint64_t shown_errors;
    int reconnects; /* since the last answer */
    bool keeps_state;
    struct progress progress;
    uint64_t saved_ms;
};

enum args_file_format import_format(const struct args *args, const char *path)
{
    static const char *const json_names[] = {".jsonl", ".ndjson", ".json"};
    size_t len = strlen(path);
    if (args->format != FILE_BY_NAME)
        return args->format;
    if (len > 4 && strcmp(path + len - 4, ".csv") == 0)
        return FILE_CSV;
    for (size_t i = 0; i < sizeof(json_names) / sizeof(json_names[0]); i++) {
        size_t n = strlen(json_names[i]);
        if (len > n && strcmp(path + len - n, json_names[i]) == 0)
            return FILE_JSONL;
    }
    return strcmp(path, "-") == 0 ? FILE_JSONL : FILE_BY_NAME;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A state that can't be written spoils nothing but a later --resume, so it is said once, then left.
 */
static void save_state(struct import *im)
{
    struct failure failure;
    if (!im->keeps_state)
        return;
    if (resume_save(im->path, &im->state, &failure) < 0) {
        im->keeps_state = false;
        progress_end(&im->progress);
        failure_print(&failure);
        fputs("torc: this import can't be resumed if it stops.\n", stderr);
    }
    im->saved_ms = now_ms();
}

static void advance(struct import *im, const struct sink_mark *mark)
{
    im->state.place = mark->behind;
    im->reconnects = 0;
    progress_update(&im->progress, im->state.place.offset, im->state.file_bytes,
                    im->state.stored - im->resumed);
    if (im->keeps_state && now_ms() - im->saved_ms >= SAVE_EVERY_MS)
        save_state(im);
}

static void report(struct import *im, uint64_t line, struct slice text)
{
    im->state.failed++;
    if (im->shown_errors++ >= SHOWN_ERRORS_MAX)
        return;
    if (im->progress.drawn_ms > 0)
        fputs("\r\x1b[K", stderr);
    fprintf(stderr, "line %" PRIu64 ": %.*s\n", line, (int)text.len, (const char *)text.data);
    if (im->shown_errors == SHOWN_ERRORS_MAX)
        fputs("... further errors are only counted.\n", stderr);
}

static void on_stored(void *ctx, const struct sink_mark *mark)
{
    struct import *im = ctx;
    im->state.stored++;
    advance(im, mark);
}

static void on_refused(void *ctx, const struct sink_mark *mark, struct slice error)
{
    struct import *im = ctx;
    report(im, mark->line, error);
    advance(im, mark);
}

static bool is_blank(struct slice record)
{
    for (size_t i = 0; i < record.len; i++) {
        if (memchr(" \t\r\n", record.data[i], 4) == NULL)
            return false;
    }
    return true;
}

static int parse_record(struct import *im, struct slice record, struct failure *failure)
{
    if (im->format == FILE_JSONL)
        return jsonl_parse(record, &im->fields, &im->entry, failure);
    int st = csv_split(record, &im->row, failure);
    return st < 0 ? st : csv_entry(&im->columns, &im->row, &im->fields, &im->entry, failure);
}

/* A record that is none is waited for in line, so that errors and progress keep the file's order:
 * what is before it must be answered before it may count as passed. */
static int reject(struct import *im, const struct sink_mark *mark, const char *reason,
                  struct failure *failure)
{
    struct failure why = {0};
    snprintf(why.text, sizeof(why.text), "%s", reason);
    int st = im->args->dry_run ? 0 : sink_finish(im->sink, failure);
    if (st < 0)
        return st;
    report(im, mark->line, slice_str(why.text));
    advance(im, mark);
    return 0;
}

static int take_record(struct import *im, struct slice record, uint64_t line,
                       struct failure *failure)
{
    struct sink_mark mark = {.line = line, .behind = input_place(im->input)};
    struct failure why;
    if (is_blank(record))
        return 0;
    if (parse_record(im, record, &why) < 0)
        return reject(im, &mark, why.text, failure);
    if (im->args->dry_run) {
        on_stored(im, &mark);
        return 0;
    }
    buffer_clear(&im->key);
    buffer_append_str(&im->key, im->args->key_prefix ? im->args->key_prefix : "");
    buffer_append_slice(&im->key, buffer_slice(&im->entry.key));
    struct sink_write write = {.key = buffer_slice(&im->key),
                               .value = buffer_slice(&im->entry.value),
                               .ttl_ms = im->entry.ttl_ms};
    return sink_put(im->sink, &write, &mark, failure);
}

static int run_records(struct import *im, struct failure *failure)
{
    for (;;) {
        struct slice record;
        uint64_t line;
        int st = input_next(im->input, failure, &record, &line);
        if (st == ST_CLOSED)
            return im->args->dry_run ? 0 : sink_finish(im->sink, failure);
        if (st == 0 && interrupt_pending())
            st = failure_set(failure, ST_AGAIN, "interrupted.");
        if (st == 0)
            st = take_record(im, record, line, failure);
        if (st < 0)
            return st;
    }
}

/* After a lost connection: back to the first record that was not answered. */
static int start_again(struct import *im, struct failure *failure)
{
    if (im->input == NULL || input_bytes(im->input) == 0 || im->reconnects >= RECONNECTS_MAX)
        return failure->status;
    im->reconnects++;
    client_disconnect(im->client);
    interrupt_poll(NULL, 0, RECONNECT_PAUSE_MS * im->reconnects);
    if (interrupt_pending())
        return failure_set(failure, ST_AGAIN, "interrupted.");
    sink_reset(im->sink);
    return input_seek(im->input, im->state.place, failure);
}

static int run(struct import *im, struct failure *failure)
{
    for (;;) {
        int st = run_records(im, failure);
        if (st == ST_CLOSED)
            st = start_again(im, failure);
        else
            return st;
        if (st < 0)
            return st;
    }
}

/* ---- beginning and end ---- */

static int read_header(struct import *im, struct failure *failure)
{
    struct slice record;
    uint64_t line;
    if (im->format != FILE_CSV)
        return 0;
    if (im->args->no_header) {
        csv_columns_default(&im->columns);
        return csv_check_columns(&im->columns, &im->fields, failure);
    }
    int st = input_next(im->input, failure, &record, &line);
    if (st == ST_CLOSED)
        return failure_set(failure, ST_INVALID,
                           "%s is empty: a CSV file begins with the names of "
                           "its columns.",
                           im->path);
    if (st == 0 && record.len >= 3 && memcmp(record.data, "\xef\xbb\xbf", 3) == 0)
        record = slice_make(record.data + 3, record.len - 3); /* byte order mark */
    if (st == 0)
        st = csv_split(record, &im->columns, failure);
    if (st == 0)
        st = csv_check_columns(&im->columns, &im->fields, failure);
    im->state.place = input_place(im->input);
    return st;
}

static int load_state(struct import *im, struct failure *failure)
{
    struct resume_state old;
    if (!im->args->resume)
        return 0;
    if (!im->keeps_state)
        return failure_set(failure, ST_INVALID, "only the import of a file can be resumed.");
    int st = resume_load(im->path, failure, &old);
    if (st < 0)
        return st;
    if (old.file_bytes != im->state.file_bytes || old.file_changed_ms != im->state.file_changed_ms)
        return failure_set(failure, ST_INVALID,
                           "%s has changed since its import stopped: import it from the beginning, "
                           "without --resume.",
                           im->path);
    if (strcmp(old.server, im->state.server) != 0 || old.keyspace != im->state.keyspace)
        return failure_set(failure, ST_INVALID,
                           "the import that stopped went to %s, keyspace %d: name that, or leave "
                           "out --resume.",
                           old.server, old.keyspace);
    im->state = old;
    im->resumed = old.stored;
    return input_seek(im->input, old.place, failure);
}

static int begin(struct import *im, struct failure *failure)
{
    im->format = import_format(im->args, im->path);
    if (im->format == FILE_BY_NAME)
        return failure_set(failure, ST_INVALID,
                           "the name %s tells no format: say --format jsonl or --format csv.",
                           im->path);
    int st = input_open(im->path, im->format == FILE_CSV, failure, &im->input);
    if (st < 0)
        return st;
    BUFFER_AUTO struct buffer server = {0};
    address_append(&server, &im->client->address);
    snprintf(im->state.server, sizeof(im->state.server), "%.*s", (int)server.len,
             (char *)server.data);
    im->state.keyspace = im->client->keyspace;
    im->state.file_bytes = input_bytes(im->input);
    im->state.file_changed_ms = input_changed_ms(im->input);
    im->state.place = input_place(im->input);
    im->keeps_state = !im->args->dry_run && strcmp(im->path, "-") != 0 && im->state.file_bytes > 0;
    st = read_header(im, failure);
    if (st == 0)
        st = load_state(im, failure);
    if (st == 0 && !im->args->dry_run)
        st = client_connect(im->client, failure);
    im->saved_ms = now_ms();
    progress_start(&im->progress, im->state.place.offset);
    return st;
}

static void print_summary(struct import *im, int status)
{
    uint64_t stored = im->state.stored - im->resumed;
    double seconds = progress_seconds(&im->progress);
    if (im->args->output == OUTPUT_JSON) {
        printf("{\"complete\":%s,\"stored\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"seconds\":%.3f}\n",
               status == 0 ? "true" : "false", stored, im->state.failed, seconds);
        return;
    }
    BUFFER_AUTO struct buffer text = {0};
    buffer_append_str(&text, im->args->dry_run ? "would store " : "stored ");
    progress_append_number(&text, stored);
    buffer_append_str(&text, stored == 1 ? " record" : " records");
    if (im->resumed > 0) {
        buffer_append_str(&text, " after ");
        progress_append_number(&text, im->resumed);
        buffer_append_str(&text, " before");
    }
    buffer_append_str(&text, ", ");
    progress_append_number(&text, im->state.failed);
    buffer_printf(&text, " failed, in %.1f s\n", seconds);
    fwrite(text.data, 1, text.len, stdout);
}

static int finish(struct import *im, int status, const struct failure *failure)
{
    progress_end(&im->progress);
    if (status == 0 && im->keeps_state)
        resume_remove(im->path);
    if (status < 0) {
        save_state(im);
        fprintf(stderr, "torc: stopped before line %" PRIu64 ": %s\n", im->state.place.line,
                failure->text);
        if (im->keeps_state)
            fputs("torc: the same command with --resume goes on from there.\n", stderr);
    }
    print_summary(im, status);
    return status == ST_AGAIN                   ? CLI_INTERRUPTED
           : status < 0 || im->state.failed > 0 ? CLI_ERROR
                                                : CLI_OK;
}

int import_run(const struct args *args, struct client *client)
{
    struct failure failure;
    if (args->operand_count != 1) {
        failure_set(&failure, ST_INVALID, "import needs one FILE, or redis://host:port.");
        failure_print(&failure);
        return CLI_ERROR;
    }
    if (strstr(args->operands[0], "://") != NULL)
        return migrate_redis_run(args, client);
    interrupt_install();
    static const struct sink_ops ops = {.stored = on_stored, .refused = on_refused};
    struct import im = {
        .args = args,
        .path = args->operands[0],
        .client = client,
        .fields = {.key = args->key_field, .value = args->value_field},
    };
    im.sink = sink_create(client, &ops, &im);
    int code = CLI_ERROR;
    int st = begin(&im, &failure);
    if (st < 0) {
        failure_print(&failure);
    } else {
        st = run(&im, &failure);
        code = finish(&im, st, &failure);
    }
    sink_free(im.sink);
    input_close(im.input);
    csv_row_free(&im.columns);
    csv_row_free(&im.row);
    entry_free(&im.entry);
    buffer_free(&im.key);
    return code;
}
