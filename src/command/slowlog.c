#include "command/slowlog.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "base/mem.h"

struct slowlog *slowlog_create(void)
{
    struct slowlog *log = mem_zalloc(sizeof(*log));
    list_init(&log->entries);
    return log;
}

static void entry_free(struct slowlog_entry *entry)
{
    for (unsigned i = 0; i < entry->argc; i++)
        free((void *)entry->argv[i].data);
    free(entry->peer);
    free(entry->name);
    free(entry);
}

static void keep_newest(struct slowlog *log, unsigned count)
{
    while (log->count > count) {
        struct list_node *oldest = list_last(&log->entries);
        list_remove(oldest);
        entry_free(list_entry(oldest, struct slowlog_entry, link));
        log->count--;
    }
}

void slowlog_clear(struct slowlog *log)
{
    keep_newest(log, 0);
}

void slowlog_destroy(struct slowlog *log)
{
    if (log == NULL)
        return;
    slowlog_clear(log);
    free(log);
}

/* Takes the buffer's memory. */
static struct slice own(struct buffer *b)
{
    return slice_make(b->data, b->len);
}

static struct slice cut(struct slice arg)
{
    struct buffer out = {0};
    size_t kept = arg.len > SLOWLOG_ARG_BYTES_MAX ? SLOWLOG_ARG_BYTES_MAX : arg.len;
    buffer_reserve(&out, kept + 1);
    buffer_append(&out, arg.data, kept);
    if (kept < arg.len)
        buffer_printf(&out, "... (%zu more bytes)", arg.len - kept);
    return own(&out);
}

static void copy_arguments(struct slowlog_entry *entry, const struct slowlog_what *what)
{
    unsigned argc = (unsigned)what->argc;
    entry->argc = argc > SLOWLOG_ARGS_MAX ? SLOWLOG_ARGS_MAX : argc;
    unsigned copied = argc > SLOWLOG_ARGS_MAX ? SLOWLOG_ARGS_MAX - 1 : argc;
    for (unsigned i = 0; i < copied; i++)
        entry->argv[i] = cut(what->argv[i]);
    if (copied == entry->argc)
        return;
    struct buffer note = {0};
    buffer_printf(&note, "... (%u more arguments)", argc - copied);
    entry->argv[copied] = own(&note);
}

void slowlog_push(struct slowlog *log, const struct slowlog_what *what, unsigned entries_max)
{
    struct slowlog_entry *entry = mem_zalloc(sizeof(*entry));
    entry->id = log->next_id++;
    entry->at_ms = what->at_ms;
    entry->took_us = what->took_us;
    entry->peer = mem_strdup(what->peer == NULL ? "" : what->peer);
    entry->name = mem_strdup(what->name == NULL ? "" : what->name);
    copy_arguments(entry, what);
    list_push_front(&log->entries, &entry->link);
    log->count++;
    keep_newest(log, entries_max);
}
