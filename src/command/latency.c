/* LATENCY. No events are gathered yet, so LATEST, HISTORY and RESET answer as a Redis does whose
 * latency monitor has seen nothing; HISTOGRAM comes from the statistics of commands. */
#include "command/admin.h"
#include "command/handlers.h"
#include "command/session_private.h"

void cmd_latency_latest(struct call *c)
{
    reply_array(c, 0);
}

void cmd_latency_history(struct call *c)
{
    reply_array(c, 0);
}

void cmd_latency_graph(struct call *c)
{
    reply_error(c, "ERR No samples available for event '%.*s'", (int)call_arg(c, 2).len,
                (const char *)call_arg(c, 2).data);
}

void cmd_latency_reset(struct call *c)
{
    reply_int(c, 0);
}

void cmd_latency_doctor(struct call *c)
{
    reply_verbatim(c, slice_str("No latency events were recorded. SLOWLOG GET shows slow commands, "
                                "INFO commandstats what commands cost on average.\n"));
}

/* Calls of one command over all shards. */
static uint64_t calls_of(struct call *c, const struct command *cmd)
{
    uint64_t calls = 0;
    for (unsigned i = 0; i < c->node->shards; i++)
        if (call_front(c, i) != NULL)
            calls += call_front(c, i)->stats[cmd->id].calls;
    return calls;
}

static bool is_wanted(struct call *c, const struct command *cmd)
{
    if (cmd->handler == NULL || calls_of(c, cmd) == 0)
        return false;
    for (int i = 2; i < c->argc; i++) {
        const struct command *named = command_find_full(call_arg(c, i));
        if (named == cmd || (named != NULL && named->sub_count > 0 && cmd >= named->subs &&
                             cmd < named->subs + named->sub_count))
            return true;
    }
    return c->argc == 2;
}

/* Only how often: times are kept as sums, not as a distribution. */
void cmd_latency_histogram(struct call *c)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < command_table_len; i++)
        count += is_wanted(c, &command_table[i]);
    reply_map(c, count);
    for (unsigned i = 0; i < command_table_len; i++) {
        const struct command *cmd = &command_table[i];
        if (!is_wanted(c, cmd))
            continue;
        reply_text(c, cmd->name);
        reply_map(c, 2);
        reply_text(c, "calls");
        reply_int(c, (int64_t)calls_of(c, cmd));
        reply_text(c, "histogram_usec");
        reply_map(c, 0);
    }
}

void cmd_latency_help(struct call *c)
{
    reply_help(c);
}
