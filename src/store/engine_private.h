/* Inside the engine; included by engine*.c only (and by tests that plant flaws).
 *
 *   engine.c        creation, points, turns, pressure, statistics
 *   engine_fetch.c  keys made resident in the background
 *   engine_flush.c  frozen generations on their way into the tier
 *   engine_drop.c   keyspaces on their way out
 *   engine_count.c  how many keys are live
 *   engine_scan.c   rows in order: collecting the table's, handing over, results
 *   engine_cold.c   the part of a scan that reads the tier, on another thread
 *   engine_export.c, engine_install.c  a partition's rows as a stream, and back */
#pragma once

#include <stdatomic.h>

#include "base/check.h"
#include "base/map.h"
#include "store/engine.h"
#include "store/flush.h"
#include "store/table.h"

#define ENGINE_FROZEN_MAX     2
#define ENGINE_STEP_ROWS      256  /* of table upkeep a turn */
#define ENGINE_EXPIRE_ROWS_MS 64   /* looked at for expiry, for each millisecond that passed */
#define ENGINE_EXPIRE_MS_MAX  100  /* ... of at most so many */
#define ENGINE_WALK_ROWS      1000 /* a turn, while a keyspace is dropped */
#define ENGINE_ORDER_ROWS     1000 /* a turn, while the ordered index is built */
#define ENGINE_COUNT_STEP_ROWS                                        \
    (1u << 20) /* counted between two looks for something more urgent \
                */
/* Between two counts that engine_count_soon() asks for, and as a multiple of what the last took. */
#define ENGINE_COUNT_PAUSE_MS_MIN 10000
#define ENGINE_COUNT_PAUSE_TIMES  20
#define ENGINE_FETCHES_MAX        128 /* reads handed over at once; others wait their turn */
#define ENGINE_RETRY_MS_MIN       100
#define ENGINE_RETRY_MS_MAX       5000
#define ENGINE_SCRATCH_BYTES      (1u << 20) /* a bigger buffer is not kept */
#define ENGINE_NEVER_MS           UINT64_MAX
#define ENGINE_SOFT_NUMERATOR     3 /* writers are slowed from 3/4 of table_bytes on */
#define ENGINE_SOFT_DENOMINATOR   4

/* Flaws that tests plant to see that they would notice them. */
enum engine_flaw {
    ENGINE_FLAW_FILL_UNCHECKED = 1, /* a fetch fills although the key was written meanwhile */
    ENGINE_FLAW_LATE_WATERMARK = 2, /* watermarks are taken when the flush begins */
    ENGINE_FLAW_EARLY_LSN = 4,      /* the log is given free before the bulk is visible */
    ENGINE_FLAW_LATE_SNAPSHOT = 8,  /* a scan reads the tier as it is when the worker gets there */
    ENGINE_FLAW_COUNT_BLIND = 16,   /* overwriting an unknown record counts as a new key */
};

struct engine_part {
    struct engine_partition pub;
    uint64_t frozen_index; /* covered by the newest frozen generation */
    bool tier_rows;        /* the tier may have rows of it */
    bool dirty;            /* puts since the last freeze */
    bool forgetting;       /* rows in memory are of its past, and go step by step */
};

/* Live keys counted by changes. A record counts while it is not known to have expired: with an
 * expiry at or before as_of_ms it never did. */
struct engine_tally {
    int64_t live, expiring;
    uint64_t as_of_ms;
    bool unknown; /* a key was written whose former state is in the tier only */
};

struct engine_recount;

struct engine_keyspace {
    struct list_node link;
    uint32_t id;
    struct engine_tally tally;
    /* Soonest expiry among rows in the tier: they expire unseen, so from then on the tally is not
     * to be trusted. */
    uint64_t cold_expire_ms;
    struct engine_recount *recount; /* under way, else NULL */
    bool recount_wanted;            /* by engine_count_soon() */
    uint64_t recount_from_ms;       /* which counts no sooner than this */
    struct list_head counts;        /* struct count_wait, for the next recount */
};

struct engine_generation {
    struct engine *e;
    struct list_node link;      /* in e->frozen, oldest first */
    struct table_frozen *table; /* NULL: nothing but watermarks */
    uint64_t sequence, lsn, bytes, begin_ms;
    struct flush flush;
    struct work work;
    bool running;
    uint64_t retry_ms, retry_at_ms;
};

struct engine_drop {
    struct list_node link;
    uint32_t keyspace;
    bool logged;          /* the log has it: what makes it durable syncs the log first */
    bool walking, walked; /* the table was searched from begin to end since the drop */
    bool tier_busy, tier_done;
    uint64_t sequence; /* of the newest frozen generation when walked */
};

struct engine {
    struct engine_options options;
    struct tier *tier;
    struct table *table;
    struct engine_part *parts; /* by partition; only the shard's are used */
    uint64_t lsn, now_ms, expire_ms;
    int works;                /* under way */
    uint64_t count_step_rows; /* ENGINE_COUNT_STEP_ROWS; less in tests */
    bool stopping;            /* counts end at once; atomic: their work looks at it */
    unsigned flaws;

    /* generations */
    struct list_head frozen;
    unsigned frozen_count;
    uint64_t frozen_bytes, sequence, flushed_sequence;
    uint64_t freeze_lsn, flushed_lsn, turn_lsn;
    bool wrote, flush_wanted;
    int flush_error;
    uint64_t flush_failures;
    uint64_t tier_rows_estimate;

    /* fetches */
    struct map *fetches; /* by keyspace and key: those that may fill */
    struct list_head fetches_waiting;
    unsigned fetches_running;
    size_t fetches_open;

    /* keyspaces */
    int64_t keyspace_counted_after; /* keyspaces above had no row when the engine was made */
    struct list_head keyspaces;
    struct engine_keyspace *keyspace_last; /* of the last put, or NULL */
    struct list_head drops;
    uint64_t drop_cursor;
    bool drop_walking;

    /* scans */
    struct list_head scans_waiting;
    struct list_head installs; /* struct engine_install, from their last step on */
    bool installing;           /* a bulk of theirs is being finished: no flush runs */
    uint64_t ordered_used_ms;
    bool ordered_wanted;

    struct buffer scratch, value;
    struct engine_stats counted;
};

static inline struct engine_part *engine_part(struct engine *e, uint16_t partition)
{
    return &e->parts[partition];
}

static inline bool engine_unflushed(const struct engine *e)
{
    return e->frozen_count > 0 || table_active_bytes(e->table) > 0;
}

void engine_submit(struct engine *e, struct work *work);

/* Fetches. */
void engine_fetches_init(struct engine *e);
void engine_fetches_done(struct engine *e);
void engine_fetches_cancel(struct engine *e, const struct key *key);
void engine_fetches_cancel_keyspace(struct engine *e, uint32_t keyspace);
void engine_fetches_cancel_partition(struct engine *e, uint16_t partition);

/* Flushes. */
void engine_flushes_turn(struct engine *e);
void engine_flushes_start(struct engine *e);
bool engine_freeze(struct engine *e); /* false: no room for one more, or nothing to freeze */
void engine_flushes_done(struct engine *e);
struct engine_generation *engine_newest(struct engine *e); /* NULL: none */

/* Drops. */
void engine_drops_turn(struct engine *e);
void engine_drops_start(struct engine *e); /* the tier's part; while no flush runs */
bool engine_drops_has(const struct engine *e, uint32_t keyspace);
struct flush_dropped engine_drops_set(const struct engine *e);
void engine_drops_done(struct engine *e);

/* Counts. */
struct engine_keyspace *engine_keyspace(struct engine *e, uint32_t id); /* made when missing */
void engine_keyspace_change(struct engine_keyspace *k, const struct table_before *before,
                            const struct record *after);
void engine_keyspace_expired(struct engine *e, uint32_t id, uint64_t expire_ms);
void engine_keyspace_drop(struct engine *e, uint32_t id);
void engine_counts_visible(struct engine *e, struct engine_generation *g);
/* A flush failed: who waits for it, or for one behind it, hears so. */
void engine_counts_failed(struct engine *e, int st);
void engine_counts_turn(struct engine *e);
void engine_counts_unknown(struct engine *e); /* rows changed unseen */
void engine_counts_done(struct engine *e);

/* Installations. */
bool engine_installs_turn(struct engine *e); /* true: again soon */

/* Scans. */
void engine_scans_turn(struct engine *e);
void engine_scans_done(struct engine *e);
