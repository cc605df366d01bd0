/* Commands: what commands.def says, and finding one by its name.
 *
 * A container (CLIENT, CONFIG ...) has subcommands, which are commands of their own, named
 * "client|id". Key positions are as in Redis: argv[first], then every `step`-th up to `last`, which
 * counts from the end when negative; first 0: no keys. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct call;

/* The Redis whose commands these are; clients choose what they use by it. */
#define COMMAND_REDIS_VERSION "7.0.15"

enum command_flags {
    CMD_WRITE = 1 << 0,
    CMD_READONLY = 1 << 1,
    CMD_FAST = 1 << 2,
    CMD_ADMIN = 1 << 3,
    CMD_BLIND = 1 << 4,   /* with three arguments it writes and never reads: needs no fetch */
    CMD_NO_AUTH = 1 << 5, /* also before AUTH */
    CMD_LOADING = 1 << 6, /* also while recovering */
    CMD_STALE = 1 << 7,
    CMD_NO_MULTI = 1 << 8, /* refused inside MULTI */
    CMD_NOSCRIPT = 1 << 9,
    CMD_DENYOOM = 1 << 10,
    CMD_SESSION =
        1 << 11,         /* reads or changes the connection's state: at home, after all before it */
    CMD_ALL = 1 << 12,   /* runs with all shards held */
    CMD_ASYNC = 1 << 13, /* may end later (call_scan, call_count, call_suspend) */
    CMD_ATOMIC = 1 << 14,    /* writes more than once though it has one key */
    CMD_OTHER_DB = 1 << 15,  /* COPY, MOVE: a key in another database too */
    CMD_KEYSPACES = 1 << 16, /* changes what SELECT's numbers mean */
    CMD_IN_MULTI = 1 << 17,  /* executed, not queued, inside MULTI */
    CMD_ANY_PAUSE = 1 << 18, /* not held up by CLIENT PAUSE */
    CMD_MAY_REPLICATE = 1 << 19,
    CMD_PUBSUB = 1 << 20,
    CMD_OWN = 1 << 21, /* Torc's own, unknown to Redis */
};

enum command_group {
    GROUP_STRING,
    GROUP_BITMAP,
    GROUP_GENERIC,
    GROUP_CONNECTION,
    GROUP_SERVER,
    GROUP_TRANSACTIONS,
    GROUP_SCRIPTING,
    GROUP_PLAIN, /* Torc's plain verbs */
};

struct command {
    const char *name;                /* lower case; "container|sub" */
    void (*handler)(struct call *c); /* NULL for a container */
    int16_t arity;                   /* with the name; negative: at least */
    int16_t first, last, step;
    uint32_t flags;
    uint8_t group;
    uint8_t name_len;
    bool is_sub;
    uint16_t id;
    const char *access; /* of keys, as key specs say it: "RO ACCESS"; one a spec, | between */
    const char *since, *complexity, *summary, *syntax;
    const struct command *subs; /* of a container: the rows that follow it in the table */
    uint16_t sub_count;
};

extern const struct command *const command_table;
extern const unsigned command_table_len; /* subcommands included */

/* By name in any case; NULL: none. A container is resolved with command_sub(). */
const struct command *command_find(struct slice name);
const struct command *command_sub(const struct command *container, struct slice name);
/* argv[0] and, of a container, argv[1]. NULL: unknown. */
const struct command *command_resolve(const struct slice *argv, int argc);
/* "client|id", or "get". */
const struct command *command_find_full(struct slice name);

/* A command of Redis for types that Torc does not have. */
bool command_is_foreign(struct slice name);

static inline bool command_arity_ok(const struct command *cmd, int argc)
{
    return cmd->arity >= 0 ? argc == cmd->arity : argc >= -cmd->arity;
}

/* Index of the last key argument, given argc; 0 when there are no keys. */
int command_last_key(const struct command *cmd, int argc);

const char *command_group_name(enum command_group group);
