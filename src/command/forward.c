/* Commands of a session whose keys are all on one other shard run there, on its thread.
 *
 * Of what a session executes in one turn, those for the same shard travel together: one task there
 * and back for each shard. Meanwhile the session goes on with what follows, as long as that is also
 * a command of keys on one shard; what home answers itself is kept in a part of its own, so that
 * all replies can be put in order when the parts are back. Anything else (transactions, commands of
 * several shards or of the connection's state) waits for them first, and so does the next turn: no
 * two parts of one session are ever under way to the same shard, and its commands on a key stay in
 * order.
 *
 * What is under way is bounded, as output is: a part whose replies have come to OUTPUT_PAUSE_BYTES
 * comes back with some of its commands not run. Home takes the replies up to the first one that is
 * missing, waits until most of them were sent, and has the part go on.
 *
 * A part comes back when its replies may be shown: when the turn they depend on is committed at the
 * shard that ran it. When the client goes away meanwhile the parts still run, and the last one that
 * comes back frees all. */
#include <stdlib.h>

#include "base/mem.h"
#include "command/handlers.h"
#include "command/session_private.h"

struct forward_item {
    const struct command *command;
    int arg_first, argc;
    uint64_t reply_end; /* position in the part's replies */
};

struct forward_part {
    struct env_task task;
    struct list_node link; /* front->forwarded, front->outbox */
    struct forward *of;
    unsigned shard;
    struct buffer items; /* struct forward_item */
    struct buffer args;  /* struct slice; offsets into bytes until it is sent */
    struct buffer bytes;
    struct reply reply;
    uint64_t gate; /* turn of the shard that runs it */
    uint64_t due_us;
    unsigned ran, taken; /* items; taken: their replies */
    struct fetch *fetch;
    int fetch_error;
    unsigned fetch_rounds;
    bool fetching; /* the fetch is being begun: it may end before that returns */
    bool slowed;
};

struct forward {
    struct session *session; /* NULL: gone */
    struct shard *home;
    const struct front_group *group;
    unsigned db;
    uint64_t client_id;
    unsigned left;       /* parts under way */
    bool paused;         /* for output to be sent, before parts go on */
    size_t taken;        /* replies */
    struct buffer order; /* u8: the shard of each command */
    struct forward_part *parts[NODE_SHARDS_MAX];
};

static struct front *front_of(const struct forward *fw, const struct shard *s)
{
    return fw->group->fronts[s->id];
}

static void forward_free(struct forward *fw)
{
    for (unsigned i = 0; i < fw->home->node->shards; i++) {
        struct forward_part *part = fw->parts[i];
        if (part == NULL)
            continue;
        buffer_free(&part->items);
        buffer_free(&part->args);
        buffer_free(&part->bytes);
        reply_free(&part->reply);
        free(part);
    }
    buffer_free(&fw->order);
    free(fw);
}

/* --- gathering, at home --- */

bool forward_able(const struct session *s, const struct call *c)
{
    const uint32_t stateful = CMD_SESSION | CMD_ALL | CMD_ASYNC | CMD_KEYSPACES | CMD_OTHER_DB;
    if (c->key_count == 0 || (c->command->flags & stateful) != 0 || s->multi != NULL ||
        s->reply_mode != REPLIES_ON)
        return false;
    const struct node *node = s->front->node;
    unsigned shard = node_shard_index(node, c->keys[0].key.partition);
    for (int i = 1; i < c->key_count; i++)
        if (node_shard_index(node, c->keys[i].key.partition) != shard)
            return false;
    return true;
}

static struct forward_part *part_get(struct session *s, unsigned shard)
{
    struct forward *fw = s->forward;
    if (fw == NULL) {
        fw = s->forward = mem_zalloc(sizeof(*fw));
        fw->session = s;
        fw->home = s->shard;
        fw->group = s->front->group;
        fw->db = s->db;
        fw->client_id = s->id;
    }
    struct forward_part *part = fw->parts[shard];
    if (part == NULL) {
        part = fw->parts[shard] = mem_zalloc(sizeof(*part));
        part->of = fw;
        part->shard = shard;
        list_node_init(&part->link);
        reply_init(&part->reply);
        part->reply.version = s->reply.version;
        part->reply.muted = s->reply.muted;
        part->reply.pending_max = s->reply.pending_max;
    }
    return part;
}

static unsigned item_count(const struct forward_part *part)
{
    return (unsigned)(part->items.len / sizeof(struct forward_item));
}

static void item_add(struct forward_part *part, const struct forward_item *item)
{
    buffer_append(&part->items, item, sizeof(*item));
    buffer_append_u8(&part->of->order, (uint8_t)part->shard);
}

void forward_add(struct session *s, const struct call *c)
{
    struct forward_part *part =
        part_get(s, node_shard_index(s->front->node, c->keys[0].key.partition));
    struct forward_item item = {
        .command = c->command,
        .arg_first = (int)(part->args.len / sizeof(struct slice)),
        .argc = c->argc,
    };
    for (int i = 0; i < c->argc; i++) {
        struct slice arg = {(const uint8_t *)part->bytes.len, c->argv[i].len};
        buffer_append(&part->args, &arg, sizeof(arg));
        buffer_append_slice(&part->bytes, c->argv[i]);
    }
    item_add(part, &item);
    s->last_command = c->command;
    metrics_add(&s->front->node->metrics[s->shard->id].commands_forwarded, 1);
}

struct reply *forward_home_reply(struct session *s)
{
    return &part_get(s, s->shard->id)->reply;
}

void forward_home_done(struct session *s, const struct call *c)
{
    struct forward_part *part = part_get(s, s->shard->id);
    struct forward_item item = {.command = c->command, .reply_end = part->reply.written};
    item_add(part, &item);
    part->ran++;
    if (c->gate > part->gate)
        part->gate = c->gate;
}

uint64_t forward_home_pending(const struct session *s)
{
    const struct forward *fw = s->forward;
    const struct forward_part *own = fw != NULL ? fw->parts[s->shard->id] : NULL;
    return own != NULL ? reply_pending(&own->reply) : 0;
}

/* --- at the shard that runs it --- */

static void part_back(struct env_task *task, struct shard *on);
static void part_fetched(void *owner, int error);

static bool part_has_room(const struct forward_part *part)
{
    return reply_pending(&part->reply) < OUTPUT_PAUSE_BYTES && !part->reply.exceeded;
}

static void part_wait(struct forward_part *part, struct front *f, uint64_t us)
{
    part->due_us = front_now_us(f) + us;
    list_push_back(&f->forwarded, &part->link);
    front_timer_arm(f);
}

/* Whether the write may go on; else it is answered, or waits (*ret_wait). */
static bool may_write(struct forward_part *part, struct call *c, bool *ret_wait)
{
    uint64_t bytes = 0, wait_us;
    for (int i = 1; i < c->argc; i++)
        bytes += c->argv[i].len;
    const char *refusal = dispatch_write_refusal(c, bytes, part->slowed, &wait_us);
    *ret_wait = refusal == NULL && wait_us > 0;
    if (refusal != NULL)
        reply_error(c, "%s", refusal);
    if (*ret_wait) {
        part->slowed = true;
        part_wait(part, c->front, wait_us);
    }
    return refusal == NULL && wait_us == 0;
}

enum item_result { ITEM_DONE, ITEM_AGAIN, ITEM_WAITS };

/* Has what the command misses read from disk. */
static enum item_result item_fetch(struct forward_part *part, struct call *c)
{
    metrics_add(&c->node->metrics[c->shard->id].cold_waits, 1);
    part->fetching = true;
    fetch_begin(c, part_fetched, part, &part->fetch);
    part->fetching = false;
    return part->fetch == NULL ? ITEM_AGAIN : ITEM_WAITS;
}

/* A part that waits goes on with the same item. */
static enum item_result item_run(struct forward_part *part, struct forward_item *item,
                                 struct front *f)
{
    struct forward *fw = part->of;
    struct call c = {
        .command = item->command,
        .argv = (const struct slice *)part->args.data + item->arg_first,
        .argc = item->argc,
        .db = fw->db,
        .now_ms = f->shard->now_ms,
        .node = f->node,
        .shard = f->shard,
        .front = f,
        .reply = &part->reply,
        .client_id = fw->client_id,
    };
    int first;
    f->key_count = 0;
    f->keys_of = NULL;
    dispatch_keys(f, c.command, c.argv, c.argc, c.db, &first, &c.key_count);
    c.keys = f->keys;
    bool wait = false;
    struct reply_mark mark = reply_mark(&part->reply);
    if (part->fetch_error < 0) {
        reply_error(&c, "ERR reading from disk failed: %s", status_text(part->fetch_error));
        part->fetch_error = 0;
    } else if (!(c.command->flags & CMD_WRITE) || may_write(part, &c, &wait)) {
        dispatch_call(&c);
    }
    if (wait)
        return ITEM_WAITS;
    if (c.status == ST_COLD)
        reply_truncate(&part->reply, mark);
    if (c.status == ST_COLD && ++part->fetch_rounds > FETCH_ROUNDS_MAX) {
        reply_error(&c, FETCH_ROUNDS_TEXT);
    } else if (c.status == ST_COLD) {
        return item_fetch(part, &c);
    }
    part->slowed = false;
    part->fetch_rounds = 0;
    item->reply_end = part->reply.written;
    if (c.gate > part->gate)
        part->gate = c.gate;
    struct command_stats *stats = &f->stats[c.command->id];
    stats->calls++;
    stats->failed += c.errors > 0;
    metrics_add(&f->node->metrics[f->shard->id].commands_processed, 1);
    return ITEM_DONE;
}

/* Until nothing is left to run, or enough to be sent first. */
static void part_run(struct forward_part *part, struct front *f)
{
    f->settings = __atomic_load_n(&f->node->settings, __ATOMIC_ACQUIRE);
    struct forward_item *items = (struct forward_item *)part->items.data;
    enum item_result result = ITEM_DONE;
    while (part->ran < item_count(part) && result != ITEM_WAITS && part_has_room(part)) {
        result = item_run(part, &items[part->ran], f);
        part->ran += result == ITEM_DONE;
    }
    timing_end(f);
    if (result == ITEM_WAITS)
        return;
    part->task.run = part_back;
    list_push_back(&f->outbox, &part->link); /* goes when its turn is committed */
}

static void part_fetched(void *owner, int error)
{
    struct forward_part *part = owner;
    part->fetch = NULL;
    part->fetch_error = error;
    if (part->fetching)
        return; /* item_fetch() sees that it has ended */
    part_run(part, front_of(part->of, node_shard(part->of->home->node, part->shard)));
}

static void part_arrived(struct env_task *task, struct shard *on)
{
    struct forward_part *part = container_of(task, struct forward_part, task);
    part_run(part, front_of(part->of, on));
}

/* --- sending --- */

/* false: the other mailbox is full. */
static bool part_post(struct forward_part *part, struct front *from)
{
    bool back = part->task.run == part_back;
    if (back && part->gate > from->shard->committed_turn)
        return false;
    unsigned to = back ? part->of->home->id : part->shard;
    return from->shard->env->ops->post(from->shard->env, to, &part->task, false);
}

void forward_turn_end(struct front *f)
{
    if (likely(list_empty(&f->outbox)))
        return;
    list_foreach_safe (node, spare, &f->outbox) {
        struct forward_part *part = list_entry(node, struct forward_part, link);
        list_remove(node); /* once it is posted it is the other thread's */
        if (!part_post(part, f))
            list_insert_after(spare->prev, node);
    }
    front_timer_arm(f);
}

void forward_due(struct front *f, uint64_t now_us)
{
    list_foreach_safe (node, spare, &f->forwarded) {
        struct forward_part *part = list_entry(node, struct forward_part, link);
        if (part->due_us > now_us)
            continue;
        list_remove(node);
        part_run(part, f);
    }
}

static void args_settle(struct forward_part *part)
{
    struct slice *args = (struct slice *)part->args.data;
    for (size_t i = 0; i < part->args.len / sizeof(*args); i++)
        args[i].data = part->bytes.data + (uintptr_t)args[i].data;
}

static void part_send(struct forward_part *part, struct front *f)
{
    part->of->left++;
    part->task.run = part_arrived;
    if (part_post(part, f))
        return;
    list_push_back(&f->outbox, &part->link);
    front_timer_arm(f);
}

void forward_send(struct session *s)
{
    struct forward *fw = s->forward;
    session_park(s, WAIT_FORWARD);
    for (unsigned i = 0; i < s->front->node->shards; i++) {
        struct forward_part *part = fw->parts[i];
        if (part == NULL || i == s->shard->id)
            continue;
        args_settle(part);
        part_send(part, s->front);
    }
    CHECK(fw->left > 0);
}

/* --- back at home --- */

/* Appends the reply of the part's next item to the session's. */
static void take_reply(struct session *s, struct forward_part *part)
{
    const struct forward_item *item = (const struct forward_item *)part->items.data + part->taken++;
    while (part->reply.sent < item->reply_end) {
        struct iovec iov;
        if (reply_iovec(&part->reply, item->reply_end, &iov, 1) == 0)
            return;
        reply_raw(&s->reply, iov.iov_base, iov.iov_len);
        reply_sent(&part->reply, iov.iov_len);
    }
}

/* Those that are there, in order. false: one is missing. */
static bool take_replies(struct forward *fw)
{
    struct session *s = fw->session;
    uint64_t start = s->reply.written;
    for (; fw->taken < fw->order.len; fw->taken++) {
        struct forward_part *part = fw->parts[fw->order.data[fw->taken]];
        if (part->taken == part->ran)
            break;
        take_reply(s, part);
    }
    const struct forward_part *own = fw->parts[fw->home->id];
    if (own != NULL && own->gate != 0)
        session_gate_add(s, start, own->gate);
    return fw->taken == fw->order.len;
}

static bool any_exceeded(const struct forward *fw)
{
    bool exceeded = false;
    for (unsigned i = 0; i < fw->home->node->shards; i++)
        exceeded |= fw->parts[i] != NULL && fw->parts[i]->reply.exceeded;
    return exceeded;
}

/* Parts with room go on when there is room for what they will say. */
void forward_output_sent(struct session *s)
{
    struct forward *fw = s->forward;
    if (likely(fw == NULL) || !fw->paused || reply_pending(&s->reply) >= OUTPUT_PAUSE_BYTES)
        return;
    fw->paused = false;
    for (unsigned i = 0; i < fw->home->node->shards; i++) {
        struct forward_part *part = fw->parts[i];
        if (part != NULL && part->ran < item_count(part) && part_has_room(part))
            part_send(part, s->front);
    }
    CHECK(fw->left > 0); /* all of the missing reply's part was taken */
}

static void forward_back(struct forward *fw)
{
    struct session *s = fw->session;
    if (s == NULL) {
        forward_free(fw);
    } else if (any_exceeded(fw)) {
        metrics_add(&fw->home->node->metrics[fw->home->id].output_limit_disconnections, 1);
        session_kill(s); /* forward_cancel() frees it */
    } else if (take_replies(fw)) {
        s->forward = NULL;
        session_wake(s);
        forward_free(fw);
    } else {
        fw->paused = true;
        s->ops->wake(s->host); /* there is output */
        forward_output_sent(s);
    }
}

static void part_back(struct env_task *task, struct shard *on)
{
    struct forward *fw = container_of(task, struct forward_part, task)->of;
    if (--fw->left == 0)
        forward_back(fw);
}

void forward_cancel(struct session *s)
{
    struct forward *fw = s->forward;
    if (fw == NULL)
        return;
    s->forward = NULL;
    fw->session = NULL;
    if (fw->left == 0)
        forward_free(fw);
}
