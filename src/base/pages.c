#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/check.h"

void *pages_map(size_t bytes, size_t align)
{
    size_t spare = align; /* more than needed, to cut the aligned part out of it */
    uint8_t *at = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED);
    if (spare > 0) {
        size_t before = -(uintptr_t)at & (align - 1);
        if (before > 0)
            munmap(at, before);
        at += before;
        if (spare > before)
            munmap(at + bytes, spare - before);
    }
    if (bytes >= PAGES_HUGE_BYTES)
        madvise(at, bytes, MADV_HUGEPAGE); /* a hint: no matter when it fails */
    return at;
}

void pages_unmap(void *at, size_t bytes)
{
    CHECK(munmap(at, bytes) == 0);
}

void pages_forget(void *at, size_t bytes)
{
    CHECK(madvise(at, bytes, MADV_DONTNEED) == 0);
}
