/* SIGINT, without races: from interrupt_install() on it is delivered only inside interrupt_poll(),
 * and a long computation asks interrupt_pending() now and then. Before, it ends the program. */
#pragma once

#include <poll.h>
#include <stdbool.h>

void interrupt_install(void);
bool interrupt_pending(void); /* came, and was not cleared yet */
void interrupt_clear(void);

/* poll(2) that SIGINT ends: -1 with EINTR, also when it came before. timeout_ms -1: forever. */
int interrupt_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
