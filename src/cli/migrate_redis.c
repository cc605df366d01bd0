#include "cli/migrate_redis.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buffer.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/quote.h"
#include "cli/scan.h"
#include "cli/sink.h"

#define SHOWN_ERRORS_MAX 10
#define KEY_SHOWN_BYTES  40 /* at most four times as long when quoted */

struct migration {
    const struct args *args;
    struct client source;
    struct sink *sink;
    struct scan_counts counts;
    struct progress progress;
    struct buffer key; /* with its prefix */
    uint64_t estimate, stored, failed;
};

static void on_stored(void *ctx, const struct sink_mark *mark)
{
    struct migration *m = ctx;
    m->stored++;
}

static void on_refused(void *ctx, const struct sink_mark *mark, struct slice error)
{
    struct migration *m = ctx;
    if (m->failed++ < SHOWN_ERRORS_MAX)
        fprintf(stderr, "%skey %s: %.*s\n", m->progress.drawn_ms ? "\r\x1b[K" : "", mark->key,
                (int)error.len, (const char *)error.data);
}

/* Quoted, and cut where it is long. */
static void show_key(struct slice key, struct sink_mark *mark)
{
    BUFFER_AUTO struct buffer text = {0};
    bool cut = key.len > KEY_SHOWN_BYTES;
    quote_append(&text, cut ? slice_make(key.data, KEY_SHOWN_BYTES) : key);
    snprintf(mark->key, sizeof(mark->key), "%.*s%s", (int)text.len, (const char *)text.data,
             cut ? "..." : "");
}

static int on_item(void *ctx, const struct scan_item *item, struct failure *failure)
{
    struct migration *m = ctx;
    progress_update(&m->progress, m->counts.keys, m->estimate, m->counts.strings);
    if (m->args->dry_run) {
        m->stored++;
        return 0;
    }
    buffer_clear(&m->key);
    buffer_append_str(&m->key, m->args->key_prefix ? m->args->key_prefix : "");
    buffer_append_slice(&m->key, item->key);
    struct sink_write write = {
        .key = buffer_slice(&m->key), .value = item->value, .expires_at_ms = item->expires_at_ms};
    struct sink_mark mark = {0};
    show_key(buffer_slice(&m->key), &mark);
    return sink_put(m->sink, &write, &mark, failure);
}

static void append_left(const struct scan_counts *counts, bool json, struct buffer *out)
{
    for (size_t i = 0; i < counts->left_count; i++) {
        buffer_printf(out, json ? "%s\"%s\":%" PRIu64 : "%s%s %" PRIu64,
                      i ? (json ? "," : ", ") : "", counts->left[i].type, counts->left[i].keys);
    }
}

static void print_summary(const struct migration *m, bool complete)
{
    double seconds = progress_seconds(&m->progress);
    BUFFER_AUTO struct buffer text = {0};
    if (m->args->output == OUTPUT_JSON) {
        buffer_printf(&text,
                      "{\"complete\":%s,\"stored\":%" PRIu64 ",\"failed\":%" PRIu64
                      ",\"vanished\":%" PRIu64 ",\"seconds\":%.3f,\"left\":{",
                      complete ? "true" : "false", m->stored, m->failed, m->counts.vanished,
                      seconds);
        append_left(&m->counts, true, &text);
        buffer_append_str(&text, "}}\n");
    } else {
        buffer_append_str(&text, m->args->dry_run ? "would copy " : "copied ");
        progress_append_number(&text, m->stored);
        buffer_printf(&text, " string%s, ", m->stored == 1 ? "" : "s");
        progress_append_number(&text, m->failed);
        buffer_printf(&text, " failed, in %.1f s\n", seconds);
        if (m->counts.vanished > 0)
            buffer_printf(&text, "gone meanwhile: %" PRIu64 "\n", m->counts.vanished);
        if (m->counts.left_count > 0) {
            buffer_append_str(&text, "left, because Torc stores strings: ");
            append_left(&m->counts, false, &text);
            buffer_append_u8(&text, '\n');
        }
    }
    fwrite(text.data, 1, text.len, stdout);
}

static int copy(struct migration *m, struct client *target, struct failure *failure)
{
    int st = m->args->dry_run ? 0 : client_connect(target, failure);
    if (st == 0)
        st = client_connect(&m->source, failure);
    if (st < 0)
        return st;
    m->estimate = m->args->match ? 0 : scan_estimate(&m->source);
    st = scan_run(&m->source, m->args->match, on_item, m, &m->counts, failure);
    return st == 0 && !m->args->dry_run ? sink_finish(m->sink, failure) : st;
}

int migrate_redis_run(const struct args *args, struct client *target)
{
    struct failure failure;
    struct address_url url;
    int st = address_parse_url(args->operands[0], &failure, &url);
    if (st == 0 && (args->resume || args->key_field || args->value_field || args->no_header ||
                    args->format != FILE_BY_NAME))
        st = failure_set(&failure, ST_INVALID,
                         "that option is for files: a copy from Redis starts "
                         "anew, and may be repeated.");
    if (st < 0) {
        failure_print(&failure);
        return CLI_ERROR;
    }
    interrupt_install();
    static const struct sink_ops ops = {.stored = on_stored, .refused = on_refused};
    struct migration m = {
        .args = args,
        .source = {.address = url.address,
                   .user = url.user,
                   .password = url.password[0] ? url.password : NULL,
                   .keyspace = url.keyspace,
                   .protocol = 2,
                   .timeout_ms = args->timeout_ms},
    };
    m.sink = sink_create(target, &ops, &m);
    progress_start(&m.progress, 0);
    st = copy(&m, target, &failure);
    progress_end(&m.progress);
    if (st < 0)
        failure_print(&failure);
    if (st == 0 || m.counts.keys > 0)
        print_summary(&m, st == 0);
    client_disconnect(&m.source);
    sink_free(m.sink);
    buffer_free(&m.key);
    return st == ST_AGAIN ? CLI_INTERRUPTED : st < 0 || m.failed > 0 ? CLI_ERROR : CLI_OK;
}
