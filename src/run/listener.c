#include "run/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"

#define ADDRESS_BYTES_MAX 256

static void set_port(struct sockaddr *address, unsigned port)
{
    if (address->sa_family == AF_INET)
        ((struct sockaddr_in *)address)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)address)->sin6_port = htons((uint16_t)port);
}

static unsigned bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return 0;
    return address.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&address)->sin_port)
                                        : ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
}

/* One listening socket, or -1 and errno. `share`: with our other sockets of the same port. */
static int socket_open(const struct addrinfo *info, unsigned port, int backlog, bool share)
{
    int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_port(info->ai_addr, port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (share)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, backlog) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* SO_REUSEPORT would let a second torcd of the same user share the port silently: so first the
 * port is tried alone. */
static bool taken_by_another(const struct addrinfo *info, unsigned port)
{
    if (port == 0)
        return false;
    int fd = socket_open(info, port, 1, false);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EADDRINUSE;
}

/* All copies for one resolved address. 0, or an errno. */
static int open_copies(struct listener_set *set, const struct addrinfo *info, int backlog)
{
    if (taken_by_another(info, set->port))
        return EADDRINUSE;
    for (unsigned i = 0; i < set->copies; i++) {
        if (set->count == LISTENER_SOCKETS_MAX)
            return ENOBUFS;
        int fd = socket_open(info, set->port, backlog, set->copies > 1);
        if (fd < 0)
            return errno;
        if (set->port == 0)
            set->port = bound_port(fd);
        set->fds[set->count++] = fd;
    }
    return 0;
}

static int open_address(struct listener_set *set, const char *name, int backlog, const char *option,
                        char error[LISTENER_ERROR_BYTES])
{
    bool optional = name[0] == '-';
    const char *host = name + optional;
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE, .ai_family = AF_UNSPEC};
    struct addrinfo *list = NULL;
    unsigned before = set->count;
    int result = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, "0", &hints, &list);
    if (result != 0) {
        snprintf(error, LISTENER_ERROR_BYTES, "can't resolve address '%s': %s", host,
                 gai_strerror(result));
        return optional ? 0 : ST_INVALID;
    }
    int err = EADDRNOTAVAIL;
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        int each = open_copies(set, info, backlog);
        if (each == 0 || each == EADDRINUSE)
            err = each;
        if (each == EADDRINUSE)
            break;
    }
    freeaddrinfo(list);
    if (err == EADDRINUSE) {
        snprintf(error, LISTENER_ERROR_BYTES,
                 "port %u of address %s is in use: is another server running? Choose another port "
                 "with %s",
                 set->port, host, option);
        return ST_EXISTS;
    }
    if (set->count > before || optional)
        return 0;
    snprintf(error, LISTENER_ERROR_BYTES, "can't listen on address %s port %u: %s", host, set->port,
             strerror(err));
    return ST_INVALID;
}

int listener_open(const char *addresses, unsigned port, int backlog, unsigned copies,
                  const char *option, struct listener_set *ret_set,
                  char error[LISTENER_ERROR_BYTES])
{
    struct listener_set set = {.copies = copies, .port = port};
    int st = 0;
    while (st == 0) {
        char name[ADDRESS_BYTES_MAX];
        addresses += strspn(addresses, " ,\t");
        size_t len = strcspn(addresses, " ,\t");
        if (len == 0)
            break;
        snprintf(name, sizeof(name), "%.*s", (int)len, addresses);
        addresses += len;
        st = open_address(&set, name, backlog, option, error);
    }
    if (st == 0 && set.count == 0) {
        snprintf(error, LISTENER_ERROR_BYTES, "no address to listen on");
        st = ST_INVALID;
    }
    if (st < 0)
        listener_close(&set);
    else
        *ret_set = set;
    return st;
}

void listener_close(struct listener_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        if (set->fds[i] >= 0)
            close(set->fds[i]);
    set->count = 0;
}
