#include "run/machine.h"

#include <ctype.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* A small file's text with the last newline cut; "" when it can't be read. */
static void read_text(const char *path, char *out, size_t bytes)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, bytes - 1);
    close(fd);
    n = n < 0 ? 0 : n;
    while (n > 0 && isspace((unsigned char)out[n - 1]))
        n--;
    out[n] = '\0';
}

/* A limit in a file of the control group; 0: none. */
static uint64_t limit_in(const char *path)
{
    char text[64];
    read_text(path, text, sizeof(text));
    if (!isdigit((unsigned char)text[0]))
        return 0; /* "max" */
    return strtoull(text, NULL, 10);
}

/* The least limit of this process' group and those above it (version 2), or version 1's. */
static uint64_t group_limit(void)
{
    char line[512], path[640];
    uint64_t least = limit_in("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    read_text("/proc/self/cgroup", line, sizeof(line));
    char *group = strncmp(line, "0::/", 4) == 0 ? line + 3 : line + strlen(line);
    group[strcspn(group, "\n")] = '\0';
    for (;;) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
        uint64_t limit = limit_in(path);
        if (limit != 0 && (least == 0 || limit < least))
            least = limit;
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

struct config_machine machine_probe(void)
{
    struct config_machine machine = {
        .memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
        .cores = 1,
    };
    uint64_t limit = group_limit();
    if (limit != 0 && limit < machine.memory_bytes)
        machine.memory_bytes = limit;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        machine.cores = (unsigned)CPU_COUNT(&set);
    return machine;
}

unsigned machine_raise_files(unsigned wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_cur < wanted) {
        struct rlimit more = limit;
        more.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            limit = more;
    }
    return limit.rlim_cur > wanted ? wanted : (unsigned)limit.rlim_cur;
}

void machine_boot_id(char *out, size_t bytes)
{
    read_text("/proc/sys/kernel/random/boot_id", out, bytes);
}
