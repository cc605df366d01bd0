/* struct disk over a directory of the real file system.
 *
 * Thread-safe: nothing is shared but the directory's descriptor. The directory may be renamed or
 * its path may change while open. Interrupted and short calls are continued. */
#pragma once

#include <stdbool.h>

#include "store/disk.h"

/* Opens the directory, creating it (its parent must exist) when `create`. */
int disk_posix_open(const char *path, bool create, struct disk **ret_disk);
void disk_posix_close(struct disk *disk); /* all its files must be closed; NULL is allowed */

/* Locks the directory by its file `name` against other processes, until disk_posix_unlock() or the
 * end of the process, however it ends. ST_LOCKED: another process holds it. */
int disk_posix_lock(struct disk *disk, const char *name, int *ret_fd);
void disk_posix_unlock(int fd);
