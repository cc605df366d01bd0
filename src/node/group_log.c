#include "node/group_log.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/planted.h"
#include "base/status.h"

#define STATE_FORMAT       1
#define STATE_HEAD_BYTES   (2 + 7 * 8 + 4)
#define STATE_RESET        1
#define STATE_END          2
#define STATE_DAMAGED      4
#define ENTRY_COPY         0x80
#define ENTRIES_MIN        8
#define SKIP_SLACK_ENTRIES 64

/* Entries read back: `count` from index `first` on, their records one behind the other. */
struct group_log_window {
    struct work work;
    struct group_log *log;
    bool running;
    int st;
    uint64_t first;
    unsigned count;
    uint64_t lsn[GROUP_LOG_WINDOW_ENTRIES];
    uint64_t term[GROUP_LOG_WINDOW_ENTRIES];
    size_t at[GROUP_LOG_WINDOW_ENTRIES + 1]; /* of each payload in bytes */
    struct buffer bytes, scratch;
};

static int reader_entries(struct raft_reader *reader, uint64_t first, uint64_t last,
                          uint64_t bytes_max, struct raft_entry *ret_entries, unsigned cap,
                          unsigned *ret_count)
{
    return group_log_entries(container_of(reader, struct group_log, reader), first, last, bytes_max,
                             ret_entries, cap, ret_count);
}

static uint64_t reader_term(struct raft_reader *reader, uint64_t index)
{
    return group_log_term(container_of(reader, struct group_log, reader), index);
}

void group_log_init(struct group_log *log, struct env *env, uint32_t group)
{
    *log = (struct group_log){
        .reader = {.entries = reader_entries, .term = reader_term},
        .group = group,
        .env = env,
        .first = 1,
    };
}

static void configs_free(struct group_log *log)
{
    for (size_t i = 0; i < log->configs_count; i++)
        buffer_free(&log->configs[i].data);
    free(log->configs);
    log->configs = NULL;
    log->configs_count = 0;
}

void group_log_free(struct group_log *log)
{
    CHECK(!group_log_busy(log));
    group_log_forget_window(log);
    configs_free(log);
    buffer_free(&log->config);
    free(log->entries);
    log->entries = NULL;
}

bool group_log_busy(const struct group_log *log)
{
    return log->window != NULL && log->window->running;
}

/* --- the entries in memory --- */

static struct group_log_entry *entry_at(const struct group_log *log, uint64_t index)
{
    CHECK(index >= log->first);
    CHECK(index - log->first < log->count);
    return &log->entries[log->skip + (index - log->first)];
}

const struct group_log_entry *group_log_entry(const struct group_log *log, uint64_t index)
{
    return entry_at(log, index);
}

uint64_t group_log_last(const struct group_log *log)
{
    return log->count > 0 ? log->first + log->count - 1 : log->state.base_index;
}

uint64_t group_log_term(const struct group_log *log, uint64_t index)
{
    if (index == log->state.base_index)
        return log->state.base_term;
    return entry_at(log, index)->term;
}

/* Room for `more` behind the last one. */
static void make_room(struct group_log *log, size_t more)
{
    if (log->skip > 0 && log->skip >= log->count + SKIP_SLACK_ENTRIES) {
        memmove(log->entries, log->entries + log->skip, log->count * sizeof(*log->entries));
        log->skip = 0;
    }
    size_t need = log->skip + log->count + more;
    if (need <= log->cap)
        return;
    log->cap = log->cap == 0 ? ENTRIES_MIN : log->cap * 2;
    if (log->cap < need)
        log->cap = need;
    log->entries = mem_realloc(log->entries, log->cap * sizeof(*log->entries));
}

static void cut_from(struct group_log *log, uint64_t index)
{
    while (log->count > 0 && log->first + log->count > index) {
        log->count--;
        log->bytes -= log->entries[log->skip + log->count].bytes;
    }
    if (log->count == 0)
        log->skip = 0;
}

static void cut_to(struct group_log *log, uint64_t index)
{
    while (log->count > 0 && log->first <= index) {
        log->bytes -= log->entries[log->skip].bytes;
        log->first++;
        log->skip++;
        log->count--;
    }
    if (log->count == 0) {
        log->skip = 0;
        log->first = index + 1;
    }
}

static void push(struct group_log *log, const struct group_log_entry *entry)
{
    make_room(log, 1);
    log->entries[log->skip + log->count++] = *entry;
    log->bytes += entry->bytes;
}

/* --- recovery --- */

/* Whoever wrote the copy had this entry in his log; what was there before may have been cut off the
 * commit log already, and the entries behind the copy may precede it there. */
static int replay_copy(struct group_log *log, uint64_t index, const struct group_log_entry *entry)
{
    if (log->count == 0)
        log->first = index;
    if (index < log->first) {
        uint64_t hole = log->first - index;
        if (hole > GROUP_LOG_HOLE_MAX)
            return ST_CORRUPT;
        make_room(log, hole);
        struct group_log_entry *at = log->entries + log->skip;
        memmove(at + hole, at, log->count * sizeof(*at));
        memset(at, 0, hole * sizeof(*at));
        log->count += hole;
        log->first = index;
    }
    if (index - log->first > log->count)
        return ST_CORRUPT;
    if (index - log->first == log->count) {
        push(log, entry);
        return 0;
    }
    struct group_log_entry *at = entry_at(log, index);
    log->bytes += (uint64_t)entry->bytes - at->bytes;
    *at = *entry;
    return 0;
}

uint64_t group_log_stamp(struct slice data)
{
    return data.len >= 1 + 8 ? bytes_get_u64(data.data + 1) : 0;
}

/* What the core or the group must know of the data. */
static void replay_note(struct group_log *log, const struct log_record *record, uint8_t type)
{
    struct slice data = slice_make(record->payload.data + 1, record->payload.len - 1);
    if (type == RAFT_COMMAND) {
        uint64_t stamp = group_log_stamp(data);
        log->stamp = stamp > log->stamp ? stamp : log->stamp;
    }
    if (type != RAFT_CONFIG)
        return;
    log->configs = mem_realloc(log->configs, (log->configs_count + 1) * sizeof(*log->configs));
    struct group_log_config *c = &log->configs[log->configs_count++];
    *c = (struct group_log_config){.index = record->index, .term = record->term};
    buffer_append_slice(&c->data, data);
}

static int replay_entry(struct group_log *log, const struct log_record *record)
{
    if (record->payload.len < 1 || record->index == 0 || record->index >= RAFT_INDEX_MAX ||
        record->term == 0 || record->term >= RAFT_INDEX_MAX ||
        record->payload.len - 1 > RAFT_ENTRY_BYTES_MAX)
        return ST_CORRUPT;
    uint8_t type = record->payload.data[0];
    struct group_log_entry entry = {
        .lsn = record->lsn,
        .term = record->term,
        .bytes = (uint32_t)record->payload.len - 1,
        .type = type & (uint8_t)~ENTRY_COPY,
    };
    if (entry.type >= RAFT_ENTRY_TYPES)
        return ST_VERSION;
    replay_note(log, record, entry.type);
    if (record->index <= log->state.base_index)
        return 0;
    if (type & ENTRY_COPY)
        return replay_copy(log, record->index, &entry);
    cut_from(log, record->index);
    if (log->count == 0)
        log->first = record->index;
    if (record->index - (log->first + log->count) > GROUP_LOG_HOLE_MAX)
        return ST_CORRUPT;
    while (record->index != log->first + log->count) /* cut off: copies will follow, or a base */
        push(log, &(struct group_log_entry){0});
    push(log, &entry);
    return 0;
}

static int replay_state(struct group_log *log, const struct log_record *record)
{
    struct slice p = record->payload;
    if (p.len < 1)
        return ST_CORRUPT;
    if (p.data[0] != STATE_FORMAT)
        return ST_VERSION;
    if (p.len < STATE_HEAD_BYTES)
        return ST_CORRUPT;
    const uint8_t *at = p.data + 2;
    uint32_t config_bytes = bytes_get_u32(at + 56);
    if (p.len - STATE_HEAD_BYTES != config_bytes)
        return ST_CORRUPT;
    log->state = (struct group_log_state){
        .term = record->term,
        .vote = bytes_get_u64(at),
        .commit = bytes_get_u64(at + 8),
        .replica = bytes_get_u64(at + 16),
        .birth = bytes_get_u64(at + 24),
        .base_index = bytes_get_u64(at + 32),
        .base_term = bytes_get_u64(at + 40),
        .base_stamp = bytes_get_u64(at + 48),
        .damaged = (p.data[1] & STATE_DAMAGED) != 0,
    };
    buffer_clear(&log->config);
    buffer_append(&log->config, at + 60, config_bytes);
    log->state_lsn = record->lsn;
    log->found = !(p.data[1] & STATE_END);
    if (p.data[1] & (STATE_RESET | STATE_END)) {
        cut_from(log, 0);
        log->damaged = false;
    }
    cut_to(log, log->state.base_index);
    return 0;
}

int group_log_replay(struct group_log *log, const struct log_record *record)
{
    int st = record->type == LOG_ENTRY ? replay_entry(log, record) : replay_state(log, record);
    if (st != 0)
        log->damaged = true;
    return st;
}

static struct slice config_find(const struct group_log *log, uint64_t index, uint64_t term)
{
    for (size_t i = log->configs_count; i > 0; i--)
        if (log->configs[i - 1].index == index && log->configs[i - 1].term == term)
            return buffer_slice(&log->configs[i - 1].data);
    return slice_make(NULL, 0);
}

int group_log_restore(struct group_log *log, struct raft *raft)
{
    int st = 0;
    for (size_t i = 0; i < log->count && st == 0; i++) {
        const struct group_log_entry *e = &log->entries[log->skip + i];
        struct raft_entry entry = {.index = log->first + i, .term = e->term, .type = e->type};
        entry.data = e->type == RAFT_CONFIG ? config_find(log, entry.index, entry.term)
                                            : slice_make(NULL, e->bytes);
        st = raft_restore(raft, &entry);
    }
    configs_free(log);
    return st;
}

int group_log_check(const struct group_log *log)
{
    if (log->damaged)
        return ST_CORRUPT;
    if (log->count > 0 && log->first != log->state.base_index + 1)
        return ST_CORRUPT;
    uint64_t term = log->state.base_term;
    for (size_t i = 0; i < log->count; i++) {
        const struct group_log_entry *e = &log->entries[log->skip + i];
        if (e->lsn == 0 || e->term < term)
            return ST_CORRUPT;
        term = e->term;
    }
    return 0;
}

/* --- writing --- */

void group_log_append(struct group_log *log, struct log_batch *batch,
                      const struct raft_entry *entry)
{
    cut_from(log, entry->index);
    CHECK(entry->index == group_log_last(log) + 1);
    CHECK(entry->data.len <= RAFT_ENTRY_BYTES_MAX);
    struct buffer *out = log_batch_begin(batch, LOG_ENTRY, log->group, entry->index, entry->term);
    buffer_append_u8(out, entry->type);
    buffer_append_slice(out, entry->data);
    CHECK(log_batch_end(batch) == 0);
    push(log, &(struct group_log_entry){
                  .term = entry->term, .bytes = (uint32_t)entry->data.len, .type = entry->type});
}

static void put_state(struct group_log *log, struct log_batch *batch, uint8_t flags)
{
    const struct group_log_state *s = &log->state;
    struct buffer *out = log_batch_begin(batch, LOG_HARDSTATE, log->group, 0, s->term);
    buffer_append_u8(out, STATE_FORMAT);
    buffer_append_u8(out, flags | (s->damaged ? STATE_DAMAGED : 0));
    buffer_append_u64(out, s->vote);
    buffer_append_u64(out, s->commit);
    buffer_append_u64(out, s->replica);
    buffer_append_u64(out, s->birth);
    buffer_append_u64(out, s->base_index);
    buffer_append_u64(out, s->base_term);
    buffer_append_u64(out, s->base_stamp);
    buffer_append_u32(out, (uint32_t)log->config.len);
    buffer_append_slice(out, buffer_slice(&log->config));
    CHECK(log_batch_end(batch) == 0);
}

void group_log_write_state(struct group_log *log, struct log_batch *batch, bool reset)
{
    if (reset) {
        cut_from(log, 0);
        log->first = log->state.base_index + 1;
    }
    put_state(log, batch, reset ? STATE_RESET : 0);
}

void group_log_write_end(struct group_log *log, struct log_batch *batch)
{
    cut_from(log, 0);
    put_state(log, batch, STATE_END);
}

void group_log_written(struct group_log *log, const struct log_record *record, uint64_t end_lsn)
{
    log->written_lsn = end_lsn;
    if (record->type == LOG_HARDSTATE) {
        log->state_lsn = record->lsn;
        return;
    }
    if (log->count == 0 || record->index < log->first || record->index > group_log_last(log))
        return; /* replaced or let go before it was written */
    struct group_log_entry *entry = entry_at(log, record->index);
    if (entry->term == record->term)
        entry->lsn = record->lsn;
}

void group_log_set_base(struct group_log *log, uint64_t index, uint64_t term, uint64_t stamp,
                        const struct raft_config *config)
{
    CHECK(index >= log->state.base_index);
    log->state.base_index = index;
    log->state.base_term = term;
    log->state.base_stamp = stamp;
    buffer_clear(&log->config);
    if (config->count > 0)
        raft_config_encode(&log->config, config);
    cut_to(log, index);
}

/* --- reading --- */

static void window_run(struct work *work)
{
    struct group_log_window *w = container_of(work, struct group_log_window, work);
    struct env *env = w->log->env;
    for (unsigned i = 0; i < w->count && w->st == 0; i++) {
        struct log_record record;
        w->at[i] = w->bytes.len;
        w->st = env->ops->log_read(env, w->lsn[i], &w->scratch, &record);
        if (w->st == 0 && (record.type != LOG_ENTRY || record.group != w->log->group ||
                           record.index != w->first + i || record.term != w->term[i]))
            w->st = ST_CORRUPT;
        if (w->st == 0)
            buffer_append_slice(&w->bytes, record.payload);
        w->at[i + 1] = w->bytes.len;
    }
}

/* Whether entry i of the window is still the one in the log. */
static bool window_has(const struct group_log *log, const struct group_log_window *w,
                       uint64_t index)
{
    return w->st == 0 && index >= w->first && index - w->first < w->count &&
           entry_at(log, index)->term == w->term[index - w->first];
}

/* Whether its entries are all still where they were read. */
static bool window_stands(const struct group_log *log, const struct group_log_window *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        uint64_t index = w->first + i;
        if (log->count == 0 || index < log->first || index > group_log_last(log) ||
            entry_at(log, index)->lsn != w->lsn[i])
            return false;
    }
    return true;
}

static void window_done(struct work *work)
{
    struct group_log_window *w = container_of(work, struct group_log_window, work);
    struct group_log *log = w->log;
    w->running = false;
    if (w->st != 0 && !window_stands(log, w)) {
        w->count = 0; /* read where nothing of it is any more; who still asks reads again */
        w->st = 0;
    }
    log->loaded(log, w->st == ST_RANGE ? ST_CORRUPT : w->st);
}

static void window_start(struct group_log *log, uint64_t first, uint64_t last, uint64_t bytes_max)
{
    if (log->window == NULL)
        log->window = mem_zalloc(sizeof(*log->window));
    struct group_log_window *w = log->window;
    if (w->running)
        return;
    if (bytes_max > GROUP_LOG_WINDOW_BYTES)
        bytes_max = GROUP_LOG_WINDOW_BYTES;
    w->work = (struct work){.run = window_run, .done = window_done, .klass = WORK_READ};
    w->log = log;
    w->st = 0;
    w->first = first;
    w->count = 0;
    buffer_clear(&w->bytes);
    uint64_t bytes = 0;
    for (uint64_t i = first; i <= last && w->count < GROUP_LOG_WINDOW_ENTRIES; i++) {
        const struct group_log_entry *e = entry_at(log, i);
        bytes += e->bytes;
        if (e->lsn == 0 || (w->count > 0 && bytes > bytes_max))
            break;
        w->lsn[w->count] = e->lsn;
        w->term[w->count++] = e->term;
    }
    w->running = true; /* with nothing to read too, when it is not written yet: loaded() follows */
    log->env->ops->work(log->env, &w->work);
}

int group_log_entries(struct group_log *log, uint64_t first, uint64_t last, uint64_t bytes_max,
                      struct raft_entry *ret_entries, unsigned cap, unsigned *ret_count)
{
    struct group_log_window *w = log->window;
    CHECK(last <= group_log_last(log));
    if (w == NULL || w->running || !window_has(log, w, first)) {
        window_start(log, first, last, bytes_max);
        return ST_AGAIN;
    }
    unsigned count = 0;
    uint64_t bytes = 0;
    for (uint64_t i = first; i <= last && count < cap && window_has(log, w, i); i++) {
        size_t at = w->at[i - w->first], end = w->at[i - w->first + 1];
        bytes += end - at - 1;
        if (count > 0 && bytes > bytes_max)
            break;
        ret_entries[count++] = (struct raft_entry){
            .index = i,
            .term = w->term[i - w->first],
            .type = w->bytes.data[at] & (uint8_t)~ENTRY_COPY,
            .data = slice_make(w->bytes.data + at + 1, end - at - 1),
        };
    }
    *ret_count = count;
    return 0;
}

void group_log_forget_window(struct group_log *log)
{
    struct group_log_window *w = log->window;
    if (w == NULL || w->running)
        return;
    buffer_free(&w->bytes);
    buffer_free(&w->scratch);
    free(w);
    log->window = NULL;
}

/* --- retention --- */

static uint64_t lowest_lsn(const struct group_log *log)
{
    uint64_t lowest = log->state_lsn;
    for (size_t i = 0; i < log->count; i++) {
        uint64_t lsn = log->entries[log->skip + i].lsn;
        if (lsn != 0 && lsn < lowest)
            lowest = lsn;
    }
    return lowest;
}

/* What was written forward, or made entries unneeded, must be synced before the records that it
 * replaces may go: so the lowest position counts once all that was written when it was taken is. */
uint64_t group_log_retain_lsn(struct group_log *log, uint64_t synced_lsn)
{
    if (log->state_lsn == 0)
        return log->held_lsn; /* a new replica, nothing is written yet */
    if (log->next_lsn == 0 || log->next_synced_lsn <= synced_lsn) {
        if (log->next_lsn != 0)
            log->held_lsn = log->next_lsn;
        log->next_lsn = lowest_lsn(log);
        log->next_synced_lsn = log->written_lsn;
        if (log->next_synced_lsn <= synced_lsn)
            log->held_lsn = log->next_lsn;
    }
    return log->held_lsn;
}

int group_log_rewrite(struct group_log *log, struct log_batch *batch, uint64_t lsn)
{
    if (log->state_lsn != 0 && log->state_lsn < lsn) {
        uint64_t vote = log->state.vote;
        if (PLANTED(hardstate_rewrite_forgets_vote))
            log->state.vote = 0;
        put_state(log, batch, 0);
        log->state.vote = vote;
    }
    for (uint64_t i = log->first; log->count > 0 && i <= group_log_last(log);) {
        struct group_log_entry *entry = entry_at(log, i);
        if (entry->lsn == 0 || entry->lsn >= lsn) {
            i++;
            continue;
        }
        struct raft_entry read;
        unsigned count;
        int st = group_log_entries(log, i, group_log_last(log), GROUP_LOG_WINDOW_BYTES, &read, 1,
                                   &count);
        if (st != 0)
            return st;
        struct buffer *out = log_batch_begin(batch, LOG_ENTRY, log->group, i, read.term);
        buffer_append_u8(out, read.type | ENTRY_COPY);
        buffer_append_slice(out, read.data);
        CHECK(log_batch_end(batch) == 0);
        i++;
    }
    return 0;
}
