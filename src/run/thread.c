#include "run/thread.h"

#include <signal.h>

int thread_start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(thread, NULL, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

void thread_name(const char *name)
{
    pthread_setname_np(pthread_self(), name);
}
