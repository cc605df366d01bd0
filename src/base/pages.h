/* Memory in whole pages, zeroed, for big arrays: huge pages where the system has them, and parts
 * can be given back. As mem.h, mapping aborts when there is none. Pages take memory when they are
 * first written. */
#pragma once

#include <stddef.h>

#define PAGES_HUGE_BYTES ((size_t)2 << 20)

/* The address is a multiple of `align`: a power of two, or 0 when that of a page will do. */
void *pages_map(size_t bytes, size_t align);

/* Unmaps a part or all; whole pages, except that the end may lie inside the mapping's last one. */
void pages_unmap(void *at, size_t bytes);

/* The bytes (whole pages) read as zero from now on and take no memory until written. */
void pages_forget(void *at, size_t bytes);
