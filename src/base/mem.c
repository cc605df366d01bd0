#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void *mem_alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    CHECK(p != NULL);
    return p;
}

void *mem_zalloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    CHECK(p != NULL);
    return p;
}

void *mem_realloc(void *p, size_t bytes)
{
    CHECK(bytes > 0);
    void *grown = realloc(p, bytes);
    CHECK(grown != NULL);
    return grown;
}

void *mem_dup(const void *p, size_t bytes)
{
    void *copy = mem_alloc(bytes);
    if (bytes > 0)
        memcpy(copy, p, bytes);
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

void mem_auto_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}
