#include "command/admin.h"

#include <ctype.h>
#include <string.h>

#include "command/session_private.h"

void reply_subcommand_error(struct call *c)
{
    char container[32];
    size_t len = strcspn(c->command->name, "|");
    CHECK(len < sizeof(container));
    for (size_t i = 0; i < len; i++)
        container[i] = (char)toupper(c->command->name[i]);
    struct slice sub = call_arg(c, 1);
    reply_error(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %.*s HELP.",
                (int)(sub.len < 128 ? sub.len : 128), (const char *)sub.data, (int)len, container);
}

struct front *call_front(struct call *c, unsigned shard)
{
    struct front *f = c->front->group->fronts[shard];
    bool alone = node_loading(c->node);
    return alone && f != c->front ? NULL : f;
}

void reply_scan_error(struct call *c, int st)
{
    if (st == ST_LIMIT)
        reply_error(c, "ERR the reply would be too large; ask for less with LIMIT, or use SCAN");
    else
        reply_error(c, "ERR the keys could not be read: %s", status_text(st));
}
