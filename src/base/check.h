/* CHECK(): an invariant, on in every build. Never on bytes from outside: those get an error.
 * A failed check prints the expression and its place to stderr and aborts: state that broke an
 * invariant must not acknowledge anything more. */
#pragma once

#include <stddef.h>

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define CHECK(expression)                                  \
    do {                                                   \
        if (unlikely(!(expression)))                       \
            check_failed(#expression, __FILE__, __LINE__); \
    } while (0)

#define ARRAY_SIZE(a)                       (sizeof(a) / sizeof((a)[0]))

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
