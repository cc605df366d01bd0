/* A partition's rows replaced by those of a stream (store/engine_export.h), at once or not at all.
 *
 * The stream's rows go into one bulk under the next generation of ownership; the last step adds the
 * watermark and finishes it. Before that nobody sees anything of it, a crash leaves nothing; from
 * then on the old rows are out of reach. Then the partition's rows in memory are forgotten, and a
 * frozen generation that still holds some no longer writes them or their watermark. No flush runs
 * while the bulk is finished. done() comes when all of it is over. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/engine.h"

struct engine_install;

struct engine_install_options {
    uint16_t partition;
    bool keep_rows; /* a flaw that tests plant: rows in memory stay */
    /* On the owner's thread, never from inside a call: what was asked is done. */
    void (*done)(struct engine_install *x, int st);
    void *ctx;
};

struct engine_install *engine_install_create(struct engine *e,
                                             const struct engine_install_options *options);
/* The stream's next bytes; copied. One call at a time. ST_CORRUPT: they can't be what follows;
 * ST_VERSION. */
void engine_install_feed(struct engine_install *x, struct slice data);
/* The stream must be complete, else ST_CORRUPT, and at this index. `meta` is stored with the rows:
 * engine_install_meta(). */
void engine_install_finish(struct engine_install *x, uint64_t index, struct slice meta);
bool engine_install_busy(const struct engine_install *x);
void *engine_install_ctx(const struct engine_install *x);
/* What is not finished is gone. Not while busy, but for the end of the engine: then not while work
 * is under way. */
void engine_install_free(struct engine_install *x);

/* What the last installation of the partition stored; blocks: for a start. ST_NOTFOUND. */
int engine_install_meta(struct engine *e, uint16_t partition, struct buffer *out);
