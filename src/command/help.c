/* HELP of containers, from the table, in the form that Redis gives it: a line that says what the
 * container takes, then name and arguments of each subcommand and, indented, what it does. */
#include <stdio.h>
#include <strings.h>

#include "command/call.h"

#define HELP_LINE_BYTES 512

static const struct command *container_of_sub(const struct command *cmd)
{
    size_t len = strcspn(cmd->name, "|");
    return command_find(slice_make(cmd->name, len));
}

static void upper_copy(char *to, size_t bytes, const char *from)
{
    size_t i = 0;
    for (; from[i] != '\0' && i + 1 < bytes; i++)
        to[i] = from[i] >= 'a' && from[i] <= 'z' ? (char)(from[i] - 0x20) : from[i];
    to[i] = '\0';
}

void reply_help(struct call *c)
{
    const struct command *container = container_of_sub(c->command);
    char name[64], line[HELP_LINE_BYTES];
    upper_copy(name, sizeof(name), container->name);
    reply_array(c, 1 + 2 * (uint64_t)container->sub_count);
    snprintf(line, sizeof(line),
             "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_status(c, line);
    for (unsigned i = 0; i < container->sub_count; i++) {
        const struct command *sub = &container->subs[i];
        upper_copy(name, sizeof(name), sub->name + container->name_len + 1);
        snprintf(line, sizeof(line), "%s%s%s", name, sub->syntax[0] != '\0' ? " " : "",
                 sub->syntax);
        reply_status(c, line);
        snprintf(line, sizeof(line), "    %s.", sub->summary);
        reply_status(c, line);
    }
}
