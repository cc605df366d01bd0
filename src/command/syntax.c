#include "command/syntax.h"

#include "base/check.h"
#include "base/status.h"

#define DEPTH_MAX 8

struct parser {
    struct slice text;
    size_t at;
    struct syntax *syntax;
    int depth;
};

/* A list of siblings while it grows. */
struct siblings {
    int first, last;
    unsigned count;
    bool repeats; /* ended by "..." */
};

static int parse_alternatives(struct parser *p, int *ret_node);

static uint8_t peek(struct parser *p)
{
    while (p->at < p->text.len && p->text.data[p->at] == ' ')
        p->at++;
    return p->at < p->text.len ? p->text.data[p->at] : 0;
}

static struct slice take_word(struct parser *p)
{
    size_t from = p->at;
    while (p->at < p->text.len && memchr(" []<>|", p->text.data[p->at], 6) == NULL)
        p->at++;
    return slice_make(p->text.data + from, p->at - from);
}

static bool is_token(struct slice word)
{
    bool upper = false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] >= 'a' && word.data[i] <= 'z')
            return false;
        upper = upper || (word.data[i] >= 'A' && word.data[i] <= 'Z');
    }
    return upper;
}

static enum syntax_type type_of(struct slice name)
{
    static const struct {
        const char *name;
        enum syntax_type type;
    } table[] = {
        {"key", SYNTAX_KEY},
        {"key1", SYNTAX_KEY},
        {"key2", SYNTAX_KEY},
        {"newkey", SYNTAX_KEY},
        {"destkey", SYNTAX_KEY},
        {"source", SYNTAX_KEY},
        {"destination", SYNTAX_KEY},
        {"pattern", SYNTAX_PATTERN},
        {"seconds", SYNTAX_INTEGER},
        {"milliseconds", SYNTAX_INTEGER},
        {"unix-time-seconds", SYNTAX_UNIX_TIME},
        {"unix-time-milliseconds", SYNTAX_UNIX_TIME},
        {"offset", SYNTAX_INTEGER},
        {"count", SYNTAX_INTEGER},
        {"index", SYNTAX_INTEGER},
        {"client-id", SYNTAX_INTEGER},
        {"timeout", SYNTAX_INTEGER},
        {"len", SYNTAX_INTEGER},
        {"db", SYNTAX_INTEGER},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (slice_equal(name, slice_str(table[i].name)))
            return table[i].type;
    return SYNTAX_STRING;
}

static int node_new(struct parser *p, enum syntax_type type, struct slice name, int *ret_node)
{
    if (p->syntax->count == SYNTAX_NODES_MAX)
        return ST_LIMIT;
    struct syntax_node *node = &p->syntax->node[p->syntax->count];
    *node = (struct syntax_node){.type = type, .child = -1, .next = -1};
    if (name.len > SYNTAX_NAME_BYTES)
        name.len = SYNTAX_NAME_BYTES;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        node->name[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    node->name_len = name.len;
    *ret_node = p->syntax->count++;
    return 0;
}

static void siblings_add(struct parser *p, struct siblings *list, int node)
{
    if (list->count++ == 0)
        list->first = node;
    else
        p->syntax->node[list->last].next = node;
    list->last = node;
}

/* One node for the list: itself when it is one, else a block named after its parts. */
static int siblings_as_node(struct parser *p, const struct siblings *list, int *ret_node)
{
    if (list->count == 1) {
        *ret_node = list->first;
        return 0;
    }
    char name[SYNTAX_NAME_BYTES];
    size_t len = 0;
    for (int i = list->first; i >= 0; i = p->syntax->node[i].next) {
        const struct syntax_node *part = &p->syntax->node[i];
        if (len + 1 + part->name_len > sizeof(name))
            break;
        if (len > 0)
            name[len++] = '_';
        memcpy(name + len, part->name, part->name_len);
        len += part->name_len;
    }
    int block;
    int st = node_new(p, SYNTAX_BLOCK, slice_make(name, len), &block);
    if (st < 0)
        return st;
    p->syntax->node[block].child = list->first;
    *ret_node = block;
    return 0;
}

/* The last `count` of the list may come again: marks the one, or makes a block of them. */
static int siblings_repeat(struct parser *p, struct siblings *list, unsigned count)
{
    if (list->count == 0)
        return ST_INVALID;
    if (count >= list->count)
        count = list->count;
    if (count == 1) {
        p->syntax->node[list->last].multiple = true;
        return 0;
    }
    int before = -1, from = list->first;
    for (unsigned i = count; i < list->count; i++) {
        before = from;
        from = p->syntax->node[from].next;
    }
    struct siblings tail = {.first = from, .last = list->last, .count = count};
    int block;
    int st = siblings_as_node(p, &tail, &block);
    if (st < 0)
        return st;
    p->syntax->node[block].multiple = true;
    if (before < 0)
        list->first = block;
    else
        p->syntax->node[before].next = block;
    list->last = block;
    list->count -= count - 1;
    return 0;
}

/* A word, with what belongs to it. */
static int parse_word(struct parser *p, struct siblings *list)
{
    struct slice word = take_word(p);
    if (slice_equal(word, slice_str("..."))) {
        list->repeats = true;
        return 0;
    }
    int node, st;
    if (!is_token(word)) {
        st = node_new(p, type_of(word), word, &node);
        if (st == 0)
            siblings_add(p, list, node);
        return st;
    }
    uint8_t next = peek(p);
    size_t back = p->at;
    struct slice name =
        next == 0 || memchr("[]<>|", next, 5) != NULL ? (struct slice){0} : take_word(p);
    if (next == '<') {
        p->at++;
        st = parse_alternatives(p, &node);
        if (st < 0)
            return st;
        if (peek(p) != '>')
            return ST_INVALID;
        p->at++;
        p->syntax->node[node].token = word;
    } else if (name.len > 0 && !is_token(name) && name.data[0] != '.') {
        st = node_new(p, type_of(name), name, &node);
        if (st < 0)
            return st;
        p->syntax->node[node].token = word;
    } else {
        p->at = back;
        st = node_new(p, SYNTAX_PURE_TOKEN, word, &node);
        if (st < 0)
            return st;
        p->syntax->node[node].token = word;
    }
    siblings_add(p, list, node);
    return 0;
}

static int parse_sequence(struct parser *p, struct siblings *list);

/* [ ... ]: optional, or the repetition of what stands before it. */
static int parse_optional(struct parser *p, struct siblings *list)
{
    size_t inner = p->at;
    int nodes = p->syntax->count;
    struct siblings ahead = {.first = -1, .last = -1};
    int st = parse_sequence(p, &ahead);
    if (st < 0)
        return st;
    if (ahead.repeats && peek(p) == ']') {
        p->syntax->count = nodes;
        return siblings_repeat(p, list, ahead.count);
    }
    p->at = inner;
    p->syntax->count = nodes;
    int node;
    st = parse_alternatives(p, &node);
    if (st < 0)
        return st;
    p->syntax->node[node].optional = true;
    siblings_add(p, list, node);
    return 0;
}

static int parse_sequence(struct parser *p, struct siblings *list)
{
    for (;;) {
        uint8_t c = peek(p);
        int st = 0, node;
        if (c == 0 || c == ']' || c == '>' || c == '|')
            return 0;
        if (c != '[' && c != '<') {
            st = parse_word(p, list);
            if (st < 0)
                return st;
            continue;
        }
        if (++p->depth > DEPTH_MAX)
            return ST_LIMIT;
        p->at++;
        if (c == '[') {
            st = parse_optional(p, list);
        } else {
            st = parse_alternatives(p, &node);
            if (st == 0)
                siblings_add(p, list, node);
        }
        if (st < 0)
            return st;
        if (peek(p) != (c == '[' ? ']' : '>'))
            return ST_INVALID;
        p->at++;
        p->depth--;
    }
}

/* a | b c | d, up to the closing bracket, as one node. */
static int parse_alternatives(struct parser *p, int *ret_node)
{
    struct siblings choices = {.first = -1, .last = -1};
    for (;;) {
        struct siblings list = {.first = -1, .last = -1};
        int st = parse_sequence(p, &list);
        if (st < 0)
            return st;
        if (list.count == 0)
            return ST_INVALID;
        int node;
        st = siblings_as_node(p, &list, &node);
        if (st < 0)
            return st;
        p->syntax->node[node].multiple |= list.repeats;
        siblings_add(p, &choices, node);
        if (peek(p) != '|')
            break;
        p->at++;
    }
    if (choices.count == 1) {
        *ret_node = choices.first;
        return 0;
    }
    const struct syntax_node *first = &p->syntax->node[choices.first];
    int node;
    int st = node_new(p, SYNTAX_ONEOF, slice_make(first->name, first->name_len), &node);
    if (st < 0)
        return st;
    p->syntax->node[node].child = choices.first;
    *ret_node = node;
    return 0;
}

int syntax_parse(struct slice text, struct syntax *ret_syntax)
{
    ret_syntax->count = 0;
    ret_syntax->first = -1;
    struct parser p = {.text = text, .syntax = ret_syntax};
    struct siblings list = {.first = -1, .last = -1};
    int st = parse_sequence(&p, &list);
    if (st < 0)
        return st;
    if (peek(&p) != 0)
        return ST_INVALID;
    ret_syntax->first = list.count > 0 ? list.first : -1;
    return 0;
}
