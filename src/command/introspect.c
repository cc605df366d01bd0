/* COMMAND and its subcommands: the table of commands as clients read it, in Redis 7.0's shapes. */
#include <string.h>
#include <strings.h>

#include "base/glob.h"
#include "command/call.h"
#include "command/handlers.h"
#include "command/syntax.h"

#define CATEGORIES_MAX 12

static bool is_sub(const struct command *cmd)
{
    return memchr(cmd->name, '|', cmd->name_len) != NULL;
}

static struct slice name_of(const struct command *cmd)
{
    return slice_make(cmd->name, cmd->name_len);
}

static bool named_in(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* --- facts of a command --- */

static unsigned flag_names(const struct command *cmd, const char **names)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } table[] = {
        {CMD_WRITE, "write"},     {CMD_READONLY, "readonly"}, {CMD_DENYOOM, "denyoom"},
        {CMD_ADMIN, "admin"},     {CMD_PUBSUB, "pubsub"},     {CMD_NOSCRIPT, "noscript"},
        {CMD_LOADING, "loading"}, {CMD_STALE, "stale"},       {CMD_FAST, "fast"},
        {CMD_NO_AUTH, "no_auth"}, {CMD_NO_MULTI, "no_multi"},
    };
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (cmd->flags & table[i].flag)
            names[count++] = table[i].name;
    return count;
}

/* ACL categories, derived as Redis derives them: from flags and group, and a few by name. */
static unsigned categories(const struct command *cmd, const char **names)
{
    static const char *const keyspace[] = {"dbsize", "flushall", "flushdb", "swapdb"};
    static const char *const dangerous[] = {
        "flushall", "flushdb", "info", "keys", "lastsave", "list", "restore", "role", "swapdb",
    };
    static const char *const of_group[] = {
        [GROUP_STRING] = "@string",
        [GROUP_BITMAP] = "@bitmap",
        [GROUP_CONNECTION] = "@connection",
        [GROUP_TRANSACTIONS] = "@transaction",
        [GROUP_SCRIPTING] = "@scripting",
        [GROUP_PLAIN] = "@string",
        [GROUP_SERVER] = NULL,
    };
    bool container = cmd->sub_count > 0 && cmd->handler == NULL;
    bool waits = strcmp(cmd->name, "wait") == 0;
    unsigned count = 0;
    if ((cmd->group == GROUP_GENERIC && !container && !waits) ||
        named_in(cmd->name, keyspace, ARRAY_SIZE(keyspace)))
        names[count++] = "@keyspace";
    if (cmd->flags & CMD_READONLY && cmd->group != GROUP_SCRIPTING)
        names[count++] = "@read";
    if (cmd->flags & CMD_WRITE)
        names[count++] = "@write";
    if (cmd->group == GROUP_STRING || cmd->group == GROUP_BITMAP || cmd->group == GROUP_PLAIN)
        names[count++] = of_group[cmd->group];
    if (cmd->flags & CMD_ADMIN)
        names[count++] = "@admin";
    names[count++] = cmd->flags & CMD_FAST ? "@fast" : "@slow";
    if (cmd->flags & CMD_ADMIN || named_in(cmd->name, dangerous, ARRAY_SIZE(dangerous)))
        names[count++] = "@dangerous";
    if ((cmd->group == GROUP_CONNECTION && !container) || waits)
        names[count++] = "@connection";
    if (cmd->group == GROUP_TRANSACTIONS || (cmd->group == GROUP_SCRIPTING && !container))
        names[count++] = of_group[cmd->group];
    CHECK(count <= CATEGORIES_MAX);
    return count;
}

static void reply_statuses(struct call *c, const char *const *names, unsigned count)
{
    reply_set(c, count);
    for (unsigned i = 0; i < count; i++)
        reply_status(c, names[i]);
}

/* The words of one part of cmd->access: "RO access". */
static void reply_access(struct call *c, const char *part, size_t len)
{
    unsigned count = 0;
    for (size_t i = 0; i < len; i++)
        count += part[i] != ' ' && (i == 0 || part[i - 1] == ' ');
    reply_set(c, count);
    for (size_t at = 0; at < len;) {
        size_t end = at;
        while (end < len && part[end] != ' ')
            end++;
        char word[32];
        CHECK(end - at < sizeof(word));
        memcpy(word, part + at, end - at);
        word[end - at] = '\0';
        if (end > at)
            reply_status(c, word);
        at = end + 1;
    }
}

/* --- key specs --- */

static unsigned spec_count(const struct command *cmd)
{
    if (cmd->first == 0)
        return 0;
    unsigned count = 1;
    for (const char *p = cmd->access; *p != '\0'; p++)
        count += *p == '|';
    return count;
}

/* Part n of cmd->access. */
static const char *spec_access(const struct command *cmd, unsigned n, size_t *ret_len)
{
    const char *part = cmd->access;
    for (; n > 0; n--)
        part = strchr(part, '|') + 1;
    *ret_len = strcspn(part, "|");
    return part;
}

static void reply_spec(struct call *c, const struct command *cmd, unsigned n)
{
    int index = cmd->first + (int)n * cmd->step;
    bool last = n + 1 == spec_count(cmd);
    int last_key = !last ? 0 : cmd->last < 0 ? cmd->last : cmd->last - index;
    size_t len;
    const char *access = spec_access(cmd, n, &len);
    reply_map(c, 3);
    reply_text(c, "flags");
    reply_access(c, access, len);
    reply_text(c, "begin_search");
    reply_map(c, 2);
    reply_text(c, "type");
    reply_text(c, "index");
    reply_text(c, "spec");
    reply_map(c, 1);
    reply_text(c, "index");
    reply_int(c, index);
    reply_text(c, "find_keys");
    reply_map(c, 2);
    reply_text(c, "type");
    reply_text(c, "range");
    reply_text(c, "spec");
    reply_map(c, 3);
    reply_text(c, "lastkey");
    reply_int(c, last_key);
    reply_text(c, "keystep");
    reply_int(c, cmd->step);
    reply_text(c, "limit");
    reply_int(c, 0);
}

/* --- COMMAND, COMMAND INFO --- */

static void reply_info(struct call *c, const struct command *cmd)
{
    const char *names[CATEGORIES_MAX];
    reply_array(c, 10);
    reply_bulk(c, name_of(cmd));
    reply_int(c, cmd->arity);
    reply_statuses(c, names, flag_names(cmd, names));
    reply_int(c, cmd->first);
    reply_int(c, cmd->last);
    reply_int(c, cmd->step);
    reply_statuses(c, names, categories(cmd, names));
    reply_set(c, 0); /* tips */
    unsigned specs = spec_count(cmd);
    reply_set(c, specs);
    for (unsigned i = 0; i < specs; i++)
        reply_spec(c, cmd, i);
    if (cmd->sub_count == 0) {
        reply_set(c, 0);
        return;
    }
    reply_array(c, cmd->sub_count);
    for (unsigned i = 0; i < cmd->sub_count; i++)
        reply_info(c, &cmd->subs[i]);
}

static unsigned top_level_count(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < command_table_len; i++)
        count += !is_sub(&command_table[i]);
    return count;
}

void cmd_command(struct call *c)
{
    reply_array(c, top_level_count());
    for (unsigned i = 0; i < command_table_len; i++)
        if (!is_sub(&command_table[i]))
            reply_info(c, &command_table[i]);
}

void cmd_command_count(struct call *c)
{
    reply_int(c, top_level_count());
}

void cmd_command_info(struct call *c)
{
    if (c->argc == 2) {
        cmd_command(c);
        return;
    }
    reply_array(c, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        const struct command *cmd = command_find_full(call_arg(c, i));
        if (cmd == NULL)
            reply_null(c);
        else
            reply_info(c, cmd);
    }
}

void cmd_command_help(struct call *c)
{
    reply_help(c);
}

/* --- COMMAND LIST --- */

enum filter { FILTER_NONE, FILTER_PATTERN, FILTER_CATEGORY, FILTER_MODULE };

static bool filter_takes(enum filter filter, struct slice with, const struct command *cmd)
{
    const char *names[CATEGORIES_MAX];
    unsigned count;
    switch (filter) {
    case FILTER_NONE:
        return true;
    case FILTER_PATTERN:
        return glob_match(with, name_of(cmd), true);
    case FILTER_CATEGORY:
        count = categories(cmd, names);
        for (unsigned i = 0; i < count; i++)
            if (strlen(names[i]) == with.len + 1 &&
                strncasecmp(names[i] + 1, (const char *)with.data, with.len) == 0)
                return true;
        return false;
    case FILTER_MODULE:
        return false; /* there are none */
    }
    return false;
}

void cmd_command_list(struct call *c)
{
    enum filter filter = FILTER_NONE;
    struct slice with = {0};
    if (c->argc > 2) {
        if (c->argc != 5 || !call_arg_is(c, 2, "filterby")) {
            reply_syntax_error(c);
            return;
        }
        with = call_arg(c, 4);
        if (call_arg_is(c, 3, "module"))
            filter = FILTER_MODULE;
        else if (call_arg_is(c, 3, "aclcat"))
            filter = FILTER_CATEGORY;
        else if (call_arg_is(c, 3, "pattern"))
            filter = FILTER_PATTERN;
        if (filter == FILTER_NONE) {
            reply_syntax_error(c);
            return;
        }
    }
    unsigned count = 0;
    for (unsigned i = 0; i < command_table_len; i++)
        count += filter_takes(filter, with, &command_table[i]);
    reply_array(c, count);
    for (unsigned i = 0; i < command_table_len; i++)
        if (filter_takes(filter, with, &command_table[i]))
            reply_bulk(c, name_of(&command_table[i]));
}

/* --- COMMAND DOCS --- */

static void reply_pair(struct call *c, const char *name, const char *text)
{
    reply_text(c, name);
    reply_text(c, text);
}

static const char *type_name(const struct syntax_node *node)
{
    static const char *const names[] = {
        [SYNTAX_STRING] = "string",   [SYNTAX_KEY] = "key",
        [SYNTAX_INTEGER] = "integer", [SYNTAX_UNIX_TIME] = "unix-time",
        [SYNTAX_PATTERN] = "pattern", [SYNTAX_PURE_TOKEN] = "pure-token",
        [SYNTAX_ONEOF] = "oneof",     [SYNTAX_BLOCK] = "block",
    };
    return names[node->type];
}

static void reply_arguments(struct call *c, const struct syntax *syntax, int first)
{
    unsigned count = 0;
    for (int i = first; i >= 0; i = syntax->node[i].next)
        count++;
    reply_array(c, count);
    for (int i = first; i >= 0; i = syntax->node[i].next) {
        const struct syntax_node *node = &syntax->node[i];
        bool key = node->type == SYNTAX_KEY, token = node->token.len > 0;
        unsigned flags = (unsigned)node->optional + (unsigned)node->multiple;
        reply_map(c, 2 + key + token + (flags > 0) + (node->child >= 0));
        reply_text(c, "name");
        reply_bulk(c, slice_make(node->name, node->name_len));
        reply_pair(c, "type", type_name(node));
        if (key) {
            reply_text(c, "key_spec_index");
            reply_int(c, 0);
        }
        if (token) {
            reply_text(c, "token");
            reply_bulk(c, node->token);
        }
        if (flags > 0) {
            reply_text(c, "flags");
            reply_set(c, flags);
            if (node->optional)
                reply_status(c, "optional");
            if (node->multiple)
                reply_status(c, "multiple");
        }
        if (node->child >= 0) {
            reply_text(c, "arguments");
            reply_arguments(c, syntax, node->child);
        }
    }
}

static void reply_docs(struct call *c, const struct command *cmd)
{
    struct syntax syntax;
    bool arguments = cmd->syntax[0] != '\0' && syntax_parse(slice_str(cmd->syntax), &syntax) == 0;
    reply_bulk(c, name_of(cmd));
    reply_map(c, 4u + arguments + (cmd->sub_count > 0));
    reply_pair(c, "summary", cmd->summary);
    reply_pair(c, "since", cmd->since);
    reply_pair(c, "group", command_group_name(cmd->group));
    reply_pair(c, "complexity", cmd->complexity);
    if (arguments) {
        reply_text(c, "arguments");
        reply_arguments(c, &syntax, syntax.first);
    }
    if (cmd->sub_count > 0) {
        reply_text(c, "subcommands");
        reply_map(c, cmd->sub_count);
        for (unsigned i = 0; i < cmd->sub_count; i++)
            reply_docs(c, &cmd->subs[i]);
    }
}

void cmd_command_docs(struct call *c)
{
    if (c->argc == 2) {
        reply_map(c, top_level_count());
        for (unsigned i = 0; i < command_table_len; i++)
            if (!is_sub(&command_table[i]))
                reply_docs(c, &command_table[i]);
        return;
    }
    unsigned known = 0;
    for (int i = 2; i < c->argc; i++)
        known += command_find_full(call_arg(c, i)) != NULL;
    reply_map(c, known);
    for (int i = 2; i < c->argc; i++) {
        const struct command *cmd = command_find_full(call_arg(c, i));
        if (cmd != NULL)
            reply_docs(c, cmd);
    }
}

/* --- COMMAND GETKEYS --- */

/* The command that argv[2..] calls; replies the error and returns NULL. */
static const struct command *called(struct call *c)
{
    const struct command *cmd = command_resolve(c->argv + 2, c->argc - 2);
    if (cmd == NULL) {
        reply_error(c, "ERR Invalid command specified");
        return NULL;
    }
    if (cmd->first == 0) {
        reply_error(c, "ERR The command has no key arguments");
        return NULL;
    }
    if (!command_arity_ok(cmd, c->argc - 2)) {
        reply_error(c, "ERR Invalid number of arguments specified for command");
        return NULL;
    }
    return cmd;
}

static void getkeys(struct call *c, bool with_flags)
{
    const struct command *cmd = called(c);
    if (cmd == NULL)
        return;
    int last = command_last_key(cmd, c->argc - 2);
    unsigned specs = spec_count(cmd);
    reply_array(c, (uint64_t)((last - cmd->first) / cmd->step + 1));
    for (int i = cmd->first, n = 0; i <= last; i += cmd->step, n++) {
        if (!with_flags) {
            reply_bulk(c, call_arg(c, i + 2));
            continue;
        }
        size_t len;
        const char *access = spec_access(cmd, (unsigned)n < specs ? (unsigned)n : specs - 1, &len);
        reply_array(c, 2);
        reply_bulk(c, call_arg(c, i + 2));
        reply_access(c, access, len);
    }
}

void cmd_command_getkeys(struct call *c)
{
    getkeys(c, false);
}

void cmd_command_getkeysandflags(struct call *c)
{
    getkeys(c, true);
}
