/* Memory: allocation that cannot fail (a process out of memory aborts: it must not acknowledge what
 * it can't hold). Sizes that come from outside are checked against a named limit before they get
 * here. Freeing is free(3). */
#pragma once

#include <stddef.h>

void *mem_alloc(size_t bytes);            /* uninitialised; bytes may be 0 */
void *mem_zalloc(size_t bytes);           /* zeroed */
void *mem_realloc(void *p, size_t bytes); /* as realloc(3); bytes > 0 */
void *mem_dup(const void *p, size_t bytes);
char *mem_strdup(const char *text);

/* __attribute__((cleanup)) for locals: `MEM_AUTO char *text = ...;` frees at the end of the scope.
 */
void mem_auto_free(void *pointer_to_pointer);
#define MEM_AUTO __attribute__((cleanup(mem_auto_free)))
