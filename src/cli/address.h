/* Where a server is: host[:port], [::1]:port, or a redis:// address. */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "cli/failure.h"

#define ADDRESS_HOST_BYTES_MAX 255
#define ADDRESS_PORT           7400
#define ADDRESS_REDIS_PORT     6379

struct address {
    char host[ADDRESS_HOST_BYTES_MAX + 1];
    uint16_t port;
};

/* A text without a port leaves ret_address->port as it is. */
int address_parse(const char *text, struct failure *failure, struct address *ret_address);

/* "host:port", with brackets where the host has colons. */
void address_append(struct buffer *out, const struct address *address);

/* redis://[user[:password]@]host[:port][/keyspace] */
struct address_url {
    struct address address;
    char user[256], password[256]; /* decoded; "" when absent */
    int keyspace;
};

int address_parse_url(const char *text, struct failure *failure, struct address_url *ret_url);
