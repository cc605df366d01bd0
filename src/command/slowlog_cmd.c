/* SLOWLOG, over the slow logs of all shards; they are held meanwhile. */
#include "base/mem.h"
#include "base/number.h"
#include "command/admin.h"
#include "command/handlers.h"
#include "command/session_private.h"
#include "command/slowlog.h"

#define GET_COUNT_DEFAULT 10

/* A command whose argument `arg` must not be seen. */
static bool is_secret(const struct timing_item *what, int arg)
{
    if (what->command->handler == cmd_hello)
        return arg > 1;
    if (what->command->handler != cmd_config_set || arg < 3 || arg % 2 == 0)
        return false;
    int setting = config_find(what->argv[arg - 1]);
    return setting >= 0 && config_secret((unsigned)setting);
}

void slowlog_add(struct front *f, const struct timing_item *what, const struct session *s,
                 uint64_t took_us)
{
    const struct command *cmd = what->command;
    if (cmd->handler == cmd_exec || cmd->handler == cmd_auth)
        return;
    if (f->slowlog == NULL)
        f->slowlog = slowlog_create();
    struct slice argv[SLOWLOG_ARGS_MAX];
    bool redacted = what->argc <= SLOWLOG_ARGS_MAX &&
                    (cmd->handler == cmd_hello || cmd->handler == cmd_config_set);
    for (int i = 0; redacted && i < what->argc; i++)
        argv[i] = is_secret(what, i) ? slice_str("(redacted)") : what->argv[i];
    struct slowlog_what entry = {
        .at_ms = front_wall_ms(f),
        .took_us = took_us,
        .argv = redacted ? argv : what->argv,
        .argc = what->argc,
        .peer = s == NULL ? NULL : s->peer,
        .name = s == NULL ? NULL : s->name,
    };
    slowlog_push(f->slowlog, &entry, (unsigned)f->settings->slowlog_max_len);
}

void slowlog_free(struct front *f)
{
    slowlog_destroy(f->slowlog);
    f->slowlog = NULL;
}

/* --- the commands --- */

static struct slowlog *log_of(struct call *c, unsigned shard)
{
    struct front *f = call_front(c, shard);
    return f == NULL ? NULL : f->slowlog;
}

static uint64_t entry_count(struct call *c)
{
    uint64_t count = 0, max = (uint64_t)call_settings(c)->slowlog_max_len;
    for (unsigned i = 0; i < c->node->shards; i++)
        count += log_of(c, i) == NULL ? 0 : log_of(c, i)->count;
    return c->node->shards > 1 && count > max ? max : count;
}

static void reply_entry(struct call *c, unsigned shard, const struct slowlog_entry *entry)
{
    reply_array(c, 6);
    reply_int(c, (int64_t)(entry->id * c->node->shards + shard));
    reply_int(c, (int64_t)(entry->at_ms / 1000));
    reply_int(c, (int64_t)entry->took_us);
    reply_array(c, entry->argc);
    for (unsigned i = 0; i < entry->argc; i++)
        reply_bulk(c, entry->argv[i]);
    reply_text(c, entry->peer);
    reply_text(c, entry->name);
}

void cmd_slowlog_get(struct call *c)
{
    int64_t wanted = GET_COUNT_DEFAULT;
    if (c->argc > 3) {
        reply_subcommand_error(c);
        return;
    }
    if (c->argc == 3 && (number_parse_i64(call_arg(c, 2), &wanted) < 0 || wanted < -1)) {
        reply_error(c, "ERR count should be greater than or equal to -1");
        return;
    }
    uint64_t count = entry_count(c);
    if (wanted >= 0 && (uint64_t)wanted < count)
        count = (uint64_t)wanted;
    const struct list_node *at[NODE_SHARDS_MAX] = {0};
    for (unsigned i = 0; i < c->node->shards; i++)
        if (log_of(c, i) != NULL)
            at[i] = list_first(&log_of(c, i)->entries);
    reply_array(c, count);
    for (; count > 0; count--) { /* the newest of the heads */
        unsigned best = NODE_SHARDS_MAX;
        const struct slowlog_entry *newest = NULL;
        for (unsigned i = 0; i < c->node->shards; i++) {
            if (at[i] == NULL || at[i] == &log_of(c, i)->entries.root)
                continue;
            const struct slowlog_entry *entry = list_entry(at[i], struct slowlog_entry, link);
            if (newest == NULL || entry->at_ms > newest->at_ms) {
                newest = entry;
                best = i;
            }
        }
        CHECK(newest != NULL);
        reply_entry(c, best, newest);
        at[best] = at[best]->next;
    }
}

void cmd_slowlog_len(struct call *c)
{
    reply_int(c, (int64_t)entry_count(c));
}

void cmd_slowlog_reset(struct call *c)
{
    for (unsigned i = 0; i < c->node->shards; i++)
        if (log_of(c, i) != NULL)
            slowlog_clear(log_of(c, i));
    reply_ok(c);
}

void cmd_slowlog_help(struct call *c)
{
    reply_help(c);
}
