/* Room that is kept back for a start on a full disk: the file `torc.ballast` in the data directory,
 * a few megabytes of nothing.
 *
 * A server whose disk is full goes on, refusing writes, and needs no more room. But to start it has
 * to write: the cold tier's own records of what is there, a new segment of the log, the identity.
 * So a start that finds less room than the ballast holds removes it first, and makes it again, as
 * large as fits, once it serves; flushes leave as much free (tier_rocks_options). Not guaranteed:
 * that nobody else takes the room in between; then the start is refused, and says so. */
#pragma once

#include "store/disk.h"

#define BALLAST_FILE      "torc.ballast"
#define BALLAST_BYTES     (UINT64_C(4) << 20)
#define BALLAST_BYTES_MIN (UINT64_C(64) << 10) /* less is not worth a file */

struct ballast {
    struct disk *disk; /* borrowed, with the path of its directory */
    const char *path;
    uint64_t bytes; /* of the file; 0: there is none */
};

/* At a start: removes it when room is short. */
void ballast_drop(struct ballast *b, struct disk *disk, const char *path);
/* When serving, now and then: makes it where there is none, or the rest of it where it is smaller
 * than it should be. */
void ballast_keep(struct ballast *b);
