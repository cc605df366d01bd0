/* The syntax column of the table of commands, taken apart: what COMMAND DOCS calls arguments.
 *
 *   [a b]       optional                     <A | B>, [A | B]   one of
 *   key [key ...], [GET x [GET x ...]]       one or more of what stands before
 *   WORD        a token of itself            WORD name          a token before an argument
 *   name        an argument; its type is told by its name
 *
 * Nodes stand in one array, linked by index; -1 ends a list. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

#define SYNTAX_NODES_MAX  96
#define SYNTAX_NAME_BYTES 64

enum syntax_type {
    SYNTAX_STRING,
    SYNTAX_KEY,
    SYNTAX_INTEGER,
    SYNTAX_UNIX_TIME,
    SYNTAX_PATTERN,
    SYNTAX_PURE_TOKEN,
    SYNTAX_ONEOF,
    SYNTAX_BLOCK,
};

struct syntax_node {
    enum syntax_type type;
    bool optional, multiple;
    char name[SYNTAX_NAME_BYTES];
    size_t name_len;
    struct slice token; /* in the text; empty: none */
    int child, next;
};

struct syntax {
    struct syntax_node node[SYNTAX_NODES_MAX];
    int count;
    int first; /* -1: no arguments */
};

/* ST_INVALID: brackets do not match, or a name is too long. ST_LIMIT: too many nodes. */
int syntax_parse(struct slice text, struct syntax *ret_syntax);
