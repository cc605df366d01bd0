/* Listening sockets: every address of the setting, once per shard thread (SO_REUSEPORT spreads the
 * connections among them). */
#pragma once

#include <stddef.h>

#define LISTENER_SOCKETS_MAX 1024
#define LISTENER_ERROR_BYTES 512

struct listener_set {
    int fds[LISTENER_SOCKETS_MAX]; /* address by address, `copies` of each */
    unsigned count, copies;
    unsigned port; /* the one bound, also when 0 was asked for */
};

/* `addresses`: separated by spaces or commas, `*` for all, a leading `-` for one that may be
 * missing. A port held by another process is an error, even if it would share it, and the error
 * names `option` as what sets the port. */
int listener_open(const char *addresses, unsigned port, int backlog, unsigned copies,
                  const char *option, struct listener_set *ret_set,
                  char error[LISTENER_ERROR_BYTES]);
void listener_close(struct listener_set *set);
