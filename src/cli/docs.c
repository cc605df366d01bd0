#include "cli/docs.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "cli/quote.h"

#define TEXT_BYTES_MAX  400
#define PARTS_MAX       64
#define ARGUMENTS_DEPTH 8

struct command {
    char *name, *summary, *group, *since, *complexity;
    char *parts[PARTS_MAX]; /* the arguments, as the syntax shows them */
    size_t part_count;
    size_t single_count; /* leading parts that stand for exactly one word */
};

struct docs {
    struct command *commands;
    size_t count, capacity;
};

/* ---- reading the reply ---- */

/* The value of a field of a map, which RESP2 writes as an array of twice the length. */
static const struct resp_reply *field(const struct resp_reply *map, const char *name)
{
    for (size_t i = 0; i + 1 < map->count; i += 2) {
        if (map->items[i].data != NULL && quote_word_is(resp_reply_text(&map->items[i]), name))
            return &map->items[i + 1];
    }
    return NULL;
}

static char *clean_text(const struct resp_reply *reply)
{
    size_t len = reply == NULL || reply->data == NULL ? 0 : reply->len;
    len = len > TEXT_BYTES_MAX ? TEXT_BYTES_MAX : len;
    char *text = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = reply->data[i] < 0x20 || reply->data[i] == 0x7f ? ' ' : (char)reply->data[i];
    text[len] = '\0';
    return text;
}

static bool has_flag(const struct resp_reply *argument, const char *name)
{
    const struct resp_reply *flags = field(argument, "flags");
    for (size_t i = 0; flags && i < flags->count; i++) {
        if (flags->items[i].data && quote_word_is(resp_reply_text(&flags->items[i]), name))
            return true;
    }
    return false;
}

static void append_argument(const struct resp_reply *argument, int depth, struct buffer *out);

/* The arguments inside a block or a choice. */
static void append_inner(const struct resp_reply *inner, const char *between, int depth,
                         struct buffer *out)
{
    for (size_t i = 0; inner && i < inner->count && out->len < TEXT_BYTES_MAX; i++) {
        if (i > 0)
            buffer_append_str(out, between);
        append_argument(&inner->items[i], depth + 1, out);
    }
}

static void append_argument(const struct resp_reply *argument, int depth, struct buffer *out)
{
    if (depth > ARGUMENTS_DEPTH)
        return;
    bool optional = has_flag(argument, "optional"), multiple = has_flag(argument, "multiple");
    MEM_AUTO char *type = clean_text(field(argument, "type"));
    MEM_AUTO char *token = clean_text(field(argument, "token"));
    const struct resp_reply *shown = field(argument, "display_text");
    MEM_AUTO char *name = clean_text(shown ? shown : field(argument, "name"));
    const struct resp_reply *inner = field(argument, "arguments");
    bool pure = strcmp(type, "pure-token") == 0;

    BUFFER_AUTO struct buffer body = {0};
    if (strcmp(type, "oneof") == 0)
        append_inner(inner, " | ", depth, &body);
    else if (strcmp(type, "block") == 0)
        append_inner(inner, " ", depth, &body);
    else if (!pure)
        buffer_append_str(&body, name);
    bool choice = strcmp(type, "oneof") == 0 && (!optional || token[0]);

    buffer_append_str(out, optional ? "[" : "");
    buffer_append_str(out, token);
    buffer_append_str(out, token[0] && body.len ? " " : "");
    buffer_append_str(out, choice ? "<" : "");
    buffer_append_slice(out, buffer_slice(&body));
    buffer_append_str(out, choice ? ">" : "");
    if (multiple) {
        buffer_append_str(out, " [");
        if (has_flag(argument, "multiple_token"))
            buffer_printf(out, "%s ", token);
        buffer_append_slice(out, buffer_slice(&body));
        buffer_append_str(out, " ...]");
    }
    buffer_append_str(out, optional ? "]" : "");
}

static bool is_single(const struct resp_reply *argument)
{
    return !has_flag(argument, "optional") && !has_flag(argument, "multiple") &&
           field(argument, "token") == NULL && field(argument, "arguments") == NULL;
}

static void read_arguments(struct command *command, const struct resp_reply *arguments)
{
    bool singles = true;
    for (size_t i = 0; arguments && i < arguments->count && i < PARTS_MAX; i++) {
        BUFFER_AUTO struct buffer text = {0};
        append_argument(&arguments->items[i], 0, &text);
        buffer_append_u8(&text, '\0');
        command->parts[command->part_count++] = mem_dup(text.data, text.len);
        singles = singles && is_single(&arguments->items[i]);
        command->single_count += singles;
    }
}

static void add(struct docs *docs, const struct resp_reply *name, const struct resp_reply *entry,
                bool nested)
{
    if (name->data == NULL || name->len == 0)
        return;
    if (docs->count == docs->capacity) {
        docs->capacity = docs->capacity ? docs->capacity * 2 : 64;
        docs->commands = mem_realloc(docs->commands, docs->capacity * sizeof(docs->commands[0]));
    }
    struct command *command = &docs->commands[docs->count++];
    *command = (struct command){
        .name = clean_text(name),
        .summary = clean_text(field(entry, "summary")),
        .group = clean_text(field(entry, "group")),
        .since = clean_text(field(entry, "since")),
        .complexity = clean_text(field(entry, "complexity")),
    };
    for (char *c = command->name; *c != '\0'; c++)
        *c = *c == '|' ? ' ' : (char)tolower((unsigned char)*c);
    read_arguments(command, field(entry, "arguments"));
    const struct resp_reply *subcommands = field(entry, "subcommands");
    for (size_t i = 0; !nested && subcommands && i + 1 < subcommands->count; i += 2)
        add(docs, &subcommands->items[i], &subcommands->items[i + 1], true);
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct command *)a)->name, ((const struct command *)b)->name);
}

struct docs *docs_from_reply(const struct resp_reply *reply)
{
    struct docs *docs = mem_zalloc(sizeof(*docs));
    for (size_t i = 0; i + 1 < reply->count; i += 2)
        add(docs, &reply->items[i], &reply->items[i + 1], false);
    if (docs->count > 0)
        qsort(docs->commands, docs->count, sizeof(docs->commands[0]), compare);
    return docs;
}

int docs_fetch(struct client *client, struct failure *failure, struct docs **ret_docs)
{
    struct resp_reply reply;
    int st = client_call_words(client, failure, &reply, 2, (const char *[]){"COMMAND", "DOCS"});
    if (st < 0)
        return st;
    *ret_docs = docs_from_reply(&reply);
    resp_reply_free(&reply);
    return 0;
}

void docs_free(struct docs *docs)
{
    for (size_t i = 0; docs && i < docs->count; i++) {
        struct command *command = &docs->commands[i];
        free(command->name);
        free(command->summary);
        free(command->group);
        free(command->since);
        free(command->complexity);
        for (size_t k = 0; k < command->part_count; k++)
            free(command->parts[k]);
    }
    if (docs)
        free(docs->commands);
    free(docs);
}

size_t docs_count(const struct docs *docs)
{
    return docs ? docs->count : 0;
}

const char *docs_name(const struct docs *docs, size_t i)
{
    return docs->commands[i].name;
}

/* ---- hints and pages ---- */

/* The command that the first words name; *ret_words is how many they are. */
static const struct command *find(const struct docs *docs, size_t argc, const struct slice *argv,
                                  size_t *ret_words)
{
    for (size_t words = argc < 2 ? argc : 2; words > 0; words--) {
        BUFFER_AUTO struct buffer name = {0};
        buffer_append_slice(&name, argv[0]);
        if (words == 2) {
            buffer_append_u8(&name, ' ');
            buffer_append_slice(&name, argv[1]);
        }
        for (size_t i = 0; i < docs_count(docs); i++) {
            if (quote_word_is(buffer_slice(&name), docs->commands[i].name)) {
                *ret_words = words;
                return &docs->commands[i];
            }
        }
    }
    return NULL;
}

void docs_append_hint(const struct docs *docs, size_t argc, const struct slice *argv,
                      struct buffer *out)
{
    size_t words;
    const struct command *command = find(docs, argc, argv, &words);
    if (command == NULL)
        return;
    size_t given = argc - words;
    size_t skip = given < command->single_count ? given : command->single_count;
    for (size_t i = skip; i < command->part_count; i++)
        buffer_printf(out, "%s%s", i > skip ? " " : "", command->parts[i]);
}

static void append_page(const struct command *command, struct buffer *out)
{
    buffer_append_u8(out, '\n');
    buffer_append_str(out, "  ");
    for (const char *c = command->name; *c != '\0'; c++)
        buffer_append_u8(out, (uint8_t)toupper((unsigned char)*c));
    for (size_t i = 0; i < command->part_count; i++)
        buffer_printf(out, " %s", command->parts[i]);
    buffer_printf(out, "\n  summary: %s\n", command->summary);
    if (command->complexity[0])
        buffer_printf(out, "  complexity: %s\n", command->complexity);
    if (command->since[0])
        buffer_printf(out, "  since: %s\n", command->since);
    buffer_printf(out, "  group: %s\n", command->group);
}

/* Whether `name` is `topic`, or starts with it and a space. */
static bool is_under(const char *name, struct slice topic)
{
    return strlen(name) >= topic.len && (name[topic.len] == '\0' || name[topic.len] == ' ') &&
           strncasecmp(name, (const char *)topic.data, topic.len) == 0;
}

bool docs_append_help(const struct docs *docs, struct slice topic, struct buffer *out)
{
    bool group = topic.len > 1 && topic.data[0] == '@', any = false;
    for (size_t i = 0; topic.len > 0 && i < docs_count(docs); i++) {
        const struct command *command = &docs->commands[i];
        bool wanted = group
                          ? quote_word_is(slice_make(topic.data + 1, topic.len - 1), command->group)
                          : is_under(command->name, topic);
        if (wanted)
            append_page(command, out);
        any = any || wanted;
    }
    if (any) {
        buffer_append_u8(out, '\n');
        return true;
    }
    buffer_append_str(out, docs_count(docs) == 0 ? "This server does not describe its commands.\n"
                                                 : "The server knows no such command: ");
    if (docs_count(docs) > 0) {
        quote_append(out, topic);
        buffer_append_u8(out, '\n');
    }
    return false;
}
