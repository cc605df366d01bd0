/* Inside of sessions and fronts, for the files of src/command that make them up: front.c,
 * session.c, dispatch.c, fetch.c, scatter.c, multi.c and the handlers that look at sessions. */
#pragma once

#include "base/list.h"
#include "base/status.h"
#include "command/call.h"
#include "command/front.h"
#include "command/session.h"
#include "command/timing.h"
#include "node/config.h"
#include "wire/resp.h"

/* Commands parsed, and their keys prefetched, ahead of being executed: no more than these, and no
 * more than pipelined-commands-max. */
#define BATCH_COMMANDS 32
/* With so much output queued a session executes nothing more until some is sent. Above what a
 * client that writes its whole pipeline before it reads anything can be expected to let pile up. */
#define OUTPUT_PAUSE_BYTES (32u << 20)
/* Turns not yet committed that replies wait for, each on its own; more share the last. */
#define GATES 16
/* An idle session gives its buffers back after so long. */
#define IDLE_TRIM_US          2000000
#define CLIENT_NAME_BYTES_MAX 512
#define SESSION_ADDRESS_BYTES 64
#define WRITE_DELAY_US_MAX    10000 /* of a writer under back-pressure */
#define WRITE_RETRY_US        1000  /* when no write may be executed at all */
/* A command whose keys were fetched so often without effect is refused: they don't fit in memory.
 */
#define FETCH_ROUNDS_TEXT                                                   \
    "ERR the keys of this command don't fit in memory together: name fewer" \
    " at a time, or raise cache-memory"
#define FETCH_ROUNDS_MAX 64
#define DISKFULL_TEXT                                                         \
    "DISKFULL no space left for writes; reads go on, and writes resume when " \
    "there is room"
#define SETTINGS_RETIRED 64
/* What a command or a transaction may write as one log record, with room for its framing. */
#define ATOMIC_MEBIBYTES_MAX 256
#define ATOMIC_BYTES_MAX     ((uint64_t)ATOMIC_MEBIBYTES_MAX << 20)
#define TEXT_OF_(x)          #x
#define TEXT_OF(x)           TEXT_OF_(x)
#define PRESSURE_FULL        1000 /* engine_pressure(): none may */

/* Snapshots taken by commands; relaxed atomics, for INFO only. */
struct front_saves {
    uint64_t started_ms; /* 0: none is under way */
    uint64_t done, took_ms;
    int last_status;
};

/* What INFO compares its counters with, to say what happens in a second. Held shards only. */
struct front_rates {
    uint64_t at_us, commands, input_bytes, output_bytes; /* when last looked at */
    uint64_t commands_per_s, input_per_s, output_per_s;  /* as found then */
};

struct front_group {
    struct node *node;
    struct front *fronts[NODE_SHARDS_MAX];
    uint64_t next_client_id; /* relaxed atomic, as is: */
    uint64_t watches;        /* of all sessions */
    struct front_saves saves;
    struct front_rates rates;
    /* What CONFIG SET replaced: kept for a while, because threads that are not held meanwhile (the
     * main thread's timer) may be looking. A ring. */
    struct settings *retired[SETTINGS_RETIRED];
    unsigned retired_next;
};

struct front {
    struct front_group *group;
    struct shard *shard;
    struct node *node;
    const struct settings *settings; /* of the node, looked up at each session_run() */

    struct list_head sessions; /* by id */
    unsigned session_count;
    struct list_head delayed;   /* sessions that wait for their due_us */
    struct list_head paused;    /* ... for the end of CLIENT PAUSE */
    struct list_head doomed;    /* ... to be closed at the turn's end */
    struct list_head forwarded; /* parts of other shards' sessions that wait here for room */
    struct list_head outbox;    /* parts that wait to be sent to another shard */
    struct env_timer timer;
    uint64_t pause_until_us; /* monotonic; 0: no pause */
    bool pause_all;
    bool pause_changed; /* the timer has to follow */

    struct call_key *keys; /* of the batch at hand */
    int key_count, key_cap;
    const struct session *keys_of; /* whose batch; NULL: nobody's */
    unsigned keys_db;
    uint64_t keys_version; /* node_keyspaces_version() they were made with */

    struct map *watched;   /* watch.c's: keys of this shard that sessions watch */
    unsigned watches_gone; /* atomic: watches to be swept */
    struct buffer scratch;
    struct command_stats *stats; /* by command id */
    struct timing timing;
    struct slowlog *slowlog;         /* slowlog.c's */
    struct scan_cursors *scans;      /* scan.c's */
    struct list_head auth_waiting;   /* auth.c's */
    struct auth_check *auth_running; /* NULL: none */
};

enum session_wait {
    WAIT_NONE,
    WAIT_FETCH,   /* cold keys */
    WAIT_HOLD,    /* other shards */
    WAIT_FORWARD, /* answers of other shards */
    WAIT_PENDING, /* the command ends later */
    WAIT_DELAY,   /* back-pressure */
    WAIT_PAUSE,   /* CLIENT PAUSE; front_unpause() ends it */
};

enum reply_mode { REPLIES_ON, REPLIES_OFF, REPLIES_SKIP_NEXT, REPLIES_SKIP };

struct request { /* a command taken from the parser */
    struct resp_command args;
    const struct command *command; /* NULL: unknown */
    int key_first, key_count;      /* in front->keys */
    bool keys_fit;                 /* none is too long */
};

struct session_gate {
    uint64_t offset; /* bytes of output from here on wait for ... */
    uint64_t turn;
};

struct multi;   /* multi.c */
struct fetch;   /* fetch.c */
struct forward; /* forward.c */

struct session {
    /* the connection */
    struct front *front;
    struct shard *shard;
    const struct session_host_ops *ops;
    void *host;
    struct list_node link;      /* front->sessions */
    struct list_node wait_link; /* front->delayed, paused */
    struct list_node doom_link; /* front->doomed */

    struct resp resp;
    struct reply reply;
    struct request batch[BATCH_COMMANDS];
    unsigned batch_at, batch_len;

    struct session_gate gates[GATES];
    unsigned gate_first, gate_count;

    enum session_wait wait;
    uint64_t due_us;
    struct fetch *fetch;
    struct forward *forward; /* being gathered, or waited for */
    unsigned fetch_rounds;   /* of the command at hand: its keys push one another out of memory */
    int fetch_error;         /* why the keys of the command at hand could not be read */
    struct shard_hold hold;
    struct call_pending *pending;
    bool running;   /* in session_run() */
    bool holding;   /* the command at hand has the shards it needs */
    bool acquiring; /* in shard_acquire() */
    bool closing;   /* after what is queued was sent */
    bool dead;      /* freed; only the hold is waited for */
    bool killed;    /* the host was told to close */
    bool ended;     /* no more input comes */
    bool protocol_error;
    bool write_slowed; /* the command at hand has waited its delay */

    /* what commands read and change */
    uint64_t id;
    unsigned db;
    bool authenticated;
    bool peer_local, no_evict, no_touch;
    enum reply_mode reply_mode;
    struct multi *multi; /* MULTI was said */
    struct list_head watches;
    unsigned watch_count;
    uint64_t watch_bytes;
    const struct command *last_command;
    uint64_t created_us, active_us;
    uint64_t soft_since_us;              /* above the soft output limit since then; 0: below */
    char *name, *lib_name, *lib_version; /* NULL: none */
    int fd;
    char peer[SESSION_ADDRESS_BYTES], local[SESSION_ADDRESS_BYTES];
};

/* session.c */
void session_wake(struct session *s); /* what it waited for has happened */
void session_park(struct session *s, enum session_wait wait);
void session_delay(struct session *s, uint64_t us);
void session_kill(struct session *s); /* close at once, what is queued unsent */
void session_gate_add(struct session *s, uint64_t offset, uint64_t turn);
void session_reset(struct session *s); /* RESET */
/* Frees what session_free() had to leave for a hold to come. */
void session_destroy(struct session *s);
bool session_needs_auth(const struct session *s);
/* CLIENT SETNAME, HELLO SETNAME: empty takes the name away. false: refused, the reply is written.
 */
bool session_set_name(struct call *c, struct slice name);

/* front.c */
void front_pause(struct front *f, uint64_t until_us, bool all);
void front_unpause(struct front *f);
void front_timer_arm(struct front *f); /* for whoever waits longest to be woken */

/* dispatch.c */
enum session_state dispatch_run(struct session *s);
/* Executes the command at hand, with the shards held. */
void dispatch_held(struct session *s);
/* Runs the handler of a call whose keys and shards are at hand. */
void dispatch_call(struct call *c);
/* Why `bytes` can't be written now, as an error text. NULL: they can, when *ret_wait_us is 0, else
 * after that time it has to be asked again. `waited`: it has waited because of pressure already. */
const char *dispatch_write_refusal(struct call *c, uint64_t bytes, bool waited,
                                   uint64_t *ret_wait_us);
/* Finishes a command that had ended later. */
void dispatch_resumed(struct session *s);
/* Appends the command's keys to front->keys; false: one is too long. */
bool dispatch_keys(struct front *f, const struct command *cmd, const struct slice *argv, int argc,
                   unsigned db, int *ret_first, int *ret_count);

/* fetch.c: the keys of a command that was answered ST_COLD. *ret_fetch is valid until done runs,
 * which may be before this returns. */
void fetch_begin(struct call *c, void (*done)(void *owner, int error), void *owner,
                 struct fetch **ret_fetch);
void fetch_cancel(struct fetch *f); /* NULL is allowed */

/* forward.c: commands whose keys are all on one other shard */
bool forward_able(const struct session *s, const struct call *c); /* keys on one shard, no state */
void forward_add(struct session *s, const struct call *c);        /* its shard is not home */
/* While some are being gathered, what home answers is kept with them, in order. */
struct reply *forward_home_reply(struct session *s);
void forward_home_done(struct session *s, const struct call *c);
uint64_t forward_home_pending(const struct session *s); /* bytes of it */
void forward_send(struct session *s);        /* parks the session until all are answered */
void forward_output_sent(struct session *s); /* some: parts that paused for it may go on */
void forward_cancel(struct session *s);
void forward_turn_end(struct front *f);
void forward_due(struct front *f, uint64_t now_us);

/* scatter.c: commands that end later, scans and counts over all shards */
struct call_pending {
    struct call call;
    struct session *session;
    uint64_t output_start;
    bool again; /* the command at hand is executed afterwards, this was only to prepare it */
    void (*cancel)(struct call *c);
    void *impl; /* scatter.c's */
};
void pending_cancel(struct session *s);
void pending_free(struct call_pending *p);

/* multi.c */
void multi_queue(struct session *s, struct call *c);
void multi_spoil(struct session *s); /* EXEC will refuse */
void multi_discard(struct session *s);
/* The keys of all queued commands; *ret_all: it needs all shards. */
void multi_keys(struct session *s, struct call *c, bool *ret_all);
uint64_t multi_bytes(const struct session *s);
int multi_count(const struct session *s); /* -1: no MULTI */
bool multi_writes(const struct session *s);
/* EXEC needs the number of keys and has not had them counted yet. */

/* Of files that keep something in the front: made at the first use, freed with the front. */
void slowlog_add(struct front *f, const struct timing_item *what, const struct session *s,
                 uint64_t took_us); /* slowlog.c; s NULL: it runs away from home */
void slowlog_free(struct front *f);
void scan_cursors_free(struct front *f); /* scan.c */

/* watch.c */
void watch_add(struct call *c, int arg); /* the key at argv[arg], which is resident */
bool watches_fit(const struct call *c);  /* all the keys of the WATCH may be watched too */
void watch_clear(struct session *s);
/* Something that was watched was written or has expired since. */
bool watch_broken(const struct session *s, uint64_t now_ms);
void watch_keys(const struct session *s, void (*each)(void *ctx, unsigned db, struct slice bytes),
                void *ctx);
/* Before the database's number means another keyspace: an empty one, or that of `becomes`. All
 * shards are held. Touches each watched key that lives in either. */
void watch_before_change(struct call *c, unsigned db, unsigned becomes);
void watch_sweep(struct front *f);
void watch_front_free(struct front *f);
void watch_touch_slow(struct call *c, const struct key *key);
/* The key is written. */
static inline void watch_touch(struct call *c, const struct key *key)
{
    if (unlikely(__atomic_load_n(&c->front->group->watches, __ATOMIC_RELAXED) != 0))
        watch_touch_slow(c, key);
}

static inline uint64_t front_now_us(const struct front *f)
{
    return f->shard->env->ops->now_mono_us(f->shard->env);
}

static inline uint64_t front_wall_ms(const struct front *f)
{
    return f->shard->env->ops->now_wall_ms(f->shard->env);
}
