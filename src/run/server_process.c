/* What INFO and STATUS show of the process. */
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "run/machine.h"
#include "run/server_private.h"

static uint64_t resident_bytes(void)
{
    unsigned long long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t time_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

void server_process(void *ctx, struct node_process *process)
{
    const struct server *server = ctx;
    struct rusage usage;
    struct utsname name;
    process->pid = (uint64_t)getpid();
    process->tcp_port = server->listeners.port;
    process->rss_bytes = resident_bytes();
    process->memory_bytes = machine_probe().memory_bytes;
    struct mallinfo2 heap = mallinfo2();
    process->heap_bytes = heap.uordblks + heap.hblkhd;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        process->rss_bytes_max = (uint64_t)usage.ru_maxrss * 1024;
        process->cpu_user_us = time_us(usage.ru_utime);
        process->cpu_system_us = time_us(usage.ru_stime);
    }
    if (uname(&name) == 0)
        snprintf(process->os, sizeof(process->os), "%.40s %.60s %.20s", name.sysname, name.release,
                 name.machine);
    ssize_t len = readlink("/proc/self/exe", process->executable, sizeof(process->executable) - 1);
    process->executable[len > 0 ? len : 0] = '\0';
    if (server->shared.committer != NULL)
        process->log_synced_lsn = committer_synced_lsn(server->shared.committer);
    process->log_start_lsn = __atomic_load_n(&server->truncated_lsn, __ATOMIC_RELAXED);
}
