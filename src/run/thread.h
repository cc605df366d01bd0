/* Threads: all are started with every signal blocked, so that only the main thread gets them. */
#pragma once

#include <pthread.h>

int thread_start(pthread_t *thread, void *(*body)(void *), void *argument); /* 0 or an errno */
void thread_name(const char *name);                                         /* of the calling one */
