/* A client of one server: logs in, selects its keyspace and speaks the wanted protocol whenever it
 * connects, and connects again when asked to after a connection was lost. */
#pragma once

#include <stdbool.h>

#include "cli/connection.h"

struct client {
    struct address address;
    const char *user, *password; /* NULL: none; not owned */
    int keyspace;                /* selected at each connect */
    int protocol;                /* 2 or 3 wanted; 2 when the server knows no HELLO */
    uint64_t timeout_ms;
    struct connection *connection; /* NULL: not connected */
};

/* Connects unless connected. On failure the client is disconnected. */
int client_connect(struct client *client, struct failure *failure);
void client_disconnect(struct client *client);

/* One request and its reply, which may be an error; connects when needed. A failure (negative)
 * means that no reply came: the client is disconnected then. */
int client_call(struct client *client, size_t argc, const struct slice *argv,
                struct failure *failure, struct resp_reply *ret_reply);

/* The same for words. */
int client_call_words(struct client *client, struct failure *failure, struct resp_reply *ret_reply,
                      size_t argc, const char *const *argv);

/* The advice that fits an error reply, as " (...)", or "". */
const char *client_advice(const struct resp_reply *error);

/* Whether the first word of an error reply is `code`. */
bool client_error_is(const struct resp_reply *reply, const char *code);
