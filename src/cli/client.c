#include "cli/client.h"

#include <stdio.h>

#include "base/check.h"

#define LOGIN_WORDS_MAX 6

bool client_error_is(const struct resp_reply *reply, const char *code)
{
    size_t len = strlen(code);
    return reply->type == RESP_REPLY_ERROR && reply->len >= len &&
           memcmp(reply->data, code, len) == 0 && (reply->len == len || reply->data[len] == ' ');
}

const char *client_advice(const struct resp_reply *error)
{
    static const struct {
        const char *code, *advice;
    } table[] = {
        {"NOAUTH", " (give the password with --password-file or TORC_PASSWORD)"},
        {"WRONGPASS", " (check --user, --password and TORC_PASSWORD)"},
        {"DENIED", " (the server takes only local clients until it has a password)"},
        {"NOPERM", " (log in as another user with --user)"},
        {"LOADING", " (the server is starting; try again in a moment)"},
        {"DISKFULL", " (make room on the server's disk; writes go on by themselves then)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (client_error_is(error, table[i].code))
            return table[i].advice;
    }
    return "";
}

void client_disconnect(struct client *client)
{
    connection_close(client->connection);
    client->connection = NULL;
}

static int exchange(struct client *client, size_t argc, const struct slice *argv,
                    struct failure *failure, struct resp_reply *ret_reply)
{
    connection_queue(client->connection, argc, argv);
    int st = connection_receive(client->connection, failure, ret_reply);
    if (st < 0)
        client_disconnect(client);
    return st;
}

static int exchange_words(struct client *client, size_t argc, const char *const *words,
                          struct failure *failure, struct resp_reply *ret_reply)
{
    struct slice argv[LOGIN_WORDS_MAX];
    CHECK(argc <= LOGIN_WORDS_MAX);
    for (size_t i = 0; i < argc; i++)
        argv[i] = slice_str(words[i]);
    return exchange(client, argc, argv, failure, ret_reply);
}

/* A step of the login, which must not be answered with an error. */
static int require(struct client *client, const char *what, size_t argc, const char *const *words,
                   struct failure *failure)
{
    struct resp_reply reply;
    int st = exchange_words(client, argc, words, failure, &reply);
    if (st < 0)
        return st;
    if (reply.type == RESP_REPLY_ERROR)
        st = failure_set(failure, ST_DENIED, "%s: %.*s%s", what, (int)reply.len, reply.data,
                         client_advice(&reply));
    resp_reply_free(&reply);
    return st;
}

static int log_in(struct client *client, struct failure *failure)
{
    const char *user = client->user && client->user[0] ? client->user : NULL;
    if (client->password == NULL && user != NULL)
        return failure_set(failure, ST_DENIED,
                           "user %s has no password here: give it with --password-file or "
                           "TORC_PASSWORD.",
                           user);
    if (client->password == NULL)
        return 0;
    const char *with_user[] = {"AUTH", user, client->password};
    const char *without[] = {"AUTH", client->password};
    return require(client, "the server does not let you in", user ? 3 : 2,
                   user ? with_user : without, failure);
}

/* Asks for RESP3; a server that knows no HELLO is spoken to in RESP2. */
static int choose_protocol(struct client *client, struct failure *failure)
{
    if (client->protocol != 3)
        return 0;
    struct resp_reply reply;
    int st = exchange_words(client, 2, (const char *[]){"HELLO", "3"}, failure, &reply);
    if (st < 0)
        return st;
    if (client_error_is(&reply, "ERR") || client_error_is(&reply, "NOPROTO"))
        client->protocol = 2;
    resp_reply_free(&reply);
    return 0;
}

int client_connect(struct client *client, struct failure *failure)
{
    if (client->connection != NULL)
        return 0;
    int st = connection_open(&client->address, client->timeout_ms, failure, &client->connection);
    if (st == 0)
        st = log_in(client, failure);
    if (st == 0)
        st = choose_protocol(client, failure);
    if (st == 0 && client->keyspace != 0) {
        char number[16];
        snprintf(number, sizeof(number), "%d", client->keyspace);
        st = require(client, "can't use that keyspace", 2, (const char *[]){"SELECT", number},
                     failure);
    }
    if (st < 0)
        client_disconnect(client);
    return st;
}

int client_call(struct client *client, size_t argc, const struct slice *argv,
                struct failure *failure, struct resp_reply *ret_reply)
{
    int st = client_connect(client, failure);
    return st < 0 ? st : exchange(client, argc, argv, failure, ret_reply);
}

int client_call_words(struct client *client, struct failure *failure, struct resp_reply *ret_reply,
                      size_t argc, const char *const *argv)
{
    int st = client_connect(client, failure);
    return st < 0 ? st : exchange_words(client, argc, argv, failure, ret_reply);
}
