/* For tests of what must abort: runs a block in a child process and says how it ended. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether run(context) dies of SIGABRT (as a failed CHECK does). Its stderr is dropped. */
static inline bool death_aborts(void (*run)(void *context), void *context)
{
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        run(context);
        _exit(0);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT;
}
