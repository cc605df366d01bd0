#include "cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static volatile sig_atomic_t came;
static sigset_t open_mask; /* what ppoll waits under */
static bool installed;

static void on_signal(int number)
{
    (void)number;
    came = 1;
}

void interrupt_install(void)
{
    if (installed)
        return;
    installed = true;
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &open_mask);
    sigdelset(&open_mask, SIGINT);
}

bool interrupt_pending(void)
{
    if (!came && installed) {
        sigset_t waiting;
        sigpending(&waiting);
        if (sigismember(&waiting, SIGINT)) /* let it in */
            ppoll(NULL, 0, &(struct timespec){0}, &open_mask);
    }
    return came;
}

void interrupt_clear(void)
{
    if (interrupt_pending())
        came = 0;
}

int interrupt_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (came) {
        errno = EINTR;
        return -1;
    }
    struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    return ppoll(fds, count, timeout_ms < 0 ? NULL : &timeout, installed ? &open_mask : NULL);
}
