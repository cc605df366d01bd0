#include "run/peer_address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

#define HOST_BYTES_MAX 254 /* of a name, with its terminator (RFC 1035, 2.3.4) */
#define PORT_MAX       65535
#define PORT_DIGITS    5

static int parse_port(struct slice text, unsigned *ret_port)
{
    unsigned port = 0;
    if (text.len == 0 || text.len > PORT_DIGITS)
        return ST_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit(text.data[i]))
            return ST_INVALID;
        port = port * 10 + (unsigned)(text.data[i] - '0');
    }
    if (port == 0 || port > PORT_MAX)
        return ST_INVALID;
    *ret_port = port;
    return 0;
}

/* "host:port", "[host]:port"; without a port *port stays. */
static int split(struct slice text, char host[HOST_BYTES_MAX], unsigned *port)
{
    bool bracket = text.len > 0 && text.data[0] == '[';
    const uint8_t *from = text.data + bracket;
    const uint8_t *end = text.data + text.len;
    const uint8_t *stop = memchr(from, bracket ? ']' : ':', text.len - bracket);
    size_t len = (size_t)((stop != NULL ? stop : end) - from);
    if (len == 0 || len >= HOST_BYTES_MAX || memchr(from, '\0', len) != NULL ||
        (bracket && stop == NULL))
        return ST_INVALID;
    memcpy(host, from, len);
    host[len] = '\0';
    const uint8_t *rest = from + len + bracket;
    if (rest == end)
        return 0;
    return *rest == ':' ? parse_port(slice_make(rest + 1, (size_t)(end - rest - 1)), port)
                        : ST_INVALID;
}

static int parse_host(const char *host, unsigned port, struct peer_address *ret_address)
{
    struct peer_address a = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&a.at;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.at;
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        a.len = sizeof(*in);
    } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        a.len = sizeof(*in6);
    } else {
        return ST_INVALID;
    }
    *ret_address = a;
    return 0;
}

int peer_address_parse(struct slice text, struct peer_address *ret_address)
{
    char host[HOST_BYTES_MAX];
    unsigned port = 0;
    if (split(text, host, &port) < 0 || port == 0)
        return ST_INVALID;
    return parse_host(host, port, ret_address);
}

int peer_address_resolve(struct slice text, unsigned default_port, struct peer_address *ret_address)
{
    char host[HOST_BYTES_MAX], service[PORT_DIGITS + 1];
    unsigned port = default_port;
    if (split(text, host, &port) < 0)
        return ST_INVALID;
    if (parse_host(host, port, ret_address) == 0)
        return 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    struct addrinfo *list = NULL;
    snprintf(service, sizeof(service), "%u", port % (PORT_MAX + 1));
    if (getaddrinfo(host, service, &hints, &list) != 0 || list == NULL)
        return ST_NOTFOUND;
    *ret_address = (struct peer_address){.len = list->ai_addrlen};
    memcpy(&ret_address->at, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return 0;
}

void peer_address_format(const struct peer_address *address, char out[PEER_ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address->at;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->at;
    bool is6 = address->at.ss_family == AF_INET6;
    if (address->len > 0)
        inet_ntop(address->at.ss_family,
                  is6 ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr, host,
                  sizeof(host));
    snprintf(out, PEER_ADDRESS_TEXT_BYTES, is6 ? "[%s]:%u" : "%s:%u", host,
             peer_address_port(address));
}

bool peer_address_loopback(const struct peer_address *address)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address->at;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->at;
    if (address->at.ss_family == AF_INET)
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    return address->at.ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
            (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127));
}

unsigned peer_address_port(const struct peer_address *address)
{
    if (address->at.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&address->at)->sin_port);
    return address->at.ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)&address->at)->sin6_port)
               : 0;
}
