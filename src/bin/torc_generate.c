/* Writes the files that are made from tables: `torc-generate commands|settings|completion` prints
 * one of them. tools/generate puts each where it belongs, and adds the functions of the completion.
 * Runs at build time only; it reads the table of commands itself and links no handler. */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/check.h"
#include "command/command.h"
#include "node/config.h"

struct entry {
    const char *name;
    enum command_group group;
    const char *since, *complexity, *summary, *syntax;
    bool container;
};

static const struct entry entries[] = {
#define ROW(row_container, name, handler, arity, flags, first, last, step, access, group, since, \
            complexity, summary, syntax)                                                         \
    {name, group, since, complexity, summary, syntax, row_container},
#define CMD(...)               ROW(false, __VA_ARGS__)
#define CONTAINER(...)         ROW(true, __VA_ARGS__)
#define SUB(of_container, ...) ROW(false, __VA_ARGS__)
#include "command/commands.def"
#undef CMD
#undef CONTAINER
#undef SUB
#undef ROW
};

static const struct {
    enum command_group group;
    const char *title, *text;
} groups[] = {
    {GROUP_PLAIN, "Plain verbs", "Torc's own words for the basics, and what needs keys in order."},
    {GROUP_STRING, "Strings", "As Redis 7.0 has them."},
    {GROUP_BITMAP, "Bits", "As Redis 7.0 has them."},
    {GROUP_GENERIC, "Keys", "As Redis 7.0 has them."},
    {GROUP_TRANSACTIONS, "Transactions", "Atomic over all keys of the node."},
    {GROUP_CONNECTION, "Connection", "About the connection that sends them, and the others."},
    {GROUP_SERVER, "Server", "Figures, settings, snapshots."},
    {GROUP_SCRIPTING, "Scripts", "There are none; programs that clean up may say so."},
};

/* "config|set" as a person types it: "CONFIG SET". */
static void append_typed_name(struct buffer *out, const char *name)
{
    for (; *name != '\0'; name++) {
        char c = *name;
        if (c == '|')
            c = ' ';
        else if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        buffer_append_u8(out, (uint8_t)c);
    }
}

/* Inside a table's cell | ends the cell, and < begins a tag. */
static void append_cell(struct buffer *out, const char *text, bool code)
{
    if (code)
        buffer_append_u8(out, '`');
    for (; *text != '\0'; text++) {
        if (*text == '|')
            buffer_append_u8(out, '\\');
        if (*text == '<' && !code)
            buffer_append_u8(out, '\\');
        buffer_append_u8(out, (uint8_t)*text);
    }
    if (code)
        buffer_append_u8(out, '`');
}

static void append_command(struct buffer *out, const struct entry *e)
{
    BUFFER_AUTO struct buffer call = {0};
    append_typed_name(&call, e->name);
    if (e->syntax[0] != '\0')
        buffer_printf(&call, " %s", e->syntax);
    buffer_append_u8(&call, '\0');
    buffer_append_str(out, "| ");
    append_cell(out, (const char *)call.data, true);
    buffer_append_str(out, " | ");
    append_cell(out, e->summary, false);
    buffer_printf(out, " | %s | %s |\n", e->complexity, e->since);
}

static void print_commands(struct buffer *out)
{
    buffer_append_str(out,
                      "# Commands\n\n"
                      "Made from `src/command/commands.def` by `tools/generate`; do not edit.\n\n"
                      "`Since` names the version of Redis whose command this is, or 0.1.0 of Torc "
                      "for Torc's own.\nWhere a reply differs from Redis', "
                      "[deviations.md](deviations.md) says so.\n");
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
        buffer_printf(out, "\n## %s\n\n%s\n\n", groups[g].title, groups[g].text);
        buffer_append_str(out, "| Command | Does | Cost | Since |\n|---|---|---|---|\n");
        for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
            if (entries[i].group == groups[g].group && !entries[i].container)
                append_command(out, &entries[i]);
    }
}

static void print_settings(struct buffer *out)
{
    buffer_append_str(out, "# Settings\n\n"
                           "Made from `src/node/config_table.h` by `tools/generate`; do not "
                           "edit.\n\n"
                           "A setting is taken from the flag, else the environment, else the "
                           "file, else its default.\nThe file holds lines `name = value`; sizes "
                           "take `kb`, `mb`, `gb`, times `ms`, `s`, `m`, `h`, `d`.\n\n");
    config_markdown(out);
    while (out->len > 1 && out->data[out->len - 2] == '\n')
        out->len--;
}

/* --- completion --- */

static void append_first_words(struct buffer *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        if (strchr(entries[i].name, '|') == NULL)
            buffer_printf(out, " %s", entries[i].name);
}

static void append_sub_words(struct buffer *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        size_t len = strlen(entries[i].name);
        bool any = false;
        for (size_t k = i + 1; k < ARRAY_SIZE(entries); k++) {
            if (strncmp(entries[k].name, entries[i].name, len) != 0 || entries[k].name[len] != '|')
                continue;
            if (!any)
                buffer_printf(out, "    [%s]=\"", entries[i].name);
            buffer_printf(out, "%s%s", any ? " " : "", entries[k].name + len + 1);
            any = true;
        }
        if (any)
            buffer_append_str(out, "\"\n");
    }
}

static void print_completion(struct buffer *out)
{
    buffer_append_str(out, "# Completion of torc and torcd for bash.\n"
                           "# Made from the tables of commands and settings by tools/generate; "
                           "do not edit.\n"
                           "\n_torc_commands=\"import export restore help batch");
    append_first_words(out);
    buffer_append_str(out, "\"\ndeclare -gA _torc_subcommands=(\n");
    append_sub_words(out);
    buffer_append_str(out, ")\n_torcd_settings=\"");
    for (unsigned i = 0; i < CONFIG_COUNT; i++)
        buffer_printf(out, "%s--%s", i == 0 ? "" : " ", config_name(i));
    buffer_append_str(out, "\"\n\n");
}

int main(int argc, char **argv)
{
    BUFFER_AUTO struct buffer out = {0};
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "commands") == 0) {
        print_commands(&out);
    } else if (strcmp(what, "settings") == 0) {
        print_settings(&out);
    } else if (strcmp(what, "completion") == 0) {
        print_completion(&out);
    } else {
        fprintf(stderr, "usage: torc-generate commands|settings|completion\n");
        return 2;
    }
    return fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0 ? 0 : 1;
}
