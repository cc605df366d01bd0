#include "cli/address.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"

static int parse_port(const char *text, struct failure *failure, uint16_t *ret_port)
{
    int64_t port;
    if (number_parse_i64(slice_str(text), &port) < 0 || port < 1 || port > 65535)
        return failure_set(failure, ST_INVALID, "\"%s\" is no port: it must be 1 to 65535.", text);
    *ret_port = (uint16_t)port;
    return 0;
}

int address_parse(const char *text, struct failure *failure, struct address *ret_address)
{
    struct address address = {.port = ret_address->port};
    const char *host = text, *end = text + strlen(text), *port = NULL;
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return failure_set(failure, ST_INVALID, "\"%s\" is no address: write [::1]:7400.",
                               text);
        host = text + 1;
        end = close;
        port = close[1] == ':' ? close + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon != NULL && strchr(colon + 1, ':') == NULL) { /* more of them: bare IPv6 */
            end = colon;
            port = colon + 1;
        }
    }
    size_t len = (size_t)(end - host);
    if (len == 0 || len > ADDRESS_HOST_BYTES_MAX)
        return failure_set(failure, ST_INVALID, "\"%s\" names no host: write host[:port].", text);
    memcpy(address.host, host, len);
    int st = port ? parse_port(port, failure, &address.port) : 0;
    if (st == 0)
        *ret_address = address;
    return st;
}

void address_append(struct buffer *out, const struct address *address)
{
    bool brackets = strchr(address->host, ':') != NULL;
    buffer_printf(out, brackets ? "[%s]:%u" : "%s:%u", address->host, address->port);
}

static int decode_percent(const char *text, size_t len, char *to, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = (unsigned char)text[i];
        if (byte == '%') {
            if (i + 2 >= len || sscanf((char[]){text[i + 1], text[i + 2], 0}, "%2x", &byte) != 1)
                return ST_INVALID;
            i += 2;
        }
        if (byte == 0 || n + 1 >= size)
            return ST_INVALID;
        to[n++] = (char)byte;
    }
    to[n] = '\0';
    return 0;
}

static int decode_login(const char *login, size_t len, struct address_url *url)
{
    const char *colon = memchr(login, ':', len);
    size_t user_len = colon ? (size_t)(colon - login) : len;
    int st = decode_percent(login, user_len, url->user, sizeof(url->user));
    if (st == 0 && colon)
        st = decode_percent(colon + 1, len - user_len - 1, url->password, sizeof(url->password));
    return st;
}

int address_parse_url(const char *text, struct failure *failure, struct address_url *ret_url)
{
    struct address_url url = {.address.port = ADDRESS_REDIS_PORT};
    if (strncmp(text, "rediss://", 9) == 0)
        return failure_set(failure, ST_UNSUPPORTED,
                           "TLS (rediss://) is not supported: use redis:// through a tunnel.");
    if (strncmp(text, "redis://", 8) != 0)
        return failure_set(failure, ST_INVALID, "the address does not start with redis://");
    const char *rest = text + 8;
    const char *at = strrchr(rest, '@');
    if (at != NULL) {
        if (decode_login(rest, (size_t)(at - rest), &url) < 0)
            return failure_set(failure, ST_INVALID,
                               "user or password can't be read: write "
                               "redis://user:password@host, with %%40 for @.");
        rest = at + 1;
    }
    char host[ADDRESS_HOST_BYTES_MAX + 16];
    size_t host_len = strcspn(rest, "/");
    if (host_len >= sizeof(host))
        return failure_set(failure, ST_INVALID, "the host's name is too long.");
    memcpy(host, rest, host_len);
    host[host_len] = '\0';
    int64_t keyspace = 0;
    if (rest[host_len] == '/' && rest[host_len + 1] != '\0' &&
        (number_parse_i64(slice_str(rest + host_len + 1), &keyspace) < 0 || keyspace < 0 ||
         keyspace > 65535))
        return failure_set(failure, ST_INVALID, "\"%s\" is no number of a database.",
                           rest + host_len + 1);
    url.keyspace = (int)keyspace;
    int st = address_parse(host_len ? host : "127.0.0.1", failure, &url.address);
    if (st == 0)
        *ret_url = url;
    return st;
}
