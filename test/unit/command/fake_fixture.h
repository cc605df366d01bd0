/* What most tests of commands begin with: a node of one shard, or of three, and a client. */
#pragma once

#include "command/fake_expect.h"

static struct fake_node *node;
static struct fake_client *client;

static inline int setup(void **state)
{
    node = fake_node_create(1);
    client = fake_connect(node, 0);
    return 0;
}

/* The client's home is neither the first nor the last. */
static inline int setup_sharded(void **state)
{
    node = fake_node_create(3);
    client = fake_connect(node, 1);
    return 0;
}

static inline int teardown(void **state)
{
    fake_disconnect(client);
    struct settings *settings = node->node->settings; /* CONFIG SET puts others there */
    fake_node_free(node);
    settings_unref(settings);
    return 0;
}

/* The whole reply to one command. */
static inline struct slice ask(struct fake_client *c, const char *line)
{
    buffer_clear(&c->out);
    fake_send(c, line, strlen(line));
    fake_send(c, "\r\n", 2);
    fake_settle(c);
    return buffer_slice(&c->out);
}

static inline bool contains(struct slice text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}
