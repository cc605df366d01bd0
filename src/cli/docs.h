/* The server's command table, as COMMAND DOCS tells it: help pages, completion and hints.
 *
 * The texts come from outside: they are cut to sane lengths and freed of control characters, and a
 * reply of another shape gives fewer commands, never an error. */
#pragma once

#include "cli/client.h"

struct docs;

/* Asks the server. A server without COMMAND DOCS gives an empty table, and 0. */
int docs_fetch(struct client *client, struct failure *failure, struct docs **ret_docs);
struct docs *docs_from_reply(const struct resp_reply *reply);
void docs_free(struct docs *docs); /* NULL is allowed, here and below */

size_t docs_count(const struct docs *docs);
/* Names in byte order, lower case: "get", "config get" ...; i < docs_count(). */
const char *docs_name(const struct docs *docs, size_t i);

/* The arguments that may still follow these words, the last of which is complete: for "set k" it is
 * "value [NX | XX] ...". Nothing for an unknown command. */
void docs_append_hint(const struct docs *docs, size_t argc, const struct slice *argv,
                      struct buffer *out);

/* The page on a command, on all commands that start with this word ("config"), or on a group
 * ("@string"). False, with a page that says so, when there is none. */
bool docs_append_help(const struct docs *docs, struct slice topic, struct buffer *out);
